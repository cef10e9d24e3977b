"""One question to one device by SNMPv3. Pure: no socket, no clock.

An exchange may take several messages: the engine's id is asked for, its clock is learnt. An engine is believed when it
has answered our id with a right digest, never before; what it then is known to have lost (another id, fewer boots) ends
the exchange with a refusal that says so, and the next one asks as usual.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from typing import Any, Final, Generic, TypeVar, cast

from nms.monitor.snmp.asn1 import OCTETS, Fault, Oid, RefusedError, encode_integer, encode_tlv, oid_text
from nms.monitor.snmp.ber import DecodeError, Get, Question, read_answer
from nms.monitor.snmp.exchange import Refused, Sign, fresh_id, refused_answer
from nms.monitor.snmp.layout import Layout, Layouts
from nms.monitor.snmp.usm import MAX_COUNT, WINDOW, Level, Peer, User, cipher
from nms.monitor.snmp.v3 import (
    AUTH,
    LEAST_MESSAGE,
    MIN_ENGINE_ID,
    PRIV,
    REPORTABLE,
    SALT_SIZE,
    Message,
    Shape,
    encode_discovery,
    encode_message,
    encode_scoped,
    is_report,
    read_message,
    read_report,
    read_scoped,
    usm_statistic,
)

V = TypeVar("V")

MAX_STEPS: Final = 5
"""Messages beyond the first that one exchange may take without a timeout: a device cannot keep us busy."""

FRESH: Final = 60.0
"""Seconds for which a request may be sent again as it is: its time is still within the engine's window."""

_NOTHING: Final = Get(())
_UNKNOWN_ENGINE, _NOT_IN_WINDOW = 4, 2
_LEVELS: Final = {0: Level.NO_AUTH, AUTH: Level.AUTH, AUTH | PRIV: Level.AUTH_PRIV}
_SALTS: Final = (1 << 8 * SALT_SIZE) - 1


class UserPlan(Generic[V]):
    """What all exchanges of one question and one user share. ``salts`` must give no number twice."""

    __slots__ = ("_digest", "_salts", "_tail", "flags", "inner", "mac_size", "outer", "question", "user", "zeros")

    def __init__(self, user: User, question: Question[V], salts: Iterator[int]) -> None:
        self.user = user
        self.question = question
        self.outer = Layouts()
        self.inner = Layouts()
        self.flags = (AUTH if user.auth else 0) | (PRIV if user.priv else 0)
        self.mac_size = user.auth.mac_size if user.auth else 0
        self.zeros = bytes(self.mac_size)
        self._digest = user.auth.value if user.auth else ""
        self._salts = salts
        self._tail = encode_tlv(OCTETS, user.name) + encode_tlv(OCTETS, self.zeros)

    def request(self, peer: Peer, request_id: int, time: int) -> bytes:
        """The question for one engine at its ``time``, protected as the user is."""
        body = encode_scoped(peer.engine_id, self.question.pdu(request_id))
        salt = b""
        if self.flags & PRIV:
            salt = (next(self._salts) & _SALTS).to_bytes(SALT_SIZE, "big")
            body = encode_tlv(OCTETS, cipher(peer.priv_key, peer.boots, time, salt).encryptor().update(body))
        clock = encode_integer(peer.boots) + encode_integer(time)
        security = encode_tlv(OCTETS, peer.engine_id) + clock + self._tail + encode_tlv(OCTETS, salt)
        flags = self.flags | REPORTABLE
        head, zeros, tail = encode_message(request_id, flags, security, body, self.mac_size, 2 + len(salt))
        return head + self._mac(peer.auth_key, head + zeros + tail) + tail if zeros else head + tail

    def _mac(self, key: bytes, message: bytes) -> bytes:
        return hmac.digest(key, message, self._digest)[: self.mac_size]

    def authentic(self, peer: Peer, datagram: bytes, mac_at: int, mac: bytes) -> bool:
        """Whether the digest at its place in the datagram is the one that the engine's key makes."""
        whole = datagram[:mac_at] + self.zeros + datagram[mac_at + self.mac_size :]
        return hmac.compare_digest(self._mac(peer.auth_key, whole), mac)

    def opened(self, peer: Peer, boots: int, time: int, salt: bytes, body: bytes) -> bytes:
        return cipher(peer.priv_key, boots, time, salt).decryptor().update(body) if salt else body


