"""Speaking in a live bulletin: sound from a card or a pipe to the hub, frame by frame, until the window is over.

ffmpeg runs in the speaker's own process, whose rights to the sound card are the speaker's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import ffmpeg as graphs

from audio import ffmpeg
from audio.faults import fault
from audio.live.feed import FRAME
from audio.live.source import FRAME_BYTES, NOTHING, frame, weighed
from inventory.diagnostics import Diagnostic
from tui.gateway import HubError, SocketGateway
from tui.live_methods import SPEAK, Phase, Speak, Speaking, framed

PIPE: Final = "-"
"""The input that stands for what comes on stdin."""
AGAIN: Final = 0.5
"""Seconds until the hub is looked for again."""
BEHIND: Final = 10 * FRAME_BYTES
"""Bytes that may wait for the hub; what is said meanwhile is lost."""
LOOK: Final = 5
"""Frames of which the loudest shows in the level."""
STDIN: Final = {True: (None,), False: ()}
"""What ffmpeg is given as its stdin for a pipe, and for a card."""
LOST: Final = ("CFG101", "CFG103")
"""The hub is away: not running, or gone before it answered."""


class NoSound(Exception):
    """The input gives nothing, or nothing any more."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.text())
        self.diagnostic = diagnostic


@dataclass(frozen=True, slots=True)
class Input:
    """Where sound comes from: an ALSA device's name (``default``, ``plughw:1,0``: one that converts), or ``PIPE``.

    A card sets the pace itself and is open all the time, so that its level shows beforehand. A pipe is read from the
    beginning of the window on, at the pace of the sound in it.
    """

    name: str

    @property
    def piped(self) -> bool:
        return self.name == PIPE

    @property
    def command(self) -> list[str]:
        if self.piped:
            limits = {"protocol_whitelist": "pipe", "format_whitelist": ffmpeg.FORMATS}
            return weighed(graphs.input("pipe:0", **limits))
        return weighed(graphs.input(self.name, format="alsa"))


Told = Callable[[Speaking | None], None]
"""Hears where the speech is; None when the hub is away and is looked for."""
Level = Callable[[float], None]
"""Hears how loud it is (LUFS), ten times a second."""


class Speaker:
    """``run`` speaks until the window is over, the sound is, or ``end`` was called."""

    def __init__(self, gateway: SocketGateway, bulletin: str, source: Input, told: Told, level: Level) -> None:
        self._gateway = gateway
        self._bulletin = bulletin
        self._source = source
        self._told = told
        self._level = level
        self._writer: asyncio.StreamWriter | None = None
        self._on_air = asyncio.Event()
        self._said_all = asyncio.Event()

    def end(self) -> None:
        """All is said: the hub ends the window early, if it has begun."""
        self._said_all.set()
        self._send(b"")

    async def run(self) -> Speaking:
        """How it ended. Raises HubError, NoSound."""
        following = asyncio.create_task(self._follow())
        sounding = asyncio.create_task(self._sound())
        ending = asyncio.create_task(self._said_all.wait())
        try:
            await asyncio.wait((following, sounding, ending), return_when=asyncio.FIRST_COMPLETED)
            if sounding.done() and not following.done():
                sounding.result()
                self.end()
            await _ended(sounding)
            return await following
        finally:
            await _ended(following, sounding, ending)

    async def _follow(self) -> Speaking:
        """Keep the connection for as long as the window lasts."""
        last: Speaking | None = None
        while True:
            try:
                question = self._gateway.talk(SPEAK, Speak(self._bulletin), self._given)
                async with aclosing(question) as answers:
                    async for last in answers:
                        if last.phase in (Phase.OVER, Phase.LEFT):
                            return last
                        self._tell(last)
            except HubError as error:
                if last is None or any(problem.code not in LOST for problem in error.problems):
                    raise
            self._writer = None
            self._told(None)
            await asyncio.sleep(AGAIN)

    def _tell(self, speaking: Speaking) -> None:
        if speaking.phase is Phase.ON_AIR:
            self._on_air.set()
        self._told(speaking)

    def _given(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        if self._said_all.is_set():
            self._send(b"")

    def _send(self, data: bytes) -> None:
        writer = self._writer
        if writer is None or writer.is_closing():
            return
        if not data or writer.transport.get_write_buffer_size() < BEHIND:
            writer.write(framed(data))

    async def _sound(self) -> None:
        """The input's sound to the hub, until there is no more of it. Raises NoSound."""
        if self._source.piped:
            await self._on_air.wait()
        try:
            async with ffmpeg.stream(self._source.command, *STDIN[self._source.piped]) as running:
                if not await self._frames(running.stdout) or not self._source.piped:
                    raise self._nothing(await running.end())
        except OSError as error:
            raise self._nothing(f"ffmpeg: {error.strerror}") from None

    async def _frames(self, sound: asyncio.StreamReader) -> int:
        """How many frames came until the sound's end."""
        loop, count, loudest = asyncio.get_running_loop(), 0, NOTHING
        begun = 0.0
        while True:
            try:
                data = await sound.readexactly(FRAME_BYTES)
            except asyncio.IncompleteReadError:
                return count
            begun = begun or loop.time()
            if self._source.piped:
                await asyncio.sleep(begun + count * FRAME / 1000 - loop.time())
            self._send(data)
            count, loudest = count + 1, max(loudest, frame(data).loudness)
            if count % LOOK == 0:
                self._level(loudest)
                loudest = NOTHING

    def _nothing(self, reason: str) -> NoSound:
        return NoSound(fault("AUD020", self._source.name, input=self._source.name, reason=reason))


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancels them, once: a second time would take a program's end from who waits for it."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
