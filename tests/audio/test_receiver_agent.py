"""The device's loop with a clock of our own: real documents, real signatures, real files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from audio.documents import (
    EVERYTHING,
    Ack,
    Airing,
    Audience,
    Bulletin,
    BulletinClass,
    ContentKind,
    DeviceState,
    Now,
    NowEntry,
    NowKind,
    Policy,
    Programme,
    Receipt,
    Result,
    decode,
    encode,
)
from audio.envelope import Reason, b64
from audio.receiver.agent import Agent, Arrived
from audio.receiver.clock import DeviceTime
from audio.receiver.held import Held, PolicyRefused
from audio.receiver.journal import Journal
from audio.receiver.link import Connection, Message
from audio.receiver.player import Heard
from audio.receiver.sound import BLOCK, Round, blocks
from audio.receiver.stage import Stage
from audio.receiver.status import State
from audio.receiver.trust import topics
from audio.timetable import MINUTE, Decision, Item, Play, missed, what_plays
from tests.audio.receiver_kit import (
    DEVICE,
    EVENING,
    NIGHT,
    Kit,
    Signer,
    Sound,
    airing,
    emergency,
    make_sound,
    stop,
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


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> list[Sound]:
    folder = tmp_path_factory.mktemp("sounds")
    return [make_sound(folder, ms, seed) for seed, ms in enumerate((8_000, 8_000, 2_000))]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def rig(at: int = EVENING, *, synchronised: bool = True) -> Rig:
        rigs.append(Rig(tmp_path, at))
        if synchronised:
            rigs[-1].synchronise()
        return rigs[-1]

    yield rig
    for one in rigs:
        one.close()


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


@pytest.mark.parametrize(("woken", "began"), [(4_950, 5_000), (4_985, 5_005), (5_100, 5_120), (6_000, 6_020)])
def test_a_scheduled_item_begins_at_its_instant_and_a_late_one_says_so(
    make: Make, sounds: list[Sound], woken: int, began: int
) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 5_000)
    rig.run(EVENING + 4_800)
    rig.clock.at = EVENING + woken
    rig.wake = rig.agent.step()
    assert rig.state.playing == "one"
    rig.run(EVENING + 20_000)
    assert told(rig) == [("one", began, 8_000, Result.PLAYED, "")]


def test_what_is_decided_early_can_still_be_called_off(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 5_000)
    rig.run(EVENING + 4_950)
    assert rig.state.playing == "one"
    rig.say(NOW, rig.kit.orders(alarm(rig, sounds[2], until=10_000)))
    rig.run(EVENING + 60_000)
    assert [(name, length, result) for name, _, length, result, _ in told(rig)] == [
        ("one", 0, Result.PARTIAL),
        ("e-storm", 2_000, Result.PLAYED),
        ("one", 8_000, Result.PLAYED),
    ]


def test_a_round_decided_early_stays_decided(make: Make, sounds: list[Sound]) -> None:
    rig = make(NIGHT)
    rig.say(NOW, rig.kit.orders(replace(alarm(rig, sounds[2]), start=NIGHT + 1_000)))
    rig.run(NIGHT + 945)
    rig.agent.step()
    rig.run(NIGHT + 10_000)
    assert [(r.started - NIGHT, r.ended - r.started) for r in rig.receipts] == [(1_000, 2_000)]


def test_the_remainder_follows_an_emergency(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000)
    rig.run(EVENING + 3_010)
    rig.say(NOW, rig.kit.orders(alarm(rig, sounds[2], until=10_000)))
    rig.run(EVENING + 60_000)
    assert told(rig) == [
        ("one", 1_000, 2_020, Result.PARTIAL, "emergency"),
        ("e-storm", 3_030, 2_000, Result.PLAYED, ""),
        ("one", 13_010, 5_980, Result.PLAYED, ""),
    ]
    assert b"".join(rig.ears.played[0:3:2])[: 96 * 2_020] == rig.ears.played[0][: 96 * 2_020]
    assert rig.ears.played[2] == rig.ears.played[0][96 * 2_020 :]


def test_a_stop_ends_it_for_good(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000)
    rig.run(EVENING + 3_000)
    rig.say(NOW, rig.kit.orders(stop(rig.clock.at, rig.clock.at + 5_000)))
    rig.run(EVENING + 60_000)
    assert told(rig) == [("one", 1_000, 2_000, Result.PARTIAL, "stopped")]


OWN = f"loa/1/now/d/{DEVICE}/23557"


def test_a_stop_that_is_lifted_early_lets_the_next_item_begin_but_not_what_it_ended(
    make: Make, sounds: list[Sound]
) -> None:
    rig = make()
    first, second = rig.kit.bulletin(sounds[0], id="first"), rig.kit.bulletin(sounds[1], id="second")
    for sound in sounds[:2]:
        rig.shelf.put(sound.content, sound.data)
    starts = airing(first, EVENING + 1_000, "one"), airing(second, EVENING + 10_000, "two")
    rig.say(PROG, rig.kit.programme(*starts, signed={b.id: rig.kit.signed(b) for b in (first, second)}))
    rig.run(EVENING + 3_000)
    rig.say(NOW, rig.kit.orders(stop(rig.clock.at, rig.clock.at + 600_000)))
    rig.run(EVENING + 15_000)
    rig.say(NOW, rig.kit.orders())
    assert rig.state.playing == "two", "at once"
    rig.run(EVENING + 60_000)
    assert told(rig) == [
        ("one", 1_000, 2_000, Result.PARTIAL, "stopped"),
        ("two", 15_020, 8_000, Result.PLAYED, ""),
    ]


def test_a_silenced_device_plays_no_emergency_and_says_why(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    rig.say(OWN, rig.kit.orders(stop(EVENING, EVENING + 86_400_000, EVERYTHING), target=f"d/{DEVICE}", issuer="23557"))
    rig.run(EVENING + 1_000)
    rig.say(NOW, rig.kit.orders(alarm(rig, sounds[2], until=20_000)))
    rig.run(EVENING + 10_000)
    assert rig.state.playing == ""
    rig.crash(5_000)
    rig.run(EVENING + 60_000)
    assert not rig.ears.played
    assert [(r.airing, r.result, r.reason) for r in rig.receipts] == [("e-storm", Result.MISSED, "silenced")]


def test_a_silence_ends_what_plays_and_its_end_brings_the_emergency_in_force(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000)
    rig.run(EVENING + 3_000)
    silence = stop(rig.clock.at, rig.clock.at + 86_400_000, EVERYTHING)
    rig.say(OWN, rig.kit.orders(silence, target=f"d/{DEVICE}", issuer="23557"))
    assert rig.state.playing == ""
    rig.say(NOW, rig.kit.orders(alarm(rig, sounds[2])))
    rig.run(EVENING + 10_000)
    rig.say(OWN, rig.kit.orders(target=f"d/{DEVICE}", issuer="23557"))
    assert rig.state.playing == "e-storm", "at once"
    rig.run(EVENING + 20_000)
    assert told(rig) == [
        ("one", 1_000, 2_000, Result.PARTIAL, "silenced"),
        ("e-storm", 10_020, 2_000, Result.PLAYED, ""),
    ]


def test_what_is_withdrawn_ends(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000)
    rig.run(EVENING + 3_000)
    rig.say(PROG, rig.kit.programme(signed={}))
    assert told(rig) == [("one", 1_000, 2_000, Result.PARTIAL, "withdrawn")]


@pytest.mark.parametrize(
    ("away", "receipts"),
    [
        (100_000, [("one", Result.PARTIAL, "restart", 0), ("one", Result.PLAYED, "", 3_940)]),
        (130_000, [("one", Result.PARTIAL, "restart", 0)]),
    ],
)
def test_power_fails_in_the_middle(
    make: Make, sounds: list[Sound], away: int, receipts: list[tuple[str, Result, str, int]]
) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000, latest=EVENING + 600_000)
    rig.run(EVENING + 5_500)
    rig.crash(away)
    rig.run(rig.clock.at + 30_000)
    assert [(r.airing, r.result, r.reason, r.offset) for r in rig.receipts] == receipts


def test_a_restart_without_a_broker_goes_on_with_everything_held(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 10_000)
    rig.say(NOW, rig.kit.orders(stop(EVENING + 14_000, EVENING + 60_000)))
    rig.crash()
    assert rig.time.synchronised
    rig.run(EVENING + 60_000)
    assert told(rig) == [("one", 10_000, 4_000, Result.PARTIAL, "stopped")]


def test_another_boot_waits_for_the_time(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 10_000)
    rig.boot = "boot-2"
    rig.crash()
    rig.run(EVENING + 12_000)
    assert not rig.ears.played
    rig.synchronise()
    rig.run(EVENING + 60_000)
    assert told(rig) == [("one", 12_020, 8_000, Result.PLAYED, "")]


@pytest.mark.parametrize("wrong", [-3_600_000, 3_600_000, 2_001])
def test_a_wrong_clock_plays_emergencies_only(make: Make, sounds: list[Sound], wrong: int) -> None:
    rig = make(EVENING, synchronised=False)
    rig.clock.at += wrong
    rig.wrong = wrong
    rig.say(TIME, rig.kit.time())
    schedule(rig, sounds[0], EVENING + 1_000)
    storm = replace(alarm(rig, sounds[2]), start=EVENING, until=EVENING + 60_000)
    rig.run(rig.clock.at + 2_000)
    rig.say(NOW, rig.kit.orders(storm, exp=EVENING + 60_000))
    rig.run(rig.clock.at + 120_000)
    heard = {r.airing: (r.result, r.reason, r.clock_error) for r in rig.receipts}
    assert heard == {"e-storm": (Result.PLAYED, "", wrong), "one": (Result.MISSED, "no clock", wrong)}
    assert rig.state.clock_error == wrong


def test_the_hubs_time_that_comes_late_makes_no_clock_wrong(make: Make, sounds: list[Sound]) -> None:
    """Over a busy 4G link a message may be under way for many seconds; what is scheduled plays all the same."""
    rig = make(EVENING)
    late = rig.kit.time()
    rig.run(EVENING + 8_000)
    rig.say(TIME, late)
    schedule(rig, sounds[0], EVENING + 9_000)
    rig.run(EVENING + 30_000)
    assert [(r.airing, r.result, r.clock_error) for r in rig.receipts] == [("one", Result.PLAYED, 0)]


@pytest.mark.parametrize("step", [-60_000, 60_000])
def test_a_clock_that_was_stepped_is_known_as_wrong_from_the_hubs_next_word_on(make: Make, step: int) -> None:
    rig = make(EVENING)
    rig.clock.at += step
    rig.clock.stepped += step
    rig.wrong = step
    rig.say(TIME, rig.kit.time())
    assert (rig.time.error, rig.time.synchronised) == (step, False)


def test_a_hub_whose_clock_was_set_back_is_believed_after_ten_words(make: Make) -> None:
    rig = make(EVENING)
    rig.wrong = 60_000
    for minute in range(10):
        assert rig.time.error == 0
        rig.run(EVENING + (minute + 1) * 60_000)
        rig.say(TIME, rig.kit.time())
    assert rig.time.error == 60_000


@pytest.fixture
def kept(make: Make) -> Rig:
    """A device that has just started, whose clock NTP keeps and which the hub has told nothing yet."""
    rig = make(EVENING, synchronised=False)
    rig.ntp = True
    rig.crash()
    return rig


def test_a_late_first_word_leaves_the_programme_of_a_clock_that_ntp_keeps(kept: Rig, sounds: list[Sound]) -> None:
    schedule(kept, sounds[0], EVENING + 5_000)
    kept.run(EVENING + 8_000)
    kept.say(TIME, kept.kit.time(kept.clock.at - 2_500))
    assert kept.time.synchronised
    assert kept.agent.playing == "one"
    kept.run(EVENING + 30_000)
    assert told(kept) == [("one", 5_000, 8_000, Result.PLAYED, "")]


@pytest.mark.parametrize("wrong", [-3_600_000, 3_600_000])
def test_a_clock_that_ntp_keeps_is_disbelieved_after_ten_words_that_agree(kept: Rig, wrong: int) -> None:
    kept.wrong = wrong
    for _ in range(9):
        kept.clock.at += MINUTE
        kept.say(TIME, kept.kit.time())
        assert (kept.time.error, kept.time.synchronised) == (None, True)
    kept.clock.at += MINUTE
    kept.say(TIME, kept.kit.time())
    assert (kept.time.error, kept.time.synchronised) == (wrong, False)


@pytest.mark.parametrize("wrong", [-3_600_000, 3_600_000])
def test_many_words_of_one_bad_half_minute_do_not_outweigh_a_clock_that_ntp_keeps(kept: Rig, wrong: int) -> None:
    """The hub tells all whenever a device comes online, and in a storm of them that is often."""
    kept.wrong = wrong
    for _ in range(20):
        kept.clock.at += 1_400
        kept.say(TIME, kept.kit.time())
        assert (kept.time.error, kept.time.synchronised) == (None, True)


def test_words_that_agree_for_minutes_count_however_many_they_are(kept: Rig) -> None:
    kept.wrong = 3_600_000
    began = kept.clock.at
    while kept.time.synchronised:
        kept.say(TIME, kept.kit.time())
        kept.clock.at += 5_000
    assert kept.time.error == 3_600_000
    assert 4 * MINUTE < kept.clock.at - began < 10 * MINUTE


def test_a_storm_over_a_busy_line_makes_no_clock_wrong(make: Make) -> None:
    """Words that all come late, one after the other, do not push out what was heard before them."""
    rig = make(EVENING)
    for _ in range(20):
        rig.clock.at += 1_400
        rig.say(TIME, rig.kit.time(rig.clock.at - 8_000))
    assert (rig.time.error, rig.time.synchronised) == (0, True)


def test_of_words_that_come_together_the_fastest_counts(make: Make) -> None:
    rig = make(EVENING, synchronised=False)
    for late, error in ((9_000, 9_000), (300, 300), (5_000, 300)):
        rig.clock.at += 1_000
        rig.say(TIME, rig.kit.time(rig.clock.at - late))
        assert rig.time.error == error
    rig.clock.at += MINUTE
    rig.say(TIME, rig.kit.time(rig.clock.at - 100))
    assert rig.time.error == 100


def test_a_hub_that_was_hours_ahead_for_a_minute_silences_no_clock_that_ntp_keeps(
    kept: Rig, sounds: list[Sound]
) -> None:
    kept.wrong = -13 * 60 * MINUTE
    kept.say(TIME, kept.kit.time())
    schedule(kept, sounds[0], EVENING + 90_000)
    kept.crash(MINUTE)
    kept.wrong = 0
    end = kept.clock.at + 5 * MINUTE
    kept.say(TIME, kept.kit.time(exp=end))
    kept.say(NOW, kept.kit.orders(alarm(kept, sounds[2]), exp=end))
    assert kept.agent.playing == "e-storm"
    kept.run(EVENING + 3 * MINUTE)
    assert kept.time.now() == kept.clock.at
    assert [(r.airing, r.result) for r in kept.receipts] == [("e-storm", Result.PLAYED), ("one", Result.PLAYED)]


def test_without_ntp_what_the_hub_signs_is_a_time_that_has_passed(make: Make, sounds: list[Sound]) -> None:
    rig = make(EVENING, synchronised=False)
    rig.wrong = -3_600_000
    rig.say(TIME, rig.kit.time())
    rig.wrong = 0
    rig.say(NOW, rig.kit.orders(alarm(rig, sounds[2]), exp=EVENING + 3_500_000))
    assert rig.refused(Reason.EXPIRED) == 1
    assert rig.time.floor == EVENING + 3_600_000


def test_what_was_heard_is_not_heard_again_because_the_hub_was_ahead(kept: Rig, sounds: list[Sound]) -> None:
    """Only the floor is spared: a frame that came once does nothing when it comes again."""
    kept.wrong = -3_600_000
    first = kept.kit.orders(stop(EVENING, EVENING + MINUTE))
    kept.say(NOW, first)
    kept.wrong = 0
    kept.say(NOW, kept.kit.orders())
    kept.say(NOW, first)
    assert kept.refused(Reason.REPLAYED) == 1
    assert kept.time.floor < EVENING + MINUTE


@pytest.mark.parametrize(
    ("wrong", "heard"),
    [
        (2_500, [(2_000, Result.PARTIAL, "no clock"), (6_000, Result.PLAYED, "")]),
        (-3_600_000, [(2_000, Result.PARTIAL, "no clock")]),
    ],
)
def test_a_clock_that_is_lost_for_a_moment_ends_nothing_for_good(
    make: Make, sounds: list[Sound], wrong: int, heard: list[tuple[int, Result, str]]
) -> None:
    rig = make()
    rig.crash()  # still the boot in which the clock was good; to this process the hub has said nothing
    schedule(rig, sounds[0], EVENING + 5_000)
    rig.run(EVENING + 7_000)
    rig.say(TIME, rig.kit.time(rig.clock.at - wrong))
    assert rig.agent.playing == ""
    rig.run(rig.clock.at + 10_000)
    rig.say(TIME, rig.kit.time())
    rig.run(EVENING + 60_000)
    assert [(length, result, reason) for _, _, length, result, reason in told(rig)] == heard


@pytest.mark.parametrize("synchronised", [True, False])
def test_an_emergency_that_has_expired_is_refused(make: Make, sounds: list[Sound], synchronised: bool) -> None:
    rig = make(synchronised=synchronised)
    rig.say(NOW, rig.kit.orders(alarm(rig, sounds[2]), exp=EVENING))
    assert rig.refused(Reason.EXPIRED) == 1
    assert not rig.ears.played


HOUR = 3_600_000


def ahead(rig: Rig, sound: Sound, **changes: Any) -> bytes:
    """An emergency of a hub whose clock is an hour ahead, for an hour; all of it is dated by that clock."""
    then = rig.clock.at + HOUR
    plain = replace(rig.kit.bulletin(sound, id="storm"), cls=BulletinClass.EMERGENCY, valid_from=then)
    order = emergency(rig.kit, replace(plain, **changes), then, then + HOUR, sound.data)
    return rig.kit.orders(order, issued=then, nbf=then, exp=then + 8 * 24 * HOUR)


@pytest.mark.parametrize("ntp", [True, False])
def test_an_emergency_of_a_hub_that_is_ahead_does_not_wait_for_our_clock(
    make: Make, sounds: list[Sound], ntp: bool
) -> None:
    rig = make(synchronised=not ntp)
    rig.ntp = ntp
    rig.run(EVENING + 60_000)
    before = rig.clock.at
    rig.say(NOW, ahead(rig, sounds[2]))
    rig.run(before + 10_000)
    assert [(r.started - before, r.result) for r in rig.receipts] == [(20, Result.PLAYED)]
    # the next one is not judged by how the first was dated
    before = rig.clock.at
    rig.say(NOW, ahead(rig, sounds[1], id="flood", every=20_000))
    rig.run(before + 50_000)
    assert [r.started - before for r in rig.receipts][1:] == [20, 20_000, 40_000]


def test_a_device_that_knows_no_time_believes_the_hub_that_warns(make: Make, sounds: list[Sound]) -> None:
    rig = make(synchronised=False)
    rig.say(NOW, ahead(rig, sounds[2]))
    rig.clock.at += 3_000
    rig.agent.step()
    assert [(r.result, r.ended - r.started) for r in rig.receipts] == [(Result.PLAYED, 2_000)]


def test_a_stop_by_a_hub_that_is_ahead_stops_now(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000)
    rig.run(EVENING + 2_000)
    then = rig.clock.at + HOUR
    rig.say(NOW, rig.kit.orders(stop(then, then + HOUR), issued=then, nbf=then))
    rig.run(EVENING + 10_000)
    assert [(r.result, r.reason) for r in rig.receipts] == [(Result.PARTIAL, "stopped")]


def test_a_programme_of_a_hub_that_is_ahead_waits(make: Make, sounds: list[Sound]) -> None:
    """What is planned comes by our clock; a programme that is not valid yet is none."""
    rig = make()
    bulletin = rig.kit.bulletin(sounds[0])
    one = airing(bulletin, EVENING + 1_000, "one")
    then = EVENING + HOUR
    signed = {bulletin.id: rig.kit.signed(bulletin)}
    rig.say(PROG, rig.kit.programme(one, signed=signed, issued=then, nbf=then))
    assert rig.refused(Reason.NOT_YET) == 1


def test_a_drill_planned_for_later_is_not_brought_forward(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    rig.say(NOW, rig.kit.orders(replace(alarm(rig, sounds[2]), start=EVENING + 30_000)))
    rig.run(EVENING + 20_000)
    assert not rig.receipts
    rig.run(EVENING + 50_000)
    assert [r.started - EVENING for r in rig.receipts] == [30_000]


def test_missing_content_begins_late_if_it_still_fits(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000, here=False, latest=EVENING + 20_000)
    assert rig.shelf.wanted == {sounds[0].content: 1_000}
    rig.run(EVENING + 5_000)
    rig.shelf.put(sounds[0].content, sounds[0].data)
    rig.agent.handle(Arrived(sounds[0].content))
    rig.wake = rig.agent.step()
    rig.run(EVENING + 30_000)
    assert told(rig) == [("one", 5_020, 8_000, Result.PLAYED, "")]


def test_missing_content_is_refused_once_when_its_chance_has_passed(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000, here=False, latest=EVENING + 20_000)
    rig.run(EVENING + 12_000)
    assert rig.receipts == []
    rig.run(EVENING + 100_000)
    rig.crash()
    rig.run(EVENING + 200_000)
    assert [(r.airing, r.result, r.reason) for r in rig.receipts] == [("one", Result.REFUSED, "no content")]


def test_content_that_cannot_be_decoded_is_fetched_again(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    rig.shelf.put(sounds[0].content, b"spoiled flash")
    schedule(rig, sounds[0], EVENING + 1_000, here=False)
    rig.run(EVENING + 2_000)
    assert sounds[0].content in rig.shelf.wanted
    assert rig.refused("content") == 1


@pytest.mark.parametrize(
    ("start", "obstacle", "reason"),
    [
        (EVENING + 1_000, "emergency", "emergency hold"),
        (EVENING + 1_000, "stop", "stopped"),
        (EVENING + 1_000, "silence", "silenced"),
        (EVENING - 60_000, "none", "too late"),
    ],
)
def test_a_missed_item_says_why(make: Make, sounds: list[Sound], start: int, obstacle: str, reason: str) -> None:
    rig = make(EVENING - 120_000)
    rig.clock.at = EVENING
    entries = {
        "emergency": [alarm(rig, sounds[2])],
        "stop": [stop(EVENING, EVENING + 60_000)],
        "silence": [stop(EVENING, EVENING + 60_000, EVERYTHING)],
        "none": [],
    }
    rig.say(NOW, rig.kit.orders(*entries[obstacle]))
    schedule(rig, sounds[0], start, latest=start + 12_000)
    rig.run(EVENING + 120_000)
    assert [(r.result, r.reason) for r in rig.receipts if r.airing == "one"] == [(Result.MISSED, reason)]


def test_what_was_due_before_this_device_existed_is_not_its_business(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING - 60_000, latest=EVENING - 30_000)
    rig.run(EVENING + 10_000)
    assert rig.receipts == []


def test_the_quiet_hours_end_what_a_late_start_brought_into_them(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000)
    rig.run(EVENING + 3_000)
    quiet = rig.kit.policy(quiet=(replace(rig.held.policy.quiet[0], start=16 * 60),))
    rig.say(f"loa/1/policy/{DEVICE}", rig.kit.policy_frame(quiet))
    assert told(rig) == [("one", 1_000, 2_000, Result.PARTIAL, "quiet hours")]


@pytest.mark.parametrize(
    ("at", "kind", "volume", "expected"),
    [
        (EVENING, None, 100, 80),
        (EVENING, None, 30, 30),
        (EVENING - 11 * 60 * MINUTE, None, 100, 60),
        (NIGHT, NowKind.EMERGENCY, 100, 100),
        (EVENING, NowKind.DRILL, 100, 80),
    ],
)
def test_no_volume_above_the_policy(
    make: Make, sounds: list[Sound], at: int, kind: NowKind | None, volume: int, expected: int
) -> None:
    rig = make(at)
    if kind is None:
        schedule(rig, sounds[0], at + 1_000, volume=volume)
    else:
        rig.say(NOW, rig.kit.orders(replace(alarm(rig, sounds[2], siren=1_000, volume=volume), kind=kind)))
    rig.run(at + 2_000)
    peak = max(abs(v) for v in memoryview(rig.ears.played[0]).cast("h"))
    loudest = max(abs(v) for v in memoryview(_full(rig, sounds[0] if kind is None else sounds[2], kind)).cast("h"))
    assert abs(peak / loudest - expected / 100) < 0.01


def _full(rig: Rig, sound: Sound, kind: NowKind | None) -> bytes:
    return b"".join(blocks(Round(((sound.path, sound.duration),), siren=1_000 if kind else 0)))


def test_receipts_are_sent_until_the_hub_has_them(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[2], EVENING + 1_000)
    rig.run(EVENING + 60_000)
    sent = [p for t, p in rig.line.sent if t.endswith("receipt")]
    assert len(sent) == 6
    assert len(set(sent)) == 1
    assert rig.state.waiting == 1
    rig.agent.handle(Connection(False))
    rig.run(EVENING + 90_000)
    assert len([p for t, p in rig.line.sent if t.endswith("receipt")]) == 6
    rig.agent.handle(Connection(True))
    rig.agent.step()
    assert len([p for t, p in rig.line.sent if t.endswith("receipt")]) == 7
    (receipt,) = rig.receipts
    topic = f"loa/1/ack/{DEVICE}"
    rig.say(topic, rig.kit.seal(topic, encode(Ack((receipt.id,))), rig.kit.province))
    assert rig.refused(Reason.NOT_ALLOWED) == 1
    rig.say(topic, rig.kit.seal(topic, encode(Ack((receipt.id,))), rig.kit.hub))
    rig.crash()
    rig.run(EVENING + 120_000)
    assert rig.receipts == []
    assert rig.state.waiting == 0


def test_the_state_is_told_on_change_and_each_minute(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[2], EVENING + 10_000)
    rig.run(EVENING + 185_000)
    states = [decode(DeviceState, p) for t, p in rig.line.sent if t.endswith("state")]
    assert [s.playing for s in states].count("one") == 1
    assert len(states) <= 9
    assert max(after.at - before.at for before, after in pairwise(states)) <= 61_000
    assert states[-1].cached == (sounds[2].content,)
    assert states[-1].programme > 0
    rig.agent.stop()
    assert not rig.state.online


def test_a_clean_end_reports_what_played(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000, latest=EVENING + 60_000)
    rig.run(EVENING + 3_000)
    rig.agent.stop()
    assert told(rig) == [("one", 1_000, 2_000, Result.PARTIAL, "shutdown")]
    rig.crash(5_000)
    rig.run(EVENING + 60_000)
    assert [(r.result, r.offset) for r in rig.receipts] == [(Result.PARTIAL, 0), (Result.PLAYED, 2_000)]


def test_an_emergency_repeats_until_it_is_over(make: Make, sounds: list[Sound]) -> None:
    rig = make(NIGHT)
    rig.say(NOW, rig.kit.orders(alarm(rig, sounds[2], until=25_000, every=10_000, siren=500, times=2)))
    rig.run(NIGHT + 60_000)
    assert [(r.repeat, r.started - NIGHT, r.ended - r.started) for r in rig.receipts] == [
        (0, 20, 4_500),
        (1, 10_000, 4_500),
        (2, 20_000, 4_500),
    ]


def test_an_emergency_with_neither_siren_nor_sound_holds_the_rest_and_is_fetched_at_once(
    make: Make, sounds: list[Sound]
) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000, latest=EVENING + 10_000)
    rig.say(NOW, rig.kit.orders(replace(alarm(rig, sounds[2], until=20_000), sounds=())))
    assert rig.shelf.wanted == {sounds[2].content: 0}
    rig.run(EVENING + 60_000)
    assert {(r.airing, r.result, r.reason) for r in rig.receipts} == {
        ("e-storm", Result.REFUSED, "no content"),
        ("one", Result.MISSED, "emergency hold"),
    }


def lies(rig: Rig, sounds: list[Sound]) -> dict[str, tuple[str, bytes, Reason]]:
    """What a hub could sign that its issuers, the policy or common sense do not allow."""
    kit, sound = rig.kit, sounds[2]
    normal = kit.bulletin(sound, id="n")
    storm = replace(kit.bulletin(sound, id="storm"), cls=BulletinClass.EMERGENCY)
    here = rig.clock.at

    def told(bulletin: Bulletin, signer: Signer, **changes: Any) -> bytes:
        order = emergency(kit, bulletin, here, here + 60_000, sound.data)
        return kit.orders(replace(order, **({"signed": kit.signed(bulletin, signer)} | changes)))

    def aired(bulletin: Bulletin, signed: str, name: str | None = None) -> bytes:
        one = Airing("x", name or bulletin.id, 0, here + 100, here + 60_000)
        return kit.programme(one, signed={name or bulletin.id: signed})

    elsewhere = kit.seal(PROG, encode(Programme("622", here, (), {})), kit.hub)
    allowed, malformed = Reason.NOT_ALLOWED, Reason.MALFORMED
    expired = kit.signed(normal, exp=here)
    return {
        "a normal bulletin as an emergency": (NOW, told(normal, kit.province), allowed),
        "a commune's emergency without that class": (NOW, told(storm, kit.commune), allowed),
        "an issuer from elsewhere": (NOW, told(storm, kit.foreign), allowed),
        "a bulletin signed by the hub": (NOW, told(storm, kit.hub), allowed),
        "a bulletin signed by a stranger": (NOW, told(storm, Signer("64", "issuer", ("64",))), Reason.UNKNOWN_KEY),
        "another bulletin's signature": (NOW, told(storm, kit.province, signed=kit.signed(normal)), Reason.WRONG_TOPIC),
        "another sound": (NOW, told(storm, kit.province, sounds=("AAAA",)), allowed),
        "a sound that is not base64": (NOW, told(storm, kit.province, sounds=("?",)), malformed),
        "no bulletin at all": (NOW, told(storm, kit.province, signed=""), malformed),
        "a bulletin that has expired": (PROG, aired(normal, expired), Reason.EXPIRED),
        "before its validity": (PROG, aired(n := replace(normal, valid_from=here + 999_999), kit.signed(n)), allowed),
        "a path as content": (PROG, aired(n := replace(normal, content="../x"), kit.signed(n)), malformed),
        "a negative length": (PROG, aired(n := replace(normal, duration=-1), kit.signed(n)), malformed),
        "too loud": (PROG, aired(n := replace(normal, volume=101), kit.signed(n)), malformed),
        "a bulletin not of its frame": (PROG, _renamed(kit, normal, here), allowed),
        "another unit's programme": (
            PROG,
            elsewhere,
            Reason.WRONG_TOPIC,
        ),
        "no document": (PROG, kit.seal(PROG, b"{}", kit.hub), malformed),
    }


def _renamed(kit: Kit, bulletin: Bulletin, here: int) -> bytes:
    frame = kit.seal("bulletin/other", encode(bulletin), kit.province)
    return kit.programme(Airing("x", "other", 0, here + 100, here + 60_000), signed={"other": b64(frame)})


def test_a_hub_cannot_make_a_device_play_what_issuers_did_not_allow(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    rig.shelf.put(sounds[2].content, sounds[2].data)
    for name, (topic, frame, reason) in lies(rig, sounds).items():
        before = rig.refused(reason)
        rig.say(topic, frame)
        assert rig.refused(reason) == before + 1, name
        rig.run(rig.clock.at + 500)
        assert not rig.ears.played, name


@pytest.mark.parametrize(
    "topic", ["loa/1/prog/23560", "loa/1/now/u/23560/64", "loa/1/now/d/23557-L02/64", "loa/1/ack/23557-L02", "loa/1/x"]
)
def test_what_is_not_for_this_device_is_refused(make: Make, sounds: list[Sound], topic: str) -> None:
    rig = make()
    order = alarm(rig, sounds[2])
    rig.say(topic, rig.kit.seal(topic, encode(Now((order,))), rig.kit.hub))
    assert rig.refused(Reason.WRONG_TOPIC) == 1
    assert not rig.ears.played


@pytest.mark.parametrize(
    ("audience", "target", "plays"),
    [
        (Audience(units=("622",)), "u/622", True),
        (Audience(groups=("riverside",)), "g/riverside", True),
        (Audience(devices=(DEVICE,)), f"d/{DEVICE}", True),
        (Audience(devices=("23557-L02",)), "u/64", False),
    ],
)
def test_an_order_reaches_units_groups_and_devices(
    make: Make, sounds: list[Sound], audience: Audience, target: str, plays: bool
) -> None:
    rig = make()
    order = alarm(rig, sounds[2], audience=audience)
    rig.say(f"loa/1/now/{target}/64", rig.kit.orders(order, target=target))
    assert bool(rig.ears.played) is plays
    assert not rig.held.refused


def test_a_replay_is_refused_across_a_reboot_and_a_repeat_is_no_news(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    old = rig.kit.orders(alarm(rig, sounds[2]))
    current = rig.kit.orders()
    rig.say(NOW, current)
    rig.crash()
    rig.say(NOW, old)
    rig.say(NOW, current)
    rig.say(NOW, b"")
    assert dict(rig.held.refused) == {Reason.REPLAYED: 1}
    assert not rig.ears.played


def test_an_emergency_known_while_the_document_before_it_is_held_is_taken_in_again(
    make: Make, sounds: list[Sound]
) -> None:
    """Power fails between admitting the emergency and saving it: what lies on the disk is the all-clear of before."""
    rig = make()
    rig.say(NOW, rig.kit.orders())
    before = {path: path.read_bytes() for path in (rig.folder / "held").glob("*.frame")}
    frame = rig.kit.orders(alarm(rig, sounds[2]))
    rig.say(NOW, frame)
    for path, old in before.items():
        path.write_bytes(old)
    rig.crash()
    rig.say(NOW, frame)
    assert not rig.held.refused
    assert [o.entry for o in rig.held.orders] == ["e-storm"]


def test_an_emergency_known_but_lost_before_it_was_saved_is_taken_in_again(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    frame = rig.kit.orders(alarm(rig, sounds[2]))
    rig.say(NOW, frame)
    for path in (rig.folder / "held").glob("*.frame"):
        path.unlink()
    rig.crash()
    rig.say(NOW, frame)
    assert not rig.held.refused
    assert [o.entry for o in rig.held.orders] == ["e-storm"]


def test_a_new_policy_revokes_and_resubscribes(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 60_000)
    policy = rig.kit.policy(units=("23557", "64"), groups=(), keys=(rig.kit.hub.policy_key(),))
    old = rig.kit.policy_frame()
    rig.say(f"loa/1/policy/{DEVICE}", rig.kit.policy_frame(policy))
    assert rig.held.items == ()
    assert rig.line.topics == frozenset(topics(policy))
    assert "loa/1/prog/622" not in rig.line.topics
    rig.say(f"loa/1/policy/{DEVICE}", old)
    assert rig.refused(Reason.REPLAYED) == 1
    rig.crash()
    assert rig.held.policy == policy


def test_only_the_root_makes_policies_for_this_device(make: Make) -> None:
    rig = make()
    topic = f"loa/1/policy/{DEVICE}"
    rig.say(topic, rig.kit.seal(topic, encode(rig.kit.policy(units=("99",))), rig.kit.hub))
    rig.say(topic, rig.kit.policy_frame(rig.kit.policy(device="other")))
    assert (rig.refused(Reason.UNKNOWN_KEY), rig.refused(Reason.NOT_ALLOWED)) == (1, 1)
    assert rig.held.policy.units[0] == "23557"


def test_a_pinned_policy_must_be_the_roots(make: Make) -> None:
    rig = make()
    rig.close()
    rig.pinned = Kit(rig.clock.now).policy_frame()
    with closing(Journal(rig.folder / "journal", 0)) as journal, pytest.raises(PolicyRefused):
        Held(DEVICE, rig.kit.root.public, rig.pinned, rig.folder / "held", journal, rig.time)


def test_the_floor_never_goes_back(make: Make) -> None:
    rig = make()
    rig.boot = "boot-2"
    rig.clock.at = 0
    rig.crash()
    assert not rig.time.synchronised
    assert rig.time.now() >= EVENING


RELAY = "relay-vov1"


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timetable joins a relay at any instant of its time, and has missed it when that is over."""

    def live(item: Item) -> bool:
        return item.bulletin.kind is ContentKind.RELAY

    def plays(items: Sequence[Item], *rest: Any) -> Decision:
        decision, at = what_plays([i for i in items if not live(i)], *rest), rest[2]
        for item in filter(live, items):
            ends = item.airing.start + item.bulletin.duration
            if decision.play is None and item.airing.start <= at < ends:
                play = Play(item.airing.airing, 0, item.bulletin, at - item.airing.start, ends)
                return Decision(play, "normal", min(decision.until, ends))
        starts = [i.airing.start for i in items if i.airing.start > at]
        return replace(decision, until=min(decision.until, *starts, 2**62))

    def misses(items: Sequence[Item], history: Any, now: int, policy: Policy, *, since: int) -> tuple[Item, ...]:
        heard = {(s.airing, s.repeat) for s in history}
        over = (i for i in items if live(i) and i.airing.start + i.bulletin.duration <= now)
        mine = tuple(i for i in over if (i.airing.airing, i.airing.repeat) not in heard)
        return mine + missed([i for i in items if not live(i)], history, now, policy, since=since)

    monkeypatch.setattr("audio.receiver.choice.what_plays", plays)
    monkeypatch.setattr("audio.receiver.agent.missed", misses)


