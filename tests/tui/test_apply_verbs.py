"""loa plan, loa apply and loa rollouts over a commune of modems, through a hub that is a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from nms.journal import verify
from nms.store import AuditRow, Store
from tests.nms.modem_fleet import NEW, OLD, fleet, states
from tests.nms.rollout_hub import fleet_of
from tests.tui.loa_command import ROOT, Shell, environment
from tests.tui.rollout_town import Town, town


def eventually(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + 90
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()


def test_a_saved_plan_is_done_exactly_and_then_there_is_nothing_left(tmp_path: Path, shell: Shell) -> None:
    devices = fleet_of(5)
    with fleet(devices) as folder, town(tmp_path, folder, devices) as place:
        plan = tmp_path / "apn.plan"
        assert place.loa(shell, "plan", "commune=24112", "-o", plan, "--detailed-exitcode").code == 3
        done = place.loa(shell, "apply", plan)
        assert (done.code, set(states(folder).values())) == (0, {NEW})
        for device in devices:
            assert f"{device}" in done.out
        assert "changed 5" in done.out
        assert "Bytes:" in done.out
        assert place.loa(shell, "plan", "--detailed-exitcode").code == 0
        again = place.loa(shell, "apply", plan)
        assert again.code == 1
        assert "PLN22" in again.err  # what the plan follows from is no longer so
        listed = place.loa(shell, "rollouts", "--json").json()["rollouts"]
        assert [(one["author"], one["state"], one["outcomes"]) for one in listed] == [("lan", "done", {"applied": 5})]
        one = place.loa(shell, "rollouts", listed[0]["id"][-8:], "--json").json()
        assert {d["outcome"] for d in one["devices"]} == {"applied"}
        place.kill()
        with Store.open(tmp_path / "state" / "loa.db") as store:
            rows = store.read_sync(lambda s: [(r.person, r.action, r.subject) for r in s.query(AuditRow)])
            assert rows == [("lan", "deploy.apply", "commune=24112")]
            assert store.read_sync(verify) == (1, None)
        place.start()


def test_across_the_broken_ford(tmp_path: Path, shell: Shell) -> None:
    """Six clusters, a new APN for all; one modem cannot register on it."""
    devices = fleet_of(6)
    with fleet(devices, [devices[3]]) as folder, town(tmp_path, folder, devices, wave=3) as place:
        done = place.loa(shell, "apply", "commune=24112", "--yes")
        assert done.code == 1
        assert states(folder)[devices[3]] == OLD  # nobody crosses the ford
        assert f"{devices[3]}" in next(line for line in done.out.splitlines() if "PLN311" in line)
        assert "restored by itself 1" in done.out
        assert f"Not touched: {devices[4]}, {devices[5]}" in done.out
        assert "PLN320" in done.out
        in_vietnamese = shell.loa("--as", "lan", "rollouts", _last(place, shell), **place.environ())
        assert "đã tự khôi phục" in in_vietnamese.out


def test_who_is_away_is_deferred(tmp_path: Path, shell: Shell) -> None:
    devices = fleet_of(2)
    with fleet(devices) as folder, town(tmp_path, folder, devices) as place:
        (folder / f"{devices[1]}.sock").rename(folder / "away")
        done = place.loa(shell, "apply", "--yes", "--json")
        assert done.code == 4
        outcomes = {d["device"]: (d["outcome"], d["detail"]) for d in done.json()["devices"]}
        assert outcomes[devices[0]] == ("applied", None)
        assert outcomes[devices[1]][0] == "deferred"
        assert outcomes[devices[1]][1]["code"] == "PLN300"


def test_a_killed_hub_and_resume(tmp_path: Path, shell: Shell) -> None:
    devices = fleet_of(8)
    with fleet(devices) as folder, town(tmp_path, folder, devices, wave=4, within=60) as place:
        client = _client(place, tmp_path, "apply", "--yes")
        assert eventually(lambda: list(states(folder).values()).count(NEW) >= 3)
        place.kill()
        client.communicate(timeout=60)
        assert client.returncode == 1  # the hub went away
        assert set(states(folder).values()) <= {OLD, NEW}
        place.start()
        number = _last(place, shell)
        assert eventually(lambda: _state(place, shell) in ("interrupted", "done"))
        if _state(place, shell) == "interrupted":
            assert place.loa(shell, "apply", "--resume", number).code == 0
        assert set(states(folder).values()) == {NEW}
        assert _state(place, shell) == "done"
        refused = place.loa(shell, "apply", "--resume", number)
        assert refused.code == 1
        assert "PLN318" in refused.err


def test_ctrl_c_finishes_the_wave_and_a_second_client_follows(tmp_path: Path, shell: Shell) -> None:
    devices = fleet_of(120)  # waves of one: more than end between two looks of the client
    with fleet(devices) as folder, town(tmp_path, folder, devices, wave=1, within=60) as place:
        client = _client(place, tmp_path, "apply", "--yes")
        assert client.stdout is not None
        line = b""
        while b"24112-M" not in line or b"changed" not in line:  # being changed, or changed already
            line = client.stdout.readline()
            assert line, "no wave was seen"
        follower = _client(place, tmp_path, "rollouts", _last(place, shell))
        client.send_signal(signal.SIGINT)
        out, _ = client.communicate(timeout=90)
        assert client.returncode == 1
        assert b"Left: " in out
        assert b"PLN321" in out
        assert _state(place, shell) == "paused"
        seen, _ = follower.communicate(timeout=90)
        assert b"paused" in seen
        assert place.loa(shell, "apply", "--resume", _last(place, shell)).code == 0
        assert set(states(folder).values()) == {NEW}


def test_what_is_refused(tmp_path: Path, shell: Shell) -> None:
    devices = fleet_of(2)
    with fleet(devices) as folder, town(tmp_path, folder, devices) as place:
        plan = tmp_path / "apn.plan"
        place.loa(shell, "plan", "-o", plan)
        assert "PLN231" in place.loa(shell, "apply", plan, who="nga").err
        assert "CFG104" in place.loa(shell, "apply", plan, who="stranger").err
        assert place.loa(shell, "apply").code == 2  # nobody to be asked
        place.want("m9-other")
        changed = place.loa(shell, "apply", plan)
        assert (changed.code, "PLN220" in changed.err) == (1, True)
        broken = tmp_path / "broken.plan"
        broken.write_text(json.dumps({"format_version": 1}))
        assert "PLN210" in place.loa(shell, "apply", broken).err
        assert "PLN317" in place.loa(shell, "rollouts", "zzz").err
        assert set(states(folder).values()) == {OLD}
        assert place.loa(shell, "rollouts").out == "no roll-outs\n"


def _client(place: Town, home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """The verb as a program of its own, so that a signal can reach it."""
    command = [sys.executable, "-m", "tui.cli", "--as", "lan", "--lang", "en", *arguments]
    environ = {"PATH": "/usr/bin:/bin", **environment(home), **place.environ()}
    return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _last(place: Town, shell: Shell) -> str:
    return str(place.loa(shell, "rollouts", "--json").json()["rollouts"][0]["id"])


def _state(place: Town, shell: Shell) -> str:
    return str(place.loa(shell, "rollouts", "--json").json()["rollouts"][0]["state"])
