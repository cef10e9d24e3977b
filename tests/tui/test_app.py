"""The screens as an operator uses them, at the smallest and at a large terminal; the hub is a fake gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Select, Static, TextArea

import tui.app
import tui.screens.overview
import tui.screens.push
from nms.i18n import translator
from tests.tui.gateway_fake import CAUSES, SILENT, UNITS, FakeGateway, answers, bulletin, overview, unit
from tui.app import LoaApp
from tui.gateway import HubError
from tui.handing_in import SUBMIT
from tui.methods import PREVIEW, Overview, Problem, Push
from tui.screens.help import HelpScreen
from tui.screens.overview import OverviewScreen
from tui.screens.push import PushScreen
from tui.views.words import SIGNS, STATES
from tui.widgets.unit_table import UnitTable

SIZES = [(80, 24), (160, 48)]
VI, EN = translator("vi"), translator("en")


class Operator:
    """Somebody at the screens: presses keys, types, reads what stands there."""

    def __init__(self, pilot: Pilot[None], gateway: FakeGateway) -> None:
        self.pilot = pilot
        self.app = pilot.app
        self.gateway = gateway

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def hears(self, news: Overview | HubError) -> None:
        await self.gateway.tell(news)
        await self.pilot.pause()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Goes on when it is so; the count is only there to end a test that fails."""
        for _ in range(200):
            if condition():
                return
            await self.pilot.pause(0.01)
        assert condition()

    async def fill(self, **fields: str) -> None:
        """Puts text into the form's fields, as pasting does."""
        for name, text in fields.items():
            widget = self.app.screen.query_one(f"#{name}")
            if isinstance(widget, TextArea):
                widget.text = text
            elif isinstance(widget, Input | Select):
                widget.value = text
        await self.pilot.pause()

    def text(self, name: str) -> str:
        return str(self.app.screen.query_one(name, Static).content)

    @property
    def table(self) -> UnitTable:
        return self.app.screen.query_one(UnitTable)

    def names(self) -> list[str]:
        return [str(self.table.get_row_at(n)[0]) for n in range(self.table.row_count)]

    def lost(self) -> bool:
        """Whether the head line is marked."""
        return self.app.screen.query_one("#status").has_class("-lost")

    def shown(self) -> str:
        """Everything on the terminal, line by line."""
        width, height = self.app.size
        strips = self.app.screen._compositor.render_strips()
        assert len(strips) == height
        lines = [strip.text for strip in strips]
        assert all(len(line) <= width for line in lines)
        return "\n".join(line.rstrip() for line in lines)


