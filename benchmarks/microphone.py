"""What the live benchmark's session has for a source, and where its pages go that nobody is to get."""

from __future__ import annotations

import array
import asyncio
import contextlib
import math
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from audio.live.encode import PACKETS, PAGE
from audio.live.feed import FRAME
from audio.live.session import Line, Public, Session, Signer
from audio.live.source import RATE, SAMPLES, Frame, Source
from tests.audio.live_kit import running
from tests.audio.receiver_kit import Kit

NAME: Final = "bench"
"""The session's."""


def programme() -> list[Frame]:
    """One second in frames of 20 ms: a click of 4 ms in faint noise."""
    noise = random.Random(7)
    samples = [round(noise.gauss(0, 300)) for _ in range(RATE)]
    samples[:192] = [round(16_000 * math.sin(2 * math.pi * n / 48)) for n in range(192)]
    pieces = [array.array("h", samples[at : at + SAMPLES]) for at in range(0, RATE, SAMPLES)]
    return [Frame(piece, 10 * math.log10(sum(s * s for s in piece) / SAMPLES / 32768**2)) for piece in pieces]


@dataclass(frozen=True, slots=True)
class Page:
    """When (``time.monotonic``) its first sample was spoken, and when the session took it for its next page."""

    spoken: float
    taken: float


class Microphone(Source):
    """An open microphone: a frame can be taken once its 20 ms have been spoken."""

    AHEAD: Final = (PAGE + FRAME) / 1000
    """Seconds that have been spoken when the first frame is taken: a page, and a frame to spare."""
    MOST: Final = 2.0
    """Seconds that it keeps; it begins anew when they are more."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        super().__init__("")
        self._said = frames
        self._taken = 0
        self._began = -math.inf
        self.pages: list[Page] = []

    async def run(self) -> None:
        await asyncio.Event().wait()

    def take(self) -> Frame | None:
        now, number = time.monotonic(), self._taken
        if not FRAME / 1000 <= now - self._began - number * FRAME / 1000 <= self.MOST:
            self._began = now - self.AHEAD - number * FRAME / 1000
        if number % PACKETS == 0:
            self.pages.append(Page(self._began + number * FRAME / 1000, now))
        self._taken += 1
        return self._said[number % len(self._said)]


class Nobody:
    """Where pages go that nobody gets (a ``Line`` and a ``Public``)."""

    def begin(self, topic: str, header: bytes) -> None: ...

    def page(self, topic: str, frame: bytes) -> None: ...

    def end(self, topic: str) -> None: ...


@contextlib.asynccontextmanager
async def on_air(kit: Kit, line: Line, public: Public) -> AsyncIterator[Microphone]:
    """A session with a microphone."""
    microphone = Microphone(programme())
    signer = Signer(kit.hub.key, kit.hub.kid)
    session = Session(NAME, [microphone], signer, line, public, lambda: datetime.now(UTC))
    async with running(session.run()):
        yield microphone
