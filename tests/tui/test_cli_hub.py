"""The verbs that ask the hub: with none, and with a real socket behind which small handlers answer."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from audio.refusals import CODES
from inventory.model import Network, Tier, Unit, UnitId, UnitType
from tests.tui.gateway_fake import NOW, SILENT, bulletin, overview, unit
from tests.tui.loa_command import Answer, Shell, program
from tui import desk_methods as d
from tui import emergency_methods as e
from tui import methods as m
from tui.commands import push as verbs
from tui.handing_in import SUBMIT, Making
from tui.hub import Caller, Handler, HubSocket, Refusal
from tui.sound_methods import SOUND, Sound

PROVINCE = Unit(UnitId("64"), "64", "Tỉnh Gia Lai", Tier.PROVINCE, UnitType.PROVINCE, None)
DEVICE = m.DeviceRow(
    "23557-L01", "loudspeaker", "", "Phường Yên Đỗ", "Pleiku", "Tổ dân phố 1", "", "down", "", NOW, "", {"csq": "17"}
)
REPORT = m.Report(
    bulletin(heard=1, expected=2),
    {"heard": 1, "partial": 0, "missed": 1},
    250,
    1250,
    (
        m.ReportRow("23557-L01", "Phường Yên Đỗ", "Tổ dân phố 1", "heard", "", NOW, 250, ""),
        m.ReportRow("23557-L02", "Phường Yên Đỗ", "làng Ia", "missed", "offline", 0, None, "Rơ Chăm 0905"),
    ),
)


class Answers:
    """What the hub of these tests says; ``asked`` keeps what came."""

    def __init__(self) -> None:
        self.by_method: dict[str, Any] = {}
        self.asked: list[tuple[str, Any]] = []

    def handlers(self) -> dict[str, Handler]:
        known = (*vars(m).values(), *vars(d).values(), *vars(e).values(), SOUND)
        every = [value for value in known if isinstance(value, m.Method) and not value.stream]
        submit = Handler(SUBMIT, stream=self._submit)
        return {method.name: self._handler(method) for method in every} | {SUBMIT.name: submit}

    async def _submit(self, _: Caller, push: m.Push) -> AsyncIterator[Making]:
        self.asked.append((SUBMIT.name, push))
        found = self.by_method[SUBMIT.name]
        if isinstance(found, m.Problem):
            raise Refusal(found)
        for done in range(0, 121, 3):
            yield Making("measure", done)
        for done in range(0, 601, 3):
            yield Making("encode", done, 600)
        yield Making(made=found)

    def _handler(self, method: m.Method[Any, Any]) -> Handler:
        async def answer(caller: Caller, params: Any) -> Any:
            self.asked.append((method.name, params))
            found = self.by_method[method.name]
            if isinstance(found, list):
                found = found.pop(0)
            if isinstance(found, m.Problem):
                raise Refusal(found)
            return found

        return Handler(method, answer=answer)


class Hub:
    """A hub's socket in a thread of its own, where ``Shell`` looks for it."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.answers = Answers()

    def loa(self, *arguments: str, **variables: str) -> Answer:
        return self.shell.loa("--lang", "en", *arguments, **variables)


@pytest.fixture
def hub(shell: Shell) -> Iterator[Hub]:
    made = Hub(shell)
    path = shell.home / "state" / "hub.sock"
    network = Network(PROVINCE.id, "Gia Lai", date(2024, 10, 1), "127", {PROVINCE.id: PROVINCE}, {}, {}, {})
    loop, started = asyncio.new_event_loop(), threading.Event()

    async def run() -> None:
        running = asyncio.create_task(HubSocket(path, made.answers.handlers(), lambda: network).run())
        while not path.exists():  # noqa: ASYNC110 (a file has no event)
            await asyncio.sleep(0)
        started.set()
        with suppress(asyncio.CancelledError):
            await running

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    assert started.wait(30)
    yield made
    loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
    thread.join(30)
    loop.close()


ASKING = (
    "status",
    "events",
    "bulletins",
    "report b1",
    "asrun",
    "approve b1 --yes",
    "all-clear b1",
    "stop commune=23557",
)


