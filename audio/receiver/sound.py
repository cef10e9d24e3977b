"""What is sent to the output: 48 kHz mono, 16 bit little endian, in blocks of 20 ms, exact to the sample."""

from __future__ import annotations

import array
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import av

RATE = 48_000
PER_MS = RATE // 1000
BLOCK = 20 * PER_MS
"""Samples in 20 ms."""
SEEK_FROM = 10 * RATE
"""Offsets up to this are decoded and discarded; past it the file is sought."""
PREROLL = RATE
"""Decoded and discarded after a seek: Opus needs 80 ms to sound as if it had been decoded from the start."""

LOW, HIGH = 600, 1200
"""The siren's two tones in Hz; it glides from one to the other and back in two seconds."""
SIREN_LEVEL = 0.5

TONE_HZ = 1000
TONE_LEVEL = 0.5
FADE = RATE // 10
"""Samples in which the test tone rises and falls: a horn's driver and a hamlet are spared the click."""


class SoundError(Exception):
    """The file holds no sound that can be decoded."""


@dataclass(frozen=True, slots=True)
class Round:
    """A siren of ``siren`` ms, then ``times`` times exactly ``duration`` ms of ``content``; from ``offset`` ms on."""

    content: Path
    duration: int
    siren: int = 0
    times: int = 1
    offset: int = 0
    volume: int = 100


@dataclass(frozen=True, slots=True)
class Tone:
    """The device's own test tone of ``duration`` ms."""

    duration: int
    volume: int = 100


def tone(ms: int) -> bytes:
    """1 kHz at full volume, that fades in and out."""
    wave = [TONE_LEVEL * 32767 * math.sin(2 * math.pi * TONE_HZ * n / RATE) for n in range(ms * PER_MS)]
    fade = min(FADE, len(wave) // 2)
    for n in range(fade):
        gain = (1 - math.cos(math.pi * n / fade)) / 2
        wave[n] *= gain
        wave[-1 - n] *= gain
    return array.array("h", map(round, wave)).tobytes()


def siren(ms: int) -> bytes:
    """The siren's first ``ms`` milliseconds at full volume: the same on every device."""
    period = _siren_period()
    size = ms * PER_MS * 2
    return (period * (size // len(period) + 1))[:size]


@functools.cache
def _siren_period() -> bytes:
    """One glide up and down; the phase closes on itself (1800 whole waves), so that periods join without a click."""
    half = RATE
    slope = (HIGH - LOW) / 2 / half**2
    up = [LOW * n / half + slope * n * n for n in range(half)]
    down = [(LOW + HIGH) / 2 + HIGH * n / half - slope * n * n for n in range(half)]
    peak = SIREN_LEVEL * 32767
    return array.array("h", (round(peak * math.sin(2 * math.pi * wave)) for wave in chain(up, down))).tobytes()


def warm_up() -> None:
    """Does now what the first sound would otherwise wait for."""
    import av  # here: 50 ms and 10 MB that the start does not wait for

    av.codec.Codec("opus", "r")
    _siren_period()


def blocks(what: Round | Tone) -> Iterator[bytes]:
    """The blocks of a round or tone; only the last may be shorter than 20 ms. Raises SoundError before the first."""
    pending = bytearray()
    size = 2 * BLOCK
    for piece in _pieces(what):
        pending += piece
        while len(pending) >= size:
            yield _quieter(bytes(pending[:size]), what.volume)
            del pending[:size]
    if pending:
        yield _quieter(bytes(pending), what.volume)


def primed(source: Iterator[bytes]) -> Iterator[bytes]:
    """The same blocks, the first of them ready: what could fail on opening has failed here."""
    first = next(source, b"")
    return chain((first,), source) if first else iter(())


def _pieces(what: Round | Tone) -> Iterator[bytes]:
    if isinstance(what, Tone):
        yield tone(what.duration)
        return
    if what.offset < what.siren:
        yield siren(what.siren)[what.offset * PER_MS * 2 :]
    said = max(what.offset - what.siren, 0)
    for number in range(said // what.duration, what.times):
        start = max(said - number * what.duration, 0)
        yield from _exactly((what.duration - start) * PER_MS * 2, decode(what.content, start * PER_MS))


def _exactly(size: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """``size`` bytes: cut, or filled with silence."""
    for piece in pieces:
        yield piece[:size]
        size -= len(piece)
        if size <= 0:
            return
    yield bytes(size)


def decode(path: Path, start: int) -> Iterator[bytes]:
    """The sound of ``path`` from sample ``start`` (of 48 kHz) on. Raises SoundError where there is none."""
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise SoundError(f"{path.name}: no audio")
            yield from _decoded(container, start)
    except (av.FFmpegError, OSError) as error:
        raise SoundError(f"{path.name}: {error}") from None


def _decoded(container: av.container.InputContainer, start: int) -> Iterator[bytes]:
    import av

    stream = container.streams.audio[0]
    if start > SEEK_FROM:
        container.seek(int((start - PREROLL) / RATE * 1_000_000))
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    skip: int | None = None
    for frame in chain(container.decode(stream), (None,)):
        if skip is None:
            skip = start - round((frame.time or 0) * RATE) if frame is not None and start > SEEK_FROM else start
        for out in resampler.resample(frame):
            sound = bytes(out.planes[0])[skip * 2 : out.samples * 2]
            skip = max(skip - out.samples, 0)
            if sound:
                yield sound


def _quieter(block: bytes, volume: int) -> bytes:
    if volume >= 100:
        return block
    gain = volume * 32768 // 100
    return array.array("h", [sample * gain >> 15 for sample in array.array("h", block)]).tobytes()


def energy(block: bytes) -> int:
    """The sum of squares of a block's samples."""
    return sum(sample * sample for sample in array.array("h", block))
