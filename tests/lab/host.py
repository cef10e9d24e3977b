"""One host of a lab: a systemd of its own on an overlay of the factory's image, with power, a cable and a disk."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab import cgroups
from tests.lab.link import WeakLink
from tests.lab.spaces import Space, finished

CABLE: Final = "host0"
"""The host's own end of its cable, or of its radio."""
_ENVIRONMENT: Final = (
    "env",
    "-i",
    "HOME=/root",
    "LANG=C.UTF-8",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
)
_NSPAWN: Final = ("env", "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network", "systemd-nspawn")
"""``sysctl net...`` inside is the host's own; the machine's kernel settings stay read-only."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """How the host hangs on the network: its address with prefix, its gateway, and the other end of its cable.

    ``exposed``: the centre reaches it at that address.
    """

    address: str
    gateway: str
    port_space: Space
    port: str
    onlink: bool = False
    exposed: bool = True


class Host:
    """A running host. ``disk`` is its file system as seen from the machine, whether its power is on or not."""

    def __init__(
        self,
        name: str,
        group: str,
        space: Space,
        wiring: Wiring,
        disk: Path,
        keeper: int,
        link: WeakLink | None,
        binds: Mapping[Path, str],
    ) -> None:
        self.name = name
        self.space = space
        self.disk = disk
        self._group = group
        self._wiring = wiring
        self._keeper = keeper
        self._link = link
        self._binds = binds
        self._boot: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return self._wiring.address.partition("/")[0]

    @property
    def exposed(self) -> bool:
        """Whether it is reached from the centre without a tunnel."""
        return self._wiring.exposed

    @property
    def host_key(self) -> str:
        """The public key that its sshd shows, as in ``known_hosts``: ``ssh-ed25519 AAAA...``."""
        return (self.disk / "etc/ssh/ssh_host_ed25519_key.pub").read_text().strip()

    @property
    def link(self) -> WeakLink:
        """The weak link that it hangs on. Raises ValueError for a host on a plain cable."""
        if self._link is None:
            raise ValueError(f"{self.name} hangs on a plain cable")
        return self._link

    def power_on(self) -> None:
        """Boots from what is on the disk; ``wait`` waits for it."""
        if self._boot is not None:
            raise ValueError(f"{self.name} has its power on")
        self._wire()
        command = ["nsenter", f"--target={self._keeper}", "--mount", *self._boots()]
        own = Space(self._ground(), tuple(cgroups.make(self._group)))
        with (self.disk.parent / "console").open("ab") as console:
            self._boot = own.popen(command, stdout=console, stderr=console)

    def cut(self) -> None:
        """Takes the power away: every process is killed at once, and the cable is dead."""
        if self._boot is None:
            raise ValueError(f"{self.name} has no power to cut")
        self._wiring.port_space.run(["ip", "link", "set", self._wiring.port, "down"])
        cgroups.kill(self._group)
        self._boot.wait()
        self._boot = None
        cgroups.remove(self._group)

    def wait(self, seconds: float = 120) -> None:
        """Until its sshd answers inside. Raises TimeoutError with the console's last lines if it does not."""
        deadline = time.monotonic() + seconds
        while not self._answers():
            if time.monotonic() > deadline or self._boot is None or self._boot.poll() is not None:
                console = (self.disk.parent / "console").read_text(errors="replace")
                ended = self._boot and self._boot.poll()
                how = "" if ended is None else f", it ended with {ended}"
                raise TimeoutError(f"{self.name} does not come up{how}:\n{console[-2000:]}")
            time.sleep(0.05)

    def exec(
        self, program: Sequence[str], *, input: str | None = None, check: bool = True, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program inside as root, once it is up, for assertions. Raises RuntimeError as ``Space.run`` does."""
        self.wait()
        spaces = ["--mount", "--uts", "--ipc", "--net", "--pid"]
        command = ["nsenter", f"--target={self._first_process()}", *spaces, *_ENVIRONMENT, *program]
        return finished(command, input=input, check=check, timeout=timeout)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Writes a file of root's onto the disk, with its folders, power or not; /run and /tmp are not on the disk."""
        self._on_disk('mkdir -p "${1%/*}" && cat >"$1" && chmod "$2" "$1"', path, f"{mode:o}", input=text)

    def read(self, path: str) -> str:
        """A text from the disk, power or not. Raises RuntimeError if there is no such file."""
        return self._on_disk('cat "$1"', path).stdout

    def close(self) -> None:
        """Forgets what the lab's end has killed."""
        if self._link is not None:
            self._link.close()
        if self._boot is not None:
            self._boot.wait()

    def bytes(self) -> tuple[int, int]:
        """What its cable has received and sent since the host was made, without the link's losses on the way out."""
        for line in self.space.run(["cat", "/proc/thread-self/net/dev"]).stdout.splitlines():
            name, _, numbers = line.strip().partition(":")
            if name == CABLE:
                return int(numbers.split()[0]), int(numbers.split()[8])
        raise LookupError(f"{self.name} has no {CABLE}")

    def _on_disk(self, script: str, *arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        """A shell on the disk, as its root: the disk's absolute links lead to places on the disk."""
        command = ["nsenter", f"--target={self._keeper}", "--mount", "chroot", self._root, "sh", "-c", script, "sh"]
        return finished([*command, *arguments], input=input)

    @property
    def _door(self) -> str:
        """Its sshd's address, as seen from its space."""
        return "127.0.0.1"

    @property
    def _root(self) -> str:
        """The disk's place in the lab's own mount namespace."""
        return str(self.disk).removeprefix(f"/proc/{self._keeper}/root")

    def _ground(self) -> Path:
        """The network namespace that what boots it is started in."""
        return Path("/proc/self/ns/net")

    def _boots(self) -> list[str]:
        """What runs while its power is on."""
        return [
            *_NSPAWN,
            "--quiet",
            f"--directory={self._root}",
            f"--machine={self._group.replace('/', '-')}",
            f"--hostname={self.name.lower()}",
            f"--network-namespace-path=/run/netns/{self.space.net.name}",
            "--register=no",
            "--keep-unit",
            "--link-journal=no",
            "--resolv-conf=off",
            "--timezone=off",
            "--console=pipe",
            "--kill-signal=SIGRTMIN+3",
            "--capability=CAP_NET_ADMIN",  # a namespace given by path is otherwise taken for the machine's own
            "--bind=/dev/net/tun",
            *(f"--bind-ro={here}:{there}" for here, there in self._binds.items()),
            "--boot",
        ]

    def _wire(self) -> None:
        """Address and routes as the factory's DHCP would give them; nothing of an earlier boot stays in the kernel."""
        wiring, far = self._wiring, ("onlink",) if self._wiring.onlink else ()
        wiring.port_space.run(["ip", "link", "set", wiring.port, "up"])
        self.space.run(["nft", "flush", "ruleset"])
        self.space.run(["ip", "addr", "flush", "dev", CABLE])
        self.space.run(["ip", "addr", "add", wiring.address, "dev", CABLE])
        self.space.run(["ip", "link", "set", CABLE, "up"])
        self.space.run(["ip", "route", "replace", "default", "via", wiring.gateway, "dev", CABLE, *far])

    def _answers(self) -> bool:
        with self.space.entered():
            try:
                with socket.create_connection((self._door, 22), 5) as connection:
                    return connection.recv(4) == b"SSH-"
            except OSError:
                return False

    def _first_process(self) -> int:
        """The id, on this machine, of the host's process 1."""
        for pid in cgroups.processes(self._group):
            numbers = _numbers(pid)
            if len(numbers) > 1 and numbers[-1] == "1":
                return pid
        raise LookupError(f"{self.name} has no process 1")


def _numbers(pid: int) -> Sequence[str]:
    """The process's ids in the nested process namespaces, the outermost first."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ()
    return next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), ())
