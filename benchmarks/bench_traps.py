"""What a storm of traps does to polling: how late devices are asked without one and with one, and what becomes of it.

    python -m benchmarks.bench_traps

Monitor, trap receiver and store run in one process, as in the hub; the fleet that answers and whoever sends the traps
are processes of their own. A storm is 3,000 traps a second for 10 seconds, of one device or of the whole fleet.
"""

from __future__ import annotations

import multiprocessing
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Final

from inventory.model import Device, DeviceId, DeviceKind, Network, Tier, Unit, UnitId, UnitType
from inventory.overlay import address
from nms.journal import EventKind, recent
from nms.monitor.health import LOST
from nms.monitor.loop import Monitor, PollSettings, Snapshot, StateChange
from nms.monitor.profiles import load_profiles
from nms.monitor.snmp.sweep import Sweeper
from nms.monitor.snmp.usm import Community
from nms.monitor.trapd import TrapBook, TrapReceiver, decoder
from nms.store import Store
from tests.sim.fleet import Fleet, die_with_parent, responder_for

COMMUNITY: Final = b"loa"
DEVICES: Final = 2_000
INTERVAL: Final = 5.0
RATE, SECONDS = 3_000, 10.0
BURST: Final = 30
LATE: Final = 1.0
"""Seconds that a storm may make polling later than it is without one."""

ON: Final = date(2024, 10, 1)
COLD_START: Final = bytes.fromhex(
    "303d02010104036c6f61a73302014d0201000201003028300d06082b060102010103004301"
    "2a3017060a2b06010603010104010006092b0601060301010501"
)
"""coldStart with the community ``loa``, as net-snmp encodes it."""


