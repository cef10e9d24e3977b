"""From the values of a response to metrics in common units. Pure: a profile's columns say how."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from nms.monitor.family import Column, Kind, Metric, Metrics, Profile
from nms.monitor.snmp.asn1 import Value, oid_text

WRAP_32: Final = 1 << 32
_NUMBER: Final = re.compile(r"\s*([+-]?\d{1,18}(?:\.\d{1,9})?)\s*(\S{0,8})\s*", re.ASCII)


class NotUnderstoodError(ValueError):
    """A raw value that is neither a reading nor one of the known forms of absence; caught by whoever converts."""


def _text(value: Value) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8").strip("\x00 \t\r\n")
        except UnicodeDecodeError as error:
            raise NotUnderstoodError("not UTF-8") from error
    if isinstance(value, tuple):
        return oid_text(value)
    return str(value)


def _number(column: Column, value: Value) -> float | None:
    if isinstance(value, int):
        return float(value)
    text = _text(value)
    if not text:
        return None
    match = _NUMBER.fullmatch(text)
    if match is None or match[2] not in ("", column.unit):
        raise NotUnderstoodError(text)
    return float(match[1])


def _counter(column: Column, value: Value) -> float | None:
    number = _number(column, value)
    if number is not None and number < 0:
        if not column.wrap32 or number < -WRAP_32 / 2:
            raise NotUnderstoodError("negative counter")
        number += WRAP_32
    return number


def _worded(column: Column, text: str) -> str:
    """The word a value stands for, where the family has words for its values."""
    if not text or not column.words:
        return text
    if text not in column.words:
        raise NotUnderstoodError(text)
    return column.words[text]


def convert(column: Column, value: Value) -> Metric | None:
    """The metric a raw value stands for, None if it is absent; ``NotUnderstoodError`` if it is neither."""
    if value is None or (column.absent and _is_absent(column, value)):
        return None
    if column.kind is Kind.HEX:
        return value.hex() if isinstance(value, bytes) else _text(value)
    if column.kind is Kind.TEXT:
        return _worded(column, _text(value)) or None
    if column.kind is Kind.FLAG:
        return _text(value) in column.on
    number = _counter(column, value) if column.kind is Kind.COUNTER else _number(column, value)
    return None if number is None else round(number * column.scale, 6)


def _is_absent(column: Column, value: Value) -> bool:
    if isinstance(value, bytes) and column.kind is Kind.HEX:
        return value.hex() in column.absent
    text = _text(value)
    return text in column.absent or text.lower() in column.absent


Converter = Callable[[Value], Metric | None]


class Reader:
    """Turns the values of a response into metrics; remembers conversions, because readings repeat."""

    def __init__(self, profile: Profile) -> None:
        self._columns = tuple((column.metric, _converter(column)) for column in profile.columns)

    def read(self, values: Sequence[Value]) -> tuple[Metrics, tuple[str, ...]]:
        """The metrics present, and the names of those whose value could not be understood."""
        found: dict[str, Metric] = {}
        odd: tuple[str, ...] = ()
        for (name, converter), value in zip(self._columns, values, strict=True):
            if value is None:
                continue
            try:
                metric = converter(value)
            except NotUnderstoodError:
                odd += (name,)
                continue
            if metric is not None:
                found[name] = metric
        return found, odd


def _converter(column: Column) -> Converter:
    """Counters and uptimes hardly repeat: a memory of them would only cost."""
    if column.kind is Kind.COUNTER:
        return _counting(column)
    return lru_cache(maxsize=1024)(lambda value: convert(column, value))


def _counting(column: Column) -> Converter:
    scale, absent = column.scale, column.absent
    plain = scale == 1.0

    def counter(value: Value) -> Metric | None:
        if isinstance(value, int) and value >= 0 and not absent:
            return float(value) if plain else round(value * scale, 6)
        return convert(column, value)

    return counter
