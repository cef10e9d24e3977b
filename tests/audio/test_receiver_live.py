"""Live pages at the device: what is let in, and what comes out of it, block by block, by a clock of the test's own."""

from __future__ import annotations

import array
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audio.documents import Policy
from audio.envelope import LivePage, Reason, pack_page
from audio.live.encode import PAGE, Encoder
from audio.live.source import SAMPLES
from audio.receiver.clock import DeviceTime
from audio.receiver.jitter import CALM, MARGIN, SLOWEST, Jitter
from audio.receiver.link import Connection, Message
from audio.receiver.live import LATE, NO_SIGNAL, REOPEN, Live
from audio.receiver.opus import OpusError
from audio.receiver.sound import BLOCK, PER_MS
from audio.receiver.trust import Trust
from tests.audio.receiver_kit import EVENING, Kit, Signer

TOPIC = "loa/1/live/vov1"
AHEAD = 2_000
Samples = np.ndarray[Any, np.dtype[np.float64]]


def tone(number: int, pages: int) -> list[array.array[int]]:
    """A sweep, so that each instant sounds unlike any other."""
    size = SAMPLES * pages * PAGE // 20
    ramp = np.arange(size) / 48_000
    wave = 9_000 * np.sin(2 * math.pi * (200 * ramp + 40 * (1 + number) * ramp**2))
    return [array.array("h", wave[n : n + SAMPLES].astype("<i2").tobytes()) for n in range(0, size, SAMPLES)]


def stream(pages: int) -> tuple[bytes, list[bytes]]:
    encoder = Encoder()
    made = [encoder.add(frame, 0.0) for frame in tone(0, pages)]
    return encoder.header, [page for page in made if page is not None]


HEADER, PAGES = stream(40)


def played(jitter: Jitter, start: int, ms: int) -> list[bytes]:
    return [jitter.block(at) for at in range(start, start + ms, 20)]


def joined(blocks: list[bytes]) -> Samples:
    return np.frombuffer(b"".join(b or bytes(2 * BLOCK) for b in blocks), "<i2").astype(float)


def like(one: Samples, other: Samples) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other) + 1e-9))


def filled(count: int = 40, leave_out: tuple[int, ...] = ()) -> Jitter:
    jitter = Jitter()
    jitter.header(HEADER)
    for number, page in enumerate(PAGES[:count]):
        if number not in leave_out:
            at = EVENING + number * PAGE
            assert jitter.add(page, at, at - AHEAD)
    return jitter


def reference() -> Samples:
    """What all pages sound like when nothing is late or lost."""
    return joined(played(filled(), EVENING, 8_000))


def test_each_device_plays_the_same_sample_at_the_same_instant() -> None:
    whole = reference()
    for shift in (1, 7, 19):
        later = joined(played(filled(), EVENING + 2_000 + shift, 3_000))
        there = whole[(2_000 + shift) * PER_MS :][: len(later)]
        assert like(later[BLOCK * 5 :], there[BLOCK * 5 :]) > 0.99


def test_a_lost_page_is_made_up_and_the_next_is_at_its_place() -> None:
    blocks = played(filled(leave_out=(10,)), EVENING, 4_000)
    assert all(blocks[:190])
    heard, whole = joined(blocks), reference()
    after = slice(2_400 * PER_MS, 3_900 * PER_MS)
    assert like(heard[after], whole[after]) > 0.95


def test_pages_that_stop_are_silence_and_are_joined_when_they_come_back() -> None:
    blocks = played(filled(leave_out=tuple(range(10, 20))), EVENING, 6_000)
    assert all(blocks[:99])
    assert not any(blocks[102:199])
    assert all(blocks[200:])
    heard, whole = joined(blocks), reference()
    after = slice(4_200 * PER_MS, 5_900 * PER_MS)
    assert like(heard[after], whole[after]) > 0.95


def test_a_late_page_makes_this_device_slower_and_nothing_of_the_sound_is_lost() -> None:
    jitter = filled(10)
    before = played(jitter, EVENING, 2_400)
    assert not any(before[102:])
    back = EVENING + 2_400
    for number in range(10, 40):
        assert jitter.add(PAGES[number], EVENING + number * PAGE, back)
    assert jitter.delay == 400 + MARGIN
    after = joined(played(jitter, back, 5_000))[MARGIN * PER_MS :]
    there = reference()[2_000 * PER_MS :][: len(after)]
    assert like(after[BLOCK * 10 :], there[BLOCK * 10 :]) > 0.95


