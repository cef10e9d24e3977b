"""Several processes on one PostgreSQL: nobody writes without the claims it needs, nothing acknowledged is lost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from nms.journal import audit, verify
from nms.store import SequenceRow, Store, StoreError, shared
from nms.store.ownership import MOST_SHARDS, Claim, Holder, refusal, role, shard
from tests.nms.pg import Server

NOW = datetime(2024, 10, 1, 9, 59, 30, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def url(postgres: Server) -> str:
    return postgres.database()


@pytest.fixture
def own() -> Iterator[Server]:
    """A server of the test's own, to take away."""
    from tests.nms.pg import why_not

    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with Server() as server:
        yield server


def add(topic: str) -> Callable[[Session], None]:
    return lambda session: session.add(SequenceRow(topic=topic, kid="k", seq=1))


def topics(store: Store) -> set[str]:
    return set(store.read_sync(lambda s: s.scalars(select(SequenceRow.topic)).all()))


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as refused:
        act()
    return refused.value.code


# --- claims, as values ---------------------------------------------------------------------------------------------

SHARDS = st.integers(1, MOST_SHARDS).flatmap(lambda n: st.builds(shard, st.integers(1, n), st.just(n)))


def held(claim: Claim) -> Holder:
    return Holder(claim.space, claim.number, 7, "other pid 7")


@given(SHARDS, SHARDS)
def test_two_shards_go_together_exactly_if_they_are_different_parts_of_one_division(one: Claim, two: Claim) -> None:
    refused = refusal([one], [held(two)], "db")
    assert (refused is None) == (one.space == two.space and one.number != two.number)
    if refused is not None:
        assert refused.code == ("STO008" if one == two else "STO009")
        assert "other pid 7" in refused.diagnostic.text()


@given(st.sampled_from(["playout", "socket", "exporter"]), SHARDS)
def test_a_role_is_refused_to_its_second_holder_only(name: str, other: Claim) -> None:
    assert refusal([role(name)], [held(other)], "db") is None
    refused = refusal([role(name)], [held(role(name))], "db")
    assert refused is not None
    assert (refused.code, name in refused.diagnostic.text()) == ("STO008", True)


# --- claims, held --------------------------------------------------------------------------------------------------


def test_two_hubs_on_one_database_refuse_each_other_and_say_who_it_is(url: str) -> None:
    with Store.open(url, [role("playout"), shard(1, 1)]):
        with pytest.raises(StoreError) as refused:
            Store.open(url, [role("playout")])
        assert refused.value.code == "STO008"
        assert f"pid {os.getpid()}" in refused.value.diagnostic.text()
        assert code_of(lambda: Store.open(url, [shard(1, 2)])) == "STO009"
        with Store.open(url, [role("exporter")]) as other:  # what nobody does can be had
            other.write_sync(add("time"))
    with Store.open(url, [role("playout"), shard(2, 2)]) as next_one:  # the claims went with their owner
        assert topics(next_one) == {"time"}


def test_claims_are_of_one_database_and_not_of_the_server(postgres: Server, url: str) -> None:
    with Store.open(url, [role("playout")]), Store.open(postgres.database(), [role("playout")]):
        pass


HOLDING = """
import sys, time
from nms.store import Store
from nms.store.ownership import shard
with Store.open(sys.argv[1], [shard(1, 4)]):
    print("holding", flush=True)
    time.sleep(60)
"""


def test_the_claims_of_a_killed_process_are_free_at_once(url: str) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDING, url], stdout=subprocess.PIPE, cwd=ROOT) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"holding\n"
        with pytest.raises(StoreError, match=f"pid {child.pid}"):
            Store.open(url, [shard(1, 4)])
        child.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while True:
        try:
            Store.open(url, [shard(1, 4)]).close()
            break
        except StoreError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def sessions(server: Server, url: str) -> Sequence[tuple[Any, ...]]:
    every = server.sql("SELECT pid, datname FROM pg_stat_activity WHERE application_name LIKE 'loa %'")
    return [(pid,) for pid, name in every if f"@/{name}?" in url]


def test_a_writer_whose_session_was_cut_takes_its_claims_again(postgres: Server, url: str) -> None:
    with Store.open(url, [role("socket")]) as store:
        for number in range(3):
            for (pid,) in sessions(postgres, url):
                postgres.sql(f"SELECT pg_terminate_backend({pid}, 5000)")
            store.write_sync(add(f"t{number}"))
            assert code_of(lambda: Store.open(url, [role("socket")])) == "STO008"
        assert topics(store) == {"t0", "t1", "t2"}


