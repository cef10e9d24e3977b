"""The starts of a series: one approval, repeats over many days with gaps between them. Pure; Unix milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from audio import schedule
from audio.documents import Span
from audio.grid import Grids
from audio.schedule import Request
from audio.timetable import Placement
from inventory.model import UnitId


@dataclass(frozen=True, slots=True)
class Spacing:
    """``every`` ms from the beginning of one start's session to the next start's, or one start in each session."""

    every: int = 0
    by_session: bool = False

    @property
    def none(self) -> bool:
        return not self.every and not self.by_session


def starts(
    grids: Grids, unit: UnitId, request: Request, spacing: Spacing, taken: Sequence[Span], now: int
) -> tuple[Placement, ...]:
    """As ``schedule.starts``, with the spacing kept; fewer than asked for where there is no room."""
    if spacing.none:
        return schedule.starts(grids, unit, request, taken, now)
    placed: list[Placement] = []
    busy, earliest = list(taken), request.bulletin.valid_from
    for repeat in range(request.repeats):
        one = replace(request, bulletin=replace(request.bulletin, valid_from=earliest), repeats=1)
        found = schedule.starts(grids, unit, one, busy, now)
        if not found:
            break
        start = replace(found[0], repeat=repeat)
        placed.append(start)
        busy.append(Span(start.start, start.start + request.bulletin.duration))
        earliest = _next(grids, unit, request, spacing, start)
    return tuple(placed)


def _next(grids: Grids, unit: UnitId, request: Request, spacing: Spacing, last: Placement) -> int:
    """When the next repeat may begin: gaps count from sessions' beginnings, so that a full session delays no other."""
    around = grids.room_around(unit, request.bulletin.tier, last.start) if request.sessions else None
    if spacing.by_session:
        return around.until if around is not None else last.latest
    return (around.start if around is not None else last.start) + spacing.every
