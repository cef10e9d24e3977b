"""A recording of a device answers SNMPv2c again, exactly: a wrong community or anything but a GET meets silence.

Our own recordings are YAML (``tests/devices/<family>#<hardware>_<firmware>.yaml``): ``values`` by OID as
``type value``, ``expect`` what the family's profile makes of them. snmpsim's ``.snmprec`` files (``oid|type|value``)
are read, too.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from tests.sim.snmp_responder import NO_SUCH_INSTANCE, number, object_id, read_get, response, text, tlv

COMMUNITY: Final = b"b\xe1\xba\xa3n-ghi"


def _address(value: str) -> bytes:
    return tlv(0x40, socket.inet_aton(value))


def _hex(value: str) -> bytes:
    return tlv(0x04, bytes.fromhex(value))


def _object_id(value: str) -> bytes:
    return object_id(value.lstrip("."))


TYPES: Final[Mapping[str, Callable[[str], bytes]]] = {
    "integer": lambda v: number(int(v)),
    "string": text,
    "hex": _hex,
    "oid": _object_id,
    "address": _address,
    "counter32": lambda v: number(int(v), 0x41),
    "gauge32": lambda v: number(int(v), 0x42),
    "timeticks": lambda v: number(int(v), 0x43),
    "counter64": lambda v: number(int(v), 0x46),
}
SNMPREC: Final = {
    "2": "integer",
    "4": "string",
    "4x": "hex",
    "6": "oid",
    "64": "address",
    "65": "counter32",
    "66": "gauge32",
    "67": "timeticks",
    "70": "counter64",
}


@dataclass(frozen=True, slots=True)
class Recording:
    """``values``: the TLV of each OID. ``family`` and ``expect`` are empty where the recording does not say."""

    values: Mapping[str, bytes]
    family: str = ""
    expect: Mapping[str, float | str | bool] = field(default_factory=dict)
    absent: tuple[str, ...] = ()

    def tlvs(self, oids: Sequence[str]) -> list[bytes]:
        return [self.values.get(oid, NO_SUCH_INSTANCE) for oid in oids]


def read(path: Path) -> Recording:
    """One of our recordings. ValueError or KeyError if it is not one."""
    whole = yaml.safe_load(path.read_text(encoding="utf-8"))
    values = {
        oid: TYPES[kind](raw) for oid, (kind, _, raw) in ((o, v.partition(" ")) for o, v in whole["values"].items())
    }
    return Recording(values, whole["family"], whole["expect"], tuple(whole.get("absent", ())))


def read_snmprec(path: Path) -> Recording:
    """A recording of snmpsim; values of types that no profile reads, and lines that go on, are left out."""
    lines = (line.split("|", 2) for line in path.read_text(encoding="utf-8").split("\n"))
    return Recording({p[0]: TYPES[SNMPREC[p[1]]](p[2]) for p in lines if len(p) == 3 and p[1] in SNMPREC})


@contextmanager
def replayed(recording: Recording, community: bytes = COMMUNITY) -> Iterator[int]:
    """The recording answers on a free port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = int(sock.getsockname()[1])
        thread = threading.Thread(target=_serve, args=(sock, recording, community))
        thread.start()
        try:
            yield port
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
                waker.sendto(b"", ("127.0.0.1", port))
            thread.join()


def _serve(sock: socket.socket, recording: Recording, community: bytes) -> None:
    """Until an empty datagram comes."""
    while True:
        datagram, source = sock.recvfrom(65535)
        if not datagram:
            return
        try:
            question = read_get(datagram)
        except (ValueError, IndexError):
            continue
        if question.community == community:
            head, tail = response(question, recording.tlvs(question.oids))
            sock.sendto(head + question.request_id + tail, source)