def test_who_lost_a_claim_to_another_process_writes_nothing_more(postgres: Server, url: str) -> None:
    with Store.open(url, [role("socket")]) as store:
        store.write_sync(add("mine"))
        for (pid,) in sessions(postgres, url):
            postgres.sql(f"SELECT pg_terminate_backend({pid}, 5000)")
        with Store.open(url, [role("socket")]) as other:
            other.write_sync(add("theirs"))
            assert code_of(lambda: store.write_sync(add("too late"))) == "STO008"
            assert topics(store) == {"mine", "theirs"}  # it may still look
        store.write_sync(add("mine again"))


class Cable:
    """A Unix socket in front of the server that can be pulled: nothing comes through, and nobody is told."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._target = str(server.folder / ".s.PGSQL.5432")
        self.folder = folder
        self.pulled = False
        self.cut_at: bytes | None = None
        self._ends: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._target)
            self._ends += [near, far]
            for source, sink in ((near, far), (far, near)):
                thread = threading.Thread(target=self._carry, args=(near, source, sink), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _carry(self, near: socket.socket, source: socket.socket, sink: socket.socket) -> None:
        """Bytes from one side to the other; the client loses the link right after sending ``cut_at``, once."""
        while data := _received(source):
            with suppress(OSError):
                sink.sendall(data)
            if source is near and self.cut_at is not None and self.cut_at in data:
                self.cut_at = None
                near.shutdown(socket.SHUT_RDWR)
                if self.pulled:
                    return  # the server's end stays open: it does not notice
        _hang_up(sink)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._ends:
            _hang_up(end)
            end.close()
        for thread in self._threads:
            thread.join()


def _hang_up(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(65536)
    except OSError:
        return b""


@pytest.fixture
def cable(postgres: Server, tmp_path: Path) -> Iterator[Cable]:
    made = Cable(postgres, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("server_notices", [True, False])
def test_a_commit_whose_answer_is_lost_is_looked_up(url: str, cable: Cable, server_notices: bool) -> None:
    """Told as kept, because it is; also while the server still holds this process's former session and its claims."""
    through = url.partition("?")[0] + f"?host={cable.folder}"
    with Store.open(through, [role("playout")]) as store:
        store.write_sync(add("before"))
        cable.pulled = not server_notices
        cable.cut_at = b"COMMIT"
        store.write_sync(add("in doubt"))
        assert cable.cut_at is None
        store.write_sync(add("after"))
        assert topics(store) == {"before", "in doubt", "after"}


def test_a_link_lost_before_the_commit_means_refused_and_not_kept(url: str, cable: Cable) -> None:
    with Store.open(url.partition("?")[0] + f"?host={cable.folder}") as store:
        store.write_sync(add("before"))

        def lose_it(session: Session) -> None:
            add("lost")(session)
            cable.cut_at = b"RELEASE"

        assert code_of(lambda: store.write_sync(lose_it)) == "STO004"
        store.write_sync(add("after"))
        assert topics(store) == {"before", "after"}


def test_a_failed_transaction_that_a_function_hides_is_not_acknowledged(url: str) -> None:
    """The server answers COMMIT of a failed transaction with a rollback, and no error."""

    def hide(session: Session) -> None:
        add("lost")(session)
        session.flush()
        try:
            session.connection().exec_driver_sql("SELECT 1/0")
        except Exception:
            return

    with Store.open(url) as store:
        with pytest.raises(StoreError):
            store.write_sync(hide)
        store.write_sync(add("after"))
        assert topics(store) == {"after"}


# --- the server goes away ------------------------------------------------------------------------------------------


def test_a_server_that_restarts_is_waited_for(own: Server) -> None:
    with Store.open(own.database(), [role("playout")]) as store:
        store.write_sync(add("before"))
        own.stop()
        during = threading.Thread(target=store.write_sync, args=(add("during"),))
        during.start()
        own.start()  # by this thread: the server ends with the thread that starts it
        during.join()
        assert topics(store) == {"before", "during"}


