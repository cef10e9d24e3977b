"""A stand-in of an OpenWrt modem: a real shell on a real terminal, in a folder of its own, with a ``uci`` of ours.

The shell is busybox', as OpenWrt's, where the machine has it, with its line editor; else the machine's ``sh``. So
quoting, here-documents, jobs that outlive the session, and files are real. Paths below ``/etc`` and ``/tmp`` are
rewritten into the folder on their way to the shell, and back on the way out. ``uci``, ``reload_config``, ``sync`` and
``rc.common`` are the scripts below, made after openwrt.org's description, not OpenWrt's code.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

import paramiko  # type: ignore[import-untyped]

from tests.sim.cli_uci_tree import UciTree

FACTORY: Final = {
    "network": {
        "network.loopback": "interface",
        "network.loopback.device": "lo",
        "network.lan": "interface",
        "network.lan.ipaddr": "192.168.1.1",
        "network.wwan": "interface",
        "network.wwan.proto": "qmi",
        "network.wwan.apn": "v-internet",
        "network.wwan.username": "mob",
        "network.wwan.password": "bí mật của nhà mạng",
        "network.loa": "interface",
        "network.loa.proto": "wireguard",
        "network.loa.private_key": "SFsxSGqx6yHbrrQXJUoiLmTP5p8gDbAcrTBwFQ+rM2k=",
    },
    "system": {
        "system.@system[0]": "system",
        "system.@system[0].hostname": "OpenWrt",
        "system.@system[0].description": "Buôn Chư Tê, xã Ia Rsai – 'cầu tràn'",
        "system.ntp": "timeserver",
        "system.ntp.server": "- 0.openwrt.pool.ntp.org\n- 1.openwrt.pool.ntp.org",
    },
    "firewall": {
        "firewall.@zone[0]": "zone",
        "firewall.@zone[0].name": "lan",
        "firewall.@zone[0].network": "- lan",
        "firewall.@rule[0]": "rule",
        "firewall.@rule[0].name": "Allow-Ping",
    },
}
BANNER: Final = "\r\nBusyBox v1.36.1 (stand-in) built-in shell (ash)\r\n\r\n"
_SHIMS: Final = {
    "uci": '#!/bin/sh\nexec {python} -I -S {tree} "$LOA_SIM/etc/config" "$@"\n',
    "reload_config": (
        '#!/bin/sh\nrm -rf "$LOA_SIM/run/next"; cp -a "$LOA_SIM/etc/config" "$LOA_SIM/run/next"\n'
        'rm -rf "$LOA_SIM/run/applied"; mv "$LOA_SIM/run/next" "$LOA_SIM/run/applied"\n'
    ),
    "sync": "#!/bin/sh\n",
    "mnf_info": "#!/bin/sh\necho 1122334455\n",
}
_SLEEP: Final = '#!/bin/sh\nexec /bin/sleep "$(awk "BEGIN {{ print $1 / {haste} }}")"\n'
_APPLETS: Final = ("sh", "cat", "chmod", "cp", "ln", "mkdir", "mv", "rm")
_PATHS: Final = re.compile(rb"/(?:etc|tmp)/")
_SERVICE: Final = '#!/bin/sh\necho "$1" >> "$LOA_SIM/run/snmpd"\n'


class UciBox:
    """The device's flash, processes and console. ``trickle``: bytes that a slow link carries at a time (0: any)."""

    def __init__(self, folder: Path, haste: int = 1) -> None:
        """``haste``: how much faster than real time it waits."""
        self.folder = folder
        self.trickle = 0
        self._apn = ""
        self._shells: set[int] = set()
        for name in ("etc/config", "etc/rc.d", "etc/init.d", "tmp/sysinfo", "run", "bin"):
            (folder / name).mkdir(parents=True)
        tree = Path(sys.modules[UciTree.__module__].__file__ or "").resolve()
        for name, text in _SHIMS.items():
            self._program(f"bin/{name}", text.format(python=sys.executable, tree=tree) if name == "uci" else text)
        busybox = shutil.which("busybox")
        for applet in _APPLETS if busybox else ():
            self._program(f"bin/{applet}", f'#!/bin/sh\nexec {busybox} {applet} "$@"\n')
        self._program("bin/sleep", _SLEEP.format(haste=haste))
        self._program("etc/init.d/snmpd", _SERVICE)
        (folder / "etc/rc.common").write_text('. "$1"; "$2"\n')
        (folder / "etc/openwrt_release").write_text("DISTRIB_DESCRIPTION='OpenWrt 23.05.3 r23809 (stand-in)'\n")
        (folder / "tmp/sysinfo/model").write_text("GL.iNet GL-X750\n")
        for name, options in FACTORY.items():
            UciTree.of(options).save(folder / "etc/config" / name)

    def _program(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o755)

    # -- the device

    def apn(self) -> str:
        with suppress(FileNotFoundError):  # between the old configuration and the new one
            self._apn = UciTree.load(self.folder / "run/applied/network").named("network").get("network.wwan.apn", "")
        return self._apn

    def options(self) -> dict[str, str]:
        """The configuration in flash."""
        found: dict[str, str] = {}
        for path in sorted((self.folder / "etc/config").iterdir()):
            found |= UciTree.load(path).named(path.name)
        return found

    def exported(self) -> str:
        files = sorted((self.folder / "etc/config").iterdir())
        return "".join(UciTree.load(path).export(path.name) for path in files)

    def power_on(self) -> None:
        """Init scripts in their order, then services with the configuration that is there."""
        shutil.rmtree(self.folder / "run")
        (self.folder / "run").mkdir()
        for script in sorted((self.folder / "etc/rc.d").iterdir()):
            command = ["sh", str(self.folder / "etc/rc.common"), str(script.resolve()), "boot"]
            subprocess.run(command, env=self._environment(), check=False, stdin=subprocess.DEVNULL)
        subprocess.run([self.folder / "bin/reload_config"], env=self._environment(), check=True)

    def power_off(self) -> None:
        """Every process of this device dies, wherever it is."""
        mark = f"LOA_SIM={self.folder}\0".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and _holds(entry / "environ", mark):
                try:
                    os.kill(int(entry.name), signal.SIGKILL)
                except ProcessLookupError:
                    continue

    # -- the console

    def talk(self, user: str, channel: paramiko.Channel) -> None:
        master, slave = pty.openpty()
        shell = subprocess.Popen(
            ["sh", "-i"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=self._environment(),
            cwd=self.folder,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(slave)
        reaper = threading.Thread(target=shell.wait, daemon=True)
        reaper.start()
        try:
            channel.sendall(BANNER.encode())
            self._relay(channel, master)
        finally:
            os.close(master)  # the terminal hangs up, as it does at the end of a session

    def _relay(self, channel: paramiko.Channel, master: int) -> None:
        typed = bytearray()
        root = str(self.folder).encode()
        while True:
            ready, _, _ = select.select([channel, master], [], [], 30)
            if channel in ready:
                data = channel.recv(65536)
                if not data:
                    return
                typed += data
                cut = max(typed.rfind(b"\n"), typed.rfind(b"\x04")) + 1
                line, typed = bytes(typed[:cut]), typed[cut:]
                _write_all(master, _PATHS.sub(lambda match: root + match[0], line))
            if master in ready:
                self._send(channel, os.read(master, 65536).replace(root, b""))

    def _send(self, channel: paramiko.Channel, data: bytes) -> None:
        step = self.trickle or len(data) or 1
        for start in range(0, len(data), step):
            channel.sendall(data[start : start + step])

    def _environment(self) -> dict[str, str]:
        path = f"{self.folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {"LOA_SIM": str(self.folder), "PATH": path, "PS1": "root@Chu-Te:~# ", "HOME": str(self.folder)}


def _take_terminal() -> None:
    import fcntl

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data[:1024]) :]


def _holds(path: Path, mark: bytes) -> bool:
    try:
        return mark in path.read_bytes()
    except OSError:
        return False
