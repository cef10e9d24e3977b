"""Numbers as Vietnamese says them. Pure.

Readings are the school's: ``linh`` before a lone unit (một trăm linh năm), ``mốt``, ``tư`` and ``lăm`` after ``mươi``,
``không trăm`` in a group that is not the first, ``nghìn``, ``triệu``, ``tỷ``. How a written number is meant:

=============  ==================================================================================================
``1.234.567``  points before groups of three digits (the first not ``0``) group thousands, Vietnamese style
``1,234,567``  so do two or more commas, English style
``12,5``       any other single comma is the decimal comma, also before three digits
``12.5``       a point before a group that is not three digits is a decimal point; ``0.125`` too
``1.234,56``   where both occur the last one is the decimal sign
``1.0.3``      other points are read as ``chấm``: versions, addresses of machines
``007``        a leading zero means a code: digit by digit; so do nine digits and more without groups
=============  ==================================================================================================
"""

from __future__ import annotations

import re

DIGITS = ("không", "một", "hai", "ba", "bốn", "năm", "sáu", "bảy", "tám", "chín")
GROUPS = ("", "nghìn", "triệu")
MOST = 10**18
"""Greater numbers are read digit by digit."""
CODE_DIGITS = 9
"""So many digits without groups are a code (an identity card, an account), which people write down."""

_DOTS = re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+")
_COMMAS = re.compile(r"[1-9]\d{0,2}(?:,\d{3}){2,}")
_VIETNAMESE = re.compile(r"([1-9]\d{0,2}(?:\.\d{3})+|\d+),(\d+)")
_ENGLISH = re.compile(r"([1-9]\d{0,2}(?:,\d{3})+|\d+)\.(\d+)")
_ROMAN = re.compile(r"(X{0,3}|XL)(IX|IV|V?I{0,3})")
_ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50}


def digits(text: str) -> str:
    """Digit by digit: ``113`` is một một ba."""
    return " ".join(DIGITS[int(character)] for character in text)


def cardinal(number: int) -> str:
    """A number from 0 below ``MOST``."""
    if number == 0:
        return DIGITS[0]
    words: list[str] = []
    billions, rest = divmod(number, 10**9)
    if billions:
        words += [cardinal(billions), "tỷ"]
    for power in (2, 1, 0):
        group = rest // 1000**power % 1000
        if group:
            words += [_hundreds(group, inner=bool(words)), GROUPS[power]]
    return " ".join(word for word in words if word)


def _hundreds(number: int, *, inner: bool) -> str:
    """1 to 999; ``inner`` where greater groups were said before."""
    hundreds, rest = divmod(number, 100)
    words = [DIGITS[hundreds], "trăm"] if hundreds or inner else []
    if 0 < rest < 10:
        words += ["linh", DIGITS[rest]] if words else [DIGITS[rest]]
    elif rest:
        words += _tens(*divmod(rest, 10))
    return " ".join(words)


def _tens(tens: int, units: int) -> list[str]:
    ten = ["mười"] if tens == 1 else [DIGITS[tens], "mươi"]
    if units == 0:
        return ten
    if units == 5:
        return [*ten, "lăm"]
    return [*ten, {1: "mốt", 4: "tư"}.get(units, DIGITS[units]) if tens > 1 else DIGITS[units]]


def whole(text: str) -> str:
    """A string of digits: a number, or a code that is read digit by digit."""
    if len(text) >= CODE_DIGITS or (len(text) > 1 and text[0] == "0"):
        return digits(text)
    return cardinal(int(text))


def amount(text: str) -> str:
    """A string of digits that counts something, whatever its length and its zeros: ``05`` (hộ) is năm."""
    return cardinal(int(text)) if len(text) <= 18 else digits(text)


def written(text: str, *, counts: bool = False) -> str:
    """A number as it is written, with points and commas (the table above); ``counts``: digits count something."""
    if text.isdigit():
        return amount(text) if counts else whole(text)
    if _DOTS.fullmatch(text) or _COMMAS.fullmatch(text):
        return amount(re.sub(r"[.,]", "", text))
    both = _VIETNAMESE.fullmatch(text) or _ENGLISH.fullmatch(text)
    if both:
        return f"{amount(re.sub(r'[.,]', '', both[1]))} phẩy {_fraction(both[2])}"
    return " chấm ".join(whole(part) for part in re.split(r"[.,]", text))


def _fraction(text: str) -> str:
    """Behind the comma: up to two digits are a number, more are read one by one."""
    return cardinal(int(text)) if len(text) <= 2 and text[0] != "0" else digits(text)


def roman(text: str) -> int:
    """The value of a Roman numeral up to 49 in its one right form (``XIV``); 0 for anything else."""
    if not text or not _ROMAN.fullmatch(text):
        return 0
    values = [_ROMAN_VALUES[letter] for letter in text]
    return sum(-v if v < following else v for v, following in zip(values, [*values[1:], 0], strict=True))
