"""What a client may ask of the hub about the programme grid; as in ``tui.methods``."""

from __future__ import annotations

from dataclasses import dataclass

from tui.methods import Method


@dataclass(frozen=True, slots=True)
class UnitDay:
    """A commune, and a day as an ISO date."""

    unit: str
    on: str


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """A bulletin's start: ``room`` is the line it lies in, empty where it was placed as soon as the air was free."""

    bulletin: str
    title: str
    cls: str
    tier: str
    origin: str
    state: str
    start: int
    until: int
    room: str
    cancelled: bool


@dataclass(frozen=True, slots=True)
class SignedRow:
    """A relay's line (its unit and terms) that is signed, or ``waiting`` for it."""

    unit: str
    terms: str
    bulletin: str
    waiting: bool


@dataclass(frozen=True, slots=True)
class HeldRow:
    """An emergency in force in the commune from ``start`` to ``until``: nothing else is heard meanwhile."""

    title: str
    start: int
    until: int


@dataclass(frozen=True, slots=True)
class DayRows:
    placed: tuple[PlacedRow, ...]
    signed: tuple[SignedRow, ...]
    held: tuple[HeldRow, ...]


@dataclass(frozen=True, slots=True)
class HandIn:
    """Every relay that ``unit`` itself declares and nobody has signed; ``authority``: the document it rests on."""

    unit: str
    authority: str = ""


@dataclass(frozen=True, slots=True)
class HandedIn:
    """The bulletins that wait for approval now, one for each line."""

    bulletins: tuple[str, ...]


GRID_DAY = Method("grid_day", UnitDay, DayRows)
GRID_SIGN = Method("grid_sign", HandIn, HandedIn)
