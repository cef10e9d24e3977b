"""How fast the poll engine is, beside pysnmp in the same run.

    python -m benchmarks.bench_sweep

Two simulated fleets answer on loopback in processes of their own (they, not the engine, limit the wall clock), so a
rate is given per second of the engine's own CPU time: what one core can do.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from pysnmp.hlapi.v1arch.asyncio import CommunityData, SnmpDispatcher, UdpTransportTarget, get_cmd
from pysnmp.proto.rfc1902 import Null, ObjectIdentifier

from inventory.model import Device, DeviceId, DeviceKind, Sim, UnitId
from inventory.overlay import address
from nms.monitor.profiles import Profile, load_profiles
from nms.monitor.snmp.sweep import Reading, Sweep, Sweeper, Target
from nms.monitor.snmp.usm import Community
from tests.sim.fleet import Fleet, die_with_parent, responder_for

COMMUNITY = b"benchmark"
PORTS = 2
STEADY = 1e9
TIMEOUT = 2.0
RETRIES = 1
PEER_DEVICES = 600
PEER_WINDOW = 50
ROUNDS = 5


@dataclass(frozen=True)
class Measured:
    """One kind of sweep: the best of several rounds, because the cores are shared."""

    cpu_us: float
    seconds: float
    false_dead: int
    dropped: int
    retries: int

    @property
    def per_core(self) -> float:
        return 1e6 / self.cpu_us


def devices(count: int) -> list[Device]:
    """Loudspeakers of made-up communes, 100 in each."""
    ids = [DeviceId(f"{1000 + n // 100:05d}-L{n % 100 + 1:02d}") for n in range(count)]
    sim = Sim("", "", operator="Viettel")
    return [
        Device(i, DeviceKind.LOUDSPEAKER, UnitId(i[:5]), None, "loa-receiver", date(2020, 1, 1), sim=sim) for i in ids
    ]


def answer(port: int, alive: Sequence[Device]) -> None:
    die_with_parent()
    responder_for(Fleet(alive, period=STEADY), port, COMMUNITY, STEADY).serve()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def answering(fleet: Sequence[Device], dead: float) -> Iterator[list[int]]:
    """The fleet's answering part, shared out to the ports; each device is asked on the port of its turn."""
    ports = [free_port() for _ in range(PORTS)]
    alive = [[d for n, d in enumerate(fleet) if n % PORTS == k and not is_dead(n, dead)] for k in range(PORTS)]
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=answer, args=pair) for pair in zip(ports, alive, strict=True)]
    for process in processes:
        process.start()
    try:
        time.sleep(0.5)
        yield ports
    finally:
        for process in processes:
            process.terminate()
            process.join()


def is_dead(number: int, share: float) -> bool:
    return (number // PORTS) % 10 < share * 10


def targets(fleet: Sequence[Device], ports: Sequence[int], profile: Profile) -> list[Target]:
    return [
        Target(d.id, address(d.id, 127), ports[n % PORTS], Community(COMMUNITY), profile) for n, d in enumerate(fleet)
    ]


def timed(action: Callable[[], Sweep]) -> tuple[Sweep, float]:
    began = time.thread_time()
    sweep = action()
    return sweep, time.thread_time() - began


def measure(count: int, dead: float, profile: Profile, rounds: int) -> Measured:
    fleet = devices(count)
    with answering(fleet, dead) as ports:
        asked = targets(fleet, ports, profile)
        sweeper = Sweeper("127.0.0.1", TIMEOUT, RETRIES)
        sweeper.sweep(asked)
        measured = [timed(lambda: sweeper.sweep(asked)) for _ in range(rounds)]
        sweeper.close()
    expected = sum(1 for n in range(count) if not is_dead(n, dead))
    answered = [sum(1 for o in sweep.outcomes.values() if isinstance(o, Reading)) for sweep, _ in measured]
    return Measured(
        cpu_us=min(cpu for _, cpu in measured) / count * 1e6,
        seconds=min(sweep.stats.seconds for sweep, _ in measured),
        false_dead=max(expected - n for n in answered),
        dropped=sum(sweep.stats.dropped for sweep, _ in measured),
        retries=max(sweep.stats.retries for sweep, _ in measured),
    )


async def peer(asked: Sequence[Target]) -> int:
    """The same questions by pysnmp's lightest asyncio GET (v1arch, no MIB look-ups); how many answered."""
    dispatcher = SnmpDispatcher()
    community = CommunityData(COMMUNITY.decode())
    bindings = [(ObjectIdentifier(oid), Null("")) for oid in asked[0].profile.oids]
    gate = asyncio.Semaphore(PEER_WINDOW)

    async def get(target: Target) -> bool:
        async with gate:
            agent = await UdpTransportTarget.create((target.address, target.port), timeout=TIMEOUT, retries=RETRIES)
            error, status, _, values = await get_cmd(dispatcher, community, agent, *bindings)
        return not error and not int(status) and len(values) == len(bindings)

    answers = await asyncio.gather(*(get(t) for t in asked))
    dispatcher.transport_dispatcher.close_dispatcher()
    return sum(answers)


def measure_peer(profile: Profile) -> float:
    """CPU microseconds per device that pysnmp takes."""
    fleet = devices(PEER_DEVICES)
    with answering(fleet, 0.0) as ports:
        asked = targets(fleet, ports, profile)
        began = time.thread_time()
        answered = asyncio.run(peer(asked))
        spent = time.thread_time() - began
    if answered != len(asked):
        sys.exit(f"pysnmp had {answered} answers of {len(asked)}")
    return spent / len(asked) * 1e6


def main() -> None:
    profile = load_profiles()[0]["loa-receiver"]
    print(f"SNMPv2c, {len(profile.oids)} OIDs per device, strictly decoded into metrics; one socket, one thread")
    print("devices  dead  CPU µs/device  devices/s of a core  sweep s  false dead  drops  retries")
    best = 0.0
    for count, dead in ((1000, 0.0), (5000, 0.0), (20000, 0.0), (5000, 0.1), (5000, 0.5)):
        result = measure(count, dead, profile, 1 if dead else ROUNDS)
        best = max(best, 0.0 if dead else result.per_core)
        row = f"{count:7} {dead:5.0%} {result.cpu_us:14.1f} {result.per_core:20,.0f} {result.seconds:8.3f}"
        print(f"{row} {result.false_dead:11} {result.dropped:6} {result.retries:8}")
    limit = TIMEOUT * (1 + RETRIES)
    print(f"a sweep with dead devices cannot take less than {limit:.1f} s ({TIMEOUT:g} s timeout, {RETRIES} retry)")
    peer_us = measure_peer(profile)
    print(f"pysnmp, {PEER_DEVICES} devices: {peer_us:.0f} µs, {1e6 / peer_us:,.0f} devices/s of a core")
    print(f"ratio to pysnmp: {best * peer_us / 1e6:.0f}x")


if __name__ == "__main__":
    main()
