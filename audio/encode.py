"""From a measured recording to files of one loudness: gain, limiter, encoders, and what came out measured again.

All files are made from one decode; the sound is mixed (and trimmed) once, then each encoder has a gain and a limiter of
its own, because each changes loudness and peaks in its own way. Equal input gives equal bytes on one machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from audio import ffmpeg
from audio.documents import ContentKind
from audio.faults import fault
from audio.measure import DECODE_TIMEOUT, LEAST, PEAK, RATE, TARGET, Input, Measured, Stage, decode, measure, mono
from inventory.diagnostics import Diagnostic

HEADROOM = 2.0
"""How far below ``PEAK`` the limiter works at first, in dB: Opus at 24 kbit/s was seen to add 1.6 dB."""
ATTEMPTS = 4
MP3_BITRATE = 64_000
"""bit/s, mono, constant: what every other vendor's receiver plays."""
BELOW = 24.0
"""Leading silence lies this many dB below the recording's own loudness, as RMS over ``WINDOW`` seconds: so does a
room's noise, a spoken consonant does not."""
WINDOW = 0.02
KEPT = 0.05
"""Seconds of what was trimmed that stay: a word begins before it is loud."""


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of file that is made: its encoder's options, as ffmpeg names them."""

    name: str
    options: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file to make. ``gain`` in dB, ``ceiling`` in dBFS: what the last attempt has taught."""

    out: Path
    form: Form
    gain: float
    ceiling: float = PEAK - HEADROOM
    measured: Measured | None = None


def opus(kind: ContentKind, bitrate: int) -> Form:
    """Ogg Opus for our own devices, without anything of the day in it; ``bitrate`` in bit/s."""
    return Form(
        "opus",
        {
            "acodec": "libopus",
            "audio_bitrate": bitrate,
            "application": "voip" if kind is ContentKind.SPEECH else "audio",
            "format": "opus",
            "fflags": "+bitexact",
            "flags": "+bitexact",
            "map_metadata": "-1",
            "serial_offset": 1,
        },
    )


MP3 = Form(
    "mp3",
    {
        "acodec": "libmp3lame",
        "audio_bitrate": MP3_BITRATE,
        "format": "mp3",
        "fflags": "+bitexact",
        "flags": "+bitexact",
        "map_metadata": "-1",
        "id3v2_version": 0,
    },
)
"""MP3 for other vendors' devices."""


async def encode(
    given: Input, measured: Measured, folder: Path, forms: Sequence[Form]
) -> tuple[tuple[Path, Measured], ...] | Diagnostic:
    """The files in ``folder``, one per form, each at the wanted loudness, and what each measures.

    Gain and limiter are corrected where a file does not fit, and only that file is made again.
    """
    wanted = [Wanted(folder / f"sound.{form.name}", form, TARGET - measured.lufs) for form in forms]
    for _ in range(ATTEMPTS):
        todo = [n for n, each in enumerate(wanted) if each.measured is None or not each.measured.fits]
        if not todo:
            break
        graph = _graph(given, measured, [wanted[n] for n in todo])
        done = await ffmpeg.run(graph, timeout=DECODE_TIMEOUT, heard=given.heard(Stage.ENCODE, measured.seconds))
        if not done.ok:
            return fault("AUD008", given.place, tool="ffmpeg", detail=done.reason)
        for n in todo:
            after = await _check(given, wanted[n].out, measured.seconds)
            if isinstance(after, Diagnostic):
                return after
            wanted[n] = _corrected(wanted[n], after)
    made = [(each.out, each.measured) for each in wanted if each.measured is not None]
    misfit = next((after for _, after in made if not after.fits), None)
    if misfit is not None:
        return fault("AUD007", given.place, file=given.name, target=TARGET, lufs=misfit.lufs, peak=misfit.peak)
    return tuple(made)


async def _check(given: Input, out: Path, seconds: float) -> Measured | Diagnostic:
    made = replace(given, path=out, kind=ContentKind.RECORDING)
    after = await measure(made, Stage.CHECK, seconds)
    if given.trim and isinstance(after, Measured) and after.seconds < LEAST:
        return fault("AUD004", given.place, file=given.name, seconds=round(after.seconds, 2), least=LEAST)
    return after


def _corrected(each: Wanted, after: Measured) -> Wanted:
    """What the next attempt should do; the file as it is if that fits."""
    if after.fits:
        return replace(each, measured=after)
    gain = each.gain + TARGET - after.lufs
    ceiling = min(PEAK, each.ceiling + PEAK - 0.3 - after.peak)
    return replace(each, gain=gain, ceiling=ceiling, measured=after)


def _graph(given: Input, measured: Measured, wanted: Sequence[Wanted]) -> list[str]:
    """One decode and one mix for all files that are to be made."""
    mixed = mono(decode(given), given.kind)
    if given.trim:
        level = f"{measured.lufs - BELOW:.2f}dB"
        begun = mixed.filter(
            "silenceremove",
            start_periods=1,
            start_threshold=level,
            start_silence=KEPT,
            detection="rms",
            window=WINDOW,
        )
        mixed = begun.filter("asetpts", "N/SR/TB")
    parts: Any = [mixed] if len(wanted) == 1 else mixed.filter_multi_output("asplit", len(wanted))
    outputs = [_output(parts[n], each) for n, each in enumerate(wanted)]
    return ffmpeg.command(*outputs)


def _output(track: Any, wanted: Wanted) -> Any:
    """Linear gain, a limiter at four times the rate (so that it sees true peaks), the encoder."""
    loud = track.filter("volume", f"{wanted.gain:.2f}dB", precision="double").filter("aresample", 4 * RATE)
    limited = loud.filter("alimiter", limit=f"{10 ** (wanted.ceiling / 20):.6f}", level="false", latency="true")
    out = f"file:{wanted.out.absolute()}"
    return limited.filter("aresample", RATE).output(out, progress="pipe:1", **wanted.form.options)
