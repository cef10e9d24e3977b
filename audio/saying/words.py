"""Words: abbreviations with the administration's reading, capitals, Roman numerals, letters by their names. Pure.

A word in capitals is, in this order: an abbreviation we know; a Roman numeral after a word that numbers things (khóa
XIV), or by itself where it is made of I, V and X; a word that is only printed large (THÔNG BÁO, PLEIKU), when it has a
Vietnamese vowel, is a syllable of Vietnamese, or can be pronounced; otherwise its letters, with a warning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from audio.saying.abbreviations import ABBREVIATIONS, IN_PAPERS, SMALL
from audio.saying.numbers import cardinal, roman
from audio.saying.plain import VOWELS, Notes, bare
from audio.saying.tables import LETTERS, ROMAN_BEFORE, TIERS, UNITS

_SYLLABLE = re.compile(
    r"(?:b|ch?|d|đ|gh?|gi|h|kh?|l|m|ngh?|nh?|ph?|qu|r|s|th?|tr|v|x)?"
    r"(?:iê|yê|uô|ươ|ia|ya|ua|ưa|oa|oă|oe|uâ|uê|uy|uơ|[aăâeêioôơuưy])(?:[iyou]|ch?|m|ng|nh?|p|t|k|l)?",
)
_HARD = re.compile(r"[bcdđfghjklmnpqrstvwxz]{4}")
PRONOUNCED = 5
"""Capitals without marks, so many or more, with two vowels, are taken for a name: PLEIKU."""


@dataclass(frozen=True, slots=True)
class Around:
    """The words before and after, as written; empty where a sentence or the text ends."""

    before: str = ""
    after: str = ""


def word(token: str, around: Around, notes: Notes) -> str:
    """How one word of letters is said."""
    known = _known(token, around)
    if known:
        return known
    if len(token) == 1:
        return letter(token)
    if token.isupper():
        return token.lower() if _printed_large(token) else spelled(token, notes)
    return token if _has_vowel(token) else spelled(token, notes)


def paper(code: str, notes: Notes) -> str:
    """A part of a paper's number, between its signs: ``QĐ``, ``UBND``, ``QH15``."""
    letters = code.rstrip("0123456789")
    session = f" khóa {cardinal(int(code[len(letters) :]))}" if letters != code else ""
    reading = IN_PAPERS.get(letters) or ABBREVIATIONS.get(letters)
    if reading is None:
        parts = letters.split("&")
        known = [IN_PAPERS.get(part) or ABBREVIATIONS.get(part) for part in parts]
        reading = " và ".join(k or word(p, Around(), notes) for k, p in zip(known, parts, strict=True))
    return reading + session


def joined(token: str, notes: Notes) -> str:
    """Capitals with ``&`` or ``-`` between them: ``TT&TT``, ``CNTT-VT``."""
    if token in ABBREVIATIONS:
        return ABBREVIATIONS[token]
    parts = [word(part, Around(), notes) for part in re.split(r"[&-]", token)]
    return (" và " if "&" in token else " ").join(parts)


def letter(token: str) -> str:
    """One letter by itself; vowels with a tone or a mark are words (à, ở, ý)."""
    return LETTERS.get(token.lower(), token) if token.lower() in "bcdđfghjklmnpqrstvwxzaeiouy" else token


def spelled(token: str, notes: Notes) -> str:
    """Letter by letter, which is told."""
    notes.spelled.append(token)
    return " ".join(LETTERS[bare(character)] for character in token)


def numeral(token: str, before: str) -> int:
    """The value of a Roman numeral where it stands for one, otherwise 0."""
    announced = before.lower() in ROMAN_BEFORE
    if not announced and (len(token) < 2 or not set(token) <= set("IVX")):
        return 0
    return roman(token)


def _known(token: str, around: Around) -> str:
    large = _shouted(around.before) or _shouted(around.after)
    # among words in capitals CA may be one of them
    alone = not (large and _syllable(token)) or around.after.lower() in TIERS
    if token in ABBREVIATIONS and alone:
        return ABBREVIATIONS[token]
    if token in SMALL:
        return SMALL[token]
    if token in UNITS and len(token) > 1 and not _has_vowel(token):
        return UNITS[token]
    value = numeral(token, around.before) if token.isupper() and alone else 0
    if not value:
        return ""
    return "tư" if value == 4 and around.before.lower() == "thứ" else cardinal(value)


def _printed_large(token: str) -> bool:
    if _syllable(token) or any(bare(c) in "ăâêôơư" or bare(c) != c.lower() for c in token):
        return True
    return len(token) >= PRONOUNCED and sum(_vowel(c) for c in token) >= 2 and not _HARD.search(token.lower())


def _shouted(token: str) -> bool:
    """Whether a neighbour is a word in capitals, which no abbreviation is."""
    return len(token) > 1 and token.isupper() and token not in ABBREVIATIONS and _printed_large(token)


def _syllable(token: str) -> bool:
    return bool(_SYLLABLE.fullmatch("".join(bare(character) for character in token)))


def _has_vowel(token: str) -> bool:
    return any(_vowel(character) for character in token)


def _vowel(character: str) -> bool:
    return bare(character) in VOWELS
