"""The selection language: what it finds, what it explains, by any spelling a person may type."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inventory.diagnostics import Diagnostic, render
from inventory.load import load
from inventory.model import DeviceId, Network
from inventory.select import Selection, fold, parse

NOW = date(2024, 10, 1)
LATER = date(2026, 1, 1)
ALL = ["23557-B01", "23557-L01", "23557-L02", "23557-M01", "23617-L01", "622-B01", "622-M01"]
DECOMPOSED = unicodedata.normalize("NFD", "Yên Đỗ")
SAMPLE = Path(__file__).parents[2] / "inventory" / "gia-lai"


def select(network: Network, text: str, on: date = NOW) -> Selection:
    found = parse(text, network, on)
    assert isinstance(found, Selection), [render(d) for d in found]
    return found


def ids(network: Network, text: str, on: date = NOW) -> list[str]:
    return [d.id for d in select(network, text, on).devices(on)]


def refused(network: Network, text: str, on: date | None = NOW) -> Sequence[Diagnostic]:
    found = parse(text, network, on)
    assert not isinstance(found, Selection)
    assert all(render(d) for d in found)
    return found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ALL),
        ("   ", ALL),
        ("commune=23557", ALL[:4]),
        ("commune=23557 kind=modem", ["23557-M01"]),
        ("COMMUNE=23557 Kind=Modem", ["23557-M01"]),
        ("district=622", [*ALL[:4], "622-B01", "622-M01"]),
        ("district=622 commune=23557", ALL[:4]),
        ("district=622,626", ALL),
        ("district!=622", ["23617-L01"]),
        ("province=64 kind=board", ["23557-B01", "622-B01"]),
        ("kind=board,modem", ["23557-B01", "23557-M01", "622-B01", "622-M01"]),
        ("kind!=board,modem", ["23557-L01", "23557-L02", "23617-L01"]),
        ("hamlet=23557-H02", ["23557-L02"]),
        ('hamlet="To dan pho 2"', ["23557-L02"]),
        ('hamlet="mơ nang 2"', ["23617-L01"]),
        ("group=riverside", ["23557-L01", "23617-L01"]),
        ('group="ven song ba"', ["23557-L01", "23617-L01"]),
        ("group!=riverside kind=loudspeaker", ["23557-L02"]),
        ("device=23557-l01", ["23557-L01"]),
        ('device="nha van hoa"', ["23557-L01"]),
        ("profile=rutos", ["23557-M01", "622-M01"]),
        ("technology=ip", ALL[:4]),
        ("technology=fm,wired", ["23617-L01"]),
        ("uplink=23557-M01", ["23557-B01", "23557-L02"]),
        ("power_area=pc-622-03", ["23557-L01"]),
        ("23557", ALL[:4]),
        ("23557-L", ["23557-L01", "23557-L02"]),
        ("pleiku kind=board", ["23557-B01", "622-B01"]),
        ('"Yên Đỗ" kind=board', ["23557-B01"]),
        ("yen do", ALL[:4]),
        ("nhà", ["23557-L01"]),
    ],
)
def test_finds(network: Network, text: str, found: list[str]) -> None:
    assert ids(network, text) == found


@pytest.mark.parametrize(
    "name", ["Yên Đỗ", "yen do", "YEN DO", "Phường Yên Đỗ", "phuong yen do", "Yên  Đỗ", DECOMPOSED]
)
def test_a_unit_by_any_spelling(network: Network, name: str) -> None:
    assert select(network, f'commune="{name}"').units == ("23557",)


@pytest.mark.parametrize("name", ["Đak Đoa", "Đăk Đoa", "dak doa", "huyện Đak Đoa", "Huyen Dak Doa"])
def test_plan_and_register_spelling(network: Network, name: str) -> None:
    assert select(network, f'district="{name}"').units == ("626",)


@pytest.mark.parametrize("name", ["Kbang", "KBang", "xã kbang"])
def test_a_unit_of_the_reform_by_plan_and_register_spelling(network: Network, name: str) -> None:
    assert select(network, f'commune="{name}"', LATER).units == ("23617-2025",)


def test_values_with_commas_in_quotes(network: Network) -> None:
    assert select(network, 'commune="yên đỗ","ia kring"').units == ("23557", "23563")


def test_units_and_groups_that_can_sign(network: Network) -> None:
    assert select(network, "").units == ("64",)
    assert select(network, "", LATER).units == ("52",)
    assert select(network, "district=622 commune=23557").units == ("23557",)
    assert select(network, "commune=23557,23563").units == ("23557", "23563")
    for text in ("commune!=23557", "commune=23557 kind=board", "pleiku", "group=riverside"):
        assert select(network, text).units is None
    assert select(network, "group=riverside").groups == ("riverside",)
    assert select(network, "group=riverside kind=board").groups is None
    assert select(network, "group!=riverside").groups is None


def test_status_asks_for_states(network: Network) -> None:
    states = {"23557-L01": "down", "23557-L02": "unreachable"}

    def status(device: DeviceId) -> str:
        return states.get(device, "up")

    lost = select(network, "status=lost")
    assert lost.needs_status
    assert [d.id for d in lost.devices(NOW, status)] == ["23557-L01", "23557-L02"]
    assert [d.id for d in select(network, "status=down").devices(NOW, status)] == ["23557-L01"]
    assert len(select(network, "status!=lost").devices(NOW, status)) == len(ALL) - 2
    with pytest.raises(ValueError, match="states"):
        lost.devices(NOW)


def test_devices_follow_their_hamlet_into_the_unit_of_the_reform(network: Network) -> None:
    assert ids(network, "commune=23563", LATER) == ["23557-B01", "23557-L01", "23557-M01"]
    assert ids(network, 'commune="diên hồng"', LATER) == ["23557-B01", "23557-L01", "23557-M01"]
    assert ids(network, "commune=23617-2025", LATER) == ["23617-L01", "23617-L02"]


def test_an_ended_unit_names_its_successors(network: Network) -> None:
    (diagnostic,) = refused(network, 'kind=board commune="Yên Đỗ"', LATER)
    assert diagnostic.code == "SEL006"
    assert diagnostic.place.column == 12
    assert diagnostic.fields["end"] == "2025-07-01"
    assert diagnostic.fields["heirs"] == "Phường Diên Hồng (23563-2025)"
    assert diagnostic.fix_text() == "write commune=23563-2025"


def test_a_district_after_the_reform_names_the_communes_in_its_place(network: Network) -> None:
    (diagnostic,) = refused(network, "district=622", LATER)
    assert diagnostic.fields["fix"] == "commune=23563-2025,23575-2025"


def test_a_unit_that_has_not_begun(network: Network) -> None:
    (diagnostic,) = refused(network, 'commune="Diên Hồng"')
    assert (diagnostic.code, diagnostic.fields["start"]) == ("SEL007", "2025-07-01")


def test_the_date_of_the_inventory_is_the_default(network: Network) -> None:
    found = parse("commune=23563", network)
    assert isinstance(found, Selection)
    assert found.units == ("23563",)


def test_an_ambiguous_name_lists_the_candidates(network: Network) -> None:
    (diagnostic,) = refused(network, 'commune="Tây Sơn"')
    assert diagnostic.code == "SEL005"
    assert "Phường Tây Sơn (23575, Thành phố Pleiku)" in diagnostic.text()
    assert "Xã Tây Sơn (23617, Huyện Đăk Đoa)" in diagnostic.text()


def test_a_wider_unit_or_the_type_word_settles_it(network: Network) -> None:
    assert select(network, 'commune="Tây Sơn" district=622').units == ("23575",)
    assert select(network, 'commune="xã tây sơn"').units == ("23617",)


@pytest.mark.parametrize(
    ("text", "code", "column", "fix"),
    [
        ('kind=board commune="Ia Pa', "SEL001", 12, 'commune="Ia Pa"'),
        ("comune=23557", "SEL002", 1, "'commune'"),
        ("weather=good", "SEL002", 1, "known keys"),
        ("kind=", "SEL003", 1, "kind=…"),
        ("kind=,", "SEL003", 1, "kind=…"),
        ("kind=modme", "SEL004", 1, "'modem'"),
        ('commune="Yên Đổi"', "SEL004", 1, "Yên Đỗ"),
        ("group=river", "SEL004", 1, "'riverside'"),
        ("status=zzz", "SEL004", 1, "up"),
        ("kind=board plieku", "SEL004", 12, "Pleiku"),
        ("hamlet=nowhere", "SEL004", 1, "Tổ dân phố"),
        ("commune=23557 district=626", "SEL008", 1, "narrows"),
    ],
)
def test_explains(network: Network, text: str, code: str, column: int, fix: str) -> None:
    (diagnostic,) = refused(network, text)
    assert (diagnostic.code, diagnostic.place.column) == (code, column)
    assert fix in diagnostic.fix_text()


def test_all_mistakes_at_once(network: Network) -> None:
    assert [d.code for d in refused(network, "kindd=x kind=x commune=x")] == ["SEL002", "SEL004", "SEL004"]


def test_the_sample_is_found_in_both_spellings() -> None:
    sample, _ = load(SAMPLE)
    assert sample is not None
    for plan, register in (("Kbang", "KBang"), ("Đak Đoa", "Đăk Đoa"), ("Đak Pơ", "Đăk Pơ")):
        one, other = select(sample, f'district="{plan}"'), select(sample, f'district="{register}"')
        assert one.units == other.units
        assert len(one.devices(NOW)) > 0


def test_hamlets_of_one_name_are_told_apart_by_their_unit() -> None:
    sample, _ = load(SAMPLE)
    assert sample is not None
    names: dict[str, list[str]] = {}
    for hamlet in sample.hamlets.values():
        names.setdefault(hamlet.name, []).append(hamlet.id)
    name, homes = max(names.items(), key=lambda item: len(item[1]))
    assert refused(sample, f'hamlet="{name}"')[0].code == "SEL005"
    unit = sample.hamlets[homes[0]].memberships[0].unit  # type: ignore[index]
    (term,) = [t for t in select(sample, f'hamlet="{name}" commune={unit}').terms if t.key == "hamlet"]
    assert homes[0] in term.values


@given(st.text())
def test_fold_is_idempotent(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize(
    ("text", "folded"), [("Đăk Đoa", "dak doa"), ("ỨNG HÒA", "ung hoa"), ("Kbang", "kbang"), ("", "")]
)
def test_fold(text: str, folded: str) -> None:
    assert fold(text) == folded
    assert fold(unicodedata.normalize("NFD", text)) == folded


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet="kind=commune!,\"' 23557-L01đừơng\t\n", max_size=40))
def test_any_text_is_a_selection_or_is_explained(network: Network, text: str) -> None:
    found = parse(text, network)
    if not isinstance(found, Selection):
        assert found
        assert all(render(d) for d in found)
