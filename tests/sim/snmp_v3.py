"""The SNMPv3 side of the simulated agents: one authPriv user, SHA-256 and AES-128. Shares no code with the poll engine.

Every digest is checked and every answer is sealed anew, as a real agent does; keys are localised once per address.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from tests.sim.asn1_bytes import dotted, number, object_id, take, tlv

MAC_SIZE: Final = 24
WINDOW: Final = 150
_STATS: Final = "1.3.6.1.6.3.15.1.1"
_NOT_IN_WINDOW, _UNKNOWN_USER, _UNKNOWN_ENGINE, _WRONG_DIGEST = 2, 3, 4, 5
_MAC, _NO_MAC = bytes(MAC_SIZE), b""

Values = Callable[[Sequence[str]], list[bytes]]


def master(password: str) -> bytes:
    octets = password.encode()
    return hashlib.sha256((octets * (2**20 // len(octets) + 1))[: 2**20]).digest()


@dataclass(frozen=True, slots=True)
class Login:
    """The user all simulated agents know, and since when (monotonic) they have been up for the first time."""

    user: bytes
    auth: bytes = field(repr=False)
    priv: bytes = field(repr=False)
    booted: float = field(default_factory=time.monotonic)
    boots: int = 1

    @classmethod
    def of(cls, user: str, auth_password: str, priv_password: str) -> Login:
        return cls(user.encode(), master(auth_password), master(priv_password))


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it stands in the datagram; ``mac_at`` 0: not authenticated."""

    msg_id: bytes
    flags: int
    engine: bytes
    boots: int
    time: int
    user: bytes
    mac_at: int
    salt: bytes
    body: bytes


def read(data: bytes) -> Asked:
    """ValueError or IndexError for what is no SNMPv3 message."""
    at, _ = take(data, 0, 0x30)
    version = take(data, at, 0x02)
    head = take(data, version[1], 0x30)
    msg_id = take(data, head[0], 0x02)
    flags = take(data, take(data, msg_id[1], 0x02)[1], 0x04)
    outer = take(data, head[1], 0x04)
    at, _ = take(data, outer[0], 0x30)
    engine = take(data, at, 0x04)
    boots = take(data, engine[1], 0x02)
    clock = take(data, boots[1], 0x02)
    user = take(data, clock[1], 0x04)
    mac = take(data, user[1], 0x04)
    salt = take(data, mac[1], 0x04)
    private = data[flags[0]] & 2
    body = take(data, outer[1], 0x04) if private else (outer[1], len(data))
    return Asked(
        data[slice(*msg_id)],
        data[flags[0]],
        data[slice(*engine)],
        int.from_bytes(data[slice(*boots)], "big"),
        int.from_bytes(data[slice(*clock)], "big"),
        data[slice(*user)],
        mac[0] if mac[1] - mac[0] == MAC_SIZE else 0,
        data[slice(*salt)],
        data[slice(*body)],
    )


@lru_cache(maxsize=8)
def _head(flags: int) -> bytes:
    return b"\x02\x02\x10\x00" + tlv(0x04, bytes((flags,))) + b"\x02\x01\x03"


