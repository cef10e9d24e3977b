"""Versions, series, approval on paper and search, at a running hub."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import select

from audio.documents import Bulletin, BulletinClass, decode
from audio.history import History, changes
from audio.playout import Approved, Edited, Edits, Find, Paper, Stopped
from inventory.diagnostics import Diagnostic
from inventory.model import TIMEZONE
from nms import journal
from nms.moments import to_milliseconds
from nms.store import AiringRow, AuditRow
from tests.audio.province import (
    AN,
    BINH,
    CHI,
    DUNG,
    EM,
    EVENING,
    GIA,
    OTHER,
    WARD,
    WARNED,
    Hub,
    codes,
    draft,
    emergency,
    eventually,
)

PROGRAMME = "loa/1/prog/23557"
FIVE = EVENING.replace(hour=17, minute=0, second=0)
DAY = 24 * 3600 * 1000


async def starts(running: Hub, bulletin: str) -> list[datetime]:
    query = select(AiringRow).where(AiringRow.bulletin == bulletin, ~AiringRow.cancelled).order_by(AiringRow.start)
    rows = await running.store.read(lambda s: s.scalars(query).all())
    return [row.start.astimezone(TIMEZONE) for row in rows]


async def edit(running: Hub, bulletin: str, edits: Edits, person: object = CHI) -> Edited:
    done = await running.playout.edit(person, bulletin, edits)  # type: ignore[arg-type]
    assert isinstance(done, Edited), done
    return done


async def approved(running: Hub, bulletin: str) -> Approved:
    done = await running.playout.approve(BINH, bulletin, await running.sign(bulletin, WARD))
    assert isinstance(done, Approved), done
    return done


async def body(running: Hub, bulletin: str) -> Bulletin:
    data = await running.playout.body(bulletin)
    assert isinstance(data, bytes)
    return decode(Bulletin, data)


async def known(running: Hub, bulletin: str) -> History:
    found = await running.playout.history(bulletin)
    assert isinstance(found, History)
    return found


async def test_a_returned_bulletin_is_mended_as_its_second_version(running: Hub) -> None:
    first = await running.submit(draft())
    assert await running.playout.give_back(BINH, first, "sai giờ") == ()
    done = await edit(running, first, Edits(text=WARNED))
    assert (done.version, done.waiting, done.changed) == (2, True, ("text",))
    assert done.bulletin != first
    assert (await running.state(first), await running.state(done.bulletin)) == ("cancelled", "submitted")
    old, new = await body(running, first), await body(running, done.bulletin)
    assert (new.version, new.text, new.title, new.audience) == (2, WARNED, old.title, old.audience)
    assert set(changes(old, new)) == {"content", "text"}
    assert (await approved(running, done.bulletin)).starts
    found = await known(running, first)
    assert [(v.version, v.state, v.author) for v in found.versions] == [
        (1, "cancelled", "chi"),
        (2, "scheduled", "chi"),
    ]
    assert found.versions[1].changed == ("content", "text")
    assert [(d.version, d.decision, d.person) for d in found.decisions] == [
        (1, "returned", "binh"),
        (2, "approved", "binh"),
    ]
    assert found.decisions[0].reason == "sai giờ"
    assert (await known(running, done.bulletin)).versions == found.versions
    assert codes(await running.playout.history("nothing")) == ["BUL020"]


async def test_the_old_version_stays_on_the_air_until_the_new_one_is_approved(running: Hub) -> None:
    ear = await running.ear("23557-L01")
    first, _ = await running.push(draft())
    done = await edit(running, first, Edits(text=WARNED))
    assert (await running.state(first), await running.state(done.bulletin)) == ("scheduled", "submitted")
    assert await starts(running, first) == [FIVE]
    assert codes(await running.playout.edit(CHI, first, Edits(text="a"))) == ["BUL086"]
    await approved(running, done.bulletin)
    assert await running.state(first) == "cancelled"
    assert await starts(running, first) == []
    assert await starts(running, done.bulletin) == [FIVE]

    def heard() -> list[str]:
        document = ear.read(PROGRAMME)
        return [i.bulletin.id for i in document.items] if document is not None else []

    await eventually(lambda: heard() == [done.bulletin])
    assert [(s.version, s.cancelled) for s in (await known(running, first)).starts] == [(1, True), (2, False)]


async def test_what_has_begun_of_the_old_version_ends_and_the_rest_is_the_new_one(running: Hub) -> None:
    first, _ = await running.push(draft(repeats=3, every=DAY))
    running.clock.skip(seconds=32)
    done = await edit(running, first, Edits(text=WARNED))
    await approved(running, done.bulletin)
    assert await starts(running, first) == [FIVE]
    assert await running.state(first) != "cancelled"


async def test_title_and_time_need_no_approval(running: Hub) -> None:
    first, _ = await running.push(draft(repeats=2))
    signed = await running.playout.body(first)
    done = await edit(running, first, Edits(title="Tiêm chủng", every=DAY, repeats=3))
    assert done == Edited(first, 1, False, ("title", "repeats", "every"))
    assert await starts(running, first) == [FIVE + timedelta(days=n) for n in range(3)]
    view = (await running.playout.bulletins())[0]
    assert (view.title, view.state) == ("Tiêm chủng", "scheduled")
    assert await running.playout.body(first) == signed
    early = FIVE + timedelta(days=1)
    assert (await edit(running, first, Edits(valid_until=early))).waiting is False
    assert await starts(running, first) == [FIVE]
    later = await edit(running, first, Edits(valid_until=FIVE + timedelta(days=30)))
    assert later.waiting, "longer than the leader has signed for"


async def by_commune(running: Hub, bulletin: str) -> list[str]:
    query = select(AiringRow.unit).where(AiringRow.bulletin == bulletin, ~AiringRow.cancelled)
    return sorted(await running.store.read(lambda s: s.scalars(query).all()))


async def test_what_a_commune_has_stopped_no_edit_brings_back_there(running: Hub) -> None:
    wide = emergency(cls=BulletinClass.PRIORITY, repeats=3, every=DAY)
    first, _ = await running.push(wide)
    stop = running.playout.stop
    assert isinstance(await stop(DUNG, f"commune={WARD}", first, EVENING + timedelta(minutes=1), "thi"), Stopped)
    assert await by_commune(running, first) == [OTHER] * 3
    running.clock.skip(minutes=2)
    await edit(running, first, Edits(repeats=4), AN)
    assert await by_commune(running, first) == [OTHER] * 4, "also when the stop itself is over"


async def test_a_part_of_a_commune_that_is_stopped_keeps_no_edit_from_the_rest(running: Hub) -> None:
    first, _ = await running.push(emergency(cls=BulletinClass.PRIORITY, repeats=2, every=DAY))
    assert isinstance(await running.playout.stop(DUNG, "device=23557-L01", first, None, "thi"), Stopped)
    await edit(running, first, Edits(repeats=1), AN)
    await edit(running, first, Edits(repeats=2), AN)
    assert await by_commune(running, first) == [WARD] * 2 + [OTHER] * 2, "what an edit took away, an edit brings back"


async def test_a_time_for_which_there_is_no_room_changes_nothing(running: Hub) -> None:
    first, _ = await running.push(draft())
    end = EVENING + timedelta(seconds=20)
    assert codes(await running.playout.edit(CHI, first, Edits(valid_until=end))) == ["BUL030"]
    assert await starts(running, first) == [FIVE]
    assert (await running.playout.bulletins())[0].valid_until == (await body(running, first)).valid_until


async def test_audience_and_class_need_approval_and_keep_the_sound(running: Hub) -> None:
    first, _ = await running.push(draft())
    done = await edit(running, first, Edits(audience="device=23557-L01"))
    assert (done.waiting, done.changed) == (True, ("audience",))
    assert (await body(running, first)).content == (await body(running, done.bulletin)).content
    again = await edit(running, done.bulletin, Edits(cls=BulletinClass.PRIORITY, authority="TB 12"))
    assert again.version == 3
    assert (await body(running, again.bulletin)).cls is BulletinClass.PRIORITY
    await approved(running, again.bulletin)
    assert [v.state for v in (await known(running, first)).versions] == ["cancelled", "cancelled", "scheduled"]


async def test_who_edits_does_not_approve_and_not_everything_can_be_edited(running: Hub) -> None:
    first, _ = await running.push(draft())
    done = await edit(running, first, Edits(text=WARNED), EM)
    signed = await running.sign(done.bulletin, WARD)
    assert codes(await running.playout.approve(EM, done.bulletin, signed)) == ["BUL021"]
    assert codes(await running.playout.edit(DUNG, done.bulletin, Edits(title="x"))) == ["BUL001"]
    assert codes(await running.playout.edit(CHI, done.bulletin, Edits(title="Tiêm phòng"))) == ["BUL089"]
    assert codes(await running.playout.edit(CHI, "nothing", Edits(title="x"))) == ["BUL020"]
    assert codes(await running.playout.edit(CHI, done.bulletin, Edits(audience="commune=23560"))) == ["BUL004"]
    storm, _ = await running.push(emergency())
    assert codes(await running.playout.edit(AN, storm, Edits(title="x"))) == ["BUL085"]
    assert not isinstance(await running.playout.withdraw(AN, storm, "sai"), Diagnostic)
    assert codes(await running.playout.edit(AN, storm, Edits(title="x"))) == ["BUL023"]


async def test_who_wrote_the_first_version_does_not_approve_what_a_colleague_made_of_it(running: Hub) -> None:
    first = await running.submit(draft(author=EM.id))
    second = (await edit(running, first, Edits(title="Tiêm chủng", audience="device=23557-L01"))).bulletin
    signed, paper = await running.sign(second, WARD), Paper("12/TB-UBND", "Chủ tịch UBND", EVENING)
    approve = running.playout.approve
    assert codes(await approve(EM, second, signed)) == ["BUL099"]
    assert codes(await approve(EM, second, signed, paper=paper)) == ["BUL099"]
    assert codes(await running.playout.give_back(EM, second, "sai giờ")) == ["BUL099"]
    third = (await edit(running, second, Edits(text=WARNED))).bulletin
    signed = await running.sign(third, WARD)
    assert codes(await approve(EM, third, signed)) == ["BUL099"]
    assert isinstance(await approve(DUNG, third, signed), Approved)


async def test_a_series_has_one_start_a_day_or_one_in_each_session(running: Hub) -> None:
    daily, _ = await running.push(draft(repeats=5, every=DAY))
    assert await starts(running, daily) == [FIVE + timedelta(days=n) for n in range(5)]
    each, _ = await running.push(draft(title="Mỗi buổi", repeats=3, by_session=True))
    found = await starts(running, each)
    assert [(s.date() - EVENING.date()).days for s in found] == [0, 1, 1]
    assert [s.hour for s in found] == [17, 5, 17]
    second, _ = await running.push(draft(title="Hai", repeats=2, every=DAY))
    assert [(s.date() - EVENING.date()).days for s in await starts(running, second)] == [0, 1]


async def test_an_approval_on_paper_is_recorded_by_a_second_account(running: Hub) -> None:
    bulletin = await running.submit(draft())
    signed = await running.sign(bulletin, WARD)
    paper = Paper("12/TB-UBND", "Nguyễn Văn A, Chủ tịch UBND", EVENING - timedelta(hours=2))
    approve = running.playout.approve
    assert codes(await approve(CHI, bulletin, signed, paper=paper)) == ["BUL021"]
    assert codes(await approve(GIA, bulletin, signed, paper=paper)) == ["BUL087"]
    for wrong in (
        replace(paper, number=" "),
        replace(paper, signer=""),
        replace(paper, signed_at=EVENING + timedelta(days=1)),
    ):
        assert codes(await approve(AN, bulletin, signed, paper=wrong)) == ["BUL088"]
    foreign = await running.sign(bulletin, WARD, by=OTHER)
    assert codes(await approve(AN, bulletin, foreign, paper=paper)) == ["BUL026"]
    assert codes(await approve(AN, bulletin, signed)) == ["BUL022"], "an editor approves on paper only"
    assert isinstance(await approve(AN, bulletin, signed, paper=paper), Approved)
    [decision] = (await known(running, bulletin)).decisions
    assert (decision.person, decision.paper, decision.signer) == ("an", paper.number, paper.signer)
    assert decision.signed_at == to_milliseconds(paper.signed_at)
    last = await running.store.read(lambda s: s.scalars(select(AuditRow).order_by(AuditRow.n.desc())).first())
    assert last is not None
    assert (last.action, last.person) == ("bulletin.approved", "an")
    assert (last.data["paper"], last.data["signer"]) == (paper.number, paper.signer)
    assert (await running.store.read(journal.verify))[1] is None


async def test_what_is_entered_on_behalf_waits_for_the_communes_own_leader(running: Hub) -> None:
    bulletin = await running.submit(draft(author=AN.id, on_behalf=True))
    signed = await running.sign(bulletin, WARD)
    assert codes(await running.playout.approve(BINH, bulletin, signed)) == ["BUL022"]
    assert isinstance(await running.playout.approve(DUNG, bulletin, signed), Approved)
    assert (await known(running, bulletin)).versions[0].on_behalf == "64"


async def test_bulletins_are_found_without_marks_and_paged(running: Hub) -> None:
    water = await running.submit(draft(title="Cắt nước", text=WARNED))
    others = [await running.submit(draft(title=f"Tin 100% số {n}")) for n in range(3)]
    find = running.playout.bulletins

    async def ids(**wanted: object) -> list[str]:
        return [v.id for v in await find(Find(**wanted))]  # type: ignore[arg-type]

    assert await ids(search="cat NUOC") == await ids(search="lũ đang lên") == [water]
    assert await ids(search="100% chi") == others[::-1]
    assert await ids(search="100_") == await ids(search="nước tin") == []
    page = await ids(limit=3)
    assert page == others[::-1]
    assert await ids(limit=3, before=page[-1]) == [water]
    assert await running.playout.give_back(BINH, water, "sai") == ()
    assert await ids(state="returned") == [water]
    assert await ids(origin=OTHER) == []
    assert await ids(since=running.clock() + timedelta(hours=1)) == []
    assert len(await ids(since=EVENING, origin=WARD)) == 4
