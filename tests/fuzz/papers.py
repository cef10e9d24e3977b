"""Every document that hub and devices exchange: one byte says which, the rest is its JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any, Final

from audio.documents import (
    Ack,
    Airing,
    Audience,
    Bulletin,
    BulletinClass,
    Ceilings,
    ContentKind,
    DeviceState,
    DocumentError,
    HubTime,
    Now,
    NowEntry,
    NowKind,
    Policy,
    PolicyKey,
    Programme,
    Quiet,
    Receipt,
    Result,
    Span,
    decode,
    encode,
)
from tests.fuzz import jsons
from tests.fuzz.harness import Harness

AT: Final = 1_727_776_770_000
CONTENT: Final = "ab" * 32
BULLETIN: Final = Bulletin(
    *("b-1", 1, BulletinClass.NORMAL, ContentKind.RECORDING, "province", "64", "Thông báo", CONTENT, 9000),
    audience=Audience(("64",), ("riverside",), ("23557-L01",)),
    valid_from=0,
    valid_until=2**60,
    text="Mời bà con nghe",
)
SAMPLES: Final[tuple[Any, ...]] = (
    BULLETIN,
    Programme("23557", AT + 1000, (Airing("a-1", "b-1", 0, AT, AT + 60_000),), {"b-1": "AAAA"}),
    Now((NowEntry("e-1", NowKind.EMERGENCY, "b-1", AT, AT + 5000, "AAAA", ("AAAA",), "lũ"),)),
    Policy(
        *("23557-L01", ("23557", "64"), ("riverside",)),
        keys=(PolicyKey("0" * 16, "64", "AAAA", "issuer", ("64",), ("normal",), 0, 2**60),),
        quiet=(Quiet(1260, 300),),
        exceptions=(Span(AT, AT + 1),),
        ceilings=Ceilings(80, 60, 100),
    ),
    Receipt("r-1", "23557-L01", "a-1", "b-1", 0, CONTENT, AT, AT + 9, 0, Result.PLAYED, level=-20.5, clock_error=12),
    DeviceState("23557-L01", True, AT, "a-1", "b-1", 7, (CONTENT,), 2, {"ENV004": 1}, "0.1", -3),
    Ack(("r-1", "r-2")),
    HubTime(AT),
)
ODD: Final[tuple[Any, ...]] = (True, 1, 1.5, "1", None, [])


def seeds() -> Iterator[bytes]:
    for mode, document in enumerate(SAMPLES):
        whole = json.loads(encode(document))
        odd = [whole | {name: value} for name in whole for value in ODD]
        odd += [{key: value for key, value in whole.items() if key != name} for name in whole]
        yield from (bytes((mode,)) + json.dumps(document).encode() for document in (whole, *odd))


def check(data: bytes) -> bool:
    """What is accepted means the same in our encoding, which is JSON that every reader and database takes."""
    kind, text = type(SAMPLES[data[0] % len(SAMPLES) if data else 0]), data[1:]
    try:
        document = decode(kind, text)
    except DocumentError:
        return False
    ours = encode(document)
    assert decode(kind, ours) == document
    theirs = json.loads(text)
    if kind is Receipt and type(theirs["level"]) is int:
        theirs["level"] = float(theirs["level"])
    assert _exact(json.loads(ours, parse_constant=_constant)) == _exact(theirs)
    assert b"\\u0000" not in ours
    return True


def _exact(tree: Any) -> str:
    """Text in which 1, 1.0 and true differ."""
    return json.dumps(tree, sort_keys=True)


def _constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def mutate(data: bytes, random: Random) -> bytes:
    if random.random() < 0.03:
        return bytes((random.randrange(256),)) + data[1:]
    return data[:1] + jsons.mutate(data[1:], random)


HARNESS: Final = Harness("papers", seeds, check, mutate)
