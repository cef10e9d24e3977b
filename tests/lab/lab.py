"""A province's network on one machine: real hosts with systemd, sshd and snmpd in namespaces, weak links between.

    with Lab() as lab:
        speaker = lab.host("23557-L01", link=WEAK_4G)          # at its address in the overlay, reached directly
        modem = lab.modem("23557-M01")                         # behind a carrier's NAT, with a NAT of its own
        behind = lab.host("23557-L02", behind=modem)
        router = lab.router("r1", address="10.9.9.9")          # ssh router@... is FRR's vtysh
        machine = lab.machine("23557-L03")                     # with a kernel of its own and a sound card; slow
        lab.ready()
        lab.noc.run(lab.ssh(speaker, "uptime"))                # a program in the operations centre
        with lab.noc.entered(): ...                            # this thread's sockets, threads, processes
        speaker.exec(["systemctl", "is-active", "ssh"])        # inside, as root, for assertions
        speaker.cut(); speaker.power_on(); speaker.wait()      # the disk is as the cut left it
        speaker.link.set(Link(delay_ms=300)); speaker.link.cut(); speaker.link.restore()
        received, sent = speaker.bytes()

The centre (``lab.noc``) has ``PUBLIC``, where carriers' customers reach it, and the hub's address of the overlay 10/8.
Hosts on a cable take derived overlay addresses directly; hosts behind a carrier (``carrier=True``, modems) are reached
from nowhere until they have a tunnel. Hosts have one account with a key (``lab.user``, ``lab.key``), no password, no
SNMP community, no package index. Whatever ends the owner, the lab's keeper takes everything away.

Needs root; ``unavailable()`` says why there can be no lab here. See docs/lab.md.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from inventory import overlay
from inventory.model import DeviceId
from nms.provision.families import SETUPS
from tests.lab import keeper
from tests.lab.disk import File, enable, furnish, lay
from tests.lab.host import Host, Wiring
from tests.lab.image import DEVICE, HUB, MACHINE, Recipe, Unavailable, image
from tests.lab.link import Link, WeakLink
from tests.lab.network import MODEM_RULES, OCTET, PUBLIC, Network
from tests.lab.probe import unavailable
from tests.lab.spaces import Space
from tests.lab.vm import Machine

__all__ = ["OCTET", "PUBLIC", "ROUTER", "Lab", "Unavailable", "unavailable"]

ROUTER: Final = "router"
"""The account whose login shell is vtysh."""
MODEL: Final = "Lab receiver"
_ROOT: Final = Path(__file__).resolve().parents[2]
_INOTIFY: Final = Path("/proc/sys/fs/inotify/max_user_instances")
_INOTIFY_PER_HOST: Final = 16


class Lab:
    """A network of hosts around one operations centre; a context manager. ``hosts`` in the order they were made."""

    noc: Space

    def __init__(self, user: str = SETUPS["loa-receiver"].user) -> None:
        self.id = f"loa-lab-{os.getpid()}-{secrets.token_hex(3)}"
        self.user = user
        self.folder = keeper.folder(self.id)
        self.key = self.folder / "key"
        self.known_hosts = self.folder / "known_hosts"
        self.ssh_config = self.folder / "ssh_config"
        self.hosts: list[Host] = []
        self._lans: dict[str, str] = {}
        self._public = ""

    def __enter__(self) -> Self:
        """Raises Unavailable with the reason where there can be no lab."""
        reason = unavailable()
        if reason is not None:
            raise Unavailable(reason)
        image()
        with keeper.starting():
            keeper.sweep()
            self.folder.mkdir(mode=0o700)
            command = ["unshare", "--mount", "--net", sys.executable, "-m", "tests.lab.keeper", self.id]
            self._keeper = subprocess.Popen(
                command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
            )
            assert self._keeper.stdout is not None
            if self._keeper.stdout.readline().strip() != "ready":
                raise RuntimeError("the lab's keeper did not start")
        try:
            self._network = Network(self.id, self._keeper.pid)
        except BaseException:
            self._end()
            raise
        self.noc = self._network.noc
        private, self._public = _key_pair()
        self.key.touch(mode=0o600)
        self.key.write_text(private)
        self.ssh_config.write_text(
            f"User {self.user}\nIdentityFile {self.key}\nIdentitiesOnly yes\nUserKnownHostsFile {self.known_hosts}\n"
            "BatchMode yes\nConnectTimeout 30\nLogLevel ERROR\n"
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Everything the lab started is killed, everything it made is gone when this returns."""
        self._end()

    def _end(self) -> None:
        self._keeper.communicate(timeout=120)
        for host in self.hosts:
            host.close()

    def host(
        self,
        device: str,
        *,
        address: str | None = None,
        behind: Host | None = None,
        carrier: bool = False,
        link: Link | None = None,
        serial: str | None = None,
        model: str = MODEL,
        disk_mb: int = 512,
    ) -> Host:
        """A factory-fresh host, booting. Its address: given, the modem's to give, the carrier's, or the overlay's.

        ``link`` makes its cable, or its radio to the carrier, a weak one. ``serial``, on its board, is ``SN-`` and the
        device's id if not given. ``disk_mb`` can really be filled.
        """
        wanted = _Wanted(device, address, behind, carrier, link, serial or f"SN-{device}", model, disk_mb)
        return self._made(wanted, self._keys(self.user))

    def modem(self, device: str, *, address: str | None = None, carrier: bool = True, link: Link | None = None) -> Host:
        """A host that NATs for hosts ``behind`` it and lets nothing in to them; ``carrier=False``: on the bench."""
        files = {
            "/etc/sysctl.d/50-modem.conf": ("net.ipv4.ip_forward = 1\n", 0o644),
            "/etc/nftables.conf": (MODEM_RULES, 0o755),
        }
        wanted = _Wanted(device, address, None, carrier, link, f"SN-{device}")
        made = self._made(wanted, self._keys(self.user) | files, {"nftables": "sysinit"})
        self._lans[made.name] = self._network.lan(made.space, len(self.hosts))
        return made

    def router(self, name: str, *, address: str | None = None, link: Link | None = None) -> Host:
        """A host with FRR: logging in as ``ROUTER`` leads to its vtysh, not to a shell."""
        wanted = _Wanted(name, address, None, False, link, f"SN-{name}")
        return self._made(wanted, self._keys(self.user, ROUTER), {"frr": "multi-user"})

    def hub(self, name: str, binds: Mapping[Path, str]) -> Host:
        """A machine for a hub, with its packages from Debian. ``binds``: this machine's folders, where it has them."""
        wanted = _Wanted(name, "10.0.0.9", None, False, None, f"SN-{name}", disk_mb=2048, recipe=HUB)
        return self._made(wanted, self._keys(self.user), binds=binds)

    def machine(self, device: str) -> Machine:
        """A virtual machine with Debian's kernel and a sound card, booting, at the device's address in the overlay."""
        wanted = _Wanted(device, None, None, False, None, f"SN-{device}", recipe=MACHINE)
        address = overlay.address(DeviceId(device), OCTET)
        files = self._keys(self.user) | Machine.files(address, overlay.hub_address(OCTET))
        number = self._next()
        wiring = self._network.plugged(number, address)
        disk = self._disk(number, wanted, files, {"systemd-networkd": "multi-user"})
        group, keeper_id = f"{self.id}/h{number}", self._keeper.pid
        made = Machine(wanted.name, group, self.noc, wiring, disk, keeper_id, self.ssh_config, (MODEL, wanted.serial))
        self._known(made)
        return made

    def ready(self) -> None:
        """Waits until every host's sshd answers. Raises TimeoutError."""
        for host in self.hosts:
            host.wait()

    def ssh(self, host: Host, *command: str, user: str = "", address: str = "") -> list[str]:
        """What to run in ``noc`` to run ``command`` on the host; ``address`` where it is not reached at its own."""
        account = ["-l", user] if user else []
        place = [f"-oHostName={address}"] if address else []
        return ["ssh", "-F", str(self.ssh_config), *account, *place, host.name, *command]

    def _made(
        self,
        wanted: _Wanted,
        files: Mapping[str, File],
        units: Mapping[str, str] | None = None,
        binds: Mapping[Path, str] | None = None,
    ) -> Host:
        number = self._next()
        space = self._network.space(f"h{number}")
        wiring, link = self._wired(wanted, space, number)
        disk = self._disk(number, wanted, files, units or {})
        group = f"{self.id}/h{number}"
        host = Host(wanted.name, group, space, wiring, disk, self._keeper.pid, link, binds or {})
        self._known(host)
        return host

    def _next(self) -> int:
        number = len(self.hosts) + 1
        _spare_inotify(number)
        return number

    def _disk(self, number: int, wanted: _Wanted, files: Mapping[str, File], units: Mapping[str, str]) -> Path:
        """A disk as the factory leaves it, with the keys and the identity of its own."""
        place = self.folder / keeper.HOSTS / f"h{number}"
        disk = lay(self._keeper.pid, place, image(wanted.recipe), wanted.disk_mb)
        furnish(disk, {**files, **_identity(wanted, *_key_pair())})
        enable(disk, units)
        return disk

    def _known(self, host: Host) -> None:
        """Makes it one of the lab's and switches it on."""
        self.hosts.append(host)
        with self.known_hosts.open("a") as known, self.ssh_config.open("a") as config:
            known.write(f"{host.name},{host.address} {host.host_key}\n")
            config.write(f"Host {host.name}\n  HostName {host.address}\n  HostKeyAlias {host.name}\n")
        host.power_on()

    def _wired(self, wanted: _Wanted, space: Space, number: int) -> tuple[Wiring, WeakLink | None]:
        if wanted.behind is not None:
            gateway = self._lans[wanted.behind.name]
            return self._network.behind(wanted.behind.space, space, number, gateway, wanted.link)
        if wanted.carrier:
            return self._network.carried(space, number, wanted.link)
        address = wanted.address or overlay.address(DeviceId(wanted.name), OCTET)
        return self._network.direct(space, number, address, wanted.link)

    def _keys(self, *users: str) -> dict[str, File]:
        return {f"~{user}/.ssh/authorized_keys": (self._public, 0o600) for user in users}


