"""What the store promises, on SQLite and PostgreSQL alike: acknowledged means kept, one failure alone, an older program
refused. A SQLite file has one owner; what only PostgreSQL can do is in test_postgres_store."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, column, create_engine, func, insert, make_url, select, table, text
from sqlalchemy.exc import IntegrityError, OperationalError, StatementError
from sqlalchemy.orm import Session

from nms.moments import from_milliseconds, to_milliseconds
from nms.store import (
    AiringRow,
    Base,
    BulletinRow,
    ContentRow,
    DeviceStateRow,
    ReceiptRow,
    SequenceRow,
    Store,
    StoreError,
    add_once,
)
from nms.store.postgres import driven
from nms.store.schema import MIGRATIONS

NOW = datetime(2024, 10, 1, 9, 59, 30, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "loa.db"


@pytest.fixture
def store(location: str) -> Iterator[Store]:
    with Store.open(location) as opened:
        yield opened


@pytest.fixture
def file_store(path: Path) -> Iterator[Store]:
    """For what is about the file."""
    with Store.open(path) as opened:
        yield opened


@contextmanager
def directly(location: str) -> Iterator[Connection]:
    """A connection that bypasses the store; every statement is its own transaction."""
    path = Path(str(make_url(location).database))
    if location.startswith("sqlite"):
        path.parent.mkdir(exist_ok=True)
    arguments = {"check_same_thread": False} if location.startswith("sqlite") else {}
    engine = create_engine(driven(make_url(location)), connect_args=arguments, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def rows(connection: Connection) -> int:
    return int(connection.execute(text("SELECT count(*) FROM sequence")).scalar_one())


def bulletin(name: str = "b1", state: str = "draft") -> BulletinRow:
    return BulletinRow(
        id=name,
        version=1,
        state=state,
        cls="normal",
        tier="commune",
        origin="23557",
        title="Lịch cắt điện",
        author="an-nguyen",
        created=NOW,
        body='{"title": "Lịch  cắt điện"}'.encode(),
        audience="commune=23557",
        valid_from=NOW,
        valid_until=NOW + timedelta(days=1),
    )


def receipt(name: str, device: str = "23557-L01") -> ReceiptRow:
    return ReceiptRow(
        id=name, device=device, airing="a1", bulletin="b1", repeat=0, result="played", received=NOW, started=NOW
    )


def sequence(topic: str, seq: int = 1) -> SequenceRow:
    return SequenceRow(topic=topic, kid="k", seq=seq)


def topics(store: Store) -> set[str]:
    return set(store.read_sync(lambda s: s.scalars(select(SequenceRow.topic)).all()))


def count(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(SequenceRow)) or 0


class Hold:
    """Keeps the writer busy so that what is submitted meanwhile queues up behind it."""

    def __init__(self, store: Store) -> None:
        self._begun, self._go = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=store.write_sync, args=(self._work,))
        self._thread.start()
        assert self._begun.wait(10)

    def _work(self, _session: Session) -> None:
        self._begun.set()
        assert self._go.wait(10)

    def release(self) -> None:
        self._go.set()
        self._thread.join()


async def queued(store: Store, *works: Callable[[Session], object]) -> list[object]:
    """The results or exceptions of writes that all waited for the same transaction."""
    hold = Hold(store)
    waiting = [asyncio.ensure_future(store.write(work)) for work in works]
    await asyncio.sleep(0)
    hold.release()
    return await asyncio.gather(*waiting, return_exceptions=True)


def add(topic: str, seq: int = 1) -> Callable[[Session], None]:
    return lambda session: session.add(sequence(topic, seq))


# --- opening -------------------------------------------------------------------------------------------------------


def test_a_new_store_has_exactly_the_tables_of_the_program(location: str) -> None:
    Store.open(location).close()
    with directly(location) as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_the_store_is_closed_to_other_users(path: Path) -> None:
    with Store.open(path):
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


def test_commits_survive_a_power_cut(file_store: Store) -> None:
    def pragmas(session: Session) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [session.scalar(text(f"PRAGMA {name}")) for name in names]

    assert file_store.write_sync(pragmas) == ["wal", 2, 1]


def test_a_second_opener_of_a_file_is_refused_and_told_who_has_it(file_store: Store, path: Path) -> None:
    with pytest.raises(StoreError) as refused:
        Store.open(path)
    assert refused.value.code == "STO001"
    assert str(os.getpid()) in refused.value.diagnostic.text()


TRYING = """
import sys
from nms.store import Store, StoreError
for line in sys.stdin:
    try: Store.open(sys.argv[1]).close()
    except StoreError as error: print(error.code, flush=True)
    else: print("opened", flush=True)
