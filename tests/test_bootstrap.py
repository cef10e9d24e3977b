"""What `make` says on a machine that lacks something, and to somebody who may not install it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("bash", "dirname", "id", "cat", "sha256sum", "python3")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in a path with blanks, on a machine with a few basic commands, no apt-get and no ffmpeg."""
    folder = tmp_path / "một thư mục"
    (folder / "scripts").mkdir(parents=True)
    (folder / "bin").mkdir()
    shutil.copy(ROOT / "scripts/bootstrap", folder / "scripts")
    for name in TOOLS:
        found = shutil.which(name)
        assert found is not None
        (folder / "bin" / name).symlink_to(found)
    return folder


def bootstrap(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(checkout / "bin"), "HOME": str(checkout)}
    command = [str(checkout / "scripts/bootstrap"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def packages(output: str) -> list[str]:
    found = re.search(r"^ +apt-get update && apt-get install -y --no-install-recommends (.*)$", output, re.MULTILINE)
    assert found is not None, output
    return found[1].split()


def test_without_the_right_to_install_it_names_the_exact_line_and_stops(checkout: Path) -> None:
    done = bootstrap(checkout, "demo")
    assert done.returncode == 1
    assert {"ffmpeg", "espeak-ng"} <= set(packages(done.stderr))
    assert not {"snmp", "tmux", "openssh-client"} & set(packages(done.stderr))
    assert not (checkout / ".venv").exists()


def test_the_tests_need_more_than_the_demo(checkout: Path) -> None:
    demo, test = (set(packages(bootstrap(checkout, mode).stderr)) for mode in ("demo", "test"))
    assert test - demo >= {"snmp", "openssh-client", "prometheus"}


def test_a_virtual_machine_is_wanted_by_what_starts_one(checkout: Path) -> None:
    test, machine = (set(packages(bootstrap(checkout, mode).stderr)) for mode in ("test", "lab-vm"))
    assert machine - test == {"qemu-system-x86"}


def test_a_command_that_is_there_is_not_asked_for(checkout: Path) -> None:
    (checkout / "bin/ffmpeg").symlink_to("/bin/true")
    assert "ffmpeg" not in packages(bootstrap(checkout, "demo").stderr)


def test_an_unknown_mode_is_a_usage_error(checkout: Path) -> None:
    done = bootstrap(checkout, "everything")
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_make_help_names_every_target_a_person_needs() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = re.findall(r"^  make ([\w-]+)", done.stdout, re.MULTILINE)
    people = {
        "demo",
        "test",
        "check",
        "bench",
        "fuzz",
        "fleet",
        "lab",
        "lab-down",
        "lab-vm",
        "bootstrap",
        "clean",
        "help",
    }
    assert people == set(targets)


def test_a_make_test_that_is_cut_short_by_check_never_reaches_pytest() -> None:
    done = subprocess.run(["make", "-n", "test"], cwd=ROOT, capture_output=True, text=True, check=True)
    steps = [
        done.stdout.index(step)
        for step in ("scripts/bootstrap test", "ruff check", "mypy", "lint-imports", "-m pytest")
    ]
    assert steps == sorted(steps)
