"""SNMPv3 without sockets: keys against RFC 3414 and pysnmp, messages against pysnmp, exchanges against other agents."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder  # type: ignore[import-untyped]
from pysnmp.proto.mpmod.rfc3412 import SNMPv3Message
from pysnmp.proto.rfc1902 import OctetString
from pysnmp.proto.secmod.rfc3414.service import UsmSecurityParameters
from pysnmp.proto.secmod.rfc3826.priv.aes import Aes
from pysnmp.proto.secmod.rfc7860.auth.hmacsha2 import HmacSha2

from inventory.diagnostics import Diagnostic
from nms.monitor.snmp.ber import FIRST_ID, Get, Next
from nms.monitor.snmp.exchange import Refused, Sign
from nms.monitor.snmp.secure import MAX_STEPS, UserExchange, UserPlan
from nms.monitor.snmp.usm import (
    MAX_COUNT,
    WINDOW,
    AuthProtocol,
    Community,
    Level,
    Peer,
    PrivProtocol,
    User,
    localised,
    mac,
    master_key,
    security_from,
    unprotected_user,
    user,
)
from nms.monitor.snmp.v3 import read_message
from nms.vault import Secret
from tests.sim.snmp_v3 import Login, SecureAgents

ADDRESS = b"\x7f\x01\x02\x03"
OTHER = b"\x7f\x01\x02\x04"
OIDS = ((1, 3, 6, 1, 2, 1, 1, 3, 0), (1, 3, 6, 1, 4, 1, 1, 1, 0))
VALUES = (4200, b"7")
ID = FIRST_ID + 7
AUTH, PRIV = "mật khẩu dài", "riêng tư 123"
LOA = user(b"loa", AuthProtocol.SHA256, AUTH.encode(), PrivProtocol.AES128, PRIV.encode())
LOGIN = Login.of("loa", AUTH, PRIV)
NOW = 1000.0


def values(_: Sequence[str]) -> list[bytes]:
    return [b"\x43\x02\x10\x68", b"\x04\x017"]


Answering = Callable[[bytes], bytes | None]


def agent(address: bytes = ADDRESS, login: Login = LOGIN, agents: SecureAgents | None = None) -> Answering:
    answering = agents or SecureAgents(login)
    return lambda datagram: answering.answer(address, values, datagram, 0)


def exchange(asker: User = LOA, peer: Peer | None = None, request_id: int = ID) -> UserExchange[Any]:
    return UserExchange(UserPlan(asker, Get(OIDS), itertools.count(5)), request_id, peer)


def converse(asking: UserExchange[Any], answering: Answering, now: float = NOW) -> Any:
    """To the end, or to the first silence (None)."""
    while True:
        datagram = answering(asking.message(now))
        if datagram is None:
            return None
        answer = asking.take(datagram, now)
        if answer is not Sign.AGAIN:
            return answer


def known(address: bytes = ADDRESS, now: float = NOW) -> Peer:
    """An engine that has proven itself."""
    asking = exchange()
    assert converse(asking, agent(address), now) == VALUES
    assert asking.peer is not None
    assert asking.peer.proven
    return asking.peer


# --- keys


def test_keys_are_those_of_rfc_3414() -> None:
    """A.3.2 and its localisation."""
    master = master_key(AuthProtocol.SHA1, b"maplesyrup")
    assert master.hex() == "9fb5cc0381497b3793528939ff788d5d79145211"
    assert localised(AuthProtocol.SHA1, master, bytes(11) + b"\x02").hex() == "6695febc9288e36282235fc7151f128497b38f3f"


@settings(max_examples=5)
@given(password=st.binary(min_size=1, max_size=40), engine=st.binary(min_size=5, max_size=32))
def test_keys_are_those_of_pysnmp(password: bytes, engine: bytes) -> None:
    oracle = HmacSha2(HmacSha2.SHA256_SERVICE_ID)
    master = master_key(AuthProtocol.SHA256, password)
    assert master == bytes(oracle.hash_passphrase(password))
    assert localised(AuthProtocol.SHA256, master, engine) == bytes(oracle.localize_key(master, OctetString(engine)))


def test_a_key_needs_a_password() -> None:
    with pytest.raises(ValueError, match="empty password"):
        master_key(AuthProtocol.SHA256, b"")


@pytest.mark.parametrize(("protocol", "size"), [(AuthProtocol.SHA1, 12), (AuthProtocol.SHA256, 24)])
def test_digests_have_the_length_of_their_protocol(protocol: AuthProtocol, size: int) -> None:
    assert len(mac(protocol, b"k" * 32, b"message")) == protocol.mac_size == size


def test_no_key_is_ever_printed() -> None:
    for key in (LOA.auth_key, LOA.priv_key):
        assert repr(key) not in repr(LOA)


# --- the message


@given(request_id=st.integers(FIRST_ID, 2**31 - 1), boots=st.integers(0, MAX_COUNT), time=st.integers(0, MAX_COUNT))
def test_a_request_is_what_pysnmp_reads_verifies_and_decrypts(request_id: int, boots: int, time: int) -> None:
    engine = b"\x80\x00\x1f\x88\x01" + ADDRESS
    peer = Peer(LOA, engine, boots, time, NOW)
    whole = UserPlan(LOA, Get(OIDS), itertools.count(9)).request(peer, request_id, time)
    message, rest = decoder.decode(whole, asn1Spec=SNMPv3Message())
    assert rest == b""
    head = message.getComponentByPosition(1)
    assert (int(head[0]), bytes(head[2]), int(head[3])) == (request_id, b"\x07", 3)
    security, rest = decoder.decode(bytes(message[2]), asn1Spec=UsmSecurityParameters())
    assert rest == b""
    assert [bytes(security[0]), int(security[1]), int(security[2]), bytes(security[3])] == [engine, boots, time, b"loa"]
    digest = bytes(security[4])
    oracle = HmacSha2(HmacSha2.SHA256_SERVICE_ID)
    assert (
        bytes(oracle.authenticate_outgoing_message(OctetString(peer.auth_key), whole.replace(digest, bytes(24), 1)))
        == whole
    )
    sealed = OctetString(bytes(message[3].getComponentByPosition(1)))
    plain = bytes(Aes().decrypt_data(OctetString(peer.priv_key), (boots, time, security[5]), sealed))
    assert Get(OIDS).pdu(request_id) in plain


def test_no_salt_is_used_twice() -> None:
    plan = UserPlan(LOA, Get(OIDS), itertools.count(2**64 - 2))
    peer = known()
    salts = [read_message(plan.request(peer, ID, 1)).salt for _ in range(5)]
    assert len(set(salts)) == 5
    assert {len(salt) for salt in salts} == {8}


# --- the exchange


def test_an_engine_is_learnt_and_then_asked_with_one_message() -> None:
    assert known().engine_id == b"\x80\x00\x1f\x88\x01" + ADDRESS
    again = exchange(peer=known())
    assert again.take(agent()(again.message(NOW)) or b"", NOW) == VALUES
    hints = again.hints
    third = UserExchange(UserPlan(LOA, Get(OIDS), itertools.count(5)), ID, again.peer, hints)
    assert third.take(agent()(third.message(NOW)) or b"", NOW) == VALUES
    assert third.hints is hints


@pytest.fixture(scope="module")
def answer() -> bytes:
    datagram = agent()(exchange(peer=known()).message(NOW))
    assert datagram is not None
    return datagram


@pytest.fixture(scope="module")
def asking() -> UserExchange[Any]:
    """One that knows the layout of the answer already."""
    asking = exchange(peer=known())
    assert converse(asking, agent()) == VALUES
    return asking


def both(asking: UserExchange[Any], datagram: bytes) -> Iterator[Any]:
    """What the quick and the strict way say."""
    yield asking.take(datagram, NOW)
    fresh = exchange(peer=asking.peer)
    yield fresh.take(datagram, NOW)


@given(data=st.data())
def test_an_answer_with_any_bits_flipped_is_refused(data: st.DataObject, answer: bytes, asking: Any) -> None:
    flips = data.draw(st.sets(st.integers(0, len(answer) * 8 - 1), min_size=1, max_size=4))
    spoilt = bytearray(answer)
    for bit in flips:
        spoilt[bit // 8] ^= 1 << bit % 8
    for verdict in both(asking, bytes(spoilt)):
        assert isinstance(verdict, Refused) or verdict is Sign.STRAY


@given(data=st.data())
def test_an_answer_with_an_octet_changed_in_its_digest_is_forged(
    data: st.DataObject, answer: bytes, asking: Any
) -> None:
    at = read_message(answer).mac_at + data.draw(st.integers(0, 23))
    octet = data.draw(st.integers(0, 255).filter(lambda o: o != answer[at]))
    for verdict in both(asking, answer[:at] + bytes((octet,)) + answer[at + 1 :]):
        assert isinstance(verdict, Refused)
        assert verdict.fault == "digest"


def cut_digest(answer: bytes, size: int) -> bytes:
    """The same message with the first ``size`` octets of its digest and all lengths mended."""
    at, less = read_message(answer).mac_at, 24 - size
    data = bytearray(answer[: at + size] + answer[at + 24 :])
    parameters = answer.index(b"\x02\x01\x03\x04") + 3
    data[at - 1] -= less
    for length in (2, parameters + 1, parameters + 3):
        data[length] -= less
    return bytes(data)


@pytest.mark.parametrize("size", [0, 1, 12, 23])
def test_a_shortened_digest_is_refused(answer: bytes, asking: Any, size: int) -> None:
    spoilt = cut_digest(answer, size)
    for verdict in both(asking, spoilt):
        assert isinstance(verdict, Refused)
        assert verdict.fault == ("digest" if size == 12 else "malformed")


def test_a_digest_of_zeros_or_none_at_all_is_refused(answer: bytes, asking: Any) -> None:
    at = read_message(answer).mac_at
    for verdict in both(asking, answer[:at] + bytes(24) + answer[at + 24 :]):
        assert isinstance(verdict, Refused)
        assert verdict.fault == "digest"


def test_an_answer_to_another_question_is_a_stray(answer: bytes) -> None:
    assert exchange(peer=known(), request_id=ID + 1).take(answer, NOW) is Sign.STRAY


def plan_of() -> UserPlan[Any]:
    return UserPlan(LOA, Get(OIDS), itertools.count())


def clocked(peer: Peer) -> tuple[bytes, int, int]:
    return peer.engine_id, peer.boots, peer.latest


@pytest.mark.parametrize("quick", [False, True])
def test_a_replay_outside_the_window_is_refused_with_the_right_digest(answer: bytes, asking: Any, quick: bool) -> None:
    def taken(later: float) -> Any:
        peer = Peer(LOA, *clocked(asking.peer), NOW, proven=True)
        return UserExchange(plan_of(), ID, peer, asking.hints if quick else None).take(answer, later)

    assert taken(NOW + WINDOW - 2) == VALUES
    refused = taken(NOW + WINDOW + 2)
    assert isinstance(refused, Refused)
    assert refused.fault == "time"


def test_a_replay_of_an_earlier_boot_is_refused(answer: bytes, asking: Any) -> None:
    engine, boots, time = clocked(asking.peer)
    verdict = exchange(peer=Peer(LOA, engine, boots + 1, time, NOW, proven=True)).take(answer, NOW)
    assert isinstance(verdict, Refused)
    assert verdict.fault == "time"


def test_an_answer_of_another_engine_is_refused(asking: Any) -> None:
    verdict = exchange(peer=known()).take(agent(OTHER)(exchange(peer=known(OTHER)).message(NOW)) or b"", NOW)
    assert isinstance(verdict, Refused)
    assert verdict.fault == "engine"


@pytest.mark.parametrize(
    ("asker", "fault"),
    [
        (user(b"loa", AuthProtocol.SHA256, b"another one", PrivProtocol.AES128, PRIV.encode()), "password"),
        (user(b"nobody", AuthProtocol.SHA256, AUTH.encode(), PrivProtocol.AES128, PRIV.encode()), "user"),
    ],
)
def test_what_the_agent_reports_is_named(asker: User, fault: str) -> None:
    verdict = converse(exchange(asker), agent())
    assert isinstance(verdict, Refused)
    assert verdict.fault == fault
    assert not verdict.final, "it is not authenticated: the true answer is still awaited"


def test_a_wrong_privacy_password_is_named_after_the_silence() -> None:
    asking = exchange(user(b"loa", AuthProtocol.SHA256, AUTH.encode(), PrivProtocol.AES128, b"another one"))
    assert converse(asking, agent()) is None
    verdict = asking.timed_out()
    assert isinstance(verdict, Refused)
    assert verdict.fault == "decryption"


def unprotected(answer: bytes, level: int) -> bytes:
    """The agent's answer in the clear: level 1 with a right digest, level 0 without one."""
    sealed, peer = read_message(answer), known()
    plain = plan_of().opened(peer, *sealed.sealed)
    lower = User(b"loa", LOA.auth, LOA.auth_key) if level else unprotected_user(b"loa")
    request = UserPlan(lower, Get(OIDS), itertools.count()).request(peer, ID, peer.latest)
    whole = rebuilt(request, read_message(request).body, plain)
    if not level:
        return whole
    at = read_message(whole).mac_at
    blank = whole[:at] + bytes(24) + whole[at + 24 :]
    return whole[:at] + mac(AuthProtocol.SHA256, peer.auth_key, blank) + whole[at + 24 :]


