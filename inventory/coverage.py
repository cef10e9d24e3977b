"""Planned against built: a plan's indicators, recomputed from the inventory and put beside what the plan prints.

A year's figures are as of 31/12 of that year on the plan's own units (those valid on the day the plan was signed). With
a date of its own (``on``) they are as of that day on that day's units, and a merged commune counts once. Nothing is
smoothed: where a printed figure does not come out, a note says what does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from fractions import Fraction

from inventory import coverage_notes as notes
from inventory.coverage_notes import Note
from inventory.model import (
    BoardSize,
    Device,
    DeviceKind,
    Figure,
    HamletId,
    Network,
    Station,
    Target,
    Technology,
    Tier,
    Unit,
    UnitId,
    UnitType,
)


class Counts(StrEnum):
    """What makes a unit count."""

    STATION = "station"
    CONVERTED = "converted"
    BOARD = "board"
    CONNECTED_LARGE_BOARD = "connected_large_board"


@dataclass(frozen=True, slots=True)
class Indicator:
    """One indicator: units of ``types`` that have what ``counts`` names, over all of them or (``of_stations``) over
    those that have a station at that date."""

    id: str
    types: frozenset[UnitType]
    counts: Counts
    of_stations: bool = False


URBAN = frozenset({UnitType.WARD, UnitType.TOWNSHIP})
RURAL = frozenset({UnitType.COMMUNE, UnitType.SPECIAL_ZONE})
DISTRICTS = frozenset({UnitType.CITY, UnitType.TOWN, UnitType.DISTRICT})

INDICATORS: Mapping[str, Indicator] = {
    i.id: i
    for i in (
        Indicator("station_to_hamlet", URBAN | RURAL, Counts.STATION),
        Indicator("converted_to_ict", URBAN | RURAL, Counts.CONVERTED, of_stations=True),
        Indicator("ward_board", URBAN, Counts.BOARD),
        Indicator("commune_board", RURAL, Counts.BOARD),
        Indicator("district_large_board", DISTRICTS, Counts.CONNECTED_LARGE_BOARD),
    )
}
"""The indicators that can be recomputed, by the name a target has in ``targets.yaml``."""


@dataclass(frozen=True, slots=True)
class Share:
    """``numerator`` of ``denominator`` units; ``boards`` is the number of boards behind it where boards are counted."""

    numerator: int
    denominator: int
    boards: int | None = None

    @property
    def percent(self) -> Fraction | None:
        """Exact; None where there is nothing to divide by."""
        return Fraction(100 * self.numerator, self.denominator) if self.denominator else None


@dataclass(frozen=True, slots=True)
class DistrictRow:
    """One district's part of an indicator; ``printed`` None is a blank cell."""

    district: UnitId
    name: str
    share: Share
    printed: int | None

    @property
    def agrees(self) -> bool | None:
        """Whether the printed count is the number of units, or of boards, found here; None where nothing is printed."""
        return None if self.printed is None else self.printed in (self.share.numerator, self.share.boards)


