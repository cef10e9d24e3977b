"""Runs a live session for as long as a relay is due somewhere, and keeps the alarms about its sources.

A microphone is one too: its source is whoever speaks, and who pauses is out of order no more than who has not come.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session as Rows

from audio.envelope import is_microphone, is_session
from audio.live.listeners import Listeners
from audio.live.microphone import Microphones
from audio.live.session import Session, Signer
from audio.live.source import Source
from audio.live.wire import Wire
from nms.alarm_store import LOOK_AGAIN, settle
from nms.alarms import AlarmKind, Raised
from nms.outage import Outage
from nms.store import Store, StoreError
from nms.tasks import end

log = logging.getLogger("loa.live")

LEAD: Final = timedelta(seconds=15)
"""So long before a relay its session begins: sources are connected, their failures noticed, before anybody listens."""
EVERY: Final = 1.0
KINDS: Final = (AlarmKind.RELAY_FAILED_OVER, AlarmKind.RELAY_LOST)
SUBJECT: Final = "relay:"


Due = Callable[[Rows, datetime, datetime], frozenset[str]]
"""The live sessions that are on the air somewhere between two instants."""


class Relays:
    """``sources``: the URLs of each live session in order of preference; a microphone's is one of ``microphones``."""

    def __init__(
        self,
        store: Store,
        due: Due,
        sources: Callable[[], Mapping[str, Sequence[str]]],
        signer: Signer,
        wire: Wire,
        listeners: Listeners,
        clock: Callable[[], datetime],
        microphones: Microphones,
    ) -> None:
        self._store = store
        self._due = due
        self._sources = sources
        self._microphones = microphones
        self._signer = signer
        self._wire = wire
        self._listeners = listeners
        self._clock = clock
        self._running: dict[str, tuple[Session, asyncio.Task[None]]] = {}
        self._raised: frozenset[Raised] | None = None
        self._settled: datetime | None = None

    @property
    def sessions(self) -> Mapping[str, Session]:
        return {name: session for name, (session, _) in self._running.items()}

    async def run(self) -> None:
        """Look each second until cancelled. What is on the air stays there while the store fails."""
        outage = Outage(log)
        wire = asyncio.create_task(self._wire.run())
        try:
            while not wire.done():
                try:
                    await self._keep(await self._due_now())
                    await self._settle()
                    outage.over("which relays are due is known again")
                except StoreError as error:
                    outage.begun("which relays are due is not known: %s", error)
                await asyncio.sleep(EVERY)
            await wire
        finally:
            wire.cancel()
            await self._keep(frozenset())
            await end((wire,))

    async def _due_now(self) -> frozenset[str]:
        now = self._clock()
        return await self._store.read(lambda s: self._due(s, now, now + LEAD))

    async def _keep(self, wanted: Iterable[str]) -> None:
        """Exactly these sessions run: one that failed is begun anew, one that nobody needs ends."""
        known = self._sources()
        due = {name for name in wanted if is_session(name) and (name in known or is_microphone(name))}
        for name, (_, task) in tuple(self._running.items()):
            if name in due and not task.done():
                continue
            del self._running[name]
            task.cancel()
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(outcome, Exception):
                log.error("live session %s failed", name, exc_info=outcome)
        for name in due - self._running.keys():
            log.info("live session %s begins", name)
            session = self._session(name, known)
            self._running[name] = session, asyncio.create_task(session.run())

    def _session(self, name: str, known: Mapping[str, Sequence[str]]) -> Session:
        spoken = is_microphone(name)
        sources = [self._microphones.of(name)] if spoken else [Source(url) for url in known[name]]
        parts = self._signer, self._wire, self._listeners, self._clock
        return Session(name, sources, *parts, pauses=spoken)

    async def _settle(self) -> None:
        now = self._clock()
        raised = frozenset(_raised(self.sessions))
        recent = self._settled is not None and abs(now - self._settled) < LOOK_AGAIN
        if raised != self._raised or not recent:
            await self._store.write(lambda s: settle(s, KINDS, raised, now))
            self._raised, self._settled = raised, now


def _raised(sessions: Mapping[str, Session]) -> Iterable[Raised]:
    for name, session in sessions.items():
        trouble = session.trouble
        if trouble is not None:
            kind = AlarmKind.RELAY_LOST if trouble.lost else AlarmKind.RELAY_FAILED_OVER
            yield Raised(SUBJECT + name, kind, trouble.since, str(trouble.fault))
