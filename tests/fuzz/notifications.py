"""Traps and informs, through the receiver's own socket: decoded, answered, counted, kept as news."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from inventory.model import DeviceId
from nms.monitor.snmp.ber import DecodeError
from nms.monitor.snmp.secure_traps import SecureTraps, hub_engine
from nms.monitor.snmp.traps import Notification, Reply, decode_notification
from nms.monitor.snmp.usm import WINDOW
from nms.monitor.trapd import Heard, TrapReceiver, _shown
from tests.fuzz import oracle
from tests.fuzz.answers import WORD
from tests.fuzz.answers import message as plain_message
from tests.fuzz.datagrams import join, mutate, split
from tests.fuzz.harness import Harness
from tests.fuzz.oracle import PEOPLE, Opened, Person, Told
from tests.fuzz.questions import NAMES, VALUES, WRONG, binding, pdu
from tests.fuzz.secure_answers import message as secure_message
from tests.sim.asn1_bytes import number, object_id

LOUD: Final = DeviceId("23557-L01")
STARTED: Final = datetime(2024, 10, 1, 10, tzinfo=UTC)
HUB: Final = hub_engine("64")
BOOTS: Final = int((STARTED - datetime(2024, 1, 1, tzinfo=UTC)).total_seconds())
MOST_MORE: Final = 160
"""Bytes that an answer may be longer than what it answers: nobody makes a cannon of us."""

UPTIME: Final = (1, 3, 6, 1, 2, 1, 1, 3, 0)
TRAP_OID: Final = (1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0)
INFORM, TRAP = 0xA6, 0xA7
STEPS: Final = (0.0, 60.0, 149.0, 200.0)
"""Seconds from one datagram to the next."""


def notification(tag: int, more: Iterable[bytes] = (), status: int = 0, index: int = 0) -> bytes:
    kind = binding(TRAP_OID, object_id("1.3.6.1.6.3.1.1.5.3"))
    return pdu([binding(UPTIME, number(4200, 0x43)), kind, *more], tag, status, index)


def seeds() -> Iterator[bytes]:
    values = [binding(NAMES[0], value) for value in VALUES]
    for tag in (INFORM, TRAP):
        plain = [plain_message(notification(tag, [value])) for value in values]
        yield from (join(0, [datagram]) for datagram in plain)
        yield join(0, [plain_message(notification(tag, values)), *plain[:2]])
        yield from (join(0, [plain_message(notification(tag, [binding(NAMES[0], value)]))]) for value in WRONG)
        yield from (join(0, [plain_message(notification(tag, [], *fault))]) for fault in ((1, 0), (0, 1)))
        for level, person in enumerate(PEOPLE, 1):
            engine, boots = (b"\x80\x00\x1f\x88\x04device", 7) if tag == TRAP else (HUB, BOOTS)
            bodies = [notification(tag, values[first : first + 3]) for first in range(0, len(values), 5)]
            told = [secure_message(person, body, engine=engine, boots=boots, time=0) for body in bodies]
            asking = secure_message(person, pdu([], 0xA0), flags=4, engine=b"", boots=0, time=0)
            yield join(level, [told[0]])
            yield from (join(level | bit, [told[0]]) for bit in (0x08, 0x20))
            yield join(level, [asking, *told[1:]])
            yield join(
                level | 0xC0,
                [told[0], secure_message(person, bodies[0], engine=b"\x80\x00\x1f\x88\x04another"), told[0]],
            )
            yield join(level, [secure_message(person, bodies[0], engine=HUB, boots=boots + 1, time=0)])


@dataclass(slots=True)
class Hub:
    """What the receiver did: what was read, woken and kept; ``seconds`` is its decoder's clock."""

    read: Callable[[bytes, float], Notification | Reply | DecodeError]
    seconds: float = 0.0
    told: list[Notification | Reply | DecodeError] = field(default_factory=list)
    woken: int = 0
    news: list[Heard] = field(default_factory=list)
    clocks: dict[bytes, tuple[int, int, float]] = field(default_factory=dict)
    """Of every engine that was believed: boots and time of its newest message, and when that came."""

    def hear(self, datagram: bytes, _: float) -> Notification | Reply | DecodeError:
        self.told.append(self.read(datagram, self.seconds))
        return self.told[-1]

    def wake(self, devices: Iterable[DeviceId]) -> None:
        assert set(devices) == {LOUD}
        self.woken += 1

    def keep(self, news: Sequence[Heard]) -> bool:
        self.news += news
        return True


