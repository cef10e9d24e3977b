"""Stop what is heard under one unit, now: one bulletin, or everything; or end the stops there before their time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from tui.methods import BULLETINS, RESUME, STOP, BulletinRow, Find, Resume, Stop
from tui.screens.form import UNTIL, Field, FormScreen, Order, Unclear, read_until
from tui.views.bulletins import short_line
from tui.views.times import moment, shown
from tui.views.words import told

IN_FORCE = ("airing", "scheduled", "approved")
EVERYTHING, GO_ON = "everything", "resume"
REASON = Field("reason", N_("Reason"), optional=True)
CONFIRM = Field("confirm", N_("Type the name of the area"))


class StopScreen(Screen[None]):
    """The area is the unit under the overview's cursor: ``selection`` (empty: the province) and its ``name``.

    Silence over more than one commune is confirmed by typing the area's name.
    """

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "app.pop_screen", N_("Back"))]

    def __init__(self, gateway: Gateway, translate: Callable[[str], str], selection: str, name: str, now: int) -> None:
        """``now``: the hub's time (Unix ms), after which a stop ends."""
        super().__init__()
        translate_bindings(self, translate)
        self._gateway = gateway
        self._translate = translate
        self._selection = selection
        self._scope = name
        self._now = moment(now)
        self._rows: dict[str, BulletinRow] = {}

    def compose(self) -> ComposeResult:
        yield Static(self._worded(N_("Stop in {name}")), id="status", markup=False)
        yield OptionList(id="choices")
        yield Static(id="preview", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        choices = self.query_one("#choices", OptionList)
        choices.add_options(
            [
                Option(self._worded(N_("Everything that is heard in {name}")), id=EVERYTHING),
                Option(self._worded(N_("End the stops in {name}")), id=GO_ON),
            ]
        )
        choices.highlighted = 0
        choices.focus()
        self._list()

    @work(group="list")
    async def _list(self) -> None:
        """Bulletins that are heard or will be, what is on the air first."""
        try:
            pages = [await self._gateway.ask(BULLETINS, Find(state=state)) for state in IN_FORCE]
        except HubError as error:
            self._say("\n".join(told(problem, self._translate) for problem in error.problems))
            return
        self._rows = {row.id: row for page in pages for row in page.bulletins}
        lines = [Option(short_line(row, self._translate), id=row.id) for row in self._rows.values()]
        self.query_one("#choices", OptionList).add_options(lines)

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
        wide = not self._selection.startswith("commune=")

        async def order(values: Mapping[str, str]) -> str:
            if wide and fold(values[CONFIRM.name]) != fold(self._scope):
                raise Unclear(self._worded(N_("the area is called {name}")), CONFIRM.name)
            return await self._ask(values, "")

        title = N_("SILENCE in {name}, for 10 minutes if no other time is given. Only what warns later is heard.")
        fields = (*_times(), *((CONFIRM,) if wide else ()))
        self._form(self._worded(title), fields, order, N_("Stop everything"))

    def _stop(self, row: BulletinRow) -> None:
        async def order(values: Mapping[str, str]) -> str:
            return await self._ask(values, row.id)

        title = f"{self._worded(N_('Stop in {name}'))}: {row.title}"
        self._form(title, _times(), order, N_("Stop it"))

    def _go_on(self) -> None:
        async def order(values: Mapping[str, str]) -> str:
            resumed = await self._gateway.ask(RESUME, Resume(self._selection, values[REASON.name]))
            lines = [self._translate(N_("no longer stopped in {targets}")).format(targets=", ".join(resumed.targets))]
            for row in resumed.standing:
                message = self._translate(N_("{place} stays stopped until {until} by {issuer}"))
                lines.append(message.format(place=row.place, until=shown(row.until), issuer=row.issuer))
            return "\n".join(lines)

        title = N_("End the stops in {name}: what they cancelled stays cancelled")
        self._form(self._worded(title), (Field(REASON.name, REASON.label),), order, N_("Let speak"))

    async def _ask(self, values: Mapping[str, str], bulletin: str) -> str:
        text = values[UNTIL.name]
        until = read_until(text, self._now, self._translate) if text else 0
        stopped = await self._gateway.ask(STOP, Stop(self._selection, bulletin, until, values[REASON.name]))
        return self._translate(N_("stopped in {targets}")).format(targets=", ".join(stopped.targets))

    def _form(self, title: str, fields: tuple[Field, ...], order: Order, button: str) -> None:
        self.app.push_screen(FormScreen(self._translate, title, fields, order, self._translate(button)), self._done)

    def _done(self, told: str | None) -> None:
        if told is not None:
            self.app.notify(told, markup=False)
            self.app.pop_screen()

    def _worded(self, message: str) -> str:
        return self._translate(message).format(name=self._scope)

    def _say(self, text: str) -> None:
        self.query_one("#preview", Static).update(f"✖ {text}")


def _times() -> tuple[Field, ...]:
    return Field(UNTIL.name, UNTIL.label, optional=True), REASON
