"""The user-based security model of SNMPv3 as a poller needs it (RFC 3414, AES by RFC 3826, SHA-2 by RFC 7860). Pure.

A password is stretched to a master key once, when the user is made; a master key is localised once per engine. Only a
manager's side is here: every engine asked is the authoritative one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from inventory.diagnostics import Diagnostic, Place
from nms.i18n import N_
from nms.vault import Secret

try:
    from cryptography.hazmat.decrepit.ciphers.modes import CFB
except ImportError:  # before cryptography 47
    from cryptography.hazmat.primitives.ciphers.modes import CFB

WINDOW: Final = 150
"""Seconds a message may be older than the engine's time as we know it (RFC 3414 2.2.3)."""

MAX_COUNT: Final = 0x7FFFFFFF
"""An engine whose boots have come to this must get new keys; nothing of it is timely any more."""

MIN_PASSWORD: Final = 8
MAX_NAME: Final = 32
"""Octets of a user's name and of an engine id (RFC 3411 5)."""
_EXPANSION: Final = 1 << 20
_AES_KEY: Final = 16
_SECRETS: Final = Place("secrets.yaml")


class AuthProtocol(StrEnum):
    """The value is the digest's name in ``hashlib``."""

    SHA1 = "sha1"
    SHA256 = "sha256"

    @property
    def mac_size(self) -> int:
        """Octets of the digest that are sent."""
        return 24 if self is AuthProtocol.SHA256 else 12


class PrivProtocol(StrEnum):
    AES128 = "aes128"


class Level(StrEnum):
    """How a message is protected; the value is RFC 3411's name."""

    NO_AUTH = "noAuthNoPriv"
    AUTH = "authNoPriv"
    AUTH_PRIV = "authPriv"


@dataclass(frozen=True, slots=True)
class Community:
    """SNMPv2c: a word in the clear."""

    name: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class User:
    """A user of SNMPv3 with master keys; equal only to itself, so that it is quick to look up."""

    name: bytes
    auth: AuthProtocol | None = None
    auth_key: bytes = field(default=b"", repr=False)
    priv: PrivProtocol | None = None
    priv_key: bytes = field(default=b"", repr=False)

    @property
    def level(self) -> Level:
        if self.auth is None:
            return Level.NO_AUTH
        return Level.AUTH if self.priv is None else Level.AUTH_PRIV

    def keys(self, engine_id: bytes) -> tuple[bytes, bytes]:
        """The keys for one engine: authentication, privacy; empty where there is none."""
        if self.auth is None:
            return b"", b""
        auth = localised(self.auth, self.auth_key, engine_id)
        return auth, localised(self.auth, self.priv_key, engine_id)[:_AES_KEY] if self.priv else b""


Security = Community | User


