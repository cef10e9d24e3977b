"""A weak link, as a program: two tap devices in two network namespaces and the delay between them.

This kernel has no netem. ``python -m tests.lab.link NET_A NAME_A NET_B NAME_B`` says ``ready``, then reads one JSON
object per line, the link's new properties, and answers each with what it has counted.
"""

from __future__ import annotations

import fcntl
import heapq
import json
import os
import random
import select
import struct
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from tests.lab.spaces import Space

_ROOT: Final = Path(__file__).resolve().parents[2]
_TUNSETIFF: Final = 0x400454CA
_TAP_WITHOUT_HEADER: Final = 0x0002 | 0x1000
_FRAME: Final = 4096


@dataclass(frozen=True, slots=True)
class Link:
    """Properties of each direction. ``queue``: packets that may wait; what comes then is lost. ``cut``: all is lost."""

    delay_ms: float = 0
    jitter_ms: float = 0
    loss_percent: float = 0
    rate_kbit: float = 100_000
    queue: int = 100
    cut: bool = False


WEAK_4G: Final = Link(delay_ms=80, jitter_ms=30, loss_percent=2, rate_kbit=2000)


@dataclass(frozen=True, slots=True)
class Counts:
    """Packets that the link took in, both directions together, and what became of them."""

    taken: int
    lost: int
    overrun: int


class WeakLink:
    """The handle of a running link: its properties can change at any moment."""

    def __init__(self, link: Link, left: tuple[Space, str], right: tuple[Space, str]) -> None:
        self.link = link
        ends = [str(one) for space, name in (left, right) for one in (space.net, name)]
        command = [sys.executable, "-m", "tests.lab.link", *ends]
        joined = Space(Path("/proc/self/ns/net"), left[0].groups).command(command)
        self._process = subprocess.Popen(
            joined, cwd=_ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        if self._answer() != "ready":
            raise RuntimeError("the weak link did not start")
        self.set(link)

    def set(self, link: Link) -> Counts:
        """Takes the new properties; returns when they hold."""
        self.link = link
        assert self._process.stdin is not None
        print(json.dumps(asdict(link)), file=self._process.stdin, flush=True)
        return Counts(**json.loads(self._answer()))

    def cut(self) -> None:
        """An outage: nothing passes any more, in either direction."""
        self.set(replace(self.link, cut=True))

    def restore(self) -> None:
        """The outage is over."""
        self.set(replace(self.link, cut=False))

    def counts(self) -> Counts:
        """Since the link's start."""
        return self.set(self.link)

    def close(self) -> None:
        """Ends the link; its devices go with it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@dataclass(slots=True)
class _Direction:
    """Frames on their way from ``source`` to ``target``, both open tap devices."""

    source: int
    target: int
    waiting: list[tuple[float, int, bytes]] = field(default_factory=list)
    free_at: float = 0
    last: float = 0
    taken: int = 0
    lost: int = 0
    overrun: int = 0

    def take(self, link: Link, dice: random.Random, now: float) -> None:
        """Reads one frame and decides when it arrives, if ever. Order is kept, as a radio bearer does."""
        frame = os.read(self.source, _FRAME)
        self.taken += 1
        if link.cut or dice.random() * 100 < link.loss_percent:
            self.lost += 1
        elif len(self.waiting) >= link.queue:
            self.overrun += 1
        else:
            self.free_at = max(now, self.free_at) + len(frame) * 8 / (link.rate_kbit * 1000)
            late = max(0, dice.gauss(link.delay_ms, link.jitter_ms / 2)) / 1000
            self.last = max(self.last, self.free_at + late)
            heapq.heappush(self.waiting, (self.last, self.taken, frame))

    def deliver(self, now: float) -> None:
        while self.waiting and self.waiting[0][0] <= now:
            frame = heapq.heappop(self.waiting)[2]
            try:
                os.write(self.target, frame)
            except OSError:  # the other end has no power
                self.lost += 1


def _tap(net: str, name: str) -> int:
    with Space(Path(net), ()).entered():
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TAP_WITHOUT_HEADER))
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
    return device


def _run(ends: list[str]) -> None:
    left, right = _tap(*ends[:2]), _tap(*ends[2:])
    ways = {left: _Direction(left, right), right: _Direction(right, left)}
    link, dice = Link(), random.Random()
    poll = select.poll()
    for descriptor in (*ways, sys.stdin.fileno()):
        poll.register(descriptor, select.POLLIN)
    print("ready", flush=True)
    while True:
        due = min((way.waiting[0][0] for way in ways.values() if way.waiting), default=None)
        for descriptor, _ in poll.poll(None if due is None else max(0.0, (due - time.monotonic()) * 1000)):
            if descriptor in ways:
                ways[descriptor].take(link, dice, time.monotonic())
                continue
            line = os.read(descriptor, _FRAME)  # whole: the next one is sent after our answer
            if not line:
                return
            link = Link(**json.loads(line))
            print(json.dumps(_counts(list(ways.values()))), flush=True)
        for way in ways.values():
            way.deliver(time.monotonic())


def _counts(ways: list[_Direction]) -> dict[str, int]:
    return {name: sum(getattr(way, name) for way in ways) for name in ("taken", "lost", "overrun")}


if __name__ == "__main__":
    _run(sys.argv[1:])
