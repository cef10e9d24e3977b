"""pysnmp, hashlib and AES by themselves: what a datagram says according to code that is not ours."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from pyasn1.codec.ber import decoder  # type: ignore[import-untyped]
from pyasn1.type import univ  # type: ignore[import-untyped]
from pysnmp.proto.api import v2c
from pysnmp.proto.mpmod.rfc3412 import ScopedPDU, SNMPv3Message
from pysnmp.proto.secmod.rfc3414.service import UsmSecurityParameters

from nms.monitor.snmp.asn1 import Oid, Value
from nms.monitor.snmp.usm import AuthProtocol, PrivProtocol, User, unprotected_user, user
from tests.sim.asn1_bytes import take

Binding = tuple[Oid, Value]


@dataclass(frozen=True, slots=True)
class Told:
    """A PDU: its class's name in pysnmp, its three integers, its bindings."""

    kind: str
    request_id: int
    status: int
    index: int
    bindings: tuple[Binding, ...]


def _value(value: Any) -> Value:
    if isinstance(value, univ.Null):
        return None
    if isinstance(value, univ.ObjectIdentifier):
        return tuple(value)
    return int(value) if isinstance(value, univ.Integer) else bytes(value)


def _told(pdu: Any) -> Told:
    api = v2c.apiPDU
    bindings = tuple((tuple(name), _value(value)) for name, value in api.get_varbinds(pdu))
    numbers = [int(n) for n in (api.get_request_id(pdu), api.get_error_status(pdu), pdu[2])]
    return Told(type(pdu).__name__, numbers[0], numbers[1], numbers[2], bindings)


def _whole(data: bytes, spec: Any) -> Any:
    found, rest = decoder.decode(data, asn1Spec=spec)
    assert rest == b"", "bytes after the end"
    return found


def plain(datagram: bytes, community: bytes) -> Told:
    """A SNMPv2c message with this community."""
    message = _whole(datagram, v2c.Message())
    assert int(message[0]) == 1
    assert bytes(message[1]) == community
    return _told(v2c.apiMessage.get_pdu(message))


@dataclass(frozen=True, slots=True)
class Person:
    """A user with all that an agent needs to speak to it, derived without our code."""

    user: User
    digest: str = ""
    mac_size: int = 0
    auth: bytes = field(default=b"", repr=False)
    priv: bytes = field(default=b"", repr=False)

    @property
    def flags(self) -> int:
        return bool(self.auth) | 2 * bool(self.priv)

    def keys(self, engine: bytes) -> tuple[bytes, bytes]:
        auth, priv = (hashlib.new(self.digest or "sha1", k + engine + k).digest() for k in (self.auth, self.priv))
        return auth, priv[:16]


def _stretched(digest: str, password: bytes) -> bytes:
    return hashlib.new(digest, (password * (2**20 // len(password) + 1))[: 2**20]).digest()


_AUTH, _PRIV = b"authentic-enough", b"private-enough"
PEOPLE: Final = (
    Person(
        user(b"loa", AuthProtocol.SHA256, _AUTH, PrivProtocol.AES128, _PRIV),
        *("sha256", 24, _stretched("sha256", _AUTH), _stretched("sha256", _PRIV)),
    ),
    Person(user(b"loa", AuthProtocol.SHA1, _AUTH), "sha1", 12, _stretched("sha1", _AUTH)),
    Person(unprotected_user(b"loa")),
)


def _crypt(key: bytes, boots: int, time: int, salt: bytes) -> Cipher[CFB]:
    return Cipher(AES(key), CFB(boots.to_bytes(4, "big") + time.to_bytes(4, "big") + salt))


def seal(data: bytes, person: Person, spoilt: bool = False) -> bytes:
    """The message as an agent that knows the user would send it: what stands in the clear encrypted, the digest right.

    ``spoilt``: but for the last bit of the digest. Whatever is no message, or has no place for a digest or a
    salt, stays as it is.
    """
    try:
        return _sealed(data, person, spoilt)
    except (ValueError, IndexError, OverflowError):
        return data


def _sealed(data: bytes, person: Person, spoilt: bool) -> bytes:
    at, _ = take(data, 0, 0x30)
    head = take(data, take(data, at, 2)[1], 0x30)
    flags = data[take(data, take(data, take(data, head[0], 2)[1], 2)[1], 4)[0]]
    outer = take(data, head[1], 4)
    engine = take(data, take(data, outer[0], 0x30)[0], 4)
    boots = take(data, engine[1], 2)
    time = take(data, boots[1], 2)
    mac = take(data, take(data, time[1], 4)[1], 4)
    salt = take(data, mac[1], 4)
    auth, priv = person.keys(data[slice(*engine)])
    if flags & 2 and person.priv:
        body = take(data, outer[1], 4)
        clock = [int.from_bytes(data[slice(*place)], "big") for place in (boots, time)]
        sealed = _crypt(priv, clock[0], clock[1], data[slice(*salt)]).encryptor().update(data[slice(*body)])
        data = data[: body[0]] + sealed + data[body[1] :]
    if flags & 1 and person.auth and mac[1] - mac[0] == person.mac_size:
        blank = data[: mac[0]] + bytes(person.mac_size) + data[mac[1] :]
        code = hmac.digest(auth, blank, person.digest)[: person.mac_size]
        data = data[: mac[0]] + code[:-1] + bytes((code[-1] ^ spoilt,)) + data[mac[1] :]
    return data


@dataclass(frozen=True, slots=True)
class Opened:
    """A SNMPv3 message; ``authentic``: its digest is there and is the one that the user's key makes."""

    msg_id: int
    flags: int
    engine: bytes
    boots: int
    time: int
    user: bytes
    authentic: bool
    context: bytes
    told: Told


def opened(datagram: bytes, person: Person) -> Opened:
    """A SNMPv3 message verified and decrypted with the user's keys."""
    message = _whole(datagram, SNMPv3Message())
    security = _whole(bytes(message[2]), UsmSecurityParameters())
    boots, time = int(security[1]), int(security[2])
    engine, name, mac, salt = (bytes(security[place]) for place in (0, 3, 4, 5))
    flags = message[1][2].asOctets()[0]
    auth, priv = person.keys(engine)
    authentic = bool(flags & 1) and datagram.count(mac) > 0 and len(mac) == person.mac_size
    if authentic:
        authentic = any(
            hmac.digest(auth, datagram[:at] + bytes(len(mac)) + datagram[at + len(mac) :], person.digest)[: len(mac)]
            == mac
            for at in _all(datagram, mac)
        )
    if flags & 2:
        body = _crypt(priv, boots, time, salt).decryptor().update(bytes(message[3][1]))
        scoped = _whole(body, ScopedPDU())
    else:
        scoped = message[3][0]
    context, pdus = bytes(scoped[0]), scoped[2]
    return Opened(
        *(int(message[1][0]), flags, engine, boots, time, name, authentic, context, _told(pdus.getComponent()))
    )


def _all(data: bytes, piece: bytes) -> list[int]:
    return [at for at in range(len(data)) if data.startswith(piece, at)]