"""


def test_another_process_is_refused_until_the_owner_of_a_file_lets_go(file_store: Store, path: Path) -> None:
    command = [sys.executable, "-c", TRYING, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        print("try", file=child.stdin, flush=True)
        assert child.stdout.readline() == "STO001\n"
        file_store.close()
        print("try", file=child.stdin, flush=True)
        assert child.stdout.readline() == "opened\n"
        child.stdin.close()
        assert child.wait(10) == 0


def test_reopening_keeps_what_is_there(location: str) -> None:
    with Store.open(location) as first:
        first.write_sync(add("time"))
    with Store.open(location) as second:
        assert topics(second) == {"time"}


def test_a_store_of_a_newer_program_is_refused_and_left_alone(location: str) -> None:
    Store.open(location).close()
    with directly(location) as direct:
        direct.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        for _ in range(2):  # the lock is let go again
            with pytest.raises(StoreError) as refused:
                Store.open(location)
            assert refused.value.code == "STO002"
            assert "9999" in refused.value.diagnostic.text()
        assert direct.execute(text("SELECT version_num FROM alembic_version")).all() == [("9999",)]


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("sqlite://", "STO007"),
        ("sqlite:///:memory:", "STO007"),
        ("nonsense://host/db", "STO003"),
        ("/dev/null/loa.db", "STO003"),
        ("postgresql://nobody@/none?host=/dev/null", "STO003"),
    ],
)
def test_a_location_that_cannot_be_a_store(place: str, code: str) -> None:
    with pytest.raises(StoreError) as refused:
        Store.open(place)
    assert refused.value.code == code


def test_a_file_that_is_no_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    content = "không phải cơ sở dữ liệu\n" * 100
    file.write_text(content, encoding="utf-8")
    with pytest.raises(StoreError) as refused:
        Store.open(file)
    assert refused.value.code == "STO003"
    assert file.read_text(encoding="utf-8") == content


# --- writing -------------------------------------------------------------------------------------------------------


async def test_what_is_written_is_read_back_as_it_was(store: Store) -> None:
    def submit(session: Session) -> BulletinRow:
        session.add(row := bulletin())
        return row

    written = await store.write(submit)
    assert written.title == "Lịch cắt điện"  # rows stay readable outside the transaction
    read = await store.read(lambda s: s.get_one(BulletinRow, "b1"))
    assert read == bulletin()
    assert (read.created, read.body) == (NOW, bulletin().body)


async def test_a_failing_write_fails_alone(store: Store) -> None:
    def broken(session: Session) -> None:
        session.add(sequence("broken"))
        session.flush()
        raise ValueError("broken on purpose")

    results = await queued(store, add("before"), broken, add("before"), add("after"))
    assert [type(result) for result in results] == [type(None), ValueError, IntegrityError, type(None)]
    assert topics(store) == {"before", "after"}


async def test_writes_that_wait_together_are_committed_together(store: Store, location: str) -> None:
    """The last of them looks from outside, and sees none of those before it: they share its transaction."""
    with directly(location) as outside:
        results = await queued(store, *(add(f"t{i}") for i in range(20)), lambda s: rows(outside))
        assert results[-1] == 0
        assert rows(outside) == 20


def test_a_write_is_visible_to_others_when_it_is_acknowledged(store: Store, location: str) -> None:
    with directly(location) as outside:
        for i in range(20):
            store.write_sync(add(f"t{i}"))
            assert rows(outside) == i + 1


def test_a_function_sees_what_the_one_before_it_wrote(store: Store) -> None:
    store.write_sync(add("time"))

    def next_one(session: Session) -> int:
        row = session.get_one(SequenceRow, ("time", "k"))
        row.seq += 1
        return row.seq

    futures = [threading.Thread(target=store.write_sync, args=(next_one,)) for _ in range(20)]
    for thread in futures:
        thread.start()
    for thread in futures:
        thread.join()
    assert store.write_sync(next_one) == 22


async def test_a_cancelled_write_that_has_not_begun_is_not_done(store: Store) -> None:
    hold = Hold(store)
    waiting = asyncio.ensure_future(store.write(add("second")))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    hold.release()
    await store.write(add("third"))
    assert topics(store) == {"third"}


def test_a_write_inside_a_write_is_refused_instead_of_waiting_for_itself(store: Store) -> None:
    with pytest.raises(RuntimeError, match="wait for itself"):
        store.write_sync(lambda s: store.write_sync(lambda t: None))


def test_the_writer_outlives_a_function_that_wants_to_exit(store: Store) -> None:
    def leave(session: Session) -> None:
        raise SystemExit(1)

    with pytest.raises(SystemExit):
        store.write_sync(leave)
    store.write_sync(add("still here"))
    assert topics(store) == {"still here"}


def test_reading_cannot_write(store: Store) -> None:
    with pytest.raises(StoreError) as refused:
        store.read_sync(lambda s: s.execute(text("DELETE FROM bulletin")))
    assert refused.value.code == "STO005"
    assert "read-only" in refused.value.diagnostic.text().replace("readonly", "read-only")


async def test_closing_finishes_what_is_queued(location: str) -> None:
    store = Store.open(location)
    writes = [asyncio.ensure_future(store.write(add(f"t{i}"))) for i in range(300)]
    await asyncio.sleep(0)
    store.close()
    store.close()
    await asyncio.gather(*writes)
    for refused in (store.write(count), store.read(count)):
        with pytest.raises(StoreError) as error:
            await refused
        assert error.value.code == "STO006"
    with Store.open(location) as again:
        assert again.read_sync(count) == 300


# --- the disk ------------------------------------------------------------------------------------------------------


async def test_a_full_disk_refuses_all_who_wait_and_the_store_goes_on(file_store: Store) -> None:
    """SQLite drops the whole transaction when the disk is full: nobody in it may be told it was kept."""
    pages = file_store.write_sync(lambda s: s.scalar(text("PRAGMA page_count")))
    file_store.write_sync(lambda s: s.scalar(text(f"PRAGMA max_page_count = {pages}")))

    def fill(session: Session) -> None:
        for i in range(200):
            session.execute(text("INSERT INTO sequence VALUES (:t, 'k', 1)"), {"t": f"{i}" * 500})

    def swallow(session: Session) -> None:
        with suppress(OperationalError):
            fill(session)

    for culprit in (fill, swallow):
        results = await queued(file_store, add("small"), culprit, add("after"))
        assert [getattr(result, "code", None) for result in results] == ["STO004"] * 3
        assert topics(file_store) == set()
        file_store.write_sync(lambda s: s.scalar(text(f"PRAGMA max_page_count = {pages}")))
    await file_store.write(add("goes on"))
    assert topics(file_store) == {"goes on"}


async def test_the_waiters_learn_that_the_disk_is_full(file_store: Store) -> None:
    file_store.write_sync(lambda s: s.scalar(text("PRAGMA max_page_count = 1")))
    with pytest.raises(StoreError, match="disk is full") as refused:
        file_store.write_sync(lambda s: [s.execute(text(f"CREATE TABLE t{i} (x)")) for i in range(200)])
    assert refused.value.code == "STO004"


LIMITED = """
import resource, sys
from nms.store import SequenceRow, Store, StoreError
store = Store.open(sys.argv[1])
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
kept = 0
def add(i): return lambda s: s.add(SequenceRow(topic="x" * 5000, kid=str(i), seq=1))
try:
    while True:
        store.write_sync(add(kept)); kept += 1
