"""Which device families Loa sets up, how it logs in to them, and which roles say what they should have. Data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from inventory.diagnostics import Diagnostic, Severity
from inventory.model import Device
from nms.provision.plan_faults import fault
from nms.provision.values import Family


@dataclass(frozen=True, slots=True)
class Setup:
    """``user``: the account that SSH logs in to; ``roles``: folders in ``playbooks/roles``, in their order."""

    family: Family
    user: str
    roles: tuple[str, ...]


LINUX: Final = ("base", "overlay", "firewall", "snmp", "receiver")

SETUPS: Final[Mapping[str, Setup]] = {
    "loa-receiver": Setup(Family.LINUX, "root", LINUX),
    "loa-board": Setup(Family.LINUX, "root", (*LINUX, "board")),
    "openwrt": Setup(Family.UCI, "root", ("uci",)),
    "rutos": Setup(Family.UCI, "root", ("uci",)),
    "rutos-flat": Setup(Family.UCI, "root", ("uci",)),
    "routeros": Setup(Family.ROUTEROS, "loa", ("routeros",)),
}
"""By profile. Families that are only watched (UPS, signs of other makers) are not here."""


def setup_of(device: Device, setups: Mapping[str, Setup] = SETUPS) -> Setup | Diagnostic:
    """How the device is set up; a warning where Loa only watches it."""
    found = setups.get(device.profile)
    if found is not None:
        return found
    return fault("PLN207", device.place, Severity.WARNING, profile=device.profile, device=device.id)
