"""Turns of the monitor with a real sweeper: only who is due is asked, groups fall and come back together."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from inventory.model import Device, DeviceId, DeviceKind, DeviceLimit, Network, Sim, Tier, Unit, UnitId, UnitType
from nms.monitor import loop
from nms.monitor.cellular import Usage
from nms.monitor.fleet import fleet_of
from nms.monitor.health import State, Window
from nms.monitor.loop import Monitor, PollSettings, Snapshot, StateChange
from nms.monitor.profiles import load_profiles
from nms.monitor.snmp.sweep import Sweeper
from nms.monitor.snmp.usm import Community
from tests.sim.fleet import Fleet, responder_for
from tests.sim.snmp_responder import Responder

COMMUNE = UnitId("23557")
ON = date(2024, 10, 1)
START = datetime(2024, 10, 1, 9, 59, 30, tzinfo=UTC)
MODEM, LOUD = DeviceId("23557-M01"), DeviceId("23557-L01")
BEHIND = (DeviceId("23557-L03"), DeviceId("23557-L04"), DeviceId("23557-B01"))
PROFILES = load_profiles()[0]


def device(name: str, profile: str = "loa-receiver", uplink: DeviceId | None = None, plan: str = "M2M-2GB") -> Device:
    kind = {"L": DeviceKind.LOUDSPEAKER, "M": DeviceKind.MODEM, "B": DeviceKind.BOARD}[name[6]]
    sim = None if uplink else Sim(f"09-{name}", f"iccid-{name}", plan, "Viettel")
    return Device(DeviceId(name), kind, COMMUNE, None, profile, date(2024, 1, 1), uplink=uplink, sim=sim)


DEVICES = [
    device(LOUD),
    device("23557-L02"),
    device(MODEM, "rutos"),
    *(device(d, uplink=MODEM) for d in BEHIND[:2]),
    device(BEHIND[2], "ntcip-sign", uplink=MODEM),
]


def network(devices: Sequence[Device]) -> Network:
    ward = Unit(COMMUNE, "23557", "Phường Yên Đỗ", Tier.COMMUNE, UnitType.WARD, None)
    return Network(COMMUNE, "Gia Lai", ON, "127", {COMMUNE: ward}, {}, {}, {d.id: d for d in devices})


class Book:
    def __init__(self) -> None:
        self.events: list[StateChange] = []

    def changed(self, events: Sequence[StateChange]) -> None:
        self.events.extend(events)

    def swept(self, snapshot: Snapshot) -> None: ...


class World:
    """A monitor whose time is moved by hand, over a simulated fleet that can fail."""

    def __init__(self, responder: Responder, fleet: Fleet, port: int, sweeper: Sweeper) -> None:
        self.responder, self.fleet, self.port, self.sweeper = responder, fleet, port, sweeper
        self.seconds = 0.0
        self.book = Book()
        self.windows: Mapping[DeviceId, tuple[Window, ...]] = {}
        self.monitor = self.make()

    def make(self, usages: Mapping[str, Usage] | None = None) -> Monitor:
        settings = PollSettings(60.0, 127, self.port, Community(b"loa"))
        return Monitor(
            *(network(DEVICES), ON, PROFILES, settings, self.sweeper, self.clock, self.book),
            usages=usages,
            opened=lambda _: self.windows,
        )

    def clock(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def later(self, seconds: float) -> None:
        self.seconds += seconds

    def tell(self, **command: object) -> None:
        self.fleet.command(command)
        self.responder.agents = self.fleet.agents()

    def turn(self) -> Snapshot:
        snapshot = self.monitor.turn()
        assert snapshot is not None
        return snapshot

    def asked(self, snapshot: Snapshot) -> set[DeviceId]:
        return {d for d, at in snapshot.asked.items() if at == snapshot.at}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    fleet = Fleet(DEVICES)
    responder = responder_for(fleet, port, b"loa")
    thread = threading.Thread(target=responder.serve)
    thread.start()
    sweeper = Sweeper("127.0.0.1", timeout=0.1, retries=0)
    world = World(responder, fleet, port, sweeper)
    monkeypatch.setattr(loop, "monotonic", lambda: world.seconds)
    yield world
    sweeper.close()
    responder.stop()
    thread.join()


def test_the_first_turn_asks_everybody_and_the_next_ones_whoever_is_due(world: World) -> None:
    first = world.turn()
    assert world.asked(first) == {d.id for d in DEVICES}
    counts = dict.fromkeys(first.healths, 0)
    for _ in range(600):
        world.later(1)
        snapshot = world.turn()
        for one in world.asked(snapshot):
            counts[one] += 1
        assert snapshot.outcomes.keys() == snapshot.healths.keys() == snapshot.asked.keys() == first.healths.keys()
        assert (snapshot.stats.targets, snapshot.stats.answered) == (len(DEVICES), len(DEVICES))
        assert snapshot.behind <= 1
        assert all(world.clock() - at <= timedelta(seconds=91) for at in snapshot.asked.values())
    assert all(9 <= count <= 10 for count in counts.values())


def test_a_family_is_asked_as_often_as_it_says(world: World) -> None:
    own = {"rutos": 15.0, "loa-receiver": 240.0}
    profiles = {name: replace(profile, interval=own.get(name)) for name, profile in PROFILES.items()}
    settings = PollSettings(60.0, 127, world.port, Community(b"loa"))
    world.monitor = Monitor(network(DEVICES), ON, profiles, settings, world.sweeper, world.clock, world.book)
    counts = dict.fromkeys(world.turn().healths, 0)
    for _ in range(1200):
        world.later(1)
        for one in world.asked(world.turn()):
            counts[one] += 1
    often = {d.id: 1200 / own.get(d.profile, 60.0) for d in DEVICES}
    assert {d for d, count in counts.items() if abs(count - often[d]) > 1} == set()
    assert world.book.events == [e for e in world.book.events if e.after is State.UP]


def test_a_device_asked_early_is_asked_alone(world: World) -> None:
    world.turn()
    world.later(20)
    world.monitor.poll_soon([LOUD, DeviceId("23557-L77")])
    assert world.asked(world.turn()) == {LOUD}
    world.later(1)
    world.monitor.poll_soon([LOUD])
    assert LOUD not in world.asked(world.turn())
    world.later(9)
    assert LOUD in world.asked(world.turn())


def test_whoever_falls_silent_first_the_whole_group_is_judged_together(world: World) -> None:
    world.turn()
    world.book.events.clear()
    world.tell(fail=[MODEM])
    world.later(20)
    world.monitor.poll_soon([BEHIND[0]])
    silent = world.turn()
    assert world.asked(silent) >= {MODEM, *BEHIND}
    assert world.asked(silent) < silent.healths.keys()
    assert world.book.events == []
    while not world.book.events:
        world.later(1)
        lost = world.turn()
    assert {e.device: (e.after, e.cause) for e in world.book.events} == {
        MODEM: (State.DOWN, None),
        **dict.fromkeys(BEHIND, (State.UNREACHABLE, str(MODEM))),
    }
    assert {e.at for e in world.book.events} == {lost.at}
    assert lost.at - silent.at >= timedelta(seconds=30), "confirmed too early"


def test_whoever_answers_first_all_are_back_in_one_turn(world: World) -> None:
    world.turn()
    world.tell(fail=[MODEM])
    for _ in range(400):
        world.later(1)
        world.turn()
    assert {world.monitor.latest.healths[d].state for d in BEHIND} == {State.UNREACHABLE}  # type: ignore[union-attr]
    world.book.events.clear()
    world.tell(heal="all")
    world.monitor.poll_soon([BEHIND[2]])
    world.later(30)
    back = world.turn()
    assert world.asked(back) >= {MODEM, *BEHIND}
    assert {e.device: e.after for e in world.book.events} == dict.fromkeys([MODEM, *BEHIND], State.UP)
    assert back.causes == ()


def test_the_lost_are_asked_ever_more_rarely(world: World) -> None:
    world.turn()
    world.tell(fail=["23557-L02"])
    asked = []
    for _ in range(3000):
        world.later(1)
        if DeviceId("23557-L02") in world.asked(world.turn()):
            asked.append(world.seconds)
    gaps = [b - a for a, b in pairwise(asked)]
    assert len(asked) < 12
    assert gaps[-1] == pytest.approx(480, abs=2)


def test_what_a_card_used_is_counted_and_survives_a_restart(world: World) -> None:
    usages = world.turn().usages
    assert set(usages) == {f"iccid-{d}" for d in (LOUD, "23557-L02", MODEM)}
    assert {u.bytes for u in usages.values()} == {0}
    assert all(u.last_rx is not None for u in usages.values())
    earlier = {name: replace(u, last_rx=(u.last_rx or 0) - 5000, bytes=700) for name, u in usages.items()}
    world.later(60)
    world.monitor = world.make(earlier)
    assert all(u.bytes >= 5700 for u in world.turn().usages.values())


def test_work_that_people_open_is_known_in_the_next_turn(world: World) -> None:
    world.turn()
    world.windows = {LOUD: (Window(START, START + timedelta(hours=1), "new mast"),), DeviceId("x"): ()}
    world.later(1)
    assert world.turn().healths[LOUD].state is State.MAINTENANCE
    world.windows = {}
    world.later(90)
    assert world.turn().healths[LOUD].state is State.UP


def test_a_devices_own_limit_counts(world: World) -> None:
    own = replace(DEVICES[0], limits=(DeviceLimit("temperature_c", high=-10.0),))
    world.monitor.reload(network([own, DEVICES[1]]))
    snapshot = world.turn()
    assert (snapshot.healths[LOUD].state, snapshot.healths[LOUD].cause) == (State.DEGRADED, "temperature_c")
    assert snapshot.healths.keys() == {LOUD, DeviceId("23557-L02")}


def test_devices_behind_one_card_share_what_asking_may_cost() -> None:
    settings = PollSettings(60.0, 10, 161, Community(b"loa"))
    rules = fleet_of(network(DEVICES), ON, PROFILES, settings).rules
    assert rules[LOUD].budget == 200_000_000
    assert {rules[d].budget for d in (MODEM, *BEHIND)} == {50_000_000}
    free = fleet_of(network(DEVICES), ON, PROFILES, replace(settings, octet=127)).rules
    assert {rule.budget for rule in free.values()} == {None}
