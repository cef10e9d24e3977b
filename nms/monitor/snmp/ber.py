"""Strict BER for SNMP requests and their responses (RFC 3416, RFC 3417 section 8). Pure; never raises on input.

A response is believed only if every byte of it is what the request leads to expect: version, community, the same OIDs
in the same order (after a GETNEXT or GETBULK: later ones), nothing after the end, values of the right size. Everything
else is a ``DecodeError`` value.

Agents answer the same request with the same layout again and again (same tags, same lengths), so a response that
passed the strict parser leaves a ``Layout`` behind: a mask over the whole datagram. The next datagram that agrees with
the mask has been checked byte by byte in one comparison, and only its values are left to take out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol, TypeVar

from nms.monitor.snmp.asn1 import (
    END_OF_VIEW,
    INTEGER,
    OCTETS,
    OID,
    SEQUENCE,
    Fault,
    Oid,
    RefusedError,
    Value,
    bounded,
    decode_oid,
    encode_integer,
    encode_oid,
    encode_tlv,
    read_only,
    read_tlv,
    read_value,
)
from nms.monitor.snmp.layout import Layout, Layouts, Places

__all__ = [
    "FIRST_ID",
    "DecodeError",
    "Fault",
    "Get",
    "Next",
    "Oid",
    "Question",
    "Request",
    "Response",
    "Value",
    "decode_response",
    "encode_get",
]

FIRST_ID: Final = 0x01000000
"""Request ids from here to 2^31-1 take exactly four bytes, so that they can be exchanged in place."""

MAX_REPETITIONS: Final = 50
"""Rows a GETBULK may ask for: an answer stays within a datagram that is read whole."""

RESPONSE: Final = 0xA2
REPORT: Final = 0xA8
_VERSION_2C: Final = b"\x02\x01\x01"
_GET, _NEXT, _BULK = 0xA0, 0xA1, 0xA5

V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)
Binding = tuple[Oid, Value]


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


class Question(Protocol[V_co]):
    """A PDU that only lacks its request id (``FIRST_ID`` .. 2^31-1), and how the bindings of its response are read.

    ``fixed``: every right answer has the same OIDs, so that answers have few layouts.
    """

    fixed: ClassVar[bool]

    def pdu(self, request_id: int) -> bytes: ...

    def bindings(self, data: bytes, at: int, end: int) -> tuple[Sequence[V_co], Places]:
        """What the binding list at ``at .. end`` says, and where its values lie; raises ``RefusedError``."""
        ...


def encode_pdu(tag: int, request_id: int, first: int, second: int, oids: Sequence[Oid]) -> bytes:
    """A request PDU whose two integers after the id are ``first`` and ``second``."""
    bindings = b"".join(encode_tlv(SEQUENCE, encode_oid(oid) + b"\x05\x00") for oid in oids)
    head = encode_integer(request_id) + encode_integer(first) + encode_integer(second)
    return encode_tlv(tag, head + encode_tlv(SEQUENCE, bindings))


def encode_message(community: bytes, pdu: bytes) -> bytes:
    """A SNMPv2c message."""
    return encode_tlv(SEQUENCE, _VERSION_2C + encode_tlv(OCTETS, community) + pdu)


def encode_get(community: bytes, request_id: int, oids: Sequence[Oid]) -> bytes:
    """A GET request as one datagram; ``request_id`` is a signed 32-bit integer."""
    return encode_message(community, encode_pdu(_GET, request_id, 0, 0, oids))


class Get:
    """The values of these OIDs."""

    __slots__ = ("_head", "_tail", "names", "oids")
    fixed: ClassVar[bool] = True

    def __init__(self, oids: Sequence[Oid]) -> None:
        self.oids = tuple(oids)
        self.names = tuple(encode_oid(oid) for oid in oids)
        self._head, self._tail = _around_id(encode_pdu(_GET, FIRST_ID, 0, 0, oids))

    def pdu(self, request_id: int) -> bytes:
        return self._head + request_id.to_bytes(4, "big") + self._tail

    def bindings(self, data: bytes, at: int, end: int) -> tuple[list[Value], Places]:
        """The values, the OIDs being exactly those asked for in this order."""
        values: list[Value] = []
        places: list[tuple[int, int, int]] = []
        at, end = read_only(data, at, end, SEQUENCE, "binding list")
        for name in self.names:
            if at == end:
                raise RefusedError(Fault.BINDINGS, f"{len(values)} of {len(self.names)} bindings")
            tag, start, at = read_tlv(data, at, end)
            if tag != SEQUENCE or not data.startswith(name, start):
                raise RefusedError(Fault.BINDINGS, f"binding {len(values) + 1} is not the OID asked for")
            tag, start, stop = read_tlv(data, start + len(name), at)
            if stop != at:
                raise RefusedError(Fault.BINDINGS, f"bytes after value {len(values) + 1}")
            values.append(read_value(data, tag, start, stop))
            places.append((tag, start, stop))
        if at != end:
            raise RefusedError(Fault.BINDINGS, f"more than {len(self.names)} bindings")
        return values, tuple(places)


class Next:
    """What comes after these OIDs: one row by GETNEXT, or up to ``rows`` rows by GETBULK."""

    __slots__ = ("_head", "_most", "_tail", "oids")
    fixed: ClassVar[bool] = False

    def __init__(self, oids: Sequence[Oid], rows: int = 1) -> None:
        self.oids = tuple(oids)
        rows = min(rows, MAX_REPETITIONS)
        self._most = len(self.oids) * rows
        pdu = encode_pdu(*((_BULK, FIRST_ID, 0, rows) if rows > 1 else (_NEXT, FIRST_ID, 0, 0)), oids)
        self._head, self._tail = _around_id(pdu)

    def pdu(self, request_id: int) -> bytes:
        return self._head + request_id.to_bytes(4, "big") + self._tail

    def bindings(self, data: bytes, at: int, end: int) -> tuple[list[Binding], Places]:
        """OIDs and values, row by row: each OID after the one above it, or the same with None: the column's end."""
        above = list(self.oids)
        found: list[Binding] = []
        at, end = read_only(data, at, end, SEQUENCE, "binding list")
        while at != end:
            if len(found) == self._most:
                raise RefusedError(Fault.BINDINGS, f"more than {self._most} bindings")
            _, start, stop = _within(data, at, end, SEQUENCE)
            _, first, last = _within(data, start, stop, OID)
            oid = decode_oid(data[first:last])
            tag, start, at = read_tlv(data, last, stop)
            column = len(found) % len(above)
            if at != stop or not (oid == above[column] if tag == END_OF_VIEW else oid > above[column]):
                raise RefusedError(Fault.BINDINGS, f"binding {len(found) + 1} does not come after what was asked")
            value = read_value(data, tag, start, at)
            if value is None and tag != END_OF_VIEW:
                raise RefusedError(Fault.VALUE, f"tag 0x{tag:02x} in a walk")
            above[column] = oid
            found.append((oid, value))
        if len(found) < len(above):
            raise RefusedError(Fault.BINDINGS, f"{len(found)} of {len(above)} bindings")
        return found, ()


