"""Carries a roll-out out: wave by wave, each device looked at before, changed on probation, seen again, confirmed.

Every transition is committed before it is acted on, so that a hub that was killed finds out what it left behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, cast

from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId
from nms.provision import deployments, facts, plan_faults
from nms.provision.apply_faults import fault
from nms.provision.contact import SSH, Contact, Ways
from nms.provision.deployments import State
from nms.provision.plan import changes_of
from nms.provision.reach import Provisioner, Target, Unreached
from nms.provision.rollout import Rollout, Stop, Wave, following
from nms.provision.values import Facts, Family, Outcome, Result
from nms.store import Store

log = logging.getLogger("loa.rollout")

SETTLE: Final = 0.5
"""Share of its probation after which a device without contact is lost: the confirmation still has to reach it."""
GRACE: Final = 120.0
"""Seconds after the end of a probation in which a device may come back."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done to one device. ``known``: the digest of the facts that the plan follows from, None where the
    device may be as it likes; ``serial``: the inventory's, empty where it has none."""

    target: Target
    known: str | None
    serial: str = ""

    @property
    def device(self) -> DeviceId:
        return self.target.device


Jobs = Mapping[DeviceId, Job | Diagnostic]
"""A diagnostic: why the device is left as it is."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A device after its change at ``since``; at ``deadline`` (the loop's time) it is lost."""

    job: Job
    result: Result
    since: datetime
    deadline: float


@dataclass(slots=True)
class Course:
    """One roll-out on its way. ``lost``: until when (the loop's time) devices without contact are on probation."""

    number: str
    jobs: Jobs
    within: float
    outcomes: dict[DeviceId, Outcome] = field(default_factory=dict)
    lost: dict[DeviceId, float] = field(default_factory=dict)


