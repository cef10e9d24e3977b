"""Keeps what the monitor finds in the store: each device's state in one row, each change as an event, what somebody
must deal with as an alarm, and what every SIM has used."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from inventory.model import DeviceId
from nms.alarm_store import AlarmKeeper, settle
from nms.alarms import OF_HEALTH
from nms.journal import EventKind, append
from nms.moments import from_milliseconds, to_milliseconds
from nms.monitor.cellular import Usage
from nms.monitor.health import LOST, Health, State
from nms.monitor.loop import Snapshot, StateChange
from nms.outage import Outage
from nms.store import DeviceStateRow, SimUsageRow, Store, StoreError

log = logging.getLogger("loa.monitor")
T = TypeVar("T")

USAGE_EVERY: Final = timedelta(minutes=5)
"""How often what SIMs have used is written; nothing is counted twice after a restart."""

PART: Final = 5_000
"""Keys in one statement: SQLite and PostgreSQL take 32,766 at most."""

NEVER_READ: Final[Mapping[str, Any]] = {"last_seen": None, "reading": {}}

TOLD: Final = ("state", "cause", "cell", "faults", "turns", "mains_lost")
"""What of a device's health is written as soon as it changes."""


class StoreRecorder:
    """The monitor's recorder. What the store does not take is kept and written with the next sweep: nothing is lost."""

    def __init__(self, store: Store, known: Mapping[DeviceId, Health], alarms: bool = True) -> None:
        """``alarms``: False where only a part of the fleet is seen, whose causes may lie outside it."""
        self._store = store
        self._alarms = AlarmKeeper() if alarms else None
        self._written = dict(known)
        self._used: dict[str, Usage] = {}
        self._waiting: list[StateChange] = []
        self._usages_at: datetime | None = None
        self._outage = Outage(log)

    def changed(self, events: Sequence[StateChange]) -> None:
        self._waiting += events

    def swept(self, snapshot: Snapshot) -> None:
        """One transaction for the sweep's events, the rows that are not as written, alarms and what SIMs have used."""
        at, keeper = snapshot.at, self._alarms
        stale = {d: h for d, h in snapshot.healths.items() if not _same(self._written.get(d), h)}
        raised = keeper.wanted(snapshot.healths, at) if keeper is not None else None
        used = self._usages(snapshot)
        if not (stale or self._waiting or used) and raised is None:
            return

        def write(session: Session) -> None:
            _write(session, self._waiting, stale, snapshot)
            _write_usages(session, used)
            if raised is not None:
                settle(session, OF_HEALTH, raised, at)

        try:
            self._store.write_sync(write)
        except StoreError as error:
            self._outage.begun("what the monitor finds waits for the store: %s", error)
            return
        self._outage.over("what the monitor found is kept: %d changes", len(self._waiting))
        self._waiting = []
        self._written.update(stale)
        if keeper is not None and raised is not None:
            keeper.settled(raised, at)
        if used:
            self._used |= {usage.sim: usage for usage in used}
            self._usages_at = at

    def _usages(self, snapshot: Snapshot) -> tuple[Usage, ...]:
        """The months that ended, and every few minutes the present ones that are not as written."""
        if not snapshot.ended and not _past(self._usages_at, snapshot.at, USAGE_EVERY):
            return ()
        return (*snapshot.ended, *(u for u in snapshot.usages.values() if self._used.get(u.sim) != u))


def restored(store: Store) -> dict[DeviceId, Health]:
    """Every device's health as it was last written."""
    rows = store.read_sync(lambda s: s.scalars(select(DeviceStateRow)).all())
    return {DeviceId(r.device): health_of(r) for r in rows}


def health_of(row: DeviceStateRow) -> Health:
    """A device is lost since its first silence, so that a restart of the hub does not begin its loss anew."""
    state, kept = State(row.state), row.memory
    silent_since = row.since if state in LOST else _moment(kept, "silent_since")
    return Health(
        state=state,
        since=row.since,
        cause=row.cause or None,
        misses=row.misses if silent_since else 0,
        cell=row.cell,
        silent_since=silent_since,
        faults=tuple(kept.get("faults", ())),
        turns=tuple(from_milliseconds(turn) for turn in kept.get("turns", ())),
        flapping=kept.get("flapping", False),
        heard_since=_moment(kept, "heard_since"),
        mains_lost=_moment(kept, "mains_lost"),
    )


