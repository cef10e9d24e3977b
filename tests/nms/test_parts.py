"""What the parts of a fleet write of themselves, and who notices that one is silent; on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from nms.journal import EventKind, recent
from nms.monitor.parts import Judge, Part, beat, parts, patience, take_up
from nms.monitor.shards import Shard
from nms.store import AlarmRow, Store

NOW = datetime(2024, 10, 1, 10, 0, tzinfo=UTC)
LONGEST = timedelta(seconds=30)


@pytest.fixture
def store(location: str) -> Iterator[Store]:
    with Store.open(location) as opened:
        yield opened


def start(store: Store, count: int, at: datetime = NOW) -> None:
    for index in range(1, count + 1):
        store.write_sync(lambda s, i=index: take_up(s, Shard(i, count), f"host pid {i}", at))  # type: ignore[misc]


def swept(store: Store, at: datetime, *indexes: int) -> None:
    for index in indexes:
        store.write_sync(lambda s, i=index: beat(s, Shard(i, 2), at, {"targets": 7}))  # type: ignore[misc]


def look(store: Store, judge: Judge, since: float, until: float, *polled: int) -> datetime:
    """Every 5 s from ``since`` to ``until`` these parts sweep and the judge looks; the last time."""
    at = NOW
    for seconds in range(int(since), int(until) + 1, 5):
        at = NOW + timedelta(seconds=seconds)
        swept(store, at, *polled)
        judge.look(None, at)
    return at


def found(store: Store) -> dict[str, Part]:
    return {str(part.shard): part for part in store.read_sync(parts)}


def told(store: Store) -> list[tuple[str, str, str, str]]:
    events = store.read_sync(lambda s: recent(s, 100))
    return [(e.subject, e.from_, e.to, e.cause) for e in reversed(events) if e.kind is EventKind.SELF_SHARD]


def alarms(store: Store) -> set[tuple[str, str, bool]]:
    rows = store.read_sync(lambda s: s.scalars(select(AlarmRow)).all())
    return {(row.subject, row.kind, row.cleared is None) for row in rows}


def test_a_part_is_known_by_its_holder_and_its_last_sweep(store: Store) -> None:
    start(store, 2)
    at = NOW + timedelta(seconds=5)
    swept(store, at, 2)
    assert found(store)["2/2"] == Part(Shard(2, 2), at, False, "host pid 2", {"targets": 7})


def test_a_silent_part_is_missed_once_and_its_return_is_told(store: Store) -> None:
    start(store, 2)
    judge = Judge(store, LONGEST)
    look(store, judge, 0, 60, 1)
    assert told(store) == [("shard:2/2", "polled", "missed", "host pid 2")]
    assert alarms(store) == {("shard:2/2", "self_shard", True)}
    look(store, judge, 65, 75, 1, 2)
    assert told(store)[1:] == [("shard:2/2", "missed", "polled", "host pid 2")]
    assert alarms(store) == {("shard:2/2", "self_shard", False)}
    assert not any(part.missed for part in found(store).values())


def test_a_part_that_never_came_is_missed_too(store: Store) -> None:
    store.write_sync(lambda s: take_up(s, Shard(1, 2), "host pid 1", NOW))
    look(store, Judge(store, LONGEST), 0, 60, 1)
    assert [subject for subject, *_ in told(store)] == ["shard:2/2"]


def test_who_could_not_look_has_missed_nobody(store: Store) -> None:
    """The database was away, the judge has just started, or the clock jumped: parts get their time to write."""
    start(store, 2)
    look(store, Judge(store, LONGEST), 600, 615)
    judge = Judge(store, LONGEST)
    look(store, judge, 0, 60, 1, 2)
    look(store, judge, 3600, 3610)
    look(store, judge, 3615, 3720, 1, 2)
    look(store, judge, 0, 60, 1, 2)  # set back
    assert told(store) == []
    assert alarms(store) == set()


def test_another_number_of_parts_makes_the_old_ones_history(store: Store) -> None:
    start(store, 4)
    look(store, Judge(store, LONGEST), 0, 60)
    start(store, 2, NOW + timedelta(seconds=61))
    look(store, Judge(store, LONGEST), 65, 70, 1, 2)
    assert set(found(store)) == {"1/2", "2/2"}
    assert all(not still for _, _, still in alarms(store))


@pytest.mark.parametrize(("interval", "seconds"), [(1.0, 10), (60.0, 180)])
def test_patience_is_three_intervals_and_never_less_than_a_restart(interval: float, seconds: int) -> None:
    assert patience(interval) == timedelta(seconds=seconds)
