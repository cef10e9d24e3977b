"""Scripted emergencies in a running hub: one person suffices, glass is broken, the end is told to those who heard."""

from __future__ import annotations

import asyncio
import math
import os
import wave
from dataclasses import replace
from pathlib import Path

import pytest

from audio import retention
from audio.documents import Bulletin, BulletinClass, NowKind, decode
from audio.emergency import Call, Emergencies, Made, Prepared, without_second_person
from audio.playout import Approved, Edits, Paper, Stopped
from audio.receipts import Report
from audio.scripts import LASTING, After
from inventory.diagnostics import Severity
from inventory.model import Person, Script, UnitId, Wording
from nms import journal
from tests.audio.province import (
    AN,
    BINH,
    CHI,
    DUNG,
    PROVINCE,
    WARD,
    Hub,
    Keys,
    SpokenOnce,
    codes,
    emergency,
    eventually,
    receipt,
)
from tests.audio.test_scripts import DRILL, FLOOD

NOW_WARD = "loa/1/now/u/23557/23557"
VALUES = {"place": "ngầm tràn", "hour": "5 giờ"}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inventory")
    for name, pace in (("lu-jra.wav", 400_000), ("lu-vi.wav", 300_000)):
        with wave.open(str(folder / name), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            samples = (round(9_000 * math.sin(n * n / pace)) for n in range(32_000))
            file.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))
    return folder


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    made = Keys.make(tmp_path_factory.mktemp("trust") / "keys")
    alarm = Wording(FLOOD.alarm.text, {"jra": "lu-jra.wav"})
    flood, gone = replace(FLOOD, alarm=alarm), replace(FLOOD, alarm=Wording(FLOOD.alarm.text, {"jra": "gone.wav"}))
    recorded = replace(FLOOD, alarm=Wording(FLOOD.alarm.text, {"vi": "lu-vi.wav", "jra": "lu-jra.wav"}))
    named = replace(gone, id="gone"), replace(recorded, id="recorded")  # type: ignore[arg-type] # plain ids
    scripts = {s.id: s for s in (flood, DRILL, *named)}
    return replace(made, network=replace(made.network, scripts=scripts))


@pytest.fixture
def desk(running: Hub, keys: Keys, library: SpokenOnce, recordings: Path) -> Emergencies:
    return Emergencies(running.store, lambda: keys.network, running.clock, library, recordings)


def call(script: Script = FLOOD, area: str = "Yên Đỗ", typed: str = "YEN DO") -> Call:
    return Call(script.id, area, VALUES, typed)


async def sent(running: Hub, desk: Emergencies, person: Person, wanted: Call, origin: UnitId = WARD) -> str:
    made = await desk.call(person, wanted, uid=1)
    assert isinstance(made, Made), made
    approved = await running.playout.approve(person, made.bulletin, await running.sign(made.bulletin, origin))
    assert isinstance(approved, Approved), approved
    return made.bulletin


async def follow(running: Hub, desk: Emergencies, person: Person, alarm: str, what: After, text: str = "") -> str:
    made = await desk.follow(person, alarm, what, text, uid=1)
    assert isinstance(made, Made), made
    approved = await running.playout.approve(person, made.bulletin, await running.sign(made.bulletin, WARD))
    assert isinstance(approved, Approved), approved
    return made.bulletin


async def body(running: Hub, bulletin: str) -> Bulletin:
    found = await running.playout.body(bulletin)
    assert isinstance(found, bytes)
    return decode(Bulletin, found)


