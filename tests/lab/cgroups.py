"""Control groups of a lab: one per host in every hierarchy that systemd uses.

Hosts in one group would stop each other's processes: ``systemctl stop`` ends what it finds below its own group. They
are also how everything a lab started is found again, by process id, whoever started it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_TREE: Final = Path("/sys/fs/cgroup")


def _places(name: str) -> list[Path]:
    named = [_TREE / part for part in ("systemd", "unified") if (_TREE / part).is_dir()]
    return [root / name for root in named or [_TREE]]


def make(name: str) -> list[Path]:
    """The group's folders, made where they are missing; a process joins by writing 0 into their ``cgroup.procs``."""
    for place in _places(name):
        place.mkdir(parents=True, exist_ok=True)
    return _places(name)


def processes(name: str) -> set[int]:
    """The ids of all processes in the group and below it."""
    return {pid for place in _places(name) for folder in _folders(place) for pid in _members(folder)}


def holds(place: Path, pid: int) -> bool:
    """Whether the process is in the group with that folder or below it: systemd-nspawn moves itself on at once."""
    return any(pid in _members(folder) for folder in _folders(place))


def kill(name: str, seconds: float = 30) -> None:
    """Kills all that is in the group, until nothing is left. Raises TimeoutError if something will not die."""
    deadline = time.monotonic() + seconds
    while left := processes(name):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name}: processes {sorted(left)} do not end")
        time.sleep(0.02)


def remove(name: str) -> None:
    """Takes the empty group away, with what systemd made below it."""
    for place in _places(name):
        for folder in _folders(place):
            folder.rmdir()


def _folders(place: Path) -> Iterator[Path]:
    """The folder and all below it, the deepest first."""
    for root, _, _ in os.walk(place, topdown=False):
        yield Path(root)


def _members(folder: Path) -> list[int]:
    try:
        return [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
    except OSError:  # the group went away while we looked
        return []
