"""The bulletins' rows in the store: every query and change that playout makes, as functions of one session.

A change of state is written with its event in the same transaction; who changes what has been checked before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from audio.bulletin import FOLLOWS, Draft, State
from audio.documents import EVERYTHING, Airing, Bulletin, NowEntry, NowKind, Span, decode, encode
from audio.envelope import next_sequence
from audio.library import Content
from audio.paper import Paper
from audio.timetable import Placement
from inventory.model import Person
from inventory.select import fold
from nms import journal
from nms.journal import EventKind, new_id
from nms.moments import from_milliseconds, to_milliseconds
from nms.store import AiringRow, ApprovalRow, BulletinRow, ContentRow, NowEntryRow, SequenceRow, add_once

KEPT = timedelta(days=1)
"""How long an airing that is over stays in its programme: what was played of it counts in its day's airtime."""
LONGEST = timedelta(hours=3)
"""No recording is longer: an airing that began earlier is over."""
_KEPT = tuple(name for name in NowEntry.__slots__ if name not in ("signed", "sounds"))
"""What a row keeps of an entry: frame and sounds are the bulletin's and the library's."""


@dataclass(frozen=True, slots=True)
class Target:
    """One ``now`` document: ``place`` is ``u/<unit>``, ``g/<group>`` or ``d/<device>``."""

    place: str
    issuer: str


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a person of the inventory, and the operating-system user it was."""

    person: Person
    uid: int


def add(
    session: Session,
    now: datetime,
    who: Actor,
    draft: Draft,
    bulletin: Bulletin,
    content: ContentRow | None,
    replaces: BulletinRow | None = None,
) -> None:
    """Keep a submitted bulletin; ``body`` is what the approver will sign, to the byte. What is live has no content."""
    if content is not None:
        add_once(session, content)
    session.add(
        BulletinRow(
            id=bulletin.id,
            version=bulletin.version,
            state=State.SUBMITTED,
            cls=bulletin.cls,
            tier=bulletin.tier,
            origin=bulletin.origin,
            title=bulletin.title,
            author=who.person.id,
            created=now,
            body=encode(bulletin),
            audience=draft.audience,
            valid_from=from_milliseconds(bulletin.valid_from),
            valid_until=from_milliseconds(bulletin.valid_until),
            play_now=draft.play_now,
            repeats=draft.repeats,
            requested_at=now,
            every=draft.every,
            by_session=draft.by_session,
            search=words(who.person, bulletin.title, bulletin),
            on_behalf=who.person.area if draft.on_behalf else "",
            first=replaces.first if replaces is not None else bulletin.id,
            replaces=replaces.id if replaces is not None else "",
        )
    )
    session.flush()
    journal.append(
        session, now, EventKind.BULLETIN_STATE, bulletin.id, from_=State.DRAFT, to=State.SUBMITTED, cause=who.person.id
    )
    act(session, now, who, "bulletin.submit", bulletin.id, {"title": bulletin.title, "audience": draft.audience})


def broke_glass(session: Session, now: datetime, who: Actor, row: BulletinRow, reason: str) -> None:
    """An emergency goes out without a second person: on record, and told to everyone who follows what happens."""
    journal.append(session, now, EventKind.BULLETIN_BROKE_GLASS, row.id, to=who.person.id, cause=reason)
    act(session, now, who, "bulletin.break_glass", row.id, {"reason": reason, "origin": row.origin})


def content_row(content: Content, title: str, now: datetime) -> ContentRow:
    return ContentRow(
        sha=content.sha,
        size=content.size,
        duration_ms=content.duration_ms,
        codec="opus",
        created=now,
        lufs=content.lufs,
        title=title,
        source=content.source,
    )


def add_content(session: Session, content: ContentRow) -> None:
    add_once(session, content)


def words(author: Person, title: str, bulletin: Bulletin) -> str:
    """What a bulletin is found by, without marks and capitals."""
    said = (title, author.id, author.name, bulletin.text, bulletin.authority, bulletin.supplier, bulletin.field)
    return fold(" ".join(said))


def act(session: Session, now: datetime, who: Actor, action: str, subject: str, data: dict[str, object]) -> None:
    journal.audit(session, now, who.person.id, who.uid, action, subject, data)


def body_of(row: BulletinRow) -> Bulletin:
    return decode(Bulletin, row.body)


def authors(session: Session, row: BulletinRow) -> frozenset[str]:
    """Who wrote the bulletin in any of its versions."""
    return frozenset(session.scalars(select(BulletinRow.author).where(BulletinRow.first == row.first)))


def move(session: Session, now: datetime, row: BulletinRow, to: State, cause: str = "") -> None:
    """Raises ValueError for a step that the table of states does not have."""
    before = State(row.state)
    if to not in FOLLOWS[before]:
        raise ValueError(f"bulletin {row.id}: {before} to {to}")
    row.state = to
    journal.append(session, now, EventKind.BULLETIN_STATE, row.id, from_=before, to=to, cause=cause)


def decide(
    session: Session,
    now: datetime,
    who: Actor,
    row: BulletinRow,
    to: State,
    reason: str = "",
    paper: Paper | None = None,
) -> None:
    """Approve or return a submitted bulletin; on ``paper``, ``who`` records what its signer decided."""
    session.add(
        ApprovalRow(
            id=new_id(now),
            bulletin=row.id,
            version=row.version,
            person=who.person.id,
            at=now,
            decision=str(to),
            reason=reason,
            on_behalf=row.origin if row.on_behalf else None,
            paper=paper.number if paper is not None else None,
            signer=paper.signer if paper is not None else "",
            signed_at=paper.signed_at if paper is not None else None,
        )
    )
    move(session, now, row, to, cause=reason or who.person.id)
    data: dict[str, object] = {"version": row.version, "reason": reason}
    if paper is not None:
        signed_at = paper.signed_at.isoformat(timespec="minutes")
        data |= {"paper": paper.number, "signer": paper.signer, "signed_at": signed_at}
    act(session, now, who, f"bulletin.{to}", row.id, data)


def taken(session: Session, unit: str, now: datetime) -> tuple[Span, ...]:
    """When the unit airs something already, from ``now`` on."""
    rows = session.scalars(
        select(AiringRow).where(AiringRow.unit == unit, AiringRow.start > now - LONGEST, ~AiringRow.cancelled)
    )
    starts = [(to_milliseconds(r.start), round(r.duration * 1000)) for r in rows]
    return tuple(Span(start, start + length) for start, length in starts)


def add_airings(
    session: Session, now: datetime, unit: str, bulletin: Bulletin, placements: Iterable[Placement]
) -> None:
    session.add_all(
        AiringRow(
            id=new_id(now),
            bulletin=bulletin.id,
            unit=unit,
            repeat=p.repeat,
            start=from_milliseconds(p.start),
            duration=bulletin.duration / 1000,
            latest=from_milliseconds(p.latest),
        )
        for p in placements
    )


def add_entries(
    session: Session, places: Iterable[str], issuer: str, entry: NowEntry, by: str = ""
) -> tuple[Target, ...]:
    """Put one order in force for every place; a device addressed twice sees the same entry twice.

    ``by``, who ordered it, is kept beside it and not published.
    """
    targets = tuple(Target(place, issuer) for place in places)
    plain = {name: getattr(entry, name) for name in _KEPT}
    session.add_all(
        NowEntryRow(
            id=new_id(from_milliseconds(entry.start)),
            target=target.place,
            issuer=issuer,
            kind=str(entry.kind),
            from_=from_milliseconds(entry.start),
            until=from_milliseconds(entry.until),
            entry=plain | {"kind": str(entry.kind), "by": by},
            bulletin=entry.bulletin if entry.bulletin not in ("", EVERYTHING) else None,
        )
        for target in targets
    )
    return targets


def end_entries(session: Session, now: datetime, bulletin: str) -> tuple[Target, ...]:
    """End the bulletin's emergency or drill; the documents that change."""
    rows = session.scalars(
        select(NowEntryRow).where(
            NowEntryRow.bulletin == bulletin,
            NowEntryRow.kind != NowKind.STOP,
            NowEntryRow.ended.is_(None),
            NowEntryRow.until > now,
        )
    ).all()
    return end(rows, now)


