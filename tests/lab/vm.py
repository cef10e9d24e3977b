"""A host with a kernel of its own: a virtual machine (QEMU) with Debian's kernel, and a sound card in it.

It is for what the machine's own kernel lacks. Both ends of the card, ALSA's loopback, are in it: what is played on
``Loopback,0`` is recorded from ``Loopback,1``. Its root is the host's disk as the factory left it; what it writes stays
in its own memory, so that a power cut makes it factory-fresh again.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple

from tests.lab.disk import File
from tests.lab.host import Host, Wiring
from tests.lab.spaces import Space

QEMU: Final = "qemu-system-x86_64"
_KVM: Final = Path("/dev/kvm")
_MEMORY: Final = "1024"
"""MiB; half of it is the most that it can write."""
_KERNEL_LINE: Final = "boot=lab console=ttyS0 quiet panic=-1 net.ifnames=0 systemd.mask=serial-getty@ttyS0.service"
_FIRST: Final = "-15"
_ASKED: Final = 20
_CABLE: Final = """\
[Match]
Name=eth0

[Network]
Address={address}/8
Gateway={gateway}
LinkLocalAddressing=no
IPv6AcceptRA=no
"""


class _Asked(NamedTuple):
    stdin: IO[str]
    stdout: IO[str]


class Machine(Host):
    """A running virtual machine. ``disk`` is what it booted from; ``read``, ``write`` and ``exec`` go through its sshd.

    ``board``: model and serial number, which its firmware tells.
    """

    def __init__(
        self,
        name: str,
        group: str,
        centre: Space,
        wiring: Wiring,
        disk: Path,
        keeper: int,
        ssh_config: Path,
        board: tuple[str, str],
    ) -> None:
        super().__init__(name, group, centre, wiring, disk, keeper, None, {})
        self._ssh = ("ssh", "-F", str(ssh_config), "-l", "root", name)
        self._board = board

    def power_on(self) -> None:
        """Boots it, before others on this machine: its sound card knows no patience."""
        super().power_on()
        assert self._boot is not None
        group = Path(f"/proc/{self._boot.pid}/autogroup")
        if group.exists():
            group.write_text(_FIRST)

    @staticmethod
    def files(address: str, gateway: str) -> dict[str, File]:
        """What is on its disk before the first boot: its cable, as the factory's DHCP would configure it."""
        return {"/etc/systemd/network/cable.network": (_CABLE.format(address=address, gateway=gateway), 0o644)}

    def exec(
        self, program: Sequence[str], *, input: str | None = None, check: bool = True, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        self.wait()
        return self.space.run([*self._ssh, shlex.join(program)], input=input, check=check, timeout=timeout)

    def clock_error(self) -> float:
        """Seconds that its clock is ahead of the centre's: the word that was under way for the shortest time counts."""
        asked = []
        with self._clock() as process:
            for _ in range(_ASKED):
                before = time.time()
                print(file=process.stdin, flush=True)
                told = float(process.stdout.readline())
                took = time.time() - before
                asked.append((took, told - before - took / 2))
        return min(asked)[1]

    def set_clock(self) -> None:
        """Puts its clock right: a machine's own begins with the whole second."""
        error = self.clock_error()
        self.exec(["python3", "-c", f"import time; time.clock_settime(0, time.time() - {error!r})"])

    @contextmanager
    def _clock(self) -> Iterator[_Asked]:
        """A program in it that answers each line with the time."""
        program = "import sys, time; [print(time.time(), flush=True) for _ in sys.stdin]"
        command = self.space.command([*self._ssh, shlex.join(["python3", "-c", program])])
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            yield _Asked(process.stdin, process.stdout)
            process.stdin.close()

    def _on_disk(self, script: str, *arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        return self.exec(["sh", "-c", script, "sh", *arguments], input=input)

    @property
    def _door(self) -> str:
        return self.address

    def _ground(self) -> Path:
        return self.space.net

    def _wire(self) -> None:
        self.space.run(["ip", "link", "set", self._wiring.port, "up"])

    def _boots(self) -> list[str]:
        model, serial = self._board
        port, root = self._wiring.port, self._root
        kernel, first = (next((self.disk / "boot").glob(f"{name}-*")).name for name in ("vmlinuz", "initrd.img"))
        accelerated = _accelerated()
        return [
            *("nice", "-n", _FIRST),
            QEMU,
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            *("-accel", "kvm" if accelerated else "tcg,thread=multi"),
            *("-cpu", "host" if accelerated else "max"),
            *("-smp", "2", "-m", _MEMORY, "-display", "none", "-serial", "stdio"),
            *("-smbios", f"type=1,product={model},serial={serial}"),
            *("-kernel", f"{root}/boot/{kernel}", "-initrd", f"{root}/boot/{first}", "-append", _KERNEL_LINE),
            *("-virtfs", f"local,path={root},mount_tag=disk,security_model=passthrough,readonly=on,multidevs=remap"),
            *("-netdev", f"tap,id=cable,ifname={port},script=no,downscript=no"),
            *("-device", f"virtio-net-pci,netdev=cable,romfile=,mac=52:54:00:00:00:{int(port[1:]):02x}"),
        ]


def _accelerated() -> bool:
    """Whether the processor itself runs machines. A virtual one may have /dev/kvm for kernels made for it alone."""
    flags = Path("/proc/cpuinfo").read_text().split()
    return os.access(_KVM, os.R_OK | os.W_OK) and not {"vmx", "svm"}.isdisjoint(flags)
