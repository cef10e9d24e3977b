"""The process behind every lab: it lives in the lab's own mount and network namespace, and ends when its owner does.

``unshare --mount --net python keeper.py ID`` says ``ready``, then waits for the end of its standard input, however that
comes: the owner closed it, failed or was killed. It then kills what the lab started, and the namespaces, with all
mounts and interfaces in them, go with their last process. What a killed keeper left is swept by the next lab's start.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.lab import cgroups

LABS: Final = Path("/run/loa-lab")
HOSTS: Final = "hosts"
"""Below a lab's folder: what is mounted there is seen in the lab's mount namespace only."""


def folder(lab: str) -> Path:
    """Where the lab keeps its keys, and its hosts' file systems."""
    return LABS / lab


@contextmanager
def starting() -> Iterator[None]:
    """Nobody sweeps or starts a lab meanwhile."""
    LABS.mkdir(mode=0o700, exist_ok=True)
    with (LABS / ".starting").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sweep() -> None:
    """Removes labs whose keeper is gone. Only while ``starting``."""
    for place in LABS.iterdir():
        if place.is_dir() and not alive(place.name):
            _wipe(place.name)


def alive(lab: str) -> bool:
    """Whether a keeper holds the lab."""
    try:
        with (folder(lab) / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _wipe(lab: str) -> None:
    cgroups.kill(lab)
    cgroups.remove(lab)
    shutil.rmtree(folder(lab))


def _keep(lab: str) -> None:
    with (folder(lab) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder(lab) / HOSTS).mkdir()
        for place in ("/run/netns", "/run/systemd/nspawn", folder(lab) / HOSTS):
            Path(place).mkdir(parents=True, exist_ok=True)
            _run("mount", "-t", "tmpfs", "-o", "mode=755", "lab", str(place))
        cgroups.make(lab)
        print("ready", flush=True)
        sys.stdin.read()
        cgroups.kill(lab)
        _run("umount", "--lazy", str(folder(lab) / HOSTS))
        _wipe(lab)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    _keep(sys.argv[1])
