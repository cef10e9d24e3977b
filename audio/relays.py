"""The grid's relays (tiếp sóng) as series that a leader signs once, and their airings in every unit's programme.

A relay's line is signed as one bulletin of kind relay: its ``content`` is the live session (the source), its ``text``
the line as the grid has it (``audio.grid.terms``). Only a signed line is published; a line that changes has other terms
and needs a new signature. Airings are not kept in the store: they follow from grid and signature, with ids that follow
from bulletin, unit and start, so that they are the same whenever they are made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from audio import ledger, schedule
from audio.bulletin import Draft, State, may, unit_name
from audio.documents import Airing, Audience, Bulletin, BulletinClass, ContentKind, Span, decode
from audio.grid import Grids, Window, terms
from audio.ledger import Actor
from audio.refusals import refuse
from inventory.diagnostics import Diagnostic, Severity
from inventory.lines import Relay
from inventory.model import TIMEZONE, Network, Person, Role, UnitId
from nms.journal import new_id
from nms.moments import to_milliseconds
from nms.store import BulletinRow

SERIES = 0
"""``repeats`` of a relay in the store: as often as the grid says."""
LONGEST = timedelta(days=365)
"""A series is signed for a year at the most."""
IN_FORCE = (State.SCHEDULED, State.AIRING)


@dataclass(frozen=True, slots=True)
class Series:
    """A signed relay with its issuer's frame."""

    bulletin: Bulletin
    frame: bytes


def series(session: Session, now: datetime) -> tuple[Series, ...]:
    """Every relay that is signed and not over, the oldest first."""
    rows = session.execute(
        select(BulletinRow.body, BulletinRow.signed)
        .where(
            BulletinRow.repeats == SERIES,
            BulletinRow.state.in_(IN_FORCE),
            BulletinRow.signed.is_not(None),
            BulletinRow.valid_until > now,
        )
        .order_by(BulletinRow.id)
    )
    return tuple(Series(decode(Bulletin, body), signed or b"") for body, signed in rows)


def waiting(session: Session, now: datetime) -> tuple[Bulletin, ...]:
    """Relays that are handed in and not yet signed."""
    rows = session.scalars(
        select(BulletinRow.body).where(
            BulletinRow.repeats == SERIES, BulletinRow.state == State.SUBMITTED, BulletinRow.valid_until > now
        )
    )
    return tuple(decode(Bulletin, body) for body in rows)


def airings(
    grids: Grids, unit: UnitId, signed: Sequence[Series], now: int, until: int
) -> tuple[tuple[Airing, bytes], ...]:
    """The unit's relays that touch ``[now, until)``, each with the frame that lets it be aired. Pure."""
    found = []
    for window in grids.relays(unit, now, until):
        own = _signed(window, signed)
        if own is not None:
            name = airing_id(own.bulletin.id, unit, window.span.start)
            airing = Airing(name, own.bulletin.id, 0, window.span.start, window.span.until)
            found.append((airing, own.frame))
    return tuple(found)


def on_air(grids: Grids, signed: Sequence[Series], span: Span) -> frozenset[str]:
    """The live sessions that these relays have on the air in ``span``, wherever that is."""
    origins = {UnitId(s.bulletin.origin) for s in signed}
    windows = (w for unit in origins for w in grids.relays(unit, span.start, span.until))
    found = (_signed(window, signed) for window in windows)
    return frozenset(own.bulletin.content for own in found if own is not None)


def _signed(window: Window, signed: Iterable[Series]) -> Series | None:
    """The oldest series that covers the whole window, so that a renewal changes nothing that is under way."""
    mine = [s for s in signed if covers(s.bulletin, window.unit, window.terms, window.span.start)]
    return next((s for s in mine if window.span.until <= s.bulletin.valid_until), mine[-1] if mine else None)


def covers(bulletin: Bulletin, unit: str, line: str, at: int) -> bool:
    """Whether the bulletin is the signature of that unit's line at that instant."""
    return bulletin.origin == unit and bulletin.text == line and bulletin.valid_from <= at < bulletin.valid_until


def airing_id(bulletin: str, unit: str, start: int) -> str:
    """A UUID version 7 of the start, whose random part follows from bulletin, unit and start."""
    digest = hashlib.sha256(f"{bulletin} {unit} {start}".encode()).digest()
    low = int.from_bytes(digest[:8]) & (2**62 - 1)
    number = start << 80 | 0x7 << 76 | (int.from_bytes(digest[8:10]) & 0xFFF) << 64 | 0b10 << 62 | low
    return str(UUID(int=number))


def declared(network: Network, unit: str, on: date) -> tuple[Relay, ...]:
    """The unit's own relay lines that are not over by then."""
    lines = (r for r in network.grid.relays if r.unit == unit)
    return tuple(r for r in lines if r.when.valid_to is None or on < r.when.valid_to)


def unsigned(network: Network, known: Iterable[Bulletin], on: date, now: int) -> tuple[Relay, ...]:
    """The lines of units valid on that date that none of these bulletins covers."""
    bulletins = tuple(known)
    units = {unit.id for unit in network.units_on(on)}
    lines = (line for unit in units for line in declared(network, unit, on))
    missing = [r for r in lines if not any(covers(b, r.unit, terms(r), max(now, _first(r))) for b in bulletins)]
    return tuple(sorted(missing, key=lambda r: (r.unit, r.start, r.name)))


