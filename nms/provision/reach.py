"""How the hub gets at a device to change it: one door for every family."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId
from nms.provision.values import Facts, Manifest, Result


@dataclass(frozen=True, slots=True)
class Target:
    """A device, how it is reached over SSH, and what it should be. ``host_key``: as in the inventory; a device that
    shows another one is not talked to."""

    device: DeviceId
    address: str
    user: str
    host_key: str
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Unreached:
    """A device that could not be asked, and why."""

    device: DeviceId
    problem: Diagnostic


class Provisioner(Protocol):
    """Reads and changes devices of one family. Nothing here raises because of a device: each has its own result.

    ``apply`` brings each device to its manifest; the device goes back by itself unless ``confirm`` reaches it within
    ``within`` seconds. ``confirm`` uses a connection made anew, and says of each device what kept it from confirming,
    None if nothing did.
    """

    def facts(self, targets: Sequence[Target]) -> AsyncIterator[Facts | Unreached]: ...

    def apply(self, targets: Sequence[Target], within: float) -> AsyncIterator[Result]: ...

    async def confirm(self, targets: Sequence[Target]) -> Mapping[DeviceId, Diagnostic | None]: ...


@runtime_checkable
class Counting(Protocol):
    """A provisioner that counts what else it costs a device."""

    def spent(self, device: DeviceId) -> tuple[int, int]:
        """Bytes sent and received for facts and confirmations, since this was asked last."""
