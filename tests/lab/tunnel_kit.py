"""WireGuard in the centre of a lab: wireguard-go, which is a program, where the kernel has none."""

from __future__ import annotations

import secrets
import subprocess
import time
from pathlib import Path

from tests.lab.spaces import Space


class Interface:
    """A WireGuard interface in ``space``, until ``close``.

    Its control socket is the whole machine's, so its name is its own: ``wg`` takes away the socket of a name that
    nobody answers to, be it just being made.
    """

    def __init__(self, space: Space) -> None:
        self.name = f"loa-{secrets.token_hex(4)}"
        self._socket = Path("/var/run/wireguard", f"{self.name}.sock")
        command = ["wireguard-go", "--foreground", self.name]
        self._process = space.popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not self._socket.exists() or space.run(["wg", "show", self.name], check=False).returncode != 0:
            assert time.monotonic() < deadline, "wireguard-go does not begin"
            time.sleep(0.05)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._socket.unlink(missing_ok=True)
