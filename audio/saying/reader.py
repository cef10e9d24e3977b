"""One walk over a plain text, from left to right: everything that is not said as it is written becomes words. Pure.

The patterns are tried in order at each place, none of them can match without an end, and each begins where no figure or
letter stands before, so that the time is proportional to the text's length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from audio.saying import numbers, quantities
from audio.saying.abbreviations import ABBREVIATIONS, BEFORE_NAMES, SMALL
from audio.saying.plain import LOWER, UPPER, Notes
from audio.saying.quantities import Figures
from audio.saying.tables import PER, SIGNS, UNITS
from audio.saying.words import Around, joined, letter, word

_L = r"[^\W\d_]"
_CAPS = "A-ZĐƯ"
_NUMBER = r"\d+(?:[.,]\d+)*"
_CODE = rf"(?:[{_CAPS}]{{2,}}[a-z&]{{0,2}}[{_CAPS}&]{{0,12}}\d{{0,2}}|[A-Z][a-z][A-ZĐ]|L(?=-))"


def _any(keys: Mapping[str, str]) -> str:
    return "|".join(re.escape(key) for key in sorted(keys, key=len, reverse=True))


_LETTERED = {unit: said for unit, said in UNITS.items() if unit[-1].isalnum()}
_SIGNED = {unit: said for unit, said in UNITS.items() if not unit[-1].isalnum()}
_UNIT = rf"[ ]?(?:(?:{_any(_LETTERED)})(?!\w)|(?:{_any(_SIGNED)}))"
_COMPOUND = {unit: said for unit, said in _LETTERED.items() if "/" in unit}
_DOTTED = {short: said for short, said in SMALL.items() if not short.isalpha()}

PATTERN = re.compile(
    rf"""
    (?<!\w)(?P<paper_no>\d{{1,6}}[ABCDĐ]?(?:/\d{{4}})?)/(?P<paper_code>{_CODE}(?:\ ?[-/]\ ?{_CODE}){{0,5}})(?!\w)
  | (?<!\w)(?P<phone>(?:\+84[ .-]?\d{{1,3}}|0\d{{2,4}})(?:[ .-]?\d{{2,7}}){{1,3}}
      |1[89]00[ .]?(?:\d{{4}}(?:[ .]?\d{{2}})?|\d{{2}}[ .]\d{{2}}))(?![.,:-]?\d)
  | (?<!\w)(?P<lines>11\d(?:/11\d){{1,8}})(?![\w/])
  | (?<!\w)(?P<iso>\d{{4}}-\d\d-\d\d)(?!\d)
  | (?<!\w)(?P<dmy>\d\d?(?:\ ?/\ ?\d\d?\ ?/\ ?(?:\d{{4}}|\d\d)|-\d\d?-\d{{4}}|\.\d\d?\.\d{{4}}))(?![\w/])
  | (?<!\w)(?P<span>\d{{1,2}}\ ?-\ ?\d{{1,2}}/\d{{1,2}}(?:/\d{{4}})?)(?![\w/])
  | (?<!\w)(?P<clock>\d{{1,2}}(?::\d\d(?::\d\d)?(?![\w:])
      |(?:[hg]\d{{1,2}}|\ ?(?:h|giờ)\ ?\d\d)(?:\ ?(?:phút|ph|p))?(?!\w)|h(?!\w)))
  | (?<!\w)(?P<my>\d{{1,2}}[/-][12]\d{{3}})(?![\w/])
  | (?<!\w)(?P<dm>\d{{1,2}}(?:\ ?/\ ?|-)\d{{1,2}})(?![\w/]|[.,:]\d|-\d(?!\d?/\d))(?!{_UNIT})
  | (?<!\w)(?P<share>\d+\ ?[/\u2044]\ ?\d+)(?P<share_unit>{_UNIT})?(?![\w/])
  | (?<!\w)(?P<ratio>\d+:\d+)(?![\w:])
  | (?<!\w)(?P<account>\d+(?:-\d+){{2,12}})(?![\w-])
  | (?<!\w)(?P<size>{_NUMBER}(?:\ ?[x×]\ ?{_NUMBER}){{1,4}})(?P<size_unit>{_UNIT})?(?!\w)
  | (?P<money>[$€£¥]\ ?)?(?:(?<![^\s:;,$€£¥])(?P<minus>-))?(?<!\w)
      (?P<number>[1-9]\d{{0,2}}(?:\ \d{{3}}){{2,5}}(?!\d)|{_NUMBER})(?:(?P<unit>{_UNIT})|(?!\w))
  | (?<!\w)(?P<road>ĐT\.?\ ?\d{{3}}B?)(?!\w|[ .]\d)
  | ^(?P<heading>(?!X\.\ .[{LOWER}])[IVX]{{1,6}})(?=[.,][ ])
  | (?<!\w)(?P<mixed>(?:\d+{_L}|{_L}+\d)\w*)
  | (?<!\w)(?P<roman>[IVX]{{1,5}})/(?P<roman_year>[12]\d{{3}})(?!\w)
  | (?<!\w)(?P<title>{_any(BEFORE_NAMES)})\.\ ?(?=[{UPPER}\d])
  | (?<!\w)(?P<small>{_any(_DOTTED)})(?!\w)
  | (?<!\w)(?P<joined>[{_CAPS}]+(?:[&-][{_CAPS}]+)+)(?!\w)
  | (?<!\w)(?P<unit_word>{_any(_COMPOUND)})(?!\w)
  | (?P<word>{_L}+)
  | \ ?/\ ?(?P<per>(?:{_any(_LETTERED)}|{"|".join(sorted(PER, key=len, reverse=True))})(?!\w))
  | (?P<between>(?:\ ?[/×+=]\ ?|\ -\ |-)(?=\d))
  | (?P<sign>[{re.escape("".join(SIGNS))}])
    """,
    re.VERBOSE | re.MULTILINE,
)

FIGURES: Mapping[str, Callable[[Figures], str]] = {
    "paper_no": quantities.paper_number,
    "phone": quantities.telephone,
    "lines": quantities.emergency_numbers,
    "iso": quantities.iso_date,
    "dmy": quantities.full_date,
    "span": quantities.days_of_month,
    "clock": quantities.clock,
    "my": quantities.month_and_year,
    "dm": quantities.day_and_month,
    "share": quantities.share,
    "ratio": quantities.ratio,
    "account": quantities.account,
    "size": quantities.size,
    "number": quantities.measure,
    "road": quantities.road,
    "heading": quantities.heading,
    "roman": quantities.roman_year,
}
"""What begins with a figure, by the group that tells it."""
BETWEEN = {"-": "đến", "/": "trên", "×": "nhân", "+": "cộng", "=": "bằng"}
"""Between two of those."""
_BEFORE = re.compile(rf"({_L}+)[ :-]{{0,3}}$")
_AFTER = re.compile(rf"[ -]{{0,3}}({_L}+)")
REACH = 24
"""Characters back in which the word before is sought: the longest syllable has seven letters."""
_RUNS = re.compile(rf"{_L}+|\d+")


class Reader:
    """Reads one text; ``notes`` takes what a person should know of it."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._end = -1
        self._kind = ""

    def read(self, text: str) -> str:
        return PATTERN.sub(self._said, text)

    def _said(self, match: re.Match[str]) -> str:
        kind, token = self._kind_of(match), match[0]
        if kind == "word":
            return self._word(match, token)
        if kind in FIGURES:
            figures = Figures(match, *_around(match), self._notes)
            self._end, self._kind = match.end(), kind
            return f" {FIGURES[kind](figures)} "
        return f" {self._other(kind, match)} "

    def _kind_of(self, match: re.Match[str]) -> str:
        """The first group that tells: of some alternatives the last one is an extra (a unit, a year)."""
        last = match.lastgroup or ""
        return _TELLS.get(last, last)

    def _word(self, match: re.Match[str], token: str) -> str:
        if not token.isupper():
            return word(token, Around(), self._notes)
        return word(token, Around(*_around(match)), self._notes)

    def _other(self, kind: str, match: re.Match[str]) -> str:
        if kind == "between":
            return self._between(match)
        if kind == "per":
            return f"một {UNITS.get(match['per'], match['per'])}"
        if kind == "mixed":
            return self._mixed(match)
        if kind == "joined":
            return joined(match["joined"], self._notes)
        table = {"title": BEFORE_NAMES, "small": SMALL, "unit_word": UNITS, "sign": SIGNS}[kind]
        return table[match[kind]]

    def _between(self, match: re.Match[str]) -> str:
        sign = match[0].strip()
        if match.start() != self._end:
            return SIGNS.get(sign, ",") if sign != "-" or match[0] == " - " else ""
        return "," if sign == "/" and self._kind in ("phone", "lines") else BETWEEN[sign]

    def _mixed(self, match: re.Match[str]) -> str:
        """Letters and figures in one: ``QL14``, ``4G``, ``1m65``; a unit with a figure: ``m2``."""
        if match[0] in UNITS:
            return UNITS[match[0]]
        words: list[str] = []
        self._end, self._kind = match.end(), "mixed"
        for run in _RUNS.findall(match[0]):
            if run.isdigit():
                words.append(numbers.whole(run))
            elif run in UNITS and words:
                words.append(UNITS[run])
            else:
                words.append(self._letters(run))
        return " ".join(words)

    def _letters(self, run: str) -> str:
        if run in ABBREVIATIONS:
            return ABBREVIATIONS[run]
        if run.isupper() and len(run) <= 2:
            return " ".join(letter(character) for character in run)
        return word(run, Around(), self._notes)


def _around(match: re.Match[str]) -> tuple[str, str]:
    text, start = match.string, match.start()
    before = _BEFORE.search(text[max(0, start - REACH) : start])
    after = _AFTER.match(text, match.end())
    return before[1] if before else "", after[1] if after else ""


_TELLS = {
    "paper_code": "paper_no",
    "share_unit": "share",
    "size_unit": "size",
    "unit": "number",
    "minus": "number",
    "roman_year": "roman",
}
