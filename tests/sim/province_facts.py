"""The facts behind the sample province: units, the plan's tables, what is known of single communes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import yaml

FACTS = Path(__file__).parent / "facts"
URBAN = frozenset({"ward", "township"})


@dataclass(frozen=True, slots=True)
class District:
    """``plan`` is the plan's spelling; ``centre``, ``spread`` in degrees; ``language``, ``word`` of its villages."""

    code: str
    name: str
    plan: str
    type: str
    centre: tuple[float, float]
    spread: float
    language: str
    word: str


@dataclass(frozen=True, slots=True)
class Commune:
    """A commune of before July 2025; ``became`` is the code of its unit of 1/7/2025."""

    code: str
    name: str
    type: str
    district: str
    became: str
    aliases: tuple[str, ...] = ()

    @property
    def urban(self) -> bool:
        return self.type in URBAN


@dataclass(frozen=True, slots=True)
class Successor:
    """A unit of 1/7/2025; ``clause`` of the resolution that made it."""

    code: str
    name: str
    type: str
    clause: int


@dataclass(frozen=True, slots=True)
class Founded:
    """A commune that several made together in 2024."""

    code: str
    name: str
    type: str
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Merges:
    """The mergers of 2024: ``joined`` maps a commune to the one it went into; ``moved``: from, to, people."""

    on: date
    law: str
    joined: Mapping[str, str]
    founded: tuple[Founded, ...]
    moved: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True)
class Village:
    """A hamlet with a name of its own, its clusters and languages."""

    name: str
    word: str
    clusters: int
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What is said of one commune's IP station: since which year, how many clusters, named hamlets among them."""

    since: int
    clusters: int
    languages: tuple[str, ...] = ()
    villages: tuple[Village, ...] = ()


@dataclass(frozen=True, slots=True)
class Wishes:
    """Which communes the sample wants to be what, within the plan's counts."""

    ip: Mapping[str, Known]
    not_yet_ip: frozenset[str]
    old_station: frozenset[str]
    board_first: frozenset[str]
    board_never: frozenset[str]
    riverside: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the plan as printed: total and percent per year, and counts by district and year."""

    indicator: str
    name: str
    denominator: int | None
    printed: Mapping[int, tuple[int, str]]
    districts: Mapping[str, Mapping[int, int]]


@dataclass(frozen=True, slots=True)
class Facts:
    province: Mapping[str, str]
    reform: date
    reform_law: str
    merges: Merges
    districts: Mapping[str, District]
    communes: tuple[Commune, ...]
    successors: tuple[Successor, ...]
    document: str
    tables: Mapping[str, Table]
    wishes: Wishes = field(repr=False)

    def communes_of(self, district: str) -> tuple[Commune, ...]:
        return tuple(c for c in self.communes if c.district == district)


def read(name: str) -> Any:
    return yaml.safe_load((FACTS / name).read_text(encoding="utf-8"))


def load() -> Facts:
    units, plan = read("units.yaml"), read("plan.yaml")
    return Facts(
        province=units["province"],
        reform=units["reform"]["date"],
        reform_law=units["reform"]["law"],
        merges=merges(units["merges_2024"]),
        districts={d["code"]: District(**{**d, "centre": tuple(d["centre"])}) for d in units["districts"]},
        communes=tuple(Commune(**{**c, "aliases": tuple(c.get("aliases", ()))}) for c in units["communes"]),
        successors=tuple(Successor(**s) for s in units["units_2025"]),
        document=plan["document"],
        tables={t["indicator"]: table(t) for t in plan["indicators"]},
        wishes=wishes(read("known.yaml")),
    )


def merges(raw: Mapping[str, Any]) -> Merges:
    return Merges(
        on=raw["date"],
        law=raw["law"],
        joined={j["unit"]: j["into"] for j in raw["joined"]},
        founded=tuple(Founded(f["code"], f["name"], f["type"], tuple(f["from"])) for f in raw["founded"]),
        moved=tuple((m["from"], m["to"], m["population"]) for m in raw["moved"]),
    )


def table(raw: Mapping[str, Any]) -> Table:
    printed = {year: (cell["value"], cell["percent"]) for year, cell in raw["printed"].items()}
    return Table(raw["indicator"], raw["name"], raw.get("denominator"), printed, raw["districts"])


def wishes(raw: Mapping[str, Any]) -> Wishes:
    return Wishes(
        ip={k["code"]: known(k) for k in raw["ip"]},
        not_yet_ip=frozenset(raw["not_yet_ip"]),
        old_station=frozenset(raw["old_station"]),
        board_first=frozenset(raw["board_first"]),
        board_never=frozenset(raw["board_never"]),
        riverside=tuple(raw["riverside"]),
    )


def known(raw: Mapping[str, Any]) -> Known:
    villages = tuple(Village(**{**v, "languages": tuple(v["languages"])}) for v in raw.get("hamlets", ()))
    return Known(raw["since"], raw["clusters"], tuple(raw.get("languages", ())), villages)
