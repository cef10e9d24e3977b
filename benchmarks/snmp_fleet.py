"""The simulated fleet of the poll engine's benchmarks: it answers on loopback, in processes of its own."""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from multiprocessing.synchronize import Event
from typing import Final

from inventory.model import Device, DeviceId, DeviceKind, Sim, UnitId
from tests.sim.fleet import Fleet, die_with_parent
from tests.sim.snmp_responder import Responder, bind
from tests.sim.snmp_v3 import Login

COMMUNITY: Final = "benchmark"
LOGIN: Final = ("benchmark", "a password to be fast", "another to be private")
PORTS: Final = 2
STEADY: Final = 1e9


def devices(count: int) -> list[Device]:
    """Loudspeakers of made-up communes, 100 in each."""
    ids = [DeviceId(f"{1000 + n // 100:05d}-L{n % 100 + 1:02d}") for n in range(count)]
    sim = Sim("", "", operator="Viettel")
    return [
        Device(i, DeviceKind.LOUDSPEAKER, UnitId(i[:5]), None, "loa-receiver", date(2020, 1, 1), sim=sim) for i in ids
    ]


def answer(port: int, alive: Sequence[Device], lose: int, ready: Event) -> None:
    die_with_parent()
    responder = Responder(bind(port), COMMUNITY.encode(), lambda: 0, Login.of(*LOGIN))
    responder.lose = lose
    responder.agents = Fleet(alive, period=STEADY).agents()
    ready.set()
    responder.serve()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def answering(count: int, dead: float = 0.0, lose: int = 0) -> Iterator[list[int]]:
    """The fleet's answering part, shared out to the ports; each device is asked on the port of its turn."""
    ports = [free_port() for _ in range(PORTS)]
    context = multiprocessing.get_context("fork")
    readies = [context.Event() for _ in ports]
    fleet = devices(count)
    alive = [[d for n, d in enumerate(fleet) if n % PORTS == k and not is_dead(n, dead)] for k in range(PORTS)]
    processes = [
        context.Process(target=answer, args=(port, share, lose, ready))
        for port, share, ready in zip(ports, alive, readies, strict=True)
    ]
    del fleet, alive
    for process in processes:
        process.start()
    try:
        for ready in readies:
            ready.wait(120)
        yield ports
    finally:
        for process in processes:
            process.terminate()
            process.join()


def is_dead(number: int, share: float) -> bool:
    return (number // PORTS) % 10 < share * 10
