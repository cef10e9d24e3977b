"""How fast this machine is at this moment, for whoever reads a figure that misses its budget.

The budgets were set on a machine on which a plain loop (one socket, requests of 12 OIDs encoded beforehand, answers not
decoded) asked 82,000 devices a second of one core. The same loop is measured here in the same run, beside the same
responder. No budget changes by it.
"""

from __future__ import annotations

import socket
import time
from typing import Final

from benchmarks.snmp_fleet import COMMUNITY, answering, devices
from inventory.overlay import address
from nms.monitor.profiles import load_profiles
from nms.monitor.snmp.ber import encode_get

REFERENCE: Final = 82_000
"""Devices a second of one core, where the budgets were set."""
DEVICES: Final = 2_000
WINDOW: Final = 64
ROUNDS: Final = 7


def tell_pace() -> None:
    """Prints this machine's speed: the best of some rounds, as for what is measured beside it."""
    rate = plain()
    print(
        f"pace of this machine {rate / REFERENCE:.2f}: a plain loop asks {rate:,.0f} devices a second of a core, "
        f"{REFERENCE:,} where the budgets were set"
    )


def plain() -> float:
    """Devices that a plain loop asks in a second of one core."""
    oids = load_profiles()[0]["loa-receiver"].oids[:12]
    with answering(DEVICES) as ports, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hub:
        hub.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        hub.settimeout(5.0)
        asked = [
            (encode_get(COMMUNITY.encode(), n + 1, oids), (address(d.id, 127), ports[n % len(ports)]))
            for n, d in enumerate(devices(DEVICES))
        ]
        taken = []
        for _ in range(ROUNDS):
            began = time.thread_time()
            for start in range(0, DEVICES, WINDOW):
                part = asked[start : start + WINDOW]
                for request, place in part:
                    hub.sendto(request, place)
                for _ in part:
                    hub.recvfrom(2048)
            taken.append(time.thread_time() - began)
    return DEVICES / min(taken)
