"""Which source is on the air, and how loud it is made: pure, a step for each 20 ms of stream time.

Silence and stalls are counted in the stream's own frames, not by a clock, so that what is decided is what was heard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

FRAME: Final = 20
"""Milliseconds in one step."""
QUIET: Final = -50.0
"""LUFS below which a frame is silence: what a transmitter without a programme still hums is below it."""
SILENT_AFTER: Final = 3_000
"""So much silence (ms) is a fault. A pause in speech is shorter."""
STALLED_AFTER: Final = 1_000
"""So long without a frame (ms) is a fault; the buffer before the feed has run dry by then."""
GRACE: Final = 5_000
"""A source has this long (ms) to deliver its first frame."""
BACK_AFTER: Final = 10_000
"""A better source that was away must have been good for this long (ms)."""

TARGET: Final = -16.0
"""LUFS, as of what is encoded ahead of time (library)."""
MOST: Final = 12.0
"""Gain is kept within so many dB: a source that needs more is out of order."""
WINDOW: Final = 500
"""Frames (10 s) over which loudness is averaged."""
SETTLING: Final = 150
"""Frames (3 s) of sound within which the gain may follow quickly."""
QUICK, GENTLE = 0.2, 0.02
"""dB by which the gain changes in one frame at most: 10 dB/s at first, then 1 dB/s, which nobody notices."""


class Fault(StrEnum):
    """Why a source is not good enough."""

    NONE = ""
    SILENT = "silent"
    STALLED = "stalled"


@dataclass(frozen=True, slots=True)
class Health:
    """How long (ms of stream) a source has been silent, has given nothing, has been without a fault."""

    silent: int = 0
    missing: int = STALLED_AFTER - GRACE
    good: int = 0

    @property
    def fault(self) -> Fault:
        if self.missing >= STALLED_AFTER:
            return Fault.STALLED
        return Fault.SILENT if self.silent >= SILENT_AFTER else Fault.NONE

    @property
    def sounds(self) -> bool:
        """Whether it can take over: there is a programme on it now, or there was a second ago."""
        return not self.missing and self.silent < STALLED_AFTER

    def after(self, loudness: float | None) -> Health:
        """One frame later; ``loudness`` in LUFS, None for no frame."""
        if loudness is None:
            # neither sound nor silence: the silence that was counted is not over
            later = Health(self.silent, self.missing + FRAME, 0)
        else:
            later = Health(self.silent + FRAME if loudness < QUIET else 0, 0, self.good + FRAME)
        return Health(later.silent, later.missing, 0) if later.fault else later


@dataclass(frozen=True, slots=True)
class Feed:
    """The sources of one session in order of preference, and which of them is on the air."""

    healths: tuple[Health, ...]
    on_air: int = 0

    @classmethod
    def of(cls, sources: int) -> Feed:
        return cls((Health(),) * sources)

    @property
    def fault(self) -> Fault:
        """What is wrong with what is on the air; a feed without any source is stalled."""
        return self.healths[self.on_air].fault if self.healths else Fault.STALLED

    def step(self, loudness: Sequence[float | None]) -> Feed:
        """One frame later: each source's loudness in LUFS, None where it gave no frame."""
        healths = tuple(h.after(level) for h, level in zip(self.healths, loudness, strict=True))
        return Feed(healths, _choose(healths, self.on_air))


def _choose(healths: tuple[Health, ...], on_air: int) -> int:
    """The source to be heard: a better one that is good again, or one that sounds when this one has failed."""
    for number in range(min(on_air, len(healths))):
        if healths[number].good >= BACK_AFTER and healths[number].sounds:
            return number
    if healths and healths[on_air].fault:
        return next((n for n, h in enumerate(healths) if h.sounds), on_air)
    return on_air


@dataclass(frozen=True, slots=True)
class Gain:
    """Brings one source gently to TARGET: the gain in ``db``, from its mean power over ten seconds of sound."""

    db: float = 0.0
    power: float = 0.0
    frames: int = 0

    def after(self, loudness: float) -> Gain:
        """The gain for a frame that loud (LUFS); silence changes nothing."""
        if loudness < QUIET:
            return self
        frames = self.frames + 1
        power = self.power + (10 ** (loudness / 10) - self.power) / min(frames, WINDOW)
        wanted = max(-MOST, min(MOST, TARGET - 10 * math.log10(power)))
        step = QUICK if frames <= SETTLING else GENTLE
        return Gain(self.db + max(-step, min(step, wanted - self.db)), power, frames)