def stops(session: Session, now: datetime) -> Sequence[NowEntryRow]:
    """Every stop in force, the oldest first."""
    return session.scalars(
        select(NowEntryRow)
        .where(NowEntryRow.kind == NowKind.STOP, NowEntryRow.ended.is_(None), NowEntryRow.until > now)
        .order_by(NowEntryRow.from_, NowEntryRow.id)
    ).all()


def in_force(session: Session, now: datetime) -> tuple[tuple[NowEntryRow, BulletinRow], ...]:
    """Every order that airs something, has begun and goes on, the oldest first, with its bulletin."""
    query = (
        select(NowEntryRow, BulletinRow)
        .join(BulletinRow, BulletinRow.id == NowEntryRow.bulletin)
        .where(NowEntryRow.kind != NowKind.STOP, NowEntryRow.ended.is_(None))
        .where(NowEntryRow.from_ < now, NowEntryRow.until > now)
        .order_by(NowEntryRow.from_, NowEntryRow.id)
    )
    return tuple((entry, bulletin) for entry, bulletin in session.execute(query))


def expire_entries(session: Session, now: datetime) -> tuple[Target, ...]:
    """Close what has reached its end; the documents that change."""
    query = select(NowEntryRow).where(NowEntryRow.ended.is_(None), NowEntryRow.until <= now)
    return end(session.scalars(query).all(), now)


def end(rows: Sequence[NowEntryRow], now: datetime) -> tuple[Target, ...]:
    """End these orders now, or when they ended anyway; the documents that change."""
    for row in rows:
        row.ended = min(now, row.until)
    return tuple(dict.fromkeys(Target(row.target, row.issuer) for row in rows))


