"""Traps and informs of SNMPv3 (RFC 3414 section 3.2): what the fleet's user sent, verified, timely and decrypted.

Of a trap the device's engine is the authority, of an inform ours: whoever wants to inform us asks for our engine's id
and clock first and is told by a report. Holds what it knows of the engines' clocks; no socket, and the clock is passed
in.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Final

from nms.monitor.snmp.asn1 import OCTETS, SEQUENCE, Fault, RefusedError, encode_integer, encode_oid, encode_tlv
from nms.monitor.snmp.ber import REPORT, DecodeError
from nms.monitor.snmp.traps import INFORM, TRAP, Notification, Reply, answered, read_notification
from nms.monitor.snmp.usm import WINDOW, Peer, User, cipher, mac
from nms.monitor.snmp.v3 import (
    AUTH,
    MAX_ENGINE_ID,
    MAX_MESSAGE,
    MIN_ENGINE_ID,
    PRIV,
    REPORTABLE,
    SALT_SIZE,
    Message,
    encode_scoped,
    read_message,
    read_scoped,
)

_EPOCH: Final = datetime(2024, 1, 1, tzinfo=UTC)
_STATS: Final = (1, 3, 6, 1, 6, 3, 15, 1, 1)
_NOT_IN_WINDOW, _UNKNOWN_ENGINE = 2, 4
_COUNTER32: Final = 0x41
_SALTS: Final = (1 << 8 * SALT_SIZE) - 1
_OURS: Final = b"\x80\x00\x1f\x88\x04loa-"
"""An SnmpEngineID of net-snmp's enterprise number with text after it (RFC 3411 5), as long as we have none."""


def hub_engine(name: str) -> bytes:
    """The engine id of the hub called ``name``: always the same, cut to what an engine id may hold."""
    return (_OURS + name.encode())[:MAX_ENGINE_ID]


