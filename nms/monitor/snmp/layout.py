"""The shape of an accepted response, so that the next one of the same shape is checked in one comparison. Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from nms.monitor.snmp.asn1 import ABSENT, COUNTER64, INTEGER, OID, UNSIGNED32, RefusedError, Value, decode_oid

_SIGNED_CODES: Final = {1: "b", 2: "h", 4: "i"}
_UNSIGNED_CODES: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}

MAX_LAYOUTS: Final = 256
"""Layouts remembered per request; a fleet that exceeds it only loses speed."""

Places = tuple[tuple[int, int, int], ...]
"""Tag, start and stop of contents within a datagram, in order."""

_octets: Callable[[Any], Value] = int.from_bytes
"""Big-endian and unsigned: the default of Python 3.11."""


def _odd_size(content: Value) -> Value:
    return int.from_bytes(content, "big", signed=True) if isinstance(content, bytes) else None


def _named(content: Value) -> Value:
    return decode_oid(content) if isinstance(content, bytes) else None


def _nothing(_: Value) -> Value:
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The shape of an accepted response: what must not differ (``mask``), where the values lie (``unpack``)."""

    size: int
    mask: int = field(repr=False)
    expected: int = field(repr=False)
    unpack: Callable[[bytes], tuple[int | bytes, ...]] = field(repr=False)
    repairs: tuple[tuple[int, Callable[[Value], Value]], ...] = field(repr=False)
    guards: tuple[tuple[int, int, int], ...] = field(repr=False)

    @classmethod
    def of(cls, datagram: bytes, fields: Places) -> Layout:
        """From a datagram the strict parser accepted and the places (tag, start, stop) of its variable contents."""
        mask = bytearray(b"\xff" * len(datagram))
        codes: list[str] = []
        repairs: list[tuple[int, Callable[[Value], Value]]] = []
        guards: list[tuple[int, int, int]] = []
        at = 0
        for position, (tag, start, stop) in enumerate(fields):
            code, repair, guard = _field(tag, stop - start)
            codes.append(f"{start - at}x{code}")
            mask[start:stop] = _field_mask(tag, stop - start)
            if repair is not None:
                repairs.append((position, repair))
            if guard is not None:
                guards.append((position, *guard))
            at = stop
        codes.append(f"{len(datagram) - at}x")
        whole = int.from_bytes(mask, "big")
        expected = int.from_bytes(datagram, "big") & whole
        unpack = struct.Struct(">" + "".join(codes)).unpack
        return cls(len(datagram), whole, expected, unpack, tuple(repairs), tuple(guards))

    def agrees(self, datagram: bytes) -> bool:
        return len(datagram) == self.size and int.from_bytes(datagram, "big") & self.mask == self.expected

    def read(self, datagram: bytes) -> tuple[int, tuple[Value, ...]] | None:
        """Request id and values if the datagram has this layout and is right in every byte; else None (parse it)."""
        if len(datagram) != self.size or int.from_bytes(datagram, "big") & self.mask != self.expected:
            return None
        raw: tuple[Value, ...] = self.unpack(datagram)
        if self.repairs:
            mended = list(raw)
            try:
                for position, repair in self.repairs:
                    mended[position] = repair(mended[position])
            except RefusedError:
                return None
            raw = tuple(mended)
        for position, low, high in self.guards:
            if low <= raw[position] <= high:  # type: ignore[operator]
                return None
        return raw[0], raw[1:]  # type: ignore[return-value]


class Layouts:
    """The layouts that answers to one request have had, each made once."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[Places, Layout] = {}

    def of(self, datagram: bytes, places: Places) -> Layout:
        """The layout of a datagram that the strict parser accepted."""
        known = self._known.get(places)
        if known is None or not known.agrees(datagram):
            if len(self._known) >= MAX_LAYOUTS:
                self._known.clear()
            known = self._known[places] = Layout.of(datagram, places)
        return known


def _field(tag: int, size: int) -> tuple[str, Callable[[Value], Value] | None, tuple[int, int] | None]:
    """How a content of this type and size is taken out: struct code, repair, the range a shorter form would hold."""
    if tag == INTEGER:
        half = 1 << (8 * (size - 1) - 1) if size > 1 else 0
        guard = (-half, half - 1) if size > 1 else None
        code = _SIGNED_CODES.get(size)
        return (code, None, guard) if code else (f"{size}s", _odd_size, guard)
    if tag in UNSIGNED32 or tag == COUNTER64:
        guard = (0, (1 << (8 * (size - 1) - 1)) - 1) if size > 1 else None
        code = _UNSIGNED_CODES.get(size)
        return (code, None, guard) if code else (f"{size}s", _octets, guard)
    repair = _named if tag == OID else _nothing if tag in ABSENT else None
    return f"{size}s", repair, None


def _field_mask(tag: int, size: int) -> bytes:
    """Which bits of a content may not change: the sign of unsigned types, the zero octet of their longest form."""
    if tag not in UNSIGNED32 and tag != COUNTER64:
        return bytes(size)
    if size == (9 if tag == COUNTER64 else 5):
        return b"\xff" + bytes(size - 1)
    return b"\x80" + bytes(size - 1)
