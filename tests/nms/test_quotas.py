"""Data quotas: an alarm per line that is crossed, none while a figure wavers, all clear when the month turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.model import Device, DeviceId, DeviceKind, Network, Sim, Tier, Unit, UnitId, UnitType
from nms.alarm_store import acknowledge, open_alarms
from nms.alarms import Alarm
from nms.journal import recent
from nms.monitor.cellular import Crossing, Level, Spending, crossing
from nms.monitor.quotas import QuotaWatch
from nms.store import SimUsageRow, Store

BEGIN = datetime(2024, 9, 30, 17, tzinfo=UTC)
"""The first moment of October 2024 in Vietnam."""
DAY = timedelta(days=1)
WARD = Unit(UnitId("23557"), "23557", "Phường Yên Đỗ", Tier.COMMUNE, UnitType.WARD, None)
MODEM, BEHIND, OTHER = DeviceId("23557-M01"), DeviceId("23557-L01"), DeviceId("23557-L02")
MEGA = 10**6


@pytest.mark.parametrize(
    ("used", "forecast", "expected"),
    [
        (100, 900, None),
        (240, 5000, None),
        (250, 1001, Crossing(Level.HEADING_OVER)),
        (250, 1000, Crossing(Level.HEADING_OVER, sure=False)),
        (250, 950, Crossing(Level.HEADING_OVER, sure=False)),
        (250, 949, None),
        (500, None, None),
        (800, 900, Crossing(Level.NEAR)),
        (999, 5000, Crossing(Level.NEAR)),
        (1000, 1000, Crossing(Level.OVER)),
    ],
)
def test_the_lines_that_are_told(used: int, forecast: int | None, expected: Crossing | None) -> None:
    assert crossing(Spending(used, 1000, forecast, Level.FINE)) == expected


def test_nothing_is_told_of_a_plan_that_tells_no_quota() -> None:
    assert crossing(Spending(10**12, None, 10**12, Level.UNKNOWN)) is None


# --- in the store


def network(plan: str = "M2M-1GB") -> Network:
    sim = Sim("0849", "8984", plan, "Viettel")
    devices = [
        Device(MODEM, DeviceKind.MODEM, WARD.id, None, "rutos", date(2024, 1, 1), sim=sim),
        Device(BEHIND, DeviceKind.LOUDSPEAKER, WARD.id, None, "loa-receiver", date(2024, 1, 1), uplink=MODEM),
        Device(OTHER, DeviceKind.LOUDSPEAKER, WARD.id, None, "loa-receiver", date(2024, 1, 1), sim=Sim("0850", "8985")),
    ]
    known = MappingProxyType({d.id: d for d in devices})
    return Network(WARD.id, "Gia Lai", None, "127", {WARD.id: WARD}, {}, {}, known)


@dataclass
class Month:
    """A watch over a store, in which the modem's SIM is said to have used so much."""

    store: Store
    now: datetime = BEGIN
    network: Network = field(default_factory=network)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.watch = QuotaWatch(self.store, lambda: self.network, lambda: self.now)

    async def used(self, mega: float, days: float) -> list[Alarm]:
        """What is open when so much of the month's first ``days`` was used."""
        self.now = BEGIN + days * DAY
        row = SimUsageRow(
            sim="8984", month="2024-10", device=MODEM, since=BEGIN, updated=self.now, bytes=round(mega * MEGA)
        )
        await self.store.write(lambda s: s.merge(row))
        await self.watch.look()
        return list(await self.store.read(open_alarms))

    async def told(self) -> list[str]:
        """What became of alarms, the oldest first."""
        events = await self.store.read(lambda s: recent(s, 100))
        return [f"{e.kind.removeprefix('alarm.')} {e.cause}".strip() for e in reversed(events)]


@pytest.fixture
def month(tmp_path: Path) -> Iterator[Month]:
    with Store.open(tmp_path / "loa.db") as store:
        yield Month(store)


async def test_a_card_that_is_used_up_is_told_line_by_line(month: Month) -> None:
    assert await month.used(100, 5) == []
    (heading,) = await month.used(420, 10)
    assert (heading.subject, heading.cause, heading.affected) == (MODEM, "heading_over", (BEHIND, MODEM))
    (near,) = await month.used(800, 20)
    assert near.cause == "near"
    (over,) = await month.used(1001, 25)
    assert over.cause == "over"
    assert await month.used(1400, 30) == [over]
    opened = ["opened heading_over", "opened near", "opened over"]
    assert sorted(await month.told()) == ["cleared", "cleared", *opened]
    month.now = BEGIN + 32 * DAY
    await month.watch.look()
    assert await month.store.read(open_alarms) == (), "a new month"


async def test_a_line_crossed_for_the_worse_asks_again_whoever_took_the_last_one_on(month: Month) -> None:
    (near,) = await month.used(810, 28)
    await month.store.write(lambda s: acknowledge(s, near.id, "p-operator", "mua thêm", month.now))
    (still,) = await month.used(850, 29)
    assert still.acknowledged is not None
    (over,) = await month.used(1000, 30)
    assert (over.cause, over.acknowledged) == ("over", None)
    assert over.id != near.id


async def test_a_forecast_that_wavers_about_the_quota_is_one_alarm(month: Month) -> None:
    wavering = [325, 322, 326, 321, 325]
    for n, mega in enumerate(wavering):
        if n == 3:
            month.restart()
        (alarm,) = await month.used(mega, 10)
        assert alarm.cause == "heading_over"
    assert await month.told() == ["opened heading_over"]
    assert await month.used(325, 11) == []
    assert await month.told() == ["opened heading_over", "cleared"]


async def test_a_larger_plan_ends_it_and_a_plan_without_a_quota_never_begins(month: Month) -> None:
    assert len(await month.used(1200, 20)) == 1
    month.network = network("M2M-3GB")
    assert await month.used(1200, 20) == []
    month.network = network("M2M")
    assert await month.used(10**6, 21) == []


async def test_a_card_that_left_the_fleet_has_no_alarm(month: Month) -> None:
    assert len(await month.used(1200, 20)) == 1
    left = {d: x for d, x in month.network.devices.items() if d == OTHER}
    month.network = Network(WARD.id, "Gia Lai", None, "127", {WARD.id: WARD}, {}, {}, MappingProxyType(left))
    assert await month.used(1200, 20) == []


async def test_nothing_is_written_while_nothing_is_new(month: Month) -> None:
    await month.used(900, 20)
    before = len(await month.told())
    for n in range(20):
        await month.used(900 + n, 20 + n / 10)
    assert len(await month.told()) == before == 1


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 2)), min_size=1, max_size=30))
def test_within_a_month_what_is_told_only_gets_worse_but_for_the_forecast(steps: list[tuple[float, float]]) -> None:
    used, day, worst = 0.0, 0.0, 0
    order = [Level.NEAR, Level.OVER]
    for more, days in steps:
        used, day = used + more, min(day + days, 31)
        found = crossing(Spending(round(used), 1000, round(used * 31 / day), Level.FINE))
        rank = order.index(found.level) + 1 if found is not None and found.level in order else 0
        assert rank >= worst
        worst = rank
