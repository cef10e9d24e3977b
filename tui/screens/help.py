"""The keys of this program, and what its signs mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import ModalScreen
from textual.widgets import Static

from nms.i18n import N_
from tui.views.words import SIGNS, STATES

KEYS = (
    ("↑ ↓", N_("choose a unit")),
    ("Enter", N_("open the units below")),
    ("Esc", N_("one step back")),
    ("a", N_("alarms of the unit under the cursor: take on, repair, maintain, silence")),
    ("e", N_("emergency or drill from a script: Enter leads from field to field and sends")),
    ("k", N_("correct an emergency, or end it with words")),
    ("p", N_("send a bulletin")),
    ("x", N_("stop a bulletin, or everything, in the unit under the cursor; end a stop")),
    ("?", N_("this help")),
    ("q", N_("quit")),
)


class HelpScreen(ModalScreen[None]):
    """Closed by the keys that open and leave other screens."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,question_mark,q,enter", "app.pop_screen", "")]

    def __init__(self, translate: Callable[[str], str]) -> None:
        super().__init__()
        self._translate = translate

    def compose(self) -> ComposeResult:
        keys = "\n".join(f"  {key:<7} {self._translate(text)}" for key, text in KEYS)
        signs = "\n".join(f"  {sign}  {self._translate(STATES[state])}" for state, sign in SIGNS.items())
        yield Static(f"{self._translate(N_('Keys'))}\n{keys}\n\n{self._translate(N_('Signs'))}\n{signs}", markup=False)
