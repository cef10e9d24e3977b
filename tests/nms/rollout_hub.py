"""A hub that only rolls out, over ``modem_fleet``: ``python -m tests.nms.rollout_hub STORE FOLDER NUMBER``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from inventory.model import Device, DeviceId, DeviceKind, Network, Rollout, UnitId
from nms.provision import deployments
from nms.provision.contact import SSH, Contact
from nms.provision.deployer import Deployer, Job
from nms.provision.deployments import Deployment, State
from nms.provision.reach import Target
from nms.provision.rollout import arrange
from nms.provision.values import Family
from nms.store import Store
from tests.nms.modem_fleet import Modems, facts, manifest


def now() -> datetime:
    return datetime.now(UTC)


def fleet_of(count: int) -> list[DeviceId]:
    return [DeviceId(f"24112-M{n:02d}") for n in range(1, count + 1)]


def network(devices: Sequence[DeviceId]) -> Network:
    made = [Device(d, DeviceKind.MODEM, UnitId("24112"), None, "rutos", date(2024, 1, 1)) for d in devices]
    return Network(UnitId("64"), "Gia Lai", None, "10", {}, {}, {}, {d.id: d for d in made})


def job(device: DeviceId) -> Job:
    return Job(Target(device, "", "root", "", manifest(device)), facts(device).digest, device)


@dataclass
class Desk:
    """A deployer over a store and a fleet. ``within``: seconds of probation."""

    store: Store
    folder: Path
    within: float = 3.0
    limit: int = 0
    pausing: str = ""
    modems: Modems = field(init=False)

    def __post_init__(self) -> None:
        self.modems = Modems(self.folder)

    def deployer(self) -> Deployer:
        contact = Contact({SSH: self.modems.greet}, pause=0.1)
        return Deployer(self.store, now, {Family.UCI: self.modems}, contact, grace=60)

    def begin(self, devices: Sequence[DeviceId], manner: Rollout) -> str:
        waves = arrange(network(devices), devices, manner)
        begun = self.store.write_sync(lambda s: deployments.begin(s, {"id": "p"}, waves, "lan", now()))
        assert isinstance(begun, str)
        return begun

    async def run(self, number: str) -> State:
        deployment = self.read(number)
        jobs = {one.device: job(one.device) for one in deployment.devices}
        return await self.deployer().run(deployment, jobs, self.limit, self.within, lambda: self.pausing)

    def read(self, number: str) -> Deployment:
        found = self.store.read_sync(lambda s: deployments.read(s, number))
        assert found is not None
        return found

    def outcomes(self, number: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for one in self.read(number).devices:
            found.setdefault(one.result.outcome.value, []).append(one.device)
        return found


async def main(location: str, folder: str, number: str) -> None:
    with Store.open(location) as store:
        await Desk(store, Path(folder), within=60.0).run(number)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
