"""What is sent to the output: 48 kHz mono, 16 bit little endian, in blocks of 20 ms, exact to the sample."""

from __future__ import annotations

import array
import functools
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from audio.receiver import opus

RATE = opus.RATE
PER_MS = RATE // 1000
BLOCK = 20 * PER_MS
"""Samples in 20 ms."""
LOW, HIGH = 600, 1200
"""The siren's two tones in Hz; it glides from one to the other and back in two seconds."""
SIREN_LEVEL = 0.5

CHIME = 500
CHIME_HIGH, CHIME_LOW = 880, 660
"""A drill's two tones in Hz, each this many ms long."""
TONE_HZ = 1000
TONE_LEVEL = 0.5
FADE = RATE // 10
"""Samples in which the test tone rises and falls: a horn's driver and a hamlet are spared the click."""


class SoundError(Exception):
    """The file holds no sound that can be decoded."""


@dataclass(frozen=True, slots=True)
class Round:
    """A siren of ``siren`` ms, then ``times`` times all that is ``said``; from ``offset`` ms on.

    ``said``: each sound with exactly so many ms of it, the message in one language after the other; nothing of it where
    none is here. A ``drill`` begins with a chime in place of the siren.
    """

    said: tuple[tuple[Path, int], ...]
    siren: int = 0
    times: int = 1
    offset: int = 0
    volume: int = 100
    drill: bool = False


@dataclass(frozen=True, slots=True)
class Tone:
    """The device's own test tone of ``duration`` ms."""

    duration: int
    volume: int = 100


def tone(ms: int, hertz: int = TONE_HZ) -> bytes:
    """A steady tone at full volume, that fades in and out."""
    size = ms * PER_MS
    fade = min(FADE, size // 2)
    gains = ((1 - math.cos(math.pi * min(n, size - 1 - n, fade) / fade)) / 2 if fade else 1.0 for n in range(size))
    peak, turn = TONE_LEVEL * 32767, 2 * math.pi * hertz / RATE
    return array.array("h", (round(peak * gain * math.sin(turn * n)) for n, gain in enumerate(gains))).tobytes()


def siren(ms: int) -> bytes:
    """The siren's first ``ms`` milliseconds at full volume: the same on every device."""
    period = _siren_period()
    size = ms * PER_MS * 2
    return (period * (size // len(period) + 1))[:size]


def chime(ms: int) -> bytes:
    """A drill's first ``ms`` milliseconds: two steady tones, one after the other, that nobody takes for the siren."""
    period = b"".join(tone(CHIME, hertz) for hertz in (CHIME_HIGH, CHIME_LOW))
    size = ms * PER_MS * 2
    return (period * (size // len(period) + 1))[:size]


@functools.cache
def _siren_period() -> bytes:
    """One glide up and down; the phase closes on itself (1800 whole waves), so that periods join without a click."""
    half = RATE
    slope = (HIGH - LOW) / 2 / half**2
    up = (LOW * n / half + slope * n * n for n in range(half))
    down = ((LOW + HIGH) / 2 + HIGH * n / half - slope * n * n for n in range(half))
    peak = SIREN_LEVEL * 32767
    return array.array("h", (round(peak * math.sin(2 * math.pi * wave)) for wave in chain(up, down))).tobytes()


def warm_up() -> None:
    """Does now what the first sound would otherwise wait for."""
    with suppress(opus.OpusError):  # the first sound says so
        opus.library()
    _siren_period()


def blocks(what: Round | Tone) -> Iterator[bytes]:
    """The blocks of a round or tone; only the last may be shorter than 20 ms. Raises SoundError before the first."""
    pending = bytearray()
    size = 2 * BLOCK
    for piece in _pieces(what):
        pending += piece
        while len(pending) >= size:
            yield quieter(bytes(pending[:size]), what.volume)
            del pending[:size]
    if pending:
        yield quieter(bytes(pending), what.volume)


def primed(source: Iterator[bytes]) -> Iterator[bytes]:
    """The same blocks, the first of them ready: what could fail on opening has failed here."""
    first = next(source, b"")
    return chain((first,), source) if first else iter(())


def _pieces(what: Round | Tone) -> Iterator[bytes]:
    if isinstance(what, Tone):
        yield tone(what.duration)
        return
    if what.offset < what.siren:
        yield (chime if what.drill else siren)(what.siren)[what.offset * PER_MS * 2 :]
    passed = max(what.offset - what.siren, 0)
    for content, duration in what.said * what.times:
        if passed < duration:
            yield from _exactly((duration - passed) * PER_MS * 2, decode(content, passed * PER_MS))
        passed = max(passed - duration, 0)


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
    try:
        with path.open("rb") as file:
            yield from opus.decode(file, start)
    except (opus.OpusError, OSError) as error:
        raise SoundError(f"{path.name}: {error}") from None


def quieter(block: bytes, volume: int) -> bytes:
    """The block at ``volume`` percent."""
    if volume >= 100:
        return block
    gain = volume * 32768 // 100
    return array.array("h", [sample * gain >> 15 for sample in array.array("h", block)]).tobytes()


def energy(block: bytes) -> int:
    """The sum of squares of a block's samples."""
    return sum(sample * sample for sample in array.array("h", block))
