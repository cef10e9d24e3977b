"""``loa grid``: a commune's day with and without a hub, why each item is there, what was displaced, what is signed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pytest

from audio.broker import Broker
from audio.bulletin import Draft
from audio.documents import BulletinClass
from audio.playout import Approved, Playout, Submitted
from inventory.lines import AirtimeLimit, Grid, Holiday, Relay, SilentWindow, Slot, Source, When
from inventory.model import TIMEZONE, GroupId, Person, Tier
from nms.i18n import translator
from nms.settings import SAMPLE
from nms.store import Store
from tests.audio.province import (
    AN,
    BINH,
    CHI,
    DISTRICT,
    DUNG,
    ON,
    PROVINCE,
    WARD,
    Clock,
    Keys,
    SpokenOnce,
    draft,
    emergency,
)
from tests.tui.loa_command import Shell
from tui.grid_methods import DayRows, HandIn, UnitDay
from tui.grid_service import GridService
from tui.hub import Caller, Refusal
from tui.overview import Places
from tui.views.grid import day_json, day_lines, unit_day

GRID = Grid(
    sources=(Source("vov1", "VOV1", ("https://vov1.example/live.m3u8",)),),
    relays=(
        Relay(PROVINCE, "VOV1 tối", "vov1", time(18), 1800.0),
        Relay(PROVINCE, "VOV1 khuya", "vov1", time(19), 1800.0),
    ),
    slots=(
        Slot(WARD, "chợ", Tier.COMMUNE, time(19, 15), 900.0),
        Slot(DISTRICT, "thành phố", Tier.DISTRICT, time(12), 900.0),
    ),
    holidays=(Holiday(PROVINCE, "hop", "Họp chợ", ON, ON + timedelta(days=1), ("thành phố",)),),
    silent=(
        SilentWindow(datetime.combine(ON, time(7), TIMEZONE), datetime.combine(ON, time(10), TIMEZONE), "Thi", WARD),
        SilentWindow(
            datetime.combine(ON, time(14), TIMEZONE),
            datetime.combine(ON, time(15), TIMEZONE),
            "Thi vấn đáp",
            group=GroupId("riverside"),
        ),
    ),
    airtime=(AirtimeLimit(PROVINCE, 36_000.0),),
)


def shown(shell: Shell, *arguments: str) -> list[str]:
    answer = shell.loa("--inventory", str(SAMPLE), *arguments)
    assert answer.code == 0, answer.err
    return answer.out.splitlines()


def test_a_day_is_shown_without_a_hub(shell: Shell) -> None:
    lines = shown(shell, "--lang", "en", "grid", "show", "23627", "--on", "2024-12-02")
    assert lines == [
        "Xã Xuân An (23627) · Monday 02/12/2024",
        "05:00–05:30  relay: VOV1 sáng · VOV1 · by Tỉnh Gia Lai's grid",
        "05:30–05:45  slot: thị xã An Khê · for the district's bulletins · by Thị xã An Khê's grid",
        "05:45–06:00  slot: xã Xuân An · for the commune's own bulletins · by Xã Xuân An's grid",
        "11:00–12:00  session: trưa · by Tỉnh Gia Lai's grid",
        "17:00–18:00  session: chiều · by Tỉnh Gia Lai's grid",
        "quiet hours: 21:00–05:00",
    ]
    vietnamese = shell.loa("--inventory", str(SAMPLE), "grid", "show", "23557", "--on", "2024-10-14")
    assert vietnamese.out.startswith("Phường Yên Đỗ (23557) · Thứ Hai 14/10/2024\n05:00–05:30  tiếp sóng: VOV1 sáng")
    assert "hệ thống không chạy" in vietnamese.err


def test_for_programs_it_says_that_nobody_was_asked(shell: Shell) -> None:
    answer = shell.loa("--inventory", str(SAMPLE), "grid", "show", "23627", "--on", "2024-12-02", "--json").json()
    assert answer["placed"] is None
    relay, slot = answer["windows"][:2]
    assert (relay["kind"], relay["terms"], relay["signed"]) == ("relay", "vov1 05:00 30 min, every day", None)
    assert (slot["tier"], slot["declared_by"]) == ("district", "623")
    assert answer["quiet"][1] == {"start": "2024-12-02T21:00:00.000+07:00", "until": "2024-12-03T05:00:00.000+07:00"}


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("show", "99999"), 2, "99999"),
        (("show", "23627", "--on", "2025-12-01"), 2, "23627"),  # after the reform it is no unit any more
        (("show", "23627", "--authority", "x"), 2, "--authority"),
        (("sign", "64", "--on", "2024-10-01"), 2, "--authority"),
        (("sign", "64"), 1, "CFG101"),
    ],
)
def test_what_cannot_be_answered(shell: Shell, arguments: tuple[str, ...], code: int, word: str) -> None:
    answer = shell.loa("--inventory", str(SAMPLE), "--lang", "en", "grid", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert word in answer.err


# --- with a hub ---


@dataclass
class Desk:
    """A hub's playout that publishes nowhere, and the service over it."""

    keys: Keys
    clock: Clock
    playout: Playout
    service: GridService

    async def push(self, wanted: Draft, approver: Person) -> str:
        author = self.keys.network.people[wanted.author]
        submitted = await self.playout.submit(author, wanted)
        assert isinstance(submitted, Submitted), submitted
        await self.approve(submitted.bulletin, approver)
        return submitted.bulletin

    async def approve(self, bulletin: str, approver: Person) -> None:
        body = await self.playout.body(bulletin)
        assert isinstance(body, bytes)
        unit = WARD if approver is DUNG else PROVINCE
        approved = await self.playout.approve(approver, bulletin, self.keys.sign(body, unit, self.clock()))
        assert isinstance(approved, Approved), approved

    async def day(self, on: date = ON) -> DayRows:
        return await self.service.day(self.caller(AN), UnitDay(WARD, on.isoformat()))

    def caller(self, person: Person) -> Caller:
        return Caller(1000, person.user, person)

    async def lines(self, on: date = ON) -> list[str]:
        network = self.keys.network
        day = unit_day(network, WARD, on)
        return list(day_lines(network, day, await self.day(on), translator("en")))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Keys.make(tmp_path / "keys")
    keys, clock = replace(made, network=replace(made.network, grid=GRID)), Clock()
    broker, library = Broker("127.0.0.1", 1), SpokenOnce(tmp_path / "content")
    with Store.open(tmp_path / "loa.db") as store:
        playout = Playout(store, lambda: keys.network, broker, keys.hub, keys.hub_kid, clock, {}, library)
        yield Desk(keys, clock, playout, GridService(lambda: Places(keys.network, ON), clock, store, playout))