def fleet() -> list[Device]:
    """Loudspeakers, a hundred to a commune."""
    codes = [f"{23_000 + n}" for n in range(DEVICES // 100)]
    ids = [DeviceId(f"{code}-L{n:02d}") for code in codes for n in range(1, 101)]
    return [Device(i, DeviceKind.LOUDSPEAKER, UnitId(i[:5]), None, "loa-receiver", ON) for i in ids]


def network(devices: Sequence[Device]) -> Network:
    communes = {d.unit: Unit(d.unit, d.unit, d.unit, Tier.COMMUNE, UnitType.COMMUNE, None) for d in devices}
    return Network(devices[0].unit, "Gia Lai", ON, "127", communes, {}, {}, {d.id: d for d in devices})


@dataclass
class Book:
    """How late every turn was, how often each device was asked, and who was lost."""

    late: list[float] = field(default_factory=list)
    asked: Counter[DeviceId] = field(default_factory=Counter)
    lost: int = 0

    def changed(self, events: Sequence[StateChange]) -> None:
        self.lost += sum(e.after in LOST for e in events)

    def swept(self, snapshot: Snapshot) -> None:
        self.late.append(snapshot.behind)
        self.asked.update(d for d, at in snapshot.asked.items() if at == snapshot.at)


@dataclass(frozen=True)
class Seen:
    """One phase: seconds of lateness (greatest and mean), polls a second, and what became of its traps."""

    latest: float
    mean: float
    polls: float
    fewest: int
    lost: int
    received: int
    decoded: int
    limited: int
    dropped: int
    events: int


def now() -> datetime:
    return datetime.now(UTC)


# --- the other processes ----------------------------------------------------------------------------------------------


def answer(port: int, ready: Event) -> None:
    die_with_parent()
    responder = responder_for(Fleet(fleet()), port, COMMUNITY)
    ready.set()
    responder.serve()


def storm(sources: Sequence[str], port: int) -> None:
    """``RATE`` traps a second for ``SECONDS``, in turn from these addresses."""
    die_with_parent()
    senders = []
    for source in sources:
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.bind((source, 0))
        senders.append(sender)
    began = time.monotonic()
    for n in range(int(RATE * SECONDS)):
        senders[n % len(senders)].sendto(COLD_START, ("127.0.0.1", port))
        if n % BURST == BURST - 1:
            time.sleep(max(0.0, began + n / RATE - time.monotonic()))


@contextmanager
def answering() -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    ready = multiprocessing.Event()
    process = multiprocessing.Process(target=answer, args=(port, ready), daemon=True)
    process.start()
    ready.wait(60)
    yield port
    process.terminate()
    process.join()


# --- measuring --------------------------------------------------------------------------------------------------------


def drops(port: int) -> int:
    """Datagrams for this port that the kernel had no room for."""
    lines = Path("/proc/net/udp").read_text("ascii").splitlines()[1:]
    return sum(int(line.split()[-1]) for line in lines if line.split()[1].endswith(f":{port:04X}"))


class Hub:
    """Monitor, trap receiver and store as the hub has them."""

    def __init__(self, folder: Path, port: int) -> None:
        devices = fleet()
        self.book = Book()
        self.store = Store.open(folder / "loa.db")
        self.sweeper = Sweeper("127.0.0.1", timeout=1.0)
        security = Community(COMMUNITY)
        settings = PollSettings(INTERVAL, 127, port, security)
        self.monitor = Monitor(network(devices), ON, load_profiles()[0], settings, self.sweeper, now, self.book)
        read = decoder(security, "64", now())
        keep = TrapBook(self.store).keep
        self.receiver = TrapReceiver(("127.0.0.1", 0), read, now, self.monitor.poll_soon, keep)
        self.receiver.allow({address(d.id, 127): d.id for d in devices})
        self.listening = threading.Thread(target=self.receiver.run)

    def start(self) -> None:
        self.listening.start()
        self.monitor.start()
        time.sleep(2 * INTERVAL)

    def stop(self) -> None:
        self.monitor.stop()
        self.receiver.stop()
        self.listening.join()
        self.sweeper.close()
        self.store.close()

    def phase(self, sources: Sequence[str]) -> Seen:
        """Ten seconds of polling, with a storm of these devices if there are any."""
        counts, dropped, kept = self.receiver.counts, drops(self.receiver.port), self.events()
        before, turns, lost = Counter(self.book.asked), len(self.book.late), self.book.lost
        began = time.monotonic()
        sender = multiprocessing.Process(target=storm, args=(sources, self.receiver.port)) if sources else None
        if sender is not None:
            sender.start()
            sender.join()
        time.sleep(max(0.0, began + SECONDS - time.monotonic()))
        seconds = time.monotonic() - began
        after, late = self.receiver.counts, self.book.late[turns:]
        polls = Counter(self.book.asked)
        polls.subtract(before)
        return Seen(
            latest=max(late, default=seconds),
            mean=sum(late) / max(len(late), 1),
            polls=polls.total() / seconds,
            fewest=min(polls[d] for d in before),
            lost=self.book.lost - lost,
            received=after.received - counts.received,
            decoded=after.accepted - counts.accepted,
            limited=after.limited - counts.limited,
            dropped=drops(self.receiver.port) - dropped,
            events=self.events() - kept,
        )

    def events(self) -> int:
        return sum(e.kind is EventKind.DEVICE_TRAP for e in self.store.read_sync(lambda s: recent(s, 1_000_000)))


def shown(title: str, seen: Seen) -> str:
    traps = f"{seen.received / SECONDS:>7,.0f} {seen.decoded / SECONDS:>7,.0f} {seen.limited:>8,} {seen.dropped:>8,}"
    polls = f"{seen.polls:>7,.0f} {seen.latest:>8.2f} {seen.mean:>8.2f} {seen.fewest:>7} {seen.lost:>6}"
    return f"{title:<18} {traps} {seen.events:>7,} {polls}"


def main() -> int:
    """0 if no storm makes polling later than ``LATE`` or loses a device that is well."""
    addresses = [address(d.id, 127) for d in fleet()]
    phases: tuple[tuple[str, Sequence[str]], ...] = (
        ("quiet", []),
        ("one device", addresses[:1]),
        ("whole fleet", addresses[::4]),
    )
    found: dict[str, Seen] = {}
    with tempfile.TemporaryDirectory() as folder, answering() as port:
        hub = Hub(Path(folder), port)
        hub.start()
        for title, sources in phases:
            found[title] = hub.phase(sources)
            time.sleep(INTERVAL)
        hub.stop()
    print(f"{DEVICES:,} devices polled every {INTERVAL:g} s; storms of {RATE:,} traps/s for {SECONDS:g} s")
    print(f"{'':<18} {'read/s':>7} {'told/s':>7} {'limited':>8} {'dropped':>8} {'events':>7}", end=" ")
    print(f"{'polls/s':>7} {'late s':>8} {'mean s':>8} {'fewest':>7} {'lost':>6}")
    for title, seen in found.items():
        print(shown(title, seen))
    worst = max(found.values(), key=lambda seen: seen.latest)
    slower = worst.latest - found["quiet"].latest
    print(f"a storm makes polling {max(slower, 0.0):.2f} s later at most (allowed: {LATE:g} s)")
    return int(slower > LATE or any(seen.lost for seen in found.values()))


if __name__ == "__main__":
    sys.exit(main())
