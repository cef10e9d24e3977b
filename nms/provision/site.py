"""Records that technicians make on the spot: acceptance on the pole, survey of an old station. Never changed once made.

What the inventory knows (place, serial number, volume ceilings) is copied into an acceptance as it was that day; what
only somebody standing there can say (signal, sound level, whether the tone was heard) is measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from inventory.model import Condition, Device, Technology, UnitId
from nms.journal import new_id
from nms.store import SiteRow


class SiteKind(StrEnum):
    ACCEPTANCE = "acceptance"
    SURVEY = "survey"
    ENROLMENT = "enrolment"
    REPLACEMENT = "replacement"


class Tone(StrEnum):
    """How the sound was proven: ``HEARD`` by a person there; ``SILENT``: the chain was checked without being heard, as
    in quiet hours."""

    NONE = "none"
    SILENT = "silent"
    HEARD = "heard"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """``signal``: RSRP in dBm. ``level``: sound pressure in dB(A) where people stand. Ceilings in percent.

    ``photo``: where the picture is kept. WGS 84 decimal degrees.
    """

    device: str
    serial: str
    latitude: float | None
    longitude: float | None
    day: int
    early: int
    emergency: int
    signal: float | None
    level: float | None
    tone: Tone
    photo: str = ""
    note: str = ""

    def missing(self) -> tuple[str, ...]:
        """What keeps it from being complete, as names of fields."""
        wanted = {
            "serial": bool(self.serial),
            "place": self.latitude is not None,
            "signal": self.signal is not None,
            "level": self.level is not None,
            "tone": self.tone is Tone.HEARD,
        }
        return tuple(name for name, there in wanted.items() if not there)


@dataclass(frozen=True, slots=True)
class Survey:
    """An old station as found: ``horns`` and how many of them ``working`` are counted there."""

    unit: str
    technology: Technology
    condition: Condition
    horns: int
    working: int
    photo: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One record and who made it when; ``subject`` is a device or a unit."""

    id: str
    subject: str
    kind: SiteKind
    at: datetime
    by: str
    document: dict[str, Any]


def accepted(
    device: Device, signal: float | None, level: float | None, tone: Tone, photo: str, note: str
) -> Acceptance:
    """An acceptance of that device as the inventory has it."""
    place = device.location
    return Acceptance(
        device=device.id,
        serial=device.serial,
        latitude=place.latitude if place else None,
        longitude=place.longitude if place else None,
        day=device.volume.day,
        early=device.volume.early,
        emergency=device.volume.emergency,
        signal=signal,
        level=level,
        tone=tone,
        photo=photo,
        note=note,
    )


def keep(session: Session, record: Acceptance | Survey, by: str, now: datetime) -> Record:
    """Adds the record to the session's transaction."""
    if isinstance(record, Acceptance):
        return keep_document(session, record.device, SiteKind.ACCEPTANCE, asdict(record), by, now)
    return keep_document(session, UnitId(record.unit), SiteKind.SURVEY, asdict(record), by, now)


def keep_document(
    session: Session, subject: str, kind: SiteKind, document: dict[str, Any], by: str, now: datetime
) -> Record:
    """Adds a record of any kind; ``document`` is JSON."""
    row = SiteRow(id=new_id(now), subject=subject, kind=kind.value, at=now, by=by, document=document)
    session.add(row)
    return Record(row.id, subject, kind, now, by, document)


def of(session: Session, subject: str) -> Iterator[Record]:
    """Everything recorded of a device or unit, the latest first."""
    rows = session.scalars(
        select(SiteRow).where(SiteRow.subject == subject).order_by(SiteRow.at.desc(), SiteRow.id.desc())
    )
    for row in rows:
        yield Record(row.id, row.subject, SiteKind(row.kind), row.at, row.by, dict(row.document))