def test_a_page_later_than_the_device_may_become_is_not_taken() -> None:
    jitter = filled(1)
    assert not jitter.add(PAGES[1], EVENING, EVENING + SLOWEST)
    assert jitter.delay == 0


def test_the_delay_shrinks_in_pauses_when_the_link_is_good_again() -> None:
    jitter, encoder = Jitter(), Encoder()
    jitter.header(encoder.header)
    quiet, at = array.array("h", bytes(2 * SAMPLES)), EVENING
    late = True
    delays = []
    for _ in range((CALM + 20_000) // PAGE):
        for _ in range(PAGE // 20):
            page = encoder.add(quiet, 0.0)
        assert page is not None
        assert jitter.add(page, at, at + 300 if late else at - AHEAD)
        late = False
        at += PAGE
        played(jitter, at - 2 * PAGE, PAGE)
        delays.append(jitter.delay)
    assert delays[0] == delays[CALM // PAGE - 5] == 300 + MARGIN
    assert delays[-1] == 0


@dataclass
class Hands:
    at: int = EVENING

    def now(self) -> int:
        return self.at

    def monotonic(self) -> int:
        return self.at


@dataclass
class Line:
    receive: Callable[[Message | Connection], None]
    topics: frozenset[str] = frozenset()
    renewed: int = 0
    closed: bool = False

    def hear(self, topics: frozenset[str]) -> None:
        self.topics = topics

    def listen(self, topics: frozenset[str]) -> None:
        self.topics = topics

    def renew(self) -> None:
        self.renewed += 1

    def close(self) -> None:
        self.closed = True


@dataclass
class Rig:
    """A device's live part with lines that the test holds in its hands."""

    folder: Path
    clock: Hands = field(default_factory=Hands)
    lines: list[Line] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kit = Kit(self.clock.now)
        self.policy: Policy = self.kit.policy()
        time = DeviceTime(self.clock, self.folder / "clock.json", "", lambda: False)
        self.live = Live(self._connect, lambda: Trust(self.policy), time, lambda reason, _: self.refused.append(reason))

    def _connect(self, receive: Callable[[Message | Connection], None]) -> Line:
        self.lines.append(Line(receive))
        return self.lines[-1]

    def sealed(self, number: int, topic: str = TOPIC, signer: Signer | None = None, **changes: Any) -> bytes:
        """A page (0: the header) as the hub sends it now, AHEAD of its time."""
        page = LivePage(self.clock.at + AHEAD, number, PAGES[number - 1] if number else HEADER)
        issued, lasts = self.clock.at, 24 * 3_600_000 if not number else AHEAD + 5_000
        changes = {"nbf": issued, "exp": issued + lasts} | changes
        return self.kit.seal(topic, pack_page(page), signer or self.kit.hub, **changes)

    def say(self, frame: bytes, topic: str = TOPIC) -> None:
        self.lines[-1].receive(Message(topic, frame))

    def tune(self, *sessions: str) -> None:
        self.live.tune(frozenset(sessions))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path)
    rig.tune("vov1")
    rig.say(rig.sealed(0))
    return rig


def test_the_second_connection_is_there_only_while_something_is_due(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.tune()
    assert rig.lines == []
    rig.tune("vov1")
    rig.tune("vov1")
    (line,) = rig.lines
    assert line.topics == {TOPIC}
    rig.tune("vov1", "gialai")
    assert line.topics == {TOPIC, "loa/1/live/gialai"}
    rig.tune()
    assert line.closed
    rig.tune("vov1")
    assert len(rig.lines) == 2


def test_pages_are_heard_and_the_same_page_again_is_no_news(rig: Rig) -> None:
    frames = []
    for number in range(1, 6):
        frames.append(rig.sealed(number))
        rig.say(frames[-1])
        rig.clock.at += PAGE
    rig.say(frames[-1])
    assert rig.refused == []
    assert rig.live.ready("vov1", EVENING + AHEAD)
    assert not rig.live.ready("vov2", EVENING + AHEAD)
    blocks = list(rig.live.blocks("vov1", EVENING + AHEAD, EVENING + AHEAD + 60_000, 50))
    assert all(blocks[:49])
    assert len(blocks) == 50 + NO_SIGNAL // 20
    assert not any(blocks[51:])


def test_forged_replayed_reordered_old_and_truncated_pages_are_refused_and_the_rest_is_heard(rig: Rig) -> None:
    first, second = rig.sealed(1), rig.sealed(2)
    rig.say(second)
    rig.say(first)  # signed before
    stranger = Signer("hub", "hub")
    rig.say(rig.sealed(3, signer=stranger))
    impostor = rig.sealed(3, signer=replace(stranger, key=stranger.key), kid=rig.kit.hub.kid)
    rig.say(impostor)
    rig.say(rig.sealed(3, signer=rig.kit.province))
    good = rig.sealed(3)
    rig.say(good[:-20] + bytes(20))
    rig.say(good[: len(good) // 2])
    rig.say(b"\0" * 50)
    rig.say(rig.sealed(3, topic="loa/1/live/other"))
    assert rig.refused == [
        Reason.REPLAYED,
        Reason.UNKNOWN_KEY,
        Reason.BAD_SIGNATURE,
        Reason.NOT_ALLOWED,
        Reason.BAD_SIGNATURE,
        Reason.BAD_SIGNATURE,
        Reason.MALFORMED,
        Reason.WRONG_TOPIC,
    ]
    rig.say(rig.kit.seal(TOPIC, b"short", rig.kit.hub))
    rig.say(rig.kit.seal(TOPIC, pack_page(LivePage(rig.clock.at, 9, b"OggS")), rig.kit.hub))
    assert rig.refused[8:] == [Reason.MALFORMED, Reason.MALFORMED]
    rig.clock.at += PAGE
    rig.say(rig.sealed(4))
    assert rig.live.ready("vov1", rig.clock.at + AHEAD)
    assert len(rig.refused) == 10


def test_yesterdays_pages_are_refused_even_by_a_device_that_was_just_switched_on(tmp_path: Path) -> None:
    yesterday = Rig(tmp_path)
    frames = [yesterday.sealed(0), yesterday.sealed(1)]
    today = Rig(tmp_path, Hands(EVENING + 24 * 3_600_000))
    today.policy = yesterday.policy
    today.tune("vov1")
    for frame in frames:
        today.say(frame)
    assert today.refused == [Reason.EXPIRED, Reason.EXPIRED]
    assert not today.live.ready("vov1", EVENING + AHEAD)


def test_a_connection_that_has_fallen_behind_is_made_anew_but_not_again_and_again(rig: Rig) -> None:
    rig.clock.at += REOPEN
    rig.say(rig.sealed(1))
    late = [rig.sealed(number) for number in (2, 3)]
    rig.clock.at += AHEAD + SLOWEST + 1
    rig.say(late[0])
    assert rig.refused == [LATE]
    rig.tune("vov1")
    rig.say(late[1])
    rig.tune("vov1")
    assert rig.lines[0].renewed == 1
    rig.clock.at += REOPEN
    rig.say(rig.sealed(4))
    rig.tune("vov1")
    assert rig.lines[0].renewed == 1


def test_a_new_stream_of_a_hub_that_was_restarted_is_joined(rig: Rig) -> None:
    rig.say(rig.sealed(1))
    rig.clock.at += 10_000
    rig.say(rig.sealed(0))
    rig.say(rig.sealed(1))
    assert rig.refused == []
    assert rig.live.ready("vov1", rig.clock.at + AHEAD)


def test_a_page_of_hours_in_packets_of_one_byte_is_refused() -> None:
    """One frame has room for nine hours of silence, and the device would decode all of it at once."""
    jitter = filled(0)
    lacing = bytes([1] * 255)
    page = PAGES[0][:26] + b"\xff" + lacing + bytes([0b00011000] * 255)
    with pytest.raises(OpusError, match="a page of"):
        jitter.add(page * 4, EVENING, EVENING)
    assert not jitter.ready(EVENING)
