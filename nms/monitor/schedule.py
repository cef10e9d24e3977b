"""Who is asked when. Pure: the time is an argument, the memory of a device is a ``Slot``.

Everybody has a place of their own in the interval, so that a fleet is asked evenly. The lost are asked ever more
rarely. A budget of bytes per month stretches the interval; what pacing saves may be spent on asking early.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from inventory.model import DeviceId
from nms.monitor.cellular import month_bounds, month_of, quota
from nms.monitor.health import LOST, MISSES_TO_LOSE, Health, Healths, Member, State

RAREST: Final = 8
"""A lost device is asked at least once in so many intervals."""

SAVED: Final = 0.05
"""Share of the budget that pacing leaves for questions asked early."""

SOONEST: Final = 10.0
"""Seconds that must have passed since the last question before a device is asked early; half its interval if less."""

OFTEN: Final = 20.0
"""Seconds from question to question of a device that comes and goes: fewer could all meet the same half of it."""

UNSTEADY: Final = 3
"""Turns within ``FLAP_WITHIN`` after which a device comes and goes: one that was lost and is back has two."""

POLLING_SHARE: Final = 0.1
"""Share of a SIM's monthly quota that asking its devices may cost."""

UNKNOWN_QUOTA: Final = 10**9
"""Bytes a month assumed for a SIM whose plan does not tell: half of the smallest plans in use."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How often a device may be asked: seconds from question to question, bytes per month (None: they cost nothing)."""

    interval: float
    budget: int | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant: seconds of a clock that never jumps, the calendar month and its seconds gone and left."""

    seconds: float
    month: str
    gone: float
    left: float


@dataclass(frozen=True, slots=True)
class Slot:
    """What is remembered of a device: when it is due and was last asked, silent answers in a row, bytes of the month.

    ``cost``: bytes of the last question with its answer.
    """

    due: float
    month: str
    asked: float | None = None
    misses: int = 0
    spent: int = 0
    cost: int = 0


Slots = Mapping[DeviceId, Slot]


def moment(seconds: float, now: datetime) -> Moment:
    month = month_of(now)
    begin, end = month_bounds(month)
    return Moment(seconds, month, (now - begin).total_seconds(), (end - now).total_seconds())


def reconcile(slots: Slots, rules: Mapping[DeviceId, Rule], now: Moment) -> dict[DeviceId, Slot]:
    """A slot for every device of the fleet; a new one is due at once.

    What a device cost before the hub started is not known: its budget counts as spent evenly until now.
    """
    return {device: slots.get(device) or _new(rule, now) for device, rule in rules.items()}


def _new(rule: Rule, now: Moment) -> Slot:
    return Slot(now.seconds, now.month, spent=round(_earned(rule.budget or 0, now)))


def _earned(budget: int, now: Moment) -> float:
    """The part of the month's budget that even spending would have used by now."""
    return budget * now.gone / (now.gone + now.left)


def due(slots: Slots, seconds: float) -> list[DeviceId]:
    return [device for device, slot in slots.items() if slot.due <= seconds]


def next_due(slots: Slots) -> float | None:
    """When somebody is due next; None without devices."""
    return min((slot.due for slot in slots.values()), default=None)


def behind(slots: Slots, seconds: float) -> float:
    """Seconds the most overdue device waits."""
    first = next_due(slots)
    return 0.0 if first is None else max(0.0, seconds - first)


def asked(
    slot: Slot, device: DeviceId, rule: Rule, now: Moment, answered: bool, octets: int, unsteady: bool = False
) -> Slot:
    """The slot after a question sent at ``now`` that cost ``octets`` on the wire; ``unsteady``: it comes and goes."""
    misses = 0 if answered else slot.misses + 1
    spent = _spent(slot, now) + octets
    due_at = _next(Slot(now.seconds, now.month, now.seconds, misses, spent, octets), device, rule, now, unsteady)
    return Slot(due_at, now.month, now.seconds, misses, spent, octets)


