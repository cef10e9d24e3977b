"""Signed frames: nothing is executed, played or shown that did not come in one.

A frame is ``b"LOA1"``, the header's length (2 bytes, big endian), the header (JSON), the body (any bytes) and a 64-byte
Ed25519 signature over all before it, as sent: nothing is re-serialised. Both sides of the wire use this module; it
needs ``cryptography`` and the standard library.

A refusal is a value (``Refused``), because a hostile or broken peer is part of the field.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAGIC = b"LOA1"
VERSION = 1
SIGNATURE = 64
MAX_FRAME = 256 * 1024


class Reason(StrEnum):
    """Why a frame was refused; counted on the device and reported in its state."""

    MALFORMED = "ENV001"
    TOO_LARGE = "ENV002"
    UNKNOWN_KEY = "ENV003"
    BAD_SIGNATURE = "ENV004"
    WRONG_TOPIC = "ENV005"
    KEY_NOT_VALID = "ENV006"
    NOT_ALLOWED = "ENV007"
    REPLAYED = "ENV008"
    NOT_YET = "ENV009"
    EXPIRED = "ENV010"


@dataclass(frozen=True, slots=True)
class Refused:
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """Times are Unix milliseconds UTC. ``kid`` names the key, ``iss`` the unit (or ``hub``/``root``) it speaks for."""

    v: int
    kid: str
    iss: str
    topic: str
    seq: int
    issued: int
    nbf: int
    exp: int


@dataclass(frozen=True, slots=True)
class Opened:
    header: Header
    body: bytes
    digest: str

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Key:
    """A public key a device trusts: for which unit, which areas (unit ids), which classes, and until when.

    ``role`` is ``root`` (policies), ``hub`` (programmes, now, time, acknowledgements) or ``issuer`` (bulletins).
    """

    kid: str
    iss: str
    public: bytes
    role: str
    areas: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    nbf: int = 0
    exp: int = 2**62

    def verify(self, signature: bytes, data: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True


def seal(header: Header, body: bytes, key: Ed25519PrivateKey) -> bytes:
    """The signed frame. Raises ValueError when it would be larger than a device accepts."""
    head = json.dumps(asdict(header), separators=(",", ":"), ensure_ascii=False).encode()
    signed = MAGIC + len(head).to_bytes(2, "big") + head + body
    if len(signed) + SIGNATURE > MAX_FRAME:
        raise ValueError(f"frame of {len(signed) + SIGNATURE} bytes is over the limit of {MAX_FRAME}")
    return signed + key.sign(signed)


def parse(frame: bytes) -> Opened | Refused:
    """Header and body of a frame whose signature has NOT been checked: to find out which key it claims."""
    if len(frame) > MAX_FRAME:
        return Refused(Reason.TOO_LARGE, str(len(frame)))
    if len(frame) < len(MAGIC) + 2 + SIGNATURE or not frame.startswith(MAGIC):
        return Refused(Reason.MALFORMED, "no frame")
    size = int.from_bytes(frame[4:6], "big")
    end = len(frame) - SIGNATURE
    if 6 + size > end:
        return Refused(Reason.MALFORMED, "header is longer than the frame")
    try:
        fields = json.loads(frame[6 : 6 + size])
        header = _header(fields)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        return Refused(Reason.MALFORMED, type(error).__name__)
    return Opened(header, frame[6 + size : end], hashlib.sha256(frame).hexdigest())


def _header(fields: Any) -> Header:
    if not isinstance(fields, dict) or set(fields) != set(Header.__slots__):
        raise ValueError("header fields")
    for name in ("v", "seq", "issued", "nbf", "exp"):
        if type(fields[name]) is not int or not 0 <= fields[name] < 2**63:
            raise ValueError(name)
    for name in ("kid", "iss", "topic"):
        # nobody who can only send writes lines or control sequences into our logs
        if not isinstance(fields[name], str) or len(fields[name]) > 200 or not fields[name].isprintable():
            raise ValueError(name)
    if fields["v"] != VERSION:
        raise ValueError("version")
    return Header(**fields)


def open_frame(frame: bytes, topic: str, keys: Mapping[str, Key], roles: tuple[str, ...], now: int) -> Opened | Refused:
    """The frame's content if a trusted key of one of ``roles`` signed exactly these bytes for exactly this topic.

    ``now`` is the device's best time in Unix milliseconds (never below its floor). Replay is the caller's next step
    (``Sequences``), what the key may say to whom the one after (it depends on the document).
    """
    opened = parse(frame)
    if isinstance(opened, Refused):
        return opened
    header = opened.header
    key = keys.get(header.kid)
    if key is None:
        return Refused(Reason.UNKNOWN_KEY, header.kid)
    if not key.verify(frame[-SIGNATURE:], frame[:-SIGNATURE]):
        return Refused(Reason.BAD_SIGNATURE, header.kid)
    return _authority(opened, key, topic, roles, now) or opened


def _authority(opened: Opened, key: Key, topic: str, roles: tuple[str, ...], now: int) -> Refused | None:
    header = opened.header
    if header.topic != topic:
        return Refused(Reason.WRONG_TOPIC, f"{header.topic} on {topic}")
    if key.role not in roles or header.iss != key.iss:
        return Refused(Reason.NOT_ALLOWED, f"{header.kid} is {key.role} of {key.iss}")
    if not key.nbf <= now < key.exp:
        return Refused(Reason.KEY_NOT_VALID, header.kid)
    if now < header.nbf:
        return Refused(Reason.NOT_YET, str(header.nbf))
    if now >= header.exp:
        return Refused(Reason.EXPIRED, str(header.exp))
    return None


class Sequences:
    """The newest (sequence, digest) seen per topic and key: replays are refused, repeats are no news.

    ``remember`` is called with every change, before the caller acts on the frame, so that a reboot forgets nothing.
    """

    def __init__(
        self, known: Mapping[tuple[str, str], tuple[int, str]], remember: Callable[[str, str, int, str], None]
    ) -> None:
        self._known = dict(known)
        self._remember = remember

    def admit(self, opened: Opened) -> Refused | bool:
        """True: new, act on it. False: the same frame again. ``Refused``: not newer than what is known."""
        place = (opened.header.topic, opened.header.kid)
        sequence, digest = self._known.get(place, (-1, ""))
        if opened.header.seq == sequence and opened.digest == digest:
            return False
        if opened.header.seq <= sequence:
            return Refused(Reason.REPLAYED, f"{opened.header.seq} after {sequence}")
        self._known[place] = (opened.header.seq, opened.digest)
        self._remember(*place, opened.header.seq, opened.digest)
        return True


def next_sequence(last: int, now: int) -> int:
    """max(last + 1, Unix milliseconds): rises even when the issuer's clock goes back."""
    return max(last + 1, now)


