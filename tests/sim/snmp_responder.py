"""SNMP agents on many addresses of 127/8 from one socket. Shares no code with the poll engine it answers.

A wrong community, an unknown address, anything that is not a well-formed GET: silence, as real agents do.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from tests.sim.asn1_bytes import dotted, number, object_id, take, text, tlv
from tests.sim.snmp_v3 import Login, SecureAgents

__all__ = ["Agent", "Counts", "Question", "Responder", "bind", "read_get", "response"]
__all__ += ["number", "object_id", "text", "tlv"]

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


def read_get(data: bytes) -> Question:
    """A SNMPv2c GET; ValueError or IndexError for anything else."""
    start, _ = take(data, 0, 0x30)
    version = take(data, start, 0x02)
    if data[slice(*version)] != b"\x01":
        raise ValueError("not SNMPv2c")
    community = take(data, version[1], 0x04)
    at, _ = take(data, community[1], 0xA0)
    request_id = take(data, at, 0x02)
    at = take(data, take(data, request_id[1], 0x02)[1], 0x02)[1]
    at, end = take(data, at, 0x30)
    oids = []
    while at < end:
        start, at = take(data, at, 0x30)
        oids.append(dotted(data[slice(*take(data, start, 0x06))]))
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


def _version(datagram: bytes) -> int:
    """What stands where a message has its version; -1 if it is too short for one."""
    if len(datagram) < 8:
        return -1
    size = datagram[1]
    return datagram[4 if size < 0x80 else min(size - 0x80, 2) + 4]


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

    def __init__(
        self, sock: socket.socket, community: bytes, period: Callable[[], int], login: Login | None = None
    ) -> None:
        """``login``: agents answer SNMPv3 as well, to this user; ``lose``: every so many-th answer is lost, 0 none."""
        self.lose = 0
        self._secure = None if login is None else SecureAgents(login)
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
            if self.lose and counts.answered % self.lose == 0:
                continue
            with contextlib.suppress(OSError):
                send(answer, ancillary, 0, source)
        self._socket.close()

    def stop(self) -> None:
        """Ends ``serve`` in another thread and frees the port."""
        self._stopped = True
        # a late datagram may have woken it already, and the socket is gone
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker, contextlib.suppress(OSError):
            waker.sendto(b"", ("127.0.0.1", self._socket.getsockname()[1]))

    def _answer(self, address: bytes, agent: Agent, datagram: bytes) -> Sequence[bytes] | None:
        if self._secure is not None and _version(datagram) == 3:
            answer = self._secure.answer(address, agent.values, datagram, self._period())
            return None if answer is None else (answer,)
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
