"""The simulated fleet: every device of an inventory answers SNMPv2c on its derived address in 127/8.

    python -m tests.sim.fleet --inventory DIR --port N --control PATH --community-file FILE --on 2024-10-01

It prints ``ready <n> devices`` when it answers, and ends with its parent or on SIGTERM. The control socket takes JSON
lines: ``{"fail": [ids]}``, ``{"fail_cell": cell}``, ``{"fail_power": area}``, ``{"heal": "all" | [ids]}``,
``{"cells": true}``, ``{"stats": true}``, ``{"asked": true}`` (requests so far, by device). What hangs behind a failed
modem is silent too.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import signal
import socket
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, cast

from inventory.diagnostics import render
from inventory.load import load
from inventory.model import Device
from inventory.overlay import address, encodable
from tests.sim.snmp_responder import NO_SUCH_INSTANCE, Responder, bind, number, object_id, text

LOOPBACK: Final = 127
PERIOD: Final = 5.0
"""Seconds after which readings change."""

_COUNTER32, _GAUGE32, _TIMETICKS, _COUNTER64 = 0x41, 0x42, 0x43, 0x46
_LOA: Final = "1.3.6.1.4.1.8072.9999.9999.7410"
_RUTOS: Final = "1.3.6.1.4.1.48690"
_RUTOS_LTE: Final = f"{_RUTOS}.2.2.1"
_MIKROTIK: Final = "1.3.6.1.4.1.14988"
_MIKROTIK_LTE: Final = f"{_MIKROTIK}.1.1.16.1.1"
_SIGN: Final = "1.3.6.1.4.1.1206.4.2.3"


def _noise(*parts: object) -> float:
    """0 .. 1, always the same for the same parts."""
    return zlib.crc32("|".join(map(str, parts)).encode()) / 0xFFFFFFFF


def cell_of(device: Device, seed: int) -> str:
    """The serving cell of a device with its own SIM: one of one to three of its commune and operator."""
    operator = device.sim.operator if device.sim else ""
    count = 1 + int(_noise(seed, device.unit, operator) * 2.999)
    sector = int(_noise(seed, device.hamlet or device.id) * (count - 0.001))
    site = int(_noise(seed, "site", device.unit, operator) * 0xFFFFF)
    return str(site << 8 | sector + 1)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a device would measure now."""

    uptime: int
    rsrp: int
    rsrq: int
    sinr: float
    temperature: int
    received: int
    sent: int