@pytest.mark.parametrize("verb", ASKING)
def test_without_a_hub_it_is_said_plainly(shell: Shell, verb: str) -> None:
    answer = shell.loa("--lang", "en", *verb.split())
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("error[CFG101]: the hub is not running")
    assert "loa serve" in answer.err


def test_without_a_hub_as_a_program(tmp_path: Path) -> None:
    answer = program(tmp_path, "status")
    assert (answer.code, answer.out) == (1, "")
    assert "lỗi[CFG101]" in answer.err
    assert "Traceback" not in answer.err


def test_the_screens_need_a_terminal(tmp_path: Path) -> None:
    answer = program(tmp_path, "--lang", "en", "tui")
    assert (answer.code, answer.out) == (2, "")
    assert "loa status" in answer.err


def test_status_ends_with_four_while_something_is_lost(hub: Hub) -> None:
    hub.answers.by_method["overview"] = overview()
    answer = hub.loa("status")
    assert (answer.code, answer.err) == (4, "")
    assert "23560-M01" in answer.out
    document = hub.loa("status", "--json")
    assert document.code == 4
    assert document.json()["states"] == {"up": 1810, "down": 3, "unreachable": 24}
    assert document.json()["at"] == "2024-10-01T17:00:00.000+07:00"
    hub.answers.by_method["overview"] = overview(
        units=(unit("64", "Gia Lai", "province", up=5, degraded=1),), causes=()
    )
    assert hub.loa("status").code == 0


def test_status_of_a_selection(hub: Hub) -> None:
    hub.answers.by_method["devices"] = m.DeviceRows((DEVICE,))
    answer = hub.loa("status", "commune=23557", "kind=loudspeaker")
    assert answer.code == 4
    assert hub.answers.asked == [("devices", m.Select("commune=23557 kind=loudspeaker"))]
    assert answer.out.splitlines() == [
        "✖ 23557-L01   loudspeaker cluster Phường Yên Đỗ · Tổ dân phố 1  lost",
        "1 devices",
    ]
    (row,) = hub.loa("status", "kind=loudspeaker", "--json").json()["devices"]
    assert (row["device"], row["state"], row["values"]) == ("23557-L01", "down", {"csq": "17"})


def test_a_refusal_is_shown_as_a_diagnostic_and_ends_with_one(hub: Hub) -> None:
    hub.answers.by_method["devices"] = m.Problem(
        "SEL001", "no unit '{name}'", "ask {who}", {"name": "x", "who": "y"}, "1:3"
    )
    answer = hub.loa("status", "commune=x")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "error[SEL001]: no unit 'x'\n  --> 1:3\n     = ask y\n"


def test_push_hands_in_what_was_said(hub: Hub) -> None:
    hub.answers.by_method["submit"] = m.Submitted("b7", 12_500, -16.0, "espeak-ng vi")
    answer = hub.loa(
        *("push", "--origin", "23557", "--title", "Lũ", "--text", "Lũ về", "--class", "priority", "--now"),
        *("--to", "group=riverside", "--repeats", "3", "--volume", "70", "--authority", "CĐ 12"),
        *("--until", "2024-10-01T18:00"),
    )
    assert (answer.code, answer.out) == (0, "b7\n"), "a script reads the id from stdout"
    assert answer.err == "12.5 s at -16.0 LUFS (espeak-ng vi), waiting for approval\n", "no progress of what is quick"
    pushed = m.Push(
        "23557",
        "priority",
        "Lũ",
        "group=riverside",
        text="Lũ về",
        valid_until=NOW + 3_600_000,
        play_now=True,
        repeats=3,
        volume=70,
        authority="CĐ 12",
    )
    assert hub.answers.asked == [("submit", pushed)]


def test_push_sends_a_recording_by_its_bytes(hub: Hub, tmp_path: Path) -> None:
    hub.answers.by_method["submit"] = m.Submitted("b7", 12_500, -16.0, "")
    sound = tmp_path / "lũ.mp3"
    sound.write_bytes(bytes(range(256)))
    answer = hub.loa("push", "--origin", "64", "--title", "t", "--audio", str(sound), "--json")
    assert answer.json()["bulletin"] == "b7"
    ((_, push),) = hub.answers.asked
    assert base64.b64decode(push.audio) == bytes(range(256))
    assert push.audio_name == "lũ.mp3"
    assert not push.trim


