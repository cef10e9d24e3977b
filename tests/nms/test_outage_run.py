"""The database is away for a minute while a real hub polls and devices come and go: nothing lost, nothing false."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nms.alarm_store import open_alarms
from nms.alarms import AlarmKind
from nms.journal import Event, EventKind, recent
from nms.monitor.fleet import polled
from nms.store import DeviceStateRow, Store
from tests.e2e.kit import router, until
from tests.nms.pg import Server, why_not
from tests.sim.world import SAMPLE, World

pytestmark = pytest.mark.slow

STATIONS = 20
AWAY = 60.0
"""Seconds for which the database is gone."""

HOLD = 15.0
"""Seconds for which the hub's alarm about its database stands once it is over; in earnest ten minutes."""

HUB = f"""
import nms.selfwatch as watch
watch.HELD[watch.AlarmKind.SELF_DATABASE] = {HOLD}
from tui.cli import main
main()
"""


@pytest.fixture
def server() -> Iterator[Server]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with Server() as made:
        yield made


@pytest.fixture
def world(server: Server, tmp_path: Path) -> Iterator[World]:
    """A few communes on a real database, polled every second by one hub that does everything."""
    folder = tmp_path / "sample"
    shutil.copytree(SAMPLE, folder)
    for station in sorted((folder / "stations").iterdir())[STATIONS:]:
        station.unlink()
    (folder / "groups.yaml").write_text("groups: []\n")
    with World(tmp_path / "world", (), poll="1s", sample=folder, store=server.database()) as world:
        world.start_broker()
        world.start_fleet()
        world.spawn("hub", [sys.executable, "-c", HUB, "serve"])
        yield world


def events(store: Store) -> list[Event]:
    return list(reversed(store.read_sync(lambda s: recent(s, 100_000))))


def changes(store: Store, device: str) -> list[tuple[str, str, str]]:
    return [(e.from_, e.to, e.cause) for e in events(store) if e.kind is EventKind.DEVICE_STATE and e.subject == device]


def about_itself(store: Store) -> set[AlarmKind]:
    """Without those about this machine, on which the tests are not alone."""
    kinds = {a.kind for a in store.read_sync(open_alarms) if a.kind.startswith("self_")}
    return kinds - {AlarmKind.SELF_DISK, AlarmKind.SELF_MEMORY}


def test_a_minute_without_the_database(server: Server, world: World) -> None:
    network = world.network()
    used = {d for d, x in network.devices.items() if polled(x, network.on(x.in_service))}
    modem, behind = router(world)
    alone = sorted(d for d in used if network.devices[d].uplink is None and not network.behind(d))
    brief, lasting = alone[0], alone[-1]
    with Store.open(world.store) as store:

        def states() -> dict[str, str]:
            rows = store.read_sync(lambda s: s.execute(DeviceStateRow.__table__.select()).mappings().all())
            return {row["device"]: row["state"] for row in rows}

        until(lambda: set(states()) == used and set(states().values()) == {"up"}, "everybody is up")
        until(lambda: any(e.kind is EventKind.SELF_BROKER for e in events(store)), "the hub is at the broker")
        assert about_itself(store) == set()
        begun, gone = world.now(), time.monotonic()
        server.stop()
        for seconds, order in (
            (5.0, {"fail": [brief]}),
            (25.0, {"heal": [brief]}),
            (30.0, {"fail": [modem]}),
            (40.0, {"fail": [lasting]}),
            (AWAY, {}),
        ):
            time.sleep(max(0.0, gone + seconds - time.monotonic()))
            if order:
                world.fleet(**order)
        ended = world.now()
        server.start()

        until(lambda: changes(store, lasting)[-1:] == [("up", "down", "")], "the loss is told")
        assert changes(store, brief)[1:] == [("up", "down", ""), ("down", "up", "")]
        assert changes(store, modem)[1:] == [("up", "down", "")]
        assert {d: changes(store, d)[1:] for d in behind} == {d: [("up", "unreachable", modem)] for d in behind}
        others = used - {brief, lasting, modem, *behind}
        assert {d: told for d in others if (told := changes(store, d)[1:])} == {}, "a false change"
        late = [
            e.at.timestamp() * 1000 for e in events(store) if e.subject in (brief, modem, lasting) and e.from_ == "up"
        ]
        assert len(late) == 3
        assert all(begun < at < ended for at in late), "told with the time at which it happened"

        until(lambda: about_itself(store) == {AlarmKind.SELF_DATABASE}, "one alarm about itself")
        until(lambda: about_itself(store) == set(), "the end of the alarm")
        opened = [e.to for e in events(store) if e.kind is EventKind.ALARM_OPENED and e.to.startswith("self_")]
        assert set(opened) - {"self_disk", "self_memory"} == {"self_database"}
        assert opened.count("self_database") == 1
    log = (world.folder / "hub.log").read_text()
    assert log.count("what the monitor finds waits for the store") == 1
    assert log.count("what the monitor found is kept") == 1
    assert "Traceback" not in log
    assert world.children["hub"].poll() is None
