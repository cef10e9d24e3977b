"""What a bulletin will sound like, before anybody hands it in: made as it would be aired, and not kept."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from audio import bulletin as rules
from audio import speech
from audio.library import Library
from audio.refusals import refuse as unknown
from audio.saying import Said
from audio.sounds import sound_of
from inventory.model import TIMEZONE, Network
from tui import methods as m
from tui.answers import audio_file, draft_of
from tui.hub import Caller, Handler, refuse
from tui.sound_methods import SOUND, Sound


class SoundService:
    """Makes sounds for whoever may hand them in."""

    def __init__(self, network: Callable[[], Network], clock: Callable[[], datetime], library: Library) -> None:
        self._network = network
        self._clock = clock
        self._library = library

    def handlers(self) -> dict[str, Handler]:
        return {SOUND.name: Handler(SOUND, answer=self.sound)}

    async def sound(self, caller: Caller, push: m.Push) -> Sound:
        network, now = self._network(), self._clock()
        with tempfile.TemporaryDirectory(prefix="loa-sound-") as folder:
            draft = draft_of(network, caller, push, audio_file(push.audio, push.audio_name, Path(folder)))
            problems = rules.checks(network, network.on(now.astimezone(TIMEZONE).date()), draft, now)
            if problems or draft.live:
                raise refuse(problems or (unknown("BUL097"),))
            library = self._library.apart(Path(folder) / "content")
            content = await sound_of(library, draft)
            if isinstance(content, tuple):
                raise refuse(content)
            data = base64.b64encode(library.read(content.sha)).decode()
            return Sound(data, content.duration_ms, content.lufs, content.source)


def spoken(text: str) -> tuple[str, tuple[m.Problem, ...]]:
    """What a text will be read as, and what its author and approver should look at; nothing for no text.

    Why a text cannot be spoken at all is told when it is handed in.
    """
    said = speech.spoken(text)
    return (said.text, refuse(said.warnings).problems) if isinstance(said, Said) else ("", ())
