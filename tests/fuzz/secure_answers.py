"""Answers and reports by SNMPv3, read as a sweep and a walk read them.

Most inputs are sealed by the harness with the agent's keys after they were mutated, so that what lies behind digest and
encryption is reached; the rest comes as a stranger could send it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final

from nms.monitor.snmp.ber import FIRST_ID
from nms.monitor.snmp.exchange import Refused, Sign
from nms.monitor.snmp.secure import UserExchange, UserPlan
from nms.monitor.snmp.usm import WINDOW, Peer
from tests.fuzz import oracle
from tests.fuzz.datagrams import join, mutate, split
from tests.fuzz.harness import Harness
from tests.fuzz.oracle import PEOPLE, Opened, Person
from tests.fuzz.questions import ID, QUESTIONS, answers, compare, pdu, wrong_answers
from tests.sim.asn1_bytes import number, object_id, tlv

NOW: Final = 1000.0
ENGINE, OTHER = b"\x80\x00\x1f\x88\x01\x7f\x01\x02\x03", b"\x80\x00\x1f\x88\x04other"
BOOTS, TIME = 3, 5000
SPOILT: Final = 3
"""Instead of a level: authPriv with wrong digests."""

STEPS: Final = (0, 40, 140, 400)
"""Seconds from one datagram to the next."""

_ID: Final = ID.to_bytes(4, "big")


def message(
    person: Person,
    body: bytes,
    *,
    size: int = 65507,
    flags: int | None = None,
    engine: bytes = ENGINE,
    boots: int = BOOTS,
    time: int = TIME,
) -> bytes:
    """A message whose digest is zeros and whose body stands in the clear: ``oracle.seal`` does the rest."""
    flags = person.flags if flags is None else flags
    salt, mac = (bytes(8) if flags & 2 else b""), bytes(person.mac_size if flags & 1 else 0)
    name = person.user.name if flags & 3 == person.flags else b""
    security = tlv(4, engine) + number(boots) + number(time) + tlv(4, name) + tlv(4, mac) + tlv(4, salt)
    head = tlv(0x30, number(ID) + number(size) + tlv(4, bytes((flags,))) + number(3))
    scoped = tlv(0x30, tlv(4, engine) + tlv(4, b"") + body)
    return tlv(0x30, number(3) + head + tlv(4, tlv(0x30, security)) + (tlv(4, scoped) if flags & 2 else scoped))


def report(counter: int) -> bytes:
    binding = tlv(0x30, object_id(f"1.3.6.1.6.3.15.1.1.{counter}.0") + number(counter, 0x41))
    return pdu([binding], 0xA8)


def seeds() -> Iterator[bytes]:
    for level, person in enumerate(PEOPLE):
        right = [[message(person, body) for body in answers(at)] for at in range(len(QUESTIONS))]
        for at, datagrams in enumerate(right):
            mode = level | at << 2 | 0x10
            yield from (join(mode, [datagram]) for datagram in datagrams[:8])
            yield join(mode | 0x40, datagrams[:3])
            yield join(mode | 0x20, datagrams[:1])
            yield join(mode | 0xC0, datagrams[:1] * 2)
            yield join(mode | SPOILT, datagrams[:2])
        yield from (join(level | 0x10, [message(person, body)]) for body in wrong_answers())
        unknown = message(person, report(4), flags=0)
        late = message(person, report(2), flags=person.flags & 1, boots=4, time=9)
        newer = message(person, next(answers(1)), boots=4, time=9)
        yield join(level | 1 << 2, [unknown, late, newer])
        sizes = [message(person, next(answers(1)), size=size) for size in (1500, 484, 483)]
        yield join(level | 1 << 2 | 0x10, sizes)
        yield join(level | 1 << 2 | 0x10, [message(person, report(4), flags=0, engine=OTHER), late, newer, right[1][1]])
        yield from (join(level | 0x10, [message(person, report(n), flags=0)]) for n in range(1, 7))


def check(data: bytes) -> bool:
    """Twins hear the same datagrams; one forgets the layouts each time."""
    mode, datagrams = split(data)
    person = PEOPLE[(mode & 3) % len(PEOPLE)]
    quick, strict = (_exchange(person, mode) for _ in range(2))
    now, accepted = NOW, False
    for datagram in datagrams:
        for twin in (quick, strict):
            twin.message(now)
        strict.hints, strict.request_id = None, quick.request_id
        heard = datagram.replace(_ID, quick.request_id.to_bytes(4, "big"))
        heard = heard if mode & 0x20 else oracle.seal(heard, person, mode & 3 == SPOILT)
        asked, known = quick.request_id, _clocks(quick, now)
        said, expected = quick.take(heard, now), strict.take(heard, now)
        # what does not even bear our id need not be read to its end to be no answer
        unread = said is Sign.STRAY and isinstance(expected, Refused) and not expected.final
        assert said == expected or unread, (said, expected)
        assert isinstance(said, tuple | Refused | Sign)
        assert _clocks(quick, now) == _clocks(strict, now)
        if isinstance(said, tuple):
            accepted = True
            _believed(said, asked, oracle.opened(heard, person), person, known, QUESTIONS[mode >> 2 & 3])
        now += STEPS[mode >> 6]
    return accepted


def _exchange(person: Person, mode: int) -> UserExchange[Any]:
    plan: UserPlan[Any] = UserPlan(person.user, QUESTIONS[mode >> 2 & 3], itertools.count(5))
    peer = Peer(person.user, ENGINE, BOOTS, TIME, NOW, proven=True) if mode & 0x10 else None
    return UserExchange(plan, ID, peer)


def _clocks(exchange: UserExchange[Any], now: float) -> dict[bytes, tuple[int, int, bool]]:
    """By engine id: boots, the time that a message must have to be timely, whether the engine has proven itself."""
    peers = (exchange.peer,) if exchange.peer is not None else ()
    return {p.engine_id: (p.boots, min(p.time(now) - WINDOW, p.latest + 1), p.proven) for p in peers}


def _believed(
    values: tuple[Any, ...],
    asked: int,
    opened: Opened,
    person: Person,
    known: dict[bytes, tuple[int, int, bool]],
    question: Any,
) -> None:
    """Raises unless the answer is the user's, authentic, timely, and says these values."""
    assert asked >= FIRST_ID
    assert (opened.msg_id, opened.flags & 3) == (asked, person.flags)
    assert opened.context == opened.engine
    compare(question, values, opened.told, asked)
    if person.auth:
        assert opened.authentic
        assert opened.user == person.user.name
        boots, least, proven = known.get(opened.engine, (0, 0, False))
        assert not proven or opened.boots > boots or (opened.boots == boots and opened.time >= least)


HARNESS: Final = Harness("secure_answers", seeds, check, mutate)
