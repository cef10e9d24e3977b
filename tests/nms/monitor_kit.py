"""A real monitor with its recorder and a real store over a simulated fleet, by clocks that the test moves."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from inventory.model import Device, Network, Tier, Unit, UnitId, UnitType
from nms.alarm_store import open_alarms
from nms.alarms import Alarm, AlarmKind
from nms.journal import EventKind
from nms.monitor.health import State
from nms.monitor.loop import Monitor, PollSettings
from nms.monitor.profiles import load_profiles
from nms.monitor.recorder import StoreRecorder
from nms.monitor.snmp.sweep import Sweeper
from nms.monitor.snmp.usm import Community
from nms.selfwatch import SelfWatch
from nms.store import EventRow, Store
from tests.sim.fleet import Fleet, responder_for
from tests.sim.snmp_responder import Responder

ON = date(2024, 10, 1)
COMMUNE = UnitId("23557")


class Rig:
    """A fleet, its monitor and a store. ``now`` is the wall clock, ``seconds`` the one that never jumps."""

    def __init__(
        self,
        store: Store,
        devices: Sequence[Device],
        responder: Responder,
        fleet: Fleet,
        settings: PollSettings,
        sweeper: Sweeper,
    ) -> None:
        ward = Unit(COMMUNE, "23557", "Phường Yên Đỗ", Tier.COMMUNE, UnitType.WARD, None)
        self.network = Network(COMMUNE, "Gia Lai", ON, "127", {COMMUNE: ward}, {}, {}, {d.id: d for d in devices})
        self.now, self.seconds = datetime(2024, 10, 1, 10, tzinfo=UTC), 0.0
        self.store, self._responder, self._fleet = store, responder, fleet
        recorder, profiles = StoreRecorder(store, {}), load_profiles()[0]
        self.monitor = Monitor(self.network, ON, profiles, settings, sweeper, lambda: self.now, recorder)

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds

    def sweep(self, times: int = 1) -> None:
        """Everybody is asked, every 30 seconds."""
        for _ in range(times):
            self.later(30)
            self.monitor.poll_once()

    def turns(self, seconds: int, each: Callable[[], None] = lambda: None) -> None:
        """A turn every second, as the running monitor has them; its ``monotonic`` must be ``lambda: rig.seconds``."""
        for _ in range(seconds):
            self.later(1)
            self.monitor.turn()
            each()

    def command(self, **order: object) -> None:
        self._fleet.command(order)
        self._responder.agents = self._fleet.agents()

    def states(self) -> set[State]:
        assert self.monitor.latest is not None
        return {h.state for h in self.monitor.latest.healths.values()}

    def changes(self) -> list[tuple[str, str]]:
        """Device and new state of every event, in the order in which they were written."""
        query = select(EventRow.subject, EventRow.to).where(EventRow.kind == EventKind.DEVICE_STATE)
        return [(device, to) for device, to in self.store.read_sync(lambda s: s.execute(query).all())]

    def open(self) -> tuple[Alarm, ...]:
        return self.store.read_sync(open_alarms)

    def alarms(self) -> list[tuple[str, AlarmKind]]:
        return [(a.subject, a.kind) for a in self.open()]

    def opened(self) -> list[tuple[str, str]]:
        """Subject and kind of every alarm that ever opened."""
        query = select(EventRow.subject, EventRow.to).where(EventRow.kind == EventKind.ALARM_OPENED)
        return [(subject, to) for subject, to in self.store.read_sync(lambda s: s.execute(query).all())]


async def look(watch: SelfWatch) -> None:
    """A look of the hub at itself, and what it tells told."""
    watch.look()
    if watch._telling is not None:
        await watch._telling


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8M", "loa", str(folder)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no room at all."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    return path


@contextmanager
def rigged(store: Path, devices: Sequence[Device], interval: float = 30.0) -> Iterator[Rig]:
    """The rig over a store of that name, with everybody answering, asked every ``interval`` seconds in turns."""
    fleet, sweeper = Fleet(list(devices)), Sweeper("127.0.0.1", timeout=0.1, retries=0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    responder = responder_for(fleet, port, b"loa")
    thread = threading.Thread(target=responder.serve)
    thread.start()
    try:
        with Store.open(store) as opened:
            settings = PollSettings(interval, 127, port, Community(b"loa"))
            yield Rig(opened, devices, responder, fleet, settings, sweeper)
    finally:
        responder.stop()
        thread.join()
        sweeper.close()
