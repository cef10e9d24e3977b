from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from audio.envelope import (
    MAX_FRAME,
    SIGNATURE,
    Header,
    Key,
    Opened,
    Reason,
    Refused,
    Sequences,
    b64,
    key_id,
    next_sequence,
    open_frame,
    parse,
    seal,
    unb64,
)

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = PRIVATE.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
KID = key_id(PUBLIC)
KEYS = {KID: Key(KID, "hub", PUBLIC, "hub", nbf=50, exp=5_000)}
HEADER = Header(1, KID, "hub", "loa/1/time", 7, 100, 100, 1_000)
FRAME = seal(HEADER, b"body", PRIVATE)


def opened(frame: bytes = FRAME, topic: str = HEADER.topic, now: int = 100, role: str = "hub") -> Opened | Refused:
    return open_frame(frame, topic, KEYS, (role,), now)


def test_a_frame_comes_back_as_it_was_sealed() -> None:
    found = opened()
    assert isinstance(found, Opened)
    assert found.header == HEADER
    assert found.body == b"body"


@pytest.mark.parametrize(
    ("frame", "topic", "now", "role", "reason"),
    [
        (b"", HEADER.topic, 100, "hub", Reason.MALFORMED),
        (b"LOA2" + FRAME[4:], HEADER.topic, 100, "hub", Reason.MALFORMED),
        (b"LOA1\xff\xff" + FRAME[6:], HEADER.topic, 100, "hub", Reason.MALFORMED),
        (FRAME + bytes(MAX_FRAME), HEADER.topic, 100, "hub", Reason.TOO_LARGE),
        (seal(replace(HEADER, kid="0" * 16), b"", PRIVATE), HEADER.topic, 100, "hub", Reason.UNKNOWN_KEY),
        (seal(replace(HEADER, kid="0\nroot logged in"), b"", PRIVATE), HEADER.topic, 100, "hub", Reason.MALFORMED),
        (FRAME[:-1] + bytes([FRAME[-1] ^ 1]), HEADER.topic, 100, "hub", Reason.BAD_SIGNATURE),
        (FRAME, "loa/1/ack/x", 100, "hub", Reason.WRONG_TOPIC),
        (FRAME, HEADER.topic, 100, "issuer", Reason.NOT_ALLOWED),
        (seal(replace(HEADER, iss="64"), b"", PRIVATE), HEADER.topic, 100, "hub", Reason.NOT_ALLOWED),
        (seal(replace(HEADER, nbf=0), b"", PRIVATE), HEADER.topic, 49, "hub", Reason.KEY_NOT_VALID),
        (seal(replace(HEADER, exp=9_000), b"", PRIVATE), HEADER.topic, 5_000, "hub", Reason.KEY_NOT_VALID),
        (FRAME, HEADER.topic, 99, "hub", Reason.NOT_YET),
        (FRAME, HEADER.topic, 1_000, "hub", Reason.EXPIRED),
    ],
)
def test_what_is_not_allowed_is_refused_with_its_reason(
    frame: bytes, topic: str, now: int, role: str, reason: Reason
) -> None:
    found = opened(frame, topic, now, role)
    assert isinstance(found, Refused)
    assert found.reason is reason


@given(st.integers(0, len(FRAME) - 1), st.integers(1, 255))
def test_no_changed_byte_is_accepted(place: int, change: int) -> None:
    spoiled = bytearray(FRAME)
    spoiled[place] ^= change
    assert isinstance(opened(bytes(spoiled)), Refused)


@given(st.integers(0, len(FRAME) - 1))
def test_no_cut_frame_is_accepted(size: int) -> None:
    assert isinstance(opened(FRAME[:size]), Refused)


@given(st.binary(max_size=300))
def test_parsing_rubbish_is_a_refusal_and_never_an_exception(rubbish: bytes) -> None:
    size = len(rubbish).to_bytes(2, "big")
    assert isinstance(parse(b"LOA1" + size + rubbish + bytes(SIGNATURE)), Refused)


@pytest.mark.parametrize("name", ["seq", "issued", "nbf", "exp"])
def test_a_header_with_a_negative_number_is_malformed(name: str) -> None:
    changes: dict[str, Any] = {name: -1}
    found = parse(seal(replace(HEADER, **changes), b"", PRIVATE))
    assert isinstance(found, Refused)
    assert found.reason is Reason.MALFORMED


def test_a_frame_over_the_limit_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="over the limit"):
        seal(HEADER, bytes(MAX_FRAME), PRIVATE)


def test_sequences_take_what_is_newer_ignore_repeats_and_refuse_the_rest() -> None:
    remembered: list[tuple[str, str, int, str]] = []
    sequences = Sequences({}, lambda *place: remembered.append(place))
    first, second = _opened(7, b"a"), _opened(8, b"b")
    assert sequences.admit(first) is True
    assert sequences.admit(second) is True
    assert sequences.admit(second) is False
    assert isinstance(sequences.admit(first), Refused)
    assert isinstance(sequences.admit(_opened(8, b"other")), Refused)
    assert [seq for _, _, seq, _ in remembered] == [7, 8]


def test_sequences_survive_a_reboot() -> None:
    known: dict[tuple[str, str], tuple[int, str]] = {}

    def remember(topic: str, kid: str, seq: int, digest: str) -> None:
        known[topic, kid] = (seq, digest)

    Sequences({}, remember).admit(_opened(7, b"a"))
    assert isinstance(Sequences(known, remember).admit(_opened(6, b"a")), Refused)
    assert Sequences(known, remember).admit(_opened(7, b"a")) is False


def _opened(seq: int, body: bytes) -> Opened:
    found = parse(seal(replace(HEADER, seq=seq), body, PRIVATE))
    assert isinstance(found, Opened)
    return found


@given(st.integers(0, 2**50), st.integers(0, 2**50))
def test_the_next_sequence_always_rises(last: int, now: int) -> None:
    assert next_sequence(last, now) > last
    assert next_sequence(last, now) >= now


@given(st.binary(max_size=64))
def test_base64_comes_back(data: bytes) -> None:
    assert unb64(b64(data)) == data
