"""Whom the hub's end of the tunnel accepts, as a file for ``wg syncconf``: the hub itself may not touch interfaces."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Final

from inventory.model import DeviceId, Network
from nms.provision import wireguard
from nms.provision.authority import write

log = logging.getLogger("loa.peers")

PEERS: Final = "wireguard/peers.conf"
"""In the hub's state; whoever owns the interface follows it."""
LOOK_SECONDS: Final = 2.0


class Peers:
    """The inventory's keys, and those of devices that were enrolled or exchanged since it was read."""

    def __init__(self, state: Path, inventory: Callable[[], tuple[Network, date]], octet: Callable[[Network], int]):
        self._file = state / PEERS
        self._inventory = inventory
        self._octet = octet
        self._newer: dict[DeviceId, tuple[str, str]] = {}
        self._seen: tuple[Network, date] | None = None
        self._turn = asyncio.Lock()

    async def accept(self, device: DeviceId, key: str) -> None:
        """This key is the device's from now on, whatever the inventory had; empty: none is. Raises OSError."""
        network, _ = self._inventory()
        before = network.devices[device].public_key if device in network.devices else ""
        self._newer[device] = (before, key)
        self._seen = None
        await self.refresh()

    async def refresh(self) -> None:
        """Writes the file if it is not so already. Raises OSError."""
        async with self._turn:
            network, on = self._inventory()
            if self._seen is not None and self._seen[0] is network and self._seen[1] == on:
                return
            text = wireguard.config(wireguard.peers(self._current(network), on, self._octet(network), {}, {}))
            if not self._file.is_file() or self._file.read_text() != text:
                self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
                await asyncio.to_thread(write, self._file, text.encode(), 0o640)
            self._seen = (network, on)

    def _current(self, network: Network) -> Network:
        """An inventory that has another key than then has been written since, and counts again."""
        devices = dict(network.devices)
        for name, (before, key) in list(self._newer.items()):
            device = devices.get(name)
            if device is None or device.public_key != before:
                del self._newer[name]
            else:
                devices[name] = replace(device, public_key=key)
        return replace(network, devices=devices)

    async def keep(self) -> None:
        """Follows the inventory, until cancelled."""
        while True:
            try:
                await self.refresh()
            except OSError as error:
                log.error("%s cannot be written: %s", self._file, error)
            await asyncio.sleep(LOOK_SECONDS)
