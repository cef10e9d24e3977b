from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from nms.alarm_store import open_alarms, past_alarms, settle
from nms.alarms import AlarmKind, Raised
from nms.journal import EventKind, append, recent
from nms.selfwatch import (
    AWAY,
    CALM,
    HELD,
    JUMP,
    KINDS,
    LEAST,
    MEMORY,
    UNKEPT,
    WAIT,
    Measured,
    Problem,
    SelfWatch,
    Trouble,
    Watched,
    follow,
    problems,
    process,
    replaced,
    rooted,
)
from nms.store import EventRow, Store, StoreError
from tests.nms import pg
from tests.nms.monitor_kit import fill, small_disk

NOW = datetime(2024, 10, 1, 10, tzinfo=UTC)
GIGA = 2**30
WELL = Measured(free=50 * GIGA, total=100 * GIGA, memory=MEMORY)
CLOCK, DISK, DATABASE = AlarmKind.SELF_CLOCK, AlarmKind.SELF_DISK, AlarmKind.SELF_DATABASE
LATE = 30.0


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({}, None),
        ({"polled": LATE}, None),
        ({"polled": LATE + 0.1}, Problem(AlarmKind.SELF_POLLER)),
        ({"free": 10 * GIGA}, None),
        ({"free": 10 * GIGA - 1}, Problem(DISK, "10%")),
        ({"free": 2 * GIGA - 1}, Problem(DISK, "critical, 2%")),
        ({"free": LEAST - 1, "total": 4 * LEAST}, Problem(DISK, "critical, 25%")),
        ({"failure": "STO004"}, Problem(DATABASE, "STO004")),
        ({"writing": WAIT + 0.1}, Problem(DATABASE)),
        ({"broker": AWAY}, None),
        ({"broker": AWAY + 0.1}, Problem(AlarmKind.SELF_BROKER)),
        ({"jumped": 2.0}, None),
        ({"jumped": -3600.0}, Problem(CLOCK, "-3600 s")),
        ({"unkept": UNKEPT}, None),
        ({"unkept": UNKEPT + 0.1}, Problem(AlarmKind.SELF_NTP)),
        ({"memory": MEMORY + 2**20}, Problem(AlarmKind.SELF_MEMORY, "400 MiB")),
    ],
)
def test_limits(changed: dict[str, float | str], wrong: Problem | None) -> None:
    assert list(problems(replace(WELL, **changed), LATE)) == ([wrong] if wrong else [])  # type: ignore[arg-type] # fields by name


def test_a_problem_is_told_for_a_while_after_it_is_over() -> None:
    first = follow({}, [Problem(DISK, "9%")], NOW, 100.0)
    assert first == {DISK: Trouble("9%", NOW, 100.0 + CALM)}
    later = follow(first, [Problem(DISK, "8%")], NOW + timedelta(seconds=5), 105.0)
    assert later == {DISK: Trouble("8%", NOW, 105.0 + CALM)}
    over = follow(later, [], NOW, 110.0)
    assert over == {DISK: Trouble("8%", NOW, 105.0 + CALM, present=False)}
    assert follow(over, [], NOW, 105.0 + CALM) == {}


FULL, FAILS = Problem(DISK, "critical, 0%"), Problem(DATABASE, "STO004")


@pytest.mark.parametrize(
    ("found", "last", "left"),
    [
        ([FULL, FAILS], "", [FULL]),
        ([FAILS], "", [FAILS]),
        ([FAILS], "critical, 0%", []),
        ([FAILS], "9%", [FAILS]),
        ([Problem(DISK, "9%"), FAILS], "critical, 1%", [Problem(DISK, "9%"), FAILS]),
        ([FULL, Problem(CLOCK, "+9 s")], "", [FULL, Problem(CLOCK, "+9 s")]),
    ],
)
def test_a_full_disk_explains_a_database_on_it(found: list[Problem], last: str, left: list[Problem]) -> None:
    before = {DISK: Trouble(last, NOW, 0.0)} if last else {}
    assert list(rooted(found, before)) == left