class SecureTraps:
    """Reads what the fleet's user sends; see ``read``."""

    def __init__(self, user: User, engine_id: bytes, started: datetime, seconds: float) -> None:
        """Our engine began at ``started``, when the clock that never jumps showed ``seconds``.

        Its boots are the seconds from 2024 to its start: they grow from start to start without being kept anywhere.
        """
        boots = max(1, int((started - _EPOCH).total_seconds()))
        self._user = user
        self._flags = (AUTH if user.auth else 0) | (PRIV if user.priv else 0)
        self._ours = Peer(user, engine_id, boots, 0, seconds, proven=True)
        self._peers: dict[bytes, Peer] = {}
        self._salts = count(secrets.randbits(8 * SALT_SIZE))
        self._told = 0

    def read(self, datagram: bytes, seconds: float) -> Notification | Reply | DecodeError:
        """What a datagram says, a report that its sender needs first, or why it is refused."""
        try:
            message = read_message(datagram)
            if message.engine_id == self._ours.engine_id:
                return self._inform(message, datagram, seconds)
            if len(message.engine_id) < MIN_ENGINE_ID:
                return self._introduction(message, seconds)
            return self._trap(message, datagram, seconds)
        except RefusedError as refused:
            return DecodeError(refused.fault, str(refused))

    def _introduction(self, message: Message, seconds: float) -> Reply:
        """Who does not know our engine is told its id and clock, if it asks to be told."""
        if message.flags != REPORTABLE:
            raise RefusedError(Fault.ENGINE, "no engine id")
        return Reply(self._report(message, _UNKNOWN_ENGINE, 0, seconds))

    def _trap(self, message: Message, datagram: bytes, seconds: float) -> Notification:
        """Clocks are kept by engine, not by device: a word of another engine must not make old ones new again."""
        engine_id = message.engine_id
        known = self._peers.get(engine_id) or Peer(self._user, engine_id, message.boots, message.time, seconds)
        self._verify(message, known, datagram)
        if self._user.auth is not None:
            if not known.hear(message.boots, message.time, seconds):
                raise RefusedError(Fault.TIME, "outside the time window")
            self._peers[engine_id] = known
        body = _opened(known, message)
        _, at, end = read_scoped(body)
        if body[at : at + 1] != bytes((TRAP,)):
            raise RefusedError(Fault.PDU, "not a trap")
        return read_notification(body, at, end)

    def _inform(self, message: Message, datagram: bytes, seconds: float) -> Notification | Reply:
        ours = self._ours
        self._verify(message, ours, datagram)
        late = abs(message.time - ours.time(seconds)) > WINDOW or message.boots != ours.boots
        if self._user.auth is not None and late:
            return Reply(self._report(message, _NOT_IN_WINDOW, AUTH, seconds))
        body = _opened(ours, message)
        _, at, end = read_scoped(body)
        if body[at : at + 1] != bytes((INFORM,)):
            raise RefusedError(Fault.PDU, "not an inform")
        answer = self._message(message, self._flags, answered(body, at), seconds)
        return replace(read_notification(body, at, end), answer=answer)

    def _verify(self, message: Message, peer: Peer, datagram: bytes) -> None:
        """The fleet's user at its own level, with the digest that its key makes."""
        if message.user != self._user.name:
            raise RefusedError(Fault.USER, "not the fleet's user")
        if message.flags & (AUTH | PRIV) != self._flags:
            raise RefusedError(Fault.LEVEL, "not the level of the fleet's user")
        if self._user.auth is None:
            return
        stop = message.mac_at + len(message.mac)
        whole = datagram[: message.mac_at] + bytes(len(message.mac)) + datagram[stop:]
        if not hmac.compare_digest(mac(self._user.auth, peer.auth_key, whole), message.mac):
            raise RefusedError(Fault.DIGEST, "wrong digest")

    def _report(self, asked: Message, statistic: int, flags: int, seconds: float) -> bytes:
        self._told += 1
        value = encode_tlv(_COUNTER32, encode_integer(self._told)[2:])
        binding = encode_tlv(SEQUENCE, encode_oid((*_STATS, statistic, 0)) + value)
        pdu = encode_integer(0) + encode_integer(0) + encode_integer(0) + encode_tlv(SEQUENCE, binding)
        body = encode_scoped(self._ours.engine_id, encode_tlv(REPORT, pdu))
        return self._message(asked, flags, body, seconds)

    def _message(self, asked: Message, flags: int, body: bytes, seconds: float) -> bytes:
        """Our engine's message in return for ``asked``, protected as ``flags`` say."""
        ours, user = self._ours, self._user
        time, salt = ours.time(seconds), b""
        if flags & PRIV:
            salt = (next(self._salts) & _SALTS).to_bytes(SALT_SIZE, "big")
            body = encode_tlv(OCTETS, cipher(ours.priv_key, ours.boots, time, salt).encryptor().update(body))
        size = user.auth.mac_size if user.auth is not None and flags & AUTH else 0
        security = encode_tlv(
            SEQUENCE,
            encode_tlv(OCTETS, ours.engine_id)
            + encode_integer(ours.boots)
            + encode_integer(time)
            + encode_tlv(OCTETS, asked.user)
            + encode_tlv(OCTETS, bytes(size))
            + encode_tlv(OCTETS, salt),
        )
        head = encode_integer(asked.msg_id) + encode_integer(MAX_MESSAGE) + encode_tlv(OCTETS, bytes((flags,)))
        whole = encode_tlv(
            SEQUENCE,
            encode_integer(3) + encode_tlv(SEQUENCE, head + encode_integer(3)) + encode_tlv(OCTETS, security) + body,
        )
        if user.auth is None or not size:
            return whole
        stop = len(whole) - len(body) - 2 - len(salt)
        return whole[: stop - size] + mac(user.auth, ours.auth_key, whole) + whole[stop:]


def _opened(peer: Peer, message: Message) -> bytes:
    if not message.salt:
        return message.body
    boots, time, salt, sealed = message.sealed
    return cipher(peer.priv_key, boots, time, salt).decryptor().update(sealed)
