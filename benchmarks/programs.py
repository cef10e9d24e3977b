"""Programs that a benchmark starts: each ends with its block, or with the benchmark however that ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from tests.sim.fleet import die_with_parent


class Ended(Exception):
    """A program has ended that nobody had asked to."""


PATIENCE = 3.0
"""Seconds in which a program that is asked to end must do so."""


@contextlib.asynccontextmanager
async def running(command: Sequence[str], log: Path, folder: Path | None = None) -> AsyncIterator[int]:
    """The running program's process id; what it says goes to ``log``. It is asked to end, then killed.

    Raises Ended when it had ended before.
    """
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=folder,
            preexec_fn=die_with_parent,
        )
    try:
        yield process.pid
    finally:
        if process.returncode is not None:
            raise Ended(f"{command[0]} has ended by itself ({process.returncode})")
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), PATIENCE)
        except TimeoutError:
            process.kill()
            await process.wait()
