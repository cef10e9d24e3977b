"""An emergency by hand: how many keys it takes, what the screen says before and after, and how it is taken back."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from textual.widgets import Input, OptionList

import tui.screens.emergency
from inventory.diagnostics import Diagnostic, Place
from tests.tui.gateway_fake import NOW, FakeGateway, bulletin, overview
from tests.tui.test_app import EN, Operator, sitting
from tui.app import LoaApp
from tui.emergency_methods import CALL, FOLLOW, Call, CallPreview, Follow, LostRow, ScriptRow, ScriptRows
from tui.gateway import HubError
from tui.methods import APPROVE, AloneRow, Approve, Approved, Body, BulletinRows, Problem, Report, ReportRow, Submitted
from tui.screens.emergency import EmergencyScreen
from tui.screens.follow import FollowScreen
from tui.screens.overview import OverviewScreen

FLOOD = ScriptRow("lu", "Xả lũ", "emergency", "Nước lên tại {place} lúc {hour}. {order}.", ("place", "hour", "order"))
DRILL = ScriptRow("tap", "Diễn tập", "drill", "Đây là diễn tập.", ())
LOST = LostRow("24022-L03", "làng Mơ Nang 2", "down", NOW - 60_000, "Siu Blêu 0000 101 250")
SEEN = CallPreview(
    *("Xã Ia Pa", "IA PA", "emergency", "Nước lên tại ngầm tràn.", 8, (LOST,), 1, {"vi": 5, "jra, vi": 3}, True),
    *((), (), ()),
)
HEARD = tuple(ReportRow(f"24022-L{n:02}", "Xã Ia Pa", "Thôn 1", "heard", "", NOW, 300, "") for n in range(1, 8))
MISSING = ReportRow("24022-L03", "Xã Ia Pa", "làng Mơ Nang 2", "waiting", "", 0, None, "Siu Blêu 0000 101 250")
BYTES = base64.b64encode(b"{}").decode()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tui.screens.emergency, "PREVIEW_DELAY", 0.01)
    monkeypatch.setattr(tui.screens.emergency, "LOOK_EVERY", 0.02)


def hub(**changed: Any) -> Mapping[str, Any]:
    row = bulletin("b9", cls="emergency", title="Xả lũ")
    answers = {
        "scripts": ScriptRows((FLOOD, DRILL)),
        "call.preview": SEEN,
        "call": Submitted("b9", 9_000, -16.0, "espeak-ng vi"),
        "body": Body(row, 1, BYTES),
        "approve": Approved({"u/24022": NOW}, ()),
        "report": Report(row, {}, None, None, (*HEARD, MISSING)),
        "bulletins": BulletinRows((row, bulletin("b8"), bulletin("b7", cls="emergency", follows="b6"))),
        "follow": Submitted("b10", 4_000, -16.0, "espeak-ng vi"),
    }
    return answers | changed


class Counting(Operator):
    """Counts the keys; text is put into the focused field as typing does."""

    keys = 0

    async def press(self, *keys: str) -> None:
        self.keys += len(keys)
        await super().press(*keys)

    async def type(self, text: str) -> None:
        focused = self.app.focused
        assert isinstance(focused, Input)
        focused.value = text
        await self.pilot.pause()


async def call(operator: Counting, typed: str = "IA PA") -> None:
    """From the first key to the sending."""
    await operator.press("e")
    await operator.until(lambda: operator.app.screen.query_one(OptionList).option_count > 0)
    await operator.press("enter")
    for text in ("Ia Pa", "ngầm tràn", "5 giờ", "Theo lệnh", typed):
        await operator.type(text)
        await operator.press("enter")


def counting(operator: Operator) -> Counting:
    return Counting(operator.pilot, operator.gateway)


async def test_from_the_first_key_to_the_siren_it_takes_at_most_twelve() -> None:
    async with sitting((120, 40), EN, **hub()) as sat:
        operator = counting(sat)
        await operator.hears(overview())
        await call(operator)
        await operator.until(lambda: operator.gateway.questions(APPROVE) != [])
        assert operator.keys <= 12
        values = {"place": "ngầm tràn", "hour": "5 giờ", "order": "Theo lệnh"}
        assert operator.gateway.questions(CALL) == [Call("lu", "Ia Pa", values, "IA PA")]
        assert operator.gateway.questions(APPROVE) == [Approve("b9", f"signed {BYTES}")], "signed in this process"


async def test_before_it_is_sent_the_screen_says_whom_it_reaches() -> None:
    async with sitting((120, 40), EN, **hub()) as sat:
        operator = counting(sat)
        await operator.hears(overview())
        await operator.press("e")
        await operator.until(lambda: operator.app.screen.query_one(OptionList).option_count > 0)
        await operator.press("enter")
        await operator.until(lambda: "IA PA" in operator.shown())
        for part in ("REAL EMERGENCY to 8 clusters, 1 boards of Xã Ia Pa", "làng Mơ Nang 2", "0000 101 250", "place"):
            assert part in operator.shown()
        assert operator.gateway.questions(CALL) == []


async def test_after_it_is_sent_the_screen_says_who_has_not_heard_it_until_everyone_has() -> None:
    async with sitting((120, 40), EN, **hub()) as sat:
        operator = counting(sat)
        await operator.hears(overview())
        await call(operator)
        await operator.until(lambda: "Not heard yet: 1/8" in operator.shown())
        assert "làng Mơ Nang 2 – no receipt yet – call Siu Blêu 0000 101 250" in operator.shown()
        whole = replace(MISSING, result="heard")
        operator.gateway.answers["report"] = Report(bulletin("b9"), {}, None, None, (*HEARD, whole))
        await operator.until(lambda: "Not heard yet: 0/8" in operator.shown())


async def test_what_the_hub_refuses_keeps_the_form_with_what_was_typed() -> None:
    refused = HubError((Problem("BUL064", "'{typed}' is not what has to be typed", "", {"typed": "x"}),))
    async with sitting((120, 40), EN, **hub(call=refused)) as sat:
        operator = counting(sat)
        await operator.hears(overview())
        await call(operator, "x")
        await operator.until(lambda: "'x' is not what has to be typed" in operator.shown())
        assert operator.gateway.questions(APPROVE) == []
        assert operator.app.screen.query_one("#area", Input).value == "Ia Pa"


async def test_what_no_blank_takes_is_said_with_the_way_out_before_it_is_sent() -> None:
    problem = Problem("BUL101", "{blank}: {what}", "at most {most}", {"blank": "order", "what": "!", "most": "60"})
    async with sitting((120, 40), EN, **hub(**{"call.preview": replace(SEEN, problems=(problem,))})) as sat:
        operator = counting(sat)
        await operator.hears(overview())
        await operator.press("e")
        await operator.until(lambda: operator.app.screen.query_one(OptionList).option_count > 0)
        await operator.press("enter")
        await operator.until(lambda: "✖ by whose order: ! – at most 60" in operator.shown())


async def test_a_wider_one_waits_for_a_second_person() -> None:
    async with sitting((120, 40), EN, **hub(**{"call.preview": replace(SEEN, alone=False)})) as sat:
        operator = counting(sat)
        await operator.hears(overview())
        await call(operator)
        await operator.until(lambda: "loa approve b9" in operator.shown())
        assert operator.gateway.questions(APPROVE) == []


async def test_without_the_key_nothing_is_handed_in() -> None:
    missing = Diagnostic("ENV021", Place("keys"), "no key at {file}", "make it", {"file": "keys/issuer-64.pem"})

    def unsigned(_: str) -> Diagnostic:
        return missing

    gateway = FakeGateway(dict(hub()))
    async with LoaApp(gateway, EN, unsigned).run_test(size=(120, 40)) as pilot:
        operator = Counting(pilot, gateway)
        await operator.hears(overview())
        await call(operator)
        await operator.until(lambda: "keys/issuer-64.pem" in operator.shown())
        assert gateway.questions(APPROVE) == []


@pytest.mark.parametrize(
    ("keys", "what"), [(("enter",), "correction"), (("down", "enter"), "all_clear")], ids=["wrong", "over"]
)
async def test_an_alarm_is_corrected_or_ended_with_at_most_five_keys(keys: tuple[str, ...], what: str) -> None:
    async with sitting((120, 40), EN, **hub()) as sat:
        operator = counting(sat)
        await operator.hears(overview())
        await operator.press("k")
        assert isinstance(operator.app.screen, FollowScreen)
        await operator.until(lambda: operator.app.screen.query_one(OptionList).option_count > 0)
        assert operator.app.screen.query_one(OptionList).option_count == 2, "what is in force, each in two ways"
        await operator.press(*keys, "enter")
        await operator.until(lambda: isinstance(operator.app.screen, OverviewScreen))
        assert operator.keys <= 5
        assert operator.gateway.questions(FOLLOW) == [Follow("b9", what)]
        assert operator.gateway.questions(APPROVE) == [Approve("b10", f"signed {BYTES}")]


async def test_with_no_emergency_in_force_there_is_nothing_to_correct() -> None:
    async with sitting((120, 40), EN, **hub(bulletins=BulletinRows(()))) as sat:
        await sat.hears(overview())
        await sat.press("k")
        await sat.until(lambda: "no emergency is in force" in sat.shown())


async def test_everyone_sees_what_went_out_without_a_second_person() -> None:
    async with sitting((160, 48), EN, **hub()) as sat:
        await sat.hears(overview(alone=(AloneRow(NOW, "Xả lũ", "Phạm Thị Bình", "đập vỡ"),)))
        assert "without a second person: Xả lũ – Phạm Thị Bình: đập vỡ" in sat.text("#bulletins")


async def test_a_stray_key_in_the_form_neither_ends_nor_opens_anything() -> None:
    async with sitting((80, 24), EN, **hub()) as sat:
        await sat.hears(overview())
        await sat.press("e")
        await sat.until(lambda: sat.app.screen.query_one(OptionList).option_count > 0)
        await sat.press("q", "k", "p", "e", "a")
        assert isinstance(sat.app.screen, EmergencyScreen)
        await sat.press("escape")
        assert isinstance(sat.app.screen, OverviewScreen)
