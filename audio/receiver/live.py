"""Live sessions on the device: pages over a second connection, checked, kept until their instant, heard.

The second connection is there only while something live is due. Pages wait nowhere on the disk: the order of their
sequence numbers is kept in memory, and what is older than a few seconds has run out by its own frame.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from audio.documents import Bulletin, ContentKind, Policy
from audio.envelope import LivePage, Opened, Reason, Refused, Sequences, live_topic, unpack_page
from audio.receiver.clock import DeviceTime
from audio.receiver.jitter import SLOWEST, Jitter
from audio.receiver.link import Connection, Message
from audio.receiver.opus import OpusError
from audio.receiver.sound import BLOCK, PER_MS, SoundError, quieter
from audio.receiver.trust import Instant, Trust, open_at
from audio.timetable import Item

log = logging.getLogger(__name__)

LEAD = 5_000
"""The session is listened to from so many ms before it is due."""
NO_SIGNAL = 3_000
"""After so long (ms) without a page the sound has ended; it is begun anew when pages are back."""
LOOK = 200
"""A relay whose pages are missing is looked for so often (ms)."""
REOPEN = 5_000
"""The connection is not made anew more often than this (ms)."""
LATE = "late"
"""Counted beside the envelope's reasons: a page that came too late to be heard."""
BLOCK_MS = BLOCK // PER_MS


class LineLike(Protocol):
    """See ``link.Link``."""

    def hear(self, topics: frozenset[str]) -> None: ...

    def listen(self, topics: frozenset[str]) -> None: ...

    def renew(self) -> None: ...

    def close(self) -> None: ...


class Gate:
    """Lets in what the hub signed for exactly this topic, once, in order, within its few seconds."""

    def __init__(self) -> None:
        self._headers = Sequences({}, lambda *_: None)
        self._pages = Sequences({}, lambda *_: None)

    def admit(self, topic: str, frame: bytes, trust: Trust, now: int) -> LivePage | Refused | None:
        """The page; None for one that is known already."""
        opened = open_at(frame, topic, trust.keys, "hub", Instant(now, True, now))
        if isinstance(opened, Refused):
            return opened
        page = unpack_page(opened.body)
        if isinstance(page, Refused):
            return page
        new = self._order(opened, page)
        return new if isinstance(new, Refused) else page if new else None

    def _order(self, opened: Opened, page: LivePage) -> Refused | bool:
        # the header is retained: it comes again on each connection, after pages that were signed later
        return (self._pages if page.number else self._headers).admit(opened)


@dataclass(slots=True)
class _Tuned:
    """One session that is listened to."""

    jitter: Jitter = field(default_factory=Jitter)
    gate: Gate = field(default_factory=Gate)


