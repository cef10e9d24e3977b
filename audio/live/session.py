"""One live session: its sources, the one that is on the air, one encode, signed pages at their exact times."""

from __future__ import annotations

import array
import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audio.envelope import VERSION, Header, LivePage, live_topic, next_sequence, pack_page, seal
from audio.live.encode import PAGE, Encoder
from audio.live.feed import FRAME, Fault, Feed, Gain
from audio.live.source import SAMPLES, Frame
from audio.timetable import DAY
from audio.trust import HUB
from nms.moments import to_milliseconds

log = logging.getLogger("loa.live")

DELAY: Final = 2_000
"""Milliseconds from a page's making to its sounding: what a mobile link may take without being heard."""
FRESH: Final = 5_000
"""Milliseconds after its time for which a page is valid: nobody can have yesterday's news played today."""
STEPPED: Final = 200
"""The wall clock may differ from the pace (ms) by so much before the pages follow it."""
LATE: Final = 2_000
"""Pages that should have been made so long ago (ms) are left out."""
_SILENCE: Final = array.array("h", bytes(2 * SAMPLES))


class Sounding(Protocol):
    """What a session takes its sound from; see ``source.Source`` and ``microphone.Microphone``."""

    def take(self) -> Frame | None: ...

    async def run(self) -> None: ...


class Line(Protocol):
    """Where pages go; see ``wire.Wire``."""

    def begin(self, topic: str, header: bytes) -> None: ...

    def page(self, topic: str, frame: bytes) -> None: ...

    def end(self, topic: str) -> None: ...


class Public(Protocol):
    """Listeners that are no devices; see ``listeners.Listeners``."""

    def begin(self, session: str, header: bytes) -> None: ...

    def page(self, session: str, ogg: bytes) -> None: ...

    def end(self, session: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Signer:
    key: Ed25519PrivateKey
    kid: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a session since when: it is ``lost``, or on another than its first source because of that."""

    fault: Fault
    since: datetime
    lost: bool


class Mixer:
    """Takes a frame from each source and gives the one to be heard, with its gain in dB."""

    def __init__(self, sources: int) -> None:
        self.feed = Feed.of(sources)
        self._gains = [Gain()] * sources

    def step(self, frames: Sequence[Frame | None]) -> tuple[array.array[int], float]:
        self.feed = self.feed.step([None if f is None else f.loudness for f in frames])
        self._gains = [g if f is None else g.after(f.loudness) for g, f in zip(self._gains, frames, strict=True)]
        on_air = self.feed.on_air
        chosen = frames[on_air] if frames else None
        return (_SILENCE, 0.0) if chosen is None else (chosen.samples, self._gains[on_air].db)


class Session:
    """``run`` is on the air until cancelled. ``trouble``: what somebody should look after; None while all is well.

    ``pauses``: its silence is nobody's trouble.
    """

    def __init__(
        self,
        name: str,
        sources: Sequence[Sounding],
        signer: Signer,
        line: Line,
        public: Public,
        clock: Callable[[], datetime],
        *,
        pauses: bool = False,
    ) -> None:
        self._name = name
        self._topic = live_topic(name)
        self._sources = sources
        self._signer = signer
        self._line = line
        self._public = public
        self._clock = clock
        self._pauses = pauses
        self._mixer = Mixer(len(sources))
        self._sequence = 0
        self._number = 0
        self.trouble: Trouble | None = None

    @property
    def on_air(self) -> int:
        """The number of the source that is heard."""
        return self._mixer.feed.on_air

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for source in self._sources:
                group.create_task(source.run())
            group.create_task(self._pump())

    async def _pump(self) -> None:
        encoder = Encoder()
        now = to_milliseconds(self._clock())
        self._line.begin(self._topic, self._sealed(LivePage(now, 0, encoder.header), now, now + DAY))
        self._public.begin(self._name, encoder.header)
        try:
            await self._pages(encoder)
        finally:
            self._line.end(self._topic)
            self._public.end(self._name)

    async def _pages(self, encoder: Encoder) -> None:
        """A page each 200 ms of the monotonic clock; their times follow the wall clock where that is set."""
        loop = asyncio.get_running_loop()
        due, at = loop.time(), to_milliseconds(self._clock())
        while True:
            await asyncio.sleep(max(due - loop.time(), 0))
            now, behind = to_milliseconds(self._clock()), (loop.time() - due) * 1000
            if behind > LATE:
                due, at = loop.time(), now
            elif abs(now - behind - at) > STEPPED:
                at = now - round(behind)
            page = self._page(encoder)
            self._number += 1
            body = LivePage(at + DELAY, self._number, page)
            self._line.page(self._topic, self._sealed(body, now, body.play_at + FRESH))
            self._public.page(self._name, page)
            self._look()
            due, at = due + PAGE / 1000, at + PAGE

    def _page(self, encoder: Encoder) -> bytes:
        for _ in range(PAGE // FRAME):
            frames = [source.take() for source in self._sources]
            page = encoder.add(*self._mixer.step(frames))
        assert page is not None
        return page

    def _sealed(self, page: LivePage, now: int, expires: int) -> bytes:
        self._sequence = next_sequence(self._sequence, now)
        header = Header(VERSION, self._signer.kid, HUB, self._topic, self._sequence, now, now, expires)
        return seal(header, pack_page(page), self._signer.key)

    def _look(self) -> None:
        """What has become of the sources with this page."""
        feed = self._mixer.feed
        if self._pauses or (not feed.fault and not feed.on_air):
            if self.trouble is not None:
                log.info("%s is well again", self._name)
            self.trouble = None
            return
        # the first source's fault is over for a while before it is taken back
        known = self.trouble.fault if self.trouble is not None else Fault.STALLED
        fault = feed.fault or (feed.healths[0].fault or known)
        lost = bool(feed.fault)
        if self.trouble is None or self.trouble.lost != lost:
            log.warning("%s: %s, source %d is on the air", self._name, fault, feed.on_air)
            self.trouble = Trouble(fault, self._clock(), lost)
