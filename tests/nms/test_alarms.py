"""Alarms as values: they open once, stay while raised, fall due, clear; and what health raises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from inventory.model import DeviceId
from nms.alarms import DEGRADED_SETTLE, SETTLE, Alarm, AlarmKind, Changes, Key, Raised, of_health, told_once, update
from nms.monitor.health import Health, State
from nms.monitor.suspects import SETTLED

NOW = datetime(2024, 10, 1, 10, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
DOWN = Raised("23557-L01", AlarmKind.DEVICE_DOWN, NOW, "", ("23557-L01",))


def alarm(one: Raised) -> Alarm:
    return Alarm("id", one.subject, one.kind, NOW, one.since, one.cause, one.affected)


def opened(*ones: Raised) -> dict[Key, Alarm]:
    return {one.key: alarm(one) for one in ones}


def test_what_is_raised_opens_and_what_is_not_raised_clears() -> None:
    assert update({}, [DOWN], NOW) == Changes(opened=(DOWN,))
    assert not update(opened(DOWN), [DOWN], LATER)
    assert update(opened(DOWN), [], LATER) == Changes(cleared=(alarm(DOWN),))


def test_raised_twice_is_raised_once() -> None:
    assert update({}, [DOWN, DOWN], NOW).opened == (DOWN,)


def test_what_opens_none_keeps_one_that_is_open() -> None:
    weak = replace(DOWN, opens=False)
    assert not update({}, [weak], NOW)
    assert not update(opened(DOWN), [weak], NOW)


def test_an_open_alarm_is_told_anew_when_it_explains_more() -> None:
    wider = replace(DOWN, affected=("23557-L01", "23557-L02"))
    (changed,) = update(opened(DOWN), [wider], LATER).changed
    assert (changed.id, changed.opened, changed.affected) == ("id", NOW, wider.affected)


def test_a_repair_falls_due_and_the_alarm_asks_again() -> None:
    quiet = replace(alarm(DOWN), acknowledged=NOW, by="p-technician", comment="đã gọi thợ", quiet_until=LATER)
    assert not update({DOWN.key: quiet}, [DOWN], LATER - timedelta(seconds=1))
    (due,) = update({DOWN.key: quiet}, [DOWN], LATER).due
    assert (due.acknowledged, due.by, due.quiet_until, due.comment) == (None, "", None, "đã gọi thợ")


def test_a_device_long_lost_keeps_its_alarm_while_something_else_explains_its_loss() -> None:
    modem = Raised("23557-M01", AlarmKind.MODEM_DOWN, NOW, "", ("23557-L01", "23557-M01"))
    assert update(opened(DOWN), [modem], LATER) == Changes(opened=(modem,))
    assert update(opened(DOWN, modem), [], LATER).cleared == (alarm(DOWN), alarm(modem))


def test_another_kind_of_alarm_of_a_lost_device_clears_as_it_must() -> None:
    silent = Raised("23557-L01", AlarmKind.SILENT, NOW)
    modem = Raised("23557-M01", AlarmKind.MODEM_DOWN, NOW, "", ("23557-L01", "23557-M01"))
    assert update(opened(silent), [modem], LATER).cleared == (alarm(silent),)


# --- one wrong clock --------------------------------------------------------------------------------------------------

OFF = Raised("23557-L01", AlarmKind.CLOCK_OFF, NOW, "+6 s", ("23557-L01",))
DEGRADED = Raised("23557-L01", AlarmKind.DEGRADED, NOW, "clock_error_s", ("23557-L01",))
HOT_TOO = replace(DEGRADED, cause="temperature_c, clock_error_s")


def test_a_wrong_clock_that_one_alarm_tells_is_not_told_by_another() -> None:
    assert tuple(told_once([DEGRADED], [])) == (DEGRADED,)
    assert tuple(told_once([OFF], [])) == (OFF,)
    assert tuple(told_once([DEGRADED], [alarm(OFF)])) == ()
    (left,) = told_once([OFF], [alarm(DEGRADED)])
    assert not left.opens


def test_what_else_is_wrong_with_the_device_is_still_told() -> None:
    (left,) = told_once([HOT_TOO], [alarm(OFF)])
    assert (left.kind, left.cause, left.opens) == (AlarmKind.DEGRADED, "temperature_c", True)
    (other,) = told_once([replace(DEGRADED, subject="23557-L02")], [alarm(OFF)])
    assert other.subject == "23557-L02"
    assert tuple(told_once([OFF], [alarm(replace(DEGRADED, cause="temperature_c"))])) == (OFF,)


# --- what health raises -----------------------------------------------------------------------------------------------

MODEM, FIRST, SECOND = DeviceId("23557-M01"), DeviceId("23557-L01"), DeviceId("23557-L02")


def lost(cause: str | None = None, since: datetime = NOW) -> Health:
    state = State.DOWN if cause is None else State.UNREACHABLE
    return Health(state, since, cause, misses=2, silent_since=since)


def opens(healths: Mapping[DeviceId, Health], now: datetime) -> set[Key]:
    return {one.key for one in of_health(healths, now) if one.opens}


def test_a_device_alarms_when_no_common_cause_has_shown_itself() -> None:
    assert opens({FIRST: lost()}, NOW + SETTLE - timedelta(seconds=1)) == set()
    assert opens({FIRST: lost()}, NOW + SETTLE) == {(FIRST, AlarmKind.DEVICE_DOWN)}


def test_a_modem_is_one_alarm_with_its_consequences() -> None:
    healths = {MODEM: lost(), FIRST: lost(MODEM), SECOND: lost(MODEM)}
    (raised,) = of_health(healths, NOW + SETTLE)
    assert (raised.key, raised.affected) == ((MODEM, AlarmKind.MODEM_DOWN), (FIRST, SECOND, MODEM))


def test_a_modem_that_is_back_opens_no_alarm_for_what_is_still_to_answer() -> None:
    healths = {MODEM: Health(State.UP, LATER), FIRST: lost(MODEM)}
    (raised,) = of_health(healths, NOW + SETTLE)
    assert (raised.key, raised.opens) == ((MODEM, AlarmKind.MODEM_DOWN), False)


def test_cells_and_areas_alarm_when_their_extent_is_known() -> None:
    for cause, kind in (("cell:7", AlarmKind.CELL_LOST), ("power:PC-1", AlarmKind.POWER_LOST)):
        healths = {FIRST: lost(cause), SECOND: lost(cause)}
        assert opens(healths, NOW + SETTLED - timedelta(seconds=1)) == set()
        assert opens(healths, NOW + SETTLED) == {(cause, kind)}


def test_something_wrong_for_long_alarms_with_what_it_is() -> None:
    healths = {FIRST: Health(State.DEGRADED, NOW, "rsrp_dbm", faults=("rsrp_dbm",))}
    assert opens(healths, NOW + timedelta(minutes=5)) == set()
    (raised,) = of_health(healths, NOW + DEGRADED_SETTLE)
    assert (raised.key, raised.cause, raised.opens) == ((FIRST, AlarmKind.DEGRADED), "rsrp_dbm", True)


def test_nothing_alarms_of_what_is_well_unknown_or_worked_on() -> None:
    states = (State.UP, State.UNKNOWN, State.MAINTENANCE)
    healths = {DeviceId(f"23557-L{n:02d}"): Health(state, NOW) for n, state in enumerate(states)}
    assert of_health(healths, LATER) == ()


# --- properties -------------------------------------------------------------------------------------------------------

RAISED = st.builds(
    Raised,
    subject=st.sampled_from(["a", "b", "c"]),
    kind=st.sampled_from([AlarmKind.DEVICE_DOWN, AlarmKind.SILENT]),
    since=st.just(NOW),
    affected=st.just(()),
)


@given(steps=st.lists(st.lists(RAISED, max_size=5), max_size=8))
def test_what_is_open_is_what_is_raised_and_nothing_opens_twice(steps: list[list[Raised]]) -> None:
    current: dict[Key, Alarm] = {}
    for n, raised in enumerate(steps):
        changes = update(current, raised, NOW + n * timedelta(minutes=1))
        assert not {one.key for one in changes.opened} & current.keys()
        for gone in changes.cleared:
            del current[gone.key]
        current |= opened(*changes.opened)
        assert current.keys() == {one.key for one in raised}
