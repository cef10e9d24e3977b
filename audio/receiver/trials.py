"""The device tries itself out (thử loa): its own tone, or the same way in silence, when the hub asks for it.

A trial gives way to everything: it begins only where nothing is due, and ends when something is. Each begins once, also
across reboots, and is answered by one receipt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from audio.documents import (
    Audience,
    Bulletin,
    BulletinClass,
    ContentKind,
    NowKind,
    Policy,
    Receipt,
    Result,
    Trial,
    TrialKind,
)
from audio.receiver.clock import DeviceTime
from audio.receiver.journal import Journal, uuid7
from audio.receiver.sound import Round, Tone
from audio.receiver.stage import OnAir
from audio.timetable import Decision, Order, Play, quiet_begins

LENGTH = {TrialKind.TONE: 2_000, TrialKind.CHECK: 400}
"""Milliseconds."""
FORBIDDEN = frozenset({"emergency hold", "quiet hours", "silent window", "silenced"})
"""Why the timetable keeps silence where no tone may break it."""


class Trials:
    """The trial that was asked for last, until it is answered."""

    def __init__(self, device: str, journal: Journal, time: DeviceTime) -> None:
        self._device = device
        self._journal = journal
        self._time = time
        self._asked: Trial | None = None

    def ask(self, trial: Trial) -> None:
        """A verified document asks for it."""
        self._asked = trial

    def kind(self, play: Play) -> TrialKind | None:
        """Which trial a sound is; None for one of the programme."""
        return None if self._asked is None or play.airing != self._asked.id else self._asked.kind

    def decide(
        self, decision: Decision, at: int, on_air: OnAir | None, orders: tuple[Order, ...], policy: Policy, content: str
    ) -> Decision:
        """The timetable's decision, or the trial where that leaves room; ``content``: a sound held here, or nothing."""
        trial = self._asked
        if trial is None:
            return decision
        if on_air is not None and on_air.play.airing == trial.id:
            return _going_on(trial.kind, decision, on_air.play)
        if (trial.id, 0) in self._journal.reported:
            self._asked = None
            return decision
        if trial.kind is TrialKind.TONE and not self._time.synchronised:
            return decision  # whether it is night is not known yet
        obstacle = "too late" if at >= trial.until else _obstacle(trial.kind, decision, at, orders, policy)
        if obstacle:
            self.refuse(trial.id, obstacle)
            return decision
        ends = at + LENGTH[trial.kind]
        play = _play(trial.id, ends, content if trial.kind is TrialKind.CHECK else "")
        return Decision(play, str(trial.kind), min(decision.until, ends))

    def sound(self, play: Play, ceiling: int, path: Callable[[str], Path]) -> Round | Tone | None:
        """What a trial sends to the output; None for a sound of the programme."""
        kind = self.kind(play)
        if kind is None:
            return None
        if play.bulletin.content:
            return Round(((path(play.bulletin.content), LENGTH[kind]),), volume=0)
        return Tone(LENGTH[kind], ceiling if kind is TrialKind.TONE else 0)

    def refuse(self, airing: str, reason: str) -> None:
        """It could not begin."""
        if self._asked is None or self._asked.id != airing:
            return
        self._asked, at = None, self._time.now()
        receipt = Receipt(uuid7(at), self._device, airing, "", 0, "", at, at, 0, Result.REFUSED, reason)
        self._journal.report(replace(receipt, clock_error=self._time.error))


def _going_on(kind: TrialKind, decision: Decision, play: Play) -> Decision:
    if decision.play is not None or (kind is TrialKind.TONE and decision.reason in FORBIDDEN):
        return decision
    return Decision(play, str(kind), min(decision.until, play.ends))


def _obstacle(kind: TrialKind, decision: Decision, at: int, orders: tuple[Order, ...], policy: Policy) -> str:
    """Why it may not begin; empty if it may. A silent check is kept by nothing but a sound."""
    if decision.play is not None:
        return "busy"
    if kind is TrialKind.CHECK:
        return ""
    if decision.reason in FORBIDDEN:
        return decision.reason
    if any(o.kind is NowKind.STOP and not o.names and o.start <= at < o.until for o in orders):
        return "stopped"
    return "quiet hours" if quiet_begins(at, policy) < at + LENGTH[kind] else ""


def _play(trial: str, ends: int, content: str) -> Play:
    """A sound that is nobody's bulletin."""
    sound = Bulletin(
        id="",
        version=0,
        cls=BulletinClass.NORMAL,
        kind=ContentKind.RECORDING,
        tier="",
        origin="",
        title="",
        content=content,
        duration=0,
        audience=Audience(),
        valid_from=0,
        valid_until=ends,
    )
    return Play(trial, 0, sound, 0, ends)
