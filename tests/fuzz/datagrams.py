"""Inputs of datagrams: one byte of mode, then datagrams with their length; and mutations that know BER's nesting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.sim.asn1_bytes import tlv

MAX_DATAGRAMS: Final = 6
TAGS: Final = (2, 4, 5, 6, 0x30, 0x40, 0x41, 0x42, 0x43, 0x44, 0x46, 0x80, 0x81, 0x82, 0xA0, 0xA2, 0xA6, 0xA7, 0xA8)
EDGES: Final = tuple(
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "01",
        "7f",
        "80",
        "ff",
        "0080",
        "00ff",
        "7fff",
        "8000",
        "ff7f",
        "ff80",
        "ffff",
        "7fffffff",
        "80000000",
        "ffffffff",
        "0080000000",
        "00ffffffff",
        "0100000000",
        "008000000000000000",
        "00ffffffffffffffff",
        "7fffffffffffffff",
        "2b0601",
        "8800",
        "8fffffff7f",
        "908080800000",
    )
)


def split(data: bytes) -> tuple[int, list[bytes]]:
    """Mode and datagrams of an input; any bytes are one."""
    at, found = 1, list[bytes]()
    while at + 2 <= len(data) and len(found) < MAX_DATAGRAMS:
        size = int.from_bytes(data[at : at + 2], "big")
        found.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return data[0] if data else 0, found


def join(mode: int, datagrams: Iterable[bytes]) -> bytes:
    return bytes((mode,)) + b"".join(len(d).to_bytes(2, "big") + d for d in datagrams)


@dataclass(slots=True)
class Node:
    """A TLV: ``content`` bytes or further TLVs; ``form``: how its length is written."""

    tag: int
    content: bytes | list[Node]
    form: str = "short"

    def encode(self) -> bytes:
        content = self.content if isinstance(self.content, bytes) else b"".join(n.encode() for n in self.content)
        size = len(content)
        if self.form == "long":
            return bytes((self.tag, 0x84)) + size.to_bytes(4, "big") + content
        if self.form == "short":
            return tlv(self.tag, content)
        return bytes((self.tag, max(0, size + (1 if self.form == "more" else -1)) & 0xFF)) + content


def parse(data: bytes) -> list[Node] | None:
    """The TLVs that fill ``data``; None if it is not made of TLVs."""
    found: list[Node] = []
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            return None
        size, start = data[at + 1], at + 2
        if size >= 0x80:
            count = size & 0x7F
            size, start = int.from_bytes(data[start : start + count], "big"), start + count
        content = data[start : start + size]
        if len(content) != size:
            return None
        nested = data[at] & 0x20 or (data[at] == 4 and content[:1] == b"\x30")
        inside = parse(content) if nested and content else None
        found.append(Node(data[at], content if inside is None else inside))
        at = start + size
    return found


def _walk(nodes: list[Node]) -> Iterator[tuple[list[Node], int]]:
    for at, node in enumerate(nodes):
        yield nodes, at
        if isinstance(node.content, list):
            yield from _walk(node.content)


def _octets(content: bytes, random: Random) -> bytes:
    at = random.randrange(len(content) + 1)
    match random.randrange(5):
        case 0:
            return random.choice(EDGES)
        case 1:
            return content[:at]
        case 2:
            return content[:at] + random.choice(EDGES) + content[at:]
        case 3:
            return content[:at] + random.randbytes(len(content) - at)
        case _:
            return content[:at] + bytes((random.randrange(256),)) + content[at + 1 :]


def _change(nodes: list[Node], random: Random) -> None:
    siblings, at = random.choice(list(_walk(nodes)))
    node = siblings[at]
    match random.randrange(8):
        case 0:
            node.tag = random.choice(TAGS)
        case 1:
            siblings.insert(at, node)
        case 2 if len(siblings) > 1:
            del siblings[at]
        case 3:
            random.shuffle(siblings)
        case 4:
            node.form = random.choice(("long", "long", "more", "less"))
        case 5:
            other, place = random.choice(list(_walk(nodes)))
            siblings[at] = Node(other[place].tag, other[place].encode())
        case _:
            content = node.content if isinstance(node.content, bytes) else None
            node.content = node.content if content is None else _octets(content, random)


def mutate_datagram(datagram: bytes, random: Random) -> bytes:
    nodes = parse(datagram)
    if not nodes or random.random() < 0.1:
        return _octets(datagram, random)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        try:
            _change(nodes, random)
        except IndexError:  # nothing is left to change
            break
    return b"".join(node.encode() for node in nodes)[:4096]


def mutate(data: bytes, random: Random) -> bytes:
    """Another mode, another order or number of datagrams, or another datagram."""
    mode, datagrams = split(data)
    if not datagrams or random.random() < 0.1:
        return join(random.randrange(256), datagrams)
    at = random.randrange(len(datagrams))
    if random.random() < 0.15:
        datagrams.insert(at, mutate_datagram(datagrams[at], random))
    elif random.random() < 0.05:
        del datagrams[at]
    else:
        datagrams[at] = mutate_datagram(datagrams[at], random)
    return join(mode, datagrams)
