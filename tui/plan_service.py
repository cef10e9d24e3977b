"""Plans: what would be done to the devices of a selection. Technicians ask for them in their own area.

Devices are asked only when what they said is missing or too old; everything else is a comparison in the hub.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from inventory.diagnostics import Diagnostic
from inventory.model import Device, DeviceId, Person, Role, UnitId
from inventory.select import Selection, parse
from nms.journal import new_id
from nms.provision import facts, planfile
from nms.provision import plan as plans
from nms.provision.facts import UNKNOWN, Known
from nms.provision.plan_faults import fault
from nms.provision.reach import Provisioner, Target, Unreached
from nms.provision.values import DevicePlan, Facts, Family, Manifest, Plan
from nms.store import Store
from tui.desired import Desired, Digests, Source
from tui.hub import Caller, Handler, refuse
from tui.overview import UNKNOWN as STATE_UNKNOWN
from tui.plan_methods import PLAN, Ask, Piece, Refresh

if TYPE_CHECKING:
    from nms.monitor.loop import Snapshot

KEEP_AT_ONCE: Final = 100
"""Answers that are kept in one transaction."""


class PlanService:
    """``provisioners``: how devices of each family are reached; ``latest``: the fleet as last polled."""

    def __init__(
        self,
        source: Source,
        provisioners: Mapping[Family, Provisioner],
        clock: Callable[[], datetime],
        latest: Callable[[], Snapshot | None],
        store: Store,
    ) -> None:
        self._source = source
        self._provisioners = provisioners
        self._clock = clock
        self._latest = latest
        self._store = store

    @property
    def provisioners(self) -> Mapping[Family, Provisioner]:
        """A way to the devices of each family that this hub sets up."""
        return self._provisioners

    def handlers(self) -> dict[str, Handler]:
        """Every method of ``tui.plan_methods`` by its name."""
        return {PLAN.name: Handler(PLAN, stream=self.plan)}

    async def plan(self, caller: Caller, ask: Ask) -> AsyncIterator[Piece]:
        """Progress, then the plan."""
        person, desired = caller.known(), await self.desired()
        devices = self.selected(desired, ask.selection)
        may(desired, person, devices)
        names = [d.id for d in devices]
        known = await self._store.read(lambda s: facts.asked(s, names))
        targets = await self._due(desired, names, known, ask)
        asked = sum(map(len, targets.values()))
        async for answered in self.refresh(targets):
            yield Piece(answered, asked)
        if targets:
            known = await self._store.read(lambda s: facts.asked(s, names))
        now, parts = self._clock(), await self._parts(desired, names, known)
        plan = Plan(new_id(now), now, person.id, ask.selection, desired.inputs, parts)
        shown = plans.only_drift(plan) if ask.drift else plan
        for text in await asyncio.to_thread(lambda: list(planfile.pieces(shown))):
            yield Piece(asked, asked, text)

    async def desired(self) -> Desired:
        """What is wanted now; a refusal that says what is wrong with the inventory or the roles."""
        found = await asyncio.to_thread(self._source.current)
        if isinstance(found, tuple):
            raise refuse(found)
        return found

    def selected(self, desired: Desired, text: str) -> tuple[Device, ...]:
        """The devices in use of a selection; a refusal when it does not parse or means none."""
        selection = parse(text, desired.network, desired.on)
        if not isinstance(selection, Selection):
            raise refuse(selection)
        snapshot = self._latest()
        states = {d: str(h.state) for d, h in snapshot.healths.items()} if snapshot else {}
        found = selection.devices(desired.on, lambda d: states.get(d, STATE_UNKNOWN))
        if not found:
            raise refuse((fault("PLN230", selection=text),))
        return found

    async def stale(self, plan: Plan) -> tuple[Diagnostic, ...]:
        """What has changed since a plan was made; empty where it may be applied."""
        desired = await self.desired()
        devices = [d.device for d in plan.devices]
        wanted = await asyncio.to_thread(desired.wanted, devices)
        known = await self._store.read(lambda s: facts.asked(s, devices))
        return planfile.stale(
            plan, desired.inputs, {d: one.whole for d, one in wanted.items()}, {d: k.digest for d, k in known.items()}
        )

    async def refresh(self, targets: Mapping[Family, Sequence[Target]]) -> AsyncIterator[int]:
        """Asks devices and keeps what they say; tells how many have answered, or were found not to."""
        queue: asyncio.Queue[Facts | Unreached | None] = asyncio.Queue()
        tasks = [asyncio.create_task(_ask(self._provisioners[f], some, queue)) for f, some in targets.items()]
        left, count = len(tasks), 0
        try:
            while left:
                taken = await _batch(queue)
                left -= taken.count(None)
                answers = [answer for answer in taken if answer is not None]
                await self._keep(answers)
                count += len(answers)
                yield count
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    # -- what they need

    async def _keep(self, answers: Sequence[Facts | Unreached]) -> None:
        if answers:
            now = self._clock()
            await self._store.write(lambda s: facts.write(s, answers, now))

    async def _due(
        self, desired: Desired, devices: Sequence[DeviceId], known: Mapping[DeviceId, Known], ask: Ask
    ) -> Mapping[Family, Sequence[Target]]:
        """Whom to ask first: of families that the hub can reach, those whose facts will not do."""
        if ask.refresh is Refresh.NEVER:
            return {}
        oldest = self._clock() - timedelta(milliseconds=ask.max_age)

        def old(device: DeviceId) -> bool:
            at = known.get(device, UNKNOWN).at
            return ask.refresh is Refresh.ALL or at is None or at < oldest

        made = await asyncio.to_thread(desired.manifests, [device for device in devices if old(device)])
        found: dict[Family, list[Target]] = {}
        for one in made.values():
            if isinstance(one, Manifest) and one.family in self._provisioners:
                found.setdefault(one.family, []).append(desired.target(one))
        return found

    async def _parts(
        self, desired: Desired, devices: Sequence[DeviceId], asked: Mapping[DeviceId, Known]
    ) -> tuple[DevicePlan, ...]:
        """The plan's devices. Of those that are as Loa left them, and as they should be, only digests are read."""
        wanted = await asyncio.to_thread(desired.wanted, devices)
        parts = {d: _unchanged(d, wanted[d], k) for d, k in asked.items() if d in wanted and k.left == wanted[d].state}
        rest = [device for device in devices if device not in parts]
        known = await self._store.read(lambda s: facts.read(s, rest))
        made = await asyncio.to_thread(desired.manifests, rest)
        parts |= await asyncio.to_thread(lambda: {d: self._part(desired, d, made[d], known) for d in rest})
        return tuple(parts[device] for device in devices)

    def _part(
        self,
        desired: Desired,
        device: DeviceId,
        made: Manifest | tuple[Diagnostic, ...],
        known: Mapping[DeviceId, Known],
    ) -> DevicePlan:
        asked = known.get(device, UNKNOWN)
        if not isinstance(made, Manifest):
            setup = desired.setups.get(desired.network.devices[device].profile)
            return plans.without(device, setup.family if setup is not None else Family.NONE, made[0])
        problem = asked.failure
        if asked.facts is None and made.family not in self._provisioners:
            problem = fault("PLN209", family=made.family)
        return plans.make(made, asked.facts, asked.failed, problem)


