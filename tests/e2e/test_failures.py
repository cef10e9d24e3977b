"""What fails in the fleet is told by its cause; the hub itself is restarted, reloaded and ended without losing that."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.kit import melody, router, running, until
from tests.sim.world import World
from tui.methods import DEVICES, HELLO, OVERVIEW, CauseRow, DeviceRow, Nothing, Overview, Select

pytestmark = pytest.mark.slow

LOST, ALL_WELL = 4, 0
STATION = "23557-L01"
COMMUNES = ("23557", "23638", "23725", "24046", "24048", "24052", "24061", "24067")
"""A ward, and communes whose offices share routers."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running(tmp_path_factory.mktemp("failures"), (), poll="1s", units=COMMUNES) as world:
        yield world


@pytest.fixture
def well(world: World) -> Iterator[World]:
    """The world with every device answering, before and after."""
    whole_sweep(world)
    yield world
    world.fleet(heal="all")
    until(lambda: overview(world).sweep and not overview(world).causes, "the fleet is well again")


def overview(world: World) -> Overview:
    return world.ask(OVERVIEW, Nothing())


def whole_sweep(world: World) -> None:
    until(lambda: (s := overview(world).sweep) and s.answered == s.polled, "a sweep that all devices answered")


def rows(world: World, selection: str = "") -> dict[str, DeviceRow]:
    return {row.device: row for row in world.ask(DEVICES, Select(selection)).devices}


def causes(world: World, *wanted: str) -> tuple[CauseRow, ...]:
    """The causes, once these are named."""

    def named() -> tuple[CauseRow, ...]:
        found = overview(world).causes
        return found if set(wanted) <= {c.cause for c in found} else ()

    return until(named, f"{wanted} named as causes")


def cell(world: World, avoid: set[str]) -> tuple[str, tuple[str, ...]]:
    """The cell that most devices are on, not counting cells of ``avoid``; devices behind its modems are among them."""
    answer: Any = world.fleet(cells=True)
    members = {c: {*direct, *answer["behind"].get(c, [])} for c, direct in answer["cells"].items()}
    best = max((c for c in members if not avoid & members[c]), key=lambda c: (len(members[c]), c))
    return best, tuple(sorted(members[best]))


def events(world: World, since: int) -> list[dict[str, Any]]:
    """Changes of devices, as the verb tells them."""
    at = datetime.fromtimestamp(since / 1000).astimezone().isoformat()
    found = json.loads(world.loa("events", "--since", at, "--json"))["events"]
    return [e for e in found if e["kind"] == "device.state" and milliseconds(e["at"]) >= since]


def milliseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def test_a_shared_router_is_the_one_cause_of_what_hangs_on_it(well: World) -> None:
    modem, behind = router(well)
    assert len(behind) >= 2
    before = well.now()
    assert "kết nối" in well.loa("status", codes=(ALL_WELL,))
    well.fleet(fail=[modem])
    (only,) = causes(well, modem)
    assert (only.kind, set(only.devices)) == ("modem", {modem, *behind})
    found = rows(well)
    assert (found[modem].state, found[modem].cause) == ("down", "")
    assert {(found[d].state, found[d].cause) for d in behind} == {("unreachable", modem)}
    assert {r.state for d, r in found.items() if d not in (modem, *behind)} == {"up"}

    assert modem in well.loa("status", codes=(LOST,))
    well.loa("status", f"uplink={modem}", codes=(LOST,))
    well.loa("status", "commune=23557", codes=(ALL_WELL,))
    told = {e["subject"]: (e["from"], e["to"], e["cause"]) for e in events(well, before)}
    assert told == {modem: ("up", "down", "")} | {d: ("up", "unreachable", modem) for d in behind}


def test_a_cell_is_the_one_cause_of_all_that_is_on_it_and_heals_in_one_sweep(well: World) -> None:
    name, members = cell(well, avoid=set())
    key = f"cell:{name}"
    assert len(members) >= 5
    before = well.now()
    well.fleet(fail_cell=name)
    (only,) = causes(well, key)
    assert (only.kind, set(only.devices)) == ("cell", set(members))
    found = rows(well)
    assert {(found[d].state, found[d].cause) for d in members} == {("unreachable", key)}
    assert {r.state for d, r in found.items() if d not in members} == {"up"}
    assert {e["subject"]: (e["to"], e["cause"]) for e in events(well, before)} == dict.fromkeys(
        members, ("unreachable", key)
    )

    well.fleet(heal="all")
    healed = well.now()
    until(lambda: (s := overview(well).sweep) and s.at > healed and not overview(well).causes, "nothing is lost")
    back = events(well, only.since)
    up = {e["subject"]: milliseconds(e["at"]) for e in back if e["to"] == "up"}
    assert up.keys() == set(members)
    assert len({at for at in up.values() if at > healed}) <= 1, "some came back later than the first of them"
    well.loa("status", codes=(ALL_WELL,))


