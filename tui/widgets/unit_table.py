"""Units of one tier with their devices by state; knows values, asks nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nms.i18n import N_, number
from tui.methods import UnitRow
from tui.views.words import SIGNS
from tui.widgets.table import Table

COLUMNS = (
    ("name", N_("Unit")),
    ("total", N_("Devices")),
    ("up", f"{SIGNS['up']}"),
    ("degraded", f"{SIGNS['degraded']}"),
    ("down", f"{SIGNS['down']}"),
    ("unreachable", f"{SIGNS['unreachable']}"),
    ("unknown", f"{SIGNS['unknown']}"),
    ("playing", N_("Playing")),
)


class UnitTable(Table):
    """At most a few hundred rows: one tier of one unit. The cursor stays on its unit when figures change."""

    def __init__(self, translate: Callable[[str], str]) -> None:
        super().__init__()
        self._translate = translate
        self._shown: dict[str, tuple[str, ...]] = {}

    def on_mount(self) -> None:
        for key, title in COLUMNS:
            self.add_column(self._translate(title), key=key)

    def show(self, rows: Sequence[UnitRow]) -> None:
        """Put these rows on the screen; only cells that changed are touched while the units stay the same."""
        fresh = {row.unit: _cells(row) for row in rows}
        if list(fresh) != list(self._shown):
            self._rebuild(fresh)
        else:
            for unit, cells in fresh.items():
                for (key, _), cell, old in zip(COLUMNS, cells, self._shown[unit], strict=True):
                    if cell != old:
                        self.update_cell(unit, key, cell)
        self._shown = fresh

    def _rebuild(self, fresh: dict[str, tuple[str, ...]]) -> None:
        chosen = self.selected()
        self.clear()
        for unit, cells in fresh.items():
            self.add_row(*cells, key=unit)
        if chosen in fresh:
            self.move_cursor(row=list(fresh).index(chosen))

    def select(self, unit: str) -> None:
        """Put the cursor on a unit that is shown."""
        if unit in self._shown:
            self.move_cursor(row=list(self._shown).index(unit))

    def selected(self) -> str:
        """The unit under the cursor, empty where there is none."""
        units = list(self._shown)
        return units[self.cursor_row] if 0 <= self.cursor_row < len(units) else ""


def _cells(row: UnitRow) -> tuple[str, ...]:
    states = row.states
    counts = [states.get(key, 0) for key in ("up", "degraded", "down", "unreachable", "unknown")]
    shown = [number(n) if n else "·" for n in counts]
    return row.name, number(sum(states.values())), *shown, number(row.playing) if row.playing else "·"
