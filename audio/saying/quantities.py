"""Dates, times, telephone numbers, papers' numbers, ranges and measures: what figures mean where they stand. Pure.

Readings that need a decision:

- ``2-12`` and ``6/9`` are a date when the word before says so (ngày, sáng, dịp …) or nothing that they count follows;
  ``5-7 người`` is a range, ``2/3 số hộ`` a share, ``15/18 thôn`` a number of a number. No month is 15: ``10-15`` is a
  range.
- ``12/2024`` is a month; a day or an hour that no calendar or clock has is read as numbers, and told.
- ``29/2021/QĐ-UBND`` reads its year as one and its letters as the kind of paper and who issued it.
- A number of three figures and more after gọi, điện thoại, đường dây nóng … is read figure by figure.
- ``05 hộ`` counts five; ``05`` by itself is a code, không năm.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Container
from dataclasses import dataclass

from audio.saying import numbers
from audio.saying.numbers import cardinal, digits
from audio.saying.plain import Notes
from audio.saying.tables import CURRENCIES, DATE_BEFORE, NO_COUNT, PHONE_BEFORE, RANGE_BEFORE, SHARE_BEFORE, UNITS
from audio.saying.words import paper, spelled

YEARS = range(1000, 3000)
PHONE_REACH = 60
"""How many characters back a telephone number's announcement may stand."""
_SENTENCE = re.compile(r"[.!?\n](?:\s|$)")
_BLOCKS = {7: (3, 4), 8: (4, 4), 9: (3, 3, 3), 10: (4, 3, 3), 11: (4, 3, 4)}
"""How people group the figures of a telephone number, by their count."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A match in its text, with the words around it (empty where there is none) and where remarks go."""

    match: re.Match[str]
    before: str
    after: str
    notes: Notes

    def __getitem__(self, group: str) -> str:
        return self.match[group] or ""

    @property
    def counts(self) -> bool:
        """Whether something follows that is counted: a word in small letters that is no conjunction or preposition."""
        return bool(self.after) and self.after[0].islower() and self.after not in NO_COUNT

    @property
    def at_line_start(self) -> bool:
        return self.match.string[: self.match.start()][-1:] in ("", "\n")

    def dated(self, others: Container[str]) -> bool:
        """Whether a day and a month are a date here; ``others``: words before them that say they are none."""
        before = self.before.lower()
        return before in DATE_BEFORE or not (before in others or self.counts)


def paper_number(found: Figures) -> str:
    number, _, year = found["paper_no"].partition("/")
    codes = re.split(r" ?[-/] ?", found["paper_code"])
    reading = [numbers.whole(number.rstrip("ABCDĐ"))]
    reading += [f"năm {cardinal(int(year))}"] if year else []
    return " ".join([*reading, *(paper(code, found.notes) for code in codes)])


def telephone(found: Figures) -> str:
    number = found["phone"].removeprefix("+84")
    abroad = ["cộng tám bốn"] if number != found["phone"] else []
    blocks = [part for block in re.findall(r"\d+", number) for part in _blocks(block)]
    return ", ".join([*abroad, *(digits(block) for block in blocks)])


def emergency_numbers(found: Figures) -> str:
    return ", ".join(digits(block) for block in found["lines"].split("/"))


def full_date(found: Figures) -> str:
    day, month, year = re.split(r" ?[/.-] ?", found["dmy"])
    return _date(found, int(day), int(month), year)


def iso_date(found: Figures) -> str:
    year, month, day = found["iso"].split("-")
    return _date(found, int(day), int(month), year)


def days_of_month(found: Figures) -> str:
    """``1-5/12``: from one day to another of the same month."""
    first, last, month, *year = re.split(r" ?[-/] ?", found["span"])
    if not (_day(int(first), int(month)) and int(first) < int(last)):
        return _impossible(found, [first, last, month, *year])
    return f"{_the('ngày', found)}{cardinal(int(first))} đến {_date_words(int(last), int(month), *year)}"


def day_and_month(found: Figures) -> str:
    day, month = re.split(r" ?[/-] ?", found["dm"])
    dated = found.dated(RANGE_BEFORE if "-" in found["dm"] else SHARE_BEFORE)
    round_the_clock = (day, month) == ("24", "7") and found.before.lower() not in DATE_BEFORE
    if dated and not round_the_clock and _day(int(day), int(month)):
        return f"{_the('ngày', found)}{_date_words(int(day), int(month))}"
    if found.before.lower() in ("ngày", "mùng", "mồng"):
        return _impossible(found, [day, month])
    if "-" in found["dm"]:
        return f"{numbers.amount(day)} đến {numbers.amount(month)}"
    return _share(found, day, month)


def month_and_year(found: Figures) -> str:
    month, year = re.split(r"[/-]", found["my"])
    if found.before.lower() in ("số", "quý"):
        return f"{numbers.whole(month)} năm {cardinal(int(year))}"
    if not 1 <= int(month) <= 12:
        return _share(found, month, year)
    return f"{_the('tháng', found)}{_month(int(month))} năm {cardinal(int(year))}"


def share(found: Figures) -> str:
    unit = UNITS.get(found["share_unit"].strip(), "")
    return f"{_share(found, *re.split(r' ?[/⁄] ?', found['share']))} {unit}"


def ratio(found: Figures) -> str:
    return " trên ".join(numbers.whole(part) for part in found["ratio"].split(":"))


