"""Hub, broker and receivers with certificates: a programme through TLS from end to end, and who is refused."""

from __future__ import annotations

import getpass
import http.client
import json
import shutil
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from audio.receiver.renewal import make_request
from inventory.model import DeviceId
from nms.provision import acl, pki
from nms.provision.authority import Authority
from tests.e2e.kit import approve, as_run, check_heard, check_silence, melody, push, until, wait_played
from tests.sim.world import Broken, World, free_ports

pytestmark = pytest.mark.slow

BEGIN = "2024-10-01T16:59:48+07:00"
FRESH, AGED = "23557-L01", "23557-L02"


class SecureWorld(World):
    """A world in which nobody speaks without a certificate."""

    def prepare(self) -> None:
        super().prepare()
        hub = {"name": "hub.example", "endpoint": "hub.example:51820", "public_key": "A" * 43 + "="}
        network = self.inventory / "network.yaml"
        if "\nhub:" not in network.read_text():
            network.write_text(f"{network.read_text()}\nhub: {json.dumps(hub)}\n")
        self.loa("pki", "init", extra={"LOA_ROOT_PASSPHRASE": self.passphrase})
        self.loa("pki", "hub")

    @property
    def state(self) -> Path:
        return self.folder / "hub"

    def start_broker(self) -> None:
        folder = self.state / "broker"
        text = acl.configuration(folder, self.mqtt_port, free_ports(1)[0])
        config = folder / acl.CONFIGURATION
        config.write_text(f"{text}\nuser {getpass.getuser()}\nlog_dest stderr\n")
        self.spawn("broker", [str(shutil.which("mosquitto", path=self.environment["PATH"])), "-c", str(config)])
        self.wait("broker", lambda: self._listens(self.mqtt_port), 60)

    def _listens(self, port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def _enrol(self, device: DeviceId) -> Path:
        config = super()._enrol(device)
        folder = config.parent
        if not (folder / "device.pem").exists():
            (folder / "ca.pem").write_bytes((self.state / "pki" / "root.pem").read_bytes())
            self._certify(device, folder)
            more = {"ca": "ca.pem", "certificate": "device.pem", "key": "device.key"}
            text = config.read_text().replace(f"http://127.0.0.1:{self.content_port}", self.content)
            config.write_text(text + "".join(f"{k} = {json.dumps(v)}\n" for k, v in more.items()))
        return config

    def _certify(self, device: DeviceId, folder: Path) -> None:
        """By the verb; the one in its last third by the authority itself."""
        if device == AGED:
            authority = Authority.open(self.state)
            assert isinstance(authority, Authority)
            key = pki.new_key()
            past = datetime.now(UTC) - timedelta(days=61)
            given = authority._record(pki.client(authority._issuer, key.public_key(), device, past))
            (folder / "device.key").write_bytes(pki.key_pem(key))
            (folder / "device.pem").write_bytes(given.chain)
            return
        private, request = make_request(device)
        (folder / "device.csr").write_bytes(request)
        (folder / "device.key").write_bytes(private)
        chain = self.loa("pki", "issue", device, "--csr", str(folder / "device.csr"))
        (folder / "device.pem").write_text(chain)

    @property
    def content(self) -> str:
        return f"https://127.0.0.1:{self.content_port}"

    def context(self, device: str = "") -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.load_verify_locations(self.state / "pki" / "root.pem")
        if device:
            folder = self.folder / "receivers" / device
            made.load_cert_chain(folder / "device.pem", folder / "device.key")
        return made

    def fetch(self, sha: str, device: str = "") -> int:
        """The content server's status for these papers; 0 when it does not even listen to them."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.content_port, timeout=60, context=self.context(device)
        )
        with closing(connection):
            try:
                connection.request("HEAD", f"/content/{sha}")
                return connection.getresponse().status
            except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected):
                return 0

    def shown_serial(self) -> str:
        """The serial number of the certificate that the content server shows."""
        plain = socket.create_connection(("127.0.0.1", self.content_port), 60)
        with plain, self.context(AGED).wrap_socket(plain, server_hostname="127.0.0.1") as tls:
            return str((tls.getpeercert() or {})["serialNumber"])

    def sessions(self, device: str) -> int:
        return (self.folder / "broker.log").read_text().count(f"u'{device}'")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SecureWorld]:
    world = SecureWorld(tmp_path / "world", (DeviceId(FRESH), DeviceId(AGED)), start=BEGIN, units=("23557",))
    with world:
        world.start_broker()
        world.start_fleet()
        world.start_hub()
        for device in world.receivers:
            world.start_receiver(device)
        yield world


def check_reload(world: SecureWorld) -> None:
    """A device that goes out of use loses its topics; what the hub's own certificate lacks is made good."""
    rights = world.state / "broker" / "acl"
    assert f"user {FRESH}\n" in rights.read_text()
    before = world.shown_serial()
    (world.state / "broker" / "server.pem").unlink()
    (station,) = (world.inventory / "stations").glob("23557-*.yaml")
    text = station.read_text()
    named = f"- id: {FRESH}\n"
    assert named in text
    station.write_text(text.replace(named, f"{named}    out_of_service: 2024-09-30\n"))
    world.children["hub"].send_signal(signal.SIGHUP)
    until(lambda: f"user {FRESH}\n" not in rights.read_text(), "the broker's rights follow the inventory")
    until(lambda: world.shown_serial() != before, "the content server shows its new certificate")


def test_a_programme_through_tls_and_who_is_refused(world: SecureWorld) -> None:
    until(lambda: world.sessions(FRESH) and world.sessions(AGED), "both devices are with the broker")
    # the one whose certificate is in its last third has a new one by itself
    renewed = world.folder / "receivers" / AGED / "state" / "identity.pem"
    until(renewed.exists, "the certificate is renewed")

    bulletin = push(world, "23557", "normal", "Tiêm phòng", "--audio", str(melody(world.folder, 4, 1)))
    approve(world, "23557", bulletin)
    wait_played(world, bulletin, (FRESH, AGED))
    check_heard(world, bulletin, (FRESH, AGED))
    check_silence(world)

    (sha,) = {r.content for r in as_run(world) if r.bulletin == bulletin}
    assert (world.fetch(sha, FRESH), world.fetch(sha, AGED), world.fetch(sha)) == (200, 200, 0)
    check_reload(world)
    world.loa("pki", "revoke", FRESH)
    assert (world.fetch(sha, FRESH), world.fetch(sha, AGED)) == (403, 200)
    # what a technician does then: the sessions under way end with the broker
    world.kill("broker")
    (world.folder / "broker.log").write_text("")
    world.start_broker()
    until(lambda: world.sessions(AGED) and world.sessions("hub"), "the others are back")
    until(lambda: "certificate verify failed" in (world.folder / "broker.log").read_text(), "the revoked one tries")
    assert world.sessions(FRESH) == 0
    with pytest.raises(Broken, match="ENV056"):
        world.loa("pki", "revoke", FRESH)
