"""``python3 -m audio.receiver.snmp STATUS-FILE``: the receiver's part of the MIB, for snmpd's ``pass_persist``.

    pass_persist .1.3.6.1.4.1.8072.9999.9999.7410 /usr/bin/python3 -m audio.receiver.snmp /run/loa-receiver/status.json

snmpd keeps the program running and asks it line by line (snmpd.conf(5)). Without a running receiver only its fault is
told. Needs the standard library and ``audio.documents``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from audio.receiver.status import Fault, State, Status, read_status

Oid = tuple[int, ...]
Row = tuple[str, str]
"""Type and value as ``pass_persist`` writes them."""

ROOT: Oid = (1, 3, 6, 1, 4, 1, 8072, 9999, 9999, 7410)
NO_LEVEL = -32768
"""The level while nothing sounds."""
MAINS, BATTERY = 1, 2
"""loaReceiverPower of the MIB."""


def rows(status: Status | None) -> Mapping[Oid, Row]:
    """The MIB's objects in order; what is not measured is not there."""
    if status is None:
        return _table({1: ("integer", str(State.FAULT.value)), 10: ("gauge", str(Fault.PROGRAM.value))})
    wanted: dict[int, Row] = {
        1: ("integer", str(status.state)),
        2: ("string", status.airing),
        3: ("integer", str(NO_LEVEL if status.level is None else status.level)),
        5: ("gauge", str(status.cache)),
        7: ("integer", str(status.volume)),
        9: ("counter", str(status.refused)),
        10: ("gauge", str(status.faults)),
    }
    if status.clock_error is not None:
        wanted[6] = ("integer", str(status.clock_error))
    if status.temperature is not None:
        wanted[8] = ("integer", str(status.temperature))
    if status.on_battery is not None:
        wanted[11] = ("integer", str(BATTERY if status.on_battery else MAINS))
    return _table(wanted)


def _table(columns: Mapping[int, Row]) -> Mapping[Oid, Row]:
    return {(*ROOT, 1, number, 0): columns[number] for number in sorted(columns)}


def answer(status: Status | None, command: str, oid: Oid) -> tuple[str, ...]:
    """The lines that answer a ``get`` or a ``getnext``."""
    table = rows(status)
    found = next((o for o in table if o > oid), None) if command == "getnext" else oid
    if found is None or found not in table:
        return ("NONE",)
    kind, value = table[found]
    return ("." + ".".join(map(str, found)), kind, value)


def serve(path: Path, questions: TextIO, answers: TextIO) -> None:
    """Until snmpd closes the line."""
    while command := questions.readline().strip():
        if command == "PING":
            said: tuple[str, ...] = ("PONG",)
        elif command in ("get", "getnext"):
            said = answer(read_status(path, time.time()), command, _oid(questions.readline()))
        else:  # set: the OID, then type and value
            questions.readline()
            questions.readline()
            said = ("not-writable",)
        answers.write("".join(f"{line}\n" for line in said))
        answers.flush()


def _oid(line: str) -> Oid:
    try:
        return tuple(int(part) for part in line.strip().strip(".").split("."))
    except ValueError:
        return ()


def main() -> int:
    """0 when snmpd has closed the line; 2 without the one argument."""
    if len(sys.argv) != 2:
        print("usage: python3 -m audio.receiver.snmp STATUS-FILE", file=sys.stderr)
        return 2
    serve(Path(sys.argv[1]), sys.stdin, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
