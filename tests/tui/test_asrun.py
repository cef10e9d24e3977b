"""The day's as-run log: from rows in the store to the table, the spreadsheet and JSON."""

from __future__ import annotations

import asyncio
import csv
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from audio.asrun import add_receipts
from audio.daybook import By
from audio.documents import (
    EVERYTHING,
    Audience,
    Bulletin,
    BulletinClass,
    ContentKind,
    NowEntry,
    NowKind,
    Receipt,
    Result,
    encode,
)
from audio.ledger import add_entries
from inventory.model import TIMEZONE
from nms.moments import to_milliseconds
from nms.store import AiringRow, BulletinRow, Store
from tests.audio.province import OTHER, PROVINCE, WARD, network, receipt
from tests.tui.loa_command import Shell
from tui import asrun_methods as a
from tui.asrun_service import AsRunService
from tui.hub import Caller, HubSocket, Refusal

MORNING = datetime(2024, 10, 1, 5, tzinfo=TIMEZONE)
NOON = MORNING + timedelta(hours=7)
NEXT = MORNING + timedelta(days=1)
FIRST, SECOND, THIRD = "23557-L01", "23557-L02", "23560-L01"
CALLER = Caller(1000, "somebody", None)


def ms(at: datetime) -> int:
    return to_milliseconds(at)


def bulletin(name: str, tier: str, audience: Audience, seconds: int = 60, **more: object) -> BulletinRow:
    body = Bulletin(
        id=name,
        version=1,
        cls=BulletinClass.NORMAL,
        kind=ContentKind.RECORDING,
        tier=tier,
        origin="64",
        title=str(more.pop("title", name)),
        content="0" * 64,
        duration=seconds * 1000,
        audience=audience,
        valid_from=ms(MORNING),
        valid_until=ms(NEXT),
        **more,  # type: ignore[arg-type]
    )
    return BulletinRow(
        id=name,
        version=1,
        state="aired",
        cls=str(body.cls),
        tier=tier,
        origin="64",
        title=body.title,
        author="an",
        created=MORNING,
        body=encode(body),
        audience="",
        valid_from=MORNING,
        valid_until=NEXT,
    )


def airing(name: str, of: str, unit: str, start: datetime, *, cancelled: bool = False) -> AiringRow:
    latest = start + timedelta(minutes=10)
    return AiringRow(
        id=name, bulletin=of, unit=unit, repeat=0, start=start, duration=60.0, latest=latest, cancelled=cancelled
    )


def told(device: str, of: str, item: str, at: datetime, **changes: object) -> Receipt:
    values = {"id": f"{device}/{item}/{ms(at)}", "ended": ms(at) + 60_000} | changes
    return receipt(device, of, item, ms(at), **values)


def order(name: str, of: str, start: datetime, until: datetime, kind: NowKind = NowKind.EMERGENCY) -> NowEntry:
    return NowEntry(name, kind, of, ms(start), ms(until), reason="loa rú")


def fill(store: Store) -> None:
    """A morning: the province's bulletin in both wards, the ward's own, an emergency, a silenced cluster."""
    everyone, ward = Audience(units=(PROVINCE,)), Audience(units=(WARD,))

    bulletins = [
        bulletin("b1", "province", everyone, title="=Cảnh báo"),
        bulletin("b2", "commune", ward),
        bulletin("b3", "province", everyone, seconds=20, siren=10_000, times=3, every=600_000),
        bulletin("b9", "commune", ward),
    ]
    airings = [
        airing("p1", "b1", WARD, MORNING),
        airing("p2", "b1", OTHER, MORNING),
        airing("c1", "b2", WARD, MORNING + timedelta(minutes=2)),
        airing("c0", "b2", "23999", MORNING + timedelta(minutes=2), cancelled=True),
        airing("n1", "b9", WARD, NEXT),
    ]
    store.write_sync(lambda s: s.add_all(bulletins))
    store.write_sync(lambda s: s.add_all(airings))
    store.write_sync(
        lambda s: add_entries(s, ["u/64", "g/riverside"], "64", order("e1", "b3", NOON, NOON + timedelta(minutes=15)))
    )
    silence = order("s1", EVERYTHING, MORNING + timedelta(hours=1), NEXT, NowKind.STOP)
    store.write_sync(lambda s: add_entries(s, [f"d/{SECOND}"], "23557", silence, "dung"))
    later, second = MORNING + timedelta(minutes=2), NOON + timedelta(minutes=10)
    receipts = [
        told(FIRST, "b1", "p1", MORNING),
        told(FIRST, "b2", "c1", later + timedelta(seconds=5)),
        told(FIRST, "b3", "e1", NOON, ended=ms(NOON) + 70_000),
        told(FIRST, "b3", "e1", second, repeat=1, ended=ms(second) + 30_000, result=Result.PARTIAL, reason="stopped"),
        told(SECOND, "b1", "p1", MORNING),
        told(SECOND, "b2", "c1", NEXT, ended=ms(NEXT), result=Result.MISSED, reason="quiet hours"),
        told(SECOND, "b9", "n1", NEXT),
        told(SECOND, "", "t1", NOON),
        told(THIRD, "b1", "p2", MORNING, result=Result.REFUSED, reason="no content", ended=ms(MORNING)),
    ]
    store.write_sync(lambda s: add_receipts(s, receipts, NEXT))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[AsRunService]:
    with Store.open(tmp_path / "loa.db") as store:
        fill(store)
        yield AsRunService(network, lambda: NEXT + timedelta(hours=1), store)


