"""A day of the province in one minute: who hears what, who does not, what interrupts and what ends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from inventory.model import TIMEZONE, DeviceKind
from tests.e2e.kit import (
    JOINT,
    approve,
    as_run,
    check_begun_once,
    check_heard,
    check_silence,
    listed,
    melody,
    played,
    push,
    receipts,
    running,
    until,
    wait_played,
    wait_sounding,
)
from tests.sim.world import World
from tui.methods import AsRun

pytestmark = pytest.mark.slow

COMMUNE, NEIGHBOUR, ELSEWHERE = ("23557-L01", "23557-L02"), "23593-L01", "24022-L01"
DISTRICT = (*COMMUNE, NEIGHBOUR)
EVERYONE = (*DISTRICT, ELSEWHERE)
BEGIN, SESSION, SESSION_ENDS, NIGHT = (
    f"2024-10-01T{at}+07:00" for at in ("16:59:48", "17:00:00", "18:00:00", "23:00:00")
)


STOPPED = 7_000
"""Length of the recording that is stopped (ms)."""


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@dataclass
class Day:
    """What happened: bulletins by name, their first planned starts, the as-run log at the end of the day."""

    world: World
    bulletins: dict[str, str] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    log: tuple[AsRun, ...] = ()
    stopped_at: int = 0

    def of(self, name: str, device: str) -> list[AsRun]:
        mine = [r for r in self.log if r.bulletin == self.bulletins[name] and r.device == device]
        return sorted(mine, key=lambda r: r.started)

    def approve(self, name: str, origin: str) -> None:
        answer = approve(self.world, origin, self.bulletins[name])
        self.starts[name] = min(at(text) for text in answer["starts"].values())


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    with running(tmp_path_factory.mktemp("day"), EVERYONE, BEGIN, units=("23557", "23593", "24022")) as world:
        day = Day(world)
        hand_in(day)
        for name, origin in (("province", "64"), ("district", "622"), ("recording", "23557")):
            day.approve(name, origin)
        interrupt(day)
        stop(day)
        day.log = as_run(world)
        yield day


def hand_in(day: Day) -> None:
    """Editors work side by side."""
    folder = day.world.folder
    work = {
        "province": ("64", "priority", "--text", "Tối nay có mưa lớn."),
        "district": ("622", "priority", "--text", "Ngày mai tiêm chủng."),
        "recording": ("23557", "normal", "--audio", str(melody(folder, 6, 1))),
        "emergency": ("23557", "emergency", "--text", "Sơ tán ngay."),
        "stopped": ("23557", "normal", "--now", "--audio", str(melody(folder, STOPPED / 1000, 2))),
        "after": ("23557", "normal", "--now", "--audio", str(melody(folder, 1, 3))),
    }
    with ThreadPoolExecutor(2) as pool:
        done = {
            name: pool.submit(push, day.world, origin, cls, name, *rest) for name, (origin, cls, *rest) in work.items()
        }
    day.bulletins = {name: one.result() for name, one in done.items()}


def interrupt(day: Day) -> None:
    """The emergency comes in the middle of the commune's recording; the all-clear after its first round."""
    world = day.world
    wait_sounding(world, COMMUNE, day.starts["recording"])
    day.approve("emergency", "23557")
    wait_played(world, day.bulletins["emergency"], COMMUNE)
    world.loa("all-clear", day.bulletins["emergency"], user="c23557.approver")
    wait_played(world, day.bulletins["recording"], COMMUNE)


def stop(day: Day) -> None:
    """Everything in the commune is stopped for three seconds while a recording plays; then comes another one."""
    world = day.world
    day.approve("stopped", "23557")
    wait_sounding(world, COMMUNE, day.starts["stopped"])
    hold = datetime.fromtimestamp(world.now() / 1000 + 3, TIMEZONE).isoformat()
    world.loa("stop", "commune=23557", "--hold-until", hold, "--reason", "thử", user="c23557.approver")
    day.stopped_at = world.now()
    until(
        lambda: {r.device for r in receipts(world, day.bulletins["stopped"])} == set(COMMUNE),
        "receipts of what was stopped",
    )
    day.approve("after", "23557")
    wait_played(world, day.bulletins["after"], COMMUNE)


