"""From an approved bulletin to its place in the communes: starts in their programmes, or an offer to them.

A higher tier's normal bulletin is offered: it airs where the commune picks it, and not being picked is no fault
(``docs/adr/0012-the-commune-decides.md``). What is spoken live begins everywhere at one instant
(``docs/adr/0013-live-microphone.md``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from audio import ledger, schedule, series
from audio.bulletin import State, is_spoken
from audio.documents import Bulletin, BulletinClass, Span
from audio.grid import Grids
from audio.schedule import LEAD, Request
from audio.series import Spacing
from audio.timetable import Placement
from inventory.model import Network, Tier, UnitId
from nms.moments import from_milliseconds, to_milliseconds
from nms.store import AiringRow, BulletinRow, OfferRow


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


def within(row: BulletinRow) -> Bulletin:
    """What was signed, up to the row's own end if that was brought forward."""
    bulletin = ledger.body_of(row)
    return replace(bulletin, valid_until=min(bulletin.valid_until, to_milliseconds(row.valid_until)))


def place(
    session: Session, grids: Grids, units: Iterable[UnitId], row: BulletinRow, now: datetime
) -> Mapping[UnitId, tuple[Placement, ...]]:
    """Give the bulletin its starts in these communes, around what is there; what was kept of them, by commune."""
    placed = _rooms(session, grids, row, {u: _Wish(row.repeats, ledger.taken(session, u, now)) for u in units}, now)
    for unit, starts in placed.items():
        ledger.add_airings(session, now, unit, ledger.body_of(row), starts)
    return placed


@dataclass(frozen=True, slots=True)
class _Wish:
    """So many starts in one commune, around what it airs already."""

    repeats: int
    taken: Sequence[Span]


@dataclass(frozen=True, slots=True)
class Moved:
    """One commune's starts of a bulletin placed anew: ``begun`` of them stay, ``coming`` get ``placed``."""

    begun: int
    last: int
    coming: tuple[AiringRow, ...]
    placed: tuple[Placement, ...]


def anew(
    session: Session, grids: Grids, row: BulletinRow, now: datetime, closed: Collection[str]
) -> Mapping[UnitId, Moved]:
    """Room for what has not begun of the bulletin, as the row wants it now; nothing is changed. ``closed``: the
    communes that have stopped it, and get none.
    """
    by_unit: dict[UnitId, list[AiringRow]] = {}
    for airing in (a for a in ledger.airings(session, row.id) if a.unit not in closed):
        by_unit.setdefault(UnitId(airing.unit), []).append(airing)
    movable = {unit: _coming(airings, now) for unit, airings in by_unit.items()}
    begun = {unit: sum(not a.cancelled for a in found) - len(movable[unit]) for unit, found in by_unit.items()}
    wishes = {
        unit: _Wish(max(0, row.repeats - begun[unit]), _others(ledger.taken(session, unit, now), movable[unit]))
        for unit in by_unit
    }
    placed = _rooms(session, grids, row, wishes, now)
    return {
        unit: Moved(begun[unit], max(a.repeat for a in airings), movable[unit], placed[unit])
        for unit, airings in by_unit.items()
    }


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


def _coming(airings: Sequence[AiringRow], now: datetime) -> tuple[AiringRow, ...]:
    """Those that no device can have begun."""
    from_ = now + timedelta(milliseconds=LEAD)
    return tuple(a for a in airings if not a.cancelled and a.start > from_)


def _others(taken: Sequence[Span], mine: Iterable[AiringRow]) -> Sequence[Span]:
    left = list(taken)
    for airing in mine:
        start = to_milliseconds(airing.start)
        left.remove(Span(start, start + round(airing.duration * 1000)))
    return left


def _rooms(
    session: Session, grids: Grids, row: BulletinRow, wishes: Mapping[UnitId, _Wish], now: datetime
) -> Mapping[UnitId, tuple[Placement, ...]]:
    bulletin, at = within(row), to_milliseconds(now)
    if is_spoken(bulletin):
        open_ = {unit: wish.taken for unit, wish in wishes.items() if wish.repeats}
        begun = [a.start for a in ledger.airings(session, row.id) if not a.cancelled and a.unit not in open_]
        first = to_milliseconds(min(begun)) if begun else None
        together = schedule.together(grids, open_, Request(bulletin, 1, not row.play_now), at, first)
        return {unit: (together[unit],) if unit in together else () for unit in wishes}
    spacing, network = Spacing(row.every, row.by_session), grids.network
    found: dict[UnitId, tuple[Placement, ...]] = {}
    for unit in sorted(wishes, key=lambda u: schedule.life(network, u).start):
        wish = wishes[unit]
        left = max(0, wish.repeats - _before(network, unit, found))
        request = Request(bulletin, left, not row.play_now)
        found[unit] = series.starts(grids, unit, request, spacing, wish.taken, at)
    return found


def _before(network: Network, unit: UnitId, placed: Mapping[UnitId, Sequence[Placement]]) -> int:
    """How many starts all have had who come to this commune from those that it takes the place of."""
    return min((len(found) for other, found in placed.items() if schedule.heir(network, other, unit)), default=0)


def short(network: Network, placed: Mapping[UnitId, Sequence[Placement]], repeats: int) -> tuple[UnitId, ...]:
    """The communes in which there was no room for all the repeats: neither there nor in those before and after it."""
    last = (unit for unit in placed if not any(schedule.heir(network, unit, other) for other in placed))
    return tuple(unit for unit in last if _before(network, unit, placed) + len(placed[unit]) < repeats)
