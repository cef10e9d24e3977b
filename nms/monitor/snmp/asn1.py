"""BER's primitives as SNMP uses them (RFC 3417 section 8, X.690): tags, lengths, integers, OIDs, values. Pure.

The functions that read raise ``RefusedError``, which ``ber.decode_response`` turns into a value.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

Oid = tuple[int, ...]
Value = int | bytes | Oid | None
"""INTEGER, Counter, Gauge, TimeTicks: int. OCTET STRING, IpAddress, Opaque: bytes. No such object or instance: None."""

INTEGER, OCTETS, OID, SEQUENCE = 0x02, 0x04, 0x06, 0x30
IP_ADDRESS, OPAQUE, COUNTER64 = 0x40, 0x44, 0x46
UNSIGNED32: Final = frozenset({0x41, 0x42, 0x43})
END_OF_VIEW: Final = 0x82
ABSENT: Final = frozenset({0x80, 0x81, END_OF_VIEW})
_MAX_ARC: Final = 0xFFFFFFFF
_OID_TEXT: Final = re.compile(r"\.?[0-2](\.(0|[1-9][0-9]{0,9}))+")


class Fault(StrEnum):
    """Why a datagram is refused."""

    MALFORMED = "malformed"
    VERSION = "version"
    COMMUNITY = "community"
    PDU = "pdu"
    STATUS = "status"
    BINDINGS = "bindings"
    VALUE = "value"
    LEVEL = "level"
    USER = "user"
    KEY = "password"
    DIGEST = "digest"
    TIME = "time"
    DECRYPTION = "decryption"
    ENGINE = "engine"
    REPORT = "report"


class RefusedError(Exception):
    """Carries a fault out of the strict parser; never leaves this package."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault


def parse_oid(text: str) -> Oid | None:
    """Numeric dotted text (a leading dot is allowed) as an OID that BER can encode; None if it is not one."""
    if not _OID_TEXT.fullmatch(text):
        return None
    oid = tuple(int(part) for part in text.lstrip(".").split("."))
    if any(part > _MAX_ARC for part in oid) or (oid[0] < 2 and oid[1] > 39) or len(oid) > 128:
        return None
    return oid


def oid_text(oid: Oid) -> str:
    return ".".join(map(str, oid))


def encode_length(length: int) -> bytes:
    if length < 0x80:
        return bytes((length,))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets


def encode_tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    return bytes((tag,)) + encode_length(size) + content


def encode_integer(value: int) -> bytes:
    size = (value if value >= 0 else ~value).bit_length() // 8 + 1
    return encode_tlv(INTEGER, value.to_bytes(size, "big", signed=True))


def encode_oid(oid: Oid) -> bytes:
    """The OID's TLV. ``oid`` must be one that ``parse_oid`` accepts."""
    content = bytearray()
    for arc in (oid[0] * 40 + oid[1], *oid[2:]):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | (arc & 0x7F))
        content.extend(reversed(groups))
    return encode_tlv(OID, bytes(content))


def read_tlv(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Tag, start and stop of the content.

    The indefinite form is refused; more length octets than needed are allowed by RFC 3417 section 8 (2), and older
    net-snmp agents use them.
    """
    if at + 2 > end:
        raise RefusedError(Fault.MALFORMED, f"cut off at byte {at}")
    length = data[at + 1]
    start = at + 2
    if length >= 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or start + count > end:
            raise RefusedError(Fault.MALFORMED, f"length at byte {at + 1}")
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    if start + length > end:
        raise RefusedError(Fault.MALFORMED, f"length at byte {at + 1} runs past its frame")
    return data[at], start, start + length


def read_only(data: bytes, at: int, end: int, tag: int, what: str) -> tuple[int, int]:
    """Content of a TLV that must have this tag and fill ``at .. end`` exactly."""
    found, start, stop = read_tlv(data, at, end)
    if found != tag:
        raise RefusedError(Fault.PDU if what == "pdu" else Fault.MALFORMED, f"{what} has tag 0x{found:02x}")
    if stop != end:
        raise RefusedError(Fault.MALFORMED, f"{end - stop} bytes after the {what}")
    return start, stop


def _signed(data: bytes, start: int, stop: int) -> int:
    """A minimally encoded two's complement integer (X.690 8.3.2)."""
    if start == stop:
        raise RefusedError(Fault.VALUE, "integer without content")
    if stop - start > 1 and data[start] in (0x00, 0xFF) and (data[start] ^ data[start + 1]) < 0x80:
        raise RefusedError(Fault.VALUE, "integer longer than it needs to be")
    return int.from_bytes(data[start:stop], "big", signed=True)


def bounded(data: bytes, start: int, stop: int, low: int, high: int) -> int:
    value = _signed(data, start, stop)
    if not low <= value <= high:
        raise RefusedError(Fault.VALUE, "integer out of its type's range")
    return value


def decode_oid(content: bytes) -> Oid:
    """OID content; arcs are minimal and fit 32 bits (RFC 2578 3.5)."""
    arcs: list[int] = []
    arc, fresh = 0, True
    for octet in content:
        if fresh and octet == 0x80:
            raise RefusedError(Fault.VALUE, "padded OID arc")
        arc = arc << 7 | octet & 0x7F
        if arc > _MAX_ARC + (0 if arcs else 80):
            raise RefusedError(Fault.VALUE, "OID arc beyond 32 bits")
        fresh = octet < 0x80
        if fresh:
            arcs.append(arc)
            arc = 0
    if not arcs or not fresh:
        raise RefusedError(Fault.VALUE, "broken OID")
    first = min(arcs[0] // 40, 2)
    return (first, arcs[0] - 40 * first, *arcs[1:])


def read_value(data: bytes, tag: int, start: int, stop: int) -> Value:
    if tag == INTEGER:
        return bounded(data, start, stop, -0x80000000, 0x7FFFFFFF)
    if tag in UNSIGNED32:
        return bounded(data, start, stop, 0, 0xFFFFFFFF)
    if tag == COUNTER64:
        return bounded(data, start, stop, 0, 0xFFFFFFFFFFFFFFFF)
    if tag in (OCTETS, OPAQUE) or (tag == IP_ADDRESS and stop - start == 4):
        return data[start:stop]
    if tag == OID:
        return decode_oid(data[start:stop])
    if tag in ABSENT and start == stop:
        return None
    raise RefusedError(Fault.VALUE, f"tag 0x{tag:02x} with {stop - start} bytes")