def _within(data: bytes, at: int, end: int, wanted: int) -> tuple[int, int, int]:
    tag, start, stop = read_tlv(data, at, end)
    if tag != wanted:
        raise RefusedError(Fault.BINDINGS, f"tag 0x{tag:02x} in the binding list")
    return tag, start, stop


def _around_id(pdu: bytes) -> tuple[bytes, bytes]:
    """What stands before and after the four bytes of ``FIRST_ID`` in a request PDU."""
    _, start, stop = read_tlv(pdu, 0, len(pdu))
    _, start, stop = read_tlv(pdu, start, stop)
    return pdu[:start], pdu[stop:]


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One SNMPv2c question asked of many devices: encoded once, only the request id changes."""

    community: bytes = field(repr=False)
    oids: tuple[Oid, ...]
    get: Get = field(init=False, repr=False)
    layouts: Layouts = field(init=False, repr=False)
    _head: bytes = field(init=False, repr=False)
    _tail: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        get = Get(self.oids)
        tail = _around_id(get.pdu(FIRST_ID))[1]
        whole = encode_message(self.community, get.pdu(FIRST_ID))
        object.__setattr__(self, "get", get)
        object.__setattr__(self, "layouts", Layouts())
        object.__setattr__(self, "_head", whole[: len(whole) - len(tail) - 4])
        object.__setattr__(self, "_tail", tail)

    @property
    def names(self) -> tuple[bytes, ...]:
        return self.get.names

    def encode(self, request_id: int) -> bytes:
        return self._head + request_id.to_bytes(4, "big") + self._tail


def _message(data: bytes, community: bytes) -> tuple[int, int]:
    """The place of the PDU, after version and community."""
    at, end = read_only(data, 0, len(data), SEQUENCE, "message")
    tag, start, stop = read_tlv(data, at, end)
    if tag != INTEGER or data[start:stop] != b"\x01":
        raise RefusedError(Fault.VERSION, "not SNMPv2c")
    tag, start, stop = read_tlv(data, stop, end)
    if tag != OCTETS or data[start:stop] != community:
        raise RefusedError(Fault.COMMUNITY, "not the community asked with")
    return stop, end


def read_integer(data: bytes, at: int, end: int, low: int = -0x80000000) -> tuple[int, int, int]:
    """A 32-bit INTEGER of a message's head with its place."""
    tag, start, stop = read_tlv(data, at, end)
    if tag != INTEGER:
        raise RefusedError(Fault.MALFORMED, f"tag 0x{tag:02x} where an integer belongs")
    return bounded(data, start, stop, low, 0x7FFFFFFF), start, stop


