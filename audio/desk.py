"""Decisions about bulletins, each one transaction: who decides is checked in the same moment in which it is kept.

Every function takes the store's session and answers with what was decided and what has to be published after the
commit, or with the diagnostics that forbid it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Generic, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from audio import ledger, placing, relays, schedule
from audio.approval import check_signature
from audio.bulletin import State, order_kind, unit_name
from audio.documents import Audience, Bulletin, NowEntry, NowKind
from audio.grid import Grids
from audio.ledger import Actor, Target
from audio.paper import Paper
from audio.refusals import refuse
from audio.rights import may_approve, may_end, may_record
from audio.scripts import may_send
from audio.timetable import DAY
from inventory.diagnostics import Diagnostic, Severity
from inventory.model import TIMEZONE, Network, PersonId
from nms import journal
from nms.journal import EventKind, new_id
from nms.moments import to_milliseconds
from nms.store import ApprovalRow, BulletinRow

T = TypeVar("T")
Refusals = tuple[Diagnostic, ...]

SHOWN = 8 * DAY
"""Starts of a relay are looked for no farther ahead than programmes reach."""


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
    bulletin, authors = ledger.body_of(row), ledger.authors(session, row)
    if paper is None:
        refused = may_send(scene.network, who.person, row, authors, bulletin, scene.now, reason)
    else:
        refused = may_record(scene.network, who.person, row, authors) or paper.problems(scene.now)
    refused = refused or _told_already(session, scene, row, bulletin)
    refused = refused or check_signature(scene.network, scene.on, row.body, signed, scene.milliseconds)
    refused = refused or _soundless(bulletin, here)
    if refused:
        return refused
    row.signed = signed
    if paper is None and may_send(scene.network, who.person, row, authors, bulletin, scene.now):
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


def _told_already(session: Session, scene: Scene, row: BulletinRow, bulletin: Bulletin) -> Refusals:
    """Why this correction or all-clear is not sent: another one of the same alarm is, and each is heard once."""
    if not bulletin.follows:
        return ()
    # its title says which of the two it is, and is signed and never edited
    query = (
        select(BulletinRow, ApprovalRow)
        .join(ApprovalRow, (ApprovalRow.bulletin == BulletinRow.id) & (ApprovalRow.decision == State.APPROVED))
        .where(BulletinRow.origin == row.origin, BulletinRow.title == row.title, BulletinRow.id != row.id)
        .where(BulletinRow.state.in_((State.APPROVED, State.SCHEDULED, State.AIRING, State.AIRED)))
    )
    for other, approval in session.execute(query):
        if ledger.body_of(other).follows == bulletin.follows:
            person = scene.network.people.get(PersonId(approval.person))
            name = person.name if person is not None else approval.person
            at = approval.at.astimezone(TIMEZONE).isoformat(timespec="minutes")
            return (refuse("BUL098", title=other.title, person=name, at=at),)
    return ()


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
    refused = may_approve(scene.network, who.person, row, ledger.authors(session, row))
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
    changed = cancel(session, scene, row, reason)
    return Done(Stopped(tuple(t.place for t in changed.targets)), changed)


def _schedule(session: Session, scene: Scene, row: BulletinRow, bulletin: Bulletin) -> Done[Approved]:
    communes = schedule.communes_ahead(scene.network, scene.on, bulletin)
    if placing.is_offered(bulletin):
        placing.offer(session, row.id, communes)
        return Done(Approved({}, offered=communes), Changed())
    placed = placing.place(session, Grids(scene.network), communes, row, scene.now)
    starts = {str(unit): found[0].start for unit, found in placed.items() if found}
    homeless = [str(unit) for unit in placing.short(scene.network, placed, row.repeats)]
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


def cancel(session: Session, scene: Scene, row: BulletinRow, reason: str) -> Changed:
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
