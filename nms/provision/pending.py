"""Devices that announced themselves and wait for a technician. Everything in an announcement is a stranger's claim.

It is read strictly, kept bounded, and never acted upon: a technician compares the fingerprint with the device's own
console, and enrolment has the device prove that it has that key.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from nms.provision.bench import is_fingerprint
from nms.store import PendingRow, Store, StoreError

log = logging.getLogger("loa.pending")

TOPIC: Final = "loa/1/enroll/"
LARGEST: Final = 1024
"""Bytes of an announcement."""
LONGEST: Final = 80
"""Characters of one of its words."""
MOST: Final = 200
"""Devices that may wait; who has been silent longest gives way."""
A_SECOND: Final = 10.0
"""Announcements that are read, on average; more at once only so many."""
WORDS: Final = ("model", "serial", "address", "host_key")
LEAST: Final = 16
"""Characters of a fingerprint that are enough to name a device: 64 bits, which nobody makes another key for."""

_KEY: Final = re.compile(r"[0-9a-f]{64}").fullmatch
_SERIAL: Final = re.compile(r"[A-Za-z0-9._/-]{0,80}").fullmatch


@dataclass(frozen=True, slots=True)
class Announcement:
    """``fingerprint`` (hex) of its key; ``host_key``: fingerprint of what its SSH server shows, ``SHA256:...``."""

    fingerprint: str
    model: str
    serial: str
    address: str
    host_key: str


@dataclass(frozen=True, slots=True)
class Pending:
    announcement: Announcement
    first: datetime
    last: datetime


def is_serial(text: str) -> bool:
    """Whether a label may say so: letters, digits, dots, dashes."""
    return _SERIAL(text) is not None


def read(topic: str, payload: bytes) -> Announcement | None:
    """The announcement in a message; None for what is none."""
    key = topic.removeprefix(TOPIC)
    if _KEY(key) is None or len(payload) > LARGEST:
        return None
    try:
        said = json.loads(payload.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or set(said) != set(WORDS):
        return None
    words = {name: _word(said[name]) for name in WORDS}
    model, serial, address, host_key = (words[name] for name in WORDS)
    if model is None or serial is None or address is None or host_key is None:
        return None
    if not (is_serial(serial) and _is_address(address) and is_fingerprint(host_key)):
        return None
    return Announcement(key, model, serial, address, host_key)


def _word(said: Any) -> str | None:
    """Text that may be shown: short, NFC, printable."""
    if not isinstance(said, str) or len(said) > LONGEST or not said.isprintable():
        return None
    return unicodedata.normalize("NFC", said)


def _is_address(text: str) -> bool:
    """Of a machine that a technician can have on his bench."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (found.is_unspecified or found.is_multicast or found.is_loopback or "%" in text)


# --- what is kept -----------------------------------------------------------------------------------------------------


def keep(session: Session, one: Announcement, now: datetime) -> None:
    """Adds or renews what waits; at most ``MOST`` do."""
    row = session.get(PendingRow, one.fingerprint)
    document = {"address": one.address, "host_key": one.host_key}
    if row is None:
        if (session.scalar(select(func.count()).select_from(PendingRow)) or 0) >= MOST:
            _make_room(session)
        added = PendingRow(fingerprint=one.fingerprint, model=one.model, serial=one.serial, first=now, last=now)
        added.document = document
        session.add(added)
        return
    row.model, row.serial, row.last, row.document = one.model, one.serial, now, document


def _make_room(session: Session) -> None:
    newest = select(PendingRow.fingerprint).order_by(PendingRow.last.desc()).limit(MOST - 1)
    keys = list(session.scalars(newest))
    session.execute(delete(PendingRow).where(PendingRow.fingerprint.not_in(keys)))


def waiting(session: Session) -> Iterator[Pending]:
    """Who was heard last comes first."""
    for row in session.scalars(select(PendingRow).order_by(PendingRow.last.desc(), PendingRow.fingerprint)):
        yield _of(row)


def named(session: Session, fingerprint: str) -> tuple[Pending, ...]:
    """Those whose fingerprint begins so; empty too when too little of it is given."""
    key = plain(fingerprint)
    if len(key) < LEAST or not set(key) <= set("0123456789abcdef"):
        return ()
    return tuple(_of(row) for row in session.scalars(select(PendingRow).where(PendingRow.fingerprint.startswith(key))))


def plain(fingerprint: str) -> str:
    """As it is kept, whatever it was grouped with."""
    return re.sub(r"[\s:-]", "", fingerprint).lower()


def forget(session: Session, fingerprint: str) -> None:
    session.execute(delete(PendingRow).where(PendingRow.fingerprint == fingerprint))


def _of(row: PendingRow) -> Pending:
    document = row.document
    said = Announcement(row.fingerprint, row.model, row.serial, document["address"], document["host_key"])
    return Pending(said, row.first, row.last)


# --- who listens ------------------------------------------------------------------------------------------------------


class Doorkeeper:
    """Takes announcements from the broker; ``run`` keeps them. Too many at once are not even read."""

    def __init__(self, store: Store, clock: Callable[[], datetime], seconds: Callable[[], float]) -> None:
        """``seconds``: a steady clock."""
        self._store = store
        self._clock = clock
        self._seconds = seconds
        self._queue: asyncio.Queue[Announcement] = asyncio.Queue(maxsize=MOST)
        self._allowance = A_SECOND
        self._at = seconds()
        self.dropped = 0

    def receive(self, topic: str, payload: bytes) -> None:
        now = self._seconds()
        self._allowance = min(A_SECOND, self._allowance + (now - self._at) * A_SECOND)
        self._at = now
        if self._allowance < 1 or self._queue.full():
            self.dropped += 1
            return
        self._allowance -= 1
        one = read(topic, payload)
        if one is None:
            self.dropped += 1
        else:
            self._queue.put_nowait(one)

    async def run(self) -> None:
        while True:
            one = await self._queue.get()
            now = self._clock()
            try:
                await self._store.write(lambda s: keep(s, one, now))  # noqa: B023 (awaited here)
            except StoreError:
                log.warning("an announcement could not be kept")
