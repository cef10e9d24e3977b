"""What a commune decides for itself: which offers it airs, and the order of priority bulletins."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import select

from audio.bulletin import Draft
from audio.documents import BulletinClass
from audio.playout import Approved, Edited, Edits, Ordered
from audio.receipts import Report
from inventory.diagnostics import Diagnostic
from nms import journal
from nms.store import AiringRow, AuditRow
from tests.audio.province import (
    AN,
    BINH,
    CHI,
    DUNG,
    EM,
    EVENING,
    GIA,
    HEARD,
    OTHER,
    WARD,
    Hub,
    codes,
    draft,
    emergency,
    eventually,
)

PROGRAMME = "loa/1/prog/23557"
FIVE = EVENING.replace(hour=17, minute=0, second=0)


def own(**changes: object) -> Draft:
    """A priority bulletin of the ward."""
    return draft(**{"cls": BulletinClass.PRIORITY, "authority": "TB 12/TB-UBND"} | changes)


def province(**changes: object) -> Draft:
    """A priority bulletin of the province for everybody."""
    return emergency(**{"cls": BulletinClass.PRIORITY, "title": "Tin tỉnh"} | changes)


async def starts(running: Hub, unit: str = WARD) -> list[tuple[str, datetime, timedelta]]:
    """The unit's programme: bulletin, start, length."""
    query = select(AiringRow).where(AiringRow.unit == unit, ~AiringRow.cancelled).order_by(AiringRow.start)
    rows = await running.store.read(lambda s: s.scalars(query).all())
    return [(row.bulletin, row.start, timedelta(seconds=row.duration)) for row in rows]


async def names(running: Hub, unit: str = WARD) -> list[str]:
    return [bulletin for bulletin, _, _ in await starts(running, unit)]


def apart(found: list[tuple[str, datetime, timedelta]]) -> bool:
    return all(start + length < after for (_, start, length), (_, after, _) in pairwise(found))


async def test_the_commune_puts_its_own_item_first_and_nobody_above_it_does(running: Hub) -> None:
    ear = await running.ear("23557-L01")
    above, _ = await running.push(province())
    mine, _ = await running.push(own(), DUNG)
    assert await names(running) == [above, mine], "by the time of approval"
    before = {row[0]: row for row in await _ids(running)}
    done = await running.playout.order(CHI, WARD, mine, above)
    assert isinstance(done, Ordered), done
    found = await starts(running)
    assert [name for name, _, _ in found] == [mine, above]
    assert [name for name, _, _ in done.items] == [mine, above]
    assert found[0][1] == FIVE
    assert apart(found)
    assert {row[0]: row for row in await _ids(running)} == before, "what moves keeps its id"
    for person in (AN, BINH):
        refused = await running.playout.order(person, WARD, above, mine)
        assert codes(refused) == ["BUL080"]
    assert await names(running) == [mine, above]
    assert await names(running, OTHER) == [above], "another commune's programme is its own"
    await eventually(lambda: len(ear.frames.get(PROGRAMME, ())) == 3)
    heard = ear.read(PROGRAMME)
    assert heard is not None
    assert [i.bulletin.id for i in heard.items] == [mine, above]
    events = await running.store.read(lambda s: journal.recent(s, 5, mine))
    decided = next(e for e in events if e.kind is journal.EventKind.BULLETIN_ORDERED)
    assert (decided.cause, decided.data) == (CHI.id, {"unit": WARD, "before": above, "order": [mine, above]})
    last = await running.store.read(lambda s: s.scalars(select(AuditRow).order_by(AuditRow.n.desc())).first())
    assert last is not None
    assert (last.action, last.person, last.subject) == ("bulletin.order", CHI.id, mine)


async def _ids(running: Hub) -> list[tuple[str, str]]:
    rows = await running.store.read(lambda s: s.scalars(select(AiringRow).order_by(AiringRow.id)).all())
    return [(row.id, row.bulletin) for row in rows]


