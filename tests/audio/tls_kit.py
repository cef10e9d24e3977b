"""A province with certificates: its authority, what enrolment leaves on a device, a real broker with TLS and ACL."""

from __future__ import annotations

import asyncio
import getpass
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from aiohttp import web
from paho.mqtt.enums import CallbackAPIVersion

from audio.admission import Answer, add_renewal, guard
from audio.library import Library, content_app
from audio.receiver.identity import Files
from audio.receiver.renewal import make_request
from inventory.diagnostics import Diagnostic
from inventory.model import Hub, Network
from nms.provision import acl, pki
from nms.provision.authority import HUB_PEM, ROOT_KEY, ROOT_PEM, Authority, init
from nms.provision.gate import Gate
from tests.audio.province import ON, network
from tests.audio.receiver_kit import until

PASSPHRASE = "mật khẩu dài"  # noqa: S105 - of a province that lives for one test
HUB = Hub("hub.example", "hub.example:51820", "A" * 43 + "=")


def now() -> datetime:
    return datetime.now(UTC)


def province() -> Network:
    return replace(network(), hub=HUB)


@dataclass
class Papers:
    """An authority with everything that hub, broker and devices need of it."""

    folder: Path
    network: Network
    authority: Authority

    @classmethod
    def make(cls, folder: Path, network: Network | None = None) -> Papers:
        network = network or province()
        state = folder / "hub"
        assert init(state, folder / "keys", PASSPHRASE, network, now()) == ()
        authority = Authority.open(state)
        assert isinstance(authority, Authority)
        assert authority.certify_hub(network, 127, now()) is None
        authority.permit(network, ON)
        return cls(folder, network, authority)

    @property
    def root(self) -> Path:
        return self.authority.folder / ROOT_PEM

    @property
    def hub(self) -> Files:
        pair = self.authority.folder / HUB_PEM
        return Files(self.root, pair, pair)

    @property
    def offline_root(self) -> Path:
        return self.folder / "keys" / ROOT_KEY

    def enrol(self, device: str, folder: Path | None = None, serial: str = "") -> Files:
        """The three files on the device, as enrolment leaves them."""
        key, request = make_request("whoever")
        given = self.authority.issue(self.network, ON, device, request, now(), serial)
        assert not isinstance(given, Diagnostic), given
        return self.write(device, key, given.chain, folder)

    def write(self, name: str, key: bytes, chain: bytes, folder: Path | None = None) -> Files:
        folder = folder or self.folder / "devices" / name
        folder.mkdir(parents=True, exist_ok=True)
        files = Files(folder / "ca.pem", folder / "device.pem", folder / "device.key")
        files.ca.write_bytes(self.root.read_bytes())
        files.certificate.write_bytes(chain)
        files.key.write_bytes(key)
        return files

    def aged(self, device: str, left: timedelta, folder: Path | None = None) -> Files:
        """As ``enrol``, with a certificate that has so much of its life left (below zero: none any more)."""
        issuer = self.authority._issuer
        key = pki.new_key()
        certificate = pki.client(issuer, key.public_key(), device, now() + left - pki.DEVICE_LIFE)
        given = self.authority._record(certificate)
        return self.write(device, pki.key_pem(key), given.chain, folder)