class SecureAgents:
    """Answers for every address with an engine id and keys of its own."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._keys: dict[bytes, tuple[bytes, bytes, bytes]] = {}
        self._salts = itertools.count(int.from_bytes(hashlib.sha256(str(time.time_ns()).encode()).digest()[:7], "big"))
        self._bindings: dict[tuple[bytes, bytes], bytes] = {}
        self._period = -1

    def answer(self, address: bytes, values: Values, data: bytes, period: int) -> bytes | None:
        """The answer or report to a datagram for this address; None for what is no SNMPv3 request."""
        try:
            asked = read(data)
            return self._answer(asked, data, address, values, period)
        except (ValueError, IndexError):
            return None

    def keys(self, address: bytes) -> tuple[bytes, bytes, bytes]:
        """Engine id (by address, RFC 3411), authentication key, privacy key."""
        known = self._keys.get(address)
        if known is None:
            engine = b"\x80\x00\x1f\x88\x01" + address
            login = self._login
            auth, priv = (hashlib.sha256(key + engine + key).digest() for key in (login.auth, login.priv))
            known = self._keys[address] = (engine, auth, priv[:16])
        return known

    def _answer(self, asked: Asked, data: bytes, address: bytes, values: Values, period: int) -> bytes:
        engine, auth, priv = self.keys(address)
        login = self._login
        now = int(time.monotonic() - login.booted) + 1
        fault = self._fault(asked, data, engine, auth, now)
        if fault:
            pdu = self._report(fault)
            sealed = fault == _NOT_IN_WINDOW
            return self._message(asked.msg_id, int(sealed), engine, now, _scoped(engine, pdu), auth if sealed else b"")
        mode = CFB(asked.boots.to_bytes(4, "big") + asked.time.to_bytes(4, "big") + asked.salt)
        plain = Cipher(AES(priv), mode).decryptor().update(asked.body)
        pdu = self._get(address, values, plain, period)
        salt = next(self._salts).to_bytes(8, "big")
        mode = CFB(login.boots.to_bytes(4, "big") + now.to_bytes(4, "big") + salt)
        body = tlv(0x04, Cipher(AES(priv), mode).encryptor().update(_scoped(engine, pdu)))
        return self._message(asked.msg_id, 3, engine, now, body, auth, salt)

    def _fault(self, asked: Asked, data: bytes, engine: bytes, auth: bytes, now: int) -> int:
        """Which of RFC 3414's counters a request moves; 0 for a good one."""
        if asked.engine != engine:
            return _UNKNOWN_ENGINE
        if asked.user != self._login.user or asked.flags & 3 != 3:
            return _UNKNOWN_USER
        at = asked.mac_at
        whole = data[:at] + _MAC + data[at + MAC_SIZE :]
        if not hmac.compare_digest(hmac.digest(auth, whole, "sha256")[:MAC_SIZE], data[at : at + MAC_SIZE]):
            return _WRONG_DIGEST
        timely = asked.boots == self._login.boots and abs(asked.time - now) <= WINDOW
        return 0 if timely else _NOT_IN_WINDOW

    def _report(self, counter: int) -> bytes:
        binding = tlv(0x30, object_id(f"{_STATS}.{counter}.0") + number(1, 0x41))
        return tlv(0xA8, b"\x02\x01\x00" * 3 + tlv(0x30, binding))

    def _get(self, address: bytes, values: Values, plain: bytes, period: int) -> bytes:
        """The response PDU; what stands after the request id is made once per device, question and period."""
        at, _ = take(plain, 0, 0x30)
        at = take(plain, take(plain, at, 0x04)[1], 0x04)[1]
        at, end = take(plain, at, 0xA0)
        request_id = take(plain, at, 0x02)
        at = take(plain, take(plain, request_id[1], 0x02)[1], 0x02)[1]
        if period != self._period:
            self._bindings.clear()
            self._period = period
        key = (address, plain[at:end])
        known = self._bindings.get(key)
        if known is None:
            oids = _oids(plain, at)
            pairs = zip(oids, values(oids), strict=True)
            bindings = tlv(0x30, b"".join(tlv(0x30, object_id(oid) + value) for oid, value in pairs))
            known = self._bindings[key] = b"\x02\x01\x00\x02\x01\x00" + bindings
        return tlv(0xA2, tlv(0x02, plain[slice(*request_id)]) + known)

    def _message(
        self, msg_id: bytes, flags: int, engine: bytes, now: int, body: bytes, auth: bytes, salt: bytes = b""
    ) -> bytes:
        login = self._login
        mac = _MAC if auth else _NO_MAC
        security = tlv(0x04, engine) + number(login.boots) + number(now) + tlv(0x04, login.user if auth else b"")
        security = tlv(0x30, security + tlv(0x04, mac) + tlv(0x04, salt))
        head = tlv(0x30, tlv(0x02, msg_id) + _head(flags))
        whole = tlv(0x30, b"\x02\x01\x03" + head + tlv(0x04, security) + body)
        if not auth:
            return whole
        at = len(whole) - len(body) - 2 - len(salt) - MAC_SIZE
        return whole[:at] + hmac.digest(auth, whole, "sha256")[:MAC_SIZE] + whole[at + MAC_SIZE :]


def _scoped(engine: bytes, pdu: bytes) -> bytes:
    return tlv(0x30, tlv(0x04, engine) + b"\x04\x00" + pdu)


def _oids(data: bytes, at: int) -> list[str]:
    at, end = take(data, at, 0x30)
    oids = []
    while at < end:
        start, at = take(data, at, 0x30)
        oids.append(dotted(data[slice(*take(data, start, 0x06))]))
    return oids
