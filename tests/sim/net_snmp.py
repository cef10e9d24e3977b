"""A real net-snmp agent on loopback, with a configuration of our own."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def net_snmp(folder: Path, lines: str, community: str = "loa") -> Iterator[int]:
    """The port of a running agent. It may still be starting: whoever asks asks again."""
    port = free_udp_port()
    config = folder / "snmpd.conf"
    config.write_text(f"rocommunity {community} 127.0.0.1\n{lines}", encoding="utf-8")
    command = ["snmpd", "-f", "-Lo", "-C", "-c", str(config), "-p", str(folder / "pid"), f"udp:127.0.0.1:{port}"]
    environment = os.environ | {"SNMP_PERSISTENT_DIR": str(folder), "MIBS": "", "PYTHONPATH": str(ROOT)}
    with (folder / "snmpd.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    with process:
        try:
            yield port
        finally:
            process.terminate()
