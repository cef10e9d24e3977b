"""A conversation with one device: questions in turn, and whole subtrees. For what is rare; fleets are swept."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from time import monotonic
from types import TracebackType
from typing import Final, Self, TypeVar

from nms.monitor.snmp.asn1 import Oid, Value
from nms.monitor.snmp.ber import Binding, Get, Next, Question
from nms.monitor.snmp.exchange import CommunityExchange, CommunityPlan, Exchange, Refused, Sign, fresh_id
from nms.monitor.snmp.outcome import Refusal, Silence
from nms.monitor.snmp.secure import UserExchange, UserPlan
from nms.monitor.snmp.usm import Community, Peer, Security

MAX_DATAGRAM: Final = 65507
ROWS: Final = 20
"""Rows asked for at a time in a walk."""

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Walk:
    """The rows of a subtree in order; ``fault`` is why it ends early, ``cut`` that it had more rows than wanted."""

    rows: tuple[Binding, ...]
    fault: Silence | Refusal | None = None
    cut: bool = False


class Dialogue:
    """Asks one device from a socket of its own that hears nobody else."""

    def __init__(self, address: str, port: int, security: Security, timeout: float = 2.0, retries: int = 1) -> None:
        """``timeout`` in seconds per try. OSError: there is no way to the address."""
        self._security = security
        self._timeout = timeout
        self._tries = 1 + retries
        self._peer: Peer | None = None
        self._salts = count(secrets.randbits(64))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.connect((address, port))
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def get(self, oids: Sequence[Oid]) -> tuple[Value, ...] | Silence | Refusal:
        """The values of these OIDs, None where the device has none."""
        return self.ask(Get(oids))

    def walk(self, root: Oid, limit: int = 10_000) -> Walk:
        """Everything below ``root``, or the first ``limit`` rows of it."""
        rows: list[Binding] = []
        last = root
        while True:
            answer = self.ask(Next((last,), ROWS))
            if not isinstance(answer, tuple):
                return Walk(tuple(rows), answer)
            for oid, value in answer:
                if value is None or oid[: len(root)] != root:
                    return Walk(tuple(rows))
                if len(rows) == limit:
                    return Walk(tuple(rows), cut=True)
                rows.append((oid, value))
            last = rows[-1][0]

    def ask(self, question: Question[V]) -> tuple[V, ...] | Silence | Refusal:
        """What the device answers, or why there is no answer."""
        security = self._security
        if isinstance(security, Community):
            return self._converse(CommunityExchange(CommunityPlan(security, question), fresh_id()))
        exchange = UserExchange(UserPlan(security, question, self._salts), fresh_id(), self._peer)
        answer = self._converse(exchange)
        self._peer = exchange.peer
        return answer

    def _converse(self, exchange: Exchange[V]) -> tuple[V, ...] | Silence | Refusal:
        fault: Silence | Refusal = Silence()
        for _ in range(self._tries):
            try:
                answer = self._try(exchange)
            except OSError as error:
                fault = Silence(os.strerror(error.errno) if error.errno else str(error))
                continue
            if isinstance(answer, tuple):
                return answer
            answer = answer or exchange.timed_out()
            if answer is not None:
                fault = Refusal(str(answer))
                if answer.final:
                    return fault
        return fault

    def _try(self, exchange: Exchange[V]) -> tuple[V, ...] | Refused | None:
        """One try: an answer, an error that ends the question, or what was known when time was up."""
        last: Refused | None = None
        until = monotonic() + self._timeout
        self._socket.send(exchange.message(monotonic()))
        while (left := until - monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                datagram = self._socket.recv(MAX_DATAGRAM)
            except TimeoutError:
                break
            answer = exchange.take(datagram, monotonic())
            if isinstance(answer, tuple):
                return answer
            if isinstance(answer, Refused):
                last = answer
                if answer.final:
                    break
            elif answer is Sign.AGAIN:
                self._socket.send(exchange.message(monotonic()))
        return last
