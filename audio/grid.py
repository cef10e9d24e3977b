"""What the weekly grid makes of a unit's days: relays, slots, what is left of the sessions, and why. Pure; times are
Unix milliseconds.

Relays and slots of all units above a commune hold there; where two meet, the nearer unit's does. Both take their time
from the sessions, of which the nearest unit that has any on that day decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from audio.documents import Span
from inventory.lines import Holiday, Line, Relay, SilentWindow, Slot, holds, taken_off
from inventory.model import TIMEZONE, Network, UnitId
from inventory.schema_grid import DAYS
from nms.moments import from_milliseconds, to_milliseconds

AROUND = timedelta(days=2)
"""Lines of so many days before and after may reach into a day: one past midnight, and what it displaces."""


class Kind(StrEnum):
    RELAY = "relay"
    SLOT = "slot"
    SESSION = "session"


class Why(StrEnum):
    """What keeps a declared line from its day."""

    NEARER = "nearer"
    HOLIDAY = "holiday"


@dataclass(frozen=True, slots=True)
class Window:
    """One line on one day: ``unit`` declared it; ``source``, ``terms`` are a relay's, ``tier`` is a slot's."""

    kind: Kind
    name: str
    unit: UnitId
    span: Span
    source: str = ""
    terms: str = ""
    tier: str = ""


@dataclass(frozen=True, slots=True)
class Displaced:
    """A line that is declared for the day and does not hold: ``by`` names the nearer line or the holiday."""

    window: Window
    why: Why
    by: str


@dataclass(frozen=True, slots=True)
class Day:
    """A unit's programme of one day, in order of start; sessions are cut up by the relays and slots in them."""

    on: date
    windows: tuple[Window, ...]
    displaced: tuple[Displaced, ...]


class Grids:
    """The grids of one network. Units in which the same lines hold share their days."""

    def __init__(self, network: Network) -> None:
        self.network = network
        grid = network.grid
        lines: Iterable[Line] = (*network.sessions, *grid.relays, *grid.slots)
        self._declaring = {line.unit for line in lines} | {h.unit for h in grid.holidays}
        self._known: dict[tuple[tuple[UnitId, ...], date, date], tuple[Day, ...]] = {}

    def days(self, unit: UnitId, first: date, last: date) -> tuple[Day, ...]:
        """Every day from ``first`` to ``last``, both included."""
        above = tuple(u for u in self.network.chain(unit) if u in self._declaring)
        key = above, first, last
        if key not in self._known:
            self._known[key] = tuple(_days(self.network, above, first, last))
        return self._known[key]

    def windows(self, unit: UnitId, now: int, until: int) -> Iterator[Window]:
        """Every window that touches ``[now, until)``."""
        for day in self.days(unit, _date(now) - timedelta(days=1), _date(until)):
            yield from (w for w in day.windows if w.span.until > now and w.span.start < until)

    def rooms(self, unit: UnitId, tier: str, now: int, until: int) -> tuple[Span, ...]:
        """Where a bulletin of that tier may be placed: the tier's slots first, then what is left of the sessions."""
        found = list(self.windows(unit, now, until))
        slots = [w.span for w in found if w.kind is Kind.SLOT and w.tier == tier]
        return (*slots, *(w.span for w in found if w.kind is Kind.SESSION))

    def room_around(self, unit: UnitId, tier: str, at: int) -> Span | None:
        """The whole slot or session in which a bulletin of that tier begins at ``at``, with what cuts it up."""
        today = _date(at)
        for day in self.days(unit, today - timedelta(days=1), today):
            mine = [w for w in day.windows if w.kind is Kind.SESSION or (w.kind is Kind.SLOT and w.tier == tier)]
            here = next((w for w in mine if w.span.start <= at < w.span.until), None)
            if here is not None:
                parts = [w.span for w in mine if (w.kind, w.unit, w.name) == (here.kind, here.unit, here.name)]
                return Span(min(p.start for p in parts), max(p.until for p in parts))
        return None

    def relays(self, unit: UnitId, now: int, until: int) -> tuple[Window, ...]:
        return tuple(w for w in self.windows(unit, now, until) if w.kind is Kind.RELAY)


def terms(relay: Relay) -> str:
    """What is signed of a relay's line: source, time and days. Another line has other terms."""
    when = relay.when
    days = ",".join(DAYS[day] for day in when.weekdays) or "every day"
    parts = [f"{relay.source} {relay.start:%H:%M} {relay.duration / 60:g} min", days]
    parts += [f"from {when.valid_from}"] if when.valid_from is not None else []
    parts += [f"to {when.valid_to}"] if when.valid_to is not None else []
    parts += [f"on {when.holiday}"] if when.holiday else []
    return ", ".join(parts)


def silent_windows(network: Network, units: Sequence[UnitId]) -> tuple[SilentWindow, ...]:
    """The silent windows of a place's units; those of hamlets and groups are their devices' own."""
    return tuple(w for w in network.grid.silent if w.unit in units)


