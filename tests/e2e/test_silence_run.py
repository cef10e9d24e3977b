"""Two real receivers in one commune: one cannot reach the content, and is told of before and while it is silent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from inventory.model import DeviceId
from tests.e2e.kit import approve, melody, push, running, until, wait_played
from tests.sim.world import World, free_ports
from tui.alarm_methods import ALARMS, AlarmRow, Alarms

pytestmark = pytest.mark.slow

CUT, WELL = DeviceId("23557-L01"), DeviceId("23557-L02")


class Gate:
    """A port before the content server; what comes to it is refused until ``open``."""

    def __init__(self, target: int) -> None:
        self.port = free_ports(1)[0]
        self._target = target
        self._server: socket.socket | None = None

    def open(self) -> None:
        self._server = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, args=(self._server,), daemon=True).start()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def _serve(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                here, _ = server.accept()
                there = socket.create_connection(("127.0.0.1", self._target))
                for source, sink in ((here, there), (there, here)):
                    threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError), closing(sink):
        while piece := source.recv(65536):
            sink.sendall(piece)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running(tmp_path, (), poll="3s", units=("23557",)) as world:
        yield world


@pytest.fixture
def gate(world: World) -> Iterator[Gate]:
    """The receiver behind it and the one that is not run."""
    gate = Gate(world.content_port)
    config = world._enrol(CUT)
    config.write_text(config.read_text().replace(f":{world.content_port}", f":{gate.port}"))
    for device in (CUT, WELL):
        world.start_receiver(device)
    yield gate
    gate.close()


def alarms(world: World) -> dict[str, AlarmRow]:
    """The open alarms about what is heard, by kind; all of them are of the one that is cut off."""
    rows = [r for r in world.ask(ALARMS, Alarms(past=True)).alarms if r.kind in ("silent", "cache_incomplete")]
    assert {r.subject for r in rows} <= {str(CUT)}
    return {r.kind: r for r in rows if r.state != "over"}


def told(world: World, kind: str) -> AlarmRow:
    until(lambda: kind in alarms(world), f"{kind} is told")
    return alarms(world)[kind]


def test_a_loudspeaker_without_its_sound_is_told_of_and_settles(world: World, gate: Gate) -> None:
    bulletin = push(world, "23557", "normal", "Bản tin chiều", "--audio", str(melody(world.folder, 5, 3)))
    approve(world, "23557", bulletin)
    assert told(world, "cache_incomplete").cause == "Bản tin chiều"
    silent = told(world, "silent")
    assert (silent.subject, silent.cause) == (CUT, "Bản tin chiều")
    assert "23557-L01" in world.loa("alarms")

    gate.open()
    wait_played(world, bulletin, [CUT, WELL])
    until(lambda: not alarms(world), "what has come late settles it")
