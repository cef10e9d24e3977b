"""What is known of exchanged units: records that are never changed, so that an old unit is known when it comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from inventory.diagnostics import Diagnostic
from inventory.model import TIMEZONE, Device
from nms.provision.enrol_faults import fault
from nms.provision.site import SiteKind
from nms.store import SiteRow

PREVIOUS: Final = "previous"
SERIAL: Final = "serial"


def document(previous: str, serial: str, host_key: str, public_key: str) -> dict[str, Any]:
    """What is recorded of a replacement: both serial numbers, and the keys that count no more."""
    return {PREVIOUS: previous, SERIAL: serial, "host_key": host_key, "public_key": public_key}


def refused(session: Session, serial: str) -> Diagnostic | None:
    """Why a unit must not come back: the last time it was spoken of, another took its place."""
    for row in _of(session, serial):
        if row.document[SERIAL] == serial:
            return None
        return fault("PLN605", serial=serial, day=f"{row.at.astimezone(TIMEZONE):%d/%m/%Y}", device=row.subject)
    return None


def expected(session: Session, device: Device) -> str:
    """The serial number that the device must have: the inventory's, or that of the spare which took its place since."""
    rows = select(SiteRow).where(SiteRow.subject == device.id, SiteRow.kind == SiteKind.REPLACEMENT)
    last = session.scalars(rows.order_by(SiteRow.at.desc(), SiteRow.id.desc()).limit(1)).first()
    if last is not None and last.document[PREVIOUS] == device.serial:
        return str(last.document[SERIAL])
    return device.serial


def _of(session: Session, serial: str) -> Iterator[SiteRow]:
    """Replacements in which it came or went, the last one first."""
    came, went = (SiteRow.document[name].as_string() == serial for name in (SERIAL, PREVIOUS))
    rows = select(SiteRow).where(SiteRow.kind == SiteKind.REPLACEMENT, or_(came, went))
    yield from session.scalars(rows.order_by(SiteRow.at.desc(), SiteRow.id.desc()))
