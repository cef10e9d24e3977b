from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from audio.broker import Mosquitto
from audio.documents import Bulletin, BulletinClass, NowKind, Receipt, Result, decode, encode
from audio.playout import Approved, Stopped, Submitted
from audio.receipts import Heard, Report
from inventory.model import Network, Tier
from nms import journal
from nms.moments import to_milliseconds
from nms.store import AiringRow, ReceiptRow
from tests.audio.province import (
    AN,
    BINH,
    CHI,
    DISTRICT,
    DUNG,
    EM,
    EVENING,
    OTHER,
    PROVINCE,
    WARD,
    Clock,
    Ear,
    Hub,
    Keys,
    SpokenOnce,
    codes,
    draft,
    emergency,
    eventually,
    hub,
    receipt,
)

TIME = "loa/1/time"
NOW_WARD, NOW_PROVINCE = "loa/1/now/u/23557/23557", "loa/1/now/u/64/64"
PROGRAMME, OTHER_PROGRAMME = "loa/1/prog/23557", "loa/1/prog/23560"


async def airings(running: Hub, bulletin: str) -> list[tuple[str, datetime]]:
    rows = await running.store.read(
        lambda s: s.scalars(select(AiringRow).where(AiringRow.bulletin == bulletin).order_by(AiringRow.start)).all()
    )
    return [(row.unit, row.start) for row in rows]


async def only_report(running: Hub, bulletin: str) -> Report:
    found = await running.playout.report(bulletin)
    assert isinstance(found, Report)
    return found


async def reaches(running: Hub, bulletin: str, state: str) -> None:
    for _ in range(400):
        if await running.state(bulletin) == state:
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"{await running.state(bulletin)} instead of {state}")


async def test_an_approved_bulletin_becomes_an_airing_that_the_device_accepts(running: Hub) -> None:
    ear = await running.ear("23557-L01")
    bulletin = await running.submit(draft(repeats=2))
    assert await running.state(bulletin) == "submitted"
    assert PROGRAMME not in ear.frames
    approved = await running.playout.approve(BINH, bulletin, await running.sign(bulletin, WARD))
    session = EVENING.replace(hour=17, minute=0, second=0)
    assert approved == Approved({WARD: to_milliseconds(session)})
    await eventually(lambda: PROGRAMME in ear.frames)
    heard = ear.read(PROGRAMME)
    assert heard is not None
    assert heard.refused == ()
    first, second = heard.items
    assert encode(first.bulletin) == await running.playout.body(bulletin)
    assert first.bulletin.title == "Tiêm phòng"
    assert second.airing.start == first.airing.start + first.bulletin.duration + 1_000
    assert first.airing.latest == to_milliseconds(session + timedelta(hours=1))
    assert await running.state(bulletin) == "scheduled"
    assert OTHER_PROGRAMME not in ear.frames


async def test_the_author_does_not_approve_even_with_the_right_key(running: Hub) -> None:
    bulletin = await running.submit(draft(author=EM.id))
    signed = await running.sign(bulletin, WARD)
    assert codes(await running.playout.approve(EM, bulletin, signed)) == ["BUL021"]
    assert codes(await running.playout.approve(CHI, bulletin, signed)) == ["BUL022"]
    assert codes(await running.playout.approve(BINH, "nothing", signed)) == ["BUL020"]
    assert isinstance(await running.playout.approve(DUNG, bulletin, signed), Approved)
    assert codes(await running.playout.approve(BINH, bulletin, signed)) == ["BUL023"]


async def test_nobody_submits_in_anothers_name(running: Hub) -> None:
    assert codes(await running.playout.submit(DUNG, draft())) == ["BUL001"]
    assert await running.playout.bulletins() == ()


async def test_a_forged_altered_or_foreign_signature_is_refused(running: Hub) -> None:
    bulletin = await running.submit(draft())
    body = await running.playout.body(bulletin)
    assert isinstance(body, bytes)
    good = running.keys.sign(body, WARD, running.clock())
    louder = encode(replace(decode(Bulletin, body), audience=replace(decode(Bulletin, body).audience, units=("622",))))
    refusals = {
        "not a frame": (b"LOA1", "BUL024"),
        "one bit": (good[:-1] + bytes([good[-1] ^ 1]), "BUL024"),
        "another body": (running.keys.sign(louder, WARD, running.clock()), "BUL025"),
        "another unit's key": (running.keys.sign(body, WARD, running.clock(), by=OTHER), "BUL026"),
        "a higher unit's key": (running.keys.sign(body, WARD, running.clock(), by=PROVINCE), "BUL026"),
    }
    for name, (frame, code) in refusals.items():
        assert codes(await running.playout.approve(BINH, bulletin, frame)) == [code], name
    assert await running.state(bulletin) == "submitted"
    assert isinstance(await running.playout.approve(BINH, bulletin, good), Approved)


