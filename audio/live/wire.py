"""The hub's second connection to the broker, for live pages only: what waits behind them would come late.

Pages go out once, at QoS 0; a page that could not be sent within two seconds is dropped, because the next ones matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import Callable

import aiomqtt

BEHIND = 2.0
"""Seconds after which a page is not sent any more."""
FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0
PATIENCE = 5.0
"""Seconds that one page may take to leave this machine; then the connection is made anew."""


class Wire:
    """``run`` keeps a connection for as long as a header is kept here. ``dropped`` counts pages that were not sent."""

    def __init__(self, host: str, port: int, tls: Callable[[], ssl.SSLContext] | None = None) -> None:
        """``tls`` as for ``broker.Broker``."""
        self._address = host, port
        self._tls = tls
        self._headers: dict[str, bytes] = {}
        self._busy = asyncio.Event()
        self._outgoing: asyncio.Queue[tuple[float, str, bytes, bool]] | None = None
        self.connected = asyncio.Event()
        self.dropped = 0
        self.reason = ""

    def begin(self, topic: str, header: bytes) -> None:
        """Keep this frame on the topic from now on."""
        self._headers[topic] = header
        self._busy.set()
        self._put(topic, header, retain=True)

    def page(self, topic: str, frame: bytes) -> None:
        if not self._put(topic, frame, retain=False):
            self.dropped += 1

    def end(self, topic: str) -> None:
        """Nothing is retained there any more."""
        if self._headers.pop(topic, None) is not None:
            self._put(topic, b"", retain=True)

    def _put(self, topic: str, frame: bytes, *, retain: bool) -> bool:
        if self._outgoing is None:
            return False
        self._outgoing.put_nowait((asyncio.get_running_loop().time(), topic, frame, retain))
        return True

    async def run(self) -> None:
        """Serve until cancelled."""
        wait = FIRST_WAIT
        while True:
            await self._busy.wait()
            try:
                await self._session()
                wait = FIRST_WAIT
                continue
            except (aiomqtt.MqttError, OSError) as error:
                self.reason = str(error)
            finally:
                self._outgoing = None
                self.connected.clear()
            await asyncio.sleep(random.SystemRandom().uniform(wait / 2, wait))
            wait = min(2 * wait, LONGEST_WAIT)

    async def _session(self) -> None:
        """One connection, until nothing is kept any more. Raises MqttError, OSError."""
        client = aiomqtt.Client(
            *self._address,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=True,
            keepalive=15,
            timeout=PATIENCE,
            tls_context=self._tls() if self._tls is not None else None,
        )
        async with client:
            outgoing = self._outgoing = asyncio.Queue()
            for topic, header in self._headers.items():
                self._put(topic, header, retain=True)
            self.connected.set()
            lost = asyncio.create_task(_lost(client))
            try:
                while self._headers or not outgoing.empty():
                    if lost.done():
                        lost.result()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(1.0):
                            entry = await outgoing.get()
                        await self._send(client, *entry)
            finally:
                lost.cancel()
                await asyncio.gather(lost, return_exceptions=True)
            self._busy.clear()

    async def _send(self, client: aiomqtt.Client, put: float, topic: str, frame: bytes, retain: bool) -> None:
        if not retain and asyncio.get_running_loop().time() - put > BEHIND:
            self.dropped += 1
            return
        await client.publish(topic, frame, qos=1 if retain else 0, retain=retain)


async def _lost(client: aiomqtt.Client) -> None:
    """Raises MqttError when the connection is lost, also while there is nothing to send."""
    async for _ in client.messages:
        pass  # nothing is subscribed to
