"""Who is asked when: nobody forgotten, nobody too often, the dead rarely, the budget kept over a month."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory.model import DeviceId
from nms.monitor.health import Health, Member, State
from nms.monitor.schedule import (
    OFTEN,
    RAREST,
    Moment,
    Rule,
    Slot,
    affordable,
    asked,
    behind,
    budget,
    companions,
    due,
    moment,
    next_due,
    phase,
    reconcile,
    soon,
    turned,
    unsteady,
)

BEGIN = datetime(2024, 9, 30, 17, tzinfo=UTC)
"""The first moment of October 2024 in Vietnam."""
OCTOBER = 31 * 86400.0
FLEET = [DeviceId(f"23557-L{n:02d}") for n in range(1, 100)]
LOUD, OTHER, MODEM = FLEET[0], FLEET[1], DeviceId("23557-M01")


def at(seconds: float) -> Moment:
    return moment(1000.0 + seconds, BEGIN + timedelta(seconds=seconds))


def run(
    rules: dict[DeviceId, Rule],
    dead: set[DeviceId],
    seconds: float,
    turn: float = 1.0,
    octets: int = 700,
    early: dict[int, DeviceId] | None = None,
) -> tuple[dict[DeviceId, list[float]], dict[DeviceId, Slot]]:
    """When each device was asked by turns every ``turn`` seconds, and the slots at the end."""
    slots = reconcile({}, rules, at(0))
    asks: dict[DeviceId, list[float]] = {d: [] for d in rules}
    for n in range(int(seconds / turn)):
        now = at(n * turn)
        device = (early or {}).get(n)
        if device is not None:
            slots[device] = soon(slots[device], rules[device], now)
        for device in due(slots, now.seconds):
            asks[device].append(n * turn)
            slots[device] = asked(slots[device], device, rules[device], now, device not in dead, octets)
    return asks, slots


def test_a_new_fleet_is_asked_at_once_and_then_evenly() -> None:
    asks, _ = run(dict.fromkeys(FLEET, Rule(60.0)), set(), 600)
    assert {times[0] for times in asks.values()} == {0.0}
    second_minute = Counter(int(t) for times in asks.values() for t in times if 120 <= t < 180)
    assert sum(second_minute.values()) == len(FLEET)
    assert max(second_minute.values()) <= 8, "asked in bursts"


@given(interval=st.sampled_from([3.0, 30.0, 60.0, 300.0]), turn=st.sampled_from([1.0, 0.5, 4.3]))
@settings(max_examples=12, deadline=None)
def test_nobody_is_forgotten_nor_asked_more_often_than_allowed(interval: float, turn: float) -> None:
    asks, _ = run(dict.fromkeys(FLEET[:20], Rule(interval)), set(), 10 * interval, turn)
    for times in asks.values():
        gaps = [b - a for a, b in pairwise(times)]
        assert all(gap >= interval / 2 - 1e-6 for gap in gaps)
        assert all(gap <= 1.5 * interval + turn for gap in gaps[:1]), "the second question"
        assert all(gap <= interval + turn + 1e-6 for gap in gaps[1:] if turn < interval / 2)
        assert len(times) <= 12


def test_the_dead_cost_little_and_are_not_forgotten() -> None:
    asks, slots = run(dict.fromkeys(FLEET, Rule(60.0)), set(FLEET[:50]), 7200)
    dead, alive = (sum(len(asks[d]) for d in part) / len(part) for part in (FLEET[:50], FLEET[50:]))
    assert dead < alive / 4
    for device in FLEET[:50]:
        assert all(b - a <= 1.5 * RAREST * 60 + 1 for a, b in pairwise(asks[device]))
    back = asked(slots[LOUD], LOUD, Rule(60.0), at(7200), True, 700)
    assert back.due - at(7200).seconds <= 90


def test_a_first_silence_is_confirmed_as_soon_as_any_question_comes() -> None:
    slot = asked(Slot(0, "2024-10"), LOUD, Rule(60.0), at(0), False, 700)
    assert 30 <= slot.due - at(0).seconds <= 90


@given(
    budget_=st.integers(20_000, 60_000_000),
    octets=st.integers(200, 2_000),
    early=st.dictionaries(st.integers(0, 2600), st.just(LOUD), max_size=200),
)
@settings(max_examples=20, deadline=None)
def test_the_budget_holds_over_a_month_whatever_is_asked_early(
    budget_: int, octets: int, early: dict[int, DeviceId]
) -> None:
    asks, slots = run({LOUD: Rule(60.0, budget_)}, set(), OCTOBER, 1029.0, octets, early)
    assert slots[LOUD].spent <= budget_ or len(asks[LOUD]) == 1
    affordable_asks = min(budget_ / octets, OCTOBER / 1029.0)
    assert len(asks[LOUD]) >= 0.6 * affordable_asks - 2, "the budget was not used"


def test_a_tight_budget_stretches_the_interval_evenly() -> None:
    cost = 700
    asks, _ = run({LOUD: Rule(60.0, 744 * cost)}, set(), OCTOBER, 60.0, cost)
    gaps = [b - a for a, b in pairwise(asks[LOUD])]
    assert len(gaps) >= 680
    assert min(gaps[:600]) >= 3400
    assert max(gaps[:600]) <= 4000


def test_a_used_budget_begins_anew_with_the_month() -> None:
    rule = Rule(60.0, 10_000)
    slot = asked(Slot(0, "2024-10", spent=9_990), LOUD, rule, at(OCTOBER - 3600), True, 700)
    assert 3600 <= slot.due - at(OCTOBER - 3600).seconds <= 3660
    november = asked(slot, LOUD, rule, at(OCTOBER + 10), True, 700)
    assert (november.month, november.spent) == ("2024-11", 700)
    assert affordable(slot, rule, at(OCTOBER + 10))
    assert not affordable(slot, rule, at(OCTOBER - 10))


def test_a_hub_that_starts_counts_what_the_month_should_have_cost() -> None:
    slots = reconcile({}, {LOUD: Rule(60.0, 31_000), OTHER: Rule(60.0)}, at(86400.0 * 10))
    assert slots[LOUD].spent == 10_000
    assert slots[OTHER].spent == 0


def test_asked_early_at_once_but_not_again_and_again() -> None:
    rule = Rule(60.0)
    slot = asked(Slot(0, "2024-10"), LOUD, rule, at(0), True, 700)
    assert soon(slot, rule, at(20)).due == at(20).seconds
    assert soon(slot, rule, at(3)).due == at(10).seconds
    asks, _ = run({LOUD: rule}, set(), 600, early=dict.fromkeys(range(600), LOUD))
    assert len(asks[LOUD]) <= 61
    broke = Slot(5_000.0, "2024-10", asked=0.0, spent=999, cost=700)
    assert soon(broke, Rule(60.0, 1_000), at(100)) == broke


def test_who_stays_keeps_their_slot_and_who_is_new_is_due() -> None:
    rules = {LOUD: Rule(60.0), OTHER: Rule(60.0)}
    slots = reconcile({}, {LOUD: Rule(60.0)}, at(0))
    slots[LOUD] = asked(slots[LOUD], LOUD, rules[LOUD], at(0), True, 1)
    grown = reconcile(slots, rules, at(5))
    assert grown[LOUD] is slots[LOUD]
    assert due(grown, at(5).seconds) == [OTHER]
    assert next_due(grown) == at(5).seconds
    assert behind(grown, at(7).seconds) == pytest.approx(2)
    assert reconcile(grown, {}, at(9)) == {}
    assert next_due({}) is None


def test_every_process_gives_a_device_the_same_place() -> None:
    assert phase(LOUD) == pytest.approx(0.95754847)
    assert len({round(phase(d), 1) for d in FLEET}) >= 9


@pytest.mark.parametrize(
    ("plan", "sharers", "expected"),
    [("M2M-2GB", 1, 200_000_000), ("2GB", 8, 25_000_000), ("unlimited", 1, 100_000_000), ("1GB/31d", 1, 100_000_000)],
)
def test_asking_costs_a_tenth_of_the_plan(plan: str, sharers: int, expected: int) -> None:
    assert budget(plan, "2024-10", sharers) == expected


# --- groups


NOW = BEGIN
MEMBERS = {
    MODEM: Member(None, None),
    LOUD: Member(MODEM, None),
    OTHER: Member(MODEM, None),
    FLEET[2]: Member(None, "north"),
    FLEET[3]: Member(None, "north"),
    FLEET[4]: Member(None, None),
    FLEET[5]: Member(None, None),
}


def health(state: State, cell: str | None = None, cause: str | None = None, misses: int = 0) -> Health:
    return Health(state, NOW, cause, misses, cell)


def test_companions_share_modem_area_cell_or_cause() -> None:
    healths = {
        MODEM: health(State.UP, "c1"),
        FLEET[4]: health(State.UP, "c1"),
        FLEET[2]: health(State.UNREACHABLE, cause="cell:9"),
        FLEET[5]: health(State.UNREACHABLE, cause="cell:9"),
    }
    assert companions(MEMBERS, healths, {LOUD}) == {MODEM, LOUD, OTHER}
    assert companions(MEMBERS, healths, {MODEM}) == {MODEM, LOUD, OTHER, FLEET[4]}
    assert companions(MEMBERS, healths, {FLEET[2]}) == {FLEET[2], FLEET[3], FLEET[5]}
    assert companions(MEMBERS, healths, set()) == set()


def test_news_is_who_fell_silent_and_who_came_back() -> None:
    healths = {
        LOUD: health(State.UP),
        OTHER: health(State.UP, misses=1),
        MODEM: health(State.DOWN, misses=4),
        FLEET[2]: health(State.UNREACHABLE, misses=3),
        FLEET[3]: health(State.MAINTENANCE),
    }
    silent = dict.fromkeys((LOUD, OTHER, MODEM, FLEET[3], FLEET[9]), True) | {FLEET[2]: False, FLEET[4]: False}
    assert turned(silent, healths) == ({LOUD, OTHER, FLEET[9]}, {FLEET[2]})


def test_who_comes_and_goes_is_asked_often_whatever_its_silences() -> None:
    for misses, own in ((0, 60.0), (9, 60.0), (9, 3600.0)):
        slot = asked(Slot(0.0, "2024-10", misses=misses), LOUD, Rule(own), at(0), False, 700, unsteady=True)
        assert OFTEN / 2 <= slot.due - at(0).seconds <= 1.5 * OFTEN
    brisk = asked(Slot(0.0, "2024-10"), LOUD, Rule(5.0), at(0), True, 700, unsteady=True)
    assert brisk.due - at(0).seconds <= 7.5, "never more rarely than it would be"
    poor = asked(Slot(0.0, "2024-10"), LOUD, Rule(60.0, 700_000), at(0), True, 700, unsteady=True)
    assert poor.due - at(0).seconds > 1.5 * OFTEN, "its budget stands above that"


def test_a_device_that_was_lost_and_is_back_does_not_come_and_go_yet() -> None:
    turns = tuple(BEGIN + timedelta(minutes=n) for n in range(3))
    assert not unsteady(None)
    assert not unsteady(Health(State.UP, BEGIN, turns=turns[:2]))
    assert unsteady(Health(State.UP, BEGIN, turns=turns))
    assert unsteady(Health(State.DEGRADED, BEGIN, turns=turns[:2], flapping=True))