async def test_a_key_without_the_class_does_not_sign_it(running: Hub) -> None:
    trusted = running.keys.network.trust
    assert trusted is not None
    weak = tuple(replace(k, classes=("normal",)) if k.unit == PROVINCE and not k.hub else k for k in trusted.keys)
    bulletin = await running.submit(emergency())
    signed = await running.sign(bulletin, PROVINCE)
    for known, code in ((replace(trusted, keys=weak), "BUL026"), (None, "BUL027")):
        network: Network = replace(running.keys.network, trust=known)
        running.playout._network = lambda network=network: network  # type: ignore[misc]
        assert codes(await running.playout.approve(BINH, bulletin, signed)) == [code]


async def test_a_returned_bulletin_is_not_approved(running: Hub) -> None:
    bulletin = await running.submit(draft())
    assert codes(await running.playout.give_back(CHI, bulletin, "sai giờ")) == ["BUL021"]
    assert await running.playout.give_back(BINH, bulletin, "sai giờ") == ()
    assert await running.state(bulletin) == "returned"
    signed = await running.sign(bulletin, WARD)
    assert codes(await running.playout.approve(BINH, bulletin, signed)) == ["BUL023"]


async def test_bulletins_are_placed_around_each_other_and_nothing_is_moved(running: Hub) -> None:
    first, _ = await running.push(draft())
    second, _ = await running.push(draft(title="Họp dân"))
    now, _ = await running.push(draft(title="Phát ngay", play_now=True))
    length = timedelta(milliseconds=(await running.playout.bulletins())[0].duration)
    [(_, start)], [(_, after)] = await airings(running, first), await airings(running, second)
    [(_, at_once)] = await airings(running, now)
    assert start == EVENING.replace(hour=17, minute=0, second=0)
    assert start + length + timedelta(seconds=1) <= after < start + length + timedelta(seconds=5)
    assert EVENING + timedelta(seconds=5) <= at_once
    assert at_once + length < start


async def test_a_district_bulletin_is_in_every_communes_programme(running: Hub) -> None:
    ear, other = await running.ear("23557-L01"), await running.ear("23560-L01")
    district = draft(
        tier=Tier.DISTRICT,
        origin=DISTRICT,
        author=AN.id,
        audience="district=622",
        cls=BulletinClass.PRIORITY,
        authority="KH 5/KH-UBND",
    )
    _, approved = await running.push(district)
    assert set(approved.starts) == {WARD, OTHER}
    await eventually(lambda: PROGRAMME in ear.frames and OTHER_PROGRAMME in other.frames)
    for document in (ear.read(PROGRAMME), other.read(OTHER_PROGRAMME)):
        assert document is not None
        assert [i.bulletin.origin for i in document.items] == [DISTRICT]


async def test_what_finds_no_room_is_said_and_not_lost(running: Hub) -> None:
    late = EVENING.replace(hour=16, minute=59, second=50)
    bulletin, approved = await running.push(draft(valid_until=late))
    assert approved.homeless == (WARD,)
    assert [d.code for d in approved.warnings] == ["BUL030"]
    assert await running.state(bulletin) == "failed"
    events = await running.store.read(lambda s: journal.recent(s, 10, bulletin))
    assert ("failed", "no room in 1 communes") in {(e.to, e.cause) for e in events}
    _, partly = await running.push(draft(valid_until=EVENING.replace(hour=17, minute=0, second=20), repeats=9))
    assert partly.homeless == (WARD,)
    assert partly.starts


async def test_nothing_is_placed_in_quiet_hours(running: Hub) -> None:
    bulletin = await running.submit(draft(play_now=True))
    running.clock.skip(hours=4, seconds=25)
    approved = await running.playout.approve(BINH, bulletin, await running.sign(bulletin, WARD))
    assert isinstance(approved, Approved), approved
    [(_, start)] = await airings(running, bulletin)
    assert start == (EVENING + timedelta(days=1)).replace(hour=5, minute=0, second=0)


