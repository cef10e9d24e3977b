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
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from inventory.model import DeviceId
from nms.monitor.profiles import Profile
from nms.monitor.readings import Reader
from nms.monitor.snmp.ber import FIRST_ID, DecodeError, Fault, Request, decode_response
from nms.monitor.snmp.layout import Layout
from nms.monitor.snmp.outcome import Outcome, Reading, Refusal, Silence, Sweep, SweepStats, Target
from nms.monitor.snmp.usm import Security, User

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

BURST: Final = 64
"""Requests sent between two looks at the socket."""

_SO_MEMINFO: Final = 55
_MEMINFO_DROPS: Final = 8
_IP_RECVERR: Final = 11


class _Ask:
    """One device's question under way."""

    __slots__ = (
        "batch",
        "datagram",
        "destination",
        "device",
        "fault",
        "given_up",
        "layout",
        "outcome",
        "plan",
        "request_id",
        "tries",
    )

    def __init__(self, target: Target, plan: _Plan, layout: Layout | None, request_id: int) -> None:
        self.device = target.device
        self.destination = (target.address, target.port)
        self.plan = plan
        self.layout = layout
        self.request_id = request_id
        self.datagram = plan.request.encode(request_id)
        self.tries = 0
        self.batch = _UNSENT
        self.outcome: Outcome | None = None
        self.fault: Silence | Refusal | None = None
        self.given_up = False

    def result(self) -> Outcome | None:
        """The outcome; for a device given up the reason known; None if the sweep was cancelled before."""
        if self.outcome is None and self.given_up:
            return self.fault or Silence()
        return self.outcome


@dataclass(slots=True)
class _Batch:
    """Requests sent together: ``open`` of them are unanswered; while ``fresh`` they may arrive all at once."""

    asks: list[_Ask]
    sent: float = 0.0
    open: int = 0
    fresh: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What devices of one profile and community share: the encoded request and the way to read the answer."""

    profile: Profile
    request: Request
    reader: Reader

    @classmethod
    def of(cls, target: Target) -> _Plan:
        if isinstance(target.security, User):
            raise TypeError("SNMPv3 is not asked yet")
        return cls(target.profile, Request(target.security.name, target.profile.oids), Reader(target.profile))


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

    def __init__(self, bind: str, timeout: float = 2.0, retries: int = 1, buffer: int = WANTED_BUFFER) -> None:
        """``bind`` is the local address, ``timeout`` seconds per try; OSError if the address is not ours."""
        self.timeout = timeout
        self.retries = retries
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._socket.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        self._socket.bind((bind, 0))
        self._plans: dict[tuple[Security, str], _Plan] = {}
        self._layouts: dict[DeviceId, tuple[_Plan, Layout]] = {}

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
        self._layouts = {ask.device: (ask.plan, ask.layout) for ask in asks if ask.layout is not None}
        outcomes = {ask.device: outcome for ask in asks if (outcome := ask.result()) is not None}
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
        asks: list[_Ask] = []
        for request_id, target in enumerate(targets, first):
            plan = self._plan(target)
            known, layout = self._layouts.get(target.device, (None, None))
            asks.append(_Ask(target, plan, layout if known is plan else None, request_id))
        return asks

    def _plan(self, target: Target) -> _Plan:
        key = (target.security, target.profile.name)
        plan = self._plans.get(key)
        if plan is None or plan.profile is not target.profile:
            plan = self._plans[key] = _Plan.of(target)
        return plan


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
        flowing = True
        for _ in range(min(BURST, self._room, len(queue))):
            ask = queue.popleft()
            if ask.outcome is not None:
                continue
            if not self._put(ask):
                queue.appendleft(ask)
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

    def _put(self, ask: _Ask) -> bool:
        """Sends one request. An error of the network is kept as what is known about the device; False: try later."""
        for _ in range(2):
            try:
                self._socket.sendto(ask.datagram, ask.destination)
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
        raw = None if ask.layout is None else ask.layout.read(datagram)
        if raw is None:
            response = decode_response(datagram, ask.plan.request)
            if isinstance(response, DecodeError):
                self._refuse(ask, response)
                return
            ask.layout = response.layout
            request_id, values = response.request_id, response.values
        else:
            request_id, values = raw
        if request_id != ask.request_id:
            self.stray += 1
            return
        metrics, odd = ask.plan.reader.read(values)
        self._settle(ask, Reading(metrics, odd, perf_counter() - ask.batch.sent))

    def _refuse(self, ask: _Ask, error: DecodeError) -> None:
        """An agent's own error answers the question; anything else may be forged: the true one is still awaited."""
        if error.request_id is not None and error.request_id != ask.request_id:
            self.stray += 1
            return
        ask.fault = Refusal(str(error))
        if error.fault is Fault.STATUS:
            self._settle(ask, ask.fault)

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
            for ask in sent.popleft().asks:
                if ask.outcome is None:
                    self._again(ask)

    def _again(self, ask: _Ask) -> None:
        if ask.tries < self._tries:
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
