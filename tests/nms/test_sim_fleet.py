"""The simulated fleet as a process of its own, asked and told to fail as the demo does it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from inventory.load import load
from inventory.model import Device, DeviceId
from inventory.overlay import address
from nms.monitor.profiles import load_profiles
from nms.monitor.snmp.sweep import Outcome, Reading, Silence, Sweeper, Target
from nms.monitor.snmp.usm import Community

ROOT = Path(__file__).parents[2]
ON = date(2024, 10, 1)
FILES = {
    "network.yaml": "province: '64'\nname: Gia Lai\nas_of: 2024-10-01\noverlay: 10\nprofiles: [loa-receiver, rutos]\n",
    "units.yaml": """units:
  - {id: '64', code: '64', name: Tỉnh Gia Lai, type: province}
  - {id: '622', code: '622', name: Thành phố Pleiku, type: city, parent: '64'}
  - {id: '23557', code: '23557', name: Phường Yên Đỗ, type: ward, parent: '622'}
""",
    "grid.yaml": "sessions: []\n",
    "groups.yaml": "groups: []\n",
    "people.yaml": "people: []\n",
    "targets.yaml": "document: none\nindicators: []\n",
}
SIM = "sim: {{number: '09{n:08d}', iccid: '8984{n:015d}', plan: M2M, operator: Viettel}}"


def station() -> str:
    """Six loudspeakers with their own SIM in one hamlet (so on one cell), a modem with one loudspeaker behind it."""
    lines = [
        "unit: '23557'",
        "station: {technologies: [{technology: ip, from: 2023-01-01}]}",
        "hamlets: [{id: 23557-H01, name: Tổ dân phố 1, word: tổ dân phố}]",
        "modems:",
        "  - {id: 23557-M01, hamlet: 23557-H01, profile: rutos, in_service: 2024-01-01, " + SIM.format(n=99) + "}",
        "loudspeakers:",
    ]
    for n in range(1, 8):
        link = "uplink: 23557-M01" if n == 7 else SIM.format(n=n)
        area = ", power_area: PC-622-03" if n <= 2 else ""
        lines.append(
            f"  - {{id: 23557-L{n:02d}, hamlet: 23557-H01, profile: loa-receiver, in_service: 2024-01-01, "
            f"{link}{area}}}"
        )
    return "\n".join(lines) + "\n"


@dataclass
class Sim:
    process: subprocess.Popen[str]
    port: int
    control: Path
    devices: dict[DeviceId, Device]
    sweeper: Sweeper

    def order(self, **order: object) -> dict[str, object]:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.control))
            sock.sendall(json.dumps(order).encode() + b"\n")
            with sock.makefile(encoding="utf-8") as lines:
                answer = json.loads(lines.readline())
        assert isinstance(answer, dict)
        return answer

    def ask(self, community: bytes = "quê-hương".encode()) -> dict[DeviceId, Outcome]:
        profiles = load_profiles()[0]
        targets = [
            Target(d.id, address(d.id, 127), self.port, Community(community), profiles[d.profile])
            for d in self.devices.values()
        ]
        return dict(self.sweeper.sweep(targets).outcomes)

    def silent(self) -> set[str]:
        return {d for d, outcome in self.ask().items() if isinstance(outcome, Silence)}


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Sim]:
    folder = tmp_path / "province"
    (folder / "stations").mkdir(parents=True)
    for name, content in {**FILES, "stations/23557-yen-do.yaml": station()}.items():
        (folder / name).write_text(content, encoding="utf-8")
    network, diagnostics = load(folder)
    assert network is not None, [d.text() for d in diagnostics]
    (tmp_path / "community").write_text("quê-hương\n", encoding="utf-8")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    control = tmp_path / "control"
    command = [sys.executable, "-m", "tests.sim.fleet", "--inventory", str(folder), "--port", str(port)]
    command += ["--control", str(control), "--community-file", str(tmp_path / "community"), "--on", ON.isoformat()]
    sweeper = Sweeper("127.0.0.1", timeout=0.25, retries=0)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready 8 devices\n"
        yield Sim(process, port, control, dict(network.devices), sweeper)
        process.terminate()
    sweeper.close()


def test_every_device_answers_until_it_is_told_to_fail(sim: Sim) -> None:
    assert all(isinstance(outcome, Reading) and not outcome.odd for outcome in sim.ask().values())
    assert sim.order(fail=["23557-M01"])["silent"] == ["23557-L07", "23557-M01"]
    assert sim.silent() == {"23557-L07", "23557-M01"}
    assert sim.order(heal=["23557-M01"])["silent"] == []
    assert sim.order(fail_power="PC-622-03")["silent"] == ["23557-L01", "23557-L02"]
    assert sim.silent() == {"23557-L01", "23557-L02"}
    assert sim.order(heal="all")["silent"] == []
    assert sim.silent() == set()


def test_a_failed_cell_takes_everything_that_hangs_on_it(sim: Sim) -> None:
    listed = sim.order(cells=True)
    cells, behind = listed["cells"], listed["behind"]
    assert isinstance(cells, dict)
    assert isinstance(behind, dict)
    (cell,) = cells
    told = {o.metrics.get("cell") for o in sim.ask().values() if isinstance(o, Reading)}
    assert told == {cell, None}
    assert behind[cell] == ["23557-L07"]
    sim.order(fail_cell=cell)
    assert sim.silent() == {*cells[cell], *behind[cell]} == set(sim.devices)


def test_a_wrong_community_meets_silence_and_is_counted(sim: Sim) -> None:
    assert all(isinstance(outcome, Silence) for outcome in sim.ask(b"public").values())
    assert sim.order(stats=True)["wrong_community"] == 8


def test_a_bad_order_is_refused_and_the_fleet_goes_on(sim: Sim) -> None:
    for order in ({"fail": ["nobody"]}, {"fail_cell": "0"}, {"fail_power": "x"}, {"explode": 1}):
        assert sim.order(**order)["ok"] is False
    assert sim.silent() == set()


def test_it_ends_on_sigterm(sim: Sim) -> None:
    sim.process.send_signal(signal.SIGTERM)
    assert sim.process.wait(10) == -signal.SIGTERM


def test_it_ends_with_its_parent() -> None:
    """A parent that is killed without a chance to clean up takes its fleet along."""
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', "
        "'from tests.sim.fleet import die_with_parent; import time; die_with_parent(); "
        "print(1, flush=True); time.sleep(60)'])\n"
        "print(child.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        lines = {parent.stdout.readline().strip() for _ in range(2)}
        child = max(int(line) for line in lines)
        descriptor = os.pidfd_open(child)
        parent.kill()
    try:
        assert select.select([descriptor], [], [], 10)[0]
    finally:
        os.close(descriptor)
