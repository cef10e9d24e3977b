from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select

from audio import desk, relays
from audio.asrun import Progress, next_state
from audio.bulletin import State
from audio.desk import Scene
from audio.documents import Bulletin, ContentKind, Span, decode
from audio.grid import Grids, terms
from audio.ledger import Actor
from audio.playout import Approved, Edits, Stopped
from audio.relays import Series
from audio.timetable import DAY, Item
from inventory.diagnostics import Diagnostic
from inventory.lines import Grid, Relay, Slot, Source, When
from inventory.model import TIMEZONE, Tier
from nms.moments import to_milliseconds
from nms.store import AuditRow
from tests.audio.province import (
    AN,
    BINH,
    CHI,
    DUNG,
    EVENING,
    OTHER,
    PROVINCE,
    WARD,
    Clock,
    Ear,
    Hub,
    Keys,
    SpokenOnce,
    eventually,
    hub,
    mosquitto,
    network,
)

PROGRAMME, OTHER_PROGRAMME = f"loa/1/prog/{WARD}", f"loa/1/prog/{OTHER}"
VOV = Relay(PROVINCE, "VOV1 sáng", "vov1", time(5), 1800.0)
NOON = Relay(WARD, "VOV1 trưa", "vov1", time(12), 900.0, When(weekdays=(0, 2)))
GRID = Grid(sources=(Source("vov1", "VOV1", ("https://vov1.example/live.m3u8",)),), relays=(VOV, NOON))
TOMORROW = to_milliseconds(datetime(2024, 10, 2, 5, tzinfo=TIMEZONE))
NOW = to_milliseconds(EVENING)


def signed(line: Relay, at: datetime = EVENING) -> Series:
    _, bulletin = relays.compose(replace(network(), grid=GRID), line, AN, "12/UBND", at)
    return Series(bulletin, b"frame")


def starts(line_signed: Series, grid: Grid = GRID, now: int = NOW, until: int = NOW + 8 * DAY) -> list[int]:
    grids = Grids(replace(network(), grid=grid))
    return [a.start for a, _ in relays.airings(grids, WARD, [line_signed], now, until)]


def test_a_signed_line_is_on_the_air_each_day_and_keeps_its_ids() -> None:
    series = signed(VOV)
    assert starts(series) == [TOMORROW + n * DAY for n in range(8)]
    grids = Grids(replace(network(), grid=GRID))
    week = relays.airings(grids, WARD, [series], NOW, NOW + 8 * DAY)
    again = relays.airings(grids, WARD, [series], TOMORROW + 60_000, TOMORROW + 61_000)
    assert again == week[:1]
    assert [a.latest - a.start for a, _ in week] == [1_800_000] * 8
    names = {a.airing for a, _ in week} | {relays.airing_id(series.bulletin.id, OTHER, a.start) for a, _ in week}
    assert len(names) == 16
    assert {UUID(name).version for name in names} == {7}


@pytest.mark.parametrize(
    "changed",
    [
        replace(VOV, start=time(5, 15)),
        replace(VOV, duration=900.0),
        replace(VOV, source="vov2"),
        replace(VOV, when=When(weekdays=(0, 1, 2, 3, 4, 5))),
        replace(VOV, unit=WARD),
        replace(VOV, when=When(valid_from=date(2024, 9, 1))),
        replace(VOV, when=When(valid_to=date(2025, 9, 1))),
        replace(VOV, when=When(holiday="tet")),
    ],
)
def test_a_line_that_has_changed_is_not_the_one_that_was_signed(changed: Relay) -> None:
    assert starts(signed(VOV), replace(GRID, relays=(changed,))) == []
    net = replace(network(), grid=replace(GRID, relays=(changed,)))
    assert relays.unsigned(net, [signed(VOV).bulletin], EVENING.date(), NOW) == (changed,)


def test_a_live_session_is_on_the_air_while_its_signed_line_is() -> None:
    grids, half_an_hour = Grids(replace(network(), grid=GRID)), 1_800_000
    spans = [(-15_000, 0), (-15_000, 1), (0, 1), (half_an_hour - 1, half_an_hour), (half_an_hour, DAY)]
    here = [relays.on_air(grids, [signed(VOV)], Span(TOMORROW + a, TOMORROW + b)) for a, b in spans]
    assert here == [frozenset(), *[frozenset({VOV.source})] * 3, frozenset()]
    assert relays.on_air(grids, [], Span(TOMORROW, TOMORROW + 1)) == frozenset()