async def test_an_order_that_is_there_already_changes_nothing(running: Hub) -> None:
    first, _ = await running.push(own())
    second, _ = await running.push(own(title="Họp dân"))
    found = await starts(running)
    assert isinstance(await running.playout.order(EM, WARD, first, second), Ordered)
    assert await starts(running) == found


async def test_items_move_around_what_is_not_theirs_and_in_every_session(running: Hub) -> None:
    first, _ = await running.push(own(repeats=2, every=86_400_000))
    middle, _ = await running.push(draft(title="Tin thường"))
    second, _ = await running.push(own(title="Họp dân", repeats=2, every=86_400_000))
    third, _ = await running.push(own(title="Cấp nước"))
    at = {name: start for name, start, _ in await starts(running)}
    assert isinstance(await running.playout.order(DUNG, WARD, third, first), Ordered)
    assert isinstance(await running.playout.order(DUNG, WARD, second, first), Ordered)
    found = await starts(running)
    assert apart(found)
    assert [name for name, _, _ in found if name != middle] == [third, second, first, second, first]
    assert {start for name, start, _ in found if name == middle} == {at[middle]}


async def test_what_has_begun_is_not_moved(running: Hub) -> None:
    first, _ = await running.push(own())
    second, _ = await running.push(own(title="Họp dân"))
    running.clock.skip(seconds=32)
    assert codes(await running.playout.order(DUNG, WARD, second, first)) == ["BUL082"]
    assert codes(await running.playout.order(DUNG, WARD, first, second)) == ["BUL082"]


async def narrow(running: Hub) -> None:
    """Sessions in which one of these bulletins has room, not two."""
    await running.submit(own())
    length = (await running.playout.bulletins())[0].duration / 1000
    sessions = tuple(replace(s, duration=1.5 * length) for s in running.keys.network.sessions)
    network = replace(running.keys.network, sessions=sessions)
    running.playout._network = lambda: network


async def test_an_item_of_a_later_session_comes_first_and_what_has_no_room_any_more_goes_on(running: Hub) -> None:
    await narrow(running)
    above, _ = await running.push(province(text=HEARD))
    mine, _ = await running.push(own())
    (_, early, _), (_, late, _) = await starts(running)
    assert (early, late) == (FIVE, FIVE + timedelta(hours=12))
    done = await running.playout.order(DUNG, WARD, mine, above)
    assert isinstance(done, Ordered), done
    assert [(name, start) for name, start, _ in await starts(running)] == [(mine, early), (above, late)]


async def test_an_order_that_leaves_somebody_without_room_changes_nothing(running: Hub) -> None:
    await narrow(running)
    above, _ = await running.push(province(text=HEARD, valid_until=FIVE + timedelta(minutes=30)))
    mine, _ = await running.push(own())
    found = await starts(running)
    assert codes(await running.playout.order(DUNG, WARD, mine, above)) == ["BUL083"]
    assert await starts(running) == found


async def test_no_order_moves_an_item_past_an_end_that_was_brought_forward(running: Hub) -> None:
    await narrow(running)
    above, _ = await running.push(province(text=HEARD))
    mine, _ = await running.push(own())
    done = await running.playout.edit(AN, above, Edits(valid_until=FIVE + timedelta(minutes=30)))
    assert isinstance(done, Edited), done
    found = await starts(running)
    assert codes(await running.playout.order(DUNG, WARD, mine, above)) == ["BUL083"]
    assert await starts(running) == found


async def test_only_priority_bulletins_have_an_order_and_only_a_commune_has_one(running: Hub) -> None:
    first, _ = await running.push(own())
    normal, _ = await running.push(draft())
    order = running.playout.order
    assert codes(await order(DUNG, WARD, normal, first)) == ["BUL082"]
    assert codes(await order(DUNG, WARD, first, normal)) == ["BUL082"]
    assert codes(await order(DUNG, WARD, "nothing", first)) == ["BUL020"]
    assert codes(await order(DUNG, "622", first, first)) == ["BUL003"]
    assert codes(await order(DUNG, "99999", first, first)) == ["BUL002"]
    assert codes(await order(DUNG, OTHER, first, first)) == ["BUL080"]
    assert codes(await order(GIA, WARD, first, first)) == ["BUL080"]


