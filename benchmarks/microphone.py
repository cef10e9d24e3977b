"""Who speaks into the live benchmark's microphone, and where its pages go that nobody is to get."""

from __future__ import annotations

import array
import asyncio
import contextlib
import itertools
import math
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from audio.live.encode import PACKETS
from audio.live.feed import FRAME
from audio.live.microphone import Microphone
from audio.live.session import Line, Public, Session, Signer
from audio.live.source import RATE, SAMPLES, Frame
from tests.audio.live_kit import running
from tests.audio.receiver_kit import Kit

NAME: Final = "bench"
"""The session's."""


def programme() -> list[array.array[int]]:
    """One second in 20 ms each: a click of 4 ms in faint noise."""
    noise = random.Random(7)
    samples = [round(noise.gauss(0, 300)) for _ in range(RATE)]
    samples[:192] = [round(16_000 * math.sin(2 * math.pi * n / 48)) for n in range(192)]
    return [array.array("h", samples[at : at + SAMPLES]) for at in range(0, RATE, SAMPLES)]


@dataclass(frozen=True, slots=True)
class Page:
    """When (``time.monotonic``) its first sample was spoken, and when the session took it for its next page. Of a page
    without sound nothing was spoken ever: ``spoken`` is -inf.
    """

    spoken: float
    taken: float


class Speaker:
    """Somebody who speaks into the hub's microphone from the session's beginning on: a frame comes once its 20 ms have
    been spoken. A ``Sounding``. ``missing``: frames that a page had to do without.
    """

    def __init__(self, sound: Sequence[array.array[int]]) -> None:
        # both channels of a speaker's frames: the sound, and what its loudness is measured by
        self._sound = [array.array("h", [s for sample in piece for s in (sample, sample)]).tobytes() for piece in sound]
        self._microphone = Microphone()
        self._began = -math.inf
        self._said = 0
        self._taken = 0
        self.pages: list[Page] = []
        self.missing = 0

    @property
    def dropped(self) -> int:
        """Frames that had waited too long."""
        return self._microphone.dropped

    async def run(self) -> None:
        self._began = time.monotonic()
        for number in itertools.count():
            await asyncio.sleep(self._spoken(number + 1) - time.monotonic())
            self._microphone.put(self._sound[number % len(self._sound)])
            self._said = number + 1

    def _spoken(self, number: int) -> float:
        """When the first sample of this frame is spoken."""
        return self._began + number * FRAME / 1000

    def take(self) -> Frame | None:
        oldest, frame = self._said - self._microphone.waiting // FRAME, self._microphone.take()
        if self._taken % PACKETS == 0:
            self.pages.append(Page(-math.inf if frame is None else self._spoken(oldest), time.monotonic()))
        self._taken += 1
        self.missing += frame is None
        return frame


class Nobody:
    """Where pages go that nobody gets (a ``Line`` and a ``Public``)."""

    def begin(self, topic: str, header: bytes) -> None: ...

    def page(self, topic: str, frame: bytes) -> None: ...

    def end(self, topic: str) -> None: ...


@contextlib.asynccontextmanager
async def on_air(kit: Kit, line: Line, public: Public) -> AsyncIterator[Speaker]:
    """A session with a microphone."""
    speaker = Speaker(programme())
    signer = Signer(kit.hub.key, kit.hub.kid)
    session = Session(NAME, [speaker], signer, line, public, lambda: datetime.now(UTC), pauses=True)
    async with running(session.run()):
        yield speaker
