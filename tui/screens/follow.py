"""What is said after an alarm: which one, corrected or over, in which words. Enter, Enter."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer, Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from inventory.diagnostics import sentence
from nms.i18n import N_
from tui.bindings import translate_bindings
from tui.emergency_methods import FOLLOW, Follow
from tui.gateway import Gateway, HubError
from tui.methods import BULLETINS, BulletinRow, Find
from tui.signing import Signer, hand_in
from tui.views.times import clock

IN_FORCE = ("scheduled", "airing")
KINDS = (("correction", N_("It was wrong: {title}")), ("all_clear", N_("It is over: {title}")))


class FollowScreen(Screen[None]):
    """Every emergency in force, newest first, each to be corrected or ended."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "app.pop_screen", N_("Back"))]

    def __init__(self, gateway: Gateway, translate: Callable[[str], str], sign: Signer) -> None:
        super().__init__()
        translate_bindings(self, translate)
        self._gateway = gateway
        self._translate = translate
        self._sign = sign
        self._chosen: tuple[str, str] | None = None

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="form"):
            yield OptionList(id="choices", markup=False)
            yield Label(self._translate(N_("Words (empty: the script's own)")))
            yield Input(id="words", compact=True)
            yield Static(id="preview", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._list()
        self.query_one("#choices", OptionList).focus()

    @work(group="list")
    async def _list(self) -> None:
        try:
            rows = (await self._gateway.ask(BULLETINS, Find())).bulletins
        except HubError as error:
            self._refused(error)
            return
        choices = self.query_one("#choices", OptionList)
        for row in rows:
            if _in_force(row):
                choices.add_options([self._option(row, kind, text) for kind, text in KINDS])
        if choices.option_count:
            choices.highlighted = 0
        else:
            self._say(self._translate(N_("no emergency is in force")))

    def _option(self, row: BulletinRow, kind: str, text: str) -> Option:
        title = f"{clock(row.created)} {row.title} ({row.heard}/{row.expected})"
        return Option(self._translate(text).format(title=title), id=f"{kind}:{row.id}")

    @on(OptionList.OptionSelected, "#choices")
    def choose(self, event: OptionList.OptionSelected) -> None:
        kind, _, bulletin = (event.option.id or "").partition(":")
        self._chosen = bulletin, kind
        self.query_one("#words", Input).focus()

    @on(Input.Submitted, "#words")
    def entered(self, event: Input.Submitted) -> None:
        if self._chosen is not None:
            self._send(Follow(*self._chosen, event.value.strip()))

    @work(exclusive=True, group="send")
    async def _send(self, follow: Follow) -> None:
        try:
            made = await self._gateway.ask(FOLLOW, follow)
            problem = await hand_in(self._gateway, self._sign, made.bulletin)
        except HubError as error:
            self._refused(error)
            return
        if problem is not None:
            self._say(sentence(problem.message, problem.fields, self._translate))
            return
        self.app.notify(self._translate(N_("ended; the words are said where the alarm was heard")))
        self.app.pop_screen()

    def _refused(self, error: HubError) -> None:
        self._say("\n".join(f"✖ {sentence(p.message, p.fields, self._translate)}" for p in error.problems))

    def _say(self, text: str) -> None:
        self.query_one("#preview", Static).update(text)


def _in_force(row: BulletinRow) -> bool:
    return row.cls == "emergency" and row.state in IN_FORCE and not row.follows
