"""What the hub answers about the programme grid: what it placed in a commune on a day, and relays to be signed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from typing import Any

from audio.dayplan import day_plan
from audio.documents import Span
from audio.grid import Grids, span_of
from audio.playout import Playout
from inventory.diagnostics import Diagnostic
from inventory.model import TIMEZONE, UnitId
from nms.store import Store
from tui import grid_methods as g
from tui import methods as m
from tui.hub import Caller, Handler, refuse
from tui.overview import Places


class GridService:
    """``where``: the places of today."""

    def __init__(
        self, where: Callable[[], Places], clock: Callable[[], datetime], store: Store, playout: Playout
    ) -> None:
        self._where = where
        self._clock = clock
        self._store = store
        self._playout = playout

    def handlers(self) -> dict[str, Handler]:
        """Every method of ``tui.grid_methods`` by its name."""
        answers: Iterable[tuple[m.Method[Any, Any], Any]] = ((g.GRID_DAY, self.day), (g.GRID_SIGN, self.hand_in))
        return {method.name: Handler(method, answer=answer) for method, answer in answers}

    async def day(self, _: Caller, params: g.UnitDay) -> g.DayRows:
        network, now = self._where().network, self._clock()
        unit, on = UnitId(params.unit), date.fromisoformat(params.on)
        units = network.chain(unit)
        if not units:
            return g.DayRows((), (), ())
        span = day_span(on)
        windows = tuple(Grids(network).windows(unit, span.start, span.until))
        plan = await self._store.read(lambda s: day_plan(s, units, windows, span, now))
        return g.DayRows(
            tuple(
                g.PlacedRow(
                    p.bulletin,
                    p.title,
                    p.cls,
                    p.tier,
                    p.origin,
                    p.state,
                    p.span.start,
                    p.span.until,
                    p.room,
                    p.cancelled,
                )
                for p in plan.placed
            ),
            tuple(g.SignedRow(s.unit, s.terms, s.bulletin, s.waiting) for s in plan.signed),
            tuple(g.HeldRow(h.title, h.span.start, h.span.until) for h in plan.held),
        )

    async def hand_in(self, caller: Caller, params: g.HandIn) -> g.HandedIn:
        made = await self._playout.hand_in_relays(caller.known(), params.unit, params.authority, uid=caller.uid)
        refused = tuple(d for d in made if isinstance(d, Diagnostic))
        if refused:
            raise refuse(refused)
        return g.HandedIn(tuple(str(bulletin) for bulletin in made))


def day_span(on: date) -> Span:
    start = datetime.combine(on, time(), TIMEZONE)
    return span_of(start, start + timedelta(days=1))
