"""What a field of the inventory may hold: how it is read from its node, its JSON Schema and its words in the reference.

Every scalar is read as text, never with YAML's own typing, so that ``23557`` and ``"23557"`` are one id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any, Protocol

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from inventory.codes import Finding, guess, shown, some
from inventory.diagnostics import N_, Phrase, Place
from inventory.model import TIMEZONE

_EMPTY = frozenset({"", "~", "null"})
_SHAPES: Mapping[type, str] = {
    MappingNode: N_("keys and values"),
    SequenceNode: N_("a list"),
    ScalarNode: N_("a single value"),
}
_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,18})?", re.ASCII).fullmatch
_DURATION = re.compile(r"(\d{1,6})(s|m|h)", re.ASCII).fullmatch
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII).fullmatch
_PIXELS = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII).fullmatch
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class Reader:
    """The findings of one file while its nodes are read.

    ``None`` stands for a value that could not be read: what reports a finding answers it, so that a read can end so.
    """

    __slots__ = ("file", "findings")

    def __init__(self, file: str) -> None:
        self.file = file
        self.findings: list[Finding] = []

    def place(self, node: Node) -> Place:
        mark = node.start_mark
        return Place(self.file, mark.line + 1, mark.column + 1)

    def fault(self, code: str, node: Node, **fields: str) -> Any | None:
        self.findings.append(Finding(code, self.place(node), fields=fields))
        return None

    def malformed(self, node: Node, form: str, code: str = "INV004") -> Any | None:
        if node.value in _EMPTY:
            return self.shape(node, form)
        return self.fault(code, node, value=shown(node.value), form=form)

    def shape(self, node: Node, expected: str) -> Any | None:
        found = N_("nothing") if _heading(node) else _SHAPES[node.__class__]
        return self.fault("INV003", node, expected=expected, found=found)


class FieldType(Protocol):
    """One way to write a value."""

    @property
    def form(self) -> str:
        """The form in words, with an example: 'a date like 2024-10-01'."""

    def read(self, node: Node, reader: Reader) -> Any | None: ...

    def schema(self) -> dict[str, object]: ...


@dataclass(frozen=True, slots=True)
class Text:
    """Any text that is not empty, or only what matches ``pattern``; anything else is ``code``."""

    form: str = N_("a text")
    pattern: str = ""
    code: str = "INV004"
    _match: Callable[[str], object] | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.pattern:
            object.__setattr__(self, "_match", re.compile(self.pattern, re.ASCII).fullmatch)

    def read(self, node: Node, reader: Reader) -> str | None:
        if node.__class__ is not ScalarNode:
            return reader.shape(node, self.form)
        value: str = node.value
        match = self._match
        if match(value) if match is not None else value not in _EMPTY:
            return value
        return reader.malformed(node, self.form, self.code)

    def schema(self) -> dict[str, object]:
        # Editors read 23557 as a number; we read it as text.
        kinds: dict[str, object] = {"type": ["string", "number"]}
        return kinds | ({"pattern": f"^(?:{self.pattern})$"} if self.pattern else {"minLength": 1})


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a closed list of words; ``values`` maps each to what it means in code."""

    values: Mapping[str, Any]

    @property
    def form(self) -> str:
        return Phrase(N_("one of {values}"), values=", ".join(self.values))

    def read(self, node: Node, reader: Reader) -> Any | None:
        if node.__class__ is not ScalarNode:
            return reader.shape(node, self.form)
        found = self.values.get(node.value)
        if found is None:
            near = guess(node.value, self.values)
            reader.fault("INV005", node, value=shown(node.value), known=", ".join(self.values), near=near)
        return found

    def schema(self) -> dict[str, object]:
        return {"enum": list(self.values)}


