"""A commune becomes another one: what was decided before goes on after that midnight, for the same people."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path

import pytest

from audio import ledger
from audio.broker import Mosquitto
from audio.bulletin import Draft
from audio.documents import BulletinClass
from audio.receipts import Report
from inventory.model import TIMEZONE, Network, Tier, UnitId
from nms.moments import from_milliseconds
from nms.store import AiringRow
from tests.audio.province import (
    AN,
    OTHER,
    PROVINCE,
    WARD,
    Clock,
    Hub,
    Keys,
    SpokenOnce,
    draft,
    emergency,
    hub,
)

NEW = UnitId("23557-2024")
MERGE = date(2024, 10, 3)
MIDNIGHT = datetime.combine(MERGE, time(), TIMEZONE)


def merging(network: Network) -> Network:
    """The ward becomes a new unit in the second night."""
    ward = network.units[WARD]
    heir = replace(ward, id=NEW, name="Phường Yên Đỗ mới", valid_from=MERGE, predecessors=(WARD,))
    return replace(network, units={**network.units, WARD: replace(ward, valid_to=MERGE), NEW: heir}, as_of=None)


@pytest.fixture
async def running(keys: Keys, library: SpokenOnce, server: Mosquitto, tmp_path: Path) -> AsyncIterator[Hub]:
    merged = replace(keys, network=merging(keys.network))
    async with hub(merged, tmp_path, library, server.port, Clock()) as started:
        yield started


def series(**changes: object) -> Draft:
    """Of the province for everybody, in six sessions: three days."""
    plain = emergency(cls=BulletinClass.PRIORITY, title="Phòng chống bão", repeats=6, by_session=True)
    until = datetime.combine(date(2024, 10, 6), time(), TIMEZONE)
    return replace(plain, valid_until=until, **changes)  # type: ignore[arg-type]


async def airings(running: Hub, bulletin: str) -> list[AiringRow]:
    return list(await running.store.read(lambda s: ledger.airings(s, bulletin)))


async def test_repeats_end_with_the_ward_and_go_on_in_what_it_becomes(running: Hub) -> None:
    bulletin, approved = await running.push(series())
    assert approved.homeless == ()
    assert set(approved.starts) == {WARD, NEW, OTHER}
    placed = await airings(running, bulletin)
    count = Counter(a.unit for a in placed)
    assert count == {WARD: 3, NEW: 3, OTHER: 6}
    assert max(a.start for a in placed if a.unit == WARD) < MIDNIGHT
    assert min(a.start for a in placed if a.unit == NEW) >= MIDNIGHT
    # those who stay where they are hear it at the same instants
    neighbours = sorted(a.start for a in placed if a.unit == OTHER)
    assert sorted(a.start for a in placed if a.unit in (WARD, NEW)) == neighbours


async def test_what_is_over_before_the_merge_has_nothing_left_for_the_new_unit(running: Hub) -> None:
    bulletin, approved = await running.push(series(repeats=2))
    assert approved.homeless == ()
    assert {a.unit for a in await airings(running, bulletin)} == {WARD, OTHER}


async def test_the_wards_own_repeats_end_with_it_and_somebody_is_told(running: Hub) -> None:
    """Who may speak for the new unit has to say it anew: the ward's word ends with the ward."""
    own = draft(repeats=6, by_session=True, valid_until=datetime.combine(date(2024, 10, 6), time(), TIMEZONE))
    bulletin, approved = await running.push(own)
    assert approved.homeless == (WARD,)
    assert [d.code for d in approved.warnings] == ["BUL030"]
    placed = await airings(running, bulletin)
    assert {a.unit for a in placed} == {WARD}
    assert max(a.start for a in placed) < MIDNIGHT


async def test_a_report_after_the_merge_knows_whom_the_ward_meant(running: Hub) -> None:
    bulletin, approved = await running.push(draft())
    running.clock.skip(days=4)
    found = await running.playout.report(bulletin)
    assert isinstance(found, Report)
    assert found.addressed == 2
    view = await running.playout.bulletin(bulletin)
    assert view is not None
    assert view.expected == 2
    assert from_milliseconds(approved.starts[WARD]) < MIDNIGHT


async def test_where_the_inventory_stands_still_nothing_ends(keys: Keys, server: Mosquitto, tmp_path: Path) -> None:
    still = replace(merging(keys.network), as_of=date(2024, 10, 1))
    async with hub(replace(keys, network=still), tmp_path, SpokenOnce(tmp_path / "c"), server.port, Clock()) as started:
        bulletin, _ = await started.push(series(origin=PROVINCE, author=AN.id, tier=Tier.PROVINCE))
        assert Counter(a.unit for a in await airings(started, bulletin)) == {WARD: 6, OTHER: 6}
