"""The hub watches itself: late polling, disk, database, broker, clock, memory. Decisions are pure; the edge measures.

Time is measured with the monotonic clock, so that a wall clock that jumps is noticed and misleads nobody. What the
store does not take is told as soon as it takes it: the alarm then says since when.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Final, Protocol

from sqlalchemy.orm import Session

from nms.alarm_store import LOOK_AGAIN, open_alarms, settle
from nms.alarms import AlarmKind, Raised
from nms.journal import EventKind, append
from nms.monitor.parts import Picture, patience
from nms.outage import Outage
from nms.store import Store, StoreError

log = logging.getLogger("loa.self")

EVERY: Final = 5.0
"""Seconds between two looks."""
WAIT: Final = 10.0
"""Seconds that a write may take."""
AWAY: Final = 30.0
"""Seconds that the broker may be away."""
JUMP: Final = 2.0
"""Seconds by which the wall clock may differ from the time that has passed."""
UNKEPT: Final = 600.0
"""Seconds for which the kernel may say that NTP does not keep the clock: a machine that starts needs some time to find
its servers. It says so only hours after the last word from one (when the error may be 16 s: adjtimex(2), maxerror)."""
MEMORY: Final = 400 * 2**20
"""Bytes in memory that this program should not need (budget of 5,000 devices with everything on)."""
SCARCE, CRITICAL, LEAST = 0.10, 0.02, 200 * 2**20
"""Share of the disk that should be free, share that must be, and bytes that must be."""
CALM: Final = 60.0
"""Seconds for which something must be well before its alarm ends."""

KINDS: Final = (
    AlarmKind.SELF_POLLER,
    AlarmKind.SELF_DISK,
    AlarmKind.SELF_DATABASE,
    AlarmKind.SELF_BROKER,
    AlarmKind.SELF_CLOCK,
    AlarmKind.SELF_NTP,
    AlarmKind.SELF_MEMORY,
)
_CRITICAL: Final = "critical"
_PROCESS: Final = "hub:"
_SHARD: Final = re.compile(r"shard \d+/(\d+)")

HELD: Final = {AlarmKind.SELF_CLOCK: 600.0, AlarmKind.SELF_DATABASE: 600.0}
"""Seconds for which what is over at once, or could not be told while it lasted, stays told."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One look, in seconds and bytes. ``polled``: since the poller's last turn, or by how much it is late; ``broker``:
    without connection; None where this process does not do that. ``jumped``: the wall clock against the time passed;
    ``unkept``: since NTP kept it.

    ``failure``: of the last write; ``writing``: how long the present one takes.
    """

    free: int
    total: int
    memory: int
    jumped: float = 0.0
    unkept: float = 0.0
    failure: str = ""
    writing: float = 0.0
    polled: float | None = None
    broker: float | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    kind: AlarmKind
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A problem since ``since``; told until ``until`` (monotonic seconds), ``present`` while it lasts."""

    detail: str
    since: datetime
    until: float
    present: bool = True


Troubles = Mapping[AlarmKind, Trouble]


def problems(seen: Measured, late: float, least: int = LEAST) -> Iterator[Problem]:
    """What is wrong. ``late``: seconds after which the poller is behind; ``least``: bytes that must be free."""
    if seen.polled is not None and seen.polled > late:
        yield Problem(AlarmKind.SELF_POLLER)
    share = seen.free / max(seen.total, 1)
    if share < CRITICAL or seen.free < least:
        yield Problem(AlarmKind.SELF_DISK, f"{_CRITICAL}, {share:.0%}")
    elif share < SCARCE:
        yield Problem(AlarmKind.SELF_DISK, f"{share:.0%}")
    if seen.failure or seen.writing > WAIT:
        yield Problem(AlarmKind.SELF_DATABASE, seen.failure)
    if seen.broker is not None and seen.broker > AWAY:
        yield Problem(AlarmKind.SELF_BROKER)
    if abs(seen.jumped) > JUMP:
        yield Problem(AlarmKind.SELF_CLOCK, f"{seen.jumped:+.0f} s")
    if seen.unkept > UNKEPT:
        yield Problem(AlarmKind.SELF_NTP)
    if seen.memory > MEMORY:
        yield Problem(AlarmKind.SELF_MEMORY, f"{seen.memory // 2**20 // 50 * 50} MiB")


