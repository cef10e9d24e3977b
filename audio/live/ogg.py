"""Ogg pages (RFC 3533) of one Opus stream (RFC 7845), each with whole packets only, so that any page can be joined."""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence

FIRST = 0x02
"""The flag of a stream's first page."""
VENDOR = b"loa"
_PAGE = struct.Struct("<4sBBqIIIB")
_POLYNOMIAL = 0x04C11DB7
_CRC_PLACE = 22


def header(serial: int, head: bytes) -> bytes:
    """The two pages before any sound: ``head`` (OpusHead) and empty tags."""
    tags = b"OpusTags" + len(VENDOR).to_bytes(4, "little") + VENDOR + bytes(4)
    return page(serial, 0, 0, [head], FIRST) + page(serial, 1, 0, [tags])


def page(serial: int, number: int, granule: int, packets: Sequence[bytes], flags: int = 0) -> bytes:
    """One page; ``granule``: 48 kHz samples up to its end. Raises ValueError for more than a page can hold."""
    lacing = b"".join(bytes([255] * (len(packet) // 255) + [len(packet) % 255]) for packet in packets)
    if len(lacing) > 255:
        raise ValueError(f"{len(lacing)} segments in one page")
    head = _PAGE.pack(b"OggS", 0, flags, granule, serial, number & 0xFFFFFFFF, 0, len(lacing))
    whole = bytearray(head + lacing + b"".join(packets))
    whole[_CRC_PLACE : _CRC_PLACE + 4] = _crc(whole).to_bytes(4, "little")
    return bytes(whole)


def _crc(data: bytes | bytearray) -> int:
    table, total = _table(), 0
    for byte in data:
        total = (total << 8 & 0xFFFFFFFF) ^ table[total >> 24 ^ byte]
    return total


@functools.cache
def _table() -> tuple[int, ...]:
    return tuple(functools.reduce(_shifted, range(8), byte << 24) for byte in range(256))


def _shifted(value: int, _turn: int) -> int:
    return (value << 1 ^ (_POLYNOMIAL if value & 0x80000000 else 0)) & 0xFFFFFFFF