@pytest.mark.parametrize(
    ("name", "devices"),
    [
        ("province", EVERYONE),
        ("district", DISTRICT),
        ("recording", COMMUNE),
        ("emergency", COMMUNE),
        ("stopped", COMMUNE),
        ("after", COMMUNE),
    ],
)
def test_each_bulletin_is_heard_by_those_it_is_for(day: Day, name: str, devices: tuple[str, ...]) -> None:
    check_heard(day.world, day.bulletins[name], devices)


def test_nobody_hears_anything_else(day: Day) -> None:
    check_silence(day.world)


def test_the_session_begins_at_its_time_and_not_before(day: Day) -> None:
    for name in ("province", "district", "recording"):
        for receipt in (r for r in day.log if r.bulletin == day.bulletins[name]):
            assert at(SESSION) <= day.starts[name] <= receipt.started < at(SESSION_ENDS)


def test_nothing_but_the_emergency_interrupts(day: Day) -> None:
    for name in ("province", "district", "after"):
        results = [(r.result, r.reason, r.offset) for r in day.log if r.bulletin == day.bulletins[name]]
        assert set(results) == {("played", "", 0)}


@pytest.mark.parametrize("device", COMMUNE)
def test_the_emergency_interrupts_and_the_recording_goes_on(day: Day, device: str) -> None:
    first, rest = day.of("recording", device)
    (alarm,) = day.of("emergency", device)
    assert (first.result, first.reason, rest.result) == ("partial", "emergency", "played")
    assert first.started < first.ended <= alarm.started < alarm.ended <= rest.started
    assert abs(rest.offset - (first.ended - first.started)) <= JOINT
    check_begun_once([first, rest])


@pytest.mark.parametrize("device", COMMUNE)
def test_a_stop_silences_at_once_and_for_good(day: Day, device: str) -> None:
    (cut,) = day.of("stopped", device)
    (after,) = day.of("after", device)
    assert (cut.result, cut.reason) == ("partial", "stopped")
    assert cut.ended <= day.stopped_at + 1000 < cut.started + STOPPED
    assert after.started > cut.started + STOPPED, "the rest of it would have had room before the next item"


def test_the_hub_counts_what_the_receipts_say(day: Day) -> None:
    for name, unit, heard in (("province", "64", EVERYONE), ("district", "622", DISTRICT), ("after", "23557", COMMUNE)):
        row = listed(day.world, day.bulletins[name])
        assert (row.heard, row.expected) == (len(heard), clusters(day.world, unit))
    report = json.loads(day.world.loa("report", day.bulletins["stopped"], "--json"))
    assert report["counts"]["partial"] == len(COMMUNE)
    assert report["counts"]["waiting"] == clusters(day.world, "23557") - len(COMMUNE)
    assert {d["reason"] for d in report["devices"] if d["result"] == "partial"} == {"stopped"}


def clusters(world: World, unit: str) -> int:
    """Loudspeakers in use in a unit."""
    network = world.network()
    on = network.on(datetime.fromisoformat(BEGIN).date())
    devices = [d for d in network.devices_on(on) if d.kind is DeviceKind.LOUDSPEAKER]
    return sum(unit in network.device_chain(d, on) for d in devices)


# -- at night


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running(tmp_path_factory.mktemp("night"), (COMMUNE[0], NEIGHBOUR), NIGHT, units=("23557", "23593")) as world:
        yield world


def test_at_night_only_an_emergency_is_heard(night: World) -> None:
    now = ("push", "--origin", "23557", "--title", "Phát ngay", "--text", "Ban đêm.", "--now")
    for rest in ((), ("--preview",)):
        night.loa(*now, *rest, user="c23557.editor", codes=(1,))
    normal = push(night, "23557", "normal", "Thông báo", "--text", "Thông báo ban đêm.")
    starts = {at(text) for text in approve(night, "23557", normal)["starts"].values()}
    assert min(starts) >= at("2024-10-02T05:00:00+07:00")

    homeless = push(night, "622", "priority", "Chỉ đêm nay", "--until", "04:00", "--text", "Đêm nay.")
    night.loa("approve", "--yes", homeless, user="d622.approver", codes=(1,))
    assert listed(night, homeless).state == "failed"

    alarm = push(night, "23557", "emergency", "Sơ tán", "--audio", str(melody(night.folder, 0.5, 1)))
    approve(night, "23557", alarm)
    wait_played(night, alarm, [COMMUNE[0]])
    check_heard(night, alarm, [COMMUNE[0]])
    check_silence(night)
    assert played(night, normal) == set()
    assert {r.bulletin for r in as_run(night)} == {alarm}
