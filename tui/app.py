"""The operator's terminal: wiring, language, and the one worker that listens to the hub."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType

from nms.i18n import N_
from tui.bindings import translate_bindings
from tui.gateway import Gateway, HubError
from tui.messages import News, Silence
from tui.methods import WATCH, Nothing
from tui.screens.alarms import AlarmsScreen
from tui.screens.emergency import EmergencyScreen
from tui.screens.follow import FollowScreen
from tui.screens.help import HelpScreen
from tui.screens.overview import OverviewScreen
from tui.screens.push import PushScreen
from tui.screens.stop import StopScreen
from tui.signing import Signer

RETRY_SECONDS = 2.0
FORMS = (PushScreen, EmergencyScreen, FollowScreen, StopScreen)


class LoaApp(App[None]):
    """Opens on the overview; ``gateway`` is the screens' only door to the hub, ``sign`` has the unit's key."""

    CSS_PATH = "loa.tcss"
    TITLE = "Loa"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012 (Textual declares it so)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "alarms", N_("Alarms"), id="alarms"),
        Binding("e", "emergency", N_("Emergency"), id="emergency"),
        Binding("k", "follow", N_("Correct, end"), id="follow", show=False),
        Binding("p", "push", N_("Send a bulletin"), id="push"),
        Binding("x", "stop", N_("Stop"), id="stop"),
        Binding("question_mark", "help", N_("Help"), key_display="?", id="help"),
        Binding("q", "quit", N_("Quit"), id="quit"),
    ]

    def __init__(self, gateway: Gateway, translate: Callable[[str], str], sign: Signer) -> None:
        super().__init__()
        self.gateway = gateway
        self.sign = sign
        self.tr = translate
        self._overview = OverviewScreen(translate)
        translate_bindings(self, translate)

    def on_mount(self) -> None:
        self.theme = "textual-dark"
        self.push_screen(self._overview)
        self.run_worker(self._listen(), name="hub")

    async def _listen(self) -> None:
        """Follow the hub for ever; without an answer say so and try again."""
        while True:
            try:
                async for overview in self.gateway.watch(WATCH, Nothing()):
                    self._overview.post_message(News(overview))
            except HubError as error:
                self._overview.post_message(Silence(error.problems))
            await asyncio.sleep(RETRY_SECONDS)

    def action_push(self) -> None:
        if not isinstance(self.screen, PushScreen):
            self.push_screen(PushScreen(self.gateway, self.tr, self._overview.selected_unit()))

    def action_emergency(self) -> None:
        self.push_screen(EmergencyScreen(self.gateway, self.tr, self.sign, self._overview.selected_unit()))

    def action_follow(self) -> None:
        self.push_screen(FollowScreen(self.gateway, self.tr, self.sign))

    def action_alarms(self) -> None:
        selection, name = self._overview.selected_scope()
        self.push_screen(AlarmsScreen(self.gateway, self.tr, selection, name))

    def action_stop(self) -> None:
        found = self._overview.selected()
        if found is not None:
            self.push_screen(StopScreen(self.gateway, self.tr, *found))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A form is left by Esc: a stray q or p there must not end the program or drop what was typed."""
        if action in ("quit", "push", "alarms", "emergency", "follow", "stop") and isinstance(self.screen, FORMS):
            return False
        if action == "alarms" and isinstance(self.screen, AlarmsScreen):
            return False
        return super().check_action(action, parameters)

    def action_help(self) -> None:
        self.push_screen(HelpScreen(self.tr))
