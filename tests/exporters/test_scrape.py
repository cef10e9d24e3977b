"""A whole scrape: the real monitor after real sweeps of simulated devices, and the real store."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from exporters.scrape import Scrape
from inventory.model import Device, DeviceId, DeviceKind, Network, Sim, Tier, Unit, UnitId, UnitType
from nms.monitor.loop import Monitor, PollSettings, Snapshot, StateChange
from nms.monitor.profiles import load_profiles
from nms.monitor.snmp.sweep import Sweeper
from nms.monitor.snmp.usm import Community
from nms.store import BulletinRow, NowEntryRow, ReceiptRow, Store
from tests.exporters.exposition import parse
from tests.sim.fleet import Fleet, responder_for

ON = date(2024, 10, 1)
NOW = datetime(2024, 10, 1, 10, 0, tzinfo=UTC)
PROVINCE, DISTRICT, WARD, OTHER = UnitId("64"), UnitId("622"), UnitId("23557"), UnitId("23560")
MODEM = DeviceId("23557-M01")


def device(name: str, kind: DeviceKind, profile: str, uplink: DeviceId | None = None) -> Device:
    return Device(
        DeviceId(name), kind, WARD, None, profile, date(2024, 1, 1), uplink=uplink, sim=None if uplink else Sim("", "")
    )


DEVICES = [
    device("23557-L01", DeviceKind.LOUDSPEAKER, "loa-receiver"),
    device("23557-M01", DeviceKind.MODEM, "rutos"),
    device("23557-L02", DeviceKind.LOUDSPEAKER, "loa-receiver", MODEM),
]
NETWORK = Network(
    PROVINCE,
    "Gia Lai",
    ON,
    "127",
    {
        PROVINCE: Unit(PROVINCE, "64", "Gia Lai", Tier.PROVINCE, UnitType.PROVINCE, None),
        DISTRICT: Unit(DISTRICT, "622", "Pleiku", Tier.DISTRICT, UnitType.CITY, PROVINCE),
        WARD: Unit(WARD, "23557", "Yên Đỗ", Tier.COMMUNE, UnitType.WARD, DISTRICT),
        OTHER: Unit(OTHER, "23560", "Diên Hồng", Tier.COMMUNE, UnitType.WARD, DISTRICT),
    },
    {},
    {},
    {d.id: d for d in DEVICES},
)


class Quiet:
    """A recorder that keeps nothing."""

    def changed(self, events: Sequence[StateChange]) -> None: ...

    def swept(self, snapshot: Snapshot) -> None: ...


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


@contextmanager
def sweeping(fleet: Fleet, clock: Clock) -> Iterator[Monitor]:
    """A monitor whose fleet is played by the simulated devices."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    responder = responder_for(fleet, port, b"loa")
    thread = threading.Thread(target=responder.serve)
    sweeper = Sweeper("127.0.0.1", timeout=0.2, retries=0)
    thread.start()
    try:
        settings = PollSettings(interval=60, octet=127, port=port, security=Community(b"loa"))
        yield Monitor(NETWORK, ON, load_profiles()[0], settings, sweeper, clock, Quiet())
    finally:
        responder.stop()
        thread.join()
        sweeper.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path / 'loa.db'}")
    yield opened
    opened.close()


async def test_before_the_first_sweep_it_says_what_is_and_nothing_of_devices(store: Store) -> None:
    with sweeping(Fleet(DEVICES), Clock()) as monitor:
        scrape = Scrape(lambda: NETWORK, Clock(), monitor, store)
        found = parse(scrape.text())
        assert scrape.sweep_age() is None
    assert {dict(k)["kind"]: n for k, n in found["loa_devices"].samples.items()} == {
        "loudspeaker": 2,
        "modem": 1,
        "board": 0,
    }
    assert "loa_device_up" not in found


async def test_what_is_wrong_with_the_hub_is_told_by_reason(store: Store) -> None:
    with sweeping(Fleet(DEVICES), Clock()) as monitor:
        well = {"disk": True, "clock": False}
        found = parse(Scrape(lambda: NETWORK, Clock(), monitor, store, lambda: well).text())
    assert {dict(k)["reason"]: n for k, n in found["loa_self_ok"].samples.items()} == {"disk": 1, "clock": 0}


async def test_a_lost_modem_and_what_hangs_behind_it(store: Store) -> None:
    fleet, clock = Fleet(DEVICES), Clock()
    fleet.command({"fail": [MODEM]})
    with sweeping(fleet, clock) as monitor:
        for _ in range(3):
            clock.now += timedelta(seconds=60)
            monitor.poll_once()
        clock.now += timedelta(seconds=10)
        found = parse(Scrape(lambda: NETWORK, clock, monitor, store).text())
    up = {dict(k)["device"]: value for k, value in found["loa_device_up"].samples.items()}
    assert up == {"23557-L01": 1, "23557-M01": 0, "23557-L02": 0}
    ((labels, value),) = found["loa_device_unreachable"].samples.items()
    assert (dict(labels)["device"], dict(labels)["uplink"], value) == ("23557-L02", MODEM, 1)
    assert found["loa_sweep_age_seconds"][{}] == 10
    assert {dict(k)["device"] for k in found["loa_temperature_celsius"].samples} <= {"23557-L01"}


async def test_receipts_and_emergencies_come_from_the_store(store: Store) -> None:
    hour = timedelta(hours=1)

    def fill(session: Session) -> None:
        session.add(
            BulletinRow(
                id="b1",
                version=1,
                state="airing",
                cls="emergency",
                tier="district",
                origin="622",
                title="Lũ",
                author="a",
                created=NOW,
                body=b"{}",
                audience="commune=23557",
                valid_from=NOW,
                valid_until=NOW + hour,
            )
        )
        for number, result in enumerate(("played", "played", "missed")):
            session.add(
                ReceiptRow(
                    id=f"r{number}",
                    device=f"d{number}",
                    airing="a",
                    bulletin="b1",
                    repeat=0,
                    result=result,
                    received=NOW,
                )
            )
        for name, target, start in (("n1", "u/23557", NOW - hour), ("n2", "u/23560", NOW + hour)):
            session.add(
                NowEntryRow(
                    id=name,
                    target=target,
                    issuer="622",
                    kind="emergency",
                    from_=start,
                    until=start + 2 * hour,
                    entry={},
                )
            )

    await store.write(fill)
    with sweeping(Fleet(DEVICES), Clock()) as monitor:
        found = parse(Scrape(lambda: NETWORK, Clock(), monitor, store).text())
    receipts = found["loa_receipts_total"]
    assert receipts[{"tier": "district", "class": "emergency", "reason": "played"}] == 2
    assert receipts[{"tier": "district", "class": "emergency", "reason": "missed"}] == 1
    assert found["loa_emergency_active"].samples == {frozenset({("commune", "23557")}): 1}, "the other begins later"
