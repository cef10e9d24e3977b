"""BER as the simulated agents write and read it. Shares no code with the poll engine that it is to test."""

from __future__ import annotations

from functools import lru_cache


def tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes(2 if size > 0xFF else 1, "big")
    return bytes((tag, 0x80 + len(octets))) + octets + content


def number(value: int, tag: int = 0x02) -> bytes:
    """INTEGER by default; 0x41 Counter32, 0x42 Gauge32, 0x43 TimeTicks, 0x46 Counter64."""
    return tlv(tag, value.to_bytes((value if value >= 0 else ~value).bit_length() // 8 + 1, "big", signed=True))


def text(value: str) -> bytes:
    return tlv(0x04, value.encode())


@lru_cache(maxsize=4096)
def object_id(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    content = bytearray()
    for arc in (40 * first + second, *rest):
        octets = [arc % 128]
        while arc >= 128:
            arc //= 128
            octets.insert(0, 128 + arc % 128)
        content += bytes(octets)
    return tlv(0x06, bytes(content))


def take(data: bytes, at: int, tag: int) -> tuple[int, int]:
    """Start and stop of the content of a TLV that must have this tag; ValueError or IndexError otherwise."""
    if data[at] != tag:
        raise ValueError("unexpected tag")
    size, start = data[at + 1], at + 2
    if size >= 0x80:
        count = size - 0x80
        size, start = int.from_bytes(data[start : start + count], "big"), start + count
    if start + size > len(data):
        raise ValueError("cut off")
    return start, start + size


def dotted(content: bytes) -> str:
    arcs, arc = [], 0
    for octet in content:
        arc = arc * 128 + octet % 128
        if octet < 128:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))
