"""From observations to health: who is lost, since when, and because of what. Pure; ``now`` is an argument.

A device is lost after two silent sweeps in a row and back after one answer. What is lost has a root cause where one
can be told: the modem it hangs behind, else a serving cell or a power area that many devices left together. What comes
and goes by itself is flapping: it stays in one state until it has been steady. Only causes alarm. Times that lie ahead
are from before the clock was set back: they count as long ago.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from inventory.model import DeviceId
from nms.monitor.suspects import CELL, POWER, SETTLED, lost_to, most_back_since, shaken_by
from nms.monitor.vitals import (
    FLAPPING,
    LOST,
    TIMER,
    Cause,
    CauseKind,
    Fleet,
    Health,
    Healths,
    Member,
    Observation,
    State,
    Window,
)
from nms.monitor.windows import timer_end

__all__ = [
    "FLAPPING",
    "FLAP_TURNS",
    "GRACE",
    "LOST",
    "ON_BATTERY",
    "TIMER",
    "Cause",
    "CauseKind",
    "Health",
    "Healths",
    "Member",
    "Observation",
    "State",
    "Window",
    "assess",
    "causes",
]

MISSES_TO_LOSE: Final = 2
"""Silent sweeps in a row after which a device is lost."""

FLAP_TURNS: Final = 5
FLAP_WITHIN: Final = timedelta(minutes=10)
"""A device that turns more than ``FLAP_TURNS`` times within this time is flapping."""

STEADY_TURNS: Final = 1
"""A flapping device is steady again when it turned at most this often within ``FLAP_WITHIN``."""

GRACE: Final = timedelta(minutes=3)
"""After a modem, or most of a cell or an area, is back, what it took stays its for this time: devices need to start."""

ON_BATTERY: Final = "on_battery"
"""The metric by which a device tells that it has lost mains."""

Observations = Mapping[DeviceId, Observation]


def assess(fleet: Fleet, observations: Observations, previous: Healths, now: datetime) -> Healths:
    """The health of every member of the fleet after one sweep; the order of devices does not matter.

    A device without an observation was not asked: it keeps its state and its cause.
    """
    own = {d: _own(member, observations.get(d), previous.get(d), now) for d, member in fleet.items()}
    lost = {d for d, health in own.items() if health.state is State.DOWN}
    held = {d for d in lost if _undecided(fleet, own, previous, d)}
    for device in held:
        own[device] = _as_before(own[device], previous.get(device))
    scene = _Scene(fleet, own, lost - held, {d for d, h in own.items() if h.flapping}, now)
    taken = lost_to(fleet, own, scene.lost)
    shaken = shaken_by(fleet, own, scene.flapping)
    kept = _kept(scene, observations, previous)
    after = {
        device: _lost(scene, device, taken, kept)
        if device in scene.lost
        else _shaken(scene, device, shaken, previous.get(device))
        if health.flapping
        else health
        for device, health in own.items()
    }
    return after | _dark(scene, after, previous)


# --- a device by itself -----------------------------------------------------------------------------------------------


def _own(member: Member, seen: Observation | None, before: Health | None, now: datetime) -> Health:
    """A device without regard to what it depends on: lost is ``DOWN``, flapping ``DEGRADED`` because of itself."""
    if before is None:
        before = Health(State.UNKNOWN, now)
    work = next((window for window in member.maintenance if window.covers(now)), None)
    if work is not None:
        since = before.since if before.state is State.MAINTENANCE else now
        return Health(State.MAINTENANCE, since, work.reason or None, cell=before.cell)
    if seen is None:
        return _unasked(before, now)
    return _answered(seen, before, now) if seen.answered else _silent(member, before, now)


def _unasked(before: Health, now: datetime) -> Health:
    """Nothing new is known: a device not asked keeps its state, one back from planned work has none."""
    if before.state in LOST or (before.state is State.MAINTENANCE and before.misses and before.cause != TIMER):
        return replace(before, state=State.DOWN, since=before.silent_since or before.since, cause=None)
    if before.state is State.MAINTENANCE and before.cause != TIMER:
        return Health(State.UNKNOWN, now, cell=before.cell)
    return before


def _answered(seen: Observation, before: Health, now: datetime) -> Health:
    turns = _turns(before, "faulty" if seen.faults else "fine", now)
    flapping = _flaps(before, turns)
    state = State.DEGRADED if seen.faults or flapping else State.UP
    kept = before.state is state and before.flapping is flapping
    heard = before.heard_since if before.misses < MISSES_TO_LOSE else None
    return Health(
        state=state,
        since=before.since if kept else now,
        cause=FLAPPING if flapping else ", ".join(seen.faults) or None,
        cell=seen.cell or before.cell,
        faults=seen.faults,
        turns=turns,
        flapping=flapping,
        heard_since=heard or now,
        mains_lost=before.mains_lost if seen.mains is None else None if seen.mains else before.mains_lost or now,
    )


def _silent(member: Member, before: Health, now: datetime) -> Health:
    if before.state is State.MAINTENANCE and not before.misses:
        before = Health(State.UNKNOWN, now, cell=before.cell)
    turns = _turns(before, "silent", now)
    since = before.silent_since or now
    excused = timer_end(member.off, since) if member.off is not None else None
    if excused is not None and excused <= now:
        since, excused = excused, None
    flapping = _flaps(before, turns)
    after = replace(before, misses=before.misses + 1, silent_since=since, turns=turns, flapping=flapping)
    if after.misses >= MISSES_TO_LOSE and excused is not None:
        return replace(after, state=State.MAINTENANCE, since=since, cause=TIMER, flapping=False)
    if flapping:
        begun = before.since if before.flapping else now
        return replace(after, state=State.DEGRADED, since=begun, cause=FLAPPING)
    return replace(after, state=State.DOWN, since=since, cause=None) if after.misses >= MISSES_TO_LOSE else after


def _turns(before: Health, now_is: str, now: datetime) -> tuple[datetime, ...]:
    """When the device lately changed between fine, faulty and silent, this sweep included."""
    lately = tuple(at for at in before.turns if abs(now - at) <= FLAP_WITHIN)[-FLAP_TURNS:]
    was = "silent" if before.misses else "faulty" if before.faults else "fine"
    never_heard = before.heard_since is None and not before.misses
    return lately if never_heard or was == now_is else (*lately, now)


def _flaps(before: Health, turns: tuple[datetime, ...]) -> bool:
    return len(turns) > (STEADY_TURNS if before.flapping else FLAP_TURNS)


def _unsteady(health: Health) -> bool:
    """A modem is unsteady before it is flapping, and what hangs behind it may reach the limit first."""
    return len(health.turns) * 2 > FLAP_TURNS


# --- what it depends on -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scene:
    """Every device by itself, and which of them are lost or flapping."""

    fleet: Fleet
    own: Healths
    lost: set[DeviceId]
    flapping: set[DeviceId]
    now: datetime

    def settled(self, device: DeviceId) -> bool:
        """It is lost for so long that its cause is known: while others come back, what is left must not look new."""
        return abs(self.now - (self.own[device].silent_since or self.own[device].since)) >= SETTLED

    def above(self, device: DeviceId) -> DeviceId | None:
        """The topmost modem above the device that explains what it does, without one between that does not."""
        top, passed = device, {device}
        while (uplink := self.fleet[top].uplink) is not None and uplink not in passed:
            if not self._explains(uplink, device):
                break
            top = uplink
            passed.add(top)
        return top if top != device else None

    def _explains(self, modem: DeviceId, device: DeviceId) -> bool:
        above, health = self.own.get(modem), self.own[device]
        if above is None:
            return False
        if modem in self.lost or above.state is State.MAINTENANCE:
            return True
        if health.flapping:
            return _unsteady(above)
        return above.flapping and (health.silent_since or health.since) >= above.since - FLAP_WITHIN


def _as_before(health: Health, before: Health | None) -> Health:
    if before is None:
        return replace(health, state=State.UNKNOWN)
    return replace(before, misses=health.misses, silent_since=health.silent_since, turns=health.turns)


def _undecided(fleet: Fleet, own: Healths, previous: Healths, device: DeviceId) -> bool:
    """A device newly lost behind a modem that has just fallen silent waits until the modem is lost or back."""
    before = previous.get(device)
    if before is not None and before.state in LOST:
        return False
    uplink = fleet[device].uplink
    above = own.get(uplink) if uplink is not None else None
    return above is not None and 0 < above.misses < MISSES_TO_LOSE and not above.flapping


def _lost(scene: _Scene, device: DeviceId, taken: Mapping[DeviceId, str], kept: Mapping[DeviceId, str]) -> Health:
    health = scene.own[device]
    top = scene.above(device)
    if top is not None and scene.own[top].state is State.MAINTENANCE:
        return replace(health, state=State.MAINTENANCE, cause=scene.own[top].cause)
    first, second = (kept, taken) if scene.settled(top or device) else (taken, kept)
    cause = first.get(top or device) or second.get(top or device) or top or kept.get(device)
    return replace(health, state=State.UNREACHABLE, cause=cause) if cause else health


def _shaken(scene: _Scene, device: DeviceId, shaken: Mapping[DeviceId, str], before: Health | None) -> Health:
    """A flapping device names what shakes it, if that is not itself.

    What shook it may be steady a little sooner than it is: its own it is once it turns again without that.
    """
    health, top = scene.own[device], scene.above(device)
    cause = shaken.get(top or device) or top
    if cause is None and before is not None and before.flapping and health.turns[-1:] != (scene.now,):
        cause = before.cause
    return replace(health, cause=cause or FLAPPING)


def _kept(scene: _Scene, observations: Observations, previous: Healths) -> Mapping[DeviceId, str]:
    """The cause of an earlier sweep for devices that are still lost: until they are asked, and for the grace."""
    earlier = {
        d: cause
        for d in scene.lost
        if (before := previous.get(d)) and before.state is State.UNREACHABLE and (cause := before.cause)
    }
    shared = {cause for cause in earlier.values() if cause.startswith((CELL, POWER))}
    back = most_back_since(shared, scene.fleet, scene.own, scene.lost)
    kept: dict[DeviceId, str] = {}
    for device, cause in earlier.items():
        known = cause in shared or cause in scene.fleet
        since = back.get(cause) if cause in shared else _heard(scene.own.get(DeviceId(cause)))
        if device not in observations or (known and (since is None or abs(scene.now - since) < GRACE)):
            kept[device] = cause
    return kept


def _dark(scene: _Scene, after: Healths, previous: Healths) -> dict[DeviceId, Health]:
    """What runs on its battery in an area that has lost mains names the area: it is no cause of its own.

    If it still does once the area is back, that begins then.
    """
    areas = {after[d].cause for d in scene.lost if (after[d].cause or "").startswith(POWER)}
    found: dict[DeviceId, Health] = {}
    for device, health in after.items():
        if health.state is State.DEGRADED and health.cause == ON_BATTERY:
            area, before = f"{POWER}{scene.fleet[device].power_area}", previous.get(device)
            if area in areas:
                found[device] = replace(health, cause=area)
            elif before is not None and before.cause == area:
                found[device] = replace(health, since=scene.now)
    return found


def _heard(modem: Health | None) -> datetime | None:
    """Since when the modem answers, if it does."""
    return (modem.heard_since or modem.since) if modem is not None and modem.answering else None


# --- what to alarm about ----------------------------------------------------------------------------------------------


def causes(healths: Healths) -> tuple[Cause, ...]:
    """The causes of all losses and of all flapping, the widest first.

    A lost modem that nothing is lost behind counts as a device.
    """
    affected: dict[str, list[DeviceId]] = {}
    for device, health in healths.items():
        if health.state is State.DOWN or (health.flapping and health.cause == FLAPPING):
            affected.setdefault(device, []).append(device)
        elif health.cause is not None and (health.state is State.UNREACHABLE or health.flapping):
            affected.setdefault(health.cause, []).append(device)
    found = [Cause(key, _kind(key, devices, healths), tuple(sorted(devices))) for key, devices in affected.items()]
    return tuple(sorted(found, key=lambda cause: (-len(cause.affected), cause.key)))


def _kind(key: str, devices: Iterable[DeviceId], healths: Healths) -> CauseKind:
    itself = healths.get(DeviceId(key))
    if itself is not None and (itself.flapping or (_unsteady(itself) and any(healths[d].flapping for d in devices))):
        return CauseKind.FLAPPING
    if not any(healths[d].state in LOST for d in devices):
        return CauseKind.FLAPPING
    prefix, separator, _ = key.partition(":")
    if separator:
        return CauseKind(prefix)
    return CauseKind.MODEM if any(device != key for device in devices) else CauseKind.DEVICE