class Live:
    """``tune`` is called at each step of the agent; pages come in on the connection's own thread.

    ``connect`` makes a link that hands what comes to its argument; ``refuse`` counts (reason, detail).
    """

    def __init__(
        self,
        connect: Callable[[Callable[[Message | Connection], None]], LineLike],
        trust: Callable[[], Trust],
        time: DeviceTime,
        refuse: Callable[[str, str], None],
    ) -> None:
        self._connect = connect
        self._trust = trust
        self._time = time
        self._refuse = refuse
        self._line: LineLike | None = None
        self._tuned: dict[str, _Tuned] = {}
        self._turn = threading.Lock()
        self._behind = False
        self._opened = 0

    def tune(self, sessions: frozenset[str]) -> None:
        """Listens to exactly these sessions from now on; opens the connection anew when it has fallen behind."""
        now = self._time.now()
        with self._turn:
            changed = sessions != self._tuned.keys()
            if changed:
                self._tuned = {name: self._tuned.get(name) or _Tuned() for name in sorted(sessions)}
            behind, self._behind = self._behind and now - self._opened >= REOPEN, False
        if changed:
            self._listen(frozenset(live_topic(name) for name in sessions), now)
        elif behind and self._line is not None:
            log.warning("live pages come too late: the connection is made anew")
            self._opened = now
            self._line.renew()

    def ready(self, session: str, at: int) -> bool:
        """Whether the session can be heard at ``at`` (Unix ms)."""
        with self._turn:
            tuned = self._tuned.get(session)
            return tuned is not None and tuned.jitter.ready(at)

    def blocks(self, session: str, at: int, until: int, volume: int) -> Iterator[bytes]:
        """The session's sound in blocks of 20 ms from ``at`` to ``until``; an empty block where there is no signal.

        Ends early after NO_SIGNAL. Raises SoundError.
        """
        silent = 0
        for instant in range(at, until, BLOCK_MS):
            block = self._block(session, instant)
            silent = 0 if block else silent + BLOCK_MS
            if silent > NO_SIGNAL:
                return
            yield quieter(block, volume)

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _block(self, session: str, at: int) -> bytes:
        with self._turn:
            tuned = self._tuned.get(session)
            try:
                return tuned.jitter.block(at) if tuned is not None else b""
            except OpusError as error:
                raise SoundError(f"{session}: {error}") from None

    def _listen(self, topics: frozenset[str], now: int) -> None:
        if not topics:
            self.close()
        elif self._line is None:
            self._opened = now
            self._line = self._connect(self._receive)
            self._line.hear(topics)
        else:
            self._line.listen(topics)

    def _receive(self, event: Message | Connection) -> None:
        if isinstance(event, Message) and event.payload:
            refused = self._take(event.topic, event.payload)
            if refused is not None:
                self._refuse(*refused)

    def _take(self, topic: str, frame: bytes) -> tuple[str, str] | None:
        """Takes a page in; the reason and what it is about when it is refused."""
        now, trust = self._time.now(), self._trust()
        with self._turn:
            tuned = self._tuned.get(topic.removeprefix(live_topic("")))
            if tuned is None:
                return None  # nobody listens to it any more
            page = tuned.gate.admit(topic, frame, trust, now)
            if isinstance(page, Refused):
                self._behind = self._behind or page.reason is Reason.EXPIRED
                return str(page.reason), f"{topic}: {page.detail}"
            if page is None:
                return None
            return self._keep(tuned, topic, page, now)

    def _keep(self, tuned: _Tuned, topic: str, page: LivePage, now: int) -> tuple[str, str] | None:
        try:
            if not page.number:
                tuned.jitter.header(page.ogg)
            elif not tuned.jitter.add(page.ogg, page.play_at, now) and now - page.play_at > SLOWEST:
                self._behind = True
                return LATE, f"{topic}: page {page.number} by {now - page.play_at} ms"
        except OpusError as error:
            return str(Reason.MALFORMED), f"{topic}: {error}"
        return None


class LiveLike(Protocol):
    """See ``live.Live``."""

    def tune(self, sessions: frozenset[str]) -> None: ...

    def ready(self, session: str, at: int) -> bool: ...

    def blocks(self, session: str, at: int, until: int, volume: int) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Signal:
    """What the stage puts on the air: a live session at this volume (percent)."""

    live: LiveLike
    session: str
    volume: int

    def blocks(self, at: int, until: int) -> Iterator[bytes]:
        return self.live.blocks(self.session, at, until, self.volume)


def is_live(bulletin: Bulletin) -> bool:
    """Whether its content is a live session's name: nothing to fetch, nothing to keep."""
    return bulletin.kind is ContentKind.RELAY


def due(items: Iterable[Item], policy: Policy, now: int) -> frozenset[str]:
    """The sessions of the relays that this device has on the air now or within LEAD."""
    return frozenset(
        item.bulletin.content
        for item in items
        if is_live(item.bulletin)
        and item.airing.start - LEAD <= now < item.airing.start + item.bulletin.duration
        and item.bulletin.audience.addresses(policy.device, policy.units, policy.groups)
    )
