"""Sound through libasound: the real library without a sound card, and a card of the tests' own that keeps time."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.receiver.alsa import AHEAD, AlsaOutput, Card
from audio.receiver.player import Player
from audio.receiver.sound import BLOCK, RATE, Round, blocks, primed
from tests.audio.receiver_kit import EVENING, make_sound

Samples = np.ndarray[Any, np.dtype[np.int16]]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the device ``kept`` has played; ``stereo`` asks it for another form, ``nothing`` discards."""
    config, out = tmp_path / "asound.conf", tmp_path / "out.raw"
    config.write_text(
        f"""
        pcm.nothing {{ type null }}
        pcm.kept {{ type file slave.pcm nothing file "{out}" format raw }}
        pcm.stereo {{ type plug slave {{ pcm kept rate 44100 channels 2 format S16_LE }} }}
        """
    )
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(config))
    return out


def samples(data: bytes) -> Samples:
    return np.frombuffer(data, dtype="<i2")


def play(output: AlsaOutput, source: Iterator[bytes]) -> Player:
    finished = threading.Event()
    player = Player(output, finished.set)
    player.start(source, EVENING, -30)
    assert finished.wait(60)
    player.close()
    return player


def test_what_the_library_plays_is_the_sound_to_the_sample(kept: Path, tmp_path: Path) -> None:
    sound = make_sound(tmp_path, 1_000, 5)
    what = Round(((sound.path, 1_000),), siren=200, times=2, volume=60)
    output = AlsaOutput("kept")
    player = play(output, primed(blocks(what)))
    expected = b"".join(blocks(what))
    found = kept.read_bytes()
    assert player.heard.failure == ""
    assert player.heard.samples == len(expected) // 2
    assert found.endswith(expected)
    assert not any(found[: -len(expected)]), "silence until it is due"
    assert len(found) - len(expected) <= AHEAD * RATE * 2
    assert output.underruns == 0


def test_the_device_converts(kept: Path) -> None:
    player = play(AlsaOutput("stereo"), iter([b"\x00\x10" * BLOCK] * 20))
    assert player.heard.failure == ""
    assert np.count_nonzero(samples(kept.read_bytes())) > 0


def test_a_card_that_is_not_there_is_said_and_does_not_end_the_program(kept: Path) -> None:
    assert kept.parent.exists()
    player = play(AlsaOutput("absent"), iter([bytes(2 * BLOCK)] * 3))
    assert (player.heard.failure, player.heard.samples) == ("output: No such file or directory", 0)
    with pytest.raises(OSError, match="No such file"):
        Card("absent")


def test_a_stop_is_within_a_block(kept: Path) -> None:
    player = Player(AlsaOutput("nothing"), lambda: None)
    player.start(iter([bytes(2 * BLOCK)] * 3_000), EVENING, 0)
    while player.heard.samples < 5 * BLOCK:
        assert not player.done, player.heard
        time.sleep(0.001)
    heard = player.stop()
    assert not player.done
    assert heard.samples % BLOCK == 0
    player.close()


class FakeCard:
    """A card in a time of its own: ``now`` is the computer's second, in which it plays ``pace`` seconds of sound.

    It tells how long its queue was when it last had played a whole number of pieces, of ``piece`` samples each; a write
    ``takes`` so many seconds.
    """

    def __init__(self, pace: float = 1.0, piece: int = 1, takes: float = 0.0) -> None:
        self.now = 100.0
        self.pace = pace
        self.piece = piece
        self.takes = takes
        self.played = 0
        self.queue: list[int] = []
        self.heard: list[tuple[float, int]] = []
        self.fails: list[OSError] = []
        self.runs = False
        self.open = True

    def opened(self, device: str) -> FakeCard:
        if self.fails:
            raise self.fails[0]
        assert device == "default"
        self.open = True
        return self

    def clock(self) -> float:
        return self.now

    def pass_time(self, seconds: float) -> None:
        if self.runs:
            step = 1 / RATE / self.pace
            for number in range(min(len(self.queue), round(seconds / step))):
                self.heard.append((self.now + number * step, self.queue[number]))
            self.played += min(len(self.queue), round(seconds / step))
            del self.queue[: round(seconds / step)]
        self.now += seconds

    def write(self, data: bytes) -> None:
        if self.fails:
            raise self.fails.pop(0)
        if self.runs and not self.queue:
            self.runs = False
            raise OSError(errno.EPIPE, "Broken pipe")
        self.queue += samples(data).tolist()
        self.pass_time(self.takes)

    def delay(self) -> int:
        if self.runs and not self.queue:
            raise OSError(errno.EPIPE, "Broken pipe")
        return len(self.queue) + self.played % self.piece

    def start(self) -> None:
        self.runs = True

    def silence(self) -> None:
        self.queue.clear()
        self.runs = False

    def recover(self, number: int) -> None:
        assert number in (errno.EPIPE, errno.ESTRPIPE)
        self.silence()

    def close(self) -> None:
        self.silence()
        self.open = False

    def errors(self, at: float) -> list[float]:
        """How far (s) each sample that sounded was from its time; sample n has the value n + 1."""
        return [moment - (at + (value - 1) / RATE) for moment, value in self.heard if value]


def numbered(number: int) -> bytes:
    """A block whose samples count on from 1."""
    return np.arange(number * BLOCK + 1, (number + 1) * BLOCK + 1, dtype="<i2").tobytes()


