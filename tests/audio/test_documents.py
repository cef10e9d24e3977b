from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.documents import (
    Ack,
    Airing,
    Audience,
    Bulletin,
    Ceilings,
    DeviceState,
    DocumentError,
    HubTime,
    Now,
    NowEntry,
    Policy,
    PolicyKey,
    Programme,
    Quiet,
    Receipt,
    Span,
    decode,
    encode,
)

KINDS = [Ack, Airing, Audience, Bulletin, Ceilings, DeviceState, HubTime, Now, NowEntry, Policy, PolicyKey, Programme]
KINDS += [Quiet, Receipt, Span]

st.register_type_strategy(int, st.integers(-(2**63), 2**63 - 1))
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(str, st.text(st.characters(codec="utf-8", exclude_characters="\0")))


@pytest.mark.parametrize("kind", KINDS)
def test_every_document_comes_back_from_the_wire(kind: type[Any]) -> None:
    @given(st.from_type(kind))
    def back(document: Any) -> None:
        assert decode(kind, encode(document)) == document
        assert encode(decode(kind, encode(document))) == encode(document)

    back()


RECEIPT = {
    "id": "r",
    "device": "d",
    "airing": "a",
    "bulletin": "b",
    "repeat": 0,
    "content": "c",
    "started": 1,
    "ended": 2,
    "offset": 0,
    "result": "played",
    "reason": "",
    "level": None,
    "clock_error": None,
}


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"result": "heard"},
        {"started": "1"},
        {"started": 1.5},
        {"started": True},
        {"started": 2**63},
        {"id": None},
        {"level": "loud"},
        {"level": float("inf")},
        {"level": float("nan")},
        {"level": 10**400},
        {"id": "\0"},
        {"reason": "\ud800"},
    ],
)
def test_what_does_not_fit_its_type_is_an_error(change: dict[str, Any]) -> None:
    with pytest.raises(DocumentError):
        decode(Receipt, json.dumps(RECEIPT | change))


@pytest.mark.parametrize("name", RECEIPT)
def test_a_missing_field_is_an_error(name: str) -> None:
    with pytest.raises(DocumentError):
        decode(Receipt, json.dumps({k: v for k, v in RECEIPT.items() if k != name}))


def test_a_name_that_no_database_keeps_is_an_error() -> None:
    with pytest.raises(DocumentError):
        decode(Programme, json.dumps({"unit": "64", "until": 1, "airings": [], "signed": {"\ud800": ""}}))


def test_a_whole_number_is_a_level() -> None:
    assert decode(Receipt, json.dumps(RECEIPT | {"level": -20})).level == -20.0


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_rubbish_is_a_document_error(data: bytes) -> None:
    with pytest.raises(DocumentError):
        decode(Now, data)


@pytest.mark.parametrize(
    ("audience", "meant"),
    [
        (Audience(), False),
        (Audience(units=("64",)), True),
        (Audience(units=("52",)), False),
        (Audience(groups=("g",)), True),
        (Audience(devices=("d",)), True),
        (Audience(devices=("e",)), False),
    ],
)
def test_an_audience_means_units_groups_and_devices(audience: Audience, meant: bool) -> None:
    assert audience.addresses("d", ("23557", "64"), ("g",)) is meant
