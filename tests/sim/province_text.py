"""Values as the YAML text a technician likes to read: short things on one line, a device as a block."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import date

Value = str | bool | int | float | date | list["Value"] | dict[str, "Value"]

PLAIN = re.compile(r"[^\W\d_][\w '.\-/()]*|\d{2,5}-[A-Z0-9]+|\d+x\d+|\d+[smh]")
RESERVED = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def scalar(value: str | bool | int | float | date) -> str:
    """Quoted only where YAML's own typing would misread the text."""
    if isinstance(value, date):
        return value.isoformat()
    if not isinstance(value, str):
        return str(value).lower()
    if PLAIN.fullmatch(value) and value.casefold() not in RESERVED and not value.endswith(" "):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def flow(value: Value) -> str:
    """On one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    return scalar(value)


def lines(name: str, items: Iterable[Mapping[str, Value]], indent: int = 0) -> str:
    """``name:`` and one line per item; nothing without items."""
    rows = [f"{' ' * indent}  - {flow(dict(item))}\n" for item in items]
    return f"{' ' * indent}{name}:\n{''.join(rows)}" if rows else ""


def blocks(name: str, items: Iterable[Mapping[str, Value]]) -> str:
    """``name:`` and one block per item, a key per line; nothing without items."""
    rows = [block(item) for item in items]
    return f"{name}:\n{''.join(rows)}" if rows else ""


def block(item: Mapping[str, Value]) -> str:
    body = "\n    ".join(f"{key}: {flow(value)}" for key, value in item.items())
    return f"  - {body}\n"


def slug(name: str) -> str:
    """The name without its type, in ASCII: ``Phường Yên Đỗ`` is ``yen-do``."""
    bare = re.sub(r"^(Phường|Thị trấn|Xã|Thành phố|Thị xã|Huyện) ", "", name)
    folded = unicodedata.normalize("NFD", bare.replace("đ", "d").replace("Đ", "D"))
    ascii_only = "".join(c for c in folded if not unicodedata.combining(c)).casefold()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-")
