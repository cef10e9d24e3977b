"""The files at the root of the sample: network, units, programme grid, people, groups, targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

from tests.sim.province_facts import Commune, Facts, Founded, Table
from tests.sim.province_places import Place, person
from tests.sim.province_rollout import AS_OF, riverside
from tests.sim.province_text import Value, block, flow, lines, scalar

STAFFED = ("23557", "23627", "24022", "24061", "24109")
"""Communes whose officers are in the sample."""

PROVINCE_STAFF = (
    ("p.editor", "editor", "Biên tập viên, Sở Thông tin và Truyền thông"),
    ("p.approver", "approver", "Phó Giám đốc Sở Thông tin và Truyền thông"),
    ("p.operator", "operator", "Trực vận hành hệ thống thông tin nguồn"),
    ("p.technician", "technician", "Cán bộ kỹ thuật"),
    ("p.planner", "planner", "Cán bộ tổng hợp"),
)


def files(facts: Facts, homes: Mapping[str, Sequence[Place]]) -> Iterator[tuple[str, str]]:
    provinces = (facts.province["code"], facts.province["code_2025"])
    yield "network.yaml", network(provinces)
    yield "units.yaml", units(facts)
    yield "grid.yaml", grid(provinces)
    yield "people.yaml", people(facts)
    yield "scripts.yaml", scripts()
    yield "groups.yaml", groups(facts, homes)
    yield "targets.yaml", targets(facts)


def network(provinces: Sequence[str]) -> str:
    """The first province is the network's; the same quiet hours hold in those that succeed it."""
    quiet = [{"unit": unit, "start": "21:00", "end": "05:00"} for unit in provinces]
    return (
        f"# The province as if what the plan asks of 2024 had been met; later dates are planned.\n"
        f"province: {scalar(provinces[0])}\n"
        f"name: Gia Lai\n"
        f"as_of: {AS_OF}\n"
        f"overlay: 10\n"
        f"profiles: [loa-receiver, loa-board, ntcip-sign, rutos, routeros]\n"
    ) + lines("quiet_hours", quiet)


def grid(provinces: Sequence[str]) -> str:
    names = (("sáng", "05:00"), ("trưa", "11:00"), ("chiều", "17:00"))
    rows = [
        {"unit": unit, "name": name, "start": start, "duration": "60m"} for unit in provinces for name, start in names
    ]
    relays = [
        {"unit": unit, "name": "VOV1 sáng", "source": "vov1", "start": "05:00", "duration": "30m"} for unit in provinces
    ]
    return (
        "# Three sessions a day, as the province's press reports them.\n"
        + lines("sessions", rows)
        + "# Where VOV1 is heard: put the province's own addresses here, the preferred one first.\n"
        + lines("sources", [{"id": "vov1", "name": "VOV1", "urls": list(PLACEHOLDERS)}])
        + lines("relays", relays)
        + "# An Khê's morning: the relay, the district, the commune.\n"
        + lines("slots", SLOTS)
    )


PLACEHOLDERS = ("https://vov1.example/live.m3u8", "https://vov1-backup.example/live.mp3")
SLOTS: Sequence[dict[str, Value]] = (
    {"unit": "623", "name": "thị xã An Khê", "for": "district", "start": "05:30", "duration": "15m"},
    {"unit": "23627", "name": "xã Xuân An", "for": "own", "start": "05:45", "duration": "15m"},
)


def unit_id(code: str, year: int, facts: Facts) -> str:
    """The official code, with the year of the reform where it had named an older unit."""
    taken = {facts.province["code"], *facts.districts, *(c.code for c in facts.communes)}
    return f"{code}-{year}" if code in taken else code


def units(facts: Facts) -> str:
    rows: list[dict[str, Value]] = [old_province(facts)]
    for district in facts.districts.values():
        bare = district.name.split(" ", 1)[1]
        if district.type != "district":
            bare = bare.split(" ", 1)[1]
        aliases: list[Value] = list(dict.fromkeys((district.plan, bare)))
        rows.append(
            {
                "id": district.code,
                "code": district.code,
                "name": district.name,
                "type": district.type,
                "parent": facts.province["code"],
                "aliases": aliases,
                "valid_to": facts.reform,
            }
        )
        rows.extend(commune_row(facts, c) for c in facts.communes_of(district.code))
    rows.extend(founded_row(facts, f) for f in facts.merges.founded)
    rows.extend(reformed(facts))
    return SOURCES + lines("units", rows)


SOURCES = """\
# Names and codes: General Statistics Office. NQ 1195/NQ-UBTVQH15: in force 1/11/2024. NQ 1664/NQ-UBTVQH15 and
# NQ 202/2025/QH15: in force 1/7/2025; of the new province only the units that come from the old Gia Lai are here.
"""


def old_province(facts: Facts) -> dict[str, Value]:
    code = facts.province["code"]
    return {
        "id": code,
        "code": code,
        "name": facts.province["name"],
        "type": "province",
        "aliases": ["Gia Lai"],
        "valid_to": facts.reform,
    }


