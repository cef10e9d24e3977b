"""What a client may ask of the hub about a bulletin's sound before it is handed in."""

from __future__ import annotations

from dataclasses import dataclass

from tui.methods import Method, Push


@dataclass(frozen=True, slots=True)
class Sound:
    """The finished sound: Ogg Opus (base64), its length in ms, its loudness in LUFS, and who spoke it."""

    data: str
    duration: int
    loudness: float
    voice: str


SOUND = Method("sound", Push, Sound)