def relay(rig: Rig, start: int, ms: int = 60_000) -> None:
    """The programme has a relay of vov1."""
    bulletin = rig.kit.bulletin(Sound(Path(), "vov1", ms), id=RELAY, kind=ContentKind.RELAY)
    item = airing(bulletin, start, "news", start + ms)
    rig.say(PROG, rig.kit.programme(item, signed={bulletin.id: rig.kit.signed(bulletin)}))


def test_a_relay_is_tuned_to_ahead_never_fetched_and_heard_for_its_whole_time(make: Make) -> None:
    rig = make(EVENING)
    rig.synchronise()
    begin = EVENING + 20_000
    relay(rig, begin)
    rig.air.signal.add("vov1")
    assert rig.shelf.wanted == {}
    rig.run(begin - 6_000)
    assert rig.air.tuned == frozenset()
    rig.run(begin - 1_000)
    assert rig.air.tuned == {"vov1"}
    rig.run(begin + 61_000)
    (news,) = rig.receipts
    assert (news.airing, news.result, news.content, news.started) == ("news", Result.PLAYED, "vov1", begin)
    assert news.ended - news.started == 60_000
    assert rig.ears.played == [bytes([80]) * 2 * BLOCK * 3_000]
    assert rig.air.tuned == frozenset()