def _unchanged(device: DeviceId, wanted: Digests, known: Known) -> DevicePlan:
    return DevicePlan(
        device,
        wanted.family,
        wanted.whole,
        known.digest,
        known.at,
        unreachable_since=known.failed,
        problem=known.failure,
    )


async def _ask(
    provisioner: Provisioner, targets: Sequence[Target], answers: asyncio.Queue[Facts | Unreached | None]
) -> None:
    """Passes on what a family's devices answer, and None at the end."""
    try:
        async for answer in provisioner.facts(targets):
            answers.put_nowait(answer)
    finally:
        answers.put_nowait(None)


async def _batch(queue: asyncio.Queue[Facts | Unreached | None]) -> list[Facts | Unreached | None]:
    """What has come, at least one."""
    taken = [await queue.get()]
    while not queue.empty() and len(taken) < KEEP_AT_ONCE:
        taken.append(queue.get_nowait())
    return taken


def may(desired: Desired, person: Person, devices: Iterable[Device]) -> None:
    """Refuses whoever is no technician of an area in which all these devices stand."""
    network = desired.network
    able = Role.TECHNICIAN in person.roles
    areas: set[UnitId | None] = set()
    for device in devices:
        unit = network.unit_of(device, desired.on)
        if unit in areas:
            continue
        areas.add(unit)
        if not able or person.area not in network.chain(unit):
            named = network.units.get(unit) if unit is not None else None
            raise refuse((fault("PLN231", person=person.name, unit=named.name if named is not None else ""),))