def master_key(auth: AuthProtocol, password: bytes) -> bytes:
    """RFC 3414 A.2: the digest of the password repeated to a mebibyte, in milliseconds. ValueError if it is empty."""
    if not password:
        raise ValueError("empty password")
    repeated = password * (_EXPANSION // len(password) + 1)
    return hashlib.new(auth.value, repeated[:_EXPANSION]).digest()


def localised(auth: AuthProtocol, master: bytes, engine_id: bytes) -> bytes:
    return hashlib.new(auth.value, master + engine_id + master).digest()


def user(
    name: bytes,
    auth: AuthProtocol,
    auth_password: bytes,
    priv: PrivProtocol | None = None,
    priv_password: bytes = b"",
) -> User:
    """A user that asks with authPriv, without ``priv`` with authNoPriv. ValueError: a needed password is empty."""
    key = master_key(auth, auth_password)
    return User(name, auth, key, priv, b"" if priv is None else master_key(auth, priv_password))


def unprotected_user(name: bytes) -> User:
    """A user that asks with noAuthNoPriv: only for whoever has explicitly allowed it."""
    return User(name)


def mac(auth: AuthProtocol, key: bytes, message: bytes) -> bytes:
    """The code of a message whose own place is filled with zeros."""
    return hmac.digest(key, message, auth.value)[: auth.mac_size]


def cipher(key: bytes, boots: int, time: int, salt: bytes) -> Cipher[CFB]:
    """RFC 3826 3.1.2.1: AES-128 in CFB mode; boots, time and salt together must never have been used before."""
    return Cipher(AES(key), CFB(boots.to_bytes(4, "big") + time.to_bytes(4, "big") + salt))


class Peer:
    """What is known of one engine: its keys for a user, and its clock by RFC 3414 3.2 (7b).

    Until an authenticated message has come (``proven``), boots and time are only a guess to ask with. ``now`` is
    seconds of a clock that never jumps.
    """

    __slots__ = ("auth_key", "boots", "engine_id", "latest", "offset", "priv_key", "proven", "user")

    def __init__(self, user: User, engine_id: bytes, boots: int, time: int, now: float, proven: bool = False) -> None:
        self.user = user
        self.engine_id = engine_id
        self.auth_key, self.priv_key = user.keys(engine_id)
        self.proven = proven
        self.boots = boots
        self.latest = time
        self.offset = time - now

    def of(self, user: User) -> Peer:
        """The same engine with another user's keys."""
        return Peer(user, self.engine_id, self.boots, self.latest, self.latest - self.offset, self.proven)

    def time(self, now: float) -> int:
        """The engine's time as we estimate it."""
        return min(max(int(now + self.offset), 0), MAX_COUNT)

    def newer(self, boots: int, time: int) -> bool:
        """Whether an authenticated message moves our notion of the engine's clock forward."""
        return not self.proven or boots > self.boots or (boots == self.boots and time > self.latest)

    def corrected(self, boots: int, time: int, now: float) -> bool:
        """Takes the clock that an authenticated report says; False if it went back: then nothing is taken."""
        if not self.newer(boots, time) and (boots, time) != (self.boots, self.latest):
            return False
        self.boots, self.latest, self.offset, self.proven = boots, time, time - now, True
        return True

    def hear(self, boots: int, time: int, now: float) -> bool:
        """Takes boots and time of an authenticated message; False if it lies outside the time window: a replay."""
        if self.newer(boots, time):
            self.boots, self.latest, self.offset, self.proven = boots, time, time - now, True
            return boots != MAX_COUNT
        return boots == self.boots and boots != MAX_COUNT and time >= int(now + self.offset) - WINDOW


def security_from(secrets: Mapping[str, Secret], place: Place = _SECRETS) -> Security | Diagnostic:
    """How the fleet is asked, by the inventory's secrets: ``snmp_v3_*`` where there is a user, else the community."""
    if "snmp_v3_user" in secrets:
        return _user_from({name: secret.reveal() for name, secret in secrets.items()}, place)
    if "snmp_community" in secrets:
        return Community(secrets["snmp_community"].reveal().encode())
    message = N_("the inventory's secrets have neither snmp_v3_user nor snmp_community")
    return Diagnostic("CFG021", place, message, N_("add one with: ansible-vault edit secrets.yaml"))


def _user_from(words: Mapping[str, str], place: Place) -> User | Diagnostic:
    """SHA-256 and AES-128 unless something else is written; what protects less must be asked for by name."""
    name, auth, priv = words["snmp_v3_user"], words.get("snmp_v3_auth", "sha256"), words.get("snmp_v3_priv", "aes128")
    if not 1 <= len(name.encode()) <= MAX_NAME:
        return _unusable(place, "snmp_v3_user", f"1 .. {MAX_NAME}")
    if priv not in {*PrivProtocol, "none"}:
        return _unusable(place, "snmp_v3_priv", "aes128, none")
    if auth not in {*AuthProtocol, "none"}:
        return _unusable(place, "snmp_v3_auth", "sha256, sha1, none")
    if auth == "none":
        if priv == "none" and words.get("snmp_v3_allow_no_auth") == "yes":
            return unprotected_user(name.encode())
        return _unusable(place, "snmp_v3_allow_no_auth", "yes (snmp_v3_auth: none, snmp_v3_priv: none)")
    for key in ("snmp_v3_auth_password", "snmp_v3_priv_password")[: 1 if priv == "none" else 2]:
        if len(words.get(key, "").encode()) < MIN_PASSWORD:
            return _unusable(place, key, f">= {MIN_PASSWORD}")
    password, secret = (words.get(f"snmp_v3_{kind}_password", "").encode() for kind in ("auth", "priv"))
    return user(name.encode(), AuthProtocol(auth), password, None if priv == "none" else PrivProtocol(priv), secret)


def _unusable(place: Place, key: str, allowed: str) -> Diagnostic:
    message = N_("'{key}' of the secrets cannot be used for SNMPv3")
    fix = N_("allowed is: {allowed}; change it with: ansible-vault edit secrets.yaml")
    return Diagnostic("CFG022", place, message, fix, {"key": key, "allowed": allowed})
