"""Written Vietnamese becomes spoken Vietnamese: every rule by its rows in ``said.txt``, and what holds for any text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audio.saying import numbers, say
from audio.saying.abbreviations import ABBREVIATIONS, BEFORE_NAMES, IN_PAPERS, SMALL
from audio.saying.tables import CURRENCIES, LETTERS, SIGNS, UNITS
from inventory.diagnostics import Severity

ROW = re.compile(r"(.+) =>(?: (.*?))?((?: \[[A-Z]{3}\d{3}: [^\]]*\])*)")
PIECES = [
    *("UBND", "CA", "XÃ", "khóa", "IV", "I", "quý", "2-12", "6/9", "12/2024", "30", "ngày", "số", "123/QĐ-UBND", "5"),
    *(
        "km",
        "%",
        "gọi",
        "115",
        "0269",
        "http://a.vn",
        "a@b.vn",
        "½",
        "²",
        "m",
        "🎉",
        "<b>",
        "**",
        "đ",
        "/",
        "TP.",
        "Q.",
    ),
    *("A", "B", "x", "Đ", "'", '"', "...", "…", "$", "+", "=", "&", "VI", "CD", ".vn", "www", "T.Ư", "v.v", "đ/c", "Ⅷ"),
    *("①", "ß", "ñ", "жд", "h", "05:30", "1.000", "1,5", "và", "_", "|", "#", "[", "]", "!", "°C", "\u0306", "ơ̆", "tp"),
    *("H'Mông", "K", "4G", "°", "~", ".", ",", "-", " ", "\n", "(", ")", ":", ";", "?", "X.", "ĐT 662", "1900 1234"),
]
TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join),
    st.text(max_size=60),
)


def rows() -> Iterator[tuple[str, str, list[str]]]:
    for line in (Path(__file__).parent / "said.txt").read_text(encoding="utf-8").splitlines():
        row = ROW.fullmatch(line)
        if row is not None:
            yield row[1].replace("\\n", "\n"), row[2] or "", re.findall(r"\[(.+?)\]", row[3])


@pytest.mark.parametrize(("written", "said", "warnings"), list(rows()))
def test_each_rule_by_its_rows(written: str, said: str, warnings: list[str]) -> None:
    found = say(written)
    assert found.text == said
    assert [f"{w.code}: {w.fields['names']}" for w in found.warnings] == warnings
    assert {(w.severity, str(w.place)) for w in found.warnings} <= {(Severity.WARNING, "text")}


def test_the_table_is_read_whole() -> None:
    text = (Path(__file__).parent / "said.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if " =>" in line]
    assert len(lines) == len(list(rows())) > 400


@given(TEXTS)
@example("(0 \u0660\u2075⅔ \U0001d7ce")
@example("123/QĐ-UBND🎉/UBND")
def test_what_is_said_is_sayable_and_stays_as_it_is(text: str) -> None:
    said = say(text)
    assert all(character in " .,:;?!" or character.isalpha() for character in said.text)
    assert said.text == said.text.strip()
    assert len(said.text) <= 20 * len(text) + 20
    again = say(said.text)
    assert (again.text, again.warnings) == (said.text, ())


@given(st.integers(0, numbers.MOST - 1))
def test_every_number_has_a_reading_of_its_own(number: int) -> None:
    assert value(numbers.cardinal(number)) == number


def value(words: str) -> int:
    """The number back from its reading, by another way than it was made."""
    names = {name: digit for digit, name in enumerate(numbers.DIGITS)} | {"mốt": 1, "tư": 4, "lăm": 5}
    powers = {"nghìn": 10**3, "triệu": 10**6}
    total = group = last = 0
    billions = 0
    for word in words.split():
        if word in names:
            group, last = group + names[word], names[word]
        elif word in ("mươi", "trăm"):
            group += last * ({"mươi": 10, "trăm": 100}[word] - 1)
        elif word == "mười":
            group += 10
        elif word in powers:
            total, group = total + group * powers[word], 0
        elif word == "tỷ":
            billions, total, group = (billions + total + group) * 10**9, 0, 0
    return billions + total + group


@pytest.mark.parametrize("table", [ABBREVIATIONS, IN_PAPERS, BEFORE_NAMES, SMALL, UNITS, CURRENCIES, SIGNS, LETTERS])
def test_a_reading_needs_no_further_reading(table: dict[str, str]) -> None:
    for short, reading in table.items():
        assert say(reading).text == reading, short


def test_every_abbreviation_is_found_in_a_sentence() -> None:
    for short, reading in ABBREVIATIONS.items():
        assert say(f"theo {short} thì").text == f"theo {reading} thì"


def test_warnings_stay_short() -> None:
    said = say(" ".join(f"https://a.vn/{n}{'x' * 500}" for n in range(9)))
    (warning,) = said.warnings
    assert len(warning.text()) < 500
    assert warning.fields["names"].endswith(", …")


@pytest.mark.parametrize(
    "piece", ["1", "1-", "1/", "1.", "1x", "a", "A&", "<a", "a@", "a.", "[", "[x](", "- ", "113/", "12/AB-", "1 000 "]
)
def test_no_repetition_is_too_much(piece: str) -> None:
    """Each of these would take hours where a pattern could match in many ways."""
    text = (piece * 5_000)[:5_000]
    assert len(say(text + "a").text) <= 20 * len(text) + 20
