"""Backups on demand, what was done to a device, and putting a modem's configuration back on probation."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId
from nms.journal import audit, new_id
from nms.moments import to_milliseconds
from nms.provision import backup, deployments, planfile
from nms.provision.apply_faults import fault as apply_fault
from nms.provision.backup import Backup, Why
from nms.provision.deployments import State
from nms.provision.drivers import faults
from nms.provision.drivers.language import Driver, from_backup, missing, possible
from nms.provision.drivers.provisioner import CliProvisioner
from nms.provision.plan import printable
from nms.provision.plan_faults import fault as plan_fault
from nms.provision.problems import from_json
from nms.provision.reach import Target, Unreached
from nms.provision.values import Action, Change, DevicePlan, Kind, Manifest, Outcome, Plan, Result, digest_of
from nms.store import DeploymentDeviceRow, DeploymentRow, SiteRow, Store
from tui.apply_methods import Begun
from tui.backup_methods import (
    BACKUP,
    BACKUP_TEXT,
    HISTORY,
    RESTORATION,
    RESTORE,
    BackedUp,
    BackupText,
    Device,
    History,
    HistoryRow,
    Restoration,
    Restore,
    Which,
)
from tui.hub import Caller, Handler, refuse
from tui.methods import Method, Problem, Select
from tui.plan_service import PlanService, may

log = logging.getLogger("loa.backup")

PAUSE: Final = 2.0
"""Seconds between two tries to confirm a restoration."""
GRACE: Final = 120.0
"""Seconds after the end of a probation in which a device may come back."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A restoration that somebody looks at: what is wanted of the device, by its driver, and what would change."""

    target: Target
    driver: Driver
    wanted: Mapping[str, str]
    now: str
    plan: Plan


