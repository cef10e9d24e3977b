"""YAML files of ``name: value`` lines and nothing else, every value as text, with its place.

Read from the event stream: no recursion, no types, no tags, no anchors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from inventory.diagnostics import Diagnostic, Place
from nms.i18n import N_

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the file: ``place`` and ``source`` are those of the name."""

    name: str
    text: str
    place: Place
    source: str


def unreadable(place: Place, reason: str) -> Diagnostic:
    message = N_("cannot be read: {reason}")
    fix = N_("make it a readable UTF-8 file of 'name: value' lines")
    return Diagnostic("CFG003", place, message, fix, {"reason": reason})


def entries(data: bytes, file: str, found: list[Diagnostic]) -> tuple[Entry, ...]:
    """The entries of a file's content; what is wrong with it goes to ``found``."""
    import yaml  # only where there is a file to read

    structure = (yaml.StreamStartEvent, yaml.StreamEndEvent, yaml.DocumentStartEvent, yaml.DocumentEndEvent)
    try:
        text = data.decode("utf-8-sig")
        events = [e for e in yaml.parse(text, Loader=yaml.CSafeLoader) if not isinstance(e, structure)]
    except UnicodeDecodeError as error:
        found.append(unreadable(Place(file), f"byte {error.start} is not UTF-8"))
        return ()
    except yaml.YAMLError as error:
        place = _place(file, getattr(error, "problem_mark", None))
        found.append(unreadable(place, str(getattr(error, "problem", None) or "not YAML text")))
        return ()
    if not events or getattr(events[0], "value", None) == "":
        return ()
    words = [e for e in events[1:-1] if isinstance(e, yaml.ScalarEvent) and e.anchor is None and e.tag is None]
    if not isinstance(events[0], yaml.MappingStartEvent) or len(words) < len(events) - 2:
        odd = next((e for e in events[1:-1] if e not in words), events[0])
        found.append(unreadable(_place(file, odd.start_mark), "only 'name: value' lines may stand here"))
        return ()
    lines = text.splitlines()
    pairs = [(key.value, value.value, _place(file, key.start_mark)) for key, value in _pairs(words)]
    return _unique([Entry(name, value, place, lines[place.line - 1]) for name, value, place in pairs], found)


def _pairs(words: list[T]) -> Iterator[tuple[T, T]]:
    return zip(words[::2], words[1::2], strict=True)


def _place(file: str, mark: Any) -> Place:
    return Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)


def _unique(given: list[Entry], found: list[Diagnostic]) -> tuple[Entry, ...]:
    first: dict[str, Entry] = {}
    for entry in given:
        kept = first.setdefault(entry.name, entry)
        if kept is not entry:
            message, fix = N_("'{name}' is given twice"), N_("keep one of the two lines")
            fields = {"name": entry.name}
            found.append(Diagnostic("CFG006", entry.place, message, fix, fields, related=(kept.place,)))
    return tuple(first.values())
