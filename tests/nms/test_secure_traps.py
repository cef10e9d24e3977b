"""SNMPv3 traps and informs: net-snmp and pysnmp send real ones; the forged, replayed or less protected are refused."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pysnmp.hlapi.v3arch.asyncio import (
    ContextData,
    NotificationType,
    ObjectIdentity,
    SnmpEngine,
    UdpTransportTarget,
    UsmUserData,
    send_notification,
    usmAesCfb128Protocol,
    usmHMAC192SHA256AuthProtocol,
)

from inventory.model import DeviceId
from inventory.overlay import address
from nms.monitor.snmp.asn1 import Fault
from nms.monitor.snmp.ber import DecodeError
from nms.monitor.snmp.secure_traps import SecureTraps, hub_engine
from nms.monitor.snmp.traps import Notification, Reply
from nms.monitor.snmp.usm import AuthProtocol, PrivProtocol, User, unprotected_user, user
from nms.monitor.trapd import Counts, Decoder, Heard, TrapReceiver, decoder

NOW = datetime(2024, 10, 1, 10, tzinfo=UTC)
LOUD = DeviceId("23557-L01")
ENGINE = "80001f8804deadbeef"
COLD_START = (1, 3, 6, 1, 6, 3, 1, 1, 5, 1)
AUTH, PRIV = "authentic-enough", "private-enough"
WAIT = 60.0

SHA256_AES = user(b"hub", AuthProtocol.SHA256, AUTH.encode(), PrivProtocol.AES128, PRIV.encode())
SHA1 = user(b"hub", AuthProtocol.SHA1, AUTH.encode())
PLAIN = unprotected_user(b"hub")
OPTIONS = {
    SHA256_AES: ("-l", "authPriv", "-a", "SHA-256", "-A", AUTH, "-x", "AES", "-X", PRIV),
    SHA1: ("-l", "authNoPriv", "-a", "SHA", "-A", AUTH),
    PLAIN: ("-l", "noAuthNoPriv"),
}
LEVELS = pytest.mark.parametrize("fleet", [SHA256_AES, SHA1, PLAIN], ids=["sha256 aes", "sha1", "unprotected"])


class Ear:
    def __init__(self) -> None:
        self.news: list[Heard] = []
        self.datagrams: list[bytes] = []

    def wake(self, devices: Iterable[DeviceId]) -> None: ...

    def keep(self, news: Sequence[Heard]) -> bool:
        self.news += news
        return True

    def tapping(self, read: Decoder) -> Decoder:
        """Reads as ``read`` does, and keeps the datagrams."""

        def tap(datagram: bytes, seconds: float) -> Notification | Reply | DecodeError:
            self.datagrams.append(datagram)
            return read(datagram, seconds)

        return tap


class Line:
    """A receiver that runs, and what it heard."""

    def __init__(self, fleet: User) -> None:
        self.ear = Ear()
        read = self.ear.tapping(decoder(fleet, "64", NOW))
        self.receiver = TrapReceiver(("127.0.0.1", 0), read, lambda: NOW, self.ear.wake, self.ear.keep)
        self.receiver.allow({address(LOUD, 127): LOUD})
        self.thread = threading.Thread(target=self.receiver.run)
        self.thread.start()

    def close(self) -> None:
        self.receiver.stop()
        self.thread.join()

    def send(self, program: str, options: Sequence[str], name: str = "hub", engine_id: str = ENGINE) -> int:
        source = f"--clientaddr={address(LOUD, 127)}"
        to = ("-r", "0", "-t", "1", source, f"127.0.0.1:{self.receiver.port}", "", ".1.3.6.1.6.3.1.1.5.1")
        engine = ("-e", engine_id) if program == "snmptrap" else ()
        command = [f"/usr/bin/{program}", "-v3", "-u", name, *engine, *options, *to]
        return subprocess.run(command, env={"MIBS": "", "HOME": "/nonexistent"}, timeout=WAIT, check=False).returncode


@pytest.fixture
def lines() -> Iterator[Callable[[User], Line]]:
    opened: list[Line] = []

    def line(fleet: User) -> Line:
        opened.append(Line(fleet))
        return opened[-1]

    yield line
    for one in opened:
        one.close()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@LEVELS
def test_net_snmp_sends_a_trap(fleet: User, lines: Callable[[User], Line]) -> None:
    line = lines(fleet)
    assert line.send("snmptrap", OPTIONS[fleet]) == 0
    until(lambda: line.ear.news)
    assert [(h.device, h.trap) for h in line.ear.news] == [(LOUD, COLD_START)]
    assert line.receiver.counts == Counts(received=1, accepted=1)


@LEVELS
def test_net_snmp_learns_our_engine_and_gets_its_inform_acknowledged(
    fleet: User, lines: Callable[[User], Line]
) -> None:
    line = lines(fleet)
    assert line.send("snmpinform", OPTIONS[fleet]) == 0
    until(lambda: line.ear.news)
    assert [(h.device, h.trap) for h in line.ear.news] == [(LOUD, COLD_START)]
    counts = line.receiver.counts
    assert (counts.accepted, counts.answered, counts.refused) == (1, 1, 0)


async def test_pysnmp_gets_its_inform_acknowledged(lines: Callable[[User], Line]) -> None:
    line, engine = lines(SHA256_AES), SnmpEngine()
    target = await UdpTransportTarget.create(("127.0.0.1", line.receiver.port), timeout=2, retries=1)
    target.set_local_address((address(LOUD, 127), 0))
    who = UsmUserData("hub", AUTH, PRIV, authProtocol=usmHMAC192SHA256AuthProtocol, privProtocol=usmAesCfb128Protocol)
    kind = NotificationType(ObjectIdentity("1.3.6.1.6.3.1.1.5.1"))
    error, status, _, _ = await send_notification(engine, who, target, ContextData(), "inform", kind)
    engine.close_dispatcher()
    assert (error, int(status)) == (None, 0)
    until(lambda: line.ear.news)
    assert line.ear.news[0].trap == COLD_START


@pytest.mark.parametrize("program", ["snmptrap", "snmpinform"])
@pytest.mark.parametrize(
    ("options", "name"),
    [
        pytest.param(OPTIONS[PLAIN], "hub", id="unprotected"),
        pytest.param(("-l", "authNoPriv", "-a", "SHA-256", "-A", AUTH), "hub", id="not encrypted"),
        pytest.param((*OPTIONS[SHA256_AES][:-1], "another-one"), "hub", id="another privacy password"),
        pytest.param((*OPTIONS[SHA256_AES][:5], "another-one", *OPTIONS[SHA256_AES][6:]), "hub", id="another password"),
        pytest.param(OPTIONS[SHA256_AES], "eve", id="another user"),
    ],
)
def test_what_is_not_the_fleets_user_at_its_level_is_refused(
    program: str, options: Sequence[str], name: str, lines: Callable[[User], Line]
) -> None:
    line = lines(SHA256_AES)
    assert (line.send(program, options, name) == 0) == (program == "snmptrap")
    until(lambda: line.receiver.counts.refused)
    assert line.receiver.counts.accepted == 0
    assert line.ear.news == []


@pytest.fixture(scope="module")
def trap() -> bytes:
    """A real encrypted trap as net-snmp sent it."""
    line = Line(SHA256_AES)
    assert line.send("snmptrap", OPTIONS[SHA256_AES]) == 0
    until(lambda: line.ear.datagrams)
    line.close()
    return line.ear.datagrams[0]


def reader() -> SecureTraps:
    return SecureTraps(SHA256_AES, hub_engine("64"), NOW, 0.0)


def test_no_bit_of_a_trap_can_be_changed(trap: bytes) -> None:
    traps = reader()
    for at in range(len(trap)):
        for bit in (0x01, 0x80):
            changed = trap[:at] + bytes((trap[at] ^ bit,)) + trap[at + 1 :]
            assert isinstance(traps.read(changed, 1.0), DecodeError), at
    assert isinstance(traps.read(trap, 1.0), Notification)


def test_a_trap_replayed_later_is_refused(trap: bytes) -> None:
    traps = reader()
    assert isinstance(traps.read(trap, 1.0), Notification)
    assert isinstance(traps.read(trap, 100.0), Notification)
    late = traps.read(trap, 200.0)
    assert isinstance(late, DecodeError)
    assert late.fault is Fault.TIME


def test_a_word_of_another_engine_does_not_make_an_old_trap_new(trap: bytes, lines: Callable[[User], Line]) -> None:
    line = lines(SHA256_AES)
    assert line.send("snmptrap", OPTIONS[SHA256_AES], engine_id=ENGINE + "01") == 0
    until(lambda: line.ear.datagrams)
    traps = reader()
    assert isinstance(traps.read(trap, 1.0), Notification)
    assert isinstance(traps.read(line.ear.datagrams[0], 200.0), Notification)
    late = traps.read(trap, 200.0)
    assert isinstance(late, DecodeError)
    assert late.fault is Fault.TIME


def test_who_does_not_know_our_engine_is_told_only_if_it_asks(trap: bytes, lines: Callable[[User], Line]) -> None:
    line = lines(SHA256_AES)
    assert line.send("snmpinform", OPTIONS[SHA256_AES]) == 0
    until(lambda: line.ear.news)
    discovery = line.ear.datagrams[0]
    told = reader().read(discovery, 5.0)
    assert isinstance(told, Reply)
    assert hub_engine("64") in told.datagram
    at = discovery.index(b"\x04\x01\x04") + 2
    assert isinstance(reader().read(discovery[:at] + b"\x00" + discovery[at + 1 :], 5.0), DecodeError)


def test_an_inform_from_before_our_restart_is_told_the_time(lines: Callable[[User], Line]) -> None:
    line = lines(SHA256_AES)
    assert line.send("snmpinform", OPTIONS[SHA256_AES]) == 0
    until(lambda: line.ear.news)
    inform = line.ear.datagrams[-1]
    restarted = SecureTraps(SHA256_AES, hub_engine("64"), NOW + timedelta(minutes=1), 0.0)
    assert isinstance(restarted.read(inform, 1.0), Reply)


@given(noise=st.binary(max_size=300))
def test_no_datagram_raises(noise: bytes) -> None:
    assert isinstance(reader().read(noise, 1.0), DecodeError)


def test_the_hubs_engine_id_is_one() -> None:
    assert hub_engine("64") == hub_engine("64")
    assert 5 <= len(hub_engine("a very long name of a province, longer than fits")) <= 32
