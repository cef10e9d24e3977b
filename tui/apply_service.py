"""Roll-outs in the hub: begun, followed, paused and resumed by technicians of the area; deferred devices brought up.

A roll-out goes on whether or not anybody follows it. What the hub's end interrupted waits for a technician.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.orm import Session

from inventory.diagnostics import Diagnostic
from inventory.model import Device, DeviceId
from nms.journal import audit
from nms.moments import to_milliseconds
from nms.monitor.health import LOST
from nms.provision import deployments, planfile
from nms.provision.apply_faults import fault
from nms.provision.deployer import Deployer, Job, Jobs
from nms.provision.deployments import Deferral, Deployment, State, Treated
from nms.provision.manifest import Made
from nms.provision.rollout import arrange
from nms.provision.values import DevicePlan, Manifest, Outcome, Plan, Result
from nms.store import Store
from tui.apply_methods import (
    APPLY,
    APPLY_PAUSE,
    APPLY_RESUME,
    ROLLOUT,
    ROLLOUTS,
    Apply,
    Begun,
    Last,
    Named,
    Progress,
    RolloutRow,
    RolloutRows,
    TreatedRow,
)
from tui.desired import Desired
from tui.hub import Caller, Handler, refuse
from tui.methods import Method, Nothing, Problem
from tui.plan_service import PlanService, may

if TYPE_CHECKING:
    from nms.monitor.loop import Snapshot

log = logging.getLogger("loa.rollout")

LOOK: Final = 0.5
"""Seconds between two looks at the record, for who follows it."""
TURN: Final = 10.0
"""Seconds between two looks for deferred devices that have returned."""
AGAIN: Final = timedelta(hours=1)
"""After which a deferred device is tried again although nothing was seen of a return."""


class ApplyService:
    """``latest``: the fleet as last polled."""

    def __init__(
        self,
        plans: PlanService,
        deployer: Deployer,
        clock: Callable[[], datetime],
        latest: Callable[[], Snapshot | None],
        store: Store,
    ) -> None:
        self._plans = plans
        self._deployer = deployer
        self._clock = clock
        self._latest = latest
        self._store = store
        self._running: dict[str, asyncio.Task[None]] = {}
        self._pausing: dict[str, str] = {}
        self._recovered = False

    def handlers(self) -> dict[str, Handler]:
        """Every method of ``tui.apply_methods`` by its name."""
        answers: Iterable[tuple[Method[Any, Any], Any]] = (
            (APPLY, self.apply),
            (APPLY_RESUME, self.resume),
            (APPLY_PAUSE, self.pause),
            (ROLLOUTS, self.rollouts),
        )
        found = {method.name: Handler(method, answer=answer) for method, answer in answers}
        return found | {ROLLOUT.name: Handler(ROLLOUT, stream=self.follow)}

    async def run(self) -> None:
        """Finds out what an earlier hub left behind, then brings deferred devices up, for ever."""
        try:
            if not self._recovered:
                await self._recover()
                self._recovered = True
            while True:
                await self._bring_up()
                await asyncio.sleep(TURN)
        finally:
            for task in self._running.values():
                task.cancel()

    # -- what people ask

    async def apply(self, caller: Caller, params: Apply) -> Begun:
        """Begins exactly what the plan says; refused when anything it follows from has changed."""
        person, plan = caller.known(), planfile.loads(params.text, "")
        if isinstance(plan, Diagnostic):
            raise refuse((plan,))
        desired = await self._plans.desired()
        may(desired, person, _devices(desired, plan))
        stale = await self._plans.stale(plan)
        if stale:
            raise refuse(stale)
        parts = {d.device: d for d in plan.devices if self._asks(d)}
        if not parts:
            return Begun("")
        network = desired.network
        jobs = await self._jobs(desired, parts)
        waves = arrange(network, [d for d in parts if d in network.devices], network.rollout)
        document, now = json.loads(params.text), self._clock()

        def begin(session: Session) -> str | Diagnostic:
            begun = deployments.begin(session, document, waves, person.id, now)
            if isinstance(begun, str):
                data = {"rollout": begun, "plan": plan.id, "devices": len(parts)}
                audit(session, now, person.id, caller.uid, "deploy.apply", plan.selection, data)
            return begun

        begun = _done(await self._store.write(begin))
        self._start(desired, await self._read(begun), jobs)
        return Begun(begun)

    async def resume(self, caller: Caller, params: Named) -> Begun:
        person, deployment = caller.known(), await self._read(params.rollout)
        desired = await self._plans.desired()
        plan = await self._plan(deployment.id)
        may(desired, person, _devices(desired, plan))
        number, now = deployment.id, self._clock()

        def go_on(session: Session) -> Deployment | Diagnostic:
            found = deployments.resume(session, number, person.id, now)
            if isinstance(found, Deployment):
                audit(session, now, person.id, caller.uid, "deploy.resume", plan.selection, {"rollout": number})
            return found

        left: Deployment = _done(await self._store.write(go_on))
        parts = {d.device: d for d in plan.devices if d.device in left.outcomes}
        self._start(desired, left, await self._jobs(desired, parts))
        return Begun(number)

    async def pause(self, caller: Caller, params: Named) -> Nothing:
        """The present wave is finished, the next one not begun."""
        person, deployment = caller.known(), await self._read(params.rollout)
        desired = await self._plans.desired()
        may(desired, person, _devices(desired, await self._plan(deployment.id)))
        if deployment.id not in self._running:
            raise refuse((fault("PLN318", rollout=deployment.id),))
        self._pausing[deployment.id] = person.name
        data = {"rollout": deployment.id}
        now = self._clock()
        await self._store.write(lambda s: audit(s, now, person.id, caller.uid, "deploy.pause", deployment.id, data))
        return Nothing()

    async def rollouts(self, _: Caller, params: Last) -> RolloutRows:
        found = await self._store.read(lambda s: deployments.latest(s, params.limit))
        return RolloutRows(tuple(_row(deployment, counts) for deployment, counts in found))

    async def follow(self, _: Caller, params: Named) -> AsyncIterator[Progress]:
        number = (await self._read(params.rollout)).id
        told: dict[DeviceId, Treated] = {}
        state = State.RUNNING
        first = True
        while state is State.RUNNING:
            deployment = await self._read(number)
            state = deployment.state
            news = [one for one in deployment.devices if told.get(one.device) != one]
            told |= {one.device: one for one in news}
            if news or first or state is not State.RUNNING:
                yield Progress(_row(deployment, _counts(deployment)), tuple(_treated(one) for one in news))
            first = False
            if state is State.RUNNING:
                await asyncio.sleep(LOOK)

    # -- carrying out

    def _start(self, desired: Desired, deployment: Deployment, jobs: Jobs) -> None:
        number, manner = deployment.id, desired.network.rollout
        self._pausing.pop(number, None)

        async def carry_out() -> None:
            try:
                await self._deployer.run(
                    deployment, jobs, manner.limit, manner.confirm, lambda: self._pausing.get(number, "")
                )
            except Exception as error:
                log.exception("roll-out %s failed", number)
                reason, now = fault("PLN315", reason=repr(error)), self._clock()
                await self._store.write(lambda s: deployments.finish(s, number, State.INTERRUPTED, reason, now))
            finally:
                self._running.pop(number, None)

        self._running[number] = asyncio.create_task(carry_out())

    async def _recover(self) -> None:
        """What was under way when the hub ended is interrupted; its devices are asked what they were left with."""
        now = self._clock()
        for number in await self._store.write(lambda s: deployments.interrupt(s, now)):
            begun = await self._store.read(lambda s: deployments.unsettled(s, number))  # noqa: B023 (awaited here)
            deployment = await self._read(number)
            plan = await self._plan(number)
            parts = {d.device: d for d in plan.devices if d.device in begun}
            desired = await self._plans.desired()
            await self._deployer.examine(number, await self._jobs(desired, parts), deployment.outcomes)

    async def _bring_up(self) -> None:
        """Deferred devices that have returned, to what is wanted of them now: canary first, then waves, as ever."""
        waiting = await self._store.read(deployments.deferred)
        due: dict[str, dict[DeviceId, Deferral]] = {}
        for one in waiting:
            if self._returned(one):
                due.setdefault(one.deployment, {})[one.device] = one
        if not due:
            return
        desired = await self._plans.desired()
        network = desired.network
        for some in due.values():
            made = await asyncio.to_thread(desired.manifests, list(some))
            gone = tuple(device for device in some if device not in network.devices)
            for wave in (gone, *arrange(network, [d for d in some if d not in gone], network.rollout)):
                if await self._bring([some[device] for device in wave], desired, made):
                    break

    async def _bring(self, wave: Sequence[Deferral], desired: Desired, made: Made) -> bool:
        """One wave of one roll-out; whether that was too much for the limit."""
        jobs: dict[DeviceId, Job] = {}
        for one in wave:
            wanted = made.get(one.device)
            if not await self._take(one):
                continue
            if isinstance(wanted, Manifest):
                jobs[one.device] = Job(desired.target(wanted), None, desired.network.devices[one.device].serial)
            elif wanted is None:
                await self._note(one, Outcome.UNTOUCHED, fault("PLN322", device=one.device))
            else:
                await self._note(one, Outcome.DEFERRED, wanted[0])
        if not jobs:
            return False
        manner = desired.network.rollout
        outcomes = await self._deployer.bring_up(wave[0].deployment, jobs, manner.confirm)
        log.info("deferred devices were brought up: %s", ", ".join(f"{d} {o}" for d, o in outcomes.items()))
        now = self._clock()
        return await self._store.write(lambda s: deployments.limit(s, wave[-1], manner.limit, now))

    async def _take(self, one: Deferral) -> bool:
        """Whether the device still waits, is in no other roll-out, and now in this one."""
        now = self._clock()
        return await self._store.write(lambda s: deployments.take(s, one, now))

    async def _note(self, one: Deferral, outcome: Outcome, why: Diagnostic) -> None:
        now, results = self._clock(), [Result(one.device, outcome, why)]
        await self._store.write(lambda s: deployments.record(s, one.deployment, results, now))

    def _returned(self, one: Deferral) -> bool:
        """Whether the device came back after it was deferred; whatever is seen of it, it is tried now and then."""
        snapshot = self._latest()
        health = snapshot.healths.get(one.device) if snapshot is not None else None
        if health is not None and health.state in LOST:
            return False
        back = health is not None and health.since > one.at
        return back or self._clock() - one.at > AGAIN

    # -- what they need

    def _asks(self, part: DevicePlan) -> bool:
        """Whether something is to be done: nothing is known of who was never reached, so he may need anything."""
        return bool(part.wanted) and part.family in self._plans.provisioners and bool(part.changes or not part.known)

    async def _jobs(self, desired: Desired, parts: Mapping[DeviceId, DevicePlan]) -> Jobs:
        made = await asyncio.to_thread(desired.manifests, list(parts))
        return {device: _job(desired, part, made) for device, part in parts.items()}

    async def _plan(self, number: str) -> Plan:
        document = await self._store.read(lambda s: deployments.plan_of(s, number))
        plan: Plan = _done(planfile.loads(json.dumps(document), number))
        return plan

    async def _read(self, number: str) -> Deployment:
        found = await self._store.read(lambda s: deployments.read(s, number))
        if found is None:
            raise refuse((fault("PLN317", rollout=number),))
        return found


def _job(desired: Desired, part: DevicePlan, made: Made) -> Job | Diagnostic:
    wanted = made.get(part.device)
    if wanted is None:
        return fault("PLN325", device=part.device)
    if not isinstance(wanted, Manifest) or wanted.digest != part.wanted:
        return fault("PLN314", device=part.device)
    return Job(desired.target(wanted), part.known or None, desired.network.devices[part.device].serial)


def _devices(desired: Desired, plan: Plan) -> list[Device]:
    found = (desired.network.devices.get(d.device) for d in plan.devices)
    return [device for device in found if device is not None]


def _done(found: Any) -> Any:
    """The result, or the refusal it is."""
    if isinstance(found, Diagnostic):
        raise refuse((found,))
    return found


def _counts(deployment: Deployment) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for outcome in deployment.outcomes.values():
        found[outcome] = found.get(outcome, 0) + 1
    return found


def _row(deployment: Deployment, counts: Mapping[str, int]) -> RolloutRow:
    return RolloutRow(
        id=deployment.id,
        plan=deployment.plan,
        selection=deployment.selection,
        author=deployment.author,
        started=to_milliseconds(deployment.started),
        ended=to_milliseconds(deployment.ended) if deployment.ended is not None else 0,
        state=deployment.state,
        waves=len(deployment.waves),
        outcomes={str(outcome): count for outcome, count in counts.items()},
        reason=_problem(deployment.reason),
    )


def _treated(one: Treated) -> TreatedRow:
    result = one.result
    at, detail = to_milliseconds(one.at), _problem(result.detail)
    return TreatedRow(one.device, one.wave + 1, result.outcome, at, result.sent, result.received, detail)


def _problem(found: Diagnostic | None) -> Problem | None:
    return refuse((found,)).problems[0] if found is not None else None
