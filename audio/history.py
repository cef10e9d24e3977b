"""Everything that is known of one bulletin: its versions, who decided what, its starts, what happened. Times in ms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from sqlalchemy import select
from sqlalchemy.orm import Session

from audio import ledger
from audio.desk import Refusals
from audio.documents import Bulletin
from audio.refusals import refuse
from nms.journal import Event, EventKind
from nms.moments import to_milliseconds
from nms.store import AiringRow, ApprovalRow, BulletinRow, EventRow, OfferRow

_NEVER_THE_SAME = ("id", "version", "duration", "valid_from", "kind")
"""Of a version's body: what differs by itself, or with ``content``."""


@dataclass(frozen=True, slots=True)
class Version:
    """``changed``: in what it differs from the version before; ``on_behalf``: the unit that entered it for another."""

    bulletin: str
    version: int
    state: str
    title: str
    author: str
    created: int
    changed: tuple[str, ...]
    on_behalf: str


@dataclass(frozen=True, slots=True)
class Decision:
    """``person`` approved or returned that version, or recorded the ``paper`` that ``signer`` signed at ``signed_at``
    (0: no paper).
    """

    version: int
    person: str
    at: int
    decision: str
    reason: str
    paper: str
    signer: str
    signed_at: int


@dataclass(frozen=True, slots=True)
class Start:
    """A planned start in one commune; ``cancelled``: it left the programme before it began."""

    version: int
    unit: str
    repeat: int
    start: int
    cancelled: bool


@dataclass(frozen=True, slots=True)
class Offered:
    """To whom it was offered; ``picked`` 0: not yet."""

    unit: str
    picked: int
    by: str


@dataclass(frozen=True, slots=True)
class History:
    """``body`` is what the version asked for says; versions and events oldest first."""

    row: BulletinRow
    body: Bulletin
    versions: tuple[Version, ...]
    decisions: tuple[Decision, ...]
    starts: tuple[Start, ...]
    offers: tuple[Offered, ...]
    events: tuple[Event, ...]


def history(session: Session, bulletin_id: str) -> History | Refusals:
    """Of the bulletin in all its versions, whichever of them is named."""
    row = session.get(BulletinRow, bulletin_id)
    if row is None:
        return (refuse("BUL020", bulletin=bulletin_id),)
    query = select(BulletinRow).where(BulletinRow.first == row.first).order_by(BulletinRow.version)
    chain = session.scalars(query).all()
    ids = [r.id for r in chain]
    return History(
        row,
        ledger.body_of(row),
        _versions(chain),
        _decisions(session, ids),
        _starts(session, chain),
        _offers(session, row.id),
        _events(session, ids),
    )


def changes(old: Bulletin, new: Bulletin) -> tuple[str, ...]:
    """The fields in which two versions differ."""
    names = (f.name for f in fields(Bulletin) if f.name not in _NEVER_THE_SAME)
    return tuple(name for name in names if getattr(old, name) != getattr(new, name))


def _versions(chain: Sequence[BulletinRow]) -> tuple[Version, ...]:
    bodies = {row.id: ledger.body_of(row) for row in chain}
    return tuple(
        Version(
            bulletin=row.id,
            version=row.version,
            state=row.state,
            title=row.title,
            author=row.author,
            created=to_milliseconds(row.created),
            changed=changes(bodies[row.replaces], bodies[row.id]) if row.replaces in bodies else (),
            on_behalf=row.on_behalf,
        )
        for row in chain
    )


def _decisions(session: Session, ids: Sequence[str]) -> tuple[Decision, ...]:
    query = select(ApprovalRow).where(ApprovalRow.bulletin.in_(ids)).order_by(ApprovalRow.at, ApprovalRow.id)
    return tuple(
        Decision(
            version=row.version,
            person=row.person,
            at=to_milliseconds(row.at),
            decision=row.decision,
            reason=row.reason,
            paper=row.paper or "",
            signer=row.signer,
            signed_at=to_milliseconds(row.signed_at) if row.signed_at is not None else 0,
        )
        for row in session.scalars(query)
    )


def _starts(session: Session, chain: Sequence[BulletinRow]) -> tuple[Start, ...]:
    number = {row.id: row.version for row in chain}
    query = select(AiringRow).where(AiringRow.bulletin.in_(number)).order_by(AiringRow.start, AiringRow.unit)
    return tuple(
        Start(number[a.bulletin], a.unit, a.repeat, to_milliseconds(a.start), a.cancelled)
        for a in session.scalars(query)
    )


def _offers(session: Session, bulletin: str) -> tuple[Offered, ...]:
    query = select(OfferRow).where(OfferRow.bulletin == bulletin).order_by(OfferRow.unit)
    return tuple(
        Offered(o.unit, to_milliseconds(o.picked) if o.picked is not None else 0, o.picked_by)
        for o in session.scalars(query)
    )


def _events(session: Session, ids: Sequence[str]) -> tuple[Event, ...]:
    query = select(EventRow).where(EventRow.subject.in_(ids)).order_by(EventRow.at, EventRow.id)
    return tuple(
        Event(r.id, r.at, r.subject, EventKind(r.kind), r.from_, r.to, r.cause, r.data) for r in session.scalars(query)
    )
