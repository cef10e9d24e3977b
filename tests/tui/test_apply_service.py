"""Deferred devices: brought up when they are seen again, to what is wanted by then; forgotten when they are gone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from inventory.load import load
from inventory.model import DeviceId, PersonId
from nms import settings
from nms.monitor.health import Health, State
from nms.monitor.loop import Snapshot
from nms.monitor.snmp.outcome import SweepStats
from nms.provision.contact import SSH, Contact
from nms.provision.deployer import Deployer, Job
from nms.provision.reach import Provisioner
from nms.provision.values import Family, Outcome
from nms.store import Store
from tests.nms.modem_fleet import NEW, OLD, Modems, fleet, states
from tests.nms.rollout_hub import fleet_of
from tests.tui.rollout_town import Town
from tui.apply_methods import Apply, Last, Named, TreatedRow
from tui.apply_service import ApplyService
from tui.desired import Source
from tui.hub import Caller
from tui.plan_methods import Ask
from tui.plan_service import PlanService

STATS = SweepStats(0.1, 2, 2, 0, 2, 0, 0, 0, 0, 212_992)


@dataclass
class Hub:
    """The services over a real store; ``healths`` is what the monitor saw, ``ahead`` how far the clock is put on."""

    place: Town
    store: Store
    healths: dict[DeviceId, Health] = field(default_factory=dict)
    ahead: timedelta = timedelta()

    def __post_init__(self) -> None:
        home = self.place.home
        flags = {"inventory": str(home / "inventory"), "state_dir": str(home / "state")}
        loaded = settings.load(flags, {}, uid=os.getuid())
        assert not isinstance(loaded, tuple)
        network, _ = load(home / "inventory")
        assert network is not None
        modems = Modems(self.place.fleet)
        ways: Mapping[Family, Provisioner] = {Family.UCI: modems}
        source = Source(loaded.settings, lambda: network, self.now, home / "playbooks", dict)
        self.plans = PlanService(source, ways, self.now, self.latest, self.store)
        deployer = Deployer(self.store, self.now, ways, Contact({SSH: modems.greet}, pause=0.1), grace=60)
        self.rollouts = ApplyService(self.plans, deployer, self.now, self.latest, self.store)
        self.lan = Caller(0, "lan", network.people[PersonId("lan")])

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def latest(self) -> Snapshot:
        return Snapshot(self.now(), dict(self.healths), {}, STATS, ())

    def seen(self, device: DeviceId, state: State, since: datetime | None = None) -> None:
        self.healths[device] = Health(state, since or self.now())

    async def apply(self) -> str:
        text = "".join([piece.text async for piece in self.plans.plan(self.lan, Ask())])
        number = (await self.rollouts.apply(self.lan, Apply(text))).rollout
        await self.ended(number)
        return number

    async def ended(self, number: str) -> Mapping[str, TreatedRow]:
        found: dict[str, TreatedRow] = {}
        async for progress in self.rollouts.follow(self.lan, Named(number)):
            found |= {one.device: one for one in progress.devices}
        return found

    async def becomes(self, number: str, device: DeviceId, outcome: str) -> TreatedRow:
        async with asyncio.timeout(60):
            while True:
                one = (await self.ended(number))[device]
                if one.outcome == outcome:
                    return one
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.rollouts.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def away(tmp_path: Path) -> object:
    """Two modems, the second of which is away during the roll-out."""
    devices = fleet_of(2)
    with fleet(devices) as folder, Store.open(tmp_path / "state" / "loa.db") as store:
        (folder / f"{devices[1]}.sock").rename(folder / "away")
        place = Town(tmp_path, folder, devices)
        place.want()
        yield Hub(place, store)


@pytest.fixture
def both_away(tmp_path: Path) -> object:
    """Three modems; the last two are away during the roll-out, and their new access point gives no connection."""
    devices = fleet_of(3)
    with fleet(devices, devices[1:]) as folder, Store.open(tmp_path / "state" / "loa.db") as store:
        for device in devices[1:]:
            (folder / f"{device}.sock").rename(folder / f"{device}.away")
        place = Town(tmp_path, folder, devices)
        place.want()
        yield Hub(place, store)


def back(hub: Hub) -> DeviceId:
    device = hub.place.devices[1]
    (hub.place.fleet / "away").rename(hub.place.fleet / f"{device}.sock")
    return device


async def test_a_device_that_returns_is_brought_to_what_is_wanted_by_then(away: Hub) -> None:
    number = await away.apply()
    device = back(away)
    away.place.want("m9-later")
    away.seen(device, State.UP)
    async with away.serving():
        await away.becomes(number, device, "applied")
    assert states(away.place.fleet) == {away.place.devices[0]: NEW, device: "m9-later"}


@pytest.mark.parametrize("state", [State.DOWN, State.UNREACHABLE])
async def test_one_that_is_lost_is_not_tried(away: Hub, state: State) -> None:
    number = await away.apply()
    device = back(away)
    away.seen(device, state)
    away.ahead = timedelta(hours=2)
    async with away.serving():
        await asyncio.sleep(0.5)
    assert (await away.ended(number))[device].outcome == "deferred"
    assert states(away.place.fleet)[device] == OLD


async def test_one_that_was_never_seen_to_be_away_is_tried_after_an_hour(away: Hub) -> None:
    number = await away.apply()
    device = back(away)
    away.seen(device, State.UP, away.now() - timedelta(days=1))
    async with away.serving():
        await asyncio.sleep(0.5)
    assert (await away.ended(number))[device].outcome == "deferred"
    away.ahead = timedelta(hours=2)
    async with away.serving():
        await away.becomes(number, device, "applied")


async def test_one_that_is_in_use_no_more_is_left_alone(away: Hub) -> None:
    number = await away.apply()
    device = back(away)
    away.place.want(among=away.place.devices[:1])
    away.seen(device, State.UP)
    async with away.serving():
        row = await away.becomes(number, device, "untouched")
    assert row.detail is not None
    assert row.detail.code == "PLN322"
    assert states(away.place.fleet)[device] == OLD


async def test_the_limit_holds_for_those_that_return_later(both_away: Hub) -> None:
    number = await both_away.apply()
    away = both_away.place.devices[1:]
    for device in away:
        (both_away.place.fleet / f"{device}.away").rename(both_away.place.fleet / f"{device}.sock")
        both_away.seen(device, State.UP)
    async with both_away.serving():
        rows = [await both_away.becomes(number, d, o) for d, o in zip(away, ("restored", "untouched"), strict=True)]
    assert rows[1].sent == 0
    assert states(both_away.place.fleet)[away[1]] == OLD
    (last,) = (await both_away.rollouts.rollouts(both_away.lan, Last(1))).rollouts
    assert (last.state, last.reason.code if last.reason else "") == ("stopped", "PLN320")


@pytest.fixture
def many_away(tmp_path: Path) -> object:
    """Five modems; all but the first are away during the roll-out."""
    devices = fleet_of(5)
    with fleet(devices) as folder, Store.open(tmp_path / "state" / "loa.db") as store:
        for device in devices[1:]:
            (folder / f"{device}.sock").rename(folder / f"{device}.away")
        place = Town(tmp_path, folder, devices)
        place.want()
        yield Hub(place, store)


async def test_those_that_return_together_are_brought_up_in_waves(
    many_away: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a storm hundreds return: one at a time they would wait for days."""
    waves: list[int] = []
    one_wave = Deployer.bring_up

    async def counted(
        self: Deployer, number: str, jobs: Mapping[DeviceId, Job], within: float
    ) -> Mapping[DeviceId, Outcome]:
        waves.append(len(jobs))
        return await one_wave(self, number, jobs, within)

    monkeypatch.setattr(Deployer, "bring_up", counted)
    number = await many_away.apply()
    away = many_away.place.devices[1:]
    for device in away:
        (many_away.place.fleet / f"{device}.away").rename(many_away.place.fleet / f"{device}.sock")
        many_away.seen(device, State.UP)
    async with many_away.serving():
        for device in away:
            await many_away.becomes(number, device, "applied")
    assert waves == [1, 3]
    assert set(states(many_away.place.fleet).values()) == {NEW}
