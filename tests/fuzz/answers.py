"""Answers by SNMPv2c, read as a sweep and a walk read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from nms.monitor.snmp.ber import DecodeError, Question, read_community_answer
from nms.monitor.snmp.exchange import CommunityExchange, CommunityPlan, Refused, Sign
from nms.monitor.snmp.layout import Layout
from nms.monitor.snmp.usm import Community
from tests.fuzz import oracle
from tests.fuzz.datagrams import join, mutate, split
from tests.fuzz.harness import Harness
from tests.fuzz.questions import ID, QUESTIONS, answers, compare, varied, wrong_answers
from tests.sim.asn1_bytes import number, tlv

WORD: Final = b"fleet"
NOW: Final = 1000.0


def message(pdu: bytes) -> bytes:
    return tlv(0x30, number(1) + tlv(4, WORD) + pdu)


def seeds() -> Iterator[bytes]:
    for mode in range(len(QUESTIONS)):
        datagrams = [message(pdu) for pdu in answers(mode)]
        yield from (join(mode, [datagram]) for datagram in datagrams)
        yield join(mode, datagrams[:3])
    yield from (join(0, [message(pdu)]) for pdu in wrong_answers())


def check(data: bytes) -> bool:
    """Each datagram by an exchange that remembers the layout of the one before, and by one that knows none."""
    mode, datagrams = split(data)
    question = QUESTIONS[mode % len(QUESTIONS)]
    quick = CommunityExchange(CommunityPlan(Community(WORD), question), ID)
    accepted = False
    for datagram in datagrams:
        strict = CommunityExchange(CommunityPlan(Community(WORD), question), ID)
        said, expected = quick.take(datagram, NOW), strict.take(datagram, NOW)
        assert said == expected, (said, expected)
        assert isinstance(said, tuple | Refused | Sign)
        if isinstance(said, tuple):
            accepted = True
            compare(question, said, oracle.plain(datagram, WORD), ID)
            if strict.hints is not None:
                _vary(question, datagram, strict.hints)
    return accepted


def _vary(question: Question[Any], datagram: bytes, layout: Layout) -> None:
    """The layout of a right answer reads what resembles it as the strict parser does, or not at all."""
    for other in varied(datagram, layout):
        quick, strict = layout.read(other), read_community_answer(other, WORD, question)
        if quick is not None:
            assert not isinstance(strict, DecodeError), "a layout accepts what the parser refuses"
            assert repr(quick) == repr(strict[:2])


HARNESS: Final = Harness("answers", seeds, check, mutate)
