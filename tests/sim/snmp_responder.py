"""SNMPv2c agents on many addresses of 127/8 from one socket. Shares no code with the poll engine it answers.

A wrong community, an unknown address, anything that is not a well-formed GET: silence, as real agents do.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

IP_PKTINFO: Final = 8
SO_BINDTODEVICE: Final = 25
NO_SUCH_INSTANCE: Final = b"\x81\x00"


class Agent(Protocol):
    """One device's MIB."""

    def values(self, oids: Sequence[str]) -> list[bytes]:
        """The TLV of each OID asked for."""
        ...


@dataclass(slots=True)
class Counts:
    answered: int = 0
    wrong_community: int = 0
    ignored: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    community: bytes
    request_id: bytes
    id_at: int
    oids: tuple[str, ...]


def tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes(2 if size > 0xFF else 1, "big")
    return bytes((tag, 0x80 + len(octets))) + octets + content


def number(value: int, tag: int = 0x02) -> bytes:
    """INTEGER by default; 0x41 Counter32, 0x42 Gauge32, 0x43 TimeTicks, 0x46 Counter64."""
    return tlv(tag, value.to_bytes((value if value >= 0 else ~value).bit_length() // 8 + 1, "big", signed=True))


def text(value: str) -> bytes:
    return tlv(0x04, value.encode())


@lru_cache(maxsize=4096)
def object_id(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    content = bytearray()
    for arc in (40 * first + second, *rest):
        octets = [arc % 128]
        while arc >= 128:
            arc //= 128
            octets.insert(0, 128 + arc % 128)
        content += bytes(octets)
    return tlv(0x06, bytes(content))


def _take(data: bytes, at: int, tag: int) -> tuple[int, int]:
    """Start and stop of the content of a TLV that must have this tag; ValueError or IndexError otherwise."""
    if data[at] != tag:
        raise ValueError("unexpected tag")
    size, start = data[at + 1], at + 2
    if size >= 0x80:
        count = size - 0x80
        size, start = int.from_bytes(data[start : start + count], "big"), start + count
    if start + size > len(data):
        raise ValueError("cut off")
    return start, start + size


def _dotted(content: bytes) -> str:
    arcs, arc = [], 0
    for octet in content:
        arc = arc * 128 + octet % 128
        if octet < 128:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def read_get(data: bytes) -> Question:
    """A SNMPv2c GET; ValueError or IndexError for anything else."""
    start, _ = _take(data, 0, 0x30)
    version = _take(data, start, 0x02)
    if data[slice(*version)] != b"\x01":
        raise ValueError("not SNMPv2c")
    community = _take(data, version[1], 0x04)
    at, _ = _take(data, community[1], 0xA0)
    request_id = _take(data, at, 0x02)
    at = _take(data, _take(data, request_id[1], 0x02)[1], 0x02)[1]
    at, end = _take(data, at, 0x30)
    oids = []
    while at < end:
        start, at = _take(data, at, 0x30)
        oids.append(_dotted(data[slice(*_take(data, start, 0x06))]))
    return Question(data[slice(*community)], data[slice(*request_id)], request_id[0], tuple(oids))


def response(question: Question, values: Sequence[bytes]) -> tuple[bytes, bytes]:
    """What stands before and after the request id."""
    pairs = zip(question.oids, values, strict=True)
    bindings = tlv(0x30, b"".join(tlv(0x30, object_id(oid) + value) for oid, value in pairs))
    request_id = tlv(0x02, question.request_id)
    pdu = tlv(0xA2, request_id + b"\x02\x01\x00\x02\x01\x00" + bindings)
    whole = tlv(0x30, b"\x02\x01\x01" + tlv(0x04, question.community) + pdu)
    tail = len(bindings) + 6
    return whole[: -tail - len(question.request_id)], whole[-tail:]


def bind(port: int) -> socket.socket:
    """A socket for every address of the loopback interface that tells which one a datagram was sent to."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
    sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    with contextlib.suppress(PermissionError):
        sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"lo\0")
    sock.bind(("0.0.0.0", port))
    return sock


class Responder:
    """Answers for ``agents`` (by packed address). An answer is encoded once per device, question and period."""

    def __init__(self, sock: socket.socket, community: bytes, period: Callable[[], int]) -> None:
        self.agents: Mapping[bytes, Agent] = {}
        self.counts = Counts()
        self._socket = sock
        self._community = community
        self._period = period
        self._questions: dict[bytes, Question] = {}
        self._id_at: dict[int, int] = {}
        self._answers: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}
        self._answers_of = -1
        self._stopped = False

    def serve(self) -> None:
        """Until the process ends or ``stop``."""
        receive, send, counts = self._socket.recvmsg, self._socket.sendmsg, self.counts
        while not self._stopped:
            datagram, ancillary, _, source = receive(4096, 64)
            address = ancillary[0][2][8:12]
            agent = self.agents.get(address)
            answer = None if agent is None else self._answer(address, agent, datagram)
            if answer is None:
                counts.ignored += 1
                continue
            counts.answered += 1
            with contextlib.suppress(OSError):
                send(answer, ancillary, 0, source)
        self._socket.close()

    def stop(self) -> None:
        """Ends ``serve`` in another thread and frees the port."""
        self._stopped = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", self._socket.getsockname()[1]))

    def _answer(self, address: bytes, agent: Agent, datagram: bytes) -> tuple[bytes, bytes, bytes] | None:
        at = self._id_at.get(len(datagram), 0)
        shape = datagram[:at] + datagram[at + 4 :]
        question = self._questions.get(shape)
        if question is None:
            return self._first(agent, datagram)
        period = self._period()
        if period != self._answers_of:
            self._answers.clear()
            self._answers_of = period
        key = (address, shape)
        known = self._answers.get(key)
        if known is None:
            known = self._answers[key] = response(question, agent.values(question.oids))
        return known[0], datagram[at : at + 4], known[1]

    def _first(self, agent: Agent, datagram: bytes) -> tuple[bytes, bytes, bytes] | None:
        """A question not seen before; remembered when its request id has four bytes, as our engine's have."""
        try:
            question = read_get(datagram)
        except (ValueError, IndexError):
            return None
        if question.community != self._community:
            self.counts.wrong_community += 1
            return None
        if len(question.request_id) == 4 and len(self._questions) < 1000:
            self._id_at[len(datagram)] = question.id_at
            self._questions[datagram[: question.id_at] + datagram[question.id_at + 4 :]] = question
        head, tail = response(question, agent.values(question.oids))
        return head, question.request_id, tail
