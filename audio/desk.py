"""Decisions about bulletins, each one transaction: who decides is checked in the same moment in which it is kept.

Every function takes the store's session and answers with what was decided and what has to be published after the
commit, or with the diagnostics that forbid it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

from audio import ledger, placing, relays, schedule
from audio.approval import check_signature
from audio.bulletin import State, addressed, covers, may_approve, may_end, may_record, may_stop, order_kind, unit_name
from audio.documents import EVERYTHING, Audience, Bulletin, NowEntry, NowKind
from audio.grid import Grids
from audio.ledger import Actor, Target
from audio.paper import Paper
from audio.refusals import refuse
from audio.scripts import may_send
from audio.timetable import DAY
from inventory.diagnostics import Diagnostic, Severity
from inventory.model import Network
from nms import journal
from nms.journal import EventKind, new_id
from nms.store import BulletinRow, NowEntryRow, to_milliseconds

T = TypeVar("T")
Refusals = tuple[Diagnostic, ...]

SHOWN = 8 * DAY
"""Starts of a relay are looked for no farther ahead than programmes reach."""
HOLD = timedelta(minutes=10)
"""How long a stop of everything lasts when nobody says until when."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where and when a decision is made: the network as it is on ``on``, the instant ``now``."""

    network: Network
    on: date
    now: datetime

    @property
    def milliseconds(self) -> int:
        return to_milliseconds(self.now)


@dataclass(frozen=True, slots=True)
class Changed:
    """What has to be published after the commit."""

    targets: tuple[Target, ...] = ()
    units: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """A decision that is kept once the transaction commits."""

    answer: T
    changed: Changed


@dataclass(frozen=True, slots=True)
class Approved:
    """``starts`` (ms): the first planned one per commune, or the order's per place.

    ``homeless`` are communes in which at least one start found no room; ``warnings`` say so to a person. ``offered``:
    communes that may pick it.
    """

    starts: Mapping[str, int]
    homeless: tuple[str, ...] = ()
    warnings: Refusals = ()
    offered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stopped:
    """The places (``u/<unit>``, ``g/<group>``, ``d/<device>``) whose orders have changed."""

    targets: tuple[str, ...]


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


def places(audience: Audience) -> tuple[str, ...]:
    return (
        *(f"u/{unit}" for unit in audience.units),
        *(f"g/{group}" for group in audience.groups),
        *(f"d/{device}" for device in audience.devices),
    )


def approve(
    session: Session,
    scene: Scene,
    who: Actor,
    bulletin_id: str,
    signed: bytes,
    reason: str = "",
    paper: Paper | None = None,
    *,
    here: Callable[[str], bool],
) -> Done[Approved] | Refusals:
    """Keep the signed frame and give the bulletin its starts, or put its order in force.

    ``here``: whether a content is in the sound library; an order without its sound is refused. ``reason``: why an
    emergency goes out without a second person (break-glass). On ``paper`` the leader has signed elsewhere, and ``who``
    records that. What has not begun of the version before leaves the programmes.
    """
    row = session.get(BulletinRow, bulletin_id)
    if row is None:
        return (refuse("BUL020", bulletin=bulletin_id),)
    bulletin = ledger.body_of(row)
    if paper is None:
        refused = may_send(scene.network, who.person, row, bulletin, scene.now, reason)
    else:
        refused = may_record(scene.network, who.person, row) or paper.problems(scene.now)
    refused = refused or check_signature(scene.network, scene.on, row.body, signed, scene.milliseconds)
    refused = refused or _soundless(bulletin, here)
    if refused:
        return refused
    row.signed = signed
    if paper is None and may_send(scene.network, who.person, row, bulletin, scene.now):
        ledger.broke_glass(session, scene.now, who, row, reason)
    ledger.decide(session, scene.now, who, row, State.APPROVED, reason, paper)
    retired = placing.retire(session, scene.now, row) if row.replaces else ()
    done = _placed(session, scene, row, bulletin)
    return replace(done, changed=replace(done.changed, units=tuple(sorted({*done.changed.units, *retired}))))


