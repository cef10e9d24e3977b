"""loa alarms, ack, repair, maintenance and device, as typed: the real service on a real socket over a real store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from nms.monitor.snmp.outcome import Reading
from nms.store import Store
from tests.tui.alarm_desk import FIRST, MODEM, SECOND, Desk
from tests.tui.loa_command import Answer, Shell
from tui.hub import HubSocket


@dataclass
class Hub:
    shell: Shell
    desk: Desk

    def loa(self, *arguments: str, who: str = "technician", lang: str = "en") -> Answer:
        return self.shell.loa("--lang", lang, "--as", who, *arguments)


@pytest.fixture
def hub(shell: Shell, tmp_path: Path) -> Iterator[Hub]:
    with Store.open(tmp_path / "loa.db") as store:
        desk = Desk(store)
        desk.lose_the_modem()
        desk.outcomes = {FIRST: Reading({"temperature_c": 41.5}, (), 0.1)}
        path = shell.home / "state" / "hub.sock"
        loop, started = asyncio.new_event_loop(), threading.Event()

        async def run() -> None:
            socket = HubSocket(path, desk.service().handlers(), lambda: desk.places.network)
            running = asyncio.create_task(socket.run())
            while not path.exists():  # noqa: ASYNC110 (a file has no event)
                await asyncio.sleep(0)
            started.set()
            with suppress(asyncio.CancelledError):
                await running

        thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
        thread.start()
        assert started.wait(30)
        yield Hub(shell, desk)
        loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
        thread.join(30)
        loop.close()


def test_alarms_are_told_with_whom_to_call(hub: Hub) -> None:
    answer = hub.loa("alarms")
    first, call = answer.out.splitlines()
    assert answer.code == 0
    assert "16:55 01/10/2024" in first
    assert f"4G modem {MODEM} lost · Phường Yên Đỗ: 3 devices · not acknowledged" in first
    assert call.strip() == "buôn Nu: 3 devices · Siu Nga 0905"
    assert hub.loa("alarms", "commune=23617").out == "no alarms\n"
    assert "chưa tiếp nhận" in hub.loa("alarms", lang="vi").out


def test_alarms_for_programs(hub: Hub) -> None:
    (alarm,) = hub.loa("alarms", "--json").json()["alarms"]
    assert (alarm["subject"], alarm["kind"], alarm["state"]) == (MODEM, "modem_down", "open")
    assert alarm["since"] == "2024-10-01T16:55:00.000+07:00"
    assert alarm["devices"] == [FIRST, SECOND, MODEM]
    assert alarm["acknowledged"] is None
    assert alarm["calls"][0]["contact"] == "Siu Nga 0905"


def test_an_alarm_is_taken_on_by_the_number_shown(hub: Hub) -> None:
    number = hub.loa("alarms").out.split()[1]
    answer = hub.loa("ack", number, "--comment", "đang đến")
    assert "acknowledged by technician · đang đến" in answer.out
    assert hub.loa("ack", "nothing").err.startswith("error[MON050]")
    assert hub.loa("ack", MODEM, who="editor").err.startswith("error[MON051]")
    taken = hub.loa("ack", MODEM, "--json", who="operator").json()["alarm"]["acknowledged"]
    assert taken["by"] == "operator"


def test_a_repair_order_from_its_opening_to_its_end(hub: Hub) -> None:
    order = ("repair", MODEM, "--part", "anten", "--who", "Lê Ngọc Lan")
    answer = hub.loa(*order, "--until", "2024-10-05")
    assert answer.out == f"{MODEM}  anten: Lê Ngọc Lan, until 23:59 05/10/2024\n"
    assert "in repair until 23:59 05/10/2024" in hub.loa("alarms").out
    assert hub.loa(*order, "--until", "2024-10-07T08:00", "--json").json()["repair"]["part"] == "anten"
    assert hub.loa("repair", MODEM, "--done").out == f"{MODEM} is mended\n"
    assert hub.loa("repair", MODEM, "--done").err.startswith("error[MON053]")
    assert hub.loa(*order, "--until", "2024-09-30").err.startswith("error[MON055]")
    assert hub.loa("repair", MODEM, "--part", "anten").code == 2


def test_a_screaming_horn_is_silenced_with_its_repair_and_speaks_again_when_it_is_mended(hub: Hub) -> None:
    order = ("silence", FIRST, "--until", "05/10/2024", "--reason", "loa rú")
    answer = hub.loa(*order, "--repair", "Lê Ngọc Lan/loa nén")
    assert answer.code == 0
    line, warning, call = answer.out.splitlines()
    where = f"⊗ {FIRST}  Phường Yên Đỗ · buôn Nu: silenced until 23:59 05/10/2024 (loa rú, Technician)"
    assert (line, warning) == (where, "WILL NOT HEAR: 1 silenced clusters")
    assert "call Siu Nga 0905" in call
    assert where in hub.loa("alarms").out
    assert "đang khóa đến 23:59 05/10/2024" in hub.loa("alarms", lang="vi").out
    (told,) = hub.loa("alarms", "--json").json()["silenced"]
    assert (told["device"], told["until"], told["expired"]) == (FIRST, "2024-10-05T23:59:59.999+07:00", False)
    assert told["contact"] == "Siu Nga 0905"
    page = hub.loa("device", FIRST).out.splitlines()
    assert page[1:3] == [
        "  ⊗ silenced until 23:59 05/10/2024 (loa rú, Technician)",
        "  ⏸ repair order: loa nén: Lê Ngọc Lan, until 23:59 05/10/2024",
    ]
    assert hub.loa("device", FIRST, "--json").json()["device"]["silenced"]["reason"] == "loa rú"
    hub.loa("repair", FIRST, "--done")
    assert hub.loa("device", FIRST, "--json").json()["device"]["silenced"] is None
    assert "⊗" not in hub.loa("alarms").out


def test_silenced_and_let_speak_by_word(hub: Hub) -> None:
    order = ("silence", FIRST, "--until", "17:30 01/10/2024", "--reason", "loa rú")
    assert hub.loa(*order, "--json").json()["silenced"]["until"] == "2024-10-01T17:30:00.000+07:00"
    assert hub.loa("unsilence", FIRST, "--reason", "đã sửa").out == f"{FIRST} is no longer silenced\n"
    assert hub.loa("unsilence", FIRST, "--reason", "đã sửa").err.startswith("error[BUL037]")
    assert hub.loa(*order, "--repair", "Lan").code == 2
    assert hub.loa("silence", FIRST, "--until", "soon", "--reason", "x").code == 2
    assert hub.loa("silence", FIRST, "--until", "17:30").code == 2, "a reason goes on record"
    assert hub.loa("silence", MODEM, "--until", "17:30", "--reason", "x").err.startswith("error[MON056]")
    assert hub.loa(*order, who="editor").err.startswith("error[MON051]")


def test_a_device_in_maintenance_says_so_first(hub: Hub) -> None:
    hub.loa("maintenance", f"device={FIRST}", "--until", "2024-10-01T20:00", "--reason", "Thay cột")
    assert hub.loa("device", FIRST).out.splitlines()[1] == "  ⏸ in maintenance until 20:00 01/10/2024: Thay cột"


def test_work_is_announced_on_a_selection(hub: Hub) -> None:
    work = ("maintenance", "commune=23557", "kind=loudspeaker", "--reason", "Thay cột")
    assert hub.loa(*work, "--until", "2024-10-01T20:00").out == "2 devices in maintenance until 20:00 01/10/2024\n"
    told = hub.loa(*work, "--from", "2024-10-02T08:00", "--until", "2024-10-02", "--json").json()
    assert told["devices"] == [FIRST, SECOND]
    assert hub.loa(*work, "--until", "2024-10-01").code == 0, "until its end"
    assert hub.loa(*work).code == 2


def test_everything_known_of_a_device_on_one_page(hub: Hub) -> None:
    hub.loa("repair", FIRST, "--part", "SIM", "--who", "Lan", "--until", "2024-10-05")
    answer = hub.loa("device", FIRST)
    assert answer.code == 4, "it is lost"
    for line in (
        f"✖ {FIRST}",
        "whom to call: Siu Nga 0905",
        "off by timer: 21:30-05:00",
        "Alarms",
        "Repair orders",
        "SIM: Lan, until 23:59 05/10/2024",
        "Planned work",
        "Last reading, 16:59 01/10/2024",
        "temperature_c: 41.5",
        "What happened",
    ):
        assert line in answer.out, line
    told = hub.loa("device", FIRST, "--json").json()["device"]
    assert (told["device"], told["state"], told["read"]) == (FIRST, "down", "2024-10-01T16:59:20.000+07:00")
    assert [repair["part"] for repair in told["repairs"]] == ["SIM"]
    assert hub.loa("device", "23557-L99").err.startswith("error[MON052]")
