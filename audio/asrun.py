"""The as-run log in the store: what devices report, and how far each open bulletin is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, exists, func, select
from sqlalchemy.orm import Session

from audio.bulletin import State
from audio.documents import NowKind, Receipt, Result
from audio.ledger import move
from audio.relays import SERIES
from nms.moments import from_milliseconds, to_milliseconds
from nms.store import AiringRow, BulletinRow, NowEntryRow, OfferRow, ReceiptRow

OPEN = (State.SCHEDULED, State.AIRING)
SETTLE = 60_000
"""Milliseconds after the last chance to begin in which receipts may still come before a bulletin counts as failed."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an open bulletin is: first start, when the last start is over, when nothing may begin any more (ms)."""

    bulletin: str
    state: State
    first: int
    over: int
    latest: int
    played: bool


def progress(session: Session) -> tuple[Progress, ...]:
    """Where every open bulletin stands: three questions to the store, however many there are."""
    played = exists().where(ReceiptRow.bulletin == BulletinRow.id, ReceiptRow.result == Result.PLAYED)
    # a commune may still pick it, so that it is not over
    offered = exists().where(OfferRow.bulletin == BulletinRow.id, OfferRow.picked.is_(None))
    query = select(
        BulletinRow.id, BulletinRow.state, BulletinRow.repeats, BulletinRow.valid_from, BulletinRow.valid_until
    )
    rows = session.execute(query.add_columns(played, offered).where(BulletinRow.state.in_(OPEN)))
    airings, ordered = _airings(session), _orders(session)
    found = []
    for number, state, repeats, valid_from, valid_until, was_played, on_offer in rows:
        end = to_milliseconds(valid_until)
        if number in airings:
            first, over, latest = airings[number]
            over = max(over, end) if on_offer else over
        elif repeats == SERIES:
            first, over, latest = to_milliseconds(valid_from), end, end
        elif number in ordered:
            first, over = ordered[number]
            latest = over
        else:
            continue
        found.append(Progress(number, State(state), first, over, max(over, latest), was_played))
    return tuple(found)


def _airings(session: Session) -> dict[str, tuple[int, int, int]]:
    """Of each open bulletin in programmes the first start, the end of the last, the last chance to begin (ms)."""
    start, latest, duration = AiringRow.start, AiringRow.latest, AiringRow.duration
    query = (
        select(AiringRow.bulletin, func.min(start), func.max(start), func.max(latest), func.max(duration))
        .where(AiringRow.bulletin.in_(_open()), ~AiringRow.cancelled)
        .group_by(AiringRow.bulletin)
    )
    return {
        bulletin: (to_milliseconds(first), to_milliseconds(last) + round(longest * 1000), to_milliseconds(chance))
        for bulletin, first, last, chance, longest in session.execute(query)
    }


def _orders(session: Session) -> dict[str, tuple[int, int]]:
    """Of each open bulletin that airs at once the first beginning and the last end (ms)."""
    over = func.coalesce(NowEntryRow.ended, NowEntryRow.until)
    query = (
        select(NowEntryRow.bulletin, func.min(NowEntryRow.from_), func.max(over))
        .where(NowEntryRow.bulletin.in_(_open()), NowEntryRow.kind != NowKind.STOP)
        .group_by(NowEntryRow.bulletin)
    )
    return {str(name): (to_milliseconds(first), to_milliseconds(last)) for name, first, last in session.execute(query)}


def _open() -> Select[str]:
    return select(BulletinRow.id).where(BulletinRow.state.in_(OPEN))


def add_receipts(session: Session, receipts: Iterable[Receipt], now: datetime) -> None:
    """Keep what is new of it; a bulletin counted as failed becomes aired when a device reports late that it played."""
    first = {r.id: r for r in reversed(tuple(receipts))}
    known = set(session.scalars(select(ReceiptRow.id).where(ReceiptRow.id.in_(first))))
    new = [r for r in first.values() if r.id not in known]
    session.add_all(_receipt_row(r, now) for r in new)
    late = {r.bulletin for r in new if r.result is Result.PLAYED}
    query = select(BulletinRow).where(BulletinRow.id.in_(late), BulletinRow.state == State.FAILED)
    for row in session.scalars(query).all():
        move(session, now, row, State.AIRED, cause="late receipt")


def receipts(session: Session, bulletin: str) -> tuple[Receipt, ...]:
    rows = session.scalars(select(ReceiptRow).where(ReceiptRow.bulletin == bulletin))
    return tuple(
        Receipt(
            id=r.id,
            device=r.device,
            airing=r.airing,
            bulletin=r.bulletin,
            repeat=r.repeat,
            content=r.content or "",
            started=to_milliseconds(r.started or r.received),
            ended=to_milliseconds(r.ended or r.received),
            offset=r.offset_ms,
            result=Result(r.result),
            reason=r.reason,
        )
        for r in rows
    )


def reached(session: Session, bulletin: str) -> frozenset[str]:
    """The devices on which it was heard, at least in part."""
    sounded = (Result.PLAYED, Result.PARTIAL)
    query = select(ReceiptRow.device).where(ReceiptRow.bulletin == bulletin, ReceiptRow.result.in_(sounded))
    return frozenset(session.scalars(query))


def heard(session: Session, bulletins: Iterable[str]) -> dict[str, int]:
    """How many devices played each bulletin whole at least once."""
    rows = session.execute(
        select(ReceiptRow.bulletin, func.count(func.distinct(ReceiptRow.device)))
        .where(ReceiptRow.bulletin.in_(tuple(bulletins)), ReceiptRow.result == Result.PLAYED)
        .group_by(ReceiptRow.bulletin)
    )
    return {bulletin: count for bulletin, count in rows}


def next_state(progress: Progress, now: int) -> State | None:
    """The state that follows by itself at ``now`` (ms); None while it stays."""
    if progress.state is State.SCHEDULED:
        return State.AIRING if now >= progress.first else None
    if progress.played:
        return State.AIRED if now >= progress.over else None
    return State.FAILED if now >= progress.latest + SETTLE else None


def due(session: Session, now: datetime) -> bool:
    return any(next_state(p, to_milliseconds(now)) is not None for p in progress(session))


def advance(session: Session, now: datetime) -> None:
    """Move every open bulletin on that is due."""
    for found in progress(session):
        state = next_state(found, to_milliseconds(now))
        if state is not None:
            move(session, now, session.get_one(BulletinRow, found.bulletin), state)


def _receipt_row(receipt: Receipt, now: datetime) -> ReceiptRow:
    return ReceiptRow(
        id=receipt.id,
        device=receipt.device,
        airing=receipt.airing,
        bulletin=receipt.bulletin,
        repeat=receipt.repeat,
        result=str(receipt.result),
        received=now,
        started=from_milliseconds(receipt.started),
        ended=from_milliseconds(receipt.ended),
        offset_ms=receipt.offset,
        reason=receipt.reason,
        lufs=receipt.level,
        clock_error_ms=receipt.clock_error,
        content=receipt.content,
    )
