"""Stand-ins of modems with their own command line: an SSH server for each, and fleets of them in one process.

They are ours, not the makers' software: what they prove is our side (see QUALITY.yaml). Use::

    with CliFleet(40, folder=tmp_path) as fleet:                  # or ids=[...], family=Family.ROUTEROS, apns={...}
        access = fleet.access()                                   # for CliProvisioner
        target = fleet.target(device, manifest)                   # its address, host key and account
        fleet[device].reachable                                   # False while its access point name does not work
        fleet[device].power_cut(); fleet[device].boot()           # what was not saved is lost

A device whose configuration in force names an access point that is not in its ``apns`` is out of reach: its sessions
break, new ones are hung up on. It goes back by itself as the real one would. All listen on one port, each at its own
address below 127/8.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import paramiko  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from inventory import overlay
from inventory.model import DeviceId
from nms.provision.drivers.session import Access
from nms.provision.reach import Target
from nms.provision.values import Family, Manifest
from nms.vault import Secret

APNS = frozenset({"v-internet"})
LOOK_SECONDS = 0.05


class Box(Protocol):
    """What is behind the SSH server: a configuration, a console, power."""

    def talk(self, user: str, channel: paramiko.Channel) -> None:
        """Serve one console until the channel ends."""

    def apn(self) -> str:
        """The access point name in force."""

    def power_off(self) -> None: ...

    def power_on(self) -> None: ...

    def exported(self) -> str:
        """The configuration as the device itself would print it, with secrets."""


def keypair() -> tuple[str, str]:
    """A new Ed25519 key: private in OpenSSH's format, public as one line."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return private, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


class _Door(paramiko.ServerInterface):  # type: ignore[misc]
    """Who may come in, and for what. ``user`` may carry RouterOS' console settings after a plus sign."""

    def __init__(self, device: CliDevice, opened: Callable[[str, paramiko.Channel], None]) -> None:
        self._device = device
        self._opened = opened
        self._user = ""

    def get_allowed_auths(self, username: str) -> str:
        return "publickey,password"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return self._answer(username, f"{key.get_name()} {key.get_base64()}" == self._device.authorized)

    def check_auth_password(self, username: str, password: str) -> int:
        return self._answer(username, bool(password) and password == self._device.password)

    def _answer(self, username: str, right: bool) -> int:
        self._user = username
        right = right and username.partition("+")[0] == self._device.user
        return int(paramiko.AUTH_SUCCESSFUL if right else paramiko.AUTH_FAILED)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(paramiko.OPEN_SUCCEEDED)

    def check_channel_pty_request(self, channel: paramiko.Channel, *_: Any) -> bool:
        return True

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        self._opened(self._user, channel)
        return True


class CliDevice:
    """One device: its address, its SSH server, its box."""

    def __init__(self, id_: DeviceId, address: str, user: str, authorized: str, apns: Collection[str], box: Box):
        self.id = id_
        self.address = address
        self.user = user
        self.authorized = authorized
        self.password = ""
        self.apns = set(apns)
        self.box = box
        self.logins = 0
        self._private, self.host_key = keypair()
        self._on = True
        self._open: set[paramiko.Transport] = set()
        self._listener: socket.socket | None = None

    @property
    def reachable(self) -> bool:
        return self._on and self.box.apn() in self.apns

    def listen(self, listener: socket.socket) -> None:
        self._listener = listener
        threading.Thread(target=self._serve, args=(listener,), name=f"sim-{self.id}", daemon=True).start()

    def power_cut(self) -> None:
        """Everything that runs ends where it is."""
        self._on = False
        self.box.power_off()
        self.sever()

    def boot(self) -> None:
        self.box.power_on()
        self._on = True

    def sever(self) -> None:
        """Every session breaks."""
        for transport in list(self._open):
            transport.close()
        self._open.clear()

    def close(self) -> None:
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            self._listener.close()
        self.power_cut()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                wire, _ = listener.accept()
            except OSError:
                return
            if self.reachable:
                threading.Thread(target=self._greet, args=(wire,), daemon=True).start()
            else:
                wire.close()

    def _greet(self, wire: socket.socket) -> None:
        transport = paramiko.Transport(wire)
        self._open.add(transport)
        transport.add_server_key(paramiko.Ed25519Key(file_obj=io.StringIO(self._private)))
        try:
            transport.start_server(server=_Door(self, self._opened), event=threading.Event())
        except (paramiko.SSHException, EOFError, OSError):
            transport.close()

    def _opened(self, user: str, channel: paramiko.Channel) -> None:
        self.logins += 1
        threading.Thread(target=self._console, args=(user, channel), daemon=True).start()

    def _console(self, user: str, channel: paramiko.Channel) -> None:
        try:
            self.box.talk(user, channel)
        except (OSError, EOFError, ValueError, paramiko.SSHException):
            pass  # the session has broken
        finally:
            transport = channel.get_transport()
            with suppress(OSError, EOFError, paramiko.SSHException):
                channel.close()
            if transport is not None:
                transport.close()
                self._open.discard(transport)


