"""The as-run log of a day from the store: what was planned, then the devices' receipts, so many devices at a time.

A year has millions of receipts: each query reads the few days of some devices, by the index over device and time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, or_, select, type_coerce
from sqlalchemy.orm import Session

from audio import muting
from audio.daybook import Day, Start, audience_places
from audio.documents import LANGUAGES, Airing, Bulletin, NowKind, Receipt, Result, Span, decode
from audio.receipts import Planned
from nms.moments import from_milliseconds, to_milliseconds
from nms.store import AiringRow, BulletinRow, NowEntryRow, ReceiptRow

Relayed = Mapping[str, Sequence[tuple[Airing, Bulletin]]]
AROUND = timedelta(days=3)
"""A device tells what it missed within two days; a slot or an order that began the day before may end a day later."""


@dataclass(frozen=True, slots=True)
class Named:
    """A bulletin as lists show it."""

    title: str
    tier: str


def day(session: Session, start: datetime, until: datetime, relayed: Relayed) -> Day:
    """What was to begin in ``[start, until)``, and the starts around it that its receipts may be about.

    ``relayed``: the relays of each unit that touch the day.
    """
    span = Span(to_milliseconds(start), to_milliseconds(until))
    rows = session.execute(
        select(
            AiringRow.id,
            AiringRow.bulletin,
            AiringRow.unit,
            AiringRow.repeat,
            AiringRow.start,
            AiringRow.latest,
            AiringRow.cancelled,
        ).where(AiringRow.start >= start - AROUND, AiringRow.start < until + AROUND)
    ).all()
    orders = session.scalars(
        select(NowEntryRow)
        .where(
            NowEntryRow.kind != NowKind.STOP,
            NowEntryRow.from_ < until,
            NowEntryRow.until > start - AROUND,
            NowEntryRow.bulletin.is_not(None),
        )
        .order_by(NowEntryRow.from_, NowEntryRow.id)
    ).all()
    wanted = {r.bulletin for r in rows if start <= r.start < until} | {str(o.bulletin) for o in orders}
    bulletins = _bulletins(session, wanted)
    planned = {r.id: Planned(r.id, to_milliseconds(r.start)) for r in rows}
    starts = [_item(row, bulletins[row.bulletin]) for row in rows if start <= row.start < until]
    entries = _by_entry(orders)
    for entry, published in entries.items():
        bulletin = bulletins[str(published[0].bulletin)]
        planned[entry] = Planned(entry, to_milliseconds(published[0].from_), bulletin.every)
        starts += [s for s in _rounds(entry, published, bulletin) if span.start <= s.start < span.until]
    going_on = set()
    for unit, airings in relayed.items():
        for airing, bulletin in airings:
            planned[airing.airing] = Planned(airing.airing, airing.start)
            if span.start <= airing.start < span.until:
                starts.append(_relay(unit, airing, bulletin))
            if airing.latest > span.until:
                going_on.add(airing.airing)
    return Day(span, tuple(starts), planned, frozenset(entries) | going_on)


def receipts(session: Session, devices: Sequence[str], day: Day) -> Mapping[str, Sequence[Receipt]]:
    """What these devices said of the day, by device and in the order of their starts; trials are no programme."""
    start, until = from_milliseconds(day.span.start), from_milliseconds(day.span.until)
    ours = select(AiringRow.id).where(AiringRow.start >= start, AiringRow.start < until)
    r = ReceiptRow
    # as the integers that are stored: a day of a province has tens of thousands of each
    started, ended = (type_coerce(column, BigInteger) for column in (r.started, r.ended))
    rows = session.execute(
        select(r.id, r.device, r.airing, r.bulletin, r.repeat, started, ended, r.offset_ms, r.result, r.reason)
        .where(
            r.device.in_(devices),
            r.started >= start,
            r.started < until + AROUND,
            r.bulletin != "",
            or_(r.started < until, r.airing.in_(ours), r.airing.in_(day.orders)),
        )
        .order_by(r.device, r.started, r.id)
    )
    found: dict[str, list[Receipt]] = {device: [] for device in devices}
    for name, device, airing, bulletin, repeat, at, end, offset, result, reason in rows:
        told = Receipt(name, device, airing, bulletin, repeat, "", at, end or at, offset, Result(result), reason)
        found[device].append(told)
    return found


def named(session: Session, bulletins: Collection[str]) -> dict[str, Named]:
    """Title and tier of these bulletins; what the hub does not know is not in it."""
    found: dict[str, Named] = {}
    for some in _some(sorted(bulletins), 1000):
        query = select(BulletinRow.id, BulletinRow.title, BulletinRow.tier).where(BulletinRow.id.in_(some))
        found |= {row.id: Named(row.title, row.tier) for row in session.execute(query)}
    return found


def silences(session: Session, day: Day) -> dict[str, tuple[Span, ...]]:
    """When each silenced device was silenced, as far as it touches the day."""
    found: dict[str, tuple[Span, ...]] = {}
    for mute in muting.mutes(session, from_milliseconds(day.span.start)):
        span = Span(to_milliseconds(mute.start), to_milliseconds(mute.over))
        found[mute.device] = (*found.get(mute.device, ()), span)
    return found


def _bulletins(session: Session, wanted: Collection[str]) -> dict[str, Bulletin]:
    found: dict[str, Bulletin] = {}
    for some in _some(sorted(wanted), 1000):
        rows = session.execute(select(BulletinRow.id, BulletinRow.body).where(BulletinRow.id.in_(some)))
        found |= {name: decode(Bulletin, body) for name, body in rows}
    return found


def _some(values: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    """The values in pieces: a statement may hold only so many."""
    return (values[at : at + most] for at in range(0, len(values), most))


def _item(row: Any, bulletin: Bulletin) -> Start:
    start = to_milliseconds(row.start)
    over = max(start + bulletin.duration, to_milliseconds(row.latest))
    places, audience = frozenset((f"prog/{row.unit}",)), audience_places(bulletin.audience)
    return Start(
        row.id, row.repeat, row.bulletin, start, over, bulletin.duration, places, audience, optional=row.cancelled
    )


def _relay(unit: str, airing: Airing, bulletin: Bulletin) -> Start:
    places, audience = frozenset((f"prog/{unit}",)), audience_places(bulletin.audience)
    length = airing.latest - airing.start
    return Start(airing.airing, 0, bulletin.id, airing.start, airing.latest, length, places, audience)


def _by_entry(orders: Iterable[NowEntryRow]) -> dict[str, list[NowEntryRow]]:
    """An order that is published for several places is one."""
    found: dict[str, list[NowEntryRow]] = {}
    for row in orders:
        found.setdefault(str(row.entry["entry"]), []).append(row)
    return found


def _rounds(entry: str, published: Sequence[NowEntryRow], bulletin: Bulletin) -> Iterator[Start]:
    """A start for each round that began before the order's end."""
    first = published[0]
    begin = to_milliseconds(first.from_)
    over = max(to_milliseconds(row.ended or row.until) for row in published)
    places, audience = frozenset(row.target for row in published), audience_places(bulletin.audience)
    length, every = bulletin.round(LANGUAGES), bulletin.every or max(over - begin, 1)
    optional = first.kind == NowKind.FOLLOW_UP
    for number, start in enumerate(range(begin, over, every)):
        yield Start(
            entry, number, bulletin.id, start, start + length, length, places, audience, optional, voiced=bulletin
        )
