"""What is written becomes what is said: Vietnamese text without figures, signs and abbreviations. Pure.

``say`` puts into words whatever a voice would stumble over; the rules are in the modules' own docstrings: ``numbers``
(how a number is read), ``quantities`` (what figures mean where they stand), ``words`` (abbreviations, capitals, Roman
numerals), ``plain`` (what is only for the eye). Saying what was said changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from audio.faults import fault
from audio.saying.plain import Notes, plain
from audio.saying.reader import Reader
from inventory.diagnostics import Diagnostic, Severity

__all__ = ["Said", "say"]

SHOWN = 5
"""Examples in one warning, each cut to so many characters: ``LENGTH``."""
LENGTH = 60
_STOPS = ".!?:;,"
_ANYTHING_ELSE = re.compile(r"[^\w\s.,;:?!]|[\d_]")
_ITEM = re.compile(r"[a-zđ] ?[.,] ")
_PUNCTUATION = re.compile(r" ?[.,;:?!][ .,;:?!]*")
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Said:
    """``text``: letters, blanks and punctuation only, in one line; ``warnings`` tell its author what to look at."""

    text: str
    warnings: tuple[Diagnostic, ...] = ()


def say(text: str) -> Said:
    """The text as a voice is to say it; empty when there is nothing to say."""
    notes = Notes()
    said = Reader(notes).read(_sentences(plain(text, notes)))
    return Said(_tidy(said), tuple(_warnings(notes)))


def _sentences(text: str) -> str:
    """A line that ends without punctuation is a sentence, unless the next goes on in small letters."""
    joined: list[str] = []
    for line in filter(None, (line.strip() for line in text.split("\n"))):
        if joined and line[0].islower() and not _ITEM.match(line):
            joined.append(" ")
        elif joined:
            joined.append("\n" if joined[-1][-1] in _STOPS else ".\n")
        joined.append(line)
    return "".join(joined)


def _tidy(text: str) -> str:
    text = _BLANKS.sub(" ", text).replace(" - ", ", ").replace("/", ", ")
    text = _BLANKS.sub(" ", _ANYTHING_ELSE.sub(" ", text))
    return _PUNCTUATION.sub(_one_stop, text).strip(" ").lstrip(_STOPS + " ").rstrip(",;: ")


def _one_stop(run: re.Match[str]) -> str:
    """The strongest of several stops; three points before a small letter only pause."""
    stops = run[0]
    if "..." in stops and run.string[run.end() : run.end() + 1].islower():
        return ", "
    return next(stop for stop in "?!.;:," if stop in stops) + " "


def _warnings(notes: Notes) -> Iterable[Diagnostic]:
    found = (("AUD014", notes.links), ("AUD015", notes.spelled), ("AUD016", notes.signs), ("AUD017", notes.impossible))
    for code, parts in found:
        if parts:
            yield replace(fault(code, "text", names=_listed(parts)), severity=Severity.WARNING)


def _listed(parts: list[str]) -> str:
    different = list(dict.fromkeys(parts))
    shown = ", ".join(part[:LENGTH] for part in different[:SHOWN])
    return shown + (", …" if len(different) > SHOWN else "")
