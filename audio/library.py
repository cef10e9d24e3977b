"""The hub's sound library: every recording and every spoken text once, at one loudness, named by its SHA-256.

What goes in is decoded, mixed to one channel, brought to -16 LUFS (EBU R128) with at most -1 dBTP and encoded as Opus;
what came out is measured again, because an encoder changes peaks. Equal input gives equal bytes on one machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
from aiohttp import web

from audio import chime, ffmpeg, speech
from audio.documents import ContentKind
from audio.faults import fault
from inventory.diagnostics import Diagnostic

RATE = 48_000
TARGET = -16.0
"""Integrated loudness in LUFS; ``TOLERANCE`` LU either way is accepted."""
TOLERANCE = 1.0
PEAK = -1.0
"""Highest true peak in dBTP."""
HEADROOM = 2.0
"""How far below ``PEAK`` the limiter works at first, in dB: Opus at 24 kbit/s was seen to add 1.6 dB."""
METER = 0.05
"""What the meter rounds away, in dB."""
ATTEMPTS = 4
SILENT = -55.0
"""LUFS below which there is nothing to amplify but noise."""
LEAST = 0.5
"""Seconds. Integrated loudness is undefined below 0.4 s, the length of its measuring block."""
SLACK = 0.2
"""Seconds that a file may claim too many: encoders count their own delay."""
LONGEST = 30 * 60
PROBE_TIMEOUT = 20.0
DECODE_TIMEOUT = 600.0
DAMAGE = 5
"""Decoding errors that still pass: the ends of streams cut from a broadcast have a few."""
RIFF_STREAMED = 0x7FFFFFFF
SHA = re.compile(r"[0-9a-f]{64}")
BITRATE = 24_000


@dataclass(frozen=True, slots=True)
class Content:
    """A sound in the library. ``size`` in bytes; ``source`` is the file's name, or the voice that spoke it."""

    sha: str
    size: int
    duration_ms: int
    lufs: float
    true_peak_dbtp: float
    kind: ContentKind
    source: str


@dataclass(frozen=True, slots=True)
class Measured:
    """Loudness in LUFS and true peak in dBTP of the mono mix, its decoded length, and decoding errors met."""

    lufs: float
    peak: float
    seconds: float
    errors: int

    @property
    def fits(self) -> bool:
        return abs(self.lufs - TARGET) <= TOLERANCE and self.peak <= PEAK - METER


@dataclass(frozen=True, slots=True)
class Input:
    """A file to import, under the name that people know it by; ``place`` is where its mistakes are reported."""

    path: Path
    place: str
    name: str
    kind: ContentKind


class Library:
    """The content store in ``folder``: files named by their SHA-256, written once, never changed. ``voice`` speaks."""

    def __init__(self, folder: Path, voice: speech.Voice = speech.USUAL) -> None:
        self._folder = folder
        self._voice = voice

    def apart(self, folder: Path) -> Library:
        """A library of the same voice in another folder, for sounds that are not to be kept."""
        return Library(folder, self._voice)

    async def import_audio(self, source: Path, *, bitrate: int = BITRATE) -> Content | tuple[Diagnostic, ...]:
        """The recording in ``source`` as content, or why it cannot be used. ``bitrate`` in bit/s."""
        return await self._add(Input(source, str(source), source.name, ContentKind.RECORDING), bitrate)

    async def speak(
        self, text: str, *, chimed: bool = False, bitrate: int = BITRATE
    ) -> Content | tuple[Diagnostic, ...]:
        """The text, spoken, ``chimed`` with the chime before it, as content; or why it cannot be spoken.

        ``bitrate`` in bit/s.
        """
        with tempfile.TemporaryDirectory(prefix="loa-speech-") as folder:
            wav = Path(folder) / "speech.wav"
            refused = await speech.speak(text, wav, self._voice)
            if refused is not None:
                return (refused,)
            given = Input(wav, "text", self._voice.name, ContentKind.SPEECH)
            if chimed:
                voiced = await examine(given)
                if isinstance(voiced, Diagnostic):
                    return (voiced,)
                # by the voice's loudness, so that both come out at the one loudness
                given = replace(given, path=wav.with_name("chimed.wav"))
                await asyncio.to_thread(chime.put_before, wav, given.path, voiced.lufs)
            return await self._add(given, bitrate)

    def path(self, sha: str) -> Path | None:
        """Where the content of that name lies; None when it is not here or is no content's name."""
        if not SHA.fullmatch(sha):
            return None
        path = self._folder / sha[:2] / sha
        return path if path.is_file() else None

    def read(self, sha: str) -> bytes:
        """The encoded bytes of that content. Raises FileNotFoundError when it is not here."""
        path = self.path(sha)
        if path is None:
            raise FileNotFoundError(sha)
        return path.read_bytes()

    async def _add(self, given: Input, bitrate: int) -> Content | tuple[Diagnostic, ...]:
        measured = await examine(given)
        if isinstance(measured, Diagnostic):
            return (measured,)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".new-", dir=self._folder) as folder:
                encoded = Path(folder) / "sound.opus"
                result = await _encode(given, measured, encoded, bitrate)
                if isinstance(result, Diagnostic):
                    return (result,)
                return await asyncio.to_thread(self._keep, given, result, encoded)
        except OSError as error:
            return (fault("AUD009", given.place, file=self._folder, reason=error.strerror or error),)

    def _keep(self, given: Input, measured: Measured, encoded: Path) -> Content:
        data = encoded.read_bytes()
        sha = hashlib.sha256(data).hexdigest()
        target = self._folder / sha[:2] / sha
        target.parent.mkdir(exist_ok=True)
        _sync(encoded)
        # replacing equal bytes by equal bytes, or what a failing disk has made of them
        encoded.replace(target)
        _sync(target.parent)
        _sync(self._folder)
        length = decoded_ms(data)
        return Content(sha, len(data), length, measured.lufs, measured.peak, given.kind, given.name)


