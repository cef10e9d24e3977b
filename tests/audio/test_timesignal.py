"""When the time is told: each minute, soon to whoever comes, once to many, never by a clock that is wrong."""

from __future__ import annotations

import pytest

from audio.timesignal import APART, EVERY, TimeSignal


class Rig:
    """A hub that looks once a second; ``said`` has the seconds at which it told the time."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.good = True
        self.failure: Exception | None = None
        self.said: list[float] = []
        self.tried = 0
        self.signal = TimeSignal(self.tell, lambda: self.seconds)

    async def tell(self) -> bool:
        self.tried += 1
        if self.failure is not None:
            raise self.failure
        if self.good:
            self.said.append(self.seconds)
        return self.good

    async def look(self, *comes: bool) -> None:
        """A look for each, and a second after it."""
        for asked in comes:
            await self.signal.look(asked)
            self.seconds += 1.0


async def test_the_time_is_told_at_once_and_then_each_minute() -> None:
    rig = Rig()
    await rig.look(*[False] * 150)
    assert rig.said == [1_000.0, 1_000.0 + EVERY, 1_000.0 + 2 * EVERY]


@pytest.mark.parametrize("quiet", [1, 2, 30, 59])
async def test_whoever_comes_is_told_within_two_looks(quiet: int) -> None:
    rig = Rig()
    await rig.look(*[False] * quiet)
    came = rig.seconds
    await rig.look(True, False)
    assert any(came <= at < came + 2.0 for at in rig.said)


async def test_a_storm_shares_its_words_and_its_last_has_one_too() -> None:
    rig = Rig()
    await rig.look(*[True] * 30)
    end = rig.seconds - 1.0
    await rig.look(False, False)
    apart = [b - a for a, b in zip(rig.said, rig.said[1:], strict=False)]
    assert min(apart) >= APART
    assert max(apart) <= 2.0
    assert rig.said[-1] >= end


async def test_what_one_word_has_answered_is_not_answered_again() -> None:
    rig = Rig()
    await rig.look(False, True, True, *[False] * 50)
    assert rig.said == [1_000.0, 1_002.0]


async def test_by_a_wrong_clock_nothing_is_told_and_by_a_right_one_at_once() -> None:
    rig = Rig()
    await rig.look(False)
    rig.good = False
    await rig.look(*[True, False] * 300)
    assert rig.said == [1_000.0]
    rig.good = True
    again = rig.seconds
    await rig.look(*[False] * 30)
    assert rig.said == [1_000.0, again]


async def test_who_came_while_the_store_failed_is_told_as_soon_as_it_is_back() -> None:
    rig = Rig()
    await rig.look(False, False)
    rig.failure = OSError("no")
    with pytest.raises(OSError, match="no"):
        await rig.look(True)
    rig.failure = None
    await rig.look(False)
    assert rig.said == [1_000.0, 1_002.0]
