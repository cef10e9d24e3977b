"""What devices say to the hub: receipts, committed and then acknowledged; states, the newest of each device."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from audio import asrun, ledger
from audio.broker import TOPICS
from audio.documents import DeviceState, DocumentError, Receipt, decode
from audio.publisher import Publisher, ack_topic
from audio.silence import OFF
from nms.moments import to_milliseconds
from nms.store import Store, StoreError

log = logging.getLogger(__name__)

LONG_AWAY = timedelta(minutes=10)
"""A clock on its own for that long may have drifted or been set."""
BATCH = 500
"""Receipts of one transaction."""
LONGEST_NAME = 1_000
"""Characters of an id or a reason."""
LATEST = 2**42
"""Milliseconds (the year 2109): no device's clock shows more, and the store could not hold it."""


class Intake:
    """Takes messages from the broker; ``run`` commits and acknowledges receipts until it is cancelled.

    A receipt is acknowledged whenever it comes, also the second time: devices send until they hear so.
    """

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        kid: str,
        clock: Callable[[], datetime],
        connection: Callable[[], int],
    ) -> None:
        """``connection``: the number of the broker connection over which messages come now."""
        self._store = store
        self._publisher = publisher
        self._kid = kid
        self._clock = clock
        self._connection = connection
        self._queue: asyncio.Queue[Receipt] = asyncio.Queue()
        self._spoke: dict[str, int] = {}
        self.spoke_at: dict[str, datetime] = {}
        """When each device's newest state came."""
        self.states: dict[str, DeviceState] = {}
        self.dropped: Counter[str] = Counter()
        self._timeless = False
        self.awaited: dict[tuple[str, str], asyncio.Future[Receipt]] = {}
        """By device and airing: who waits for a receipt gets it once it is committed."""
        self.committed: Counter[str] = Counter()
        """Receipts committed per bulletin since the start, so that counts made of them know when they are stale."""

    def receive(self, topic: str, payload: bytes) -> None:
        """One message; what is malformed or not the sender's own is counted in ``dropped`` and forgotten."""
        device, _, kind = topic.removeprefix(f"{TOPICS}/dev/").partition("/")
        try:
            if kind == "receipt":
                self._receipt(device, decode(Receipt, payload))
            elif kind == "state":
                self._state(device, decode(DeviceState, payload))
            else:
                self.dropped["topic"] += 1
        except DocumentError as error:
            self.dropped["malformed"] += 1
            log.debug("%s: %s", topic, error)

    async def run(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            try:
                await self._commit(batch)
            except StoreError:
                # not acknowledged: the devices keep them and send them again
                log.exception("%d receipts could not be kept", len(batch))

    async def _commit(self, batch: list[Receipt]) -> None:
        now = self._clock()
        by_device: dict[str, list[str]] = {}
        for receipt in batch:
            by_device.setdefault(receipt.device, []).append(receipt.id)
        topics = [ack_topic(device) for device in by_device]

        def keep(session: Session) -> Mapping[str, int]:
            asrun.add_receipts(session, batch, now)
            return ledger.sequences(session, self._kid, topics, to_milliseconds(now))

        numbers = await self._store.write(keep)
        self.committed.update(receipt.bulletin for receipt in batch)
        self._publisher.acknowledge(by_device, numbers, now)
        for receipt in batch:
            waiting = self.awaited.get((receipt.device, receipt.airing))
            if waiting is not None and not waiting.done():
                waiting.set_result(receipt)

    def _receipt(self, device: str, receipt: Receipt) -> None:
        if receipt.device != device:
            self.dropped["device"] += 1
        elif not _storable(receipt):
            self.dropped["malformed"] += 1
        else:
            self._queue.put_nowait(receipt)

    def _state(self, device: str, state: DeviceState) -> None:
        if state.device != device:
            self.dropped["device"] += 1
            return
        before = self.states.get(device)
        if state.online and (before is None or not before.online):
            away = self._clock() - self.spoke_at[device] if before is not None else None
            self._timeless |= _needs_time(state, away)
        self.states[device] = state
        self._spoke[device] = self._connection()
        self.spoke_at[device] = self._clock()

    def timeless(self) -> bool:
        """Whether a device has come online, since this was asked last, that needs the hub's time at once."""
        found, self._timeless = self._timeless, False
        return found

    def words(self) -> dict[str, DeviceState]:
        """Every device's state; one that has not spoken over the present connection counts as offline."""
        number = self._connection()
        return {d: s if self._spoke[d] == number else replace(s, online=False) for d, s in self.states.items()}


def _needs_time(state: DeviceState, away: timedelta | None) -> bool:
    """Whether a device that comes online is to hear the time before the minute is over: it does not go by the hub's
    yet, was off it, or was ``away`` for so long (None: who knows) that it may be by now.
    """
    return away is None or away > LONG_AWAY or state.clock_error is None or abs(state.clock_error) > OFF


def _storable(receipt: Receipt) -> bool:
    names = (receipt.id, receipt.device, receipt.airing, receipt.bulletin, receipt.content, receipt.reason)
    numbers = (receipt.offset, receipt.repeat, abs(receipt.clock_error or 0))
    return (
        bool(receipt.id)
        and all(len(name) <= LONGEST_NAME and _text(name) for name in names)
        and all(0 <= moment < LATEST for moment in (receipt.started, receipt.ended))
        and all(0 <= number < 2**31 for number in numbers)
    )


def _text(name: str) -> bool:
    """JSON can spell what no database keeps: NUL and halves of surrogate pairs."""
    return "\0" not in name and not any("\ud800" <= character <= "\udfff" for character in name)
