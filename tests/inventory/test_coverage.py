"""Planned against built on the sample: the plan's own arithmetic, its contradictions, and the mergers of 2024."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.coverage import Coverage, IndicatorCoverage, coverage, document_date
from inventory.coverage_notes import Comparison, differences, percent_text, rounds_to
from inventory.load import load
from inventory.model import Figure, Network, UnitId

SAMPLE = Path(__file__).parents[2] / "inventory" / "gia-lai"
YEARS = (2021, 2022, 2023, 2024, 2025)


@pytest.fixture(scope="module")
def network() -> Network:
    loaded, _ = load(SAMPLE)
    assert loaded is not None
    return loaded


def by_name(found: Coverage) -> dict[str, IndicatorCoverage]:
    return {i.indicator: i for i in found.indicators}


def line(found: IndicatorCoverage) -> tuple[int, int, str]:
    return found.share.numerator, found.share.denominator, percent_text(found.share.percent)


def codes(found: IndicatorCoverage) -> list[str]:
    return [note.code for note in found.notes]


def test_the_figures_of_2024_on_the_plans_own_units(network: Network) -> None:
    found = coverage(network, 2024)
    assert found.units_on == date(2024, 5, 6)
    assert {name: line(i) for name, i in by_name(found).items()} == {
        "station_to_hamlet": (203, 220, "92,3%"),
        "converted_to_ict": (104, 203, "51,2%"),
        "ward_board": (19, 38, "50,0%"),
        "commune_board": (30, 182, "16,5%"),
        "district_large_board": (8, 17, "47,1%"),
    }
    assert found.notes == ()


def test_every_disagreement_and_no_other_is_shown(network: Network) -> None:
    shown = {
        (i.indicator, year): [n.code for n in i.notes]
        for year in YEARS
        for i in coverage(network, year).indicators
        if i.notes
    }
    assert shown == {
        ("converted_to_ict", 2021): ["other_denominator"],
        ("converted_to_ict", 2022): ["other_denominator"],
        ("converted_to_ict", 2023): ["other_denominator"],
        ("converted_to_ict", 2024): ["other_denominator"],
        ("commune_board", 2023): ["percent_needs_denominator"],
        ("district_large_board", 2024): ["percent_of_boards"],
        ("district_large_board", 2025): ["counts_boards"],
    }


def test_the_sentences_give_the_numbers(network: Network) -> None:
    found = by_name(coverage(network, 2024))
    assert found["district_large_board"].notes[0].text() == (
        "The printed 52,9% is 9 boards over 17 units; 8 of 17 units have one, 47,1%."
    )
    assert found["converted_to_ict"].notes[0].text() == (
        "The document names 220 units, over which 104 is 47,3%; the printed 51,2% is 104 over 203."
    )
    board = by_name(coverage(network, 2023))["commune_board"]
    assert board.notes[0].text() == "12 of 182 is 6,6%, not 7,0%, which takes a denominator of 171-172."
    assert board.agrees is False


@pytest.mark.parametrize("year", YEARS)
def test_every_district_row_of_the_plan_comes_out(network: Network, year: int) -> None:
    for indicator in coverage(network, year).indicators:
        for row in indicator.districts:
            built = row.share.numerator if row.share.boards is None else row.share.boards
            assert row.printed == built, (indicator.indicator, row.name)


def test_rows_are_the_17_districts_and_add_up(network: Network) -> None:
    for indicator in coverage(network, 2024).indicators:
        assert len(indicator.districts) == 17
        assert sum(row.share.numerator for row in indicator.districts) == indicator.share.numerator
        assert sum(row.share.denominator for row in indicator.districts) == indicator.share.denominator


def test_pleiku_has_two_boards_and_is_one_district(network: Network) -> None:
    rows = {row.district: row for row in by_name(coverage(network, 2024))["district_large_board"].districts}
    pleiku = rows[UnitId("622")]
    assert (pleiku.share.numerator, pleiku.share.boards, pleiku.printed, pleiku.agrees) == (1, 2, 2, True)


def test_a_blank_cell_is_not_compared(network: Network) -> None:
    target = next(t for t in network.targets if t.indicator == "ward_board")
    rows = {UnitId("622"): (Figure(2021, None),)}
    blank = replace(target, printed=(Figure(2021, None),), districts=rows)
    (found,) = coverage(replace(network, targets=(blank,)), 2021).indicators
    assert (found.agrees, found.notes, found.districts[0].agrees) == (None, (), None)


def test_after_the_mergers_of_2024_a_merged_commune_counts_once(network: Network) -> None:
    found = by_name(coverage(network, 2024, date(2024, 11, 30)))
    assert line(found["station_to_hamlet"]) == (201, 218, "92,2%")
    assert line(found["ward_board"]) == (19, 38, "50,0%")
    assert line(found["commune_board"]) == (29, 180, "16,1%")
    assert found["commune_board"].share.boards == 30
    assert codes(found["station_to_hamlet"]) == ["merged", "merged", "on_plan_units"]
    assert found["commune_board"].notes[0].text() == "Xã Biển Hồ counts once: Xã Biển Hồ, Xã Tân Sơn each had a board."
    assert found["commune_board"].notes[-1].text() == ("On the plan's own units of 06/05/2024 it is 30 of 182, 16,5%.")


def test_a_merged_commune_is_converted_when_all_its_stations_are(network: Network) -> None:
    converted = by_name(coverage(network, 2024, date(2024, 11, 30)))["converted_to_ict"]
    assert (converted.share.numerator, converted.share.denominator) == (102, 201)
    assert codes(converted) == ["partly_converted", "merged", "on_plan_units"]
    assert "Xã Biển Hồ is not counted" in converted.notes[0].text()


def test_figures_follow_the_day(network: Network) -> None:
    before = by_name(coverage(network, 2024, date(2024, 1, 1)))
    assert line(before["station_to_hamlet"])[:2] == (191, 220)
    assert "value_differs" in codes(before["station_to_hamlet"])


def test_after_the_reform_there_are_no_districts(network: Network) -> None:
    found = by_name(coverage(network, 2025, date(2025, 7, 1)))
    assert all(i.districts == () for i in found.values())
    assert found["station_to_hamlet"].share.denominator == 77
    assert found["district_large_board"].share.percent is None
    assert codes(found["station_to_hamlet"]) == ["merged_many", "on_plan_units"]


def test_a_year_without_targets_says_so(network: Network) -> None:
    found = coverage(network, 2026)
    assert found.indicators == ()
    assert [n.text() for n in found.notes] == ["There are no targets for 2026."]


def test_a_network_without_targets_says_so(network: Network) -> None:
    assert coverage(replace(network, targets=()), 2024).notes[0].code == "no_targets"


def test_what_is_only_planned_is_named(network: Network) -> None:
    assert [n.code for n in coverage(network, 2025).notes] == ["includes_planned"]


def test_an_indicator_that_cannot_be_computed_is_named(network: Network) -> None:
    other = replace(network.targets[0], indicator="websites")
    found = coverage(replace(network, targets=(*network.targets, other)), 2024)
    assert [n.text() for n in found.notes] == ["The indicator websites cannot be computed from the inventory."]


def test_hamlets_are_built_by_the_date(network: Network) -> None:
    early, now = coverage(network, 2021).hamlets, coverage(network, 2024).hamlets
    assert early.known == now.known == len(network.hamlets)
    assert early.built < now.built == now.planned < now.known


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("Kế hoạch 1055/KH-UBND ngày 06/5/2024", date(2024, 5, 6)),
        ("Kế hoạch 12/KH-UBND ngày 31/02/2024", None),
        ("Kế hoạch tỉnh", None),
    ],
)
def test_a_documents_date_is_in_its_citation(document: str, expected: date | None) -> None:
    assert document_date(document) == expected


def test_a_wrong_printed_total_is_named() -> None:
    notes = list(differences(Comparison(8, 17, 9, 11, "64,7%", 17)))
    assert [n.code for n in notes] == ["value_differs", "percent_differs"]


def test_an_impossible_percentage_is_named() -> None:
    notes = list(differences(Comparison(1, 3, None, 1, "90%", 3)))
    assert [n.code for n in notes] == ["percent_differs"]
    assert "no denominator" in notes[0].text()


@pytest.mark.parametrize("printed", ["", "-", "abc%", "NaN%", "Infinity%"])
def test_what_is_no_percentage_never_agrees(printed: str) -> None:
    assert not rounds_to(Fraction(50), printed)


@given(st.integers(0, 500), st.integers(1, 500), st.integers(0, 3))
def test_a_share_agrees_with_itself_as_printed(numerator: int, denominator: int, decimals: int) -> None:
    share = Fraction(100 * numerator, denominator)
    assert rounds_to(share, percent_text(share, decimals))
    if decimals:
        assert (
            list(
                differences(
                    Comparison(numerator, denominator, None, numerator, percent_text(share, decimals), denominator)
                )
            )
            == []
        )