def exceptions(network: Network, units: Sequence[UnitId]) -> tuple[Span, ...]:
    """When the quiet hours are open in a place, by what leaders have signed."""
    return tuple(span_of(e.start, e.end) for e in network.grid.exceptions if e.unit in units)


def airtime(network: Network, units: Sequence[UnitId]) -> int:
    """The nearest unit's limit of a day's programme in ms; 0: none."""
    limits = {limit.unit: round(limit.limit * 1000) for limit in network.grid.airtime}
    return next((limits[unit] for unit in units if unit in limits), 0)


def span_of(start: datetime, end: datetime) -> Span:
    return Span(to_milliseconds(start), to_milliseconds(end))


def without(span: Span, holes: Iterable[Span]) -> tuple[Span, ...]:
    """What is left of a span."""
    left, parts = span.start, []
    for hole in sorted(holes, key=lambda h: h.start):
        if hole.start < span.until and hole.until > left:
            parts.append(Span(left, hole.start))
            left = hole.until
    parts.append(Span(left, span.until))
    return tuple(p for p in parts if p.start < p.until)


# --- one chain of units, day by day -----------------------------------------------------------------------------------


def _days(network: Network, above: Sequence[UnitId], first: date, last: date) -> Iterator[Day]:
    dates = list(_dates(first - AROUND, last + AROUND))
    holidays = {d: network.grid.holidays_on(above, d) for d in dates}
    fixed, displaced = _fixed(network, above, holidays)
    for on in _dates(first, last):
        near = [w.span for d in (-1, 0, 1) for w in fixed.get(on + timedelta(days=d), ())]
        sessions, off = _sessions(network, above, holidays[on], on)
        parts = [replace(s, span=part) for s in sessions for part in without(s.span, near)]
        windows = sorted([*fixed.get(on, ()), *parts], key=lambda w: (w.span.start, w.kind))
        yield Day(on, tuple(windows), (*displaced.get(on, ()), *off))


def _fixed(
    network: Network, above: Sequence[UnitId], holidays: Mapping[date, Sequence[Holiday]]
) -> tuple[dict[date, list[Window]], dict[date, list[Displaced]]]:
    """Relays and slots by day, the nearest unit's first: what meets one of a nearer unit is displaced."""
    declared: Sequence[Relay | Slot] = (*network.grid.relays, *network.grid.slots)
    kept: dict[date, list[Window]] = {}
    displaced: dict[date, list[Displaced]] = {}
    for unit in above:
        lines = [line for line in declared if line.unit == unit]
        for on, free in holidays.items():
            for line in lines:
                window = _window(line, on)
                off = taken_off(line, free)
                near = [w for d in (-1, 0, 1) for w in kept.get(on + timedelta(days=d), ())]
                rival = next((w for w in near if _meet(w.span, window.span)), None)
                if line.when.holds(on) and off is not None:
                    displaced.setdefault(on, []).append(Displaced(window, Why.HOLIDAY, off.name))
                elif holds(line, free, on) and rival is not None:
                    displaced.setdefault(on, []).append(Displaced(window, Why.NEARER, rival.name))
                elif holds(line, free, on):
                    kept.setdefault(on, []).append(window)
    return kept, displaced


def _sessions(
    network: Network, above: Sequence[UnitId], holidays: Sequence[Holiday], on: date
) -> tuple[list[Window], list[Displaced]]:
    """The sessions of the nearest unit that has any on that day, and those that a holiday takes off."""
    off: list[Displaced] = []
    for unit in above:
        mine = [s for s in network.sessions if s.unit == unit and s.when.holds(on)]
        for session in mine:
            holiday = taken_off(session, holidays)
            if holiday is not None:
                off.append(Displaced(_window(session, on), Why.HOLIDAY, holiday.name))
        found = [_window(s, on) for s in mine if holds(s, holidays, on)]
        if found:
            return found, off
    return [], off


def _window(line: Line, on: date) -> Window:
    start = _instant(on, line.start)
    span = Span(start, start + round(line.duration * 1000))
    kind = Kind.RELAY if isinstance(line, Relay) else Kind.SLOT if isinstance(line, Slot) else Kind.SESSION
    source, signed = (line.source, terms(line)) if isinstance(line, Relay) else ("", "")
    tier = str(line.tier) if isinstance(line, Slot) else ""
    return Window(kind, line.name, line.unit, span, source, signed, tier)


def _meet(one: Span, other: Span) -> bool:
    return one.start < other.until and other.start < one.until


def _dates(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += timedelta(days=1)


def _date(at: int) -> date:
    return from_milliseconds(at).astimezone(TIMEZONE).date()


def _instant(day: date, at: time) -> int:
    return to_milliseconds(datetime.combine(day, at, TIMEZONE))