async def test_play_now_is_refused_in_quiet_hours_with_the_hour_from_which_it_may(running: Hub) -> None:
    running.clock.skip(hours=6, seconds=30)
    refused = await running.playout.submit(CHI, draft(play_now=True))
    assert codes(refused) == ["BUL014"]
    assert isinstance(refused, tuple)
    assert refused[0].fields == {"unit": "Phường Yên Đỗ", "until": "05:00 02/10/2024"}
    assert isinstance(await running.playout.submit(AN, emergency(play_now=True)), Submitted)
    assert isinstance(await running.playout.submit(CHI, draft()), Submitted)


async def test_an_emergency_carries_its_sound_and_ends_with_the_all_clear(running: Hub, library: SpokenOnce) -> None:
    ear = await running.ear("23560-L01")
    bulletin, approved = await running.push(emergency())
    assert set(approved.starts) == {"u/64"}
    await eventually(lambda: NOW_PROVINCE in ear.frames)
    heard = ear.read(NOW_PROVINCE)
    assert heard is not None
    assert heard.refused == ()
    [order] = heard.orders
    assert (order.kind, order.names) == (NowKind.EMERGENCY, bulletin)
    assert order.bulletin is not None
    assert heard.sounds == ((order.bulletin.content, library.read(order.bulletin.content)),)
    await reaches(running, bulletin, "airing")
    await ear.receipt(receipt("23560-L01", bulletin, order.entry, order.start + 40))
    await eventually(ear.acknowledged)
    assert codes(await running.playout.all_clear(DUNG, bulletin)) == ["BUL031"]
    assert await running.playout.all_clear(BINH, bulletin) == Stopped(("u/64",))
    await eventually(lambda: len(ear.frames[NOW_PROVINCE]) == 2)
    cleared = ear.read(NOW_PROVINCE)
    assert cleared is not None
    assert cleared.orders == ()
    assert codes(await running.playout.all_clear(BINH, bulletin)) == ["BUL033"]
    await reaches(running, bulletin, "aired")
    found = await only_report(running, bulletin)
    assert found.counts[Heard.HEARD] == 1
    assert (found.addressed, found.p50) == (3, 40)


async def test_a_second_emergency_joins_the_first_in_one_document(running: Hub) -> None:
    ear = await running.ear("23557-L01")
    first, _ = await running.push(emergency())
    second, _ = await running.push(emergency(title="Lũ về đến Pleiku"))
    await eventually(lambda: len(ear.frames.get(NOW_PROVINCE, ())) == 2)
    heard = ear.read(NOW_PROVINCE)
    assert heard is not None
    assert [o.names for o in heard.orders] == [first, second]


async def test_an_emergency_for_groups_and_devices_goes_to_their_own_topics(running: Hub) -> None:
    ear = await running.ear("23560-L01")
    await running.push(emergency(audience="group=riverside"))
    await running.push(emergency(audience="device=23560-L01"))
    for topic in ("loa/1/now/g/riverside/64", "loa/1/now/d/23560-L01/64"):
        await eventually(lambda topic=topic: topic in ear.frames)  # type: ignore[misc]
        heard = ear.read(topic)
        assert heard is not None
        assert len(heard.orders) == 1


async def test_a_drill_is_an_order_but_no_emergency(running: Hub) -> None:
    ear = await running.ear("23557-L01")
    await running.push(draft(drill=True))
    await eventually(lambda: NOW_WARD in ear.frames)
    heard = ear.read(NOW_WARD)
    assert heard is not None
    assert [o.kind for o in heard.orders] == [NowKind.DRILL]


async def test_an_emergency_is_over_at_its_end(running: Hub) -> None:
    ear = await running.ear("23557-L01")
    bulletin, _ = await running.push(emergency())
    await reaches(running, bulletin, "airing")
    running.clock.skip(minutes=62)
    await reaches(running, bulletin, "failed")
    await eventually(lambda: len(ear.frames[NOW_PROVINCE]) == 2)
    heard = ear.read(NOW_PROVINCE)
    assert heard is not None
    assert heard.orders == ()


