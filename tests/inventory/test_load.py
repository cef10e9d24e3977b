"""The loader reads what is right exactly and never raises for what is wrong."""

from __future__ import annotations

import gc
import os
import unicodedata
from datetime import date, time
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inventory.diagnostics import Place, Severity, render
from inventory.load import load
from inventory.model import (
    BoardSize,
    Contact,
    DeviceId,
    DeviceKind,
    HamletId,
    Location,
    Membership,
    Network,
    Role,
    Sim,
    Technology,
    Tier,
    UnitId,
    Volume,
)
from tests.inventory.conftest import FILES, Break

YEN_DO = "stations/23557-yen-do.yaml"


def codes(folder: Path) -> list[str]:
    return [d.code for d in load(folder)[1]]


def test_a_valid_province_has_no_diagnostics_and_every_value(network: Network) -> None:
    loudspeaker = network.devices[DeviceId("23557-L01")]
    assert loudspeaker.kind is DeviceKind.LOUDSPEAKER
    assert loudspeaker.unit == "23557"
    assert loudspeaker.location == Location(13.98, 108.0)
    assert loudspeaker.sim == Sim("0849123", "8984", "M2M", "Viettel", date(2026, 1, 1))
    assert loudspeaker.volume == Volume(day=75, early=50, emergency=100)
    assert loudspeaker.place == Place(YEN_DO, 11, 5)
    board = network.devices[DeviceId("23557-B01")]
    assert (board.size, board.resolution, board.connected) == (BoardSize.SMALL, (192, 96), True)
    assert network.devices[DeviceId("622-B01")].size is BoardSize.LARGE
    assert network.devices[DeviceId("23557-L02")].out_of_service == date(2024, 12, 31)


def test_hamlets_stations_and_units(network: Network) -> None:
    hamlet = network.hamlets[HamletId("23557-H01")]
    assert hamlet.memberships == (Membership(UnitId("23557")),)
    assert (hamlet.languages, hamlet.contact) == (("vi",), Contact("Nguyễn A", "0905"))
    station = network.stations[UnitId("23557")]
    assert [t.technology for t in station.technologies] == [Technology.WIRED, Technology.IP]
    assert set(network.stations) == {"23557", "23617"}
    unit = network.units[UnitId("23563-2025")]
    assert (unit.tier, unit.code, unit.predecessors) == (Tier.COMMUNE, "23563", ("23557", "23563"))
    assert (network.overlay, network.as_of) == ("127", date(2024, 10, 1))


def test_programme_people_targets_and_trust(network: Network) -> None:
    assert [(s.name, s.start, s.duration) for s in network.sessions] == [
        ("sáng", time(5), 3600.0),
        ("chiều", time(17), 3600.0),
    ]
    assert network.people["binh-tran"].roles == (Role.APPROVER, Role.VIEWER)  # type: ignore[index]
    target = network.targets[0]
    assert [(f.year, f.value, f.percent) for f in target.printed] == [
        (2021, 3, "100%"),
        (2022, None, "100%"),
        (2023, 9, None),
    ]
    assert [f.value for f in target.districts[UnitId("622")]] == [2, 4]
    assert network.trust is not None
    assert network.trust.keys[0].classes == ("normal", "emergency")


def test_all_mistakes_of_all_files_at_once(province: Path) -> None:
    station = province / YEN_DO
    station.write_text(station.read_text().replace("volume:", "volumne:").replace("day: 75", "day: 175"))
    (province / "grid.yaml").write_text("sessions:\n\t- x\n")
    (province / "people.yaml").unlink()
    network, diagnostics = load(province)
    assert network is None
    assert [(d.code, str(d.place)) for d in diagnostics] == [
        ("INV016", "grid.yaml:2:1"),
        ("INV011", "people.yaml"),
        ("INV001", f"{YEN_DO}:18:5"),
    ]


def test_a_mistake_is_shown_with_its_line_and_the_nearest_key(province: Path) -> None:
    station = province / YEN_DO
    station.write_text(station.read_text().replace("volume:", "volumne:"))
    (diagnostic,) = load(province)[1]
    assert render(diagnostic).splitlines() == [
        "error[INV001]: unknown key 'volumne'",
        f"  --> {YEN_DO}:18:5",
        "     |     volumne: {day: 75, early: 50}",
        "     |     ^ did you mean 'volume'?",
    ]


def test_warnings_leave_the_network_usable(broken: Break) -> None:
    (warning,) = broken("targets.yaml", '"626": {2021: 1}', '"626": {2021: 5}')
    assert (warning.code, warning.severity) == ("INV406", Severity.WARNING)