def rebuilt(message: bytes, body: bytes, other: bytes) -> bytes:
    """The message with another body."""
    start = 2 if message[1] < 0x80 else 2 + message[1] - 0x80
    content = message[start:].replace(body, other)
    size = len(content)
    head = bytes((0x30, size)) if size < 0x80 else b"\x30\x82" + size.to_bytes(2, "big")
    return head + content


@pytest.mark.parametrize(("level", "name"), [(0, Level.NO_AUTH), (1, Level.AUTH)])
def test_an_answer_at_a_lower_level_is_refused_by_name(answer: bytes, asking: Any, level: int, name: Level) -> None:
    for verdict in both(asking, unprotected(answer, level)):
        assert isinstance(verdict, Refused)
        assert (verdict.fault, verdict.detail) == ("level", f"authPriv was asked, {name} answered")


# --- the clock


def test_a_reboot_that_is_counted_costs_one_message_more() -> None:
    rebooted = replace(LOGIN, boots=4, booted=LOGIN.booted)
    asking = exchange(peer=known())
    assert converse(asking, agent(login=rebooted)) == VALUES
    assert asking.peer is not None
    assert asking.peer.boots == 4


def test_fewer_boots_are_named_once_and_learnt() -> None:
    engine, _, time = clocked(known())
    asking = exchange(peer=Peer(LOA, engine, 9, time, NOW, proven=True))
    verdict = converse(asking, agent())
    assert isinstance(verdict, Refused)
    assert verdict == Refused(verdict.fault, "the engine's boots went down from 9 to 1", final=True)
    assert asking.request_id != ID, "believed only with an answer to a fresh id"
    assert converse(exchange(peer=asking.peer), agent()) == VALUES


