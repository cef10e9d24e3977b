"""Thousands of listeners to one live programme, in two processes: devices over MQTT, or players over HTTP.

Each process is told over a pipe how many are to come within how many seconds, and tells when which page was in hand.
Whoever loses the connection, or is not let in, comes again after a device's first pause.
"""

from __future__ import annotations

import array
import errno
import heapq
import itertools
import multiprocessing
import os
import random
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Final, Protocol

from audio.envelope import Key, LivePage, Opened, Reason, Refused, Sequences, unpack_page
from audio.live.encode import PAGE
from audio.receiver.link import FIRST_PAUSE
from audio.receiver.sound import PER_MS
from audio.receiver.trust import Instant, open_at
from benchmarks.measure import cpu
from benchmarks.mqtt_fleet import CONNACK, FAILURE, PUBLISH, Packets, connect, published, subscribe
from tests.sim.fleet import die_with_parent

PROCESSES: Final = 2
STEP: Final = 8
"""Connections that are begun before what has come on the others is read."""
LOOK: Final = 0.25
"""Seconds between two looks at how many have come."""
PATIENCE: Final = 5.0
"""Seconds after which a device gives up to connect, and begins anew (paho's own)."""
_OGG: Final = 27
"""Bytes of an Ogg page before its lacing."""
_FORK: Final = multiprocessing.get_context("fork")


# --- one connection's protocol ----------------------------------------------------------------------------------------


class Talk(Protocol):
    """What a listener says first, and what it makes of what comes."""

    opening: bytes

    def hear(self, data: bytes) -> tuple[bytes, Sequence[int]]:
        """What is answered, and the numbers of the pages that are in hand now. Raises ConnectionError if refused."""


class Check:
    """A device's check of a page. Bytes that were checked once are remembered: all devices get the same."""

    def __init__(self, keys: Mapping[str, Key], now: Callable[[], int]) -> None:
        self._keys = keys
        self._now = now
        self._known: dict[bytes, tuple[Opened, LivePage] | None] = {}

    def page(self, topic: str, frame: bytes) -> tuple[Opened, LivePage] | None:
        """None for one that had run out on its way when it was checked."""
        if frame not in self._known:
            self._known[frame] = self._checked(topic, frame)
        return self._known[frame]

    def _checked(self, topic: str, frame: bytes) -> tuple[Opened, LivePage] | None:
        now = self._now()
        opened = open_at(frame, topic, self._keys, "hub", Instant(now, True, now))
        if isinstance(opened, Refused) and opened.reason is Reason.EXPIRED:
            return None
        assert not isinstance(opened, Refused), opened
        page = unpack_page(opened.body)
        assert not isinstance(page, Refused), page
        return opened, page


class Device:
    """A device's connection for live pages: MQTT 5, QoS 0. Each device keeps its own order of the pages."""

    def __init__(self, name: str, topic: str, check: Check) -> None:
        self.opening = connect(name)
        self._topic = topic
        self._check = check
        self._packets = Packets()
        self._order = Sequences({}, lambda *_: None)

    def hear(self, data: bytes) -> tuple[bytes, Sequence[int]]:
        answer, pages = b"", []
        for kind, body in self._packets.of(data):
            if kind & 0xF0 == PUBLISH:
                topic, _, frame = published(body, kind)
                checked = self._check.page(topic, frame)
                if checked is not None and checked[1].number and self._order.admit(checked[0]) is True:
                    pages.append(checked[1].number)
            elif kind == CONNACK:
                if body[1] >= FAILURE:
                    raise ConnectionRefusedError(body[1])
                answer = subscribe(self._topic, qos=0)
        return answer, pages


