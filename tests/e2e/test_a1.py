"""Scenario A1, the night flood in xã Ia Pa, with units after the reform: from the script to the all-clear.

Eight clusters, three of them in làng Mơ Nang 2 (Jrai, then Vietnamese), one of those without link at first; xã Pờ Tó
beside it hears nothing of it. The clock is moved on by starting everything anew, as after a power cut.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from inventory.model import DeviceId
from tests.e2e.kit import check_begun_once, check_heard, check_silence, melody, played, receipts, until
from tests.sim.world import SAMPLE, World
from tui.emergency_methods import CALL_PREVIEW, Call
from tui.methods import REPORT, BulletinId

pytestmark = pytest.mark.slow

IA_PA = tuple(f"24022-L{number:02}" for number in range(1, 9))
LOST, BESIDE = "24022-L04", "24013-L01"
LINKED = tuple(device for device in IA_PA if device != LOST)
MO_NANG_2 = ("24022-L02", "24022-L03", LOST)
NIGHT, MORNING = "2025-09-06T02:41:00+07:00", "2025-09-06T05:29:50+07:00"
VALUES = {"place": "ngầm Ia Tul", "hour": "5 giờ", "order": "Theo lệnh xã"}
OPERATOR = "p.operator"
PATIENCE = 240.0
"""Seconds after which something that must happen counts as not happening."""


@dataclass
class Night:
    world: World
    alarm: str = ""
    usual: str = ""


def province(folder: Path) -> Path:
    """The sample on that day, with a Jrai recording of the alarm (a melody stands for the voice)."""
    made = folder / "sample"
    shutil.copytree(SAMPLE, made)
    for name, old, new in (
        ("network.yaml", 'province: "64"', 'province: "52"'),
        ("network.yaml", "as_of: 2024-10-01", "as_of: 2025-09-06"),
        ("people.yaml", 'area: "64"', 'area: "52"'),
        ("scripts.yaml", "    correction:\n", "      recordings: {jra: recordings/lu-jra.wav}\n    correction:\n"),
        ("scripts.yaml", "Khẩn cấp. Khẩn cấp. Thủy điện xả lũ, nước lên nhanh tại", "Nước lên tại"),
        ("scripts.yaml", "Dự kiến nước về lúc {hour}.", "{hour}."),
        ("scripts.yaml", "          Bà con khẩn trương lên nơi cao, không qua ngầm tràn. {order}", "          {order}"),
    ):
        text = (made / name).read_text(encoding="utf-8")
        assert old in text
        count = -1 if name == "people.yaml" else 1
        (made / name).write_text(text.replace(old, new, count), encoding="utf-8")
    (made / "recordings").mkdir()
    melody(folder, 2, 3).rename(made / "recordings" / "lu-jra.wav")
    return made


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    folder = tmp_path_factory.mktemp("a1")
    devices = tuple(map(DeviceId, (*IA_PA, BESIDE)))
    world = World(folder / "world", devices, start=NIGHT, sample=province(folder), units=("24022", "24013"))
    with world:
        world.start_broker()
        world.start_fleet()
        world.fleet(fail=[LOST])
        world.start_hub()
        for device in (*LINKED, BESIDE):
            world.start_receiver(DeviceId(device))
        night = Night(world)
        night.usual = hand_in_the_morning_bulletin(world)
        night.alarm = send(world)
        heard_by(world, night.alarm, LINKED)
        yield night


def hand_in_the_morning_bulletin(world: World) -> str:
    """One of the province that no commune has to pick, for the session at 05:00 in every commune."""
    what = ("--origin", "52", "--class", "priority", "--authority", "CV 12/UBND", "--title", "Thông báo")
    recording = str(melody(world.folder, 3, 1))
    usual = world.loa("push", *what, "--audio", recording, user="p.editor").strip()
    world.loa("approve", "--yes", usual, user="p.approver")
    return usual


def send(world: World) -> str:
    """The operator on shift, alone, once the lost cluster is known to be lost."""
    wanted = Call("xa-lu-so-tan", "xã Ia Pa", VALUES)
    until(lambda: world.ask(CALL_PREVIEW, wanted, OPERATOR).lost, "the lost cluster is seen")
    preview = world.ask(CALL_PREVIEW, wanted, OPERATOR)
    assert (preview.area, preview.word, preview.devices, preview.alone) == ("Xã Ia Pa", "IA PA", 8, True)
    assert [(row.device, row.hamlet) for row in preview.lost] == [(LOST, "Làng Mơ Nang 2")]
    assert preview.lost[0].contact
    assert preview.languages == {"vi": 5, "jra, vi": 3}
    assert preview.problems == ()
    pairs = [part for name, value in VALUES.items() for part in ("--set", f"{name}={value}")]
    words = ("emergency", "--script", "xa-lu-so-tan", "--area", "Ia Pa", *pairs)
    assert world.loa(*words, "--yes", "24022", user=OPERATOR, codes=(1,)) == ""
    return world.loa(*words, "--yes", "IA PA", user=OPERATOR).strip()


def test_the_night(night: Night) -> None:
    world, alarm = night.world, night.alarm
    check_heard(world, alarm, LINKED)
    lengths = {r.device: r.ended - r.started for r in receipts(world, alarm)}
    assert {lengths[d] for d in LINKED if d in MO_NANG_2} == {lengths["24022-L01"] + 3 * 2_000}, "Jrai, then Vietnamese"
    report = world.ask(REPORT, BulletinId(alarm))
    assert report.counts["heard"] == 7
    [missing] = [row for row in report.devices if row.result != "heard"]
    assert (missing.device, missing.hamlet, bool(missing.contact)) == (LOST, "Làng Mơ Nang 2", True)

    world.start_receiver(DeviceId(LOST))
    heard_by(world, alarm, IA_PA)
    check_heard(world, alarm, IA_PA)
    check_silence(world)


def test_the_morning(night: Night) -> None:
    """After the relay Pờ Tó hears its programme, Ia Pa is held; the all-clear is for who heard; then the programme."""
    world, alarm = night.world, night.alarm
    world.move_to(MORNING)
    heard_by(world, night.usual, [BESIDE])
    until(lambda: repeated(world, alarm) == set(IA_PA), "it is repeated until the all-clear", PATIENCE)
    assert {r.device for r in receipts(world, night.usual)} == {BESIDE}, "Ia Pa is silent otherwise"

    said = world.loa("all-clear", alarm, user=OPERATOR)
    end = said.strip()
    heard_by(world, end, IA_PA)
    heard_by(world, night.usual, (*IA_PA, BESIDE))
    check_heard(world, end, IA_PA)
    assert {(r.repeat, r.offset) for r in receipts(world, end)} == {(0, 0)}
    assert {r.offset for r in receipts(world, night.usual)} == {0}, "nothing resumes in the middle"
    check_begun_once(receipts(world, alarm))
    report = world.ask(REPORT, BulletinId(end))
    assert {row.device for row in report.devices} == set(IA_PA)
    assert report.counts["heard"] == len(IA_PA)
    check_silence(world)


def heard_by(world: World, bulletin: str, devices: Iterable[str]) -> None:
    """Until each of them has come to the end of it; a round with nine receivers on two cores takes its time."""
    wanted = set(devices)
    until(lambda: played(world, bulletin) >= wanted, f"{bulletin} is heard by {sorted(wanted)}", PATIENCE)


def repeated(world: World, alarm: str) -> set[str]:
    """Who has come to the end of a later round."""
    return {r.device for r in receipts(world, alarm) if r.repeat > 0 and r.result == "played"}