class CliFleet:
    """So many devices on one loopback port."""

    def __init__(
        self,
        count: int = 1,
        *,
        folder: Path,
        ids: Sequence[DeviceId] = (),
        family: Family = Family.UCI,
        apns: Collection[str] = APNS,
        haste: int = 1,
    ) -> None:
        """``haste``: how much faster than real time the devices wait before they go back."""
        self.family = family
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        private, public = keypair()
        self.key = folder / "hub_key"
        self.key.write_text(private)
        self.key.chmod(0o600)
        self.port = 0
        names = list(ids) or [DeviceId(f"23557-M{n:02}") for n in range(1, count + 1)]
        user = "root" if family is Family.UCI else "loa"
        self.devices = {
            name: CliDevice(name, overlay.address(name, 127), user, public, apns, _box(family, folder / name, haste))
            for name in names
        }
        self._ended = threading.Event()

    def __getitem__(self, device: DeviceId) -> CliDevice:
        return self.devices[device]

    def __enter__(self) -> Self:
        listeners = self._bind()
        for device, listener in zip(self.devices.values(), listeners, strict=True):
            device.box.power_on()
            device.listen(listener)
        threading.Thread(target=self._watch, name="sim-link", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for device in self.devices.values():
            device.close()

    def access(self, timeout: float = 20.0) -> Access:
        """How the hub gets in: with its key."""
        return Access(self.key, lambda _: None, self.port, timeout)

    def by_password(self, passwords: dict[DeviceId, str], timeout: float = 20.0) -> Access:
        """How the hub gets in where devices have no keys."""
        return Access(None, lambda d: Secret(passwords[d]) if d in passwords else None, self.port, timeout)

    def target(self, device: DeviceId, manifest: Manifest) -> Target:
        one = self.devices[device]
        return Target(device, one.address, one.user, one.host_key, manifest)

    def _bind(self) -> list[socket.socket]:
        """One port that is free at every address."""
        while True:
            made: list[socket.socket] = []
            port = 0
            try:
                for device in self.devices.values():
                    made.append(socket.create_server((device.address, port), backlog=64))
                    port = port or made[0].getsockname()[1]
            except OSError:
                for one in made:
                    one.close()
                continue
            self.port = port
            return made

    def _watch(self) -> None:
        """The link follows the configuration in force."""
        while not self._ended.wait(LOOK_SECONDS):
            for device in self.devices.values():
                if not device.reachable:
                    device.sever()


def _box(family: Family, folder: Path, haste: int) -> Box:
    # Imported here: the boxes import nothing of this module, and it needs only one of them.
    if family is Family.UCI:
        from tests.sim.cli_uci import UciBox

        return UciBox(folder, haste)
    from tests.sim.cli_routeros import RouterOSBox

    return RouterOSBox(haste=haste)


def until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether it comes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(LOOK_SECONDS)
    return condition()
