"""A microphone as a session's source: frames that a speaker's own process sends, as they come.

What is said now is worth more than what was said before: little waits here, and the oldest goes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final
from weakref import WeakValueDictionary

from audio.live.feed import FRAME
from audio.live.source import Frame, frame

PREFILL: Final = 260 // FRAME
"""So many frames must wait before the first is given, and again after the buffer has run dry; no more then do. A page
takes 200 ms at once, the rest is for the moods of the way here.
"""
MOST: Final = 340 // FRAME
"""Frames that may wait; beyond that the oldest are left out."""


class Microphone:
    """``put`` is called for each frame that comes; ``take`` and ``run`` as of ``source.Source``.

    ``speaker``: who is at it, empty while nobody is. ``dropped`` counts frames that were left out.
    """

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self._filling = True
        self.speaker = ""
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Milliseconds of sound that wait here."""
        return len(self._frames) * FRAME

    def put(self, data: bytes) -> None:
        """One frame of ``FRAME_BYTES``."""
        self._frames.append(data)
        self._leave(MOST)

    def _leave(self, count: int) -> None:
        while len(self._frames) > count:
            self._frames.popleft()
            self.dropped += 1

    def clear(self) -> None:
        """Nothing of what waits is to be heard."""
        self._frames.clear()

    def take(self) -> Frame | None:
        """The next frame, or None while there is none."""
        if not self._frames:
            self._filling = True
        if self._filling and len(self._frames) < PREFILL:
            return None
        if self._filling:
            self._leave(PREFILL)
        self._filling = False
        return frame(self._frames.popleft())

    async def run(self) -> None:
        """Until cancelled: frames come by themselves."""
        await asyncio.Event().wait()


class Microphones:
    """The microphone of each live session, for as long as somebody has to do with it."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[str, Microphone] = WeakValueDictionary()

    def of(self, session: str) -> Microphone:
        found = self._known.get(session)
        if found is None:
            found = self._known[session] = Microphone()
        return found
