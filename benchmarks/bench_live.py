"""Live sound from the microphone to 2,000 receivers and through a storm of 5,000, beside a tuned Icecast and Snapcast.

    python -m benchmarks.bench_live [RECEIVERS]

Session and microphone are the hub's (one encode, signed pages of 200 ms, its own connection), the broker a mosquitto as
the hub starts it. Simulated receivers are connections of their own to it in two processes; each checks every page as a
device does (bytes that have been checked are remembered: all get the same ones). Icecast gets the same encode, page by
page, over its source protocol, and as many listeners in as many processes. Some real receiver programs and as many
Snapcast players write what they sound into files. All on this machine, without TLS.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import functools
import itertools
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from audio.broker import Mosquitto
from audio.envelope import live_topic
from audio.live.encode import BITRATE, PAGE
from audio.live.session import DELAY
from audio.live.wire import Wire
from audio.receiver.trust import policy_keys
from benchmarks import icecast, programs, receivers, snapcast
from benchmarks.audience import Audience, Check, Device, Player, Seen
from benchmarks.heard import Watch
from benchmarks.measure import cpu, need_files, percent, waited
from benchmarks.microphone import NAME, Nobody, Speaker, on_air, programme
from tests.audio.live_kit import running
from tests.audio.receiver_kit import Kit, free_port

RECEIVERS: Final = 2_000
STORM: Final = 5_000
WITHIN: Final = 1.0
"""Seconds within which the storm comes."""
BUDGET: Final = 400
"""Milliseconds from the microphone to 99 of 100 receivers; the delay that a device chooses is not in it."""
BACK: Final = 10.0
"""Seconds after which all of a storm must have the programme."""
APART: Final = 10.0
"""Milliseconds by which real receivers may sound apart."""
SECONDS: Final = 8.0
REAL: Final = 5
CLICKS: Final = 12
JOINING: Final = 30.0
SPARE: Final = 500
"""Open files beside the listeners' connections."""


# --- the measurement --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Share:
    """Of a while, the part in which a process ran (all its threads together), and in which it waited for a core."""

    ran: float
    waited: float


@dataclass(frozen=True, slots=True)
class Steady:
    """A while of the programme. Milliseconds from spoken and from taken to in hand of each page at each receiver, and
    between the first and the last receiver of each page; pages that did not come; frames that the microphone left out,
    and had not; shares of a core that were used.
    """

    spoken: list[float]
    taken: list[float]
    apart: list[float]
    lost: int
    dropped: int
    missing: int
    server: Share
    hub: Share
    listeners: float


@dataclass(frozen=True, slots=True)
class Storm:
    """Of those who were there: pages, those in hand later than they are to sound, lost, and the slowest (seconds). Of
    those who came: seconds until each had a page, and connections that failed; of all the shares of a core.
    """

    pages: int
    late: int
    lost: int
    slowest: float
    back: list[float]
    failed: int
    server: Share
    listeners: float

    @property
    def missing(self) -> int:
        """How many of the storm had no page in time."""
        return STORM - sum(seconds <= BACK for seconds in self.back)


class Clocks:
    """What the processes have used since this was made."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._began = self._now()

    def _now(self) -> tuple[float, list[Share]]:
        return time.monotonic(), [Share(cpu(pid), waited(pid)) for pid in self._pids]

    def shares(self) -> tuple[float, list[Share]]:
        """The seconds that have passed, and each process' share of them."""
        (began, before), (now, after) = self._began, self._now()
        seconds = now - began
        pairs = zip(before, after, strict=True)
        return seconds, [Share((b.ran - a.ran) / seconds, (b.waited - a.waited) / seconds) for a, b in pairs]


async def gather(audience: Audience, count: int) -> None:
    """Until so many have a page, or no more come."""
    audience.come(count, count / 1000)
    await asyncio.to_thread(audience.wait, time.monotonic() + JOINING)


def span(seen: Seen, first: int, last: int) -> dict[int, array.array[float]]:
    """What was seen of these pages."""
    return {n: instants for n, instants in seen.pages.items() if first <= n <= last}