def _soundless(bulletin: Bulletin, here: Callable[[str], bool]) -> Refusals:
    """An order that nobody could hear. Further languages that are missing keep it from nobody: devices say the rest."""
    if order_kind(bulletin) is None or here(bulletin.content):
        return ()
    return (refuse("BUL070", title=bulletin.title),)


def _placed(session: Session, scene: Scene, row: BulletinRow, bulletin: Bulletin) -> Done[Approved]:
    if row.repeats == relays.SERIES:
        return _series(session, scene, row, bulletin)
    if order_kind(bulletin) is None:
        return _schedule(session, scene, row, bulletin)
    return _order(session, scene, row, bulletin)


def give_back(session: Session, scene: Scene, who: Actor, bulletin_id: str, reason: str) -> Refusals:
    """Return a submitted bulletin to its author."""
    row = session.get(BulletinRow, bulletin_id)
    if row is None:
        return (refuse("BUL020", bulletin=bulletin_id),)
    refused = may_approve(scene.network, who.person, row)
    if not refused:
        ledger.decide(session, scene.now, who, row, State.RETURNED, reason)
    return refused


def all_clear(session: Session, scene: Scene, who: Actor, bulletin_id: str) -> Done[Stopped] | Refusals:
    """End an emergency or drill; what it was is decided by its receipts."""
    row = session.get(BulletinRow, bulletin_id)
    if row is None:
        return (refuse("BUL020", bulletin=bulletin_id),)
    refused = may_end(scene.network, who.person, row)
    if refused:
        return refused
    targets = ledger.end_entries(session, scene.now, bulletin_id)
    if not targets:
        return (refuse("BUL033"),)
    ledger.act(session, scene.now, who, "bulletin.all_clear", bulletin_id, {})
    journal.append(session, scene.now, EventKind.BULLETIN_STOPPED, bulletin_id, cause="all-clear")
    return Done(Stopped(tuple(t.place for t in targets)), Changed(targets))


def withdraw(session: Session, scene: Scene, who: Actor, bulletin_id: str, reason: str) -> Done[Stopped] | Refusals:
    """Cancel a bulletin everywhere, at any time before it has aired (thu hồi)."""
    row = session.get(BulletinRow, bulletin_id)
    if row is None:
        return (refuse("BUL020", bulletin=bulletin_id),)
    refused = may_end(scene.network, who.person, row)
    if refused:
        return refused
    if row.state not in (State.SUBMITTED, State.RETURNED, State.APPROVED, State.SCHEDULED, State.AIRING):
        return (refuse("BUL023", state=row.state),)
    ledger.act(session, scene.now, who, "bulletin.withdraw", bulletin_id, {"reason": reason})
    changed = _cancel(session, scene, row, reason)
    return Done(Stopped(tuple(t.place for t in changed.targets)), changed)


def stop(session: Session, scene: Scene, who: Actor, halt: Halt) -> Done[Stopped] | Refusals:
    """Silence one bulletin or everything in the target, from now on, as an order of the stopping person's unit."""
    row = session.get(BulletinRow, halt.bulletin) if halt.bulletin else None
    if halt.bulletin and row is None:
        return (refuse("BUL020", bulletin=halt.bulletin),)
    origin = row.origin if row is not None else None
    refused = may_stop(scene.network, scene.on, who.person, halt.audience, origin, halt.reason)
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
    subject = halt.bulletin or who.person.area
    where = [target.place for target in stopped]
    ledger.act(session, scene.now, who, "bulletin.stop", subject, {"targets": where, "reason": halt.reason})
    journal.append(
        session,
        scene.now,
        EventKind.BULLETIN_STOPPED,
        subject,
        cause=halt.reason or who.person.id,
        data={"targets": where, "until": entry.until, "by": who.person.area},
    )
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