def clock(found: Figures) -> str:
    parts = [int(part) for part in re.findall(r"\d+", found["clock"])]
    hour, minute, second = (*parts, 0, 0)[:3]
    if hour > 24 or minute > 59 or second > 59:
        return _impossible(found, [str(part) for part in parts])
    if ":" in found["clock"] and found.before.lower() in ("lệ", "số"):
        return " trên ".join(cardinal(part) for part in parts)
    words = [cardinal(hour), "giờ"]
    words += [cardinal(minute), "phút"] if minute or second else []
    words += [cardinal(second), "giây"] if second else []
    return " ".join(words)


def account(found: Figures) -> str:
    """Three groups and more with hyphens: figure by figure."""
    return ", ".join(digits(block) for block in found["account"].split("-"))


def measure(found: Figures) -> str:
    """A number with its sign, its currency before it or its unit after it."""
    text, unit = found["number"].replace(" ", "."), found["unit"].strip()
    # a hyphen right before what a line counts is its bullet
    sign = "âm " if found["minus"] and not (found.at_line_start and found.counts) else ""
    named = UNITS.get(unit) or CURRENCIES.get(found["money"].strip())
    if named:
        return f"{sign}{numbers.written(text, counts=True)} {named}"
    return sign + (_bare(found, text) if text.isdigit() else _pointed(found, text))


def size(found: Figures) -> str:
    """``2x3 m``: one side after the other."""
    sides = [numbers.written(side) for side in re.split(r"\s?[x×]\s?", found["size"])]
    return " nhân ".join(sides) + (f" {UNITS[found['size_unit'].strip()]}" if found["size_unit"] else "")


def road(found: Figures) -> str:
    """``ĐT 662``: a road with three figures, where a telephone has more."""
    number = re.sub(r"\D", "", found["road"])
    return f"đường tỉnh {cardinal(int(number))}" + (" bê" if found["road"].endswith("B") else "")


def heading(found: Figures) -> str:
    """``I.`` at the beginning of a line."""
    value = numbers.roman(found["heading"])
    return cardinal(value) if value else spelled(found["heading"], found.notes)


def roman_year(found: Figures) -> str:
    """``IV/2024``, a quarter's year."""
    value = numbers.roman(found["roman"])
    first = cardinal(value) if value else spelled(found["roman"], found.notes)
    return f"{first} năm {cardinal(int(found['roman_year']))}"


def _bare(found: Figures, text: str) -> str:
    """A string of digits without unit or separator, by the words around it."""
    before = found.before.lower()
    if len(text) >= 3 and not found.counts and _announced(found):
        return ", ".join(digits(block) for block in _blocks(text))
    if before in ("tháng", "thứ") and text.lstrip("0") == "4":
        return "tư"
    small = len(text) == 2 and (found.counts or before in ("ngày", "tháng", "giờ", "phút", "mùng", "mồng"))
    return numbers.written(text, counts=small)


def _pointed(found: Figures, text: str) -> str:
    """``mục 1.2`` numbers a part of a paper, where a point is no decimal sign."""
    if found.before.lower() in ("mục", "khoản", "điều", "phần", "bảng", "chương", "hình"):
        return " chấm ".join(numbers.whole(part) for part in re.split(r"[.,]", text))
    return numbers.written(text)


def _announced(found: Figures) -> bool:
    start = found.match.start()
    said = _SENTENCE.split(found.match.string[max(0, start - PHONE_REACH) : start])[-1].lower()
    return any(re.search(rf"(?<!\w){announcement}(?!\w)", said) for announcement in PHONE_BEFORE)


def _blocks(text: str) -> list[str]:
    sizes, blocks = _BLOCKS.get(len(text), (len(text),)), []
    for length in sizes:
        blocks.append(text[:length])
        text = text[length:]
    return blocks


def _date(found: Figures, day: int, month: int, year: str) -> str:
    if not _day(day, month, int(year) if len(year) == 4 else 2000):
        return _impossible(found, [str(day), str(month), year])
    return f"{_the('ngày', found)}{_date_words(day, month, year)}"


def _date_words(day: int, month: int, year: str = "") -> str:
    return f"{cardinal(day)} tháng {_month(month)}" + (f" năm {cardinal(int(year))}" if year else "")


def _month(month: int) -> str:
    return "tư" if month == 4 else cardinal(month)


def _day(day: int, month: int, year: int = 2000) -> bool:
    """Whether the calendar has it; without a year also 29 February."""
    return 1 <= month <= 12 and year in YEARS and 1 <= day <= monthrange(year, month)[1]


def _the(noun: str, found: Figures) -> str:
    """The noun of a date, unless it stands there already."""
    there = ("ngày", "mùng", "mồng") if noun == "ngày" else (noun,)
    return "" if found.before.lower() in there else f"{noun} "


def _share(found: Figures, part: str, whole: str) -> str:
    """A fraction, or a number out of a number. ``2/3`` is hai phần ba, ``15/18`` mười lăm trên mười tám."""
    address = found.before.lower() in ("nhà", "hẻm", "ngõ", "kiệt", "thửa", "lô", "đường")
    proper = not address and len(part) < 3 and len(whole) < 3 and int(part) < int(whole) <= 10
    sign = "phần" if proper else "trên"
    return f"{numbers.amount(part)} {sign} {numbers.amount(whole)}"


def _impossible(found: Figures, parts: list[str]) -> str:
    found.notes.impossible.append(found.match[0].strip())
    return ", ".join(numbers.whole(part) for part in parts)