async def steady(audience: Audience, speaker: Speaker, server: int) -> Steady:
    await asyncio.to_thread(audience.tell)
    clocks, first = Clocks(server, os.getpid()), len(speaker.pages) + 1
    dropped, missing = speaker.dropped, speaker.missing
    await asyncio.sleep(SECONDS)
    last, dropped, missing = len(speaker.pages), speaker.dropped - dropped, speaker.missing - missing
    await asyncio.sleep(1)
    seconds, (used, hub) = clocks.shares()
    seen = await asyncio.to_thread(audience.tell)
    pages = span(seen, first, last)
    whole = [(speaker.pages[n - 1], instants) for n, instants in pages.items()]
    return Steady(
        spoken=[(at - page.spoken) * 1000 for page, instants in whole for at in instants],
        taken=[(at - page.taken) * 1000 for page, instants in whole for at in instants],
        apart=[(max(instants) - min(instants)) * 1000 for instants in pages.values()],
        lost=audience.count * (last - first + 1) - sum(map(len, pages.values())),
        dropped=dropped,
        missing=missing,
        server=used,
        hub=hub,
        listeners=seen.cpu / seconds,
    )


async def storm(there: Audience, coming: Audience, speaker: Speaker, server: int) -> Storm:
    await asyncio.to_thread(there.tell)
    await asyncio.to_thread(coming.tell)
    clocks, first = Clocks(server), len(speaker.pages) + 1
    began = time.monotonic()
    coming.come(STORM, WITHIN)
    await asyncio.sleep(3 * WITHIN)
    await asyncio.to_thread(coming.wait, began + BACK)
    last = len(speaker.pages)
    await asyncio.sleep(DELAY / 1000 + 0.5)
    seconds, (used,) = clocks.shares()
    seen, come = await asyncio.to_thread(there.tell), await asyncio.to_thread(coming.tell)
    pages = span(seen, first, last)
    took = [at - speaker.pages[n - 1].taken for n, instants in pages.items() for at in instants]
    return Storm(
        pages=len(took),
        late=sum(seconds > DELAY / 1000 for seconds in took),
        lost=there.count * (last - first + 1) - len(took),
        slowest=max(took, default=math.inf),
        back=come.joined,
        failed=come.failed,
        server=used,
        listeners=(seen.cpu + come.cpu) / seconds,
    )


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who listens all the time, and who comes in the storm."""

    there: Audience
    coming: Audience
    count: int

    async def measure(self, speaker: Speaker, server: int) -> tuple[Steady, Storm]:
        await gather(self.there, self.count)
        quiet = await steady(self.there, speaker, server)
        return quiet, await storm(self.there, self.coming, speaker, server)

    def close(self) -> None:
        self.there.close()
        self.coming.close()


def devices(kit: Kit, port: int, count: int) -> Crowd:
    check = Check(policy_keys(kit.policy()), kit.now)
    there, coming = (
        Audience(port, functools.partial(device, name, itertools.count(), check)) for name in ("there", "coming")
    )
    return Crowd(there, coming, count)


def device(name: str, numbers: Iterator[int], check: Check) -> Device:
    return Device(f"{name}-{os.getpid()}-{next(numbers)}", live_topic(NAME), check)


def players(port: int, count: int) -> Crowd:
    there, coming = (Audience(port, lambda: Player(icecast.MOUNT)) for _ in range(2))
    return Crowd(there, coming, count)


# --- real programs ----------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def snapcasts(folder: Path) -> AsyncIterator[list[Path]]:
    """The files of Snapcast players that play the same sound; none where it is not installed."""
    if not snapcast.installed():
        print(f"no peer Snapcast here (apt-get install {snapcast.SERVER} {snapcast.CLIENT})")
        yield []
        return
    sound = [piece.tobytes() for piece in programme()]
    async with snapcast.running(folder, free_port(), REAL, lambda n: sound[n % len(sound)]) as outputs:
        yield outputs


async def clicks(kit: Kit, port: int, folder: Path) -> tuple[list[float], list[float]]:
    """Milliseconds between the first and the last program that sounds a click: of receivers, of Snapcast players."""
    async with snapcasts(folder / "snapcast") as others, receivers.playing(kit, port, folder, NAME, REAL) as ours:
        await asyncio.sleep(2)
        with contextlib.closing(Watch([*ours, *others])) as watch:
            await asyncio.sleep(CLICKS + 0.5)
            heard = await asyncio.to_thread(watch.clicks)
    return apart(heard[: len(ours)]), apart(heard[len(ours) :])


def apart(heard: Sequence[Sequence[float]]) -> list[float]:
    """Of each click that all have sounded, in ms."""
    found = []
    for click in heard[0] if heard else ():
        same = [min(other, key=lambda at: abs(at - click), default=math.inf) for other in heard]
        if all(abs(at - click) < 0.5 for at in same):
            found.append((max(same) - min(same)) * 1000)
    return found


# --- what is printed --------------------------------------------------------------------------------------------------


def ratio(theirs: float, ours: float) -> str:
    return f"{theirs / ours:.1f}x" if ours else "-"


def print_steady(rows: dict[str, Steady], count: int) -> None:
    print(
        f"{count:,} receivers for {SECONDS:g} s, pages of {PAGE} ms at {BITRATE // 1000} kbit/s; ms until a page is in"
    )
    print(
        "hand and checked: since its first sample was spoken, since it was taken; spread: from first to last receiver"
    )
    print("              spoken p50    p99   taken p50    p99   spread p50   worst   pages lost")
    for name, row in rows.items():
        times = f"{statistics.median(row.spoken):10.0f} {percent(row.spoken, 99):6.0f}"
        times += f"  {statistics.median(row.taken):10.1f} {percent(row.taken, 99):6.1f}"
        times += f"  {statistics.median(row.apart):11.1f} {max(row.apart):7.1f}"
        print(f"{name:13} {times} {row.lost:12}")
    frames = ", ".join(f"{name} {row.dropped} and {row.missing}" for name, row in rows.items())
    print(f"frames of 20 ms that waited too long in the microphone and were left out, and that it lacked: {frames}")
    print("CPU in % of a core; waited: wanted to run and had no core, which is what a busy machine adds")
    print("                  server  for 1,000  waited   hub  waited   both for 1,000   the simulated receivers")
    for name, row in rows.items():
        server, hub, both = row.server, row.hub, row.server.ran + row.hub.ran
        line = f"{100 * server.ran:7.1f} {100_000 * server.ran / count:10.1f} {100 * server.waited:7.1f}"
        line += f" {100 * hub.ran:5.1f} {100 * hub.waited:7.1f} {100_000 * both / count:16.1f}"
        print(f"{name:16} {line} {100 * row.listeners:25.1f}")


def print_storm(rows: dict[str, Storm]) -> None:
    print(f"{STORM:,} more connect within {WITHIN:g} s; a page is late after {DELAY} ms, when it is to sound")
    print("             of those there: pages    late    lost  slowest s   storm: all back s   failed   not back")
    for name, row in rows.items():
        back = f"{max(row.back):.1f}" if len(row.back) == STORM else "never"
        there = f"{row.pages:20,} {row.late:7,} {row.lost:7,} {row.slowest:10.2f}"
        print(f"{name:13} {there} {back:>19} {row.failed:8,} {row.missing:10,}")
    print("CPU in %          server  waited   the simulated receivers")
    for name, row in rows.items():
        print(f"{name:16} {100 * row.server.ran:7.1f} {100 * row.server.waited:7.1f} {100 * row.listeners:25.1f}")


def print_clicks(ours: Sequence[float], theirs: Sequence[float]) -> None:
    print(f"{REAL} real programs that write files; ms between the first and the last that sounds a click")
    for name, values in (("Loa", ours), ("Snapcast", theirs)):
        if values:
            print(f"{name:13} p50 {statistics.median(values):6.2f}  worst {max(values):6.2f}  of {len(values)} clicks")


def compare(quiet: dict[str, Steady], storms: dict[str, Storm], ours: Sequence[float], theirs: Sequence[float]) -> None:
    """The ratios to the peers that are here."""
    if (peer := quiet.get("Icecast")) is not None:
        mine, missing = quiet["Loa"], {name: row.missing for name, row in storms.items()}
        print(f"Icecast's p99 until in hand: {ratio(percent(peer.spoken, 99), percent(mine.spoken, 99))} ours", end="")
        print(f", from taken {ratio(percent(peer.taken, 99), percent(mine.taken, 99))}", end="")
        print(f"; CPU {ratio(peer.server.ran + peer.hub.ran, mine.server.ran + mine.hub.ran)}", end="")
        print(f"; of the storm {missing['Icecast']:,} not back in {BACK:g} s, with us {missing['Loa']:,}")
    if ours and theirs:
        print(f"Snapcast's skew: {ratio(statistics.median(theirs), statistics.median(ours))} ours (median)")


def verdict(quiet: Steady, storm: Storm, ours: Sequence[float]) -> bool:
    """Prints whether the budgets are kept."""
    p99 = percent(quiet.spoken, 99)
    heard = percent(ours, 90) if ours else math.inf
    kept = p99 <= BUDGET and not storm.late and not storm.missing and heard <= APART
    print(
        f"budgets: p99 from spoken to in hand {p99:.0f} ms (at most {BUDGET}, without the {DELAY} ms of delay)", end=""
    )
    print(f", late pages {storm.late:,} (0), not back {storm.missing:,} (0)", end="")
    print(f", skew of 9 clicks in 10 {heard:.1f} ms (at most {APART:g}): {'kept' if kept else 'NOT KEPT'}")
    return kept


# --- all of it --------------------------------------------------------------------------------------------------------


async def tuned(kit: Kit, folder: Path, port: int, crowd: Crowd) -> tuple[Steady, Storm]:
    """Icecast's figures."""
    async with (
        icecast.running(folder, port, crowd.count + STORM + SPARE) as server,
        on_air(kit, Nobody(), server.source) as speaker,
    ):
        return await crowd.measure(speaker, server.pid)