def _moment(kept: Mapping[str, Any], name: str) -> datetime | None:
    return from_milliseconds(kept[name]) if kept.get(name) is not None else None


def _memory(health: Health) -> dict[str, Any]:
    """What health remembers besides its state, without what is not so."""
    times = {name: getattr(health, name) for name in ("silent_since", "heard_since", "mains_lost")}
    kept: dict[str, Any] = {name: to_milliseconds(at) for name, at in times.items() if at is not None}
    if health.faults:
        kept["faults"] = list(health.faults)
    if health.turns:
        kept["turns"] = [to_milliseconds(turn) for turn in health.turns]
    return kept | ({"flapping": True} if health.flapping else {})


def usages(store: Store) -> dict[str, Usage]:
    """Every SIM's present month as it was last written."""
    rows = store.read_sync(lambda s: s.scalars(select(SimUsageRow).order_by(SimUsageRow.month)).all())
    return {row.sim: usage_of(row) for row in rows}


def usage_of(row: SimUsageRow) -> Usage:
    return Usage(**{name: getattr(row, name) for name in Usage.__slots__})


def _write_usages(session: Session, used: Sequence[Usage]) -> None:
    rows = [{name: getattr(usage, name) for name in Usage.__slots__} for usage in used]
    known: set[tuple[str, str]] = set()
    for part in _parts([usage.sim for usage in used]):
        query = select(SimUsageRow.sim, SimUsageRow.month).where(SimUsageRow.sim.in_(part))
        known |= {(sim, month) for sim, month in session.execute(query)}
    _put(session, SimUsageRow, [(row, (row["sim"], row["month"]) in known) for row in rows])


def _past(last: datetime | None, now: datetime, time: timedelta) -> bool:
    """Whether ``time`` has gone by; a clock set back means yes."""
    return last is None or abs(now - last) >= time


def _same(before: Health | None, after: Health) -> bool:
    """Whether the row says all that a restarted hub must know: a single miss may be forgotten, a turn may not."""
    return before is after or (before is not None and all(getattr(before, n) == getattr(after, n) for n in TOLD))


def _write(
    session: Session, changes: Iterable[StateChange], rows: Mapping[DeviceId, Health], snapshot: Snapshot
) -> None:
    for change in changes:
        append(
            session,
            change.at,
            EventKind.DEVICE_STATE,
            change.device,
            from_=str(change.before or ""),
            to=str(change.after),
            cause=change.cause or "",
        )
    known = {
        device
        for part in _parts(list(rows))
        for device in session.scalars(select(DeviceStateRow.device).where(DeviceStateRow.device.in_(part)))
    }
    written = [(_row(device, health, snapshot), device in known) for device, health in rows.items()]
    _put(session, DeviceStateRow, [(row if there else {**NEVER_READ, **row}, there) for row, there in written])


def _row(device: DeviceId, health: Health, snapshot: Snapshot) -> dict[str, Any]:
    """The device's row as it is now; of a silent one its last reading stays."""
    row = {
        "device": device,
        "state": str(health.state),
        "since": health.since,
        "updated": snapshot.at,
        "cause": health.cause or "",
        "misses": health.misses,
        "cell": health.cell,
        "memory": _memory(health),
    }
    reading = snapshot.reading(device)
    if reading is not None:
        row |= {"last_seen": snapshot.asked.get(device, snapshot.at), "reading": dict(reading.metrics)}
    return row


def _put(
    session: Session, table: type[DeviceStateRow | SimUsageRow], rows: Iterable[tuple[dict[str, Any], bool]]
) -> None:
    """Write rows, of which some are there already: all of a fleet in a few statements."""
    split: tuple[list[dict[str, Any]], list[dict[str, Any]]] = [], []
    for row, there in rows:
        split[there].append(row)
    new, old = split
    if new:
        session.execute(insert(table), new)
    if old:
        session.execute(update(table), old)


def _parts(keys: Sequence[T]) -> Iterator[Sequence[T]]:
    """As many keys as a statement may name."""
    for start in range(0, len(keys), PART):
        yield keys[start : start + PART]
