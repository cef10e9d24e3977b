"""The weekly programme grid as it is declared: its lines, and on which days each holds. Values and pure rules.

A line begins at ``start`` local time and lasts ``duration`` seconds; it may run past midnight and belongs to the day
on which it begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Protocol

from inventory.diagnostics import Place

if TYPE_CHECKING:
    from inventory.model import GroupId, HamletId, PersonId, Tier, UnitId


@dataclass(frozen=True, slots=True)
class When:
    """On which days a line holds: ``weekdays`` (Monday is 0; empty: all) in ``[valid_from, valid_to)``.

    A line with a ``holiday`` (its id) holds on its days only; others hold on ordinary days.
    """

    weekdays: tuple[int, ...] = ()
    valid_from: date | None = None
    valid_to: date | None = None
    holiday: str = ""

    def holds(self, on: date) -> bool:
        """Whether weekday and dates allow ``on``, holidays aside."""
        return (
            (not self.weekdays or on.weekday() in self.weekdays)
            and (self.valid_from is None or self.valid_from <= on)
            and (self.valid_to is None or on < self.valid_to)
        )


class Line(Protocol):
    """What sessions, slots and relays have in common."""

    @property
    def unit(self) -> UnitId: ...
    @property
    def name(self) -> str: ...
    @property
    def start(self) -> time: ...
    @property
    def duration(self) -> float: ...
    @property
    def when(self) -> When: ...


@dataclass(frozen=True, slots=True)
class Source:
    """Where a relayed programme comes from: ``urls`` in order of preference. Its id names the live session, too."""

    id: str
    name: str
    urls: tuple[str, ...]
    place: Place = Place("")


@dataclass(frozen=True, slots=True)
class Relay:
    """tiếp sóng: ``source`` is on the air in ``unit`` and everything below it."""

    unit: UnitId
    name: str
    source: str
    start: time
    duration: float
    when: When = When()
    place: Place = Place("")


@dataclass(frozen=True, slots=True)
class Slot:
    """A window that is kept for the bulletins of one tier in ``unit`` and everything below it."""

    unit: UnitId
    name: str
    tier: Tier
    start: time
    duration: float
    when: When = When()
    place: Place = Place("")


@dataclass(frozen=True, slots=True)
class Holiday:
    """Days in ``[valid_from, valid_to)`` with another programme: the lines in ``without`` (empty: all) are off."""

    unit: UnitId
    id: str
    name: str
    valid_from: date
    valid_to: date
    without: tuple[str, ...] = ()
    place: Place = Place("")


@dataclass(frozen=True, slots=True)
class SilentWindow:
    """Nothing but an emergency sounds in ``[start, end)`` in one unit (and below), hamlet or group: exams."""

    start: datetime
    end: datetime
    reason: str
    unit: UnitId | None = None
    hamlet: HamletId | None = None
    group: GroupId | None = None
    place: Place = Place("")


@dataclass(frozen=True, slots=True)
class QuietException:
    """The quiet hours do not hold in ``[start, end)``: signed by a leader in ``document``."""

    unit: UnitId
    start: datetime
    end: datetime
    signer: PersonId
    document: str
    place: Place = Place("")


@dataclass(frozen=True, slots=True)
class AirtimeLimit:
    """At most ``limit`` seconds of programme a day on each device in ``unit``; the nearest unit's limit holds."""

    unit: UnitId
    limit: float
    place: Place = Place("")


@dataclass(frozen=True, slots=True)
class Grid:
    """Everything of ``grid.yaml`` beside the sessions."""

    sources: tuple[Source, ...] = ()
    relays: tuple[Relay, ...] = ()
    slots: tuple[Slot, ...] = ()
    holidays: tuple[Holiday, ...] = ()
    silent: tuple[SilentWindow, ...] = ()
    exceptions: tuple[QuietException, ...] = ()
    airtime: tuple[AirtimeLimit, ...] = ()

    def source(self, name: str) -> Source | None:
        return next((s for s in self.sources if s.id == name), None)

    def holidays_on(self, chain: Sequence[UnitId], on: date) -> tuple[Holiday, ...]:
        """The holidays of a place (its units, nearest first) on that date."""
        return tuple(h for h in self.holidays if h.unit in chain and h.valid_from <= on < h.valid_to)


def taken_off(line: Line, holidays: Iterable[Holiday]) -> Holiday | None:
    """The holiday that takes an ordinary line out of the day."""
    if line.when.holiday:
        return None
    return next((h for h in holidays if not h.without or line.name in h.without), None)


def holds(line: Line, holidays: Sequence[Holiday], on: date) -> bool:
    """Whether the line is part of the day; ``holidays`` are those of its place on that date."""
    if not line.when.holds(on):
        return False
    if line.when.holiday:
        return any(h.id == line.when.holiday for h in holidays)
    return taken_off(line, holidays) is None