def reading(device: Device, seed: int, now: float, period: float) -> Reading:
    """Plausible and seeded: slow swings, a little noise, counters that only grow. Temperature in tenths of a degree."""
    step = int(now // period)
    base = _noise(seed, device.id)
    swing = math.sin(now / 1800 + 6.28 * base)
    jitter = _noise(seed, device.id, step) - 0.5
    uptime = int((now - 1_600_000_000 + base * 8e6) * 100) % (1 << 32)
    return Reading(
        uptime=uptime,
        rsrp=round(-78 - 26 * base + 3 * swing + 4 * jitter),
        rsrq=round(-8 - 6 * base + 2 * jitter),
        sinr=round(18 - 12 * base + 4 * jitter, 1),
        temperature=round(330 + 120 * base + 25 * swing + 10 * jitter),
        received=int(uptime * (20 + 60 * base)),
        sent=int(uptime * (3 + 5 * base)),
    )


Mib = dict[str, bytes]


def _common(now: Reading) -> Mib:
    return {"1.3.6.1.2.1.1.3.0": number(now.uptime, _TIMETICKS)}


def _loa(device: Device, now: Reading, cell: str | None) -> Mib:
    """The receiver's own subtree; the rows of the modem exist only where there is a SIM."""
    base = _noise(device.id)
    mib = _common(now) | {
        f"{_LOA}.1.1.0": number(1),
        f"{_LOA}.1.2.0": text(""),
        f"{_LOA}.1.3.0": number(-32768),
        f"{_LOA}.1.4.0": number(0, _GAUGE32),
        f"{_LOA}.1.5.0": number(int(40_000 * base), _GAUGE32),
        f"{_LOA}.1.6.0": number(round(40 * base) - 20),
        f"{_LOA}.1.7.0": number(device.volume.day),
        f"{_LOA}.1.8.0": number(now.temperature),
        f"{_LOA}.1.9.0": number(0, _COUNTER32),
    }
    if cell is not None and device.sim is not None:
        mib |= {
            f"{_LOA}.2.1.0": text(cell),
            f"{_LOA}.2.2.0": number(now.rsrp),
            f"{_LOA}.2.3.0": number(now.rsrq),
            f"{_LOA}.2.4.0": number(round(now.sinr)),
            f"{_LOA}.2.5.0": text(device.sim.operator),
            f"{_LOA}.2.6.0": number(now.received, _COUNTER64),
            f"{_LOA}.2.7.0": number(now.sent, _COUNTER64),
        }
    return mib


def loa_receiver(device: Device, now: Reading, cell: str | None) -> Mib:
    return _loa(device, now, cell) | {"1.3.6.1.2.1.1.2.0": object_id(f"{_LOA}.10.1")}


def loa_board(device: Device, now: Reading, cell: str | None) -> Mib:
    return _loa(device, now, cell) | {
        "1.3.6.1.2.1.1.2.0": object_id(f"{_LOA}.10.2"),
        f"{_LOA}.3.1.0": number(1),
        f"{_LOA}.3.2.0": text(""),
        f"{_LOA}.3.3.0": number(60),
        f"{_LOA}.3.4.0": number(now.temperature),
        f"{_LOA}.3.5.0": number(0, _GAUGE32),
    }


def rutos(device: Device, now: Reading, cell: str | None) -> Mib:
    """Firmware changes types: signal rows come as INTEGER, as digits or as digits with a unit."""
    forms: tuple[Callable[[int], bytes], ...] = (number, lambda v: text(str(v)), lambda v: text(f"{v} dBm"))
    form = forms[int(_noise("firmware", device.id) * 2.999)]
    return _common(now) | {
        "1.3.6.1.2.1.1.2.0": object_id("1.3.6.1.4.1.8072.3.2.10"),
        f"{_RUTOS}.1.1.0": text(f"{60_000_000_00 + zlib.crc32(device.id.encode()) % 10**8}"),
        f"{_RUTOS_LTE}.12.1": form(now.rsrp + 27),
        f"{_RUTOS_LTE}.13.1": text(device.sim.operator if device.sim else "n/a"),
        f"{_RUTOS_LTE}.17.1": number(now.temperature),
        f"{_RUTOS_LTE}.18.1": text(cell or "n/a"),
        f"{_RUTOS_LTE}.19.1": text(f"{now.sinr}"),
        f"{_RUTOS_LTE}.20.1": form(now.rsrp),
        f"{_RUTOS_LTE}.21.1": text(f"{now.rsrq}.0"),
        f"{_RUTOS_LTE}.22.1": number(now.sent, _COUNTER64),
        f"{_RUTOS_LTE}.23.1": number(now.received, _COUNTER64),
    }


def routeros(device: Device, now: Reading, cell: str | None) -> Mib:
    return _common(now) | {
        "1.3.6.1.2.1.1.2.0": object_id(f"{_MIKROTIK}.1"),
        f"{_MIKROTIK}.1.1.3.10.0": number(now.temperature),
        f"{_MIKROTIK_LTE}.2.1": number(0),
        f"{_MIKROTIK_LTE}.3.1": number(now.rsrq),
        f"{_MIKROTIK_LTE}.4.1": number(now.rsrp),
        f"{_MIKROTIK_LTE}.5.1": number(int(cell or 0)),
        f"{_MIKROTIK_LTE}.7.1": number(round(now.sinr)),
        "1.3.6.1.2.1.31.1.1.1.6.1": number(now.received, _COUNTER64),
        "1.3.6.1.2.1.31.1.1.1.10.1": number(now.sent, _COUNTER64),
    }


def ntcip_sign(device: Device, now: Reading, cell: str | None) -> Mib:
    return _common(now) | {
        "1.3.6.1.2.1.1.2.0": object_id(_SIGN),
        f"{_SIGN}.9.7.1.0": number(0),
        f"{_SIGN}.6.1.0": number(4),
        f"{_SIGN}.6.5.0": b"\x04\x05\x07\x00\x00\x00\x00",
        f"{_SIGN}.7.5.0": number(6),
    }


FAMILIES: Final[Mapping[str, Callable[[Device, Reading, str | None], Mib]]] = {
    "loa-receiver": loa_receiver,
    "loa-board": loa_board,
    "rutos": rutos,
    "routeros": routeros,
    "ntcip-sign": ntcip_sign,
}


class SimDevice:
    """One device: its family's MIB, filled with the readings of the moment."""

    def __init__(self, device: Device, seed: int, period: float, clock: Callable[[], float]) -> None:
        self.device = device
        self.cell = cell_of(device, seed) if device.uplink is None and device.sim is not None else None
        self._seed = seed
        self._period = period
        self._clock = clock

    def values(self, oids: Sequence[str]) -> list[bytes]:
        now = reading(self.device, self._seed, self._clock(), self._period)
        mib = FAMILIES[self.device.profile](self.device, now, self.cell)
        return [mib.get(oid, NO_SUCH_INSTANCE) for oid in oids]


class Doors(dict[bytes, SimDevice]):
    """Agents by address. Counts who is asked for, answering or not."""

    def __init__(self, agents: Mapping[bytes, SimDevice], asked: Counter[bytes]) -> None:
        super().__init__(agents)
        self._asked = asked

    def get(self, key: bytes, default: Any = None) -> Any:
        self._asked[key] += 1
        return super().get(key, default)


class Fleet:
    """Which devices there are, which of them answer, and why the others do not."""

    def __init__(
        self,
        devices: Iterable[Device],
        seed: int = 64,
        period: float = PERIOD,
        clock: Callable[[], float] = time.time,
    ) -> None:
        known = [d for d in devices if d.profile in FAMILIES and encodable(d.id)]
        self.devices = {d.id: SimDevice(d, seed, period, clock) for d in known}
        self._addresses = {d.id: socket.inet_aton(address(d.id, LOOPBACK)) for d in known}
        self._asked: Counter[bytes] = Counter()
        self._failed: set[str] = set()
        self._failed_cells: set[str] = set()
        self._failed_areas: set[str] = set()

    def agents(self) -> dict[bytes, SimDevice]:
        """Those that answer now, by packed address."""
        return Doors({self._addresses[i]: s for i, s in self.devices.items() if not self._dead(s)}, self._asked)

    def asked(self) -> dict[str, int]:
        """Requests so far, by device, of every device."""
        return {device: self._asked[address] for device, address in self._addresses.items()}

    def _dead(self, sim: SimDevice) -> bool:
        device = sim.device
        if device.id in self._failed or sim.cell in self._failed_cells or device.power_area in self._failed_areas:
            return True
        uplink = self.devices.get(device.uplink) if device.uplink is not None else None
        return uplink is not None and uplink is not sim and self._dead(uplink)

    def cells(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """By cell: the devices whose own SIM is on it, and those behind a modem that is on it."""
        direct: dict[str, list[str]] = {}
        behind: dict[str, list[str]] = {}
        for sim in self.devices.values():
            uplink = self.devices.get(sim.device.uplink) if sim.device.uplink is not None else None
            if sim.cell is not None:
                direct.setdefault(sim.cell, []).append(sim.device.id)
            elif uplink is not None and uplink.cell is not None:
                behind.setdefault(uplink.cell, []).append(sim.device.id)
        return direct, behind

    def command(self, order: Mapping[str, object]) -> dict[str, object]:
        """Carries out one line of the control socket; the answer says what is silent now."""
        known: dict[str, Callable[[object], None]] = {
            "fail": lambda v: self._fail(cast("list[str]", v)),
            "fail_cell": lambda v: self._failed_cells.add(self._one(v, self.cells()[0])),
            "fail_power": lambda v: self._failed_areas.add(self._one(v, self._areas())),
            "heal": self._heal,
        }
        for name, value in order.items():
            if name == "cells":
                direct, behind = self.cells()
                return {"ok": True, "cells": direct, "behind": behind}
            if name not in known:
                raise ValueError(f"unknown order {name!r}")
            known[name](value)
        silent = sorted(i for i, sim in self.devices.items() if self._dead(sim))
        return {"ok": True, "silent": silent}

    def _fail(self, ids: list[str]) -> None:
        for device in ids:
            self._failed.add(self._one(device, self.devices))

    def _areas(self) -> set[str | None]:
        return {sim.device.power_area for sim in self.devices.values()}

    @staticmethod
    def _one(value: object, known: Iterable[object]) -> str:
        if value not in set(known):
            raise ValueError(f"{value!r} is not in this fleet")
        return str(value)

    def _heal(self, what: object) -> None:
        if what == "all":
            self._failed.clear()
            self._failed_cells.clear()
            self._failed_areas.clear()
        for device in what if isinstance(what, list) else ():
            self._failed.discard(device)


class Control:
    """The control socket: one JSON object per line, one answer per line."""

    def __init__(self, path: Path, fleet: Fleet, responder: Responder) -> None:
        self._fleet = fleet
        self._responder = responder
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen()

    def serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection, connection.makefile("rw", encoding="utf-8") as lines:
                for line in lines:
                    lines.write(json.dumps(self._obey(line)) + "\n")
                    lines.flush()

    def _obey(self, line: str) -> dict[str, object]:
        try:
            order = json.loads(line)
            if "asked" in order:
                return {"ok": True, "asked": self._fleet.asked()}
            if "stats" in order:
                return {"ok": True, "devices": len(self._fleet.devices), **asdict(self._responder.counts)}
            answer = self._fleet.command(order)
        except (ValueError, TypeError) as error:
            return {"ok": False, "error": str(error)}
        self._responder.agents = self._fleet.agents()
        return answer


def die_with_parent() -> None:
    """SIGTERM to this process when the one that started it ends, however it ends."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)


def responder_for(fleet: Fleet, port: int, community: bytes, period: float = PERIOD) -> Responder:
    responder = Responder(bind(port), community, lambda: int(time.time() // period))
    responder.agents = fleet.agents()
    return responder


def devices_of(folder: Path, on: date) -> list[Device]:
    """The devices in use on that date that are connected; exits with the diagnostics if the inventory is invalid."""
    network, diagnostics = load(folder)
    if network is None:
        sys.exit("\n".join(render(d) for d in diagnostics))
    return [d for d in network.devices_on(on) if d.connected]


def main() -> None:
    parser = argparse.ArgumentParser(description="A simulated fleet on 127/8.")
    parser.add_argument("--inventory", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--control", type=Path, required=True)
    parser.add_argument("--community-file", type=Path, required=True)
    parser.add_argument("--on", type=date.fromisoformat, required=True)
    options = parser.parse_args()
    die_with_parent()
    fleet = Fleet(devices_of(options.inventory, options.on))
    community = options.community_file.read_text(encoding="utf-8").strip().encode()
    responder = responder_for(fleet, options.port, community)
    control = Control(options.control, fleet, responder)
    threading.Thread(target=control.serve, name="control", daemon=True).start()
    print(f"ready {len(fleet.devices)} devices", flush=True)
    responder.serve()


if __name__ == "__main__":
    main()
