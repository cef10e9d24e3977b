"""One sweep under way: what waits to be sent, what was sent when, who answered.

What is known of a question is made when it is sent and forgotten when it is answered, so that a fleet of any size takes
little more memory than its answers.
"""

from __future__ import annotations

import errno
import os
import secrets
import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Final

from inventory.model import DeviceId
from nms.monitor.snmp.ber import FIRST_ID
from nms.monitor.snmp.exchange import Refused, Sign
from nms.monitor.snmp.outcome import Outcome, Reading, Refusal, Silence, Target
from nms.monitor.snmp.plans import Asking, Plan, Plans

PAUSE: Final = 0.05
"""Seconds this thread may be kept from reading without a reply being dropped."""

MAX_DATAGRAM: Final = 4096
"""Bytes read of one datagram; a longer one is cut off and therefore refused."""

HEADERS: Final = 28
"""Bytes that IP and UDP add to a datagram."""

BURST: Final = 64
"""Requests sent between two looks at the socket."""

_IP_RECVERR: Final = 11


class _Ask:
    """One device's question under way."""

    __slots__ = (
        "batch",
        "destination",
        "device",
        "exchange",
        "fault",
        "given_up",
        "octets",
        "plan",
        "queued",
        "settled",
        "tries",
    )

    def __init__(self, target: Target, plan: Plan, exchange: Asking) -> None:
        self.device = target.device
        self.destination = (target.address, target.port)
        self.exchange = exchange
        self.plan = plan
        self.tries = 0
        self.batch = _UNSENT
        self.fault: Silence | Refusal = _TIMEOUT
        self.given_up = False
        self.queued = True
        self.settled = False
        self.octets = 0


@dataclass(slots=True)
class _Batch:
    """Requests sent together that are unanswered; while ``fresh`` the answers may arrive all at once."""

    asks: dict[_Ask, None]
    sent: float = 0.0
    fresh: bool = True


_UNSENT: Final = _Batch({})
_TIMEOUT: Final = Silence()


