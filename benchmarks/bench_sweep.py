"""How fast the poll engine is by SNMPv2c and SNMPv3, beside pysnmp and Prometheus' snmp_exporter in the same run.

    python -m benchmarks.bench_sweep

Two simulated fleets answer on loopback in processes of their own (they, not the engine, limit the wall clock), so a
rate is given per second of the engine's own CPU time: what one core can do. Every row is a process of its own, so that
its memory can be told.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks import snmp_exporter
from benchmarks.pace import tell_pace
from benchmarks.snmp_fleet import COMMUNITY, LOGIN, answering, devices, is_dead
from inventory.overlay import address
from nms.monitor.profiles import Profile, load_profiles
from nms.monitor.snmp.outcome import Reading, Sweep, Target
from nms.monitor.snmp.sweep import Sweeper
from nms.monitor.snmp.usm import AuthProtocol, Community, PrivProtocol, Security, user

OIDS: Final = 12
TIMEOUT: Final = 2.0
RETRIES: Final = 1
BUDGET: Final = {"v2c": 60_000, "v3": 15_000}
MEMORY_BUDGET: Final = 250.0
PR_SET_THP_DISABLE: Final = 41
"""Without huge pages memory is what the process asked for; the kernel's rounding up differs by 50 MB each run."""
ROWS: Final = ((1_000, 0.0, 0), (20_000, 0.0, 0), (100_000, 0.0, 0), (5_000, 0.1, 0), (5_000, 0.5, 0), (5_000, 0.0, 20))
"""Devices, share of dead ones, every how many-th answer is lost (0: none)."""

PEERS: Final = {"pysnmp": {"v2c": 600, "v3": 200}, "snmp_exporter": {"v2c": 5_000, "v3": 1_000}}
"""Devices the peers are asked for: as many as they do in some seconds."""
ROUNDS: Final = (2, 50)
"""At least and at most so often is a fleet asked; in between until 100,000 devices were. One round of 1,000 takes
15 ms, and the best of five of those says more about the neighbours on the cores than about the engine."""


@dataclass(frozen=True)
class Measured:
    """One kind of sweep: the best of several rounds, because the cores are shared; ``megabytes`` of the process."""

    cpu_us: float
    seconds: float
    first_seconds: float
    false_dead: int
    dropped: int
    retries: int
    megabytes: float


def bench_profile() -> Profile:
    """The receiver's first twelve columns."""
    profile = load_profiles()[0]["loa-receiver"]
    return replace(profile, columns=profile.columns[:OIDS])


def security(version: str) -> Security:
    if version == "v2c":
        return Community(COMMUNITY.encode())
    name, auth, priv = (word.encode() for word in LOGIN)
    return user(name, AuthProtocol.SHA256, auth, PrivProtocol.AES128, priv)


def targets(count: int, ports: Sequence[int], version: str, profile: Profile) -> list[Target]:
    asked = security(version)
    return [
        Target(d.id, address(d.id, 127), ports[n % len(ports)], asked, profile) for n, d in enumerate(devices(count))
    ]


def timed(action: Callable[[], Sweep]) -> tuple[Sweep, float]:
    began = time.thread_time()
    sweep = action()
    return sweep, time.thread_time() - began