async def test_a_commune_stops_the_provinces_emergency_for_itself_only(running: Hub) -> None:
    ear = await running.ear("23557-L01")
    bulletin, _ = await running.push(emergency())
    stop = running.playout.stop
    assert codes(await stop(DUNG, "commune=23557", bulletin, None, "")) == ["BUL032"]
    assert codes(await stop(DUNG, "commune=23560", bulletin, None, "nhầm")) == ["BUL031"]
    assert codes(await stop(DUNG, "commune=23557", "nothing", None, "nhầm")) == ["BUL020"]
    assert codes(await stop(DUNG, "comune=23557", bulletin, None, "nhầm"))[0].startswith("SEL")
    assert codes(await stop(DUNG, "device=23557-B01", bulletin, None, "nhầm")) == ["BUL005"]
    assert await stop(DUNG, "commune=23557", bulletin, None, "nhầm địa bàn") == Stopped(("u/23557",))
    await eventually(lambda: NOW_WARD in ear.frames)
    heard = ear.read(NOW_WARD)
    assert heard is not None
    [order] = heard.orders
    assert (order.kind, order.names) == (NowKind.STOP, bulletin)
    view = (await running.playout.bulletins())[0]
    assert order.until == view.valid_until
    assert view.state in ("scheduled", "airing")
    assert len(ear.frames[NOW_PROVINCE]) == 1


async def test_a_stop_of_everything_holds_ten_minutes_and_cancels_nothing(running: Hub) -> None:
    ear = await running.ear("23557-L01")
    bulletin, _ = await running.push(draft())
    before = running.clock.ms
    past = EVENING - timedelta(minutes=1)
    assert codes(await running.playout.stop(DUNG, "commune=23557", None, past, "")) == ["BUL034"]
    assert await running.playout.stop(DUNG, "commune=23557", None, None, "") == Stopped(("u/23557",))
    await eventually(lambda: NOW_WARD in ear.frames)
    heard = ear.read(NOW_WARD)
    assert heard is not None
    [order] = heard.orders
    assert order.names == ""
    assert before + 600_000 <= order.until <= running.clock.ms + 600_000
    assert await running.state(bulletin) == "scheduled"


async def test_a_named_stop_cancels_the_starts_where_everybody_is_stopped(running: Hub) -> None:
    ear = await running.ear("23557-L01")
    wide = emergency(cls=BulletinClass.PRIORITY)
    bulletin, _ = await running.push(wide)
    assert isinstance(await running.playout.stop(DUNG, "device=23557-L01", bulletin, None, "thi"), Stopped)
    assert isinstance(await running.playout.stop(DUNG, "commune=23557", bulletin, None, "thi"), Stopped)
    await eventually(lambda: len(ear.frames.get(PROGRAMME, ())) == 2)
    left = ear.read(PROGRAMME)
    assert left is not None
    assert left.items == ()
    assert await running.state(bulletin) == "scheduled"
    assert isinstance(await running.playout.stop(AN, "province=64", bulletin, None, ""), Stopped)
    assert await running.state(bulletin) == "cancelled"


async def test_a_withdrawn_bulletin_leaves_programmes_and_orders(running: Hub) -> None:
    ear = await running.ear("23557-L01")
    normal, _ = await running.push(draft())
    urgent, _ = await running.push(emergency())
    assert codes(await running.playout.withdraw(EM, urgent, "sai")) == ["BUL031"]
    assert isinstance(await running.playout.withdraw(CHI, normal, "sai ngày"), Stopped)
    assert await running.playout.withdraw(AN, urgent, "tin sai") == Stopped(("u/64",))
    assert codes(await running.playout.withdraw(AN, urgent, "tin sai")) == ["BUL023"]
    assert {v.state for v in await running.playout.bulletins()} == {"cancelled"}
    await eventually(lambda: len(ear.frames.get(NOW_PROVINCE, ())) == 2 and len(ear.frames.get(PROGRAMME, ())) == 2)
    for topic in (NOW_PROVINCE, PROGRAMME):
        document = ear.read(topic)
        assert document is not None
        assert (document.orders, document.items) == ((), ())


async def test_receipts_make_a_bulletin_aired_and_its_report(running: Hub) -> None:
    ear = await running.ear("23557-L01")
    bulletin, approved = await running.push(draft())
    await eventually(lambda: PROGRAMME in ear.frames)
    heard = ear.read(PROGRAMME)
    assert heard is not None
    airing, start = heard.items[0].airing.airing, approved.starts[WARD]
    running.clock.skip(seconds=40)
    await reaches(running, bulletin, "airing")
    played = receipt("23557-L01", bulletin, airing, start + 25)
    await ear.receipt(played)
    await eventually(lambda: ear.acknowledged() == {played.id})
    running.clock.skip(seconds=30)
    await reaches(running, bulletin, "aired")
    found = await only_report(running, bulletin)
    assert {o.device: o.heard for o in found.outcomes} == {"23557-L01": Heard.HEARD, "23557-L02": Heard.WAITING}
    assert found.p99 == 25
    [view] = await running.playout.bulletins()
    assert (view.heard, view.expected) == (1, 2)
    assert codes(await running.playout.report("nothing")) == ["BUL020"]


