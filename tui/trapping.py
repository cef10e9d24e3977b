"""Hearing the fleet's traps, as a task of the process that polls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from inventory.model import Network
from nms.monitor.loop import Monitor
from nms.monitor.snmp.usm import Security
from nms.monitor.trapd import TrapBook, TrapReceiver, cannot_listen, decoder, sources
from nms.settings import Clock, Settings
from nms.store import Store
from tui.polling import overlay, today

log = logging.getLogger("loa.serve")

LOOK_SECONDS = 1.0
"""How soon a reloaded inventory changes who is heard."""


def trap_task(
    settings: Settings, current: Callable[[], Network], clock: Clock, store: Store, monitor: Monitor, security: Security
) -> Callable[[], Awaitable[None]]:
    """Hears the devices of the network in force. Without its port it says so and rests: polling does without."""
    bind = (settings.snmp_bind, settings.snmp_trap_port)

    async def hear() -> None:
        read = decoder(security, current().province, clock())
        try:
            receiver = TrapReceiver(bind, read, clock, monitor.poll_soon, TrapBook(store).keep)
        except OSError as error:
            found = cannot_listen(bind, error)
            log.warning("%s %s", found.code, found.text())
            await asyncio.Event().wait()
            return
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
