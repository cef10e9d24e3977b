"""An ordinary Monday in xã Xuân An: the commune's item and the province's in one session, the commune decides.

The relay of the morning, its fail-over and its end at 05:30 are in ``test_real_day``. That 'play now' is refused
at 23:00 is in ``test_day`` (verb and hub) and in ``tests/audio/test_receiver_process.py`` (a receiver that the hub
lies to).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from tests.e2e.kit import (
    approve,
    as_run,
    check_heard,
    check_silence,
    listed,
    melody,
    played,
    push,
    running,
    sounded,
    until,
    wait_fetched,
)
from tests.sim.world import World

pytestmark = pytest.mark.slow

COMMUNE = "23627"
CLUSTERS = ("23627-L01", "23627-L02")
AFTERNOON, SESSION = "2024-12-02T16:30:00+07:00", "2024-12-02T16:59:50+07:00"
SIGNER = "Nguyễn Văn A, Chủ tịch UBND xã"


@dataclass
class Monday:
    world: World
    bulletins: dict[str, str] = field(default_factory=dict)
    offered: dict[str, Any] = field(default_factory=dict)
    refused: str = ""
    order: list[str] = field(default_factory=list)

    def known(self, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.world.loa("bulletin", self.bulletins[name], "--json"))
        return answer


@pytest.fixture(scope="module")
def monday(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monday]:
    with running(tmp_path_factory.mktemp("monday"), CLUSTERS, AFTERNOON, units=(COMMUNE,)) as world:
        day = Monday(world)
        hand_in(day)
        decide(day)
        # who comes back without the sound and gets it late plays first what still fits before the next item
        wait_fetched(world, dict.fromkeys(CLUSTERS, 2))
        world.move_to(SESSION)
        for name in ("commune", "province"):
            heard = partial(played, world, day.bulletins[name])
            until(lambda heard=heard: heard() >= set(CLUSTERS), f"{name} is heard")  # type: ignore[misc]
        yield day


def hand_in(day: Monday) -> None:
    folder = day.world.folder
    work = {
        "province": ("64", "priority", "--audio", str(melody(folder, 4, 1))),
        "commune": (COMMUNE, "priority", "--audio", str(melody(folder, 3, 2))),
        "normal": ("64", "normal", "--audio", str(melody(folder, 2, 3))),
    }
    with ThreadPoolExecutor(2) as pool:
        done = {
            name: pool.submit(push, day.world, origin, cls, name, *rest) for name, (origin, cls, *rest) in work.items()
        }
    day.bulletins = {name: one.result() for name, one in done.items()}


def decide(day: Monday) -> None:
    world, names = day.world, day.bulletins
    approve(world, "64", names["province"])
    day.offered = approve(world, "64", names["normal"])
    # the chairman has signed on paper; the commune's only officer is the author, so the province records it
    paper = ("--paper", "12/TB-UBND", "--signer", SIGNER, "--at", "2024-12-02T15:30")
    world.loa("approve", "--yes", names["commune"], *paper, user=f"c{COMMUNE}.editor", codes=(1,))
    world.loa("approve", "--yes", names["commune"], *paper, user="p.editor")
    said = world.loa(
        "order", COMMUNE, names["commune"], "--before", names["province"], "--json", user=f"c{COMMUNE}.editor"
    )
    day.order = [item["bulletin"] for item in json.loads(said)["order"]]
    world.loa("order", COMMUNE, names["province"], "--before", names["commune"], user="p.editor", codes=(1,))


def test_the_communes_item_airs_first_and_both_in_full(monday: Monday) -> None:
    assert monday.order == [monday.bulletins["commune"], monday.bulletins["province"]]
    for name in ("commune", "province"):
        check_heard(monday.world, monday.bulletins[name], CLUSTERS)
    ends = {}
    for receipt in as_run(monday.world):
        assert (receipt.result, receipt.offset) == ("played", 0)
        ends[receipt.device, receipt.bulletin] = (receipt.started, receipt.ended)
    for device in CLUSTERS:
        first, second = (ends[device, monday.bulletins[name]] for name in ("commune", "province"))
        assert first[1] <= second[0]
    check_silence(monday.world)


def test_order_and_decider_are_on_record_and_nobody_above_has_moved_it(monday: Monday) -> None:
    [order] = monday.known("commune")["orders"]
    assert order["before"] == monday.bulletins["province"]
    assert "Xuân An" in order["unit"]
    assert monday.known("province")["orders"] == []


def test_the_approval_on_paper_is_on_record(monday: Monday) -> None:
    [decision] = monday.known("commune")["decisions"]
    assert (decision["paper"], decision["signer"]) == ("12/TB-UBND", SIGNER)
    assert decision["signed_at"].startswith("2024-12-02T15:30")


def test_a_normal_bulletin_that_nobody_picks_is_not_aired_and_no_fault(monday: Monday) -> None:
    assert COMMUNE in monday.offered["offered"]
    assert monday.offered["starts"] == {}
    row = listed(monday.world, monday.bulletins["normal"])
    assert (row.state, row.expected) == ("approved", 0)
    offers = json.loads(monday.world.loa("offers", COMMUNE, "--json"))["offers"]
    assert [offer["id"] for offer in offers] == [monday.bulletins["normal"]]
    assert monday.bulletins["normal"] not in {r.bulletin for r in as_run(monday.world)}


@pytest.mark.parametrize("device", CLUSTERS)
def test_as_run_minutes_by_tier_are_what_was_heard(monday: Monday, device: str) -> None:
    tiers = {monday.bulletins[name]: listed(monday.world, monday.bulletins[name]).tier for name in monday.bulletins}
    minutes: dict[str, int] = {}
    for receipt in (r for r in as_run(monday.world) if r.device == device):
        minutes[tiers[receipt.bulletin]] = minutes.get(tiers[receipt.bulletin], 0) + receipt.ended - receipt.started
    assert minutes.keys() == {"commune", "province"}
    assert abs(sum(minutes.values()) - sounded(monday.world, device, 0)) <= 1000
    assert abs(minutes["commune"] - 3000) <= 1000
    assert abs(minutes["province"] - 4000) <= 1000
