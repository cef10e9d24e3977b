"""What is on the air: begins it, follows it, ends it, and has the journal know each of these before it matters."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from audio.documents import Receipt, Result
from audio.receiver.clock import DeviceTime
from audio.receiver.journal import Journal, level, uuid7
from audio.receiver.live import Signal
from audio.receiver.player import Heard
from audio.receiver.sound import BLOCK, PER_MS, Round, Tone, blocks, primed
from audio.timetable import Play

log = logging.getLogger(__name__)

PROGRESS = 1_500
"""The journal learns no more often than this (ms) how far the sound has got: with the loop's ticks, every 2 s."""
BLOCK_MS = BLOCK // PER_MS
LEAD = 20
"""The first sample sounds no sooner than this many ms after we got round to it: the journal comes first."""
NO_SIGNAL = "no signal"
"""Why a live session was not heard, or not all of it."""
ENOUGH = 0.95
"""Share of a live session's time with signal from which on it is played: less is partial."""
STALLED = 2_000
"""A sound that has not ended this long after its end is given up."""


class PlayerLike(Protocol):
    """See ``player.Player``."""

    @property
    def heard(self) -> Heard: ...

    @property
    def done(self) -> bool: ...

    def start(self, source: Iterator[bytes], at: int, late: int) -> None: ...

    def stop(self) -> Heard: ...


@dataclass(frozen=True, slots=True)
class OnAir:
    play: Play
    began: int
    ends: int
    volume: int
    whole: Result
    """What it is if it runs to its end."""
    lack: str = ""
    """Why this is not all that was to be heard; the rest may follow."""
    live: bool = False

    def short(self, samples: int) -> bool:
        """Whether so many samples are too few for what was to be heard: only what comes live can be."""
        return self.live and samples < ENOUGH * (self.ends - self.began) * PER_MS


@dataclass(frozen=True, slots=True)
class _Ready:
    """A sound opened ahead of its start."""

    play: tuple[str, int]
    what: Round | Tone
    source: Iterator[bytes]


class Stage:
    """One sound at a time: the history behind it is the journal's."""

    def __init__(self, device: str, journal: Journal, player: PlayerLike, time: DeviceTime) -> None:
        self._device = device
        self._journal = journal
        self._player = player
        self._time = time
        self._ready: _Ready | None = None
        self._progress = 0
        self.on_air: OnAir | None = None
        self.failure = ""
        """Why the last sound ended early by a fault of ours; empty if it did not."""
        if journal.open is not None:
            journal.end(Result.PARTIAL, "restart", True, time.now())

    def prepare(self, play: Play, what: Round | Tone | Signal) -> None:
        """Opens a sound ahead of its start. Raises SoundError."""
        if isinstance(what, Signal):
            return
        if self._ready is None or (self._ready.play, self._ready.what) != (_key(play), what):
            self._ready = _Ready(_key(play), what, primed(blocks(what)))

    def begin(
        self,
        play: Play,
        what: Round | Tone | Signal,
        at: int,
        remains: int,
        whole: Result = Result.PLAYED,
        lack: str = "",
    ) -> None:
        """Puts ``remains`` ms of ``play`` on the air at ``at``, or as soon as it can be; what is live ends when it
        was to, however late it begins. Raises SoundError instead.

        With a ``lack`` it is partial even if it runs to its end, for that reason, and its remainder may follow.
        """
        source = self._opened(play, what)
        live = isinstance(what, Signal)
        began = self._after_last(max(at, self._time.now() + LEAD))
        ends = (at if live else began) + remains
        self._journal.begin(self._receipt(play, began, whole))
        now = self._time.now()
        self._player.start(source(began, ends), began, now - began)
        self.on_air = OnAir(play, began, ends, what.volume, whole, lack, live)
        self._progress = began
        log.info("plays %s of %s from %d ms on", play.airing, play.bulletin.id, play.offset)

    def _opened(self, play: Play, what: Round | Tone | Signal) -> Callable[[int, int], Iterator[bytes]]:
        """The blocks from one instant to another; of a sound that is held they are known before. Raises SoundError."""
        if isinstance(what, Signal):
            return what.blocks
        self.prepare(play, what)
        ready, self._ready = self._ready, None
        assert ready is not None
        return lambda began, ends: ready.source

    @property
    def done(self) -> bool:
        """Whether all of what is on the air has sounded."""
        return self.on_air is not None and self._player.done

    @property
    def level(self) -> float | None:
        """Mean level of what sounds, dB below full scale; None in silence."""
        heard = self._player.heard
        return level(heard.samples, heard.energy) if self.on_air is not None else None

    def follow(self, now: int) -> None:
        """Closes what has come to its end, or records how far it has got."""
        if self.on_air is None:
            return
        if self.done:
            heard = self._player.heard
            self.failure = heard.failure
            lost = NO_SIGNAL if self.on_air.short(heard.samples) else ""
            reason = heard.failure or lost or self.on_air.lack
            # an output that fails is not tried again and again: what it was for has had its round
            cut = bool(lost or (self.on_air.lack and not heard.failure))
            self.close(Result.PARTIAL if reason else self.on_air.whole, reason, cut=cut)
        elif now > self.on_air.ends + STALLED:
            self.failure = "output stalled"
            self.close(Result.PARTIAL, self.failure, cut=False)
        elif now >= self._progress + PROGRESS:
            self._progress = now
            heard = self._player.heard
            self._journal.progress(heard.samples, heard.energy)

    def close(self, result: Result, reason: str, *, cut: bool) -> None:
        """Silence; the receipt says how far it got."""
        heard = self._player.stop()
        self._journal.progress(heard.samples, heard.energy)
        receipt = self._journal.end(result, reason, cut, self._time.now())
        log.info("%s %s: %d ms %s", receipt.airing, receipt.result, receipt.ended - receipt.started, reason)
        self.on_air = None

    def _after_last(self, at: int) -> int:
        """``at``, or the end of the block that the last sound has just put out."""
        ended = max((s.ended or 0 for s in self._journal.history[-1:]), default=0)
        return ended if at < ended < at + BLOCK_MS * 2 else at

    def _receipt(self, play: Play, began: int, whole: Result) -> Receipt:
        return Receipt(
            uuid7(began),
            self._device,
            play.airing,
            play.bulletin.id,
            play.repeat,
            play.bulletin.content,
            began,
            began,
            play.offset,
            whole,
            clock_error=self._time.error,
        )


def _key(play: Play) -> tuple[str, int]:
    return play.airing, play.repeat
