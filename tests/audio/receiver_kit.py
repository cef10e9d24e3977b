"""A small province for the receiver's tests: keys, documents, sounds, a broker, a content server."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import math
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from audio.documents import (
    Airing,
    Audience,
    Bulletin,
    BulletinClass,
    Ceilings,
    ContentKind,
    HubTime,
    Now,
    NowEntry,
    NowKind,
    Policy,
    PolicyKey,
    Programme,
    Quiet,
    encode,
)
from audio.envelope import Header, key_id, next_sequence, seal

DEVICE = "23557-L01"
UNITS = ("23557", "622", "64")
EVENING = 1_727_776_770_000
"""2024-10-01 16:59:30 +07:00."""
NIGHT = EVENING + 6 * 3_600_000
FOREVER = 2**60


@dataclass
class Signer:
    iss: str
    role: str
    areas: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    nbf: int = 0
    exp: int = FOREVER
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def kid(self) -> str:
        return key_id(self.public)

    def policy_key(self) -> PolicyKey:
        public = base64.b64encode(self.public).decode()
        return PolicyKey(self.kid, self.iss, public, self.role, self.areas, self.classes, self.nbf, self.exp)


ALL = ("normal", "priority", "emergency")


class Kit:
    """Everything the hub's side signs, with sequences that rise."""

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now
        self.root = Signer("root", "root")
        self.hub = Signer("hub", "hub")
        self.province = Signer("64", "issuer", ("64",), ALL)
        self.commune = Signer("23557", "issuer", ("23557",), ("normal", "priority"))
        self.foreign = Signer("23560", "issuer", ("23560",), ALL)
        self._seq = 0

    def seal(self, topic: str, body: bytes, signer: Signer, **changes: Any) -> bytes:
        self._seq = next_sequence(self._seq, self.now())
        header = Header(1, signer.kid, signer.iss, topic, self._seq, self.now(), 0, FOREVER)
        return seal(replace(header, **changes), body, signer.key)

    def policy(self, **changes: Any) -> Policy:
        signers = (self.hub, self.province, self.commune, self.foreign)
        policy = Policy(
            device=DEVICE,
            units=UNITS,
            groups=("riverside",),
            keys=tuple(s.policy_key() for s in signers),
            quiet=(Quiet(21 * 60, 5 * 60),),
            exceptions=(),
            ceilings=Ceilings(day=80, early=60, emergency=100),
        )
        return replace(policy, **changes)

    def policy_frame(self, policy: Policy | None = None, **changes: Any) -> bytes:
        body = encode(policy or self.policy())
        return self.seal(f"loa/1/policy/{DEVICE}", body, self.root, **changes)

    def bulletin(self, sound: Sound, **changes: Any) -> Bulletin:
        bulletin = Bulletin(
            id=changes.pop("id", f"b-{sound.content[:8]}"),
            version=1,
            cls=BulletinClass.NORMAL,
            kind=ContentKind.RECORDING,
            tier="province",
            origin="64",
            title="Thông báo",
            content=sound.content,
            duration=sound.duration,
            audience=Audience(units=("64",)),
            valid_from=0,
            valid_until=FOREVER,
        )
        return replace(bulletin, **changes)

    def signed(self, bulletin: Bulletin, signer: Signer | None = None, **changes: Any) -> str:
        frame = self.seal(f"bulletin/{bulletin.id}", encode(bulletin), signer or self.province, **changes)
        return base64.b64encode(frame).decode()

    def programme(
        self,
        *airings: Airing,
        signed: Mapping[str, str],
        unit: str = "23557",
        signer: Signer | None = None,
        **changes: Any,
    ) -> bytes:
        body = encode(Programme(unit, FOREVER, airings, signed))
        return self.seal(f"loa/1/prog/{unit}", body, signer or self.hub, **changes)

    def orders(self, *entries: NowEntry, target: str = "u/64", issuer: str = "64", **changes: Any) -> bytes:
        return self.seal(f"loa/1/now/{target}/{issuer}", encode(Now(entries)), self.hub, **changes)

    def time(self, at: int | None = None, **changes: Any) -> bytes:
        return self.seal("loa/1/time", encode(HubTime(self.now() if at is None else at)), self.hub, **changes)


def airing(bulletin: Bulletin, start: int, name: str = "", latest: int | None = None, repeat: int = 0) -> Airing:
    return Airing(name or f"a-{bulletin.id}", bulletin.id, repeat, start, start + 60_000 if latest is None else latest)


def emergency(kit: Kit, bulletin: Bulletin, start: int, until: int, sound: bytes = b"", **changes: Any) -> NowEntry:
    entry = NowEntry(
        entry=f"e-{bulletin.id}",
        kind=NowKind.EMERGENCY,
        bulletin=bulletin.id,
        start=start,
        until=until,
        signed=kit.signed(bulletin),
        sounds=(base64.b64encode(sound).decode(),) if sound else (),
    )
    return replace(entry, **changes)


def stop(start: int, until: int, bulletin: str = "") -> NowEntry:
    return NowEntry(f"s-{start}", NowKind.STOP, bulletin, start, until)


@dataclass(frozen=True)
class Sound:
    """An Ogg Opus file of pink noise, which correlates with nothing but itself."""

    path: Path
    content: str
    duration: int

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()


def make_sound(folder: Path, ms: int, seed: int) -> Sound:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{seed}.opus"
    noise = f"anoisesrc=d={ms / 1000}:c=pink:r=48000:seed={seed}:a=0.4"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", noise, "-ac", "1", "-c:a", "libopus", "-b:a", "24k"]
    subprocess.run([*command, "-bitexact", str(path)], check=True)
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    named = folder / content
    path.rename(named)
    return Sound(named, content, ms)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """A mosquitto of our own that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\n"
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self._process = subprocess.Popen([program, "-c", str(self._config)], stderr=subprocess.DEVNULL)
        until(lambda: _listens(self.port))

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(condition: Callable[[], object], limit: float = 20.0) -> None:
    """Waits for something that must happen; the limit only ends a test that has failed."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


class ContentServer:
    """Serves ``<folder>/<name>`` at /content/<name> with ranges; ``spoil`` sends zeros, ``short`` stops early."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[tuple[str, str]] = []
        self.spoil: set[str] = set()
        self.short: set[str] = set()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.removeprefix("/content/")
                wanted = self.headers.get("Range", "")
                owner.requests.append((name, wanted))
                if not (folder / name).is_file():
                    self.send_error(404)
                    return
                data = (folder / name).read_bytes()
                start = int(wanted.removeprefix("bytes=").removesuffix("-") or 0)
                body = bytes(len(data)) if name in owner.spoil else data[start:]
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if name in owner.short else body)

            def log_message(self, format: str, *args: Any) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def content_server(folder: Path) -> Iterator[ContentServer]:
    server = ContentServer(folder)
    try:
        yield server
    finally:
        server.close()


def write_config(folder: Path, kit: Kit, **changes: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "policy.frame").write_bytes(kit.policy_frame())
    values = {
        "device": DEVICE,
        "broker": "127.0.0.1:1",
        "content": "http://127.0.0.1:1",
        "state": "state",
        "root": base64.b64encode(kit.root.public).decode(),
        "policy": "policy.frame",
        "output": "file:out.pcm",
    } | changes
    path = folder / "receiver.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items() if value))
    return path


def rms_db(samples: Any) -> float:
    """RMS level of 16-bit samples in dBFS."""
    return 10 * math.log10(float((samples.astype(float) ** 2).mean()) / 32768**2 + 1e-12)
