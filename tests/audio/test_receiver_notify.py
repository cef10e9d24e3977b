"""What systemd is told, and which program says of itself what it is."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from audio.receiver import VERSION
from audio.receiver.notify import Notifier
from audio.receiver.version import running

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("abstract", [False, True])
def test_it_tells_that_it_runs_and_that_it_comes_round(tmp_path: Path, abstract: bool) -> None:
    name = f"@loa-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name[1:] if abstract else name)
        systemd.settimeout(10)
        notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "60000000"})
        notifier.ready()
        for _ in range(100):
            notifier.alive()
        assert [systemd.recv(100), systemd.recv(100)] == [b"READY=1", b"WATCHDOG=1"]
        systemd.setblocking(False)
        with pytest.raises(BlockingIOError):
            systemd.recv(100)


@pytest.mark.parametrize(
    "environment", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "1"}, {"WATCHDOG_USEC": "soon"}]
)
def test_where_nobody_listens_nothing_happens(environment: dict[str, str]) -> None:
    notifier = Notifier(environment)
    notifier.ready()
    notifier.alive()


def test_a_program_in_a_folder_tells_its_release() -> None:
    assert running() == VERSION


def test_a_program_in_one_file_tells_that_file(tmp_path: Path) -> None:
    file = tmp_path / "any-name.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("audio/__init__.py", "audio/receiver/__init__.py", "audio/receiver/version.py"):
            archive.write(ROOT / name, name)
    code = "from audio.receiver.version import running; print(running())"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(file)!r}); {code}"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()
    assert said == f"{VERSION}+{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
