"""Two real processes poll one fleet; a device of either speaks, whoever of them hears it, also after one has died."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from inventory.model import DeviceId
from inventory.overlay import address
from nms.journal import EventKind, recent
from nms.monitor.fleet import polled
from nms.monitor.shards import Shard, homes
from nms.store import Store
from tests.e2e.kit import until
from tests.nms.pg import Server, why_not
from tests.sim.world import SAMPLE, World, free_ports

pytestmark = pytest.mark.slow

STATIONS = 8


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A few communes of the sample, asked once an hour unless they speak."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    folder = tmp_path / "sample"
    shutil.copytree(SAMPLE, folder)
    for station in sorted((folder / "stations").iterdir())[STATIONS:]:
        station.unlink()
    (folder / "groups.yaml").write_text("groups: []\n")
    with Server() as server:
        port = free_ports(1)[0]
        store = server.database()
        with World(tmp_path / "world", (), poll="1h", trap_port=port, sample=folder, store=store) as world:
            world.start_fleet()
            yield world


def asked(world: World) -> dict[str, int]:
    return cast("dict[str, int]", world.fleet(asked=True)["asked"])


def speak(world: World, device: DeviceId) -> bool:
    """An inform of the device; whether a process acknowledged it."""
    community = (world.folder / "community").read_text()
    to = (f"--clientaddr={address(device, 127)}", f"127.0.0.1:{world.trap_port}", "", ".1.3.6.1.6.3.1.1.5.3")
    command = ["/usr/bin/snmpinform", "-v2c", "-c", community, "-r", "2", "-t", "1", *to]
    return subprocess.run(command, env={"MIBS": ""}, timeout=60, check=False, capture_output=True).returncode == 0


def test_a_trap_brings_its_device_forward_wherever_it_is_polled(world: World) -> None:
    network = world.network()
    where = homes(network.devices, 2)
    used = [d for d, x in sorted(network.devices.items()) if polled(x, network.on(x.in_service))]
    first, second = ([d for d in used if where[d] == Shard(n, 2)][:2] for n in (1, 2))
    for n in (1, 2):  # one after the other: the first has the port
        world.start_parts({f"part{n}": ("--only", "monitor", "--shard", f"{n}/2")})
    until(lambda: all(n == 1 for d, n in asked(world).items() if d in used), "everybody is asked once")

    def brought_forward(device: DeviceId) -> None:
        before = asked(world)[device]
        until(lambda: speak(world, device), f"{device} is acknowledged")
        until(lambda: asked(world)[device] > before, f"{device} is asked again")

    brought_forward(second[0])
    brought_forward(first[0])
    world.kill("part1")
    brought_forward(second[1])
    world.start_parts({"part1": ("--only", "monitor", "--shard", "1/2")})
    until(lambda: asked(world)[first[1]] == 2, "who starts asks everybody")
    brought_forward(first[1])
    quiet = set(used) - {*first, *second}
    assert {n for d, n in asked(world).items() if d in quiet} == {1, 2}, "those of the part that started again: twice"
    with Store.open(world.store) as store:
        traps = {e.subject for e in store.read_sync(lambda s: recent(s, 1000)) if e.kind is EventKind.DEVICE_TRAP}
    assert traps == {*first, *second}
