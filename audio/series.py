"""The starts of a series: one approval, repeats over many days with gaps between them. Pure; Unix milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from audio import schedule
from audio.documents import Span
from audio.schedule import Request
from audio.timetable import Placement
from inventory.model import Network, UnitId


@dataclass(frozen=True, slots=True)
class Spacing:
    """``every`` ms from the beginning of one start's session to the next start's, or one start in each session."""

    every: int = 0
    by_session: bool = False

    @property
    def none(self) -> bool:
        return not self.every and not self.by_session


def starts(
    network: Network, unit: UnitId, request: Request, spacing: Spacing, taken: Sequence[Span], now: int
) -> tuple[Placement, ...]:
    """As ``schedule.starts``, with the spacing kept; fewer than asked for where there is no room."""
    if spacing.none:
        return schedule.starts(network, unit, request, taken, now)
    placed: list[Placement] = []
    busy, earliest = list(taken), request.bulletin.valid_from
    for repeat in range(request.repeats):
        one = replace(request, bulletin=replace(request.bulletin, valid_from=earliest), repeats=1)
        found = schedule.starts(network, unit, one, busy, now)
        if not found:
            break
        start = replace(found[0], repeat=repeat)
        placed.append(start)
        busy.append(Span(start.start, start.start + request.bulletin.duration))
        earliest = _next(network, unit, request, spacing, start)
    return tuple(placed)


def _next(network: Network, unit: UnitId, request: Request, spacing: Spacing, last: Placement) -> int:
    """When the next repeat may begin: gaps count from sessions' beginnings, so that a full session delays no other."""
    sessions = schedule.sessions(network, unit, last.start, last.start + 1) if request.sessions else ()
    around = [s for s in sessions if s.start <= last.start < s.until]
    if spacing.by_session:
        return max(s.until for s in around) if around else last.latest
    return (min(s.start for s in around) if around else last.start) + spacing.every
