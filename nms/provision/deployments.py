"""What was rolled out, by whom, and what became of every device: rows that are written before anything is done.

A device is in one roll-out at a time that is under way. One that was interrupted holds nobody: it takes its devices
again when it goes on. What could not be reached is deferred until it returns or a later roll-out has dealt with it, if
the roll-out went through: a change that others were not spared reaches nobody later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId
from nms.i18n import VIETNAM
from nms.journal import EventKind, append, new_id
from nms.provision.apply_faults import fault
from nms.provision.problems import from_json, to_json
from nms.provision.rollout import HARMED, OPEN
from nms.provision.values import Outcome, Result
from nms.store import DeploymentDeviceRow, DeploymentRow

_AT_ONCE: Final = 500


class State(StrEnum):
    """Of a roll-out. ``PAUSED`` by a person and ``INTERRUPTED`` by the hub's end can go on."""

    RUNNING = "running"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"
    DONE = "done"


RESUMABLE: Final = frozenset({State.PAUSED, State.INTERRUPTED})


@dataclass(frozen=True, slots=True)
class Treated:
    """One device: its wave from 0, what became of it and when."""

    device: DeviceId
    wave: int
    at: datetime
    result: Result


@dataclass(frozen=True, slots=True)
class Deployment:
    """``plan``: the plan's id; ``devices`` in the order of their waves, empty where not asked for."""

    id: str
    plan: str
    selection: str
    author: str
    started: datetime
    state: State
    ended: datetime | None
    reason: Diagnostic | None
    devices: tuple[Treated, ...] = ()

    @property
    def outcomes(self) -> Mapping[DeviceId, Outcome]:
        return {one.device: one.result.outcome for one in self.devices}

    @property
    def waves(self) -> tuple[tuple[DeviceId, ...], ...]:
        found: dict[int, list[DeviceId]] = {}
        for one in self.devices:
            found.setdefault(one.wave, []).append(one.device)
        return tuple(tuple(found[wave]) for wave in sorted(found))


def begin(
    session: Session, plan: Mapping[str, Any], waves: Sequence[Sequence[DeviceId]], author: str, now: datetime
) -> str | Diagnostic:
    """Takes the devices and returns the new roll-out's id; a refusal that names who has one of them."""
    taken = _taken(session, [d for wave in waves for d in wave])
    if taken is not None:
        return taken
    number = new_id(now)
    session.add(DeploymentRow(id=number, plan=dict(plan), author=author, started=now, state=State.RUNNING))
    session.flush()
    for wave, devices in enumerate(waves):
        for device in devices:
            session.add(
                DeploymentDeviceRow(deployment=number, device=device, wave=wave, outcome=Outcome.WAITING, at=now)
            )
    data = {"devices": sum(map(len, waves)), "waves": len(waves), "plan": plan.get("id", ""), "by": author}
    append(session, now, EventKind.DEPLOY_STARTED, number, to=State.RUNNING, data=data)
    return number


def resume(session: Session, number: str, person: str, now: datetime) -> Deployment | Diagnostic:
    """Takes the devices without a result again."""
    row = session.get(DeploymentRow, number)
    if row is None:
        return fault("PLN317", rollout=number)
    if row.state == State.RUNNING:
        return fault("PLN324", rollout=number)
    if State(row.state) not in RESUMABLE:
        return fault("PLN318", rollout=number)
    left = session.scalars(_devices(number).where(DeploymentDeviceRow.outcome.in_(OPEN))).all()
    taken = _taken(session, [DeviceId(one.device) for one in left])
    if taken is not None:
        return taken
    append(session, now, EventKind.DEPLOY_STARTED, number, from_=row.state, to=State.RUNNING, data={"by": person})
    row.state, row.ended, row.reason = State.RUNNING, None, {}
    session.flush()
    return read(session, number) or fault("PLN317", rollout=number)


