"""The fleet when several processes poll it: each writes what it found, and whoever needs the whole reads it together.

A part is judged by itself: its devices, and what is lost behind its modems. Cells and power areas reach across parts,
so that only the whole picture names them. A part of which nothing is heard is unknown, not up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Protocol

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session

from inventory.model import DeviceId, Network
from nms.alarm_store import AlarmKeeper, settle
from nms.alarms import OF_HEALTH, AlarmKind, Raised
from nms.journal import EventKind, append
from nms.monitor import shards
from nms.monitor.fleet import polled
from nms.monitor.health import (
    LOST,
    TIMER,
    Health,
    Healths,
    Member,
    Observation,
    State,
    Window,
    assess,
    causes,
)
from nms.monitor.loop import Recorder, Snapshot, StateChange
from nms.monitor.recorder import health_of
from nms.monitor.shards import Shard
from nms.monitor.snmp.outcome import Reading, SweepStats
from nms.monitor.suspects import CELL, POWER
from nms.outage import Outage
from nms.store import DeviceStateRow, ShardRow, Store, StoreError

log = logging.getLogger("loa.monitor")

BEAT_SECONDS: Final = 3.0
"""How often a part writes what it read, at most."""

MISSED_INTERVALS: Final = 3
"""Poll intervals without a word after which a part is missing."""

PATIENCE: Final = timedelta(seconds=10)
"""The least time without a word after which a part is missing: a restart of its process takes less."""

OVERLAP: Final = timedelta(seconds=60)
"""Rows are read again for so long: clocks differ, and who writes later may commit earlier."""

SUBJECT: Final = "shard:"
"""What a part is called in events, alarms and causes: ``shard:2/4``."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the fleet as its process last wrote of it."""

    shard: Shard
    swept: datetime
    missed: bool
    holder: str
    stats: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{SUBJECT}{self.shard}"


def patience(interval: float) -> timedelta:
    """How long nothing may be heard of a part polled every ``interval`` seconds."""
    return max(PATIENCE, timedelta(seconds=MISSED_INTERVALS * interval))


# --- what is written --------------------------------------------------------------------------------------------------


def take_up(session: Session, shard: Shard, holder: str, now: datetime) -> None:
    """Note who polls a part; parts of another number are history, those of this number are missed until they come."""
    session.execute(delete(ShardRow).where(ShardRow.parts != shard.count))
    known = {row.part: row for row in session.scalars(select(ShardRow))}
    for index in range(1, shard.count + 1):
        if index not in known:
            session.add(row := ShardRow(parts=shard.count, part=index, swept=now))
            known[index] = row
    known[shard.index].holder = holder


def beat(session: Session, shard: Shard, now: datetime, stats: Mapping[str, Any]) -> None:
    """A part was polled. If it had been missed, its return is an event."""
    row = session.get_one(ShardRow, (shard.count, shard.index))
    if row.missed is not None:
        append(session, now, EventKind.SELF_SHARD, f"{SUBJECT}{shard}", from_="missed", to="polled", cause=row.holder)
    row.swept, row.missed, row.stats = now, None, dict(stats)


def miss(session: Session, now: datetime, longest: timedelta) -> None:
    """Note the parts of which nothing was heard for longer than ``longest``: each is one event."""
    silent = session.scalars(select(ShardRow).where(ShardRow.missed.is_(None), ShardRow.swept < now - longest)).all()
    for row in silent:
        name = f"{SUBJECT}{Shard(row.part, row.parts)}"
        append(session, now, EventKind.SELF_SHARD, name, from_="polled", to="missed", cause=row.holder)
        row.missed = now


