"""A commune with a modem on the bench, and the part of the hub that enrols: real inventory, store, socket, SSH, verbs.

The modem is a stand-in (``tests.sim.cli_uci``), which has no SNMP: that it answers is this town's word.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

from inventory.load import load
from inventory.model import Device, DeviceId, Network, Person
from nms import settings
from nms.provision.bench import SshDoor
from nms.provision.drivers.provisioner import CliProvisioner
from nms.provision.enrol import Step
from nms.provision.roles import playbooks
from nms.provision.site import Tone
from nms.provision.values import Family
from nms.store import Store
from tests.sim.cli_ssh import CliDevice, CliFleet
from tests.tui.loa_command import Answer, Shell
from tui.desired import Source
from tui.enrol_service import EnrolService, Tools
from tui.hub import HubSocket
from tui.overview import Places
from tui.peers import PEERS, Peers
from tui.plan_service import PlanService
from tui.site_service import SiteService

MODEM = DeviceId("24112-M01")
STATION = "stations/24112-ia-rsai.yaml"
FILES = {
    "network.yaml": """\
province: "64"
name: Gia Lai
overlay: 127
profiles: [openwrt]
rollout: {confirm: 20s}
""",
    "units.yaml": """\
units:
  - {id: "64", code: "64", name: Tỉnh Gia Lai, type: province}
  - {id: "637", code: "637", name: Huyện Krông Pa, type: district, parent: "64"}
  - {id: "24112", code: "24112", name: Xã Ia Rsai, type: commune, parent: "637"}
  - {id: "24109", code: "24109", name: Xã Uar, type: commune, parent: "637"}
""",
    "people.yaml": """\
people:
  - {id: lan, name: Lê Ngọc Lan, user: lan, roles: [technician], area: "64"}
  - {id: nga, name: Siu Nga, user: nga, roles: [technician], area: "24109"}
""",
    "grid.yaml": "sessions: []\n",
    "groups.yaml": "groups: []\n",
    "targets.yaml": "document: thử\nindicators: []\n",
    STATION: """\
unit: "24112"
modems:
  # across the ford
  - id: 24112-M01
    profile: openwrt
    sim: {number: "0849000001", iccid: "898400000000000001", apn: m-wap}
    in_service: 2024-01-01  # the day of the contract
  - id: 24112-M02
    profile: openwrt
    sim: {number: "0849000002", iccid: "898400000000000002", apn: m-wap}
    serial: SN-OTHER
    in_service: 2024-01-01
""",
}


@dataclass
class Town:
    home: Path
    fleet: CliFleet
    store: Store
    answering: bool = True
    proved: list[DeviceId] = field(default_factory=list)

    @property
    def modem(self) -> CliDevice:
        return self.fleet[MODEM]

    @property
    def station(self) -> Path:
        return self.home / "inventory" / STATION

    @property
    def socket(self) -> Path:
        return self.home / "hub.sock"

    @property
    def peers(self) -> str:
        return (self.home / "state" / PEERS).read_text()

    def network(self) -> Network:
        network, problems = load(self.home / "inventory")
        assert network is not None, problems
        return network

    def loa(self, shell: Shell, *arguments: str, who: str = "lan") -> Answer:
        named = {"LOA_INVENTORY": str(self.home / "inventory"), "LOA_SOCKET": str(self.socket)}
        return shell.loa("--as", who, "--lang", "en", *arguments, **named)

    def service(self) -> EnrolService:
        loaded = settings.load(
            {"inventory": str(self.home / "inventory"), "state_dir": str(self.home / "state")}, {}, uid=os.getuid()
        )
        assert not isinstance(loaded, tuple)
        running = self.network()  # as the hub runs with it
        source = Source(loaded.settings, lambda: running, now, playbooks(), dict)
        modems = CliProvisioner(self.fleet.access(), now, _forget)
        plans = PlanService(source, {Family.UCI: modems}, now, lambda: None, self.store)
        peers = Peers(self.home / "state", lambda: (running, now().date()), lambda _: 127)
        door = SshDoor(self.fleet.key, self.fleet.port)
        tools = Tools(door, lambda: None, peers, {Step.SNMP: self._answers}, _silence)
        self.sites = SiteService(lambda: Places(running, now().date()), now, lambda: None, self.store)
        return EnrolService(plans, tools, lambda: running, now, self.store)

    async def _answers(self, device: DeviceId, since: datetime) -> bool:
        self.proved.append(device)
        return self.answering


def now() -> datetime:
    return datetime.now(UTC)


async def _forget(device: DeviceId, why: str, text: str) -> None:
    """Backups are other tests'."""


async def _silence(device: Device, person: Person) -> Tone:
    raise AssertionError("a modem makes no sound")


@contextmanager
def town(home: Path) -> Iterator[Town]:
    """The hub's socket is served until the block ends."""
    for name, text in FILES.items():
        (home / "inventory" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "inventory" / name).write_text(text)
    with (
        CliFleet(ids=[MODEM], folder=home / "modems", apns={"v-internet", "m-wap"}) as fleet,
        Store.open(home / "state" / "loa.db") as store,
    ):
        public = load_ssh_private_key(fleet.key.read_bytes(), None).public_key()
        fleet.key.with_suffix(".pub").write_bytes(public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
        made = Town(home, fleet, store)
        with _served(made):
            yield made


@contextmanager
def _served(made: Town) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    service = made.service()
    socket = HubSocket(made.socket, service.handlers() | made.sites.handlers(), made.network)
    task = loop.create_task(socket.run())

    def run() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    while not made.socket.is_socket():
        pass
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
