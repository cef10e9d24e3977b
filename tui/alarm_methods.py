"""What a client may ask of the hub about alarms, repairs, planned work and single devices; as in ``tui.methods``.

Times are Unix milliseconds, 0 where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

from tui.methods import DeviceRow, EventRow, Method, Nothing, Problem, Silenced


@dataclass(frozen=True, slots=True)
class Alarms:
    """Those of a selection's devices (empty: all there are); ``past``: those that are over too."""

    selection: str = ""
    past: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A hamlet that something is lost in, and whom to call there."""

    hamlet: str
    commune: str
    devices: int
    contact: str


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """``state``: open, acknowledged, repair (quiet until ``quiet_until``) or over. ``cause``: faults, where any.

    ``forbidden``: why the caller may not act on it; empty if they may.
    """

    id: str
    subject: str
    kind: str
    state: str
    opened: int
    since: int
    cause: str
    devices: tuple[str, ...]
    communes: tuple[str, ...]
    calls: tuple[Call, ...]
    acknowledged: int
    by: str
    comment: str
    quiet_until: int
    cleared: int
    forbidden: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class AlarmRows:
    """Open ones first, the oldest first; then those that are over, the latest first.

    ``silenced``: clusters that are silenced, or whose silence has ended by its date within a day. ``forbidden``: why
    the caller may act nowhere, ``mute``: why they may silence nowhere; empty if they may in their own area.
    """

    alarms: tuple[AlarmRow, ...]
    silenced: tuple[Silenced, ...] = ()
    forbidden: tuple[Problem, ...] = ()
    mute: tuple[Problem, ...] = ()
    now: int = 0


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """``alarm``: its id or the end of it, or what it is about."""

    alarm: str
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Repair:
    device: str
    part: str
    who: str
    until: int


@dataclass(frozen=True, slots=True)
class Silence:
    """Let nothing be heard from a cluster until ``until``; ``who`` and ``part`` open its repair order as well."""

    device: str
    until: int
    reason: str
    who: str = ""
    part: str = ""


@dataclass(frozen=True, slots=True)
class Unsilence:
    device: str
    reason: str


@dataclass(frozen=True, slots=True)
class DeviceId:
    device: str


@dataclass(frozen=True, slots=True)
class RepairRow:
    id: str
    device: str
    who: str
    part: str
    opened: int
    opened_by: str
    until: int
    closed: int
    closed_by: str


@dataclass(frozen=True, slots=True)
class Maintain:
    """Work on a selection from ``start`` (0: now) to ``until``."""

    selection: str
    until: int
    reason: str
    start: int = 0


@dataclass(frozen=True, slots=True)
class Maintained:
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkRow:
    start: int
    until: int
    reason: str


@dataclass(frozen=True, slots=True)
class UsageRow:
    """A SIM's month in bytes; None where the plan tells no quota, or too little was counted to forecast."""

    month: str
    bytes: int
    quota: int | None
    forecast: int | None
    level: str
    without_s: float


@dataclass(frozen=True, slots=True)
class Device:
    """Everything known of a device. ``row.values`` is its last reading, made at ``read``; ``sim`` is without ICCID."""

    row: DeviceRow
    profile: str
    contact: str
    power_area: str
    sim: str
    timer: str
    in_service: str
    cell: str
    read: int
    work: tuple[WorkRow, ...]
    alarms: tuple[AlarmRow, ...]
    repairs: tuple[RepairRow, ...]
    usage: tuple[UsageRow, ...]
    events: tuple[EventRow, ...]
    silenced: tuple[Silenced, ...] = ()
    now: int = 0


ALARMS = Method("alarms", Alarms, AlarmRows)
ACKNOWLEDGE = Method("acknowledge", Acknowledge, AlarmRow)
REPAIR = Method("repair", Repair, RepairRow)
MENDED = Method("mended", DeviceId, Nothing)
SILENCE = Method("silence", Silence, Silenced)
UNSILENCE = Method("unsilence", Unsilence, Nothing)
MAINTAIN = Method("maintain", Maintain, Maintained)
DEVICE = Method("device", DeviceId, Device)
