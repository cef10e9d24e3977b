"""The poll loop: asks whoever is due, turn by turn in a thread of its own, and keeps the picture of the whole fleet.

The clock, the sweeper and the recorder are passed in. A recorder that raises ends the loop: the exception leaves
``run``, so that whoever supervises it hears of it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from time import monotonic
from types import MappingProxyType
from typing import Final, Protocol, TypeVar

from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId, Network, Sim
from nms.monitor import cellular, schedule
from nms.monitor.cellular import Look, Usage
from nms.monitor.fleet import Fleet, PollSettings, fleet_of
from nms.monitor.health import (
    LOST,
    ON_BATTERY,
    Cause,
    Health,
    Member,
    Observation,
    State,
    Window,
    assess,
    causes,
)
from nms.monitor.limits import Limits, faults
from nms.monitor.profiles import Profile
from nms.monitor.schedule import Slot
from nms.monitor.snmp.outcome import Outcome, Reading, Refusal, Silence, Sweep, SweepStats, Target

V = TypeVar("V")

__all__ = ["Monitor", "PollSettings", "Recorder", "Snapshot", "StateChange"]

TURN: Final = 1.0
"""Seconds from turn to turn; a quarter of the shortest interval if that is shorter."""

JUDGING: Final = 0.2
"""Share of the time that may go into judging the fleet: turns of a large one are further apart."""


@dataclass(frozen=True, slots=True)
class StateChange:
    """A device went from one state (None: it is new) or cause to another."""

    device: DeviceId
    at: datetime
    before: State | None
    after: State
    cause: str | None
    previous_cause: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole fleet after a turn that began at ``at``: every device's last outcome and when it was asked.

    ``stats`` are the turn's, but ``targets``, ``answered`` and ``refused`` count the fleet as last known. ``usages``:
    the present month of each SIM; ``ended``: months that ended in this turn. ``behind``: seconds by which the turn
    was late for the device that had waited longest.
    """

    at: datetime
    healths: Mapping[DeviceId, Health]
    outcomes: Mapping[DeviceId, Outcome]
    stats: SweepStats
    causes: tuple[Cause, ...]
    asked: Mapping[DeviceId, datetime] = field(default_factory=dict)
    usages: Mapping[str, Usage] = field(default_factory=dict)
    ended: tuple[Usage, ...] = ()
    behind: float = 0.0

    def reading(self, device: DeviceId) -> Reading | None:
        """The device's last word, if it was an answer."""
        outcome = self.outcomes.get(device)
        return outcome if isinstance(outcome, Reading) else None


class Recorder(Protocol):
    """Where the monitor's findings go; called from the monitor's thread, ``changed`` only with something to say."""

    def changed(self, events: Sequence[StateChange]) -> None: ...

    def swept(self, snapshot: Snapshot) -> None: ...


class Asker(Protocol):
    """Whoever asks the fleet: ``snmp.sweep.Sweeper``."""

    def sweep(self, targets: Sequence[Target], cancelled: Callable[[], bool]) -> Sweep: ...


def observe(outcome: Outcome, limits: Limits, before: Health | None) -> Observation:
    """What an outcome says about health: exceeded limits by name; a refused answer is a fault, but it is an answer."""
    if isinstance(outcome, Reading):
        cell, on_battery = outcome.metrics.get("cell"), outcome.metrics.get(ON_BATTERY)
        found = faults(limits, outcome.metrics, before.faults if before else ())
        mains = not on_battery if isinstance(on_battery, bool) else None
        return Observation(True, cell if isinstance(cell, str) else None, found, mains)
    if isinstance(outcome, Refusal):
        return Observation(True, None, (f"refused: {outcome.reason}",))
    return Observation(False)


def changes(before: Mapping[DeviceId, Health], after: Mapping[DeviceId, Health], at: datetime) -> list[StateChange]:
    """One event per device whose state, or the cause of its loss, is not what it was."""
    found = []
    for device, health in after.items():
        old = before.get(device)
        moved = old is None or old.state is not health.state
        if moved or (old is not None and health.state is State.UNREACHABLE and old.cause != health.cause):
            cause, state = (old.cause, old.state) if old is not None else (None, None)
            found.append(StateChange(device, at, state, health.state, health.cause, cause))
    return found


def _no_windows(_: datetime) -> Mapping[DeviceId, tuple[Window, ...]]:
    return {}


def _kept(before: Mapping[DeviceId, V], now: Mapping[DeviceId, V], fleet: Fleet) -> Mapping[DeviceId, V]:
    """What was known and what is new, of those who are still in the fleet."""
    merged = {**before, **now}
    if len(merged) > len(fleet.targets):
        merged = {d: value for d, value in merged.items() if d in fleet.targets}
    return MappingProxyType(merged)


def _of_fleet(stats: SweepStats, outcomes: Mapping[DeviceId, Outcome], fleet: Fleet) -> SweepStats:
    kinds = Counter(map(type, outcomes.values()))
    return replace(stats, targets=len(fleet.targets), answered=kinds[Reading], refused=kinds[Refusal])