def test_a_missing_folder_and_a_file_in_its_place(tmp_path: Path) -> None:
    assert codes(tmp_path / "nowhere") == ["INV010"]
    (tmp_path / "file").write_text("x")
    assert codes(tmp_path / "file") == ["INV010"]
    assert codes(tmp_path) == ["INV010", *["INV011"] * 6][1:]


def test_folders_of_sites_may_be_absent(province: Path) -> None:
    for path in [*province.glob("*/*.yaml"), province / "groups.yaml", province / "trust.yaml"]:
        path.unlink()
    (province / "groups.yaml").write_text("groups: []\n")
    (province / "stations").rmdir()
    (province / "districts").rmdir()
    network, diagnostics = load(province)
    assert (diagnostics, network and network.trust) == ((), None)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "INV022"),
        (b"# nothing\n", "INV022"),
        (b"\x00\x01\x02\xff\xfe", "INV014"),
        (b"unit: \x00", "INV014"),
        (b"unit: \xff", "INV014"),
        (b"unit: \x07", "INV015"),
        ("unit: x".encode("utf-16"), "INV014"),
        (b"unit: [1, 2", "INV015"),
        (b'unit: "23', "INV015"),
        (b"unit: 1\n--- \nunit: 2\n", "INV015"),
        (b"%YAML 9.9\n---\nunit: 1\n", "INV015"),
        (b"unit: &a x\nhamlets: *a\n", "INV017"),
        (b"a: &a [x]\nb: &b [*a, *a, *a]\nc: [*b, *b]\n", "INV017"),
        (b"unit: !!python/object:os.system x\n", "INV017"),
        (b"[" * 100_000, "INV018"),
        (b"- " * 100_000, "INV018"),
        (b"unit: " + b"x" * 10_000_000, "INV013"),
        (b"- a\n- b\n", "INV003"),
        (b"just a text\n", "INV003"),
        (b"[a, b]: c\n", "INV001"),
    ],
)
def test_whatever_a_file_holds_is_a_diagnostic(province: Path, content: bytes, code: str) -> None:
    (province / "stations" / "x.yaml").write_bytes(content)
    network, diagnostics = load(province)
    assert network is None
    assert code in {d.code for d in diagnostics}
    assert {d.place.file for d in diagnostics} == {"stations/x.yaml"}
    assert all(len(line) < 400 for d in diagnostics for line in render(d).splitlines())


def test_levels_that_the_composer_bears_are_read_without_recursion(province: Path) -> None:
    (province / "groups.yaml").write_text("groups: " + "[" * 900 + "]" * 900)
    assert codes(province) == ["INV003"]


def test_a_long_line_does_not_fill_the_screen(province: Path) -> None:
    (province / "groups.yaml").write_text("groups: [{id: a, nam: " + "x" * 100_000 + "}]\n")
    diagnostics = load(province)[1]
    assert [d.code for d in diagnostics] == ["INV002", "INV001"]
    assert all(len(d.source) <= 160 for d in diagnostics)


def test_terminal_escapes_in_a_value_are_not_shown(broken: Break) -> None:
    (diagnostic,) = broken("groups.yaml", "id: riverside", 'id: "\\e[2J\\u202e"')
    assert diagnostic.code == "INV004"
    assert "\x1b" not in render(diagnostic)
    assert "\u202e" not in render(diagnostic)


def test_names_compare_after_composition(province: Path) -> None:
    units = province / "units.yaml"
    units.write_text(unicodedata.normalize("NFD", units.read_text()))
    network, diagnostics = load(province)
    assert [(d.code, d.severity) for d in diagnostics] == [("INV020", Severity.WARNING)]
    assert network is not None
    assert network.units[UnitId("23557")].name == unicodedata.normalize("NFC", "Phường Yên Đỗ")


def test_places_that_cannot_be_read(province: Path) -> None:
    (province / "grid.yaml").unlink()
    (province / "grid.yaml").symlink_to("grid.yaml")
    (province / "groups.yaml").unlink()
    (province / "groups.yaml").mkdir()
    (province / "people.yaml").unlink()
    os.mkfifo(province / "people.yaml")
    (province / "trust.yaml").unlink()
    (province / "trust.yaml").symlink_to("nowhere")
    diagnostics = load(province)[1]
    assert [(d.code, d.place.file) for d in diagnostics] == [
        ("INV012", "grid.yaml"),
        ("INV012", "groups.yaml"),
        ("INV012", "people.yaml"),
        ("INV011", "trust.yaml"),
    ]


def test_stations_as_a_file(province: Path) -> None:
    for path in (province / "districts").iterdir():
        path.unlink()
    (province / "districts").rmdir()
    (province / "districts").write_text("x")
    assert codes(province) == ["INV012"]


