"""What a recording is before it is used: can it be decoded to its end, how loud is it, is it worth airing.

One decode answers all of it: loudness and true peak of the mono mix (EBU R128), the length in samples, decoding errors,
and how much of it is clipped. What cannot be aired is refused with its reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from audio import ffmpeg
from audio.documents import ContentKind
from audio.faults import fault
from inventory.diagnostics import Diagnostic

RATE = 48_000
TARGET = -16.0
"""Integrated loudness in LUFS; ``TOLERANCE`` LU either way is accepted."""
TOLERANCE = 1.0
PEAK = -1.0
"""Highest true peak in dBTP."""
METER = 0.05
"""What the meter rounds away, in dB."""
SILENT = -55.0
"""LUFS below which there is nothing to amplify but noise."""
STILL = 0.0035
"""A channel that swings less is silent (-55 dB of full scale), however loud the step to its constant offset is."""
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
TOP, UPPER = 0.85, 0.70
"""Parts of full scale. Clipped sound piles up at the top, and what a lossy codec makes of its plateaus stays above
``TOP``; limited sound passes through the range below on its way.
"""
CLIPPED = 0.10
PILED = 0.72
"""Clipped beyond repair: at least this share of a channel's samples is at the top, and of those in the upper range at
least this share. Both were found by experiment. Share at the top, and its part of the upper range, as WAV, 8 kHz
mu-law, MP3, AAC and Opus (the lowest and the highest of them):

====================================  ===========  =========
speech, over full scale by 0 dB          0.0 %     0.17-0.27
speech, by 6 dB                          1.6-2 %   0.55-0.66
speech, by 12 dB (harsh, all is said)    6-7 %     0.69-0.76
speech, by 16 dB                        12-14 %    0.72-0.80
speech, by 20 dB                        21-24 %    0.78-0.87
music, by 12 dB                         45-53 %    0.77-0.88
square wave at full scale               65-100 %   0.73-1.00
speech driven 18 dB into a limiter       4-6 %     0.41-0.58
music driven 18 dB into a limiter       15-22 %    0.49-0.66
sine at full scale                      26-35 %    0.57-0.70
====================================  ===========  =========

What was clipped and made quieter afterwards is not found: nothing in its samples is at full scale.
"""
_CHANNEL = re.compile(r"Channel: (\d+)\n.*Min level: (\S+)\n.*Max level: (\S+)\n.*Peak count: (\S+)\n")
LEVEL_DIGITS = 1e-4
"""How exactly ``astats`` prints a level."""
BIAS = 0.01
"""A channel of which one side stays below this is no sound wave but single pulses, or disconnected."""


class Stage(StrEnum):
    """What a long job is doing."""

    MEASURE = "measure"
    ENCODE = "encode"
    CHECK = "check"


@dataclass(frozen=True, slots=True)
class Step:
    """How far a job is in its stage: ``done`` of ``total`` seconds of sound; ``total`` 0 where it is not known."""

    stage: Stage
    done: float
    total: float


Progress = Callable[[Step], None]


def untold(_: Step) -> None:
    """The progress of a job that nobody follows."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Loudness in LUFS and true peak in dBTP of the mono mix, its decoded length, and decoding errors met.

    ``clipped`` is the share (0 to 1) of samples at the top in the worst channel that is clipped beyond repair, else 0;
    ``swing`` how far apart the extremes of a channel are at most, in parts of full scale (0 to 2).
    """

    lufs: float
    peak: float
    seconds: float
    errors: int
    clipped: float = 0.0
    swing: float = 2.0

    @property
    def fits(self) -> bool:
        return abs(self.lufs - TARGET) <= TOLERANCE and self.peak <= PEAK - METER


@dataclass(frozen=True, slots=True)
class Input:
    """A file to import, under the name that people know it by; ``place`` is where its mistakes are reported.

    ``trim``: leading silence is to be cut. ``progress`` is told how far the work is.
    """

    path: Path
    place: str
    name: str
    kind: ContentKind
    trim: bool = False
    progress: Progress = untold

    def heard(self, stage: Stage, total: float) -> ffmpeg.Heard:
        """For a program that works on ``total`` seconds of this sound."""
        return lambda done: self.progress(Step(stage, done, total))


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
    measured = await measure(given, Stage.MEASURE, declared or 0.0)
    return measured if isinstance(measured, Diagnostic) else _refusal(given, measured, declared) or measured


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
    if measured.lufs < SILENT or measured.swing < STILL:
        return fault("AUD006", given.place, file=given.name)
    if measured.clipped:
        return fault("AUD019", given.place, file=given.name, percent=round(measured.clipped * 100))
    return None


def decode(given: Input) -> Any:
    """The graph's beginning: the first sound track, at most a second longer than what is accepted."""
    track = ffmpeg.source(given.path, t=LONGEST + 1).audio
    # time is counted in samples: a hole in the file makes it shorter, whatever its timestamps claim
    return track.filter("asetpts", "N/SR/TB")


