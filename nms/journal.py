"""What happened and who did it: the append-only event log and the hash-chained audit.

Events are what the system saw; audit rows are what people did. Both are written inside the transaction of what they
speak about, so that neither exists without the other.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from nms.moments import from_milliseconds, to_milliseconds
from nms.store.ownership import CHAIN
from nms.store.postgres import in_turn
from nms.store.tables import AuditRow, EventRow

GENESIS = "0" * 64
"""What the first audit row names as its predecessor's hash."""

_PAGE = 1000


class EventKind(StrEnum):
    """Every kind of event there is. A change of state has ``from_`` and ``to``; the kind does not repeat them."""

    DEVICE_STATE = "device.state"
    DEVICE_ONLINE = "device.online"
    DEVICE_OFFLINE = "device.offline"
    DEVICE_REFUSED = "device.refused"
    DEVICE_MUTED = "device.muted"
    DEVICE_REPAIR = "device.repair"
    DEVICE_MAINTENANCE = "device.maintenance"
    DEVICE_TRAP = "device.trap"
    DEVICE_ENROLLED = "device.enrolled"
    DEVICE_REPLACED = "device.replaced"
    ALARM_OPENED = "alarm.opened"
    ALARM_ACKNOWLEDGED = "alarm.acknowledged"
    ALARM_DUE = "alarm.due"
    ALARM_CLEARED = "alarm.cleared"
    BULLETIN_STATE = "bulletin.state"
    BULLETIN_STOPPED = "bulletin.stopped"
    BULLETIN_RESUMED = "bulletin.resumed"
    BULLETIN_BROKE_GLASS = "bulletin.broke_glass"
    BULLETIN_ORDERED = "bulletin.ordered"
    BULLETIN_PICKED = "bulletin.picked"
    BULLETIN_EDITED = "bulletin.edited"
    BULLETIN_PUBLISHED = "bulletin.published"
    DEPLOY_STARTED = "deploy.started"
    DEPLOY_FINISHED = "deploy.finished"
    AUTH_REFUSED = "auth.refused"
    SELF_STARTED = "self.started"
    SELF_STOPPED = "self.stopped"
    SELF_TASK_FAILED = "self.task_failed"
    SELF_INVENTORY = "self.inventory"
    SELF_BROKER = "self.broker"
    SELF_SHARD = "self.shard"
    SELF_CLOCK = "self.clock"


@dataclass(frozen=True, slots=True)
class Event:
    """One change: ``subject`` is a device, bulletin, unit or part of the hub; ``cause`` says why, if known."""

    id: str
    at: datetime
    subject: str
    kind: EventKind
    from_: str = ""
    to: str = ""
    cause: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


def new_id(now: datetime) -> str:
    """A UUIDv7 (RFC 9562): sorts by ``now``'s millisecond, the other 74 bits are random."""
    moment = to_milliseconds(now) & (1 << 48) - 1
    random = secrets.randbits(74)
    return str(UUID(int=moment << 80 | 7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (1 << 62) - 1))


def append(
    session: Session,
    now: datetime,
    kind: EventKind,
    subject: str,
    *,
    from_: str = "",
    to: str = "",
    cause: str = "",
    data: Mapping[str, Any] | None = None,
) -> Event:
    """Add an event to the session's transaction and return it, its time cut to the millisecond that is stored."""
    at = from_milliseconds(to_milliseconds(now))
    event = Event(new_id(now), at, subject, kind, from_, to, cause, dict(data or {}))
    session.add(
        EventRow(
            id=event.id,
            at=at,
            subject=subject,
            kind=kind.value,
            from_=from_,
            to=to,
            cause=cause,
            data=dict(event.data),
        )
    )
    return event


def recent(session: Session, limit: int, subject: str | None = None) -> tuple[Event, ...]:
    """The last ``limit`` events, newest first, of one subject or of all."""
    query = select(EventRow).order_by(EventRow.at.desc(), EventRow.id.desc()).limit(limit)
    if subject is not None:
        query = query.where(EventRow.subject == subject)
    return tuple(
        Event(row.id, row.at, row.subject, EventKind(row.kind), row.from_, row.to, row.cause, row.data)
        for row in session.scalars(query)
    )


def audit(
    session: Session, now: datetime, person: str, uid: int, action: str, subject: str, data: Mapping[str, Any]
) -> AuditRow:
    """Add what ``person`` (operating-system user ``uid``) did to the chain. Raises ValueError if data is not JSON."""
    in_turn(session.connection(), CHAIN)
    last = session.scalars(select(AuditRow).order_by(AuditRow.n.desc()).limit(1)).first()
    row = AuditRow(
        n=last.n + 1 if last else 1,
        at=from_milliseconds(to_milliseconds(now)),
        person=person,
        uid=uid,
        action=action,
        subject=subject,
        data=json.loads(_canonical(data)),
        previous=last.hash if last else GENESIS,
        hash="",
    )
    row.hash = _digest(row)
    session.add(row)
    session.flush()
    return row


def verify(session: Session) -> tuple[int, int | None]:
    """How many audit rows there are, and the number of the first that was altered, or that follows a missing one.

    Rows cut off at the end leave no trace in the chain itself: compare the count with one noted elsewhere.
    """
    previous, count, bad = GENESIS, 0, None
    for row in session.scalars(select(AuditRow).order_by(AuditRow.n).execution_options(yield_per=_PAGE)):
        count += 1
        if bad is None and (row.n != count or row.previous != previous or row.hash != _digest(row)):
            bad = row.n
        previous = row.hash
    return count, bad


def _digest(row: AuditRow) -> str:
    """SHA-256 over everything in the row but the hash itself."""
    content = {
        "n": row.n,
        "at": to_milliseconds(row.at),
        "person": row.person,
        "uid": row.uid,
        "action": row.action,
        "subject": row.subject,
        "data": row.data,
        "previous": row.previous,
    }
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def _canonical(value: object) -> str:
    """JSON with sorted keys, no spaces, no NaN: the same value always gives the same bytes."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"not JSON: {error}") from error