def _reader(person: Person | None) -> Callable[[bytes, float], Notification | Reply | DecodeError]:
    if person is None:
        return lambda datagram, seconds: decode_notification(datagram, WORD)
    traps = SecureTraps(person.user, HUB, STARTED, 0.0)
    return traps.read


def check(data: bytes) -> bool:
    mode, datagrams = split(data)
    person = (None, *PEOPLE)[mode & 3]
    hub = Hub(_reader(person))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        device.bind(("127.0.0.1", 0))
        device.setblocking(False)
        receiver = TrapReceiver(("127.0.0.1", 0), hub.hear, lambda: STARTED, hub.wake, hub.keep)
        with closing(receiver._socket):
            receiver.allow({"127.0.0.1": LOUD})
            for datagram in datagrams:
                sealed = datagram if person is None or mode & 0x20 else oracle.seal(datagram, person, bool(mode & 8))
                device.sendto(sealed, ("127.0.0.1", receiver.port))
                receiver._slice()
                _judge(hub.told[-1], sealed, _received(device), person)
                if person is not None and isinstance(hub.told[-1], Notification):
                    _timely(oracle.opened(sealed, person), hub)
                hub.seconds += STEPS[mode >> 6]
            receiver._offer()
            counts = receiver.counts
    accepted = sum(isinstance(told, Notification) for told in hub.told)
    assert (counts.received, counts.accepted, hub.woken) == (len(datagrams), accepted, accepted)
    assert sum(heard.count for heard in hub.news) == accepted
    for heard in hub.news:
        kept = json.dumps([_shown(value) for _, value in heard.bindings], ensure_ascii=False).encode()
        assert b"\\u0000" not in kept, "no database keeps this"
    return accepted > 0


def _received(device: socket.socket) -> bytes | None:
    with suppress(BlockingIOError):
        return device.recv(65535)
    return None


def _judge(
    told: Notification | Reply | DecodeError, datagram: bytes, reply: bytes | None, person: Person | None
) -> None:
    """Raises unless what was told and answered is what the oracle reads."""
    if isinstance(told, DecodeError):
        assert reply is None
    elif isinstance(told, Reply):
        assert person is not None
        assert reply == told.datagram
        _reported(datagram, oracle.opened(told.datagram, person), person)
    else:
        assert reply == told.answer
        _told(told, datagram, person)
    assert reply is None or len(reply) <= len(datagram) + MOST_MORE


def _reported(datagram: bytes, report: Opened, person: Person) -> None:
    """Our engine's id goes to whoever asks, its clock to whoever has proven itself."""
    ((counter, count),) = report.told.bindings
    assert (report.told.kind, report.engine, report.context) == ("ReportPDU", HUB, HUB)
    assert isinstance(count, int)
    if counter == (1, 3, 6, 1, 6, 3, 15, 1, 1, 4, 0):
        assert report.flags == 0
        return
    assert counter == (1, 3, 6, 1, 6, 3, 15, 1, 1, 2, 0)
    assert report.authentic
    assert HUB in datagram


def _told(told: Notification, datagram: bytes, person: Person | None) -> None:
    seen = oracle.plain(datagram, WORD) if person is None else _verified(datagram, person).told
    assert (seen.kind, seen.status, seen.index) == (
        "SNMPv2TrapPDU" if told.answer is None else "InformRequestPDU",
        0,
        0,
    )
    assert seen.bindings == ((UPTIME, told.uptime), (TRAP_OID, told.trap), *told.bindings)
    if told.answer is not None:
        answer = oracle.plain(told.answer, WORD) if person is None else _verified(told.answer, person).told
        assert answer == Told("ResponsePDU", seen.request_id, 0, 0, seen.bindings)


def _timely(opened: Opened, hub: Hub) -> None:
    """Raises for what is neither newer than all before nor within the time window (RFC 3414 3.2, 7b)."""
    boots, time, came = hub.clocks.get(opened.engine, (-1, 0, 0.0))
    newer = (opened.boots, opened.time) > (boots, time)
    assert newer or not opened.authentic or opened.time >= time + hub.seconds - came - WINDOW - 1
    assert opened.boots >= boots or not opened.authentic
    if newer and opened.authentic:
        hub.clocks[opened.engine] = opened.boots, opened.time, hub.seconds


def _verified(datagram: bytes, person: Person) -> Opened:
    opened = oracle.opened(datagram, person)
    assert opened.flags & 3 == person.flags
    assert opened.user == person.user.name
    assert opened.authentic or not person.auth
    return opened


HARNESS: Final[Harness] = Harness("notifications", seeds, check, mutate)
