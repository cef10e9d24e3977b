"""What the hub does while somebody speaks: takes the frames, says when they are heard, ends what was ended early."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from typing import Final

from audio.live.encode import PAGE
from audio.live.feed import FRAME
from audio.live.microphone import MOST, Microphone, Microphones
from audio.live.session import DELAY
from audio.live.source import FRAME_BYTES
from audio.microphones import Speech, Speeches
from audio.refusals import refuse as unknown
from inventory.model import Person
from nms.moments import to_milliseconds
from nms.store import StoreError
from tui.answers import done
from tui.hub import Caller, Handler, refuse
from tui.live_methods import END, LENGTH, SPEAK, Phase, Speak, Speaking

log = logging.getLogger("loa.live")

EVERY: Final = 1.0
"""Seconds between two looks at whether the speech is still planned as it was."""
LAST_WORDS: Final = (DELAY + PAGE + MOST * FRAME) / 1000 + 0.5
"""Seconds until loudspeakers have sounded what was said last."""


class LiveService:
    """Lets one person at a time speak in a live bulletin."""

    def __init__(self, speeches: Speeches, microphones: Microphones, clock: Callable[[], datetime]) -> None:
        self._speeches = speeches
        self._microphones = microphones
        self._clock = clock

    def handlers(self) -> dict[str, Handler]:
        return {SPEAK.name: Handler(SPEAK, talk=self.speak)}

    async def speak(
        self, caller: Caller, params: Speak, reader: asyncio.StreamReader
    ) -> AsyncGenerator[Speaking, None]:
        """Where the speech is, whenever that changes, until it is over or the speaker has gone."""
        person = caller.known()
        speech: Speech = done(await self._speeches.look(person, params.bulletin))
        microphone = self._microphones.of(speech.session)
        if microphone.speaker:
            raise refuse((unknown("BUL096", person=microphone.speaker, title=speech.title),))
        microphone.speaker = person.name
        listening = asyncio.create_task(_listen(reader, microphone))
        try:
            await self._speeches.note(person, params.bulletin, caller.uid)
            last = speech
            async with aclosing(self._follow(person, speech, listening)) as news:
                async for last in news:
                    yield self._told(last)
            if not listening.done() or listening.result():
                yield await self._ended(person, last, caller.uid, early=listening.done())
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            microphone.clear()
            microphone.speaker = ""

    async def _follow(
        self, person: Person, speech: Speech, listening: asyncio.Task[bool]
    ) -> AsyncGenerator[Speech, None]:
        """The speech, anew whenever there is news of it, until it is over or nobody speaks any more."""
        told: Speaking | None = None
        while True:
            news = self._told(speech)
            if news.phase is Phase.OVER:
                return
            if news != told:
                yield speech
                told = news
            begins = (speech.start - DELAY - self._now()) / 1000
            await asyncio.wait([listening], timeout=min(EVERY, begins) if begins > 0 else EVERY)
            if listening.done():
                return
            try:
                found = await self._speeches.look(person, speech.bulletin)
            except StoreError as error:
                log.warning("whether a speech goes on is not known: %s", error)
                continue
            if not isinstance(found, Speech):
                return
            speech = found

    async def _ended(self, person: Person, speech: Speech, uid: int, *, early: bool) -> Speaking:
        """The end of a speech, told once what was said last has sounded."""
        phase = Phase.OVER
        if early and self._told(speech).phase is Phase.WAITING:
            phase = Phase.LEFT
        elif early:
            await asyncio.sleep(LAST_WORDS)
            # a refusal says that it is over already
            await self._speeches.end(person, speech.bulletin, uid)
        return Speaking(phase, speech.title, speech.start, speech.until, DELAY)

    def _told(self, speech: Speech) -> Speaking:
        heard = self._now() + DELAY
        begun = Phase.ON_AIR if heard >= speech.start else Phase.WAITING
        phase = Phase.OVER if heard >= speech.until else begun
        return Speaking(phase, speech.title, speech.start, speech.until, DELAY)

    def _now(self) -> int:
        return to_milliseconds(self._clock())


async def _listen(reader: asyncio.StreamReader, microphone: Microphone) -> bool:
    """Takes frames until there are no more: True when the speaker has ended, False when the line was lost."""
    try:
        while length := int.from_bytes(await reader.readexactly(LENGTH), "big"):
            if length != FRAME_BYTES:
                log.warning("a speaker sent %d bytes for a frame of %d", length, FRAME_BYTES)
                return False
            microphone.put(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return False
    assert length == END
    return True