async def test_one_person_sends_a_filled_script_to_a_commune(running: Hub, desk: Emergencies) -> None:
    alarm = await sent(running, desk, DUNG, call())
    bulletin = await body(running, alarm)
    assert bulletin.text == "Nước lên tại ngầm tràn lúc 5 giờ. Về ngầm tràn ngay."
    assert (bulletin.script, bulletin.origin, bulletin.cls) == (FLOOD.id, WARD, BulletinClass.EMERGENCY)
    assert bulletin.valid_until - bulletin.valid_from == LASTING.total_seconds() * 1000
    assert [voice.language for voice in bulletin.voices] == ["vi", "jra"]
    assert bulletin.every >= bulletin.round(("jra", "vi"))
    ear = await running.ear("23557-L01")
    await eventually(lambda: ear.read(NOW_WARD) is not None)
    document = ear.read(NOW_WARD)
    assert document is not None
    assert [o.kind for o in document.orders] == [NowKind.EMERGENCY]
    assert {content for content, _ in document.sounds} == {voice.content for voice in bulletin.voices}


async def test_a_recording_that_is_gone_keeps_the_alarm_from_nobody(running: Hub, desk: Emergencies) -> None:
    alarm = await sent(running, desk, DUNG, replace(call(), script="gone"))
    assert (await body(running, alarm)).also == ()


def _pass(library: SpokenOnce, days: int) -> None:
    """So much time for every file of the library."""
    for path in library._folder.glob("??/*"):
        then = path.stat().st_mtime - days * 86_400
        os.utime(path, (then, then))


@pytest.mark.parametrize("looked", [True, False], ids=["kept", "brought in again"])
async def test_recorded_words_are_heard_however_long_the_hub_has_run(
    running: Hub, desk: Emergencies, library: SpokenOnce, looked: bool
) -> None:
    await desk._warm()
    recorded = await desk._recorded("lu-vi.wav")
    assert not isinstance(recorded, tuple)
    _pass(library, 31)
    if looked:
        await desk._warm()
    await retention.tidy(running.store, library, running.clock())
    assert (library.path(recorded.sha) is not None) is looked
    alarm = await sent(running, desk, DUNG, replace(call(), script="recorded"))
    voices = (await body(running, alarm)).voices
    assert len(voices) == 2
    ear = await running.ear("23557-L01")
    await eventually(lambda: ear.read(NOW_WARD) is not None)
    document = ear.read(NOW_WARD)
    assert document is not None
    assert {content for content, _ in document.sounds} == {voice.content for voice in voices}


async def test_an_alarm_without_its_sound_is_not_approved(running: Hub, desk: Emergencies, library: SpokenOnce) -> None:
    made = await desk.call(DUNG, replace(call(), script="recorded"), uid=1)
    assert isinstance(made, Made), made
    path = library.path(made.content.sha)
    assert path is not None
    path.unlink()
    signed = await running.sign(made.bulletin, WARD)
    assert codes(await running.playout.approve(DUNG, made.bulletin, signed)) == ["BUL070"]
    assert await running.state(made.bulletin) == "submitted"
    await desk._warm()
    assert isinstance(await running.playout.approve(DUNG, made.bulletin, signed), Approved)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"typed": "23557"}, ["BUL064"]),
        ({"typed": ""}, ["BUL064"]),
        ({"values": {"place": "x"}}, ["BUL060"]),
        ({"area": "group=riverside"}, ["BUL063"]),
        ({"area": "23560"}, ["BUL004"]),
        ({"script": "chay", "area": "Ia Pa"}, ["BUL062", "BUL063"]),
    ],
)
async def test_what_is_not_in_order_is_not_made(
    running: Hub, desk: Emergencies, changes: dict[str, object], expected: list[str]
) -> None:
    assert codes(await desk.call(DUNG, replace(call(), **changes), uid=1)) == expected  # type: ignore[arg-type]
    assert await running.playout.bulletins() == ()


async def test_a_drill_is_worded_and_confirmed_as_one_and_waits_for_the_day(running: Hub, desk: Emergencies) -> None:
    assert codes(await desk.call(DUNG, call(DRILL), uid=1)) == ["BUL064"]
    drill = await sent(running, desk, DUNG, call(DRILL, typed="diễn tập"))
    bulletin = await body(running, drill)
    assert (bulletin.cls, bulletin.every) == (BulletinClass.PRIORITY, 0)
    running.clock.skip(hours=5)
    assert codes(await desk.call(DUNG, call(DRILL, typed="diễn tập"), uid=1)) == ["BUL067"]


