"""From an approved bulletin to planned starts in every commune it addresses. Pure; times are Unix milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

from audio import grid
from audio.bulletin import addressed
from audio.documents import Bulletin, Span
from audio.grid import Grids
from audio.timetable import DAY, FOREVER, Airtime, Placement, Wanted, place
from inventory.model import TIMEZONE, Network, UnitId
from nms.moments import from_milliseconds, to_milliseconds

LEAD = 5_000
"""Time for devices to fetch the programme and the sound before a start."""
FARTHEST = 60 * DAY
"""Sessions are looked for no farther ahead than this."""


@dataclass(frozen=True, slots=True)
class Request:
    """A bulletin that wants ``repeats`` starts; ``sessions`` False: as soon as the air is free.

    ``soonest``: in the first session that has room, be it the tier's own slot or not.
    """

    bulletin: Bulletin
    repeats: int
    sessions: bool
    soonest: bool = False


def communes(network: Network, on: date, bulletin: Bulletin) -> tuple[UnitId, ...]:
    """The communes in which loudspeakers are addressed on that date."""
    units = {network.unit_of(device, on) for device in addressed(network, on, bulletin.audience)}
    return tuple(sorted(unit for unit in units if unit is not None))


def communes_ahead(network: Network, on: date, bulletin: Bulletin) -> tuple[UnitId, ...]:
    """As ``communes``, and those that will be while the bulletin is valid: a merge may lie between its repeats."""
    days = (from_milliseconds(bulletin.valid_until).astimezone(TIMEZONE).date() - on).days + 1
    found = {unit for day in network.turns(on, days) for unit in communes(network, day, bulletin)}
    return tuple(sorted(found))


def life(network: Network, unit: UnitId) -> Span:
    """While the unit is there; always where the inventory stands still at a date."""
    known = network.units[unit]
    if network.as_of is not None:
        return Span(0, FOREVER)
    start = _instant(known.valid_from, time()) if known.valid_from is not None else 0
    return Span(start, _instant(known.valid_to, time()) if known.valid_to is not None else FOREVER)


def heir(network: Network, unit: UnitId, other: UnitId) -> bool:
    """Whether ``other`` is what ``unit`` becomes at its end."""
    end = network.units[unit].valid_to
    return end is not None and unit != other and network.successor(unit, end) == other


def starts(grids: Grids, unit: UnitId, request: Request, taken: Sequence[Span], now: int) -> tuple[Placement, ...]:
    """The starts in that commune around what it airs already; fewer than asked for where there is no room."""
    bulletin, network, there = request.bulletin, grids.network, life(grids.network, unit)
    until = min(bulletin.valid_until, now + FARTHEST, there.until)
    wanted = Wanted(
        bulletin=bulletin.id,
        cls=bulletin.cls,
        duration=bulletin.duration,
        valid_from=max(bulletin.valid_from, there.start),
        valid_until=min(bulletin.valid_until, there.until),
        repeats=tuple(range(request.repeats)),
        sessions=request.sessions,
    )
    rooms = grids.rooms(unit, bulletin.tier, now, until)
    placed, _ = place(
        [wanted],
        [*taken, *(relay.span for relay in grids.relays(unit, now, until))],
        sorted(rooms, key=lambda room: room.start) if request.soonest else rooms,
        quiet(network, unit, now, until),
        now + LEAD,
        Airtime(grid.airtime(network, network.chain(unit))),
    )
    return placed


def together(
    grids: Grids, taken: Mapping[UnitId, Sequence[Span]], request: Request, now: int, begun: int | None = None
) -> Mapping[UnitId, Placement]:
    """One start at the same instant in these communes (with what each airs already), for what cannot be said twice.

    It is the soonest at which all have room; a commune that has none within the validity is left out. ``begun``: the
    instant that holds because others have it already.
    """
    open_, at = dict(taken), request.bulletin.valid_from if begun is None else begun
    while open_:
        later = replace(request, repeats=1, soonest=True, bulletin=replace(request.bulletin, valid_from=at))
        found = {unit: placed[0] for unit, busy in open_.items() if (placed := starts(grids, unit, later, busy, now))}
        if begun is not None:
            return {unit: start for unit, start in found.items() if start.start == begun}
        at, open_ = max((start.start for start in found.values()), default=at), {unit: open_[unit] for unit in found}
        if all(start.start == at for start in found.values()):
            return found
    return {}


def quiet(network: Network, unit: UnitId, now: int, until: int) -> tuple[Span, ...]:
    """When nothing may be placed in ``[now, until)``: quiet hours but for their exceptions, and silent windows.

    The quiet hours are those of the nearest unit in its chain that has any, as in its policy.
    """
    above = network.chain(unit)
    silent = (grid.span_of(w.start, w.end) for w in grid.silent_windows(network, above))
    return _touching((*quiet_hours(network, above, now, until), *silent), now, until)


def quiet_hours(network: Network, above: Sequence[UnitId], now: int, until: int) -> tuple[Span, ...]:
    """The quiet hours of a place (its units, nearest first) that touch ``[now, until)``, less what leaders opened."""
    opened = grid.exceptions(network, above)
    nights = (part for night in _nights(network, above, now, until) for part in grid.without(night, opened))
    return _touching(nights, now, until)


def _nights(network: Network, above: Sequence[UnitId], now: int, until: int) -> Iterator[Span]:
    for holder in above:
        found = [q for q in network.quiet_hours if q.unit == holder]
        for day in _days(now, until) if found else ():
            for q in found:
                yield Span(_instant(day, q.start), _instant(day + timedelta(days=q.end <= q.start), q.end))
        if found:
            return


def _touching(windows: Iterable[Span], now: int, until: int) -> tuple[Span, ...]:
    return tuple(sorted((w for w in windows if w.until > now and w.start < until), key=lambda w: w.start))


def _days(now: int, until: int) -> Iterator[date]:
    """Local dates from the day before ``now`` (its windows may cross midnight) to that of ``until``."""
    day = from_milliseconds(now).astimezone(TIMEZONE).date() - timedelta(days=1)
    last = from_milliseconds(until).astimezone(TIMEZONE).date()
    while day <= last:
        yield day
        day += timedelta(days=1)


def _instant(day: date, at: time) -> int:
    return to_milliseconds(datetime.combine(day, at, TIMEZONE))