class PartRecorder:
    """A recorder that also writes what others need of this part: every device's last reading, and that it goes on."""

    def __init__(self, inner: Recorder, store: Store, shard: Shard) -> None:
        self._inner = inner
        self._store = store
        self._shard = shard
        self._written: datetime | None = None
        self._outage = Outage(log)

    def changed(self, events: Sequence[StateChange]) -> None:
        self._inner.changed(events)

    def swept(self, snapshot: Snapshot) -> None:
        """What the store does not take is written with the next sweep."""
        self._inner.swept(snapshot)
        since = self._written if self._written is None or self._written <= snapshot.at else None
        if since is not None and snapshot.at - since < timedelta(seconds=BEAT_SECONDS):
            return
        asked = {d: at for d, at in snapshot.asked.items() if since is None or at > since}
        try:
            self._store.write_sync(lambda s: self._write(s, snapshot, asked))
        except StoreError as error:
            self._outage.begun("shard %s: readings wait for the store: %s", self._shard, error)
            return
        self._outage.over("shard %s: readings are kept again", self._shard)
        self._written = snapshot.at

    def _write(self, session: Session, snapshot: Snapshot, asked: Mapping[DeviceId, datetime]) -> None:
        beat(session, self._shard, snapshot.at, asdict(snapshot.stats))
        answered = [d for d in asked if snapshot.reading(d) is not None]
        silent = [{"d": d, "at": asked[d]} for d in asked if snapshot.reading(d) is None]
        if answered:
            rows = [{"d": d, "at": asked[d], "values": _values(snapshot, d)} for d in answered]
            session.connection().execute(_ANSWERED, rows)
        if silent:
            session.connection().execute(_SILENT, silent)


_SILENT = update(DeviceStateRow).where(DeviceStateRow.device == bindparam("d")).values(updated=bindparam("at"))
_ANSWERED = _SILENT.values(last_seen=bindparam("at"), reading=bindparam("values"))


def _values(snapshot: Snapshot, device: DeviceId) -> dict[str, Any]:
    reading = snapshot.reading(device)
    return dict(reading.metrics) if reading is not None else {}


# --- what is read -----------------------------------------------------------------------------------------------------


def parts(session: Session) -> tuple[Part, ...]:
    """What is known of the parts, in their order."""
    rows = session.scalars(select(ShardRow).order_by(ShardRow.parts, ShardRow.part))
    return tuple(Part(Shard(r.part, r.parts), r.swept, r.missed is not None, r.holder, r.stats) for r in rows)


def members_of(network: Network, on: date, profiles: Collection[str]) -> Mapping[DeviceId, Member]:
    """What health needs to know of all devices that some part polls."""
    return {
        d.id: Member(d.uplink, d.power_area, off=d.off)
        for d in network.devices.values()
        if polled(d, on) and d.profile in profiles
    }


def whole(
    members: Mapping[DeviceId, Member],
    written: Healths,
    before: Healths,
    found: Sequence[Part],
    where: Mapping[DeviceId, Shard],
    now: datetime,
) -> Healths:
    """The fleet as all parts together tell it. ``where``: every device's part; ``before``: the picture before this."""
    missed = {part.shard: part for part in found if part.missed}
    known: dict[DeviceId, Health] = {}
    for device in members:
        health, gone = written.get(device), missed.get(where[device])
        if gone is not None:
            known[device] = Health(State.UNKNOWN, gone.swept, gone.name, cell=health.cell if health else None)
        elif health is not None:
            known[device] = _by_itself(health, before.get(device))
    lost = {d: Observation(False) for d, health in known.items() if health.state in LOST}
    planned = {
        d: replace(members[d], maintenance=(Window(now, now + _AN_INSTANT, health.cause or ""),))
        for d, health in known.items()
        if health.state is State.MAINTENANCE and health.cause != TIMER
    }
    return assess({**members, **planned}, lost, known, now)


_AN_INSTANT = timedelta(microseconds=1)


def _by_itself(health: Health, before: Health | None) -> Health:
    """A lost device with the cell or area that the whole fleet blamed last, whatever its part blames."""
    if health.state not in LOST:
        return health
    if before is not None and before.state in LOST and _shared(before.cause):
        return replace(health, state=State.UNREACHABLE, cause=before.cause)
    return replace(health, state=State.DOWN, cause=None) if _shared(health.cause) else health


def _shared(cause: str | None) -> bool:
    return cause is not None and cause.startswith((CELL, POWER))


