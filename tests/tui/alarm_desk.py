"""A small province with a modem, two clusters behind it and one elsewhere, and the alarm service over a real store."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audio.broker import Broker
from audio.documents import Now, decode
from audio.envelope import Opened, parse
from audio.library import Library
from audio.playout import Playout
from inventory.model import (
    Contact,
    Device,
    DeviceId,
    DeviceKind,
    Hamlet,
    HamletId,
    Maintenance,
    Membership,
    Network,
    Off,
    Person,
    PersonId,
    Role,
    Sim,
    Tier,
    Unit,
    UnitId,
    UnitType,
)
from nms.alarm_store import settle
from nms.alarms import OF_HEALTH, AlarmKind, Raised
from nms.journal import verify
from nms.monitor.health import Health, State, causes
from nms.monitor.loop import Snapshot
from nms.monitor.snmp.outcome import Outcome, SweepStats
from nms.store import AuditRow, Store
from tui.alarm_service import AlarmService
from tui.hub import Caller
from tui.overview import Places

NOW = datetime(2024, 10, 1, 10, tzinfo=UTC)
ON = date(2024, 10, 1)
MODEM, FIRST, SECOND = DeviceId("23557-M01"), DeviceId("23557-L01"), DeviceId("23557-L02")
ELSEWHERE = DeviceId("23617-L01")
STATS = SweepStats(0.1, 4, 4, 0, 4, 0, 0, 0, 0, 212_992)


def units() -> list[Unit]:
    top = Unit(UnitId("64"), "64", "Tỉnh Gia Lai", Tier.PROVINCE, UnitType.PROVINCE, None)
    names = {"23557": "Phường Yên Đỗ", "23617": "Xã Tây Sơn"}
    return [top, *(Unit(UnitId(c), c, n, Tier.COMMUNE, UnitType.COMMUNE, top.id) for c, n in names.items())]


def hamlets() -> list[Hamlet]:
    return [
        Hamlet(HamletId("23557-H01"), "Nu", "buôn", (Membership(UnitId("23557")),), contact=Contact("Siu Nga", "0905")),
        Hamlet(HamletId("23617-H01"), "Mơ Năng", "làng", (Membership(UnitId("23617")),)),
    ]


def device(id_: DeviceId, hamlet: str) -> Device:
    kind = DeviceKind.MODEM if "-M" in id_ else DeviceKind.LOUDSPEAKER
    return Device(id_, kind, UnitId(id_[:5]), HamletId(hamlet), "loa-receiver", date(2024, 1, 1))


def network() -> Network:
    timer = Off(time(21, 30), time(5))
    sim = Sim("0849", "8984", "M2M-2GB", "Viettel")
    every = [
        replace(device(MODEM, "23557-H01"), sim=sim),
        replace(device(FIRST, "23557-H01"), uplink=MODEM, power_area="PC-1", off=timer, name="Nhà rông"),
        replace(device(SECOND, "23557-H01"), uplink=MODEM),
        replace(device(ELSEWHERE, "23617-H01"), sim=sim),
    ]
    work = Maintenance(NOW + timedelta(days=1), NOW + timedelta(days=2), "Thay cột", unit=UnitId("23557"))
    people = [
        person("operator", "64", Role.OPERATOR),
        person("technician", "23557", Role.TECHNICIAN),
        person("editor", "64", Role.EDITOR),
        person("approver", "23557", Role.APPROVER),
    ]
    return Network(
        UnitId("64"),
        "Gia Lai",
        ON,
        "127",
        {u.id: u for u in units()},
        {h.id: h for h in hamlets()},
        {},
        {d.id: d for d in every},
        people={p.id: p for p in people},
        maintenance=(work,),
    )


def person(name: str, area: str, role: Role) -> Person:
    return Person(PersonId(name), name.title(), name, (role,), UnitId(area))


@dataclass
class Desk:
    """The service over a store, with a fleet as last known."""

    store: Store
    places: Places = field(default_factory=lambda: Places(network(), ON))
    healths: dict[DeviceId, Health] = field(default_factory=dict)
    outcomes: dict[DeviceId, Outcome] = field(default_factory=dict)
    now: datetime = NOW
    broker: Broker = field(default_factory=lambda: Broker("127.0.0.1", 1))

    def snapshot(self) -> Snapshot:
        asked = dict.fromkeys(self.outcomes, NOW - timedelta(seconds=40))
        return Snapshot(NOW, self.healths, self.outcomes, STATS, causes(self.healths), asked)

    def service(self) -> AlarmService:
        latest = self.snapshot()

        async def playing() -> Mapping[str, str]:
            return {FIRST: "b1"}

        return AlarmService(lambda: self.places, lambda: self.now, lambda: latest, playing, self.store, self.playout())

    def playout(self) -> Playout:
        """The real one, to whose broker nobody listens."""
        key, folder = Ed25519PrivateKey.generate(), Path(tempfile.gettempdir())
        clock, broker = (lambda: self.now), self.broker
        return Playout(self.store, lambda: self.places.network, broker, key, "hub", clock, {}, Library(folder))

    def documents(self) -> dict[str, list[str]]:
        """What the stops name, by topic, in what was published last."""
        found = {}
        for topic, frame in self.broker.retained.items():
            opened = parse(frame)
            assert isinstance(opened, Opened)
            found[topic] = [entry.bulletin for entry in decode(Now, opened.body).entries]
        return found

    def caller(self, name: str) -> Caller:
        return Caller(1000, name, self.places.network.people.get(PersonId(name)))

    def lose_the_modem(self) -> None:
        lost = (FIRST, SECOND, MODEM)
        raised = Raised(MODEM, AlarmKind.MODEM_DOWN, NOW - timedelta(minutes=5), "", lost)
        self.store.write_sync(lambda s: settle(s, OF_HEALTH, [raised], NOW))
        self.healths = {d: Health(State.DOWN, NOW - timedelta(minutes=5)) for d in lost}

    def set_wrong(self, device: DeviceId) -> None:
        since = NOW - timedelta(hours=2)
        raised = Raised(device, AlarmKind.CLOCK_OFF, since, "+5 s", (device,))
        self.store.write_sync(lambda s: settle(s, [AlarmKind.CLOCK_OFF], [raised], NOW))

    def audited(self) -> list[str]:
        rows = self.store.read_sync(lambda s: s.query(AuditRow).order_by(AuditRow.n).all())
        assert self.store.read_sync(verify) == (len(rows), None)
        return [f"{row.person} {row.action} {row.subject}" for row in rows]