def test_a_time_that_went_back_without_a_boot_is_named_once() -> None:
    engine, boots, time = clocked(known())
    asking = exchange(peer=Peer(LOA, engine, boots, time + 5000, NOW, proven=True))
    verdict = converse(asking, agent())
    assert isinstance(verdict, Refused)
    assert "time, without a boot, went down" in verdict.detail
    assert converse(exchange(peer=asking.peer), agent()) == VALUES


def test_a_clock_of_ours_that_jumped_costs_one_message_more() -> None:
    asking = exchange(peer=known())
    assert converse(asking, agent(), NOW + 3600) == VALUES


def test_another_engine_id_is_named_once_and_learnt() -> None:
    asking = exchange(peer=known(OTHER))
    verdict = converse(asking, agent())
    assert isinstance(verdict, Refused)
    assert verdict.detail == "the engine id changed from 80001f88017f010204 to 80001f88017f010203"
    assert verdict.final
    assert converse(exchange(peer=asking.peer), agent()) == VALUES


def test_a_forged_report_of_another_engine_does_not_hide_the_true_answer(answer: bytes) -> None:
    asking = exchange(peer=known())
    asked = asking.message(NOW)
    forged = agent(OTHER)(asked)
    assert asking.take(forged or b"", NOW) is Sign.AGAIN
    assert asking.take(agent()(asked) or b"", NOW) == VALUES
    assert asking.peer is not None
    assert asking.peer.engine_id.endswith(ADDRESS)


