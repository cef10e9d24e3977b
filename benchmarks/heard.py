"""When players that write into files let a click sound: what a write puts there sounds from that moment on."""

from __future__ import annotations

import array
import ctypes
import multiprocessing
import os
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Final

from tests.sim.fleet import die_with_parent

RATE: Final = 48_000
CLICK: Final = 0.3
"""Share of full scale that only a click reaches."""
APART: Final = 0.5
"""Seconds after a click in which its own sound is not taken for another."""
_MODIFY: Final = 0x00000002
_EVENT: Final = struct.Struct("iIII")
_BLOCK: Final = 4_096
"""Samples of a write at most; more than that is a hole before it."""
_FORK: Final = multiprocessing.get_context("fork")


@dataclass(slots=True)
class _Output:
    """One player's file (16 bit, mono) and how far it has been read."""

    file: int
    size: int
    clicked: float = 0.0

    def click(self, now: float) -> float | None:
        """The instant of a click in what was written just now."""
        size = os.fstat(self.file).st_size
        start = max(min(self.size, size), size - 2 * _BLOCK)
        samples = array.array("h", os.pread(self.file, (size - start) // 2 * 2, start))
        self.size = start + 2 * len(samples)
        if max(samples, default=0) <= CLICK * 32767:
            return None
        at = now + next(n for n, sample in enumerate(samples) if sample > CLICK * 32767) / RATE
        if at < self.clicked + APART:
            return None
        self.clicked = at
        return at


def watch(paths: Sequence[Path], pipe: Connection) -> None:
    """For each file the instants (``time.monotonic``) of its clicks, once that is asked."""
    die_with_parent()
    libc = ctypes.CDLL(None, use_errno=True)
    handle = libc.inotify_init1(0)
    outputs, clicks = {}, [array.array("d") for _ in paths]
    for number, path in enumerate(paths):
        file = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
        watched = libc.inotify_add_watch(handle, os.fsencode(path), _MODIFY)
        if watched < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch")
        outputs[watched] = number, _Output(file, os.fstat(file).st_size)
    pipe.send(None)
    while pipe not in wait([pipe, handle]):
        events = os.read(handle, 1 << 16)
        now = time.monotonic()
        for watched, *_ in _EVENT.iter_unpack(events):
            number, output = outputs[watched]
            if (at := output.click(now)) is not None:
                clicks[number].append(at)
    pipe.send(clicks)


class Watch:
    """Watches files that are written all the time, in a process of its own."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._pipe, theirs = _FORK.Pipe()
        self._child = _FORK.Process(target=watch, args=(paths, theirs))
        self._child.start()
        self._pipe.recv()

    def clicks(self) -> list[array.array[float]]:
        """Of each file, so far; then nothing is watched any more."""
        self._pipe.send(None)
        found: list[array.array[float]] = self._pipe.recv()
        return found

    def close(self) -> None:
        self._child.kill()
        self._child.join()