def unsigned_warnings(network: Network, lines: Iterable[Relay]) -> tuple[Diagnostic, ...]:
    return tuple(
        refuse("BUL050", severity=Severity.WARNING, name=r.name, unit=unit_name(network, r.unit), code=r.unit)
        for r in lines
    )


def may_hand_in(network: Network, on: date, person: Person, unit: str) -> tuple[Diagnostic, ...]:
    """Why this person cannot hand in that unit's relays for signing."""
    name = unit_name(network, unit)
    if unit not in network.units or network.successor(UnitId(unit), on) != unit:
        return (refuse("BUL002", unit=unit, date=on.isoformat()),)
    if not may(network, person, (Role.EDITOR,), unit):
        return (refuse("BUL001", person=person.name, cls=BulletinClass.NORMAL, unit=name),)
    return () if declared(network, unit, on) else (refuse("BUL051", unit=name),)


def hand_in(
    session: Session, network: Network, who: Actor, unit: str, authority: str, now: datetime
) -> tuple[str, ...]:
    """Make a bulletin to be signed of each relay of the unit that has none; the ids of the new ones."""
    known = [s.bulletin for s in series(session, now)]
    known += waiting(session, now)
    on, made = network.on(now.astimezone(TIMEZONE).date()), []
    for line in unsigned(network, known, on, to_milliseconds(now)):
        if line.unit == unit:
            draft, bulletin = compose(network, line, who.person, authority, now)
            ledger.add(session, now, who, draft, bulletin, None)
            made.append(bulletin.id)
    return tuple(made)


def compose(network: Network, line: Relay, person: Person, authority: str, now: datetime) -> tuple[Draft, Bulletin]:
    """What a leader signs for one line, for a year or until the line ends."""
    unit = network.units[line.unit]
    start = max(to_milliseconds(now), _first(line))
    end = to_milliseconds(now + LONGEST)
    if line.when.valid_to is not None:
        # a relay of the last evening may run past midnight
        end = min(end, _midnight(line.when.valid_to) + round(line.duration * 1000))
    draft = Draft(
        tier=unit.tier,
        origin=unit.id,
        author=person.id,
        cls=BulletinClass.NORMAL,
        title=line.name,
        audience=f"{unit.tier}={unit.id}",
        repeats=SERIES,
        authority=authority,
    )
    bulletin = Bulletin(
        id=new_id(now),
        version=1,
        cls=BulletinClass.NORMAL,
        kind=ContentKind.RELAY,
        tier=str(unit.tier),
        origin=unit.id,
        title=line.name,
        content=line.source,
        duration=round(line.duration * 1000),
        audience=Audience(units=(unit.id,)),
        valid_from=start,
        valid_until=end,
        text=terms(line),
        authority=authority,
    )
    return draft, bulletin


def _first(line: Relay) -> int:
    return _midnight(line.when.valid_from) if line.when.valid_from is not None else 0


def _midnight(on: date) -> int:
    return to_milliseconds(datetime(on.year, on.month, on.day, tzinfo=TIMEZONE))


class Relays:
    """The relays of the network as it is now, for who publishes and who compares."""

    def __init__(self, network: Callable[[], Network]) -> None:
        self._network = network
        self._grids: tuple[Grids, date] | None = None

    def grids(self, now: datetime) -> Grids:
        network, today = self._network(), now.astimezone(TIMEZONE).date()
        if self._grids is None or self._grids[0].network is not network or self._grids[1] != today:
            self._grids = Grids(network), today
        return self._grids[0]

    def airings(
        self, session: Session, units: Iterable[str], since: datetime, until: datetime, now: datetime
    ) -> Mapping[str, tuple[tuple[Airing, bytes], ...]]:
        """By unit: the signed relays that touch ``[since, until)``."""
        grids, signed = self.grids(now), series(session, since)
        span = Span(to_milliseconds(since), to_milliseconds(until))
        return {u: airings(grids, UnitId(u), signed, span.start, span.until) for u in units} if signed else {}

    def units(self, session: Session, since: datetime, now: datetime) -> tuple[str, ...]:
        """The communes whose devices may hold a programme from ``since`` on with a relay in it, also if it is empty by
        now: those of every relay that was signed, withdrawn or not, and not over by then.
        """
        network = self._network()
        on = network.on(now.astimezone(TIMEZONE).date())
        bodies = session.scalars(
            select(BulletinRow.body).where(
                BulletinRow.repeats == SERIES, BulletinRow.signed.is_not(None), BulletinRow.valid_until > since
            )
        )
        areas = {b.origin: b for b in (decode(Bulletin, body) for body in bodies)}
        return tuple(sorted({str(u) for b in areas.values() for u in schedule.communes(network, on, b)}))

    def on_air(self, session: Session, since: datetime, until: datetime) -> frozenset[str]:
        """The live sessions that a signed relay has on the air in ``[since, until)``."""
        span = Span(to_milliseconds(since), to_milliseconds(until))
        return on_air(self.grids(since), series(session, since), span)

    def unsigned(self, session: Session, now: datetime) -> tuple[Relay, ...]:
        network = self._network()
        on = network.on(now.astimezone(TIMEZONE).date())
        signed = [s.bulletin for s in series(session, now)]
        return unsigned(network, signed, on, to_milliseconds(now))
