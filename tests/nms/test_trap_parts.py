"""News of traps where several processes poll parts of one fleet: whoever listens keeps it, whoever polls is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import Cursor
from sqlalchemy import event

from inventory.model import DeviceId
from nms.monitor.trapd import LATELY, Heard, TrapBook
from nms.store import Store
from tests.nms.pg import Server

NOW = datetime(2024, 10, 1, 10, tzinfo=UTC)
HERS, HIS = DeviceId("23557-L01"), DeviceId("23560-L01")
COLD_START = (1, 3, 6, 1, 6, 3, 1, 1, 5, 1)


def heard(device: DeviceId, at: datetime = NOW, count: int = 1) -> Heard:
    return Heard(device, at, COLD_START, count, ())


@pytest.fixture
def stores(postgres: Server) -> Iterator[tuple[Store, Store]]:
    """One database, opened by two processes."""
    url = postgres.database()
    with Store.open(url) as hers, Store.open(url) as his:
        yield hers, his


def test_news_that_another_process_kept_is_told_once(stores: tuple[Store, Store]) -> None:
    listening, other = (TrapBook(store) for store in stores)
    assert other.of_others(NOW) == ()
    listening.keep([heard(HIS), heard(HERS)])
    assert set(other.of_others(NOW)) == {HIS, HERS}
    assert other.of_others(NOW) == ()
    later = NOW + timedelta(seconds=12)
    listening.keep([heard(HIS, later)])
    assert other.of_others(later) == (HIS,)


def test_what_a_process_heard_itself_is_no_news_to_it(stores: tuple[Store, Store]) -> None:
    hers, his = (TrapBook(store) for store in stores)
    hers.keep([heard(HERS)])
    assert hers.of_others(NOW) == ()
    his.keep([heard(HERS, NOW + timedelta(seconds=1))])
    assert hers.of_others(NOW) == (HERS,)


def test_old_news_brings_nobody_forward(stores: tuple[Store, Store]) -> None:
    hers, his = (TrapBook(store) for store in stores)
    hers.keep([heard(HIS, NOW - LATELY - timedelta(seconds=1))])
    assert his.of_others(NOW) == ()


def test_a_storm_costs_the_others_one_row_a_device(stores: tuple[Store, Store]) -> None:
    hers, his = (TrapBook(store) for store in stores)
    for n in range(200):
        hers.keep([heard(HIS, NOW + timedelta(milliseconds=n), count=900)])
    rows: list[int] = []

    def executed(_connection: object, cursor: Cursor[object], *_: object) -> None:
        rows.append(cursor.rowcount)

    event.listen(stores[1]._read_engine, "after_cursor_execute", executed)
    assert his.of_others(NOW) == (HIS,)
    assert rows == [1]