@asynccontextmanager
async def sitting(
    size: tuple[int, int] = (80, 24), translate: Callable[[str], str] = VI, **hub: Any
) -> AsyncIterator[Operator]:
    gateway = FakeGateway(hub or dict(answers()))
    async with LoaApp(gateway, translate, lambda body: f"signed {body}").run_test(size=size) as pilot:
        await pilot.pause()
        yield Operator(pilot, gateway)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The screens wait for people; a test does not."""
    monkeypatch.setattr(tui.app, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(tui.screens.push, "PREVIEW_DELAY", 0.01)


@pytest.mark.parametrize("size", SIZES)
async def test_the_overview_shows_counts_causes_and_bulletins(size: tuple[int, int]) -> None:
    async with sitting(size) as operator:
        await operator.hears(overview())
        seen = operator.shown()
        assert f"{SIGNS['down']} 3" in seen
        assert f"{SIGNS['unreachable']} 24" in seen
        assert "17:00:00" in operator.text("#status")
        assert not operator.lost()
        assert "(3)" in seen, "the number of causes"
        assert "23560-M01" in seen
        assert "452-04-1-77" in seen
        assert "Lịch tiêm chủng [đợt 2]" in seen, "a title is text, not markup"
        assert "11/14" in operator.text("#bulletins")
        assert operator.names() == ["Tỉnh Gia Lai", "Huyện Đăk Đoa", "Thành phố Pleiku"]


async def test_the_hub_has_said_nothing_yet() -> None:
    async with sitting(translate=EN) as operator:
        assert operator.text("#status") == "waiting for the hub"
        await operator.press("enter", "escape", "down")
        assert operator.names() == []


async def test_opening_and_going_back_keeps_the_place() -> None:
    async with sitting() as operator:
        await operator.hears(overview())
        await operator.press("down", "down", "enter")
        assert operator.names() == ["Phường Yên Đỗ", "Phường Diên Hồng"]
        assert operator.text("#crumbs") == "Tỉnh Gia Lai › Thành phố Pleiku"
        await operator.press("enter")
        assert operator.names() == ["Phường Yên Đỗ", "Phường Diên Hồng"], "a commune has nothing below it"
        await operator.press("escape")
        assert operator.names() == ["Tỉnh Gia Lai", "Huyện Đăk Đoa", "Thành phố Pleiku"]
        assert operator.table.selected() == "622"
        await operator.press("escape")
        assert operator.text("#crumbs") == "Tỉnh Gia Lai"


async def test_the_province_itself_is_open_already() -> None:
    async with sitting() as operator:
        await operator.hears(overview())
        await operator.press("enter")
        assert operator.text("#crumbs") == "Tỉnh Gia Lai"
        assert len(operator.names()) == 3


async def test_a_province_without_districts_shows_its_communes() -> None:
    units = (
        unit("52", "Tỉnh Gia Lai", "province", up=2),
        unit("23563-2025", "Phường Diên Hồng", "commune", "52", up=2),
    )
    async with sitting() as operator:
        await operator.hears(overview(units=units, causes=()))
        assert operator.names() == ["Tỉnh Gia Lai", "Phường Diên Hồng"]


async def test_the_cursor_stays_on_its_unit_when_figures_and_rows_change() -> None:
    async with sitting() as operator:
        await operator.hears(overview())
        await operator.press("down", "down")
        assert operator.table.selected() == "622"
        changed = tuple(replace(u, states={"up": 1, "down": 7}) if u.unit == "622" else u for u in UNITS)
        await operator.hears(overview(units=changed))
        assert operator.table.selected() == "622"
        assert list(operator.table.get_row("622"))[1:5] == ["8", "1", "·", "7"]
        added = unit("623", "Thị xã An Khê", "district", "64", up=5)
        await operator.hears(overview(units=(*changed[:1], added, *changed[1:])))
        assert operator.names()[1] == "Thị xã An Khê"
        assert operator.table.selected() == "622"


async def test_news_arrive_while_a_district_is_open() -> None:
    async with sitting() as operator:
        await operator.hears(overview())
        await operator.press("down", "down", "enter", "down")
        changed = tuple(replace(u, states={"down": 15}) if u.unit == "23560" else u for u in UNITS)
        await operator.hears(overview(units=changed))
        assert operator.names() == ["Phường Yên Đỗ", "Phường Diên Hồng"]
        assert operator.table.selected() == "23560"
        assert list(operator.table.get_row("23560"))[4] == "15"


async def test_more_causes_than_fit_are_counted() -> None:
    many = tuple(replace(CAUSES[2], cause=f"device:23557-L{n:02}") for n in range(30))
    async with sitting(translate=EN) as operator:
        await operator.hears(overview(causes=many))
        assert "Causes (30)" in operator.text("#causes")
        assert "and 22 more" in operator.text("#causes")


async def test_nothing_lost_nothing_sent_and_no_sweep_are_said_in_words() -> None:
    async with sitting(translate=EN) as operator:
        await operator.hears(overview(causes=(), bulletins=(), sweep=None))
        assert "nothing is lost" in operator.text("#causes")
        assert "no bulletins" in operator.text("#bulletins")


async def test_a_lost_broker_is_marked() -> None:
    async with sitting(translate=EN) as operator:
        await operator.hears(overview(broker=False))
        assert "no connection to the broker" in operator.text("#status")
        assert operator.lost()


async def test_the_hubs_silence_stays_visible_until_it_speaks_again() -> None:
    async with sitting(translate=EN) as operator:
        await operator.hears(overview())
        await operator.hears(HubError((SILENT,)))
        assert "the hub is not running" in operator.text("#status")
        operator.app.screen._age()  # type: ignore[attr-defined]  # what each second does
        assert "the hub is not running" in operator.text("#status")
        assert operator.lost()
        assert "23560-M01" in operator.shown(), "the last figures stay, marked as what they are"
        await operator.hears(overview())
        assert "the hub is not running" not in operator.text("#status")
        assert not operator.lost()


async def test_a_hub_that_was_never_there_is_said_at_once() -> None:
    async with sitting() as operator:
        await operator.hears(HubError((SILENT,)))
        assert operator.text("#status") == f"{SIGNS['down']} {VI(SILENT.message).format_map(SILENT.fields)}"
        assert operator.lost()


async def test_news_older_than_fifteen_seconds_are_marked_as_old(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0

    class Time:
        @staticmethod
        def monotonic() -> float:
            return now

    monkeypatch.setattr(tui.screens.overview, "time", Time)
    async with sitting(translate=EN) as operator:
        await operator.hears(overview())
        for seconds, old in ((14.9, False), (15.0, True), (3600.0, True)):
            now = 1000.0 + seconds
            operator.app.screen._age()  # type: ignore[attr-defined]  # what each second does
            assert operator.lost() is old
            assert operator.text("#status").startswith(f"no news from the hub for {int(seconds)} s") is old


@pytest.mark.parametrize(("size", "translate"), [(SIZES[0], VI), (SIZES[1], EN)])
async def test_help_names_the_keys_and_every_sign_and_any_of_them_closes_it(
    size: tuple[int, int], translate: Callable[[str], str]
) -> None:
    async with sitting(size, translate) as operator:
        for key in ("escape", "question_mark", "q", "enter"):
            await operator.press("question_mark")
            assert isinstance(operator.app.screen, HelpScreen)
            seen = operator.shown()
            assert [s for s, sign in SIGNS.items() if f"{sign}  {translate(STATES[s])}" not in seen] == []
            await operator.press(key)
            assert isinstance(operator.app.screen, OverviewScreen)


async def test_q_leaves() -> None:
    async with sitting() as operator:
        await operator.press("q")
        assert not operator.app.is_running


@pytest.mark.parametrize("translate", [VI, EN], ids=["vi", "en"])
async def test_the_footer_speaks_the_users_language(translate: Callable[[str], str]) -> None:
    async with sitting(translate=translate) as operator:
        last = operator.shown().splitlines()[-1]
        for words in ("Send a bulletin", "Help", "Quit", "Back"):
            assert translate(words) in last


async def test_a_bulletin_is_previewed_and_handed_in_exactly_as_entered() -> None:
    async with sitting() as operator:
        await operator.hears(overview())
        await operator.press("down", "down", "enter", "p")
        assert operator.app.screen.query_one("#origin", Input).value == "23557", "the unit under the cursor"
        await operator.press(*"Tiêm")
        await operator.press("tab")
        await operator.press(*"8h,")
        await operator.press("enter", *"UBND")
        pushed = Push("23557", "normal", "Tiêm", "", text="8h,\nUBND")
        await operator.until(lambda: operator.gateway.questions(PREVIEW)[-1:] == [pushed])
        await operator.until(lambda: "Xã Ia Pa" in operator.shown())
        await operator.press("ctrl+s")
        await operator.until(lambda: isinstance(operator.app.screen, OverviewScreen))
        assert operator.gateway.questions(SUBMIT) == [pushed]


async def test_audience_class_and_start_are_handed_in_too() -> None:
    async with sitting() as operator:
        await operator.press("p")
        wanted = Push("622", "priority", "Cấp nước", "district=622", text="Mất nước", play_now=True)
        await operator.fill(
            origin="622", cls="priority", title="Cấp nước", audience="district=622", text="Mất nước", when="now"
        )
        await operator.until(lambda: operator.gateway.questions(PREVIEW)[-1:] == [wanted])
        await operator.press("ctrl+s")
        await operator.until(lambda: isinstance(operator.app.screen, OverviewScreen))
        assert operator.gateway.questions(SUBMIT) == [wanted]


async def emergency(operator: Operator, confirm: str) -> None:
    """Fills in an emergency for Ia Pa, types ``confirm`` where the area's name is asked for, and sends."""
    await operator.press("p")
    await operator.fill(origin="23986", cls="emergency", title="Lũ", text="Lũ về")
    await operator.until(lambda: "IA PA" in operator.shown())
    await operator.fill(confirm=confirm)
    await operator.press("ctrl+s")


