"""The key that every device lets in is made once; a power cut afterwards must not take it away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tui.provisioning import ssh_key


def test_the_key_is_on_the_disk_before_anybody_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        real(handle)
        synced.append(os.fstat(handle).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    path = ssh_key(tmp_path / "state")
    for file, mode in ((path, 0o600), (path.with_suffix(".pub"), 0o644)):
        assert file.stat().st_ino in synced
        assert file.stat().st_mode & 0o777 == mode
    assert path.parent.stat().st_ino in synced
    assert ssh_key(tmp_path / "state").read_bytes() == path.read_bytes()
    assert len(list(path.parent.iterdir())) == 2