def expired(session: Session, now: datetime) -> bool:
    query = select(NowEntryRow.id).where(NowEntryRow.ended.is_(None), NowEntryRow.until <= now).limit(1)
    return session.scalar(query) is not None


def current_targets(session: Session, now: datetime) -> tuple[Target, ...]:
    """Every document that devices may still hold something of, also if it is empty by now."""
    rows = session.execute(select(NowEntryRow.target, NowEntryRow.issuer).where(NowEntryRow.until > now).distinct())
    return tuple(Target(place, issuer) for place, issuer in rows)


def longest(session: Session, target: Target, now: datetime) -> datetime | None:
    """Until when a device that was away may believe an order for this target, also one that was ended early."""
    query = select(func.max(NowEntryRow.until)).where(
        NowEntryRow.target == target.place, NowEntryRow.issuer == target.issuer, NowEntryRow.until > now
    )
    return session.scalar(query)


def entries(session: Session, target: Target, now: datetime) -> tuple[tuple[NowEntry, BulletinRow | None], ...]:
    """What is in force for the target, oldest first, with the bulletin it airs (None for a stop)."""
    rows = session.execute(
        select(NowEntryRow, BulletinRow)
        .join(BulletinRow, BulletinRow.id == NowEntryRow.bulletin, isouter=True)
        .where(
            NowEntryRow.target == target.place,
            NowEntryRow.issuer == target.issuer,
            NowEntryRow.ended.is_(None),
            NowEntryRow.until > now,
        )
        .order_by(NowEntryRow.from_, NowEntryRow.id)
    ).all()
    return tuple((_entry(row), None if row.kind == NowKind.STOP else bulletin) for row, bulletin in rows)


def _entry(row: NowEntryRow) -> NowEntry:
    return NowEntry(**{name: row.entry[name] for name in _KEPT} | {"kind": NowKind(row.kind)})


def programme_units(session: Session, now: datetime, horizon: timedelta) -> tuple[str, ...]:
    """Units whose devices may still hold a programme with something in it, also if it is empty by now."""
    query = select(AiringRow.unit).where(AiringRow.start > now - horizon).distinct()
    return tuple(sorted(session.scalars(query)))


def programmes(
    session: Session, units: Sequence[str], now: datetime, until: datetime
) -> dict[str, list[tuple[Airing, bytes]]]:
    """The airings of these units up to ``until``, in order of their start, each with its bulletin's signed frame."""
    rows = session.execute(
        select(AiringRow, BulletinRow.signed)
        .join(BulletinRow, BulletinRow.id == AiringRow.bulletin)
        .where(
            AiringRow.unit.in_(units),
            AiringRow.start > now - KEPT - LONGEST,
            AiringRow.start < until,
            ~AiringRow.cancelled,
            BulletinRow.signed.is_not(None),
        )
        .order_by(AiringRow.start, AiringRow.id)
    )
    found: dict[str, list[tuple[Airing, bytes]]] = {unit: [] for unit in units}
    for row, signed in rows:
        if max(row.start + timedelta(seconds=row.duration), row.latest) > now - KEPT:
            found[row.unit].append((_airing(row), signed or b""))
    return found


def _airing(row: AiringRow) -> Airing:
    return Airing(row.id, row.bulletin, row.repeat, to_milliseconds(row.start), to_milliseconds(row.latest))


def airings(session: Session, bulletin: str) -> Sequence[AiringRow]:
    """Its planned starts, also cancelled ones."""
    return session.scalars(select(AiringRow).where(AiringRow.bulletin == bulletin).order_by(AiringRow.start)).all()


def orders(session: Session, bulletin: str) -> Sequence[NowEntryRow]:
    """The entries that air the bulletin at once, also ended ones."""
    query = select(NowEntryRow).where(NowEntryRow.bulletin == bulletin, NowEntryRow.kind != NowKind.STOP)
    return session.scalars(query.order_by(NowEntryRow.from_)).all()


def cancel_airings(session: Session, bulletin: str, units: Iterable[str], now: datetime) -> tuple[str, ...]:
    """Take what may still play of the bulletin out of these units' programmes; the units that had any."""
    wanted = set(units)
    rows = [r for r in airings(session, bulletin) if not r.cancelled and r.latest > now and r.unit in wanted]
    for row in rows:
        row.cancelled = True
    return tuple(sorted({row.unit for row in rows}))


def sequences(session: Session, kid: str, topics: Iterable[str], now: int) -> dict[str, int]:
    """The next sequence number of each topic, kept before it is used so that it never comes twice."""
    wanted = tuple(topics)
    query = select(SequenceRow).where(SequenceRow.topic.in_(wanted), SequenceRow.kid == kid)
    rows = {row.topic: row for row in session.scalars(query)}
    for topic in wanted:
        if topic in rows:
            rows[topic].seq = next_sequence(rows[topic].seq, now)
        else:
            rows[topic] = SequenceRow(topic=topic, kid=kid, seq=next_sequence(0, now))
            session.add(rows[topic])
    return {topic: rows[topic].seq for topic in wanted}
