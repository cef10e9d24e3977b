"""A text without what is only for the eye: addresses of pages, markup, bullets, quotes, signs without a word. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache

from audio.saying.tables import SIGNS

MARKS = frozenset("\u0300\u0301\u0303\u0309\u0323\u0302\u0306\u031b")
"""The marks of Vietnamese: five tones, circumflex, breve, horn."""
ALPHABET = frozenset("aăâbcdđeêfghijklmnoôơpqrstuưvwxyz")
VOWELS = frozenset("aăâeêioôơuưy")
KEPT = frozenset(SIGNS) | frozenset(" \n.,:;?!/|-#*_~()[]{}'\"^\\$€£¥&+=@\u2044")
"""Signs that a later step reads or drops without a word."""
LETTERS = {
    **{"\u00d0": "Đ", "\u00f0": "đ", "\u0189": "Đ", "\u0256": "đ"},
    **{"ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ı": "i"},
}
"""Letters that other encodings and languages use; the first four are taken for Đ."""
DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"), "-")
QUOTES = dict.fromkeys(
    map(ord, '"`´\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u2032\u2033\u00ab\u00bb\u2039\u203a'), "'"
)
MIDDLE = dict.fromkeys(map(ord, "\u2022\u25cf\u25aa\u25e6\u2023\u00b7\u25a0\u25cb\u2043\u2713\u2714\u27a2"), "*")
ARROWS = dict.fromkeys(map(ord, "\u2190\u2192\u21d2\u21d0\u27a1\u2194"), ",")
ALIKE = DASHES | QUOTES | MIDDLE | ARROWS | {ord("º"): "°", ord("˚"): "°", ord("…"): "...", ord("№"): " số "}
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")

_LINK_END = ".,;:!?"
_MARKDOWN_LINK = re.compile(r"!?\[([^\[\]\n]{0,200})\]\(([^()\s]{1,500})\)")
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,6}[A-Za-z]{2,24}")
_ADDRESS = re.compile(r"\b(?:(?:https?|ftp)://|www\.)[^\s<>'\"()\[\]{}]+", re.IGNORECASE)
_DOMAIN = re.compile(
    r"(?<![\w.-])(?:[A-Za-z0-9-]{1,63}\.){1,5}(?:(?:vn|com|net|org|gov|edu|info|io)\b(?:/[^\s<>'\"()\[\]{}]*)?"
    r"|me/[^\s<>'\"()\[\]{}]+)"
)
_ENTITY = re.compile(r"&(nbsp|amp|lt|gt|quot|apos|#39);")
_ENTITIES = {"nbsp": " ", "amp": "&", "lt": "<", "gt": ">"}
_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,200}>")
_RULE = re.compile(r"^[ \t]*(?:[-*_=~#][ \t]*){3,}$", re.MULTILINE)
_LEAD = re.compile(r"^(?:[ \t]*(?:[-*+>]|#{1,6}|\[[ xX]?\])(?=[ \t]))+", re.MULTILINE)
_TIGHT_LEAD = re.compile(r"^[ \t]*[-*+](?=[^\W\d_])", re.MULTILINE)
_POWER = re.compile(r"(?<=\d)[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_MICRO = re.compile(r"[µμ](?=g)")
_MIXED = re.compile(r"(?<=\d)[ ]?(?=[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])")
_SQUARE = re.compile(r"(?<=m)[²³]")
_GAP = re.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))")
_INSIDE = re.compile(r"(?<=[^\W\d_])'(?=[^\W\d_])")
_BETWEEN_FIGURES = re.compile(r"(?<=\d)[ ]?\*[ ]?(?=\d)")
_AREA_CODE = re.compile(r"\((\+?\d{2,5})\)[ ]?(?=\d)")
_ABOUT = re.compile(r"~(?=[ ]?\d)")
_UNEVEN = re.compile(r"(?<=\d)(?: -|- )(?=\d)")
_BLANKS = re.compile(r"[^\S\n]+")


@dataclass(slots=True)
class Notes:
    """What a person should know of a text that is to be spoken, in the order of its appearance."""

    links: list[str] = field(default_factory=list)
    signs: list[str] = field(default_factory=list)
    spelled: list[str] = field(default_factory=list)
    impossible: list[str] = field(default_factory=list)


def plain(text: str, notes: Notes) -> str:
    """Lines of letters, figures, punctuation and the signs in ``SIGNS``; ``notes`` takes what is left out."""
    text = _GAP.sub(".", unicodedata.normalize("NFC", text))
    text = _without_links(text.replace("\r\n", "\n").replace("\r", "\n"), notes)
    text = _ENTITY.sub(lambda found: _ENTITIES.get(found[1], "'"), text)
    text = _TAG.sub(lambda found: "\n" if found[0][:3].lower() in ("<br", "<p>", "</p") else " ", text)
    text = _SQUARE.sub(lambda found: found[0].translate(SUPERSCRIPTS), text)
    text = _MICRO.sub("mc", text)
    text = _MIXED.sub(" và ", text)
    text = _POWER.sub(lambda found: " mũ " + found[0].translate(SUPERSCRIPTS), text)
    text = "".join([_known(character, notes) for character in text.translate(ALIKE)])
    text = unicodedata.normalize("NFC", text)
    return _without_markup(text)


def _without_links(text: str, notes: Notes) -> str:
    def leave(found: re.Match[str]) -> str:
        address = found[0].rstrip(_LINK_END)
        notes.links.append(address)
        return " " + found[0][len(address) :]

    def leave_target(found: re.Match[str]) -> str:
        notes.links.append(found[2])
        return found[1]

    text = _MARKDOWN_LINK.sub(leave_target, text)
    for pattern in (_MAIL, _ADDRESS, _DOMAIN):
        text = pattern.sub(leave, text)
    return text


def _without_markup(text: str) -> str:
    text = _BETWEEN_FIGURES.sub(" × ", text)
    text = _RULE.sub("", text)
    text = _TIGHT_LEAD.sub("", _LEAD.sub("", text))
    text = _INSIDE.sub("", text)
    text = _UNEVEN.sub("-", _ABOUT.sub("≈", text))
    text = _AREA_CODE.sub(r"\1 ", text)
    text = re.sub(r"['*#_~^\\@`]", " ", text)
    text = re.sub(r"[()\[\]{}|]", ", ", text)
    return _BLANKS.sub(" ", text)


def _known(character: str, notes: Notes) -> str:
    if character.isascii() and (character.isalnum() or character in KEPT):
        return character
    shown = _readable(character)
    if shown is None:
        notes.signs.append(character)
        return " "
    return shown


@lru_cache(maxsize=4096)
def _readable(character: str) -> str | None:
    """The character in the voice's own alphabet; empty for what is invisible, None for what it has no word for."""
    if character in KEPT or character in LETTERS:
        return LETTERS.get(character, character)
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if character.isspace():
        return "\n" if character in "\n\u2028\u2029" else " "
    if category[0] in "CM":  # what composes with its letter has done so before
        return ""
    simple = unicodedata.normalize("NFKC", character)
    if len(simple) > 1 or simple != character:
        return _unfolded(simple)
    return _folded(character) if category[0] == "L" else None