class Deployer:
    """``spent``: bytes sent to a device and received from it beside those that its results tell."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime],
        provisioners: Mapping[Family, Provisioner],
        contact: Contact,
        spent: Callable[[DeviceId], tuple[int, int]] = lambda device: (0, 0),
        grace: float = GRACE,
    ) -> None:
        self._store = store
        self._clock = clock
        self._provisioners = provisioners
        self._contact = contact
        self._spent = spent
        self._grace = grace

    async def run(
        self, deployment: deployments.Deployment, jobs: Jobs, limit: int, within: float, pause: Callable[[], str]
    ) -> State:
        """Everything that is left of a roll-out; its state at the end, which is committed.

        ``pause``: who wants it to stop after the present wave, empty while nobody does.
        """
        course = Course(deployment.id, jobs, within, dict(deployment.outcomes))
        rollout = Rollout(deployment.waves, limit)
        await self._settle_interrupted(course)
        state, reason, number = State.DONE, None, 0
        while isinstance(step := following(rollout, course.outcomes), Wave):
            if who := pause():
                state, reason = State.PAUSED, fault("PLN321", person=who, wave=number, rollout=course.number)
                break
            number = step.number + 1
            await self._wave(course, step.devices)
        if isinstance(step, Stop):
            state = State.STOPPED
            fields = {"wave": step.number + 1, "count": len(step.harmed), "limit": limit, "rollout": course.number}
            reason = fault("PLN320", **fields)
        await self._returns(course)
        now = self._clock()
        await self._store.write(lambda s: deployments.finish(s, course.number, state, reason, now))
        return state

    async def bring_up(self, number: str, jobs: Mapping[DeviceId, Job], within: float) -> Mapping[DeviceId, Outcome]:
        """A wave of deferred devices to what is wanted of them now, by the same rules."""
        course = Course(number, jobs, within)
        await self._wave(course, tuple(jobs))
        await self._returns(course)
        return course.outcomes

    async def examine(self, number: str, jobs: Jobs, before: Mapping[DeviceId, Outcome]) -> None:
        """What the hub's end left on devices: new (and confirmed now), old, or not to be told yet."""
        course = Course(number, jobs, 0.0, dict(before))
        await self._examine(course, [one for one in jobs.values() if isinstance(one, Job)])

    # -- before a change

    async def _settle_interrupted(self, course: Course) -> None:
        """Devices that were being changed when the hub ended: those that still do not tell wait for their return."""
        begun = [d for d, outcome in course.outcomes.items() if outcome in (Outcome.RUNNING, Outcome.LOST)]
        jobs = [job for d in begun if isinstance(job := course.jobs.get(d), Job)]
        unreached = await self._examine(course, jobs)
        still = [d for d in unreached if course.outcomes[d] is Outcome.RUNNING]
        await self._note(course, [Result(d, Outcome.DEFERRED, unreached[d]) for d in still])

    async def _examine(self, course: Course, jobs: Sequence[Job]) -> Mapping[DeviceId, Diagnostic]:
        """Those that could not be asked, and why. What was not confirmed counts only if it is seen once more."""
        unreached, new = await self._sorted(course, jobs)
        problems = await self._confirm(new)
        gone, still = await self._sorted(course, [job for job in new if problems.get(job.device) is not None])
        sure = [job for job in new if problems.get(job.device) is None]
        applied = [Result(job.device, Outcome.APPLIED, problems.get(job.device)) for job in (*sure, *still)]
        await self._note(course, applied)
        return {**unreached, **{d: problems[d] or why for d, why in gone.items()}}

    async def _sorted(self, course: Course, jobs: Sequence[Job]) -> tuple[dict[DeviceId, Diagnostic], list[Job]]:
        """Those that could not be asked, and those that are as wanted; of the others it is known what they are."""
        unreached: dict[DeviceId, Diagnostic] = {}
        new: list[Job] = []
        async for job, answer in self._facts(jobs):
            if isinstance(answer, Unreached):
                unreached[job.device] = answer.problem
            elif not any(changes_of(job.target.manifest, answer)):
                new.append(job)
            elif answer.digest == (job.known or Facts(job.device, answer.at).digest):
                lost = course.outcomes.get(job.device) is Outcome.LOST
                back = Result(job.device, Outcome.RESTORED, fault("PLN311", device=job.device))
                await self._note(course, [back if lost else Result(job.device, Outcome.WAITING)])
        return unreached, new

    async def _wave(self, course: Course, devices: Sequence[DeviceId]) -> None:
        found = {d: course.jobs.get(d) or fault("PLN325", device=d) for d in devices}
        left = [(d, why) for d, why in found.items() if isinstance(why, Diagnostic)]
        await self._note(course, [Result(d, Outcome.UNTOUCHED, why) for d, why in left])
        jobs = [job for job in found.values() if isinstance(job, Job)]
        for job in jobs:
            self._spent(job.device)  # what it cost until now was for plans and enrolment
        await self._note(course, [Result(job.device, Outcome.RUNNING) for job in jobs])
        had = await self._contact.before([job.target for job in jobs], self._clock())
        ready = await self._ready(course, jobs)
        watch: asyncio.Queue[Watched | None] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._change(course, ready, watch))
            group.create_task(self._watch(course, {d: ways | {SSH} for d, ways in had.items()}, watch))

    async def _ready(self, course: Course, jobs: Sequence[Job]) -> list[Job]:
        """Those that are as the plan knows them; the others have their result."""
        ready = []
        async for job, answer in self._facts(jobs):
            result = _unready(job, answer)
            if result is None:
                ready.append(job)
            else:
                await self._note(course, [result])
        return ready

    async def _facts(self, jobs: Sequence[Job]) -> AsyncIterator[tuple[Job, Facts | Unreached]]:
        """Each device's answer, kept; a family after the other."""
        for family, some in _families(jobs).items():
            by_device = {job.device: job for job in some}
            provisioner = self._provisioners.get(family)
            if provisioner is None:
                for job in some:
                    yield job, Unreached(job.device, plan_faults.fault("PLN209", family=family))
                continue
            async with _ended(provisioner.facts([job.target for job in some])) as answers:
                async for answer in answers:
                    await self._keep(answer)
                    yield by_device[answer.device], answer

    async def _keep(self, answer: Facts | Unreached) -> None:
        now = self._clock()
        await self._store.write(lambda s: facts.write(s, [answer], now))

    # -- the change

    async def _change(self, course: Course, jobs: Sequence[Job], watch: asyncio.Queue[Watched | None]) -> None:
        """Every family at the same time; who was changed, or may have been, is watched."""
        try:
            families = _families(jobs).items()
            await asyncio.gather(*(self._change_family(course, f, some, watch) for f, some in families))
        finally:
            watch.put_nowait(None)

    async def _change_family(
        self, course: Course, family: Family, jobs: Sequence[Job], watch: asyncio.Queue[Watched | None]
    ) -> None:
        left = {job.device: job for job in jobs}
        problem = fault("PLN315", reason=str(family))
        try:
            async with _ended(self._provisioners[family].apply([j.target for j in jobs], course.within)) as results:
                async for result in results:
                    await self._changed(course, left.pop(result.device), result, watch)
        except Exception as error:
            log.exception("a wave of %s failed", family)
            problem = fault("PLN315", reason=repr(error))
        for job in left.values():
            await self._changed(course, job, Result(job.device, Outcome.LOST, problem), watch)

    async def _changed(self, course: Course, job: Job, result: Result, watch: asyncio.Queue[Watched | None]) -> None:
        loop = asyncio.get_running_loop()
        if result.outcome in (Outcome.APPLIED, Outcome.LOST):
            course.lost[job.device] = loop.time() + course.within
            watch.put_nowait(Watched(job, result, self._clock(), loop.time() + course.within * SETTLE))
        else:
            await self._note(course, [result])

    # -- after it

    async def _watch(self, course: Course, had: Mapping[DeviceId, Ways], watch: asyncio.Queue[Watched | None]) -> None:
        """Confirms every device as soon as it is in contact as before; who is not by its deadline is lost."""
        pending: dict[DeviceId, Watched] = {}
        going = True
        while going or pending:
            if going and not pending:
                await _wait_for_more(watch)
            going = _take(watch, pending) and going
            missing = await self._missing(pending.values(), had)
            back = [one for one in pending.values() if not missing[one.job.device]]
            problems = await self._confirm([one.job for one in back])
            for one in back:
                if problems.get(one.job.device) is None:
                    del pending[one.job.device]
                    course.lost.pop(one.job.device, None)
                    await self._note(course, [replace(one.result, outcome=Outcome.APPLIED, detail=None)])
            await self._give_up(course, pending, missing, problems)
            if pending:
                await asyncio.sleep(self._contact.pause)

    async def _missing(self, pending: Iterable[Watched], had: Mapping[DeviceId, Ways]) -> dict[DeviceId, Ways]:
        """The ways in which each device was in contact, and is not."""
        some = list(pending)
        seen = await asyncio.gather(*(self._contact.ways([one.job.target], one.since) for one in some))
        known = frozenset(self._contact.checks)
        return {
            one.job.device: (had.get(one.job.device, frozenset()) & known) - ways[one.job.device]
            for one, ways in zip(some, seen, strict=True)
        }

    async def _give_up(
        self,
        course: Course,
        pending: dict[DeviceId, Watched],
        missing: Mapping[DeviceId, Ways],
        problems: Mapping[DeviceId, Diagnostic | None],
    ) -> None:
        now = asyncio.get_running_loop().time()
        for one in [one for one in pending.values() if one.deadline <= now]:
            device = one.job.device
            del pending[device]
            fields = {
                "device": device,
                "missing": ", ".join(sorted(missing[device])),
                "seconds": f"{course.within:.0f}",
            }
            why = problems.get(device) or fault("PLN310", **fields)
            await self._note(course, [replace(one.result, outcome=Outcome.LOST, detail=why)])

    async def _confirm(self, jobs: Sequence[Job]) -> Mapping[DeviceId, Diagnostic | None]:
        found: dict[DeviceId, Diagnostic | None] = {}
        for family, some in _families(jobs).items():
            try:
                found |= await self._provisioners[family].confirm([job.target for job in some])
            except Exception as error:
                log.exception("confirming %s failed", family)
                found |= {job.device: fault("PLN315", reason=repr(error)) for job in some}
        return found

    async def _returns(self, course: Course) -> None:
        """Waits for the lost ones: a probation ends by itself."""
        loop = asyncio.get_running_loop()
        while course.lost and loop.time() < (end := max(course.lost.values()) + self._grace):
            over = [d for d, until in course.lost.items() if until <= loop.time()]
            jobs = [job for d in over if isinstance(job := course.jobs.get(d), Job)]
            async for job, answer in self._facts(jobs):
                if isinstance(answer, Facts):
                    del course.lost[job.device]
                    await self._note(course, [_returned(job, answer)])
            if course.lost:
                await asyncio.sleep(min(self._contact.pause, max(0.0, end - loop.time())))

    # -- the record

    async def _note(self, course: Course, results: Sequence[Result]) -> None:
        """Commits what became of devices, with all the bytes that it cost, and what they said of themselves."""
        if not results:
            return
        full = [self._with_bytes(result) for result in results]
        now = self._clock()

        def write(session: Any) -> None:
            deployments.record(session, course.number, full, now)
            for result in full:
                if result.facts is not None:
                    facts.write(session, [result.facts], now)
                elif result.outcome in (Outcome.APPLIED, Outcome.LOST, Outcome.FAILED):
                    facts.forget(session, result.device)

        await self._store.write(write)
        course.outcomes |= {result.device: result.outcome for result in full}

    def _with_bytes(self, result: Result) -> Result:
        sent, received = self._spent(result.device)
        return replace(result, sent=result.sent + sent, received=result.received + received)


