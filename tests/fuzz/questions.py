"""What is asked in the fuzzing of answers, and whether what came back is what pysnmp reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Final

from nms.monitor.snmp.asn1 import Oid, Value, encode_oid
from nms.monitor.snmp.ber import FIRST_ID, Get, Next, Question
from nms.monitor.snmp.layout import Layout
from tests.fuzz.oracle import Told
from tests.sim.asn1_bytes import number, object_id, tlv

ID: Final = FIRST_ID + 0x5A5A5A
"""Written in seeds where the request id belongs."""

NAMES: Final[tuple[Oid, ...]] = (
    (1, 3, 6, 1, 2, 1, 1, 3, 0),
    (1, 3, 6, 1, 2, 1, 1, 5, 0),
    (1, 3, 6, 1, 4, 1, 48690, 2, 2, 1, 20, 1),
    (1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 6, 1),
)
QUESTIONS: Final[tuple[Question[Any], ...]] = (
    Get(NAMES[:1]),
    Get(NAMES),
    Next(NAMES[:1]),
    Next(NAMES[:2], 4),
)
VALUES: Final = (
    number(0, 0x43),
    number(4200, 0x43),
    number(2**31, 0x43),
    number(2**32 - 1, 0x41),
    number(77, 0x42),
    number(2**63 + 9, 0x46),
    number(2**40, 0x46),
    number(-87),
    number(-(2**31)),
    number(40_000),
    tlv(4, b"-87 dBm"),
    tlv(4, b""),
    tlv(4, bytes(200)),
    tlv(0x40, bytes((10, 0, 0, 1))),
    tlv(0x44, bytes.fromhex("9f780442c80000")),
    object_id("1.3.6.1.4.1.8072.3.2.10"),
    b"\x80\x00",
    b"\x81\x00",
)

WRONG: Final = (
    *(
        bytes((tag, len(content) // 2)) + bytes.fromhex(content)
        for tag in (0x02, 0x41, 0x42, 0x43, 0x46)
        for content in ("", "ff", "8000", "0001", "ff80", "80000000", "ffffffff", "0100000000", "00ffffffffffffffff")
    ),
    *map(bytes.fromhex, ("0600", "060180", "06022b80", "4003000000", "0500", "800100", "8200")),
)
"""Contents that some decoders take; ours takes those that are right for their type."""


def dotted(oid: Oid) -> str:
    return ".".join(map(str, oid))


def binding(oid: Oid, value: bytes) -> bytes:
    return tlv(0x30, object_id(dotted(oid)) + value)


def pdu(bindings: Sequence[bytes], tag: int = 0xA2, status: int = 0, index: int = 0) -> bytes:
    return tlv(tag, number(ID) + number(status) + number(index) + tlv(0x30, b"".join(bindings)))


def wrong_answers() -> Iterator[bytes]:
    """PDUs that are no right answer to the first question, or nearly none."""
    yield from (pdu([binding(NAMES[0], value)]) for value in WRONG)
    right = [binding(NAMES[0], VALUES[1])]
    yield from (pdu(right, status=status, index=index) for status in (0, 1, 2, 5, 18) for index in (0, 1))
    yield from (pdu(right, tag) for tag in (0xA0, 0xA1, 0xA6, 0xA7, 0xA8))
    yield pdu([])
    yield pdu(right * 2)
    yield pdu([binding(NAMES[1], VALUES[1])])


def answers(at: int) -> Iterator[bytes]:
    """Right Response PDUs to the question at this place, of many types and sizes."""
    if isinstance(QUESTIONS[at], Get):
        size = 1 if at == 0 else len(NAMES)
        for first in range(len(VALUES)):
            values = [VALUES[(first + step) % len(VALUES)] for step in range(size)]
            yield pdu([binding(oid, value) for oid, value in zip(NAMES, values, strict=False)])
        return
    columns = NAMES[: 1 if at == 2 else 2]
    rows = [[binding((*oid, row), VALUES[row]) for oid in columns] for row in range(1 if at == 2 else 4)]
    yield pdu([b for row in rows for b in row])
    yield pdu([binding(oid, b"\x82\x00") for oid in columns])


def compare(question: Question[Any], values: tuple[Any, ...], told: Told, request_id: int) -> None:
    """Raises unless the values are those of the oracle, in answer to the question."""
    assert (told.kind, told.request_id, told.status, told.index) == ("ResponsePDU", request_id, 0, 0)
    if isinstance(question, Get):
        assert tuple(name for name, _ in told.bindings) == question.oids
        assert [*map(_typed, values)] == [_typed(value) for _, value in told.bindings]
    else:
        assert values == told.bindings
        assert isinstance(question, Next)
        above = [*question.oids]
        for place, (oid, value) in enumerate(values):
            column = place % len(above)
            assert oid > above[column] or (oid == above[column] and value is None)
            assert object_id(dotted(oid)) == encode_oid(oid)
            above[column] = oid


def _typed(value: Value) -> tuple[str, Value]:
    return type(value).__name__, value


def varied(datagram: bytes, layout: Layout) -> Iterator[bytes]:
    """Datagrams that may agree with the layout: bits that it leaves free take other values."""
    free = [b ^ 0xFF for b in layout.mask.to_bytes(layout.size, "big")]
    random = Random(datagram)
    for _ in range(6):
        kind = random.randrange(3)
        octets = (random.choice((0, 0x7F, 0x80, 0xFF)) if kind else random.randrange(256) for _ in free)
        yield bytes(
            b if not f or (kind == 2 and random.random() < 0.8) else b & ~f | o & f
            for b, f, o in zip(datagram, free, octets, strict=True)
        )
