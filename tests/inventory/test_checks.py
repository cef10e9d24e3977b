"""Each rule across files finds its mistake where it stands, names the other places, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from inventory.diagnostics import Diagnostic
from inventory.load import load
from tests.inventory.conftest import Break

UNITS = "units.yaml"
YEN_DO = "stations/23557-yen-do.yaml"
TAY_SON = "stations/23617-tay-son.yaml"


def line_of(diagnostic: Diagnostic) -> str:
    """The source line from the place of the diagnostic on."""
    return diagnostic.source[diagnostic.place.column - 1 :]


RELAY = "  - {{unit: {unit}, name: thêm, source: vov1, start: {start}, duration: 30m}}\n"
SLOT = "  - {{unit: {unit}, name: thêm, for: own, start: {start}, duration: 30m}}\n"
HOLIDAY = "  - {unit: '64', id: tet, name: Tết, from: 2026-02-16, to: 2026-02-20}\n"


def _added(key: str, record: str) -> tuple[str, str]:
    """The replacement that puts a record at the top of a list."""
    return f"\n{key}:\n", f"\n{key}:\n{record}"


CASES = [
    ("INV102", "network.yaml", 'province: "64"', 'province: "65"', '"65"'),
    ("INV206", "network.yaml", 'province: "64"', 'province: "622"', '"622"'),
    ("INV102", UNITS, 'name: Phường Ia Kring, type: ward, parent: "622"', "name: K, type: ward, parent: 999", "999"),
    ("INV102", UNITS, '["23575"]', '["23576"]', '"23576"'),
    ("INV102", "grid.yaml", '{unit: "64", name: sáng', '{unit: "65", name: sáng', None),
    ("INV102", "stations/23575-tay-son.yaml", "23575", "23576", '"23576"'),
    ("INV206", "stations/23575-tay-son.yaml", "23575", "626", '"626"'),
    ("INV206", "districts/622-pleiku.yaml", 'unit: "622"', 'unit: "626"\nstation: {technologies: []}', "{technologies"),
    ("INV307", "stations/23575-tay-son.yaml", "23575", "23617", '"23617"'),
    ("INV103", YEN_DO, "    hamlet: 23557-H02", "    hamlet: 23557-H09", "23557-H09"),
    ("INV104", YEN_DO, "    uplink: 23557-M01", "    uplink: 23557-M02", "23557-M02"),
    ("INV105", YEN_DO, "    uplink: 23557-M01", "    uplink: 23557-L01", "23557-L01"),
    ("INV106", YEN_DO, "    uplink: 23557-M01", "    uplink: 622-M01", "622-M01"),
    ("INV107", "groups.yaml", "[23557-L01]", "[23557-L01, 23557-L09]", "23557-L09"),
    ("INV107", "groups.yaml", "[23617-H01]", "[23617-H04]", "23617-H04"),
    ("INV108", YEN_DO, "profile: rutos", "profile: rutox", "rutox"),
    ("INV109", "people.yaml", 'area: "64"', 'area: "65"', '"65"'),
    ("INV110", "trust.yaml", 'unit: "64"', 'unit: "65"', '"65"'),
    ("INV405", "trust.yaml", "public: AAEC", "public: AAE", "AAE"),
    ("INV405", "trust.yaml", "root: AAEC", "root: xx", "xx"),
    ("INV111", "targets.yaml", '"626": {2021: 1}', '"627": {2021: 1}', "{2021: 1}"),
    ("INV206", "targets.yaml", '"626": {2021: 1}', '"23557": {2021: 1}', "{2021: 1}"),
    ("INV406", "targets.yaml", "value: 9", "value: 3", "{value: 3}"),
    ("INV201", UNITS, 'id: "23563", code: "23563"', 'id: "23563", code: "23557"', '"23557"'),
    (
        "INV202",
        UNITS,
        'Yên Đỗ, type: ward, parent: "622", valid_to: 2025-07-01',
        'Y, type: ward, parent: "622"',
        '"622"',
    ),
    ("INV002", UNITS, 'name: Thành phố Pleiku, type: city, parent: "64"', "name: P, type: city", "{id:"),
    (
        "INV206",
        UNITS,
        'name: Phường Ia Kring, type: ward, parent: "622"',
        'name: K, type: ward, parent: "23557"',
        '"23557"',
    ),
    (
        "INV205",
        UNITS,
        'valid_from: 2025-07-01, predecessors: ["23575"]',
        "valid_from: 2025-07-01, valid_to: 2025-07-01",
        "2025-07-01}",
    ),
    (
        "INV208",
        TAY_SON,
        "languages: [bdq]",
        "memberships: [{unit: 23617, to: 2024-12-01}, {unit: 23575, from: 2024-11-01}]",
        "{unit: 23575",
    ),
    ("INV102", TAY_SON, "languages: [bdq]", "memberships: [{unit: 23618}]", None),
    ("INV301", YEN_DO, "    uplink: 23557-M01\n", "", "id:"),
    ("INV302", YEN_DO, "    uplink: 23557-M01", "    uplink: 23557-M01\n    sim: {number: 1, iccid: 2}", "23557-M01"),
    ("INV306", TAY_SON, "id: 23617-L02", "id: 23617-L128", "23617-L128"),
    ("INV306", TAY_SON, "id: 23617-L02", "id: 40000-L02", "40000-L02"),
    ("INV306", TAY_SON, "id: 23617-L02", "id: 23617-L002", "23617-L002"),
    ("INV306", TAY_SON, "id: 23617-L02", "id: 23617-L00", "23617-L00"),
    (
        "INV305",
        YEN_DO,
        "- id: 23557-L02",
        "- {id: 0622-L01, sim: {number: 1, iccid: 2}, profile: rutos, in_service: 2024-01-01}\n  - id: 622-L01",
        "622-L01",
    ),
    ("INV308", TAY_SON, "languages: [bdq]", "memberships: [{unit: 23617, from: 2024-10-01}]", "2024-09-01"),
    ("INV309", YEN_DO, "out_of_service: 2024-12-31", "out_of_service: 2024-03-12", "2024-03-12"),
    ("INV401", "network.yaml", 'end: "05:00"', 'end: "21:00"', '"21:00"'),
    ("INV402", "grid.yaml", 'start: "17:00", duration: 1h', 'start: "05:30", duration: 1h', '"05:30"'),
    ("INV403", "grid.yaml", "duration: 1h", "duration: 5h", '"17:00"'),
    ("INV403", "grid.yaml", 'start: "05:00"', 'start: "04:30"', '"04:30"'),
    ("INV102", "grid.yaml", *_added("relays", RELAY.format(unit="99999", start="'11:00'")), "99999"),
    ("INV113", "grid.yaml", "source: vov1, start: '05", "source: vov2, start: '05", "vov2"),
    ("INV113", "grid.yaml", "holiday: tet", "holiday: tett", "tett"),
    ("INV113", "grid.yaml", "without: [trưa]", "without: [tối]", "tối"),
    ("INV101", "grid.yaml", *_added("holidays", HOLIDAY), None),
    ("INV205", "grid.yaml", "to: 2025-02-03", "to: 2025-01-28", "2025-01-28"),
    ("INV402", "grid.yaml", *_added("relays", RELAY.format(unit='"64"', start='"05:29"')), "'05:00'"),
    ("INV402", "grid.yaml", *_added("slots", SLOT.format(unit='"64"', start='"05:29"')), None),
    ("INV403", "grid.yaml", *_added("relays", RELAY.format(unit='"64"', start='"20:45"')), '"20:45"'),
    ("INV403", "grid.yaml", "until: 2025-01-29T00:30", "until: 2025-01-29T00:15", '"23:45"'),
    ("INV409", "grid.yaml", "https://vov1.example/live", "https://an:secret@vov1.example/live", None),
    ("INV409", "grid.yaml", "https://vov1.example/live", "https://vov1.example/live?token=x", None),
    ("INV410", "grid.yaml", "until: 2024-10-05T10:00", "until: 2024-10-05T07:00", "2024-10-05T07:00"),
    ("INV411", "grid.yaml", 'unit: "23557", from: 2024-10-05', "from: 2024-10-05", None),
    ("INV103", "grid.yaml", 'unit: "23557", from: 2024-10-05', "hamlet: 23557-H77, from: 2024-10-05", "23557-H77"),
    ("INV412", "grid.yaml", "signer: binh-tran", "signer: an-nguyen", "an-nguyen"),
    ("INV413", "grid.yaml", "limit: 12h", "limit: 29m", "29m"),
    ("INV404", "people.yaml", "user: binh", "user: an", "an,"),
    ("INV101", TAY_SON, "id: 23617-L02", "id: 23557-L01", None),
]


@pytest.mark.parametrize(("code", "file", "old", "new", "at"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)])
def test_rule(broken: Break, code: str, file: str, old: str, new: str, at: str | None) -> None:
    found = broken(file, old, new)
    ours = [d for d in found if d.code == code]
    assert ours, [str(d) for d in found]
    assert file in {d.place.file for d in ours} | {p.file for d in ours for p in d.related}
    assert ours[0].text()
    assert ours[0].fix_text()
    if at is not None:
        assert any(line_of(d).startswith(at) for d in ours), [line_of(d) for d in ours]


def test_a_duplicate_names_both_places(broken: Break) -> None:
    found = broken(TAY_SON, "id: 23617-L02", "id: 23557-L01")
    (diagnostic,) = found
    assert diagnostic.text() == "device '23557-L01' is declared twice"
    assert [place.file for place in diagnostic.related] == [YEN_DO]
    assert YEN_DO in diagnostic.fix_text()


def test_unknown_references_guess(broken: Break) -> None:
    (diagnostic,) = broken(YEN_DO, "    hamlet: 23557-H02", "    hamlet: 23557-H022")
    assert diagnostic.fix_text() == "did you mean '23557-H02'?"


def test_cycles_of_predecessors_end(broken: Break) -> None:
    found = broken(UNITS, "name: Phường Ia Kring, type: ward", 'name: K, type: ward, predecessors: ["23563-2025"]')
    cycles = [d for d in found if d.code == "INV204"]
    assert len(cycles) == 1
    assert cycles[0].fields["cycle"] == "23563 → 23563-2025 → 23563"


def test_cycles_of_parents_end(broken: Break) -> None:
    found = broken(UNITS, 'name: Thành phố Pleiku, type: city, parent: "64"', 'name: P, type: city, parent: "626"')
    assert "INV206" in {d.code for d in found}
    assert "INV203" not in {d.code for d in found}


def test_a_unit_above_itself(broken: Break) -> None:
    found = broken(
        UNITS,
        "name: Tỉnh Gia Lai, type: province, valid_to: 2025-07-01",
        "name: T, type: province, parent: 622, valid_to: 2025-07-01",
    )
    (cycle,) = [d for d in found if d.code == "INV203"]
    assert cycle.fields["cycle"] == "64 → 622 → 64"


def test_a_partial_merge_asks_where_each_hamlet_went(broken: Break, province: Path) -> None:
    found = broken(UNITS, 'predecessors: ["23575"]', 'predecessors: ["23575", "23617"]')
    assert [(d.code, d.fields["id"], d.fields["heirs"]) for d in found] == [
        ("INV207", "23617-H01", "23575-2025, 23617-2025"),
    ]
    station = province / TAY_SON
    explicit = "memberships: [{unit: 23617, to: 2025-07-01}, {unit: 23575-2025, from: 2025-07-01}]"
    station.write_text(station.read_text().replace("languages: [bdq]", explicit))
    assert load(province)[1] == ()


def test_a_unit_that_went_on_under_a_new_id_existed_before(broken: Break) -> None:
    """The new unit began in 2025, but its predecessors had no beginning: a device of 2024 is in order."""
    assert broken("stations/23575-tay-son.yaml", "23575", "23563-2025") == ()


def test_in_service_before_the_unit(broken: Break) -> None:
    found = broken(UNITS, 'type: commune, parent: "626"', 'type: commune, parent: "626", valid_from: 2024-10-01')
    (diagnostic,) = found
    assert (diagnostic.code, diagnostic.place.file) == ("INV308", TAY_SON)
    assert "23617-H01" in diagnostic.text()


def test_quiet_hours_over_midnight_only_forbid_what_they_cover(broken: Break) -> None:
    assert broken("grid.yaml", 'start: "17:00", duration: 1h', 'start: "17:00", duration: 4h') == ()


def test_quiet_hours_of_another_unit_do_not_count(broken: Break) -> None:
    assert (
        broken(
            "network.yaml", '{unit: "64", start: "21:00", end: "05:00"}', '{unit: "626", start: "05:00", end: "06:00"}'
        )
        == ()
    )


def test_a_blank_cell_may_hold_the_difference_but_not_an_excess(broken: Break) -> None:
    assert broken("targets.yaml", "2023: {value: 9}", "2023: {value: 4}") == ()


def test_files_that_cannot_be_read_bring_no_follow_ups(province: Path) -> None:
    (province / "units.yaml").write_bytes(b"\xff")
    (province / "network.yaml").write_text("province: [\n")
    assert [d.code for d in load(province)[1]] == ["INV015", "INV014"]
