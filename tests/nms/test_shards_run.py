"""Four real processes poll one fleet on one PostgreSQL; one dies, the database goes away, their number changes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from datetime import date
from pathlib import Path
from typing import cast
from urllib.request import urlopen

import pytest
from sqlalchemy import select

from nms.journal import EventKind, recent
from nms.monitor.fleet import polled
from nms.monitor.shards import Shard, homes
from nms.store import AlarmRow, DeviceStateRow, ShardRow, Store, StoreError
from nms.store.ownership import shard
from tests.nms.pg import Server, why_not
from tests.sim.world import SAMPLE, World
from tui.methods import DEVICES, OVERVIEW, Nothing, Select

STATIONS = 30
POLL = 1.0
"""Seconds from one poll of a device to the next."""

ENOUGH = 4
"""Polls of every device after which it is judged who was asked too often."""


@pytest.fixture
def server() -> Iterator[Server]:
    """The test's own server: it goes away."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with Server() as made:
        yield made


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A few communes of the sample."""
    folder = tmp_path / "sample"
    shutil.copytree(SAMPLE, folder)
    for station in sorted((folder / "stations").iterdir())[STATIONS:]:
        station.unlink()
    (folder / "groups.yaml").write_text("groups: []\n")
    return folder


class Scene:
    """The processes, and what can be seen of them from outside: the fleet's counts and the database."""

    def __init__(self, world: World, server: Server) -> None:
        self.world = world
        self.server = server
        network = world.network()
        self.of = {d: homes(network.devices, 4)[d] for d, x in network.devices.items() if polled(x, date(2024, 10, 1))}
        self.alone = [d for d in self.of if network.devices[d].uplink is None and not network.behind(d)]
        self.lost: set[str] = set()

    def start(self, *parts: Shard) -> None:
        self.world.start_parts({name(part): polling(part) for part in parts})

    def until(self, condition: Callable[[], bool], what: str) -> None:
        self.world.wait(what, condition, 60)

    def asked(self) -> dict[str, int]:
        return cast("dict[str, int]", self.world.fleet(asked=True)["asked"])

    def polls(self, devices: Collection[str], enough: int) -> dict[str, int]:
        """How often every device was asked until each of these was asked often enough."""
        before = self.asked()
        self.until(lambda: all(n - before[d] >= enough for d, n in self.asked().items() if d in devices), "polls")
        return {d: n - before[d] for d, n in self.asked().items()}

    def metric(self, metric: str) -> float:
        with urlopen(f"http://127.0.0.1:{self.world.exporter_port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(metric))

    def once(self) -> None:
        """Every device is polled, and none more often than one process would: two would ask it twice an interval."""
        began = time.monotonic()
        polls = self.polls(self.of, ENOUGH)
        most = (time.monotonic() - began) / POLL + 2
        assert {d: n for d, n in polls.items() if n > most} == {}

    def fail(self, device: str) -> None:
        self.lost.add(device)
        self.world.fleet(fail=[device])

    def told(self, store: Store, kind: EventKind) -> list[tuple[str, str, str]]:
        """Subject, from and to of the events of a kind, in order."""
        events = store.read_sync(lambda s: recent(s, 100_000))
        return [(e.subject, e.from_, e.to) for e in reversed(events) if e.kind is kind]

    def down(self, store: Store) -> set[str]:
        return {subject for subject, _, to in self.told(store, EventKind.DEVICE_STATE) if to in ("down", "unreachable")}


def name(shard: Shard) -> str:
    return f"part{shard.index}of{shard.count}"


def polling(shard: Shard) -> tuple[str, ...]:
    return ("--only", "monitor", "--shard", str(shard))


def alarms(store: Store) -> set[str]:
    """What open alarms are about."""
    return set(store.read_sync(lambda s: s.scalars(select(AlarmRow.subject).where(AlarmRow.cleared.is_(None))).all()))


def refused(world: World, *arguments: str) -> str:
    """What a process that must not start says, in English."""
    command = [sys.executable, "-m", "tui.cli", "--lang", "en", "serve", *arguments]
    done = subprocess.run(command, env=world.environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


@pytest.mark.slow
def test_parts_of_a_fleet(server: Server, sample: Path, tmp_path: Path) -> None:
    world = World(tmp_path / "world", (), poll=f"{POLL:g}s", sample=sample, store=server.database())
    with world:
        world.start_broker()
        world.start_fleet()
        scene = Scene(world, server)
        parts = {name(part): polling(part) for part in (Shard(index, 4) for index in range(1, 5))}
        world.start_parts({"hub": ("--only", "playout,socket,exporter"), **parts})
        with Store.open(world.store) as store:
            all_are_known_and_each_is_polled_once(scene, store)
            a_process_is_killed(scene, store)
            the_database_goes_away(scene, store)
            a_cell_across_parts_is_one_cause(scene)
            another_number_of_parts(scene, store)
            assert scene.down(store) == scene.lost


def all_are_known_and_each_is_polled_once(scene: Scene, store: Store) -> None:
    def known() -> bool:
        rows = store.read_sync(lambda s: s.scalars(select(DeviceStateRow)).all())
        return {r.device for r in rows if r.state in ("up", "degraded") and r.reading} == set(scene.of)

    scene.until(known, "every device has a row")
    assert len(set(scene.of.values())) == 4
    scene.once()


def a_process_is_killed(scene: Scene, store: Store) -> None:
    """Its part is missed, and so is unknown; the others go on; the next process takes it up where it was."""
    dead, mine = Shard(2, 4), [d for d in scene.alone if scene.of[d] == Shard(2, 4)]
    others = {d for d, home in scene.of.items() if home != dead}
    scene.world.kill(name(dead))
    before = scene.polls(others, 1)
    scene.fail(mine[-1])
    nobody_else_may(scene)
    scene.until(lambda: alarms(store) == {"shard:2/4"}, "an alarm about the part that is missed")
    scene.polls(others, 1)
    assert scene.metric("loa_shard_age_seconds") > 10
    assert not any(before[d] for d in set(scene.of) - others)
    scene.until(lambda: unknown(scene) == set(scene.of) - others, "what nobody polls is unknown")
    scene.start(dead)
    scene.until(lambda: mine[-1] in scene.down(store), "what was lost while nobody looked")
    scene.until(lambda: not alarms(store), "the end of the alarm")
    assert scene.told(store, EventKind.SELF_SHARD) == [
        ("shard:2/4", "polled", "missed"),
        ("shard:2/4", "missed", "polled"),
    ]


def nobody_else_may(scene: Scene) -> None:
    same = refused(scene.world, "--only", "monitor", "--shard", "3/4")
    assert "STO008" in same
    assert f"pid {scene.world.children[name(Shard(3, 4))].pid}" in same
    other = refused(scene.world, "--only", "monitor", "--shard", "1/3")
    assert "STO009" in other
    assert "4 parts" in other


def the_database_goes_away(scene: Scene, store: Store) -> None:
    """Polling goes on; what happened meanwhile is written when it is back; and its claims are taken again."""
    gone = next(d for d in scene.alone if d not in scene.lost)
    scene.server.stop()
    scene.fail(gone)
    scene.polls(set(scene.of) - scene.lost, 2)
    scene.server.start()
    scene.until(lambda: gone in scene.down(store), "the loss of a device while the database was away")
    with pytest.raises(StoreError, match="STO008"):
        Store.open(scene.world.store, [shard(1, 4)])
    assert all(child.poll() is None for child in scene.world.children.values())


def unknown(scene: Scene) -> set[str]:
    """The devices of which the hub knows nothing."""
    rows = scene.world.ask(DEVICES, Select("status=unknown")).devices
    return {row.device for row in rows} & set(scene.of)


def a_cell_across_parts_is_one_cause(scene: Scene) -> None:
    """No part sees enough of it; who sees the whole fleet names it."""
    cells = cast("dict[str, list[str]]", scene.world.fleet(cells=True)["cells"])
    behind = cast("dict[str, list[str]]", scene.world.fleet(cells=True)["behind"])
    spread = {c: ds for c, ds in cells.items() if len({scene.of[d] for d in ds if d in scene.of}) > 1}  # type: ignore[index]
    cell = max(spread, key=lambda c: len(spread[c]))
    assert len(spread[cell]) >= 5
    scene.lost |= {*spread[cell], *behind.get(cell, ())}
    scene.world.fleet(fail_cell=cell)

    def named() -> bool:
        causes = {row.cause: row.devices for row in scene.world.ask(OVERVIEW, Nothing()).causes}
        return set(causes.get(f"cell:{cell}", ())) >= set(spread[cell])

    scene.until(named, "one cause")


def another_number_of_parts(scene: Scene, store: Store) -> None:
    """All stop, fewer start: every device has exactly one process again, and the old parts are no longer missed."""
    old = [scene.world.children[name(Shard(index, 4))] for index in range(1, 5)]
    for child in old:
        child.terminate()
    assert [child.wait(20) for child in old] == [0] * 4
    scene.start(*(Shard(index, 3) for index in range(1, 4)))
    scene.world.fleet(heal="all")
    scene.once()
    rows = store.read_sync(lambda s: s.scalars(select(ShardRow)).all())
    assert {(r.part, r.parts, r.missed) for r in rows} == {(1, 3, None), (2, 3, None), (3, 3, None)}
    scene.until(lambda: not unknown(scene), "everything is known again")