def test_a_jump_stands_for_ten_minutes() -> None:
    jumped = follow({}, [Problem(CLOCK, "+3600 s")], NOW, 0.0)
    assert follow(jumped, [], NOW, HELD[CLOCK] - 0.1) == jumped
    assert follow(jumped, [], NOW, HELD[CLOCK]) == {}


@given(st.lists(st.tuples(st.floats(0, 120), st.booleans()), max_size=30))
def test_a_trouble_begins_once_and_ends_after_calm(steps: list[tuple[float, bool]]) -> None:
    troubles, seconds, last = follow({}, [], NOW, 0.0), 0.0, -1e9
    for passed, wrong in steps:
        seconds += passed
        last = seconds if wrong else last
        troubles = follow(troubles, [Problem(DISK)] if wrong else [], NOW + timedelta(seconds=seconds), seconds)
        assert (DISK in troubles) == (seconds - last < CALM)
        assert all(t.since <= NOW + timedelta(seconds=last) for t in troubles.values())


# --- measuring and telling, with a real store


@dataclass
class Times:
    """A wall clock and a monotonic one that run together until the wall clock is set."""

    wall: datetime = NOW
    ticks: float = 1_000.0

    def clock(self) -> datetime:
        return self.wall

    def pass_(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.ticks += seconds


@dataclass
class Switch:
    """The broker's connection, and NTP."""

    connected: bool = True
    kept: bool = True


@dataclass
class Rig:
    watch: SelfWatch
    store: Store
    times: Times
    link: Switch = field(default_factory=Switch)

    async def look(self) -> None:
        """One look five seconds later, and what it tells told."""
        self.times.pass_(5.0)
        self.watch.look()
        if self.watch._telling is not None:
            await self.watch._telling

    async def kinds(self) -> list[AlarmKind]:
        return [a.kind for a in await self.store.read(open_alarms)]

    async def events(self) -> list[tuple[str, str, str]]:
        rows = await self.store.read(lambda s: recent(s, 50))
        return [(str(e.kind), e.from_ or e.to, e.cause) for e in reversed(rows)]


def rig(
    store: Store, folder: Path, *, name: str = "hub", others: bool = False, least: int = 0, inside: bool = False
) -> Rig:
    times, link = Times(), Switch()
    watched = Watched(store, folder, 5.0, None, link, least, inside, lambda: link.kept)
    return Rig(SelfWatch(name, watched, times.clock, others, lambda: times.ticks), store, times, link)


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with room, whatever this machine's has."""
    usage = shutil._ntuple_diskusage(100 * GIGA, 50 * GIGA, 50 * GIGA)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "loa.db") as store:
        yield store


@pytest.mark.usefixtures("roomy")
async def test_a_clock_set_forward_is_one_event_and_one_alarm_that_ends(store: Store, tmp_path: Path) -> None:
    hub = rig(store, tmp_path)
    await hub.look()
    hub.times.wall += timedelta(hours=1)
    for _ in range(10):
        await hub.look()
    (alarm,) = await store.read(open_alarms)
    assert (alarm.subject, alarm.kind, alarm.cause) == ("hub", CLOCK, "+3600 s")
    assert not hub.watch.ok()["clock"]
    hub.times.pass_(HELD[CLOCK])
    await hub.look()
    assert sorted(await hub.events()) == [
        ("alarm.cleared", "self_clock", ""),
        ("alarm.opened", "self_clock", "+3600 s"),
        ("self.clock", "", "+3600 s"),
    ]
    assert all(hub.watch.ok().values())