async def test_a_receipt_that_comes_late_makes_a_failed_bulletin_aired(running: Hub) -> None:
    ear = await running.ear("23557-L01")
    bulletin, _ = await running.push(draft())
    running.clock.skip(minutes=2)
    await reaches(running, bulletin, "airing")
    running.clock.skip(hours=2)
    await reaches(running, bulletin, "failed")
    await ear.receipt(receipt("23557-L01", bulletin, "lost", running.clock.ms, result=Result.MISSED))
    await ear.receipt(receipt("23557-L01", bulletin, "late", running.clock.ms))
    await reaches(running, bulletin, "aired")


async def test_every_receipt_is_acknowledged_again_and_kept_once(running: Hub) -> None:
    ear = await running.ear("23557-L01")
    first = receipt("23557-L01", "b", "a", running.clock.ms)
    for same in (first, first, replace(first, result=Result.MISSED)):
        ear.frames.clear()
        await ear.receipt(same)
        await eventually(lambda: ear.acknowledged() == {first.id})
    rows = await running.store.read(lambda s: s.scalars(select(ReceiptRow)).all())
    assert [(row.id, row.result, row.lufs, row.clock_error_ms) for row in rows] == [(first.id, "played", -20.5, 3)]


async def test_what_is_malformed_or_anothers_is_dropped_and_counted(running: Hub) -> None:
    ear = await running.ear("23557-L01")
    mine = receipt("23557-L01", "b", "a", running.clock.ms)
    bad = [
        replace(mine, started=-1),
        replace(mine, ended=2**62),
        replace(mine, offset=2**40),
        replace(mine, id=""),
        replace(mine, airing="x" * 5_000),
        replace(mine, bulletin="nul\0"),
    ]
    for one in bad:
        await ear.receipt(one)
    await ear.say("receipt", encode(mine).replace(b'"a"', b'"\\ud800"'))
    await ear.say("receipt", b"{")
    await ear.say("state", b"[]")
    await ear.receipt(mine, device="23560-L01")
    await ear.receipt(mine)
    await eventually(ear.acknowledged)
    assert running.playout.dropped == {"malformed": len(bad) + 3, "device": 1}
    rows = await running.store.read(lambda s: s.scalars(select(ReceiptRow)).all())
    assert [row.id for row in rows] == [mine.id]


async def test_a_device_that_comes_online_is_known_and_gets_the_time(running: Hub) -> None:
    ear = await running.ear("23557-L01")
    ear.frames.clear()
    await ear.online()
    await eventually(lambda: TIME in ear.frames)
    assert (await running.playout.now_playing())["23557-L01"].online


async def test_while_its_clock_is_wrong_the_hub_tells_no_time_but_everything_else(running: Hub) -> None:
    ear = await running.ear("23557-L01")
    first = receipt("23557-L01", "b", "a", running.clock.ms)
    running.clock.good = False
    await ear.online()
    await ear.receipt(first)  # the answer comes after the words that were under way
    await eventually(lambda: ear.acknowledged() == {first.id})
    ear.frames.clear()
    asked = running.clock.asked
    await eventually(lambda: running.clock.asked >= asked + 2)
    await running.push(emergency())
    await eventually(lambda: NOW_PROVINCE in ear.frames)
    assert TIME not in ear.frames
    running.clock.good = True
    await eventually(lambda: TIME in ear.frames)


async def test_once_its_clock_is_good_again_the_hub_says_anew_what_devices_may_have_refused(running: Hub) -> None:
    ear = await running.ear("23557-L01")
    asked, running.clock.good = running.clock.asked, False
    await eventually(lambda: running.clock.asked >= asked + 2)
    await running.push(draft())
    await running.push(emergency())
    await eventually(lambda: {PROGRAMME, NOW_PROVINCE} <= set(ear.frames))
    ear.frames.clear()
    running.clock.good = True
    await eventually(lambda: {TIME, PROGRAMME, NOW_PROVINCE} <= set(ear.frames))


