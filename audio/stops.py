"""Stops of what is heard in one's own area, and their end.

As in ``audio.desk`` each is one transaction and answers with what has to be published after the commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from audio import asrun, ledger
from audio.bulletin import State, addressed, covers, unit_name
from audio.desk import Changed, Done, Refusals, Scene, Stopped, cancel, places
from audio.documents import EVERYTHING, Audience, NowEntry, NowKind
from audio.ledger import Actor
from audio.refusals import refuse
from audio.rights import may_stop
from inventory.diagnostics import Diagnostic
from nms import journal
from nms.journal import EventKind, new_id
from nms.moments import to_milliseconds
from nms.store import BulletinRow, NowEntryRow

HOLD = timedelta(minutes=10)
"""How long a stop of everything lasts when nobody says until when."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A stop that goes on: for ``place``, by ``issuer``, until ``until`` (ms), of ``bulletin`` (empty: everything)."""

    place: str
    issuer: str
    until: int
    bulletin: str
    reason: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """``targets`` as of ``Stopped``; ``standing``: the stops that still hold some of the selection."""

    targets: tuple[str, ...]
    standing: tuple[Standing, ...]


@dataclass(frozen=True, slots=True)
class Lift:
    """The end of the stops in ``audience``: of those of one bulletin, or (``bulletin`` empty) of all."""

    audience: Audience
    bulletin: str
    reason: str


@dataclass(frozen=True, slots=True)
class Halt:
    """A stop: of one bulletin, or (``bulletin`` empty) of everything; ``until`` None: the default."""

    audience: Audience
    bulletin: str = ""
    until: datetime | None = None
    reason: str = ""


def stop(session: Session, scene: Scene, who: Actor, halt: Halt) -> Done[Stopped] | Refusals:
    """Silence one bulletin or everything in the target, from now on, as an order of the stopping person's unit.

    Whatever of a higher unit is silenced asks for a reason, and that unit reads it among its own bulletin's events.
    """
    row = session.get(BulletinRow, halt.bulletin) if halt.bulletin else None
    if halt.bulletin and row is None:
        return (refuse("BUL020", bulletin=halt.bulletin),)
    origin = row.origin if row is not None else None
    refused = may_stop(scene.network, scene.on, who.person, halt.audience, origin, halt.reason)
    alarms = _alarms(session, scene, who, halt) if row is None and not refused else ()
    if alarms and not halt.reason.strip():
        refused = tuple(refuse("BUL100", title=a.title, origin=unit_name(scene.network, a.origin)) for a in alarms)
    if refused:
        return refused
    until = halt.until or (row.valid_until if row is not None else scene.now + HOLD)
    if until <= scene.now:
        return (refuse("BUL034", until=until.isoformat(timespec="minutes")),)
    entry = NowEntry(
        entry=new_id(scene.now),
        kind=NowKind.STOP,
        bulletin=halt.bulletin,
        start=scene.milliseconds,
        until=to_milliseconds(until),
        reason=halt.reason,
    )
    stopped = ledger.add_entries(session, places(halt.audience), who.person.area, entry, who.person.id)
    where = [target.place for target in stopped]
    data = {"targets": where, "until": entry.until, "by": who.person.area}
    for subject in (halt.bulletin or who.person.area, *(alarm.id for alarm in alarms)):
        ledger.act(session, scene.now, who, "bulletin.stop", subject, {"targets": where, "reason": halt.reason})
        cause = halt.reason or who.person.id
        journal.append(session, scene.now, EventKind.BULLETIN_STOPPED, subject, cause=cause, data=data)
    further = _stopped_rest(session, scene, row, halt) if row is not None else Changed()
    return Done(Stopped(tuple(where)), Changed((*stopped, *further.targets), further.units))


def resume(session: Session, scene: Scene, who: Actor, lift: Lift) -> Done[Resumed] | Refusals:
    """End the stops whose every listener lies in the audience. A higher unit's stop is that unit's to end.

    What a stop of a named bulletin cancelled stays cancelled.
    """
    refused = may_stop(scene.network, scene.on, who.person, lift.audience, None, lift.reason)
    if refused or not lift.reason.strip():
        return refused or (refuse("BUL035"),)
    mine, others = _lifted(session, scene, who, lift)
    if not mine:
        return (_not_lifted(scene, others),)
    targets = ledger.end(mine, scene.now)
    where = [target.place for target in targets]
    subject = lift.bulletin or who.person.area
    ledger.act(session, scene.now, who, "bulletin.resume", subject, {"targets": where, "reason": lift.reason})
    data = {"targets": where, "by": who.person.area}
    journal.append(session, scene.now, EventKind.BULLETIN_RESUMED, subject, cause=lift.reason, data=data)
    return Done(Resumed(tuple(dict.fromkeys(where)), tuple(_standing(row) for row in others)), Changed(targets))


