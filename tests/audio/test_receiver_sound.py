from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audio.receiver.player import FileOutput, NullOutput, Player, siren
from audio.receiver.sound import BLOCK, Round, SoundError, blocks, chime, decode, primed
from tests.audio.receiver_kit import EVENING, Sound, make_sound


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    return make_sound(tmp_path_factory.mktemp("sounds"), 15_000, 5)


def samples(data: bytes) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.frombuffer(data, dtype="<i2")


def test_the_siren_is_the_same_everywhere_and_joins_without_a_click() -> None:
    long = samples(siren(5_000))
    assert len(long) == 5 * 48_000
    assert siren(700) == siren(5_000)[: 700 * 96]
    assert siren(0) == b""
    assert np.abs(np.diff(long.astype(int))).max() < 3_000
    assert np.array_equal(long[:48_000], long[96_000:144_000])
    assert 15_000 < np.abs(long.astype(int)).max() <= 16_384


def test_a_drill_begins_with_a_sound_of_its_own_as_long_as_the_siren(sound: Sound) -> None:
    drill = b"".join(blocks(Round(((sound.path, 1_000),), siren=2_300, drill=True)))
    real = b"".join(blocks(Round(((sound.path, 1_000),), siren=2_300)))
    assert len(drill) == len(real)
    assert drill[: 2_300 * 96] == chime(2_300)
    assert drill[2_300 * 96 :] == real[2_300 * 96 :]
    spectrum = np.abs(np.fft.rfft(samples(chime(500)).astype(float)))
    assert spectrum.argmax() * 48_000 / len(samples(chime(500))) == pytest.approx(880, abs=3)


def test_a_sound_is_exactly_as_long_as_its_bulletin_says(sound: Sound) -> None:
    for duration in (14_000, 15_000, 16_001):
        assert sum(map(len, blocks(Round(((sound.path, duration),))))) == duration * 96


def test_all_blocks_but_the_last_are_20_ms(sound: Sound) -> None:
    sizes = [len(b) for b in blocks(Round(((sound.path, 1_010),)))]
    assert set(sizes[:-1]) == {BLOCK * 2}
    assert sizes[-1] == BLOCK


def test_a_round_is_the_siren_and_the_message_so_many_times(sound: Sound) -> None:
    message = b"".join(blocks(Round(((sound.path, 2_000),))))
    assert b"".join(blocks(Round(((sound.path, 2_000),), siren=500, times=3))) == siren(500) + message * 3


@pytest.mark.parametrize("offset", [0, 1, 333, 500, 1_777, 2_500, 4_999, 6_499])
def test_an_offset_begins_exactly_there(sound: Sound, offset: int) -> None:
    whole = b"".join(blocks(Round(((sound.path, 2_000),), siren=500, times=3)))
    assert b"".join(blocks(Round(((sound.path, 2_000),), siren=500, times=3, offset=offset))) == whole[offset * 96 :]


@pytest.mark.parametrize("offset", [0, 499, 2_499, 2_500, 2_501, 3_999, 4_000, 7_123])
def test_each_time_the_message_is_said_in_every_language(sound: Sound, offset: int) -> None:
    said = ((sound.path, 2_000), (sound.path, 1_500))
    vietnamese = b"".join(blocks(Round(((sound.path, 2_000),))))
    whole = siren(500) + (vietnamese + vietnamese[: 1_500 * 96]) * 2
    assert b"".join(blocks(Round(said, siren=500, times=2, offset=offset))) == whole[offset * 96 :]


@pytest.mark.parametrize("drill", [False, True])
@pytest.mark.parametrize("offset", [0, 1, 777, 1_999, 2_000])
def test_a_round_of_which_no_sound_is_here_is_its_siren_or_chime(offset: int, drill: bool) -> None:
    alone = (chime if drill else siren)(2_000)
    assert b"".join(blocks(Round((), siren=2_000, offset=offset, drill=drill))) == alone[offset * 96 :]


@pytest.mark.parametrize("start", [10 * 48_000, 10 * 48_000 + 1, 12_345 * 48, 14_999 * 48])
def test_a_sought_offset_is_exact_too(sound: Sound, start: int) -> None:
    whole = samples(b"".join(decode(sound.path, 0)))[start:].astype(int)
    sought = samples(b"".join(decode(sound.path, start))).astype(int)
    assert len(sought) == len(whole)
    assert np.abs(sought - whole).max() <= 4


def test_volume_is_a_linear_gain(sound: Sound) -> None:
    loud = samples(b"".join(blocks(Round(((sound.path, 1_000),))))).astype(int)
    half = samples(b"".join(blocks(Round(((sound.path, 1_000),), volume=50)))).astype(int)
    assert np.abs(half - loud / 2).max() <= 1
    assert not any(b"".join(blocks(Round(((sound.path, 100),), volume=0))))


@pytest.mark.parametrize("data", [b"", b"not sound", b"OggS" + bytes(100)])
def test_what_is_no_sound_fails_before_the_first_block(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(SoundError):
        primed(blocks(Round(((path, 1_000),))))
    with pytest.raises(SoundError):
        primed(blocks(Round(((tmp_path / "absent", 1_000),))))


def noise(ms: int) -> list[bytes]:
    return [bytes([1]) * BLOCK * 2] * (ms // 20)


def test_the_file_has_each_sound_at_its_place_and_holes_between(tmp_path: Path) -> None:
    path = tmp_path / "out.pcm"
    for start in (EVENING + 10, EVENING + 3_600_000):
        output = FileOutput(path, start - 10)
        output.write(start * 48, noise(20)[0])
        output.close()
    assert json.loads((tmp_path / "out.pcm.json").read_bytes())["t0"] == EVENING
    found = samples(path.read_bytes())
    assert np.flatnonzero(found)[[0, -1]].tolist() == [480, (3_600_000 * 48) + BLOCK - 1]
    assert np.count_nonzero(found) == 2 * BLOCK
    assert path.stat().st_blocks * 512 < 100_000


def test_a_finished_sound_says_so_and_was_paced(tmp_path: Path) -> None:
    finished = threading.Event()
    player = Player(NullOutput(), finished.set)
    begun = time.monotonic()
    player.start(iter(noise(100)), EVENING, 0)
    assert finished.wait(5)
    assert time.monotonic() - begun >= 0.1
    assert player.done
    assert player.stop().samples == 100 * 48


def test_a_stopped_sound_is_silent_from_then_on(tmp_path: Path) -> None:
    output = FileOutput(tmp_path / "out.pcm", EVENING)
    player = Player(output, lambda: None)
    player.start(iter(noise(10_000)), EVENING, 0)
    while player.heard.samples < 5 * BLOCK:
        time.sleep(0.001)
    heard = player.stop()
    player.close()
    assert not player.done
    assert (tmp_path / "out.pcm").stat().st_size == heard.samples * 2


def test_a_late_start_catches_up() -> None:
    player = Player(NullOutput(), lambda: None)
    player.start(iter(noise(10_000)), EVENING, 200)
    while player.heard.samples < 10 * BLOCK:
        time.sleep(0.001)
    player.close()


def test_a_sound_that_breaks_says_why() -> None:
    def broken() -> Iterator[bytes]:
        yield from noise(40)
        raise SoundError("torn")

    finished = threading.Event()
    player = Player(NullOutput(), finished.set)
    player.start(broken(), EVENING, 0)
    assert finished.wait(5)
    assert player.stop().failure == "decoder: torn"
    assert player.heard.samples == 2 * BLOCK