def test_push_says_how_far_a_long_recording_is_and_what_was_cut(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "QUIET_SECONDS", 0.0)
    hub.answers.by_method["submit"] = m.Submitted("b7", 597_000, -16.0, "a.wav", cut=2_950)
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    arguments = ("push", "--origin", "64", "--title", "t", "--audio", str(tmp_path / "a.wav"), "--trim")
    answer = hub.loa(*arguments)
    ((_, push),) = hub.answers.asked
    assert (push.trim, answer.out) == (True, "b7\n")
    lines = answer.err.splitlines()
    assert lines[:3] == [f"measuring the sound: {done} s" for done in (0, 60, 120)]
    assert lines[3:14] == [f"encoding it: {done} of 600 s" for done in range(0, 601, 60)]
    assert lines[14:] == [
        "3.0 s of silence cut from the beginning",
        "597.0 s at -16.0 LUFS (a.wav), waiting for approval",
    ]
    assert hub.loa(*arguments, "--json").json()["cut"] == 2.95


def test_push_that_is_refused_ends_with_one(hub: Hub) -> None:
    hub.answers.by_method["submit"] = m.Problem("AUD006", "{file} is silent", "check", {"file": "a.wav"}, "a.wav")
    answer = hub.loa("push", "--origin", "64", "--title", "t", "--text", "a")
    assert (answer.code, answer.out) == (1, "")
    assert "error[AUD006]: a.wav is silent" in answer.err


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "--text a --audio b",
        "--text a --trim",
        "--audio nowhere.mp3",
        "--text a --class loud",
        "--text a --repeats 0",
        "--text a --until 25:00",
        "--text a --every 1w",
        "--text a --on-behalf 23557",
    ],
)
def test_push_refuses_what_cannot_be_meant(hub: Hub, arguments: str) -> None:
    answer = hub.loa("push", "--origin", "64", "--title", "t", *arguments.split())
    assert (answer.code, answer.out) == (2, "")
    assert hub.answers.asked == []


def test_a_preview_only_asks(hub: Hub) -> None:
    hub.answers.by_method["preview"] = m.Preview("Ia Pa", 8, 1, ("Xã Ia Pa",), ())
    answer = hub.loa("push", "--origin", "64", "--title", "t", "--text", "a", "--preview")
    assert answer.code == 0
    assert "8" in answer.out
    assert [name for name, _ in hub.answers.asked] == ["preview"]
    hub.answers.by_method["preview"] = m.Preview("Ia Pa", 0, 0, (), (SILENT,))
    forbidden = hub.loa("push", "--origin", "64", "--title", "t", "--text", "a", "--preview")
    assert forbidden.code == 1
    assert "error[CFG101]" in forbidden.err


ADDRESS = m.Problem("AUD014", "addresses are not spoken: {names}", "say it in words", {"names": "a.vn"}, "text")
REMARK = "warning[AUD014]: addresses are not spoken: a.vn"
PREVIEW = ("push", "--origin", "64", "--title", "t", "--text", "5h, a.vn", "--preview")


def test_a_preview_says_how_the_text_is_read(hub: Hub) -> None:
    hub.answers.by_method["preview"] = m.Preview("Ia Pa", 8, 1, ("Xã Ia Pa",), (), (), "năm giờ", (ADDRESS,))
    answer = hub.loa(*PREVIEW)
    assert (answer.code, answer.out.splitlines()[-1]) == (0, "năm giờ")
    assert answer.err.splitlines()[0] == REMARK
    document = hub.loa(*PREVIEW, "--json").json()
    assert document["spoken"] == "năm giờ"
    assert document["warnings"] == [{"code": "AUD014", "fields": {"names": "a.vn"}}]


