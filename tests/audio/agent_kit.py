"""The device's loop with a clock of our own: real documents, real signatures, real files; only the sound is ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from audio.documents import (
    BulletinClass,
    DeviceState,
    NowEntry,
    Receipt,
    Result,
    decode,
)
from audio.receiver.agent import Agent
from audio.receiver.clock import DeviceTime
from audio.receiver.held import Held
from audio.receiver.journal import Journal
from audio.receiver.link import Connection, Message
from audio.receiver.player import Heard
from audio.receiver.sound import BLOCK
from audio.receiver.stage import Stage
from tests.audio.receiver_kit import (
    DEVICE,
    EVENING,
    Kit,
    Sound,
    airing,
    emergency,
)

Make = Callable[..., "Rig"]
PROG = "loa/1/prog/23557"
NOW = "loa/1/now/u/64/64"
TIME = "loa/1/time"


class Hands:
    """A clock turned by hand; ``stepped``: how much of that was no time passing."""

    def __init__(self, now: int) -> None:
        self.at = now
        self.stepped = 0

    def now(self) -> int:
        return self.at

    def monotonic(self) -> int:
        return self.at - self.stepped


class Ears:
    """A player whose sound passes as the clock is turned."""

    def __init__(self, clock: Hands) -> None:
        self._clock = clock
        self._at = 0
        self._source: bytes = b""
        self._stopped: Heard | None = Heard(0, 0)
        self.played: list[bytes] = []
        self.failure = ""
        """Why nothing that begins runs to its end."""

    def start(self, source: Iterator[bytes], at: int, late: int) -> None:
        assert late >= -60
        self._source, self._at, self._stopped = b"".join(source), self._clock.at - late, None
        self.played.append(self._source)

    @property
    def heard(self) -> Heard:
        if self._stopped is not None:
            return self._stopped
        passed = max(self._clock.at - self._at, 0) * 48
        samples = min((passed + BLOCK - 1) // BLOCK * BLOCK, len(self._source) // 2)
        return Heard(samples, samples, self.failure)

    @property
    def done(self) -> bool:
        over = (self._clock.at - self._at) * 96 >= len(self._source)
        return self._stopped is None and (over or bool(self.failure))

    def stop(self) -> Heard:
        self._stopped = self.heard
        return self._stopped


class Shelf:
    """A cache without a network: what is wanted is put there by the test."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self.wanted: Mapping[str, int] = {}
        self.lack = "no content"

    def has(self, content: str) -> bool:
        return self.path(content).exists()

    @property
    def held(self) -> tuple[str, ...]:
        return tuple(sorted(p.name for p in self._folder.iterdir()))

    def path(self, content: str) -> Path:
        return self._folder / content

    def put(self, content: str, sound: bytes) -> None:
        self.path(content).write_bytes(sound)

    def drop(self, content: str) -> None:
        self.path(content).unlink()

    def want(self, starts: Mapping[str, int]) -> None:
        self.wanted = {c: w for c, w in starts.items() if not self.has(c)}

    def purge(self, now: float, wanted: frozenset[str]) -> None: ...


class Line:
    """What the device sends, in order."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.topics: frozenset[str] = frozenset()

    def listen(self, topics: frozenset[str]) -> None:
        self.topics = topics

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        assert retain is topic.endswith("state")
        self.sent.append((topic, payload))


class Air:
    """Live sessions without pages: what is in ``signal`` sounds, as so many samples as ``heard`` says."""

    def __init__(self) -> None:
        self.tuned: frozenset[str] = frozenset()
        self.signal: set[str] = set()
        self.heard = 1.0

    def tune(self, sessions: frozenset[str]) -> None:
        self.tuned = sessions

    def ready(self, session: str, at: int) -> bool:
        return session in self.signal

    def blocks(self, session: str, at: int, until: int, volume: int) -> Iterator[bytes]:
        for _ in range(round((until - at) * self.heard) // 20):
            yield bytes([volume]) * 2 * BLOCK


class Rig:
    """One device that can lose power: its state folder is all that stays."""

    def __init__(self, folder: Path, at: int) -> None:
        self.folder = folder
        self.clock = Hands(at)
        self.wrong = 0
        """How far the device's clock is ahead of the hub's."""
        self.kit = Kit(lambda: self.clock.at - self.wrong)
        self.pinned = self.kit.policy_frame()
        self.boot = "boot-1"
        self.ntp = False
        """Whether the kernel says that NTP keeps the device's clock."""
        self.ears = Ears(self.clock)
        self.air = Air()
        self._journal: Journal | None = None
        self.up()

    def up(self) -> None:
        (self.folder / "held").mkdir(exist_ok=True)
        self.time = DeviceTime(self.clock, self.folder / "clock.json", self.boot, lambda: self.ntp)
        self._journal = Journal(self.folder / "journal", self.time.now())
        self.held = Held(DEVICE, self.kit.root.public, self.pinned, self.folder / "held", self._journal, self.time)
        self.shelf, self.line, self.ears = Shelf(self.folder / "content"), Line(), Ears(self.clock)
        stage = Stage(DEVICE, self._journal, self.ears, self.time)
        self.agent = Agent(DEVICE, self.time, self._journal, self.held, self.shelf, stage, self.line, self.air)
        self.agent.handle(Connection(True))
        self.wake = self.agent.step()

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def crash(self, away: int = 0) -> None:
        self.close()
        self.clock.at += away
        self.up()

    def say(self, topic: str, frame: bytes) -> None:
        self.agent.handle(Message(topic, frame))
        self.wake = self.agent.step()

    def synchronise(self) -> None:
        self.say(TIME, self.kit.time())

    def run(self, until: int) -> None:
        """Turns the clock, waking the agent whenever it asked for it."""
        while self.clock.at < until:
            self.clock.at = min(self.clock.at + max(self.wake - self.time.now(), 1), until)
            self.wake = self.agent.step()

    @property
    def receipts(self) -> list[Receipt]:
        found = {}
        for topic, payload in self.line.sent:
            if topic.endswith("receipt"):
                receipt = decode(Receipt, payload)
                found[receipt.id] = receipt
        return list(found.values())

    @property
    def state(self) -> DeviceState:
        return decode(DeviceState, [p for t, p in self.line.sent if t.endswith("state")][-1])

    def refused(self, reason: str) -> int:
        return self.held.refused[reason]


def schedule(
    rig: Rig, sound: Sound, start: int, *, here: bool = True, latest: int | None = None, **changes: Any
) -> None:
    bulletin = rig.kit.bulletin(sound, **changes)
    if here:
        rig.shelf.put(sound.content, sound.data)
    one = airing(bulletin, start, "one", latest)
    rig.say(PROG, rig.kit.programme(one, signed={bulletin.id: rig.kit.signed(bulletin)}))


def alarm(rig: Rig, sound: Sound, *, until: int = 60_000, **changes: Any) -> NowEntry:
    bulletin = replace(rig.kit.bulletin(sound, id="storm"), cls=BulletinClass.EMERGENCY, **changes)
    return emergency(rig.kit, bulletin, rig.clock.at, rig.clock.at + until, sound.data)


def told(rig: Rig) -> list[tuple[str, int, int, Result, str]]:
    return [(r.airing, r.started - EVENING, r.ended - r.started, r.result, r.reason) for r in rig.receipts]