def record(session: Session, number: str, results: Iterable[Result], now: datetime) -> None:
    """What became of devices; bytes are added to those of earlier attempts."""
    for result in results:
        row = session.get_one(DeploymentDeviceRow, (number, result.device))
        row.outcome, row.at = result.outcome, now
        row.detail = to_json(result.detail) if result.detail is not None else {}
        row.sent += result.sent
        row.received += result.received


def finish(session: Session, number: str, state: State, reason: Diagnostic | None, now: datetime) -> None:
    """The roll-out is no longer under way. One that was stopped leaves the rest untouched, the deferred too."""
    row = session.get_one(DeploymentRow, number)
    if state is State.STOPPED:
        for one in session.scalars(_devices(number).where(DeploymentDeviceRow.outcome.in_((*OPEN, Outcome.DEFERRED)))):
            one.outcome, one.at, one.detail = Outcome.UNTOUCHED, now, {}
    session.flush()
    counts = _counts(session, number)
    append(session, now, EventKind.DEPLOY_FINISHED, number, from_=row.state, to=state, data={"outcomes": counts})
    row.state, row.ended, row.reason = state, now, to_json(reason) if reason is not None else {}


def limit(session: Session, one: Deferral, most: int, now: datetime) -> bool:
    """Stops a roll-out that has gone through when among the devices brought up last, ``one`` of them, too many were
    harmed. Whether it stopped."""
    counts = _counts(session, one.deployment)
    harmed = sum(counts.get(outcome, 0) for outcome in HARMED)
    if harmed <= most:
        return False
    wave = session.get_one(DeploymentDeviceRow, (one.deployment, one.device)).wave + 1
    reason = fault("PLN320", wave=wave, count=harmed, limit=most, rollout=one.deployment)
    finish(session, one.deployment, State.STOPPED, reason, now)
    return True


def take(session: Session, one: Deferral, now: datetime) -> bool:
    """Whether the deferred device is still wanted and nobody else's, and is being brought up from now on."""
    row = session.get_one(DeploymentDeviceRow, (one.deployment, one.device))
    if row.outcome != Outcome.DEFERRED or busy(session, [one.device]):
        return False
    record(session, one.deployment, [Result(one.device, Outcome.RUNNING)], now)
    return True


def interrupt(session: Session, now: datetime) -> tuple[str, ...]:
    """What was under way when the hub ended: at a start nothing else can be under way. Returns their ids."""
    rows = session.scalars(select(DeploymentRow).where(DeploymentRow.state == State.RUNNING)).all()
    for row in rows:
        finish(session, row.id, State.INTERRUPTED, fault("PLN323", rollout=row.id), now)
    late = select(DeploymentDeviceRow).join(DeploymentRow, DeploymentRow.id == DeploymentDeviceRow.deployment)
    for one in session.scalars(late.where(_LATE)):
        one.outcome = Outcome.DEFERRED
    return tuple(row.id for row in rows)


def read(session: Session, number: str) -> Deployment | None:
    """A roll-out with its devices; by the end of its id too, where that is one's only."""
    heads = session.execute(_HEAD.where(DeploymentRow.id.endswith(number, autoescape=True)).limit(2)).all()
    if not number or len(heads) != 1:
        return None
    devices = session.scalars(_devices(heads[0].id).order_by(DeploymentDeviceRow.wave, DeploymentDeviceRow.device))
    return _deployment(heads[0], tuple(_treated(one) for one in devices))


def plan_of(session: Session, number: str) -> Mapping[str, Any]:
    """The plan file's document as it was when the roll-out began."""
    return session.get_one(DeploymentRow, number).plan


def latest(session: Session, limit: int) -> tuple[tuple[Deployment, Mapping[str, int]], ...]:
    """The last roll-outs, the newest first, and how many devices had which outcome."""
    heads = session.execute(_HEAD.order_by(DeploymentRow.started.desc()).limit(limit)).all()
    return tuple((_deployment(head), _counts(session, head.id)) for head in heads)


def unsettled(session: Session, number: str) -> tuple[DeviceId, ...]:
    """Devices of which it is not known what the hub's end left them with."""
    wanted = _devices(number).where(DeploymentDeviceRow.outcome.in_((Outcome.RUNNING, Outcome.LOST)))
    return tuple(DeviceId(row.device) for row in session.scalars(wanted))