async def examine(given: Input) -> Measured | Diagnostic:
    """What the input measures, or why it is no sound to be aired."""
    try:
        size, claimed = await asyncio.to_thread(_sizes, given.path)
    except OSError as error:
        return fault("AUD001", given.place, file=given.name, reason=error.strerror or error)
    if size == 0:
        return fault("AUD004", given.place, file=given.name, seconds=0, least=LEAST)
    if size < claimed:
        detail = f"{size} bytes of {claimed} are there"
        return fault("AUD003", given.place, file=given.name, detail=detail)
    declared = await _declared_seconds(given)
    if isinstance(declared, Diagnostic):
        return declared
    if declared is not None and declared > LONGEST:
        return fault("AUD005", given.place, file=given.name, seconds=round(declared), most=LONGEST)
    measured = await _measure(given)
    return measured if isinstance(measured, Diagnostic) else _refusal(given, measured, declared) or measured


def decoded_ms(data: bytes) -> int:
    """Length of an Ogg Opus file as a device decodes it: its samples after pre-skip, in whole milliseconds."""
    with av.open(io.BytesIO(data), mode="r", format="ogg") as container:
        return sum(frame.samples for frame in container.decode(audio=0)) * 1000 // RATE


def content_app(library: Library) -> web.Application:
    """A web application that serves GET and HEAD ``/content/<sha>`` with ranges, and nothing else."""

    async def content(request: web.Request) -> web.FileResponse:
        path = library.path(request.match_info["sha"])
        if path is None:
            raise web.HTTPNotFound
        # the name says what the bytes are: no copy can ever be out of date
        headers = {"Content-Type": "audio/ogg", "Cache-Control": "public, max-age=31536000, immutable"}
        return web.FileResponse(path, headers=headers)

    app = web.Application()
    app.router.add_get("/content/{sha}", content)
    return app


def _sizes(path: Path) -> tuple[int, int]:
    """The file's bytes, and those its RIFF header claims (0: none): ffmpeg takes a WAV cut short for a short one."""
    if not path.is_file():
        path.stat()
        raise OSError(0, "not a file")
    with path.open("rb") as file:
        size, head = os.fstat(file.fileno()).st_size, file.read(12)
    claimed = int.from_bytes(head[4:8], "little")
    # recorders that cannot seek back leave all ones
    known = head[:4] == b"RIFF" and head[8:] == b"WAVE" and claimed < RIFF_STREAMED
    return size, claimed + 8 if known else 0


async def _declared_seconds(given: Input) -> float | Diagnostic | None:
    """The length that the file claims; None where it claims none that one could hold it to."""
    done = await ffmpeg.run(ffmpeg.probe_command(given.path), timeout=PROBE_TIMEOUT)
    if done.timed_out or done.returncode == ffmpeg.NOT_FOUND:
        return fault("AUD008", given.place, tool="ffprobe", detail=done.reason)
    try:
        found: Any = json.loads(done.stdout)
        streams = found["streams"]
    except (ValueError, KeyError):
        return fault("AUD002", given.place, file=given.name)
    track = next((stream for stream in streams if stream.get("codec_type") == "audio"), None)
    if not done.ok or track is None:
        return fault("AUD002", given.place, file=given.name)
    if "Estimating duration" in done.tail:
        return None
    # beside a picture the file's length may be the picture's
    whole = found["format"].get("duration", "") if len(streams) == 1 else ""
    with contextlib.suppress(ValueError):
        return float(track.get("duration", whole))
    return None


