"""A device has its old state or its new one, wholly, and goes back by itself when nobody confirms."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nms.provision.values import digest_of
from playbooks.module_utils.loa_device import boot, disk, facts, guard, transaction
from playbooks.module_utils.loa_device.disk import Refused
from playbooks.module_utils.loa_device.manifest import differences, read
from tests.nms.loa_state_kit import ME, Machine, Power, file, restored, saved, service, unit_file

RECEIVER = "loa-receiver.service"
OLD = [
    file("/etc/loa/settings", "old\n", restarts=[RECEIVER]),
    file("/etc/loa/gone", "will be removed\n", restarts=["snmpd.service"]),
    file("/etc/secret", "old key", secret=True),
    unit_file("old-only.service"),
    service("old-only.service"),
    unit_file(RECEIVER, "[Service]\nExecStart=/old\n"),
    service(RECEIVER),
    service("snmpd.service"),
]
NEW = [
    file("/etc/loa/settings", "new\n", restarts=[RECEIVER]),
    file("/etc/loa/deep/er/added", "added\n"),
    file("/etc/secret", "new key", secret=True),
    unit_file(RECEIVER, "[Service]\nExecStart=/new\n"),
    service(RECEIVER),
    unit_file("new-only.service"),
    service("new-only.service"),
    service("snmpd.service"),
]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path / "root", monkeypatch, system=["snmpd.service", "ffmpeg", "ssh.service"])


@pytest.fixture
def old(machine: Machine) -> Machine:
    machine.apply(OLD)
    machine.confirm()
    return machine


def found(machine: Machine, *keys: str) -> dict[str, Any]:
    return facts.facts(machine.state, keys)


def refused(machine: Machine, resources: list[dict[str, Any]]) -> Refused:
    with pytest.raises(Refused) as caught:
        machine.apply(resources)
    return caught.value


def test_a_fresh_device_gets_all_of_its_manifest(machine: Machine) -> None:
    changes = machine.apply(NEW)
    assert [c.action for c in changes] == ["create"] * len(NEW[:-1]) + ["change"]
    assert machine.tree()["etc/loa/settings"] == ("new\n", 0o644)
    assert machine.tree()["etc/secret"] == ("new key", 0o600)
    assert machine.shown() == {RECEIVER: (True, True), "new-only.service": (True, True), "snmpd.service": (True, True)}
    assert machine.timer == 300


def test_the_second_time_nothing_changes_and_nothing_restarts(old: Machine) -> None:
    before = saved(old)
    assert old.apply(OLD) == []
    assert saved(old) == before
    assert old.state.phase() is None


def test_only_what_watches_a_change_restarts(old: Machine) -> None:
    starts = {name: unit["starts"] for name, unit in old.units.items()}
    changed = [{**one, "text": "other\n"} if one["name"] == "/etc/loa/gone" else one for one in OLD]
    old.apply(changed)
    after = {name: unit["starts"] for name, unit in old.units.items()}
    assert {name for name in after if after[name] != starts[name]} == {"snmpd.service"}


def test_what_is_not_wanted_any_more_goes(old: Machine) -> None:
    changes = old.apply(NEW)
    removed = [c.name for c in changes if c.action == "remove"]
    assert removed == ["/etc/loa/gone", "/etc/systemd/system/old-only.service", "old-only.service"]
    assert "etc/loa/gone" not in old.tree()
    assert "old-only.service" not in old.shown()


def test_a_confirmed_change_stays_over_reboots(old: Machine) -> None:
    old.apply(NEW)
    tree = old.tree()
    old.confirm()
    clean = {name: one for name, one in tree.items() if not name.endswith(".loa-old")}
    assert old.timer is None
    for _ in range(3):
        old.reboot()
        assert old.tree() == clean
    assert set(found(old)["applied"]) == {f"{one['kind']}:{one['name']}" for one in NEW}


def test_nothing_is_left_beside_the_files(old: Machine) -> None:
    old.apply(NEW)
    old.confirm()
    assert not [p for p in old.root.rglob(".*") if p.name.endswith((".loa-new", ".loa-old"))]
    assert {p.name for p in old.state.folder.iterdir()} == {"applied.json", "loa_state.pyz", "lock"}


def test_without_confirmation_the_device_goes_back_in_time(old: Machine) -> None:
    tree, shown = old.tree(), old.shown()
    old.apply(NEW)
    assert old.tree() != tree
    old.expire()
    assert (old.tree(), old.shown()) == (tree, shown)
    assert not (old.root / "etc/loa/deep").exists()
    assert "file:/etc/loa/deep/er/added" not in found(old)["applied"]
    with pytest.raises(Refused, match="probation") as caught:
        old.confirm()
    assert caught.value.reason == "nothing"


def test_a_timer_that_was_prolonged_meanwhile_changes_nothing(old: Machine) -> None:
    old.apply(NEW)
    guard.arm(old.state, 100)
    boot.expire(old.state)
    assert old.state.phase() == "active"


def test_a_reboot_in_probation_gives_the_whole_time_once_more_and_the_second_goes_back(old: Machine) -> None:
    tree, shown = old.tree(), old.shown()
    old.apply(NEW, within=120)
    old.reboot()
    assert old.state.phase() == "active"
    assert old.timer == 120
    assert old.tree()["etc/loa/settings"][0] == "new\n"
    old.reboot()
    assert (old.tree(), old.shown()) == (tree, shown)


def test_the_same_manifest_again_prolongs_the_probation(old: Machine) -> None:
    old.apply(NEW, within=100)
    old.timer = 1.0
    assert old.apply(NEW, within=200) == []
    assert old.timer == 200
    old.confirm()


def test_another_manifest_in_probation_begins_at_what_was_confirmed(old: Machine) -> None:
    tree = old.tree()
    old.apply(NEW)
    old.apply([*OLD, file("/etc/third", "3")])
    old.expire()
    assert old.tree() == tree


def test_a_service_that_does_not_run_takes_everything_back(old: Machine) -> None:
    tree, shown = old.tree(), old.shown()
    old.broken.add("new-only.service")
    error = refused(old, NEW)
    assert (error.reason, "new-only.service" in str(error)) == ("service", True)
    assert isinstance(error, transaction.WentBack)
    assert (old.tree(), old.shown(), old.timer) == (tree, shown, None)


# --- what cannot be done ----------------------------------------------------------------------------------------------


def test_a_symbolic_link_is_not_written_through(old: Machine) -> None:
    target = old.root / "etc/precious"
    target.write_text("precious")
    path = old.root / "etc/loa/settings"
    path.unlink()
    path.symlink_to(target)
    tree = old.tree()
    error = refused(old, NEW)
    assert (error.reason, "/etc/loa/settings" in str(error)) == ("symlink", True)
    assert (old.tree(), old.state.phase()) == (tree, None)
    assert found(old)["found"]["file:/etc/loa/settings"]["attributes"] == "symlink"


def test_a_folder_in_place_of_a_file_is_refused(machine: Machine) -> None:
    (machine.root / "etc/loa/settings").mkdir(parents=True)
    assert refused(machine, NEW).reason == "folder"


def test_a_file_in_place_of_a_folder_is_refused(machine: Machine) -> None:
    (machine.root / "etc").mkdir(parents=True)
    (machine.root / "etc/loa").write_text("")
    assert refused(machine, NEW).reason == "folder"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("after", [0, 1, 3, 6, 10])
def test_a_full_disk_changes_nothing(old: Machine, monkeypatch: pytest.MonkeyPatch, number: int, after: int) -> None:
    tree, shown = old.tree(), old.shown()
    real, left = os.write, [after]

    def write(handle: int, data: bytes) -> int:
        if not left[0]:
            raise OSError(number, os.strerror(number))
        left[0] -= 1
        return real(handle, data)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(Refused, match="no room") as caught:
        old.apply(NEW)
    assert caught.value.reason == "disk_full"
    monkeypatch.undo()
    assert (old.tree(), old.shown(), old.state.phase()) == (tree, shown, None)


def test_an_owner_who_is_nobody(machine: Machine) -> None:
    one = {**file("/etc/x", "x"), "attributes": "nobody-knows-him:root 0644"}
    assert refused(machine, [one]).reason == "owner"


@pytest.mark.parametrize("name", ["relative", "/etc/../x", "/", "", "/etc//x", "/etc/x/"])
def test_a_path_that_is_not_plain(machine: Machine, name: str) -> None:
    assert refused(machine, [{**file("/etc/x", ""), "name": name}]).reason == "manifest"


def test_a_secret_without_its_text(machine: Machine) -> None:
    with pytest.raises(Refused) as caught:
        read([{**file("/etc/x", ""), "secret": True}], {})
    assert caught.value.reason == "secret"


def test_one_run_at_a_time(machine: Machine) -> None:
    with machine.state.locked(), pytest.raises(Refused) as caught, machine.state.locked(patience=0):
        pass
    assert caught.value.reason == "busy"


def test_a_damaged_record_says_so(old: Machine) -> None:
    (old.state.folder / "applied.json").write_text("{")
    assert refused(old, NEW).reason == "state"


# --- facts ------------------------------------------------------------------------------------------------------------


def test_digests_are_the_hubs(old: Machine) -> None:
    told = found(old)
    key = "file:/etc/loa/settings"
    assert told["found"][key] == {
        "digest": digest_of("old\n", f"{ME} 0644"),
        "attributes": f"{ME} 0644",
        "text": "old\n",
    }
    assert told["applied"][key] == digest_of("old\n", f"{ME} 0644")
    assert told["found"][f"service:{RECEIVER}"]["digest"] == digest_of("enabled running")


def test_a_change_by_hand_is_seen_and_mended(old: Machine) -> None:
    path = old.root / "etc/loa/settings"
    path.write_text("by hand\n")
    told = found(old)
    key = "file:/etc/loa/settings"
    assert told["found"][key]["digest"] != told["applied"][key]
    assert told["found"][key]["text"] == "by hand\n"
    assert [(c.action, c.name) for c in old.apply(OLD)] == [("change", "/etc/loa/settings")]
    assert path.read_text() == "old\n"


def test_a_changed_mode_is_a_change(old: Machine) -> None:
    (old.root / "etc/loa/settings").chmod(0o666)
    assert [(c.action, c.name) for c in old.apply(OLD)] == [("change", "/etc/loa/settings")]
    assert old.tree()["etc/loa/settings"][1] == 0o644


def test_a_secret_is_not_told_even_where_somebody_opened_its_file(old: Machine) -> None:
    (old.root / "etc/secret").chmod(0o644)
    assert "text" not in found(old)["found"]["file:/etc/secret"]


@pytest.mark.parametrize("data", [b"\xff\xfe", b"x" * (disk.LONGEST + 1)])
def test_what_is_no_text_or_too_long_has_a_digest_only(machine: Machine, data: bytes) -> None:
    machine.root.mkdir()
    (machine.root / "x").write_bytes(data)
    (machine.root / "x").chmod(0o644)
    told = found(machine, "file:/x", "file:/missing")["found"]
    assert set(told) == {"file:/x"}
    assert "text" not in told["file:/x"]


def test_old_contents_are_nobodys_business(old: Machine) -> None:
    old.apply(NEW)
    kept = [p for p in old.root.rglob(".*") if p.name.endswith(".loa-old")]
    assert kept
    assert {p.stat().st_mode & 0o7777 for p in kept} == {0o600}


# --- packages ---------------------------------------------------------------------------------------------------------


def test_a_missing_package_comes_from_the_manifests_sources_only(machine: Machine) -> None:
    source = file("/etc/apt/sources.list.d/loa.sources", "URIs: https://hub\n")
    machine.apply([source, {"kind": "package", "name": "ffmpeg", "text": ""}])
    (install,) = [c for c in machine.commands if c[0] == "apt-get" and "install" in c]
    assert any(word.startswith(f"Dir::Etc={machine.state.folder}") for word in install)
    assert found(machine)["found"]["package:ffmpeg"]["text"] == "1.0-1"
    machine.confirm()
    assert machine.apply([source, {"kind": "package", "name": "ffmpeg", "text": ""}]) == []


def test_a_package_that_nobody_wants_any_more_stays(machine: Machine) -> None:
    machine.apply([file("/etc/x", "x"), {"kind": "package", "name": "ffmpeg", "text": ""}])
    machine.confirm()
    assert machine.apply([file("/etc/x", "x")]) == []
    machine.confirm()
    assert machine.packages == {"ffmpeg": "1.0-1"}
    assert set(found(machine)["applied"]) == {"file:/etc/x"}


def test_a_package_that_is_not_there_stops_before_anything_else(machine: Machine) -> None:
    error = refused(machine, [file("/etc/x", "x"), {"kind": "package", "name": "unheard-of", "text": ""}])
    assert (error.reason, "unheard-of" in str(error)) == ("package", True)
    assert machine.tree() == {}


# --- power ------------------------------------------------------------------------------------------------------------


def cut_at(machine: Machine, step: int, keep: Path, *, then: str) -> bool:
    """Cuts the power at one step of a change, or of its confirmation; whether that step was reached."""
    shutil.rmtree(keep, ignore_errors=True)
    keep.mkdir()
    if then == "expire":
        machine.apply(NEW)
    with Power(step, keep).on() as power:
        if then == "expire":
            machine.expire()
        else:
            machine.apply(NEW)
            machine.confirm()
    return bool(power.done >= step)


@pytest.mark.parametrize("then", ["confirm", "expire"])
def test_power_cut_at_any_step_leaves_old_or_new(old: Machine, tmp_path: Path, then: str) -> None:
    copy, units = tmp_path / "copy", saved(old)
    shutil.copytree(old.root, copy)
    before = old.tree(), old.shown()
    old.apply(NEW)
    old.confirm()
    after = old.tree(), old.shown()
    seen = set()
    step = 0
    reached = True
    while reached:
        step += 1
        shutil.rmtree(old.root)
        shutil.copytree(copy, old.root)
        restored(old, units)
        reached = cut_at(old, step, tmp_path / "keep", then=then)
        old.reboot()
        phase = old.state.phase()
        if phase == "active":
            old.confirm()
        assert old.state.phase() is None, step
        assert (old.tree(), old.shown()) in (before, after), step
        seen.add((phase, (old.tree(), old.shown()) == after))
    assert step > 50
    assert (None, False) in seen
    assert ("active", True) in seen if then == "confirm" else step
    assert (None, True) in seen if then == "confirm" else (None, True) not in seen


def test_a_power_cut_while_going_back_after_one_goes_back(old: Machine, tmp_path: Path) -> None:
    before = old.tree(), old.shown()
    copy = tmp_path / "copy"
    old.apply(NEW)
    old.reboot()
    units = saved(old)
    shutil.copytree(old.root, copy)
    keep = tmp_path / "keep"
    reached, step = True, 0
    while reached:
        step += 1
        shutil.rmtree(old.root)
        shutil.copytree(copy, old.root)
        restored(old, units)
        shutil.rmtree(keep, ignore_errors=True)
        keep.mkdir()
        with Power(step, keep).on() as power:
            old.reboot()
        reached = power.done >= step
        old.reboot()
        assert old.state.phase() is None
        assert (old.tree(), old.shown()) == before, step


def test_differences_are_seen_without_touching_anything(old: Machine) -> None:
    tree = old.tree()
    listed, secrets = old.sent(NEW)
    assert len(differences(old.state, read(listed, secrets))) == 9
    assert old.tree() == tree


# --- as Ansible runs it -----------------------------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parents[2]
OLDEST = shutil.which("python3.9")


def asked(tmp_path: Path, interpreter: str, *words: str, **arguments: Any) -> dict[str, Any]:
    """The module's answer, by Ansible on this machine, with a folder of the device's below ``tmp_path``."""
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [
            {"loa_state": {"root": str(tmp_path / "root"), **arguments}, "register": "told", "ignore_errors": True},
            {"ansible.builtin.copy": {"content": "{{ told }}", "dest": str(tmp_path / "told")}, "check_mode": False},
        ],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    program = str(Path(sys.executable).parent / "ansible-playbook")
    inventory = ["-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={interpreter}"]
    places = {
        "ANSIBLE_LIBRARY": str(ROOT / "playbooks/library"),
        "ANSIBLE_MODULE_UTILS": str(ROOT / "playbooks/module_utils"),
    }
    command = [program, *inventory, *words, str(tmp_path / "play.yml")]
    done = subprocess.run(command, env={**os.environ, **places}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads((tmp_path / "told").read_text())
    return found


@pytest.mark.parametrize("interpreter", [sys.executable, OLDEST])
def test_ansible_reads_facts_with_the_pythons_of_devices(tmp_path: Path, interpreter: str | None) -> None:
    if interpreter is None or subprocess.run([interpreter, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip("no Python 3.9 on this machine")
    place = tmp_path / "root/etc/x"
    place.parent.mkdir(parents=True)
    place.write_text("ấp Ba\n", encoding="utf-8")
    place.chmod(0o644)
    told = asked(tmp_path, interpreter, mode="facts", keys=["file:/etc/x", "file:/etc/y"])
    digest = digest_of("ấp Ba\n", f"{ME} 0644")
    assert told["facts"]["found"] == {"file:/etc/x": {"digest": digest, "attributes": f"{ME} 0644", "text": "ấp Ba\n"}}
    assert (told["changed"], told["probation"]["pending"]) == (False, False)


def test_check_mode_changes_nothing_and_tells_no_secret(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    secret = {**file("/etc/x", "", secret=True), "text": None}
    told = asked(
        tmp_path, sys.executable, "--check", mode="apply", manifest=[secret], secrets={"file:/etc/x": "very secret"}
    )
    assert told["changes"] == [{"action": "create", "kind": "file", "name": "/etc/x"}]
    assert list((tmp_path / "root").iterdir()) == []
    assert "very secret" not in json.dumps(told)
