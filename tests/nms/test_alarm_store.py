"""Alarms, repairs and planned work in a real store, written with the states they speak of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from inventory.model import DeviceId
from nms.alarm_store import (
    OpenedWork,
    Repair,
    acknowledge,
    close_repair,
    open_alarms,
    open_maintenance,
    open_repair,
    past_alarms,
    repairs,
    settle,
)
from nms.alarms import DEGRADED_SETTLE, OF_HEALTH, SETTLE, Alarm, AlarmKind, Raised
from nms.journal import Event, EventKind, append, recent
from nms.monitor.cellular import Usage
from nms.monitor.health import Health, State, Window, causes
from nms.monitor.loop import Snapshot
from nms.monitor.recorder import StoreRecorder, restored, usages
from nms.monitor.snmp.outcome import Outcome, Reading, Silence, SweepStats
from nms.retention import prune
from nms.store import AlarmRow, DeviceStateRow, EventRow, MaintenanceRow, RepairRow, Store

NOW = datetime(2024, 10, 1, 10, tzinfo=UTC)
DEVICE = DeviceId("23557-L01")
MINUTE = timedelta(minutes=1)
DOWN = Raised(DEVICE, AlarmKind.DEVICE_DOWN, NOW, "", (DEVICE,))
SILENT = Raised(DEVICE, AlarmKind.SILENT, NOW)


@pytest.fixture
def store(location: str) -> Iterator[Store]:
    with Store.open(location) as opened:
        yield opened


def settled(store: Store, *raised: Raised, at: datetime = NOW) -> tuple[Alarm, ...]:
    store.write_sync(lambda s: settle(s, OF_HEALTH, raised, at))
    return store.read_sync(open_alarms)


def events(store: Store) -> list[tuple[EventKind, str, str]]:
    """Oldest first: kind, from, to."""
    found: tuple[Event, ...] = store.read_sync(lambda s: recent(s, 100))
    return [(e.kind, e.from_, e.to) for e in reversed(found)]


def test_an_alarm_opens_once_with_an_event_and_clears_with_another(store: Store) -> None:
    (first,) = settled(store, DOWN)
    assert settled(store, DOWN, at=NOW + MINUTE) == (first,)
    assert settled(store, at=NOW + 2 * MINUTE) == ()
    assert events(store) == [
        (EventKind.ALARM_OPENED, "", "device_down"),
        (EventKind.ALARM_CLEARED, "device_down", ""),
    ]
    ((gone, cleared),) = store.read_sync(past_alarms)
    assert (gone.id, cleared) == (first.id, NOW + 2 * MINUTE)
    (again,) = settled(store, DOWN, at=NOW + 3 * MINUTE)
    assert again.id != first.id


def test_whoever_raises_other_kinds_does_not_clear_these(store: Store) -> None:
    settled(store, DOWN)
    store.write_sync(lambda s: settle(s, [AlarmKind.SILENT], [SILENT], NOW))
    store.write_sync(lambda s: settle(s, [AlarmKind.SILENT], [], NOW))
    assert [alarm.kind for alarm in store.read_sync(open_alarms)] == [AlarmKind.DEVICE_DOWN]


CLOCK_OFF = Raised(DEVICE, AlarmKind.CLOCK_OFF, NOW, "+6 s", (DEVICE,))
DEGRADED = Raised(DEVICE, AlarmKind.DEGRADED, NOW, "clock_error_s", (DEVICE,))


@pytest.mark.parametrize(("first", "second"), [(CLOCK_OFF, DEGRADED), (DEGRADED, CLOCK_OFF)])
def test_one_wrong_clock_is_one_alarm_whoever_notices_it_first(store: Store, first: Raised, second: Raised) -> None:
    """One part of the hub sees the clock mended before the other does: that is no new alarm either."""

    def tell(*raised: Raised, at: datetime) -> list[AlarmKind]:
        for kinds in ({first.kind}, {second.kind}):
            mine = [r for r in raised if r.kind in kinds]
            store.write_sync(partial(settle, kinds=kinds, raised=mine, now=at))
        return [a.kind for a in store.read_sync(open_alarms)]

    assert tell(first, at=NOW) == [first.kind]
    assert tell(first, second, at=NOW + MINUTE) == [first.kind]
    assert tell(second, at=NOW + 2 * MINUTE) == []
    assert tell(second, at=NOW + 2 * MINUTE + DEGRADED_SETTLE) == [second.kind], "it was not mended after all"
    assert tell(at=NOW + 3 * MINUTE + DEGRADED_SETTLE) == []


def test_a_person_takes_an_alarm_on(store: Store) -> None:
    (alarm,) = settled(store, DOWN)
    taken = store.write_sync(lambda s: acknowledge(s, alarm.id, "p-operator", "gọi thợ", NOW + MINUTE))
    assert taken is not None
    assert (taken.acknowledged, taken.by, taken.comment) == (NOW + MINUTE, "p-operator", "gọi thợ")
    assert settled(store, DOWN, at=NOW + 2 * MINUTE) == (taken,)
    settled(store, at=NOW + 3 * MINUTE)
    assert store.write_sync(lambda s: acknowledge(s, alarm.id, "p-operator", "", NOW)) is None
    assert store.write_sync(lambda s: acknowledge(s, "no such", "p-operator", "", NOW)) is None


def test_a_repair_keeps_its_alarms_quiet_until_its_date(store: Store) -> None:
    settled(store, DOWN)
    due = NOW + timedelta(days=3)
    order = Repair(DEVICE, "Lê Ngọc Lan", "bộ khuếch đại", due)
    store.write_sync(lambda s: open_repair(s, order, "p-technician", NOW + MINUTE))
    (quiet,) = settled(store, DOWN, at=due - MINUTE)
    assert (quiet.quiet_until, quiet.by) == (due, "p-technician")
    (loud,) = settled(store, DOWN, at=due)
    assert (loud.id, loud.quiet_until, loud.acknowledged) == (quiet.id, None, None)
    assert events(store)[-1] == (EventKind.ALARM_DUE, "", "device_down")


def test_an_alarm_that_opens_during_a_repair_is_quiet_from_the_start(store: Store) -> None:
    due = NOW + timedelta(days=3)
    order = Repair(DEVICE, "Lê Ngọc Lan", "SIM", due)
    store.write_sync(lambda s: open_repair(s, order, "p-technician", NOW))
    (alarm,) = settled(store, DOWN, at=NOW + MINUTE)
    assert alarm.quiet_until == due


def test_what_is_said_to_be_mended_and_is_not_speaks_again(store: Store) -> None:
    settled(store, DOWN)
    order = Repair(DEVICE, "Lê Ngọc Lan", "SIM", NOW + timedelta(days=3))
    store.write_sync(lambda s: open_repair(s, order, "p-technician", NOW))
    assert store.write_sync(lambda s: close_repair(s, DEVICE, "p-technician", NOW + MINUTE))
    assert not store.write_sync(lambda s: close_repair(s, DEVICE, "p-technician", NOW + MINUTE))
    (alarm,) = settled(store, DOWN, at=NOW + 2 * MINUTE)
    assert alarm.quiet_until is None
    (row,) = store.read_sync(lambda s: repairs(s, DEVICE))
    assert (row.closed, row.closed_by) == (NOW + MINUTE, "p-technician")


def test_a_second_repair_order_takes_the_place_of_the_first(store: Store) -> None:
    for days, part in ((3, "SIM"), (5, "anten")):
        order = Repair(DEVICE, "Lan", part, NOW + timedelta(days=days))
        store.write_sync(partial(open_repair, repair=order, person="p-technician", now=NOW))
    assert [row.part for row in store.read_sync(repairs)] == ["anten"]
    assert len(store.read_sync(lambda s: repairs(s, DEVICE))) == 2


def test_work_that_a_person_opens_reaches_the_monitor(store: Store) -> None:
    opened = OpenedWork(store)
    assert opened(NOW) == {}
    window = Window(NOW + MINUTE, NOW + 60 * MINUTE, "Thay cột")
    store.write_sync(lambda s: open_maintenance(s, "commune=23557", [DEVICE], window, "p-technician"))
    assert opened(NOW + MINUTE) == {DEVICE: (window,)}
    assert opened(NOW + 60 * MINUTE) == {}


def test_a_store_that_fails_leaves_the_opened_work_as_it_was_known(store: Store) -> None:
    opened = OpenedWork(store)
    window = Window(NOW, NOW + 60 * MINUTE, "Thay cột")
    store.write_sync(lambda s: open_maintenance(s, "commune=23557", [DEVICE], window, "p-technician"))
    assert opened(NOW) == {DEVICE: (window,)}
    store.close()
    assert opened(NOW + MINUTE) == {DEVICE: (window,)}


# --- the recorder -----------------------------------------------------------------------------------------------------


STATS = SweepStats(0.1, 1, 1, 0, 1, 0, 0, 0, 0, 212_992)


def snapshot(health: Health, at: datetime, outcome: Outcome | None = None, **more: Usage) -> Snapshot:
    healths = {DEVICE: health}
    outcomes = {DEVICE: outcome} if outcome else {}
    return Snapshot(at, healths, outcomes, STATS, causes(healths), {DEVICE: at}, more)


def test_the_recorder_writes_the_alarm_with_the_state(store: Store) -> None:
    recorder = StoreRecorder(store, {})
    lost = Health(State.DOWN, NOW, misses=2, silent_since=NOW)
    recorder.swept(snapshot(lost, NOW + MINUTE))
    assert store.read_sync(open_alarms) == ()
    recorder.swept(snapshot(lost, NOW + SETTLE))
    (alarm,) = store.read_sync(open_alarms)
    assert (alarm.key, alarm.since) == (DOWN.key, NOW)
    recorder.swept(snapshot(Health(State.UP, NOW + SETTLE + MINUTE), NOW + SETTLE + MINUTE))
    assert store.read_sync(open_alarms) == ()


def test_the_recorder_of_a_part_raises_no_alarms(store: Store) -> None:
    recorder = StoreRecorder(store, {}, alarms=False)
    recorder.swept(snapshot(Health(State.DOWN, NOW, misses=2, silent_since=NOW), NOW + SETTLE))
    assert store.read_sync(open_alarms) == ()


def test_a_restarted_hub_remembers_what_health_remembers(store: Store) -> None:
    flapping = Health(
        State.DEGRADED,
        NOW,
        "flapping",
        misses=1,
        cell="452040A1",
        silent_since=NOW,
        faults=("rsrp_dbm",),
        turns=(NOW - MINUTE, NOW),
        flapping=True,
        heard_since=NOW - 5 * MINUTE,
        mains_lost=NOW - MINUTE,
    )
    StoreRecorder(store, {}).swept(snapshot(flapping, NOW))
    assert restored(store) == {DEVICE: flapping}


def test_the_last_reading_of_a_silent_device_is_kept_with_its_time(store: Store) -> None:
    recorder = StoreRecorder(store, {})
    heard = Reading({"temperature_c": 41.0}, (), 0.1)
    recorder.swept(snapshot(Health(State.UP, NOW), NOW, heard))
    later = NOW + 10 * MINUTE
    recorder.swept(snapshot(Health(State.DOWN, later, misses=2, silent_since=later), later, Silence()))
    row = store.read_sync(lambda s: s.get(DeviceStateRow, DEVICE))
    assert row is not None
    assert (row.state, row.reading, row.last_seen) == ("down", {"temperature_c": 41.0}, NOW)


def test_what_sims_used_survives_a_restart(store: Store) -> None:
    recorder = StoreRecorder(store, {})
    used = Usage("8984", "2024-10", DEVICE, NOW, NOW, 1_000, 600, 400, NOW)
    recorder.swept(snapshot(Health(State.UP, NOW), NOW, sim=used))
    assert usages(store) == {"8984": used}
    more = replace(used, bytes=2_000, updated=NOW + 6 * MINUTE)
    recorder.swept(snapshot(Health(State.UP, NOW), NOW + 6 * MINUTE, sim=more))
    assert usages(store) == {"8984": more}


# --- retention --------------------------------------------------------------------------------------------------------


def test_what_is_over_for_long_goes_and_what_is_not_stays(store: Store) -> None:
    old, new = NOW - timedelta(days=401), NOW - timedelta(days=399)

    def fill(session: Session) -> None:
        for at in (old, new):
            append(session, at, EventKind.DEVICE_STATE, DEVICE)
            settle(session, OF_HEALTH, [replace(DOWN, since=at)], at)
            settle(session, OF_HEALTH, [], at + MINUTE)
            open_repair(session, Repair(DEVICE, "Lan", "SIM", at + MINUTE), "p", at)
            close_repair(session, DEVICE, "p", at + MINUTE)
            open_maintenance(session, "23557", [DEVICE], Window(at, at + MINUTE, "x"), "p")
        settle(session, OF_HEALTH, [replace(DOWN, since=old)], old)
        open_repair(session, Repair(DEVICE, "Lan", "SIM", old + MINUTE), "p", old)

    def counts(session: Session) -> list[int]:
        tables = (AlarmRow, RepairRow, MaintenanceRow)
        return [session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]

    store.write_sync(fill)
    before = NOW - timedelta(days=400)
    assert store.write_sync(lambda s: prune(s, before)) > 0
    assert store.write_sync(lambda s: prune(s, before)) == 0
    assert store.read_sync(counts) == [2, 2, 1], "one each that is recent; the open ones however old"
    assert store.read_sync(lambda s: s.scalar(select(func.min(EventRow.at)))) == new