def rooted(found: Iterable[Problem], before: Troubles) -> Iterator[Problem]:
    """Problems without writes that fail for want of room on the disk: that is one thing to mend, and one alarm.

    For a database on the watched disk. Its last failure is known until the next write: the disk's trouble outlasts it.
    """
    known = tuple(found)
    last = before.get(AlarmKind.SELF_DISK)
    disk = next((p.detail for p in known if p.kind is AlarmKind.SELF_DISK), last.detail if last is not None else "")
    full = disk.startswith(_CRITICAL)
    return (p for p in known if not (full and p.kind is AlarmKind.SELF_DATABASE))


def follow(before: Troubles, found: Iterable[Problem], now: datetime, seconds: float) -> Troubles:
    """What to tell now: what is found, and what was found lately. A jump of the clock is over as it is seen, but for
    its time it stands.
    """
    after: dict[AlarmKind, Trouble] = {}
    for problem in found:
        old = before.get(problem.kind)
        until = seconds + HELD.get(problem.kind, CALM)
        after[problem.kind] = Trouble(problem.detail, old.since if old else now, until)
    for kind, old in before.items():
        if kind not in after and seconds < old.until:
            after[kind] = Trouble(old.detail, old.since, old.until, present=kind is AlarmKind.SELF_CLOCK)
    return after


def process(claims: Iterable[str]) -> str:
    """The subject of what a process tells about itself, made of what only it may do (``shard 2/4``)."""
    return _PROCESS + ", ".join(claims)


def replaced(other: str, running: str) -> bool:
    """Whether the process ``other`` is no more, since ``running`` is: they share a claim, or count the parts anew."""
    theirs, ours = (set(name.removeprefix(_PROCESS).split(", ")) for name in (other, running))
    counts = [{found[1] for claim in claims if (found := _SHARD.fullmatch(claim))} for claims in (theirs, ours)]
    return not theirs.isdisjoint(ours) or (all(counts) and counts[0] != counts[1])


