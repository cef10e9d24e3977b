"""Runs ffmpeg, ffprobe and their like without ever hanging on them: argument lists, drained pipes, a time limit.

A program that fails is a result. Whoever is cancelled leaves no process behind: the whole process group is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg

TAIL = 256 * 1024
"""Bytes kept of the end of stdout and of stderr; what came before is read and dropped."""
NOT_FOUND = 127
FORMATS = "aac,aiff,amr,asf,au,avi,caf,flac,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,ogg,w64,wav"
"""Formats that carry sound and name no other file: playlists could make ffmpeg fetch what the sender chooses."""

TIME = re.compile(rb"^out_time_us=(\d+)\n", re.MULTILINE)
"""What ``-progress`` writes to stdout about twice a second: microseconds of sound that came out so far."""
Heard = Callable[[float], None]
"""Is told the seconds of sound that came out so far, while the program runs."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a program ended. ``returncode`` is negative after a signal; ``tail`` is the end of its stderr."""

    returncode: int
    stdout: str
    tail: str
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        return self.returncode == 0 and not self.timed_out

    @property
    def reason(self) -> str:
        """One line for a message: why it did not do its work."""
        if self.timed_out:
            return "it took too long"
        lines = self.tail.strip().splitlines()
        return lines[-1][:200] if lines else f"exit {self.returncode}"


def source(path: Path, **options: Any) -> Any:
    """An input node for a file: nothing but that file is opened, and only as one of ``FORMATS``."""
    return ffmpeg.input(f"file:{path.absolute()}", format_whitelist=FORMATS, protocol_whitelist="file", **options)


def command(*outputs: Any, level: str = "info") -> list[str]:
    """The argument list of a graph's output nodes, all fed by one decode; its outputs are overwritten."""
    options = ["-nostdin", "-hide_banner", "-nostats", "-loglevel", f"level+{level}", "-y"]
    program, *rest = ffmpeg.compile(list(outputs))
    return [program, *options, *rest]


def probe_command(path: Path) -> list[str]:
    """The kinds and lengths that ffprobe sees in a file, as JSON on stdout, under the same limits as ``source``.

    Nothing else is asked for: tags may be longer than what is kept of an answer.
    """
    limits = ["-format_whitelist", FORMATS, "-protocol_whitelist", "file"]
    wanted = ["-show_entries", "stream=codec_type,duration:format=duration", "-of", "json"]
    return ["ffprobe", "-hide_banner", "-loglevel", "level+warning", *limits, *wanted, f"file:{path.absolute()}"]


async def run(
    arguments: Sequence[str],
    *,
    timeout: float,  # noqa: ASYNC109
    stdin: bytes = b"",
    heard: Heard | None = None,
) -> Done:
    """The program's end, after at most ``timeout`` seconds; ``returncode`` 127 when there is no such program.

    ``heard`` follows an ffmpeg that was given ``-progress pipe:1``.
    """
    try:
        process = await _start(arguments, asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL)
    except OSError as error:
        return Done(NOT_FOUND, "", f"{arguments[0]}: {error.strerror}")
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(timeout), asyncio.TaskGroup() as group:
            out, tail = group.create_task(_tail(process.stdout, heard)), group.create_task(_tail(process.stderr))
            group.create_task(_feed(process, stdin))
            code = await process.wait()
    except TimeoutError:
        return Done(-signal.SIGKILL, "", "", timed_out=True)
    finally:
        await _end(process)
    return Done(code, out.result().decode(errors="replace"), tail.result().decode(errors="replace"))


async def _start(arguments: Sequence[str], stdin: int | None) -> asyncio.subprocess.Process:
    """The program in a process group of its own. Raises OSError.

    A start that is cancelled is finished first: asyncio would kill the leader only, and wait for its children's pipes.
    """
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *arguments,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            await _end(await starting)
        raise


@dataclass(frozen=True, slots=True)
class Running:
    """A program whose stdout is read piece by piece."""

    stdout: asyncio.StreamReader
    _process: asyncio.subprocess.Process
    _tail: asyncio.Task[bytes]

    async def end(self) -> str:
        """Why it ended, once it has closed its stdout."""
        await _end(self._process)
        return Done(self._process.returncode or 0, "", (await self._tail).decode(errors="replace")).reason


@contextlib.asynccontextmanager
async def stream(arguments: Sequence[str], stdin: int | None = asyncio.subprocess.DEVNULL) -> AsyncIterator[Running]:
    """The running program; it is killed on leaving. Raises OSError when there is no such program.

    ``stdin``: a file descriptor that it reads; None: this process's own.
    """
    process = await _start(arguments, stdin)
    assert process.stdout is not None
    assert process.stderr is not None
    tail = asyncio.create_task(_tail(process.stderr))
    try:
        yield Running(process.stdout, process, tail)
    finally:
        # who waits for the process waits for its pipes as well, and one that is not read is never seen to end
        await asyncio.gather(_end(process), _tail(process.stdout), tail)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kills what is left of the process group; the group's id stays taken until its leader has been waited for."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _tail(stream: asyncio.StreamReader, heard: Heard | None = None) -> bytes:
    kept = b""
    while chunk := await stream.read(TAIL):
        kept = (kept + chunk)[-TAIL:]
        if heard is not None and (times := TIME.findall(kept)):
            heard(int(times[-1]) / 1e6)
    return kept


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    if process.stdin is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.close()
