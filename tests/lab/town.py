"""A hub for the lab: inventory, trust, certificates, artifacts over TLS in the centre, Ansible as the provisioner."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import web

from audio import trust
from audio.admission import guard
from audio.library import Library, content_app
from audio.receiver.renewal import make_request
from inventory import overlay
from inventory.diagnostics import Diagnostic
from inventory.model import Device, DeviceId, DeviceKind, Hub, Network, UnitId
from nms.monitor.snmp.usm import AuthProtocol, PrivProtocol, user
from nms.provision import acl
from nms.provision.ansible import AnsibleProvisioner, Around
from nms.provision.artifacts import RECEIVER, ArtifactStore, receiver, serve
from nms.provision.authority import ROOT_PEM, Authority
from nms.provision.gate import Gate
from nms.provision.manifest import Given, make
from nms.provision.reach import Target, Unreached
from nms.provision.roles import Roles, read_roles
from nms.provision.values import Facts, Manifest, Result
from tests.audio.province import Keys
from tests.audio.tls_kit import Papers
from tests.lab.host import Host
from tests.lab.lab import OCTET, Lab

ROOT = Path(__file__).resolve().parents[2]
ON = date(2024, 10, 1)
WARD = UnitId("23557")
PORT = 8443
HUB = Hub("hub.example", "", "")
SNMP = user(b"loa", AuthProtocol.SHA256, b"authentication", PrivProtocol.AES128, b"confidentiality")


@cache
def wheel() -> bytes:
    """The receiver's, made without any network."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
        subprocess.run(command, cwd=ROOT / "packaging/receiver", check=True, capture_output=True)
        (made,) = Path(folder).glob("*.whl")
        return made.read_bytes()


def loudspeaker(name: str, **more: Any) -> Device:
    """A host of the lab, which has no sound card."""
    given = {"public_key": "", "sound": "none", **more}
    return Device(DeviceId(name), DeviceKind.LOUDSPEAKER, WARD, None, "loa-receiver", ON, **given)


@dataclass
class Town:
    """``hosts`` by device id; ``hub`` is changed to change what the inventory wants."""

    lab: Lab
    folder: Path
    network: Network
    papers: Papers
    given: Given
    roles: Roles
    hosts: dict[str, Host]
    store: ArtifactStore

    @classmethod
    def of(cls, lab: Lab, folder: Path, hosts: Sequence[Host], hub: Hub = HUB) -> Town:
        keys = Keys.make(folder / "trust")
        devices = {DeviceId(host.name): loudspeaker(host.name, host_key=host.host_key) for host in hosts}
        network = replace(keys.network, devices=devices, hub=hub, overlay=str(OCTET))
        papers = Papers.make(folder / "papers", network)
        assert papers.authority.certify_hub(network, OCTET, datetime.now(UTC)) is None
        papers.authority.publish(datetime.now(UTC))
        store = ArtifactStore(folder / "artifacts")
        store.add(RECEIVER, wheel(), receiver(wheel()), "receiver.whl")
        roles = read_roles(ROOT / "playbooks")
        assert isinstance(roles, Roles), roles
        town = cls(lab, folder, network, papers, _given(network, folder, papers.authority, store), roles, {}, store)
        town.hosts = {host.name: host for host in hosts}
        town._serve(papers.authority, store)
        return town

    def enrol(self, host: Host) -> None:
        """What enrolment leaves on a device."""
        key, request = make_request("whoever")
        given = self.papers.authority.issue(self.network, ON, host.name, request, datetime.now(UTC), "")
        assert not isinstance(given, Diagnostic), given
        host.write("/etc/loa-receiver/certificate.pem", given.chain.decode(), 0o600)
        host.write("/etc/loa-receiver/key.pem", key.decode(), 0o600)

    def manifests(self) -> Mapping[str, Manifest]:
        found = make(self.network, ON, self.roles, self.given, self.network.devices.values())
        for one in found.values():
            assert isinstance(one, Manifest), one
        return {name: one for name, one in found.items() if isinstance(one, Manifest)}

    def targets(self, manifests: Mapping[str, Manifest] | None = None, only: Sequence[str] = ()) -> list[Target]:
        made = manifests or self.manifests()
        return [
            Target(DeviceId(name), host.address, "root", host.host_key, made[name])
            for name, host in self.hosts.items()
            if not only or name in only
        ]

    def provisioner(self) -> AnsibleProvisioner:
        ca = (self.papers.authority.folder / ROOT_PEM).read_text()
        artifacts = {"url": f"https://{overlay.hub_address(OCTET)}:{PORT}", "ca": ca}
        around = Around(ROOT / "playbooks", self.lab.key, lambda: datetime.now(UTC), artifacts, forks=5)
        return AnsibleProvisioner(around, lambda device: self.network.devices[device].kind)

    # --- what the hub does, from the centre

    def apply(self, targets: Sequence[Target], within: float = 120.0) -> dict[str, Result]:
        async def run() -> dict[str, Result]:
            return {r.device: r async for r in self.provisioner().apply(targets, within)}

        with self.lab.noc.entered():
            return asyncio.run(run())

    def confirm(self, targets: Sequence[Target]) -> Mapping[DeviceId, Diagnostic | None]:
        with self.lab.noc.entered():
            return asyncio.run(self.provisioner().confirm(targets))

    def facts(self, targets: Sequence[Target]) -> dict[str, Facts | Unreached]:
        async def run() -> dict[str, Facts | Unreached]:
            return {f.device: f async for f in self.provisioner().facts(targets)}

        with self.lab.noc.entered():
            return asyncio.run(run())

    def _serve(self, authority: Authority, store: ArtifactStore) -> None:
        """The content server, to who shows a certificate, until this process ends."""
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(authority.broker / acl.SERVER_PEM)
        context.load_verify_locations(authority.broker / acl.AUTHORITIES)
        ready = threading.Event()

        async def site() -> None:
            application = content_app(Library(self.folder / "content"))
            guard(application, Gate(authority.broker / acl.REVOKED))
            serve(application, store)
            runner = web.AppRunner(application)
            await runner.setup()
            await web.TCPSite(runner, overlay.hub_address(OCTET), PORT, ssl_context=context).start()
            ready.set()
            await asyncio.Event().wait()

        with self.lab.noc.entered():
            threading.Thread(target=lambda: asyncio.run(site()), daemon=True).start()
        assert ready.wait(60)


def _given(network: Network, folder: Path, authority: Authority, store: ArtifactStore) -> Given:
    root = trust.load_key(folder / "trust", "root", "mật khẩu dài")
    assert network.trust is not None
    assert not isinstance(root, Diagnostic)
    at = int(datetime.now(UTC).timestamp() * 1000)
    frames = trust.in_force(trust.policies(network, ON, network.trust, root, at), ON)
    hub = {
        "ca": (authority.folder / ROOT_PEM).read_text(),
        "content_port": PORT,
        "mqtt_port": 8883,
        "snmp_port": 161,
        "ssh_key": "",
        "trap_port": 162,
    }
    return Given(octet=OCTET, security=SNMP, policies=frames, artifacts=store.digests(), hub=hub)
