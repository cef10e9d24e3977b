"""From an approved bulletin to its place in the communes: starts in their programmes, or an offer to them.

A higher tier's normal bulletin is offered: it airs where the commune picks it, and not being picked is no fault
(``docs/adr/0012-the-commune-decides.md``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from audio import ledger, series
from audio.bulletin import State
from audio.documents import Bulletin, BulletinClass, Span
from audio.grid import Grids
from audio.schedule import LEAD, Request
from audio.series import Spacing
from audio.timetable import Placement
from inventory.model import Tier, UnitId
from nms.store import AiringRow, BulletinRow, OfferRow, from_milliseconds, to_milliseconds


def is_offered(bulletin: Bulletin) -> bool:
    """Whether communes choose if they air it."""
    return bulletin.cls is BulletinClass.NORMAL and bulletin.tier != Tier.COMMUNE


def offer(session: Session, bulletin: str, units: Iterable[str]) -> None:
    session.add_all(OfferRow(bulletin=bulletin, unit=unit) for unit in units)


def picked(session: Session, bulletins: Iterable[str]) -> dict[str, frozenset[str]]:
    """Of each of these bulletins that was offered, the communes that picked it; others are not named."""
    rows = session.execute(
        select(OfferRow.bulletin, OfferRow.unit, OfferRow.picked).where(OfferRow.bulletin.in_(tuple(bulletins)))
    )
    found: dict[str, set[str]] = {}
    for bulletin, unit, when in rows:
        found.setdefault(bulletin, set()).update([unit] if when is not None else [])
    return {bulletin: frozenset(units) for bulletin, units in found.items()}


def place(session: Session, grids: Grids, unit: UnitId, row: BulletinRow, now: datetime) -> tuple[Placement, ...]:
    """Give the bulletin its starts in this commune, around what is there; what was kept of them."""
    placed = _room(grids, unit, row, row.repeats, ledger.taken(session, unit, now), now)
    ledger.add_airings(session, now, unit, ledger.body_of(row), placed)
    return placed


@dataclass(frozen=True, slots=True)
class Moved:
    """One commune's starts of a bulletin placed anew: ``begun`` of them stay, ``coming`` get ``placed``."""

    begun: int
    last: int
    coming: tuple[AiringRow, ...]
    placed: tuple[Placement, ...]


def anew(session: Session, grids: Grids, row: BulletinRow, now: datetime) -> Mapping[UnitId, Moved]:
    """Room for what has not begun of the bulletin, as the row wants it now; nothing is changed."""
    by_unit: dict[UnitId, list[AiringRow]] = {}
    for airing in ledger.airings(session, row.id):
        by_unit.setdefault(UnitId(airing.unit), []).append(airing)
    return {unit: _anew(session, grids, unit, row, airings, now) for unit, airings in by_unit.items()}


def move(session: Session, row: BulletinRow, moved: Mapping[UnitId, Moved], now: datetime) -> None:
    """Keep it. A start that moves keeps its id: a device that has not heard of it plays it once, at its old time."""
    bulletin = ledger.body_of(row)
    for unit, one in moved.items():
        for airing, placement in zip(one.coming, one.placed, strict=False):
            airing.start, airing.latest = from_milliseconds(placement.start), from_milliseconds(placement.latest)
        for airing in one.coming[len(one.placed) :]:
            airing.cancelled = True
        further = one.placed[len(one.coming) :]
        added = [replace(p, repeat=one.last + 1 + number) for number, p in enumerate(further)]
        ledger.add_airings(session, now, unit, bulletin, added)


def retire(session: Session, now: datetime, row: BulletinRow) -> tuple[str, ...]:
    """Take what has not begun of the versions before ``row`` out of the programmes; the communes that change."""
    units: set[str] = set()
    query = select(BulletinRow).where(
        BulletinRow.first == row.first,
        BulletinRow.id != row.id,
        BulletinRow.state.in_((State.APPROVED, State.SCHEDULED, State.AIRING)),
    )
    for old in session.scalars(query).all():
        airings = [a for a in ledger.airings(session, old.id) if not a.cancelled]
        coming = [a for a in airings if a.start > now]
        for airing in coming:
            airing.cancelled = True
        for offered in session.scalars(select(OfferRow).where(OfferRow.bulletin == old.id, OfferRow.picked.is_(None))):
            session.delete(offered)
        if len(coming) == len(airings):
            ledger.move(session, now, old, State.CANCELLED, f"replaced by version {row.version}")
        units.update(a.unit for a in coming)
    return tuple(sorted(units))


def _anew(
    session: Session, grids: Grids, unit: UnitId, row: BulletinRow, airings: Sequence[AiringRow], now: datetime
) -> Moved:
    from_ = now + timedelta(milliseconds=LEAD)
    open_ = [a for a in airings if not a.cancelled]
    coming = tuple(a for a in open_ if a.start > from_)
    taken = list(ledger.taken(session, unit, now))
    for airing in coming:
        start = to_milliseconds(airing.start)
        taken.remove(Span(start, start + round(airing.duration * 1000)))
    begun = len(open_) - len(coming)
    placed = _room(grids, unit, row, max(0, row.repeats - begun), taken, now)
    return Moved(begun, max(a.repeat for a in airings), coming, placed)


def _room(
    grids: Grids, unit: UnitId, row: BulletinRow, repeats: int, taken: Sequence[Span], now: datetime
) -> tuple[Placement, ...]:
    """Starts within what was signed, and within the row's own end if that was brought forward."""
    bulletin = ledger.body_of(row)
    until = min(bulletin.valid_until, to_milliseconds(row.valid_until))
    request = Request(replace(bulletin, valid_until=until), repeats, not row.play_now)
    spacing = Spacing(row.every, row.by_session)
    return series.starts(grids, unit, request, spacing, taken, to_milliseconds(now))
