"""What nobody schedules any more leaves the sound library, with its row in the store.

A sound stays while a bulletin that names it is open, may still start, is in force or was within the time that is kept,
and while receipts of the last days speak of it. What scripts name does not age: ``audio.emergency`` renews it. The
store forgets a sound before its file goes: cut off at any point, the next run finds the rest, and a sound that is
imported again or renewed meanwhile stays.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, or_, select
from sqlalchemy.orm import Session

from audio.bulletin import State
from audio.documents import Bulletin, decode
from audio.library import Library
from nms.store import AiringRow, BulletinRow, ContentRow, NowEntryRow, ReceiptRow, Store

log = logging.getLogger("loa.library")

OPEN = (State.DRAFT, State.SUBMITTED, State.RETURNED, State.APPROVED, State.SCHEDULED, State.AIRING)
RECEIPTS = timedelta(days=7)
"""How long what a receipt speaks of can be listened to again: as long as devices keep it."""
BATCH = 500
"""Sounds removed in one run: who waits for the writer waits for that."""


async def tidy(store: Store, library: Library, now: datetime) -> int:
    """Remove what has not been needed for ``library.keep``; how many sounds went.

    Files have the machine's time, whatever ``now`` the hub's clock shows. A folder that cannot be read is logged.
    """
    before = time.time() - library.keep.total_seconds()
    try:
        old = await asyncio.to_thread(library.aged, before)
        if not old or not await store.read(lambda s: unneeded(s, old, now, library.keep)):
            return 0
        gone = await store.write(lambda s: _forget(s, old, now, library.keep))
        count = await asyncio.to_thread(library.remove, gone, before)
    except OSError as error:
        log.warning("the sound library cannot be tidied: %s", error)
        return 0
    log.info("removed %d sounds that nobody has needed for %d days", count, library.keep.days)
    return count


def unneeded(session: Session, contents: Iterable[str], now: datetime, keep: timedelta) -> frozenset[str]:
    """Those of the contents that nothing in the store needs, and nothing has needed for ``keep``."""
    since = now - keep
    starts = select(AiringRow.bulletin).where(AiringRow.latest > since, ~AiringRow.cancelled)
    orders = select(NowEntryRow.bulletin).where(NowEntryRow.until > since, NowEntryRow.bulletin.is_not(None))
    rest = frozenset(contents) - _named(
        session,
        or_(
            BulletinRow.state.in_(OPEN),
            BulletinRow.created > since,
            BulletinRow.valid_until > since,
            BulletinRow.id.in_(starts),
            BulletinRow.id.in_(orders),
        ),
    )
    if not rest:
        return rest
    # last, because it reads the longest table: mostly nothing is left to ask it about
    recent = ReceiptRow.received > now - RECEIPTS
    heard = frozenset(session.scalars(select(ReceiptRow.content).where(recent).distinct()))
    return rest - heard - _named(session, BulletinRow.id.in_(select(ReceiptRow.bulletin).where(recent)))


def _named(session: Session, which: ColumnElement[bool]) -> frozenset[str]:
    """The contents of these bulletins, in all their languages."""
    bodies = session.scalars(select(BulletinRow.body).where(which))
    return frozenset(voice.content for body in bodies for voice in decode(Bulletin, body).voices)


def _forget(session: Session, contents: Iterable[str], now: datetime, keep: timedelta) -> tuple[str, ...]:
    gone = tuple(sorted(unneeded(session, contents, now, keep)))[:BATCH]
    session.execute(delete(ContentRow).where(ContentRow.sha.in_(gone)))
    return gone
