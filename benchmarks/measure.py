"""What the benchmarks count with: shares of values, CPU time of processes, room for connections."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path


def percent(values: Sequence[float], share: int) -> float:
    """The value that ``share`` percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)]


def cpu(*pids: int) -> float:
    """Seconds of CPU that these processes have used, in steps of 10 ms."""
    return sum(map(_cpu, pids))


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def waited(pid: int) -> float:
    """Seconds in which the process' threads wanted to run and had no core, by the kernel's own account."""
    return sum(int(path.read_text().split()[1]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def family(pid: int) -> Iterator[int]:
    """The process and all that it has started, as far as they still run."""
    yield pid
    with suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                yield from family(int(child))


def need_files(count: int) -> None:
    """Lets this process and those it starts have so many files open; SystemExit where that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(count, hard)))
    except (ValueError, OSError):
        sys.exit(f"{count} open files are needed, {hard} are allowed: ulimit -Hn {count}")
