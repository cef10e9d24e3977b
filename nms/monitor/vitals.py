"""What health is made of: states, what is known of a device beforehand, what a sweep says, what is concluded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from inventory.model import DeviceId, Off


class State(StrEnum):
    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNREACHABLE = "unreachable"
    MAINTENANCE = "maintenance"
    UNKNOWN = "unknown"


LOST: Final = frozenset({State.DOWN, State.UNREACHABLE})

TIMER: Final = "timer"
"""The cause of a device in maintenance that its daily timer took off."""

FLAPPING: Final = "flapping"
"""The cause of a degraded device that comes and goes by itself."""


class CauseKind(StrEnum):
    MODEM = "modem"
    CELL = "cell"
    POWER = "power"
    DEVICE = "device"
    FLAPPING = "flapping"


@dataclass(frozen=True, slots=True)
class Window:
    """Planned work in ``[start, end)``."""

    start: datetime
    end: datetime
    reason: str = ""

    def covers(self, now: datetime) -> bool:
        return self.start <= now < self.end


@dataclass(frozen=True, slots=True)
class Member:
    """What health needs to know of a device in the fleet; ``off`` is its daily timer."""

    uplink: DeviceId | None = None
    power_area: str | None = None
    maintenance: tuple[Window, ...] = ()
    off: Off | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """One sweep's word on a device: whether anything answered, its serving cell if told, and what is wrong with it.

    ``mains``: whether it has mains, where it can tell (the metric ``on_battery``).
    """

    answered: bool
    cell: str | None = None
    faults: tuple[str, ...] = ()
    mains: bool | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """``since``: when this state began; for a lost device its first silence.

    ``cause``: why it is degraded (metrics, ``power:...`` for a battery in use in a dark area, ``flapping``, or what
    shakes it: a modem's id, ``cell:...``, ``power:...``),
    unreachable (a modem's id, ``cell:...``, ``power:...``) or in maintenance (``timer``, or the reason given).

    The rest is memory. ``silent_since``: the first of ``misses`` silent sweeps in a row. ``cell``: the last one known.
    ``faults``: what was wrong at the last answer. ``turns``: when it lately fell silent, came back, broke or mended.
    ``heard_since``: the first answer after it was last lost. ``mains_lost``: since when it reports no mains.
    """

    state: State
    since: datetime
    cause: str | None = None
    misses: int = 0
    cell: str | None = None
    silent_since: datetime | None = None
    faults: tuple[str, ...] = ()
    turns: tuple[datetime, ...] = ()
    flapping: bool = False
    heard_since: datetime | None = None
    mains_lost: datetime | None = None

    @property
    def answering(self) -> bool:
        """It answered when last asked, and may be judged by that."""
        return self.misses == 0 and self.state in (State.UP, State.DEGRADED)


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing to alarm about and every device lost (or shaken) because of it, itself included if it is a device."""

    key: str
    kind: CauseKind
    affected: tuple[DeviceId, ...]


Fleet = Mapping[DeviceId, Member]
Healths = Mapping[DeviceId, Health]
