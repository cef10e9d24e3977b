"""The chime before a spoken bulletin, so that people stop and listen: two notes of our own, always the same. Pure, but
for ``put_before``, which reads and writes WAV files.

A note is a bell: partials that fade the faster the higher they are. Emergencies have their siren instead.
"""

from __future__ import annotations

import math
import wave
from array import array
from functools import cache
from pathlib import Path

NOTES = ((0.0, 659.26), (0.45, 523.25))
"""When each note is struck (seconds) and its frequency (Hz): e″, c″. Horns carry both well."""
PARTIALS = ((1, 1.0, 0.50), (2, 0.35, 0.30), (3, 0.12, 0.18))
"""Multiple of the note, share of it, and the time in which it fades to 1/e (seconds)."""
SOUNDING = 1.5
PAUSE = 0.4
SECONDS = SOUNDING + PAUSE
"""Until the voice begins."""
ATTACK = 0.008
FADE = 0.05
PEAK = 0.95
LOUDNESS = -12.4
"""Integrated loudness (LUFS, EBU R128) of the chime at its full peak."""
BELOW = 2.5
"""How much quieter than the voice it is made, in LU: so much does the limiter take from a voice's peaks later on."""
FULL = 32_767


@cache
def chime(rate: int) -> tuple[float, ...]:
    """The chime and its pause as samples of ``rate`` per second, the highest at ``PEAK``."""
    samples = [_at(number / rate) for number in range(round(SOUNDING * rate))]
    highest = max(abs(sample) for sample in samples)
    return (*(sample * PEAK / highest for sample in samples), *[0.0] * round(PAUSE * rate))


def put_before(speech: Path, out: Path, lufs: float) -> None:
    """Writes the chime, ``BELOW`` the speech's own loudness (``lufs``), and the speech to ``out``.

    ``speech`` is 16-bit mono WAV. Raises OSError when a file cannot be read or written, wave.Error for another kind.
    """
    with wave.open(str(speech)) as given:
        if (given.getsampwidth(), given.getnchannels()) != (2, 1):
            raise wave.Error("not 16-bit mono")
        rate, said = given.getframerate(), given.readframes(given.getnframes())
    gain = min(1.0, 10 ** ((lufs - BELOW - LOUDNESS) / 20)) * FULL
    samples = array("h", (round(sample * gain) for sample in chime(rate)))
    with wave.open(str(out), "wb") as joined:
        joined.setnchannels(1)
        joined.setsampwidth(2)
        joined.setframerate(rate)
        joined.writeframes(samples.tobytes() + said)


def _at(time: float) -> float:
    struck = [(time - start, pitch) for start, pitch in NOTES if time >= start]
    end = min(1.0, (SOUNDING - time) / FADE)
    return end * sum(_bell(age, pitch) for age, pitch in struck)


def _bell(age: float, pitch: float) -> float:
    rise = min(1.0, age / ATTACK)
    return rise * sum(
        share * math.exp(-age / fading) * math.sin(2 * math.pi * pitch * multiple * age)
        for multiple, share, fading in PARTIALS
    )
