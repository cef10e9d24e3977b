"""Disks of hosts: the image below, what the host writes above, in memory and of limited size."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from tests.lab.spaces import finished

File: TypeAlias = tuple[str, int]
"""Text and mode."""
_LAY = """
set -e
mkdir "$2"
mount -t tmpfs -o "mode=755,size=$3m" lab "$2"
mkdir "$2/upper" "$2/work" "$2/root"
exec mount -t overlay lab -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
"""


def lay(keeper: int, place: Path, image: Path, megabytes: int) -> Path:
    """Mounts a new disk in the mount namespace of process ``keeper``; returns its root as seen from outside."""
    inside = ["nsenter", f"--target={keeper}", "--mount"]
    finished([*inside, "sh", "-c", _LAY, "sh", str(image), str(place), str(megabytes)])
    return Path(f"/proc/{keeper}/root{place}/root")


def furnish(disk: Path, files: Mapping[str, File]) -> None:
    """Puts files on a disk before its first boot; a path that begins with ``~name`` is in that account's home."""
    for path, (text, mode) in files.items():
        home, owner = _home(disk, path)
        place = disk / home / path.partition("/")[2]
        if not place.parent.exists():
            place.parent.mkdir(parents=True, mode=0o700 if home else 0o755)
            os.chown(place.parent, owner, owner)
        place.write_text(text)
        place.chmod(mode)
        os.chown(place, owner, owner)


def _home(disk: Path, path: str) -> tuple[str, int]:
    """Where a path begins, below the disk's root, and the number of the account (and group) that owns what is there."""
    if not path.startswith("~"):
        return "", 0
    name = path[1:].partition("/")[0]
    account = next(line for line in (disk / "etc/passwd").read_text().splitlines() if line.startswith(f"{name}:"))
    _, _, number, _, _, home, _ = account.split(":")
    return home.lstrip("/"), int(number)


def enable(disk: Path, units: Mapping[str, str]) -> None:
    """Services that start at boot: name to the target that wants them."""
    for unit, target in units.items():
        wants = disk / f"etc/systemd/system/{target}.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / f"{unit}.service").symlink_to(f"/lib/systemd/system/{unit}.service")
