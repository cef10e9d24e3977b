"""A whole hub in a lab's centre: ``loa serve``, mosquitto with certificates, the hub's end of the tunnel."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

from inventory.load import load
from inventory.model import Network
from nms.provision import acl
from nms.provision.artifacts import RECEIVER, ArtifactStore, receiver
from tests.lab.host import Host
from tests.lab.lab import PUBLIC, Lab
from tests.lab.town import wheel
from tests.lab.tunnel_kit import Interface
from tests.tui.loa_command import ROOT, Answer

MQTT, ENROLMENT, CONTENT, TUNNEL = 8883, 8884, 8443, 51820
CONNECT: Final = b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x04test"
"""MQTT 5, 3.1: a clean start of a client named ``test``."""
STATION: Final = "stations/23557-yen-do.yaml"
NETWORK: Final = """\
province: "64"
name: Gia Lai
overlay: 10
profiles: [loa-receiver]
hub: {name: hub.example, endpoint: "%s:%d", public_key: "%s"}
rollout: {confirm: 180s}
quiet_hours:
  - {unit: "64", start: "21:00", end: "05:00"}
"""
FILES: Final = {
    "units.yaml": """\
units:
  - {id: "64", code: "64", name: Tỉnh Gia Lai, type: province}
  - {id: "622", code: "622", name: Thành phố Pleiku, type: district, parent: "64"}
  - {id: "23557", code: "23557", name: Phường Yên Đỗ, type: ward, parent: "622"}
""",
    "people.yaml": """\
people:
  - {id: lan, name: Lê Ngọc Lan, user: lan, roles: [technician], area: "64"}
  - {id: nga, name: Siu Nga, user: nga, roles: [editor], area: "64"}
""",
    "grid.yaml": 'sessions:\n  - {unit: "64", name: chiều, start: "17:00", duration: 60m}\n',
    "groups.yaml": "groups: []\n",
    "targets.yaml": "document: Chưa có văn bản\nindicators: []\n",
    STATION: """\
unit: "23557"
station:
  technologies: [{technology: ip, from: 2024-01-01}]
loudspeakers:
  # the office
  - id: 23557-L01
    profile: loa-receiver
    name: Trụ sở UBND
    sim: {number: "0849000001", iccid: "898400000000000001"}
    in_service: 2024-01-01
    volume: {day: 70}  # the school is near
    sound: none
  - id: 23557-L02
    profile: loa-receiver
    sim: {number: "0849000002", iccid: "898400000000000002"}
    in_service: 2024-01-01
    sound: none