@pytest.mark.usefixtures("roomy")
@pytest.mark.parametrize("jump", [3600.0, -3600.0, JUMP + 0.1])
async def test_a_clock_is_not_believed_from_its_jump_on_until_it_has_been_steady(
    store: Store, tmp_path: Path, jump: float
) -> None:
    hub = rig(store, tmp_path)
    await hub.look()
    hub.times.pass_(3.0)
    assert hub.watch.clock_good()
    hub.times.wall += timedelta(seconds=jump)
    assert not hub.watch.clock_good(), "before the next look"
    await hub.look()
    assert not hub.watch.clock_good()
    hub.times.pass_(HELD[CLOCK] - 10.0)
    await hub.look()
    assert not hub.watch.clock_good()
    await hub.look()
    assert hub.watch.clock_good()


@pytest.mark.usefixtures("roomy")
async def test_a_clock_that_only_drifts_is_believed(store: Store, tmp_path: Path) -> None:
    hub = rig(store, tmp_path)
    hub.times.wall += timedelta(seconds=JUMP - 0.1)
    assert hub.watch.clock_good()


@pytest.mark.usefixtures("roomy")
async def test_a_broker_that_is_away_is_told_and_forgiven(store: Store, tmp_path: Path) -> None:
    hub = rig(store, tmp_path)
    hub.link.connected = False
    for _ in range(6):
        await hub.look()
    assert await hub.kinds() == []
    await hub.look()
    assert await hub.kinds() == [AlarmKind.SELF_BROKER]
    hub.link.connected = True
    await hub.look()
    assert hub.watch.ok()["broker"]
    hub.times.pass_(CALM)
    await hub.look()
    assert await hub.kinds() == []


@pytest.mark.usefixtures("roomy")
async def test_a_clock_that_ntp_no_longer_keeps_is_told_until_it_does_and_is_believed_meanwhile(
    store: Store, tmp_path: Path
) -> None:
    hub = rig(store, tmp_path)
    await hub.look()
    hub.link.kept = False
    hub.times.pass_(UNKEPT - 5.0)
    await hub.look()
    assert await hub.kinds() == []
    await hub.look()
    assert await hub.kinds() == [AlarmKind.SELF_NTP]
    assert not hub.watch.ok()["ntp"]
    assert hub.watch.clock_good()
    hub.link.kept = True
    await hub.look()
    assert hub.watch.ok()["ntp"]
    hub.times.pass_(CALM)
    await hub.look()
    assert await hub.kinds() == []


@pytest.mark.usefixtures("roomy")
async def test_a_restart_neither_ends_nor_delays_that_alarm(store: Store, tmp_path: Path) -> None:
    first = rig(store, tmp_path)
    first.link.kept = False
    await first.look()
    [told] = await store.read(open_alarms)
    again = rig(store, tmp_path)
    again.link.kept = False
    await again.look()
    assert [a.id for a in await store.read(open_alarms)] == [told.id]


@pytest.mark.usefixtures("roomy")
async def test_alarms_of_other_processes_are_left_alone(store: Store, tmp_path: Path) -> None:
    others = Raised("hub:shard 1/2", DISK, NOW, "9%")
    store.write_sync(lambda s: settle(s, KINDS, [others], NOW))
    beside = rig(store, tmp_path, name="hub:shard 2/2", others=True)
    await beside.look()
    assert await beside.kinds() == [DISK]
    alone = rig(store, tmp_path)
    await alone.look()
    assert await alone.kinds() == []


@pytest.mark.parametrize(
    ("other", "running", "gone"),
    [
        ("hub:shard 1/4", "hub:shard 2/4", False),
        ("hub:shard 4/4", "hub:shard 1/3", True),
        ("hub:shard 1/4", "hub:playout, socket, shard 1/1", True),
        ("hub:shard 1/4", "hub:exporter, playout, socket", False),
        ("hub:exporter, playout, socket", "hub:exporter", True),
        ("hub:exporter, playout, socket, shard 1/1", "hub:shard 2/2", True),
        ("hub:playout, socket", "hub:exporter", False),
    ],
)
def test_which_processes_cannot_be_running_beside_another(other: str, running: str, gone: bool) -> None:
    assert replaced(other, running) is gone


