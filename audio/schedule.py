"""From an approved bulletin to planned starts in every commune it addresses. Pure; times are Unix milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from audio.bulletin import addressed
from audio.documents import Bulletin, Span
from audio.timetable import DAY, Placement, Wanted, place
from inventory.model import TIMEZONE, Network, UnitId
from nms.store import from_milliseconds, to_milliseconds

LEAD = 5_000
"""Time for devices to fetch the programme and the sound before a start."""
FARTHEST = 60 * DAY
"""Sessions are looked for no farther ahead than this."""


@dataclass(frozen=True, slots=True)
class Request:
    """A bulletin that wants ``repeats`` starts; ``sessions`` False: as soon as the air is free."""

    bulletin: Bulletin
    repeats: int
    sessions: bool


def communes(network: Network, on: date, bulletin: Bulletin) -> tuple[UnitId, ...]:
    """The communes in which loudspeakers are addressed on that date."""
    units = {network.unit_of(device, on) for device in addressed(network, on, bulletin.audience)}
    return tuple(sorted(unit for unit in units if unit is not None))


def starts(network: Network, unit: UnitId, request: Request, taken: Sequence[Span], now: int) -> tuple[Placement, ...]:
    """The starts in that commune around what it airs already; fewer than asked for where there is no room."""
    bulletin = request.bulletin
    until = min(bulletin.valid_until, now + FARTHEST)
    wanted = Wanted(
        bulletin=bulletin.id,
        cls=bulletin.cls,
        duration=bulletin.duration,
        valid_from=bulletin.valid_from,
        valid_until=bulletin.valid_until,
        repeats=tuple(range(request.repeats)),
        sessions=request.sessions,
    )
    placed, _ = place(
        [wanted],
        taken,
        sessions(network, unit, now, until),
        quiet(network, unit, now, until),
        now + LEAD,
    )
    return placed


def sessions(network: Network, unit: UnitId, now: int, until: int) -> tuple[Span, ...]:
    """The unit's sessions that touch ``[now, until)``: those of the nearest unit in its chain that has any."""
    for holder in network.chain(unit):
        found = [s for s in network.sessions if s.unit == holder]
        if found:
            begins = [(_instant(day, s.start), round(s.duration * 1000)) for day in _days(now, until) for s in found]
            return _touching((Span(start, start + length) for start, length in begins), now, until)
    return ()


def quiet(network: Network, unit: UnitId, now: int, until: int) -> tuple[Span, ...]:
    """The quiet hours that touch ``[now, until)``: those of the nearest unit in its chain, as in its policy."""
    for holder in network.chain(unit):
        found = [q for q in network.quiet_hours if q.unit == holder]
        if found:
            windows = (
                Span(_instant(day, q.start), _instant(day + timedelta(days=q.end <= q.start), q.end))
                for day in _days(now, until)
                for q in found
            )
            return _touching(windows, now, until)
    return ()


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
