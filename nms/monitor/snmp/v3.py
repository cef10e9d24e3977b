"""SNMPv3 messages as bytes (RFC 3412 section 6, RFC 3414 section 2.4): strict, and without an opinion. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from nms.monitor.snmp.asn1 import (
    INTEGER,
    OCTETS,
    OID,
    SEQUENCE,
    UNSIGNED32,
    Fault,
    Oid,
    RefusedError,
    decode_oid,
    encode_integer,
    encode_length,
    encode_tlv,
    read_only,
    read_tlv,
    read_value,
)
from nms.monitor.snmp.ber import REPORT, read_integer
from nms.monitor.snmp.layout import Layout, Places

AUTH: Final = 1
PRIV: Final = 2
REPORTABLE: Final = 4
SALT_SIZE: Final = 8
MIN_ENGINE_ID, MAX_ENGINE_ID = 5, 32
"""Octets of an SnmpEngineID (RFC 3411 5)."""

MAX_MESSAGE: Final = 4096
"""Octets of the longest message we say we take."""

LEAST_MESSAGE: Final = 484
"""Octets of a message that every engine takes (RFC 3412 6)."""

_VERSION: Final = b"\x02\x01\x03"
_USM: Final = b"\x02\x01\x03"
_MAX_NAME: Final = 32
_STATS: Final[Oid] = (1, 3, 6, 1, 6, 3, 15, 1, 1)


@dataclass(frozen=True, slots=True)
class Message:
    """An SNMPv3 message taken apart; nothing of it is verified.

    ``body`` is the scoped PDU's whole TLV, or what stands in place of it when it is encrypted. ``mac_at`` is the place
    of ``mac`` in the datagram; ``places`` are those of what varies from one answer of an engine to the next.
    """

    msg_id: int
    flags: int
    engine_id: bytes
    boots: int
    time: int
    user: bytes
    mac: bytes = field(repr=False)
    mac_at: int
    salt: bytes
    body: bytes = field(repr=False)
    places: Places = field(repr=False)

    @property
    def sealed(self) -> tuple[int, int, bytes, bytes]:
        """What decryption needs besides the key."""
        return self.boots, self.time, self.salt, self.body


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """The layout of a message that was accepted; it reads what varies: see ``read_message`` for the order."""

    layout: Layout
    mac_at: int


@lru_cache(maxsize=64)
def _global(flags: int) -> tuple[bytes, bytes]:
    """msgVersion and msgGlobalData around the four bytes of the message id."""
    rest = encode_integer(MAX_MESSAGE) + encode_tlv(OCTETS, bytes((flags,))) + _USM
    return _VERSION + bytes((SEQUENCE, 6 + len(rest), INTEGER, 4)), rest


def encode_message(
    msg_id: int, flags: int, security: bytes, body: bytes, mac_size: int = 0, after_mac: int = 0
) -> tuple[bytes, bytes, bytes]:
    """A message as what stands before the MAC's place, that place (zeros), and what stands after it.

    ``security`` is the content of the security parameters' sequence, which ends with a MAC of ``mac_size`` zeros and
    ``after_mac`` octets more. ``msg_id`` is of ``FIRST_ID`` .. 2^31-1.
    """
    head, rest = _global(flags)
    inner = encode_tlv(SEQUENCE, security)
    content = head + msg_id.to_bytes(4, "big") + rest + encode_tlv(OCTETS, inner) + body
    whole = bytes((SEQUENCE,)) + encode_length(len(content)) + content
    stop = len(whole) - len(body) - after_mac
    return whole[: stop - mac_size], whole[stop - mac_size : stop], whole[stop:]


def encode_scoped(engine_id: bytes, pdu: bytes) -> bytes:
    """A scoped PDU of the engine's default context."""
    return encode_tlv(SEQUENCE, encode_tlv(OCTETS, engine_id) + b"\x04\x00" + pdu)


def encode_discovery(msg_id: int, pdu: bytes) -> bytes:
    """The question for an engine's id (RFC 3414 section 4): nobody asks, unprotected, nothing."""
    security = b"\x04\x00\x02\x01\x00\x02\x01\x00\x04\x00\x04\x00\x04\x00"
    return b"".join(encode_message(msg_id, REPORTABLE, security, encode_scoped(b"", pdu)))


def _octets(data: bytes, at: int, end: int, what: str, sizes: range) -> tuple[int, int]:
    tag, start, stop = read_tlv(data, at, end)
    if tag != OCTETS or stop - start not in sizes:
        raise RefusedError(Fault.MALFORMED, f"{what} has tag 0x{tag:02x} and {stop - start} bytes")
    return start, stop


