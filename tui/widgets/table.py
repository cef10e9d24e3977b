"""The table under every list of the screens."""

from __future__ import annotations

from textual.geometry import Size
from textual.widgets import DataTable


class Table(DataTable[str]):
    """A row cursor over striped rows whose cells are never cut short.

    Textual measures new rows when it is idle, but keeps what it drew of them before with the old widths: under load a
    longer text stayed cut until the cursor moved. What was drawn is forgotten as soon as the widths are known.
    """

    def __init__(self) -> None:
        super().__init__(cursor_type="row", zebra_stripes=True)

    def watch_virtual_size(self, before: Size, now: Size) -> None:
        if before.width != now.width:
            self.notify_style_update()
