"""The province at a glance, by tier: what is broken, what is playing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static

from inventory.diagnostics import sentence
from nms.i18n import N_, decimal, number
from tui.bindings import translate_bindings
from tui.messages import News, Silence
from tui.methods import Overview, UnitRow
from tui.views import status
from tui.views.bulletins import short_line
from tui.views.emergency import alone_line
from tui.views.times import clock
from tui.views.words import SIGNS, STATES
from tui.widgets.unit_table import UnitTable

STALE_SECONDS = 15
CAUSES = 8
BULLETINS = 10


class OverviewScreen(Screen[None]):
    """One table of units (districts, then the communes of one), the causes of losses, and the latest bulletins."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "back", N_("Back"))]

    def __init__(self, translate: Callable[[str], str]) -> None:
        super().__init__()
        translate_bindings(self, translate)
        self._translate = translate
        self._overview: Overview | None = None
        self._heard = 0.0
        self._silence = ""
        self._path: list[str] = []

    def compose(self) -> ComposeResult:
        yield Static(id="status", markup=False)
        yield Static(id="crumbs", markup=False)
        with Vertical(id="body"):
            yield UnitTable(self._translate)
            with Vertical(id="side"):
                yield Static(id="alarms", markup=False)
                yield Static(id="causes", markup=False)
                yield Static(id="bulletins", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one("#status", Static).update(self._translate(N_("waiting for the hub")))
        self.query_one(UnitTable).focus()
        self.set_interval(1.0, self._age)

    def selected_unit(self) -> str:
        """The unit under the cursor: where a new bulletin most likely comes from."""
        return self.query_one(UnitTable).selected()

    def selected(self) -> tuple[Overview, UnitRow] | None:
        """The latest news and the unit under the cursor; None before there is any."""
        overview = self._overview
        units = overview.units if overview else ()
        row = next((row for row in units if row.unit == self.selected_unit()), None)
        return (overview, row) if overview is not None and row is not None else None

    def selected_scope(self) -> tuple[str, str]:
        """The unit under the cursor as a selection (empty: the province) and its name."""
        found = self.selected()
        if found is None:
            return "", ""
        _, row = found
        return status.selection(row), row.name

    @on(News)
    def news(self, message: News) -> None:
        self._overview, self._heard, self._silence = message.overview, time.monotonic(), ""
        self._show()

    @on(Silence)
    def silence(self, message: Silence) -> None:
        self._silence = "; ".join(sentence(p.message, p.fields, self._translate) for p in message.problems)
        self._age()

    @on(DataTable.RowSelected)
    def open_unit(self) -> None:
        unit = self.selected_unit()
        units = self._overview.units if self._overview else ()
        opened = any(row.unit == unit and row.tier == "province" for row in units)
        if not opened and any(row.parent == unit for row in units):
            self._path.append(unit)
            self._show()

    def action_back(self) -> None:
        if self._path:
            left = self._path.pop()
            self._show()
            self.query_one(UnitTable).select(left)

    def _show(self) -> None:
        overview = self._overview
        if overview is None:
            return
        province = next((row for row in overview.units if row.tier == "province"), None)
        parent = self._path[-1] if self._path else (province.unit if province else "")
        below = [row for row in overview.units if row.parent == parent]
        self.query_one(UnitTable).show([*([province] if province and not self._path else []), *below])
        names = {row.unit: row.name for row in overview.units}
        crumbs = [names.get(unit, unit) for unit in ([province.unit] if province else []) + self._path]
        self.query_one("#crumbs", Static).update(" › ".join(crumbs))
        self.query_one("#alarms", Static).update(status.alarm_counts(overview.alarms, self._translate))
        self.query_one("#causes", Static).update(self._causes(overview))
        self.query_one("#bulletins", Static).update(self._bulletins(overview))
        self._age()

    def _age(self) -> None:
        """The head line; silence and old news are marked, because an operator acts on what stands here."""
        age = int(time.monotonic() - self._heard)
        parts = [f"{SIGNS['down']} {self._silence}"] if self._silence else []
        if self._overview is not None:
            if age >= STALE_SECONDS:
                parts.append(self._translate(N_("no news from the hub for {age} s")).format(age=age))
            parts.append(self._head(self._overview))
        if not parts:
            return
        line = self.query_one("#status", Static)
        line.update("  ".join(parts))
        well = self._overview is None or (self._overview.broker and not self._overview.hub)
        line.set_class(bool(self._silence) or age >= STALE_SECONDS or not well, "-lost")

    def _head(self, overview: Overview) -> str:
        counts = status.totals(overview)
        # what needs a person stands first: a narrow terminal cuts the end of the line
        present = [s for s in ("down", "unreachable", "degraded", "unknown", "maintenance", "up") if counts.get(s)]
        parts = [f"{SIGNS[s]} {number(counts[s])} {self._translate(STATES[s])}" for s in present]
        text = f"{clock(overview.now)}  " + " · ".join(parts)
        if overview.sweep is not None:
            seconds = decimal(overview.sweep.seconds, 2)
            text += "  " + self._translate(N_("sweep {seconds} s")).format(seconds=seconds)
        if not overview.broker:
            text += "  " + self._translate(N_("no connection to the broker"))
        return "  ".join((*status.hub_lines(overview, self._translate), text))

    def _causes(self, overview: Overview) -> str:
        title = self._translate(N_("Causes ({count})")).format(count=len(overview.causes))
        if not overview.causes:
            return f"{title}\n  {self._translate(N_('nothing is lost'))}"
        shown = [f"  {SIGNS['down']} {status.cause_line(c, self._translate)}" for c in overview.causes[:CAUSES]]
        more = len(overview.causes) - CAUSES
        if more > 0:
            shown.append("  " + self._translate(N_("and {count} more")).format(count=more))
        return "\n".join([title, *shown])

    def _bulletins(self, overview: Overview) -> str:
        title = self._translate(N_("Bulletins"))
        if not overview.bulletins:
            return f"{title}\n  {self._translate(N_('no bulletins'))}"
        alone = [f"  {SIGNS['degraded']} {alone_line(row, self._translate)}" for row in overview.alone]
        return "\n".join(
            [title, *alone, *(f"  {short_line(row, self._translate)}" for row in overview.bulletins[:BULLETINS])]
        )