def test_a_server_that_is_away_is_waited_for_once_and_then_said(own: Server) -> None:
    """Nothing acknowledged is lost, nothing refused is kept, and afterwards all goes on with the claims taken again."""
    url = own.database()
    with Store.open(url, [role("playout")]) as store:
        kept = {f"t{i}" for i in range(50)}
        for topic in kept:
            store.write_sync(add(topic))
        own.stop(signal.SIGQUIT)
        with pytest.raises(StoreError) as refused:
            store.write_sync(add("refused"))
        assert refused.value.code == "STO004"
        assert "server" in refused.value.diagnostic.fix
        began = time.monotonic()
        for _ in range(20):
            assert code_of(lambda: store.write_sync(add("refused"))) == "STO004"
            assert code_of(lambda: topics(store)) == "STO005"
        assert time.monotonic() - began < 5  # not one wait for each of them
        own.start()
        store.write_sync(add("after"))
        assert topics(store) == kept | {"after"}
        assert code_of(lambda: Store.open(url, [role("playout")])) == "STO008"


CRASHING = """
import asyncio, sys
from nms.store import SequenceRow, Store, StoreError
store = Store.open(sys.argv[1])
async def writer(worker):
    i = 0
    while True:
        i += 1
        try:
            await store.write(lambda s: s.add(SequenceRow(topic=f"{worker}", kid=f"{i}", seq=i)))
            print("+", worker, i, flush=True)
        except StoreError as error:
            print("-", worker, i, error.code, flush=True)
async def main():
    await asyncio.gather(*(writer(w) for w in range(4)))
asyncio.run(main())
"""


def test_a_server_that_crashes_under_load_has_what_was_acknowledged_and_nothing_that_was_refused(own: Server) -> None:
    url = own.database()
    with subprocess.Popen([sys.executable, "-c", CRASHING, url], stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(200)]
        for _ in range(3):
            own.stop(signal.SIGQUIT)
            own.start()
            lines += [child.stdout.readline() for _ in range(200)]
        child.send_signal(signal.SIGKILL)
        lines += [line for line in child.stdout if line.endswith("\n")]
    told = [line.split() for line in lines]
    with Store.open(url) as store:
        kept = store.read_sync(lambda s: {(r.topic, r.kid) for r in s.scalars(select(SequenceRow))})
    assert {(worker, i) for sign, worker, i, *_ in told if sign == "+"} <= kept
    assert not {(worker, i) for sign, worker, i, *code in told if code == ["STO004"]} & kept


# --- several processes ---------------------------------------------------------------------------------------------

AUDITING = """
import sys
from datetime import UTC, datetime
from nms.journal import audit
from nms.store import Store
with Store.open(sys.argv[1]) as store:
    sys.stdin.read(1)
    for i in range(int(sys.argv[2])):
        store.write_sync(lambda s: audit(s, datetime.now(UTC), "an", 1, "approve", f"b{i}", {"i": i}))
"""


def test_three_processes_write_one_audit_chain(url: str) -> None:
    """They also open the empty database at the same moment, and it is made once."""
    command = [sys.executable, "-c", AUDITING, url, "40"]
    children = [subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT) for _ in range(3)]
    for child in children:
        child.communicate(b"\n", timeout=60)
        assert child.returncode == 0
    with Store.open(url) as store:
        assert store.read_sync(verify) == (120, None)
        store.write_sync(lambda s: audit(s, NOW, "an", 1, "a", "x", {}))
        assert store.read_sync(verify) == (121, None)


def test_a_reader_sees_one_consistent_state(url: str) -> None:
    with Store.open(url) as store:

        def twice(session: Session) -> tuple[int | None, int | None]:
            query = select(func.count()).select_from(SequenceRow)
            before = session.scalar(query)
            store.write_sync(add("meanwhile"))
            return before, session.scalar(query)

        assert store.read_sync(twice) == (0, 0)
        assert topics(store) == {"meanwhile"}


def test_commits_wait_for_the_disk_whatever_the_servers_default_is(postgres: Server, url: str) -> None:
    name = url.partition("@/")[2].partition("?")[0]
    postgres.sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with Store.open(url) as store:
        assert store.write_sync(lambda s: s.scalar(text("SHOW synchronous_commit"))) == "on"


def test_only_a_server_is_for_several_processes(url: str, tmp_path: Path) -> None:
    assert shared(url)
    assert not shared(tmp_path / "loa.db")
    assert not shared(f"sqlite:///{tmp_path}/loa.db")
