"""What a client may ask of the hub about new and exchanged devices; as in ``tui.methods``. Unix milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tui.methods import Method, Nothing, Problem


@dataclass(frozen=True, slots=True)
class Look:
    """``key``: fingerprint of a device that announced itself, or the beginning of it; else its ``address``."""

    device: str
    address: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """``fingerprint`` of the host key there, ``SHA256:...``. ``known``: the inventory has that very key for the device.
    ``key``: the whole fingerprint of the key that was announced, with what was said of ``model`` and ``serial``."""

    address: str
    fingerprint: str
    known: bool
    key: str = ""
    model: str = ""
    serial: str = ""


@dataclass(frozen=True, slots=True)
class Enrol:
    """``fingerprint``: of the host key, as a person compared it; ``key``: of the device's own key, if it announced one;
    ``user`` empty: the family's; ``password``: the factory's, empty for the hub's own key."""

    device: str
    address: str
    fingerprint: str
    key: str = ""
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """For the inventory: ``serial``, ``public_key``, ``host_key``, whichever there are. ``tone``: how the sound was
    proven."""

    device: str
    model: str
    values: Mapping[str, str]
    fingerprint: str
    tone: str


@dataclass(frozen=True, slots=True)
class StepDone:
    """A step that is done; the last one has what was ``found``. ``problem``: why it ended before that."""

    step: str
    message: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    found: Found | None = None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class PendingDevice:
    """Everything but the fingerprint is what the device says of itself."""

    fingerprint: str
    model: str
    serial: str
    address: str
    host_key: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class PendingDevices:
    """Who was heard last comes first."""

    devices: tuple[PendingDevice, ...]


@dataclass(frozen=True, slots=True)
class Replace:
    device: str
    serial: str


@dataclass(frozen=True, slots=True)
class Replaced:
    """``previous``: the serial number until now; ``revoked``: how many certificates are refused from now on."""

    device: str
    previous: str
    serial: str
    revoked: int


LOOK = Method("enrol_look", Look, Seen)
ENROL = Method("enrol", Enrol, StepDone, stream=True)
PENDING = Method("pending", Nothing, PendingDevices)
REPLACE = Method("replace", Replace, Replaced)
