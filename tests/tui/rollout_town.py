"""A commune of modems, the hub that sets them up, and technicians: ``python -m tests.tui.rollout_town STATE FLEET``.

The devices are those of ``tests.nms.modem_fleet``; hub, plans, verbs and store are the real ones.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from inventory.load import load
from inventory.model import DeviceId
from nms import settings
from nms.provision.contact import SSH, Contact
from nms.provision.deployer import Deployer
from nms.provision.reach import Provisioner
from nms.provision.values import Family
from nms.store import Store
from tests.nms.modem_fleet import NEW, Modems
from tests.tui.loa_command import ROOT, Answer, Shell
from tui.apply_service import ApplyService
from tui.desired import Source
from tui.hub import HubSocket
from tui.plan_service import PlanService

COMMUNE = "24112"
NETWORK = """\
province: "64"
name: Gia Lai
as_of: 2024-10-01
overlay: 127
profiles: [rutos]
rollout: {canary: 1, waves: [%d], limit: 0, confirm: %ds}
"""
UNITS = """\
units:
  - {id: "64", code: "64", name: Tỉnh Gia Lai, type: province}
  - {id: "637", code: "637", name: Huyện Krông Pa, type: district, parent: "64"}
  - {id: "24112", code: "24112", name: Xã Ia Rsai, type: commune, parent: "637", aliases: [Ia Rsai]}
  - {id: "24109", code: "24109", name: Xã Uar, type: commune, parent: "637"}
"""
PEOPLE = """\
people:
  - {id: lan, name: Lê Ngọc Lan, user: lan, roles: [technician], area: "64"}
  - {id: nga, name: Siu Nga, user: nga, roles: [technician], area: "24109"}
"""
MODEM = """\
  - {id: %s, profile: rutos, sim: {number: "0849%02d", iccid: "8984%02d", apn: %s}, in_service: 2024-01-01}
"""
ROLE = 'resources:\n  - {option: network.wwan.apn, value: "{{ loa_sim.apn }}"}\n'


@dataclass
class Town:
    """``home``: where the inventory, the roles and the hub's state are."""

    home: Path
    fleet: Path
    devices: Sequence[DeviceId]
    wave: int = 10
    within: int = 3
    process: subprocess.Popen[bytes] | None = field(default=None)

    def want(self, apn: str = NEW, among: Sequence[DeviceId] | None = None) -> None:
        """The inventory asks for this access point; of ``among`` only these are still in it."""
        folder = self.home / "inventory"
        (folder / "stations").mkdir(parents=True, exist_ok=True)
        (folder / "network.yaml").write_text(NETWORK % (self.wave, self.within))
        (folder / "units.yaml").write_text(UNITS)
        (folder / "people.yaml").write_text(PEOPLE)
        (folder / "grid.yaml").write_text("sessions: []\n")
        (folder / "groups.yaml").write_text("groups: []\n")
        (folder / "targets.yaml").write_text("document: none\nindicators: []\n")
        lines = [MODEM % (d, n, n, apn) for n, d in enumerate(self.devices) if among is None or d in among]
        (folder / "stations" / "24112-ia-rsai.yaml").write_text(f'unit: "{COMMUNE}"\nmodems:\n{"".join(lines)}')
        role = self.home / "playbooks" / "roles" / "uci"
        role.mkdir(parents=True, exist_ok=True)
        (role / "manifest.yml").write_text(ROLE)

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.tui.rollout_town", str(self.home), str(self.fleet)]
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("LOA_", "XDG_"))}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environ)
        until = time.monotonic() + 60
        while not self._answers() and self.process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.socket)) == 0

    @property
    def socket(self) -> Path:
        return self.fleet / "hub.sock"

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.socket.unlink(missing_ok=True)

    def loa(self, shell: Shell, *arguments: str | Path, who: str = "lan") -> Answer:
        return shell.loa("--as", who, "--lang", "en", *arguments, **self.environ())

    def environ(self) -> dict[str, str]:
        return {"LOA_INVENTORY": str(self.home / "inventory"), "LOA_SOCKET": str(self.socket)}


@contextmanager
def town(home: Path, fleet: Path, devices: Sequence[DeviceId], wave: int = 10, within: int = 3) -> Iterator[Town]:
    """Everything runs until the block ends."""
    made = Town(home, fleet, devices, wave, within)
    made.want()
    made.start()
    try:
        yield made
    finally:
        made.kill()


async def main(home: Path, fleet: Path) -> None:
    flags = {"inventory": str(home / "inventory"), "state_dir": str(home / "state")}
    loaded = settings.load(flags, {}, uid=os.getuid())
    assert not isinstance(loaded, tuple)
    network, _ = load(home / "inventory")
    assert network is not None
    modems = Modems(fleet)
    ways: dict[Family, Provisioner] = {Family.UCI: modems}

    def clock() -> datetime:
        return datetime.now(UTC)

    with Store.open(home / "state" / "loa.db") as store:
        source = Source(loaded.settings, lambda: network, clock, home / "playbooks", dict)
        plans = PlanService(source, ways, clock, lambda: None, store)
        deployer = Deployer(store, clock, ways, Contact({SSH: modems.greet}, pause=0.1), grace=60)
        rollouts = ApplyService(plans, deployer, clock, lambda: None, store)
        socket = HubSocket(fleet / "hub.sock", plans.handlers() | rollouts.handlers(), lambda: network)
        await asyncio.gather(rollouts.run(), socket.run())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