async def test_an_emergency_is_refused_until_the_areas_name_is_typed() -> None:
    async with sitting(translate=EN) as operator:
        await emergency(operator, "")
        for typed in ("", "ia", "Ia Pa 2", "8", "Xã Ia Pa"):
            await operator.fill(confirm=typed)
            await operator.press("ctrl+s")
            assert isinstance(operator.app.screen, PushScreen)
            assert "REAL EMERGENCY" in operator.shown()
            assert "Ia Pa" in operator.text("#preview")
        assert operator.gateway.questions(SUBMIT) == []


async def test_the_areas_name_is_known_without_marks_and_capitals() -> None:
    async with sitting() as operator:
        for area, typed in (("Ia Pa", " IA PA "), ("Đăk Đoa", "dak doa"), ("Dak Doa", "ĐĂK ĐOA")):
            operator.gateway.answers |= answers(area)
            operator.gateway.asked.clear()
            await operator.press("p")
            await operator.fill(origin="23986", cls="emergency", title="Lũ", text="Lũ về")
            await operator.until(lambda area=area: area.upper() in operator.shown())  # type: ignore[misc]
            await operator.fill(confirm=typed)
            await operator.press("ctrl+s")
            await operator.until(lambda: isinstance(operator.app.screen, OverviewScreen))
            assert operator.gateway.questions(SUBMIT) == [Push("23986", "emergency", "Lũ", "", text="Lũ về")]


