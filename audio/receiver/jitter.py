"""The pages of one live session on this device's own time: what has come is kept until its instant.

All devices play a page at its ``play_at``; only one whose link is slower than that adds a delay of its own, which grows
at once when a page is late and shrinks in the programme's pauses. Nothing here knows sockets or threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from audio.receiver import opus
from audio.receiver.sound import BLOCK, PER_MS, energy

ROOM = 64
"""Pages kept: more than can be on their way."""
SLOWEST = 2_000
"""The delay (ms) that this device adds at most. A link that is slower is opened anew: what waits in it is old."""
MARGIN = 100
"""How much more (ms) than a page was late the delay grows."""
CALM = 30_000
"""So long (ms) no page has come with less to spare than EASY before the delay shrinks."""
EASY = 1_000
PAUSE = 10 ** (-45 / 10) * 32768**2 * BLOCK
"""Energy of a block below which nobody hears that it is left out: -45 dBFS."""
CONCEALED = 400 * PER_MS
"""Samples of a gap that the decoder makes up; a longer one is silence."""
LONGEST = 1_000 * PER_MS
"""Samples of the longest page: a frame of packets of one byte each would be hours of sound to decode at once."""
PREROLL = 200 * PER_MS
"""Samples decoded before the first that is heard: Opus needs 80 ms to sound as if decoded from the start."""
JOIN = 1_000
"""A session can be joined when its sound goes on within so many ms."""


@dataclass(frozen=True, slots=True)
class _Page:
    """``start``: 48 kHz samples since 1970 at which its sound is to be heard."""

    start: int
    end: int
    packets: Sequence[bytes]


class Jitter:
    """``header`` and ``add`` take pages in, ``block`` gives 20 ms of sound. ``delay`` (ms) is this device's own."""

    def __init__(self) -> None:
        self._decoder: opus.Decoder | None = None
        self._pages: deque[_Page] = deque()
        self._sound = bytearray()
        self._at = 0
        self._sounding = False
        self._tight = 0
        self.delay = 0

    def header(self, ogg: bytes) -> None:
        """A stream begins. Raises OpusError."""
        head = opus.packets(ogg)
        self._decoder = opus.Decoder(head[0] if head else b"")
        self._pages.clear()
        self._sound.clear()

    def add(self, ogg: bytes, play_at: int, now: int) -> bool:
        """Takes a page in; False when it is too late to be heard. Raises OpusError."""
        if self._decoder is None:
            return False
        packets = opus.packets(ogg)
        start = play_at * PER_MS - self._decoder.skip
        length = sum(map(opus.samples, packets))
        if length > LONGEST:
            raise opus.OpusError(f"a page of {length // PER_MS} ms")
        page = _Page(start, start + length, packets)
        spare = play_at + self.delay - now
        if spare < EASY:
            self._tight = now
        if spare < 0:
            if now - play_at + MARGIN > SLOWEST:
                return False
            self.delay = now - play_at + MARGIN
        if self._pages and page.start < self._pages[-1].end - BLOCK:
            self._pages.clear()  # the hub's clock was set back: what it says now counts
        self._pages.append(page)
        if len(self._pages) > ROOM:
            self._pages.popleft()
        return True

    def ready(self, at: int) -> bool:
        """Whether there is sound for ``at`` (Unix ms) or soon after."""
        wanted = (at - self.delay) * PER_MS
        return any(p.end > wanted and p.start < wanted + JOIN * PER_MS for p in self._pages)

    def block(self, at: int) -> bytes:
        """The 20 ms that sound at ``at``, or nothing while there are none. Raises OpusError."""
        wanted = (at - self.delay) * PER_MS
        if not self._sound:
            while len(self._pages) > 1 and self._pages[0].end < wanted - PREROLL:
                self._pages.popleft()
        while self._at + len(self._sound) // 2 < wanted + BLOCK and self._decode(wanted):
            pass
        block = self._take(wanted)
        self._sounding = bool(block)
        if block and self.delay and at - self._tight > CALM and energy(block) < PAUSE:
            self.delay = max(self.delay - BLOCK // PER_MS, 0)
        return block

    def _take(self, wanted: int) -> bytes:
        """What there is of ``[wanted, wanted + BLOCK)``; the rest of it is zeros."""
        lead, behind = max(self._at - wanted, 0), max(wanted - self._at, 0)
        used = behind + BLOCK - lead
        if used <= 0:
            return b""  # the delay has grown: this was heard already
        piece = bytes(self._sound[2 * behind : 2 * used])
        del self._sound[: 2 * used]
        self._at += used
        return (bytes(2 * lead) + piece).ljust(2 * BLOCK, b"\0") if piece else b""

    def _decode(self, wanted: int) -> bool:
        """Decodes the next page, or makes up for a lost one; False when there is nothing for now."""
        if not self._pages or self._decoder is None:
            return False
        page, end = self._pages[0], self._at + len(self._sound) // 2
        if self._sounding and 0 < page.start - end <= CONCEALED:
            self._sound += self._decoder.conceal(BLOCK)
            return True
        if page.start != end:
            if page.start >= wanted + BLOCK:
                return False
            self._sound.clear()
            self._at = page.start
        self._pages.popleft()
        for packet in page.packets:
            self._sound += self._decoder.decode(packet)
        return True
