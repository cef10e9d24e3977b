"""From observations to health: who is lost, since when, and because of what. Pure; ``now`` is an argument.

A device is lost after two silent sweeps in a row and back after one answer. What is lost has a root cause where one
can be told: the modem it hangs behind, else a serving cell or a power area that many devices left together. Only
causes alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from inventory.model import DeviceId, Off

MISSES_TO_LOSE: Final = 2
"""Silent sweeps in a row after which a device is lost."""

TOGETHER: Final = timedelta(seconds=90)
"""Devices lost within this time of each other were lost together."""

ENOUGH_DEVICES: Final = 5
"""Fewer devices lost together are a coincidence, not a cell or a power area."""

NEARLY_ALL: Final = 0.8
"""Share of a cell's or an area's known devices that must be lost for it to be the suspect."""


class State(StrEnum):
    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNREACHABLE = "unreachable"
    MAINTENANCE = "maintenance"
    UNKNOWN = "unknown"


LOST: Final = frozenset({State.DOWN, State.UNREACHABLE})


class CauseKind(StrEnum):
    MODEM = "modem"
    CELL = "cell"
    POWER = "power"
    DEVICE = "device"


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

    ``mains``: whether it has mains, where it can tell (the metric ``mains``).
    """

    answered: bool
    cell: str | None = None
    faults: tuple[str, ...] = ()
    mains: bool | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """``since``: when this state began; for a lost device its first silence.

    ``cause``: why it is degraded (metrics) or unreachable (a modem's id, ``cell:...``, ``power:...``). ``cell``: the
    last one known. ``silent_since``: the first of ``misses`` silent sweeps in a row.
    """

    state: State
    since: datetime
    cause: str | None = None
    misses: int = 0
    cell: str | None = None
    silent_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing to alarm about and every device lost because of it (itself included if it is a device)."""

    key: str
    kind: CauseKind
    affected: tuple[DeviceId, ...]


Healths = Mapping[DeviceId, Health]


def assess(
    fleet: Mapping[DeviceId, Member],
    observations: Mapping[DeviceId, Observation],
    previous: Healths,
    now: datetime,
) -> Healths:
    """The health of every member of the fleet after one sweep; the order of devices does not matter."""
    own = {d: _own(member, observations.get(d), previous.get(d), now) for d, member in fleet.items()}
    lost = {d for d, health in own.items() if health.state is State.DOWN}
    held = {d for d in lost if _undecided(fleet, own, d)}
    for device in held:
        own[device] = _as_before(own[device], previous.get(device))
    lost -= held
    shared = _shared_causes(fleet, own, lost)
    healths: dict[DeviceId, Health] = {}
    for device, health in own.items():
        cause = _root(fleet, lost, shared, device) if device in lost else None
        healths[device] = replace(health, state=State.UNREACHABLE, cause=cause) if cause is not None else health
    return healths


def _own(member: Member, seen: Observation | None, before: Health | None, now: datetime) -> Health:
    """A device by itself, without regard to what it depends on."""
    if before is None:
        before = Health(State.UNKNOWN, now)
    if any(window.covers(now) for window in member.maintenance):
        return _turn(before, State.MAINTENANCE, None, now)
    if seen is None:
        # Nothing new is known: a device not asked keeps its state, one back from maintenance has none.
        return before if before.state is not State.MAINTENANCE else Health(State.UNKNOWN, now, cell=before.cell)
    if seen.answered:
        state = State.DEGRADED if seen.faults else State.UP
        turned = _turn(before, state, ", ".join(seen.faults) or None, now)
        return replace(turned, misses=0, silent_since=None, cell=seen.cell or before.cell)
    misses = before.misses + 1
    silent_since = before.silent_since or now
    if misses >= MISSES_TO_LOSE:
        return Health(State.DOWN, silent_since, None, misses, before.cell, silent_since)
    if before.state is State.MAINTENANCE:
        before = Health(State.UNKNOWN, now, cell=before.cell)
    return replace(before, misses=misses, silent_since=silent_since)


def _turn(before: Health, state: State, cause: str | None, now: datetime) -> Health:
    """Into a state that needs no memory of misses; ``since`` stays while the state does."""
    since = before.since if before.state is state else now
    return Health(state, since, cause, 0, before.cell, None)


def _as_before(health: Health, before: Health | None) -> Health:
    if before is None:
        return replace(health, state=State.UNKNOWN)
    return replace(before, misses=health.misses, silent_since=health.silent_since)


def _undecided(fleet: Mapping[DeviceId, Member], own: Healths, device: DeviceId) -> bool:
    """A device newly lost behind a modem that has just fallen silent waits until the modem is lost or back."""
    uplink = fleet[device].uplink
    above = own.get(uplink) if uplink is not None else None
    return above is not None and 0 < above.misses < MISSES_TO_LOSE


def _root(
    fleet: Mapping[DeviceId, Member], lost: set[DeviceId], shared: Mapping[DeviceId, str], device: DeviceId
) -> str | None:
    """The topmost lost modem above the device, or what took that one; None if it is the device itself."""
    top, passed = device, {device}
    while (uplink := fleet[top].uplink) is not None and uplink in lost and uplink not in passed:
        top = uplink
        passed.add(top)
    return shared.get(top) or (top if top != device else None)


# --- cells and power areas --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Suspect:
    key: str
    share: float
    devices: tuple[DeviceId, ...]


def _shared_causes(fleet: Mapping[DeviceId, Member], own: Healths, lost: set[DeviceId]) -> Mapping[DeviceId, str]:
    """The cell or power area that took a device, the one with the larger share lost where both are suspect.

    Devices behind a lost modem are not counted: the modem explains them.
    """
    cells: dict[str, list[DeviceId]] = {}
    areas: dict[str, list[DeviceId]] = {}
    for device, member in fleet.items():
        health = own[device]
        if health.state in (State.MAINTENANCE, State.UNKNOWN) or member.uplink in lost:
            continue
        if member.power_area is not None:
            areas.setdefault(f"power:{member.power_area}", []).append(device)
        if health.cell is not None and (member.uplink is None or member.uplink not in fleet):
            cells.setdefault(f"cell:{health.cell}", []).append(device)
    suspects = [s for key, known in (cells | areas).items() if (s := _suspect(key, known, own, lost)) is not None]
    # The least convincing first, so that the most convincing has the last word on a device.
    suspects.sort(key=lambda s: (s.share, len(s.devices), s.key))
    return {device: suspect.key for suspect in suspects for device in suspect.devices}


def _suspect(key: str, known: Sequence[DeviceId], own: Healths, lost: set[DeviceId]) -> _Suspect | None:
    """The devices lost together with ``key`` and since, if they were enough and nearly all of its devices are lost."""
    gone = sorted((own[d].silent_since or own[d].since, d) for d in known if d in lost)
    share = len(gone) / len(known)
    if share < NEARLY_ALL:
        return None
    start = _together([at for at, _ in gone])
    if start is None:
        return None
    return _Suspect(key, share, tuple(device for at, device in gone if at >= start))


def _together(times: Sequence[datetime]) -> datetime | None:
    """The start of the fullest span of ``TOGETHER`` (of equals the latest) in sorted times; None if none is enough."""
    best: tuple[int, datetime] | None = None
    first = 0
    for last, at in enumerate(times):
        while at - times[first] > TOGETHER:
            first += 1
        count = last - first + 1
        if count >= ENOUGH_DEVICES and (best is None or count >= best[0]):
            best = (count, times[first])
    return best[1] if best is not None else None


# --- what to alarm about ----------------------------------------------------------------------------------------------


def causes(healths: Healths) -> tuple[Cause, ...]:
    """The causes of all losses, the widest first. A lost modem that nothing is lost behind counts as a device."""
    affected: dict[str, list[DeviceId]] = {}
    for device, health in healths.items():
        if health.state is State.DOWN:
            affected.setdefault(device, []).append(device)
        elif health.state is State.UNREACHABLE and health.cause is not None:
            affected.setdefault(health.cause, []).append(device)
    found = [Cause(key, _kind(key, devices), tuple(sorted(devices))) for key, devices in affected.items()]
    return tuple(sorted(found, key=lambda cause: (-len(cause.affected), cause.key)))


def _kind(key: str, devices: Iterable[DeviceId]) -> CauseKind:
    prefix, separator, _ = key.partition(":")
    if separator:
        return CauseKind(prefix)
    return CauseKind.MODEM if any(device != key for device in devices) else CauseKind.DEVICE
