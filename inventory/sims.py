"""SIMs whose plan runs out soon: told before a whole commune falls silent on one day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Final

from inventory.codes import CODES, some
from inventory.diagnostics import Diagnostic, Place, Severity
from inventory.model import DeviceId, Network

AHEAD: Final = timedelta(days=30)
"""How long before the end a plan is to be renewed."""


def expiring(network: Network, on: date, ahead: timedelta = AHEAD) -> tuple[Diagnostic, ...]:
    """A warning about SIMs of devices in use that have run out, and one about those that do until ``on + ahead``."""
    held = ((d, d.sim.expires) for d in network.devices_on(on) if d.sim is not None)
    ends = sorted((end, device.id) for device, end in held if end is not None and end <= on + ahead)
    over, soon = [one for one in ends if one[0] < on], [one for one in ends if one[0] >= on]
    return (*_warnings("INV408", over, ahead), *_warnings("INV407", soon, ahead))


def _warnings(code: str, ends: Sequence[tuple[date, DeviceId]], ahead: timedelta) -> Iterator[Diagnostic]:
    if ends:
        fields = {"count": str(len(ends)), "days": str(ahead.days), "day": f"{ends[0][0]:%d/%m/%Y}"}
        fields["devices"] = some(device for _, device in ends)
        message, fix = CODES[code]
        yield Diagnostic(code, Place(""), message, fix, fields, Severity.WARNING)
