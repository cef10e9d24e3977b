"""Backups, a device's history and putting a configuration back, as a technician meets them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim.cli_ssh import until
from tests.sim.cli_uci import UciBox
from tests.tui.loa_command import Shell
from tests.tui.modem_town import MODEMS, Town, town

FIRST, SECOND = MODEMS


def apn(place: Town) -> str:
    box = place.fleet[FIRST].box
    assert isinstance(box, UciBox)
    return box.options()["network.wwan.apn"]


def test_a_change_is_kept_before_and_after_and_can_be_put_back(tmp_path: Path, shell: Shell) -> None:
    with town(tmp_path, shell) as place:
        applied = place.loa("apply", f"device={FIRST}", "--yes")
        assert applied.code == 0, applied
        assert apn(place) == "m-wap"

        history = place.loa("device", FIRST, "--history", "--json").json()["history"]
        assert [(row["kind"], row["result"]) for row in history] == [
            ("backup", "before"),
            ("backup", "after"),
            ("rollout", "applied"),
        ]
        assert history[2]["by"] == "lan"

        shown = place.loa("backup", FIRST, "--diff", "1", "2")
        assert "-\toption apn 'v-internet'" in shown.out
        assert "+\toption apn 'm-wap'" in shown.out
        text = place.loa("backup", FIRST, "--show", "1").out
        assert "option apn 'v-internet'" in text
        assert "bí mật" not in text
        assert "SFsx" not in text

        restored = place.loa("restore", FIRST, "--backup", "1", "--yes")
        assert restored.code == 0, restored
        assert "network.wwan.apn" in restored.out
        assert apn(place) == "v-internet"
        lines = place.loa("device", FIRST, "--history").out.splitlines()
        assert len(lines) == 5
        assert sum("after it was put back" in line for line in lines) == 1
        assert place.loa("plan", f"device={FIRST}", "--refresh", "--detailed-exitcode").code == 3


def test_a_backup_on_demand_says_what_is_new_and_whom_it_did_not_reach(tmp_path: Path, shell: Shell) -> None:
    with town(tmp_path, shell) as place:
        place.fleet[SECOND].power_cut()
        first = place.loa("backup", "commune=24112", "--json")
        assert first.code == 4
        rows = {row["device"]: row for row in first.json()["backups"]}
        assert rows[FIRST] == {"device": FIRST, "backup": 1, "new": True, "code": None}
        assert rows[SECOND]["code"] == "PLN400"
        again = place.loa("backup", f"device={FIRST}")
        assert again.code == 0
        assert "nothing has changed since" in again.out


def test_a_backup_that_cuts_the_link_is_taken_back_by_the_modem(tmp_path: Path, shell: Shell) -> None:
    with town(tmp_path, shell) as place:
        assert place.loa("backup", f"device={FIRST}").code == 0
        assert place.loa("apply", f"device={FIRST}", "--yes").code == 0
        place.fleet[FIRST].apns.discard("v-internet")
        lost = place.loa("restore", FIRST, "--backup", "1", "--yes")
        assert lost.code == 1
        assert "restored by itself" in lost.out
        assert until(lambda: apn(place) == "m-wap")


@pytest.mark.parametrize(
    ("arguments", "who", "code"),
    [
        (("restore", FIRST, "--backup", "7", "--yes"), "lan", "PLN410"),
        (("backup", FIRST, "--show", "1"), "lan", "PLN410"),
        (("backup", "commune=24112"), "nga", "PLN231"),
        (("backup", "commune=99999"), "lan", "SEL"),
    ],
)
def test_what_is_refused(arguments: tuple[str, ...], who: str, code: str, tmp_path: Path, shell: Shell) -> None:
    with town(tmp_path, shell) as place:
        answer = place.loa(*arguments, who=who)
        assert answer.code == 1
        assert code in answer.err


def test_only_technicians_of_the_area_put_back(tmp_path: Path, shell: Shell) -> None:
    with town(tmp_path, shell) as place:
        assert place.loa("backup", f"device={FIRST}").code == 0
        refused = place.loa("restore", FIRST, "--backup", "1", "--yes", who="nga")
        assert refused.code == 1
        assert "PLN231" in refused.err
        same = place.loa("restore", FIRST, "--backup", "1", "--yes")
        assert same.code == 0
        assert len(place.loa("device", FIRST, "--history", "--json").json()["history"]) == 1
