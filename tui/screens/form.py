"""A few fields for one order: asked, checked by the hub, done or told why not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static

from nms.i18n import N_
from tui.bindings import translate_bindings
from tui.gateway import HubError
from tui.views.times import milliseconds, read_end
from tui.views.words import told


@dataclass(frozen=True, slots=True)
class Field:
    """One line to fill in; ``optional`` may stay empty."""

    name: str
    label: str
    value: str = ""
    optional: bool = False


UNTIL = Field("until", N_("Until (17:00, 05/12, 17:00 05/12)"))


class Unclear(Exception):
    """What was typed into ``field`` cannot be sent; the message is in the operator's language."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


def read_until(text: str, now: datetime, translate: Callable[[str], str]) -> int:
    """What stands in ``UNTIL``, as Unix milliseconds. Raises Unclear if it is no time."""
    end = read_end(text, now)
    if end is None:
        message = N_("'{text}' is not a time such as 17:00, 05/12 or 17:00 05/12/2024")
        raise Unclear(translate(message).format(text=text), UNTIL.name)
    return milliseconds(end)


Order = Callable[[Mapping[str, str]], Awaitable[str]]
"""Does it and answers with what was done; raises Unclear or HubError."""


class FormScreen(ModalScreen[str]):
    """Ends with what was done, or None when it was left. Enter goes to the next field, from the last one it sends."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # before the field sees it: who types ahead types the next word into the next field
        Binding("enter", "next", priority=True, show=False),
        ("ctrl+s", "send", N_("Send")),
        ("escape", "leave", N_("Back")),
    ]

    def __init__(
        self, translate: Callable[[str], str], title: str, fields: tuple[Field, ...], order: Order, button: str
    ) -> None:
        """``title`` and ``button`` are translated already, labels are not."""
        super().__init__()
        translate_bindings(self, translate)
        self._translate = translate
        self._title = title
        self._fields = fields
        self._order = order
        self._button = button

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="box"):
            yield Static(self._title, id="title", markup=False)
            for field in self._fields:
                label = self._translate(field.label)
                yield Label(f"{label} {self._translate(N_('(optional)'))}" if field.optional else label, markup=False)
                yield Input(field.value, id=field.name, compact=True)
            yield Static(id="problem", markup=False)
            with Horizontal(id="buttons"):
                yield Button(self._translate(N_("Cancel")), id="cancel", compact=True)
                yield Button(self._button, id="send", variant="primary", compact=True)

    def on_mount(self) -> None:
        inputs = list(self.query(Input))
        for field in inputs:
            field.cursor_blink = False
        empty = next((field for field in inputs if not field.value), None)
        (empty or (inputs[-1] if inputs else self.query_one("#send", Button))).focus()

    def action_next(self) -> None:
        if isinstance(self.focused, Button):
            self.focused.press()
            return
        inputs = list(self.query(Input))
        place = inputs.index(self.focused) if isinstance(self.focused, Input) else -1
        if place + 1 < len(inputs):
            self.set_focus(inputs[place + 1])
        elif self.focused is not None:
            self.focused.call_later(self.action_send)  # after the keys that wait for the last field

    @on(Button.Pressed, "#cancel")
    def action_leave(self) -> None:
        self.dismiss(None)

    @on(Button.Pressed, "#send")
    def pressed(self) -> None:
        self.action_send()

    def action_send(self) -> None:
        values = {field.name: self.query_one(f"#{field.name}", Input).value.strip() for field in self._fields}
        missing = next((f for f in self._fields if not f.optional and not values[f.name]), None)
        if missing is not None:
            self._say(self._translate(N_("fill in: {field}")).format(field=self._translate(missing.label)))
            self.query_one(f"#{missing.name}", Input).focus()
            return
        self._send(values)

    @work(exclusive=True)
    async def _send(self, values: Mapping[str, str]) -> None:
        button = self.query_one("#send", Button)
        button.disabled = True
        try:
            done = await self._order(values)
        except Unclear as unclear:
            self._say(str(unclear))
            self.query_one(f"#{unclear.field}", Input).focus()
        except HubError as error:
            self._say("\n".join(told(p, self._translate) for p in error.problems))
        else:
            self.dismiss(done)
        finally:
            button.disabled = False

    def _say(self, text: str) -> None:
        self.query_one("#problem", Static).update(f"✖ {text}")
