"""Which source is on the air, how loud it becomes, and the encode's pages: pure parts, step by step."""

from __future__ import annotations

import array
import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.live import ogg
from audio.live.encode import CEILING, PACKETS, Encoder
from audio.live.feed import BACK_AFTER, FRAME, MOST, QUIET, SILENT_AFTER, STALLED_AFTER, TARGET, Fault, Feed, Gain
from audio.live.source import SAMPLES, frame
from audio.receiver import opus

SOUND, SILENCE, NOTHING = -20.0, QUIET - 1, None


def run(feed: Feed, ms: int, *levels: float | None) -> Feed:
    for _ in range(ms // FRAME):
        feed = feed.step(levels)
    return feed


def test_a_pause_is_no_fault_and_three_seconds_of_silence_are() -> None:
    feed = run(Feed.of(2), 5_000, SOUND, SOUND)
    assert run(feed, SILENT_AFTER - FRAME, SILENCE, SOUND).on_air == 0
    assert run(feed, SILENT_AFTER, SILENCE, SOUND).on_air == 1


def test_a_stall_is_a_fault_after_a_second() -> None:
    feed = run(Feed.of(2), 5_000, SOUND, SOUND)
    assert run(feed, STALLED_AFTER - FRAME, NOTHING, SOUND).on_air == 0
    assert run(feed, STALLED_AFTER, NOTHING, SOUND).on_air == 1


def test_silence_that_stalls_is_still_silence() -> None:
    feed = run(run(Feed.of(1), 1_000, SOUND), SILENT_AFTER - FRAME, SILENCE)
    assert run(run(feed, 500, NOTHING), FRAME, SILENCE).fault is Fault.SILENT


def test_the_first_source_is_taken_back_when_it_has_been_good_for_long_enough() -> None:
    feed = run(run(Feed.of(2), 1_000, SOUND, SOUND), STALLED_AFTER, NOTHING, SOUND)
    flapping = run(run(feed, BACK_AFTER - FRAME, SOUND, SOUND), STALLED_AFTER, NOTHING, SOUND)
    assert flapping.on_air == 1
    assert run(flapping, BACK_AFTER - FRAME, SOUND, SOUND).on_air == 1
    assert run(flapping, BACK_AFTER, SOUND, SOUND).on_air == 0


def test_where_no_source_sounds_the_feed_stays_and_says_so() -> None:
    feed = run(run(Feed.of(2), 1_000, SOUND, SOUND), 8_000, SILENCE, NOTHING)
    assert (feed.on_air, feed.fault) == (0, Fault.SILENT)
    assert run(feed, FRAME, NOTHING, SOUND).on_air == 1
    assert Feed.of(0).step(()).fault is Fault.STALLED


def test_a_source_has_time_to_connect() -> None:
    assert run(Feed.of(2), 3_000, NOTHING, SOUND).on_air == 0
    assert run(Feed.of(2), 6_000, NOTHING, SOUND).on_air == 1


@given(st.lists(st.tuples(*(st.sampled_from([SOUND, SILENCE, NOTHING]),) * 3), max_size=60))
def test_while_a_source_sounds_nobody_hears_silence_for_longer(steps: list[tuple[float | None, ...]]) -> None:
    """Whatever the first two do: the third always has a programme."""
    feed, quiet = run(Feed.of(3), 1_000, SOUND, SOUND, SOUND), 0
    for levels in steps:
        for _ in range(25):
            heard = (levels[0], levels[1], SOUND)
            feed = feed.step(heard)
            quiet = quiet + FRAME if heard[feed.on_air] != SOUND else 0
            # silence with stalls in it is counted as the two faults are, one after the other
            assert quiet < SILENT_AFTER + STALLED_AFTER


def test_loudness_is_that_of_bs_1770() -> None:
    both = array.array("h")
    for n in range(SAMPLES):
        both.extend([round(16384 * math.sin(2 * math.pi * 1000 * n / 48000))] * 2)
    # as if the weighing had changed nothing: a sine at -6.02 dBFS has -9.03 dB, and the standard takes off 0.691
    assert frame(both.tobytes()).loudness == pytest.approx(-9.72, abs=0.02)
    assert frame(bytes(4 * SAMPLES)).loudness < QUIET


@pytest.mark.parametrize("level", [-30.0, -24.0, -16.0, -9.0])
def test_the_gain_leads_gently_to_the_target(level: float) -> None:
    gain = Gain()
    for _ in range(3_000):
        before, gain = gain, gain.after(level)
        assert abs(gain.db - before.db) <= 0.2001
    assert gain.db == pytest.approx(min(TARGET - level, MOST), abs=0.1)
    assert gain.after(QUIET - 1) == gain


def test_what_is_too_loud_is_limited_without_clipping() -> None:
    encoder, pages = Encoder(), []
    for number in range(100):
        wave = (math.sin(2 * math.pi * 440 * (number * SAMPLES + n) / 48000) for n in range(SAMPLES))
        page = encoder.add(array.array("h", [round(30_000 * w) for w in wave]), 12.0)
        if page is not None:
            pages.append(page)
    assert len(pages) == 100 // PACKETS
    decoded = b"".join(opus.decode(io.BytesIO(encoder.header + b"".join(pages)), 0))
    loudest = np.abs(np.frombuffer(decoded, "<i2").astype(float)[4_800:]).max() / 32768
    assert 10 ** ((CEILING - 1) / 20) < loudest < 10 ** ((CEILING + 1) / 20)


def test_pages_are_read_back_and_hold_a_limited_number_of_packets() -> None:
    packets = [bytes([n % 256]) * n for n in (1, 254, 255, 256, 510, 700)]
    assert opus.packets(ogg.page(7, 2, 0, packets)) == packets
    with pytest.raises(ValueError, match="256 segments"):
        ogg.page(7, 2, 0, [b"x"] * 256)
