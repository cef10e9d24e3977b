"""Silencing one cluster and ending stops early, at a running hub with a real store and broker."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from audio.broker import Mosquitto
from audio.documents import EVERYTHING, NowKind
from audio.envelope import Opened, parse
from audio.muting import Mended, Silencing
from audio.playout import Resumed, Stopped
from audio.receipts import Heard, Report
from audio.stops import Standing
from nms import journal
from nms.alarm_store import Repair, open_repair, repairs
from nms.journal import EventKind
from nms.moments import to_milliseconds
from nms.store import AuditRow
from tests.audio.province import (
    AN,
    CHI,
    DUNG,
    EVENING,
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
)

L01 = "23557-L01"
DOCUMENT = f"loa/1/now/d/{L01}/23557"
LATER = EVENING + timedelta(days=20)


def orders(ear: Ear, topic: str = DOCUMENT) -> list[str]:
    """What the stops in the newest document name."""
    heard = ear.read(topic)
    assert heard is not None
    assert heard.refused == ()
    assert all(order.kind is NowKind.STOP for order in heard.orders)
    return [order.names for order in heard.orders]


def valid_until(ear: Ear, topic: str = DOCUMENT) -> int:
    opened = parse(ear.frames[topic][-1])
    assert isinstance(opened, Opened)
    return opened.header.exp


async def muted_events(running: Hub) -> list[tuple[str, str, str]]:
    events = await running.store.read(lambda s: journal.recent(s, 50, L01))
    return [(e.from_, e.to, e.cause) for e in reversed(events) if e.kind is EventKind.DEVICE_MUTED]


async def acts(running: Hub) -> list[str]:
    rows = await running.store.read(lambda s: s.query(AuditRow).order_by(AuditRow.n).all())
    assert await running.store.read(journal.verify) == (len(rows), None)
    return [f"{row.person} {row.action} {row.subject}" for row in rows]


async def silence(running: Hub, **changes: str) -> None:
    order = Silencing(L01, LATER, "loa rú liên tục", **changes)
    assert await running.playout.mute(DUNG, order) == Stopped((f"d/{L01}",))


async def test_a_silenced_device_gets_a_stop_of_everything_until_it_is_lifted(running: Hub) -> None:
    ear = await running.ear(L01)
    await silence(running)
    await eventually(lambda: DOCUMENT in ear.frames)
    assert orders(ear) == [EVERYTHING]
    [mute] = await running.playout.mutes()
    assert (mute.device, mute.until, mute.reason, mute.by) == (L01, LATER, "loa rú liên tục", "dung")
    assert await running.playout.unmute(AN, L01, "đã thay loa") == Stopped((f"d/{L01}",))
    await eventually(lambda: len(ear.frames[DOCUMENT]) == 2)
    assert orders(ear) == []
    assert await running.playout.mutes() == ()
    assert await muted_events(running) == [("", "muted", "loa rú liên tục"), ("muted", "unmuted", "đã thay loa")]
    assert await acts(running) == [f"dung device.mute {L01}", f"an device.unmute {L01}"]
    assert codes(await running.playout.unmute(AN, L01, "lần nữa")) == ["BUL037"]


async def test_a_device_that_was_away_for_long_still_learns_that_its_silence_was_lifted(running: Hub) -> None:
    ear = await running.ear(L01)
    await silence(running)
    await running.playout.unmute(DUNG, L01, "đã thay loa")
    await eventually(lambda: len(ear.frames.get(DOCUMENT, ())) == 2)
    assert valid_until(ear) >= to_milliseconds(LATER)
    running.clock.skip(days=15)
    assert orders(ear) == [], "the empty document is still good"


async def test_a_later_silence_takes_the_place_of_the_earlier_one_whoever_ordered_it(running: Hub) -> None:
    ear = await running.ear(L01)
    await silence(running)
    order = Silencing(L01, LATER + timedelta(days=1), "chờ vật tư")
    assert await running.playout.mute(AN, order) == Stopped((f"d/{L01}",))
    await eventually(lambda: f"loa/1/now/d/{L01}/64" in ear.frames and len(ear.frames[DOCUMENT]) == 2)
    assert (orders(ear), orders(ear, f"loa/1/now/d/{L01}/64")) == ([], [EVERYTHING])
    [mute] = await running.playout.mutes()
    assert (mute.reason, mute.by) == ("chờ vật tư", "an")


async def test_a_silence_says_why_and_lies_ahead(running: Hub) -> None:
    assert codes(await running.playout.mute(DUNG, Silencing(L01, LATER, " "))) == ["BUL035"]
    past = EVENING - timedelta(minutes=1)
    assert codes(await running.playout.mute(DUNG, Silencing(L01, past, "rú"))) == ["BUL034"]
    await silence(running)
    assert codes(await running.playout.unmute(DUNG, L01, "")) == ["BUL035"]


async def test_the_end_of_the_repair_ends_the_silence(running: Hub) -> None:
    ear = await running.ear(L01)
    await silence(running, who="Lê Ngọc Lan", part="loa nén")
    [order] = await running.store.read(lambda s: repairs(s, L01))
    assert (order.who, order.part, order.until) == ("Lê Ngọc Lan", "loa nén", LATER)
    assert await running.playout.mended(DUNG, L01) == Mended(True, (f"d/{L01}",))
    await eventually(lambda: len(ear.frames.get(DOCUMENT, ())) == 2)
    assert orders(ear) == []
    assert (await muted_events(running))[-1] == ("muted", "unmuted", "mended")
    assert await running.playout.mended(DUNG, L01) == Mended(False, ())
    assert await acts(running) == [f"dung device.mute {L01}", f"dung device.repair {L01}", f"dung device.mended {L01}"]


async def test_a_repair_that_was_there_before_ends_the_silence_too_and_a_new_order_does_not(running: Hub) -> None:
    await silence(running)
    for part in ("loa nén", "bộ khuếch đại"):
        repair = Repair(L01, "Lan", part, LATER)
        running.store.write_sync(lambda s, repair=repair: open_repair(s, repair, "dung", running.clock()))  # type: ignore[misc]
        assert len(await running.playout.mutes()) == 1
    assert await running.playout.mended(DUNG, L01) == Mended(True, (f"d/{L01}",))
    assert await running.playout.mutes() == ()


async def test_the_end_date_ends_it_and_is_told(running: Hub) -> None:
    ear = await running.ear(L01)
    await silence(running)
    await eventually(lambda: DOCUMENT in ear.frames)
    running.clock.skip(days=20, seconds=1)
    await eventually(lambda: len(ear.frames[DOCUMENT]) == 2)
    assert orders(ear) == []
    assert await muted_events(running) == [("", "muted", "loa rú liên tục"), ("muted", "unmuted", "expired")]
    assert await running.playout.mutes() == ()
    [over] = await running.playout.mutes(running.clock() - timedelta(days=1))
    assert over.expired


async def test_a_silence_outlives_the_hub(keys: Keys, library: SpokenOnce, server: Mosquitto, tmp_path: Path) -> None:
    clock = Clock()
    async with hub(keys, tmp_path, library, server.port, clock) as first:
        await silence(first)
    async with hub(keys, tmp_path, library, server.port, clock) as second:
        ear = await second.ear(L01)
        await eventually(lambda: DOCUMENT in ear.frames)
        assert orders(ear) == [EVERYTHING]


async def test_the_report_of_an_emergency_names_who_was_silenced(running: Hub) -> None:
    await silence(running)
    bulletin, _ = await running.push(emergency())
    normal, _ = await running.push(draft(audience="device=23557-L01,23557-L02"))
    for each in (bulletin, normal):
        found = await running.playout.report(each)
        assert isinstance(found, Report)
        assert found.counts[Heard.SILENCED] == 1
        assert [o.device for o in found.outcomes if o.heard is Heard.SILENCED] == [L01]
    await running.playout.unmute(DUNG, L01, "đã sửa")
    later, _ = await running.push(emergency(title="Lũ về"))
    for each, silenced in ((bulletin, 1), (normal, 0), (later, 0)):
        found = await running.playout.report(each)
        assert isinstance(found, Report)
        assert found.counts[Heard.SILENCED] == silenced


async def test_a_bulletin_that_waits_for_approval_tells_who_is_silenced_now(running: Hub) -> None:
    await silence(running)
    found = await running.playout.report(await running.submit(emergency()))
    assert isinstance(found, Report)
    assert found.counts[Heard.SILENCED] == 1


# --- ordinary stops ---

WARD_STOPS, PROVINCE_STOPS = "loa/1/now/u/23557/23557", "loa/1/now/u/64/64"


async def test_a_stop_is_lifted_at_once_with_a_reason_that_goes_on_record(running: Hub) -> None:
    ear = await running.ear(L01)
    resume = running.playout.resume
    assert codes(await resume(DUNG, "commune=23557", None, "nhầm")) == ["BUL033"]
    await running.playout.stop(DUNG, "commune=23557", None, LATER, "thi")
    await eventually(lambda: WARD_STOPS in ear.frames)
    assert codes(await resume(DUNG, "commune=23557", None, " ")) == ["BUL035"]
    assert codes(await resume(CHI, "commune=23557", None, "nhầm")) == ["BUL031"]
    assert codes(await resume(DUNG, "commune=23560", None, "nhầm")) == ["BUL031"]
    assert codes(await resume(DUNG, "device=23557-B01", None, "nhầm")) == ["BUL005"]
    assert codes(await resume(DUNG, "comune=23557", None, "nhầm"))[0].startswith("SEL")
    assert await resume(DUNG, "commune=23557", None, "thi xong sớm") == Resumed(("u/23557",), ())
    await eventually(lambda: len(ear.frames[WARD_STOPS]) == 2)
    assert orders(ear, WARD_STOPS) == []
    assert valid_until(ear, WARD_STOPS) >= to_milliseconds(LATER)
    assert (await acts(running))[-1] == "dung bulletin.resume 23557"
    [event] = [e for e in await running.store.read(lambda s: journal.recent(s, 5)) if e.kind == "bulletin.resumed"]
    assert (event.cause, event.data["targets"]) == ("thi xong sớm", ["u/23557"])


async def test_only_the_named_bulletins_stop_is_lifted(running: Hub) -> None:
    ear = await running.ear(L01)
    bulletin, _ = await running.push(emergency())
    await running.playout.stop(DUNG, "commune=23557", bulletin, None, "nhầm địa bàn")
    await running.playout.stop(DUNG, "commune=23557", None, LATER, "thi")
    assert await running.playout.resume(DUNG, "commune=23557", bulletin, "đúng rồi") == Resumed(("u/23557",), ())
    await eventually(lambda: len(ear.frames.get(WARD_STOPS, ())) == 3)
    assert orders(ear, WARD_STOPS) == [""]


async def test_what_reaches_further_or_comes_from_above_stands(running: Hub) -> None:
    await running.playout.stop(AN, "province=64", None, LATER, "bão")
    assert codes(await running.playout.resume(DUNG, "commune=23557", None, "hết bão")) == ["BUL036"]
    await running.playout.stop(AN, "commune=23557", None, LATER, "thi")
    assert codes(await running.playout.resume(DUNG, "commune=23557", None, "hết bão")) == ["BUL036"]
    await running.playout.stop(DUNG, "device=23557-L02", None, LATER, "đám tang")
    done = await running.playout.resume(DUNG, "commune=23557", None, "hết bão")
    until = to_milliseconds(LATER)
    standing = (
        Standing("u/64", PROVINCE, until, "", "bão"),
        Standing(f"u/{WARD}", PROVINCE, until, "", "thi"),
    )
    assert done == Resumed(("d/23557-L02",), standing)
    done = await running.playout.resume(AN, "province=64", None, "bão tan")
    assert done == Resumed(("u/64", "u/23557"), ())


async def test_resuming_does_not_end_a_silence_nor_bring_back_what_was_cancelled(running: Hub) -> None:
    await silence(running)
    bulletin, _ = await running.push(draft())
    await running.playout.stop(DUNG, "commune=23557", bulletin, None, "sai ngày")
    assert await running.state(bulletin) == "cancelled"
    assert await running.playout.resume(DUNG, "commune=23557", None, "nhầm") == Resumed(("u/23557",), ())
    assert await running.state(bulletin) == "cancelled"
    assert len(await running.playout.mutes()) == 1
