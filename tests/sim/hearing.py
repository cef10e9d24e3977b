"""Did a receiver really play it? Normalised cross-correlation of what came out with what was published."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

RATE = 48_000
COARSE = 4
"""Correlation is made at 12 kHz: speech and sirens lie below, and it costs a quarter."""
Sound = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Recording:
    """A receiver's output file: ``samples[n]`` sounded at ``t0 + n / 48`` ms; outside ``spans`` it is silent.

    A device that was off for hours leaves a hole of a gigabyte: samples are read where they are asked for.
    """

    t0: int
    samples: npt.NDArray[np.int16]
    spans: tuple[tuple[int, int], ...]

    def place(self, at: int) -> int:
        """The sample that sounded at ``at`` (Unix ms); negative before the first."""
        return (at - self.t0) * RATE // 1000

    def sounding(self, first: int, but: Iterable[tuple[int, int]] = ()) -> int:
        """Samples from ``first`` on that are not silent, those in the ranges ``but`` not counted."""
        count = 0
        for begin, end in self.spans:
            part = self.samples[max(begin, first) : end] != 0
            for since, until in but:
                start = max(begin, first)
                part[max(0, since - start) : max(0, until - start)] = False
            count += int(np.count_nonzero(part))
        return count

    def between(self, start: int, end: int) -> Sound:
        """What sounded in ``[start, end)`` (Unix ms); silence where the file has nothing."""
        first, last = self.place(start), self.place(end)
        heard = np.zeros(max(0, last - first))
        part = self.samples[max(0, first) : max(0, last)]
        heard[max(0, -first) : max(0, -first) + len(part)] = part
        return heard


def recording(path: Path) -> Recording:
    """The output file and its start; an empty one where the receiver never made a sound."""
    t0 = int(json.loads(path.with_name(path.name + ".json").read_text())["t0"])
    if not path.exists() or not path.stat().st_size:
        return Recording(t0, np.zeros(0, np.int16), ())
    spans = tuple((begin // 2, (end + 1) // 2) for begin, end in _written(path))
    return Recording(t0, np.memmap(path, "<i2", "r"), spans)


def _written(path: Path) -> Iterator[tuple[int, int]]:
    """The bytes of a file that are no hole, as the file system tells."""
    with path.open("rb") as file:
        end, size = 0, path.stat().st_size
        while end < size:
            try:
                begin = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:  # nothing but a hole is left
                return
            end = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            yield begin, end


def decoded(path: Path) -> Sound:
    """A content file as 48 kHz mono."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    blocks = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            blocks += [f.to_ndarray()[0] for f in resampler.resample(frame)]
        blocks += [f.to_ndarray()[0] for f in resampler.resample(None)]
    return np.concatenate(blocks).astype(np.float64)


def similarity(reference: Sound, heard: Sound, slack_ms: int = 60) -> float:
    """The highest normalised cross-correlation (0..1) with ``heard`` shifted by at most ``slack_ms`` either way."""
    reference, heard = _coarse(reference), _coarse(heard)
    size = 1 << int(np.ceil(np.log2(len(reference) + len(heard) + 1)))
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(reference, size))
    correlation = np.abs(np.fft.irfft(spectrum, size))
    slack = slack_ms * RATE // COARSE // 1000
    best = float(max(correlation[: slack + 1].max(), correlation[-slack:].max()))
    energy = float(np.linalg.norm(reference) * np.linalg.norm(heard))
    return best / energy if energy else 0.0


def _coarse(sound: Sound) -> Sound:
    whole = len(sound) // COARSE * COARSE
    mean: Sound = sound[:whole].reshape(-1, COARSE).mean(axis=1)
    return mean
