"""kill -9 while an emergency is in force: it is heard once by everyone it is for, also by who was dead when it came."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from inventory.model import DeviceId
from tests.e2e.kit import (
    Seen,
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
from tui.methods import OVERVIEW, Nothing

pytestmark = pytest.mark.slow

COMMUNE, NEIGHBOUR = ("23557-L01", "23557-L02"), "23593-L01"
FIRST, LAST = COMMUNE
BETWEEN_SESSIONS = "2024-10-01T10:00:00+07:00"
NOW, PROGRAMME, POLICY = "loa/1/now/u/23557/23557", "loa/1/prog/23557", "loa/1/policy/"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder, receivers = tmp_path_factory.mktemp("alarm"), (*COMMUNE, NEIGHBOUR)
    with running(folder, receivers, BETWEEN_SESSIONS, units=("23557", "23593")) as world:
        yield world


def submit(world: World, number: int) -> str:
    """An emergency whose round is the siren of 3 s and three times 0.8 s of sound."""
    return push(world, "23557", "emergency", f"Khẩn cấp {number}", "--audio", str(melody(world.folder, 0.8, number)))


def clear(world: World, bulletin: str) -> None:
    world.loa("all-clear", bulletin, user="c23557.approver")


@pytest.mark.parametrize(
    ("number", "victims"),
    [(1, ("hub",)), (2, ("broker",)), (3, (FIRST,)), (4, ("hub", "broker", FIRST))],
    ids=["hub", "broker", "receiver", "all"],
)
def test_an_emergency_survives_kills(world: World, number: int, victims: tuple[str, ...]) -> None:
    alarm = submit(world, number)
    before = world.now()
    approve(world, "23557", alarm)
    kill(world, victims)
    restart(world, victims)
    wait_sounding(world, COMMUNE, before)
    kill(world, victims)
    restart(world, victims)
    assert listed(world, alarm).state in ("scheduled", "airing")
    wait_played(world, alarm, COMMUNE)
    clear(world, alarm)
    check_heard(world, alarm, COMMUNE)
    check_silence(world)
    assert sounded(world, NEIGHBOUR, 0) == 0


def test_an_emergency_reaches_who_was_dead_when_it_was_sent(world: World) -> None:
    """While it is in force the broker and the hub die, too: what the broker kept is there again, to the byte."""
    policies = {POLICY + d: frame for d, frame in world.policies().items()}
    usual = push(world, "23557", "normal", "Thường lệ", "--audio", str(melody(world.folder, 1, 8)))
    approve(world, "23557", usual)
    alarm = submit(world, 5)
    world.kill(LAST)
    approve(world, "23557", alarm)
    wait_played(world, alarm, [FIRST])

    kept = retained(world, {*policies, NOW, PROGRAMME})
    assert {topic: kept[topic] for topic in policies} == policies
    world.kill("broker")
    world.start_broker()
    assert retained(world, set(kept)) == kept
    kill(world, ["broker", "hub"])
    restart(world, ["broker", "hub"])
    again = retained(world, set(kept))
    assert {topic: again[topic] for topic in policies} == policies

    assert {r.device for r in receipts(world, alarm)} == {FIRST}
    world.start_receiver(DeviceId(LAST))
    wait_played(world, alarm, COMMUNE)
    clear(world, alarm)
    check_heard(world, alarm, COMMUNE)
    check_silence(world)


def test_a_receiver_that_comes_back_after_the_all_clear_stays_silent(world: World) -> None:
    """The bulletin that waits for the all-clear shows that it listens again."""
    alarm = submit(world, 6)
    usual = push(world, "23557", "normal", "Sau báo yên", "--now", "--audio", str(melody(world.folder, 1, 7)))
    world.kill(LAST)
    approve(world, "23557", alarm)
    approve(world, "23557", usual)
    wait_played(world, alarm, [FIRST])
    clear(world, alarm)
    world.start_receiver(DeviceId(LAST))
    wait_played(world, usual, COMMUNE)
    check_heard(world, alarm, [FIRST])
    check_heard(world, usual, COMMUNE)
    check_silence(world)


def retained(world: World, topics: set[str]) -> dict[str, bytes]:
    """What the broker hands to a newcomer on these topics, once it has all of them."""

    def documents(seen: list[Seen]) -> dict[str, bytes]:
        return {s.topic: s.payload for s in tuple(seen) if s.topic in topics}

    until(lambda: world.ask(OVERVIEW, Nothing()).broker, "the hub is at the broker")
    with listening(world, "loa/1/prog/#", "loa/1/now/#", "loa/1/policy/#") as seen:
        until(lambda: documents(seen).keys() == topics, "every document is on the broker")
    with listening(world, "loa/1/prog/#", "loa/1/now/#", "loa/1/policy/#") as seen:
        until(lambda: documents(seen).keys() == topics, "every document is kept there")
        assert all(s.retained for s in tuple(seen)), "a newcomer gets them from the broker, not from the hub"
        return documents(seen)
