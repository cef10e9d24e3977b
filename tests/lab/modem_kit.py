"""Stand-ins of modems with consoles (``tests.sim``), each in the lab's network on a link of its own."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from inventory import overlay
from inventory.model import DeviceId
from nms.provision.values import Family
from tests.lab.host import CABLE
from tests.lab.lab import OCTET, Lab
from tests.lab.link import Link, WeakLink
from tests.lab.spaces import Space
from tests.sim.cli_ssh import APNS, CliFleet

FIRST_NUMBER = 200
"""Hosts have lower ones."""


class LabFleet(CliFleet):
    """At their addresses in the overlay, as if their tunnels were up; the hub's own key is let in."""

    def __init__(
        self,
        lab: Lab,
        folder: Path,
        ids: Sequence[DeviceId],
        *,
        family: Family = Family.UCI,
        apns: frozenset[str] = APNS,
        link: Link | None = None,
    ) -> None:
        super().__init__(folder=folder, ids=ids, family=family, apns=apns)
        self._lab = lab
        self._radio = link
        self._spaces: dict[DeviceId, Space] = {}
        self._links: list[WeakLink] = []
        for name, device in self.devices.items():
            device.address = overlay.address(name, OCTET)

    def let_in(self, public: str) -> None:
        """The hub's key, as a line."""
        for device in self.devices.values():
            device.authorized = " ".join(public.split()[:2])

    def bytes(self, device: DeviceId) -> tuple[int, int]:
        """What its radio has received and sent."""
        for line in self._spaces[device].run(["cat", "/proc/thread-self/net/dev"]).stdout.splitlines():
            name, _, numbers = line.strip().partition(":")
            if name == CABLE:
                return int(numbers.split()[0]), int(numbers.split()[8])
        raise LookupError(device)

    def _bind(self) -> list[socket.socket]:
        self.port = 22
        return [self._wired(number, device) for number, device in enumerate(self.devices, FIRST_NUMBER)]

    def _wired(self, number: int, device: DeviceId) -> socket.socket:
        lab, address = self._lab, self.devices[device].address
        space = self._spaces[device] = lab._network.space(f"m{number}")
        wiring, link = lab._network.direct(space, number, address, self._radio)
        if link is not None:
            self._links.append(link)
        space.run(["ip", "addr", "add", wiring.address, "dev", CABLE])
        space.run(["ip", "link", "set", CABLE, "up"])
        hub = overlay.hub_address(OCTET)
        lab.noc.run(["ip", "route", "replace", f"{address}/32", "dev", "br0", "src", hub])
        with space.entered():
            return socket.create_server((address, self.port), backlog=64)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        for link in self._links:
            link.close()
