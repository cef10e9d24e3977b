"""Nothing that happens to a run of the hub's leaves a device with a change that nobody takes back."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from playbooks.module_utils.loa_device import guard, services, transaction
from playbooks.module_utils.loa_device.disk import Refused
from playbooks.module_utils.loa_device.transaction import WentBack
from tests.nms.loa_state_kit import Machine, Power, file, restored, saved, service, unit_file

TUNNEL = "tunnel.service"
OLD = [file("/etc/settings", "old\n", restarts=[TUNNEL]), unit_file(TUNNEL), service(TUNNEL)]
NEW = [
    file("/etc/settings", "new\n", restarts=[TUNNEL]),
    file("/etc/added", "added\n"),
    unit_file(TUNNEL, "[Service]\nExecStart=/new\n"),
    service(TUNNEL),
]


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path / "root", monkeypatch)
    machine.apply(OLD)
    machine.confirm()
    return machine


class Killed(BaseException):
    """The run's process is gone; what it did stays."""


def killed_at(machine: Machine, at: int, work: Callable[[], object]) -> bool:
    """Kills a run before its step number ``at``, of those that reach the disk or another program; whether it had it."""
    done = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            nonlocal done
            done += 1
            if done >= at:
                raise Killed
            return real(*args, **kwargs)

        return step

    with pytest.MonkeyPatch.context() as patch:
        for name in (name for name in Power.STEPS if name != "open"):
            patch.setattr(os, name, counted(getattr(os, name)))
        patch.setattr(services, "run", counted(machine.run))
        try:
            work()
        except Killed:
            return True
    return False


def attempt(machine: Machine) -> None:
    with suppress(Refused):
        machine.apply(NEW)


@pytest.mark.parametrize("broken", [set(), {TUNNEL}], ids=["it works", "it does not"])
def test_a_run_killed_at_any_step_is_undone_when_its_time_is_over(
    old: Machine, tmp_path: Path, broken: set[str]
) -> None:
    before, copy, units = (old.tree(), old.shown()), tmp_path / "copy", saved(old)
    shutil.copytree(old.root, copy)
    step, reached = 0, True
    while reached:
        step += 1
        shutil.rmtree(old.root)
        shutil.copytree(copy, old.root)
        restored(old, units)
        old.timer, old.broken = None, set(broken)
        reached = killed_at(old, step, partial(attempt, old))
        old.broken = set()
        if old.timer is not None:
            old.expire()
        if old.state.phase() == "preparing":  # nothing was touched; the next run throws it away
            transaction.recover(old.state)
        assert old.state.phase() is None, step
        assert old.tree() == before[0], step
        assert broken or old.shown() == before[1], step  # what is broken here does not start on the way back either
    assert step > 50


@pytest.fixture
def no_timers(old: Machine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many more timers systemd makes before it refuses to."""
    left = [1]

    def run(command: Sequence[str], **given: Any) -> tuple[int, str]:
        if command[0] == "systemd-run":
            left[0] -= 1
            if left[0] < 0:
                return 1, "Failed to start transient timer unit"
        return old.run(command, **given)

    monkeypatch.setattr(services, "run", run)
    return left


def test_a_change_that_could_not_go_back_goes_back_at_once(old: Machine, no_timers: list[int]) -> None:
    before = old.tree(), old.shown()
    with pytest.raises(Refused, match="no timer") as caught:
        old.apply(NEW)
    assert isinstance(caught.value, WentBack)
    assert (old.tree(), old.shown()) == before
    assert old.state.phase() is None


def test_a_probation_that_cannot_be_prolonged_ends_as_it_would_have(old: Machine, no_timers: list[int]) -> None:
    before = old.tree()
    no_timers[0] = 2
    old.apply(NEW, within=100)
    with pytest.raises(Refused, match="no timer"):
        old.apply(NEW, within=200)
    assert old.timer == 100
    assert guard.left(old.state) <= 100
    old.expire()
    assert old.tree() == before


@pytest.mark.parametrize("call", ["open", "replace"])
def test_a_disk_that_is_full_at_the_start_takes_an_unconfirmed_change_back(
    old: Machine, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    before = old.tree(), old.shown()
    old.apply(NEW)
    real = getattr(os, call)

    def full(*args: Any, **given: Any) -> Any:
        if call == "replace" and "deadline" in str(args[1]):
            raise OSError(errno.ENOSPC, "No space left on device")
        if call == "open" and args[1] & os.O_CREAT and "lock" not in str(args[0]):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **given)

    monkeypatch.setattr(os, call, full)
    old.reboot()
    assert (old.tree(), old.shown()) == before
    assert old.state.phase() is None


def test_a_program_that_hangs_does_not_hold_the_way_back_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "systemctl"
    program.write_text("#!/bin/sh\n[ $2 = restart ] && exec sleep 1000\necho LoadState=loaded\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(services, "PATIENCE", 0.2)
    with pytest.raises(Refused, match="not done within 0 s"):
        services.bring(TUNNEL, "disabled running", restart=True, block=True)
