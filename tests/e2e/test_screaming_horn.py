"""A horn screams: it is silenced for everything, an emergency comes meanwhile, it is mended and hears at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.kit import (
    approve,
    check_begun_once,
    melody,
    played,
    push,
    receipts,
    running,
    sounded,
    until,
    wait_played,
    wait_sounding,
)
from tests.sim.world import World
from tui.alarm_methods import ALARMS, Alarms
from tui.methods import OVERVIEW, Nothing

pytestmark = pytest.mark.slow

HORN, OTHER = "23557-L01", "23557-L02"
OPERATOR, APPROVER, EDITOR = "p.operator", "c23557.approver", "c23557.editor"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running(tmp_path_factory.mktemp("horn"), (HORN, OTHER), units=("23557",)) as world:
        yield world


def loa_json(world: World, *arguments: str, user: str = OPERATOR) -> Any:
    return json.loads(world.loa(*arguments, "--json", user=user))


def test_a_screaming_horn_from_its_silence_to_its_repair(world: World) -> None:
    song = push(world, "23557", "normal", "bài hát", "--now", "--audio", str(melody(world.folder, 8, 1)))
    start = world.now()
    approve(world, "23557", song)
    wait_sounding(world, (HORN, OTHER), start)

    repair = "Lê Ngọc Lan/loa nén"
    order = ("silence", HORN, "--until", "2024-10-20", "--reason", "loa rú", "--repair", repair)
    told = loa_json(world, *order)
    assert told["silenced"]["device"] == HORN
    until(lambda: HORN in {r.device for r in receipts(world, song) if r.reason == "silenced"}, "the horn is cut")
    wait_played(world, song, (OTHER,))
    quiet = world.now()

    warned = loa_json(
        world,
        *("push", "--class", "emergency", "--origin", "23557", "--title", "x", "--text", "Lúc 5h30"),
        *("--authority", "CV 12/UBND"),
        *("--preview", "--sound", str(world.folder / "preview.opus")),
        user=EDITOR,
    )
    assert warned["spoken"] == "Lúc năm giờ ba mươi phút"
    assert (world.folder / "preview.opus").read_bytes()[:4] == b"OggS"
    assert [row["device"] for row in warned["silenced"]] == [HORN]
    storm = push(world, "23557", "emergency", "Sơ tán", "--text", "Sơ tán ngay.")
    approve(world, "23557", storm)
    wait_played(world, storm, (OTHER,))
    report = loa_json(world, "report", storm)
    assert report["counts"]["silenced"] == 1
    assert [d["device"] for d in report["devices"] if d["result"] == "silenced"] == [HORN]
    assert sounded(world, HORN, quiet) == 0
    counts = world.ask(OVERVIEW, Nothing()).alarms
    assert counts.silenced == 1
    assert not [a for a in world.ask(ALARMS, Alarms()).alarms if a.subject == HORN and a.kind == "silent"]

    mended = world.now()
    world.loa("repair", HORN, "--done", user=OPERATOR)
    wait_played(world, storm, (HORN,))
    (first,) = [r for r in receipts(world, storm) if r.device == HORN and r.result == "played"]
    assert first.started >= mended
    assert played(world, storm) == {HORN, OTHER}
    check_begun_once([r for r in receipts(world, storm) if r.device == HORN and r.result == "played"])
    world.loa("all-clear", storm, user=APPROVER)


def test_a_stop_is_lifted_and_what_is_due_is_heard(world: World) -> None:
    world.loa("stop", "commune=23557", "--hold-until", "2024-10-01T20:00", "--reason", "thi", user=APPROVER)
    after = push(world, "23557", "normal", "sau", "--now", "--audio", str(melody(world.folder, 2, 3)))
    approve(world, "23557", after)
    until(lambda: receipts(world, after) or _due(world, after), "it is due")
    assert played(world, after) == set()
    world.loa("resume", "commune=23557", "--reason", "thi xong sớm", user=APPROVER)
    wait_played(world, after, (HORN, OTHER))


def _due(world: World, bulletin: str) -> bool:
    """The bulletin's first start has passed."""
    return any(row.id == bulletin and row.state == "airing" for row in world.ask(OVERVIEW, Nothing()).bulletins)
