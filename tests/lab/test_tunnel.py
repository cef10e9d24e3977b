"""A device makes its own key on the bench, comes back through the tunnel only, and changes its key without a loss."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import yaml

from inventory import overlay
from inventory.model import DeviceId, Hub
from nms.provision import wireguard
from nms.provision.reach import Target
from nms.provision.values import Facts, Outcome
from tests.lab.host import Host
from tests.lab.lab import OCTET, PUBLIC, Lab
from tests.lab.town import ROOT, Town
from tests.lab.tunnel_kit import Interface

NAME = DeviceId("23557-L01")
ON = date(2024, 10, 1)
BENCH = "198.18.2.1"


class HubTunnel:
    """The hub's end in the centre: wireguard-go, configured by what ``wireguard.peers`` says."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab = lab
        self._key = folder / "wg.key"
        self._peers = folder / "wg.peers"
        self._key.write_text(lab.noc.run(["wg", "genkey"]).stdout)
        self.public = lab.noc.run(["wg", "pubkey"], input=self._key.read_text()).stdout.strip()
        self._interface = Interface(lab.noc)
        lab.noc.run(["ip", "link", "set", self._interface.name, "mtu", "1380", "up"])
        lab.noc.run(
            ["ip", "route", "add", "10.0.0.0/8", "dev", self._interface.name, "src", overlay.hub_address(OCTET)]
        )

    def accept(self, town: Town, told: Mapping[DeviceId, list[str]]) -> tuple[wireguard.Peer, ...]:
        """One round of what the hub does again and again."""
        last = wireguard.handshakes(self._lab.noc.run(["wg", "show", self._interface.name, "latest-handshakes"]).stdout)
        peers = wireguard.peers(town.network, ON, OCTET, told, last)
        own = f"[Interface]\nListenPort = 51820\nPrivateKey = {self._key.read_text()}\n"
        self._peers.write_text(own + wireguard.config(peers))
        self._lab.noc.run(["wg", "syncconf", self._interface.name, str(self._peers)])
        return peers

    def close(self) -> None:
        self._interface.close()


@pytest.fixture
def lab(lab_image: Path) -> Iterator[Lab]:
    with Lab() as made:
        yield made


def until(done: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_from_the_bench_into_the_tunnel_and_to_a_new_key(lab: Lab, tmp_path: Path) -> None:
    host = lab.host(NAME, address=BENCH)
    lab.ready()
    tunnel = HubTunnel(lab, tmp_path)
    try:
        town = Town.of(lab, tmp_path, [host], Hub("hub.example", f"{PUBLIC}:51820", tunnel.public))
        town.enrol(host)
        through = enrolled(town, host, tunnel)
        shut(lab, host)
        rekeyed(town, host, tunnel, through)
    finally:
        tunnel.close()


def enrolled(town: Town, host: Host, tunnel: HubTunnel) -> list[Target]:
    """On the bench the device gets everything; then only the tunnel leads to it, and there it is confirmed."""
    (bench,) = town.targets()
    assert {r.outcome for r in town.apply([bench]).values()} == {Outcome.APPLIED}
    key = host.exec(["sh", "-c", "wg pubkey </etc/wireguard/loa.key"]).stdout.strip()
    assert host.exec(["stat", "-c", "%a %U", "/etc/wireguard/loa.key"]).stdout.strip() == "600 root"
    device = replace(town.network.devices[NAME], public_key=key)
    town.network = replace(town.network, devices={NAME: device})
    tunnel.accept(town, {})
    through = [replace(bench, address=overlay.address(NAME, OCTET))]
    until(lambda: set(town.confirm(through).values()) == {None})
    assert facts(town, through).host["wireguard"] == key
    return through


def shut(lab: Lab, host: Host) -> None:
    """From the bench nobody gets in any more."""
    command = ["timeout", "5", *lab.ssh(host, "true", address=BENCH)]
    assert lab.noc.run(command, check=False).returncode != 0


def rekeyed(town: Town, host: Host, tunnel: HubTunnel, through: list[Target]) -> None:
    old = town.network.devices[NAME].public_key
    playbook(town, "rekey.yml", "new_key")
    told = facts(town, through).host
    new = told["wireguard_next"]
    assert (told["wireguard"], new == old) == (old, False)
    both = {NAME: [told["wireguard"], new]}
    assert [(p.key, bool(p.addresses)) for p in tunnel.accept(town, both)] == [(old, True), (new, False)]

    # the device changes to it, and back, because nobody confirms
    playbook(town, "rekey.yml", "rekey", within=12)
    until(lambda: addressed(tunnel, town, both) == new)
    until(lambda: addressed(tunnel, town, both) == old)
    until(lambda: reached(town, through))
    assert facts(town, through).host["wireguard_next"] == new

    # and now it stays
    playbook(town, "rekey.yml", "rekey", within=120)
    until(lambda: addressed(tunnel, town, both) == new)
    until(lambda: set(town.confirm(through).values()) == {None})
    told = facts(town, through).host
    assert (told["wireguard"], "wireguard_next" in told) == (new, False)
    town.network = replace(town.network, devices={NAME: replace(town.network.devices[NAME], public_key=new)})
    assert [p.key for p in tunnel.accept(town, {NAME: [new]})] == [new]
    assert reached(town, through)
    assert host.exec(["ls", "/etc/wireguard"]).stdout.split() == ["loa.conf", "loa.key"]
    assert {r.outcome for r in town.apply(through).values()} == {Outcome.UNCHANGED}


def addressed(tunnel: HubTunnel, town: Town, told: Mapping[DeviceId, list[str]]) -> str:
    """The key that has the device's address after one more round."""
    return next(peer.key for peer in tunnel.accept(town, told) if peer.addresses)


def reached(town: Town, through: list[Target]) -> bool:
    return isinstance(next(iter(town.facts(through).values())), Facts)


def facts(town: Town, through: list[Target]) -> Facts:
    (found,) = town.facts(through).values()
    assert isinstance(found, Facts), found
    return found


def playbook(town: Town, name: str, mode: str, within: float = 60) -> None:
    """As a person at the hub runs it. That the connection breaks while the key changes is no matter."""
    host = {
        "ansible_host": overlay.address(NAME, OCTET),
        "ansible_user": "root",
        "loa_rekey": mode,
        "loa_within": within,
    }
    file = town.folder / "hosts.yml"
    file.write_text(yaml.safe_dump({"all": {"hosts": {str(NAME): host}}}))
    options = {
        "IdentityFile": town.lab.key,
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
        "ServerAliveInterval": 2,
        "ServerAliveCountMax": 2,
    }
    words = " ".join(f"-o {key}={value}" for key, value in options.items())
    environment = {"ANSIBLE_SSH_ARGS": f"-F none {words}", "ANSIBLE_PIPELINING": "True"}
    program = str(Path(sys.executable).parent / "ansible-playbook")
    command = ["env", *(f"{key}={value}" for key, value in environment.items()), program, "-i", str(file)]
    try:
        town.lab.noc.run([*command, str(ROOT / "playbooks" / name)], check=mode == "new_key", timeout=60)
    except subprocess.TimeoutExpired:
        assert mode == "rekey"
