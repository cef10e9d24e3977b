"""What a client may ask of the hub about records made on the spot; as in ``tui.methods``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tui.methods import Method


@dataclass(frozen=True, slots=True)
class Accept:
    """``signal`` None: as the device last reported it. ``tone``: none, silent or heard."""

    device: str
    level: float | None
    signal: float | None
    tone: str
    photo: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class SurveyStation:
    unit: str
    technology: str
    condition: str
    horns: int
    working: int
    photo: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """A device or a unit."""

    id: str


@dataclass(frozen=True, slots=True)
class SiteRecord:
    """``fields`` are texts by name, empty where unknown; ``missing`` names what an acceptance still lacks."""

    id: str
    subject: str
    kind: str
    at: int
    by: str
    name: str
    place: str
    fields: Mapping[str, str]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SiteRecords:
    """The latest first."""

    records: tuple[SiteRecord, ...]


@dataclass(frozen=True, slots=True)
class Try:
    """A test tone; ``silent``: the same way without sound."""

    device: str
    silent: bool


@dataclass(frozen=True, slots=True)
class Tried:
    """``result`` and ``reason`` as receipts say them; ``level`` in dBFS, None where nothing sounded."""

    result: str
    reason: str
    level: float | None
    passed: bool


ACCEPT = Method("accept", Accept, SiteRecord)
SURVEY = Method("survey", SurveyStation, SiteRecord)
RECORDS = Method("records", Subject, SiteRecords)
TRY = Method("try", Try, Tried)