def perform(card: FakeCard, output: AlsaOutput, at: float, until: int, lags: dict[int, float] | None = None) -> None:
    """Blocks up to ``until`` as the player hands them over: ``AHEAD`` of their time, some later by ``lags``."""
    for number in range(until):
        due = at + number * BLOCK / RATE - output.ahead + (lags or {}).get(number, 0)
        card.pass_time(max(due - card.now, 0))
        output.write(number * BLOCK, numbered(number))


@pytest.mark.parametrize("lead", [0.06, 0.05, 0.03, 0.02, 0.0])
def test_every_sample_sounds_at_its_time(lead: float) -> None:
    card = FakeCard()
    output = AlsaOutput("default", card.opened, card.clock)
    output.begin(0, card.now + lead)
    perform(card, output, at := card.now + lead, 30)
    card.pass_time(AHEAD)
    errors = card.errors(at)
    assert len(errors) > 28 * BLOCK
    assert max(map(abs, errors)) < 0.001
    assert output.underruns == 0


@settings(max_examples=20)
@given(st.floats(0.9995, 1.0005), st.floats(0, 0.06))
def test_a_card_with_another_idea_of_a_second_stays_in_time(pace: float, lead: float) -> None:
    card = FakeCard(pace)
    output = AlsaOutput("default", card.opened, card.clock)
    at = card.now + lead
    output.begin(0, at)
    perform(card, output, at, 34)
    assert max(map(abs, card.errors(at))) < 0.003
    assert output.underruns == 0


def test_how_long_a_slow_device_takes_to_fill_the_card_delays_no_sound() -> None:
    card = FakeCard(takes=0.008)
    output = AlsaOutput("default", card.opened, card.clock)
    at = card.now + 0.06
    output.begin(0, at)
    perform(card, output, at, 30)
    assert max(map(abs, card.errors(at))) < 0.001
    assert output.underruns == 0


@pytest.mark.parametrize("piece", [200, 441, 1200])
def test_a_card_that_moves_in_pieces_plays_every_sample_once(piece: int) -> None:
    """4 ms: ALSA's loopback; 10 and 25 ms: USB and boards that only tell where their last period ended."""
    card = FakeCard(piece=piece)
    output = AlsaOutput("default", card.opened, card.clock)
    at = card.now + 0.06
    output.begin(0, at)
    perform(card, output, at, 34)
    heard = [value for _, value in card.heard if value]
    assert heard == list(range(1, len(heard) + 1))
    assert len(heard) > 30 * BLOCK
    assert output.underruns == 0


def test_a_queue_that_ran_empty_is_counted_and_the_sound_is_in_time_again() -> None:
    card = FakeCard()
    output = AlsaOutput("default", card.opened, card.clock)
    at = card.now + 0.06
    output.begin(0, at)
    perform(card, output, at, 30, {10: 0.2})
    assert output.underruns == 1
    assert max(map(abs, card.errors(at))) < 0.001


def test_a_machine_that_slept_goes_on() -> None:
    card = FakeCard()
    output = AlsaOutput("default", card.opened, card.clock)
    at = card.now + 0.06
    output.begin(0, at)
    perform(card, output, at, 3)
    card.fails = [OSError(errno.ESTRPIPE, "Streams pipe error")]
    output.write(3 * BLOCK, numbered(3))
    assert not card.fails
    assert (card.open, output.underruns) == (True, 0)


@pytest.mark.parametrize("number", [errno.ENODEV, errno.EIO])
def test_a_card_that_disappears_is_closed_and_opened_again_when_it_is_back(number: int) -> None:
    card = FakeCard()
    output = AlsaOutput("default", card.opened, card.clock)
    at = card.now + 0.06
    output.begin(0, at)
    perform(card, output, at, 3)
    card.fails = [OSError(number, "gone")]
    with pytest.raises(OSError, match="gone"):
        output.write(3 * BLOCK, numbered(3))
    assert not card.open
    card.fails.clear()
    with pytest.raises(OSError, match="gone"):  # tried now and then, not with every block
        output.write(4 * BLOCK, numbered(4))
    card.pass_time(0.52)
    card.heard.clear()
    perform(card, output, at, 34)
    assert card.open
    assert card.heard, "it sounds again"
    assert max(map(abs, card.errors(at))) < 0.001


def test_what_was_queued_when_it_stopped_was_not_heard() -> None:
    card = FakeCard()
    output = AlsaOutput("default", card.opened, card.clock)
    at = card.now + AHEAD
    output.begin(0, at)
    for number in range(3):
        output.write(number * BLOCK, numbered(number))
    card.pass_time(AHEAD + BLOCK / RATE)
    assert output.halt() == 2 * BLOCK
    assert card.queue == []
    assert output.halt() == 0
    output.close()
    assert not card.open


class Moody:
    """An output that fails for a while."""

    ahead = 0.0

    def __init__(self, fails: int) -> None:
        self.fails = fails

    def begin(self, sample: int, at: float) -> None: ...

    def write(self, sample: int, block: bytes) -> None:
        self.fails -= 1
        if self.fails >= 0:
            raise OSError(errno.ENODEV, "No such device")

    def halt(self) -> int:
        return 0

    def close(self) -> None: ...


@pytest.mark.parametrize(("fails", "whole"), [(2, 8), (1_000, 0)])
def test_an_output_that_comes_back_goes_on_and_one_that_does_not_is_given_up(
    fails: int, whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audio.receiver.player.GIVE_UP", 0.1)
    finished = threading.Event()
    player = Player(Moody(fails), finished.set)
    player.start(iter([bytes(2 * BLOCK)] * (10 if whole else 3_000)), EVENING, 0)
    assert finished.wait(30)
    heard = player.stop()
    assert (heard.failure, heard.samples) == ("output: No such device", whole * BLOCK)