def _unfolded(simple: str) -> str | None:
    """What a compatibility character stands for: ``½`` is 1⁄2, ``①`` is 1, ``㎡`` is m2."""
    parts = [_readable(part) for part in simple]
    if None in parts:
        return None
    text = "".join(part for part in parts if part is not None)
    return f" {text} " if "\u2044" in text else text


def _folded(letter: str) -> str | None:
    """A Latin letter without the marks that Vietnamese does not have: ``ñ`` is n; None for other scripts."""
    kept = [mark for mark in unicodedata.normalize("NFD", letter) if not unicodedata.combining(mark) or mark in MARKS]
    folded = unicodedata.normalize("NFC", "".join(kept))
    base = unicodedata.normalize("NFD", folded)[:1].lower()
    return folded if base in ALPHABET and vietnamese(folded) else base if base in ALPHABET else None


def vietnamese(letter: str) -> bool:
    """Whether the letter, in either case, is one that Vietnamese writes, or f, j, w, z."""
    return letter.lower() in _WRITTEN


def bare(letter: str) -> str:
    """The letter in lower case without its tone: ``Ế`` is ê."""
    parts = unicodedata.normalize("NFD", letter.lower())
    return unicodedata.normalize("NFC", "".join(part for part in parts if part not in _TONES))


_TONES = frozenset("\u0300\u0301\u0303\u0309\u0323")
_WRITTEN = ALPHABET | {unicodedata.normalize("NFC", vowel + tone) for vowel in VOWELS for tone in _TONES}
LOWER = "".join(sorted(_WRITTEN))
UPPER = LOWER.upper()
"""Every small letter and every capital, for patterns."""
