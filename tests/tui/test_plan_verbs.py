"""loa plan against a real hub's socket, store, inventory and roles; the devices are in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from inventory.model import DeviceId
from tests.tui.loa_command import Shell
from tests.tui.plan_town import Town, town

FIRST, SECOND, UAR = DeviceId("24112-L01"), DeviceId("24112-L02"), DeviceId("24109-L01")
TOML = "file:/etc/receiver.toml"
IA_RSAI = "commune=24112"


@pytest.fixture
def place(tmp_path: Path, shell: Shell) -> Iterator[Town]:
    with town(tmp_path / "town", shell) as made:
        yield made


def test_a_fleet_as_the_inventory_wants_it_has_no_changes_and_is_asked_once(place: Town) -> None:
    first = place.loa("plan", IA_RSAI, "--detailed-exitcode")
    assert (first.code, first.out.splitlines()[0]) == (0, "No changes. The devices are as the inventory says.")
    assert place.clusters.asked == ["24112-L01", "24112-L02", "24112-L03"]
    assert "devices asked: 3 of 3" in first.err
    place.pass_time(23)
    again = place.loa("plan", IA_RSAI)
    assert (again.code, len(place.clusters.asked), again.err) == (0, 3, "")
    assert "Oldest facts: 17:00 01/10/2024 (23 h ago)." in again.out
    place.pass_time(2)
    place.loa("plan", IA_RSAI)
    assert len(place.clusters.asked) == 6  # a day old is too old
    place.loa("plan", "device=24112-L02", "--refresh")
    assert place.clusters.asked[6:] == [SECOND]


def test_a_change_of_the_inventory_is_seen_at_once_as_lines(place: Town) -> None:
    place.loa("plan", IA_RSAI)
    place.write(volume=70)
    answer = place.loa("plan", IA_RSAI, "--detailed-exitcode")
    assert answer.code == 3
    assert re.sub(r"[0-9]+ s ago", "0 s ago", answer.out).splitlines() == [
        "24112-L01  as it was 17:00 01/10/2024 (0 s ago)",
        "  ~ change file /etc/receiver.toml",
        "      @@ -1,2 +1,2 @@",
        '       name = ""',
        "      -volume = 80",
        "      +volume = 70",
        "",
        "1 devices would be changed: change 1.",
        "as wanted: 2",
        "Oldest facts: 17:00 01/10/2024 (0 s ago).",
    ]
    assert place.loa("plan", IA_RSAI).code == 0  # without --detailed-exitcode a change is no failure


def test_a_fresh_device_shows_everything_to_create(place: Town) -> None:
    del place.clusters.state[SECOND]
    answer = place.loa("plan", "device=24112-L02")
    assert "  + create file /etc/receiver.toml" in answer.out
    assert "      +root:root 0644" in answer.out
    assert "  + create service loa" in answer.out
    assert "1 devices would be changed: create 2." in answer.out


def test_a_file_changed_by_hand_is_drift_with_its_line(place: Town) -> None:
    place.clusters.edit(FIRST, TOML, 'name = ""\nvolume = 100\n')
    answer = place.loa("plan", IA_RSAI, "--drift", "--detailed-exitcode")
    assert answer.code == 3
    assert "  ! drift file /etc/receiver.toml" in answer.out
    assert "      -volume = 100" in answer.out
    place.write(volume=70)  # of the inventory's own changes a report of drift says nothing
    place.clusters.edit(FIRST, TOML, 'name = ""\nvolume = 80\n')
    report = place.loa("plan", IA_RSAI, "--drift", "--refresh", "--detailed-exitcode")
    assert report.code == 0
    assert "drift" not in report.out


def test_a_device_that_does_not_answer_is_named_with_since_when_and_why(place: Town) -> None:
    place.loa("plan", IA_RSAI)
    place.clusters.silent = {FIRST, UAR}
    place.pass_time(1)
    place.loa("plan", "--refresh")
    place.pass_time(2)
    answer = place.loa("plan", "--refresh")
    assert answer.code == 4
    lines = answer.out.splitlines()
    assert lines[lines.index("Not reachable") + 1 :][:2] == [
        "  24109-L01  lost since 18:00 01/10/2024 · no answer",
        "  24112-L01  lost since 18:00 01/10/2024 · no answer",
    ]
    # of the one that answered once the state is known; of the other nothing
    assert "as wanted: 3 · nothing known: 2 · lost: 2" in answer.out  # the second unknown one is only watched
    place.clusters.silent.clear()
    assert place.loa("plan", "--refresh").code == 0


def test_what_loa_does_not_set_up_is_said_and_is_no_error(place: Town) -> None:
    answer = place.loa("plan", "commune=24109")
    assert answer.code == 0
    assert "warning[PLN207]: devices of the family 'ntcip-sign' are not set up by Loa" in answer.out


def test_a_template_that_fails_is_told_once_for_all_its_devices_and_the_others_go_on(place: Town) -> None:
    place.write(toml="{% if loa_device != '24112-L03' %}{{ loa_nme }}{% endif %}\n")
    answer = place.loa("plan", IA_RSAI)
    assert answer.code == 1
    assert answer.out.count("PLN204") == 1
    assert "  --> roles/receiver/templates/receiver.toml.j2:1:1" in answer.out
    assert "2 devices: 24112-L01, 24112-L02" in answer.out
    assert "24112-L03" in answer.out


def test_roles_that_cannot_be_read_are_refused_as_a_whole(place: Town) -> None:
    place.write(toml="{{ secret.wifi }}")
    answer = place.loa("plan", IA_RSAI)
    assert answer.code == 1
    assert "error[PLN205]" in answer.err
    assert "roles/receiver/templates/receiver.toml.j2:1:1" in answer.err


def test_an_invalid_inventory_ends_with_5_and_its_mistakes(place: Town) -> None:
    file = place.home / "inventory" / "network.yaml"
    file.write_text(file.read_text() + "colour: red\n")
    answer = place.loa("plan", IA_RSAI)
    assert answer.code == 5
    assert "INV" in answer.err
    assert "network.yaml:6:1" in answer.err


def test_plans_are_technicians_in_their_own_area(place: Town) -> None:
    assert place.loa("plan", "commune=24109", who="nga").code == 0
    outside = place.loa("plan", who="nga")
    assert (outside.code, "error[PLN231]" in outside.err) == (1, True)
    assert "PLN231" in place.loa("plan", who="binh").err
    assert "CFG104" in place.loa("plan", who="nobody").err
    assert len(place.clusters.asked) == 1


@pytest.mark.parametrize(
    ("selection", "code", "word"), [("comune=24112", 2, "SEL"), ("kind=modem", 1, "PLN230"), ("commune=1", 2, "SEL")]
)
def test_a_selection_without_sense(place: Town, selection: str, code: int, word: str) -> None:
    answer = place.loa("plan", selection)
    assert (answer.code, answer.out) == (code, "")
    assert word in answer.err


def test_a_plan_is_kept_for_its_owner_and_says_what_it_follows_from(place: Town, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    place.write(volume=70)
    assert place.loa("plan", IA_RSAI, "-o", path).code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    document = json.loads(path.read_text())
    assert (document["by"], document["selection"]) == ("lan", IA_RSAI)
    assert {len(digest) for digest in document["inputs"].values()} == {64}
    assert [d["device"] for d in document["devices"]] == ["24112-L01", "24112-L02", "24112-L03"]
    assert place.loa("plan", IA_RSAI, "-o", tmp_path / "no" / "plan.json").code == 1
    assert place.loa("plan", "--drift", "-o", path).code == 2


def test_programs_get_the_same(place: Town) -> None:
    place.write(volume=70)
    place.clusters.silent = {SECOND}
    answer = place.loa("plan", IA_RSAI, "--json")
    plan = answer.json()["plan"]
    assert answer.code == 4
    assert plan["counts"] == {"create": 0, "change": 1, "drift": 0, "remove": 0}
    assert (plan["changed"], plan["unreachable"]) == (1, [SECOND])
    assert plan["devices"][0]["changes"][0]["diff"][-1] == "+volume = 70"
    assert plan["devices"][1]["problem"]["code"] == "PLN300"


def test_in_vietnamese(place: Town) -> None:
    place.write(volume=70)
    place.clusters.edit(SECOND, TOML, "x\n")
    answer = place.loa("--lang", "vi", "plan", IA_RSAI)
    assert re.search(r"^24112-L01  theo hiện trạng lúc 17:00 01/10/2024 \([0-9]+ giây trước\)$", answer.out, re.M)
    assert "  ~ sửa tệp /etc/receiver.toml" in answer.out
    assert "  ! sai lệch tệp /etc/receiver.toml" in answer.out
    assert "2 thiết bị sẽ thay đổi: sửa 1, sai lệch 1." in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80


def test_without_a_hub_it_is_said(shell: Shell) -> None:
    answer = shell.loa("--lang", "en", "plan")
    assert (answer.code, "CFG101" in answer.err) == (1, True)