def test_a_hub_that_was_killed_knows_what_is_lost_and_since_when(well: World) -> None:
    modem, behind = router(well, avoid=router(well)[0])  # one that fails in every test would be flapping
    name, _ = cell(well, avoid={modem, *behind})
    well.fleet(fail=[modem])
    well.fleet(fail_cell=name)
    causes(well, modem, f"cell:{name}")
    before, began = rows(well), {c.cause: c.since for c in overview(well).causes}
    restarted = well.now()
    well.kill("hub")
    well.start_hub()
    until(lambda: overview(well).sweep, "the first sweep of the new hub")
    after = rows(well)
    assert told(after) == told(before)
    assert {c.cause: c.since for c in overview(well).causes} == began
    assert events(well, restarted) == [], "nothing has changed, so nothing is told"


def told(found: dict[str, DeviceRow]) -> dict[str, tuple[str, str, int]]:
    return {device: (row.state, row.cause, row.since) for device, row in found.items()}


def test_a_second_hub_on_the_same_state_is_refused(well: World) -> None:
    running = well.ask(HELLO, Nothing())
    second = serve(well)
    assert second.returncode == 1
    assert "[STO001]" in second.stderr
    assert "loa.db" in second.stderr
    assert "Traceback" not in second.stderr
    assert well.ask(HELLO, Nothing()).started == running.started, "the first one goes on"


def serve(world: World) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tui.cli", "serve"]
    return subprocess.run(
        command, env=world.environment, cwd=world.folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_broken_inventory_is_not_taken_over(well: World) -> None:
    (station,) = (well.inventory / "stations").glob("23557-*.yaml")
    text = station.read_text()
    renamed = text.replace("name: Trụ sở UBND", "name: Trụ sở mới", 1)
    assert renamed != text
    station.write_text(renamed.replace("profile: loa-receiver", "profile: loa-receiver\n    volumne: 80", 1))
    reload(well, "inventory not reloaded: 1 error")
    assert rows(well, f"commune={STATION[:5]}")[STATION].name == "Trụ sở UBND"

    station.write_text(renamed)
    reload(well, "inventory reloaded")
    assert rows(well, f"commune={STATION[:5]}")[STATION].name == "Trụ sở mới"
    whole_sweep(well)


def reload(world: World, said: str) -> None:
    """SIGHUP, until the hub's log has said so once more."""
    log = world.folder / "hub.log"
    before = log.read_text().count(said)
    world.children["hub"].send_signal(signal.SIGHUP)
    until(lambda: log.read_text().count(said) > before, said)


def test_sigterm_ends_the_hub_in_order_and_all_it_started(well: World) -> None:
    """In the middle of making a sound, with a screen that watches and a device that does not take its download."""
    with closing(watching(well)), closing(stalled_download(well)):
        recording = melody(well.folder, 240, 1)
        push = ["push", "--origin", "23557", "--title", "dài", "--audio", str(recording)]
        client = well.spawn("push", [sys.executable, "-m", "tui.cli", "--as", "c23557.editor", *push])
        until(lambda: started_by_hub(well), "the hub makes the sound")
        hub = well.children["hub"]
        hub.terminate()
        assert hub.wait(timeout=60) == 0
    assert client.wait(timeout=60) == 1
    assert "CFG103" in (well.folder / "push.log").read_text()
    assert started_by_hub(well) == []
    assert "Traceback" not in (well.folder / "hub.log").read_text()
    well.start_hub()


def watching(world: World) -> socket.socket:
    """A screen's connection on which the hub streams."""
    screen = socket.socket(socket.AF_UNIX)
    screen.connect(str(world.folder / "hub" / "hub.sock"))
    screen.sendall(b'{"loa": 1}\n{"id": 1, "method": "watch", "params": {}}\n')
    with screen.makefile() as lines:
        until(lambda: '"more": true' in lines.readline(), "the first picture")
    return screen


def stalled_download(world: World) -> socket.socket:
    """A device on a dead line, in the middle of a content that is larger than the network's buffers."""
    name = "ab" * 32
    folder = world.folder / "hub" / "content" / name[:2]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(bytes(32 * 1024 * 1024))
    device = socket.create_connection(("127.0.0.1", world.content_port))
    device.sendall(f"GET /content/{name} HTTP/1.1\r\nHost: hub\r\n\r\n".encode())
    assert device.recv(15) == b"HTTP/1.1 200 OK"
    return device


def started_by_hub(world: World) -> Sequence[int]:
    """Processes with this world's environment that the test itself did not start."""
    mark = f"LOA_STATE_DIR={world.folder}/hub".encode()
    known = {child.pid for child in world.children.values()} | {os.getpid()}
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue
    return sorted(set(found) - known)
