"""Whose coming online makes the hub tell the time at once: every word of it costs all devices data."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from audio.documents import DeviceState, encode
from audio.intake import LONG_AWAY, Intake
from audio.silence import OFF

DEVICE = "23557-L01"
WELL = DeviceState(DEVICE, True, 0, clock_error=3)
GONE = replace(WELL, online=False)


class Rig:
    """What the hub takes in of states; nothing of it touches the store or the broker."""

    def __init__(self) -> None:
        self.now = datetime(2024, 10, 1, 10, tzinfo=UTC)
        self.intake = Intake(cast(Any, None), cast(Any, None), "hub", lambda: self.now, lambda: 1)

    def says(self, *states: DeviceState) -> bool:
        """Whether the time is asked for after these."""
        for state in states:
            self.intake.receive(f"loa/1/dev/{state.device}/state", encode(state))
        return self.intake.timeless()


def test_who_is_seen_first_is_told_the_time_once() -> None:
    rig = Rig()
    assert rig.says(WELL)
    assert not rig.says(WELL)
    assert not rig.says(GONE)


@pytest.mark.parametrize(
    ("error", "away", "asks"),
    [
        (3, LONG_AWAY, False),
        (3, LONG_AWAY + timedelta(seconds=1), True),
        (OFF, timedelta(), False),
        (-OFF - 1, timedelta(), True),
        (None, timedelta(), True),
    ],
)
def test_who_comes_back_is_told_if_it_needs_it(error: int | None, away: timedelta, asks: bool) -> None:
    rig = Rig()
    rig.says(WELL, GONE)
    rig.now += away
    assert rig.says(replace(WELL, clock_error=error)) == asks


def test_who_is_online_all_the_time_asks_for_nothing() -> None:
    rig = Rig()
    rig.says(WELL)
    assert not rig.says(replace(WELL, clock_error=None))