class UserExchange(Generic[V]):
    """SNMPv3: asks ``peer``; whom it does not know, or knows no more, it learns first.

    ``peer`` is the engine that is believed; ``_candidate`` one that still has to prove itself.
    """

    __slots__ = (
        "_asked",
        "_candidate",
        "_datagram",
        "_made",
        "_plan",
        "_reason",
        "_steps",
        "hints",
        "learnt",
        "peer",
        "request_id",
    )

    def __init__(
        self, plan: UserPlan[V], request_id: int, peer: Peer | None, hints: tuple[Shape, Layout] | None = None
    ) -> None:
        self._plan = plan
        self.request_id = request_id
        self.peer = peer
        self.hints = hints
        self._candidate: Peer | None = None
        self._datagram = b""
        self._made = 0.0
        self._asked = (0, 0)
        self._reason = ""
        self._steps = 0
        self.learnt = False

    def message(self, now: float) -> bytes:
        if not self._datagram or now - self._made > FRESH:
            peer = self._candidate or self.peer
            if peer is None:
                self._datagram = encode_discovery(self.request_id, _NOTHING.pdu(self.request_id))
            else:
                time = peer.time(now)
                self._asked = (peer.boots, time)
                self._datagram = self._plan.request(peer, self.request_id, time)
            self._made = now
        return self._datagram

    def timed_out(self) -> Refused | None:
        """What could not prove itself is forgotten: an engine that is known is asked as before."""
        tried, plan = self._candidate, self._plan
        if self.peer is not None and tried is not None:
            self._candidate, self._reason, self._datagram = None, "", b""
        return _UNREAD if tried is not None and plan.flags & PRIV else None

    def take(self, datagram: bytes, now: float) -> tuple[V, ...] | Refused | Sign:
        peer, plan = self.peer, self._plan
        if self.hints is None or self._candidate is not None or peer is None:
            return self._take_strictly(datagram, now)
        shape, layout = self.hints
        raw: Any = shape.layout.read(datagram)
        if raw is None:
            return self._take_strictly(datagram, now)
        msg_id, (size, engine_id, boots, time, mac, salt, body) = raw
        if msg_id != self.request_id:
            return Sign.STRAY
        if engine_id != peer.engine_id or size < LEAST_MESSAGE or boots < 0 or time < 0:
            return self._take_strictly(datagram, now)
        if plan.mac_size and not plan.authentic(peer, datagram, shape.mac_at, mac):
            return _FORGED
        plain = plan.opened(peer, boots, time, salt, body)
        inside: Any = layout.read(plain)
        if inside is None or inside[0] != engine_id or inside[1][0] != msg_id:
            return self._take_strictly(datagram, now)
        if plan.mac_size and not peer.hear(boots, time, now):
            return _REPLAYED
        self._datagram = b""
        return cast("tuple[V, ...]", inside[1][1:])

    def _take_strictly(self, datagram: bytes, now: float) -> tuple[V, ...] | Refused | Sign:
        try:
            message = read_message(datagram)
            if message.msg_id != self.request_id:
                return Sign.STRAY
            return self._understand(message, datagram, now)
        except RefusedError as refused:
            return Refused(refused.fault, str(refused))

    def _peer_of(self, message: Message) -> Peer | None:
        known = (self._candidate, self.peer)
        return next((peer for peer in known if peer is not None and peer.engine_id == message.engine_id), None)

    def _understand(self, message: Message, datagram: bytes, now: float) -> tuple[V, ...] | Refused | Sign:
        """Verify, decrypt, then read: nothing of the message is believed in another order."""
        plan, peer = self._plan, self._peer_of(message)
        refused = self._verify(message, peer, datagram)
        if refused is not None:
            return refused
        body = message.body if peer is None else plan.opened(peer, *message.sealed)
        try:
            context, at, end = read_scoped(body)
        except RefusedError as error:
            raise RefusedError(Fault.DECRYPTION if message.salt else error.fault, str(error)) from None
        if is_report(body, at):
            return self._told(message, read_report(body, at, end), now)
        refused = self._accept(message, peer, body[slice(*context)], now)
        if peer is None or refused is not None:
            return refused or Sign.STRAY
        answer = read_answer(body, at, end, plan.question)
        if isinstance(answer, DecodeError):
            return refused_answer(answer, self.request_id)
        if answer[0] != self.request_id:
            return Sign.STRAY
        if plan.question.fixed:
            shape = Shape(plan.outer.of(datagram, message.places), message.mac_at)
            self.hints = (shape, plan.inner.of(body, ((OCTETS, *context), *answer[2])))
        return self._believe(peer, answer[1])

    def _verify(self, message: Message, peer: Peer | None, datagram: bytes) -> Refused | None:
        """Whether the digest that the message's level promises is there and right."""
        plan = self._plan
        if message.flags & (AUTH | PRIV) & ~plan.flags:
            return self._other_level(message)
        if not message.flags & AUTH:
            return None
        if peer is None:
            return Refused(Fault.ENGINE, f"engine {message.engine_id.hex()} was not asked")
        if message.user != plan.user.name:
            return Refused(Fault.USER, "another user's message")
        whole = len(message.mac) == plan.mac_size
        return None if whole and plan.authentic(peer, datagram, message.mac_at, message.mac) else _FORGED

    def _accept(self, message: Message, peer: Peer | None, context: bytes, now: float) -> Refused | None:
        """Whether a response is at the level asked for, of the engine asked, and of this time."""
        if message.flags & (AUTH | PRIV) != self._plan.flags:
            return self._other_level(message)
        if peer is None or context != message.engine_id:
            return Refused(Fault.ENGINE, f"engine {context.hex()} was not asked")
        return _REPLAYED if self._plan.mac_size and not peer.hear(message.boots, message.time, now) else None

    def _other_level(self, message: Message) -> Refused:
        level = _LEVELS[message.flags & (AUTH | PRIV)]
        return Refused(Fault.LEVEL, f"{self._plan.user.level} was asked, {level} answered")

    def _believe(self, peer: Peer, values: tuple[V, ...]) -> tuple[V, ...] | Refused:
        """The answer of an engine that has proven itself; one that had to be learnt anew is named this once."""
        self._datagram = b""
        reason = self._reason if peer is self._candidate else ""
        self.peer, self._candidate, self._reason, self.learnt = peer, None, "", True
        return Refused(Fault.ENGINE, reason, final=True) if reason else values

    # --- reports

    def _told(self, message: Message, counter: Oid, now: float) -> Refused | Sign:
        """A report: the engine's id or clock is learnt from it, anything else is named."""
        authentic, statistic = bool(message.flags & AUTH), usm_statistic(counter)
        if statistic == _UNKNOWN_ENGINE:
            return self._told_engine(message, now)
        if statistic == _NOT_IN_WINDOW and authentic:
            return self._told_clock(message, now)
        fault, text = _REPORTS.get(statistic, (Fault.REPORT, "the device reports {oid}"))
        user = self._plan.user.name.decode("utf-8", "replace")
        return Refused(fault, text.format(oid=oid_text(counter), user=user), authentic)

    def _told_engine(self, message: Message, now: float) -> Refused | Sign:
        """Another id than the one asked is tried, not believed; its boots and time are a guess."""
        told = message.engine_id
        if len(told) < MIN_ENGINE_ID:
            return Refused(Fault.ENGINE, f"an engine id of {len(told)} bytes")
        if self._peer_of(message) is not None:
            return Refused(Fault.ENGINE, f"the device does not know engine {told.hex()}, which it names")
        if self.peer is not None:
            reason = f"the engine id changed from {self.peer.engine_id.hex()} to {told.hex()}"
            return self._try(Peer(self._plan.user, told, message.boots, message.time, now), reason)
        return self._try(Peer(self._plan.user, told, message.boots, message.time, now), "")

    def _told_clock(self, message: Message, now: float) -> Refused | Sign:
        """RFC 3414 3.2 (7b): a clock only goes forward; one that did not is that of an engine that lost its memory."""
        peer = self._peer_of(message)
        asked_boots, asked_time = self._asked
        if peer is None or (message.boots == asked_boots and abs(message.time - asked_time) <= WINDOW):
            return Sign.STRAY
        if message.boots == MAX_COUNT:
            return Refused(
                Fault.TIME, "the engine has counted its last boot: it needs a new id and new keys", final=True
            )
        if peer.corrected(message.boots, message.time, now):
            return self._step()
        what, before, after = "boots", peer.boots, message.boots
        if before == after:
            what, before, after = "time, without a boot,", peer.latest, message.time
        self.request_id = fresh_id()
        known = Peer(self._plan.user, message.engine_id, message.boots, message.time, now)
        return self._try(known, f"the engine's {what} went down from {before} to {after}")

    def _try(self, candidate: Peer, reason: str) -> Refused | Sign:
        self._candidate, self._reason = candidate, reason
        return self._step()

    def _step(self) -> Refused | Sign:
        self._datagram = b""
        self._steps += 1
        if self._steps > MAX_STEPS:
            return Refused(Fault.ENGINE, "the device names one engine after the other", final=True)
        return Sign.AGAIN


_FORGED: Final = Refused(Fault.DIGEST, "the message's digest is wrong: forged, or made with another password")
_REPLAYED: Final = Refused(Fault.TIME, "the message lies outside the time window: old, or repeated by somebody")
# net-snmp does not answer what it cannot decrypt; a lost datagram is named so only if the device stays silent.
_UNREAD: Final = Refused(Fault.DECRYPTION, "no answer once encrypted: wrong privacy password?")
_REPORTS: Final = {
    1: (
        Fault.LEVEL,
        "the device does not offer the user '{user}' the security level asked (usmStatsUnsupportedSecLevels)",
    ),
    2: (Fault.TIME, "the device calls the time wrong, but does not prove who it is (usmStatsNotInTimeWindows)"),
    3: (Fault.USER, "the device does not know the user '{user}' (usmStatsUnknownUserNames)"),
    5: (Fault.KEY, "wrong authentication password for the user '{user}' (usmStatsWrongDigests)"),
    6: (Fault.DECRYPTION, "wrong privacy password for the user '{user}' (usmStatsDecryptionErrors)"),
}