@pytest.mark.usefixtures("roomy")
async def test_alarms_of_parts_that_are_counted_no_more_clear(store: Store, tmp_path: Path) -> None:
    old = [process((f"shard {n}/4",)) for n in range(1, 5)]
    store.write_sync(lambda s: settle(s, KINDS, [Raised(name, DISK, NOW, "9%") for name in (*old, "hub:playout")], NOW))
    await rig(store, tmp_path, name=process(("shard 3/4",)), others=True).look()
    assert {a.subject for a in await store.read(open_alarms)} == {*old, "hub:playout"} - {old[2]}
    await rig(store, tmp_path, name=process(("shard 1/3",)), others=True).look()
    assert [a.subject for a in await store.read(open_alarms)] == ["hub:playout"]


# --- a disk that fills


async def test_a_disk_that_fills_loses_nothing_accepted_and_is_told(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small") as disk, Store.open(disk / "loa.db") as store:
        hub = rig(store, disk, least=2**20, inside=True)
        await hub.look()
        assert await hub.kinds() == []
        ballast = fill(disk)
        accepted, refused = [], 0
        for number in range(60):
            try:
                await store.write(lambda s, n=number: event(s, n))  # type: ignore[misc] # one number each
                accepted.append(str(number))
            except StoreError:
                refused += 1
        await hub.look()
        assert refused
        assert not hub.watch.ok()["disk"]
        assert not hub.watch.troubles[DISK].detail.endswith("25%")

        ballast.unlink()
        await hub.look()
        assert await hub.kinds() == [DISK], "one alarm: why the database failed is known"
        await store.write(lambda s: event(s, 99))
        hub.times.pass_(CALM)
        await hub.look()
        await hub.look()
        assert await hub.kinds() == []
        assert all(hub.watch.ok().values())
        assert await kept(store) == [*accepted, "99"]


def event(session: object, number: int) -> None:
    append(session, NOW, EventKind.SELF_STARTED, "test", cause=str(number), data={"weight": "x" * 4_000})  # type: ignore[arg-type]


async def kept(store: Store) -> list[str]:
    """The causes of the events that were written by the test, in their order."""
    query = select(EventRow.cause).where(EventRow.subject == "test")
    return sorted(await store.read(lambda s: list(s.scalars(query))), key=int)


# --- a database that goes away


@pytest.mark.usefixtures("roomy")
@pytest.mark.skipif(pg.why_not() is not None, reason=str(pg.why_not()))
async def test_a_database_that_goes_away_is_told_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nms.store.engine.AWAY_SECONDS", 0.5)
    with pg.Server() as server, Store.open(server.database()) as store:
        hub = rig(store, tmp_path)
        await store.write(lambda s: event(s, 1))
        await hub.look()
        server.stop()
        began = hub.times.wall
        with pytest.raises(StoreError):
            await store.write(lambda s: event(s, 2))
        await hub.look()
        assert not hub.watch.ok()["database"]
        assert hub.watch.troubles[DATABASE].detail.startswith("STO")
        hub.times.pass_(60.0)
        server.start()
        await hub.look()
        await hub.look()
        assert hub.watch.ok()["database"]
        (alarm,) = await store.read(open_alarms)
        assert (alarm.kind, alarm.since) == (DATABASE, began + timedelta(seconds=5))
        hub.times.pass_(HELD[DATABASE])
        await hub.look()
        assert await hub.kinds() == []
        assert [a.kind for a, _ in await store.read(past_alarms)] == [DATABASE]
        assert await kept(store) == ["1"]


@pytest.mark.usefixtures("roomy")
async def test_a_write_that_takes_long_is_told_while_it_waits(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nms.selfwatch.WAIT", 0.05)
    hub = rig(store, tmp_path)
    blocker = sqlite3.connect(tmp_path / "loa.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(store.write(lambda s: event(s, 1)))
    for _ in range(1000):
        if store.pulse.busy_since is None:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.06)
    hub.watch.look()
    assert not hub.watch.ok()["database"]
    blocker.execute("ROLLBACK")
    blocker.close()
    await waiting
    await hub.look()
    assert hub.watch.ok()["database"]