class Player:
    """A listener to an Ogg stream over HTTP; a page's number is told by its granule position."""

    def __init__(self, mount: str) -> None:
        self.opening = f"GET {mount} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        self._answered = False
        self._pending = bytearray()

    def hear(self, data: bytes) -> tuple[bytes, Sequence[int]]:
        self._pending += data
        if not self._answered and not self._answer():
            return b"", ()
        pages = []
        while len(self._pending) >= _OGG and len(self._pending) >= (body := _OGG + self._pending[_OGG - 1]):
            end = body + sum(self._pending[_OGG:body])
            if len(self._pending) < end:
                break
            granule = int.from_bytes(self._pending[6:14], "little")
            del self._pending[:end]
            if granule:
                pages.append(granule // (PAGE * PER_MS))
        return b"", pages

    def _answer(self) -> bool:
        """Whether the answer's head has come."""
        head, end, _ = self._pending.partition(b"\r\n\r\n")
        if end:
            if b" 200 " not in head.partition(b"\r\n")[0]:
                raise ConnectionRefusedError(bytes(head))
            self._answered = True
            del self._pending[: len(head) + len(end)]
        return self._answered


# --- one process ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Seen:
    """What listeners saw: when (``time.monotonic``) each page was in hand, by its number; for each how many seconds
    after the first was to come it had its first page; connections that failed; seconds of CPU that it took.
    """

    pages: dict[int, array.array[float]] = field(default_factory=dict)
    joined: list[float] = field(default_factory=list)
    failed: int = 0
    cpu: float = 0.0

    def add(self, other: Seen) -> None:
        for number, instants in other.pages.items():
            self.pages.setdefault(number, array.array("d")).extend(instants)
        self.joined += other.joined
        self.failed += other.failed
        self.cpu += other.cpu


@dataclass(frozen=True, slots=True)
class Come:
    """So many listeners, evenly within so many seconds."""

    count: int
    seconds: float


class Listener:
    """One of them, over as many connections as it takes."""

    __slots__ = ("begun", "connecting", "line", "talk")

    def __init__(self, talk: Talk, line: socket.socket) -> None:
        self.talk = talk
        self.line = line
        self.connecting = True
        self.begun = False


class Group:
    """The listeners of one process."""

    def __init__(self, port: int, make: Callable[[], Talk]) -> None:
        self._port = port
        self._make = make
        self._order = itertools.count()
        self._due: list[tuple[float, int, bool]] = []
        self._trying: deque[tuple[float, Listener]] = deque()
        self._began = 0.0
        self._spent = 0.0
        self.chosen = selectors.DefaultSelector()
        self.seen = Seen()
        self.joined = 0

    def come(self, wanted: Come) -> None:
        self._began = time.monotonic()
        for number in range(wanted.count):
            self._later(self._began + wanted.seconds * number / wanted.count, begun=False)

    def tell(self) -> Seen:
        """What was seen since this was asked last."""
        told, self.seen = self.seen, Seen()
        spent = cpu(os.getpid())
        told.cpu, self._spent = spent - self._spent, spent
        return told

    def patience(self) -> float | None:
        """Seconds until the next one is to come, or has tried to for too long."""
        next_ones = [queue[0][0] for queue in (self._due, self._trying) if queue]
        return max(min(next_ones) - time.monotonic(), 0) if next_ones else None

    def connect(self) -> None:
        """Begins the connections that are due, and gives up those that take too long."""
        now = time.monotonic()
        while self._trying and self._trying[0][0] <= now:
            _, listener = self._trying.popleft()
            if listener.connecting and listener.line.fileno() >= 0:
                self.chosen.unregister(listener.line)
                self._fail(listener)
        for _ in range(STEP):
            if not self._due or self._due[0][0] > now:
                return
            _, _, begun = heapq.heappop(self._due)
            line = socket.socket()
            line.setblocking(False)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = line.connect_ex(("127.0.0.1", self._port))
            listener = Listener(self._make(), line)
            listener.begun = begun
            if code in (0, errno.EINPROGRESS):
                self.chosen.register(line, selectors.EVENT_WRITE, listener)
                self._trying.append((now + PATIENCE, listener))
            else:
                self._fail(listener)

    def ready(self, listener: Listener) -> None:
        """Something can be done on this connection."""
        try:
            if listener.connecting:
                self._open(listener)
            else:
                self._read(listener)
        except OSError:
            self.chosen.unregister(listener.line)
            self._fail(listener)

    def _open(self, listener: Listener) -> None:
        code = listener.line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        listener.line.send(listener.talk.opening)
        listener.connecting = False
        self.chosen.modify(listener.line, selectors.EVENT_READ, listener)

    def _read(self, listener: Listener) -> None:
        data = listener.line.recv(1 << 16)
        if not data:
            raise ConnectionResetError
        answer, pages = listener.talk.hear(data)
        if answer:
            listener.line.send(answer)
        if not pages:
            return
        now = time.monotonic()
        for number in pages:
            self.seen.pages.setdefault(number, array.array("d")).append(now)
        if not listener.begun:
            listener.begun = True
            self.joined += 1
            self.seen.joined.append(now - self._began)

    def _fail(self, listener: Listener) -> None:
        listener.line.close()
        self.seen.failed += 1
        self._later(time.monotonic() + random.uniform(FIRST_PAUSE, 2 * FIRST_PAUSE), begun=listener.begun)

    def _later(self, at: float, *, begun: bool) -> None:
        heapq.heappush(self._due, (at, next(self._order), begun))


def listen(port: int, make: Callable[[], Talk], pipe: Connection) -> None:
    """One process: obeys ``Come``, answers "joined" with how many have had a page and "tell" with ``Seen``."""
    die_with_parent()
    group = Group(port, make)
    group.chosen.register(pipe, selectors.EVENT_READ)
    while True:
        for key, _ in group.chosen.select(group.patience()):
            if key.data is not None:
                group.ready(key.data)
                continue
            asked = pipe.recv()
            if isinstance(asked, Come):
                group.come(asked)
            else:
                pipe.send(group.joined if asked == "joined" else group.tell())
        group.connect()


# --- all processes ----------------------------------------------------------------------------------------------------


class Audience:
    """Listeners in ``PROCESSES`` processes of their own, made before the first of them is wanted."""

    def __init__(self, port: int, make: Callable[[], Talk]) -> None:
        self.count = 0
        self._pipes: list[Connection] = []
        self._children = []
        for _ in range(PROCESSES):
            ours, theirs = _FORK.Pipe()
            child = _FORK.Process(target=listen, args=(port, make, theirs))
            child.start()
            self._children.append(child)
            self._pipes.append(ours)

    def come(self, count: int, seconds: float) -> None:
        """So many more, within so many seconds from now."""
        self.count += count
        for part, pipe in enumerate(self._pipes):
            pipe.send(Come(len(range(part, count, PROCESSES)), seconds))

    def wait(self, until: float) -> None:
        """Until each of them has had a page, or until this instant of the monotonic clock."""
        while sum(self._asked("joined")) < self.count and time.monotonic() < until:
            time.sleep(LOOK)

    def tell(self) -> Seen:
        """What all of them saw since this was asked last."""
        total = Seen()
        for seen in self._asked("tell"):
            total.add(seen)
        return total

    def _asked(self, question: str) -> list[Any]:
        for pipe in self._pipes:
            pipe.send(question)
        return [pipe.recv() for pipe in self._pipes]

    def close(self) -> None:
        for child in self._children:
            child.kill()
            child.join()
