"""The live benchmark's peer for skew: Snapcast, whose players write what they sound into files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from benchmarks import programs

SERVER, CLIENT = "snapserver", "snapclient"
STEP: Final = 0.02
"""Seconds of sound that are handed to the server at a time."""


def installed() -> bool:
    return shutil.which(SERVER) is not None and shutil.which(CLIENT) is not None


@contextlib.asynccontextmanager
async def running(folder: Path, port: int, players: int, sound: Callable[[int], bytes]) -> AsyncIterator[list[Path]]:
    """A server on this port of loopback and so many players; their files. ``sound``: the n-th 20 ms (s16le, mono)."""
    fifo = _place(folder)
    # open for both: the server finds somebody who writes, and nobody waits for the other
    pipe = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    feeding = asyncio.create_task(_feed(pipe, sound))
    outputs = [folder / f"{number}.pcm" for number in range(1, players + 1)]
    try:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(programs.running(_server(folder, port, fifo), folder / "server.log"))
            for number, output in enumerate(outputs, 1):
                command = _client(port, number, output)
                await stack.enter_async_context(programs.running(command, folder / f"client-{number}.log"))
            yield outputs
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        os.close(pipe)


def _place(folder: Path) -> Path:
    folder.mkdir()
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    return fifo


def _server(folder: Path, port: int, fifo: Path) -> list[str]:
    """Nothing but the stream's own door, and no encoding."""
    source = f"pipe://{fifo}?name=bench&mode=read&sampleformat=48000:16:1&codec=pcm"
    settings = {
        "server.datadir": folder,
        "http.enabled": "false",
        "tcp.enabled": "false",
        "stream.bind_to_address": "127.0.0.1",
        "stream.port": port,
        "stream.source": source,
        "logging.sink": "stdout",
    }
    return [SERVER, "-c", os.devnull, *(f"--{key}={value}" for key, value in settings.items())]


def _client(port: int, number: int, output: Path) -> list[str]:
    name = ["-i", str(number), "--hostID", f"bench-{number}"]
    sound = ["--player", f"file:filename={output}", "--mixer", "none"]
    return [CLIENT, "-h", "127.0.0.1", "-p", str(port), *name, *sound, "--logsink", "stdout"]


async def _feed(pipe: int, sound: Callable[[int], bytes]) -> None:
    loop = asyncio.get_running_loop()
    began, number = loop.time(), 0
    while True:
        with contextlib.suppress(BlockingIOError):
            os.write(pipe, sound(number))
        number += 1
        await asyncio.sleep(max(began + number * STEP - loop.time(), 0))