except StoreError as error:
    code = error.code
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
store.write_sync(add("again"))
store.close()
print(code, kept + 1)
"""


def test_a_file_that_cannot_grow_is_an_error_for_the_waiter_and_loses_nothing(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    code, kept = done.stdout.split()
    assert code == "STO004"
    with Store.open(path) as store:
        assert store.read_sync(count) == int(kept) > 5


ACKNOWLEDGING = """
import asyncio, sys
from nms.store import SequenceRow, Store
store = Store.open(sys.argv[1])
async def writer(worker):
    i = 0
    while True:
        await store.write(lambda s: s.add(SequenceRow(topic=f"{worker}", kid=f"{i}", seq=i)))
        sys.stdout.write(f"{worker} {i}\\n"); sys.stdout.flush()
        i += 1
async def main():
    await asyncio.gather(*(writer(w) for w in range(8)))
asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [1, 500])
def test_what_was_acknowledged_survives_kill_9(location: str, lines: int) -> None:
    with subprocess.Popen([sys.executable, "-c", ACKNOWLEDGING, location], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        acknowledged = [child.stdout.readline() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        acknowledged += [line for line in child.stdout if line.endswith("\n")]
    assert child.returncode == -signal.SIGKILL
    promised = {tuple(line.split()) for line in acknowledged}
    assert len(promised) >= lines
    with Store.open(location) as store:  # the lock died with its owner
        kept = store.read_sync(lambda s: {(row.topic, row.kid) for row in s.scalars(select(SequenceRow))})
        assert promised <= kept
        if location.startswith("sqlite"):
            assert store.read_sync(lambda s: s.scalar(text("PRAGMA integrity_check"))) == "ok"


# --- rows ----------------------------------------------------------------------------------------------------------


def test_a_receipt_sent_twice_is_one_receipt(store: Store) -> None:
    results = [store.write_sync(lambda s: add_once(s, receipt("r1"))) for _ in range(3)]
    assert results == [True, False, False]
    assert store.write_sync(lambda s: [add_once(s, receipt("r2")), add_once(s, receipt("r2"))]) == [True, False]
    assert store.write_sync(lambda s: add_once(s, receipt("r1", device="23557-L02"))) is False
    devices = store.read_sync(lambda s: s.scalars(select(ReceiptRow.device).order_by(ReceiptRow.id)).all())
    assert devices == ["23557-L01", "23557-L01"]


def test_an_airing_exists_once_per_bulletin_unit_and_repeat(store: Store) -> None:
    def airing(name: str, repeat: int) -> AiringRow:
        return AiringRow(id=name, bulletin="b1", unit="23557", repeat=repeat, start=NOW, duration=12.5, latest=NOW)

    store.write_sync(lambda s: s.add(bulletin()))
    store.write_sync(lambda s: s.add_all([airing("a1", 0), airing("a2", 1)]))
    with pytest.raises(IntegrityError):
        store.write_sync(lambda s: s.add(airing("a3", 1)))


def test_an_airing_of_an_unknown_bulletin_is_refused(store: Store) -> None:
    with pytest.raises(IntegrityError):
        store.write_sync(
            lambda s: s.add(
                AiringRow(id="a1", bulletin="none", unit="23557", repeat=0, start=NOW, duration=1.0, latest=NOW)
            )
        )


def test_a_state_outside_the_list_is_refused(store: Store) -> None:
    with pytest.raises(IntegrityError):
        store.write_sync(lambda s: s.add(bulletin(state="aproved")))


def test_a_time_without_zone_is_refused_and_any_zone_is_the_same_instant(store: Store) -> None:
    def state(device: str, since: datetime) -> DeviceStateRow:
        return DeviceStateRow(device=device, state="up", since=since, updated=since, reading={"rsrp": -87})

    with pytest.raises(StatementError, match="no time zone"):
        store.write_sync(lambda s: s.add(state("23557-L01", datetime(2024, 10, 1))))  # noqa: DTZ001
    local = datetime(2024, 10, 1, 16, 59, 30, 123999, tzinfo=timezone(timedelta(hours=7)))
    store.write_sync(lambda s: s.add(state("23557-L01", local)))
    read = store.read_sync(lambda s: s.get_one(DeviceStateRow, "23557-L01"))
    assert read.since == NOW.replace(microsecond=123000)
    assert read.since.utcoffset() == timedelta(0)
    assert (read.reading, read.last_seen) == ({"rsrp": -87}, None)


def test_milliseconds_round_down_on_both_sides_of_the_epoch() -> None:
    for value in (-1, 0, 1, 1727776770123):
        assert to_milliseconds(from_milliseconds(value)) == value
    assert to_milliseconds(datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)) == -1


def test_content_is_named_by_its_hash(store: Store) -> None:
    def content(title: str) -> ContentRow:
        return ContentRow(sha="ab" * 32, size=1, duration_ms=1, codec="opus", created=NOW, title=title)

    assert store.write_sync(lambda s: [add_once(s, content("một")), add_once(s, content("hai"))]) == [True, False]


def test_the_newest_receipts_are_found_without_reading_all_that_are_kept(path: Path) -> None:
    with Store.open(path) as store:
        query = text("EXPLAIN QUERY PLAN SELECT * FROM receipt WHERE received > 1")
        [plan] = store.write_sync(lambda s: s.execute(query).all())
    assert "USING INDEX ix_receipt_received" in plan.detail


def test_bulletins_of_an_older_program_are_first_versions_and_are_found(path: Path) -> None:
    path.parent.mkdir()
    bulletin = table("bulletin", *(column(c.name, c.type) for c in Base.metadata.tables["bulletin"].columns))
    old = {"id": "b1", "version": 1, "state": "aired", "cls": "normal", "tier": "commune", "origin": "23557"}
    old |= {"title": "Lịch", "author": "chi", "created": NOW, "audience": "a", "valid_from": NOW, "valid_until": NOW}
    old |= {"body": json.dumps({"text": "Tiêm phòng", "authority": "CV 12"}).encode(), "play_now": False, "repeats": 1}
    with directly(f"sqlite:///{path}") as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.upgrade(config, "0004")
        connection.execute(insert(bulletin).values(old))
    with Store.open(path) as store:
        row = store.write_sync(lambda s: s.get_one(BulletinRow, "b1"))
    assert (row.first, row.every, row.by_session, row.on_behalf) == ("b1", 0, False, "")
    assert row.search.split() == ["lich", "chi", "tiem", "phong", "cv", "12"]
