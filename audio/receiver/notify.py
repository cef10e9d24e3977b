"""What the receiver tells systemd: that it runs, and that it still comes round (sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

READY, ALIVE = b"READY=1", b"WATCHDOG=1"


class Notifier:
    """Nothing is told where nobody listens: without NOTIFY_SOCKET in ``environment``."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        patience = environment.get("WATCHDOG_USEC", "")
        self._every = int(patience) / 4_000_000 if patience.isdigit() else None
        self._next = 0.0

    def ready(self) -> None:
        self._tell(READY)

    def alive(self) -> None:
        """To be called whenever the main loop comes round; tells it four times as often as the watchdog wants it."""
        now = time.monotonic()
        if self._every is not None and now >= self._next:
            self._next = now + self._every
            self._tell(ALIVE)

    def _tell(self, word: bytes) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
            line.sendto(word, self._address)
