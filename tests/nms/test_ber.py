"""The codec against pysnmp's encoder, against mutated bytes, and against a real net-snmp agent."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder, encoder  # type: ignore[import-untyped]
from pysnmp.proto import api
from pysnmp.proto.api import v2c

from nms.monitor.snmp.asn1 import RefusedError, encode_integer, parse_oid
from nms.monitor.snmp.ber import (
    FIRST_ID,
    DecodeError,
    Fault,
    Next,
    Oid,
    Request,
    Response,
    Value,
    decode_response,
    encode_get,
    encode_message,
    read_community_answer,
)

COMMUNITY = b"loa"
OIDS: tuple[Oid, ...] = ((1, 3, 6, 1, 2, 1, 1, 3, 0), (1, 3, 6, 1, 4, 1, 48690, 2, 2, 1, 20, 1))
REQUEST = Request(COMMUNITY, OIDS)
ID = FIRST_ID + 7

oids = st.builds(
    lambda first, rest: (first[0], first[1], *rest),
    st.tuples(st.integers(0, 1), st.integers(0, 39)) | st.tuples(st.just(2), st.integers(0, 0xFFFFFFFF)),
    st.lists(st.integers(0, 0xFFFFFFFF), max_size=20),
)


def pysnmp_response(bindings: list[tuple[Oid, Any]], community: bytes = COMMUNITY, request_id: int = ID) -> bytes:
    pdu = v2c.ResponsePDU()
    v2c.apiPDU.set_defaults(pdu)
    v2c.apiPDU.set_request_id(pdu, request_id)
    v2c.apiPDU.set_varbinds(pdu, [(v2c.ObjectIdentifier(oid), value) for oid, value in bindings])
    message = v2c.Message()
    v2c.apiMessage.set_defaults(message)
    v2c.apiMessage.set_community(message, community)
    v2c.apiMessage.set_pdu(message, pdu)
    return bytes(encoder.encode(message))


# pyasn1 writes -128, -32768, ... with an octet too many, which X.690 8.3.2 forbids; those are tried by hand below.
PYASN1_PADS = {-(2**7), -(2**15), -(2**23), -(2**31)}

typed = st.one_of(
    st.integers(-(2**31), 2**31 - 1).filter(lambda v: v not in PYASN1_PADS).map(lambda v: (v2c.Integer32(v), v)),
    st.integers(0, 2**32 - 1).map(lambda v: (v2c.Counter32(v), v)),
    st.integers(0, 2**32 - 1).map(lambda v: (v2c.Gauge32(v), v)),
    st.integers(0, 2**32 - 1).map(lambda v: (v2c.TimeTicks(v), v)),
    st.integers(0, 2**64 - 1).map(lambda v: (v2c.Counter64(v), v)),
    st.binary(max_size=300).map(lambda v: (v2c.OctetString(v), v)),
    st.binary(min_size=4, max_size=4).map(lambda v: (v2c.IpAddress(v), v)),
    st.binary(max_size=9).map(lambda v: (v2c.Opaque(v), v)),
    oids.map(lambda v: (v2c.ObjectIdentifier(v), v)),
    st.sampled_from([v2c.NoSuchObject(""), v2c.NoSuchInstance(""), v2c.EndOfMibView("")]).map(lambda v: (v, None)),
)


@given(oids=st.lists(oids, max_size=15), community=st.binary(max_size=200), request_id=st.integers(-(2**31), 2**31 - 1))
def test_a_request_is_what_pysnmp_reads(oids: list[Oid], community: bytes, request_id: int) -> None:
    message, rest = decoder.decode(encode_get(community, request_id, oids), asn1Spec=v2c.Message())
    pdu = v2c.apiMessage.get_pdu(message)
    assert rest == b""
    assert api.decodeMessageVersion(encode_get(community, request_id, oids)) == api.SNMP_VERSION_2C
    assert bytes(v2c.apiMessage.get_community(message)) == community
    assert int(v2c.apiPDU.get_request_id(pdu)) == request_id
    assert [tuple(oid) for oid, _ in v2c.apiPDU.get_varbinds(pdu)] == oids


@given(request_id=st.integers(FIRST_ID, 2**31 - 1))
def test_the_template_differs_from_a_fresh_encoding_in_nothing(request_id: int) -> None:
    assert REQUEST.encode(request_id) == encode_get(COMMUNITY, request_id, OIDS)


@given(values=st.lists(st.tuples(oids, typed), min_size=1, max_size=12), request_id=st.integers(FIRST_ID, 2**31 - 1))
def test_values_encoded_by_pysnmp_come_back_the_slow_and_the_fast_way(
    values: list[tuple[Oid, tuple[Any, Value]]], request_id: int
) -> None:
    request = Request(COMMUNITY, tuple(oid for oid, _ in values))
    datagram = pysnmp_response([(oid, encoded) for oid, (encoded, _) in values], request_id=request_id)
    slow = decode_response(datagram, request)
    assert isinstance(slow, Response)
    assert slow.request_id == request_id
    assert slow.values == tuple(value for _, (_, value) in values)
    assert slow.layout.read(datagram) == (request_id, slow.values)
    assert decode_response(datagram, request, slow.layout) == slow


@given(first=st.tuples(typed, typed), second=st.tuples(typed, typed))
def test_a_layout_never_reads_another_answer_differently_from_the_parser(
    first: tuple[tuple[Any, Value], ...], second: tuple[tuple[Any, Value], ...]
) -> None:
    learnt, other = (
        pysnmp_response([(oid, encoded) for oid, (encoded, _) in zip(OIDS, values, strict=True)])
        for values in (first, second)
    )
    hint = decode_response(learnt, REQUEST)
    assert isinstance(hint, Response)
    fast = hint.layout.read(other)
    assert fast is None or fast == (ID, tuple(value for _, value in second))


ANSWER = pysnmp_response([(OIDS[0], v2c.TimeTicks(2**31 + 5)), (OIDS[1], v2c.OctetString(b"-87 dBm"))])


@given(data=st.binary(max_size=400))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    assert isinstance(decode_response(data, REQUEST), DecodeError)


@given(
    edits=st.lists(st.tuples(st.integers(0, len(ANSWER) - 1), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, len(ANSWER)),
    extra=st.binary(max_size=3),
)
def test_mutated_answers_are_refused_or_read_the_same_way_twice(
    edits: list[tuple[int, int]], cut: int, extra: bytes
) -> None:
    data = bytearray(ANSWER)
    for at, octet in edits:
        data[at] = octet
    learnt = decode_response(ANSWER, REQUEST)
    assert isinstance(learnt, Response)
    for datagram in (bytes(data), bytes(data[:cut]), bytes(data) + extra):
        slow = decode_response(datagram, REQUEST)
        fast = learnt.layout.read(datagram)
        assert fast is None or (isinstance(slow, Response) and fast == (slow.request_id, slow.values))


@pytest.mark.parametrize(
    ("datagram", "fault"),
    [
        (b"", Fault.MALFORMED),
        (ANSWER + b"\x00", Fault.MALFORMED),
        (ANSWER[:-1], Fault.MALFORMED),
        (b"\x30\x80" + ANSWER[2:] + b"\x00\x00", Fault.MALFORMED),
        (ANSWER.replace(b"\x02\x01\x01", b"\x02\x01\x00", 1), Fault.VERSION),
        (ANSWER.replace(b"\x02\x01\x01", b"\x02\x01\x03", 1), Fault.VERSION),
        (ANSWER.replace(COMMUNITY, b"lob"), Fault.COMMUNITY),
        (ANSWER.replace(b"\xa2", b"\xa0", 1), Fault.PDU),
        (encode_get(COMMUNITY, ID, OIDS), Fault.PDU),
        (pysnmp_response([(OIDS[0], v2c.TimeTicks(1))]), Fault.BINDINGS),
        (pysnmp_response([(oid, v2c.TimeTicks(1)) for oid in (*OIDS, OIDS[0])]), Fault.BINDINGS),
        (pysnmp_response([(oid, v2c.TimeTicks(1)) for oid in reversed(OIDS)]), Fault.BINDINGS),
        (pysnmp_response([(OIDS[0], v2c.TimeTicks(1)), ((*OIDS[1], 1), v2c.TimeTicks(1))]), Fault.BINDINGS),
        (pysnmp_response([(oid, v2c.Null("")) for oid in OIDS]), Fault.VALUE),
    ],
)
def test_what_is_odd_is_refused_and_named(datagram: bytes, fault: Fault) -> None:
    refused = decode_response(datagram, REQUEST)
    assert isinstance(refused, DecodeError)
    assert refused.fault is fault, str(refused)


def raw_response(value: bytes, status: int = 0) -> bytes:
    """An answer to ``ONE`` with this TLV as its value, lengths kept below 128."""

    def wrap(tag: int, content: bytes) -> bytes:
        return bytes((tag, len(content))) + content

    binding = wrap(0x30, ONE.names[0] + value)
    pdu = encode_integer(ID) + encode_integer(status) + encode_integer(min(status, 1)) + wrap(0x30, binding)
    return wrap(0x30, b"\x02\x01\x01" + wrap(0x04, COMMUNITY) + wrap(0xA2, pdu))


ONE = Request(COMMUNITY, OIDS[:1])


@pytest.mark.parametrize(
    "value",
    [
        b"\x02\x00",
        b"\x02\x02\x00\x01",
        b"\x02\x02\xff\xff",
        b"\x02\x05\x01\x00\x00\x00\x00",
        b"\x41\x04\xff\xff\xff\xff",
        b"\x41\x05\x01\x00\x00\x00\x00",
        b"\x42\x05\x00\x7f\xff\xff\xff",
        b"\x46\x09\x01\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\x40\x03\x7f\x00\x00",
        b"\x80\x01\x00",
        b"\x06\x00",
        b"\x06\x02\x80\x01",
        b"\x06\x02\x2b\x86",
        b"\x06\x07\x2b\xff\xff\xff\xff\xff\x7f",
        b"\x24\x02\x04\x00",
        b"\x05\x00",
        b"\x04\x05ab",
    ],
)
def test_values_of_the_wrong_size_or_form_are_refused(value: bytes) -> None:
    assert isinstance(decode_response(raw_response(value), ONE), DecodeError)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b"\x02\x02\x7f\x01", b"\x02\x02\x00\x01"),
        (b"\x41\x04\x7f\x00\x00\x00", b"\x41\x04\xff\x00\x00\x00"),
        (b"\x41\x05\x00\x80\x00\x00\x00", b"\x41\x05\x01\x80\x00\x00\x00"),
        (b"\x42\x05\x00\x80\x00\x00\x00", b"\x42\x05\x00\x70\x00\x00\x00"),
        (b"\x46\x03\x7f\x00\x00", b"\x46\x03\x00\x7f\x00"),
        (b"\x06\x02\x2b\x06", b"\x06\x02\x2b\x86"),
    ],
)
def test_a_layout_learnt_from_a_good_answer_does_not_let_a_bad_one_pass(good: bytes, bad: bytes) -> None:
    learnt = decode_response(raw_response(good), ONE)
    assert isinstance(learnt, Response)
    assert learnt.layout.read(raw_response(good)) is not None
    assert learnt.layout.read(raw_response(bad)) is None


@pytest.mark.parametrize(
    ("value", "number"),
    [(b"\x02\x01\x80", -128), (b"\x02\x02\x80\x00", -32768), (b"\x02\x04\x80\x00\x00\x00", -(2**31))],
)
def test_the_lowest_number_of_each_size(value: bytes, number: int) -> None:
    response = decode_response(raw_response(value), ONE)
    assert isinstance(response, Response)
    assert response.values == (number,)
    assert response.layout.read(raw_response(value)) == (ID, (number,))


def test_an_error_status_is_named_with_its_request() -> None:
    refused = decode_response(raw_response(b"\x05\x00", status=5), ONE)
    assert isinstance(refused, DecodeError)
    assert (refused.fault, refused.request_id) == (Fault.STATUS, ID)


def test_longer_length_forms_that_rfc_3417_allows_are_read() -> None:
    """Agents of the old net-snmp write every length of a sequence with two octets."""
    short = raw_response(b"\x02\x01\x2a")
    long_form = b"\x30\x82\x00" + short[1:]
    response = decode_response(long_form, ONE)
    assert isinstance(response, Response)
    assert response.values == (42,)


@pytest.mark.parametrize("text", ["", "1", "1.", "1..3", "3.1", "1.40", "1.3.4294967296", "1.3.a", "1.03", "1.3\n"])
def test_text_that_is_no_oid(text: str) -> None:
    assert parse_oid(text) is None


def test_a_leading_dot_is_allowed() -> None:
    assert parse_oid(".1.3.6.1") == (1, 3, 6, 1)


# --- what comes next --------------------------------------------------------------------------------------------------

our_ids = st.integers(FIRST_ID, 2**31 - 1)
TABLE: Oid = (1, 3, 6, 1, 2, 1, 2, 2, 1)
COLUMNS: tuple[Oid, ...] = ((*TABLE, 2), (*TABLE, 10))


@given(oids=st.lists(oids, min_size=1, max_size=5), rows=st.integers(1, 50), request_id=our_ids)
def test_getnext_and_getbulk_are_what_pysnmp_reads(oids: list[Oid], rows: int, request_id: int) -> None:
    datagram = encode_message(COMMUNITY, Next(oids, rows).pdu(request_id))
    message, rest = decoder.decode(datagram, asn1Spec=v2c.Message())
    pdu = v2c.apiMessage.get_pdu(message)
    assert rest == b""
    assert int(v2c.apiPDU.get_request_id(pdu)) == request_id
    assert [tuple(oid) for oid, _ in v2c.apiPDU.get_varbinds(pdu)] == oids
    if rows == 1:
        assert pdu.isSameTypeWith(v2c.GetNextRequestPDU())
    else:
        assert pdu.isSameTypeWith(v2c.GetBulkRequestPDU())
        assert (int(pdu[1]), int(pdu[2])) == (0, rows)


def after(bindings: list[tuple[Oid, Any]], rows: int = 3) -> Any:
    """What is read of an agent's rows; ``DecodeError`` if they are refused."""
    answer = read_community_answer(pysnmp_response(bindings), COMMUNITY, Next(COLUMNS, rows))
    return answer if isinstance(answer, DecodeError) else answer[1]


