"""Alarms, repairs and opened maintenance as rows. Everything here runs inside the caller's transaction."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from inventory.model import DeviceId
from nms.alarms import (
    CLOCK,
    DEGRADED_SETTLE,
    OF_HEALTH,
    SETTLE,
    Alarm,
    AlarmKind,
    Changes,
    Raised,
    of_health,
    told_once,
    update,
)
from nms.journal import EventKind, append, new_id
from nms.monitor.health import Healths, Window
from nms.outage import Outage
from nms.store import AlarmRow, MaintenanceRow, RepairRow, Store, StoreError

log = logging.getLogger("loa.alarms")

NEWEST: Final = 500
"""Alarms of the past that are told at once."""

READ_AGAIN: Final = timedelta(seconds=5)
"""How soon work that a person opens holds, whichever process was told of it."""

LOOK_AGAIN: Final = timedelta(minutes=1)
"""How often alarms are looked at while nothing new is raised: repairs fall due, people act."""


@dataclass(frozen=True, slots=True)
class Repair:
    """A repair order: who mends the device until when, with which part."""

    device: str
    who: str
    part: str
    until: datetime


def settle(session: Session, kinds: Collection[AlarmKind], raised: Iterable[Raised], now: datetime) -> Changes:
    """Make what is raised the open alarms of these kinds, each change with its event. Whoever raises names all of it.

    An alarm of a device under repair opens quiet.
    """
    rows = {(row.subject, AlarmKind(row.kind)): row for row in _open(session, kinds)}
    wanted = _told_once(session, tuple(raised), now)
    changes = update({key: alarm_of(row) for key, row in rows.items()}, wanted, now)
    for alarm in changes.cleared:
        rows[alarm.key].cleared = now
        append(session, now, EventKind.ALARM_CLEARED, alarm.subject, from_=str(alarm.kind))
    session.flush()  # a step for the worse clears an alarm and opens another one of its key
    quiet = _under_repair(session, now) if changes.opened else {}
    for one in changes.opened:
        session.add(_row(one, now, quiet.get(one.subject)))
        append(session, now, EventKind.ALARM_OPENED, one.subject, to=str(one.kind), cause=one.cause)
    for alarm in (*changes.changed, *changes.due):
        _write(rows[alarm.key], alarm)
    for alarm in changes.due:
        append(session, now, EventKind.ALARM_DUE, alarm.subject, to=str(alarm.kind))
    return changes


def open_alarms(session: Session) -> tuple[Alarm, ...]:
    """Every open alarm, the oldest first."""
    return tuple(alarm_of(row) for row in _open(session, tuple(AlarmKind)))


def past_alarms(session: Session, subject: str | None = None) -> tuple[tuple[Alarm, datetime], ...]:
    """Alarms that have cleared, with when, the latest first; of one subject or of all."""
    query = select(AlarmRow).where(AlarmRow.cleared.is_not(None)).order_by(AlarmRow.cleared.desc()).limit(NEWEST)
    if subject is not None:
        query = query.where(AlarmRow.subject == subject)
    return tuple((alarm_of(row), row.cleared) for row in session.scalars(query) if row.cleared is not None)


def acknowledge(session: Session, alarm: str, person: str, comment: str, now: datetime) -> Alarm | None:
    """Somebody takes an open alarm on; None if there is no such open alarm."""
    row = session.get(AlarmRow, alarm)
    if row is None or row.cleared is not None:
        return None
    row.acknowledged, row.acknowledged_by, row.comment = now, person, comment
    append(session, now, EventKind.ALARM_ACKNOWLEDGED, row.subject, to=row.kind, cause=comment or person)
    return alarm_of(row)


def open_repair(session: Session, repair: Repair, person: str, now: datetime) -> str:
    """A new repair order in place of an earlier one; the device's alarms are acknowledged and quiet until its date."""
    _close(session, repair.device, person, now)
    number = new_id(now)
    session.add(
        RepairRow(
            id=number,
            device=repair.device,
            who=repair.who,
            part=repair.part,
            opened=now,
            opened_by=person,
            until=repair.until,
        )
    )
    for row in _of(session, repair.device):
        row.acknowledged, row.acknowledged_by, row.quiet_until = now, person, repair.until
    data = {"until": repair.until.isoformat(), "who": repair.who}
    append(session, now, EventKind.DEVICE_REPAIR, repair.device, to="open", cause=repair.part, data=data)
    return number


def close_repair(session: Session, device: str, person: str, now: datetime) -> bool:
    """The device is said to be mended: what still is wrong with it speaks again. False if there was no open order."""
    if not _close(session, device, person, now):
        return False
    for row in _of(session, device):
        row.quiet_until = None
    append(session, now, EventKind.DEVICE_REPAIR, device, from_="open", to="closed", cause=person)
    return True


def repairs(session: Session, device: str | None = None) -> tuple[RepairRow, ...]:
    """The repair orders of a device, the latest first; without one, the open ones of all devices."""
    chosen: ColumnElement[bool] = RepairRow.closed.is_(None) if device is None else RepairRow.device == device
    return tuple(session.scalars(select(RepairRow).where(chosen).order_by(RepairRow.id.desc())))


