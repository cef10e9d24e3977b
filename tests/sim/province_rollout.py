"""Who has what since when: station, conversion and boards of every unit, so that the plan's counts come out.

The plan gives counts by district and year; which commune is behind a count is drawn from a seed, except where
``facts/known.yaml`` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from random import Random

from tests.sim.province_facts import Commune, Facts

YEARS = (2021, 2022, 2023, 2024, 2025)
AS_OF = date(2024, 10, 1)
"""The sample's date. What the plan asks of 2024 is in service before it; what it asks of 2025 by the end of June."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One commune: ``old`` technology (wired, fm) and its date if it had one, IP since, small board since."""

    old: str | None
    old_since: date | None
    ip_since: date
    board_since: date | None

    @property
    def ip(self) -> bool:
        """Whether the station is IP at the sample's date."""
        return self.ip_since < AS_OF


def day_in(year: int, rng: Random) -> date:
    """A day in that year: February to November, but before October 2024 and before July 2025."""
    last = {2024: 9, 2025: 6}.get(year, 11)
    return date(year, rng.randint(2, last), rng.randint(1, 28))


def steps(row: Mapping[int, int]) -> dict[int, int]:
    """What each year adds to the one before; a blank cell adds nothing."""
    added, before = {}, 0
    for year in YEARS:
        added[year] = row.get(year, before) - before
        before = row.get(year, before)
    return added


def deal(codes: Sequence[str], row: Mapping[int, int], fixed: Mapping[str, int]) -> dict[str, int]:
    """A year for as many of ``codes`` as the row counts, in their order; ``fixed`` years are kept."""
    dealt = dict(fixed)
    rest = iter([c for c in codes if c not in fixed])
    for year, count in steps(row).items():
        for _ in range(count - sum(1 for y in fixed.values() if y == year)):
            dealt[next(rest)] = year
    return dealt


def conversions(facts: Facts, district: str, rng: Random) -> dict[str, int]:
    """The year in which each commune's station becomes IP."""
    wishes = facts.wishes
    codes = [c.code for c in facts.communes_of(district)]
    rng.shuffle(codes)
    codes.sort(key=lambda code: code in wishes.not_yet_ip)
    fixed = {code: wishes.ip[code].since for code in codes if code in wishes.ip}
    return deal(codes, facts.tables["converted_to_ict"].districts[district], fixed)


def first_stations(facts: Facts, district: str, converted: Mapping[str, int]) -> dict[str, int]:
    """The year of each commune's first station; 2021 stands for any time before.

    A new station of 2022 or later is IP from its first day as far as the counts allow.
    """
    added = steps(facts.tables["station_to_hamlet"].districts[district])
    first: dict[str, int] = {}
    free = [code for code in converted if code not in facts.wishes.old_station]
    for year in YEARS[1:]:
        fresh = [code for code in free if converted[code] == year][: added[year]]
        first.update(dict.fromkeys(fresh, year))
        if len(fresh) < added[year]:
            late = [code for code in free if code not in first and converted[code] > year]
            first.update(dict.fromkeys(late[: added[year] - len(fresh)], year))
    return {code: first.get(code, YEARS[0]) for code in converted}


def boards(facts: Facts, district: str, converted: Mapping[str, int], rng: Random) -> dict[str, int]:
    """The year of each commune's board; communes that want one and communes with an early IP station come first."""
    dealt: dict[str, int] = {}
    for indicator, urban in (("ward_board", True), ("commune_board", False)):
        codes = [c.code for c in facts.communes_of(district) if c.urban is urban]
        rng.shuffle(codes)
        codes.sort(key=lambda code: board_order(facts, code, converted))
        dealt |= deal(codes, facts.tables[indicator].districts[district], {})
    return dealt


def board_order(facts: Facts, code: str, converted: Mapping[str, int]) -> tuple[bool, bool, int]:
    return code in facts.wishes.board_never, code not in facts.wishes.board_first, converted[code]


def district_rollout(facts: Facts, district: str) -> dict[str, Rollout]:
    rng = Random(f"rollout/{district}")
    converted = conversions(facts, district, rng)
    first = first_stations(facts, district, converted)
    boarded = boards(facts, district, converted, rng)
    return {
        c.code: commune_rollout(converted[c.code], first[c.code], boarded.get(c.code), Random(f"dates/{c.code}"))
        for c in facts.communes_of(district)
    }


def commune_rollout(converted: int, first: int, boarded: int | None, rng: Random) -> Rollout:
    ip_since = day_in(converted, rng)
    board_since = day_in(boarded, rng) if boarded else None
    if first == converted and first > YEARS[0]:
        return Rollout(None, None, ip_since, board_since)
    old_since = day_in(rng.randint(2004, 2019) if first == YEARS[0] else first, rng)
    return Rollout("wired" if rng.random() < 0.35 else "fm", old_since, ip_since, board_since)


def rollout(facts: Facts) -> dict[str, Rollout]:
    """Every commune's dates, by code."""
    return {code: r for district in facts.districts for code, r in district_rollout(facts, district).items()}


def large_boards(facts: Facts) -> dict[str, list[date]]:
    """The dates of every district's large boards."""
    table = facts.tables["district_large_board"].districts
    return {district: list(board_dates(table[district], Random(f"large/{district}"))) for district in facts.districts}


def board_dates(row: Mapping[int, int], rng: Random) -> Iterable[date]:
    for year, count in steps(row).items():
        for _ in range(count):
            yield day_in(year, rng)


def riverside(facts: Facts) -> list[Commune]:
    return [c for c in facts.communes if c.code in facts.wishes.riverside]