def test_a_relay_that_is_joined_late_is_over_with_its_window_and_played(make: Make) -> None:
    rig = make(EVENING)
    rig.air.signal.add("vov1")
    begin = EVENING - 28 * MINUTE
    relay(rig, begin, 30 * MINUTE)
    rig.run(EVENING + 3 * MINUTE)
    [news] = rig.receipts
    assert (news.result, news.reason, news.ended) == (Result.PLAYED, "", begin + 30 * MINUTE)


@pytest.mark.usefixtures("joined")
def test_a_relay_without_signal_is_silence_and_told(make: Make) -> None:
    rig = make(EVENING)
    rig.synchronise()
    begin = EVENING + 10_000
    relay(rig, begin)
    rig.run(begin + 61_000)
    assert rig.ears.played == []
    (news,) = rig.receipts
    assert (news.result, news.reason) == (Result.MISSED, "no signal")


@pytest.mark.usefixtures("joined")
def test_a_relay_that_loses_its_signal_is_joined_again_and_says_what_was_heard(make: Make) -> None:
    rig = make(EVENING)
    rig.synchronise()
    begin = EVENING + 10_000
    relay(rig, begin)
    rig.air.signal.add("vov1")
    rig.air.heard = 0.5
    rig.run(begin + 20_000)
    rig.air.signal.clear()
    rig.run(begin + 40_000)
    assert rig.agent.status().state is State.IDLE
    rig.air.signal.add("vov1")
    rig.air.heard = 1.0
    rig.run(begin + 61_000)
    lost, back = rig.receipts
    assert (lost.result, lost.reason, lost.ended - lost.started) == (Result.PARTIAL, "no signal", 30_000)
    assert back.result is Result.PLAYED
    assert back.ended == begin + 60_000
    assert 0 <= back.started - begin - 40_000 <= 200
    assert back.offset == back.started - begin


@pytest.mark.parametrize(
    "change",
    [{"content": "VOV 1"}, {"content": "../x"}, {"siren": 1_000}, {"times": 2}, {"cls": BulletinClass.EMERGENCY}],
)
def test_a_relay_of_anything_but_a_session_is_refused(make: Make, change: dict[str, Any]) -> None:
    rig = make(EVENING)
    rig.synchronise()
    bulletin = rig.kit.bulletin(Sound(Path(), "vov1", 60_000), id=RELAY, kind=ContentKind.RELAY)
    bulletin = replace(bulletin, **change)
    item = airing(bulletin, EVENING + 5_000, "news", EVENING + 65_000)
    rig.say(PROG, rig.kit.programme(item, signed={bulletin.id: rig.kit.signed(bulletin)}))
    assert rig.held.refused == {Reason.MALFORMED: 1}
    assert rig.held.items == ()