def test_files_nobody_would_read_are_named(province: Path) -> None:
    (province / "group.yaml").write_text("groups: []\n")
    (province / "stations" / "23557-b.yml").write_text("unit: x\n")
    (province / "README.md").write_text("notes\n")
    (province / ".hidden.yaml").write_text("notes\n")
    diagnostics = load(province)[1]
    assert [(d.code, d.place.file, d.fields["near"]) for d in diagnostics] == [
        ("INV019", "group.yaml", "groups.yaml"),
        ("INV019", "stations/23557-b.yml", "23557-b.yaml"),
    ]


def test_secrets_in_plain_text(province: Path) -> None:
    (province / "secrets.yaml").write_text("snmp: public\n")
    (diagnostic,) = load(province)[1]
    assert diagnostic.code == "INV021"
    assert "public" not in render(diagnostic)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("plan: M2M", "plan: ^", "INV003"),
        ("condition: good", "condition: ^god", "INV005"),
        ("- id: 23557-L02", "- id: 23557-L02\n    ^profil: x", "INV001"),
        ("id: 23557-L02\n", "^nam: 23557-L02\n", "INV002"),
        ("surveyed: 2024-05-06", "surveyed: ^2024-13-06", "INV004"),
        ("surveyed: 2024-05-06", "surveyed: ^20240506", "INV004"),
        ("lat: 13.98", "lat: ^108.0", "INV304"),
        ("lat: 13.98", "lat: 13.98, ^lat: 14.0", "INV007"),
        ("day: 75", "day: ^101", "INV303"),
        ("day: 75", "day: ^seventy", "INV004"),
        ("resolution: 192x96", "resolution: ^0x96", "INV004"),
        ("population: 812", "population: ^-1", "INV006"),
        ("id: 23557-L01", "id: ^23557-M07", "INV004"),
        ("languages: [vi, jra]", "languages: ^vi", "INV003"),
        ("location: {lat: 13.98, lon: 108.0}", "location: ^here", "INV003"),
        ("- {id: 23557-H02", "- ^H02\n  - {id: 23557-H02", "INV003"),
    ],
)
def test_a_field_at_fault_is_placed_where_the_caret_is(broken: Break, old: str, new: str, code: str) -> None:
    found = {d.code: d.place for d in broken(YEN_DO, old, new.replace("^", ""))}
    before = dedent(FILES[YEN_DO]).partition(old)[0] + new.partition("^")[0]
    lines = before.split("\n")
    assert found[code] == Place(YEN_DO, len(lines), len(lines[-1]) + 1)


def test_a_broken_record_still_exists_for_those_who_refer_to_it(broken: Break) -> None:
    found = broken(YEN_DO, "profile: rutos", "serial: abc")
    assert [d.code for d in found] == ["INV002"]


def test_headings_without_content_are_empty_lists(broken: Break) -> None:
    assert broken("stations/23575-tay-son.yaml", 'unit: "23575"\n', "unit: 23575\nmodems:\nboards: ~\n") == ()


def test_nothing_is_written_and_the_garbage_collector_is_left_as_it_was(province: Path) -> None:
    (province / "grid.yaml").write_text("\t")

    def state() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (province, *province.rglob("*"))}

    before = state()
    load(province)
    assert gc.isenabled()
    assert state() == before


FIXTURE_ONCE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FIXTURE_ONCE
@given(content=st.binary(max_size=300))
def test_arbitrary_bytes_never_raise(province: Path, content: bytes) -> None:
    (province / "stations" / "x.yaml").write_bytes(content)
    network, diagnostics = load(province)
    assert network is None
    assert all(render(d) for d in diagnostics)


YAML = st.text(alphabet="unit:hamlets \n-[]{},\"'&*!|>#%@`?~0123é\t", max_size=120)


@FIXTURE_ONCE
@given(content=YAML, file=st.sampled_from(["network.yaml", "units.yaml", "grid.yaml", "targets.yaml", YEN_DO]))
def test_arbitrary_text_in_any_file_never_raises(province: Path, content: str, file: str) -> None:
    old = (province / file).read_bytes()
    (province / file).write_text(content, encoding="utf-8")
    try:
        _, diagnostics = load(province)
        assert diagnostics
        assert all(render(d) for d in diagnostics)
    finally:
        (province / file).write_bytes(old)


@FIXTURE_ONCE
@given(cut=st.integers(min_value=1), file=st.sampled_from(["units.yaml", "network.yaml", "targets.yaml", YEN_DO]))
def test_truncated_files_never_raise(province: Path, cut: int, file: str) -> None:
    old = (province / file).read_bytes()
    (province / file).write_bytes(old[: cut % len(old)])
    try:
        assert all(render(d) for d in load(province)[1])
    finally:
        (province / file).write_bytes(old)
