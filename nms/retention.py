"""What grows without end is kept for a time: events, cleared alarms, closed repairs and ended maintenance."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from inventory.model import TIMEZONE
from nms.store import AlarmRow, EventRow, MaintenanceRow, RepairRow, Store

log = logging.getLogger("loa.retention")

BATCH: Final = 5000
"""Rows of a table deleted in one transaction, so that nobody waits long for the writer."""

AT: Final = time(2, 30)
"""Local time of the nightly prune, when hardly anything is played or changed."""


def prune(session: Session, before: datetime) -> int:
    """Delete at most a batch of each table's rows that ended before that time; how many rows went."""
    gone = 0
    for table, key, ended in (
        (EventRow, EventRow.id, EventRow.at < before),
        (AlarmRow, AlarmRow.id, AlarmRow.cleared < before),
        (RepairRow, RepairRow.id, RepairRow.closed < before),
        (MaintenanceRow, MaintenanceRow.id, MaintenanceRow.until < before),
    ):
        ids = session.scalars(select(key).where(ended).order_by(key).limit(BATCH)).all()
        session.execute(delete(table).where(key.in_(ids)), execution_options={"synchronize_session": False})
        gone += len(ids)
    return gone


async def nightly(store: Store, clock: Callable[[], datetime], keep: timedelta) -> None:
    """Prune every night, for ever; what is older than ``keep`` goes."""
    while True:
        now = clock()
        await asyncio.sleep((_next(now) - now).total_seconds())
        await _prune_all(store, now - keep)


async def _prune_all(store: Store, before: datetime) -> None:
    while await store.write(lambda s: prune(s, before)):
        log.info("pruned a batch of what ended before %s", before)


def _next(now: datetime) -> datetime:
    local = now.astimezone(TIMEZONE)
    tonight = datetime.combine(local.date(), AT, TIMEZONE)
    return tonight if tonight > local else tonight + timedelta(days=1)