async def test_a_name_typed_for_one_area_does_not_send_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """The preview lags behind what is typed: until it has caught up, no name is the right one."""
    async with sitting(translate=EN) as operator:
        await emergency(operator, "")
        monkeypatch.setattr(tui.screens.push, "PREVIEW_DELAY", 3600.0)
        await operator.fill(confirm="Ia Pa", audience="province=64")
        await operator.press("ctrl+s")
        assert operator.gateway.questions(SUBMIT) == []
        assert operator.text("#preview") == "wait until it is known who would hear it"


async def test_what_forbids_a_bulletin_is_said_in_the_users_language() -> None:
    problem = Problem("BUL021", "the hub failed while answering", "see the hub's log", {})
    async with sitting(**answers(problems=(problem,))) as operator:
        await operator.press("p")
        await operator.until(lambda: VI("the hub failed while answering") in operator.text("#preview"))


async def test_a_hub_that_refuses_or_is_gone_leaves_the_form_as_it_was() -> None:
    gone = HubError((SILENT,))
    async with sitting(translate=EN, preview=gone, submit=gone) as operator:
        await operator.press("p")
        await operator.until(lambda: "the hub is not running" in operator.text("#preview"))
        await operator.press(*"Title", "ctrl+s")
        await operator.until(lambda: len(operator.gateway.questions(SUBMIT)) == 1)
        await operator.pilot.pause()
        assert operator.app.screen.query_one("#title", Input).value == "Title"
        assert not operator.app.screen.query_one("#submit").disabled


async def test_escape_leaves_the_form_and_sends_nothing() -> None:
    async with sitting() as operator:
        await operator.press("p", *"Title", "escape")
        assert isinstance(operator.app.screen, OverviewScreen)
        assert operator.gateway.questions(SUBMIT) == []


async def test_the_overview_goes_on_behind_the_form() -> None:
    async with sitting() as operator:
        await operator.press("p")
        await operator.hears(overview())
        await operator.press("escape")
        assert len(operator.names()) == 3


@pytest.mark.parametrize("size", SIZES)
async def test_the_whole_form_stands_on_the_terminal_and_nothing_blinks(size: tuple[int, int]) -> None:
    async with sitting(size, EN) as operator:
        await operator.press("p")
        await operator.fill(cls="emergency")
        await operator.until(lambda: "IA PA" in operator.shown())
        seen = operator.shown()
        for words in ("Origin unit", "Class", "Title", "Text to be spoken", "Audience", "REAL EMERGENCY", "Cancel"):
            assert words in seen
        assert not any(field.cursor_blink for field in operator.app.screen.query(Input))
        assert not operator.app.screen.query_one(TextArea).cursor_blink


async def test_a_bulletin_in_a_state_of_a_newer_hub_is_shown_as_it_is_named() -> None:
    async with sitting() as operator:
        await operator.hears(overview(bulletins=(bulletin(state="archived"),)))
        assert "archived" in operator.text("#bulletins")