def _lifted(session: Session, scene: Scene, who: Actor, lift: Lift) -> tuple[list[NowEntryRow], list[NowEntryRow]]:
    """The stops that this person's word ends, and those that touch the audience and go on."""
    meant = _heard_by(scene, lift.audience)
    mine: list[NowEntryRow] = []
    others: list[NowEntryRow] = []
    for row in ledger.stops(session, scene.now):
        names = str(row.entry["bulletin"])
        reach = _heard_by(scene, place_audience(row.target))
        if names == EVERYTHING or (lift.bulletin and names != lift.bulletin) or not reach & meant:
            continue
        own = reach <= meant and covers(scene.network, who.person.area, row.issuer)
        (mine if own else others).append(row)
    return mine, others


def _alarms(session: Session, scene: Scene, who: Actor, halt: Halt) -> tuple[BulletinRow, ...]:
    """The higher units' orders that a stop of everything silences: those that began before it, as devices decide it.

    Of one that is said once, only who has not reported to have heard it still loses something.
    """
    stopped = _heard_by(scene, halt.audience)
    found: dict[str, BulletinRow] = {}
    for order, row in ledger.in_force(session, scene.now):
        if row.id in found or covers(scene.network, who.person.area, order.issuer):
            continue
        silenced = _heard_by(scene, place_audience(order.target)) & stopped
        if silenced and not ledger.body_of(row).every:
            silenced -= asrun.reached(session, row.id)
        if silenced:
            found[row.id] = row
    return tuple(found.values())


def _heard_by(scene: Scene, audience: Audience) -> frozenset[str]:
    return frozenset(d.id for d in addressed(scene.network, scene.on, audience))


def place_audience(place: str) -> Audience:
    """The audience of a ``now`` document's place."""
    kind, _, name = place.partition("/")
    return {"u": Audience(units=(name,)), "g": Audience(groups=(name,)), "d": Audience(devices=(name,))}[kind]


def _not_lifted(scene: Scene, others: list[NowEntryRow]) -> Diagnostic:
    if not others:
        return refuse("BUL033")
    row = others[0]
    return refuse("BUL036", place=row.target, issuer=unit_name(scene.network, row.issuer))


def _standing(row: NowEntryRow) -> Standing:
    bulletin, reason = str(row.entry["bulletin"]), str(row.entry["reason"])
    return Standing(row.target, row.issuer, to_milliseconds(row.until), bulletin, reason)


def closed(session: Session, scene: Scene, row: BulletinRow) -> frozenset[str]:
    """The communes in which named stops have cancelled what was to come of the bulletin: no edit brings it back there.

    A stop cancels whatever has not begun, so a start still open was placed for those who go on hearing it.
    """
    halted = session.scalars(
        select(NowEntryRow.target).where(NowEntryRow.bulletin == row.id, NowEntryRow.kind == NowKind.STOP).distinct()
    ).all()
    if not halted:
        return frozenset()
    airings = ledger.airings(session, row.id)
    cancelled = {a.unit for a in airings if a.cancelled}
    open_ = {a.unit for a in airings if not a.cancelled and a.start > scene.now}
    stopped = frozenset[str]().union(*(_heard_by(scene, place_audience(place)) for place in halted))
    return frozenset(cancelled - open_ - _left(scene, row, stopped))


def _left(scene: Scene, row: BulletinRow, stopped: frozenset[str]) -> set[str]:
    """The communes in which somebody is addressed who is not stopped."""
    devices = addressed(scene.network, scene.on, ledger.body_of(row).audience)
    return {str(scene.network.unit_of(d, scene.on)) for d in devices if d.id not in stopped}


def _stopped_rest(session: Session, scene: Scene, row: BulletinRow, halt: Halt) -> Changed:
    """What a stop of a named bulletin cancels: its starts where all who would hear it are stopped; all of it where
    nobody is left.
    """
    left = _left(scene, row, _heard_by(scene, halt.audience))
    if not left and row.state in (State.APPROVED, State.SCHEDULED, State.AIRING):
        return cancel(session, scene, row, halt.reason)
    units = {a.unit for a in ledger.airings(session, row.id)} - left
    return Changed(units=ledger.cancel_airings(session, row.id, units, scene.now))
