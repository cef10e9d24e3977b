"""Network namespaces as places where programs run: the operations centre's, and one per host."""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from tests.lab import cgroups

_CLONE_NEWNET: Final = 0x40000000
_JOIN: Final = 'for group in $1; do echo 0 >"$group/cgroup.procs"; done; shift; exec "$@"'
"""``sh -c _JOIN sh "GROUP GROUP" PROGRAM...``: the program replaces the shell, and has its process id."""


@dataclass(frozen=True, slots=True)
class Space:
    """A network namespace of a lab, ``net`` its file, and the control groups that tell what was started in it."""

    net: Path
    groups: tuple[Path, ...]

    def command(self, program: Sequence[str]) -> list[str]:
        """What to start so that ``program`` runs here, as the started process itself (same process id)."""
        joined = " ".join(map(str, self.groups))
        return ["nsenter", f"--net={self.net}", "sh", "-c", _JOIN, "sh", joined, *program]

    def run(
        self,
        program: Sequence[str],
        *,
        input: str | None = None,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program here to its end. Raises RuntimeError with what it said if it fails and ``check`` is set."""
        return finished(self.command(program), input=input, check=check, env=env, cwd=cwd, timeout=timeout)

    def popen(
        self,
        program: Sequence[str],
        *,
        stdin: int | IO[Any] = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Starts a program here; what still runs at the lab's end is killed."""
        process = subprocess.Popen(
            self.command(program), stdin=stdin, stdout=stdout, stderr=stderr, env=env, cwd=cwd, start_new_session=True
        )
        while process.poll() is None and not self._holds(process.pid):  # or the lab's end would miss it
            time.sleep(0.002)
        return process

    def _holds(self, pid: int) -> bool:
        return all(cgroups.holds(group, pid) for group in self.groups)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Moves the calling thread here and back: its new sockets, new threads and new processes are in the lab."""
        with Path("/proc/thread-self/ns/net").open() as home, self.net.open() as there:
            _setns(there.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())


def finished(
    command: Sequence[str],
    *,
    input: str | None = None,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 300,
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end. Raises RuntimeError with what it said if it fails and ``check`` is set."""
    given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
    done = subprocess.run(
        command, capture_output=True, text=True, env=env, cwd=cwd, timeout=timeout, check=False, **given
    )
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def _setns(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
