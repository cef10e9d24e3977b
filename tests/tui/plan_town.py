"""A commune of clusters whose state is in memory, and the part of the hub that plans for them, on a socket.

Inventory, roles, store, socket and verbs are the real ones.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from inventory.diagnostics import Diagnostic, Place
from inventory.load import load
from inventory.model import DeviceId
from nms import settings
from nms.provision.reach import Target, Unreached
from nms.provision.values import Facts, Family, Manifest, Observed, Result, digest_of
from nms.store import Store
from tests.tui.loa_command import Answer, Shell
from tui.desired import Source
from tui.hub import HubSocket
from tui.plan_service import PlanService

NOW = datetime(2024, 10, 1, 10, tzinfo=UTC)
FILES = {
    "network.yaml": """\
province: "64"
name: Gia Lai
as_of: 2024-10-01
overlay: 127
profiles: [loa-receiver, ntcip-sign]
""",
    "units.yaml": """\
units:
  - {id: "64", code: "64", name: Tỉnh Gia Lai, type: province}
  - {id: "637", code: "637", name: Huyện Krông Pa, type: district, parent: "64"}
  - {id: "24112", code: "24112", name: Xã Ia Rsai, type: commune, parent: "637"}
  - {id: "24109", code: "24109", name: Xã Uar, type: commune, parent: "637"}
""",
    "grid.yaml": "sessions: []\n",
    "groups.yaml": "groups: []\n",
    "targets.yaml": "document: thử\nindicators: []\n",
    "people.yaml": """\
people:
  - {id: lan, name: Lê Ngọc Lan, user: lan, roles: [technician], area: "64"}
  - {id: nga, name: Siu Nga, user: nga, roles: [technician], area: "24109"}
  - {id: binh, name: Trần Bình, user: binh, roles: [editor], area: "64"}
