"""A commune of modems behind SSH, the hub that sets them up, and technicians who type verbs."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from inventory.load import load
from inventory.model import DeviceId
from nms import settings
from nms.provision import backup
from nms.provision.backup import Why
from nms.provision.contact import SSH, Contact, greeting
from nms.provision.deployer import Deployer
from nms.provision.drivers.provisioner import CliProvisioner
from nms.provision.values import Family
from nms.store import Store
from tests.sim.cli_ssh import CliFleet
from tests.tui.loa_command import Answer, Shell
from tests.tui.rollout_town import PEOPLE, ROLE, UNITS
from tui.apply_service import ApplyService
from tui.backup_service import BackupService
from tui.desired import Source
from tui.hub import HubSocket
from tui.plan_service import PlanService

MODEMS = [DeviceId("24112-M01"), DeviceId("24112-M02")]
NETWORK = """\
province: "64"
name: Gia Lai
as_of: 2024-10-01
overlay: 127
profiles: [openwrt]
rollout: {canary: 1, waves: [10], limit: 0, confirm: 600s}
"""
MODEM = """\
  - id: %s
    profile: openwrt
    sim: {number: "08%s", iccid: "89%s", apn: %s}
    in_service: 2024-01-01
    host_key: %s
"""


@dataclass
class Town:
    """``home``: where the inventory, the roles and the hub's state are."""

    home: Path
    fleet: CliFleet
    shell: Shell

    def want(self, apn: str) -> None:
        """The inventory asks for this access point."""
        folder = self.home / "inventory"
        (folder / "stations").mkdir(parents=True, exist_ok=True)
        texts = {
            "network": NETWORK,
            "units": UNITS,
            "people": PEOPLE,
            "grid": "sessions: []\n",
            "groups": "groups: []\n",
        }
        texts["targets"] = "document: none\nindicators: []\n"
        for name, text in texts.items():
            (folder / f"{name}.yaml").write_text(text)
        lines = [MODEM % (d, d[-2:], d[-2:], apn, self.fleet[d].host_key) for d in MODEMS]
        (folder / "stations" / "24112-ia-rsai.yaml").write_text(f'unit: "24112"\nmodems:\n{"".join(lines)}')
        role = self.home / "playbooks" / "roles" / "uci"
        role.mkdir(parents=True, exist_ok=True)
        (role / "manifest.yml").write_text(ROLE)

    def loa(self, *arguments: str, who: str = "lan") -> Answer:
        flags = {"LOA_INVENTORY": str(self.home / "inventory"), "LOA_SOCKET": str(self.home / "hub.sock")}
        return self.shell.loa("--as", who, "--lang", "en", *arguments, **flags)

    async def serve(self, started: threading.Event) -> None:
        flags = {"inventory": str(self.home / "inventory"), "state_dir": str(self.home / "state")}
        loaded = settings.load(flags, {}, uid=os.getuid())
        assert not isinstance(loaded, tuple)
        network, _ = load(self.home / "inventory")
        assert network is not None

        def clock() -> datetime:
            return datetime.now(UTC)

        with Store.open(self.home / "state" / "loa.db") as store:

            async def keep(device: DeviceId, why: str, text: str) -> None:
                now = clock()
                await store.write(lambda s: backup.keep(s, device, Why(why), text, now))

            ways = {Family.UCI: CliProvisioner(self.fleet.access(), clock, keep)}
            source = Source(loaded.settings, lambda: network, clock, self.home / "playbooks", dict)
            plans = PlanService(source, ways, clock, lambda: None, store)
            contact = Contact({SSH: greeting(self.fleet.port)}, pause=0.2)
            rollouts = ApplyService(plans, Deployer(store, clock, ways, contact, grace=60), clock, lambda: None, store)
            backups = BackupService(plans, clock, store)
            handlers = plans.handlers() | rollouts.handlers() | backups.handlers()
            running = asyncio.create_task(HubSocket(self.home / "hub.sock", handlers, lambda: network).run())
            while not (self.home / "hub.sock").exists():  # noqa: ASYNC110 (the socket's own run tells nobody)
                await asyncio.sleep(0.005)
            started.set()
            await running


@contextmanager
def town(home: Path, shell: Shell) -> Iterator[Town]:
    """Runs until the block ends."""
    with CliFleet(ids=MODEMS, folder=home / "fleet", haste=20, apns={"v-internet", "m-wap"}) as fleet:
        made = Town(home, fleet, shell)
        made.want("m-wap")
        loop, started = asyncio.new_event_loop(), threading.Event()

        def run() -> None:
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(made.serve(started))
            loop.close()

        async def stop() -> None:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        thread = threading.Thread(target=run)
        thread.start()
        assert started.wait(60)
        try:
            yield made
        finally:
            asyncio.run_coroutine_threadsafe(stop(), loop)
            thread.join()