class Run:
    """Asks ``targets`` once; ``outcomes`` has those it got to."""

    def __init__(
        self,
        sock: socket.socket,
        plans: Plans,
        targets: Sequence[Target],
        timeout: float,
        retries: int,
        capacity: int,
    ) -> None:
        """``timeout`` in seconds per try; ``capacity``: answers the socket's buffer is sure to hold.

        ValueError: two targets share an address and port.
        """
        if len({(target.address, target.port) for target in targets}) != len(targets):
            raise ValueError("two targets share an address and port")
        self.outcomes: dict[DeviceId, Outcome] = {}
        self.sent = self.retried = self.late = self.stray = 0
        self._socket = sock
        self._plans = plans
        self._asks = self._make(targets)
        self._unmade = self._unsettled = len(targets)
        self._waiting: dict[tuple[str, int], _Ask] = {}
        self._queue: deque[_Ask] = deque()
        self._sent: deque[_Batch] = deque()
        self._fresh: deque[_Batch] = deque()
        self._timeout = timeout
        self._tries = 1 + retries
        self._room = capacity

    def _make(self, targets: Sequence[Target]) -> Iterator[_Ask]:
        first = FIRST_ID + secrets.randbelow((1 << 31) - FIRST_ID - len(targets))
        plans = self._plans
        for request_id, target in enumerate(targets, first):
            plan = plans.plan(target)
            ask = _Ask(target, plan, plans.exchange(target.device, plan, request_id))
            self._unmade -= 1
            self._waiting[ask.destination] = ask
            yield ask

    def go(self, cancelled: Callable[[], bool]) -> None:
        """Until everyone is settled: read what is there, then send what the buffer has room for."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while self._unsettled and not cancelled():
            now = perf_counter()
            self._receive()
            self._age(now)
            if self._unsettled and not (self._more() and self._room > 0 and self._send()):
                for _, event in poll.poll(self._wait(perf_counter())):
                    if event & select.POLLERR:
                        self._read_errors()
        self._read_errors()
        for ask in self._waiting.values():
            if ask.given_up:
                self.outcomes[ask.device] = replace(ask.fault, octets=ask.octets)

    def _more(self) -> bool:
        return bool(self._queue) or self._unmade > 0

    def _wait(self, now: float) -> float:
        """Milliseconds until something is due; never more than a tenth of a second, so that a cancel is heard."""
        due = now + 0.1
        if self._sent:
            due = min(due, self._sent[0].sent + self._timeout)
        if self._fresh and self._more():
            due = min(due, self._fresh[0].sent + PAUSE)
        return max(1.0, (due - now) * 1000)

    # --- sending

    def _next(self) -> _Ask | None:
        return self._queue.popleft() if self._queue else next(self._asks, None)

    def _send(self) -> bool:
        """One burst; False if the socket takes nothing more now."""
        batch = _Batch({})
        flowing, now = True, perf_counter()
        for _ in range(min(BURST, self._room)):
            ask = self._next()
            if ask is None:
                break
            if ask.settled:
                continue
            if not self._put(ask, now):
                self._queue.appendleft(ask)
                flowing = False
                break
            ask.queued = False
            ask.tries += 1
            ask.batch = batch
            batch.asks[ask] = None
        if batch.asks:
            batch.sent = perf_counter()
            self.sent += len(batch.asks)
            self._room -= len(batch.asks)
            self._sent.append(batch)
            self._fresh.append(batch)
        return flowing

    def _put(self, ask: _Ask, now: float) -> bool:
        """Sends one request. An error of the network is kept as what is known about the device; False: try later."""
        for _ in range(2):
            try:
                ask.octets += HEADERS + self._socket.sendto(ask.exchange.message(now), ask.destination)
                return True
            except BlockingIOError:
                return False
            except OSError as error:
                # An earlier ICMP error surfaces on whatever call comes next: then this request has not been sent.
                if not self._read_errors():
                    ask.fault = Silence(os.strerror(error.errno or errno.EIO))
                    return True
        return False

    # --- receiving

    def _receive(self) -> None:
        receive, waiting = self._socket.recvfrom, self._waiting
        while True:
            try:
                datagram, source = receive(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                self._read_errors()
                continue
            ask = waiting.get(source)
            if ask is None:
                self.stray += 1
            else:
                self._take(ask, datagram)

    def _take(self, ask: _Ask, datagram: bytes) -> None:
        now = perf_counter()
        ask.octets += HEADERS + len(datagram)
        answer = ask.exchange.take(datagram, now)
        if isinstance(answer, tuple):
            metrics, odd = ask.plan.reader.read(answer)
            self._settle(ask, Reading(metrics, odd, now - ask.batch.sent, ask.octets))
        elif isinstance(answer, Refused):
            # Only an answer that cannot be forged ends the question: the true one is still awaited.
            ask.fault = Refusal(str(answer), ask.octets)
            if answer.final:
                self._settle(ask, ask.fault)
        elif answer is Sign.STRAY:
            self.stray += 1
        else:
            self._go_on(ask)

    def _go_on(self, ask: _Ask) -> None:
        """The device waits for the exchange's next message: it goes first, and is no retry."""
        if ask.queued or ask.given_up:
            return
        self._leave(ask)
        ask.batch = _Batch({}, ask.batch.sent, fresh=False)
        ask.tries -= 1
        ask.queued = True
        self._queue.appendleft(ask)

    def _leave(self, ask: _Ask) -> None:
        """The ask's last request is answered: its answer takes no room in the buffer any more."""
        batch = ask.batch
        batch.asks.pop(ask, None)
        if batch.fresh:
            self._room += 1

    def _settle(self, ask: _Ask, outcome: Outcome) -> None:
        self._leave(ask)
        if ask.given_up:
            self.late += 1
        else:
            self._unsettled -= 1
        if ask.exchange.learnt:
            self._plans.remember(ask.device, ask.plan, ask.exchange)
        ask.settled = True
        self.outcomes[ask.device] = outcome
        del self._waiting[ask.destination]

    # --- time

    def _age(self, now: float) -> None:
        fresh, sent = self._fresh, self._sent
        while fresh and fresh[0].sent + PAUSE <= now:
            batch = fresh.popleft()
            batch.fresh = False
            self._room += len(batch.asks)
        while sent and sent[0].sent + self._timeout <= now:
            for ask in sent.popleft().asks:
                self._again(ask)

    def _again(self, ask: _Ask) -> None:
        refused = ask.exchange.timed_out()
        if refused is not None and not isinstance(ask.fault, Refusal):
            ask.fault = Refusal(str(refused))
        if ask.tries < self._tries:
            ask.queued = True
            self._queue.append(ask)
            self.retried += 1
        elif not ask.given_up:
            ask.given_up = True
            self._unsettled -= 1

    def _read_errors(self) -> bool:
        """Takes ICMP errors off the socket's error queue, each to the device it is about; whether there was one."""
        found = False
        while True:
            try:
                _, ancillary, _, destination = self._socket.recvmsg(0, 128, socket.MSG_ERRQUEUE)
            except OSError:
                return found
            found = True
            ask = self._waiting.get(destination)
            for level, kind, data in ancillary:
                if (
                    ask is not None
                    and ask.fault is _TIMEOUT
                    and (level, kind) == (socket.IPPROTO_IP, _IP_RECVERR)
                    and len(data) >= 4
                ):
                    ask.fault = Silence(os.strerror(struct.unpack_from("=I", data)[0]))