async def test_a_killed_broker_gets_everything_back(running: Hub, server: Mosquitto) -> None:
    await running.push(draft())
    await running.push(emergency())
    assert set(running.broker.retained) == {PROGRAMME, NOW_PROVINCE}
    await server.kill()
    await eventually(lambda: not running.broker.connected)
    missed, _ = await running.push(emergency(audience="device=23557-L01"))
    await server.start()
    ear = await running.ear("23557-L01")
    third = "loa/1/now/d/23557-L01/64"
    await eventually(lambda: {PROGRAMME, NOW_PROVINCE, third} <= set(ear.frames))
    heard = ear.read(third)
    assert heard is not None
    assert [o.names for o in heard.orders] == [missed]


async def test_a_new_hub_publishes_what_a_killed_one_had_committed_only(
    keys: Keys, library: SpokenOnce, server: Mosquitto, tmp_path: Path
) -> None:
    clock = Clock()
    async with hub(keys, tmp_path, library, server.port, clock) as first:
        waiting = await first.submit(draft(title="Chờ duyệt"))
        over, _ = await first.push(emergency(title="Đã qua"))
        await eventually(lambda: NOW_PROVINCE in first.broker.retained)
        await first.die()  # from here on it commits, but nothing leaves it
        normal, _ = await first.push(draft())
        assert isinstance(await first.playout.all_clear(BINH, over), Stopped)
        alarm, _ = await first.push(emergency(audience="commune=23557"))
    async with hub(keys, tmp_path, library, server.port, clock) as second:
        ear = await second.ear("23557-L01")
        topic = "loa/1/now/u/23557/64"
        await eventually(lambda: {PROGRAMME, NOW_PROVINCE, topic} <= set(ear.frames))
        programme, ended, current = ear.read(PROGRAMME), ear.read(NOW_PROVINCE), ear.read(topic)
        assert programme is not None
        assert ended is not None
        assert current is not None
        assert [i.bulletin.id for i in programme.items] == [normal]
        assert ended.orders == ()
        assert [o.names for o in current.orders] == [alarm]
        signed = await second.sign(waiting, WARD)
        assert isinstance(await second.playout.approve(BINH, waiting, signed), Approved)
        await eventually(lambda: len(ear.frames[PROGRAMME]) == 2)
        both = ear.read(PROGRAMME)
        assert both is not None
        assert len(both.items) == 2
        count, broken = await second.store.read(journal.verify)
        assert (count > 5, broken) == (True, None)


HUB = """
import asyncio, sys
from pathlib import Path
from audio.broker import Broker
from audio.playout import Playout
from audio.library import Library
from nms.store import Store
from tests.audio.province import Clock, network
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(sys.argv[3]))
store = Store.open(Path(sys.argv[1]))
broker = Broker("127.0.0.1", int(sys.argv[2]))
net = network()
playout = Playout(store, lambda: net, broker, key, sys.argv[4], Clock(), {}, Library(Path("nowhere")))
asyncio.run(playout.run())
"""


async def test_a_hub_killed_while_receipts_come_has_kept_all_that_it_acknowledged(
    keys: Keys, library: SpokenOnce, server: Mosquitto, tmp_path: Path
) -> None:
    arguments = [str(tmp_path / "loa.db"), str(server.port), keys.hub.private_bytes_raw().hex(), keys.hub_kid]
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", HUB, *arguments)
    clock = Clock()
    ears = [Ear(keys, name, server.port, clock) for name in ("23557-L01", "23560-L01")]
    tasks = [asyncio.create_task(ear.run()) for ear in ears]
    sent: dict[str, list[Receipt]] = {ear.device: [] for ear in ears}
    try:
        await eventually(lambda: "loa/1/time" in ears[0].frames)
        while not all(ear.acknowledged() for ear in ears):
            for ear in ears:
                sent[ear.device].append(receipt(ear.device, "b", "a", clock.ms))
                await ear.receipt(sent[ear.device][-1])
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        acknowledged = {ear.device: ear.acknowledged() for ear in ears}
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    async with hub(keys, tmp_path, library, server.port, clock) as again:
        kept = set(await again.store.read(lambda s: s.scalars(select(ReceiptRow.id)).all()))
        assert set().union(*acknowledged.values()) <= kept
        ear = await again.ear("23557-L01")
        for one in sent[ear.device]:
            await ear.receipt(one)
        everything = {one.id for one in sent[ear.device]}
        await eventually(lambda: everything <= ear.acknowledged())
        kept = set(await again.store.read(lambda s: s.scalars(select(ReceiptRow.id)).all()))
        assert everything <= kept
