"""Hearing the fleet's traps, as a task of a process that polls.

Of several such processes on a machine one has the port; when it ends, another one takes the port over.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Iterable

from inventory.model import DeviceId, Network
from nms.monitor.snmp.usm import Security
from nms.monitor.trapd import TrapBook, TrapReceiver, cannot_listen, decoder, sources
from nms.settings import Clock, Settings
from tui.polling import overlay, today

log = logging.getLogger("loa.serve")

LOOK_SECONDS = 1.0
"""How soon a reloaded inventory changes who is heard."""

TAKE_OVER_SECONDS = 2.0
"""How soon a port that has become free is taken."""


def trap_task(
    settings: Settings,
    current: Callable[[], Network],
    clock: Clock,
    book: TrapBook,
    wake: Callable[[Iterable[DeviceId]], None],
    security: Security,
    several: bool,
) -> Callable[[], Awaitable[None]]:
    """Hears the devices of the network in force, of all parts. Without its port it says so once and waits for it.

    ``wake`` is told at once who spoke; ``several``: the port may be another of our processes'.
    """
    bind = (settings.snmp_bind, settings.snmp_trap_port)

    async def listen() -> TrapReceiver:
        told = False
        while True:
            try:  # of several engines of one name the one that began last is believed: a new one for each attempt
                read = decoder(security, current().province, clock())
                return TrapReceiver(bind, read, clock, wake, book.keep)
            except OSError as error:
                if not told:
                    _missed(bind, error, several)
                told = True
            await asyncio.sleep(TAKE_OVER_SECONDS)

    async def hear() -> None:
        receiver = await listen()
        log.info("traps are received on %s:%d", *bind)
        running = asyncio.create_task(asyncio.to_thread(receiver.run))
        known: Network | None = None
        try:
            while not running.done():
                network = current()
                if network is not known:
                    known = network
                    receiver.allow(sources(network, today(network, clock), overlay(settings, network)))
                await asyncio.wait([running], timeout=LOOK_SECONDS)
            await running
        finally:
            receiver.stop()

    return hear


def _missed(bind: tuple[str, int], error: OSError, several: bool) -> None:
    if several and error.errno == errno.EADDRINUSE:
        log.info("traps are received on %s:%d by another process; this one waits for the port", *bind)
    else:
        found = cannot_listen(bind, error)
        log.warning("%s %s", found.code, found.text())