""",
}
SECRETS: Final = """\
snmp_v3_user: loa
snmp_v3_auth_password: {auth}
snmp_v3_priv_password: {priv}
"""


def until(done: Callable[[], Any], what: str, seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return found


@dataclass
class Province:
    """``folder``: inventory, keys and the hub's state. Everything runs in the lab's centre.

    ``files`` of the inventory; ``head``: its ``network.yaml``, without the tunnel's address, port and key; ``more``
    settings of hub and verbs.
    """

    lab: Lab
    folder: Path
    passphrase: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    files: Mapping[str, str] = field(default_factory=lambda: FILES)
    head: str = NETWORK
    more: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ending: threading.Event = field(default_factory=threading.Event)
    _interface: Interface = field(init=False)

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory"

    @property
    def state(self) -> Path:
        return self.folder / "hub"

    @property
    def station(self) -> Path:
        return self.inventory / STATION

    def network(self) -> Network:
        network, problems = load(self.inventory)
        assert network is not None, problems
        return network

    @property
    def environment(self) -> dict[str, str]:
        mine = {
            "LOA_INVENTORY": str(self.inventory),
            "LOA_STATE_DIR": str(self.state),
            "LOA_KEYS": str(self.folder / "keys"),
            "LOA_VAULT_PASSWORD_FILE": str(self.folder / "vault-password"),
            "LOA_MQTT_PORT": str(MQTT),
            "LOA_CONTENT_HOST": "0.0.0.0",
            "LOA_CONTENT_PORT": str(CONTENT),
            "LOA_SNMP_PORT": "161",
            "LOA_SNMP_TRAP_PORT": "0",
            "LOA_SNMP_INTERVAL": "10s",
            "LOA_SNMP_TIMEOUT": "2s",
            "LOA_LANG": "en",
            "LOA_ROOT_PASSPHRASE": self.passphrase,
        }
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LOA_", "XDG_", "PYTHONDONT"))}
        return (
            inherited
            | mine
            | self.more
            | {"PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{inherited['PATH']}:/usr/sbin"}
        )

    def loa(self, *arguments: str, who: str = "lan", stdin: str = "") -> Answer:
        command = [sys.executable, "-m", "tui.cli", "--as", who, *arguments]
        done = subprocess.run(
            command, env=self.environment, input=stdin, capture_output=True, text=True, timeout=600, check=False
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def done(self, *arguments: str) -> str:
        answer = self.loa(*arguments)
        assert answer.code == 0, answer.out + answer.err
        return answer.out

    # -- what it is made of

    def prepare(self) -> None:
        self._wireguard()
        for name, text in self.files.items():
            (self.inventory / name).parent.mkdir(parents=True, exist_ok=True)
            (self.inventory / name).write_text(text)
        (self.inventory / "network.yaml").write_text(self.head % (PUBLIC, TUNNEL, self.tunnel_key))
        self._secrets()
        for verb in (["keys"], ["policies"], ["pki", "init"], ["pki", "hub"]):
            self.done(*verb)
        store = ArtifactStore(self.state / "artifacts")
        store.add(RECEIVER, wheel(), receiver(wheel()), "receiver.whl")
        key = self.state / "ssh" / "hub"
        key.parent.mkdir(mode=0o700)
        shutil.copy(self.lab.key, key)
        public = load_ssh_private_key(key.read_bytes(), None).public_key()
        line = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        key.with_suffix(".pub").write_text(f"{line} loa-hub\n")

    def _secrets(self) -> None:
        password = self.folder / "vault-password"
        password.touch(0o600)
        password.write_text(secrets.token_urlsafe(16))
        plain = self.folder / "plain"
        plain.touch(0o600)
        plain.write_text(SECRETS.format(auth=secrets.token_urlsafe(12), priv=secrets.token_urlsafe(12)))
        program = Path(sys.executable).with_name("ansible-vault")
        files = ["--output", str(self.inventory / "secrets.yaml"), str(plain)]
        subprocess.run([program, "encrypt", "--vault-password-file", password, *files], check=True, capture_output=True)
        plain.unlink()

    def _wireguard(self) -> None:
        noc = self.lab.noc
        self._private = noc.run(["wg", "genkey"]).stdout.strip()
        self.tunnel_key = noc.run(["wg", "pubkey"], input=self._private + "\n").stdout.strip()
        self._interface = Interface(noc)
        self._sync("")
        noc.run(["ip", "link", "set", self._interface.name, "mtu", "1380", "up"])
        noc.run(["ip", "route", "add", "10.0.0.0/8", "dev", self._interface.name, "src", "10.0.0.1", "metric", "10"])

    def _sync(self, peers: str) -> None:
        file = self.folder / "wg.conf"
        file.touch(0o600)
        file.write_text(f"[Interface]\nPrivateKey = {self._private}\nListenPort = {TUNNEL}\n\n{peers}")
        self.lab.noc.run(["wg", "syncconf", self._interface.name, str(file)])

    # -- what runs

    def start(self) -> None:
        self.start_broker()
        with (self.folder / "hub.log").open("ab") as log:
            self.processes["hub"] = self.lab.noc.popen(
                [sys.executable, "-m", "tui.cli", "serve"], env=self.environment, stdout=log, stderr=log
            )
        until((self.state / "hub.sock").is_socket, "the hub")
        threading.Thread(target=self._follow, daemon=True).start()

    def start_broker(self) -> None:
        folder = self.state / "broker"
        config = folder / acl.CONFIGURATION
        config.write_text(
            f"{acl.configuration(folder, MQTT, ENROLMENT)}\nuser root\nlog_dest file {self.folder}/broker.log\n"
        )
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self.processes["broker"] = self.lab.noc.popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)

    def _follow(self) -> None:
        """What systemd does on the hub's machine: the interface and the broker follow the hub's files."""
        seen = {name: "" for name in ("wireguard/peers.conf", "broker/crl.pem", "broker/acl")}
        for name in ("broker/crl.pem", "broker/acl"):
            seen[name] = (self.state / name).read_text()
        while not self.ending.wait(0.2):
            for name, old in seen.items():
                with suppress(OSError):
                    text = (self.state / name).read_text()
                    if text != old:
                        self._changed(name, text)
                        seen[name] = text

    def _changed(self, name: str, text: str) -> None:
        if name == "wireguard/peers.conf":
            self._sync(text)
        elif name == "broker/acl":
            self.processes["broker"].send_signal(signal.SIGHUP)
        else:
            self.processes["broker"].kill()
            self.processes["broker"].wait()
            self.start_broker()

    def reload(self) -> None:
        """The hub takes the inventory as it is now."""
        before = (self.folder / "hub.log").read_text().count("inventory reloaded")
        self.processes["hub"].send_signal(signal.SIGHUP)
        until(lambda: (self.folder / "hub.log").read_text().count("inventory reloaded") > before, "the new inventory")

    def close(self) -> None:
        self.ending.set()
        for process in self.processes.values():
            process.kill()
            process.wait()
        self._interface.close()

    # -- what can be seen

    def accepted(self) -> set[str]:
        """The keys that the hub's end of the tunnel takes."""
        return set(self.lab.noc.run(["wg", "show", self._interface.name, "peers"]).stdout.split())

    def fetched(self, papers: Path) -> int:
        """The content server's answer to these papers."""
        (sha,) = ArtifactStore(self.state / "artifacts").digests().values()
        link = http.client.HTTPSConnection("10.0.0.1", CONTENT, timeout=60, context=self._context(papers))
        with self.lab.noc.entered(), closing(link):
            link.request("HEAD", f"/artifact/{sha}")
            return link.getresponse().status

    def greeted(self, papers: Path) -> bool:
        """Whether the broker begins a session with whoever has these papers."""
        with self.lab.noc.entered(), socket.create_connection(("10.0.0.1", MQTT), 60) as plain:
            try:
                with self._context(papers).wrap_socket(plain, server_hostname="10.0.0.1") as tls:
                    tls.sendall(CONNECT)
                    return tls.recv(4)[3:4] == b"\0"
            except (ssl.SSLError, ConnectionError):
                return False

    def _context(self, papers: Path) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.state / "pki" / "root.pem")
        context.load_cert_chain(papers / "certificate.pem", papers / "key.pem")
        return context

    def records(self, device: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.done("records", device, "--json"))["records"]
        return found


def papers(host: Host, folder: Path) -> Path:
    """A copy of what the device has to show."""
    folder.mkdir(parents=True)
    for name in ("certificate.pem", "key.pem"):
        (folder / name).write_text(host.read(f"/etc/loa-receiver/{name}"))
    return folder
