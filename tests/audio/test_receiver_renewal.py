"""Renewal between the real receiver, the real broker and the hub's own content server, and power cuts in its middle."""

from __future__ import annotations

import http.client
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import dropwhile
from pathlib import Path

import pytest

from audio.documents import DeviceState, decode
from audio.receiver.cache import FetchError, fetch
from audio.receiver.identity import Files, Identity, examine
from audio.receiver.renewal import RenewalError, make_request, renew
from inventory.diagnostics import Diagnostic
from tests.audio.receiver_kit import DEVICE, Kit, Sound, make_sound, until, write_config
from tests.audio.tls_kit import Papers, Site, TlsBroker, context, now

OTHER = "23557-L02"


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers.make(tmp_path)


@pytest.fixture
def broker(papers: Papers) -> Iterator[TlsBroker]:
    broker = TlsBroker(papers)
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    folder = tmp_path_factory.mktemp("library")
    made = make_sound(folder, 1_000, 7)
    place = folder / made.content[:2] / made.content
    place.parent.mkdir()
    made.path.rename(place)
    return Sound(place, made.content, made.duration)


@pytest.fixture
def site(papers: Papers, sound: Sound) -> Iterator[Site]:
    with closing(Site(papers, sound.path.parents[1])) as site:
        yield site


class Device:
    """One receiver process whose certificate is in its last third."""

    def __init__(self, folder: Path, files: Files, broker: TlsBroker, site: Site) -> None:
        kit = Kit(lambda: int(time.time() * 1000))
        paths = {"ca": str(files.ca), "certificate": str(files.certificate), "key": str(files.key)}
        address = f"127.0.0.1:{broker.port}"
        self._config = write_config(folder, kit, broker=address, content=site.base, output="null", **paths)
        self._log = folder / "log"
        self.renewed = folder / "state" / "identity.pem"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "audio.receiver", "--config", str(self._config), "--die-with-parent"]
            self._process = subprocess.Popen(command, stderr=log)

    def end(self, number: int) -> int:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.wait(60)

    @property
    def log(self) -> str:
        return self._log.read_text()


@pytest.fixture
def device(papers: Papers, broker: TlsBroker, site: Site, tmp_path: Path) -> Iterator[Device]:
    folder = tmp_path / "device"
    device = Device(folder, papers.aged(DEVICE, timedelta(days=20), folder), broker, site)
    yield device
    device.end(signal.SIGKILL)


def serials(papers: Papers) -> list[str]:
    return [entry.serial for entry in papers.authority.entries() if entry.name == DEVICE]


def test_the_receiver_renews_its_certificate_and_comes_back_with_it(
    papers: Papers, broker: TlsBroker, device: Device
) -> None:
    with closing(broker.client(papers.hub)) as hub:
        hub.hear(f"loa/1/dev/{DEVICE}/state")
        device.start()
        until(lambda: device.renewed.exists(), 60)
        old, new = serials(papers)
        until(lambda: f"as {DEVICE}-{new}" in broker.log, 60)
        until(lambda: hub.told, 60)
        assert device.end(signal.SIGTERM) == 0
        states = [decode(DeviceState, payload) for _, payload in hub.told if payload]
    pair = Files(papers.root, device.renewed, device.renewed)
    assert examine(pair).serial == new != old
    assert f"as {DEVICE}-{new}" in broker.log
    # the old session ended with a goodbye: nobody was told that the device was lost. A last will is as old as its
    # session; at the end the broker may say it after the goodbye, where it had something to send as the line was cut
    gone = list(dropwhile(lambda state: state.online, states))
    assert not any(state.online for state in gone), states
    assert not gone or gone[0].at == max(state.at for state in states), states
    assert "Traceback" not in device.log
    assert len(serials(papers)) == 2


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_power_cut_during_renewal_costs_nothing(
    papers: Papers, broker: TlsBroker, site: Site, device: Device, moment: str
) -> None:
    gate = getattr(site, moment)
    gate.clear()
    device.start()
    until(lambda: site.asked and (moment == "before" or len(serials(papers)) == 2), 60)
    device.end(signal.SIGKILL)
    assert not device.renewed.exists()
    gate.set()
    device.start()
    until(lambda: device.renewed.exists(), 60)
    assert examine(Files(papers.root, device.renewed, device.renewed)).serial in serials(papers)
    device.end(signal.SIGKILL)
    sessions = broker.log.count("New client connected")
    device.start()
    until(lambda: broker.log.count("New client connected") > sessions, 60)
    assert device.end(signal.SIGTERM) == 0
    assert "Traceback" not in device.log