def test_a_preview_writes_the_sound_and_hands_nothing_in(hub: Hub, tmp_path: Path) -> None:
    hub.answers.by_method["preview"] = m.Preview("Ia Pa", 8, 1, ("Xã Ia Pa",), ())
    hub.answers.by_method["sound"] = Sound(base64.b64encode(b"OggS").decode(), 12_500, -16.0, "espeak-ng vi")
    answer = hub.loa(*PREVIEW, "--sound", str(tmp_path / "a.opus"))
    assert answer.code == 0
    assert "12.5 s at -16.0 LUFS (espeak-ng vi), not handed in" in answer.err
    assert (tmp_path / "a.opus").read_bytes() == b"OggS"
    (_, previewed), (_, sounded) = hub.answers.asked
    assert [name for name, _ in hub.answers.asked] == ["preview", "sound"]
    assert previewed == sounded
    unwritable = hub.loa(*PREVIEW, "--sound", str(tmp_path / "none" / "a.opus"))
    assert unwritable.code == 1
    assert "cannot be written" in unwritable.err
    alone = hub.loa(*PREVIEW[:-1], "--sound", str(tmp_path / "b.opus"))
    assert alone.code == 2
    assert "--preview" in alone.err


def test_author_and_approver_are_warned_of_what_is_not_read_as_written(hub: Hub) -> None:
    hub.answers.by_method["submit"] = m.Submitted("b7", 12_500, -16.0, "espeak-ng vi", (ADDRESS,))
    assert hub.loa(*PREVIEW[:-1]).err.splitlines()[0] == REMARK
    body = base64.b64encode(b"{}").decode()
    hub.answers.by_method["body"] = m.Body(bulletin(), 1, body, (), "năm giờ", (ADDRESS,))
    assert hub.loa("approve", "b1").err.splitlines()[0] == REMARK


def test_approving_needs_a_person_who_looks(hub: Hub) -> None:
    hub.answers.by_method["body"] = m.Body(bulletin(), 1, base64.b64encode(b"{}").decode())
    answer = hub.loa("approve", "b1")
    assert answer.code == 2
    assert "--yes" in answer.err
    assert [name for name, _ in hub.answers.asked] == ["body"], "nothing is signed or handed in"


def test_stop_return_and_all_clear_say_what_they_did(hub: Hub) -> None:
    hub.answers.by_method |= {"stop": m.Stopped(("23557",)), "all_clear": m.Stopped(("64",)), "return": m.Nothing()}
    hub.answers.by_method |= {"follow": m.Problem("BUL069", "no words", "give them", {})}
    assert hub.loa("stop", "commune=23557", "--reason", "lễ tang", "--hold-until", "2024-10-01T18:00").code == 0
    assert "64" in hub.loa("all-clear", "b1").out
    assert hub.loa("return", "b1", "--reason", "sai tên").out == "returned\n"
    assert hub.answers.asked == [
        ("stop", m.Stop("commune=23557", "", NOW + 3_600_000, "lễ tang")),
        ("follow", e.Follow("b1", "all_clear")),
        ("all_clear", m.BulletinId("b1")),
        ("return", m.Return("b1", "sai tên")),
    ]


def test_a_series_on_behalf_of_a_commune_is_handed_in_as_it_was_said(hub: Hub) -> None:
    hub.answers.by_method["submit"] = m.Submitted("b7", 4000, -16.0, "espeak-ng vi")
    said = ("push", "--on-behalf", "23557", "--title", "t", "--text", "a", "--repeats", "5", "--supplier", "Trạm y tế")
    for every in ("1d", "session"):
        assert hub.loa(*said, "--field", "y tế", "--every", every).code == 0
    (_, daily), (_, each) = hub.answers.asked
    assert (daily.origin, daily.on_behalf, daily.supplier, daily.field) == ("23557", True, "Trạm y tế", "y tế")
    assert (daily.every, daily.by_session, daily.repeats) == (86_400_000, False, 5)
    assert (each.every, each.by_session) == (0, True)