def open_maintenance(
    session: Session, selection: str, devices: Iterable[str], window: Window, person: str
) -> MaintenanceRow:
    """Work on these devices, from ``window.start`` on."""
    row = MaintenanceRow(
        id=new_id(window.start),
        selection=selection,
        devices=sorted(devices),
        from_=window.start,
        until=window.end,
        reason=window.reason,
        opened_by=person,
    )
    session.add(row)
    for device in row.devices:
        data = {"until": window.end.isoformat()}
        append(session, window.start, EventKind.DEVICE_MAINTENANCE, device, cause=window.reason, data=data)
    return row


class AlarmKeeper:
    """Remembers what health raised last, so that the store is asked only when something may have to change."""

    def __init__(self, time: timedelta = SETTLE) -> None:
        """``time``: how long a single device or modem must be lost before it alarms."""
        self._time = time
        self._raised: frozenset[Raised] = frozenset()
        self._at: datetime | None = None

    def wanted(self, healths: Healths, now: datetime) -> frozenset[Raised] | None:
        """What to settle now; None while nothing is new and nothing can have fallen due."""
        raised = frozenset(of_health(healths, now, self._time))
        recent = self._at is not None and abs(now - self._at) < LOOK_AGAIN
        return None if recent and raised == self._raised else raised

    def settled(self, raised: frozenset[Raised], now: datetime) -> None:
        """``raised`` is in the store."""
        self._raised, self._at = raised, now

    def keep(self, store: Store, healths: Healths, now: datetime) -> None:
        """Settle the alarms of the whole fleet where nothing else is written with them."""
        raised = self.wanted(healths, now)
        if raised is not None:
            store.write_sync(lambda s: settle(s, OF_HEALTH, raised, now))
            self.settled(raised, now)


class OpenedWork:
    """The work that people have opened, for the monitor to ask at every turn: the store is read every few seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._works: tuple[tuple[tuple[str, ...], Window], ...] = ()
        self._read: datetime | None = None
        self._outage = Outage(log)

    def refresh(self, now: datetime) -> None:
        """Read what has not ended yet; a store that fails leaves what was known."""
        self._read = now  # also if it fails: whoever polls must not wait for the store at every turn
        query = select(MaintenanceRow).where(MaintenanceRow.until > now)
        try:
            rows = self._store.read_sync(lambda s: s.scalars(query).all())
        except StoreError as error:
            self._outage.begun("planned work is not read: %s", error)
            return
        self._outage.over("planned work is read again")
        self._works = tuple((tuple(r.devices), Window(r.from_, r.until, r.reason)) for r in rows)

    def __call__(self, now: datetime) -> Mapping[DeviceId, tuple[Window, ...]]:
        if self._read is None or abs(now - self._read) >= READ_AGAIN:
            self.refresh(now)
        found: dict[DeviceId, tuple[Window, ...]] = {}
        for devices, window in self._works:
            if window.covers(now):
                for device in devices:
                    found[DeviceId(device)] = (*found.get(DeviceId(device), ()), window)
        return found


def alarm_of(row: AlarmRow) -> Alarm:
    return Alarm(
        id=row.id,
        subject=row.subject,
        kind=AlarmKind(row.kind),
        opened=row.opened,
        since=row.since,
        cause=row.cause,
        affected=tuple(row.affected),
        acknowledged=row.acknowledged,
        by=row.acknowledged_by,
        comment=row.comment,
        quiet_until=row.quiet_until,
    )


def _open(session: Session, kinds: Collection[AlarmKind]) -> tuple[AlarmRow, ...]:
    wanted = AlarmRow.kind.in_([str(kind) for kind in kinds])
    return tuple(session.scalars(select(AlarmRow).where(AlarmRow.cleared.is_(None), wanted).order_by(AlarmRow.id)))


def _of(session: Session, device: str) -> tuple[AlarmRow, ...]:
    return tuple(row for row in _open(session, tuple(AlarmKind)) if row.subject == device)


def _under_repair(session: Session, now: datetime) -> Mapping[str, datetime]:
    return {row.device: row.until for row in repairs(session) if row.until > now}


def _close(session: Session, device: str, person: str, now: datetime) -> bool:
    rows = [row for row in repairs(session, device) if row.closed is None]
    for row in rows:
        row.closed, row.closed_by = now, person
    return bool(rows)


def _told_once(session: Session, raised: tuple[Raised, ...], now: datetime) -> Iterable[Raised]:
    """Without what an alarm of another kind tells already."""
    subjects = {r.subject for r in raised if r.kind is AlarmKind.CLOCK_OFF or CLOCK in r.cause}
    if not subjects:
        return raised
    lately = AlarmRow.cleared.is_(None) | (AlarmRow.cleared > now - DEGRADED_SETTLE)
    both = AlarmRow.kind.in_([AlarmKind.CLOCK_OFF, AlarmKind.DEGRADED])
    query = select(AlarmRow).where(lately, both, AlarmRow.subject.in_(subjects)).order_by(AlarmRow.id)
    return told_once(raised, [alarm_of(row) for row in session.scalars(query)])


def _row(one: Raised, now: datetime, quiet_until: datetime | None) -> AlarmRow:
    return AlarmRow(
        id=new_id(now),
        subject=one.subject,
        kind=str(one.kind),
        opened=now,
        since=one.since,
        cause=one.cause,
        affected=list(one.affected),
        quiet_until=quiet_until,
    )


def _write(row: AlarmRow, alarm: Alarm) -> None:
    row.cause, row.affected, row.quiet_until = alarm.cause, list(alarm.affected), alarm.quiet_until
    row.acknowledged, row.acknowledged_by = alarm.acknowledged, alarm.by
