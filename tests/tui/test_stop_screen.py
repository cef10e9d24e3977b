"""Stopping from the screens: what can be chosen, what is asked of the hub, what a wide silence needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.widgets import OptionList

import tui.screens.stop
from tests.tui.gateway_fake import NOW, SILENT, bulletin, overview
from tests.tui.test_app import EN, Operator, sitting
from tui.gateway import HubError
from tui.methods import (
    BULLETINS,
    RESUME,
    STOP,
    BulletinRows,
    Find,
    Problem,
    Resume,
    Resumed,
    Stop,
    Stopped,
    StopRow,
)
from tui.screens.form import FormScreen
from tui.screens.overview import OverviewScreen
from tui.screens.stop import StopScreen

STORM = bulletin("b9", cls="emergency", title="[Thong bao] Xả lũ [/x]", created=NOW - 60_000)
NEWS = bulletin("b8", title="Lịch tiêm", state="scheduled", origin="622")
PAGES = {"airing": (STORM,), "scheduled": (NEWS,)}
REASON = Problem("BUL032", "'{title}' is of {unit}; stopping it needs a reason", "", {"title": "x", "unit": "Tỉnh"})
FIVE_TO_SIX = NOW + 55 * 60_000


def hub(**changed: Any) -> Mapping[str, Any]:
    answers = {
        "bulletins": lambda find: BulletinRows(PAGES[find.state]),
        "stop": Stopped(("u/23557",)),
        "resume": Resumed(("u/23557",), (StopRow("u/64", "Tỉnh Gia Lai", NOW + 600_000, "", "bão"),)),
    }
    return answers | changed


@asynccontextmanager
async def at(*rows: str, size: tuple[int, int] = (80, 24), **changed: Any) -> AsyncIterator[Operator]:
    """An operator who has gone to a unit, by the keys pressed, and asked for what can be stopped there."""
    async with sitting(size, EN, **hub(**changed)) as operator:
        await operator.hears(overview())
        await operator.press(*rows, "x")
        assert isinstance(operator.app.screen, StopScreen)
        yield operator


COMMUNE = ("down", "down", "enter")
"""To the first commune of the second district."""


def choices(operator: Operator) -> list[str]:
    """As they are drawn."""
    asked = operator.app.screen.query_one(OptionList)
    return [asked.render_line(n).text.strip() for n in range(asked.option_count)]


async def choose(operator: Operator, number: int) -> None:
    await operator.until(lambda: len(choices(operator)) == 4)
    await operator.press(*["down"] * number, "enter")
    assert isinstance(operator.app.screen, FormScreen)


async def test_what_is_heard_can_be_stopped_and_stands_there_as_it_is_written() -> None:
    async with at(*COMMUNE, size=(120, 40)) as operator:
        await operator.until(lambda: len(choices(operator)) == 4)
        assert choices(operator) == [
            "Everything that is heard or falls due in Phường Yên Đỗ",
            "End the stops in Phường Yên Đỗ",
            "16:59:00 emergency bulletin: [Thong bao] Xả lũ [/x] – airing 11/14 · Phường Yên Đỗ",
            "16:50:00 normal bulletin: Lịch tiêm – waiting to air 11/14 · Thành phố Pleiku",
        ]


async def test_what_begins_meanwhile_appears_and_the_cursor_stays_on_what_it_was_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tui.screens.stop, "LOOK_EVERY", 0.01)
    pages = {"airing": (), "scheduled": (NEWS,)}
    async with at(*COMMUNE, bulletins=lambda find: BulletinRows(pages[find.state])) as operator:
        await operator.until(lambda: len(choices(operator)) == 3)
        await operator.press("down", "down")
        pages["airing"] = (STORM,)
        await operator.until(lambda: len(choices(operator)) == 4)
        option = operator.app.screen.query_one(OptionList).highlighted_option
        assert option is not None
        assert option.id == "b8"


async def test_all_pages_are_asked_for() -> None:
    def answer(find: Find) -> BulletinRows:
        if find.state == "airing":
            return BulletinRows(())
        return BulletinRows((STORM,), more=True) if not find.before else BulletinRows((NEWS,))

    async with at(*COMMUNE, bulletins=answer) as operator:
        await operator.until(lambda: len(choices(operator)) == 4)
        assert Find(state="scheduled", before="b9") in operator.gateway.questions(BULLETINS)


async def test_one_bulletin_is_stopped_for_good_with_its_reason() -> None:
    async with at(*COMMUNE) as operator:
        await choose(operator, 2)
        assert "FOR GOOD" in operator.text("#title")
        assert "[Thong bao] Xả lũ [/x]" in operator.text("#title")
        await operator.fill(reason="nhầm giờ")
        await operator.press("ctrl+s")
        await operator.until(lambda: isinstance(operator.app.screen, OverviewScreen))
        assert operator.gateway.questions(STOP) == [Stop("commune=23557", "b9", 0, "nhầm giờ")]


async def test_a_commune_is_silenced_with_two_keys_and_a_few_enters() -> None:
    async with at(*COMMUNE) as operator:
        await choose(operator, 0)
        assert "SILENCE in Phường Yên Đỗ" in operator.text("#title")
        await operator.press("enter", "enter")
        await operator.until(lambda: isinstance(operator.app.screen, OverviewScreen))
        assert operator.gateway.questions(STOP) == [Stop("commune=23557")]


@pytest.mark.parametrize(
    ("rows", "selection", "name"), [((), "", "tinh gia lai"), (("down", "down"), "district=622", "Thành phố Pleiku")]
)
@pytest.mark.parametrize(("choice", "named"), [(0, ""), (2, "b9")])
async def test_what_goes_beyond_a_commune_is_stopped_by_who_types_its_name(
    rows: tuple[str, ...], selection: str, name: str, choice: int, named: str
) -> None:
    async with at(*rows) as operator:
        await choose(operator, choice)
        await operator.fill(confirm="Gia")
        await operator.press("ctrl+s")
        await operator.until(lambda: "the area is called" in operator.text("#problem"))
        assert operator.gateway.questions(STOP) == []
        await operator.fill(confirm=name)
        await operator.press("ctrl+s")
        await operator.until(lambda: isinstance(operator.app.screen, OverviewScreen))
        assert operator.gateway.questions(STOP) == [Stop(selection, named)]


async def test_what_the_hub_refuses_is_said_and_nothing_that_was_typed_is_lost() -> None:
    async with at(*COMMUNE, stop=HubError((REASON,))) as operator:
        await choose(operator, 0)
        await operator.fill(until="5 giờ")
        await operator.press("ctrl+s")
        await operator.until(lambda: "'5 giờ' is not a time" in operator.text("#problem"))
        await operator.fill(until="17:55")
        await operator.press("ctrl+s")
        await operator.until(lambda: "needs a reason" in operator.text("#problem"))
        assert operator.gateway.questions(STOP) == [Stop("commune=23557", "", FIVE_TO_SIX)]


async def test_stops_end_before_their_time_and_what_stays_stopped_is_named() -> None:
    async with at(*COMMUNE) as operator:
        await choose(operator, 1)
        await operator.press("ctrl+s")
        assert "fill in" in operator.text("#problem"), "it goes on record why"
        await operator.fill(reason="hết bão")
        await operator.press("ctrl+s")
        await operator.until(lambda: isinstance(operator.app.screen, OverviewScreen))
        assert operator.gateway.questions(RESUME) == [Resume("commune=23557", "hết bão")]
        [note] = operator.app._notifications
        assert "no longer stopped in u/23557" in note.message
        assert "u/64 stays stopped until 17:10" in note.message


async def test_without_the_hub_everything_can_still_be_asked_for() -> None:
    async with at(*COMMUNE, bulletins=HubError((SILENT,))) as operator:
        await operator.until(lambda: "the hub is not running" in operator.text("#preview"))
        assert len(choices(operator)) == 2
        await operator.press("x", "q", "p", "e", "a")
        assert isinstance(operator.app.screen, StopScreen), "no other screen opens over it"
        await operator.press("escape")
        assert isinstance(operator.app.screen, OverviewScreen)
