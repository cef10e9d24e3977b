"""One source of a relay: a URL read by ffmpeg, as frames of 20 ms with their loudness.

What is ahead waits in a bounded buffer, and ffmpeg with it: the source's own clock and the network's moods end here.
"""

from __future__ import annotations

import array
import asyncio
import logging
import math
import random
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import ffmpeg as graphs

from audio import ffmpeg
from audio.live.feed import FRAME

log = logging.getLogger("loa.live")

RATE: Final = 48_000
SAMPLES: Final = RATE * FRAME // 1000
FRAME_BYTES: Final = SAMPLES * 2 * 2
"""Two channels of 16 bit: the sound, and the sound as BS.1770 weighs it."""
PREFILL: Final = 1_000 // FRAME
"""Frames that must wait before the first is given, and again after the buffer has run dry."""
MOST: Final = 6_000 // FRAME
"""Frames that may wait: an HLS segment comes at once."""
HANG: Final = 5.0
"""Seconds without a frame after which a connection is given up, although nobody has closed it."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0

PROTOCOLS: Final = "http,https,httpproxy,tcp,tls,crypto,rtp,udp"
"""No file: a playlist is somebody else's, and must not read what is on the hub."""
FORMATS: Final = f"{ffmpeg.FORMATS},hls,rtp,sdp"
NOTHING: Final = -120.0
"""LUFS of digital silence."""

# ITU-R BS.1770-5, annex 1, tables 1 and 2 (48 kHz): the head's effect, then the low end
_SHELF = {"b0": 1.53512485958697, "b1": -2.69169618940638, "b2": 1.19839281085285}
_SHELF |= {"a0": 1.0, "a1": -1.69065929318241, "a2": 0.73248077421585}
_HIGH_PASS = {"b0": 1.0, "b1": -2.0, "b2": 1.0, "a0": 1.0, "a1": -1.99004745483398, "a2": 0.99007225036621}


@dataclass(frozen=True, slots=True)
class Frame:
    """20 ms: 48 kHz mono samples (16 bit, native order), and their loudness in LUFS."""

    samples: array.array[int]
    loudness: float


def frame(data: bytes) -> Frame:
    """``FRAME_BYTES`` as they come from ffmpeg."""
    both = array.array("h", data)
    power = sum(s * s for s in both[1::2]) / SAMPLES / 32768**2
    return Frame(both[::2], 10 * math.log10(power) - 0.691 if power else NOTHING)


def command(url: str) -> list[str]:
    """ffmpeg that writes frames of the URL's sound to its stdout."""
    options: dict[str, Any] = {"protocol_whitelist": PROTOCOLS, "format_whitelist": FORMATS}
    options |= {"probesize": 65536, "analyzeduration": 1_000_000}
    if url.startswith("http"):
        options["rw_timeout"] = int(HANG * 1_000_000)
    return weighed(graphs.input(url, **options))


def weighed(sound: Any) -> list[str]:
    """ffmpeg that writes frames of an input node's sound to its stdout."""
    mono = sound.audio.filter("aresample", RATE)
    plain = mono.filter("aformat", sample_fmts="flt", channel_layouts="mono", sample_rates=RATE).filter_multi_output(
        "asplit"
    )
    heard = plain[1].filter("biquad", **_SHELF).filter("biquad", **_HIGH_PASS)
    both = graphs.filter([plain[0], heard], "join", inputs=2, channel_layout="stereo")
    return ffmpeg.command(both.output("pipe:1", format="s16le", acodec="pcm_s16le"), level="warning")


class Source:
    """``run`` keeps it connected until cancelled; ``take`` is called each 20 ms. ``reason``: why it was lost last."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._frames: deque[bytes] = deque()
        self._filling = True
        self._room = asyncio.Event()
        self.reason = ""

    def take(self) -> Frame | None:
        """The next frame, or None while there is none."""
        if not self._frames:
            self._filling = True
        if self._filling and len(self._frames) < PREFILL:
            return None
        self._filling = False
        self._room.set()
        return frame(self._frames.popleft())

    async def run(self) -> None:
        """Read the source, again and again, at growing intervals while nothing comes."""
        pause = FIRST_PAUSE
        while True:
            if await self._read():
                pause = FIRST_PAUSE
            await asyncio.sleep(random.SystemRandom().uniform(pause / 2, pause))
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _read(self) -> bool:
        """One connection until it ends; whether anything came."""
        came, before = False, self.reason
        try:
            async with ffmpeg.stream(command(self._url)) as running:
                try:
                    while True:
                        async with asyncio.timeout(HANG):
                            data = await running.stdout.readexactly(FRAME_BYTES)
                        came = True
                        await self._put(data)
                except TimeoutError:
                    self.reason = "nothing comes"
                except asyncio.IncompleteReadError:
                    self.reason = await running.end()
        except OSError as error:
            self.reason = f"ffmpeg: {error.strerror}"
        if came or self.reason != before:
            log.warning("a source of a relay was lost: %s", self.reason)
        return came

    async def _put(self, data: bytes) -> None:
        self._frames.append(data)
        while len(self._frames) >= MOST:
            self._room.clear()
            await self._room.wait()
