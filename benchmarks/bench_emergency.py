"""A province's emergency, from the command to the first sample on the last of 2,000 receivers, beside the bare broker.

    python -m benchmarks.bench_emergency [RECEIVERS]

Hub, broker and 30 receivers are the real programs, the message is in the document. The others are connections of their
own to the broker (MQTT 5, QoS 1) in two processes. Each checks the frame as a device does (bytes that have been checked
are remembered: all get the same ones), reads the document, and decodes the first packet of the message. The peer is the
same broker with the same connections and as many bytes, and nobody who does anything with them.
"""

from __future__ import annotations

import base64
import multiprocessing
import selectors
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from audio import trust
from audio.documents import Bulletin, Now, decode
from audio.envelope import Refused, key_id, open_frame, unb64
from audio.receiver import opus
from audio.receiver.trust import policy_keys
from benchmarks.measure import percent
from benchmarks.mqtt_fleet import Packets, connect, packet, published, subscribe, text
from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId, DeviceKind, Network, UnitId
from tests.sim.fleet import die_with_parent
from tests.sim.world import World
from tui.methods import APPROVE, AS_RUN, BODY, REPORT, Approve, BulletinId, Since

RECEIVERS: Final = 2_000
REAL: Final = 30
PROCESSES: Final = 2
ROUNDS: Final = 5
TOPIC: Final = "loa/1/now/u/64/64"
PEER: Final = "bench/peer"
TEXT: Final = "Khẩn cấp. Hồ chứa xả lũ. Bà con vùng thấp sơ tán ngay đến nơi cao."
WAIT: Final = 60.0


# --- the simulated receivers ------------------------------------------------------------------------------------------


class Device:
    """What a receiver does with the document, up to the first sample. What has been checked once is remembered."""

    def __init__(self, policy: bytes, root: bytes, device: str) -> None:
        from audio.receiver.trust import Instant, read_policy

        read = read_policy(policy, device, root, Instant(0, False, 0))
        assert not isinstance(read, Refused), read
        self._keys = policy_keys(read[1])
        self._checked: dict[bytes, Now] = {}

    def first_sample(self, topic: str, frame: bytes) -> bool:
        """Whether there is something to sound; the message's first packet has been decoded then."""
        document = self._checked.get(frame)
        if document is None:
            opened = open_frame(frame, topic, self._keys, ("hub",), self._now(frame))
            assert not isinstance(opened, Refused), opened
            document = self._checked[frame] = decode(Now, opened.body)
        if not document.entries:
            return False
        sound = unb64(document.entries[-1].sounds[0])
        return bool(next(opus.decode(BytesIO(sound), 0)))

    def _now(self, frame: bytes) -> int:
        """The world's clock is put back; the frame says when it was issued."""
        from audio.envelope import parse

        opened = parse(frame)
        assert not isinstance(opened, Refused), opened
        return opened.header.issued


@dataclass(slots=True)
class Ear:
    """One simulated receiver's connection."""

    line: socket.socket
    packets: Packets = field(default_factory=Packets)

    def taken(self) -> list[tuple[int, bytes]]:
        """Whole packets that have come: first byte and what follows the length."""
        return self.packets.of(self.line.recv(1 << 20))


@dataclass(slots=True)
class Part:
    """The receivers of one process. ``left``: subscriptions that the broker has not confirmed."""

    device: Device
    left: int
    heard: list[tuple[str, float]] = field(default_factory=list)

    def take(self, ear: Ear, kind: int, body: bytes) -> None:
        """What one receiver does with one packet."""
        if kind == 0x20:
            ear.line.sendall(subscribe("loa/1/now/u/64/+") + subscribe(PEER))
        elif kind == 0x90:
            self.left -= 1
        elif kind & 0xF0 == 0x30:
            topic, number, frame = published(body, kind)
            if topic == PEER or self.device.first_sample(topic, frame):
                self.heard.append((topic, time.time()))
            if number:
                ear.line.sendall(packet(0x40, number))


def listen(
    port: int, numbers: Sequence[int], pipe: Connection, policy: tuple[bytes, bytes, str], ready: Connection
) -> None:
    """Many receivers in one process: for every document the time (``time.time``) at which each had its first sample."""
    die_with_parent()
    part = Part(Device(*policy), 2 * len(numbers))
    chosen = selectors.DefaultSelector()
    for name in numbers:
        line = socket.create_connection(("127.0.0.1", port))
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.sendall(connect(f"ear-{name}"))
        chosen.register(line, selectors.EVENT_READ, Ear(line))
    told = False
    while True:
        for key, _ in chosen.select(0.05):
            for kind, body in key.data.taken():
                part.take(key.data, kind, body)
        if not part.left and not told:
            ready.send(len(numbers))
            told = True
        if part.heard:
            pipe.send(part.heard)
            part.heard.clear()


