"""What is placed in one commune's programme on one day, which relays are signed there, and what emergencies displace.

Reads the store; times are Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from audio import relays
from audio.documents import NowKind, Span
from audio.grid import Window
from audio.ledger import LONGEST
from inventory.model import UnitId
from nms.moments import from_milliseconds, to_milliseconds
from nms.store import AiringRow, BulletinRow, NowEntryRow


@dataclass(frozen=True, slots=True)
class Placed:
    """A bulletin's start. ``room`` names the line in which it lies; empty: placed as soon as the air was free."""

    bulletin: str
    title: str
    cls: str
    tier: str
    origin: str
    state: str
    span: Span
    room: str
    cancelled: bool


@dataclass(frozen=True, slots=True)
class Signed:
    """A relay's line that is signed at that day: the unit's, with these terms."""

    unit: str
    terms: str
    bulletin: str
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """An emergency that is in force in the place: its area is silent otherwise."""

    title: str
    span: Span


@dataclass(frozen=True, slots=True)
class DayPlan:
    placed: tuple[Placed, ...]
    signed: tuple[Signed, ...]
    held: tuple[Held, ...]


def day_plan(session: Session, units: Sequence[UnitId], windows: Sequence[Window], day: Span, now: datetime) -> DayPlan:
    """``units``: the commune and those above it; ``windows``: its grid of that day."""
    return DayPlan(
        tuple(_placed(session, units[0], windows, day)),
        tuple(_signed(session, windows, day, now)),
        tuple(_held(session, units, day)),
    )


def _placed(session: Session, unit: UnitId, windows: Sequence[Window], day: Span) -> Iterable[Placed]:
    start, until = from_milliseconds(day.start), from_milliseconds(day.until)
    rows = session.execute(
        select(AiringRow, BulletinRow)
        .join(BulletinRow, BulletinRow.id == AiringRow.bulletin)
        .where(AiringRow.unit == unit, AiringRow.start > start - LONGEST, AiringRow.start < until)
        .order_by(AiringRow.start, AiringRow.id)
    )
    for airing, row in rows:
        begins = to_milliseconds(airing.start)
        span = Span(begins, begins + round(airing.duration * 1000))
        if span.until > day.start:
            inside = (w for w in windows if w.span.start <= begins < w.span.until)
            room = "" if row.play_now else next((w.name for w in inside), "")
            yield Placed(row.id, row.title, row.cls, row.tier, row.origin, row.state, span, room, airing.cancelled)


def _signed(session: Session, windows: Sequence[Window], day: Span, now: datetime) -> Iterable[Signed]:
    known = [(s.bulletin, False) for s in relays.series(session, min(now, from_milliseconds(day.start)))]
    known += [(bulletin, True) for bulletin in relays.waiting(session, now)]
    lines = {(w.unit, w.terms): w.span.start for w in windows if w.terms}
    for (unit, terms), start in lines.items():
        found = [(b, waiting) for b, waiting in known if relays.covers(b, unit, terms, start)]
        if found:
            bulletin, waiting = found[0]
            yield Signed(unit, terms, bulletin.id, waiting)


def _held(session: Session, units: Sequence[UnitId], day: Span) -> Iterable[Held]:
    places = [f"u/{unit}" for unit in units]
    rows = session.execute(
        select(NowEntryRow, BulletinRow.title)
        .join(BulletinRow, BulletinRow.id == NowEntryRow.bulletin)
        .where(
            NowEntryRow.kind == NowKind.EMERGENCY,
            NowEntryRow.target.in_(places),
            NowEntryRow.from_ < from_milliseconds(day.until),
            NowEntryRow.until > from_milliseconds(day.start),
        )
        .order_by(NowEntryRow.from_, NowEntryRow.id)
    )
    for row, title in rows:
        span = Span(to_milliseconds(row.from_), to_milliseconds(min(row.until, row.ended or row.until)))
        if span.until > day.start:
            yield Held(title, span)