def _schedule(session: Session, scene: Scene, row: BulletinRow, bulletin: Bulletin) -> Done[Approved]:
    communes = schedule.communes(scene.network, scene.on, bulletin)
    if placing.is_offered(bulletin):
        placing.offer(session, row.id, communes)
        return Done(Approved({}, offered=communes), Changed())
    placed = placing.place(session, Grids(scene.network), communes, row, scene.now)
    starts = {str(unit): found[0].start for unit, found in placed.items() if found}
    homeless = [str(unit) for unit, found in placed.items() if len(found) < row.repeats]
    cause = f"no room in {len(homeless)} communes" if homeless else ""
    ledger.move(session, scene.now, row, State.SCHEDULED if starts else State.FAILED, cause)
    approved = Approved(starts, tuple(homeless), no_room(scene.network, homeless))
    return Done(approved, Changed(units=tuple(starts)))


def _series(session: Session, scene: Scene, row: BulletinRow, bulletin: Bulletin) -> Done[Approved]:
    """From now on the grid's line is in every programme; ``starts``: the first in each commune within ``SHOWN``."""
    grids, now = Grids(scene.network), scene.milliseconds
    units = schedule.communes(scene.network, scene.on, bulletin)
    own = (relays.Series(bulletin, b""),)
    found = {unit: relays.airings(grids, unit, own, now, now + SHOWN) for unit in units}
    ledger.move(session, scene.now, row, State.SCHEDULED)
    starts = {str(unit): each[0][0].start for unit, each in found.items() if each}
    return Done(Approved(starts), Changed(units=tuple(str(unit) for unit in units)))


def _order(session: Session, scene: Scene, row: BulletinRow, bulletin: Bulletin) -> Done[Approved]:
    entry = NowEntry(
        entry=new_id(scene.now),
        kind=order_kind(bulletin) or NowKind.EMERGENCY,
        bulletin=bulletin.id,
        start=max(scene.milliseconds, bulletin.valid_from),
        until=bulletin.valid_until,
    )
    targets = ledger.add_entries(session, places(bulletin.audience), bulletin.origin, entry)
    ledger.move(session, scene.now, row, State.SCHEDULED)
    ended: tuple[Target, ...] = ()
    if bulletin.follows:
        # in one document: where the alarm ends, its end is told
        ended = ledger.end_entries(session, scene.now, bulletin.follows)
        journal.append(session, scene.now, EventKind.BULLETIN_STOPPED, bulletin.follows, cause=bulletin.title)
    changed = Changed(tuple(dict.fromkeys((*targets, *ended))))
    return Done(Approved({t.place: entry.start for t in targets}), changed)


def _stopped_rest(session: Session, scene: Scene, row: BulletinRow, halt: Halt) -> Changed:
    """What a stop of a named bulletin cancels: its starts where all who would hear it are stopped; all of it where
    nobody is left.
    """
    audience = ledger.body_of(row).audience
    stopped = {d.id for d in addressed(scene.network, scene.on, halt.audience)}
    left = [d for d in addressed(scene.network, scene.on, audience) if d.id not in stopped]
    if not left and row.state in (State.APPROVED, State.SCHEDULED, State.AIRING):
        return _cancel(session, scene, row, halt.reason)
    open_units = {scene.network.unit_of(d, scene.on) for d in left}
    units = {a.unit for a in ledger.airings(session, row.id)} - {str(u) for u in open_units}
    return Changed(units=ledger.cancel_airings(session, row.id, units, scene.now))


def _cancel(session: Session, scene: Scene, row: BulletinRow, reason: str) -> Changed:
    targets = ledger.end_entries(session, scene.now, row.id)
    everywhere = {a.unit for a in ledger.airings(session, row.id)}
    relayed = schedule.communes(scene.network, scene.on, ledger.body_of(row)) if row.repeats == relays.SERIES else ()
    units = ledger.cancel_airings(session, row.id, everywhere, scene.now)
    ledger.move(session, scene.now, row, State.CANCELLED, reason)
    return Changed(targets, (*units, *relayed))


def no_room(network: Network, homeless: Iterable[str]) -> Refusals:
    """What a person is told of communes in which a start found no room."""
    units = tuple(homeless)
    if not units:
        return ()
    names = ", ".join(unit_name(network, unit) for unit in units[:10]) + (", …" if len(units) > 10 else "")
    return (refuse("BUL030", severity=Severity.WARNING, count=len(units), units=names),)
