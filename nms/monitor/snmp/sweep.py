"""One question to the whole fleet: one UDP socket, one thread, a plain loop (asyncio datagrams stop at 20,000/s).

Answers are matched by source address **and** request id; the id is kept across retries, so a late answer counts. All
devices are asked at once: a dead one costs its timeout, not anybody's turn. Sends are paced only by what the receive
buffer is sure to hold while this thread is not running.
"""

from __future__ import annotations

import errno
import gc
import os
import secrets
import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter, time
from typing import Final

from nms.monitor.snmp.ber import FIRST_ID
from nms.monitor.snmp.exchange import Refused, Sign
from nms.monitor.snmp.outcome import Outcome, Reading, Refusal, Silence, Sweep, SweepStats, Target
from nms.monitor.snmp.peers import EngineMemory, Engines
from nms.monitor.snmp.plans import Asking, Plan, Plans

__all__ = ["Outcome", "Reading", "Refusal", "Silence", "Sweep", "SweepStats", "Sweeper", "Target"]

WANTED_BUFFER: Final = 8 << 20
"""Bytes of receive buffer asked for; the kernel grants at most twice net.core.rmem_max."""

REPLY_COST: Final = 2304
"""Bytes of receive buffer a waiting reply may take: the kernel charges the driver's whole frame buffer, not the
payload (1,280 on loopback, up to 2,304 with common drivers)."""

PAUSE: Final = 0.05
"""Seconds this thread may be kept from reading without a reply being dropped."""

MAX_DATAGRAM: Final = 4096
"""Bytes read of one datagram; a longer one is cut off and therefore refused."""

HEADERS: Final = 28
"""Bytes that IP and UDP add to a datagram."""

BURST: Final = 64
"""Requests sent between two looks at the socket."""

_SO_MEMINFO: Final = 55
_MEMINFO_DROPS: Final = 8
_IP_RECVERR: Final = 11


class _Ask:
    """One device's question under way."""

    __slots__ = (
        "batch",
        "destination",
        "exchange",
        "fault",
        "given_up",
        "octets",
        "outcome",
        "plan",
        "queued",
        "target",
        "tries",
    )

    def __init__(self, target: Target, plan: Plan, exchange: Asking) -> None:
        self.target = target
        self.destination = (target.address, target.port)
        self.exchange = exchange
        self.plan = plan
        self.tries = 0
        self.batch = _UNSENT
        self.outcome: Outcome | None = None
        self.fault: Silence | Refusal | None = None
        self.given_up = False
        self.queued = True
        self.octets = 0

    def result(self) -> Outcome | None:
        """The outcome; for a device given up the reason known; None if the sweep was cancelled before."""
        if self.outcome is None and self.given_up:
            return replace(self.fault or Silence(), octets=self.octets)
        return self.outcome


@dataclass(slots=True)
class _Batch:
    """Requests sent together: ``open`` of them are unanswered; while ``fresh`` they may arrive all at once."""

    asks: list[_Ask]
    sent: float = 0.0
    open: int = 0
    fresh: bool = True


_UNSENT: Final = _Batch([])


def _never() -> bool:
    return False


