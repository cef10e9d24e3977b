"""The poll loop: sweeps the fleet every interval in a thread of its own and keeps the latest picture of it.

The clock, the sweeper and the recorder are passed in. A recorder that raises ends the loop: the exception leaves
``run``, so that whoever supervises it hears of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from time import monotonic
from types import MappingProxyType
from typing import Protocol

from inventory.diagnostics import Diagnostic
from inventory.model import Device, DeviceId, Network
from inventory.overlay import address
from nms.monitor.health import Cause, Health, Member, Observation, State, assess, causes
from nms.monitor.profiles import Profile
from nms.monitor.snmp.outcome import Outcome, Reading, Refusal, Sweep, SweepStats, Target
from nms.monitor.snmp.usm import Security


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
    """The fleet after one sweep that began at ``at``."""

    at: datetime
    healths: Mapping[DeviceId, Health]
    outcomes: Mapping[DeviceId, Outcome]
    stats: SweepStats
    causes: tuple[Cause, ...]

    def reading(self, device: DeviceId) -> Reading | None:
        """The device's answer in this sweep, if it gave one."""
        outcome = self.outcomes.get(device)
        return outcome if isinstance(outcome, Reading) else None


class Recorder(Protocol):
    """Where the monitor's findings go; called from the monitor's thread, ``changed`` only with something to say."""

    def changed(self, events: Sequence[StateChange]) -> None: ...

    def swept(self, snapshot: Snapshot) -> None: ...


class Asker(Protocol):
    """Whoever asks the fleet: ``snmp.sweep.Sweeper``."""

    def sweep(self, targets: Sequence[Target], cancelled: Callable[[], bool]) -> Sweep: ...


@dataclass(frozen=True, slots=True)
class PollSettings:
    """How the fleet is asked: seconds between the starts of two sweeps, first octet of the overlay, UDP port."""

    interval: float
    octet: int
    port: int
    security: Security = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fleet:
    """The part of a network that is polled."""

    targets: tuple[Target, ...]
    members: Mapping[DeviceId, Member]
    profiles: Mapping[DeviceId, Profile]
    diagnostics: tuple[Diagnostic, ...]


def polled(device: Device, on: date) -> bool:
    """In use on that date, and not a board without a connection of its own."""
    return device.connected and device.in_use(on)


def fleet_of(network: Network, on: date, profiles: Mapping[str, Profile], settings: PollSettings) -> Fleet:
    """The devices to poll; one whose profile is unknown is left out and reported."""
    devices = [d for d in network.devices.values() if polled(d, on)]
    known = [d for d in devices if d.profile in profiles]
    return Fleet(
        targets=tuple(
            Target(d.id, address(d.id, settings.octet), settings.port, settings.security, profiles[d.profile])
            for d in known
        ),
        members=MappingProxyType({d.id: Member(d.uplink, d.power_area) for d in known}),
        profiles=MappingProxyType({d.id: profiles[d.profile] for d in known}),
        diagnostics=tuple(
            Diagnostic(
                "MON009",
                d.place,
                "'{device}' is not polled: unknown profile '{profile}'",
                "use one of: {known}, or add a profile",
                {"device": d.id, "profile": d.profile, "known": ", ".join(profiles)},
            )
            for d in devices
            if d.profile not in profiles
        ),
    )


def observe(outcome: Outcome, profile: Profile) -> Observation:
    """What an outcome says about health: exceeded limits by name; a refused answer is a fault, but it is an answer."""
    if isinstance(outcome, Reading):
        cell = outcome.metrics.get("cell")
        return Observation(True, cell if isinstance(cell, str) else None, profile.exceeded(outcome.metrics))
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


class Monitor:
    """Polls a network and judges it. ``poll_once`` is one turn; ``start`` turns every interval until ``stop``."""

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
    ) -> None:
        """``restore``: the healths of an earlier run; with them the last known cells survive a restart."""
        self._on = on
        self._profiles = profiles
        self._settings = settings
        self._sweeper = sweeper
        self._clock = clock
        self._recorder = recorder
        self._fleet = fleet_of(network, on, profiles, settings)
        self._healths: Mapping[DeviceId, Health] = MappingProxyType(dict(restore or {}))
        self._latest: Snapshot | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def latest(self) -> Snapshot | None:
        """The picture after the last complete sweep; None before the first."""
        return self._latest

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Why some devices are not polled."""
        return self._fleet.diagnostics

    def reload(self, network: Network, on: date | None = None) -> None:
        """From the next sweep on the fleet is that of ``network``; what is known of devices that stay is kept."""
        self._on = on or self._on
        self._fleet = fleet_of(network, self._on, self._profiles, self._settings)

    def poll_once(self) -> Snapshot | None:
        """One sweep, judged and recorded; None if it was cancelled."""
        fleet, at = self._fleet, self._clock()
        sweep = self._sweeper.sweep(fleet.targets, self._stopping.is_set)
        if self._stopping.is_set():
            return None
        observations = {d: observe(outcome, fleet.profiles[d]) for d, outcome in sweep.outcomes.items()}
        before = self._healths
        after = MappingProxyType(dict(assess(fleet.members, observations, before, at)))
        snapshot = Snapshot(at, after, MappingProxyType(dict(sweep.outcomes)), sweep.stats, causes(after))
        self._healths, self._latest = after, snapshot
        events = changes(before, after, at)
        if events:
            self._recorder.changed(events)
        self._recorder.swept(snapshot)
        return snapshot

    def run(self) -> None:
        """Sweeps every interval until ``stop``; a sweep that takes longer is followed by the next at once."""
        while not self._stopping.is_set():
            began = monotonic()
            self.poll_once()
            self._stopping.wait(max(0.0, self._settings.interval - (monotonic() - began)))

    def start(self) -> None:
        """``run`` in a thread."""
        self._thread = threading.Thread(target=self.run, name="monitor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the loop; a sweep under way is cancelled within a tenth of a second. Not to be started again."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
