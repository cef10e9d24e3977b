"""Send a bulletin: who speaks, to whom, what; a preview of who would hear it; then for approval."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import Screen
from textual.widgets import Button, Footer, Input, Label, Select, Static, TextArea

from inventory.diagnostics import sentence
from inventory.select import fold
from nms.i18n import N_, decimal
from tui.bindings import translate_bindings
from tui.gateway import Gateway, HubError
from tui.handing_in import Making, hand_in, making_line
from tui.methods import PREVIEW, Preview, Problem, Push
from tui.views.alarms import unheard_lines
from tui.views.words import CLASSES

PREVIEW_DELAY = 0.4
SHOWN_COMMUNES = 4
SHOWN_SILENCED = 3


class PushScreen(Screen[None]):
    """An emergency is confirmed by typing the name of its area, because numbers get copied unread."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("ctrl+s", "submit", N_("Send for approval")),
        ("escape", "app.pop_screen", N_("Back")),
    ]

    def __init__(self, gateway: Gateway, translate: Callable[[str], str], unit: str) -> None:
        super().__init__()
        translate_bindings(self, translate)
        self._gateway = gateway
        self._translate = translate
        self._unit = unit
        self._preview: Preview | None = None
        self._previewed: Push | None = None

    def compose(self) -> ComposeResult:
        tr = self._translate
        classes = [(tr(text), key) for key, text in CLASSES.items()]
        whens = [(tr(N_("in the next session")), "session"), (tr(N_("as soon as the air is free")), "now")]
        with VerticalScroll(id="form"):
            yield Label(tr(N_("Origin unit (code)")))
            yield Input(self._unit, id="origin", compact=True)
            yield Label(tr(N_("Class")))
            yield Select(classes, value="normal", allow_blank=False, id="cls", compact=True)
            yield Label(tr(N_("Title")))
            yield Input(id="title", compact=True)
            yield Label(tr(N_("Text to be spoken")))
            yield TextArea(id="text", compact=True)
            yield Label(tr(N_("Audience (empty: the unit's whole area)")))
            yield Input(id="audience", placeholder="commune=23557 · group=… · district=622", compact=True)
            yield Label(tr(N_("Authority (document number and date, or by whose order)")))
            yield Input(id="authority", compact=True)
            yield Label(tr(N_("When")))
            yield Select(whens, value="session", allow_blank=False, id="when", compact=True)
            yield Label("", id="confirm-label")
            yield Input(id="confirm", compact=True)
            yield Static(id="preview", markup=False)
            with Horizontal(id="buttons"):
                yield Button(tr(N_("Cancel")), id="cancel", compact=True)
                yield Button(tr(N_("Send for approval")), id="submit", variant="primary", compact=True)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        for field in self.query(Input):
            field.cursor_blink = False
        self.query_one("#text", TextArea).cursor_blink = False
        self._timer = self.set_timer(PREVIEW_DELAY, self._refresh)
        self._emergency(False)
        self.query_one("#title", Input).focus()

    @on(Input.Changed)
    @on(TextArea.Changed)
    @on(Select.Changed)
    def changed(self) -> None:
        self._emergency(self._value("cls") == "emergency")
        self._timer.stop()
        self._timer = self.set_timer(PREVIEW_DELAY, self._refresh)

    @on(Button.Pressed, "#cancel")
    def cancel(self) -> None:
        self.app.pop_screen()

    @on(Button.Pressed, "#submit")
    def pressed(self) -> None:
        self.action_submit()

    def action_submit(self) -> None:
        if self._value("cls") == "emergency" and not self._confirmed():
            known = N_("type the name of the area to send an emergency: {name}")
            waiting = N_("wait until it is known who would hear it")
            self._say(self._translate(known if self._area() else waiting).format(name=self._area()))
            return
        self._submit(self._push())

    def _refresh(self) -> None:
        self._ask_preview(self._push())

    @work(exclusive=True)
    async def _ask_preview(self, push: Push) -> None:
        try:
            self._preview, self._previewed = await self._gateway.ask(PREVIEW, push), push
        except HubError as error:
            self._preview = self._previewed = None
            self._say(self._problems(error.problems))
            return
        self._say(self._preview_text(self._preview))
        self._emergency(push.cls == "emergency")

    @work(exclusive=True, group="submit")
    async def _submit(self, push: Push) -> None:
        button = self.query_one("#submit", Button)
        button.disabled = True
        try:
            made = await hand_in(self._gateway, push, self._making)
        except HubError as error:
            self._say(self._problems(error.problems))
        else:
            message = self._translate(N_("{seconds} s at {loudness} LUFS ({voice}), waiting for approval"))
            seconds, loudness = decimal(made.duration / 1000), decimal(made.loudness)
            self.app.notify(message.format(seconds=seconds, loudness=loudness, voice=made.voice))
            self.app.pop_screen()
        finally:
            button.disabled = False

    def _making(self, making: Making) -> None:
        self._say(making_line(making, self._translate))

    def _push(self) -> Push:
        return Push(
            origin=self._value("origin"),
            cls=self._value("cls"),
            title=self._value("title"),
            audience=self._value("audience"),
            text=self.query_one("#text", TextArea).text,
            play_now=self._value("when") == "now",
            authority=self._value("authority"),
        )

    def _value(self, name: str) -> str:
        widget = self.query_one(f"#{name}")
        return str(widget.value).strip() if isinstance(widget, Input | Select) else ""

    def _area(self) -> str:
        """What an emergency's author must type: the audience's own name; empty until it is known of this audience."""
        current = self._previewed
        if self._preview is None or current is None:
            return ""
        same = (current.origin, current.audience) == (self._value("origin"), self._value("audience"))
        return self._preview.area if same else ""

    def _confirmed(self) -> bool:
        area = self._area()
        return bool(area) and fold(self._value("confirm")) == fold(area)

    def _emergency(self, emergency: bool) -> None:
        label = self.query_one("#confirm-label", Label)
        label.display = self.query_one("#confirm", Input).display = emergency
        message = self._translate(N_("REAL EMERGENCY. Type the name of the area: {name}"))
        label.update(message.format(name=self._area().upper()))

    def _say(self, text: str) -> None:
        self.query_one("#preview", Static).update(text)

    def _preview_text(self, preview: Preview) -> str:
        message = self._translate(N_("{devices} clusters in {communes} communes, {lost} of them lost now"))
        text = message.format(devices=preview.devices, communes=len(preview.communes), lost=preview.lost)
        names = ", ".join(preview.communes[:SHOWN_COMMUNES])
        text += f": {names}" + (" …" if len(preview.communes) > SHOWN_COMMUNES else "")
        unheard = "\n".join(unheard_lines(preview.silenced, self._translate, SHOWN_SILENCED))
        remarks = self._problems(preview.warnings, "▲")
        return "\n".join(part for part in (unheard, text, remarks, self._problems(preview.problems)) if part)

    def _problems(self, problems: tuple[Problem, ...], sign: str = "✖") -> str:
        return "\n".join(f"{sign} {sentence(p.message, p.fields, self._translate)}" for p in problems)
