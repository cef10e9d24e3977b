"""Filling a script, who may send it alone, what has to be typed; what may follow. The rules as tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from audio import scripts
from audio.bulletin import compose
from audio.documents import Audience, Bulletin, BulletinClass
from inventory.diagnostics import Diagnostic
from inventory.model import Person, Script, ScriptClass, ScriptId, UnitId, UnitType, Wording
from tests.audio.province import AN, BINH, CHI, DISTRICT, DUNG, EM, EVENING, GIA, ON, OTHER, PROVINCE, WARD, draft
from tests.audio.province import emergency as emergency_draft
from tests.audio.province import network as plain_network
from tests.audio.test_bulletin import Sound

FLOOD = Script(
    ScriptId("lu"),
    "Xả lũ",
    ScriptClass.EMERGENCY,
    Wording({"vi": "Nước lên tại {place} lúc {hour}. Về {place} ngay."}),
    Wording({"vi": "Tin đính chính, thông báo vừa rồi không đúng, bà con yên tâm."}),
    Wording({"vi": "Tình huống khẩn cấp đã kết thúc, bà con trở về nhà."}),
)
DRILL = replace(FLOOD, id=ScriptId("tap"), cls=ScriptClass.DRILL)
NETWORK = replace(plain_network(), scripts={FLOOD.id: FLOOD, DRILL.id: DRILL})


def codes(found: object) -> list[str]:
    assert isinstance(found, tuple)
    assert all(isinstance(d, Diagnostic) and d.text() and d.fix_text() for d in found)
    return [d.code for d in found]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(
            {"place": "ngầm  Ia Tul", "hour": " 5 giờ "}, "Nước lên tại ngầm Ia Tul lúc 5 giờ. Về ngầm Ia Tul ngay."
        ),
        pytest.param(
            {"place": "{hour}", "hour": "5"}, "Nước lên tại {hour} lúc 5. Về {hour} ngay.", id="said as typed"
        ),
        pytest.param({"place": "x"}, ["BUL060"], id="one is empty"),
        pytest.param({"place": "x", "hour": " "}, ["BUL060"], id="blanks are no words"),
        pytest.param({"place": "x!"}, ["BUL101", "BUL060"], id="what is wrong is told before all is filled in"),
        pytest.param({"place": "x", "hour": "5", "order": "y"}, ["BUL061"], id="one that it has not"),
    ],
)
def test_a_script_is_filled(values: dict[str, str], expected: str | list[str]) -> None:
    filled = scripts.fill(FLOOD, values)
    assert (filled if isinstance(filled, str) else codes(filled)) == expected


@pytest.mark.parametrize(
    "value",
    [
        "ngầm Ia Tul",
        "làng Mơ Nang 2, thôn 1, 2, 3 xã Ia Pa",
        "suối Kon H'ring (đập An Khê - Ka Nak)",
        "22h30",
        "22 giờ 30 ngày 1.2.2025",
        "05:30 ngày 06/9",
        "mực nước 7.5 m, lưu lượng 2.500 m3/s",
        "4,5 m",
        "TP. Pleiku",
        "TP.HCM",
        "P. Yên Đỗ, tp. Pleiku",
        "TT. Phú Túc, H. Krông Pa",
        "TDP. 5",
        "QL.25, km 12+300",
        "ĐT.666",
        "Theo lệnh: Chủ tịch UBND xã",
        "Công điện số 12/CĐ-TTg của T.Ư",
        "ThS. Nguyễn Văn A, Đ/c PCT UBND",
        "ngầ\u0300m " + 54 * "a",
    ],
)
def test_a_blank_takes_names_hours_numbers_and_the_administrations_abbreviations(value: str) -> None:
    assert isinstance(scripts.fill(FLOOD, {"place": value, "hour": value}), str)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("Ia Pa. Bà con chạy ngay", "."),
        ("Ia Pa.Bà con chạy ngay", "."),
        ("Ia Pa .", "."),
        ("5 giờ 30.", "."),
        (". Bà con chạy ngay", "."),
        ("làng 3. Bà con chạy ngay", "."),
        ("lúc 3.000. Chạy ngay", "."),
        ("UBND. Bà con chạy ngay", "."),
        ("Ia Pa[.]Bà con chạy", "."),
        ("Ia Pa<br>Bà con chạy", "."),
        ("Ia Pa\u2024Bà con chạy", "."),
        ("Ia Pa! Chạy", "!"),
        ("Ia Pa\uff01", "!"),
        ("Ia Pa?", "?"),
        ("Ia Pa; chạy ngay", ";"),
        ("Ia Pa… chạy ngay", ".."),
        ("5 giờ... chạy ngay", ".."),
        ("Ia Pa\nBà con chạy", "U+000A"),
        ("Ia Pa\u2029Bà con chạy", "U+2029"),
        ("Ia\u200bPa", "U+200B"),
        ("Ia\x1bPa", "U+001B"),
        (61 * "a", "61"),
        (200 * "chạy ngay ", "1999"),
    ],
)
def test_a_blank_is_no_place_for_other_words(value: str, what: str) -> None:
    refused = scripts.fill(FLOOD, {"place": "ngầm Ia Tul", "hour": value})
    assert codes(refused) == ["BUL101"]
    assert isinstance(refused, tuple)
    assert refused[0].fields == {"script": "lu", "blank": "hour", "most": "60", "what": what}
    assert codes(scripts.fill(FLOOD, {"place": value, "hour": value})) == ["BUL101", "BUL101"]


def test_an_unknown_script_is_answered_with_those_there_are() -> None:
    found = scripts.find(NETWORK, "chay")
    assert codes(found) == ["BUL062"]
    assert isinstance(found, tuple)
    assert found[0].fields["known"] == "lu, tap"


@pytest.mark.parametrize(
    ("script", "typed", "right"),
    [
        (FLOOD, "Phường Yên Đỗ", True),
        (FLOOD, "YEN DO", True),
        (FLOOD, " yên  đỗ ", True),
        (FLOOD, "phuong yen do", True),
        (FLOOD, "Yên", False),
        (FLOOD, "", False),
        (FLOOD, "23557", False),
        (FLOOD, "DIEN TAP", False),
        (DRILL, "DIEN TAP", True),
        (DRILL, "diễn tập", True),
        (DRILL, "YEN DO", False),
    ],
)
def test_the_areas_name_is_typed_for_the_real_thing_and_another_word_for_a_drill(
    script: Script, typed: str, right: bool
) -> None:
    ward = NETWORK.units[WARD]
    assert scripts.confirms(script, ward, typed) is right
    assert scripts.confirms(script, ward, scripts.word(script, ward))


@dataclass(frozen=True)
class Row:
    author: str
    origin: str = WARD
    state: str = "submitted"
    created: datetime = EVENING
    on_behalf: str = ""


def bulletin(script: str = "lu", *units: UnitId, **changes: object) -> Bulletin:
    made = compose(plain_network(), ON, emergency_draft(), Sound(), EVENING)
    assert isinstance(made, Bulletin)
    return replace(made, script=script, audience=Audience(units or (WARD,)), **changes)  # type: ignore[arg-type]


SCRIPTED, FREE = bulletin(), bulletin("")
WIDE, TWO = bulletin("lu", PROVINCE), bulletin("lu", WARD, OTHER)
PRACTICE = bulletin(cls=BulletinClass.PRIORITY)
FOLLOWING = bulletin("", follows="b", siren=0)


@pytest.mark.parametrize(
    ("person", "what", "row", "seconds", "reason", "expected"),
    [
        pytest.param(DUNG, SCRIPTED, Row("dung"), 0, "", [], id="a commune's leader alone, from a script"),
        pytest.param(AN, SCRIPTED, Row("an", PROVINCE), 0, "", [], id="the operator on shift alone"),
        pytest.param(AN, PRACTICE, Row("an", PROVINCE), 0, "", [], id="a drill from a script, too"),
        pytest.param(BINH, SCRIPTED, Row("an", PROVINCE), 0, "", [], id="or a leader as always"),
        pytest.param(CHI, SCRIPTED, Row("chi"), 0, "", ["BUL021"], id="an editor alone may not"),
        pytest.param(EM, SCRIPTED, Row("em"), 0, "", [], id="an approver who wrote it"),
        pytest.param(DUNG, SCRIPTED, Row("an", PROVINCE), 0, "", ["BUL022"], id="not for a unit above"),
        pytest.param(GIA, SCRIPTED, Row("gia"), 0, "", ["BUL021"], id="a viewer may not"),
        pytest.param(AN, FREE, Row("an", PROVINCE), 0, "", ["BUL065"], id="free words ask a second person"),
        pytest.param(AN, WIDE, Row("an", PROVINCE), 0, "", ["BUL065"], id="the whole province asks a second person"),
        pytest.param(AN, TWO, Row("an", PROVINCE), 0, "", ["BUL065"], id="two communes, too"),
        pytest.param(
            AN, WIDE, Row("an", PROVINCE), 59, "đập vỡ", ["BUL066"], id="no breaking of glass within a minute"
        ),
        pytest.param(AN, WIDE, Row("an", PROVINCE), 60, "đập vỡ", [], id="after a minute, with a reason"),
        pytest.param(AN, FREE, Row("an", PROVINCE), 60, "đập vỡ", [], id="free words, too"),
        pytest.param(AN, WIDE, Row("an", PROVINCE), 600, "  ", ["BUL065"], id="never without a reason"),
        pytest.param(CHI, FREE, Row("chi"), 60, "đập vỡ", ["BUL021"], id="an editor breaks no glass"),
        pytest.param(BINH, FREE, Row("an", PROVINCE), 0, "", [], id="the second person needs no reason"),
        pytest.param(
            AN,
            bulletin("", cls=BulletinClass.PRIORITY),
            Row("an", PROVINCE),
            60,
            "x",
            ["BUL021"],
            id="no drill, though",
        ),
        pytest.param(AN, SCRIPTED, Row("an", PROVINCE, "cancelled"), 0, "", ["BUL023"], id="not what is cancelled"),
        pytest.param(CHI, FOLLOWING, Row("chi"), 0, "", [], id="a correction: its author"),
        pytest.param(DUNG, FOLLOWING, Row("chi"), 0, "", [], id="a correction: who may stop there"),
        pytest.param(GIA, FOLLOWING, Row("chi"), 0, "", ["BUL031"], id="a correction: nobody else"),
    ],
)
def test_who_may_put_it_on_the_air(
    person: Person, what: Bulletin, row: Row, seconds: int, reason: str, expected: list[str]
) -> None:
    now = EVENING + timedelta(seconds=seconds)
    assert codes(scripts.may_send(NETWORK, person, row, {row.author}, what, now, reason)) == expected


@pytest.mark.parametrize(
    ("person", "seconds", "reason", "expected"),
    [
        pytest.param(BINH, 0, "", ["BUL065"], id="who wrote it first is no second person"),
        pytest.param(AN, 0, "", ["BUL065"], id="who wrote it last is none, either"),
        pytest.param(EM, 0, "", [], id="who wrote none of it is"),
        pytest.param(BINH, 60, "đập vỡ", [], id="glass is broken as always"),
    ],
)
def test_who_wrote_any_version_of_an_emergency_is_no_second_person(
    person: Person, seconds: int, reason: str, expected: list[str]
) -> None:
    now, row = EVENING + timedelta(seconds=seconds), Row("an")
    assert codes(scripts.may_send(NETWORK, person, row, {"binh", "an"}, FREE, now, reason)) == expected


def test_a_normal_bulletin_is_never_sent_alone() -> None:
    normal = compose(plain_network(), ON, draft(author=EM.id), Sound(), EVENING)
    assert isinstance(normal, Bulletin)
    late = EVENING + timedelta(hours=1)
    scripted = replace(normal, script="lu")
    assert codes(scripts.may_send(NETWORK, EM, Row("em"), {"em"}, scripted, late, "gấp")) == ["BUL021"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("23557", WARD),
        ("Yên Đỗ", WARD),
        ("phuong yen do", WARD),
        ("PLEIKU", DISTRICT),
        ("64", PROVINCE),
        ("Gia Lai", PROVINCE),
        ("riverside", ["BUL063"]),
        ("", ["BUL063"]),
        ("Ia Pa", ["BUL063"]),
    ],
)
def test_an_area_is_one_unit_by_id_or_name(text: str, expected: object) -> None:
    found = scripts.area(NETWORK, ON, text)
    assert (codes(found) if isinstance(found, tuple) else found.id) == expected


def test_two_units_of_one_name_are_told_apart_by_their_ids() -> None:
    other = replace(NETWORK.units[OTHER], name="Xã Yên Đỗ", type=UnitType.COMMUNE)
    network = replace(NETWORK, units={**NETWORK.units, OTHER: other})
    found = scripts.area(network, ON, "yên đỗ")
    assert isinstance(found, tuple)
    assert found[0].fields["found"] == "Phường Yên Đỗ (23557), Xã Yên Đỗ (23560)"
    exact = scripts.area(network, ON, "xã Yên Đỗ")
    assert not isinstance(exact, tuple)
    assert exact.id == OTHER
