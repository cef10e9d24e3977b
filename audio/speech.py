"""Text to speech (chuyển văn bản thành giọng nói), for want of a recording: espeak-ng's Vietnamese, or a Piper voice.

What a person wrote is put into words first (``audio.saying``); the voice gets letters and punctuation only, on its
standard input.

Piper is run as its command line is documented (rhasspy/piper ``src/cpp/main.cpp`` and OHF-Voice/piper1-gpl
``docs/CLI.md``, which agree in these options): ``--model``, with its ``.json`` beside it, ``--output_file``,
``--length_scale`` and ``--sentence_silence``; one line of text on standard input is one utterance.
"""

from __future__ import annotations

import unicodedata
import wave
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from audio import ffmpeg
from audio.faults import fault
from audio.saying import Said, say
from inventory.diagnostics import Diagnostic

LONGEST = 5_000
USUAL_SPEED = 175
"""Words a minute: espeak-ng's own default, and what a Piper voice's own pace is taken for."""
ESPEAK_SECONDS = 60.0
PIPER_SECONDS = 600.0
"""A neural voice may take as long as it speaks, on a small machine."""
PAUSE = 0.3
"""Seconds of silence after a Piper voice's sentence."""
INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff\ufe0e\ufe0f"))
"""Soft hyphens, joiners, variation selectors and byte-order marks come along with pasted text and say nothing."""


class Accent(StrEnum):
    """Whose Vietnamese espeak-ng speaks."""

    NORTH = "north"
    CENTRAL = "central"
    SOUTH = "south"


ESPEAK = {Accent.NORTH: "vi", Accent.CENTRAL: "vi-vn-x-central", Accent.SOUTH: "vi-vn-x-south"}
"""The names of its voices: ``espeak-ng --voices=vi``."""


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks: the Piper voice in the file ``model``, or espeak-ng with an accent; ``speed`` in words a minute."""

    accent: Accent = Accent.NORTH
    speed: int = USUAL_SPEED
    model: Path | None = None

    @property
    def name(self) -> str:
        """What authors and approvers are told, so that they know that nobody spoke this."""
        return f"piper {self.model.stem}" if self.model is not None else f"espeak-ng {ESPEAK[self.accent]}"

    @property
    def tool(self) -> str:
        return "piper" if self.model is not None else "espeak-ng"

    def command(self, out: Path) -> list[str]:
        """The argument list that writes what comes on standard input, spoken, to ``out`` as WAV."""
        if self.model is None:
            return ["espeak-ng", "-v", ESPEAK[self.accent], "-s", str(self.speed), "-b", "1", "-w", str(out), "--stdin"]
        pace = ["--length_scale", f"{USUAL_SPEED / self.speed:.3f}", "--sentence_silence", str(PAUSE)]
        return ["piper", "--model", str(self.model), "--output_file", str(out), *pace]


USUAL = Voice()


def spoken(text: str) -> Said | Diagnostic:
    """The text as it is given to the voice, with what its author should look at; or why it cannot be spoken."""
    plain = unicodedata.normalize("NFC", text).translate(INVISIBLE).strip()
    if not plain:
        return fault("AUD010", "text")
    if len(plain) > LONGEST:
        return fault("AUD012", "text", count=len(plain), most=LONGEST)
    for position, character in enumerate(plain, 1):
        if unicodedata.category(character).startswith("C") and character not in "\n\r\t":
            return fault("AUD011", "text", character=f"U+{ord(character):04X}", position=position)
    said = say(plain)
    return said if said.text else fault("AUD013", "text")


async def speak(
    text: str,
    out: Path,
    voice: Voice = USUAL,
    *,
    timeout: float | None = None,  # noqa: ASYNC109
) -> Diagnostic | None:
    """Writes the text, spoken, as 16-bit mono WAV to ``out``; a Diagnostic says why not. ``timeout`` in seconds."""
    said = spoken(text)
    if isinstance(said, Diagnostic):
        return said
    missing = _missing(voice.model)
    if missing is not None:
        return fault("AUD018", "text", file=missing)
    usual = ESPEAK_SECONDS if voice.model is None else PIPER_SECONDS
    limit = usual if timeout is None else timeout
    done = await ffmpeg.run(voice.command(out), timeout=limit, stdin=said.text.encode() + b"\n")
    if not done.ok:
        return fault("AUD008", "text", tool=voice.tool, detail=done.reason)
    # espeak-ng ends with 0 also when it could not write
    return None if _written(out) else fault("AUD008", "text", tool=voice.tool, detail=f"{out} was not written")


def _missing(model: Path | None) -> Path | None:
    """Which of a Piper voice's two files is not there."""
    files = () if model is None else (model, Path(f"{model}.json"))
    return next((file for file in files if not file.is_file()), None)


def _written(out: Path) -> bool:
    try:
        with wave.open(str(out)) as sound:
            return (sound.getsampwidth(), sound.getnchannels()) == (2, 1) and sound.getnframes() > 0
    except (OSError, EOFError, wave.Error):
        return False
