"""YAML files of ``name: value`` lines and nothing else, every value as text, with its place.

Read from the event stream: no recursion, no types, no tags, no anchors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from inventory.diagnostics import Diagnostic, Place
from nms.i18n import N_


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

    try:
        text = data.decode("utf-8-sig")
        words = _words(yaml.parse(text, Loader=yaml.CSafeLoader))
    except UnicodeDecodeError as error:
        found.append(unreadable(Place(file), f"byte {error.start} is not UTF-8"))
        return ()
    except _NotFlatError as error:
        found.append(unreadable(_place(file, error.mark), "only 'name: value' lines may stand here"))
        return ()
    except yaml.YAMLError as error:
        place = _place(file, getattr(error, "problem_mark", None))
        found.append(unreadable(place, str(getattr(error, "problem", None) or "not YAML text")))
        return ()
    lines = text.splitlines()
    pairs = [(key, value, _place(file, mark)) for (key, mark), (value, _) in zip(words[::2], words[1::2], strict=True)]
    return _unique([Entry(key, value, place, lines[place.line - 1]) for key, value, place in pairs], found)


class _NotFlatError(Exception):
    def __init__(self, mark: Any) -> None:
        super().__init__()
        self.mark = mark


def _words(events: Iterable[Any]) -> list[tuple[str, Any]]:
    """Names and values in turn, with their marks. Stops at the first event that has no place in a flat file."""
    import yaml

    words: list[tuple[str, Any]] = []
    nodes = documents = 0
    for event in events:
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise _NotFlatError(event.start_mark)
        if not isinstance(event, yaml.NodeEvent):
            continue
        nodes += 1
        if nodes == 1 and isinstance(event, yaml.ScalarEvent) and event.value == "":
            continue  # a file of comments only
        if nodes == 1 and isinstance(event, yaml.MappingStartEvent):
            continue
        if nodes == 1 or not isinstance(event, yaml.ScalarEvent) or event.anchor or event.tag:
            raise _NotFlatError(event.start_mark)
        words.append((event.value, event.start_mark))
    return words


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
