"""Traps and informs: net-snmp and pysnmp send real ones, strangers and nonsense are dropped, a storm stays outside."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pysnmp.hlapi.v3arch.asyncio import (
    CommunityData,
    ContextData,
    NotificationType,
    ObjectIdentity,
    OctetString,
    SnmpEngine,
    UdpTransportTarget,
    send_notification,
)

from inventory.model import Device, DeviceId, DeviceKind, Network, Tier, Unit, UnitId, UnitType
from inventory.overlay import address
from nms.journal import EventKind, recent
from nms.monitor.snmp.asn1 import Fault, encode_integer, encode_oid, encode_tlv
from nms.monitor.snmp.ber import DecodeError
from nms.monitor.snmp.traps import INFORM, MAX_BINDINGS, TRAP, Notification, decode_notification
from nms.monitor.snmp.usm import Community
from nms.monitor.trapd import (
    DEVICE_DECODES,
    HOLD,
    KINDS,
    SLICE,
    Counts,
    Heard,
    News,
    TrapBook,
    TrapReceiver,
    cannot_listen,
    decoder,
    sources,
)
from nms.store import Store

NOW = datetime(2024, 10, 1, 10, tzinfo=UTC)
LOUD, MODEM = DeviceId("23557-L01"), DeviceId("23557-M01")
COLD_START = (1, 3, 6, 1, 6, 3, 1, 1, 5, 1)
LINK_DOWN = (1, 3, 6, 1, 6, 3, 1, 1, 5, 3)
SYS_NAME = (1, 3, 6, 1, 2, 1, 1, 5, 0)
UPTIME, TRAP_OID = (1, 3, 6, 1, 2, 1, 1, 3, 0), (1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0)
WAIT = 60.0
PLAIN = decoder(Community(b"loa"), "64", NOW)


def binding(oid: tuple[int, ...], value: bytes) -> bytes:
    return encode_tlv(0x30, encode_oid(oid) + value)


def datagram(
    *more: bytes,
    trap: tuple[int, ...] = COLD_START,
    tag: int = TRAP,
    name: bytes = b"loa",
    version: int = 1,
    status: int = 0,
    head: bytes | None = None,
) -> bytes:
    first = head if head is not None else binding(UPTIME, b"\x43\x01\x2a") + binding(TRAP_OID, encode_oid(trap))
    numbers = encode_integer(77) + encode_integer(status) + encode_integer(0)
    pdu = encode_tlv(tag, numbers + encode_tlv(0x30, first + b"".join(more)))
    return encode_tlv(0x30, encode_integer(version) + encode_tlv(0x04, name) + pdu)


# --- reading


def test_a_trap_is_read_whole() -> None:
    told = decode_notification(datagram(binding(SYS_NAME, b"\x04\x03abc"), trap=LINK_DOWN), b"loa")
    assert told == Notification(LINK_DOWN, 42, ((SYS_NAME, b"abc"),))


def test_an_inform_is_answered_with_its_own_bindings() -> None:
    sent = datagram(binding(SYS_NAME, b"\x04\x03abc"), tag=INFORM)
    told = decode_notification(sent, b"loa")
    assert isinstance(told, Notification)
    assert told.answer is not None
    assert [n for n, (a, b) in enumerate(zip(sent, told.answer, strict=True)) if a != b] == [sent.index(INFORM)]


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        pytest.param(datagram(name=b"public"), Fault.COMMUNITY, id="another community"),
        pytest.param(datagram(version=0), Fault.VERSION, id="SNMPv1"),
        pytest.param(datagram(version=3), Fault.VERSION, id="SNMPv3"),
        pytest.param(datagram(tag=0xA2), Fault.PDU, id="a response"),
        pytest.param(datagram(tag=0xA3), Fault.PDU, id="a SET"),
        pytest.param(datagram(status=5), Fault.PDU, id="an error"),
        pytest.param(datagram(head=b""), Fault.BINDINGS, id="no bindings"),
        pytest.param(datagram(head=binding(UPTIME, b"\x43\x01\x2a")), Fault.BINDINGS, id="no trap"),
        pytest.param(
            datagram(head=binding(UPTIME, b"\x02\x01\x2a") + binding(TRAP_OID, encode_oid(COLD_START))),
            Fault.BINDINGS,
            id="uptime that is none",
        ),
        pytest.param(
            datagram(head=binding(TRAP_OID, encode_oid(COLD_START)) + binding(UPTIME, b"\x43\x01\x2a")),
            Fault.BINDINGS,
            id="the wrong order",
        ),
        pytest.param(
            datagram(head=binding(UPTIME, b"\x43\x01\x2a") + binding(TRAP_OID, b"\x04\x01a")),
            Fault.BINDINGS,
            id="a trap that is no OID",
        ),
        pytest.param(datagram(binding(SYS_NAME, b"\x05\x00")), Fault.VALUE, id="NULL"),
        pytest.param(datagram(binding(SYS_NAME, b"\x04\x01ab")), Fault.BINDINGS, id="bytes after a value"),
        pytest.param(datagram(*[binding(SYS_NAME, b"\x04\x00")] * MAX_BINDINGS), Fault.BINDINGS, id="too many"),
        pytest.param(datagram() + b"\x00", Fault.MALFORMED, id="bytes after the end"),
        pytest.param(b"", Fault.MALFORMED, id="nothing"),
        pytest.param(encode_tlv(0x30, encode_integer(1) + encode_tlv(0x04, b"loa")), Fault.PDU, id="no pdu"),
    ],
)
def test_what_is_odd_is_refused(sent: bytes, fault: Fault) -> None:
    refused = decode_notification(sent, b"loa")
    assert isinstance(refused, DecodeError)
    assert refused.fault is fault


@given(st.data())
def test_no_byte_can_be_changed_into_an_exception(data: st.DataObject) -> None:
    whole = bytearray(datagram(binding(SYS_NAME, b"\x04\x03abc"), tag=data.draw(st.sampled_from([TRAP, INFORM]))))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    assert isinstance(decode_notification(cut, b"loa"), Notification | DecodeError)
    assert isinstance(decode_notification(bytes(whole), b"loa"), Notification | DecodeError)


@given(st.binary(max_size=200))
def test_no_datagram_raises(noise: bytes) -> None:
    assert isinstance(decode_notification(noise, b"loa"), DecodeError)


# --- news


def told(trap: tuple[int, ...] = COLD_START, name: bytes = b"") -> Notification:
    return Notification(trap, 42, ((SYS_NAME, name),))


def test_what_a_device_repeats_is_one_piece_of_news() -> None:
    news = News()
    news.add(LOUD, told(name=b"first"), NOW)
    news.add(LOUD, told(name=b"last"), NOW.replace(minute=1))
    news.add(LOUD, told(LINK_DOWN), NOW)
    news.add(MODEM, told(), NOW)
    ready = news.ready(0.0)
    assert [(h.device, h.trap, h.count) for h in ready] == [
        (LOUD, COLD_START, 2),
        (LOUD, LINK_DOWN, 1),
        (MODEM, COLD_START, 1),
    ]
    assert (ready[0].at, ready[0].bindings) == (NOW, ((SYS_NAME, b"last"),))


def test_a_devices_next_news_waits_and_keeps_its_count() -> None:
    news = News()
    news.add(LOUD, told(), NOW)
    news.kept(news.ready(5.0), 5.0)
    assert news.ready(5.0) == []
    for _ in range(1000):
        news.add(LOUD, told(), NOW)
    assert news.ready(5.0 + HOLD - 0.1) == []
    assert [h.count for h in news.ready(5.0 + HOLD)] == [1000]


def test_news_is_bounded_whatever_a_device_makes_up() -> None:
    news = News()
    for number in range(10_000):
        news.add(LOUD, told((1, 3, 6, 1, 4, 1, number)), NOW)
    ready = news.ready(0.0)
    assert len(ready) == KINDS
    assert sum(h.count for h in ready) == 10_000
    news.keep_only({MODEM})
    assert news.ready(0.0) == []


# --- receiving


class Ear:
    """What a receiver passes on; it takes news only while ``taking``."""

    def __init__(self) -> None:
        self.woken: list[DeviceId] = []
        self.news: list[Heard] = []
        self.offered = 0
        self.taking = True

    def wake(self, devices: Iterable[DeviceId]) -> None:
        self.woken += devices

    def keep(self, news: Sequence[Heard]) -> bool:
        self.offered += 1
        if self.taking:
            self.news += news
        return self.taking


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def receiver(ear: Ear) -> Iterator[TrapReceiver]:
    receiver = TrapReceiver(("127.0.0.1", 0), PLAIN, lambda: NOW, ear.wake, ear.keep)
    receiver.allow({address(d, 127): d for d in (LOUD, MODEM)})
    thread = threading.Thread(target=receiver.run)
    thread.start()
    yield receiver
    receiver.stop()
    thread.join()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def net_snmp(
    program: str, receiver: TrapReceiver, *arguments: str, device: str = LOUD, more: Sequence[str] = ()
) -> int:
    source = f"--clientaddr={address(DeviceId(device), 127)}"
    to = f"127.0.0.1:{receiver.port}"
    command = [f"/usr/bin/{program}", "-v2c", "-c", "loa", "-r", "1", "-t", "2", source, *more, to, *arguments]
    return subprocess.run(command, env={"MIBS": "", "PATH": "/usr/bin"}, timeout=WAIT, check=False).returncode


def test_net_snmp_sends_a_trap(receiver: TrapReceiver, ear: Ear) -> None:
    oid = ".1.3.6.1.6.3.1.1.5.3"
    assert net_snmp("snmptrap", receiver, "4711", oid, ".1.3.6.1.2.1.1.5.0", "s", "loa kéo") == 0
    until(lambda: ear.news)
    (heard,) = ear.news
    assert (heard.device, heard.trap, heard.count, heard.at) == (LOUD, LINK_DOWN, 1, NOW)
    assert heard.bindings == ((SYS_NAME, "loa kéo".encode()),)
    assert ear.woken == [LOUD]
    assert receiver.counts == Counts(received=1, accepted=1)


def test_net_snmp_gets_its_inform_acknowledged(receiver: TrapReceiver, ear: Ear) -> None:
    assert net_snmp("snmpinform", receiver, "", ".1.3.6.1.6.3.1.1.5.1", device=MODEM) == 0
    until(lambda: ear.news)
    assert [(h.device, h.trap) for h in ear.news] == [(MODEM, COLD_START)]
    assert receiver.counts == Counts(received=1, accepted=1, answered=1)


def test_an_inform_with_another_community_stays_unanswered(receiver: TrapReceiver, ear: Ear) -> None:
    assert net_snmp("snmpinform", receiver, "", ".1.3.6.1.6.3.1.1.5.1", more=["-c", "wrong", "-t", "1", "-r", "0"]) != 0
    until(lambda: receiver.counts.received)
    assert (receiver.counts, ear.news, ear.woken) == (Counts(received=1, refused=1), [], [])


async def test_pysnmp_gets_its_inform_acknowledged(receiver: TrapReceiver, ear: Ear) -> None:
    engine = SnmpEngine()
    target = await UdpTransportTarget.create(("127.0.0.1", receiver.port), timeout=2, retries=1)
    target.set_local_address((address(LOUD, 127), 0))
    name = (ObjectIdentity(SYS_NAME), OctetString(b"loa"))
    kind = NotificationType(ObjectIdentity("1.3.6.1.6.3.1.1.5.1")).add_varbinds(name)
    error, status, _, _ = await send_notification(engine, CommunityData("loa"), target, ContextData(), "inform", kind)
    engine.close_dispatcher()
    assert (error, int(status)) == (None, 0)
    until(lambda: ear.news)
    assert [(h.device, h.trap) for h in ear.news] == [(LOUD, COLD_START)]
    assert (SYS_NAME, b"loa") in ear.news[0].bindings


def speak(source: str, port: int, datagrams: Iterable[bytes]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        for one in datagrams:
            sock.sendto(one, ("127.0.0.1", port))


def test_strangers_and_nonsense_are_counted_and_dropped(receiver: TrapReceiver, ear: Ear) -> None:
    speak("127.0.0.1", receiver.port, [datagram()])
    speak(address(LOUD, 127), receiver.port, [b"\x30\x03abc"])
    until(lambda: receiver.counts.received == 2)
    speak(address(MODEM, 127), receiver.port, [datagram()])
    until(lambda: ear.news)
    assert receiver.counts == Counts(received=3, accepted=1, unknown=1, refused=1)
    assert [h.device for h in ear.news] == [MODEM]


def test_a_reload_changes_who_is_heard(receiver: TrapReceiver, ear: Ear) -> None:
    receiver.allow({address(MODEM, 127): MODEM})
    speak(address(LOUD, 127), receiver.port, [datagram()])
    until(lambda: receiver.counts.received)
    assert receiver.counts == Counts(received=1, unknown=1)


def test_news_that_was_not_kept_is_offered_again_with_what_came_meanwhile(receiver: TrapReceiver, ear: Ear) -> None:
    ear.taking = False
    speak(address(LOUD, 127), receiver.port, [datagram()])
    until(lambda: ear.offered)
    speak(address(LOUD, 127), receiver.port, [datagram()])
    until(lambda: receiver.counts.accepted == 2)
    ear.taking = True
    until(lambda: ear.news)
    assert [(h.device, h.count) for h in ear.news] == [(LOUD, 2)]


def test_a_storm_of_one_device_is_bounded_and_covers_nobody(receiver: TrapReceiver, ear: Ear) -> None:
    began = time.monotonic()
    storm = threading.Thread(target=speak, args=(address(LOUD, 127), receiver.port, [datagram()] * 2000))
    storm.start()
    until(lambda: receiver.counts.received > 100)
    speak(address(MODEM, 127), receiver.port, [datagram(trap=LINK_DOWN)] * 3)
    storm.join()
    until(lambda: any(h.device == MODEM for h in ear.news))
    until(lambda: receiver.counts.received >= 250)
    slices = (time.monotonic() - began) / SLICE + 2
    assert receiver.counts.accepted <= DEVICE_DECODES * 2 * slices
    assert receiver.counts.limited > 0
    assert {h.device for h in ear.news} == {LOUD, MODEM}


def test_a_port_that_is_taken_is_told_and_ends_nothing(receiver: TrapReceiver, ear: Ear) -> None:
    bind = ("127.0.0.1", receiver.port)
    with pytest.raises(OSError, match="in use") as taken:
        TrapReceiver(bind, PLAIN, lambda: NOW, ear.wake, ear.keep)
    found = cannot_listen(bind, taken.value)
    assert (found.code, found.fields["port"]) == ("MON040", str(receiver.port))


def test_only_what_is_polled_may_be_heard() -> None:
    def device(name: str, since: int = 2024, connected: bool = True) -> Device:
        return Device(
            *(DeviceId(name), DeviceKind.LOUDSPEAKER, UnitId("23557"), None, "loa-receiver", date(since, 1, 1)),
            connected=connected,
        )

    ward = Unit(UnitId("23557"), "23557", "Phường Yên Đỗ", Tier.COMMUNE, UnitType.WARD, None)
    devices = [device("23557-L01"), device("23557-L02", since=2025), device("23557-B01", connected=False)]
    network = Network(ward.id, "Gia Lai", None, "10", {ward.id: ward}, {}, {}, {d.id: d for d in devices})
    assert sources(network, date(2024, 10, 1), 10) == {address(LOUD, 10): LOUD}


# --- keeping


def test_news_becomes_events(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/loa.db")
    book = TrapBook(store)
    values = ((SYS_NAME, "loa kéo".encode()), (UPTIME, b"\x00\xff"), (TRAP_OID, COLD_START), (LINK_DOWN, 7))
    assert book.keep([Heard(LOUD, NOW, LINK_DOWN, 3, values), Heard(MODEM, NOW, COLD_START, 1, ())])
    with_values = store.read_sync(lambda s: recent(s, 10, LOUD))[0]
    assert (with_values.kind, with_values.at, with_values.subject) == (EventKind.DEVICE_TRAP, NOW, LOUD)
    assert with_values.data == {
        "trap": "1.3.6.1.6.3.1.1.5.3",
        "count": 3,
        "values": {
            "1.3.6.1.2.1.1.5.0": "loa kéo",
            "1.3.6.1.2.1.1.3.0": "00ff",
            "1.3.6.1.6.3.1.1.4.1.0": "1.3.6.1.6.3.1.1.5.1",
            "1.3.6.1.6.3.1.1.5.3": 7,
        },
    }
    store.close()
    assert not book.keep([Heard(LOUD, NOW, LINK_DOWN, 1, ())])
