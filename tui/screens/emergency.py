"""An emergency or drill from a script: script, area, blanks, the area's name; then who has not heard it yet.

Enter leads from one field to the next and, in the last one, sends: from the first key to the siren it is a handful of
keys and what is typed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer, Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from inventory.diagnostics import sentence
from nms.i18n import N_
from tui.bindings import translate_bindings
from tui.emergency_methods import CALL, CALL_PREVIEW, SCRIPTS, Call, CallPreview, ScriptRow
from tui.gateway import Gateway, HubError
from tui.methods import REPORT, BulletinId, Nothing, Problem
from tui.signing import Signer, hand_in
from tui.views import emergency as views
from tui.views.words import told

PREVIEW_DELAY = 0.4
LOOK_EVERY = 1.0
"""Seconds between two looks at who has heard it."""


class EmergencyScreen(Screen[None]):
    """What was sent stays on the screen, with who has not heard it and whom to call."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "app.pop_screen", N_("Back"))]

    def __init__(self, gateway: Gateway, translate: Callable[[str], str], sign: Signer, area: str) -> None:
        """``area``: the unit that is most likely meant."""
        super().__init__()
        translate_bindings(self, translate)
        self._gateway = gateway
        self._translate = translate
        self._sign = sign
        self._unit = area
        self._scripts: tuple[ScriptRow, ...] = ()
        self._script: ScriptRow | None = None
        self._sending = False

    def compose(self) -> ComposeResult:
        tr = self._translate
        with VerticalScroll(id="form"):
            yield OptionList(id="scripts", markup=False)
            yield Label(tr(N_("Area (a commune's name)")))
            yield Input(self._unit, id="area", compact=True)
            yield Vertical(id="blanks")
            yield Static(id="preview", markup=False)
            yield Label("", id="confirm-label", markup=False)
            yield Input(id="confirm", compact=True)
        yield Static(id="sent", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one("#sent", Static).display = False
        self._timer = self.set_timer(PREVIEW_DELAY, self._refresh)
        self._list()
        self.query_one("#scripts", OptionList).focus()

    @work(group="scripts")
    async def _list(self) -> None:
        try:
            self._scripts = (await self._gateway.ask(SCRIPTS, Nothing())).scripts
        except HubError as error:
            self._say(self._problems(error.problems))
            return
        choices = self.query_one("#scripts", OptionList)
        choices.add_options([Option(views.script_line(row, self._translate), id=row.id) for row in self._scripts])
        if not self._scripts:
            self._say(self._translate(N_("no scripts: write scripts.yaml")))
        elif choices.highlighted is None:
            choices.highlighted = 0

    @on(OptionList.OptionSelected, "#scripts")
    async def choose(self, event: OptionList.OptionSelected) -> None:
        """The script's blanks as fields."""
        self._script = next(row for row in self._scripts if row.id == event.option.id)
        blanks = self.query_one("#blanks", Vertical)
        await blanks.remove_children()
        for name in self._script.blanks:
            await blanks.mount(Label(views.blank(name, self._translate)), Input(name=name, compact=True))
        self.query_one("#area", Input).focus()
        self._refresh()

    @on(Input.Changed)
    def changed(self) -> None:
        self._timer.stop()
        self._timer = self.set_timer(PREVIEW_DELAY, self._refresh)

    @on(Input.Submitted)
    def entered(self, event: Input.Submitted) -> None:
        fields = [self.query_one("#area", Input), *self._blanks(), self.query_one("#confirm", Input)]
        number = fields.index(event.input)
        if number + 1 < len(fields):
            fields[number + 1].focus()
        elif self._script is not None and not self._sending:
            self._sending = True
            self._send(self._call(typed=event.value))

    def _refresh(self) -> None:
        if self._script is not None:
            self._preview(self._call())

    @work(exclusive=True, group="preview")
    async def _preview(self, call: Call) -> None:
        try:
            seen = await self._gateway.ask(CALL_PREVIEW, call)
        except HubError as error:
            self._say(self._problems(error.problems))
            return
        self._say("\n".join((*views.preview_lines(seen, self._translate), *self._warnings(seen))))
        self.query_one("#confirm-label", Label).update(views.typed_line(seen, self._translate))

    @work(exclusive=True, group="send")
    async def _send(self, call: Call) -> None:
        try:
            alone = (await self._gateway.ask(CALL_PREVIEW, call)).alone
            made = await self._gateway.ask(CALL, call)
            problem = await hand_in(self._gateway, self._sign, made.bulletin) if alone else None
        except HubError as error:
            self._say(self._problems(error.problems))
            return
        finally:
            self._sending = False
        if problem is not None:
            self._say(sentence(problem.message, problem.fields, self._translate))
            return
        self.query_one("#form").display = False
        sent = self.query_one("#sent", Static)
        sent.display = True
        if alone:
            self._look(made.bulletin)
            self.set_interval(LOOK_EVERY, lambda: self._look(made.bulletin))
        else:
            waiting = N_("waiting for a second person: loa approve {bulletin}")
            sent.update(self._translate(waiting).format(bulletin=made.bulletin))

    @work(exclusive=True, group="look")
    async def _look(self, bulletin: str) -> None:
        try:
            report = await self._gateway.ask(REPORT, BulletinId(bulletin))
        except HubError as error:
            self.query_one("#sent", Static).update(self._problems(error.problems))
            return
        lines = (f"{report.row.title} – {bulletin}", *views.unheard_list(report, self._translate))
        self.query_one("#sent", Static).update("\n".join(lines))

    def _blanks(self) -> list[Input]:
        return list(self.query("#blanks Input").results(Input))

    def _call(self, typed: str = "") -> Call:
        assert self._script is not None
        values = {field.name or "": field.value.strip() for field in self._blanks()}
        return Call(self._script.id, self.query_one("#area", Input).value.strip(), values, typed)

    def _warnings(self, seen: CallPreview) -> tuple[str, ...]:
        """What forbids it or is to be thought of; what is still to be typed is no mistake yet."""
        return tuple(self._problems((*seen.warnings, *(p for p in seen.problems if p.code != UNFINISHED))).splitlines())

    def _say(self, text: str) -> None:
        self.query_one("#preview", Static).update(text)

    def _problems(self, problems: tuple[Problem, ...]) -> str:
        return "\n".join(f"✖ {told(self._labelled(problem), self._translate)}" for problem in problems)

    def _labelled(self, problem: Problem) -> Problem:
        """A blank by what stands above its field here."""
        blank = problem.fields.get("blank")
        fields = {**problem.fields, "blank": views.blank(blank, self._translate)} if blank else problem.fields
        return replace(problem, fields=fields)


UNFINISHED = "BUL060"