async def test_a_second_emergency_is_warned_about_and_not_refused(running: Hub, desk: Emergencies) -> None:
    await sent(running, desk, DUNG, call())
    prepared = await desk.prepare(DUNG, call())
    assert isinstance(prepared, Prepared)
    assert (codes(prepared.warnings), prepared.problems) == (["BUL068"], ())
    assert prepared.warnings[0].severity is Severity.WARNING
    await sent(running, desk, DUNG, call())


async def test_glass_is_broken_after_a_minute_with_a_reason_on_record(running: Hub, desk: Emergencies) -> None:
    made = await desk.call(AN, call(area="64", typed="tỉnh Gia Lai"), uid=1)
    assert isinstance(made, Made), made
    signed = await running.sign(made.bulletin, PROVINCE)
    assert codes(await running.playout.approve(AN, made.bulletin, signed)) == ["BUL065"]
    assert codes(await running.playout.approve(AN, made.bulletin, signed, "đập vỡ")) == ["BUL066"]
    running.clock.skip(seconds=61)
    assert isinstance(await running.playout.approve(AN, made.bulletin, signed, "đập vỡ"), Approved)
    events = await running.store.read(lambda s: journal.recent(s, 20, made.bulletin))
    [broken] = [e for e in events if e.kind is journal.EventKind.BULLETIN_BROKE_GLASS]
    assert (broken.to, broken.cause) == ("an", "đập vỡ")
    [shown] = await running.store.read(lambda s: without_second_person(s, running.clock()))
    assert (shown.title, shown.person, shown.reason) == (FLOOD.title, "an", "đập vỡ")
    running.clock.skip(hours=25)
    assert await running.store.read(lambda s: without_second_person(s, running.clock())) == ()


async def test_a_second_person_breaks_no_glass(running: Hub) -> None:
    alarm, _ = await running.push(emergency(), BINH)
    events = await running.store.read(lambda s: journal.recent(s, 20, alarm))
    assert not [e for e in events if e.kind is journal.EventKind.BULLETIN_BROKE_GLASS]


async def test_an_emergency_signed_on_paper_breaks_no_glass_and_is_not_recorded_by_its_author(running: Hub) -> None:
    alarm = await running.submit(emergency())
    signed = await running.sign(alarm, PROVINCE)
    paper = Paper("12/CĐ-UBND", "Chủ tịch UBND tỉnh", running.clock())
    running.clock.skip(seconds=61)
    assert codes(await running.playout.approve(AN, alarm, signed, "đập vỡ", paper)) == ["BUL021"]
    assert isinstance(await running.playout.approve(BINH, alarm, signed, paper=paper), Approved)
    events = await running.store.read(lambda s: journal.recent(s, 20, alarm))
    assert not [e for e in events if e.kind is journal.EventKind.BULLETIN_BROKE_GLASS]


@pytest.mark.parametrize(
    ("what", "text", "words"),
    [
        (After.ALL_CLEAR, "", FLOOD.all_clear.text["vi"]),
        (After.CORRECTION, "", FLOOD.correction.text["vi"]),
        (After.CORRECTION, "Nước chưa lên, bà con cứ ở nhà.", "Nước chưa lên, bà con cứ ở nhà."),
    ],
)
async def test_the_end_is_told_in_the_same_document_that_ends_the_alarm(
    running: Hub, desk: Emergencies, what: After, text: str, words: str
) -> None:
    alarm = await sent(running, desk, DUNG, call())
    ear = await running.ear("23557-L01")
    await eventually(lambda: ear.read(NOW_WARD) is not None)
    end = await follow(running, desk, DUNG, alarm, what, text)
    await eventually(lambda: len(ear.frames[NOW_WARD]) > 1)
    document = ear.read(NOW_WARD)
    assert document is not None
    [order] = document.orders
    assert (order.kind, order.names) == (NowKind.FOLLOW_UP, end)
    bulletin = await body(running, end)
    assert (bulletin.text, bulletin.follows, bulletin.siren, bulletin.times) == (words, alarm, 0, 1)
    assert document.sounds
    assert codes(await running.playout.all_clear(DUNG, alarm)) == ["BUL033"]


