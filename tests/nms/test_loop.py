"""The monitor with a real sweeper against the simulated fleet's responder."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

import pytest

from inventory.model import Device, DeviceId, DeviceKind, Network, Sim, Tier, Unit, UnitId, UnitType
from nms.monitor.health import Health, State
from nms.monitor.loop import Monitor, PollSettings, Snapshot, StateChange
from nms.monitor.profiles import load_profiles
from nms.monitor.snmp.sweep import Sweeper
from nms.monitor.snmp.usm import Community
from tests.sim.fleet import Fleet, responder_for
from tests.sim.snmp_responder import Responder

COMMUNE = UnitId("23557")
ON = date(2024, 10, 1)
MODEM = DeviceId("23557-M01")
PROFILES = load_profiles()[0]


def network(devices: Sequence[Device]) -> Network:
    province = Unit(COMMUNE, "23557", "Phường Yên Đỗ", Tier.COMMUNE, UnitType.WARD, None)
    return Network(COMMUNE, "Gia Lai", ON, "127", {COMMUNE: province}, {}, {}, {d.id: d for d in devices})


def device(name: str, profile: str = "loa-receiver", uplink: DeviceId | None = None) -> Device:
    kind = {"L": DeviceKind.LOUDSPEAKER, "M": DeviceKind.MODEM, "B": DeviceKind.BOARD}[name[6]]
    sim = None if uplink else Sim("", "", operator="Viettel")
    return Device(DeviceId(name), kind, COMMUNE, None, profile, date(2024, 1, 1), uplink=uplink, sim=sim)


DEVICES = [
    device("23557-L01"),
    device("23557-L02"),
    device("23557-M01", "rutos"),
    device("23557-L03", uplink=MODEM),
    device("23557-B01", "ntcip-sign", uplink=MODEM),
]


class Book:
    """Remembers what the monitor said."""

    def __init__(self) -> None:
        self.events: list[StateChange] = []
        self.snapshots: list[Snapshot] = []
        self.heard = threading.Event()

    def changed(self, events: Sequence[StateChange]) -> None:
        self.events.extend(events)

    def swept(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)
        if len(self.snapshots) >= 3:
            self.heard.set()


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2024, 10, 1, 9, 59, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=30)
        return self.now


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
def sweeper() -> Iterator[Sweeper]:
    sweeper = Sweeper("127.0.0.1", timeout=0.2, retries=0)
    yield sweeper
    sweeper.close()


def monitor(port: int, sweeper: Sweeper, book: Book, restore: dict[DeviceId, Health] | None = None) -> Monitor:
    settings = PollSettings(interval=0.05, octet=127, port=port, security=Community(b"loa"))
    return Monitor(network(DEVICES), ON, PROFILES, settings, sweeper, Clock(), book, restore)


def test_a_failed_modem_is_told_as_one_cause_and_its_return_as_recovery(sweeper: Sweeper) -> None:
    fleet, book = Fleet(DEVICES), Book()
    with answering(fleet) as (responder, port):
        watch = monitor(port, sweeper, book)
        first = watch.poll_once()
        assert first is not None
        assert {h.state for h in first.healths.values()} == {State.UP}
        assert first.stats.answered == len(DEVICES)
        fleet.command({"fail": [MODEM]})
        responder.agents = fleet.agents()
        book.events.clear()
        watch.poll_once()
        assert book.events == []
        lost = watch.poll_once()
        assert lost is not None
        assert {e.device: (e.after, e.cause) for e in book.events} == {
            MODEM: (State.DOWN, None),
            DeviceId("23557-L03"): (State.UNREACHABLE, MODEM),
            DeviceId("23557-B01"): (State.UNREACHABLE, MODEM),
        }
        assert [(c.key, len(c.affected)) for c in lost.causes] == [(MODEM, 3)]
        fleet.command({"heal": "all"})
        responder.agents = fleet.agents()
        back = watch.poll_once()
        assert back is not None
        assert {h.state for h in back.healths.values()} == {State.UP}
        assert back.causes == ()
        assert watch.latest is back


def test_readings_of_every_family_arrive_in_common_units(sweeper: Sweeper) -> None:
    with answering(Fleet(DEVICES)) as (_, port):
        snapshot = monitor(port, sweeper, Book()).poll_once()
    assert snapshot is not None
    readings = {d.id: snapshot.reading(d.id) for d in DEVICES}
    assert all(r is not None and r.odd == () and r.metrics["uptime_s"] for r in readings.values())
    router, behind = readings[MODEM], readings[DeviceId("23557-L03")]
    assert router is not None
    assert behind is not None
    assert -120 < float(router.metrics["rsrp_dbm"]) < -60
    assert 20 < float(router.metrics["temperature_c"]) < 70
    assert snapshot.healths[MODEM].cell == router.metrics["cell"]
    assert "cell" not in behind.metrics


def test_a_restart_with_the_healths_of_before_says_nothing_new(sweeper: Sweeper) -> None:
    book = Book()
    with answering(Fleet(DEVICES)) as (_, port):
        before = monitor(port, sweeper, Book()).poll_once()
        assert before is not None
        after = monitor(port, sweeper, book, dict(before.healths)).poll_once()
    assert after is not None
    assert book.events == []
    assert {d: h.cell for d, h in after.healths.items()} == {d: h.cell for d, h in before.healths.items()}


def test_reload_swaps_the_fleet_and_names_devices_of_unknown_profile(sweeper: Sweeper) -> None:
    with answering(Fleet(DEVICES)) as (_, port):
        watch = monitor(port, sweeper, Book())
        watch.poll_once()
        watch.reload(network([DEVICES[0], device("23557-L04", "unheard-of")]))
        snapshot = watch.poll_once()
    assert snapshot is not None
    assert set(snapshot.healths) == {DEVICES[0].id}
    assert [(d.code, d.fields["device"]) for d in watch.diagnostics] == [("MON009", "23557-L04")]


def test_devices_out_of_service_or_unconnected_are_not_polled(sweeper: Sweeper) -> None:
    future = Device(DeviceId("23557-L09"), DeviceKind.LOUDSPEAKER, COMMUNE, None, "loa-receiver", date(2025, 1, 1))
    deaf = Device(
        DeviceId("23557-B02"), DeviceKind.BOARD, COMMUNE, None, "loa-board", date(2024, 1, 1), connected=False
    )
    watch = monitor(1, sweeper, Book())
    watch.reload(network([future, deaf]))
    snapshot = watch.poll_once()
    assert snapshot is not None
    assert dict(snapshot.healths) == {}


def test_the_thread_sweeps_on_until_it_is_stopped(sweeper: Sweeper) -> None:
    book = Book()
    with answering(Fleet(DEVICES)) as (_, port):
        watch = monitor(port, sweeper, book)
        watch.start()
        assert book.heard.wait(10)
        watch.stop()
        count = len(book.snapshots)
    assert watch.latest is book.snapshots[-1]
    assert len(book.snapshots) == count


def test_stop_does_not_wait_for_the_dead() -> None:
    patient = Sweeper("127.0.0.1", timeout=3600, retries=0)
    book = Book()
    watch = monitor(9, patient, book)
    watch.start()
    watch.stop()
    patient.close()
    assert book.snapshots == []


def test_an_error_of_the_recorder_is_not_swallowed(sweeper: Sweeper) -> None:
    class Full(Book):
        def swept(self, snapshot: Snapshot) -> None:
            raise OSError("disk full")

    with answering(Fleet(DEVICES)) as (_, port), pytest.raises(OSError, match="disk full"):
        monitor(port, sweeper, Full()).run()