def read_answer(
    data: bytes, at: int, end: int, question: Question[V]
) -> tuple[int, tuple[V, ...], Places] | DecodeError:
    """Request id, what a Response PDU says, and its variable places with that of the id first."""
    request_id: int | None = None
    try:
        at, end = read_only(data, at, end, RESPONSE, "pdu")
        request_id, start, stop = read_integer(data, at, end)
        status, _, at = read_integer(data, stop, end)
        index, _, at = read_integer(data, at, end)
        if status:
            raise RefusedError(Fault.STATUS, f"error-status {status} at binding {index}")
        if index:
            raise RefusedError(Fault.PDU, "error-index without an error")
        values, places = question.bindings(data, at, end)
    except RefusedError as refused:
        return DecodeError(refused.fault, str(refused), request_id)
    return request_id, tuple(values), ((INTEGER, start, stop), *places)


def read_community_answer(
    datagram: bytes, community: bytes, question: Question[V]
) -> tuple[int, tuple[V, ...], Places] | DecodeError:
    """As ``read_answer``, of a whole SNMPv2c message."""
    try:
        at, end = _message(datagram, community)
    except RefusedError as refused:
        return DecodeError(refused.fault, str(refused))
    return read_answer(datagram, at, end, question)


def decode_response(datagram: bytes, request: Request, hint: Layout | None = None) -> Response | DecodeError:
    """What the datagram says in answer to ``request``, or why it is refused.

    ``hint`` is the layout of the same device's last response and only makes the same answer faster. The request id is
    returned, not compared: the caller knows which device sent the datagram.
    """
    if hint is not None and (raw := hint.read(datagram)) is not None:
        return Response(*raw, hint)
    answer = read_community_answer(datagram, request.community, request.get)
    if isinstance(answer, DecodeError):
        return answer
    request_id, values, places = answer
    return Response(request_id, values, request.layouts.of(datagram, places))
