"""An outage is told when it begins and when it ends, by everything that works with the store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from inventory.model import DeviceId
from nms.alarm_store import OpenedWork
from nms.monitor.health import Health, State, causes
from nms.monitor.loop import Snapshot
from nms.monitor.parts import PartRecorder, take_up
from nms.monitor.recorder import StoreRecorder
from nms.monitor.shards import WHOLE
from nms.monitor.snmp.outcome import SweepStats
from nms.monitor.trapd import Heard, TrapBook
from nms.outage import Outage
from nms.store import Store

NOW = datetime(2024, 10, 1, 10, tzinfo=UTC)
ONE = DeviceId("23557-L01")
STATS = SweepStats(0.1, 1, 1, 0, 1, 0, 0, 0, 0, 212_992)


def test_an_outage_is_told_twice_however_often_it_is_met(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage = Outage(logging.getLogger("loa.test"))
    outage.over("well again")
    for _ in range(3):
        outage.begun("gone: %s", "disk full")
    outage.over("well again")
    outage.over("well again")
    outage.begun("gone: %s", "anew")
    assert [r.getMessage() for r in caplog.records] == ["gone: disk full", "well again", "gone: anew"]


# --- whatever works with the store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "loa.db") as store:
        yield store


def snapshot(n: int) -> Snapshot:
    """A turn in which the device has changed."""
    at = NOW + timedelta(seconds=10 * n)
    state = State.UP if n % 2 else State.DEGRADED
    healths = {ONE: Health(state, at, "clock_error_s" if state is State.DEGRADED else None)}
    return Snapshot(at, healths, {}, replace(STATS), causes(healths), {ONE: at})


def recorder(store: Store) -> Callable[[int], object]:
    made = StoreRecorder(store, {})
    return lambda n: made.swept(snapshot(n))


def part(store: Store) -> Callable[[int], object]:
    store.write_sync(lambda s: take_up(s, WHOLE, "test", NOW))
    made = PartRecorder(StoreRecorder(store, {}, alarms=False), store, WHOLE)
    return lambda n: made.swept(snapshot(n))


def work(store: Store) -> Callable[[int], object]:
    opened = OpenedWork(store)
    return lambda n: opened.refresh(NOW + timedelta(seconds=n))


def traps(store: Store) -> Callable[[int], object]:
    book = TrapBook(store)
    return lambda n: book.keep([Heard(ONE, NOW, (1, 3, 6, n), 1, ())])


@pytest.mark.parametrize(("make", "told"), [(recorder, 1), (part, 2), (work, 1), (traps, 1)])
def test_a_store_that_is_away_is_told_once_by_each(
    store: Store, caplog: pytest.LogCaptureFixture, make: Callable[[Store], Callable[[int], object]], told: int
) -> None:
    use = make(store)
    use(0)
    assert caplog.records == []
    store.close()
    for n in range(1, 20):
        use(n)
    assert [r.levelname for r in caplog.records] == ["WARNING"] * told


def test_planned_work_of_a_store_that_is_away_is_asked_for_now_and_then(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever polls asks at every turn, and must not wait for the store at every turn."""
    opened = OpenedWork(store)
    opened(NOW)
    store.close()
    really, asked = store.read_sync, []

    def read(work: Callable[[Session], object]) -> object:
        asked.append(work)
        return really(work)

    monkeypatch.setattr(store, "read_sync", read)
    for n in range(15):
        opened(NOW + timedelta(seconds=n))
    assert len(asked) == 2