@dataclass(frozen=True, slots=True)
class Flag:
    form: str = N_("true or false")

    def read(self, node: Node, reader: Reader) -> bool | None:
        if node.__class__ is not ScalarNode:
            return reader.shape(node, self.form)
        if node.value in ("true", "false"):
            return bool(node.value == "true")
        return reader.malformed(node, self.form)

    def schema(self) -> dict[str, object]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Number:
    """A decimal number from ``low`` to ``high``; out of range is ``code``."""

    low: float
    high: float
    integer: bool = True
    code: str = "INV006"

    @property
    def form(self) -> str:
        whole, decimal = N_("a whole number from {low} to {high}"), N_("a decimal number from {low} to {high}")
        return Phrase(whole if self.integer else decimal, low=_plain(self.low), high=_plain(self.high))

    def read(self, node: Node, reader: Reader) -> float | int | None:
        if node.__class__ is not ScalarNode:
            return reader.shape(node, self.form)
        match = _NUMBER(node.value)
        if match is None or (self.integer and match[1]):
            return reader.malformed(node, self.form)
        number = int(node.value) if self.integer else float(node.value)
        if self.low <= number <= self.high:
            return number
        return reader.fault(self.code, node, value=shown(node.value), low=_plain(self.low), high=_plain(self.high))

    def schema(self) -> dict[str, object]:
        return {"type": "integer" if self.integer else "number", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value with a form of its own; ``convert`` answers None for a text that has not that form."""

    form: str
    pattern: str
    convert: Callable[[str], Any | None]

    def read(self, node: Node, reader: Reader) -> Any | None:
        if node.__class__ is not ScalarNode:
            return reader.shape(node, self.form)
        found = self.convert(node.value)
        return found if found is not None else reader.malformed(node, self.form)

    def schema(self) -> dict[str, object]:
        return {"type": "string", "pattern": f"^(?:{self.pattern})$"}


def _plain(value: float) -> str:
    """A limit as people write it: no exponent, no ``.0``."""
    return str(int(value)) if value == int(value) else str(value)


@lru_cache(maxsize=4096)
def _day(value: str) -> date | None:
    if len(value) != 10 or value[4] != "-" or value[7] != "-":
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def _clock(value: str) -> time | None:
    return time(int(value[:2]), int(value[3:])) if _CLOCK(value) and value.isascii() else None


def _moment(value: str) -> datetime | None:
    day, _, clock = value.partition("T")
    on, at = _day(day), _clock(clock)
    return datetime.combine(on, at, TIMEZONE) if on is not None and at is not None else None


def _duration(value: str) -> float | None:
    match = _DURATION(value)
    return int(match[1]) * _SECONDS[match[2]] or None if match else None


def _pixels(value: str) -> tuple[int, int] | None:
    match = _PIXELS(value)
    pair = (int(match[1]), int(match[2])) if match else (0, 0)
    return pair if min(pair) > 0 else None


DAY = Scalar(N_("a date like 2024-10-01"), r"\d{4}-\d{2}-\d{2}", _day)
CLOCK = Scalar(N_('a time like "05:00"'), r"([01]\d|2[0-3]):[0-5]\d", _clock)
MOMENT = Scalar(N_("a date and time like 2024-10-01T21:00"), r"\d{4}-\d{2}-\d{2}T([01]\d|2[0-3]):[0-5]\d", _moment)
DURATION = Scalar(N_("a duration like 90s, 60m or 1h"), r"\d+[smh]", _duration)
PIXELS = Scalar(N_("width and height in pixels like 192x96"), r"\d+x\d+", _pixels)


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a record. ``default`` says what holds without it."""

    name: str
    type: FieldType
    doc: str
    required: bool = False
    default: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """Keys and values. Read into a mapping of those that are present and well formed, or into ``make`` of it.

    ``place`` is added to the values under that name. A record without a readable required key is still a mapping,
    so that others may refer to it by its id; ``make`` is then not called.
    """

    name: str
    fields: tuple[Field, ...]
    make: Callable[[dict[str, Any]], Any] | None = None
    readers: Mapping[str, Callable[[Node, Reader], Any | None]] = field(init=False, repr=False, compare=False)
    required: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "readers", {f.name: f.type.read for f in self.fields})
        object.__setattr__(self, "required", frozenset(f.name for f in self.fields if f.required))

    @property
    def form(self) -> str:
        return Phrase(N_("keys and values of: {record}"), record=self.name)

    def read(self, node: Node, reader: Reader) -> Any | None:
        if node.__class__ is not MappingNode:
            return reader.shape(node, self.form)
        values: dict[str, Any] = {}
        broken: list[str] = []
        readers = self.readers
        for key, value in node.value:
            name = key.value if key.__class__ is ScalarNode else ""
            read = readers.get(name)
            if read is None:
                self._unknown(key, name, reader)
            elif name in values or name in broken:
                reader.fault("INV007", key, key=name)
            elif (found := read(value, reader)) is None:
                broken.append(name)
            else:
                values[name] = found
        if not values.keys() >= self.required:
            self._missing(node, {*values, *broken}, reader)
            if self.make is not None:
                return None
        if self.make is not None:
            return self.make(values)
        values["place"] = reader.place(node)
        return values

    def _missing(self, node: Node, given: set[str], reader: Reader) -> None:
        for one in self.fields:
            if one.required and one.name not in given:
                reader.fault("INV002", node, key=one.name, what=self.name, form=one.type.form)

    def _unknown(self, key: Node, name: str, reader: Reader) -> None:
        near = guess(name, self.readers)
        reader.fault("INV001", key, key=shown(name) or "?", known=some(self.readers, 40), near=near)

    def whole(self, values: Mapping[str, Any]) -> bool:
        """Whether everything required is present and well formed."""
        return values.keys() >= self.required

    def schema(self) -> dict[str, object]:
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": {f.name: f.type.schema() | {"description": f.doc} for f in self.fields},
            "required": [f.name for f in self.fields if f.required],
        }


def _heading(node: Node) -> bool:
    """A key with nothing under it: the same as an empty list."""
    return node.__class__ is ScalarNode and node.value in _EMPTY


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list; items that cannot be read are left out."""

    item: FieldType

    @property
    def form(self) -> str:
        return Phrase(N_("a list of {form}"), form=self.item.form)

    def read(self, node: Node, reader: Reader) -> tuple[Any, ...] | None:
        if node.__class__ is not SequenceNode:
            return () if _heading(node) else reader.shape(node, N_("a list"))
        read = self.item.read
        return tuple([value for item in node.value if (value := read(item, reader)) is not None])

    def schema(self) -> dict[str, object]:
        return {"type": "array", "items": self.item.schema()}


@dataclass(frozen=True, slots=True)
class MapOf:
    """Keys of one form to values of one form."""

    key: FieldType
    value: FieldType

    @property
    def form(self) -> str:
        return Phrase(N_("{what} with {form}"), what=self.key.form, form=self.value.form)

    def read(self, node: Node, reader: Reader) -> dict[Any, Any] | None:
        if node.__class__ is not MappingNode:
            return {} if _heading(node) else reader.shape(node, N_("keys and values"))
        found: dict[Any, Any] = {}
        for key, value in node.value:
            name = self.key.read(key, reader)
            if name in found:
                reader.fault("INV007", key, key=str(name))
            elif name is not None and (read := self.value.read(value, reader)) is not None:
                found[name] = read
        return found

    def schema(self) -> dict[str, object]:
        # A key is text in JSON, so it can only be told by its pattern.
        return {"type": "object", "additionalProperties": self.value.schema()}
