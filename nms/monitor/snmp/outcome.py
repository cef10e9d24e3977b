"""What a sweep is asked and what it says: frozen values, shared with whoever reads the results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from inventory.model import DeviceId
from nms.monitor.profiles import Metrics, Profile
from nms.monitor.snmp.usm import Security


@dataclass(frozen=True, slots=True)
class Target:
    """A device to ask: where it answers and what its family is asked."""

    device: DeviceId
    address: str
    port: int
    security: Security = field(repr=False)
    profile: Profile = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer: metrics present, metrics whose value was not understood, round trip in seconds from the last send.

    ``octets``, here and below: bytes on the wire of all tries and the answer, with IP and UDP headers.
    """

    metrics: Metrics
    odd: tuple[str, ...]
    rtt: float
    octets: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer to any try; ``reason`` says more when the network did ("Connection refused"), else "timeout"."""

    reason: str = "timeout"
    octets: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something answered, but not the question; the last reason."""

    reason: str
    octets: int = field(default=0, compare=False)


Outcome = Reading | Silence | Refusal


@dataclass(frozen=True, slots=True)
class SweepStats:
    """``late``: answers after the device was given up, still counted. ``stray``: datagrams nobody was waiting for.

    ``dropped``: replies the kernel threw away because the receive buffer (``granted`` bytes) was full.
    """

    seconds: float
    targets: int
    sent: int
    retries: int
    answered: int
    late: int
    stray: int
    refused: int
    dropped: int
    granted: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """What every target answered, and what it took; a cancelled sweep has outcomes only for those it got to."""

    outcomes: Mapping[DeviceId, Outcome]
    stats: SweepStats