def commune_row(facts: Facts, commune: Commune) -> dict[str, Value]:
    merges = facts.merges
    ended = commune.code in merges.joined or any(commune.code in f.parts for f in merges.founded)
    row: dict[str, Value] = {
        "id": commune.code,
        "code": commune.code,
        "name": commune.name,
        "type": commune.type,
        "parent": commune.district,
    }
    if commune.aliases:
        row["aliases"] = list(commune.aliases)
    row["valid_to"] = merges.on if ended else facts.reform
    joined: list[Value] = [code for code, into in merges.joined.items() if into == commune.code]
    if joined:
        row |= {"predecessors": joined, "legal_basis": merges.law}
    return row


def founded_row(facts: Facts, founded: Founded) -> dict[str, Value]:
    district = next(c.district for c in facts.communes if c.code == founded.parts[0])
    return {
        "id": unit_id(founded.code, facts.merges.on.year, facts),
        "code": founded.code,
        "name": founded.name,
        "type": founded.type,
        "parent": district,
        "valid_from": facts.merges.on,
        "valid_to": facts.reform,
        "predecessors": list(founded.parts),
        "legal_basis": facts.merges.law,
    }


def reformed(facts: Facts) -> Iterator[dict[str, Value]]:
    """The province and communes of 1/7/2025."""
    province = unit_id(facts.province["code_2025"], facts.reform.year, facts)
    yield {
        "id": province,
        "code": facts.province["code_2025"],
        "name": facts.province["name"],
        "type": "province",
        "aliases": ["Gia Lai"],
        "valid_from": facts.reform,
        "predecessors": [facts.province["code"]],
        "legal_basis": facts.province["law_2025"],
    }
    for unit in facts.successors:
        yield {
            "id": unit_id(unit.code, facts.reform.year, facts),
            "code": unit.code,
            "name": unit.name,
            "type": unit.type,
            "parent": province,
            "valid_from": facts.reform,
            "predecessors": list(predecessors(facts, unit.code)),
            "legal_basis": f"{facts.reform_law}, khoản {unit.clause}",
        }


def predecessors(facts: Facts, code: str) -> Iterator[str]:
    """The units of June 2025 that became ``code``: those that ended in 2024 are predecessors of these."""
    founded = {part: f for f in facts.merges.founded for part in f.parts}
    for commune in facts.communes:
        if commune.became != code or commune.code in facts.merges.joined:
            continue
        made = founded.get(commune.code)
        if made is None:
            yield commune.code
        elif made.parts[0] == commune.code:
            yield unit_id(made.code, facts.merges.on.year, facts)


def people(facts: Facts) -> str:
    names = unlike(Random("people"))
    rows = [staff(user, role, title, facts.province["code"], next(names)) for user, role, title in PROVINCE_STAFF]
    for area in ("622", *STAFFED):
        prefix = f"d{area}" if area in facts.districts else f"c{area}"
        name = next((c.name for c in facts.communes if c.code == area), "") or facts.districts[area].name
        rows.append(staff(f"{prefix}.editor", "editor", f"Cán bộ văn hóa, {name}", area, next(names)))
        rows.append(staff(f"{prefix}.approver", "approver", f"Phó Chủ tịch UBND, {name}", area, next(names)))
    return lines("people", rows)


def scripts() -> str:
    """As written by hand beside the facts."""
    return (Path(__file__).parent / "facts" / "scripts.yaml").read_text(encoding="utf-8")


def unlike(rng: Random) -> Iterator[str]:
    """Endless names of persons, none twice."""
    seen: set[str] = set()
    while True:
        name = person(rng.choice(("vi", "vi", "jra")), rng)
        if name not in seen:
            seen.add(name)
            yield name


def staff(user: str, role: str, title: str, area: str, name: str) -> dict[str, Value]:
    return {
        "id": user.replace(".", "-"),
        "name": name,
        "user": user,
        "title": title,
        "roles": [role],
        "area": area,
    }


def groups(facts: Facts, homes: Mapping[str, Sequence[Place]]) -> str:
    """The first three hamlets with a cluster in every commune by the river: one audience across communes."""
    hamlets: list[Value] = [h.id for c in riverside(facts) for h in [h for h in homes[c.code] if h.clusters][:3]]
    return "groups:\n" + block({"id": "riverside", "name": "Ven sông Ba", "hamlets": hamlets})


def targets(facts: Facts) -> str:
    tables = "".join(target(table) for table in facts.tables.values())
    return (
        "# Figures as printed, also where they contradict each other. A year that is left out is a blank cell.\n"
        f"document: {scalar(facts.document)}\nindicators:\n{tables}"
    )


def target(table: Table) -> str:
    head = f"  - indicator: {table.indicator}\n    name: {scalar(table.name)}\n"
    if table.denominator is not None:
        head += f"    denominator: {table.denominator}\n"
    printed = "".join(
        f"      {year}: {flow({'value': value, 'percent': percent})}\n"
        for year, (value, percent) in table.printed.items()
    )
    rows = "".join(
        f"      {scalar(code)}: {{{', '.join(f'{year}: {value}' for year, value in row.items())}}}\n"
        for code, row in table.districts.items()
    )
    return f"{head}    printed:\n{printed}    districts:\n{rows}"
