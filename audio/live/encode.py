"""One encode for all who listen: gain, limiter, Opus, pages of 200 ms. In this process: a page costs 4 ms of it."""

from __future__ import annotations

import array
import secrets
from fractions import Fraction
from typing import Final

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.filter import Graph

from audio.live import ogg
from audio.live.feed import FRAME
from audio.live.source import RATE, SAMPLES

BITRATE: Final = 24_000
PACKETS: Final = 10
"""Packets in one page."""
PAGE: Final = PACKETS * FRAME
"""Milliseconds in one page."""
CEILING: Final = -2.0
"""dBFS that no sample exceeds: Opus adds up to a decibel."""
_TICK = Fraction(1, RATE)


class Encoder:
    """Frames in, whole Ogg pages out, without a file's end: it goes on for as long as it is fed."""

    def __init__(self) -> None:
        self._limiter = _limiter()
        self._opus = _opus()
        self._serial = secrets.randbits(32)
        self._at = 0
        self._packets: list[bytes] = []
        self._number = 2
        self.header = ogg.header(self._serial, self._opus.extradata or b"")

    def add(self, samples: array.array[int], gain: float) -> bytes | None:
        """The page that 20 ms of 16-bit samples complete, made louder by ``gain`` dB; None while it is not full."""
        factor = 10 ** (gain / 20) / 32768
        frame = AudioFrame(format="flt", layout="mono", samples=SAMPLES)
        frame.planes[0].update(array.array("f", [sample * factor for sample in samples]).tobytes())
        frame.sample_rate, frame.time_base, frame.pts = RATE, _TICK, self._at
        self._limiter.push(frame)
        limited = self._limiter.pull()
        assert isinstance(limited, AudioFrame)
        limited.time_base, limited.pts = _TICK, self._at
        self._at += SAMPLES
        self._packets += [bytes(packet) for packet in self._opus.encode(limited)]
        if len(self._packets) < PACKETS:
            return None
        page = ogg.page(self._serial, self._number, self._at, self._packets)
        self._packets, self._number = [], self._number + 1
        return page


def _limiter() -> Graph:
    graph = Graph()
    nodes = (
        graph.add_abuffer(format="flt", sample_rate=RATE, layout="mono", time_base=_TICK),
        graph.add("alimiter", f"limit={10 ** (CEILING / 20):.6f}:level=false"),
        graph.add("aformat", f"sample_fmts=flt:channel_layouts=mono:sample_rates={RATE}"),
        graph.add("abuffersink"),
    )
    graph.link_nodes(*nodes).configure()
    return graph


def _opus() -> AudioCodecContext:
    context = av.CodecContext.create("libopus", "w")
    assert isinstance(context, AudioCodecContext)
    context.sample_rate, context.format, context.bit_rate = RATE, av.AudioFormat("flt"), BITRATE
    context.layout = "mono"
    context.time_base = _TICK
    # what a SIM pays for is known beforehand: no passage takes more than its share
    context.options = {"frame_duration": str(FRAME), "application": "audio", "vbr": "constrained"}
    context.open()
    return context