@dataclass(frozen=True, slots=True)
class _Wanted:
    name: str
    address: str | None
    behind: Host | None
    carrier: bool
    link: Link | None
    serial: str
    model: str = MODEL
    disk_mb: int = 512
    recipe: Recipe = DEVICE


def _key_pair() -> tuple[str, str]:
    """A new private key, and its public line."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode(), public + "\n"


def _identity(wanted: _Wanted, private: str, public: str) -> dict[str, File]:
    """What tells a host from all others; sudo finds its name without asking a name server."""
    name = wanted.name.lower()
    return {
        "/etc/hostname": (f"{name}\n", 0o644),
        "/etc/hosts": (f"127.0.0.1 localhost\n127.0.1.1 {name}\n", 0o644),
        "/usr/lib/hardware/dmi/id/product_name": (f"{wanted.model}\n", 0o444),
        "/usr/lib/hardware/dmi/id/product_serial": (f"{wanted.serial}\n", 0o444),
        "/etc/ssh/ssh_host_ed25519_key": (private, 0o600),
        "/etc/ssh/ssh_host_ed25519_key.pub": (public, 0o644),
    }


def _spare_inotify(hosts: int) -> None:
    """Every systemd watches files; Linux allows all of them together 128 watchers."""
    needed = 128 + _INOTIFY_PER_HOST * hosts
    if hosts > 20 and int(_INOTIFY.read_text()) < needed:
        _INOTIFY.write_text(str(2 * needed))