def test_bulletins_are_asked_for_page_by_page(hub: Hub) -> None:
    pages = [m.BulletinRows((bulletin(id="b2"), bulletin(id="b1")), True), m.BulletinRows((bulletin(id="b0"),))]
    hub.answers.by_method["bulletins"] = pages
    answer = hub.loa(
        "bulletins", "--search", "tiem", "--state", "aired", "--origin", "64", "--since", "2024-10-01T00:00"
    )
    assert [line.split()[0] for line in answer.out.splitlines()] == ["b2", "b1", "b0"]
    (_, first), (_, second) = hub.answers.asked
    assert (first.search, first.state, first.origin, first.before) == ("tiem", "aired", "64", "")
    assert second == replace(first, before="b1")
    assert hub.loa("bulletins", "--state", "lost").code == 2


def test_an_edit_names_only_what_is_to_be_different(hub: Hub) -> None:
    hub.answers.by_method["edit"] = d.Edited("b2", 2, True, ("text",))
    answer = hub.loa("edit", "b1", "--text", "Mới", "--every", "session")
    assert (answer.code, answer.out) == (0, "b2\n")
    assert answer.err == "version 2 waits for approval: text\n"
    assert hub.answers.asked == [("edit", d.Edit("b1", text="Mới", every=0, by_session=True))]
    assert hub.loa("edit", "b1", "--text", "a", "--audio", "b").code == 2
    assert hub.loa("edit", "b1", "--in-session", "--json").json()["version"] == 2
    assert hub.answers.asked[-1] == ("edit", d.Edit("b1", play_now=False))


def test_a_commune_picks_and_orders(hub: Hub) -> None:
    hub.answers.by_method |= {
        "offers": m.BulletinRows((bulletin(id="b3"),)),
        "pick": m.Approved({"23557": NOW}, ()),
        "order": d.Ordered((d.OrderRow("b1", "Tiêm", NOW), d.OrderRow("b2", "Tin tỉnh", NOW + 60_000))),
    }
    assert hub.loa("offers", "23557").out.startswith("b3")
    assert hub.loa("pick", "b3", "--unit", "23557").out.startswith("picked; first start 17:00")
    lines = hub.loa("order", "23557", "b1", "--before", "b2").out.splitlines()
    assert [line.split()[2] for line in lines] == ["b1", "b2"]
    assert hub.answers.asked == [
        ("offers", d.UnitId("23557")),
        ("pick", d.Pick("23557", "b3")),
        ("order", d.Order("23557", "b1", "b2")),
    ]
    hub.answers.by_method["offers"] = m.BulletinRows(())
    assert hub.loa("offers", "23557").out == "nothing is on offer\n"


def test_a_paper_has_a_number_a_signer_and_a_time(hub: Hub) -> None:
    for half in (("--paper", "12"), ("--signer", "A", "--at", "15:30")):
        assert hub.loa("approve", "b1", "--yes", *half).code == 2
    assert hub.answers.asked == []


SILENCED = m.Silenced("23557-L02", "Phường Yên Đỗ", "làng Ia", "Rơ Chăm 0905", NOW - 1, NOW + 1, "Lan", "loa rú")
UNHEARD = ["WILL NOT HEAR: 1 silenced clusters", "  ⊗ 23557-L02  Phường Yên Đỗ · làng Ia – call Rơ Chăm 0905"]


def test_who_will_not_hear_is_named_before_it_is_sent_and_before_it_is_approved(hub: Hub) -> None:
    hub.answers.by_method["preview"] = m.Preview("Ia Pa", 8, 1, ("Xã Ia Pa",), (), (SILENCED,))
    push = ("push", "--class", "emergency", "--origin", "64", "--title", "t", "--text", "a", "--preview")
    assert hub.loa(*push).err.splitlines() == UNHEARD
    (told,) = hub.loa(*push, "--json").json()["silenced"]
    assert (told["device"], told["contact"]) == ("23557-L02", "Rơ Chăm 0905")
    body = base64.b64encode(b"{}").decode()
    hub.answers.by_method["body"] = m.Body(bulletin(cls="emergency"), 1, body, (SILENCED,))
    answer = hub.loa("approve", "b1")
    assert answer.code == 2, "nobody is there to ask"
    assert answer.err.splitlines()[:2] == UNHEARD