async def log(service: AsRunService, by: By = By.UNIT, selection: str = "", day: str = "2024-10-01") -> a.DayLog:
    return await service.day(CALLER, a.AsRunDay(day, selection, by))


async def test_a_day_by_unit(service: AsRunService) -> None:
    found = await log(service)
    assert (found.devices, [line.name for line in found.lines]) == (3, ["Phường Diên Hồng", "Phường Yên Đỗ"])
    other, ward = found.lines
    assert (other.planned, other.heard, other.missing) == (3, 0, {"no content": 1, "no receipt": 2})
    assert (ward.planned, ward.begun, ward.heard, ward.late, ward.silenced) == (8, 5, 4, 1, 2)
    assert (ward.partial, ward.missing) == ({"stopped": 1}, {"quiet hours": 1})
    assert ward.requested == 4 * 60_000 + 4 * 70_000
    assert ward.aired == 3 * 60_000 + 70_000 + 30_000
    assert (found.total.planned, found.total.pending, found.total.unplanned) == (11, 0, 0)


async def test_minutes_by_tier_are_the_same_whatever_a_line_is_about(service: AsRunService) -> None:
    for by in By:
        found = await log(service, by)
        tiers = [(line.key, line.aired) for line in found.tiers]
        assert tiers == [("province", 220_000), ("commune", 60_000)]
        assert sum(line.aired for line in found.lines) == 280_000
    assert [line.name for line in found.lines] == ["=Cảnh báo", "b2", "b3"]


async def test_a_selection_by_names_but_not_by_states(service: AsRunService) -> None:
    assert (await log(service, selection=f"device={THIRD}")).total.planned == 3
    for selection, code in (("status=lost", "BUL012"), ("commune=Nowhere", "SEL004")):
        with pytest.raises(Refusal) as caught:
            await log(service, selection=selection)
        assert [problem.code for problem in caught.value.problems] == [code]
    with pytest.raises(Refusal) as caught:
        await log(service, day="2024-13-01")
    assert caught.value.problems[0].code == "CFG102"


async def test_the_next_day_has_its_own(service: AsRunService) -> None:
    found = await log(service, day="2024-10-02")
    assert (found.total.planned, found.total.heard, found.total.missing) == (2, 1, {"no receipt": 1})
    assert (await log(service, day="")).day == "2024-10-02"
    nothing = await log(service, day="2024-09-01")
    assert (nothing.lines, nothing.total.planned, nothing.devices) == ((), 0, 3)


@pytest.fixture
def hub(shell: Shell, service: AsRunService) -> Iterator[Shell]:
    path = shell.home / "state" / "hub.sock"
    loop, started = asyncio.new_event_loop(), threading.Event()

    async def run() -> None:
        running = asyncio.create_task(HubSocket(path, service.handlers(), network).run())
        while not path.exists():  # noqa: ASYNC110 (a file has no event)
            await asyncio.sleep(0)
        started.set()
        with suppress(asyncio.CancelledError):
            await running

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    assert started.wait(30)
    yield shell
    loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
    thread.join(30)
    loop.close()


def test_a_table_in_vietnamese_figures(hub: Shell) -> None:
    answer = hub.loa("asrun", "--date", "2024-10-01")
    assert answer.code == 0, answer.err
    heading, header, *rows = answer.out.splitlines()
    assert heading == "Nhật ký phát ngày 01/10/2024, 3 cụm loa"
    assert header.split("  ")[0] == "đơn vị"
    cells = [row.split() for row in rows[:3]]
    assert " ".join(cells[1]) == "Phường Yên Đỗ 8 5 4 1 1 1 2 0 0 520 280 53,8% 50,0%"
    assert cells[2][-2:] == ["38,9%", "36,4%"]
    assert rows[3].startswith("phát dở dang: ")
    assert rows[4] == "không phát: không có xác nhận 2; âm thanh chưa tải về thiết bị 1; khung giờ không phát 1"
    assert rows[5] == "số phút đã phát theo cấp: tỉnh 3,7; xã 1,0"


def test_a_spreadsheet_takes_no_title_for_a_formula(hub: Shell, tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    answer = hub.loa("--lang", "en", "asrun", "--date", "2024-10-01", "--by", "bulletin", "--csv", str(file))
    assert answer.code == 0, answer.err
    assert file.read_bytes().startswith(b"\xef\xbb\xbf")
    header, *rows = csv.reader(file.read_text("utf-8-sig").splitlines())
    assert header[:3] == ["id", "bulletin", "planned"]
    assert [row[:3] for row in rows] == [["b1", "'=Cảnh báo", "3"], ["b2", "b2", "2"], ["b3", "b3", "6"]]
    assert rows[0][-1] == "the sound had not arrived 1"
    nowhere = hub.loa("asrun", "--csv", str(tmp_path / "no" / "log.csv"))
    assert (nowhere.code, "log.csv" in nowhere.err) == (1, True)


def test_for_programs_and_for_single_receipts(hub: Shell) -> None:
    document = hub.loa("asrun", "--date", "2024-10-01", "--by", "tier", "--json").json()
    assert [line["key"] for line in document["lines"]] == ["commune", "province"]
    assert document["total"]["seconds_aired"] == 280.0
    assert document["total"]["heard_percent"] == 36.36
    assert hub.loa("asrun", "--since", "17:00", "--date", "2024-10-01").code == 2
    empty = hub.loa("--lang", "en", "asrun", "--date", "2024-09-01")
    assert empty.out.splitlines()[1] == "nothing was planned, nothing was played"