def _sum(parts: Sequence[SweepStats]) -> SweepStats:
    """The sweeps of one turn as one."""
    names = [f.name for f in fields(SweepStats) if f.name != "granted"]
    return replace(parts[-1], **{name: sum(getattr(part, name) for part in parts) for name in names})


def look(sim: Sim, device: DeviceId, outcome: Outcome, health: Health, at: datetime) -> Look:
    """What an outcome says about the device's SIM. Mains lost is no loss of service, and one silence is none yet."""
    name = cellular.card(sim)
    if not isinstance(outcome, Silence):
        metrics = outcome.metrics if isinstance(outcome, Reading) else {}
        numbers = {m: v for m, v in metrics.items() if isinstance(v, float)}
        both = "rx_bytes" in numbers and "tx_bytes" in numbers
        counters = (int(numbers["rx_bytes"]), int(numbers["tx_bytes"])) if both else None
        return Look(name, device, at, True, counters, numbers.get("uptime_s"))
    gone = health.state in LOST and not (health.cause or "").startswith("power:")
    return Look(name, device, at, False if gone else None)


class Monitor:
    """Polls a network and judges it. ``poll_once`` asks everybody; ``start`` asks whoever is due until ``stop``."""

    def __init__(
        self,
        network: Network,
        on: date,
        profiles: Mapping[str, Profile],
        settings: PollSettings,
        sweeper: Asker,
        clock: Callable[[], datetime],
        recorder: Recorder,
        restore: Mapping[DeviceId, Health] | None = None,
        usages: Mapping[str, Usage] | None = None,
        opened: Callable[[datetime], Mapping[DeviceId, tuple[Window, ...]]] = _no_windows,
    ) -> None:
        """``restore``: the healths of an earlier run; with them the last known cells survive a restart.

        ``usages``: the SIMs' last known months. ``opened``: the maintenance that people have opened by now.
        """
        self._on = on
        self._profiles = profiles
        self._settings = settings
        self._sweeper = sweeper
        self._clock = clock
        self._recorder = recorder
        self._opened = opened
        self._fleet = fleet_of(network, on, profiles, settings)
        self._healths: Mapping[DeviceId, Health] = MappingProxyType(dict(restore or {}))
        self._usages: Mapping[str, Usage] = MappingProxyType(dict(usages or {}))
        self._slots: dict[DeviceId, Slot] = {}
        self._scheduled: Fleet | None = None
        self._soon: set[DeviceId] = set()
        self._soon_lock = threading.Lock()
        self._latest: Snapshot | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def latest(self) -> Snapshot | None:
        """The whole fleet after the last complete turn; None before the first."""
        return self._latest

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Why some devices are not polled."""
        return self._fleet.diagnostics

    def reload(self, network: Network, on: date | None = None) -> None:
        """From the next turn on the fleet is that of ``network``; what is known of devices that stay is kept."""
        self._on = on or self._on
        self._fleet = fleet_of(network, self._on, self._profiles, self._settings)

    def poll_soon(self, devices: Iterable[DeviceId]) -> None:
        """Asks these devices in the next turn if their budgets allow it; from any thread. Strangers are ignored."""
        with self._soon_lock:
            self._soon.update(d for d in devices if d in self._fleet.targets)

    def poll_once(self) -> Snapshot | None:
        """A turn that asks the whole fleet; None if it was cancelled."""
        return self._turn(self._fleet, whole=True)

    def turn(self) -> Snapshot | None:
        """A turn that asks whoever is due, and whom that makes worth asking; None if it was cancelled."""
        return self._turn(self._fleet)

    def run(self) -> None:
        """A turn every second or so until ``stop``; one that takes longer is followed by the next at once."""
        idle_since = monotonic()
        while not self._stopping.is_set():
            began = monotonic()
            pause = min(TURN, self._fleet.shortest / 4)
            judging = 0.0
            if self._pending(began) or began - idle_since >= self._settings.interval:
                snapshot = self.turn()
                idle_since = began
                judging = monotonic() - began - (snapshot.stats.seconds if snapshot else 0.0)
            # a store that keeps the recorder waiting looks like judging, and must not keep anybody from being asked
            apart = min(max(pause, judging / JUDGING), self._settings.interval, self._fleet.shortest)
            self._stopping.wait(max(0.0, began + apart - monotonic()))

    def start(self) -> None:
        """``run`` in a thread."""
        self._thread = threading.Thread(target=self.run, name="monitor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the loop; a sweep under way is cancelled within a tenth of a second. Not to be started again."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    # --- one turn

    def _pending(self, seconds: float) -> bool:
        """Whether there is anybody to ask: a new fleet, somebody to ask early, somebody due."""
        first = schedule.next_due(self._slots)
        return bool(self._soon) or self._scheduled is not self._fleet or (first is not None and first <= seconds)

    def _turn(self, fleet: Fleet, whole: bool = False) -> Snapshot | None:
        at = self._clock()
        now = schedule.moment(monotonic(), at)
        if self._scheduled is not fleet:
            self._slots, self._scheduled = schedule.reconcile(self._slots, fleet.rules, now), fleet
        self._bring_forward(fleet, now)
        late = schedule.behind(self._slots, now.seconds)
        first = list(self._slots) if whole else schedule.due(self._slots, now.seconds)
        found = self._ask(fleet, first, now)
        return None if found is None else self._judged(fleet, found, at, late)

    def _bring_forward(self, fleet: Fleet, now: schedule.Moment) -> None:
        with self._soon_lock:
            early, self._soon = self._soon & self._slots.keys(), set()
        for device in early:
            self._slots[device] = schedule.soon(self._slots[device], fleet.rules[device], now)

    def _ask(self, fleet: Fleet, first: Collection[DeviceId], now: schedule.Moment) -> Sweep | None:
        """Asks ``first``, and whoever shares the fate of one that fell silent or came back; None if cancelled.

        So a group that is lost or back together is judged together, whosever turn it was.
        """
        outcomes: dict[DeviceId, Outcome] = {}
        parts: list[SweepStats] = []
        asking = list(first)
        while asking or not parts:
            now = replace(now, seconds=monotonic())
            sweep = self._sweeper.sweep([fleet.targets[d] for d in asking], self._stopping.is_set)
            if self._stopping.is_set():
                return None
            parts.append(sweep.stats)
            outcomes |= sweep.outcomes
            self._note(fleet, sweep.outcomes, now)
            asking = self._fellows(fleet, sweep.outcomes, outcomes.keys(), now)
        return Sweep(outcomes, _sum(parts))

    def _note(self, fleet: Fleet, outcomes: Mapping[DeviceId, Outcome], now: schedule.Moment) -> None:
        for device, outcome in outcomes.items():
            answered = not isinstance(outcome, Silence)
            rule, often = fleet.rules[device], schedule.unsteady(self._healths.get(device))
            slot = schedule.asked(self._slots[device], device, rule, now, answered, outcome.octets, often)
            self._slots[device] = slot

    def _fellows(
        self, fleet: Fleet, outcomes: Mapping[DeviceId, Outcome], done: Collection[DeviceId], now: schedule.Moment
    ) -> list[DeviceId]:
        """Who else to ask in this turn: those who may be lost with the fallen or be back with the returned."""
        if len(done) == len(fleet.targets):
            return []
        silent = {d: isinstance(outcome, Silence) for d, outcome in outcomes.items()}
        fell, back = schedule.turned(silent, self._healths)
        slots, rules = self._slots, fleet.rules
        with_fallen = {
            d
            for d in schedule.companions(fleet.members, self._healths, fell)
            if not schedule.lost(self._healths.get(d)) and not schedule.unconfirmed(slots[d], rules[d], now)
        }
        with_returned = {
            d for d in schedule.companions(fleet.members, self._healths, back) if schedule.lost(self._healths.get(d))
        }
        found = (with_fallen | with_returned) - set(done)
        return [d for d in found if schedule.affordable(slots[d], rules[d], now)]

    def _judged(self, fleet: Fleet, sweep: Sweep, at: datetime, late: float) -> Snapshot:
        before, last = self._healths, self._latest
        observations = {d: observe(o, fleet.limits[d], before.get(d)) for d, o in sweep.outcomes.items()}
        after = MappingProxyType(dict(assess(self._members(fleet, at), observations, before, at)))
        usages, ended = self._counted(fleet, sweep.outcomes, after, at)
        outcomes = _kept(last.outcomes if last else {}, sweep.outcomes, fleet)
        snapshot = Snapshot(
            at,
            after,
            outcomes,
            _of_fleet(sweep.stats, outcomes, fleet),
            causes(after),
            _kept(last.asked if last else {}, dict.fromkeys(sweep.outcomes, at), fleet),
            usages,
            ended,
            late,
        )
        self._healths, self._usages, self._latest = after, usages, snapshot
        events = changes(before, after, at)
        if events:
            self._recorder.changed(events)
        self._recorder.swept(snapshot)
        return snapshot

    def _members(self, fleet: Fleet, at: datetime) -> Mapping[DeviceId, Member]:
        """The fleet's members with the maintenance that people opened."""
        opened = self._opened(at)
        if not opened:
            return fleet.members
        worked_on = {d: fleet.members[d] for d in opened if d in fleet.members}
        return {
            **fleet.members,
            **{d: replace(m, maintenance=(*m.maintenance, *opened[d])) for d, m in worked_on.items()},
        }

    def _counted(
        self, fleet: Fleet, outcomes: Mapping[DeviceId, Outcome], healths: Mapping[DeviceId, Health], at: datetime
    ) -> tuple[Mapping[str, Usage], tuple[Usage, ...]]:
        usages, ended = dict(self._usages), list[Usage]()
        for device, outcome in outcomes.items():
            sim = fleet.sims.get(device)
            if sim is None:
                continue
            seen = look(sim, device, outcome, healths[device], at)
            *past, usages[seen.sim] = cellular.count(usages.get(seen.sim), seen)
            ended += past
        return MappingProxyType(usages), tuple(ended)