def _together(found: Iterable[Part]) -> SweepStats:
    """The stats of parts that are polled at the same time: counts add up, the slowest takes as long as all."""
    each = [part.stats for part in found if part.stats]
    sums = {f.name: sum(stats.get(f.name, 0) for stats in each) for f in fields(SweepStats)}
    return SweepStats(**sums | {"seconds": max((stats["seconds"] for stats in each), default=0.0)})


class Picture(Protocol):
    """Whoever knows the fleet as it is now: the monitor itself, or what the parts wrote."""

    @property
    def latest(self) -> Snapshot | None: ...


class WholeFleet:
    """The whole fleet as its parts wrote it. ``refresh`` reads what has changed; ``latest`` is the last picture."""

    def __init__(self, store: Store, fleet: Callable[[], tuple[Network, Mapping[DeviceId, Member]]]) -> None:
        """``fleet``: the network in force and its members, the same objects until one of them changes."""
        self._store = store
        self._fleet = fleet
        self._healths: dict[DeviceId, Health] = {}
        self._readings: dict[DeviceId, Reading] = {}
        self._newest: datetime | None = None
        self._homes: tuple[Network, int, Mapping[DeviceId, Shard]] | None = None
        self._latest: Snapshot | None = None

    @property
    def latest(self) -> Snapshot | None:
        """None until a part has been polled."""
        return self._latest

    def refresh(self, now: datetime) -> None:
        """Blocks for the store: call it from a thread. Raises StoreError; the last picture then stays."""
        found, rows = self._store.read_sync(self._changed)
        for row in rows:
            device = DeviceId(row.device)
            self._healths[device] = health_of(row)
            self._newest = max(self._newest or row.updated, row.updated)
            if row.reading:
                self._readings[device] = Reading(row.reading, (), 0.0)
        if not found:
            return
        network, members = self._fleet()
        where = self._where(network, found[0].shard.count)
        before = self._latest.healths if self._latest else {}
        after = MappingProxyType(dict(whole(members, self._healths, before, found, where, now)))
        readings = MappingProxyType({d: r for d, r in self._readings.items() if d in members})
        swept = max(part.swept for part in found)
        self._latest = Snapshot(swept, after, readings, _together(found), causes(after))

    def _changed(self, session: Session) -> tuple[tuple[Part, ...], Sequence[DeviceStateRow]]:
        query = select(DeviceStateRow)
        if self._newest is not None:
            query = query.where(DeviceStateRow.updated >= self._newest - OVERLAP)
        return parts(session), session.scalars(query).all()

    def _where(self, network: Network, count: int) -> Mapping[DeviceId, Shard]:
        if self._homes is None or self._homes[0] is not network or self._homes[1] != count:
            self._homes = network, count, shards.homes(network.devices, count)
        return self._homes[2]


class Judge:
    """Raises the alarms that take the whole fleet to see, and those about parts; one process does it for all."""

    def __init__(self, store: Store, longest: timedelta) -> None:
        """``longest``: how long nothing may be heard of a part."""
        self._store = store
        self._longest = longest
        self._keeper = AlarmKeeper()
        self._watching = self._looked = datetime.min.replace(tzinfo=UTC)

    def look(self, picture: Snapshot | None, now: datetime) -> None:
        """``picture`` is the fleet, None where a monitor raises its alarms itself. Blocks for the store."""
        raised = self._keeper.wanted(picture.healths, now) if picture is not None else None
        watching = self._watching if abs(now - self._looked) < self._longest else now

        def write(session: Session) -> None:
            if now - watching >= self._longest:  # whoever could not look has not missed anybody
                miss(session, now, self._longest)
            settle(session, (AlarmKind.SELF_SHARD,), [_raised(p) for p in parts(session) if p.missed], now)
            if raised is not None:
                settle(session, OF_HEALTH, raised, now)

        self._store.write_sync(write)
        self._watching, self._looked = watching, now
        if raised is not None:
            self._keeper.settled(raised, now)


def _raised(part: Part) -> Raised:
    return Raised(part.name, AlarmKind.SELF_SHARD, part.swept, part.holder)