def test_another_name_needs_no_new_signature() -> None:
    assert starts(signed(VOV), replace(GRID, relays=(replace(VOV, name="Đài Tiếng nói Việt Nam"),)))


def test_a_series_ends_after_a_year_and_its_renewal_takes_over_between_two_airings() -> None:
    old, new = signed(VOV), signed(VOV, EVENING + timedelta(days=360))
    end = old.bulletin.valid_until
    assert end == to_milliseconds(EVENING + timedelta(days=365))
    grids = Grids(replace(network(), grid=GRID))
    found = relays.airings(grids, WARD, [old, new], end - 2 * DAY, end + 2 * DAY)
    assert [a.bulletin == old.bulletin.id for a, _ in found] == [True, True, False, False]
    assert starts(old, now=end - 2 * DAY, until=end + 2 * DAY) == [a.start for a, _ in found[:2]]


def test_a_dated_line_is_signed_for_its_days() -> None:
    dated = replace(VOV, start=time(23, 45), when=When(valid_from=date(2024, 12, 31), valid_to=date(2025, 1, 1)))
    bulletin = signed(dated).bulletin
    assert bulletin.valid_from == to_milliseconds(datetime(2024, 12, 31, tzinfo=TIMEZONE))
    assert bulletin.valid_until == to_milliseconds(datetime(2025, 1, 1, 0, 30, tzinfo=TIMEZONE))
    assert terms(dated) == "vov1 23:45 30 min, every day, from 2024-12-31, to 2025-01-01"
    assert terms(NOON) == "vov1 12:00 15 min, mon,wed"


def test_what_a_nearer_line_displaces_is_not_aired() -> None:
    market = Slot(WARD, "chợ", Tier.COMMUNE, time(5, 15), 900.0)
    grids = Grids(replace(network(), grid=replace(GRID, slots=(market,))))
    assert relays.airings(grids, WARD, [signed(VOV)], NOW, NOW + DAY) == ()
    assert len(relays.airings(grids, OTHER, [signed(VOV)], NOW, NOW + DAY)) == 1


# --- at the hub ---


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    made = Keys.make(tmp_path_factory.mktemp("trust") / "keys")
    return replace(made, network=replace(made.network, grid=GRID))


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    async with mosquitto(tmp_path) as running:
        yield running.port


@pytest.fixture
def library(tmp_path: Path) -> SpokenOnce:
    return SpokenOnce(tmp_path / "content")


async def hand_in(running: Hub) -> str:
    found = await running.playout.hand_in_relays(AN, PROVINCE, "12/UBND-VX")
    assert len(found) == 1
    [bulletin] = found
    assert isinstance(bulletin, str)
    return bulletin


async def approve(running: Hub, bulletin: str) -> Approved:
    frame = await running.sign(bulletin, PROVINCE)
    approved = await running.playout.approve(BINH, bulletin, frame)
    assert isinstance(approved, Approved), approved
    return approved


def heard(ear: Ear, topic: str = PROGRAMME) -> list[Item]:
    content = ear.read(topic)
    return [] if content is None else list(content.items)


async def test_a_relay_is_handed_in_signed_and_in_every_programme(
    keys: Keys, library: SpokenOnce, port: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "loa.playout"):
        async with hub(keys, tmp_path, library, port, Clock()) as running:
            ear = await running.ear("23557-L01")
            bulletin = await hand_in(running)
            assert await running.playout.hand_in_relays(AN, PROVINCE, "") == ()
            body = decode(Bulletin, await running.playout.body(bulletin))  # type: ignore[arg-type]
            assert (body.kind, body.content, body.text) == (ContentKind.RELAY, "vov1", terms(VOV))
            await eventually(lambda: sum("BUL050" in r.message for r in caplog.records) >= 2)
            assert PROGRAMME not in ear.frames
            refused = await running.playout.edit(AN, bulletin, Edits(repeats=1))
            assert isinstance(refused, tuple)
            assert [d.code for d in refused] == ["BUL090"]

            approved = await approve(running, bulletin)
            assert approved.starts == {WARD: TOMORROW, OTHER: TOMORROW}
            await eventually(lambda: len(heard(ear)) == 8)
            await eventually(lambda: OTHER_PROGRAMME in ear.frames)
            assert [i.airing.start for i in heard(ear)] == [TOMORROW + n * DAY for n in range(8)]
            assert {i.bulletin.content for i in heard(ear)} == {"vov1"}
            assert await running.state(bulletin) in (State.SCHEDULED, State.AIRING)
            acts = await running.store.read(lambda s: s.scalars(select(AuditRow.action)).all())
            assert list(acts) == ["bulletin.submit", "bulletin.approved"]

            withdrawn = await running.playout.withdraw(BINH, bulletin, "đổi giờ")
            assert isinstance(withdrawn, Stopped)
            await eventually(lambda: heard(ear) == [])
            assert await hand_in(running) != bulletin


