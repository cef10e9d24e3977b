"""Scenario A3's last step with a real hub, broker and receiver: a test tone at 21:40, and again at 07:30."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.kit import as_run, running, sounded, until
from tests.sim.world import World

pytestmark = pytest.mark.slow

DEVICE = "23557-L01"
NIGHT, MORNING = "2024-10-01T21:40:00+07:00", "2024-10-02T07:30:00+07:00"


def tone(world: World, *options: str) -> dict[str, Any]:
    """What the verb says for programs."""
    answer: dict[str, Any] = json.loads(
        world.loa("tone", DEVICE, "--json", *options, user="p.technician", codes=(0, 1))
    )
    return answer


def kept(world: World) -> list[tuple[str, str]]:
    return [(run.result, run.reason) for run in as_run(world) if run.device == DEVICE]


def test_at_night_the_tone_is_refused_and_heard_in_the_morning(tmp_path: Path) -> None:
    with running(tmp_path, [DEVICE], NIGHT, units=("23557",)) as world:
        began = world.now()
        refused = tone(world)
        assert (refused["result"], refused["reason"]) == ("refused", "quiet hours")
        assert tone(world, "--silent")["result"] == "checked"
        until(lambda: len(kept(world)) == 2, "both are on record")
        assert kept(world) == [("refused", "quiet hours"), ("checked", "")]
        assert sounded(world, DEVICE, began) == 0

        world.move_to(MORNING)
        began = world.now()
        heard = tone(world)
        assert (heard["result"], heard["reason"]) == ("played", "")
        assert -20 < heard["level_dbfs"] < -6
        assert sounded(world, DEVICE, began) > 1_800