def _refusal(given: Input, measured: Measured, declared: float | None) -> Diagnostic | None:
    seconds = round(measured.seconds, 2)
    if declared is not None and seconds < declared * 0.98 - SLACK:
        detail = f"{seconds} s of {declared:.2f} s can be decoded"
        return fault("AUD003", given.place, file=given.name, detail=detail)
    if measured.errors > DAMAGE:
        detail = f"{measured.errors} errors while decoding"
        return fault("AUD003", given.place, file=given.name, detail=detail)
    if seconds > LONGEST:
        return fault("AUD005", given.place, file=given.name, seconds=round(seconds), most=LONGEST)
    if seconds < LEAST:
        return fault("AUD004", given.place, file=given.name, seconds=seconds, least=LEAST)
    if measured.lufs < SILENT:
        return fault("AUD006", given.place, file=given.name)
    return None


def _mono(given: Input) -> Any:
    """The graph's beginning: the first sound track as mono; speech is padded to a measurable length."""
    track = ffmpeg.source(given.path, t=LONGEST + 1).audio
    # time is counted in samples: a hole in the file makes it shorter, whatever its timestamps claim
    counted = track.filter("asetpts", "N/SR/TB")
    mono = counted.filter("aformat", sample_fmts="flt", channel_layouts="mono").filter("aresample", RATE)
    return mono.filter("apad", whole_dur=LEAST) if given.kind is ContentKind.SPEECH else mono


async def _measure(given: Input) -> Measured | Diagnostic:
    graph = _mono(given).filter("ebur128", peak="true", framelog="verbose")
    arguments = ffmpeg.command(graph.output("pipe:", format="null", progress="pipe:1"))
    done = await ffmpeg.run(arguments, timeout=DECODE_TIMEOUT)
    summary = done.tail.rpartition("Summary:")[2]
    loudness = re.search(r"\bI:\s+(\S+) LUFS", summary)
    peak = re.search(r"\bPeak:\s+(\S+) dBFS", summary)
    times = re.findall(r"^out_time_us=(\d+)$", done.stdout, re.MULTILINE)
    if done.timed_out or done.returncode == ffmpeg.NOT_FOUND:
        return fault("AUD008", given.place, tool="ffmpeg", detail=done.reason)
    if not done.ok or loudness is None or peak is None or not times:
        return fault("AUD003", given.place, file=given.name, detail=done.reason)
    if "CRC mismatch" in done.tail:
        return fault("AUD003", given.place, file=given.name, detail="a page's checksum is wrong")
    errors = len(re.findall(r"\[error\]", done.tail))
    return Measured(float(loudness[1]), float(peak[1]), int(times[-1]) / 1e6, errors)


async def _encode(given: Input, measured: Measured, out: Path, bitrate: int) -> Measured | Diagnostic:
    """Writes ``out`` at the wanted loudness, and what it measures; corrects gain and limiter where it does not fit."""
    gain, ceiling = TARGET - measured.lufs, PEAK - HEADROOM
    result = measured
    for _ in range(ATTEMPTS):
        done = await ffmpeg.run(_encoder(given, gain, ceiling, out, bitrate), timeout=DECODE_TIMEOUT)
        if not done.ok:
            return fault("AUD008", given.place, tool="ffmpeg", detail=done.reason)
        after = await _measure(Input(out, given.place, given.name, ContentKind.RECORDING))
        if isinstance(after, Diagnostic) or after.fits:
            return after
        result = after
        gain += TARGET - after.lufs
        ceiling = min(PEAK, ceiling + PEAK - 0.3 - after.peak)
    return fault("AUD007", given.place, file=given.name, target=TARGET, lufs=result.lufs, peak=result.peak)


def _encoder(given: Input, gain: float, ceiling: float, out: Path, bitrate: int) -> list[str]:
    """Linear gain, a limiter at four times the rate (so that it sees true peaks), Opus without anything of the day."""
    loud = _mono(given).filter("volume", f"{gain:.2f}dB", precision="double").filter("aresample", 4 * RATE)
    limited = loud.filter("alimiter", limit=f"{10 ** (ceiling / 20):.6f}", level="false", latency="true")
    options = {
        "acodec": "libopus",
        "audio_bitrate": bitrate,
        "application": "voip" if given.kind is ContentKind.SPEECH else "audio",
        "format": "opus",
        "fflags": "+bitexact",
        "flags": "+bitexact",
        "map_metadata": "-1",
        "serial_offset": 1,
    }
    return ffmpeg.command(limited.filter("aresample", RATE).output(f"file:{out.absolute()}", **options))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