class Link(Protocol):
    """The connection to the broker: ``audio.broker.Broker``."""

    @property
    def connected(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Watched:
    """What one process watches: the folder it writes in, and what it has of poller and broker.

    ``inside``: whether the database lies in the folder too. ``kept``: whether NTP keeps the machine's clock.
    """

    store: Store
    folder: Path
    interval: float
    poller: Picture | None = None
    broker: Link | None = None
    least: int = LEAST
    inside: bool = False
    kept: Callable[[], bool] = lambda: True


class SelfWatch:
    """``troubles`` and ``ok`` are current whatever the store takes; alarms and events follow as soon as it does."""

    def __init__(
        self,
        name: str,
        watched: Watched,
        clock: Callable[[], datetime],
        others: bool = False,
        ticks: Callable[[], float] = monotonic,
    ) -> None:
        """``name``: the subject of its alarms. ``others``: whether other processes raise such alarms too."""
        self._name = name
        self._watched = watched
        self._clock = clock
        self._others = others
        self._ticks = ticks
        self._last = clock(), ticks()
        self._poll: tuple[object, float] = None, ticks()
        self._connected = ticks()
        self._kept = 0.0  # as long as the machine runs: a restart of the hub's neither ends nor delays that alarm
        self._jumps: list[tuple[datetime, str]] = []
        self._raised: frozenset[Raised] | None = None
        self._told = 0.0
        self._telling: asyncio.Task[None] | None = None
        self._outage = Outage(log)
        self.troubles: Troubles = {}

    def ok(self) -> Mapping[str, bool]:
        """By reason (``disk``), whether all is well."""
        present = {kind for kind, trouble in self.troubles.items() if trouble.present}
        return {kind.removeprefix("self_"): kind not in present for kind in KINDS}

    def clock_good(self) -> bool:
        """Whether the wall clock may be believed: not after a jump, also one that no look has seen yet."""
        return self.ok()["clock"] and abs(self._jumped(self._clock(), self._ticks())) <= JUMP

    async def run(self) -> None:
        """Look every few seconds until cancelled."""
        try:
            while True:
                self.look()
                await asyncio.sleep(EVERY)
        finally:
            if self._telling is not None:
                self._telling.cancel()

    def look(self) -> None:
        """Measure and decide at once; what must be told is told beside, because the store may be what is wrong."""
        now, seconds = self._clock(), self._ticks()
        seen = self._measure(now, seconds)
        found = tuple(problems(seen, patience(self._watched.interval).total_seconds(), self._watched.least))
        found = tuple(rooted(found, self.troubles)) if self._watched.inside else found
        self._jumps += [(now, p.detail) for p in found if p.kind is AlarmKind.SELF_CLOCK]
        for problem in found:
            if problem.kind not in self.troubles:
                log.warning("%s %s", problem.kind, problem.detail)
        self.troubles = follow(self.troubles, found, now, seconds)
        raised = frozenset(Raised(self._name, k, t.since, t.detail) for k, t in self.troubles.items())
        due = raised != self._raised or self._jumps or seconds - self._told >= LOOK_AGAIN.total_seconds()
        if due and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(self._tell(raised, tuple(self._jumps), now, seconds))

    async def _tell(
        self, raised: frozenset[Raised], jumps: tuple[tuple[datetime, str], ...], now: datetime, seconds: float
    ) -> None:
        def write(session: Session) -> None:
            for at, detail in jumps:
                append(session, at, EventKind.SELF_CLOCK, self._name, cause=detail)
            settle(session, KINDS, raised | self._of_others(session), now)

        try:
            await self._watched.store.write(write)
        except StoreError as error:
            self._outage.begun("the store does not take the hub's own alarms: %s", error)
            return
        self._outage.over("the store takes the hub's own alarms again")
        self._raised, self._told = raised, seconds
        del self._jumps[: len(jumps)]

    def _of_others(self, session: Session) -> frozenset[Raised]:
        """The alarms of the other processes, but not of those that are no more: whoever settles names all."""
        if not self._others:
            return frozenset()
        return frozenset(
            Raised(a.subject, a.kind, a.since, a.cause, a.affected, opens=False)
            for a in open_alarms(session)
            if a.kind in KINDS and a.subject != self._name and not replaced(a.subject, self._name)
        )

    # -- measuring

    def _measure(self, now: datetime, seconds: float) -> Measured:
        watched, pulse = self._watched, self._watched.store.pulse
        disk = shutil.disk_usage(watched.folder)
        jumped = self._jumped(now, seconds)
        self._last = now, seconds
        return Measured(
            free=disk.free,
            total=disk.total,
            memory=_resident(),
            jumped=jumped,
            unkept=self._unkept(seconds),
            failure=pulse.failure,
            writing=0.0 if pulse.busy_since is None else monotonic() - pulse.busy_since,
            polled=self._polled(seconds),
            broker=self._without_broker(seconds),
        )

    def _jumped(self, now: datetime, seconds: float) -> float:
        """By how much the wall clock has gone on more than time since the last look."""
        return (now - self._last[0]).total_seconds() - (seconds - self._last[1])

    def _unkept(self, seconds: float) -> float:
        if self._watched.kept():
            self._kept = seconds
        return seconds - self._kept

    def _polled(self, seconds: float) -> float | None:
        if self._watched.poller is None:
            return None
        snapshot = self._watched.poller.latest
        if snapshot is not self._poll[0]:
            self._poll = snapshot, seconds
        return max(seconds - self._poll[1], snapshot.behind if snapshot is not None else 0.0)

    def _without_broker(self, seconds: float) -> float | None:
        if self._watched.broker is None:
            return None
        if self._watched.broker.connected:
            self._connected = seconds
        return seconds - self._connected


def _resident() -> int:
    """Bytes of this process in memory, from Linux's ``/proc``."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