def test_who_was_silenced_stands_first_in_the_report(hub: Hub) -> None:
    row = m.ReportRow("23557-L09", "Phường Yên Đỗ", "làng Ia", "silenced", "", 0, None, "Rơ Chăm 0905")
    counted = {**REPORT.counts, "silenced": 1}
    hub.answers.by_method["report"] = replace(REPORT, counts=counted, devices=(*REPORT.devices, row))
    lines = hub.loa("report", "b1").out.splitlines()
    assert "WILL NOT HEAR: 1 silenced clusters" in lines
    (first,) = [line for line in lines if line.startswith("  ")][:1]
    assert first == "  23557-L09 Phường Yên Đỗ · làng Ia: silenced, does not hear – call Rơ Chăm 0905"
    (told,) = [d for d in hub.loa("report", "b1", "--json").json()["devices"] if d["result"] == "silenced"]
    assert told["contact"] == "Rơ Chăm 0905"


def test_a_stop_ends_early_and_what_still_holds_is_told(hub: Hub) -> None:
    standing = m.StopRow("u/64", "Tỉnh Gia Lai", NOW + 3_600_000, "", "bão")
    hub.answers.by_method["resume"] = m.Resumed(("u/23557",), (standing,))
    answer = hub.loa("resume", "commune=23557", "--bulletin", "b1", "--reason", "nhầm")
    assert answer.out.splitlines() == [
        "no longer stopped in u/23557",
        "u/64 stays stopped until 18:00 01/10/2024 by Tỉnh Gia Lai",
    ]
    assert hub.answers.asked == [("resume", m.Resume("commune=23557", "nhầm", "b1"))]
    assert hub.loa("resume", "commune=23557").code == 2, "a reason goes on record"


def test_the_status_counts_alarms(hub: Hub) -> None:
    hub.answers.by_method["overview"] = overview(alarms=m.AlarmCounts(1055, 3, 1, 2))
    line = "Alarms: 1,055, not acknowledged 3, in repair 1; 2 clusters silenced"
    assert line in hub.loa("status").out.splitlines()
    counted = hub.loa("status", "--json").json()["alarms"]
    assert counted == {"open": 1055, "unacknowledged": 3, "repair": 1, "silenced": 2}
    hub.answers.by_method["overview"] = overview()
    assert "no alarms" in hub.loa("status").out.splitlines()


def test_reports_name_who_did_not_hear_and_whom_to_call(hub: Hub) -> None:
    hub.answers.by_method["report"] = REPORT
    lines = hub.loa("report", "b1").out.splitlines()
    assert "heard by 1 of 2 clusters" in lines[1]
    assert lines[-1] == "  23557-L02 Phường Yên Đỗ · làng Ia: not heard (offline) – call Rơ Chăm 0905"
    assert not any("23557-L01" in line for line in lines)
    document = hub.loa("report", "b1", "--json").json()
    assert document["latency_ms"] == {"p50": 250, "p99": 1250}
    assert [d["result"] for d in document["devices"]] == ["heard", "missed"]
    assert document["devices"][1]["started"] is None


def test_lists_as_text_and_json(hub: Hub) -> None:
    receipt = m.AsRun("r1", "23557-L01", "b1", "a1", 0, "sha", NOW, NOW + 5000, 0, "played", "", -16.5)
    event = m.EventRow("e1", NOW, "23557-L01", "device.state", "up", "down", "23557-M01")
    hub.answers.by_method |= {
        "bulletins": m.BulletinRows((bulletin(),)),
        "as_run": m.AsRunLog((receipt,)),
        "events": m.EventRows((event,)),
    }
    assert "Lịch tiêm chủng [đợt 2]" in hub.loa("bulletins").out
    assert hub.loa("bulletins", "--json").json()["bulletins"][0]["seconds"] == 12.5
    assert hub.loa("asrun", "--since", "2024-10-01T16:00").out == "17:00:00–17:00:05  23557-L01   b1  played\n"
    assert hub.loa("asrun", "--since", "2024-10-01T16:00", "--json").json()["receipts"][0]["level_dbfs"] == -16.5
    assert hub.loa("events", "--since", "2024-10-01T16:00").out.split()[2] == "23557-L01"
    assert hub.loa("events", "--json").json()["events"][0]["from"] == "up"
    since = next(params for name, params in hub.answers.asked if name == "events")
    assert since.at == NOW - 3_600_000
    hub.answers.by_method["bulletins"] = m.BulletinRows(())
    assert hub.loa("bulletins").out == "no bulletins\n"


