"""Open alarms and silenced clusters, the worst first; knows values, asks nobody."""

from __future__ import annotations

from collections.abc import Callable

from nms.i18n import N_, number
from tui.alarm_methods import AlarmRow, AlarmRows
from tui.methods import Silenced
from tui.views.alarms import MUTED_SIGN, SIGNS, alarm_text, by_severity
from tui.views.times import brief
from tui.widgets.table import Table

COLUMNS = (
    ("sign", ""),
    ("since", N_("Since")),
    ("count", N_("Devices")),
    ("what", N_("Alarm")),
    ("where", N_("Unit")),
    ("state", N_("In hand")),
)
WIDE = ("where", "state")
"""Columns for which a narrow terminal has no room; the details name both."""

WHAT = 40
"""Cells for what is wrong beside the other columns; the details have all of it."""

Row = AlarmRow | Silenced


class AlarmTable(Table):
    """The cursor stays on its alarm when others come and go."""

    def __init__(self, translate: Callable[[str], str]) -> None:
        super().__init__()
        self._translate = translate
        self._rows: dict[str, Row] = {}
        self._wide: bool | None = None

    def show(self, found: AlarmRows, *, wide: bool) -> None:
        """Put these on the screen."""
        rows: dict[str, Row] = {row.id: row for row in by_severity(found)}
        rows |= {f"silenced {row.device}": row for row in found.silenced}
        if rows == self._rows and wide == self._wide:
            return
        chosen = self._key()
        if wide != self._wide:
            self.clear(columns=True)
            for key, title in COLUMNS:
                if wide or key not in WIDE:
                    width = WHAT if wide and key == "what" else None
                    self.add_column(self._translate(title), key=key, width=width)
        self.clear()
        for key, row in rows.items():
            cells = self._alarm(row) if isinstance(row, AlarmRow) else self._silenced(row)
            self.add_row(
                *(cell for (name, _), cell in zip(COLUMNS, cells, strict=True) if wide or name not in WIDE), key=key
            )
        self._rows, self._wide = rows, wide
        if chosen in rows:
            self.move_cursor(row=list(rows).index(chosen))

    @property
    def chosen(self) -> Row | None:
        """What is under the cursor."""
        return self._rows.get(self._key())

    def _key(self) -> str:
        keys = list(self._rows)
        return keys[self.cursor_row] if 0 <= self.cursor_row < len(keys) else ""

    def _alarm(self, row: AlarmRow) -> tuple[str, ...]:
        count = number(len(row.devices)) if row.devices else "·"
        state = self._translate(HAND[row.state]).format(person=row.by, until=brief(row.quiet_until))
        return (
            SIGNS[row.state],
            brief(row.since),
            count,
            alarm_text(row, self._translate),
            ", ".join(row.communes),
            state,
        )

    def _silenced(self, row: Silenced) -> tuple[str, ...]:
        sign = " " if row.expired else MUTED_SIGN
        message = N_("{device} was silenced until {until}") if row.expired else N_("{device} silenced until {until}")
        text = self._translate(message).format(device=row.device, until=brief(row.until))
        return sign, brief(row.since), "1", text, row.commune, row.by


HAND = {
    "open": N_("not acknowledged"),
    "acknowledged": "{person}",
    "repair": N_("in repair until {until}"),
    "over": "",
}
