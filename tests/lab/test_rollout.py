"""A roll-out over weak links: one host shuts the hub out, the wave stops there, its own systemd brings it back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from inventory.model import Device, DeviceId, DeviceKind, Network, Rollout, UnitId
from nms.provision import deployments
from nms.provision.ansible import AnsibleProvisioner, Around
from nms.provision.contact import SSH, Contact, greeting
from nms.provision.deployer import Deployer, Job
from nms.provision.deployments import Deployment, State
from nms.provision.reach import Target
from nms.provision.roles import playbooks
from nms.provision.rollout import arrange
from nms.provision.values import Family, Kind, Manifest, Outcome, Resource
from nms.store import Store
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.lab.link import WEAK_4G

DEVICES = [DeviceId(f"24112-L{n:02d}") for n in range(1, 6)]
CANARY, GOOD, CUT_OFF, *UNTOUCHED = DEVICES
SETTINGS = "/etc/ssh/sshd_config.d/90-loa.conf"
MANNER = Rollout(canary=1, waves=(2,), limit=0, confirm=40.0)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def lab(lab_image: Path) -> Iterator[Lab]:
    with Lab() as made:
        for name in DEVICES:
            made.host(name, link=WEAK_4G)
        made.ready()
        yield made


def manifest(device: DeviceId) -> Manifest:
    text = "ListenAddress 127.0.0.1\n" if device == CUT_OFF else "LoginGraceTime 60\n"
    file = Resource(Kind.FILE, SETTINGS, text, "root:root 0644", restarts=("ssh.service",))
    return Manifest(device, Family.LINUX, {file.key: file})


def network() -> Network:
    made = [Device(d, DeviceKind.LOUDSPEAKER, UnitId("24112"), None, "loa-receiver", date(2024, 1, 1)) for d in DEVICES]
    return Network(UnitId("64"), "Gia Lai", None, "10", {}, {}, {}, {d.id: d for d in made})


def roll_out(lab: Lab, store: Store, hosts: Mapping[str, Host]) -> Deployment:
    """What became of it."""
    around = Around(playbooks(), lab.key, now, {}, forks=3)
    ansible = AnsibleProvisioner(around, lambda device: DeviceKind.LOUDSPEAKER)
    contact = Contact({SSH: greeting()}, pause=1.0)
    deployer = Deployer(store, now, {Family.LINUX: ansible}, contact, ansible.spent)
    waves = arrange(network(), DEVICES, MANNER)
    number = store.write_sync(lambda s: deployments.begin(s, {"id": "apn"}, waves, "lan", now()))
    assert isinstance(number, str)
    targets = [Target(d, hosts[d].address, "root", hosts[d].host_key, manifest(d)) for d in DEVICES]
    jobs = {t.device: Job(t, None) for t in targets}
    begun = store.read_sync(lambda s: deployments.read(s, number))
    assert begun is not None
    with lab.noc.entered():
        state = asyncio.run(deployer.run(begun, jobs, MANNER.limit, MANNER.confirm, str))
    assert state is State.STOPPED
    ended = store.read_sync(lambda s: deployments.read(s, number))
    assert ended is not None
    return ended


def test_one_host_shuts_the_hub_out_and_nobody_needs_to_go_there(lab: Lab, tmp_path: Path) -> None:
    hosts = {host.name: host for host in lab.hosts}
    with Store.open(tmp_path / "loa.db") as store:
        ended = roll_out(lab, store, hosts)
    assert ended.outcomes == {
        CANARY: Outcome.APPLIED,
        GOOD: Outcome.APPLIED,
        CUT_OFF: Outcome.RESTORED,
        **dict.fromkeys(UNTOUCHED, Outcome.UNTOUCHED),
    }
    assert hosts[GOOD].read(SETTINGS) == "LoginGraceTime 60\n"
    for device in (CUT_OFF, *UNTOUCHED):
        assert hosts[device].exec(["test", "-e", SETTINGS], check=False).returncode != 0
    cable, _ = hosts[GOOD].bytes()
    sent = next(one.result.sent for one in ended.devices if one.device == GOOD)
    assert sent < cable < 1.3 * sent  # what is counted is all but the headers, and what was lost on the way
    costs = {one.device: (one.result.sent, one.result.received) for one in ended.devices}
    assert all(costs[d][0] > 0 for d in (CANARY, GOOD, CUT_OFF))
    print("bytes sent and received:", costs)
