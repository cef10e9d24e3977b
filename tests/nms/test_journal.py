"""The event log keeps what it is given; the audit chain shows every alteration."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from nms.journal import EventKind, append, audit, new_id, recent, verify
from nms.store import Store

NOW = datetime(2024, 10, 1, 9, 59, 30, 123456, tzinfo=UTC)
ROWS = 5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "loa.db"


@pytest.fixture
def store(location: str) -> Iterator[Store]:
    with Store.open(location) as opened:
        yield opened


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_ids_are_version_7_and_carry_their_millisecond(now: datetime) -> None:
    value = UUID(new_id(now))
    assert (value.version, value.variant) == (7, "specified in RFC 4122")
    assert value.int >> 80 == (now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def test_ids_sort_by_time_and_do_not_repeat() -> None:
    ids = [new_id(NOW + timedelta(milliseconds=i)) for i in range(2000)]
    assert ids == sorted(ids)
    assert len({new_id(NOW) for _ in range(2000)}) == 2000


def test_an_event_is_read_back_as_it_was_returned(store: Store) -> None:
    written = store.write_sync(
        lambda s: append(
            s, NOW, EventKind.DEVICE_STATE, "23557-L01", from_="up", to="unreachable", cause="23557-M01", data={"n": 1}
        )
    )
    assert store.read_sync(lambda s: recent(s, 10)) == (written,)
    assert written.at == NOW.replace(microsecond=123000)


def test_recent_is_newest_first_and_by_subject(store: Store) -> None:
    for i in range(6):
        at = NOW + timedelta(seconds=i)
        store.write_sync(partial(append, now=at, kind=EventKind.DEVICE_STATE, subject=f"L{i % 2}", to=str(i)))
    assert [e.to for e in store.read_sync(lambda s: recent(s, 3))] == ["5", "4", "3"]
    assert [e.to for e in store.read_sync(lambda s: recent(s, 9, "L0"))] == ["4", "2", "0"]


def test_every_kind_belongs_to_a_family() -> None:
    assert {kind.split(".")[0] for kind in EventKind} == {"device", "alarm", "bulletin", "deploy", "auth", "self"}


def fill(store: Store) -> None:
    for i in range(ROWS):
        data = {"lý do": "tràn hồ", "n": i, "nested": {"b": [1, 2.5, None], "a": True}}
        act = partial(audit, now=NOW, person="an-nguyen", uid=1000, action="approve", subject=f"b{i}", data=data)
        store.write_sync(act)


def test_an_untouched_chain_verifies(store: Store) -> None:
    assert store.read_sync(verify) == (0, None)
    fill(store)
    assert store.read_sync(verify) == (ROWS, None)


def test_several_acts_in_one_transaction_are_one_chain(store: Store) -> None:
    store.write_sync(lambda s: [audit(s, NOW, "an", 1, "a", "x", {}).n for _ in range(3)])
    assert store.read_sync(verify) == (3, None)


def test_what_was_refused_or_rolled_back_leaves_no_gap(store: Store) -> None:
    def fails(session: Session) -> None:
        audit(session, NOW, "an", 1, "a", "x", {})
        raise ZeroDivisionError

    fill(store)
    with pytest.raises(ZeroDivisionError):
        store.write_sync(fails)
    for value in (object(), float("nan")):
        act = partial(audit, now=NOW, person="an", uid=1, action="a", subject="x", data={"bad": value})
        with pytest.raises(ValueError, match=r"not JSON"):
            store.write_sync(act)
    store.write_sync(lambda s: audit(s, NOW, "an", 1, "a", "x", {}))
    assert store.read_sync(verify) == (ROWS + 1, None)


@pytest.mark.parametrize(
    ("statement", "bad"),
    [
        ("UPDATE audit SET person = 'ai-khac' WHERE n = 3", 3),
        ("UPDATE audit SET at = at + 1 WHERE n = 1", 1),
        ("UPDATE audit SET uid = 0 WHERE n = 5", 5),
        ("UPDATE audit SET data = replace(data, '2.5', '2.6') WHERE n = 2", 2),
        ("UPDATE audit SET hash = previous WHERE n = 4", 4),
        ("DELETE FROM audit WHERE n = 1", 2),
        ("DELETE FROM audit WHERE n = 3", 4),
        ("UPDATE audit SET n = 9 WHERE n = 5", 9),
    ],
)
def test_every_alteration_shows_at_its_row(path: Path, statement: str, bad: int) -> None:
    with Store.open(path) as store:
        fill(store)
    with closing(sqlite3.connect(path)) as direct:
        assert direct.execute(statement).rowcount == 1
        direct.commit()
    with Store.open(path) as store:
        assert store.read_sync(verify)[1] == bad


def test_a_row_slipped_in_with_a_hash_of_its_own_breaks_the_next(path: Path) -> None:
    """Rewriting a row and its hash correctly still shows: the following row names the old hash."""
    with Store.open(path) as store, Store.open(path.with_name("other.db")) as other:
        fill(store)
        row = other.write_sync(lambda s: audit(s, NOW, "ai-khac", 0, "approve", "b0", {}))
    forged = (row.person, row.uid, "{}", row.hash)
    with closing(sqlite3.connect(path)) as direct:
        direct.execute("UPDATE audit SET person=?, uid=?, data=?, hash=? WHERE n = 1", forged)
        direct.commit()
    with Store.open(path) as store:
        assert store.read_sync(verify) == (ROWS, 2)
