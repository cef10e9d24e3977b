"""A microphone's buffer: what waits for the next page, what is too old for it, and who still needs it."""

from __future__ import annotations

import array
import asyncio
import gc

from audio.live.encode import PAGE
from audio.live.feed import FRAME
from audio.live.microphone import MOST, PREFILL, Microphone, Microphones
from audio.live.source import SAMPLES

A_PAGE = PAGE // FRAME


def said(number: int) -> bytes:
    """A frame that is told from others by its samples."""
    return array.array("h", [number, 100] * SAMPLES).tobytes()


def taken(microphone: Microphone, count: int) -> list[int | None]:
    """Which frames come, None where there is none."""
    frames = [microphone.take() for _ in range(count)]
    return [None if frame is None else frame.samples[0] for frame in frames]


def fill(microphone: Microphone, first: int, count: int) -> None:
    for number in range(first, first + count):
        microphone.put(said(number))


def test_nothing_is_heard_before_there_is_enough_for_a_page_and_its_moods() -> None:
    microphone = Microphone()
    assert PREFILL > A_PAGE
    assert taken(microphone, 1) == [None]
    fill(microphone, 0, PREFILL - 1)
    assert taken(microphone, A_PAGE) == [None] * A_PAGE
    fill(microphone, PREFILL - 1, 1)
    assert taken(microphone, A_PAGE) == list(range(A_PAGE))
    assert microphone.waiting == (PREFILL - A_PAGE) * FRAME


def test_what_comes_steadily_is_heard_without_holes() -> None:
    microphone = Microphone()
    fill(microphone, 0, PREFILL)
    heard: list[int | None] = []
    for page in range(50):
        heard += taken(microphone, A_PAGE)
        fill(microphone, PREFILL + page * A_PAGE, A_PAGE)
    assert heard == list(range(50 * A_PAGE))
    assert microphone.dropped == 0


def test_a_pause_of_the_line_is_silence_and_then_there_must_be_enough_again() -> None:
    microphone = Microphone()
    fill(microphone, 0, PREFILL)
    assert taken(microphone, PREFILL + 2) == [*range(PREFILL), None, None]
    fill(microphone, 100, 5)
    assert taken(microphone, 1) == [None]
    fill(microphone, 105, PREFILL - 5)
    assert taken(microphone, 1) == [100]


def test_the_oldest_gives_way_so_that_nobody_hears_it_late() -> None:
    microphone = Microphone()
    fill(microphone, 0, PREFILL)
    assert taken(microphone, 1) == [0]
    fill(microphone, PREFILL, MOST + 8 - PREFILL)
    assert microphone.waiting == MOST * FRAME < 400
    assert microphone.dropped == 7
    assert taken(microphone, 3) == [8, 9, 10]


def test_a_page_begins_with_no_more_than_has_to_wait() -> None:
    """Between two pages more may have come: it would be heard that much later to the end."""
    microphone = Microphone()
    fill(microphone, 0, MOST)
    assert taken(microphone, 2) == [MOST - PREFILL, MOST - PREFILL + 1]
    assert microphone.dropped == MOST - PREFILL


def test_what_waits_when_a_speaker_goes_is_not_the_next_ones_beginning() -> None:
    microphone = Microphone()
    fill(microphone, 0, MOST)
    microphone.clear()
    assert taken(microphone, 1) == [None]
    fill(microphone, 50, PREFILL)
    assert taken(microphone, 1) == [50]


def test_a_frame_has_the_loudness_of_its_weighed_half() -> None:
    microphone = Microphone()
    loud = array.array("h", [5, 16384] * SAMPLES).tobytes()
    for _ in range(PREFILL):
        microphone.put(loud)
    frame = microphone.take()
    assert frame is not None
    assert round(frame.loudness, 1) == round(-6.02 - 0.691, 1)


async def test_run_lasts_until_it_is_cancelled() -> None:
    task = asyncio.create_task(Microphone().run())
    done, _ = await asyncio.wait([task], timeout=0.01)
    assert not done
    task.cancel()
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(outcome, asyncio.CancelledError)


def test_session_and_speaker_have_the_same_microphone_for_as_long_as_one_of_them_is_there() -> None:
    microphones = Microphones()
    one = microphones.of("mic-000000000001")
    one.speaker = "An"
    assert microphones.of("mic-000000000001") is one
    assert microphones.of("mic-000000000002") is not one
    del one
    gc.collect()
    assert microphones.of("mic-000000000001").speaker == ""