def test_another_account_is_claimed_with_as(hub: Hub) -> None:
    hub.answers.by_method["bulletins"] = m.BulletinRows(())
    assert hub.loa("--as", "p.editor", "bulletins").code == 0


LOST = e.LostRow("24022-L03", "làng Mơ Nang 2", "down", NOW - 60_000, "Siu Blêu 0000 101 250")
SEEN = e.CallPreview(
    *("Xã Ia Pa", "IA PA", "emergency", "Nước lên tại ngầm tràn.", 8, (LOST,), 1, {"vi": 5, "jra, vi": 3}, True),
    *((), (), ()),
)
CALLED = ("emergency", "--script", "lu", "--area", "Ia Pa", "--set", "place=ngầm tràn", "--set", "order= Theo lệnh ")


def test_an_emergency_says_whom_it_reaches_and_asks_for_the_areas_name(hub: Hub) -> None:
    hub.answers.by_method |= {"call.preview": SEEN}
    answer = hub.loa(*CALLED)
    assert answer.code == 2, "there is no terminal and no --yes"
    for part in (
        "REAL EMERGENCY",
        "8 clusters, 1 boards of Xã Ia Pa",
        "làng Mơ Nang 2",
        "0000 101 250",
        "3 clusters in Jrai",
    ):
        assert part in answer.err
    assert '--yes "IA PA"' in answer.err
    wanted = e.Call("lu", "Ia Pa", {"place": "ngầm tràn", "order": "Theo lệnh"})
    assert hub.answers.asked == [("call.preview", wanted)]


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("BUL060", {"script": "lu", "blanks": "hour", "blank": "hour"}),
        ("BUL101", {"script": "lu", "blank": "hour", "most": "60", "what": "!"}),
    ],
)
def test_what_forbids_an_emergency_ends_it_before_anything_is_made(hub: Hub, code: str, fields: dict[str, str]) -> None:
    problem = m.Problem(code, *CODES[code], fields)
    hub.answers.by_method |= {"call.preview": replace(SEEN, problems=(problem,))}
    answer = hub.loa(*CALLED, "--yes", "IA PA")
    assert answer.code == 1
    assert all(text.format(**fields) in answer.err for text in (code, *CODES[code]))
    assert [name for name, _ in hub.answers.asked] == ["call.preview"]


def test_a_wider_emergency_waits_for_a_second_person_unsigned(hub: Hub) -> None:
    made = m.Submitted("b7", 9_000, -16.0, "espeak-ng vi")
    hub.answers.by_method |= {"call.preview": replace(SEEN, alone=False), "call": made}
    answer = hub.loa(*CALLED, "--yes", "IA PA")
    assert (answer.code, answer.out) == (0, "b7\n")
    assert "loa approve b7" in answer.err
    assert [name for name, _ in hub.answers.asked] == ["call.preview", "call"]
    assert hub.answers.asked[1][1].typed == "IA PA"


def test_a_preview_for_programs_says_the_same(hub: Hub) -> None:
    hub.answers.by_method |= {"call.preview": SEEN}
    document = json.loads(hub.loa(*CALLED, "--preview", "--json").out)
    assert (document["word"], document["devices"], document["boards"], document["alone"]) == ("IA PA", 8, 1, True)
    assert document["lost"][0]["contact"] == "Siu Blêu 0000 101 250"


def test_scripts_are_listed_with_their_words(hub: Hub) -> None:
    row = e.ScriptRow("lu", "Xả lũ", "emergency", "Nước lên tại {place}.", ("place",))
    hub.answers.by_method |= {"scripts": e.ScriptRows((row,))}
    assert "{place}" in hub.loa("scripts").out
    assert json.loads(hub.loa("scripts", "--json").out)["scripts"][0]["blanks"] == ["place"]