def _read_global(data: bytes, at: int, end: int) -> tuple[int, int, Places, int]:
    """Message id, flags, places of id and largest size, and where it ends."""
    tag, start, stop = read_tlv(data, at, end)
    if tag != INTEGER or data[start:stop] != b"\x03":
        raise RefusedError(Fault.VERSION, "not SNMPv3")
    tag, at, end = read_tlv(data, stop, end)
    if tag != SEQUENCE:
        raise RefusedError(Fault.MALFORMED, "no global data")
    msg_id, id_at, id_end = read_integer(data, at, end, 0)
    _, size_at, size_end = read_integer(data, id_end, end, LEAST_MESSAGE)
    start, stop = _octets(data, size_end, end, "flags", range(1, 2))
    flags = data[start]
    if flags > AUTH | PRIV | REPORTABLE or flags & (AUTH | PRIV) == PRIV:
        raise RefusedError(Fault.MALFORMED, f"flags 0x{flags:02x}")
    if data[stop:end] != _USM:
        raise RefusedError(Fault.MALFORMED, "not the user-based security model")
    return msg_id, flags, ((INTEGER, id_at, id_end), (INTEGER, size_at, size_end)), end


def read_message(data: bytes) -> Message:
    """The message that fills ``data``; raises ``RefusedError``.

    Its ``places``: message id, largest size, engine id, boots, time, MAC, salt, body.
    """
    at, end = read_only(data, 0, len(data), SEQUENCE, "message")
    msg_id, flags, places, at = _read_global(data, at, end)
    start, after = _octets(data, at, end, "security parameters", range(end))
    at, stop = read_only(data, start, after, SEQUENCE, "security parameters")
    engine = _octets(data, at, stop, "engine id", range(MAX_ENGINE_ID + 1))
    boots, boots_at, boots_end = read_integer(data, engine[1], stop, 0)
    time, time_at, time_end = read_integer(data, boots_end, stop, 0)
    user = _octets(data, time_end, stop, "user", range(_MAX_NAME + 1))
    mac = _octets(data, user[1], stop, "digest", range(12, 25, 12) if flags & AUTH else range(1))
    salt = _octets(data, mac[1], stop, "salt", range(SALT_SIZE, SALT_SIZE + 1) if flags & PRIV else range(1))
    if salt[1] != stop:
        raise RefusedError(Fault.MALFORMED, "bytes after the salt")
    body = _octets(data, after, end, "encrypted pdu", range(end)) if flags & PRIV else (after, end)
    if body[1] != end:
        raise RefusedError(Fault.MALFORMED, "bytes after the encrypted pdu")
    clock = (INTEGER, boots_at, boots_end), (INTEGER, time_at, time_end)
    return Message(
        *(msg_id, flags, data[slice(*engine)], boots, time, data[slice(*user)], data[slice(*mac)]),
        mac_at=mac[0],
        salt=data[slice(*salt)],
        body=data[slice(*body)],
        places=(*places, (OCTETS, *engine), *clock, (OCTETS, *mac), (OCTETS, *salt), (OCTETS, *body)),
    )


def read_scoped(data: bytes) -> tuple[tuple[int, int], int, int]:
    """The places of the context engine id and of the PDU; raises ``RefusedError``. Only the default context is ours."""
    at, end = read_only(data, 0, len(data), SEQUENCE, "scoped pdu")
    engine = _octets(data, at, end, "context engine id", range(MAX_ENGINE_ID + 1))
    name = _octets(data, engine[1], end, "context name", range(256))
    if name[0] != name[1]:
        raise RefusedError(Fault.PDU, "another context")
    return engine, name[1], end


def is_report(data: bytes, at: int) -> bool:
    return at < len(data) and data[at] == REPORT


def read_report(data: bytes, at: int, end: int) -> Oid:
    """The counter that a Report PDU names; raises ``RefusedError``."""
    at, end = read_only(data, at, end, REPORT, "pdu")
    for _ in range(3):
        _, _, at = read_integer(data, at, end)
    at, end = read_only(data, at, end, SEQUENCE, "binding list")
    at, end = read_only(data, at, end, SEQUENCE, "binding")
    tag, start, stop = read_tlv(data, at, end)
    oid = decode_oid(data[start:stop])
    kind, start, last = read_tlv(data, stop, end)
    read_value(data, kind, start, last)
    if tag != OID or kind not in UNSIGNED32 or last != end:
        raise RefusedError(Fault.REPORT, "a report without its counter")
    return oid


def usm_statistic(oid: Oid) -> int:
    """Which of RFC 3414's usmStats counters (1 .. 6) an OID is; 0 for none of them."""
    return oid[-2] if oid[:-2] == _STATS and oid[-1] == 0 and 1 <= oid[-2] <= 6 else 0
