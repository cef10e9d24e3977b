"""kill -9 of hub, broker and receivers at every step of a bulletin's life: nothing accepted is lost or said twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.e2e.kit import (
    approve,
    check_heard,
    check_silence,
    kill,
    listed,
    listening,
    melody,
    push,
    receipts,
    restart,
    running,
    sounded,
    until,
    wait_played,
    wait_sounding,
)
from tests.sim.world import World
from tui.gateway import HubError
from tui.methods import HELLO, Nothing

pytestmark = pytest.mark.slow

DEVICES = ("23557-L01", "23557-L02", "23593-L01")
DISTRICT = "622"
FIRST = DEVICES[0]
GOING = ("scheduled", "airing", "aired")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running(tmp_path_factory.mktemp("kill"), DEVICES, units=("23557", "23593")) as world:
        yield world


def submit(world: World, seconds: float, number: int) -> str:
    return push(world, DISTRICT, "priority", f"Bản tin {number}", "--now", "--audio", melody_of(world, seconds, number))


def melody_of(world: World, seconds: float, number: int) -> str:
    return str(melody(world.folder, seconds, number))


def starts(world: World, bulletin: str) -> int:
    """Approved; the first planned start (Unix ms)."""
    answer = approve(world, DISTRICT, bulletin)
    assert not answer["homeless"]
    return min(int(datetime.fromisoformat(text).timestamp() * 1000) for text in answer["starts"].values())


@pytest.mark.parametrize(
    ("number", "victims"),
    [(1, ("hub",)), (2, ("broker",)), (3, (FIRST,)), (4, ("hub", "broker", FIRST))],
    ids=["hub", "broker", "receiver", "all"],
)
def test_a_bulletin_survives_kills_at_each_step(world: World, number: int, victims: tuple[str, ...]) -> None:
    bulletin = submit(world, 5, number)
    kill(world, victims)
    restart(world, victims)
    assert listed(world, bulletin).state == "submitted"
    assert bulletin in world.loa("bulletins")

    start = starts(world, bulletin)
    kill(world, victims)
    restart(world, victims)
    assert listed(world, bulletin).state in GOING
    world.loa("approve", "--yes", bulletin, user="d622.approver", codes=(1,))

    cut = {v for v in victims if v in DEVICES}
    # who is to be cut is killed in the middle of it, however late the others begin
    wait_sounding(world, cut or DEVICES, start)
    kill(world, reversed(victims))
    restart(world, victims)
    assert listed(world, bulletin).state in GOING

    wait_played(world, bulletin, DEVICES)
    check_heard(world, bulletin, DEVICES)
    check_silence(world)
    until(lambda: listed(world, bulletin).state == "aired", "the bulletin has aired")
    assert {r.device for r in receipts(world, bulletin) if r.result == "partial"} == cut, "only who was killed was cut"


def test_devices_keep_their_timetable_while_the_hub_is_dead(world: World) -> None:
    """One item is in the middle when the hub dies, the next begins and ends without it; both are reported later."""
    pair = [submit(world, 2.5, 5), submit(world, 1.5, 6)]
    first, second = [starts(world, bulletin) for bulletin in pair]
    wait_sounding(world, DEVICES, first)
    world.kill("hub")
    assert first + 2500 < second
    wait_sounding(world, DEVICES, second)
    until(lambda: world.now() > second + 2000, "the second item is over")
    with pytest.raises(HubError):
        world.ask(HELLO, Nothing())
    world.start_hub()
    for bulletin in pair:
        wait_played(world, bulletin, DEVICES)
        check_heard(world, bulletin, DEVICES)
        assert {(r.result, r.offset) for r in receipts(world, bulletin)} == {("played", 0)}
    check_silence(world)


def test_receipts_that_are_on_their_way_when_the_hub_dies_come_again(world: World) -> None:
    bulletin = submit(world, 1, 7)
    with listening(world, "loa/1/dev/+/receipt") as seen:
        start = starts(world, bulletin)
        until(lambda: any(bulletin.encode() in s.payload for s in seen), "the first receipt is sent")
        world.kill("hub")
    assert all(sounded(world, device, start) > 500 for device in DEVICES)
    world.start_hub()
    wait_played(world, bulletin, DEVICES)
    found = receipts(world, bulletin)
    assert sorted(r.device for r in found) == sorted(DEVICES), "each receipt is kept once"
    check_heard(world, bulletin, DEVICES)
    check_silence(world)