@dataclass(frozen=True, slots=True)
class Deferral:
    """A device that waits for its return, in which roll-out and since when (or since it was last tried)."""

    deployment: str
    device: DeviceId
    at: datetime


def deferred(session: Session) -> tuple[Deferral, ...]:
    """Devices whose latest roll-out put them off, and has gone through otherwise."""
    newest = (
        select(DeploymentDeviceRow.device, func.max(DeploymentDeviceRow.deployment).label("newest"))
        .group_by(DeploymentDeviceRow.device)
        .subquery()
    )
    rows = session.scalars(
        select(DeploymentDeviceRow)
        .join(
            newest,
            (DeploymentDeviceRow.device == newest.c.device) & (DeploymentDeviceRow.deployment == newest.c.newest),
        )
        .join(DeploymentRow, DeploymentRow.id == DeploymentDeviceRow.deployment)
        .where(DeploymentDeviceRow.outcome == Outcome.DEFERRED, DeploymentRow.state == State.DONE)
        .order_by(DeploymentDeviceRow.at)
    )
    return tuple(Deferral(row.deployment, DeviceId(row.device), row.at) for row in rows)


_LATE = and_(DeploymentRow.state.in_((State.STOPPED, State.DONE)), DeploymentDeviceRow.outcome == Outcome.RUNNING)
"""A deferred device that has returned and is being brought up."""


def busy(session: Session, devices: Sequence[DeviceId]) -> Mapping[DeviceId, DeploymentRow]:
    """Those of the devices that a roll-out under way has, or that are being brought up after one."""
    found: dict[DeviceId, DeploymentRow] = {}
    for start in range(0, len(devices), _AT_ONCE):
        rows = session.execute(
            select(DeploymentDeviceRow.device, DeploymentRow)
            .join(DeploymentRow, DeploymentRow.id == DeploymentDeviceRow.deployment)
            .where(or_(DeploymentRow.state == State.RUNNING, _LATE))
            .where(DeploymentDeviceRow.device.in_(devices[start : start + _AT_ONCE]))
        )
        found |= {DeviceId(device): row for device, row in rows}
    return found


def _taken(session: Session, devices: Sequence[DeviceId]) -> Diagnostic | None:
    for device, row in busy(session, devices).items():
        since = row.started.astimezone(VIETNAM).isoformat(timespec="minutes")
        return fault("PLN316", device=device, person=row.author, since=since, rollout=row.id)
    return None


def _devices(number: str) -> Any:
    return select(DeploymentDeviceRow).where(DeploymentDeviceRow.deployment == number)


def _counts(session: Session, number: str) -> dict[str, int]:
    column = DeploymentDeviceRow.outcome
    rows = session.execute(
        select(column, func.count()).where(DeploymentDeviceRow.deployment == number).group_by(column)
    )
    return {outcome: count for outcome, count in rows}


_HEAD: Final = select(
    DeploymentRow.id,
    DeploymentRow.author,
    DeploymentRow.started,
    DeploymentRow.state,
    DeploymentRow.ended,
    DeploymentRow.reason,
    DeploymentRow.plan["id"].as_string().label("plan"),
    DeploymentRow.plan["selection"].as_string().label("selection"),
)
"""Without the plan itself: it may have megabytes, and is not looked at twice a second."""


def _deployment(head: Any, devices: tuple[Treated, ...] = ()) -> Deployment:
    return Deployment(
        id=head.id,
        plan=head.plan or "",
        selection=head.selection or "",
        author=head.author,
        started=head.started,
        state=State(head.state),
        ended=head.ended,
        reason=from_json(head.reason) if head.reason else None,
        devices=devices,
    )


def _treated(row: DeploymentDeviceRow) -> Treated:
    detail = from_json(row.detail) if row.detail else None
    device = DeviceId(row.device)
    result = Result(device, Outcome(row.outcome), detail, row.sent, row.received)
    return Treated(device, row.wave, row.at, result)