def measure(version: str, count: int, dead: float, lose: int) -> Measured:
    """The row's sweeps; the first, which learns engines and layouts, is told apart."""
    rounds = 1 if dead else min(max(100_000 // count, ROUNDS[0]), ROUNDS[1])
    with answering(count, dead, lose) as ports:
        asked = targets(count, ports, version, bench_profile())
        sweeper = Sweeper("127.0.0.1", TIMEOUT if not lose else 0.2, RETRIES if not lose else 5)
        first = sweeper.sweep(asked).stats
        measured = []
        for _ in range(rounds):
            sweep, cpu = timed(lambda: sweeper.sweep(asked))
            answered = sum(1 for outcome in sweep.outcomes.values() if isinstance(outcome, Reading))
            measured.append((sweep.stats, cpu, answered))
        sweeper.close()
    expected = sum(1 for n in range(count) if not is_dead(n, dead))
    return Measured(
        cpu_us=min(cpu for _, cpu, _ in measured) / count * 1e6,
        seconds=min(stats.seconds for stats, _, _ in measured),
        first_seconds=first.seconds,
        false_dead=max(expected - answered for _, _, answered in measured),
        dropped=sum(stats.dropped for stats, _, _ in measured),
        retries=max(stats.retries for stats, _, _ in measured),
        megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def apart(version: str, count: int, dead: float, lose: int) -> Measured:
    """``measure`` in a process of its own."""
    row = json.dumps([version, count, dead, lose])
    done = subprocess.run([sys.executable, "-m", __spec__.name, row], stdout=subprocess.PIPE, check=True)
    return Measured(**json.loads(done.stdout))


async def ask_by_pysnmp(asked: Sequence[Target], version: str) -> int:
    """The same questions by pysnmp's lightest asyncio GET of each version, no MIB look-ups; how many answered."""
    from pysnmp.hlapi.v1arch import asyncio as light
    from pysnmp.hlapi.v3arch import asyncio as full
    from pysnmp.proto.rfc1902 import Null, ObjectIdentifier

    name, auth, priv = LOGIN
    bindings = [(ObjectIdentifier(oid), Null("")) for oid in asked[0].profile.oids]
    gate = asyncio.Semaphore(50)
    dispatcher, engine = light.SnmpDispatcher(), full.SnmpEngine()
    user_data = full.UsmUserData(
        name, auth, priv, authProtocol=full.USM_AUTH_HMAC192_SHA256, privProtocol=full.USM_PRIV_CFB128_AES
    )

    async def get(target: Target) -> bool:
        place = (target.address, target.port)
        async with gate:
            if version == "v2c":
                agent = await light.UdpTransportTarget.create(place, TIMEOUT, RETRIES)
                answer = await light.get_cmd(dispatcher, light.CommunityData(COMMUNITY), agent, *bindings)
            else:
                other = await full.UdpTransportTarget.create(place, TIMEOUT, RETRIES)
                context = full.ContextData()
                answer = await full.get_cmd(engine, user_data, other, context, *bindings, lookupMib=False)
        error, status, _, values = answer
        return not error and not int(status) and len(values) == len(bindings)

    answers = await asyncio.gather(*(get(target) for target in asked))
    dispatcher.transport_dispatcher.close_dispatcher()
    engine.close_dispatcher()
    return sum(answers)


def pysnmp_us(version: str, profile: Profile) -> float:
    """CPU microseconds per device that pysnmp takes."""
    count = PEERS["pysnmp"][version]
    with answering(count) as ports:
        asked = targets(count, ports, version, profile)
        began = time.thread_time()
        answered = asyncio.run(ask_by_pysnmp(asked, version))
        spent = time.thread_time() - began
    if answered != count:
        sys.exit(f"pysnmp had {answered} answers of {count}")
    return spent / count * 1e6


def compare(version: str, ours: float, profile: Profile) -> None:
    """Prints what the peers take for the same answers, and the ratio to ``ours`` (CPU µs per device)."""
    rows = [("pysnmp", pysnmp_us(version, profile), "")]
    if snmp_exporter.installed():
        count = PEERS["snmp_exporter"][version]
        modules = snmp_exporter.config(profile, COMMUNITY, LOGIN)
        with tempfile.TemporaryDirectory() as folder, answering(count) as ports:
            agents = [(t.address, t.port) for t in targets(count, ports, version, profile)]
            with snmp_exporter.running(Path(folder), modules) as exporter:
                scraped = exporter.measure(version, agents, "uptime_s")
        rows.append(("snmp_exporter", scraped.cpu_us, f", {count / scraped.seconds:,.0f}/s over HTTP on all cores"))
    else:
        print(f"{version}: no peer snmp_exporter here (apt-get install {snmp_exporter.COMMAND})")
    for name, us, more in rows:
        rate = f"{us:.0f} µs, {1e6 / us:,.0f}/s of a core{more}"
        print(f"{version}: {name}, {PEERS[name][version]} devices: {rate}; ratio {us / ours:.0f}x")


def table(version: str) -> tuple[float, bool]:
    """Prints the rows of one version; the CPU µs of the best full row, and whether the budgets were kept."""
    kept, best = True, float("inf")
    for count, dead, lose in ROWS:
        row = apart(version, count, dead, lose)
        plain = not dead and not lose
        best = min(best, row.cpu_us) if plain else best
        kept &= row.false_dead == 0 and (not plain or 1e6 / row.cpu_us >= BUDGET[version])
        kept &= row.megabytes <= MEMORY_BUDGET
        lost = f"{1 / lose:.0%}" if lose else "0%"
        rates = f"{row.cpu_us:8.1f} {1e6 / row.cpu_us:10,.0f} {row.first_seconds:8.2f} {row.seconds:8.2f}"
        counts = f"{row.false_dead:10} {row.dropped:6} {row.retries:8} {row.megabytes:7.0f}"
        print(f"{version:7} {count:8,} {dead:5.0%} {lost:>5} {rates} {counts}", flush=True)
    return best, kept


def main() -> int:
    if len(sys.argv) > 1:
        ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
        print(json.dumps(asdict(measure(*json.loads(sys.argv[1])))))
        return 0
    profile = bench_profile()
    tell_pace()
    print(f"{len(profile.oids)} OIDs per device, strictly decoded into metrics; one socket, one thread")
    print("v3: authPriv, SHA-256 and AES-128, every digest verified; first s: discovery and layouts included")
    print("version  devices  dead  loss   CPU µs  of a core  first s  sweep s false dead  drops  retries      MB")
    results = {version: table(version) for version in BUDGET}
    limit = TIMEOUT * (1 + RETRIES)
    print(f"a sweep with dead devices cannot take less than {limit:.1f} s ({TIMEOUT:g} s timeout, {RETRIES} retry)")
    for version, (best, _) in results.items():
        compare(version, best, profile)
    within = all(kept for _, kept in results.values())
    budgets = ", ".join(f"{rate:,}/s {version}" for version, rate in BUDGET.items())
    print(f"budgets ({budgets}, no false dead, {MEMORY_BUDGET:.0f} MB): {'kept' if within else 'NOT KEPT'}")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
