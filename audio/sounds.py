"""What a bulletin sounds like: a draft's recording, or its text as it is spoken, at the bits that it travels with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from audio.bulletin import Draft
from audio.library import Content, Library
from audio.measure import Progress, untold
from inventory.diagnostics import Diagnostic

BITRATE = 24_000
CARRIED = 16_000
"""Bits a second of a sound; of one that travels inside a signed document."""
TOO_LEAN = "AUD007"
"""Its loudness cannot be reached: few bits change the peaks of a short sentence."""


async def sound_of(library: Library, draft: Draft, progress: Progress = untold) -> Content | tuple[Diagnostic, ...]:
    """The draft's sound, in that library: its recording, or its text with the chime before it, unless a siren is."""
    recording = draft.audio

    async def make(bitrate: int) -> Content | tuple[Diagnostic, ...]:
        if recording is not None:
            return await library.import_audio(recording, bitrate=bitrate, trim=draft.trim, progress=progress)
        return await library.speak(draft.text, bitrate=bitrate, chimed=not draft.loud, progress=progress)

    return await lean(make) if draft.loud else await make(BITRATE)


async def lean(make: Callable[[int], Awaitable[Content | tuple[Diagnostic, ...]]]) -> Content | tuple[Diagnostic, ...]:
    """A sound that is carried, with few bits where those suffice: an alarm does not fail for its size."""
    found = await make(CARRIED)
    if isinstance(found, tuple) and any(d.code == TOO_LEAN for d in found):
        return await make(BITRATE)
    return found
