"""Mutations of inputs that are JSON: the tree stays a tree, its leaves and branches change."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any, Final

LEAVES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 100, 101, 2**31, 2**53 + 1, 2**62, 2**63 - 1, 2**63, -(2**63) - 1, 10**400),
    *(0.0, -0.0, 1.5, 1e308, float("inf"), float("nan")),
    *("", "a", "\x00", "\n", "\x1b[2J", "\ud800", "é", "e\u0301", "A" * 300, "+", "/", "AAAA", "====", "0" * 64),
    *([], {}, [[]], {"": None}),
)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with the key or index of something in it."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        yield tree, key
        yield from _places(value)


def _leaf(value: Any, random: Random) -> Any:
    if isinstance(value, str) and value and random.random() < 0.5:
        at = random.randrange(len(value))
        return value[:at] + random.choice(("", "0", "/", chr(random.randrange(0x3000)))) + value[at + 1 :]
    if type(value) is int and random.random() < 0.6:
        return value + random.choice((1, -1, 60_000, -60_000, 86_400_000, -86_400_000, value, -value))
    return copy.deepcopy(random.choice(LEAVES))


def _change(tree: Any, random: Random) -> None:
    places = list(_places(tree))
    if not places:
        return
    holder, key = random.choice(places)
    other, place = random.choice(places)
    match random.randrange(8):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        case 2 if isinstance(holder, dict):
            holder[str(_leaf(key, random))] = holder.pop(key)
        case 3:
            holder[key] = copy.deepcopy(other[place])
        case 4:
            holder[key] = [holder[key]]
        case _ if not isinstance(holder[key], dict | list) or random.random() < 0.1:
            holder[key] = _leaf(holder[key], random)


def _bytes(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data) + 1)
    piece = random.choice((b"", b'"', b"\\ud800", b"{", b"[", b"]", b"}", b":", b",", b"1e999", b"\xff", b"[" * 1500))
    return data[:at] + piece + data[at + random.randrange(3) :]


def mutate(data: bytes, random: Random) -> bytes:
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return _bytes(data, random)
    if random.random() < 0.1:
        return _bytes(data, random)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        _change(tree, random)
    try:
        return json.dumps(tree, separators=(",", ":"), ensure_ascii=random.random() < 0.5).encode()
    except ValueError:  # a lone surrogate is written as an escape only
        return json.dumps(tree, separators=(",", ":")).encode()
