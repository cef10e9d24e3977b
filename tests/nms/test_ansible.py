"""Ansible against a real sshd: every failure is its device's own, secrets stay where they belong, bytes are counted."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from inventory.model import DeviceId
from nms.provision.ansible import AnsibleProvisioner
from nms.provision.plan import changes_of
from nms.provision.reach import Target, Unreached
from nms.provision.values import Facts, Outcome, Result
from tests.nms.ssh_kit import GOOD, NO_PYTHON, NOT_LET_IN, OTHER_KEY, SECRET, SILENT, Bench, bench, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.fixture(scope="module")
def devices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("bench")) as made:
        yield made


async def facts_of(by: AnsibleProvisioner, targets: Sequence[Target]) -> Mapping[str, Facts | Unreached]:
    return {answer.device: answer async for answer in by.facts(targets)}


async def applied(by: AnsibleProvisioner, targets: Sequence[Target], within: float = 60.0) -> Mapping[str, Result]:
    return {result.device: result async for result in by.apply(targets, within)}


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def codes(answers: Mapping[str, Facts | Unreached]) -> Mapping[str, str]:
    return {d: one.problem.code if isinstance(one, Unreached) else "" for d, one in answers.items()}


def all_kinds(devices: Bench) -> list[Target]:
    return [
        devices.target("1-L01"),
        devices.target("1-L02", OTHER_KEY, host_key=devices.other_key()),
        devices.target("1-L03", NOT_LET_IN),
        devices.target("1-L04", NO_PYTHON),
        devices.target("1-L05", SILENT),
        devices.target("1-L06", GOOD, host_key=""),
    ]


EXPECTED = {
    "1-L01": "",
    "1-L02": "PLN301",
    "1-L03": "PLN302",
    "1-L04": "PLN303",
    "1-L05": "PLN300",
    "1-L06": "PLN309",
}


async def test_every_failure_is_its_devices_own(devices: Bench) -> None:
    by, targets = devices.provisioner(), all_kinds(devices)
    assert codes(await facts_of(by, targets)) == EXPECTED
    results = await applied(by, targets)
    assert {d: one.detail.code if one.detail else "" for d, one in results.items()} == EXPECTED
    assert results["1-L01"].outcome is Outcome.APPLIED
    assert {one.outcome for d, one in results.items() if EXPECTED[d]} == {Outcome.DEFERRED}
    confirmed = await by.confirm(targets)
    assert {d: why.code if why else "" for d, why in confirmed.items()} == EXPECTED


async def test_the_manifest_is_there_as_it_stands_and_a_second_time_nothing_changes(devices: Bench) -> None:
    by, target = devices.provisioner(), devices.target("2-L01")
    before = (await facts_of(by, [target]))["2-L01"]
    assert isinstance(before, Facts)
    assert before.found == {}
    result = (await applied(by, [target]))["2-L01"]
    assert result.outcome is Outcome.APPLIED
    assert result.facts is not None
    assert not list(changes_of(target.manifest, result.facts))
    assert await by.confirm([target]) == {"2-L01": None}
    wanted = target.manifest.resources["file:/etc/2-L01.conf"].text
    assert (devices.root / "2-L01/etc/2-L01.conf").read_text() == wanted
    assert (devices.root / "2-L01/etc/2-L01.key").read_text() == SECRET
    assert (await applied(by, [target]))["2-L01"].outcome is Outcome.UNCHANGED


async def test_what_a_device_refuses_is_its_failure_in_its_own_words(devices: Bench) -> None:
    (devices.root / "3-L01/etc/3-L01.conf").mkdir(parents=True)
    result = (await applied(devices.provisioner(), [devices.target("3-L01")]))["3-L01"]
    assert result.outcome is Outcome.FAILED
    assert result.detail is not None
    assert result.detail.code == "PLN307"
    assert "/etc/3-L01.conf" in result.detail.fields["reason"]


@pytest.fixture
def small_disk(devices: Bench) -> Iterator[Path]:
    folder = devices.root / "4-L01/etc"
    folder.mkdir(parents=True)
    if os.getuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "x", str(folder)]).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk_is_said_and_nothing_was_changed(devices: Bench, small_disk: Path) -> None:
    target = devices.target("4-L01", text="a = 1\n" * 20_000)
    result = (await applied(devices.provisioner(), [target]))["4-L01"]
    assert result.outcome is Outcome.DEFERRED
    assert result.detail is not None
    assert result.detail.code == "PLN304"
    assert not (small_disk / "4-L01.conf").exists()


async def test_bytes_are_counted_for_each_device(devices: Bench) -> None:
    by, targets = devices.provisioner(), [devices.target("5-L01"), devices.target("5-L02", SILENT)]
    results = await applied(by, targets)
    one = results["5-L01"]
    # the module itself travels: less would be no module, more than twice as much not compressed
    assert 20_000 < one.sent < 400_000
    assert 1_000 < one.received < 50_000
    assert (results["5-L02"].sent, results["5-L02"].received) == (0, 0)
    assert by.spent(DeviceId("5-L01")) == (0, 0)
    await by.confirm(targets[:1])
    sent, received = by.spent(DeviceId("5-L01"))
    assert sent > 10_000
    assert received > 1_000


async def test_secrets_are_in_no_process_list_and_no_run_leaves_anything(
    devices: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shown: set[bytes] = set()

    async def look() -> None:
        while True:
            shown.update(await asyncio.to_thread(_command_lines))
            await asyncio.sleep(0.02)

    looking = asyncio.create_task(look())
    target = devices.target("6-L01")
    by = devices.provisioner()
    answers = [*(await applied(by, [target])).values(), *(await facts_of(by, [target])).values()]
    looking.cancel()
    assert any(b"ansible" in line for line in shown)
    assert not any(b"m4t-kh4u" in line for line in shown)
    assert "m4t-kh4u" not in repr(answers)
    assert files(tmp_path) == []


def _command_lines() -> set[bytes]:
    found = set()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.add(file.read_bytes())
            found.add(file.with_name("environ").read_bytes())
        except OSError:
            continue
    return found


@pytest.fixture
def ended_process() -> int:
    return int(subprocess.run(["sh", "-c", "echo $$"], capture_output=True, check=True).stdout)


async def test_what_a_killed_hub_left_is_swept_away_by_the_next_run(
    devices: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended_process: int
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for owner in (ended_process, os.getpid()):
        (tmp_path / f"loa-run-{owner}-x").mkdir()
    await facts_of(devices.provisioner(), [devices.target("9-L01", SILENT)])
    assert files(tmp_path) == [tmp_path / f"loa-run-{os.getpid()}-x"]


async def test_a_run_that_takes_too_long_is_ended_with_its_processes(devices: Bench, tmp_path: Path) -> None:
    target = devices.target("7-L01")
    result = (await applied(devices.provisioner(seconds=0.05), [target], within=0.05))["7-L01"]
    assert result.outcome is Outcome.LOST
    assert result.detail is not None
    assert result.detail.code == "PLN306"


async def test_what_is_wrong_with_the_hub_is_not_the_devices_fault(devices: Bench) -> None:
    by = devices.provisioner()
    play = devices.folder / "playbooks" / "facts.yml"
    kept = play.read_text()
    play.write_text("- {hosts: all, tasks: [{no_such_module: {}}]}\n")
    try:
        answer = (await facts_of(by, [devices.target("8-L01")]))["8-L01"]
    finally:
        play.write_text(kept)
    assert isinstance(answer, Unreached)
    assert answer.problem.code == "PLN315"
    assert "no_such_module" in answer.problem.fields["reason"]