async def test_one_of_two_all_clears_is_told_and_the_other_names_it(running: Hub, desk: Emergencies) -> None:
    alarm = await sent(running, desk, DUNG, call())
    made = [await desk.follow(DUNG, alarm, After.ALL_CLEAR, "", uid=n) for n in (1, 2)]
    first, second = [one.bulletin for one in made if isinstance(one, Made)]
    approve = running.playout.approve
    assert isinstance(await approve(DUNG, first, await running.sign(first, WARD)), Approved)
    refused = await approve(DUNG, second, await running.sign(second, WARD))
    assert codes(refused) == ["BUL098"]
    assert isinstance(refused, tuple)
    assert refused[0].fields["person"] == DUNG.name
    await follow(running, desk, DUNG, alarm, After.CORRECTION)
    assert isinstance(await running.playout.withdraw(DUNG, first, "nhầm"), Stopped)
    assert isinstance(await approve(DUNG, second, await running.sign(second, WARD)), Approved)


async def test_only_those_who_heard_the_alarm_are_expected_to_hear_its_end(running: Hub, desk: Emergencies) -> None:
    alarm = await sent(running, desk, DUNG, call())
    first = await running.ear("23557-L01")
    await first.receipt(receipt("23557-L01", alarm, "x", running.clock.ms))
    await _reported(running, alarm, 1)
    end = await follow(running, desk, DUNG, alarm, After.ALL_CLEAR)
    report = await running.playout.report(end)
    assert isinstance(report, Report)
    assert [o.device for o in report.outcomes] == ["23557-L01"]
    [view] = [v for v in await running.playout.bulletins() if v.id == end]
    assert (view.heard, view.expected) == (0, 1)


async def test_words_approved_before_and_the_end_of_an_alarm_are_not_edited(running: Hub, desk: Emergencies) -> None:
    made = await desk.call(AN, call(), uid=1)
    assert isinstance(made, Made)
    alarm = await sent(running, desk, DUNG, call())
    end = await desk.follow(DUNG, alarm, After.ALL_CLEAR, "", uid=1)
    assert isinstance(end, Made)
    for bulletin, person in ((made.bulletin, AN), (alarm, DUNG), (end.bulletin, DUNG)):
        assert codes(await running.playout.edit(person, bulletin, Edits(text="Chạy ngay."))) == ["BUL090"]


async def test_what_nobody_can_have_heard_has_no_end(running: Hub, desk: Emergencies) -> None:
    made = await desk.call(AN, call(area="64", typed="gia lai"), uid=1)
    assert isinstance(made, Made)
    assert codes(await desk.follow(AN, made.bulletin, After.CORRECTION, "", uid=1)) == ["BUL033"]
    assert codes(await desk.follow(AN, "nothing", After.CORRECTION, "", uid=1)) == ["BUL020"]


async def test_an_end_needs_words_and_who_may_end_it(running: Hub, desk: Emergencies) -> None:
    alarm, _ = await running.push(emergency(), BINH)
    assert codes(await desk.follow(AN, alarm, After.ALL_CLEAR, "", uid=1)) == ["BUL069"]
    assert codes(await desk.follow(CHI, alarm, After.ALL_CLEAR, "Hết.", uid=1)) == ["BUL031"]


async def _reported(running: Hub, bulletin: str, count: int) -> None:
    for _ in range(600):
        if [v.heard for v in await running.playout.bulletins() if v.id == bulletin] == [count]:
            return
        await asyncio.sleep(0.02)
    pytest.fail("no receipt")
