"""One question to one device: what is sent, and what a datagram that comes back means. Pure: no socket, no clock.

Here with SNMPv2c, where one message gets one answer.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, Protocol, TypeVar, cast

from nms.monitor.snmp.asn1 import Fault
from nms.monitor.snmp.ber import FIRST_ID, DecodeError, Question, encode_message, read_community_answer
from nms.monitor.snmp.layout import Layout, Layouts
from nms.monitor.snmp.usm import Community

V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)


class Sign(Enum):
    """``AGAIN``: the exchange goes on, send its new message now. ``STRAY``: the datagram is no answer to this."""

    AGAIN = auto()
    STRAY = auto()


@dataclass(frozen=True, slots=True)
class Refused:
    """What came is not believed; not ``final``: it may be forged, so the true answer is still awaited."""

    fault: Fault
    detail: str
    final: bool = False

    def __str__(self) -> str:
        return f"{self.fault}: {self.detail}"


class Exchange(Protocol[V_co]):
    """One question to one device; ``learnt``: it has something to remember for the next one."""

    request_id: int
    learnt: bool

    def message(self, now: float) -> bytes:
        """The datagram to send now; the same one until it is answered or too old."""
        ...

    def take(self, datagram: bytes, now: float) -> tuple[V_co, ...] | Refused | Sign:
        """What a datagram from the device means; ``now`` in seconds of a clock that never jumps."""
        ...

    def timed_out(self) -> Refused | None:
        """Nothing came in answer to the last message; what that alone says about the device, if anything."""
        ...


def fresh_id() -> int:
    """A request id that nobody can foresee."""
    return FIRST_ID + secrets.randbelow((1 << 31) - FIRST_ID)


def refused_answer(error: DecodeError, request_id: int) -> Refused | Sign:
    """A whole answer's error; an error of the agent itself answers the question."""
    if error.request_id is not None and error.request_id != request_id:
        return Sign.STRAY
    return Refused(error.fault, error.detail, error.fault is Fault.STATUS)


class CommunityPlan(Generic[V]):
    """What all exchanges of one question and one community share."""

    __slots__ = ("community", "head", "layouts", "question", "tail")

    def __init__(self, security: Community, question: Question[V]) -> None:
        self.community = security.name
        self.question = question
        self.layouts = Layouts()
        pdu = question.pdu(FIRST_ID)
        whole = encode_message(self.community, pdu)
        at = len(whole) - len(pdu) + pdu.index(FIRST_ID.to_bytes(4, "big"))
        self.head, self.tail = whole[:at], whole[at + 4 :]


class CommunityExchange(Generic[V]):
    """SNMPv2c: one message, one answer."""

    __slots__ = ("_plan", "hints", "learnt", "request_id")

    def __init__(self, plan: CommunityPlan[V], request_id: int, hints: Layout | None = None) -> None:
        self._plan = plan
        self.request_id = request_id
        self.hints = hints
        self.learnt = False

    def message(self, now: float) -> bytes:
        return self._plan.head + self.request_id.to_bytes(4, "big") + self._plan.tail

    def take(self, datagram: bytes, now: float) -> tuple[V, ...] | Refused | Sign:
        if self.hints is not None and (raw := self.hints.read(datagram)) is not None:
            return cast("tuple[V, ...]", raw[1]) if raw[0] == self.request_id else Sign.STRAY
        plan = self._plan
        answer = read_community_answer(datagram, plan.community, plan.question)
        if isinstance(answer, DecodeError):
            return refused_answer(answer, self.request_id)
        request_id, values, places = answer
        if request_id != self.request_id:
            return Sign.STRAY
        if plan.question.fixed:
            self.hints = plan.layouts.of(datagram, places)
            self.learnt = True
        return values

    def timed_out(self) -> None:
        """The same message again: silence says nothing here."""