@dataclass(frozen=True, slots=True)
class IndicatorCoverage:
    """An indicator of one year. ``notes`` say where the document and the inventory differ and why; none: they agree."""

    indicator: str
    name: str
    share: Share
    printed: Figure | None
    printed_denominator: int | None
    districts: tuple[DistrictRow, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def agrees(self) -> bool | None:
        """Whether the printed total and percentage come out; None where the cell is blank."""
        if self.printed is None or self.printed.value is None:
            return None
        percent_agrees = self.printed.percent is None or notes.rounds_to(self.share.percent, self.printed.percent)
        return self.printed.value == self.share.numerator and percent_agrees


@dataclass(frozen=True, slots=True)
class HamletCoverage:
    """Of the ``known`` hamlets of the units, how many have a loudspeaker in service, and how many ever shall."""

    known: int
    built: int
    planned: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """The answer for one year: figures as of ``as_of`` on the units of ``units_on``; ``notes`` about the whole."""

    year: int
    document: str
    as_of: date
    units_on: date
    indicators: tuple[IndicatorCoverage, ...]
    hamlets: HamletCoverage
    notes: tuple[Note, ...] = ()


@dataclass(slots=True)
class Holding:
    """What one unit has at a date: stations and boards, of its own and of the units it took over."""

    stations: list[Station] = field(default_factory=list)
    boards: list[Device] = field(default_factory=list)


def document_date(document: str) -> date | None:
    """The day a Vietnamese document was signed, from its citation ("… ngày 06/5/2024"); None where it has none."""
    found = re.search(r"ngày (\d{1,2})/(\d{1,2})/(\d{4})", document)
    if found is None:
        return None
    try:
        return date(int(found[3]), int(found[2]), int(found[1]))
    except ValueError:
        return None


def coverage(network: Network, year: int, on: date | None = None) -> Coverage:
    """Every indicator the plan has for ``year``; without targets for it none, and a note that says so, never 0 %."""
    document = network.targets[0].document if network.targets else ""
    as_of = on or date(year, 12, 31)
    planned_on = document_date(document) or network.on(as_of)
    units_on = on or planned_on
    targets = [t for t in network.targets if any(f.year == year for f in t.printed) or year in district_years(t)]
    view = View(network, as_of, units_on)
    plan_view = View(network, as_of, planned_on)
    return Coverage(
        year=year,
        document=document,
        as_of=as_of,
        units_on=units_on,
        indicators=tuple(
            indicator_coverage(INDICATORS[t.indicator], t, year, view, plan_view)
            for t in targets
            if t.indicator in INDICATORS
        ),
        hamlets=hamlet_coverage(network, as_of, units_on),
        notes=tuple(general_notes(network, targets, year, as_of)),
    )


def district_years(target: Target) -> set[int]:
    return {figure.year for row in target.districts.values() for figure in row}


def general_notes(network: Network, targets: Sequence[Target], year: int, as_of: date) -> Iterator[Note]:
    if not targets:
        yield notes.no_targets(year)
    elif network.as_of is not None and begins_between(network, network.as_of, as_of):
        yield notes.includes_planned(network.as_of, as_of)
    for target in targets:
        if target.indicator not in INDICATORS:
            yield notes.unknown_indicator(target.indicator)


def begins_between(network: Network, after: date, until: date) -> bool:
    """Whether anything is commissioned or converted after the inventory's own date and not later than ``until``."""
    stations = (t.since for s in network.stations.values() for t in s.technologies)
    devices = (d.in_service for d in network.devices.values())
    return any(after < day <= until for days in (stations, devices) for day in days)


class View:
    """What every unit of ``units_on`` holds on ``as_of``."""

    def __init__(self, network: Network, as_of: date, units_on: date) -> None:
        self.network = network
        self.as_of = as_of
        self.units_on = units_on
        self.units = tuple(network.units_on(units_on))
        self.holdings = holdings(network, as_of, units_on)

    def holding(self, unit: Unit) -> Holding:
        return self.holdings.get(unit.id) or Holding()

    def district_of(self, unit: Unit) -> UnitId | None:
        chain = self.network.chain(unit.id)
        return next((u for u in chain if self.network.units[u].tier is Tier.DISTRICT), None)


def holdings(network: Network, as_of: date, units_on: date) -> dict[UnitId, Holding]:
    found: dict[UnitId, Holding] = {}
    for station in network.stations.values():
        home = network.successor(station.unit, units_on)
        if home is not None and station.technology(as_of) is not None:
            found.setdefault(home, Holding()).stations.append(station)
    for device in network.devices_on(as_of):
        if device.kind is DeviceKind.BOARD and (home := network.unit_of(device, units_on)) is not None:
            found.setdefault(home, Holding()).boards.append(device)
    return found


def has(counts: Counts, holding: Holding, as_of: date) -> bool:
    """A merged commune has one station; it is converted when every station it took over is IP."""
    if counts is Counts.STATION:
        return bool(holding.stations)
    if counts is Counts.CONVERTED:
        return bool(holding.stations) and not not_ip(holding, as_of)
    return bool(boards(counts, holding))


def not_ip(holding: Holding, as_of: date) -> list[Station]:
    return [s for s in holding.stations if s.technology(as_of) is not Technology.IP]


def boards(counts: Counts, holding: Holding) -> list[Device]:
    if counts is Counts.CONNECTED_LARGE_BOARD:
        return [b for b in holding.boards if b.size is BoardSize.LARGE and b.connected]
    return holding.boards


def share(indicator: Indicator, view: View, units: Iterable[Unit]) -> Share:
    """The indicator over these units, of which only those of its types count."""
    held = [view.holding(u) for u in units if u.type in indicator.types]
    if indicator.of_stations:
        held = [h for h in held if h.stations]
    numerator = sum(has(indicator.counts, h, view.as_of) for h in held)
    if indicator.counts in (Counts.STATION, Counts.CONVERTED):
        return Share(numerator, len(held))
    return Share(numerator, len(held), sum(len(boards(indicator.counts, h)) for h in held))


def indicator_coverage(
    indicator: Indicator, target: Target, year: int, view: View, plan_view: View
) -> IndicatorCoverage:
    printed = next((f for f in target.printed if f.year == year), None)
    found = IndicatorCoverage(
        indicator=indicator.id,
        name=target.name,
        share=share(indicator, view, view.units),
        printed=printed,
        printed_denominator=target.denominator,
        districts=tuple(district_rows(indicator, target, year, view)),
    )
    explained = tuple(explanations(indicator, found, view, plan_view))
    return replace(found, notes=explained)


def district_rows(indicator: Indicator, target: Target, year: int, view: View) -> Iterator[DistrictRow]:
    """One row per district of that day, in the inventory's order; none where there are no districts."""
    members: dict[UnitId, list[Unit]] = {u.id: [] for u in view.units if u.tier is Tier.DISTRICT}
    for unit in view.units:
        if unit.type in indicator.types and (district := view.district_of(unit)) in members:
            members[district].append(unit)
    for district, units in members.items():
        printed = next((f.value for f in target.districts.get(district, ()) if f.year == year), None)
        yield DistrictRow(district, view.network.units[district].name, share(indicator, view, units), printed)


def explanations(indicator: Indicator, found: IndicatorCoverage, view: View, plan_view: View) -> Iterator[Note]:
    """Why the figures of that day differ from the plan's own units, else why the printed ones do not come out."""
    if changed(indicator, view, plan_view):
        yield from merger_notes(indicator, view)
        own = share(indicator, plan_view, plan_view.units)
        yield notes.on_plan_units(plan_view.units_on, own.numerator, own.denominator)
    elif found.printed is not None and found.printed.value is not None:
        yield from notes.differences(
            notes.Comparison(
                numerator=found.share.numerator,
                denominator=found.share.denominator,
                boards=found.share.boards,
                value=found.printed.value,
                percent=found.printed.percent,
                printed_denominator=found.printed_denominator,
            )
        )


def changed(indicator: Indicator, view: View, plan_view: View) -> bool:
    """Whether the indicator's units of that day are others than the plan's."""
    ids, plan_ids = ({u.id for u in v.units if u.type in indicator.types} for v in (view, plan_view))
    return ids != plan_ids


def merger_notes(indicator: Indicator, view: View) -> Iterator[Note]:
    """Which units count once for what several had (one note if they are many), and which are only partly converted."""
    merged: dict[str, tuple[str, ...]] = {}
    for unit in view.units:
        if unit.type not in indicator.types:
            continue
        holding = view.holding(unit)
        wired = not_ip(holding, view.as_of)
        if indicator.counts is Counts.CONVERTED and 0 < len(wired) < len(holding.stations):
            yield notes.partly_converted(unit.name, names(view, (s.unit for s in wired)))
        parts = names(view, origins(indicator, holding, view.as_of))
        if len(parts) > 1:
            merged[unit.name] = parts
    yield from notes.mergers(indicator.counts, merged)


def origins(indicator: Indicator, holding: Holding, as_of: date) -> list[UnitId]:
    """The units whose own records make this one count."""
    if indicator.counts is Counts.STATION:
        return [s.unit for s in holding.stations]
    if indicator.counts is Counts.CONVERTED:
        return [s.unit for s in holding.stations if s.technology(as_of) is Technology.IP]
    return [b.unit for b in boards(indicator.counts, holding)]


def names(view: View, units: Iterable[UnitId]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(view.network.units[u].name for u in units))


def hamlet_coverage(network: Network, as_of: date, units_on: date) -> HamletCoverage:
    """Hamlets that exist within the units of that day; a hamlet without a record is not known, not silent."""
    known = {
        h.id
        for h in network.hamlets.values()
        if any(network.successor(m.unit, units_on) is not None for m in h.memberships)
    }
    built: set[HamletId] = set()
    planned: set[HamletId] = set()
    for device in network.devices.values():
        if device.kind is DeviceKind.LOUDSPEAKER and device.hamlet in known:
            planned.add(device.hamlet)
            if device.in_use(as_of):
                built.add(device.hamlet)
    return HamletCoverage(len(known), len(built), len(planned))