class Crowd:
    """All simulated receivers."""

    def __init__(self, world: World, count: int, policy: tuple[bytes, bytes, str]) -> None:
        self.count = count
        self._pipes: list[Connection] = []
        self._children = []
        waiting = []
        for part in range(PROCESSES):
            ours, theirs = multiprocessing.Pipe(duplex=False)
            ready, told = multiprocessing.Pipe(duplex=False)
            numbers = range(part, count, PROCESSES)
            child = multiprocessing.Process(target=listen, args=(world.mqtt_port, numbers, theirs, policy, told))
            child.start()
            self._children.append(child)
            self._pipes.append(ours)
            waiting.append(ready)
        assert sum(ready.recv() for ready in waiting) == count

    def heard(self, topic: str) -> list[float]:
        """Each receiver's moment; all of them, or an error."""
        found: list[float] = []
        until = time.monotonic() + WAIT
        while len(found) < self.count:
            for pipe in self._pipes:
                if pipe.poll(0.05):
                    found += [at for name, at in pipe.recv() if name == topic]
            if time.monotonic() > until:
                raise TimeoutError(f"{len(found)} of {self.count} heard it")
        return found

    def close(self) -> None:
        for child in self._children:
            child.kill()
            child.join()


# --- the measurement --------------------------------------------------------------------------------------------------


def emergency(world: World, number: int) -> tuple[str, bytes]:
    """A bulletin that waits for its approver, and the frame that he signs."""
    what = ("--origin", "64", "--class", "emergency", "--authority", "CV 12/UBND", "--title", f"Xả lũ {number}")
    bulletin = world.loa("push", *what, "--text", f"{TEXT} Lần {number}.", user="p.editor").strip()
    data = base64.b64decode(world.ask(BODY, BulletinId(bulletin), "p.approver").body)
    body = decode(Bulletin, data)
    key = trust.load_issuer(world.folder / "keys", UnitId(body.origin))
    assert not isinstance(key, Diagnostic), key
    kid = key_id(key.public_key().public_bytes_raw())
    times = (world.now(), body.valid_from, body.valid_until)
    return bulletin, trust.sign_bulletin(data, bulletin, key, kid, body.origin, body.version, *times)


def real_latencies(world: World, bulletin: str, began: int) -> list[float]:
    """Of the real receivers, in ms after the command, once all have begun."""
    until = time.monotonic() + WAIT
    while time.monotonic() < until:
        starts = {r.device: r.started for r in world.ask(REPORT, BulletinId(bulletin)).devices if r.started}
        if len(starts) == len(world.receivers):
            return [float(at - began) for at in starts.values()]
        time.sleep(0.2)
    receipts = [r for r in world.ask(AS_RUN, Since(0)).receipts if r.bulletin == bulletin]
    raise TimeoutError(f"{len(receipts)} of {len(world.receivers)} real receivers began")


def bare(world: World, crowd: Crowd, size: int) -> list[float]:
    """The broker alone: ms from the publish to each connection that gets it."""
    line = socket.create_connection(("127.0.0.1", world.mqtt_port))
    line.sendall(connect("peer"))
    line.recv(1024)
    payload = bytes(size)
    began = time.time()
    line.sendall(packet(0x32, text(PEER) + (1).to_bytes(2, "big") + b"\0" + payload))
    found = [(at - began) * 1000 for at in crowd.heard(PEER)]
    line.close()
    return found


def clusters(network: Network) -> tuple[DeviceId, ...]:
    """Real receivers all over the province."""
    on = network.on(network.as_of or min(u.valid_from for u in network.units.values() if u.valid_from))
    found = [d.id for d in network.devices_on(on) if d.kind is DeviceKind.LOUDSPEAKER]
    return tuple(found[:: max(1, len(found) // REAL)][:REAL])


def measure(world: World, crowd: Crowd) -> None:
    simulated, real, limit = [], [], []
    for number in range(1, ROUNDS + 1):
        bulletin, signed = emergency(world, number)
        began, here = time.time(), world.now()
        world.ask(APPROVE, Approve(bulletin, base64.b64encode(signed).decode()), "p.approver")
        simulated += [(at - began) * 1000 for at in crowd.heard(TOPIC)]
        real += real_latencies(world, bulletin, here)
        world.loa("all-clear", bulletin, user="p.approver")
        time.sleep(1)
        limit += bare(world, crowd, 96 * 1024)
    rows = (("simulated", simulated), ("real", real), ("bare broker", limit))
    for name, values in rows:
        print(
            f"{name:12} {len(values):6} starts  p50 {statistics.median(values):6.0f} ms"
            f"  p99 {percent(values, 99):6.0f} ms  last {max(values):6.0f} ms"
        )
    print(f"p99 of all {percent(simulated + real, 99):.0f} ms, budget 1000 ms;", end=" ")
    print(f"{percent(simulated, 99) / percent(limit, 99):.1f} times the bare broker's")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RECEIVERS
    with tempfile.TemporaryDirectory(prefix="loa-bench-") as folder, World(Path(folder) / "world", ()) as world:
        world.receivers = clusters(world.network())
        world.start_broker()
        world.start_hub()
        for device in world.receivers:
            world.start_receiver(device)
        first = world.receivers[0]
        policies = world.policies()
        anchor = world.network().trust
        assert anchor is not None
        crowd = Crowd(world, count, (policies[first], unb64(anchor.root), first))
        try:
            measure(world, crowd)
        finally:
            crowd.close()


if __name__ == "__main__":
    main()
