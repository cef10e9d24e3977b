"""Strangers' announcements, kept bounded and never believed; what a fresh device says of itself; exchanged units."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.receiver.announce import Announcer, announce, announcement, device_key, grouped, load
from inventory.model import Device, DeviceId, DeviceKind, UnitId
from nms.provision import exchange, fresh, pending, pki, site
from nms.provision.bench import Place, SshDoor, fingerprint_of
from nms.provision.enrol_faults import CODES, Stopped
from nms.provision.pending import LEAST, MOST, Doorkeeper, named, read, waiting
from nms.provision.site import SiteKind
from nms.provision.values import Facts, Family, Observed
from nms.store import Store
from nms.vault import Secret
from tests.nms.ssh_kit import GOOD, NOT_LET_IN, WHO, Bench, bench, why_not

NOW = datetime(2025, 11, 11, 1, tzinfo=UTC)
KEY = "ab" * 32
HOST = "SHA256:" + "A" * 43
SAID = {"model": "Raspberry Pi 4", "serial": "10000000a1b2c3d4", "address": "192.168.1.7", "host_key": HOST}
DEVICE = Device(DeviceId("23557-L01"), DeviceKind.LOUDSPEAKER, UnitId("23557"), None, "loa-receiver", date(2024, 1, 1))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path}/loa.db") as opened:
        yield opened


def message(**changes: object) -> bytes:
    return json.dumps({**SAID, **changes}).encode()


# --- announcements ----------------------------------------------------------------------------------------------------


def test_what_a_device_announces_is_what_the_hub_reads(tmp_path: Path) -> None:
    for name, text in (
        ("proc/device-tree/model", "Raspberry Pi 4\0"),
        ("sys/class/dmi/id/product_serial", "SN-7\n"),
        ("etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== root@x\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    key = tmp_path / "key.pem"
    fingerprint = device_key(key)
    assert device_key(key) == fingerprint
    assert key.stat().st_mode & 0o777 == 0o600
    announcer = Announcer("192.0.2.1", 8884, tmp_path / "ca.pem", key, root=tmp_path)
    told = json.loads(announcement(announcer))
    assert (told["model"], told["serial"]) == ("Raspberry Pi 4", "SN-7")
    told["address"] = "192.168.1.7"  # the test's own way out may be anything
    found = read(pending.TOPIC + fingerprint, json.dumps(told).encode())
    assert found is not None
    assert found.host_key == fingerprint_of("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== root@x")
    assert pending.plain(grouped(fingerprint)) == fingerprint


def test_an_enrolled_device_announces_itself_no_more(tmp_path: Path) -> None:
    (tmp_path / "receiver.toml").touch()
    announce(Announcer("192.0.2.1", 8884, tmp_path / "none", tmp_path / "key.pem"), threading.Event())


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('ca = "a"\nkey = "k"\n', "hub"),
        ('hub = "h:1"\nca = "a"\nkey = "k"\ncolour = "red"\n', "colour"),
        ('hub = "h"\nca = "a"\nkey = "k"\n', "hub"),
        ('hub = "h:1"\nca = "a"\nkey = "k"\nevery = 0\n', "every"),
        ("hub =", "TOML"),
    ],
)
def test_the_factory_s_settings_are_checked(tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "announce.toml"
    file.write_text(text)
    problems = load(file)
    assert isinstance(problems, tuple)
    assert word in str(problems[0])
    file.write_text('hub = "hub.example:8884"\nca = "ca.pem"\nkey = "key.pem"\n')
    found = load(file)
    assert isinstance(found, Announcer)
    assert (found.host, found.port, found.key) == ("hub.example", 8884, tmp_path / "key.pem")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[" * 100_000,
        b"\xff",
        b'"text"',
        message(model="\x1b[2Jx"),
        message(model="a\u202eb"),
        message(model="x" * 81),
        message(model=7),
        message(serial="SN 1; rm -rf /"),
        message(serial="$(reboot)"),
        message(address="-oProxyCommand=x"),
        message(address="hub.example"),
        message(address="127.0.0.1"),
        message(address="0.0.0.0"),
        message(host_key="SHA256:short"),
        message(more="x"),
        json.dumps({"model": "x"}).encode(),
        message() + b" " * 2000,
    ],
)
def test_what_is_no_announcement_is_none(payload: bytes) -> None:
    assert read(pending.TOPIC + KEY, payload) is None


def test_only_a_fingerprint_is_a_topic() -> None:
    assert read(pending.TOPIC + KEY, message()) is not None
    for topic in ("loa/1/enroll/", pending.TOPIC + KEY.upper(), pending.TOPIC + KEY + "/x", "loa/1/dev/" + KEY):
        assert read(topic, message()) is None
    composed = read(pending.TOPIC + KEY, message(model="Bo\u0323\u0302 thu"))
    assert composed is not None
    assert composed.model == "Bộ thu"


@given(st.binary(max_size=300) | st.dictionaries(st.text(), st.text()).map(lambda d: json.dumps(d).encode()))
def test_nothing_that_comes_breaks_the_reader(payload: bytes) -> None:
    read(pending.TOPIC + KEY, payload)


def test_at_most_so_many_wait_and_who_was_silent_longest_gives_way(store: Store) -> None:
    for number in range(MOST + 5):
        one = read(pending.TOPIC + f"{number:064x}", message())
        assert one is not None
        at = NOW + timedelta(seconds=number)
        store.write_sync(lambda s, one=one, at=at: pending.keep(s, one, at))  # type: ignore[misc]
    found = store.read_sync(lambda s: list(waiting(s)))
    assert len(found) == MOST
    assert found[0].announcement.fingerprint == f"{MOST + 4:064x}"
    assert found[-1].announcement.fingerprint == f"{5:064x}"


def test_who_says_it_again_has_waited_since_the_first_time(store: Store) -> None:
    for seconds, serial in ((0, "SN-1"), (60, "SN-2")):
        one = read(pending.TOPIC + KEY, message(serial=serial))
        assert one is not None
        at = NOW + timedelta(seconds=seconds)
        store.write_sync(lambda s, one=one, at=at: pending.keep(s, one, at))  # type: ignore[misc]
    (found,) = store.read_sync(lambda s: list(waiting(s)))
    assert (found.first, found.last) == (NOW, NOW + timedelta(seconds=60))
    assert found.announcement.serial == "SN-2"


def test_a_device_is_named_by_enough_of_its_fingerprint(store: Store) -> None:
    for key in (KEY, "ab" * 20 + "cd" * 12):
        one = read(pending.TOPIC + key, message())
        assert one is not None
        store.write_sync(lambda s, one=one: pending.keep(s, one, NOW))  # type: ignore[misc]

    def count(text: str) -> int:
        return len(store.read_sync(lambda s: named(s, text)))

    assert count(" ".join(["ABAB"] * 16)) == 1
    assert count(KEY[: LEAST - 1]) == count("%" * LEAST) == count("") == 0
    assert count(KEY[:LEAST]) == 2
    store.write_sync(lambda s: pending.forget(s, KEY))
    assert count(KEY) == 0


async def test_a_flood_is_not_even_read(store: Store) -> None:
    seconds = 0.0
    keeper = Doorkeeper(store, lambda: NOW, lambda: seconds)
    for _ in range(1000):
        keeper.receive(pending.TOPIC + KEY, message())
    assert keeper.dropped >= 1000 - pending.A_SECOND
    seconds = 10.0
    before = keeper.dropped
    keeper.receive(pending.TOPIC + KEY, message())
    assert keeper.dropped == before
    keeper.receive(pending.TOPIC + KEY, b"{}")
    assert keeper.dropped == before + 1


# --- who a device is --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "kind", "host", "odd"),
    [
        ("loa-receiver", "loudspeaker", {"model": "Raspberry Pi 4", "os": "Debian GNU/Linux 12"}, ""),
        ("loa-receiver", "loudspeaker", {}, ""),
        ("loa-receiver", "loudspeaker", {"os": "OpenWrt 23.05"}, "OpenWrt 23.05"),
        ("loa-receiver", "loudspeaker", {"os": "Debian", "model": "Loa board 7"}, "Loa board 7"),
        ("loa-board", "board", {"os": "Debian", "model": "Loa board 7"}, ""),
        ("rutos", "modem", {"model": "RUT956"}, ""),
        ("rutos", "modem", {"model": "GL.iNet GL-X750"}, "GL.iNet GL-X750"),
        ("openwrt", "modem", {"model": "GL.iNet GL-X750", "os": "OpenWrt 23.05.3"}, ""),
        ("apc-ups", "modem", {"model": "anything"}, ""),
    ],
)
def test_a_device_must_be_of_its_family(profile: str, kind: str, host: dict[str, str], odd: str) -> None:
    assert fresh.misfit(replace(DEVICE, profile=profile, kind=DeviceKind(kind)), host) == odd


def test_what_a_device_plays_as_is_in_its_settings() -> None:
    def facts(text: str | None) -> Facts:
        return Facts(DEVICE.id, NOW, {fresh.RECEIVER: Observed("-", text)})

    assert fresh.carried(facts('device = "23557-L02"\n')) == "23557-L02"
    assert fresh.carried(facts("device = ")) == fresh.carried(facts(None)) == fresh.carried(Facts(DEVICE.id, NOW)) == ""


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_the_key_is_made_once_and_asks_with_it_each_time(tmp_path: Path) -> None:
    def asked() -> bytes:
        script = fresh.REQUEST.format(device=DEVICE.id, nonce="n0").replace("/etc/loa-receiver", f"{tmp_path}/p")
        done = subprocess.run(["sh", "-s"], input=script, capture_output=True, text=True, check=True)
        assert fresh.certificate(done.stdout) is None
        return fresh.request(done.stdout)

    first, second = (pki.fingerprint(pki.requested_key(asked())) for _ in range(2))
    assert first == second
    assert (tmp_path / "p/key.pem").stat().st_mode & 0o777 == 0o600
    assert device_key(tmp_path / "p/key.pem") == first
    chain = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    script = fresh.INSTALL.format(chain=chain).replace("/etc/loa-receiver", f"{tmp_path}/p")
    subprocess.run(["sh", "-s"], input=script, text=True, check=True)
    assert (tmp_path / "p/certificate.pem").read_text() == chain


# --- exchanged units --------------------------------------------------------------------------------------------------


def test_an_exchanged_unit_is_known_when_it_comes_back(store: Store) -> None:
    device = replace(DEVICE, serial="SN-1")

    def exchanged(which: str, previous: str, serial: str, days: int) -> None:
        at = NOW + timedelta(days=days)
        document = exchange.document(previous, serial, "", "")
        store.write_sync(lambda s: site.keep_document(s, which, SiteKind.REPLACEMENT, document, "lan", at))

    assert store.read_sync(lambda s: exchange.expected(s, device)) == "SN-1"
    exchanged(device.id, "SN-1", "SN-2", 0)
    assert store.read_sync(lambda s: exchange.expected(s, device)) == "SN-2"
    assert store.read_sync(lambda s: exchange.expected(s, replace(device, serial="SN-2"))) == "SN-2"
    problem = store.read_sync(lambda s: exchange.refused(s, "SN-1"))
    assert problem is not None
    assert (problem.code, problem.fields["day"], problem.fields["device"]) == ("PLN605", "11/11/2025", device.id)
    assert store.read_sync(lambda s: exchange.refused(s, "SN-2")) is None
    # mended, it is somebody's spare
    exchanged("23557-L02", "SN-9", "SN-1", 1)
    assert store.read_sync(lambda s: exchange.refused(s, "SN-1")) is None


# --- the door ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    if reason := why_not():
        pytest.skip(reason)
    with bench(tmp_path_factory.mktemp("bench")) as running:
        yield running


def place(server: Bench, address: str = GOOD, host_key: str = "") -> Place:
    return Place(DEVICE.id, Family.LINUX, address, WHO, host_key or server.host_key)


def door(server: Bench) -> SshDoor:
    return SshDoor(server.folder / "id_ed25519", server.port)


def listing(key: Path) -> str:
    return subprocess.run(["ssh-keygen", "-lf", key], capture_output=True, text=True, check=True).stdout


async def test_the_host_key_is_looked_at_before_anybody_logs_in(server: Bench) -> None:
    shown = await door(server).look(GOOD)
    assert shown.line == server.host_key
    listed = await asyncio.to_thread(listing, server.folder / "host.pub")
    assert shown.fingerprint == listed.split()[1]
    assert "Accepted" not in (server.folder / "sshd.log").read_text()


async def test_scripts_come_over_standard_input(server: Bench) -> None:
    assert await door(server).run(place(server), "printf '%s\\n' \"$0\" 'Buôn Chư Tê'") == "sh\nBuôn Chư Tê\n"


@pytest.mark.parametrize(
    ("address", "script", "code"),
    [(GOOD, "echo no >&2; exit 3", "PLN609"), (NOT_LET_IN, "true", "PLN606"), ("127.77.1.99", "true", "PLN607")],
)
async def test_what_can_go_wrong_at_the_door_has_a_name(server: Bench, address: str, script: str, code: str) -> None:
    with pytest.raises(Stopped) as stop:
        await door(server).run(place(server, address), script)
    assert stop.value.diagnostic.code == code


async def test_a_server_with_another_key_is_told_nothing(server: Bench) -> None:
    stranger = place(server, host_key=server.other_key())
    for told in (door(server).run(stranger, "true"), door(server).admit(stranger, Secret("bí mật"))):
        with pytest.raises(Stopped) as stop:
            await told
        assert stop.value.diagnostic.code == "PLN600"
    with pytest.raises(Stopped) as stop:
        await door(server).admit(place(server), Secret("sai"))  # this server takes no password at all
    assert stop.value.diagnostic.code == "PLN606"
    assert "sai" not in stop.value.diagnostic.text()


def test_every_way_to_end_has_a_page() -> None:
    pages = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
    assert [code for code in CODES if f"## {code} " not in pages] == []