@contextmanager
def _collector_paused() -> Iterator[None]:
    """A sweep makes objects by the thousand and no garbage; looking for some would cost a third of its time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Sweeper:
    """Asks fleets from one socket. Not for two threads at once."""

    def __init__(
        self,
        bind: str,
        timeout: float = 2.0,
        retries: int = 1,
        buffer: int = WANTED_BUFFER,
        memory: EngineMemory | None = None,
    ) -> None:
        """``bind`` is the local address, ``timeout`` seconds per try; OSError if the address is not ours.

        ``memory`` keeps SNMPv3 engines over restarts; without it they are discovered anew.
        """
        self.timeout = timeout
        self.retries = retries
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._socket.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        self._socket.bind((bind, 0))
        self._plans = Plans(Engines(memory, perf_counter, time))

    @property
    def address(self) -> tuple[str, int]:
        """Where requests come from and answers go to."""
        host, port = self._socket.getsockname()
        return host, port

    @property
    def granted(self) -> int:
        """Bytes of receive buffer the kernel granted."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    @property
    def dropped(self) -> int:
        """Datagrams the kernel has thrown away on this socket because the buffer was full."""
        raw = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 64)
        return int(struct.unpack_from("=I", raw, 4 * _MEMINFO_DROPS)[0]) if len(raw) > 4 * _MEMINFO_DROPS else 0

    def close(self) -> None:
        self._socket.close()

    def sweep(self, targets: Sequence[Target], cancelled: Callable[[], bool] = _never) -> Sweep:
        """Asks every target, waits for all answers or their timeouts. No two targets share address and port."""
        before, began = self.dropped, perf_counter()
        with _collector_paused():
            asks = self._asks(targets)
            run = _Run(self._socket, asks, self.timeout, self.retries, max(BURST, self.granted // REPLY_COST))
            run.go(cancelled)
        seconds, dropped = perf_counter() - began, self.dropped - before
        for ask in asks:
            if ask.exchange.learnt:
                self._plans.remember(ask.target.device, ask.plan, ask.exchange)
        self._plans.keep()
        outcomes = {ask.target.device: outcome for ask in asks if (outcome := ask.result()) is not None}
        stats = SweepStats(
            seconds=seconds,
            targets=len(asks),
            sent=run.sent,
            retries=run.retried,
            answered=sum(1 for outcome in outcomes.values() if isinstance(outcome, Reading)),
            late=run.late,
            stray=run.stray,
            refused=sum(1 for outcome in outcomes.values() if isinstance(outcome, Refusal)),
            dropped=dropped,
            granted=self.granted,
        )
        return Sweep(outcomes, stats)

    def _asks(self, targets: Sequence[Target]) -> list[_Ask]:
        first = FIRST_ID + secrets.randbelow((1 << 31) - FIRST_ID - len(targets))
        plans, asks = self._plans, []
        for request_id, target in enumerate(targets, first):
            plan = plans.plan(target)
            asks.append(_Ask(target, plan, plans.exchange(target.device, plan, request_id)))
        return asks


class _Run:
    """One sweep under way: what waits to be sent, what was sent when, who answered."""

    def __init__(self, sock: socket.socket, asks: list[_Ask], timeout: float, retries: int, capacity: int) -> None:
        self._socket = sock
        self._by_address = {ask.destination: ask for ask in asks}
        if len(self._by_address) != len(asks):
            raise ValueError("two targets share an address and port")
        self._queue = deque(asks)
        self._sent: deque[_Batch] = deque()
        self._fresh: deque[_Batch] = deque()
        self._timeout = timeout
        self._tries = 1 + retries
        self._room = capacity
        self._unsettled = len(asks)
        self.sent = self.retried = self.late = self.stray = 0

    def go(self, cancelled: Callable[[], bool]) -> None:
        """Until everyone is settled: read what is there, then send what the buffer has room for."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while self._unsettled and not cancelled():
            now = perf_counter()
            self._receive()
            self._age(now)
            if self._unsettled and not (self._queue and self._room > 0 and self._send()):
                for _, event in poll.poll(self._wait(perf_counter())):
                    if event & select.POLLERR:
                        self._read_errors()
        self._read_errors()

    def _wait(self, now: float) -> float:
        """Milliseconds until something is due; never more than a tenth of a second, so that a cancel is heard."""
        due = now + 0.1
        if self._sent:
            due = min(due, self._sent[0].sent + self._timeout)
        if self._queue and self._fresh:
            due = min(due, self._fresh[0].sent + PAUSE)
        return max(1.0, (due - now) * 1000)

    # --- sending

    def _send(self) -> bool:
        """One burst; False if the socket takes nothing more now."""
        queue, batch = self._queue, _Batch([])
        flowing, now = True, perf_counter()
        for _ in range(min(BURST, self._room, len(queue))):
            ask = queue.popleft()
            ask.queued = False
            if ask.outcome is not None:
                continue
            if not self._put(ask, now):
                queue.appendleft(ask)
                ask.queued = True
                flowing = False
                break
            ask.tries += 1
            ask.batch = batch
            batch.asks.append(ask)
        if batch.asks:
            batch.sent = perf_counter()
            batch.open = len(batch.asks)
            self.sent += batch.open
            self._room -= batch.open
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
        receive, by_address = self._socket.recvfrom, self._by_address
        while True:
            try:
                datagram, source = receive(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                self._read_errors()
                continue
            ask = by_address.get(source)
            if ask is None or ask.outcome is not None:
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
        batch = ask.batch
        batch.open -= 1
        if batch.fresh:
            self._room += 1
        ask.batch = _Batch([], batch.sent, fresh=False)
        ask.tries -= 1
        ask.queued = True
        self._queue.appendleft(ask)

    def _settle(self, ask: _Ask, outcome: Outcome) -> None:
        batch = ask.batch
        batch.open -= 1
        if batch.fresh:
            self._room += 1
        if ask.given_up:
            self.late += 1
        else:
            self._unsettled -= 1
        ask.outcome = outcome

    # --- time

    def _age(self, now: float) -> None:
        fresh, sent = self._fresh, self._sent
        while fresh and fresh[0].sent + PAUSE <= now:
            batch = fresh.popleft()
            batch.fresh = False
            self._room += batch.open
        while sent and sent[0].sent + self._timeout <= now:
            batch = sent.popleft()
            for ask in batch.asks:
                if ask.outcome is None and ask.batch is batch:
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
            ask = self._by_address.get(destination)
            for level, kind, data in ancillary:
                if ask is not None and (level, kind) == (socket.IPPROTO_IP, _IP_RECVERR) and len(data) >= 4:
                    ask.fault = ask.fault or Silence(os.strerror(struct.unpack_from("=I", data)[0]))
