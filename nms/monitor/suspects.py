"""Cells and power areas that took many devices at once, and how long what they took stays theirs. Pure.

A power area is believed before a cell where a device with a battery reported mains lost as the others went.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from inventory.model import DeviceId
from nms.monitor.vitals import Fleet, Health, Healths, Member, State

TOGETHER: Final = timedelta(seconds=150)
"""Devices first silent within this time of each other were lost together: a cell dies within 90 s, and a device may be
asked up to a minute later."""

ENOUGH_DEVICES: Final = 5
"""Fewer devices lost together are a coincidence, not a cell or a power area."""

NEARLY_ALL: Final = 0.8
"""Share of a cell's or an area's known devices that must be lost for it to be the suspect."""

SETTLED: Final = timedelta(minutes=3)
"""How long after its first loss a cell or an area is known for sure: its devices vanish within 90 s, and each is lost
only after its second silence, a minute or two later. Until then a part may look like the whole."""

WITNESS: Final = timedelta(minutes=10)
"""A report of lost mains within this time of a loss speaks of the same event."""

CELL: Final = "cell:"
POWER: Final = "power:"


@dataclass(frozen=True, slots=True)
class _Suspect:
    """``witnessed``: a report of lost mains speaks for it."""

    key: str
    share: float
    devices: tuple[DeviceId, ...]
    witnessed: bool = False

    def weight(self) -> tuple[bool, int, float, bool, str]:
        """Few causes that explain much are more likely than many: a cell takes parts of several areas."""
        return self.witnessed, len(self.devices), self.share, self.key.startswith(CELL), self.key


def lost_to(fleet: Fleet, own: Healths, lost: set[DeviceId]) -> Mapping[DeviceId, str]:
    """The cell or power area that took a device, the more convincing one where both are suspect.

    Devices behind a lost modem are not counted: the modem explains them.
    """
    if not lost:
        return {}
    counted = _groups(fleet, own, lambda d, member: not own[d].flapping and member.uplink not in lost)
    return _verdicts(_took(key, known, own, lost) for key, known in counted.items())


def shaken_by(fleet: Fleet, own: Healths, flapping: set[DeviceId]) -> Mapping[DeviceId, str]:
    """The cell or power area nearly all of whose devices come and go."""
    if len(flapping) < ENOUGH_DEVICES:
        return {}
    counted = _groups(fleet, own, lambda d, member: member.uplink not in flapping)
    return _verdicts(_shakes(key, known, flapping) for key, known in counted.items())


def most_back_since(keys: set[str], fleet: Fleet, own: Healths, lost: set[DeviceId]) -> Mapping[str, datetime]:
    """Since when more than half of the devices of a cell or an area answer; those where they do not are left out."""
    found: dict[str, datetime] = {}
    for key, known in (_groups(fleet, own, lambda _d, _member: True) if keys else {}).items():
        if key in keys:
            heard = sorted(own[d].heard_since or own[d].since for d in known if d not in lost and own[d].answering)
            half = len(known) // 2
            if len(heard) > half:
                found[key] = heard[half]
    return found


def _groups(fleet: Fleet, own: Healths, counts: Callable[[DeviceId, Member], bool]) -> dict[str, list[DeviceId]]:
    """The devices of every power area, and of every cell those with a connection of their own."""
    cells: dict[str, list[DeviceId]] = {}
    areas: dict[str, list[DeviceId]] = {}
    for device, member in fleet.items():
        health = own[device]
        if health.state in (State.MAINTENANCE, State.UNKNOWN) or not counts(device, member):
            continue
        if member.power_area is not None:
            areas.setdefault(POWER + member.power_area, []).append(device)
        if health.cell is not None and (member.uplink is None or member.uplink not in fleet):
            cells.setdefault(CELL + health.cell, []).append(device)
    return cells | areas


def _verdicts(suspects: Iterable[_Suspect | None]) -> Mapping[DeviceId, str]:
    # The least convincing first, so that the most convincing has the last word on a device.
    ordered = sorted((s for s in suspects if s is not None), key=_Suspect.weight)
    return {device: suspect.key for suspect in ordered for device in suspect.devices}


def _took(key: str, known: Sequence[DeviceId], own: Healths, lost: set[DeviceId]) -> _Suspect | None:
    """The devices lost together with ``key`` and since, if they were enough and nearly all of its devices are lost.

    A device that runs on its battery in a dark area is not lost, but it speaks for the area.
    """
    dark = [d for d in known if d not in lost and own[d].mains_lost] if key.startswith(POWER) else []
    times = sorted(
        [(_gone(own[d]), d) for d in known if d in lost] + [(own[d].mains_lost or own[d].since, d) for d in dark]
    )
    share = len(times) / len(known)
    start = _together([at for at, _ in times]) if share >= NEARLY_ALL else None
    if start is None:
        return None
    reports = (own[d].mains_lost for d in known) if key.startswith(POWER) else ()
    witnessed = any(at is not None and abs(at - start) <= WITNESS for at in reports)
    return _Suspect(key, share, tuple(d for at, d in times if at >= start and d in lost), witnessed)


def _gone(health: Health) -> datetime:
    return health.silent_since or health.since


def _shakes(key: str, known: Sequence[DeviceId], flapping: set[DeviceId]) -> _Suspect | None:
    shaken = tuple(d for d in known if d in flapping)
    share = len(shaken) / len(known)
    return _Suspect(key, share, shaken) if len(shaken) >= ENOUGH_DEVICES and share >= NEARLY_ALL else None


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
