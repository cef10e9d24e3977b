"""What a live channel costs the hub, beside Liquidsoap; and one encode for all districts, beside one for each of them.

    python -m benchmarks.bench_encode

A radio station in a process of its own gives MP3 at 64 kbit/s. Our channel is the hub's session in a process of its
own: ffmpeg decodes and weighs, the process brings it to its loudness, limits, encodes, signs, publishes to a mosquitto.
Liquidsoap decodes the same stream, normalises by LUFS and encodes alike, into a file. The encodes for each district
are plain ffmpegs that decode, limit and encode alike, into nothing; they know no loudness. All keep the sound's pace.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audio.broker import Mosquitto
from audio.live.encode import BITRATE, CEILING
from audio.live.feed import FRAME, MOST, TARGET
from audio.live.session import Session, Signer
from audio.live.source import RATE, Source
from audio.live.wire import Wire
from benchmarks import programs
from benchmarks.measure import cpu, family
from benchmarks.microphone import Nobody
from tests.audio.live_kit import make_programme, running, station
from tests.audio.receiver_kit import free_port
from tests.sim.fleet import die_with_parent

PEER: Final = "liquidsoap"
DISTRICTS: Final = (1, 4, 17)
"""17: the province's districts before the reform."""
SETTLING: Final = 2.0
"""Seconds from the first sound on that are not measured."""
SECONDS: Final = 9.0
STARTS: Final = 30.0
"""Seconds in which a program must have begun."""
LOOK: Final = 0.1
_FORK: Final = multiprocessing.get_context("fork")


def broadcast(folder: Path, pipe: Connection) -> None:
    """The radio station's process."""
    die_with_parent()
    programme, _ = make_programme(folder, 30, 5)
    with station(programme) as radio:
        pipe.send(radio.url)
        pipe.recv()


@contextlib.contextmanager
def radio(folder: Path) -> Iterator[str]:
    """The station's URL."""
    ours, theirs = _FORK.Pipe()
    process = _FORK.Process(target=broadcast, args=(folder, theirs))
    process.start()
    try:
        url: str = ours.recv()
        yield url
    finally:
        process.kill()
        process.join()


# --- the channels -----------------------------------------------------------------------------------------------------


async def on_air(url: str, port: int) -> None:
    """Our channel's process."""
    wire = Wire("127.0.0.1", port)
    signer = Signer(Ed25519PrivateKey.generate(), "0" * 16)
    session = Session("bench", [Source(url)], signer, wire, Nobody(), lambda: datetime.now(UTC))
    async with running(wire.run(), session.run()):
        await asyncio.Event().wait()


def script(url: str, output: Path) -> str:
    """The same channel for Liquidsoap."""
    opus = f'%opus(samplerate={RATE}, channels=1, bitrate={BITRATE // 1000}, vbr="constrained", '
    opus += f'frame_size={FRAME}., application="audio")'
    return f"""settings.init.allow_root.set(true)
settings.log.file.set(false)
settings.log.stdout.set(true)
settings.frame.audio.samplerate.set({RATE})
sound = input.http("{url}")
sound = normalize(target={TARGET}, lufs=true, gain_min=-{MOST}, gain_max={MOST}, sound)
output.file(fallible=true, flush=true, {opus}, "{output}", mean(sound))
"""


def plain(url: str) -> list[str]:
    """One more encode of the same sound by ffmpeg."""
    limiter = f"alimiter=limit={10 ** (CEILING / 20):.6f}:level=false"
    encode = ["-ac", "1", "-ar", str(RATE), "-c:a", "libopus", "-b:a", str(BITRATE), "-vbr", "constrained"]
    options = ["-nostdin", "-hide_banner", "-loglevel", "error", "-nostats", "-y"]
    return ["ffmpeg", *options, "-i", url, "-af", limiter, *encode, "-f", "ogg", "/dev/null"]


# --- the measurement --------------------------------------------------------------------------------------------------


async def until(condition: Callable[[], bool], log: Path) -> None:
    def look() -> None:
        deadline = time.monotonic() + STARTS
        while not condition():
            if time.monotonic() > deadline:
                raise SystemExit(f"it does not begin:\n{log.read_text()[-2000:]}")
            time.sleep(LOOK)

    await asyncio.to_thread(look)


async def spent(groups: Sequence[Sequence[int]]) -> list[float]:
    """Seconds of CPU that each group of processes takes for a second of sound."""
    await asyncio.sleep(SETTLING)
    before, began = [cpu(*pids) for pids in groups], time.monotonic()
    await asyncio.sleep(SECONDS)
    seconds = time.monotonic() - began
    return [(cpu(*pids) - then) / seconds for pids, then in zip(groups, before, strict=True)]


async def ours(folder: Path, url: str) -> tuple[float, float]:
    """Of our channel's process, and of its ffmpeg. SystemExit when the station was not heard all the time."""
    log = folder / "session.log"
    async with Mosquitto(folder / "broker", free_port()) as broker:
        command = [sys.executable, "-m", __spec__.name, url, str(broker.port)]
        async with programs.running(command, log) as pid:
            await until(lambda: len(list(family(pid))) > 1, log)
            _, *decoders = family(pid)
            process, decoder = await spent([[pid], decoders])
    if told := log.read_text():
        raise SystemExit(f"our channel: {told}")
    return process, decoder


async def liquidsoap(folder: Path, url: str) -> float:
    path, output, log = folder / "channel.liq", folder / "channel.opus", folder / "liquidsoap.log"
    path.write_text(script(url, output), encoding="utf-8")
    async with programs.running([PEER, str(path)], log) as pid:
        # its library is compiled at each start; that is not the channel's cost
        await until(lambda: output.exists() and output.stat().st_size > 0, log)
        (took,) = await spent([list(family(pid))])
    return took


@contextlib.asynccontextmanager
async def plains(folder: Path, url: str, count: int) -> AsyncIterator[list[int]]:
    async with contextlib.AsyncExitStack() as stack:
        log = folder / "ffmpeg.log"
        yield [await stack.enter_async_context(programs.running(plain(url), log)) for _ in range(count)]


async def measure(folder: Path, url: str) -> None:
    process, decoder = await ours(folder, url)
    one = process + decoder
    print(f"one channel for {SECONDS:g} s, CPU ms for a second of sound")
    print(
        f"Loa          {1000 * one:6.1f}  ({1000 * process:.1f} of them the hub's, {1000 * decoder:.1f} its ffmpeg's)"
    )
    if shutil.which(PEER) is None:
        print(f"no peer Liquidsoap here (apt-get install {PEER})")
    else:
        theirs = await liquidsoap(folder, url)
        print(f"Liquidsoap   {1000 * theirs:6.1f}  ratio {theirs / one:.1f}x ours")
    print("districts    one encode, published once    an ffmpeg for each    ratio")
    for count in DISTRICTS:
        async with plains(folder, url, count) as pids:
            (many,) = await spent([pids])
        print(f"{count:9} {1000 * one:29.1f} {1000 * many:21.1f} {many / one:7.1f}x")


def main() -> None:
    if len(sys.argv) > 1:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(on_air(sys.argv[1], int(sys.argv[2])))
        return
    with tempfile.TemporaryDirectory(prefix="loa-bench-") as folder, radio(Path(folder) / "radio") as url:
        asyncio.run(measure(Path(folder), url))


if __name__ == "__main__":
    main()
