"""Stops of everything while a higher unit's order is in force: not without a reason, and that unit reads it."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest
from sqlalchemy import select

from audio import asrun
from audio.documents import BulletinClass, Result
from audio.playout import Stopped
from inventory.model import Person, Tier
from nms import journal
from nms.journal import EventKind
from nms.moments import to_milliseconds
from nms.store import AuditRow
from tests.audio.province import AN, BINH, DUNG, EVENING, OTHER, PROVINCE, WARD, Hub, codes, draft, emergency, receipt

HERE = f"commune={WARD}"
LATER = EVENING.replace(hour=20)


async def stop(
    running: Hub, reason: str = "", selection: str = HERE, person: Person = DUNG, until: datetime | None = None
) -> object:
    return await running.playout.stop(person, selection, None, until, reason)


async def stops(running: Hub, subject: str) -> list[journal.Event]:
    events = await running.store.read(lambda s: journal.recent(s, 50, subject))
    return [e for e in events if e.kind is EventKind.BULLETIN_STOPPED]


async def test_a_higher_units_alarm_is_not_silenced_without_a_reason_and_that_unit_reads_it(running: Hub) -> None:
    flood, _ = await running.push(emergency())
    fire, _ = await running.push(emergency(title="Cháy rừng", audience="group=riverside"))
    refused = await stop(running, "  ")
    assert codes(refused) == ["BUL100", "BUL100"]
    assert isinstance(refused, tuple)
    assert [d.fields for d in refused] == [
        {"title": title, "origin": "Tỉnh Gia Lai"} for title in ("Cảnh báo lũ", "Cháy rừng")
    ]
    assert await stops(running, flood) == await stops(running, WARD) == []
    assert codes(await stop(running, "", "device=23557-L01")) == ["BUL100"], "the group's alarm is not heard there"
    assert await stop(running, "lễ tang", until=LATER) == Stopped((f"u/{WARD}",))
    for subject in (WARD, flood, fire):
        [event] = await stops(running, subject)
        data = {"targets": [f"u/{WARD}"], "until": to_milliseconds(LATER), "by": WARD}
        assert (event.cause, event.data) == ("lễ tang", data)
    query = select(AuditRow.subject).where(AuditRow.action == "bulletin.stop").order_by(AuditRow.n)
    assert await running.store.read(lambda s: s.scalars(query).all()) == [WARD, flood, fire]


@pytest.mark.parametrize(
    ("changes", "person"),
    [
        pytest.param({}, AN, id="who may stop it for the province"),
        pytest.param({"audience": f"commune={OTHER}"}, DUNG, id="heard elsewhere"),
        pytest.param({"cls": BulletinClass.PRIORITY}, DUNG, id="in the programme, not an order"),
        pytest.param({"origin": WARD, "tier": Tier.COMMUNE, "audience": HERE}, DUNG, id="one's own"),
    ],
)
async def test_other_stops_of_everything_need_no_reason(
    running: Hub, changes: dict[str, object], person: Person
) -> None:
    bulletin, _ = await running.push(emergency(**changes))
    assert await stop(running, person=person) == Stopped((f"u/{WARD}",))
    assert await stops(running, bulletin) == []


async def test_an_alarm_that_is_over_asks_for_nothing(running: Hub) -> None:
    alarm, _ = await running.push(emergency())
    assert isinstance(await running.playout.all_clear(BINH, alarm), Stopped)
    assert isinstance(await stop(running), Stopped)
    await running.push(emergency(title="Lũ lên nữa"))
    assert codes(await stop(running)) == ["BUL100"], "one stop before it does not speak for the next"


async def test_what_is_said_once_and_was_heard_is_not_silenced_any_more(running: Hub) -> None:
    drill, _ = await running.push(
        draft(tier=Tier.PROVINCE, origin=PROVINCE, author=AN.id, audience="province=64", drill=True)
    )
    first, second = await running.ear("23557-L01"), await running.ear("23557-L02")
    await first.receipt(receipt(first.device, drill, "x", running.clock.ms))
    await _reached(running, drill, 1)
    assert codes(await stop(running)) == ["BUL100"]
    assert isinstance(await stop(running, "", "device=23557-L01"), Stopped)
    await second.receipt(receipt(second.device, drill, "x", running.clock.ms, result=Result.PARTIAL))
    await _reached(running, drill, 2)
    assert isinstance(await stop(running), Stopped)


async def _reached(running: Hub, bulletin: str, count: int) -> None:
    for _ in range(3_000):
        if len(await running.store.read(lambda s: asrun.reached(s, bulletin))) == count:
            return
        await asyncio.sleep(0.02)
    pytest.fail("no receipt")
