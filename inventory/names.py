"""Names as people type them: without tones, in any case, with or without the type word, in old and new spelling."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

from inventory.model import Hamlet, Unit, UnitType

TYPE_WORDS = {
    UnitType.PROVINCE: "tinh",
    UnitType.CITY: "thanh pho",
    UnitType.TOWN: "thi xa",
    UnitType.DISTRICT: "huyen",
    UnitType.WARD: "phuong",
    UnitType.TOWNSHIP: "thi tran",
    UnitType.COMMUNE: "xa",
    UnitType.SPECIAL_ZONE: "dac khu",
}


def fold(text: str) -> str:
    """The text without tones and other marks, đ as d, in one case, composed: ``fold('Đăk Đoa') == 'dak doa'``."""
    if text.isascii():
        return text.casefold()
    plain = unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())
    bare = "".join(c for c in plain if not unicodedata.combining(c)).replace("đ", "d")
    return unicodedata.normalize("NFC", bare)


def key(text: str) -> str:
    """The folded text by which names are compared: apostrophes and the number of blanks do not count."""
    return " ".join(fold(text).replace("'", "").replace("’", "").split())


def unit_names(unit: Unit) -> frozenset[str]:
    """Every key that finds the unit by name or alias, with and without its type word."""
    return frozenset(_spellings((unit.name, *unit.aliases), TYPE_WORDS[unit.type]))


def bare_name(unit: Unit) -> str:
    """The unit's name without its type word: ``Xã Ia Pa`` is ``Ia Pa``."""
    words = unit.name.split()
    count = len(TYPE_WORDS[unit.type].split())
    return " ".join(words[count:]) if key(" ".join(words[:count])) == TYPE_WORDS[unit.type] else unit.name


def _spellings(names: Iterable[str], word: str) -> Iterator[str]:
    for name in map(key, names):
        bare = name.removeprefix(word + " ")
        yield from (name, bare, f"{word} {bare}")


def hamlet_names(hamlet: Hamlet) -> frozenset[str]:
    """Every key that finds the hamlet by name, with and without its own word."""
    return frozenset(_spellings((hamlet.name,), key(hamlet.word)))
