"""The alarms as an operator works through them, at the smallest and at a large terminal; the hub is a fake gateway."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from textual.widgets import Input, Static

import tui.app
import tui.screens.alarms
from nms.i18n import translator
from tests.tui.gateway_fake import NOW, SILENT, overview
from tests.tui.test_app import SIZES, Operator, sitting
from tui import alarm_methods as a
from tui import methods as m
from tui.gateway import HubError
from tui.screens.alarms import KEYS, AlarmsScreen
from tui.screens.form import FormScreen
from tui.screens.overview import OverviewScreen
from tui.screens.push import PushScreen
from tui.widgets.alarm_table import AlarmTable

EN = translator("en")
HOUR = 3_600_000
NOT_THEIRS = m.Problem(
    "MON051", "{person} is no operator or technician for {unit}", "", {"person": "Lan", "unit": "Xã Tây Sơn"}
)
CALL = a.Call("buôn Nu", "Phường Yên Đỗ", 2, "Siu Nga 0905")


def alarm(subject: str, kind: str, hours: float, **changes: Any) -> a.AlarmRow:
    values: dict[str, Any] = {
        "id": f"01-{subject}",
        "subject": subject,
        "kind": kind,
        "state": "open",
        "opened": NOW,
        "since": NOW - round(hours * HOUR),
        "cause": "",
        "devices": (subject,),
        "communes": ("Phường Yên Đỗ",),
        "calls": (CALL,),
        "acknowledged": 0,
        "by": "",
        "comment": "",
        "quiet_until": 0,
        "cleared": 0,
    }
    return a.AlarmRow(**(values | changes))


def silenced(device: str = "23557-L09", **changes: Any) -> m.Silenced:
    values: dict[str, Any] = {
        "device": device,
        "commune": "Phường Yên Đỗ",
        "hamlet": "buôn Nu",
        "contact": "Siu Nga 0905",
        "since": NOW - HOUR,
        "until": NOW + HOUR,
        "by": "Lan",
        "reason": "loa rú [to]",
    }
    return m.Silenced(**(values | changes))


ALARMS = a.AlarmRows(
    (
        alarm("23557-L01", "clock_off", 9),
        alarm("power:PC-1", "power_lost", 1, devices=("23557-L01", "23557-L02"), state="acknowledged", by="Nga"),
        alarm("23557-L03", "device_down", 3),
        alarm("23617-L01", "device_down", 2, forbidden=(NOT_THEIRS,), calls=()),
        alarm("23557-L04", "device_down", 4, state="repair", quiet_until=NOW + HOUR),
        alarm("disk", "self_disk", 0.1, devices=(), communes=(), calls=(), forbidden=(NOT_THEIRS,)),
    ),
    (silenced(),),
    now=NOW,
)
WORST_FIRST = ["disk", "power:PC-1", "23557-L03", "23617-L01", "23557-L01", "23557-L04"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The screens wait for people; a test does not."""
    monkeypatch.setattr(tui.app, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(tui.screens.alarms, "REFRESH_SECONDS", 3600.0)


def hub(rows: Any = ALARMS, **more: Any) -> dict[str, Any]:
    return {"alarms": rows} | more


async def opened(operator: Operator) -> Operator:
    await operator.hears(overview())
    await operator.press("a")
    await operator.until(lambda: bool(operator.gateway.questions(a.ALARMS)))
    await operator.pilot.pause()
    return operator


def table(operator: Operator) -> AlarmTable:
    return operator.app.screen.query_one(AlarmTable)


def subject(operator: Operator) -> str:
    row = table(operator).chosen
    return row.subject if isinstance(row, a.AlarmRow) else row.device if row is not None else ""


async def down_to(operator: Operator, name: str) -> None:
    for _ in range(len(ALARMS.alarms) + len(ALARMS.silenced)):
        if subject(operator) == name:
            return
        await operator.press("down")
    assert subject(operator) == name


def enabled(operator: Operator) -> str:
    """The keys that are not greyed out."""
    screen = operator.app.screen
    return "".join(key for action, key in KEYS.items() if screen.check_action(action, ()))


@pytest.mark.parametrize("size", SIZES)
async def test_the_worst_stands_first_and_everything_is_there_without_colour(size: tuple[int, int]) -> None:
    async with sitting(size, EN, **hub()) as operator:
        await opened(operator)
        assert operator.text("#status") == "Alarms: 6, not acknowledged 4; 1 clusters silenced"
        seen = []
        for _ in range(7):
            seen.append(subject(operator))
            await operator.press("down")
        assert seen == [*WORST_FIRST, "23557-L09"]
        lines = operator.shown().splitlines()
        for sign, words in (
            ("✖", "the hub's disk is nearly full"),
            ("◐", "mains lost in area PC-1"),
            ("✖", "23557-L03 lost"),
            ("⏸", "23557-L04 lost"),
            ("⊗", "23557-L09 silenced until 18:00 01/10"),
        ):
            assert any(sign in line and words in line for line in lines), words


async def test_a_longer_line_that_was_drawn_before_it_was_measured_is_not_cut() -> None:
    first = a.AlarmRows((alarm("23557-L03", "device_down", 3),), (), now=NOW)
    async with sitting((80, 24), EN, **hub(first)) as operator:
        await opened(operator)
        shown = table(operator)
        shown.show(replace(first, silenced=(silenced(),)), wide=False)
        for line in range(shown.size.height):
            shown.render_line(line)
        await operator.pilot.pause()
        assert "23557-L09 silenced until 18:00 01/10" in operator.shown()


async def test_the_details_say_since_when_where_who_and_whom_to_call() -> None:
    async with sitting((80, 24), EN, **hub()) as operator:
        await opened(operator)
        await down_to(operator, "power:PC-1")
        detail = operator.text("#detail")
        for words in ("mains lost in area PC-1", "since 16:00 01/10/2024", "acknowledged by Nga", "Siu Nga 0905"):
            assert words in detail
        await down_to(operator, "23557-L09")
        detail = operator.text("#detail")
        assert "silenced until 18:00 01/10/2024 (loa rú [to], Lan)" in detail
        assert "no emergency either" in detail
        assert "Siu Nga 0905" in detail


async def test_what_cannot_be_done_is_greyed_and_says_why() -> None:
    async with sitting((160, 48), EN, **hub()) as operator:
        await opened(operator)
        await down_to(operator, "power:PC-1")
        assert enabled(operator) == "tbk"
        assert "s d: this is not about one device" in operator.text("#detail")
        await down_to(operator, "23557-L03")
        assert enabled(operator) == "tsdbk"
        assert "m: nothing is silenced here" in operator.text("#detail")
        await down_to(operator, "23617-L01")
        assert enabled(operator) == "bk", "work elsewhere is not about this line"
        assert "t s d: Lan is no operator or technician for Xã Tây Sơn" in operator.text("#detail")
        await operator.press("t")
        assert isinstance(operator.app.screen, AlarmsScreen), "a greyed key does nothing"
        await down_to(operator, "23557-L09")
        assert enabled(operator) == "sdbkm"


async def test_who_may_nothing_is_told_so_on_every_line() -> None:
    rows = a.AlarmRows(
        (alarm("23557-L03", "device_down", 3, forbidden=(NOT_THEIRS,)),), (), (NOT_THEIRS,), (NOT_THEIRS,), NOW
    )
    async with sitting((80, 24), EN, **hub(rows)) as operator:
        await opened(operator)
        assert enabled(operator) == ""
        assert "t s d b k m: Lan is no operator" in operator.text("#detail")


async def test_a_leader_silences_and_lets_speak_but_mends_nothing() -> None:
    row = alarm("23557-L03", "device_down", 3, forbidden=(NOT_THEIRS,))
    rows = a.AlarmRows((row,), (silenced("23557-L03"),), (NOT_THEIRS,), (), NOW)
    async with sitting((80, 24), EN, **hub(rows)) as operator:
        await opened(operator)
        assert enabled(operator) == "km"
        await operator.press("down")
        assert enabled(operator) == "km"


async def test_an_alarm_is_taken_on_with_a_comment() -> None:
    async with sitting((80, 24), EN, **hub(acknowledge=ALARMS.alarms[2])) as operator:
        await opened(operator)
        await down_to(operator, "23557-L03")
        await operator.press("t", *"on the way", "enter")
        await operator.until(lambda: isinstance(operator.app.screen, AlarmsScreen))
        assert operator.gateway.questions(a.ACKNOWLEDGE) == [a.Acknowledge("01-23557-L03", "on the way")]
        await operator.until(lambda: len(operator.gateway.questions(a.ALARMS)) == 2)
        assert subject(operator) == "23557-L03", "the cursor stays"


async def test_a_repair_order_is_opened_and_closed() -> None:
    row = a.RepairRow("r", "23557-L03", "Lan", "anten", NOW, "nga", NOW + HOUR, 0, "")
    async with sitting((80, 24), EN, **hub(repair=row, mended=m.Nothing())) as operator:
        await opened(operator)
        await down_to(operator, "23557-L03")
        await operator.press("s", *"anten", "enter", *"Lan", "enter", *"18:00", "enter")
        await operator.until(lambda: isinstance(operator.app.screen, AlarmsScreen))
        assert operator.gateway.questions(a.REPAIR) == [a.Repair("23557-L03", "anten", "Lan", NOW + HOUR)]
        await operator.press("d", "enter")
        await operator.until(lambda: isinstance(operator.app.screen, AlarmsScreen))
        assert operator.gateway.questions(a.MENDED) == [a.DeviceId("23557-L03")]


async def test_work_is_opened_on_the_device_or_on_the_unit() -> None:
    async with sitting((80, 24), EN, **hub(maintain=a.Maintained(("23557-L03",)))) as operator:
        await opened(operator)
        await down_to(operator, "23557-L03")
        await operator.press("b", *"02/10", "enter", *"new pole", "enter")
        await operator.until(lambda: isinstance(operator.app.screen, AlarmsScreen))
        end = NOW + 31 * HOUR - 1
        assert operator.gateway.questions(a.MAINTAIN) == [a.Maintain("device=23557-L03", end, "new pole")]
        await operator.press("escape", "down", "down", "a")
        await operator.until(lambda: isinstance(operator.app.screen, AlarmsScreen))
        assert operator.text("#crumbs") == "Thành phố Pleiku"
        await operator.until(lambda: operator.gateway.questions(a.ALARMS)[-1] == a.Alarms("district=622"))
        await operator.until(lambda: table(operator).row_count == 7)
        await operator.press("b")
        assert operator.app.screen.query_one("#selection", Input).value == "district=622"


async def test_a_screaming_horn_without_an_alarm_is_silenced_and_let_speak() -> None:
    async with sitting((80, 24), EN, **hub(silence=silenced("23557-L07"), unsilence=m.Nothing())) as operator:
        await opened(operator)
        await down_to(operator, "23617-L01")
        await operator.press("k")
        assert operator.app.screen.query_one("#device", Input).value == "", "not somebody else's"
        assert "no emergency" in operator.shown()
        await operator.press(*"23557-L07", "enter", *"05/10", "enter", *"loa", "enter", "enter", "enter")
        await operator.until(lambda: isinstance(operator.app.screen, AlarmsScreen))
        [asked] = operator.gateway.questions(a.SILENCE)
        assert asked == a.Silence("23557-L07", NOW + 103 * HOUR - 1, "loa", "", "")
        await down_to(operator, "23557-L09")
        await operator.press("m", *"mended", "enter")
        await operator.until(lambda: isinstance(operator.app.screen, AlarmsScreen))
        assert operator.gateway.questions(a.UNSILENCE) == [a.Unsilence("23557-L09", "mended")]


async def test_the_cluster_under_the_cursor_is_the_one_to_silence_and_a_modem_is_none() -> None:
    modem = alarm("23557-M01", "modem_down", 5)
    async with sitting((80, 24), EN, **hub(a.AlarmRows((*ALARMS.alarms, modem), now=NOW))) as operator:
        await opened(operator)
        for name, given in (("23557-L03", "23557-L03"), ("23557-M01", "")):
            while subject(operator) != "disk":
                await operator.press("up")
            await down_to(operator, name)
            await operator.press("k")
            assert operator.app.screen.query_one("#device", Input).value == given
            await operator.press("escape")


async def test_a_form_says_what_is_missing_unclear_or_refused_and_keeps_what_was_typed() -> None:
    async with sitting((80, 24), EN, **hub(silence=HubError((NOT_THEIRS,)))) as operator:
        await opened(operator)
        await down_to(operator, "23557-L03")
        await operator.press("k", "ctrl+s")

        def problem() -> str:
            return str(operator.app.screen.query_one("#problem", Static).content)

        await operator.until(lambda: problem() == "✖ fill in: Until (17:00, 05/12, 17:00 05/12)")
        await operator.press(*"31/02", "enter", *"loa", "ctrl+s")
        await operator.until(lambda: "'31/02' is not a time" in problem())
        assert operator.gateway.questions(a.SILENCE) == []
        await operator.press(*"18:00", "ctrl+s")
        await operator.until(lambda: problem() == "✖ Lan is no operator or technician for Xã Tây Sơn")
        assert isinstance(operator.app.screen, FormScreen)
        assert operator.app.screen.query_one("#reason", Input).value == "loa"
        await operator.press("q", "escape")
        assert isinstance(operator.app.screen, AlarmsScreen), "letters are typed, escape leaves"


@pytest.mark.parametrize("size", SIZES)
async def test_every_form_stands_whole_on_the_terminal(size: tuple[int, int]) -> None:
    async with sitting(size, EN, **hub()) as operator:
        await opened(operator)
        for line, keys in (("23557-L03", "tsdbk"), ("23557-L09", "m")):
            await down_to(operator, line)
            for key in keys:
                await operator.press(key)
                screen = operator.app.screen
                assert isinstance(screen, FormScreen), key
                seen = operator.shown()
                assert "Cancel" in seen
                assert all(str(label.content) in seen for label in screen.query("Label").results(Static)), key
                assert not any(field.cursor_blink for field in screen.query(Input))
                await operator.press("escape")


async def test_a_hub_that_is_gone_is_told_and_the_last_news_stays() -> None:
    answers: list[Any] = [ALARMS, HubError((SILENT,))]
    async with sitting((80, 24), EN, alarms=lambda _: _say(answers)) as operator:
        await opened(operator)
        assert not operator.lost()
        screen = operator.app.screen
        assert isinstance(screen, AlarmsScreen)
        screen._refresh()
        await operator.until(operator.lost)
        assert "the hub is not running" in operator.text("#status")
        assert table(operator).row_count == 7


def _say(answers: list[Any]) -> Any:
    answer = answers.pop(0)
    if isinstance(answer, HubError):
        raise answer
    return answer


async def test_a_hub_that_never_answered_leaves_an_empty_screen_that_says_so() -> None:
    async with sitting((80, 24), EN, alarms=HubError((SILENT,))) as operator:
        await opened(operator)
        await operator.until(lambda: "the hub is not running" in operator.text("#status"))
        await operator.press("t", "m", "down", "escape")
        assert isinstance(operator.app.screen, OverviewScreen)


async def test_nothing_is_wrong_and_a_horn_can_still_be_silenced() -> None:
    async with sitting((80, 24), EN, **hub(a.AlarmRows((), now=NOW))) as operator:
        await opened(operator)
        assert "no alarms" in operator.text("#detail")
        assert enabled(operator) == "bk"


async def test_the_cursor_stays_on_its_alarm_when_a_worse_one_comes() -> None:
    rows = [a.AlarmRows(ALARMS.alarms[2:3], now=NOW), a.AlarmRows(ALARMS.alarms[1:3], now=NOW)]
    async with sitting((80, 24), EN, alarms=lambda _: rows.pop(0)) as operator:
        await opened(operator)
        assert subject(operator) == "23557-L03"
        screen = operator.app.screen
        assert isinstance(screen, AlarmsScreen)
        screen._refresh()
        await operator.until(lambda: table(operator).row_count == 2)
        assert subject(operator) == "23557-L03"


async def test_the_overview_counts_alarms_and_a_form_keeps_the_key_for_itself() -> None:
    counted = overview(alarms=m.AlarmCounts(6, 4, 1, 1))
    preview = m.Preview("Ia Pa", 8, 1, ("Xã Ia Pa",), (), (silenced(),))
    async with sitting((80, 24), EN, preview=preview) as operator:
        await operator.hears(counted)
        assert "Alarms: 6, not acknowledged 4, in repair 1; 1 clusters silenced" in operator.shown()
        await operator.press("p", "escape", "p")
        await operator.press("a")
        assert isinstance(operator.app.screen, PushScreen)


@pytest.mark.parametrize("size", SIZES)
async def test_who_will_not_hear_an_emergency_is_named_while_it_is_written(size: tuple[int, int]) -> None:
    many = tuple(silenced(f"23557-L{n:02}") for n in range(1, 6))
    preview = m.Preview("Ia Pa", 8, 1, ("Xã Ia Pa",), (), many)
    async with sitting(size, EN, preview=preview) as operator:
        await operator.press("p")
        await operator.fill(cls="emergency")
        await operator.until(lambda: "WILL NOT HEAR: 5 silenced clusters" in operator.text("#preview"))
        text = operator.text("#preview")
        assert text.startswith("WILL NOT HEAR"), "it stands first"
        assert "23557-L01  Phường Yên Đỗ · buôn Nu – call Siu Nga 0905" in text
        assert "and 2 more" in text
        await operator.until(lambda: "WILL NOT HEAR" in operator.shown())
