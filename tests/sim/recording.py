"""A recording of a device answers SNMPv2c again, exactly; a wrong community meets silence.

Our own recordings are YAML (``tests/devices/<family>#<hardware>_<firmware>.yaml``): ``values`` by OID as
``type value``, ``expect`` what the family's profile makes of them. snmpsim's ``.snmprec`` files (``oid|type|value``)
are read, too.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import yaml

from tests.sim.snmp_responder import NO_SUCH_INSTANCE, Question, number, object_id, read_get, response, text, tlv

GET, GETNEXT, GETBULK = 0xA0, 0xA1, 0xA5
END_OF_MIB: Final = b"\x82\x00"
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

    def answers(self, datagram: bytes, community: bytes) -> bytes | None:
        """The response to a GET, GETNEXT or GETBULK; None for anything else, and for another community."""
        at = _pdu(datagram)
        kind, plain = datagram[at], datagram[:at] + b"\xa0" + datagram[at + 1 :]
        question = read_get(plain)
        if question.community != community or kind not in (GET, GETNEXT, GETBULK):
            return None
        if kind != GET:
            rows = _repetitions(datagram, question) if kind == GETBULK else 1
            later = self._after(question.oids[0], rows)
            question = replace(question, oids=later or question.oids[:1])
            values = [self.values[oid] for oid in later] or [END_OF_MIB]
        else:
            values = [self.values.get(oid, NO_SUCH_INSTANCE) for oid in question.oids]
        head, tail = response(question, values)
        return head + question.request_id + tail

    def _after(self, oid: str, rows: int) -> tuple[str, ...]:
        later = sorted(o for o in map(_arcs, self.values) if o > _arcs(oid))[:rows]
        return tuple(".".join(map(str, o)) for o in later)


def _arcs(oid: str) -> tuple[int, ...]:
    return tuple(map(int, oid.split(".")))


def _pdu(datagram: bytes) -> int:
    """Where the PDU begins: after the frame's head, the version and the community, all shorter than 128 bytes."""
    head = 2 if datagram[1] < 0x80 else 2 + datagram[1] - 0x80
    return head + 3 + 2 + datagram[head + 4]


def _repetitions(datagram: bytes, question: Question) -> int:
    """What stands where other requests have the error index; shorter than 128."""
    return datagram[question.id_at + len(question.request_id) + 5]


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
            answer = recording.answers(datagram, community)
        except (ValueError, IndexError):
            continue
        if answer is not None:
            sock.sendto(answer, source)