async def test_a_day_says_what_is_placed_why_and_what_was_displaced(desk: Desk) -> None:
    priority = draft(cls=BulletinClass.PRIORITY, title="Tiêm phòng", authority="CV 12/UBND")
    await desk.push(priority, DUNG)
    await desk.push(draft(title="Phát ngay", play_now=True), DUNG)
    gone = await desk.push(draft(title="Đổi lịch"), DUNG)
    await desk.playout.withdraw(DUNG, gone, "đã đổi")
    await desk.push(emergency(valid_until=desk.clock() + timedelta(hours=1, minutes=10)), BINH)
    lines = await desk.lines()
    assert lines[0] == "Phường Yên Đỗ (23557) · Tuesday 01/10/2024"
    assert "17:00–18:00  session: chiều · by Tỉnh Gia Lai's grid · displaced by the emergency 'Cảnh báo lũ'" in lines
    placed = [line for line in lines if line.startswith("  ")]
    assert len(placed) == 2
    assert "  normal bulletin: Phát ngay · Phường Yên Đỗ · as soon as the air was free" in placed[0]
    assert "priority bulletin: Tiêm phòng · Phường Yên Đỗ · placed in 'chợ'" in placed[1]
    assert "displaced: 19:00–19:30 VOV1 khuya (Tỉnh Gia Lai): 'chợ' of a nearer unit is on the air then" in lines
    assert "displaced: 12:00–12:15 thành phố (Thành phố Pleiku): off on the holiday 'Họp chợ'" in lines
    assert any(line.startswith("displaced: 19:") and line.endswith("Đổi lịch: withdrawn or stopped") for line in lines)
    assert "silent 07:00 01/10–10:00 01/10: Thi (Phường Yên Đỗ)" in lines
    assert "silent 14:00 01/10–15:00 01/10: Thi vấn đáp (Ven sông)" in lines
    assert "at most 600 minutes of programme a day" in lines


async def test_relays_are_handed_in_and_shown_as_signed_once_they_are(desk: Desk) -> None:
    assert any("VOV1 tối" in line and line.endswith("not signed: not aired") for line in await desk.lines())
    made = (await desk.service.hand_in(desk.caller(AN), HandIn(PROVINCE, "12/UBND-VX"))).bulletins
    assert len(made) == 2
    assert any("VOV1 tối" in line and line.endswith("waits for approval: not aired") for line in await desk.lines())
    for bulletin in made:
        await desk.approve(bulletin, BINH)
    lines = await desk.lines()
    assert any("VOV1 tối" in line and line.endswith("· signed") for line in lines)
    assert (await desk.service.hand_in(desk.caller(AN), HandIn(PROVINCE))).bulletins == ()
    document = day_json(unit_day(desk.keys.network, WARD, ON), await desk.day())
    assert [w["signed"] for w in document["windows"] if w["kind"] == "relay"] == [True]
    with pytest.raises(Refusal) as refusal:
        await desk.service.hand_in(desk.caller(CHI), HandIn(PROVINCE))
    assert refusal.value.problems[0].code == "BUL001"


async def test_a_relay_on_other_days_is_not_shown_today(desk: Desk) -> None:
    weekly = replace(GRID.relays[0], when=When(weekdays=(6,)))
    network = replace(desk.keys.network, grid=replace(GRID, relays=(weekly,)))
    day = unit_day(network, WARD, ON)
    assert all(w.kind != "relay" for w in day.day.windows)
    assert day.day.displaced[0].window.name == "thành phố"
