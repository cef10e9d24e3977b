"""Signed frames: a byte of mode, the header's JSON, a line feed, the body; or, by its mode, a frame as it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from random import Random
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from audio.envelope import (
    MAGIC,
    MAX_FRAME,
    SIGNATURE,
    Header,
    Key,
    Opened,
    Refused,
    Sequences,
    key_id,
    open_frame,
    parse,
    seal,
)
from tests.fuzz import jsons
from tests.fuzz.harness import Harness

PRIVATE: Final = tuple(Ed25519PrivateKey.from_private_bytes(bytes((n,)) * 32) for n in range(4))
PUBLIC: Final = tuple(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) for key in PRIVATE)
KIDS: Final = tuple(map(key_id, PUBLIC))
KEYS: Final = {
    KIDS[0]: Key(KIDS[0], "hub", PUBLIC[0], "hub", nbf=50, exp=5_000),
    KIDS[1]: Key(KIDS[1], "64", PUBLIC[1], "issuer", ("64",), ("normal",)),
    KIDS[2]: Key(KIDS[2], "hub", PUBLIC[2][:31], "hub"),  # a policy may hold a key that is none
}
TOPIC: Final = "loa/1/time"
TIMES: Final = (99, 100, 999, 1_000)
ROLES: Final[tuple[tuple[str, ...], ...]] = (("hub",), ("issuer",), ("hub", "issuer"))
_FIELDS: Final = {"v": int, "kid": str, "iss": str, "topic": str, "seq": int, "issued": int, "nbf": int, "exp": int}


def seeds() -> Iterator[bytes]:
    for mode, kid in enumerate(KIDS):
        head = asdict(Header(1, kid, "hub" if mode != 1 else "64", TOPIC, 7, 100, 100, 1_000))
        text = json.dumps(head, separators=(",", ":")).encode()
        yield from (bytes((mode | time << 3 | (mode == 1) << 5,)) + text + b"\nbody" for time in range(len(TIMES)))
        yield bytes((mode | 1 << 3,)) + text + b"\n"
    yield b"\x84LOA1\x00\x02{}" + bytes(64)
    yield b"\x8c" + seal(Header(1, KIDS[0], "hub", TOPIC, 7, 100, 100, 1_000), b"body", PRIVATE[0])


def frame_of(header: bytes, body: bytes, signer: Ed25519PrivateKey) -> bytes:
    """A frame with whatever header; one that is too long for its length has none."""
    signed = MAGIC + (len(header) & 0xFFFF).to_bytes(2, "big") + header + body
    return signed + signer.sign(signed)


def check(data: bytes) -> bool:
    mode = data[0] if data else 0
    header, _, body = data[1:].partition(b"\n")
    frame = data[1:] if mode & 4 else frame_of(header, body, PRIVATE[mode & 3])
    now, roles = TIMES[mode >> 3 & 3], ROLES[(mode >> 5 & 3) % 3]
    parsed, opened = parse(frame), open_frame(frame, TOPIC, KEYS, roles, now)
    for found in (parsed, opened):
        assert isinstance(found, Opened) or found.detail.isprintable(), "a stranger writes lines into the log"
    expected = _expected(frame)
    if expected is None:
        assert isinstance(parsed, Refused)
        assert isinstance(opened, Refused)
        return False
    assert isinstance(parsed, Opened)
    assert (asdict(parsed.header), parsed.body) == expected
    assert parsed.digest == hashlib.sha256(frame).hexdigest()
    again = parse(seal(parsed.header, parsed.body, PRIVATE[3])) if len(frame) < MAX_FRAME // 2 else parsed
    assert isinstance(again, Opened)
    assert (again.header, again.body) == (parsed.header, parsed.body)
    assert isinstance(opened, Opened) == _entitled(frame, expected[0], roles, now)
    if isinstance(opened, Opened):
        _once(opened)
    return isinstance(opened, Opened)


def _expected(frame: bytes) -> tuple[dict[str, Any], bytes] | None:
    """Header and body by the letter of the format; None for what is no frame."""
    if not 70 <= len(frame) <= MAX_FRAME or frame[:4] != MAGIC:
        return None
    end = 6 + frame[4] * 256 + frame[5]
    if end > len(frame) - SIGNATURE:
        return None
    try:
        fields = json.loads(frame[6:end])
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or {k: type(v) for k, v in fields.items()} != _FIELDS or fields["v"] != 1:
        return None
    if any(not 0 <= v < 2**63 for v in fields.values() if isinstance(v, int)):
        return None
    if any(len(v) > 200 or not v.isprintable() for v in fields.values() if isinstance(v, str)):
        return None
    return fields, frame[end : len(frame) - SIGNATURE]


def _entitled(frame: bytes, header: dict[str, Any], roles: tuple[str, ...], now: int) -> bool:
    """Whether one of the keys signed these bytes and may say this here and now."""
    if header["kid"] not in (KIDS[0], KIDS[1]):
        return False
    at = KIDS.index(header["kid"])
    try:
        PRIVATE[at].public_key().verify(frame[-SIGNATURE:], frame[:-SIGNATURE])
    except InvalidSignature:
        return False
    iss, role, begins, ends = (("hub", "hub", 50, 5_000), ("64", "issuer", 0, 2**62))[at]
    may = header["iss"] == iss and role in roles and header["topic"] == TOPIC
    return may and begins <= now < ends and header["nbf"] <= now < header["exp"]


def _once(opened: Opened) -> None:
    """A frame is news once, and again after no restart."""
    kept: dict[tuple[str, str], tuple[int, str]] = {}
    sequences = Sequences({}, lambda topic, kid, seq, digest: kept.update({(topic, kid): (seq, digest)}))
    assert sequences.admit(opened) is True
    assert sequences.admit(opened) is False
    assert Sequences(kept, lambda *_: None).admit(opened) is False


def mutate(data: bytes, random: Random) -> bytes:
    if random.random() < 0.1:
        return bytes((random.randrange(256),)) + data[1:]
    header, line, body = data[1:].partition(b"\n")
    if random.random() < 0.3:
        return data[:1] + header + line + jsons.mutate(body, random)
    return data[:1] + jsons.mutate(header, random) + line + body


HARNESS: Final = Harness("frames", seeds, check, mutate)