def test_what_does_not_prove_itself_is_forgotten_when_time_is_up() -> None:
    asking = exchange(peer=known())
    assert asking.take(agent(OTHER)(asking.message(NOW)) or b"", NOW) is Sign.AGAIN
    asking.timed_out()
    assert converse(asking, agent()) == VALUES


def test_a_device_that_names_one_engine_after_the_other_is_given_up() -> None:
    asking = exchange()
    agents = SecureAgents(LOGIN)
    verdicts = [
        asking.take(agent(bytes((127, 0, 0, n)), agents=agents)(asking.message(NOW)) or b"", NOW)
        for n in range(1, MAX_STEPS + 2)
    ]
    assert verdicts[:-1] == [Sign.AGAIN] * MAX_STEPS
    assert isinstance(verdicts[-1], Refused)
    assert verdicts[-1].final


def test_an_engine_at_its_last_boot_is_refused() -> None:
    verdict = converse(exchange(peer=known()), agent(login=replace(LOGIN, boots=MAX_COUNT)))
    assert isinstance(verdict, Refused)
    assert verdict.fault == "time"


@given(data=st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_or_strays(data: bytes) -> None:
    verdict = exchange(peer=Peer(LOA, b"\x80\x00\x1f\x88\x01" + ADDRESS, 1, 1, NOW)).take(data, NOW)
    assert isinstance(verdict, Refused) or verdict is Sign.STRAY


def test_a_request_is_sent_again_as_it_was_while_it_is_fresh() -> None:
    asking = exchange(peer=known())
    first = asking.message(NOW)
    asking.timed_out()
    assert asking.message(NOW + 2) == first
    late = asking.message(NOW + 100)
    assert late != first
    assert read_message(late).msg_id == ID
    assert read_message(late).salt != read_message(first).salt


def test_a_walk_question_has_no_layout() -> None:
    asking: UserExchange[Any] = UserExchange(UserPlan(LOA, Next(OIDS[:1]), itertools.count()), ID, known())
    verdict = converse(asking, agent())
    assert verdict is None, "the simulated agents answer GET only"


# --- the secrets


def secret(**words: str) -> dict[str, Secret]:
    return {name: Secret(text) for name, text in words.items()}


def test_secrets_make_a_user_or_a_community() -> None:
    both = secret(snmp_community="c", snmp_v3_user="loa", snmp_v3_auth_password=AUTH, snmp_v3_priv_password=PRIV)
    made = security_from(both)
    assert isinstance(made, User)
    assert (made.name, made.level, made.auth_key, made.priv_key) == (
        b"loa",
        Level.AUTH_PRIV,
        LOA.auth_key,
        LOA.priv_key,
    )
    assert security_from(secret(snmp_community="c")) == Community(b"c")
    sha1 = security_from(both | secret(snmp_v3_auth="sha1", snmp_v3_priv="none"))
    assert isinstance(sha1, User)
    assert (sha1.auth, sha1.level) == (AuthProtocol.SHA1, Level.AUTH)
    assert sha1.auth_key == hashlib.sha1((AUTH.encode() * 2**20)[: 2**20], usedforsecurity=False).digest()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({}, "CFG021"),
        ({"snmp_v3_user": "loa"}, "CFG022"),
        ({"snmp_v3_user": "loa", "snmp_v3_auth_password": AUTH}, "CFG022"),
        ({"snmp_v3_user": "loa", "snmp_v3_auth_password": "short", "snmp_v3_priv_password": PRIV}, "CFG022"),
        ({"snmp_v3_user": "", "snmp_v3_auth_password": AUTH, "snmp_v3_priv_password": PRIV}, "CFG022"),
        ({"snmp_v3_user": "loa", "snmp_v3_auth": "md5"}, "CFG022"),
        ({"snmp_v3_user": "loa", "snmp_v3_priv": "des"}, "CFG022"),
        ({"snmp_v3_user": "loa", "snmp_v3_auth": "none", "snmp_v3_priv": "none"}, "CFG022"),
    ],
)
def test_secrets_that_do_not_protect_are_refused(words: dict[str, str], code: str) -> None:
    refused = security_from(secret(**words))
    assert isinstance(refused, Diagnostic)
    assert refused.code == code
    assert not any(text in str(refused) for text in (AUTH, PRIV, "short"))


def test_no_protection_at_all_must_be_allowed_by_name() -> None:
    allowed = security_from(
        secret(snmp_v3_user="loa", snmp_v3_auth="none", snmp_v3_priv="none", snmp_v3_allow_no_auth="yes")
    )
    assert isinstance(allowed, User)
    assert allowed.level is Level.NO_AUTH
