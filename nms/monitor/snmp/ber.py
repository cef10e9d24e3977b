"""Strict BER for SNMPv2c GET requests and their responses (RFC 3416, RFC 3417 section 8). Pure; never raises on input.

A response is believed only if every byte of it is what the request leads to expect: version, community, the same OIDs
in the same order, nothing after the end, values of the right size. Everything else is a ``DecodeError`` value.

Agents answer the same request with the same layout again and again (same tags, same lengths), so a response that
passed the strict parser leaves a ``Layout`` behind: a mask over the whole datagram. The next datagram that agrees with
the mask has been checked byte by byte in one comparison, and only its values are left to take out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from nms.monitor.snmp.asn1 import (
    INTEGER,
    OCTETS,
    SEQUENCE,
    Fault,
    Oid,
    RefusedError,
    Value,
    bounded,
    encode_integer,
    encode_oid,
    encode_tlv,
    read_only,
    read_tlv,
    read_value,
)
from nms.monitor.snmp.layout import Layout

__all__ = ["FIRST_ID", "DecodeError", "Fault", "Oid", "Request", "Response", "Value", "decode_response", "encode_get"]

FIRST_ID: Final = 0x01000000
"""Request ids from here to 2^31-1 take exactly four bytes, so that they can be exchanged in place."""

MAX_LAYOUTS: Final = 256
"""Layouts remembered per request; a fleet that exceeds it only loses speed."""

_VERSION_2C: Final = b"\x02\x01\x01"
_GET, _RESPONSE = 0xA0, 0xA2


@dataclass(frozen=True, slots=True)
class DecodeError:
    """A refused datagram; ``request_id`` is known only when everything up to it was right."""

    fault: Fault
    detail: str
    request_id: int | None = None

    def __str__(self) -> str:
        return f"{self.fault}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Response:
    """An accepted answer: values in the order of the request, and the layout to try first next time."""

    request_id: int
    values: tuple[Value, ...]
    layout: Layout


def _get(community: bytes, request_id: bytes, bindings: bytes) -> bytes:
    pdu = encode_tlv(_GET, request_id + b"\x02\x01\x00\x02\x01\x00" + encode_tlv(SEQUENCE, bindings))
    return encode_tlv(SEQUENCE, _VERSION_2C + encode_tlv(OCTETS, community) + pdu)


def encode_get(community: bytes, request_id: int, oids: Sequence[Oid]) -> bytes:
    """A GET request as one datagram; ``request_id`` is a signed 32-bit integer."""
    bindings = b"".join(encode_tlv(SEQUENCE, encode_oid(oid) + b"\x05\x00") for oid in oids)
    return _get(community, encode_integer(request_id), bindings)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One question asked of many devices: encoded once, only the request id changes (``FIRST_ID`` .. 2^31-1)."""

    community: bytes = field(repr=False)
    oids: tuple[Oid, ...]
    names: tuple[bytes, ...] = field(init=False, repr=False)
    _head: bytes = field(init=False, repr=False)
    _tail: bytes = field(init=False, repr=False)
    _layouts: dict[tuple[tuple[int, int, int], ...], Layout] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        whole = encode_get(self.community, FIRST_ID, self.oids)
        at = len(whole) - len(_after_id(whole)) - 4
        object.__setattr__(self, "names", tuple(encode_oid(oid) for oid in self.oids))
        object.__setattr__(self, "_head", whole[:at])
        object.__setattr__(self, "_tail", whole[at + 4 :])
        object.__setattr__(self, "_layouts", {})

    def encode(self, request_id: int) -> bytes:
        return self._head + request_id.to_bytes(4, "big") + self._tail

    def layout(self, datagram: bytes, fields: tuple[tuple[int, int, int], ...]) -> Layout:
        """The layout of a datagram the strict parser accepted, made once per distinct set of tags and lengths."""
        known = self._layouts.get(fields)
        if known is None or not known.agrees(datagram):
            if len(self._layouts) >= MAX_LAYOUTS:
                self._layouts.clear()
            known = self._layouts[fields] = Layout.of(datagram, fields)
        return known


def _after_id(whole: bytes) -> bytes:
    """What follows the request id in a message of ours."""
    _, start, stop = read_tlv(whole, 0, len(whole))
    for _ in range(2):
        _, _, start = read_tlv(whole, start, stop)
    _, start, stop = read_tlv(whole, start, stop)
    _, _, start = read_tlv(whole, start, stop)
    return whole[start:]


def _message(data: bytes, community: bytes) -> tuple[int, int]:
    """The place of the PDU's content, after version and community."""
    at, end = read_only(data, 0, len(data), SEQUENCE, "message")
    tag, start, stop = read_tlv(data, at, end)
    if tag != INTEGER or data[start:stop] != b"\x01":
        raise RefusedError(Fault.VERSION, "not SNMPv2c")
    tag, start, stop = read_tlv(data, stop, end)
    if tag != OCTETS or data[start:stop] != community:
        raise RefusedError(Fault.COMMUNITY, "not the community asked with")
    return read_only(data, stop, end, _RESPONSE, "pdu")


def _small(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """A 32-bit INTEGER of the PDU's head with its place."""
    tag, start, stop = read_tlv(data, at, end)
    if tag != INTEGER:
        raise RefusedError(Fault.MALFORMED, f"tag 0x{tag:02x} where an integer belongs")
    return bounded(data, start, stop, -0x80000000, 0x7FFFFFFF), start, stop


def _bindings(data: bytes, at: int, end: int, names: Sequence[bytes]) -> tuple[list[Value], list[tuple[int, int, int]]]:
    """Values and their places (tag, start, stop), the OIDs being exactly ``names`` in this order."""
    values: list[Value] = []
    places: list[tuple[int, int, int]] = []
    at, end = read_only(data, at, end, SEQUENCE, "binding list")
    for name in names:
        if at == end:
            raise RefusedError(Fault.BINDINGS, f"{len(values)} of {len(names)} bindings")
        tag, start, at = read_tlv(data, at, end)
        if tag != SEQUENCE or not data.startswith(name, start):
            raise RefusedError(Fault.BINDINGS, f"binding {len(values) + 1} is not the OID asked for")
        tag, start, stop = read_tlv(data, start + len(name), at)
        if stop != at:
            raise RefusedError(Fault.BINDINGS, f"bytes after value {len(values) + 1}")
        values.append(read_value(data, tag, start, stop))
        places.append((tag, start, stop))
    if at != end:
        raise RefusedError(Fault.BINDINGS, f"more than {len(names)} bindings")
    return values, places


def decode_response(datagram: bytes, request: Request, hint: Layout | None = None) -> Response | DecodeError:
    """What the datagram says in answer to ``request``, or why it is refused.

    ``hint`` is the layout of the same device's last response and only makes the same answer faster. The request id is
    returned, not compared: the caller knows which device sent the datagram.
    """
    if hint is not None and (raw := hint.read(datagram)) is not None:
        return Response(*raw, hint)
    request_id: int | None = None
    try:
        at, end = _message(datagram, request.community)
        request_id, start, stop = _small(datagram, at, end)
        status, _, at = _small(datagram, stop, end)
        index, _, at = _small(datagram, at, end)
        if status:
            raise RefusedError(Fault.STATUS, f"error-status {status} at binding {index}")
        if index:
            raise RefusedError(Fault.PDU, "error-index without an error")
        values, places = _bindings(datagram, at, end, request.names)
    except RefusedError as refused:
        return DecodeError(refused.fault, str(refused), request_id)
    fields = ((INTEGER, start, stop), *places)
    return Response(request_id, tuple(values), request.layout(datagram, fields))
