"""3,000 traps a second while the fleet is polled: everybody is still asked in time, and the store stays small."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from inventory.model import Device, DeviceId, DeviceKind, Network, Tier, Unit, UnitId, UnitType
from inventory.overlay import address
from nms.journal import EventKind, recent
from nms.monitor.health import State
from nms.monitor.loop import Monitor, PollSettings, Snapshot, StateChange
from nms.monitor.profiles import load_profiles
from nms.monitor.snmp.sweep import Sweeper
from nms.monitor.snmp.usm import Community
from nms.monitor.trapd import TrapBook, TrapReceiver, decoder
from nms.store import Store
from tests.sim.fleet import Fleet, responder_for

ON = date(2024, 10, 1)
WARD = Unit(UnitId("23557"), "23557", "Phường Yên Đỗ", Tier.COMMUNE, UnitType.WARD, None)
SECURITY = Community(b"loa")
INTERVAL = 1.0
RATE, SECONDS = 3000, 3
LOUD = DeviceId("23557-L01")
DEVICES = {
    DeviceId(f"23557-L{n:02d}"): Device(
        DeviceId(f"23557-L{n:02d}"), DeviceKind.LOUDSPEAKER, WARD.id, None, "loa-receiver", date(2024, 1, 1)
    )
    for n in range(1, 100)
}
NETWORK = Network(WARD.id, "Gia Lai", ON, "127", {WARD.id: WARD}, {}, {}, DEVICES)

STORM = f"""
import socket, sys, time
trap = bytes.fromhex(sys.argv[3])
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 0))
began = time.monotonic()
for n in range({RATE * SECONDS}):
    sock.sendto(trap, ("127.0.0.1", int(sys.argv[2])))
    if n % 30 == 29:
        time.sleep(max(0.0, began + n / {RATE} - time.monotonic()))
"""
COLD_START = (
    "303d02010104036c6f61a73302014d0201000201003028300d06082b060102010103004301"
    "2a3017060a2b06010603010104010006092b0601060301010501"
)
"""coldStart with the community ``loa``, as net-snmp encodes it."""


class Turns:
    """How often each device was asked."""

    def __init__(self) -> None:
        self.asked: Counter[DeviceId] = Counter()
        self.lost: list[StateChange] = []

    def changed(self, events: Sequence[StateChange]) -> None:
        self.lost += [e for e in events if e.after in (State.DOWN, State.UNREACHABLE)]

    def swept(self, snapshot: Snapshot) -> None:
        self.asked.update(d for d, at in snapshot.asked.items() if at == snapshot.at)


def now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def answering() -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    responder = responder_for(Fleet(list(DEVICES.values())), port, b"loa")
    thread = threading.Thread(target=responder.serve)
    thread.start()
    yield port
    responder.stop()
    thread.join()


def test_a_storm_of_traps_does_not_keep_anybody_from_being_asked(tmp_path: Path) -> None:
    store, turns = Store.open(f"sqlite:///{tmp_path}/loa.db"), Turns()
    sweeper = Sweeper("127.0.0.1", timeout=1.0)
    with answering() as port:
        settings = PollSettings(INTERVAL, 127, port, SECURITY)
        monitor = Monitor(NETWORK, ON, load_profiles()[0], settings, sweeper, now, turns)
        receiver = TrapReceiver(
            ("127.0.0.1", 0), decoder(SECURITY, "64", now()), now, monitor.poll_soon, TrapBook(store).keep
        )
        receiver.allow({address(d, 127): d for d in DEVICES})
        listening = threading.Thread(target=receiver.run)
        listening.start()
        monitor.start()
        began = time.monotonic()
        command = [sys.executable, "-c", STORM, address(LOUD, 127), str(receiver.port), COLD_START]
        subprocess.run(command, check=True, timeout=120)
        seconds = time.monotonic() - began
        monitor.stop()
        receiver.stop()
        listening.join()
    sweeper.close()
    events = store.read_sync(lambda s: [e for e in recent(s, 1000) if e.kind is EventKind.DEVICE_TRAP])
    store.close()
    least = seconds / INTERVAL / 2
    assert turns.asked.keys() == DEVICES.keys()
    assert min(turns.asked.values()) >= least, "somebody had to wait"
    assert turns.lost == []
    counts = receiver.counts
    assert (counts.refused, counts.unknown) == (0, 0)
    assert counts.received == counts.accepted + counts.limited
    assert counts.limited > counts.accepted > 0
    assert 1 <= len(events) <= 3
    assert {e.subject for e in events} == {LOUD}
