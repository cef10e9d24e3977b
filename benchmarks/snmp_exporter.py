"""The peer of the sweep's benchmark: Prometheus' snmp_exporter asked over HTTP for the same OIDs of the same agents."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import yaml

from benchmarks.measure import cpu
from nms.monitor.profiles import Kind, Profile
from nms.monitor.snmp.asn1 import oid_text

COMMAND: Final = "prometheus-snmp-exporter"
CLIENTS: Final = 16
_TYPES: Final = {Kind.TEXT: "DisplayString", Kind.HEX: "OctetString"}


@dataclass(frozen=True)
class Scraped:
    """CPU microseconds per device of the exporter's process, and seconds of all."""

    cpu_us: float
    seconds: float


def installed() -> bool:
    return shutil.which(COMMAND) is not None


def config(profile: Profile, community: str, login: tuple[str, str, str]) -> dict[str, object]:
    """One module per version, asking for the profile's OIDs; ``login``: user, authentication and privacy password."""
    name, auth, priv = login
    metrics = [
        {"name": c.metric, "oid": oid_text(c.oid), "type": _TYPES.get(c.kind, "gauge"), "help": c.metric}
        for c in profile.columns
    ]
    common = {"get": [oid_text(oid) for oid in profile.oids], "metrics": metrics, "retries": 1, "timeout": "2s"}
    user = {"username": name, "security_level": "authPriv", "password": auth, "auth_protocol": "SHA256"}
    return {
        "v2c": common | {"version": 2, "auth": {"community": community}},
        "v3": common | {"version": 3, "auth": user | {"priv_protocol": "AES", "priv_password": priv}},
    }


@contextmanager
def running(folder: Path, modules: dict[str, object]) -> Iterator[Exporter]:
    """The exporter on a free port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    path = folder / "snmp.yml"
    path.write_text(yaml.safe_dump(modules), encoding="utf-8")
    command = [COMMAND, f"--config.file={path}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with (folder / "exporter.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            exporter = Exporter(process.pid, port)
            exporter.wait()
            yield exporter
        finally:
            process.terminate()


class Exporter:
    def __init__(self, pid: int, port: int) -> None:
        self._pid = pid
        self._port = port

    def wait(self) -> None:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self._port)).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise SystemExit(f"{COMMAND} does not start")

    def measure(self, module: str, agents: Sequence[tuple[str, int]], metric: str) -> Scraped:
        """Scrapes every agent; SystemExit if one answer lacks ``metric``."""
        began, before = time.perf_counter(), cpu(self._pid)
        with ThreadPoolExecutor(CLIENTS) as pool:
            shares = [agents[n::CLIENTS] for n in range(CLIENTS)]
            good = sum(pool.map(lambda share: self._scrape(module, share, metric), shares))
        if good != len(agents):
            raise SystemExit(f"{COMMAND} had {good} answers of {len(agents)}")
        return Scraped((cpu(self._pid) - before) / len(agents) * 1e6, time.perf_counter() - began)

    def _scrape(self, module: str, agents: Sequence[tuple[str, int]], metric: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        good = 0
        for address, port in agents:
            connection.request("GET", f"/snmp?module={module}&target={quote(f'{address}:{port}')}")
            answer = connection.getresponse()
            good += f"\n{metric} ".encode() in answer.read() and answer.status == 200
        connection.close()
        return good