def mono(track: Any, kind: ContentKind) -> Any:
    """The track mixed to one channel; speech is padded to a measurable length."""
    mixed = track.filter("aformat", sample_fmts="flt", channel_layouts="mono").filter("aresample", RATE)
    return mixed.filter("apad", whole_dur=LEAST) if kind is ContentKind.SPEECH else mixed


async def measure(given: Input, stage: Stage, total: float) -> Measured | Diagnostic:
    """What the sound measures, decoded once; clipping is looked for in a source only: what we encode stays below it."""
    track = decode(given)
    outputs = []
    if stage is Stage.MEASURE:
        parts = track.filter_multi_output("asplit", 3)
        # without a converter of its own this branch would have the channels mixed before they are parted
        track = parts[0].filter("aresample")
        outputs = [_counted(parts[1], TOP), _counted(parts[2], UPPER)]
    meter = mono(track, given.kind).filter("ebur128", peak="true", framelog="verbose")
    arguments = ffmpeg.command(meter.output("pipe:", format="null", progress="pipe:1"), *outputs)
    done = await ffmpeg.run(arguments, timeout=DECODE_TIMEOUT, heard=given.heard(stage, total))
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
    seconds = int(times[-1]) / 1e6
    return Measured(float(loudness[1]), float(peak[1]), seconds, errors, clipped(done.tail), swing(done.tail))


def _counted(track: Any, level: float) -> Any:
    """A branch in which all above ``level`` is set to it, so that the samples at the extremes are those above."""
    cut = track.filter("aformat", sample_fmts="flt").filter("asoftclip", type="hard", threshold=level)
    wanted = {"measure_perchannel": "Peak_count+Min_level+Max_level", "measure_overall": "Number_of_samples"}
    return cut.filter("astats", **wanted).output("pipe:", format="null")


def clipped(report: str) -> float:
    """The share of samples at the top in the worst channel that is clipped beyond repair; 0 where there is none.

    ``report`` is what ``astats`` printed of both branches: a channel belongs to that one whose level it reaches.
    """
    samples = re.search(r"Number of samples: (\d+)", report)
    found: dict[tuple[float, str], float] = {}
    for channel, low, high, count in _CHANNEL.findall(report):
        sides = -float(low), float(high)
        level = next((level for level in (TOP, UPPER) if abs(max(sides) - level) < LEVEL_DIGITS), None)
        if level is not None and min(sides) > BIAS and samples is not None:
            found[level, channel] = float(count) / int(samples[1])
    worst = 0.0
    for (level, channel), share in found.items():
        if level == TOP and share >= max(CLIPPED, PILED * found.get((UPPER, channel), 1.0)):
            worst = max(worst, share)
    return worst


def swing(report: str) -> float:
    """The distance of the extremes in the channel where it is largest, from what ``astats`` printed; 2 if nothing."""
    return max((float(high) - float(low) for _, low, high, _ in _CHANNEL.findall(report)), default=2.0)