def identity(papers: Papers, device: str, folder: Path) -> Identity:
    return Identity(device, papers.enrol(device, folder), folder, lambda: True)


def test_a_sound_comes_over_tls(papers: Papers, site: Site, sound: Sound, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    fetch(site.base, sound.content, folder, identity(papers, DEVICE, folder))
    assert (folder / sound.content).read_bytes() == sound.data


def test_whoever_asks_is_certified_as_himself(papers: Papers, site: Site, tmp_path: Path) -> None:
    mine = identity(papers, OTHER, tmp_path / "d")
    connection = http.client.HTTPSConnection("127.0.0.1", site.port, timeout=60, context=mine.context())
    with closing(connection):
        connection.request("POST", "/renew", make_request(DEVICE)[1])
        assert b"BEGIN CERTIFICATE" in connection.getresponse().read()
        connection.request("POST", "/renew", b"give me one")
        refused = connection.getresponse()
        assert (refused.status, refused.read()[:6]) == (403, b"ENV052")
        connection.request("GET", "/renew")
        assert connection.getresponse().status == 405
    assert [e.name for e in papers.authority.entries()][-2:] == [OTHER, OTHER]


def test_who_is_revoked_while_he_asks_gets_nothing(papers: Papers, site: Site, tmp_path: Path) -> None:
    """A stolen device that keeps a request half sent must not finish it after it was revoked."""
    mine, request = identity(papers, DEVICE, tmp_path / "d"), make_request(DEVICE)[1]
    connection = http.client.HTTPSConnection("127.0.0.1", site.port, timeout=60, context=mine.context())
    with closing(connection):
        connection.putrequest("POST", "/renew")
        connection.putheader("Content-Length", str(len(request)))
        connection.endheaders(request[:10])
        until(lambda: site.asked == 1, 60)
        assert not isinstance(papers.authority.revoke(DEVICE, now()), Diagnostic)
        connection.send(request[10:])
        assert connection.getresponse().status == 403
    assert all(e.revoked for e in papers.authority.entries() if e.name == DEVICE)


def test_without_a_certificate_nobody_comes_in(papers: Papers, site: Site, sound: Sound) -> None:
    tls = context(None, papers.root)
    connection = http.client.HTTPSConnection("127.0.0.1", site.port, timeout=60, context=tls)
    with closing(connection), pytest.raises((ssl.SSLError, ConnectionError)):
        get(connection, sound)
    assert site.asked == 0


def get(connection: http.client.HTTPSConnection, sound: Sound) -> None:
    connection.request("GET", f"/content/{sound.content}")
    connection.getresponse()


def test_who_is_revoked_is_refused_on_an_open_connection_as_well(
    papers: Papers, site: Site, sound: Sound, tmp_path: Path
) -> None:
    mine, kept = identity(papers, DEVICE, tmp_path / "d"), identity(papers, OTHER, tmp_path / "e")
    connection = http.client.HTTPSConnection("127.0.0.1", site.port, timeout=60, context=mine.context())
    with closing(connection):
        connection.request("HEAD", f"/content/{sound.content}")
        first = connection.getresponse()
        first.read()
        assert first.status == 200
        assert not isinstance(papers.authority.revoke(DEVICE, now()), Diagnostic)
        connection.request("HEAD", f"/content/{sound.content}")
        assert connection.getresponse().status == 403
    with pytest.raises(FetchError, match="403"):
        fetch(site.base, sound.content, tmp_path / "d", mine)
    with pytest.raises(RenewalError, match="403"):
        renew(mine, site.base)
    renew(kept, site.base)
    # a list that cannot be read lets nobody in
    (papers.authority.broker / "crl.pem").write_bytes(b"")
    with pytest.raises(FetchError, match="403"):
        fetch(site.base, sound.content, tmp_path / "e", kept)
