"""The as-run log in the store: what devices report, and how far each open bulletin is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from audio.bulletin import State
from audio.documents import Receipt, Result
from audio.ledger import move, orders
from audio.relays import SERIES
from nms.store import AiringRow, BulletinRow, OfferRow, ReceiptRow, from_milliseconds, to_milliseconds

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
    """Where every open bulletin stands."""
    rows = session.scalars(select(BulletinRow).where(BulletinRow.state.in_(OPEN))).all()
    played = set(
        session.scalars(
            select(ReceiptRow.bulletin)
            .where(ReceiptRow.bulletin.in_([r.id for r in rows]), ReceiptRow.result == Result.PLAYED)
            .distinct()
        )
    )
    found = (_progress(session, row, row.id in played) for row in rows)
    return tuple(p for p in found if p is not None)


def _progress(session: Session, row: BulletinRow, played: bool) -> Progress | None:
    first, last, latest, duration = session.execute(
        select(
            func.min(AiringRow.start),
            func.max(AiringRow.start),
            func.max(AiringRow.latest),
            func.max(AiringRow.duration),
        ).where(AiringRow.bulletin == row.id, ~AiringRow.cancelled)
    ).one()
    if first is not None:
        over = to_milliseconds(last) + round(duration * 1000)
        if _on_offer(session, row.id):
            over = max(over, to_milliseconds(row.valid_until))
        return Progress(
            row.id, State(row.state), to_milliseconds(first), over, max(over, to_milliseconds(latest)), played
        )
    if row.repeats == SERIES:
        end = to_milliseconds(row.valid_until)
        return Progress(row.id, State(row.state), to_milliseconds(row.valid_from), end, end, played)
    entered = orders(session, row.id)
    if not entered:
        return None
    over = max(to_milliseconds(e.ended or e.until) for e in entered)
    return Progress(row.id, State(row.state), to_milliseconds(entered[0].from_), over, over, played)


def _on_offer(session: Session, bulletin: str) -> bool:
    """Whether a commune may still pick it, so that it is not over."""
    query = select(OfferRow.unit).where(OfferRow.bulletin == bulletin, OfferRow.picked.is_(None)).limit(1)
    return session.scalar(query) is not None


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
        row = session.get(BulletinRow, found.bulletin)
        if state is not None and row is not None:
            move(session, now, row, state)


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
