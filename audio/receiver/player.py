"""Puts blocks of sound out at their exact time, and stops within one of them."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from audio.receiver.files import write_atomic
from audio.receiver.sound import BLOCK, PER_MS, RATE, SoundError, energy, siren

__all__ = ["FileOutput", "Heard", "NullOutput", "Output", "Player", "siren"]

log = logging.getLogger(__name__)


GIVE_UP = 5.0
"""Seconds in which an output that fails may come back (a USB sound card does) before the sound is given up."""


class Output(Protocol):
    @property
    def ahead(self) -> float:
        """Seconds before its time that sound is wanted."""

    def begin(self, sample: int, at: float) -> None:
        """A sound begins: that sample is due at ``at`` of the monotonic clock."""

    def write(self, sample: int, block: bytes) -> None:
        """Sounds ``block`` from ``sample`` on, counted at 48 kHz from the Unix epoch of the receiver's clock."""

    def halt(self) -> int:
        """Silence at once; how many of the samples that were written will not sound."""

    def close(self) -> None: ...


class NullOutput:
    """Discards the sound."""

    ahead = 0.0

    def begin(self, sample: int, at: float) -> None: ...

    def write(self, sample: int, block: bytes) -> None: ...

    def halt(self) -> int:
        return 0

    def close(self) -> None: ...


class FileOutput:
    """Raw s16le mono at 48 kHz; sample n sounds at t0 + n/48 ms, with t0 in ``<path>.json``; silence is a hole."""

    ahead = 0.0

    def __init__(self, path: Path, now: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        note = path.with_name(path.name + ".json")
        if not note.exists():
            write_atomic(note, json.dumps({"t0": now, "rate": RATE, "format": "s16le", "channels": 1}).encode())
        self._t0: int = json.loads(note.read_bytes())["t0"]
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)

    def begin(self, sample: int, at: float) -> None: ...

    def halt(self) -> int:
        return 0

    def write(self, sample: int, block: bytes) -> None:
        place = (sample - self._t0 * PER_MS) * 2
        if place >= 0:
            os.pwrite(self._file, block, place)

    def close(self) -> None:
        os.close(self._file)


@dataclass(frozen=True, slots=True)
class Heard:
    """What was put out since the start: 48 kHz samples, their sum of squares, and why it ended early (or "")."""

    samples: int
    energy: int
    failure: str = ""


class Player:
    """One sound at a time, in its own thread; from there ``finished`` is called when a sound has run to its end, and
    ``sounded`` with samples and energy after each block.
    """

    def __init__(
        self, output: Output, finished: Callable[[], None], sounded: Callable[[int, int], None] = lambda *_: None
    ) -> None:
        self._output = output
        self._finished = finished
        self._sounded = sounded
        self._halt = threading.Event()
        self._thread: threading.Thread | None = None
        self._heard = Heard(0, 0)
        self._done = False

    @property
    def heard(self) -> Heard:
        return self._heard

    @property
    def done(self) -> bool:
        """Whether the sound has run to its end (or failed)."""
        return self._done

    def start(self, source: Iterator[bytes], at: int, late: int) -> None:
        """Plays ``source`` from ``at`` (Unix ms) on, which was ``late`` ms ago: what is due is put out at once.

        An empty block is 20 ms of silence that nobody sent: it is not counted as heard.

        The pace is the monotonic clock's, so that a step of the wall clock neither stalls nor hurries the sound.
        """
        self._halt = threading.Event()
        self._heard = Heard(0, 0)
        self._done = False
        begun = time.monotonic() - late / 1000
        self._thread = threading.Thread(target=self._run, args=(source, at, begun, self._halt), name="player")
        self._thread.start()

    def stop(self) -> Heard:
        """What was heard, silence from now on (within one block)."""
        self._halt.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        return self._heard

    def close(self) -> None:
        self.stop()
        self._output.close()

    def _run(self, source: Iterator[bytes], at: int, begun: float, halt: threading.Event) -> None:
        failure = ""
        failing: float | None = None
        self._output.begin(at * PER_MS, begun)
        try:
            for number, block in enumerate(source):
                due = begun + number * BLOCK / RATE - self._output.ahead
                if halt.wait(max(due - time.monotonic(), 0)):
                    return self._halted()
                try:
                    if block:
                        self._output.write(at * PER_MS + number * BLOCK, block)
                except OSError as error:
                    failure = f"output: {error.strerror}"
                    failing = self._failing(failing, failure)
                    continue
                failing = None
                self._heard = Heard(self._heard.samples + len(block) // 2, self._heard.energy + energy(block))
                self._sounded(self._heard.samples, self._heard.energy)
            if halt.wait(max(begun + self._heard.samples / RATE - time.monotonic(), 0)):
                return self._halted()
        except SoundError as error:
            failure = f"decoder: {error}"
        except _GivenUp:
            pass
        if failure:
            log.error("%s", failure)
            self._heard = Heard(self._heard.samples, self._heard.energy, failure)
        self._done = True
        self._finished()
        return None

    def _failing(self, since: float | None, failure: str) -> float:
        """Since when the output fails. Raises _GivenUp once that is too long ago."""
        now = time.monotonic()
        if since is None:
            log.warning("%s; tried again", failure)
            return now
        if now - since > GIVE_UP:
            raise _GivenUp
        return since

    def _halted(self) -> None:
        """Silence now: what was only queued has not been heard."""
        unheard = self._output.halt()
        self._heard = Heard(max(self._heard.samples - unheard, 0), self._heard.energy)


class _GivenUp(Exception):
    """The output has failed for too long."""