def _next(slot: Slot, device: DeviceId, rule: Rule, now: Moment, unsteady: bool) -> float:
    rarer = max(0, slot.misses - MISSES_TO_LOSE + 1)
    period = min(rule.interval, OFTEN) if unsteady else rule.interval * min(1 << min(rarer, RAREST), RAREST)
    paced = _paced(slot, device, rule, now)
    if paced > period:
        return now.seconds + paced
    # The device's own place in the period; one that was just asked out of turn waits for the place after.
    earliest = now.seconds + period / 2
    return earliest + (phase(device) * period - earliest) % period


def _paced(slot: Slot, device: DeviceId, rule: Rule, now: Moment) -> float:
    """Seconds to the next question that what is left of the budget allows; the month's rest and more if nothing is."""
    if rule.budget is None:
        return 0.0
    left = (rule.budget - slot.spent) * (1 - SAVED)
    if left < slot.cost:
        return now.left + phase(device) * rule.interval
    return slot.cost * now.left / left if left > 0 else 0.0


def phase(device: DeviceId) -> float:
    """0 .. 1: the device's place in every period, the same in every process."""
    return zlib.crc32(device.encode()) / (1 << 32)


def soon(slot: Slot, rule: Rule, now: Moment) -> Slot:
    """Due now, or as early as is allowed; unchanged if the budget has nothing saved for it."""
    if rule.budget is not None and _spent(slot, now) + slot.cost > _earned(rule.budget, now):
        return slot
    allowed = now.seconds if slot.asked is None else slot.asked + min(SOONEST, rule.interval / 2)
    return replace(slot, due=min(slot.due, max(now.seconds, allowed)))


def affordable(slot: Slot, rule: Rule, now: Moment) -> bool:
    """Whether the month's budget has room for one more question, whatever was planned for it."""
    return rule.budget is None or _spent(slot, now) + slot.cost <= rule.budget


def unconfirmed(slot: Slot, rule: Rule, now: Moment) -> bool:
    """Whether the device's last silence is too fresh for another to confirm it."""
    return slot.misses > 0 and slot.asked is not None and now.seconds - slot.asked < rule.interval / 2


def _spent(slot: Slot, now: Moment) -> int:
    return slot.spent if slot.month == now.month else 0


def budget(plan: str, month: str, sharers: int) -> int:
    """Bytes a month that asking one of ``sharers`` devices behind a SIM of this plan may cost."""
    known = quota(plan)
    given = known.in_month(month) if known else UNKNOWN_QUOTA
    return round(given * POLLING_SHARE / sharers)


# --- whom one answer or silence makes worth asking --------------------------------------------------------------------


def turned(silent: Mapping[DeviceId, bool], healths: Healths) -> tuple[set[DeviceId], set[DeviceId]]:
    """Of the devices just asked those whose word is news: silent and not lost before, lost before and answering."""
    fell = {d for d, nothing in silent.items() if nothing and _may_fall(healths.get(d))}
    return fell, {d for d, nothing in silent.items() if not nothing and lost(healths.get(d))}


def _may_fall(before: Health | None) -> bool:
    return before is None or (before.misses < MISSES_TO_LOSE and before.state is not State.MAINTENANCE)


def unsteady(health: Health | None) -> bool:
    return health is not None and (health.flapping or len(health.turns) >= UNSTEADY)


def lost(health: Health | None) -> bool:
    return health is not None and health.state in LOST


def companions(members: Mapping[DeviceId, Member], healths: Healths, seeds: Collection[DeviceId]) -> set[DeviceId]:
    """Who shares a modem, a serving cell, a power area or a cause of loss with one of the seeds, them included."""
    if not seeds:
        return set()
    modems: set[DeviceId] = set(seeds)
    shared: set[tuple[str, str]] = set()
    for seed in seeds:
        member = members[seed]
        if member.uplink is not None:
            modems.add(member.uplink)
        shared.update(_ties(member, healths.get(seed)))
    return {
        device
        for device, member in members.items()
        if device in modems or member.uplink in modems or not shared.isdisjoint(_ties(member, healths.get(device)))
    }


def _ties(member: Member, health: Health | None) -> Iterable[tuple[str, str]]:
    if member.power_area is not None:
        yield "power", member.power_area
    if health is not None and health.cell is not None:
        yield "cell", health.cell
    if health is not None and health.state is State.UNREACHABLE and health.cause is not None:
        yield "cause", health.cause
