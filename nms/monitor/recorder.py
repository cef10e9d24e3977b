"""Keeps what the monitor finds in the store: each device's state in one row, each change as an event."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from inventory.model import DeviceId
from nms.journal import EventKind, append
from nms.monitor.health import LOST, Health, State
from nms.monitor.loop import Snapshot, StateChange
from nms.store import DeviceStateRow, Store, StoreError

log = logging.getLogger("loa.monitor")


class StoreRecorder:
    """The monitor's recorder. What the store does not take is kept and written with the next sweep: nothing is lost."""

    def __init__(self, store: Store, known: Mapping[DeviceId, Health]) -> None:
        self._store = store
        self._written = dict(known)
        self._waiting: list[StateChange] = []

    def changed(self, events: Sequence[StateChange]) -> None:
        self._waiting += events

    def swept(self, snapshot: Snapshot) -> None:
        """One transaction for the sweep's events and for the rows that are not as written."""
        stale = {d: h for d, h in snapshot.healths.items() if not _same(self._written.get(d), h)}
        if not stale and not self._waiting:
            return
        try:
            self._store.write_sync(lambda s: _write(s, self._waiting, stale, snapshot))
        except StoreError as error:
            log.error("%d changes wait for the store: %s", len(self._waiting), error)
            return
        self._waiting = []
        self._written.update(stale)


def restored(store: Store) -> dict[DeviceId, Health]:
    """Every device's health as it was last written."""
    rows = store.read_sync(lambda s: s.scalars(select(DeviceStateRow)).all())
    return {DeviceId(r.device): _health(r) for r in rows}


def _health(row: DeviceStateRow) -> Health:
    """A device is lost since its first silence, so that a restart of the hub does not begin its loss anew."""
    state = State(row.state)
    silent_since = row.since if state in LOST else None
    return Health(state, row.since, row.cause or None, row.misses, row.cell, silent_since)


def _same(before: Health | None, after: Health) -> bool:
    return before is not None and (before.state, before.cause, before.cell) == (after.state, after.cause, after.cell)


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
    for device, health in rows.items():
        session.merge(_row(device, health, snapshot))


def _row(device: DeviceId, health: Health, snapshot: Snapshot) -> DeviceStateRow:
    reading = snapshot.reading(device)
    return DeviceStateRow(
        device=device,
        state=str(health.state),
        since=health.since,
        updated=snapshot.at,
        cause=health.cause or "",
        misses=health.misses,
        cell=health.cell,
        last_seen=snapshot.at if reading else None,
        reading=dict(reading.metrics) if reading else {},
    )