def offered(**changes: object) -> Draft:
    return province(**{"cls": BulletinClass.NORMAL, "title": "Gương người tốt", "authority": ""} | changes)


async def test_a_higher_tiers_normal_bulletin_airs_only_where_it_is_picked(running: Hub) -> None:
    ear, other = await running.ear("23557-L01"), await running.ear("23560-L01")
    bulletin, approved = await running.push(offered())
    assert approved == Approved({}, offered=(WARD, OTHER))
    assert await running.state(bulletin) == "approved"
    assert await names(running) == []
    assert [v.id for v in await running.playout.offers(WARD)] == [bulletin]
    assert (await running.playout.bulletins())[0].expected == 0
    for person in (AN, BINH, GIA):
        assert codes(await running.playout.pick(person, WARD, bulletin)) == ["BUL081"]
    picked = await running.playout.pick(CHI, WARD, bulletin)
    assert isinstance(picked, Approved), picked
    assert set(picked.starts) == {WARD}
    assert await running.state(bulletin) == "scheduled"
    await eventually(lambda: PROGRAMME in ear.frames)
    heard = ear.read(PROGRAMME)
    assert heard is not None
    assert [i.bulletin.id for i in heard.items] == [bulletin]
    assert "loa/1/prog/23560" not in other.frames
    assert codes(await running.playout.pick(CHI, WARD, bulletin)) == ["BUL084"]
    assert await running.playout.offers(WARD) == ()
    assert [v.id for v in await running.playout.offers(OTHER)] == [bulletin]
    assert (await running.playout.bulletins())[0].expected == 2
    report = await running.playout.report(bulletin)
    assert isinstance(report, Report)
    assert {o.device for o in report.outcomes} == {"23557-L01", "23557-L02"}
    events = await running.store.read(lambda s: journal.recent(s, 5, bulletin))
    chosen = next(e for e in events if e.kind is journal.EventKind.BULLETIN_PICKED)
    assert (chosen.cause, chosen.data) == (CHI.id, {"unit": WARD})


async def test_what_nobody_picks_is_no_fault_and_is_not_on_offer_any_more(running: Hub) -> None:
    bulletin, _ = await running.push(offered(valid_until=FIVE + timedelta(hours=2)))
    running.clock.skip(hours=30)
    await running.playout._tick()
    assert await running.state(bulletin) == "approved"
    assert await running.playout.offers(WARD) == ()
    assert codes(await running.playout.pick(CHI, WARD, bulletin)) == ["BUL084"]
    events = await running.store.read(lambda s: journal.recent(s, 5, bulletin))
    assert {e.to for e in events} == {"approved", "submitted"}


async def test_while_it_is_on_offer_it_is_not_over(running: Hub) -> None:
    bulletin, _ = await running.push(offered())
    assert isinstance(await running.playout.pick(CHI, WARD, bulletin), Approved)
    running.clock.skip(hours=30)
    await running.playout._tick()
    assert await running.state(bulletin) == "airing"
    assert [v.id for v in await running.playout.offers(OTHER)] == [bulletin]


async def test_a_withdrawn_offer_cannot_be_picked(running: Hub) -> None:
    bulletin, _ = await running.push(offered())
    assert not isinstance(await running.playout.withdraw(AN, bulletin, "sai"), Diagnostic)
    assert await running.state(bulletin) == "cancelled"
    assert codes(await running.playout.pick(CHI, WARD, bulletin)) == ["BUL084"]
    assert codes(await running.playout.pick(CHI, WARD, "nothing")) == ["BUL020"]


async def test_a_commune_with_no_room_picks_nothing(running: Hub) -> None:
    bulletin, _ = await running.push(offered(valid_until=FIVE + timedelta(seconds=2)))
    assert codes(await running.playout.pick(CHI, WARD, bulletin)) == ["BUL030"]
    assert [v.id for v in await running.playout.offers(WARD)] == [bulletin]