def key_id(public: bytes) -> str:
    """The first 16 hex digits of the SHA-256 of the raw public key."""
    return hashlib.sha256(public).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class LivePage:
    """The body of a frame on a live session's topic: an Ogg page whose first sample is to sound at ``play_at``.

    ``play_at``: Unix ms. ``number`` rises by one from page to page; 0 is the header (OpusHead and OpusTags), the only
    one that is retained.
    """

    play_at: int
    number: int
    ogg: bytes


_LIVE = struct.Struct(">QI")


def pack_page(page: LivePage) -> bytes:
    return _LIVE.pack(page.play_at, page.number) + page.ogg


def unpack_page(body: bytes) -> LivePage | Refused:
    if len(body) <= _LIVE.size:
        return Refused(Reason.MALFORMED, "no live page")
    play_at, number = _LIVE.unpack_from(body)
    if play_at >= 2**63:
        return Refused(Reason.MALFORMED, "play-at")
    return LivePage(play_at, number, body[_LIVE.size :])


def live_topic(session: str) -> str:
    return f"loa/1/live/{session}"


def is_session(name: str) -> bool:
    """Whether a live session can have this name."""
    return re.fullmatch("[a-z0-9-]{1,32}", name) is not None


def microphone_of(bulletin: str) -> str:
    """The live session of the bulletin (a UUID) that is spoken while it airs."""
    return f"mic-{bulletin[-12:]}"


def is_microphone(session: str) -> bool:
    """Whether a live session's name is one that ``microphone_of`` gives."""
    return re.fullmatch("mic-[0-9a-f]{12}", session) is not None


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def unb64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
