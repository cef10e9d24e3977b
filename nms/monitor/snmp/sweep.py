"""One question to the whole fleet: one UDP socket, one thread, a plain loop (asyncio datagrams stop at 20,000/s).

Answers are matched by source address **and** request id; the id is kept across retries, so a late answer counts. All
devices are asked at once: a dead one costs its timeout, not anybody's turn. Sends are paced only by what the receive
buffer is sure to hold while this thread is not running.
"""

from __future__ import annotations

import gc
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter, time
from typing import Final

from nms.monitor.snmp.outcome import Outcome, Reading, Refusal, Silence, Sweep, SweepStats, Target
from nms.monitor.snmp.peers import EngineMemory, Engines
from nms.monitor.snmp.plans import Plans
from nms.monitor.snmp.run import BURST, Run

__all__ = ["Outcome", "Reading", "Refusal", "Silence", "Sweep", "SweepStats", "Sweeper", "Target"]

WANTED_BUFFER: Final = 8 << 20
"""Bytes of receive buffer asked for; the kernel grants at most twice net.core.rmem_max."""

REPLY_COST: Final = 2304
"""Bytes of receive buffer a waiting reply may take: the kernel charges the driver's whole frame buffer, not the
payload (1,280 on loopback, up to 2,304 with common drivers)."""

_SO_MEMINFO: Final = 55
_MEMINFO_DROPS: Final = 8
_IP_RECVERR: Final = 11


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
            room = max(BURST, self.granted // REPLY_COST)
            run = Run(self._socket, self._plans, targets, self.timeout, self.retries, room)
            run.go(cancelled)
        seconds, dropped = perf_counter() - began, self.dropped - before
        self._plans.keep()
        outcomes = run.outcomes
        stats = SweepStats(
            seconds=seconds,
            targets=len(targets),
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