def cell(column: int, row: int) -> tuple[Oid, Any]:
    return (*COLUMNS[column], row), v2c.Integer32(10 * column + row)


def end(oid: Oid) -> tuple[Oid, Any]:
    return oid, v2c.EndOfMibView("")


def test_rows_come_in_order_and_columns_end() -> None:
    rows = [cell(0, 1), cell(1, 1), cell(0, 2), end((*COLUMNS[1], 1)), cell(0, 3)]
    assert after(rows) == (
        *(((*COLUMNS[0], 1), 1), ((*COLUMNS[1], 1), 11), ((*COLUMNS[0], 2), 2)),
        *(((*COLUMNS[1], 1), None), ((*COLUMNS[0], 3), 3)),
    )


@pytest.mark.parametrize(
    "bindings",
    [
        [cell(0, 1)],
        [cell(0, 1), cell(0, 1)],
        [(COLUMNS[0], v2c.Integer32(1)), cell(1, 1)],
        [cell(0, 2), cell(1, 1), cell(0, 2), cell(1, 2)],
        [cell(0, 2), cell(1, 1), cell(0, 1), cell(1, 2)],
        [end((*COLUMNS[0], 1)), cell(1, 1)],
        [((*COLUMNS[0], 1), v2c.NoSuchInstance("")), cell(1, 1)],
        [cell(n % 2, n // 2 + 1) for n in range(7)],
        [],
    ],
    ids=["few", "column", "same", "again", "back", "end elsewhere", "no instance", "many", "none"],
)
def test_rows_that_do_not_come_after_what_was_asked_are_refused(bindings: list[tuple[Oid, Any]]) -> None:
    assert isinstance(after(bindings), DecodeError)


@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_are_no_rows(data: bytes) -> None:
    with pytest.raises(RefusedError):
        Next(COLUMNS, 3).bindings(b"\x30\x80" + data, 0, len(data) + 2)


# --- a real agent -----------------------------------------------------------------------------------------------------


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def snmpd(tmp_path: Path) -> Iterator[int]:
    """The port of a net-snmp agent of our own configuration on loopback."""
    port = free_udp_port()
    config = tmp_path / "snmpd.conf"
    config.write_text(
        "rocommunity loa 127.0.0.1\n"
        "sysobjectid .1.3.6.1.4.1.8072.9999.9999.7410.10.1\n"
        "syslocation Tổ dân phố 1\n"
        "sysservices 72\n"
        "override -rw 1.3.6.1.4.1.8072.9999.9999.7410.1.6.0 integer -14\n"
        "override -rw 1.3.6.1.4.1.8072.9999.9999.7410.1.9.0 counter 4294967295\n",
        encoding="utf-8",
    )
    command = ["snmpd", "-f", "-Lo", "-C", "-c", str(config), "-p", str(tmp_path / "pid"), f"udp:127.0.0.1:{port}"]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SNMP_PERSISTENT_DIR": str(tmp_path), "MIBS": ""}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as agent:
        try:
            yield port
        finally:
            agent.terminate()


def ask(port: int, datagram: bytes, good: Callable[[bytes], bool]) -> bytes:
    """The first good answer; the agent may still be starting."""
    until = time.monotonic() + 60
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.settimeout(0.2)
        while time.monotonic() < until:
            try:
                sock.send(datagram)
                answer = sock.recv(4096)
            except OSError:
                time.sleep(0.05)
                continue
            if good(answer):
                return answer
    raise AssertionError("the agent did not answer")


def test_a_real_agent_is_read_rightly(snmpd: int) -> None:
    loa = (1, 3, 6, 1, 4, 1, 8072, 9999, 9999, 7410)
    asked: tuple[Oid, ...] = (
        (1, 3, 6, 1, 2, 1, 1, 2, 0),
        (1, 3, 6, 1, 2, 1, 1, 3, 0),
        (1, 3, 6, 1, 2, 1, 1, 6, 0),
        (1, 3, 6, 1, 2, 1, 1, 7, 0),
        (*loa, 1, 6, 0),
        (*loa, 1, 9, 0),
        (1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 6, 1),
        (1, 3, 6, 1, 4, 1, 48690, 2, 2, 1, 20, 1),
    )
    request = Request(COMMUNITY, asked)
    response = decode_response(ask(snmpd, request.encode(ID), bool), request)
    assert isinstance(response, Response), str(response)
    assert response.request_id == ID
    object_id, uptime, place, services, error, refused, received, missing = response.values
    assert object_id == (*loa, 10, 1)
    assert isinstance(uptime, int)
    assert uptime >= 0
    assert (place, services) == ("Tổ dân phố 1".encode(), 72)
    assert isinstance(received, int)
    assert received >= 0
    assert (error, refused, missing) == (-14, 4294967295, None)
