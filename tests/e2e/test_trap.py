"""A device that tells of itself: an event within seconds, though its turn to be asked is far away."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from inventory.model import DeviceId
from inventory.overlay import address
from nms.monitor.snmp.usm import Community
from nms.settings import secrets
from tests.e2e.kit import until
from tests.sim.world import World, free_ports

DEVICE = DeviceId("23557-L01")


def test_a_trap_is_an_event_and_wrong_ones_are_not(tmp_path: Path) -> None:
    with World(tmp_path, (), poll="1h", trap_port=free_ports(1)[0], units=("23557",)) as world:
        world.start_broker()
        world.start_fleet()
        world.start_hub()
        found = secrets(world.inventory, world.folder / "vault-password")
        assert not isinstance(found, tuple)
        community = Community(found["snmp_community"].reveal().encode())

        def send(name: str, trap: str) -> int:
            to = (f"--clientaddr={address(DEVICE, 127)}", f"127.0.0.1:{world.trap_port}", "", trap)
            command = ["/usr/bin/snmpinform", "-v2c", "-c", name, "-r", "3", "-t", "1", *to]
            return subprocess.run(command, env={"MIBS": ""}, timeout=60, check=False).returncode

        until(lambda: send(community.name.decode(), ".1.3.6.1.6.3.1.1.5.3") == 0, "an inform that is acknowledged")
        assert send("wrong", ".1.3.6.1.6.3.1.1.5.4") != 0

        def told() -> list[dict[str, object]]:
            events = json.loads(world.loa("events", "--since", "2024-10-01T00:00:00+07:00", "--json"))["events"]
            return [e for e in events if e["kind"] == "device.trap"]

        until(told, "the trap as an event")
        assert {e["subject"] for e in told()} == {DEVICE}
