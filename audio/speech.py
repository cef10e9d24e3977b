"""Text to speech (chuyển văn bản thành giọng nói): espeak-ng's Vietnamese voice, for want of a recording."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from audio import ffmpeg
from audio.faults import fault
from inventory.diagnostics import Diagnostic

VOICE = "espeak-ng vi"
"""What approvers are told, so that they know that nobody spoke this."""
LONGEST = 5_000
TIMEOUT = 60.0
WAV_HEADER = 44
INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))
"""Soft hyphens, joiners and byte-order marks come along with pasted text and say nothing."""


def spoken(text: str) -> str | Diagnostic:
    """The text as it is given to the voice: NFC, without invisible characters; or why it cannot be spoken."""
    plain = unicodedata.normalize("NFC", text).translate(INVISIBLE).strip()
    if not plain:
        return fault("AUD010", "text")
    if len(plain) > LONGEST:
        return fault("AUD012", "text", count=len(plain), most=LONGEST)
    for position, character in enumerate(plain, 1):
        if unicodedata.category(character).startswith("C") and character not in "\n\r\t":
            return fault("AUD011", "text", character=f"U+{ord(character):04X}", position=position)
    if not any(_pronounceable(character) for character in plain):
        return fault("AUD013", "text")
    return plain


async def speak(text: str, out: Path, *, timeout: float = TIMEOUT) -> Diagnostic | None:  # noqa: ASYNC109
    """Writes the text, spoken, as WAV to ``out``; a Diagnostic says why not. ``timeout`` in seconds."""
    plain = spoken(text)
    if isinstance(plain, Diagnostic):
        return plain
    # "[[" would begin phoneme names in espeak-ng's own notation
    literal = plain.replace("[[", "[ [")
    arguments = ["espeak-ng", "-v", "vi", "-b", "1", "-w", str(out), "--stdin"]
    done = await ffmpeg.run(arguments, timeout=timeout, stdin=literal.encode() + b"\n")
    if not done.ok:
        return fault("AUD008", "text", tool="espeak-ng", detail=done.reason)
    # espeak-ng ends with 0 also when it could not write
    return None if _written(out) else fault("AUD008", "text", tool="espeak-ng", detail=f"{out} was not written")


def _written(out: Path) -> bool:
    return out.is_file() and out.stat().st_size > WAV_HEADER


def _pronounceable(character: str) -> bool:
    """A digit or a letter of the script that the voice reads."""
    return character.isdecimal() or (character.isalpha() and unicodedata.name(character, "").startswith("LATIN"))
