"""loa firmware: a built receiver's wheel becomes what devices fetch; anything else is refused."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from tests.tui.loa_command import ROOT, Shell


def test_a_built_wheel_is_handed_out_and_nothing_else(shell: Shell, tmp_path: Path) -> None:
    assert shell.loa("firmware").code == 1
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT / "packaging/receiver", check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    assert shell.loa("firmware", wheel).code == 0
    known = shell.loa("firmware", "--json").json()["receiver"]
    kept = shell.home / "state/artifacts" / known["sha256"]
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == known["sha256"]
    assert known["file"] == wheel.name
    bad = tmp_path / "other.whl"
    bad.write_bytes(b"PK")
    refused = shell.loa("firmware", bad, "--json")
    assert (refused.code, refused.out) == (1, "")
    assert shell.loa("firmware", "--json").json()["receiver"] == known