async def measure(kit: Kit, folder: Path, ours: tuple[int, Crowd], peer: tuple[int, Crowd] | None) -> bool:
    quiet, storms = {}, {}
    port, crowd = ours
    async with Mosquitto(folder / "broker", port) as broker:
        assert broker.pid is not None
        wire = Wire("127.0.0.1", port)
        # as the hub does it: the wire ends before its sessions
        async with on_air(kit, wire, Nobody()) as speaker, running(wire.run()):
            quiet["Loa"], storms["Loa"] = await crowd.measure(speaker, broker.pid)
            crowd.close()
            heard, others = await clicks(kit, port, folder)
    if peer is not None:
        try:
            quiet["Icecast"], storms["Icecast"] = await tuned(kit, folder, *peer)
        except programs.Ended as error:
            print(f"no figures of the peer Icecast: {error}")
    print_steady(quiet, ours[1].count)
    print_storm(storms)
    print_clicks(heard, others)
    compare(quiet, storms, heard, others)
    return verdict(quiet["Loa"], storms["Loa"], heard)


def main() -> int:
    """0 if the budgets are kept."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RECEIVERS
    need_files(count + STORM + SPARE)
    kit = Kit(lambda: time.time_ns() // 1_000_000)
    here, there = free_port(), free_port()
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory(prefix="loa-bench-") as folder:
        ours, peer = (here, devices(kit, here, count)), None
        stack.callback(ours[1].close)
        if icecast.installed():
            peer = there, players(there, count)
            stack.callback(peer[1].close)
        else:
            print(f"no peer Icecast here (apt-get install {icecast.COMMAND})")
        kept = asyncio.run(measure(kit, Path(folder), ours, peer))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
