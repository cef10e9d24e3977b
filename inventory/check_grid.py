"""Rules about the weekly programme grid: overlaps, quiet hours, airtime, who signs, what is referred to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, urlsplit

from inventory.codes import Finding, guess, shown
from inventory.diagnostics import Place
from inventory.lines import Relay, Slot, holds
from inventory.model import TIMEZONE, Network, QuietHours, Role, Session, UnitId

if TYPE_CHECKING:
    from inventory.checks import Reference

_ANY_MONDAY = date(2024, 1, 1)
_WEEK = 7
_LONGEST = 400
"""Days of a dated line that are looked at one by one."""
_SECRET_KEYS = ("auth", "key", "pass", "password", "pwd", "secret", "sig", "signature", "token")

Line = Session | Relay | Slot


class Declared(Protocol):
    """A record about one unit."""

    @property
    def unit(self) -> UnitId: ...
    @property
    def place(self) -> Place: ...


@dataclass(frozen=True, slots=True)
class _Window:
    start: datetime
    end: datetime

    def meets(self, other: _Window) -> bool:
        return self.start < other.end and other.start < self.end


def references(network: Network) -> Iterator[Reference]:
    """Every unit that the grid names: ``checks`` knows which there are."""
    grid = network.grid
    records: Sequence[Sequence[Declared]] = (grid.relays, grid.slots, grid.holidays, grid.exceptions, grid.airtime)
    for record in chain.from_iterable(records):
        yield "INV102", record.place, ("unit",), record.unit, {}
    for window in grid.silent:
        if window.unit is not None:
            yield "INV102", window.place, ("unit",), window.unit, {}


def _names(network: Network) -> Iterator[Finding]:
    grid, holidays = network.grid, {h.id for h in network.grid.holidays}
    sources = [s.id for s in grid.sources]
    for relay in grid.relays:
        if relay.source not in sources:
            yield _unknown("source", relay.source, sources, relay.place, ("source",))
    for line in _lines(network):
        if line.when.holiday and line.when.holiday not in holidays:
            yield _unknown("holiday", line.when.holiday, holidays, line.place, ("holiday",))
    lines = {line.name for line in _lines(network)}
    for holiday in grid.holidays:
        for number, name in enumerate(holiday.without):
            if name not in lines:
                yield _unknown("line", name, lines, holiday.place, ("without", number))
    yield from _twice(network)


def _unknown(
    kind: str, name: str, known: Sequence[str] | set[str], place: Place, path: tuple[str | int, ...]
) -> Finding:
    fields = {"kind": kind, "id": shown(name), "known": ", ".join(sorted(known)), "near": guess(name, known)}
    return Finding("INV113", place, path, fields)


def _twice(network: Network) -> Iterator[Finding]:
    for kind, records in (("source", network.grid.sources), ("holiday", network.grid.holidays)):
        first: dict[str, Place] = {}
        for record in records:
            if record.id in first:
                fields = {"kind": kind, "id": record.id, "first": str(first[record.id])}
                yield Finding("INV101", record.place, ("id",), fields, (first[record.id],))
            first.setdefault(record.id, record.place)


def _urls(network: Network) -> Iterator[Finding]:
    for source in network.grid.sources:
        for number, url in enumerate(source.urls):
            parts = urlsplit(url)
            if "@" in parts.netloc or any(key.lower() in _SECRET_KEYS for key, _ in parse_qsl(parts.query)):
                yield Finding("INV409", source.place, ("urls", number), {"id": source.id})


def _places(network: Network) -> Iterator[Finding]:
    for window in network.grid.silent:
        if window.end <= window.start:
            yield _empty(window.place, window.start, window.end)
        if sum(x is not None for x in (window.unit, window.hamlet, window.group)) != 1:
            yield Finding("INV411", window.place)
        if window.hamlet is not None and window.hamlet not in network.hamlets:
            near = [h for h in network.hamlets if h[:5] == window.hamlet[:5]]
            fields = {"id": window.hamlet, "near": guess(window.hamlet, near)}
            yield Finding("INV103", window.place, ("hamlet",), fields)
        if window.group is not None and window.group not in network.groups:
            yield _unknown("group", window.group, set(network.groups), window.place, ("group",))


def _empty(place: Place, start: datetime, end: datetime) -> Finding:
    fields = {"end": f"{end:%Y-%m-%dT%H:%M}", "start": f"{start:%Y-%m-%dT%H:%M}"}
    return Finding("INV410", place, ("until",), fields)


def _exceptions(network: Network) -> Iterator[Finding]:
    for one in network.grid.exceptions:
        if one.end <= one.start:
            yield _empty(one.place, one.start, one.end)
        if not network.people or one.unit not in network.units:
            continue  # what could not be read, or is unknown, is told elsewhere
        signer = network.people.get(one.signer)
        leads = signer is not None and Role.APPROVER in signer.roles and signer.area in network.chain(one.unit)
        if not leads:
            yield Finding("INV412", one.place, ("signer",), {"person": shown(one.signer), "unit": one.unit})


def _ends(network: Network) -> Iterator[Finding]:
    for record in (*_lines(network), *network.grid.holidays):
        when = record.when if isinstance(record, Session | Relay | Slot) else record
        if when.valid_from is not None and when.valid_to is not None and when.valid_to <= when.valid_from:
            fields = {"end": str(when.valid_to), "start": str(when.valid_from)}
            yield Finding("INV205", record.place, ("to",), fields)


# --- lines against each other and against the clock -----------------------------------------------------------------


def _lines(network: Network) -> tuple[Line, ...]:
    return (*network.sessions, *_fixed(network))


def _fixed(network: Network) -> tuple[Line, ...]:
    return (*network.grid.relays, *network.grid.slots)


def _window(line: Line, on: date) -> _Window:
    start = datetime.combine(on, line.start, TIMEZONE)
    return _Window(start, start + timedelta(seconds=line.duration))


def _days(network: Network, line: Line) -> tuple[list[date], bool]:
    """Days that stand for all on which the line holds, and whether they are all of them."""
    first, last = line.when.valid_from, line.when.valid_to
    for holiday in network.grid.holidays:
        if holiday.id == line.when.holiday:
            first = max(filter(None, (first, holiday.valid_from)))
            last = min(filter(None, (last, holiday.valid_to)))
    every = first is not None and last is not None and (last - first).days <= _LONGEST
    begin = first or (last - timedelta(days=_WEEK) if last is not None else _ANY_MONDAY)
    length = (last - begin).days if every and last is not None else _WEEK
    days = [begin + timedelta(days=n) for n in range(length)]
    above = network.chain(line.unit)
    return [d for d in days if _holds(network, line, d, above)], every


def _holds(network: Network, line: Line, on: date, above: Sequence[UnitId]) -> bool:
    return holds(line, network.grid.holidays_on(above, on), on)


def _overlap(network: Network, one: Line, other: Line) -> bool:
    """Whether there is a day on which both hold and meet; either may run past midnight."""
    above = network.chain(one.unit)
    # the days of the more particular line: a week of an undated one says nothing of a dated one
    days = min((_days(network, one), _days(network, other)), key=lambda d: (not d[1], len(d[0])))[0]
    around = sorted({d + timedelta(days=n) for d in days for n in (-1, 0, 1)})
    mine = [_window(one, d) for d in around if _holds(network, one, d, above)]
    theirs = [_window(other, d) for d in around if _holds(network, other, d, above)]
    return any(m.meets(t) for m in mine for t in theirs)


def _overlaps(network: Network) -> Iterator[Finding]:
    """Sessions of one unit against each other; its relays and slots likewise. Relays and slots lie in sessions."""
    fixed = _fixed(network)
    for lines in (network.sessions, fixed):
        by_unit: dict[UnitId, list[Line]] = {}
        for line in lines:
            for other in by_unit.setdefault(line.unit, []):
                if _overlap(network, line, other):
                    fields = {"name": line.name, "other": other.name}
                    yield Finding("INV402", line.place, ("start",), fields, (other.place,))
            by_unit[line.unit].append(line)


def _quiet(network: Network) -> Iterator[Finding]:
    for line in _lines(network):
        above = network.chain(line.unit)
        for quiet in network.quiet_hours:
            if quiet.unit in above and quiet.start != quiet.end and _runs_into(network, line, quiet):
                window = f"{quiet.start:%H:%M}–{quiet.end:%H:%M}"
                fields = {"name": line.name, "window": window, "unit": quiet.unit}
                yield Finding("INV403", line.place, ("start",), fields, (quiet.place,))


def _runs_into(network: Network, line: Line, quiet: QuietHours) -> bool:
    """Whether some sound of the line lies in the quiet hours on a day on which no exception opens them."""
    days, every = _days(network, line)
    for day in days:
        window = _window(line, day)
        for night in (_night(quiet, day + timedelta(days=n)) for n in (-1, 0, 1)):
            both = _Window(max(window.start, night.start), min(window.end, night.end))
            if both.start < both.end and not (every and _opened(network, line.unit, both)):
                return True
    return False


def _night(quiet: QuietHours, day: date) -> _Window:
    start = datetime.combine(day, quiet.start, TIMEZONE)
    return _Window(start, datetime.combine(day + timedelta(days=quiet.end <= quiet.start), quiet.end, TIMEZONE))


def _opened(network: Network, unit: UnitId, window: _Window) -> bool:
    above = network.chain(unit)
    return any(e.unit in above and e.start <= window.start and window.end <= e.end for e in network.grid.exceptions)


def _airtime(network: Network) -> Iterator[Finding]:
    """Relays and slots alone must leave room: what is on the air in a session is placed within the limit."""
    for limit in network.grid.airtime:
        above = network.chain(limit.unit)
        lines = [line for line in _fixed(network) if line.unit in above]
        longest, day = max(
            ((_sounding(network, lines, d, above), d) for line in lines for d in _days(network, line)[0]),
            default=(0.0, _ANY_MONDAY),
        )
        if longest > limit.limit:
            fields = {"minutes": f"{longest / 60:g}", "limit": f"{limit.limit / 60:g}", "day": str(day)}
            yield Finding("INV413", limit.place, ("limit",), fields)


def _sounding(network: Network, lines: Sequence[Line], on: date, above: Sequence[UnitId]) -> float:
    return sum(line.duration for line in lines if _holds(network, line, on, above))


GRID_CHECKS = (_names, _urls, _places, _exceptions, _ends, _overlaps, _quiet, _airtime)
