"""A whole Loa on loopback: real broker, hub and receivers over a simulated fleet, in one temporary folder.

The demo and the end-to-end tests use it. Everything it starts is a child that dies with it, is stopped by its pid, and
logs into the folder; all ports are free loopback ports; keys and secrets are made anew each time.
"""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, TypeVar

from inventory.load import load
from inventory.model import DeviceId, Network
from tui.gateway import SocketGateway, ask
from tui.methods import Method

P = TypeVar("P")
R = TypeVar("R")

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "inventory" / "gia-lai"
START = "2024-10-01T16:59:30+07:00"
"""When the sample's clock starts: half a minute before the evening session, far from the quiet hours."""
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Broken(AssertionError):
    """A part of the world did not do what it must; the message says which, with the end of its log."""


def free_ports(count: int) -> list[int]:
    """Loopback ports that are free for TCP and UDP right now, all different."""
    held: list[socket.socket] = []
    ports: list[int] = []
    while len(ports) < count:
        tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        tcp.bind(("127.0.0.1", 0))
        held += [tcp, udp]
        try:
            udp.bind(("127.0.0.1", tcp.getsockname()[1]))
        except OSError:
            continue
        ports.append(tcp.getsockname()[1])
    for one in held:
        one.close()
    return ports


@dataclass
class World:
    """One run of Loa in ``folder``; ``receivers`` are the devices that are real programs; all answer SNMP.

    ``store``: a database URL; a SQLite file of its own if not given. ``units``: of the sample only the devices of
    these units (communes, districts); all of it if not given, which takes every part of the world four times the work.
    ``unplugged``: receivers without a link, from their next start on.
    """

    folder: Path
    receivers: tuple[DeviceId, ...]
    start: str = START
    poll: str = "3s"
    trap_port: int = 0
    sample: Path = SAMPLE
    store: str = ""
    units: tuple[str, ...] = ()
    unplugged: set[str] = field(default_factory=set)
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _logs: list[IO[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        ports = free_ports(4)
        self.mqtt_port, self.snmp_port, self.exporter_port, self.content_port = ports
        self.origin = time.time()
        self.passphrase = secrets.token_urlsafe(16)

    # -- what it is made of

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory"

    @property
    def environment(self) -> dict[str, str]:
        """For every ``loa`` command of this world."""
        mine = {
            "LOA_INVENTORY": str(self.inventory),
            "LOA_STATE_DIR": str(self.folder / "hub"),
            "LOA_KEYS": str(self.folder / "keys"),
            "LOA_VAULT_PASSWORD_FILE": str(self.folder / "vault-password"),
            "LOA_MQTT_PORT": str(self.mqtt_port),
            "LOA_SNMP_BIND": "127.0.0.1",
            "LOA_SNMP_PORT": str(self.snmp_port),
            "LOA_SNMP_TRAP_PORT": str(self.trap_port),
            "LOA_SNMP_INTERVAL": self.poll,
            "LOA_SNMP_TIMEOUT": "1s",
            "LOA_EXPORTER_PORT": str(self.exporter_port),
            "LOA_CONTENT_PORT": str(self.content_port),
            "LOA_OVERLAY": "127",
            "LOA_CLOCK": self.clock,
            "LOA_LANG": "vi",
        }
        if self.store:
            mine["LOA_STORE"] = self.store
        unwanted = ("LOA_", "PYTHONDONTWRITEBYTECODE")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
        return inherited | mine | {"PYTHONPATH": str(ROOT), "PATH": inherited["PATH"] + ":/usr/sbin"}

    @property
    def clock(self) -> str:
        return f"{self.start}@{self.origin!r}"

    def now(self) -> int:
        """The world's time in Unix milliseconds."""
        began = datetime.fromisoformat(self.start).timestamp()
        return int((began + time.time() - self.origin) * 1000)

    def network(self) -> Network:
        network, diagnostics = load(self.inventory)
        if network is None:
            raise Broken(f"the inventory has {len(diagnostics)} errors")
        return network

    def policies(self) -> dict[str, bytes]:
        """Each device's signed policy of the world's first day."""
        from audio.trust import in_force, read_bundle

        bundle = read_bundle(self.folder / "keys" / "policies.bundle")
        return in_force(bundle, datetime.fromisoformat(self.start).date())

    def output(self, device: str) -> Path:
        return self.folder / "receivers" / device / "heard.pcm"

    # -- life

    def __enter__(self) -> World:
        self.prepare()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def prepare(self) -> None:
        """A copy of the sample with keys, encrypted secrets and signed policies of its own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self.sample, self.inventory)
        if self.units:
            self._leave(self.units)
        password = self.folder / "vault-password"
        password.touch(0o600)
        password.write_text(secrets.token_urlsafe(24))
        community = self.folder / "community"
        community.touch(0o600)
        community.write_text(secrets.token_urlsafe(12))
        _encrypt(self.inventory / "secrets.yaml", password, f"snmp_community: {community.read_text()}\n")
        passphrase = {"LOA_ROOT_PASSPHRASE": self.passphrase}
        self.loa("keys", extra=passphrase)
        self.loa("policies", extra=passphrase)

    def _leave(self, units: Iterable[str]) -> None:
        """Without groups, whose hamlets are all over the province."""
        kept = tuple(f"{unit}-" for unit in units)
        for path in (*self.inventory.glob("districts/*.yaml"), *self.inventory.glob("stations/*.yaml")):
            if not path.name.startswith(kept):
                path.unlink()
        (self.inventory / "groups.yaml").write_text("groups: []\n", encoding="utf-8")

    def close(self) -> None:
        """Stop every child by its pid: asked first, killed after two seconds."""
        running = [c for c in self.children.values() if c.poll() is None]
        for child in running:
            child.terminate()
        deadline = time.monotonic() + 2
        for child in running:
            try:
                child.wait(max(0.05, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for log in self._logs:
            log.close()

    def spawn(self, name: str, command: Iterable[str]) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{name}.log").open("ab")
        self._logs.append(log)
        child = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=self.environment,
            cwd=self.folder,
            preexec_fn=_die_with_parent,
        )
        self.children[name] = child
        return child

    def kill(self, name: str) -> None:
        """kill -9, as a power cut or the OOM killer would."""
        self.children[name].send_signal(signal.SIGKILL)
        self.children[name].wait()

    # -- the parts

    def start_broker(self) -> None:
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.mqtt_port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
            "max_queued_messages 10000\nlog_dest stderr\n"
        )
        program = shutil.which("mosquitto", path=self.environment["PATH"])
        if program is None:
            raise Broken("mosquitto is not installed")
        self.spawn("broker", [program, "-c", str(config)])
        self.wait("broker", lambda: _listens(self.mqtt_port))

    def start_fleet(self) -> None:
        ready = self.folder / "fleet.log"
        self.spawn(
            "fleet",
            [
                *(sys.executable, "-m", "tests.sim.fleet", "--inventory", str(self.inventory)),
                *("--port", str(self.snmp_port), "--control", str(self.folder / "fleet.sock")),
                *("--community-file", str(self.folder / "community"), "--on", self.start[:10]),
            ],
        )
        self.wait("fleet", lambda: "ready" in ready.read_text())

    def start_hub(self) -> None:
        self.spawn("hub", [sys.executable, "-m", "tui.cli", "serve"])
        self.wait("hub", lambda: _opens(self.folder / "hub" / "hub.sock"))

    def start_parts(self, parts: Mapping[str, Iterable[str]]) -> None:
        """Hub processes that share the work, by name, with their ``--only`` and ``--shard``; at the same time."""
        logs = {name: self.folder / f"{name}.log" for name in parts}
        seen = {name: log.stat().st_size if log.exists() else 0 for name, log in logs.items()}
        for name, arguments in parts.items():
            self.spawn(name, [sys.executable, "-m", "tui.cli", "serve", *arguments])
        for name, log in logs.items():
            self.wait(name, lambda log=log, at=seen[name]: "running:" in log.read_text()[at:])  # type: ignore[misc]

    def start_receiver(self, device: DeviceId) -> None:
        config = self._enrol(device)
        self.spawn(device, [sys.executable, "-m", "audio.receiver", "--config", str(config)])

    def move_to(self, moment: str) -> None:
        """As if power were off until then: the hub and the receivers that run end, and start again at that time."""
        children = {name: self.children[name] for name in (*self.receivers, "hub") if name in self.children}
        running = [name for name, child in children.items() if child.poll() is None]
        for name in running:
            self.children[name].terminate()
        for name in running:
            self.children[name].wait(120)
        self.start, self.origin = moment, time.time()
        for name in running:
            if name == "hub":
                self.start_hub()
                continue
            self._set_clock(DeviceId(name))
            self.start_receiver(DeviceId(name))

    def _set_clock(self, device: DeviceId) -> None:
        config = self.folder / "receivers" / device / "receiver.toml"
        port = 1 if device in self.unplugged else self.mqtt_port
        anew = {"clock": self.clock, "broker": f"127.0.0.1:{port}"}
        lines = [line for line in config.read_text().splitlines() if line.partition(" = ")[0] not in anew]
        config.write_text(
            "".join(f"{line}\n" for line in (*lines, *(f"{k} = {json.dumps(v)}" for k, v in anew.items())))
        )

    def _enrol(self, device: DeviceId) -> Path:
        """What enrolment leaves on a device: its configuration, the root key and its first policy."""
        folder = self.folder / "receivers" / device
        config = folder / "receiver.toml"
        if config.exists():
            return config
        folder.mkdir(parents=True)
        if not hasattr(self, "_policies"):
            self._policies = self.policies()
            trust = self.network().trust
            if trust is None:
                raise Broken("the inventory has no trust.yaml")
            self._root = trust.root
        (folder / "policy.frame").write_bytes(self._policies[device])
        values = {
            "device": device,
            "broker": f"127.0.0.1:{self.mqtt_port}",
            "content": f"http://127.0.0.1:{self.content_port}",
            "state": str(folder / "state"),
            "root": self._root,
            "policy": str(folder / "policy.frame"),
            "output": f"file:{self.output(device)}",
            "clock": self.clock,
        }
        config.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items()))
        return config

    # -- to use it

    def loa(
        self, *arguments: str, user: str = "", codes: tuple[int, ...] = (0,), extra: Mapping[str, str] | None = None
    ) -> str:
        """Run a ``loa`` verb as ``user`` and give its stdout; Broken when it ends with another code."""
        command = [sys.executable, "-m", "tui.cli", *(("--as", user) if user else ()), *arguments]
        done = subprocess.run(
            command,
            env=self.environment | dict(extra or {}),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode not in codes:
            raise Broken(f"loa {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def ask(self, method: Method[P, R], params: P, user: str = "") -> R:
        return ask(SocketGateway(self.folder / "hub" / "hub.sock", user), method, params)

    def fleet(self, **request: object) -> dict[str, object]:
        """One request to the simulated fleet: fail=[...], fail_cell=..., heal=..., cells=True."""
        with closing(socket.socket(socket.AF_UNIX)) as control:
            control.connect(str(self.folder / "fleet.sock"))
            control.sendall(json.dumps(request).encode() + b"\n")
            answer: dict[str, object] = json.loads(control.makefile().readline())
        return answer

    def wait(self, name: str, condition: Callable[[], bool], timeout: float = 120) -> None:
        """Until ``condition`` holds; Broken with the end of ``name``'s log when it does not in time or dies."""
        deadline = time.monotonic() + timeout
        child = self.children.get(name)
        while not condition():
            if time.monotonic() > deadline or (child is not None and child.poll() is not None):
                log = self.folder / f"{name}.log"
                raise Broken(f"{name}: not in {timeout} s\n{log.read_text()[-3000:] if log.exists() else ''}")
            time.sleep(0.05)


def _encrypt(path: Path, password: Path, text: str) -> None:
    plain = path.with_suffix(".plain")
    plain.touch(0o600)
    plain.write_text(text)
    program = Path(sys.executable).with_name("ansible-vault")
    command = [str(program), "encrypt", "--vault-password-file", str(password), "--output", str(path), str(plain)]
    subprocess.run(command, check=True, capture_output=True)
    plain.unlink()


def _die_with_parent() -> None:
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _opens(path: Path) -> bool:
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        return probe.connect_ex(str(path)) == 0