def context(files: Files | None, ca: Path, most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(ca)
    made.maximum_version = most
    if files is not None:
        made.load_cert_chain(files.certificate, files.key)
    return made


class TlsBroker:
    """mosquitto with the configuration that Loa writes, on free ports."""

    def __init__(self, papers: Papers) -> None:
        self._papers = papers
        self.port, self.enrolment_port = _free_ports(2)
        folder = papers.authority.broker
        text = acl.configuration(folder, self.port, self.enrolment_port)
        self._file = folder / acl.CONFIGURATION
        more = (
            "",
            f"user {getpass.getuser()}",
            "log_type information",
            f"log_dest file {papers.folder / 'broker.log'}",
        )
        self._file.write_text("\n".join((text, *more, "")))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        before = self.log.count(" running")
        self._process = subprocess.Popen([program, "-c", str(self._file)], stderr=subprocess.DEVNULL)
        # it listens before it knows what to do at a SIGHUP, which would end it
        until(lambda: self._listens() and self.log.count(" running") > before, 60)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def reload(self) -> None:
        """SIGHUP; returns once the broker has read its files again."""
        assert self._process is not None
        before = self.log.count("Reloading config.")
        self._process.send_signal(signal.SIGHUP)
        until(lambda: self.log.count("Reloading config.") > before, 60)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)

    @property
    def log(self) -> str:
        log = self._papers.folder / "broker.log"
        return log.read_text() if log.exists() else ""

    def greets(
        self,
        files: Files | None,
        *,
        port: int = 0,
        ca: Path | None = None,
        most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ) -> bool:
        """Whether the broker takes a client with these papers as its own."""
        return self.greet(context(files, ca or self._papers.root, most), port=port) is not None

    def greet(
        self, tls: ssl.SSLContext, session: ssl.SSLSession | None = None, *, port: int = 0
    ) -> tuple[ssl.SSLSession | None, bool] | None:
        """The TLS session in which the broker took the client as its own, and whether it took up ``session`` again."""
        hello = b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03one"
        try:
            plain = socket.create_connection(("127.0.0.1", port or self.port), 60)
            with plain, tls.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as made:
                made.sendall(hello)
                answer = made.recv(4)
                welcome = len(answer) == 4 and answer[0] == 0x20 and answer[3] == 0
                return (made.session, bool(made.session_reused)) if welcome else None
        except OSError:
            return None

    def client(self, files: Files | None, port: int = 0) -> Client:
        return Client(port or self.port, context(files, self._papers.root))


class Client:
    """A plain MQTT client over TLS; what it was told, in order."""

    def __init__(self, port: int, tls: ssl.SSLContext) -> None:
        self.told: list[tuple[str, bytes]] = []
        self.lost = threading.Event()
        self._ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, reconnect_on_failure=False)
        self._client.tls_set_context(tls)
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_disconnect = lambda *_: self.lost.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self.told.append((message.topic, bytes(message.payload)))

    def hear(self, *topics: str) -> None:
        self._client.subscribe([(topic, 1) for topic in topics])
        assert self._ready.wait(60)

    def say(self, topics: Sequence[str], *, retain: bool = False) -> None:
        """Each topic's name on that topic, acknowledged (allowed or not) when this returns."""
        for topic in topics:
            self._client.publish(topic, topic.encode(), qos=1, retain=retain).wait_for_publish(60)

    def close(self) -> None:
        self._client.disconnect()
        assert self.lost.wait(60)  # else the loop may end before the socket is closed
        self._client.loop_stop()


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


class Site:
    """The hub's content server with its door, in a thread of its own.

    ``before`` and ``after`` hold up answers while they are not set: before and after the hub has done its part.
    """

    def __init__(self, papers: Papers, library: Path) -> None:
        self.before, self.after = threading.Event(), threading.Event()
        self.before.set()
        self.after.set()
        self.asked = 0
        self._papers = papers
        self._application = content_app(Library(library))
        gate = Gate(papers.authority.broker / acl.REVOKED)
        guard(self._application, gate)
        add_renewal(self._application, gate, papers.authority, lambda: (papers.network, ON), now)
        self._application.middlewares.append(self._hold)
        (self.port,) = _free_ports(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        until(self._listens, 60)

    @property
    def base(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @web.middleware
    async def _hold(self, request: web.Request, handler: Answer) -> web.StreamResponse:
        self.asked += 1
        await asyncio.to_thread(self.before.wait)
        answer = await handler(request)
        await asyncio.to_thread(self.after.wait)
        return answer

    def _serve(self) -> None:
        self._loop.run_until_complete(self._run())
        self._loop.close()

    async def _run(self) -> None:
        folder = self._papers.authority.broker
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_verify_locations(folder / acl.AUTHORITIES)
        tls.load_cert_chain(folder / acl.SERVER_PEM)
        runner = web.AppRunner(self._application, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=tls).start()
        self._ended = asyncio.Event()
        await self._ended.wait()
        await runner.cleanup()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self) -> None:
        self.before.set()
        self.after.set()
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(60)