class BackupService:
    """``plans`` knows how devices are reached and who may act on them."""

    def __init__(self, plans: PlanService, clock: Callable[[], datetime], store: Store) -> None:
        self._plans = plans
        self._clock = clock
        self._store = store
        self._running: set[asyncio.Task[None]] = set()

    def handlers(self) -> dict[str, Handler]:
        """Every method of ``tui.backup_methods`` by its name."""
        answers: Iterable[tuple[Method[Any, Any], Any]] = (
            (BACKUP_TEXT, self.text),
            (RESTORATION, self.restoration),
            (RESTORE, self.restore),
            (HISTORY, self.history),
        )
        found = {method.name: Handler(method, answer=answer) for method, answer in answers}
        return found | {BACKUP.name: Handler(BACKUP, stream=self.backup)}

    # -- keeping

    async def backup(self, caller: Caller, params: Select) -> AsyncIterator[BackedUp]:
        """Every device of the selection, as it answers."""
        person, desired = caller.known(), await self._plans.desired()
        devices = self._plans.selected(desired, params.selection)
        may(desired, person, devices)
        now, data = self._clock(), {"devices": len(devices)}
        await self._store.write(lambda s: audit(s, now, person.id, caller.uid, "device.backup", params.selection, data))
        made = await asyncio.to_thread(desired.manifests, [device.id for device in devices])
        targets = []
        for device, manifest in made.items():
            if isinstance(manifest, Manifest):
                targets.append(desired.target(manifest))
            else:
                yield BackedUp(device, problem=_problem(manifest[0]))
        async for device, answer in self._exports(targets):
            if isinstance(answer, Diagnostic):
                yield BackedUp(device, problem=_problem(answer))
            else:
                yield await self._kept(device, answer, person.id)

    async def _exports(self, targets: list[Target]) -> AsyncIterator[tuple[DeviceId, str | Diagnostic]]:
        """Each device's configuration without its secrets; a family after the other."""
        for family in dict.fromkeys(target.manifest.family for target in targets):
            some = [target for target in targets if target.manifest.family is family]
            way = self._plans.provisioners.get(family)
            if way is None:
                for target in some:
                    yield target.device, plan_fault("PLN209", family=str(family))
            elif isinstance(way, CliProvisioner):
                async for found in way.export(some):
                    yield found
            else:
                async for answer in way.facts(some):
                    said = answer.problem if isinstance(answer, Unreached) else backup.text_of(answer)
                    yield answer.device, said

    async def _kept(self, device: DeviceId, text: str, by: str) -> BackedUp:
        now = self._clock()

        def write(session: Session) -> BackedUp:
            new = backup.keep(session, device, Why.ASKED, text, now, by)
            return BackedUp(device, backup.count(session, device), new)

        return await self._store.write(write)

    # -- looking

    async def text(self, _: Caller, params: Which) -> BackupText:
        one = await self._read(DeviceId(params.device), params.number)
        return BackupText(one.device, one.number, to_milliseconds(one.at), one.why, one.by, one.text)

    async def history(self, _: Caller, params: Device) -> History:
        device = DeviceId(params.device)

        def query(session: Session) -> list[HistoryRow]:
            return [*_rollouts(session, device), *_backups(session, device), *_records(session, device)]

        rows = await self._store.read(query)
        return History(tuple(sorted(rows, key=lambda row: row.at)))

    async def _read(self, device: DeviceId, number: int) -> Backup:
        """The backup; 0 is the last."""
        found = await self._store.read(lambda s: backup.history(s, device))
        if not 0 <= number <= len(found) or not found:
            raise refuse((faults.fault(faults.NO_BACKUP, device=device, number=str(number)),))
        return found[number - 1]

    # -- putting back

    async def restoration(self, caller: Caller, params: Which) -> Restoration:
        """What would change, from what the device says now."""
        one = await self._read(DeviceId(params.device), params.number)
        asked = await self._asked(caller, one)
        return Restoration(one.number, planfile.dumps(asked.plan))

    async def restore(self, caller: Caller, params: Restore) -> Begun:
        """Begins; goes on whether or not anybody follows it."""
        person = caller.known()
        one = await self._read(DeviceId(params.device), params.number)
        asked = await self._asked(caller, one)
        (part,) = asked.plan.devices
        if part.known != params.known:
            raise refuse((faults.fault(faults.CHANGED, device=one.device),))
        if not part.changes:
            return Begun("")
        now, document = self._clock(), json.loads(planfile.dumps(asked.plan))

        def begin(session: Session) -> str | Diagnostic:
            begun = deployments.begin(session, document, [[one.device]], person.id, now)
            if isinstance(begun, str):
                data = {"rollout": begun, "backup": one.number, "digest": one.digest}
                audit(session, now, person.id, caller.uid, "device.restore", one.device, data)
            return begun

        begun = await self._store.write(begin)
        if isinstance(begun, Diagnostic):
            raise refuse((begun,))
        desired = await self._plans.desired()
        task = asyncio.create_task(self._carry_out(begun, asked, desired.network.rollout.confirm, person.id))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return Begun(begun)

    async def _asked(self, caller: Caller, one: Backup) -> _Asked:
        """How the backup differs from what the device says now. Refused: no technician, no modem, not reached."""
        person, desired = caller.known(), await self._plans.desired()
        device = desired.network.devices.get(one.device)
        made = desired.manifests([one.device]).get(one.device)
        if device is None or made is None:
            raise refuse((apply_fault("PLN322", device=one.device),))
        may(desired, person, [device])
        if not isinstance(made, Manifest):
            raise refuse(made)
        way = self._plans.provisioners.get(made.family)
        if not isinstance(way, CliProvisioner):
            raise refuse((faults.fault(faults.NO_RESTORE, device=one.device),))
        target, driver = desired.target(made), way.drivers[made.family]
        async for _, answer in way.export([target]):
            if isinstance(answer, Diagnostic):
                raise refuse((answer,))
            now = answer
        plan = self._plan(one, driver, made, now, person.id)
        return _Asked(target, driver, driver.parse(one.text), now, plan)

    def _plan(self, one: Backup, driver: Driver, made: Manifest, now: str, by: str) -> Plan:
        at, current = self._clock(), driver.parse(now)
        wanted = missing(current, possible(driver.words, from_backup(driver.parse(one.text), current)))
        changes = tuple(_change(name, current.get(name), text) for name, text in wanted.items())
        part = DevicePlan(one.device, made.family, one.digest, digest_of(now), at, changes)
        return Plan(new_id(at), at, by, one.device, {"backup": f"{one.device} {one.number}"}, (part,))

    async def _carry_out(self, number: str, asked: _Asked, within: float, by: str) -> None:
        """On probation, confirmed over a new connection as soon as there is one; recorded like any roll-out."""
        device, way = asked.target.device, self._plans.provisioners[asked.target.manifest.family]
        assert isinstance(way, CliProvisioner)

        async def keep(device: DeviceId, why: str, text: str) -> None:
            at, what = self._clock(), Why.RESTORED if why == Why.AFTER else Why(why)
            await self._store.write(lambda s: backup.keep(s, device, what, text, at, by))

        restoring = replace(way, wish=lambda _, current, memory: (from_backup(asked.wanted, current), ()), keep=keep)
        try:
            await self._note(number, Result(device, Outcome.RUNNING))
            async for result in restoring.apply([asked.target], within):
                await self._note(number, result)
                if result.outcome is Outcome.APPLIED:
                    await self._confirmed(number, restoring, asked.target, within)
            state, reason = State.DONE, None
        except Exception as error:
            log.exception("restoring %s failed", device)
            state, reason = State.INTERRUPTED, apply_fault("PLN315", reason=repr(error))
        now = self._clock()
        await self._store.write(lambda s: deployments.finish(s, number, state, reason, now))

    async def _confirmed(self, number: str, way: CliProvisioner, target: Target, within: float) -> None:
        """The device is told that it may stay so; who does not come back is lost, and restored once it is back."""
        loop, device = asyncio.get_running_loop(), target.device
        began, problem = loop.time(), None
        while loop.time() < began + within + GRACE:
            problem = (await way.confirm([target]))[device]
            if problem is None or problem.code == faults.WENT_BACK:
                break
            await asyncio.sleep(PAUSE)
        if problem is None:
            await self._note(number, Result(device, Outcome.APPLIED))
        else:
            back = problem.code == faults.WENT_BACK
            await self._note(number, Result(device, Outcome.RESTORED if back else Outcome.LOST, problem))

    async def _note(self, number: str, result: Result) -> None:
        now = self._clock()
        await self._store.write(lambda s: deployments.record(s, number, [result], now))