def _unready(job: Job, answer: Facts | Unreached) -> Result | None:
    """Why a device is not changed now; None where it is."""
    device = job.device
    if isinstance(answer, Unreached):
        return Result(device, Outcome.DEFERRED, answer.problem)
    given = answer.host.get("serial", "")
    if job.serial and given and given != job.serial:
        return Result(device, Outcome.DEFERRED, fault("PLN305", device=device, known=job.serial, given=given))
    if not any(changes_of(job.target.manifest, answer)):
        return Result(device, Outcome.UNCHANGED, facts=answer)
    if job.known and answer.digest != job.known:
        return Result(device, Outcome.UNTOUCHED, fault("PLN313", device=device))
    return None


def _returned(job: Job, answer: Facts) -> Result:
    """What a device that was lost is like when its probation is over."""
    if any(changes_of(job.target.manifest, answer)):
        return Result(job.device, Outcome.RESTORED, fault("PLN311", device=job.device), facts=answer)
    return Result(job.device, Outcome.APPLIED, facts=answer)


def _families(jobs: Iterable[Job]) -> Mapping[Family, list[Job]]:
    found: dict[Family, list[Job]] = {}
    for job in jobs:
        found.setdefault(job.target.manifest.family, []).append(job)
    return found


async def _wait_for_more(watch: asyncio.Queue[Watched | None]) -> None:
    """Until something is in the queue, which stays there."""
    watch.put_nowait(await watch.get())


def _take(watch: asyncio.Queue[Watched | None], pending: dict[DeviceId, Watched]) -> bool:
    """All that waits in the queue; whether more may come."""
    going = True
    while not watch.empty():
        one = watch.get_nowait()
        if one is None:
            going = False
        else:
            pending[one.job.device] = one
    return going


def _ended(stream: AsyncIterator[Any]) -> Any:
    """Closes a provisioner's stream when its reader is done; it is an async generator wherever it is made."""
    return aclosing(cast("Any", stream))