async def test_a_hub_that_starts_again_publishes_what_is_signed_of_the_grid_as_it_is_then(
    keys: Keys, library: SpokenOnce, port: int, tmp_path: Path
) -> None:
    async with hub(keys, tmp_path, library, port, Clock()) as running:
        await approve(running, await hand_in(running))
        ear = await running.ear("23557-L01")
        await eventually(lambda: len(heard(ear)) == 8)
        before = [i.airing for i in heard(ear)]
    async with hub(keys, tmp_path, library, port, Clock(EVENING + timedelta(minutes=1))) as running:
        ear = await running.ear("23557-L01")
        await eventually(lambda: len(heard(ear)) == 8)
        assert [i.airing for i in heard(ear)] == before
    moved = replace(keys, network=replace(keys.network, grid=replace(GRID, relays=(replace(VOV, start=time(6)),))))
    async with hub(moved, tmp_path, library, port, Clock(EVENING + timedelta(minutes=2))) as running:
        ear = await running.ear("23557-L01")
        await eventually(lambda: PROGRAMME in ear.frames and heard(ear) == [])


async def test_a_hub_killed_between_a_withdrawal_and_its_publication_takes_the_relay_out_when_it_is_back(
    keys: Keys, library: SpokenOnce, port: int, tmp_path: Path
) -> None:
    async with hub(keys, tmp_path, library, port, Clock()) as running:
        bulletin = await hand_in(running)
        await approve(running, bulletin)
        ear = await running.ear("23557-L01")
        await eventually(lambda: len(heard(ear)) == 8)
        scene = Scene(keys.network, EVENING.date(), running.clock())
        done = await running.store.write(lambda s: desk.withdraw(s, scene, Actor(BINH, 1), bulletin, "sai nguồn"))
        assert isinstance(done, desk.Done)
    async with hub(keys, tmp_path, library, port, Clock(EVENING + timedelta(minutes=1))) as running:
        ear = await running.ear("23557-L01")
        await eventually(lambda: PROGRAMME in ear.frames and heard(ear) == [])


async def test_new_policies_bring_every_programme_again(
    keys: Keys, library: SpokenOnce, port: int, tmp_path: Path
) -> None:
    async with hub(keys, tmp_path, library, port, Clock()) as running:
        await approve(running, await hand_in(running))
        ear = await running.ear("23557-L01")
        await eventually(lambda: len(heard(ear)) == 8)
        before = len(ear.frames[PROGRAMME])
        await running.playout.hand_out({"23557-L01": b"frame"})
        await eventually(lambda: len(ear.frames[PROGRAMME]) > before)
        assert len(heard(ear)) == 8


def test_a_series_is_in_force_until_its_end_and_then_counts_what_was_heard() -> None:
    first, end = NOW, NOW + DAY
    scheduled = Progress("r", State.SCHEDULED, first, end, end, played=True)
    assert next_state(scheduled, first) is State.AIRING
    airing = replace(scheduled, state=State.AIRING)
    assert next_state(airing, end - 1) is None
    assert next_state(airing, end) is State.AIRED


async def test_who_may_hand_in(keys: Keys, library: SpokenOnce, port: int, tmp_path: Path) -> None:
    def codes(found: object) -> list[str]:
        assert isinstance(found, tuple)
        assert all(isinstance(d, Diagnostic) and d.text() and d.fix_text() for d in found)
        return [d.code for d in found]

    async with hub(keys, tmp_path, library, port, Clock()) as running:
        assert codes(await running.playout.hand_in_relays(CHI, PROVINCE, "")) == ["BUL001"]
        assert codes(await running.playout.hand_in_relays(DUNG, WARD, "")) == ["BUL001"]
        assert codes(await running.playout.hand_in_relays(AN, OTHER, "")) == ["BUL051"]
        assert codes(await running.playout.hand_in_relays(AN, "99999", "")) == ["BUL002"]
        assert len(await running.playout.hand_in_relays(CHI, WARD, "")) == 1
