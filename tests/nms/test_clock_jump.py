"""A wall clock that is set by an hour, under the real monitor, its recorder and a real store: nobody is lost by it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from inventory.model import Device, DeviceId, DeviceKind, Network, Sim, Tier, Unit, UnitId, UnitType
from nms.alarm_store import open_alarms
from nms.alarms import AlarmKind
from nms.journal import EventKind
from nms.monitor.health import State
from nms.monitor.loop import Monitor, PollSettings
from nms.monitor.profiles import load_profiles
from nms.monitor.recorder import StoreRecorder
from nms.monitor.snmp.sweep import Sweeper
from nms.monitor.snmp.usm import Community
from nms.store import EventRow, Store
from tests.sim.fleet import Fleet, responder_for
from tests.sim.snmp_responder import Responder

HOUR = timedelta(hours=1)
COMMUNE, MODEM, LONE = UnitId("23557"), DeviceId("23557-M01"), DeviceId("23557-L09")
SIM = Sim("", "", operator="Viettel")
ON = date(2024, 10, 1)
BEHIND = [
    Device(DeviceId(f"23557-L0{n}"), DeviceKind.LOUDSPEAKER, COMMUNE, None, "loa-receiver", ON, uplink=MODEM)
    for n in (1, 2, 3)
]
DEVICES = [
    Device(MODEM, DeviceKind.MODEM, COMMUNE, None, "rutos", ON, sim=SIM),
    Device(LONE, DeviceKind.LOUDSPEAKER, COMMUNE, None, "loa-receiver", ON, sim=SIM),
    *BEHIND,
]


class Rig:
    """A fleet that is asked every 30 seconds by a clock that the test sets."""

    def __init__(self, store: Store, responder: Responder, fleet: Fleet, port: int, sweeper: Sweeper) -> None:
        ward = Unit(COMMUNE, "23557", "Phường Yên Đỗ", Tier.COMMUNE, UnitType.WARD, None)
        network = Network(COMMUNE, "Gia Lai", ON, "127", {COMMUNE: ward}, {}, {}, {d.id: d for d in DEVICES})
        settings = PollSettings(0.05, 127, port, Community(b"loa"))
        self.now = datetime(2024, 10, 1, 10, tzinfo=UTC)
        self.store, self._responder, self._fleet = store, responder, fleet
        recorder, profiles = StoreRecorder(store, {}), load_profiles()[0]
        self._monitor = Monitor(network, ON, profiles, settings, sweeper, lambda: self.now, recorder)

    def sweep(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += timedelta(seconds=30)
            self._monitor.poll_once()

    def command(self, **order: object) -> None:
        self._fleet.command(order)
        self._responder.agents = self._fleet.agents()

    def states(self) -> set[State]:
        assert self._monitor.latest is not None
        return {h.state for h in self._monitor.latest.healths.values()}

    def changes(self) -> list[tuple[str, str]]:
        """Device and new state of every event, in the order in which they were written."""
        query = select(EventRow.subject, EventRow.to).where(EventRow.kind == EventKind.DEVICE_STATE)
        return [(device, to) for device, to in self.store.read_sync(lambda s: s.execute(query).all())]

    def alarms(self) -> list[tuple[str, AlarmKind]]:
        return [(a.subject, a.kind) for a in self.store.read_sync(open_alarms)]


@contextmanager
def answering(fleet: Fleet) -> Iterator[tuple[Responder, int]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    responder = responder_for(fleet, port, b"loa")
    thread = threading.Thread(target=responder.serve)
    thread.start()
    try:
        yield responder, port
    finally:
        responder.stop()
        thread.join()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    fleet, sweeper = Fleet(DEVICES), Sweeper("127.0.0.1", timeout=0.2, retries=0)
    with Store.open(tmp_path / "loa.db") as store, answering(fleet) as (responder, port):
        yield Rig(store, responder, fleet, port, sweeper)
    sweeper.close()


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_nobody_is_lost_by_a_clock_that_jumps(rig: Rig, jump: timedelta) -> None:
    rig.sweep(3)
    known = sorted(rig.changes())
    rig.now += jump
    rig.sweep(3)
    assert rig.states() == {State.UP}
    assert sorted(rig.changes()) == known, "nothing has changed, so nothing is told"
    assert rig.alarms() == []


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_what_happens_about_the_jump_is_told_once(rig: Rig, jump: timedelta) -> None:
    rig.sweep(3)
    before = len(rig.changes())
    rig.command(fail=[MODEM])
    rig.sweep(2)
    rig.now += jump
    rig.sweep(10)
    assert rig.alarms() == [(MODEM, AlarmKind.MODEM_DOWN)]
    rig.command(heal="all")
    rig.sweep(1)
    assert rig.states() == {State.UP}
    assert rig.alarms() == []
    behind = [str(d.id) for d in BEHIND]
    told = [(MODEM, "down"), *((d, "unreachable") for d in behind), *((d, "up") for d in (MODEM, *behind))]
    assert sorted(rig.changes()[before:]) == sorted((str(d), to) for d, to in told)


def test_a_clock_set_back_makes_nobody_flap(rig: Rig) -> None:
    """Turns of the hour that comes again are not counted with those of the hour before."""
    rig.sweep(3)
    for jump in (-HOUR, timedelta(0)):
        for order in ({"fail": [LONE]}, {"heal": "all"}):
            rig.command(**order)
            rig.sweep(2)
        rig.now += jump
    rig.command(fail=[LONE])
    rig.sweep(2)
    assert rig.states() == {State.UP, State.DOWN}