def _change(name: str, found: str | None, wanted: str | None) -> Change:
    action = Action.REMOVE if not wanted else Action.CREATE if found is None else Action.CHANGE
    lines = [f"-{line}" for line in (found or "").splitlines()] + [f"+{line}" for line in (wanted or "").splitlines()]
    return Change(action, Kind.OPTION, name, tuple(printable(line) for line in lines))


def _rollouts(session: Session, device: DeviceId) -> Iterable[HistoryRow]:
    query = select(DeploymentDeviceRow, DeploymentRow).join(
        DeploymentRow, DeploymentRow.id == DeploymentDeviceRow.deployment
    )
    for row, whole in session.execute(query.where(DeploymentDeviceRow.device == device)):
        problem = _problem(from_json(row.detail)) if row.detail else None
        data = {"sent": str(row.sent), "received": str(row.received)}
        yield HistoryRow(to_milliseconds(row.at), "rollout", whole.author, whole.id, row.outcome, problem, data)


def _backups(session: Session, device: DeviceId) -> Iterable[HistoryRow]:
    for one in backup.history(session, device):
        yield HistoryRow(to_milliseconds(one.at), "backup", one.by, str(one.number), one.why)


def _records(session: Session, device: DeviceId) -> Iterable[HistoryRow]:
    for row in session.scalars(select(SiteRow).where(SiteRow.subject == device)):
        yield HistoryRow(to_milliseconds(row.at), row.kind, row.by, row.id)


def _problem(found: Diagnostic) -> Problem:
    return refuse((found,)).problems[0]
