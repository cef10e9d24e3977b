"""Traps and informs of SNMPv2c, read as strictly as answers are (RFC 3416 section 4.2.6 and 4.2.7). Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from nms.monitor.snmp.asn1 import (
    INTEGER,
    OCTETS,
    OID,
    SEQUENCE,
    Fault,
    Oid,
    RefusedError,
    Value,
    decode_oid,
    read_only,
    read_tlv,
    read_value,
)
from nms.monitor.snmp.ber import RESPONSE, DecodeError, read_integer

TRAP: Final = 0xA7
INFORM: Final = 0xA6

MAX_BINDINGS: Final = 64
"""Bindings of a notification that is still believed; agents in use send fewer than twenty."""

_TIMETICKS: Final = 0x43
_UPTIME: Final[Oid] = (1, 3, 6, 1, 2, 1, 1, 3, 0)
_TRAP_OID: Final[Oid] = (1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0)


@dataclass(frozen=True, slots=True)
class Notification:
    """What a device told without being asked: which trap, its uptime in hundredths of a second, further values.

    ``answer``: the datagram an inform is to be answered with; None for a trap.
    """

    trap: Oid
    uptime: int
    bindings: tuple[tuple[Oid, Value], ...]
    answer: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """Nothing was told yet: the sender needs this datagram first."""

    datagram: bytes = field(repr=False)


def decode_notification(datagram: bytes, community: bytes) -> Notification | DecodeError:
    """A SNMPv2c trap or inform with this community, or why it is refused."""
    try:
        at, end = read_only(datagram, 0, len(datagram), SEQUENCE, "message")
        tag, start, stop = read_tlv(datagram, at, end)
        if tag != INTEGER or datagram[start:stop] != b"\x01":
            raise RefusedError(Fault.VERSION, "not SNMPv2c")
        tag, start, at = read_tlv(datagram, stop, end)
        if tag != OCTETS or datagram[start:at] != community:
            raise RefusedError(Fault.COMMUNITY, "not the fleet's community")
        told = read_notification(datagram, at, end)
        if datagram[at] != INFORM:
            return told
        return Notification(told.trap, told.uptime, told.bindings, answered(datagram, at))
    except RefusedError as refused:
        return DecodeError(refused.fault, str(refused))


def answered(datagram: bytes, at: int) -> bytes:
    """The response to an inform whose PDU begins at ``at``: the same but for its tag."""
    return datagram[:at] + bytes((RESPONSE,)) + datagram[at + 1 :]


def read_notification(data: bytes, at: int, end: int) -> Notification:
    """The notification PDU that fills ``at .. end``; raises ``RefusedError``."""
    tag = data[at] if at < end else 0
    if tag not in (TRAP, INFORM):
        raise RefusedError(Fault.PDU, f"pdu has tag 0x{tag:02x}")
    at, end = read_only(data, at, end, tag, "pdu")
    _, _, at = read_integer(data, at, end)
    status, _, at = read_integer(data, at, end)
    index, _, at = read_integer(data, at, end)
    if status or index:
        raise RefusedError(Fault.PDU, "a notification with an error")
    bindings = _bindings(data, *read_only(data, at, end, SEQUENCE, "binding list"))
    if len(bindings) < 2:
        raise RefusedError(Fault.BINDINGS, "without sysUpTime and snmpTrapOID")
    (first, kind, uptime), (second, _, trap) = bindings[:2]
    if first != _UPTIME or kind != _TIMETICKS or not isinstance(uptime, int):
        raise RefusedError(Fault.BINDINGS, "does not begin with sysUpTime")
    if second != _TRAP_OID or not isinstance(trap, tuple):
        raise RefusedError(Fault.BINDINGS, "does not name its trap")
    return Notification(trap, uptime, tuple((oid, value) for oid, _, value in bindings[2:]))


def _bindings(data: bytes, at: int, end: int) -> list[tuple[Oid, int, Value]]:
    found: list[tuple[Oid, int, Value]] = []
    while at < end:
        if len(found) == MAX_BINDINGS:
            raise RefusedError(Fault.BINDINGS, f"more than {MAX_BINDINGS} bindings")
        tag, start, stop = read_tlv(data, at, end)
        kind, first, last = read_tlv(data, start, stop)
        if tag != SEQUENCE or kind != OID:
            raise RefusedError(Fault.BINDINGS, f"binding {len(found) + 1} has tags 0x{tag:02x}, 0x{kind:02x}")
        oid = decode_oid(data[first:last])
        kind, first, last = read_tlv(data, last, stop)
        if last != stop:
            raise RefusedError(Fault.BINDINGS, f"bytes after value {len(found) + 1}")
        found.append((oid, kind, read_value(data, kind, first, last)))
        at = stop
    return found
