"""Stop what is heard in one unit, now: one bulletin, or everything; or end the stops there before their time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option

from inventory.select import fold
from nms.i18n import N_
from tui.bindings import translate_bindings
from tui.gateway import Gateway, HubError
from tui.methods import BULLETINS, RESUME, STOP, BulletinRow, Find, Overview, Resume, Stop, UnitRow
from tui.screens.form import UNTIL, Field, FormScreen, Order, Unclear, read_until
from tui.views.bulletins import resumed_lines, short_line
from tui.views.status import selection
from tui.views.times import moment
from tui.views.words import told

IN_FORCE = ("scheduled", "airing")
"""In this order: what begins between the two questions is in the second answer."""
LOOK_EVERY = 5.0
"""Seconds between two looks at what is heard."""
EVERYTHING, GO_ON = "everything", "resume"
REASON = Field("reason", N_("Reason"))
CONFIRM = Field("confirm", N_("Type the name of the area"))


class StopScreen(Screen[None]):
    """The area is the unit under the overview's cursor. What goes beyond one commune is confirmed by its name."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "app.pop_screen", N_("Back"))]

    def __init__(self, gateway: Gateway, translate: Callable[[str], str], overview: Overview, area: UnitRow) -> None:
        super().__init__()
        translate_bindings(self, translate)
        self._gateway = gateway
        self._translate = translate
        self._selection = selection(area)
        self._scope = area.name
        self._wide = area.tier != "commune"
        self._now = moment(overview.now)
        self._names = {row.unit: row.name for row in overview.units}
        self._rows: dict[str, BulletinRow] = {}

    def compose(self) -> ComposeResult:
        yield Static(self._worded(N_("Stop in {name}")), id="status", markup=False)
        yield OptionList(id="choices", markup=False)
        yield Static(id="preview", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._show()
        self.query_one("#choices", OptionList).focus()
        self._look()
        self.set_interval(LOOK_EVERY, self._look)

    def _show(self) -> None:
        """The choices, newest bulletin first; the cursor stays on what it was on."""
        choices = self.query_one("#choices", OptionList)
        at = choices.highlighted_option.id if choices.highlighted_option else EVERYTHING
        lines = {
            EVERYTHING: self._worded(N_("Everything that is heard or falls due in {name}")),
            GO_ON: self._worded(N_("End the stops in {name}")),
            **{row.id: self._line(row) for row in sorted(self._rows.values(), key=lambda r: (-r.created, r.id))},
        }
        choices.clear_options().add_options([Option(line, id=name) for name, line in lines.items()])
        choices.highlighted = list(lines).index(at) if at in lines else 0

    def _line(self, row: BulletinRow) -> str:
        return f"{short_line(row, self._translate)} · {self._names.get(row.origin, row.origin)}"

    @work(exclusive=True, group="look")
    async def _look(self) -> None:
        """Which bulletins are heard or wait for their time, in the whole province."""
        try:
            rows = {row.id: row for state in IN_FORCE async for row in self._pages(Find(state=state))}
        except HubError as error:
            self._say("\n".join(f"✖ {told(problem, self._translate)}" for problem in error.problems))
            return
        self._say("")
        if rows != self._rows:
            self._rows = rows
            self._show()

    async def _pages(self, find: Find) -> AsyncIterator[BulletinRow]:
        while True:
            page = await self._gateway.ask(BULLETINS, find)
            for row in page.bulletins:
                yield row
            if not page.more:
                return
            find = replace(find, before=page.bulletins[-1].id)

    @on(OptionList.OptionSelected, "#choices")
    def choose(self, event: OptionList.OptionSelected) -> None:
        chosen = event.option.id or ""
        if chosen == EVERYTHING:
            self._stop_everything()
        elif chosen == GO_ON:
            self._go_on()
        else:
            self._stop(self._rows[chosen])

    def _stop_everything(self) -> None:
        async def order(values: Mapping[str, str]) -> str:
            text = values[UNTIL.name]
            until = read_until(text, self._now, self._translate) if text else 0
            return await self._ask(values, Stop(self._selection, "", until, values[REASON.name]))

        title = N_("SILENCE in {name}, for 10 minutes if no other time is given. Only what warns later is heard.")
        fields = (replace(UNTIL, optional=True), replace(REASON, optional=True), *self._confirm())
        self._form(self._worded(title), fields, order, N_("Stop everything"))

    def _stop(self, row: BulletinRow) -> None:
        async def order(values: Mapping[str, str]) -> str:
            return await self._ask(values, Stop(self._selection, row.id, 0, values[REASON.name]))

        title = self._worded(N_("Stop in {name} FOR GOOD: what has not begun there is cancelled"))
        fields = (replace(REASON, optional=True), *self._confirm())
        self._form(f"{title}\n{self._line(row)}", fields, order, N_("Stop it"))

    def _go_on(self) -> None:
        async def order(values: Mapping[str, str]) -> str:
            resumed = await self._gateway.ask(RESUME, Resume(self._selection, values[REASON.name]))
            return "\n".join(resumed_lines(resumed, self._translate))

        title = N_("End the stops in {name}: what they cancelled stays cancelled")
        self._form(self._worded(title), (REASON,), order, N_("End the stops"))

    def _confirm(self) -> tuple[Field, ...]:
        return (CONFIRM,) if self._wide else ()

    async def _ask(self, values: Mapping[str, str], stop: Stop) -> str:
        if self._wide and fold(values[CONFIRM.name]) != fold(self._scope):
            raise Unclear(self._worded(N_("the area is called {name}")), CONFIRM.name)
        stopped = await self._gateway.ask(STOP, stop)
        return self._translate(N_("stopped in {targets}")).format(targets=", ".join(stopped.targets))

    def _form(self, title: str, fields: tuple[Field, ...], order: Order, button: str) -> None:
        self.app.push_screen(FormScreen(self._translate, title, fields, order, self._translate(button)), self._done)

    def _done(self, said: str | None) -> None:
        if said is not None:
            self.app.notify(said, markup=False)
            self.app.pop_screen()

    def _worded(self, message: str) -> str:
        return self._translate(message).format(name=self._scope)

    def _say(self, text: str) -> None:
        self.query_one("#preview", Static).update(text)