""",
}
SILENT = Diagnostic("PLN300", Place(""), "no answer", "", {})
TOML = "name = {{ loa_name | to_json }}\nvolume = {{ loa_volume.day }}\n"


@dataclass
class Clusters:
    """A provisioner whose devices are these facts. ``silent`` ones cannot be reached; ``asked`` in order."""

    now: datetime = NOW
    state: dict[DeviceId, Facts] = field(default_factory=dict)
    silent: set[DeviceId] = field(default_factory=set)
    asked: list[DeviceId] = field(default_factory=list)

    async def facts(self, targets: Sequence[Target]) -> AsyncIterator[Facts | Unreached]:
        for target in targets:
            self.asked.append(target.device)
            await asyncio.sleep(0)
            if target.device in self.silent:
                yield Unreached(target.device, SILENT)
            else:
                yield replace(self.state.get(target.device, Facts(target.device, self.now)), at=self.now)

    async def apply(self, targets: Sequence[Target], within: float) -> AsyncIterator[Result]:
        raise AssertionError("a plan changes nothing")
        yield

    async def confirm(self, targets: Sequence[Target]) -> Mapping[DeviceId, Diagnostic | None]:
        raise AssertionError("a plan changes nothing")

    def become(self, manifest: Manifest) -> None:
        """The device is exactly as wanted, as after an apply."""
        found = {key: Observed(one.digest, None if one.secret else one.text) for key, one in manifest.resources.items()}
        left = {key: one.digest for key, one in manifest.resources.items()}
        self.state[manifest.device] = Facts(manifest.device, self.now, found, left)

    def edit(self, device: DeviceId, key: str, text: str, attributes: str = "root:root 0644") -> None:
        """Somebody changes a file by hand."""
        old = self.state[device]
        self.state[device] = replace(old, found={**old.found, key: Observed(digest_of(text, attributes), text)})


@dataclass
class Town:
    """``home``: inventory, roles, state. The clock stands still until it is moved."""

    home: Path
    shell: Shell
    clusters: Clusters = field(default_factory=Clusters)

    def write(self, volume: int = 80, **changed: str) -> None:
        inventory, role = self.home / "inventory", self.home / "playbooks" / "roles"
        (inventory / "stations").mkdir(parents=True, exist_ok=True)
        for name, text in FILES.items():
            (inventory / name).write_text(text)
        for code, devices in (("24112", ("L01", "L02", "L03")), ("24109", ("L01",))):
            lines = [f"unit: {code!r}", "loudspeakers:"]
            lines += [cluster(f"{code}-{d}", volume if (code, d) == ("24112", "L01") else 80) for d in devices]
            if code == "24109":
                lines += ["boards:", SIGN]
            (inventory / "stations" / f"{code}-x.yaml").write_text("\n".join(lines) + "\n")
        for name in ("base", "overlay", "firewall", "snmp"):
            (role / name).mkdir(parents=True, exist_ok=True)
            (role / name / "manifest.yml").write_text("resources: []\n")
        (role / "receiver" / "templates").mkdir(parents=True, exist_ok=True)
        (role / "receiver" / "manifest.yml").write_text(
            "resources:\n"
            "  - {file: /etc/receiver.toml, template: receiver.toml.j2}\n"
            "  - {service: loa, state: running}\n"
        )
        (role / "receiver" / "templates" / "receiver.toml.j2").write_text(changed.get("toml", TOML))

    def loa(self, *arguments: str | Path, who: str = "lan") -> Answer:
        flags = {"LOA_INVENTORY": str(self.home / "inventory"), "LOA_SOCKET": str(self.home / "hub.sock")}
        moved = f"{self.clusters.now.isoformat()}@{datetime.now(UTC).timestamp()}"
        return self.shell.loa("--as", who, "--lang", "en", *arguments, LOA_CLOCK=moved, **flags)

    def settle(self) -> None:
        """Every device is as the inventory wants it now."""
        desired = self.source().current()
        assert not isinstance(desired, tuple)
        for one in desired.manifests(desired.network.devices).values():
            if isinstance(one, Manifest):
                self.clusters.become(one)

    def pass_time(self, hours: float) -> None:
        self.clusters.now += timedelta(hours=hours)

    def source(self) -> Source:
        flags = {"inventory": str(self.home / "inventory"), "state_dir": str(self.home / "state")}
        loaded = settings.load(flags, {}, uid=os.getuid())
        assert not isinstance(loaded, tuple)
        network, _ = load(self.home / "inventory")
        assert network is not None
        return Source(loaded.settings, lambda: network, lambda: self.clusters.now, self.home / "playbooks", dict)


def cluster(name: str, volume: int) -> str:
    given = f"volume: {{day: {volume}}}, in_service: 2024-01-01, sim: {sim(name)}"
    return f"  - {{id: {name}, profile: loa-receiver, {given}}}"


def sim(name: str) -> str:
    digits = name.replace("-L", "0")
    return f'{{number: "{digits}", iccid: "89{digits}"}}'


SIGN = "  - {id: 24109-B01, profile: ntcip-sign, size: small, in_service: 2024-01-01, sim: {number: '1', iccid: '2'}}"


@contextmanager
def town(home: Path, shell: Shell) -> Iterator[Town]:
    """Runs until the block ends."""
    made = Town(home, shell)
    made.write()
    made.settle()
    loop, started = asyncio.new_event_loop(), threading.Event()

    async def run() -> None:
        network, _ = load(home / "inventory")
        assert network is not None
        with Store.open(home / "state" / "loa.db") as store:
            ways = {Family.LINUX: made.clusters}
            service = PlanService(made.source(), ways, lambda: made.clusters.now, lambda: None, store)
            socket = HubSocket(home / "hub.sock", service.handlers(), lambda: network)
            running = asyncio.create_task(socket.run())
            while not (home / "hub.sock").exists():  # noqa: ASYNC110 (the socket's own run tells nobody)
                await asyncio.sleep(0.005)
            started.set()
            await running

    async def stop() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()

    def serve() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(run())
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    assert started.wait(60)
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop)
        thread.join(60)
