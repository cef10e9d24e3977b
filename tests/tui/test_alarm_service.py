"""What the hub answers about alarms, repairs, planned work and devices, and to whom."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from audio.documents import EVERYTHING
from audio.muting import expire
from nms.alarm_store import open_alarms, settle
from nms.alarms import OF_HEALTH, AlarmKind, Raised
from nms.journal import EventKind, append
from nms.moments import to_milliseconds
from nms.monitor.snmp.outcome import Reading
from nms.store import SimUsageRow, Store
from tests.tui.alarm_desk import ELSEWHERE, FIRST, MODEM, NOW, SECOND, Desk
from tui import alarm_methods as a
from tui import methods as m
from tui.alarm_rows import counts
from tui.hub import Refusal


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Store.open(tmp_path / "loa.db") as store:
        yield Desk(store)


def at(days: float) -> int:
    return to_milliseconds(NOW + timedelta(days=days))


async def refused(doing: Awaitable[object]) -> str:
    with pytest.raises(Refusal) as caught:
        await doing
    (problem,) = caught.value.problems
    assert problem.message.format_map(problem.fields)
    assert problem.fix.format_map(problem.fields)
    return problem.code


async def test_an_alarm_says_what_is_lost_and_whom_to_call(desk: Desk) -> None:
    desk.lose_the_modem()
    (row,) = (await desk.service().alarms(desk.caller("nobody"), a.Alarms())).alarms
    assert (row.subject, row.kind, row.state, row.communes) == (MODEM, "modem_down", "open", ("Phường Yên Đỗ",))
    assert row.devices == (FIRST, SECOND, MODEM)
    assert row.calls == (a.Call("buôn Nu", "Phường Yên Đỗ", 3, "Siu Nga 0905"),)


async def test_a_selection_finds_the_alarms_that_touch_it(desk: Desk) -> None:
    desk.lose_the_modem()
    service, who = desk.service(), desk.caller("nobody")
    assert len((await service.alarms(who, a.Alarms(f"device={FIRST}"))).alarms) == 1
    assert (await service.alarms(who, a.Alarms("commune=23617"))).alarms == ()
    assert await refused(service.alarms(who, a.Alarms("comune=23617"))) == "SEL002"


async def test_taken_on_by_subject_or_by_the_end_of_its_id_and_audited(desk: Desk) -> None:
    desk.lose_the_modem()
    service, who = desk.service(), desk.caller("technician")
    row = await service.acknowledge(who, a.Acknowledge("23557-m01", "đang đến"))
    assert (row.state, row.by, row.comment) == ("acknowledged", "technician", "đang đến")
    again = await service.acknowledge(desk.caller("operator"), a.Acknowledge(row.id[-8:]))
    assert again.by == "operator"
    assert await refused(service.acknowledge(who, a.Acknowledge(""))) == "MON050"
    assert desk.audited() == [f"technician alarm.acknowledge {MODEM}", f"operator alarm.acknowledge {MODEM}"]


async def test_only_operators_and_technicians_act_and_only_in_their_area(desk: Desk) -> None:
    desk.lose_the_modem()
    service = desk.service()
    assert await refused(service.acknowledge(desk.caller("editor"), a.Acknowledge(MODEM))) == "MON051"
    assert await refused(service.acknowledge(desk.caller("nobody"), a.Acknowledge(MODEM))) == "CFG104"
    technician = desk.caller("technician")
    assert await refused(service.repair(technician, a.Repair(ELSEWHERE, "SIM", "Lan", at(3)))) == "MON051"
    assert await refused(service.maintain(technician, a.Maintain("kind=loudspeaker", at(1), "x"))) == "MON051"
    own = Raised("disk", AlarmKind.SELF_DISK, NOW)
    desk.store.write_sync(lambda s: settle(s, [AlarmKind.SELF_DISK], [own], NOW))
    assert await refused(service.acknowledge(technician, a.Acknowledge("disk"))) == "MON051"
    assert (await service.acknowledge(desk.caller("operator"), a.Acknowledge("disk"))).by == "operator"
    assert desk.audited() == ["operator alarm.acknowledge disk"], "what was refused leaves no act"


async def test_a_repair_makes_the_alarm_quiet_and_its_end_lets_it_speak(desk: Desk) -> None:
    desk.lose_the_modem()
    service, who = desk.service(), desk.caller("technician")
    order = await service.repair(who, a.Repair("23557-m01", "anten", "Lê Ngọc Lan", at(3)))
    assert (order.device, order.part, order.who, order.until, order.closed) == (MODEM, "anten", "Lê Ngọc Lan", at(3), 0)
    (row,) = (await service.alarms(who, a.Alarms())).alarms
    assert (row.state, row.quiet_until) == ("repair", at(3))
    await service.mended(who, a.DeviceId(MODEM))
    (row,) = (await service.alarms(who, a.Alarms())).alarms
    assert row.state == "acknowledged"
    assert await refused(service.mended(who, a.DeviceId(MODEM))) == "MON053"
    assert await refused(service.repair(who, a.Repair("23557-L77", "x", "y", at(3)))) == "MON052"
    assert await refused(service.repair(who, a.Repair(MODEM, "x", "y", at(-1)))) == "MON055"
    assert desk.audited() == [f"technician device.repair {MODEM}", f"technician device.mended {MODEM}"]


async def test_work_is_opened_on_what_a_selection_means(desk: Desk) -> None:
    service, who = desk.service(), desk.caller("technician")
    done = await service.maintain(who, a.Maintain("commune=23557 kind=loudspeaker", at(1), "Thay cột"))
    assert done.devices == (FIRST, SECOND)
    assert await refused(service.maintain(who, a.Maintain("device=23557-L02", at(1), "x", at(2)))) == "MON055"
    assert await refused(service.maintain(who, a.Maintain("kind=board", at(1), "x"))) == "MON054"
    assert desk.audited() == ["technician device.maintenance commune=23557 kind=loudspeaker"]


async def test_past_alarms_are_told_on_demand(desk: Desk) -> None:
    desk.lose_the_modem()
    desk.store.write_sync(lambda s: settle(s, OF_HEALTH, [], NOW))
    service, who = desk.service(), desk.caller("nobody")
    assert (await service.alarms(who, a.Alarms())).alarms == ()
    (row,) = (await service.alarms(who, a.Alarms(past=True))).alarms
    assert (row.state, row.cleared) == ("over", to_milliseconds(NOW))


async def test_everything_known_of_a_device(desk: Desk) -> None:
    desk.lose_the_modem()
    desk.outcomes = {FIRST: Reading({"temperature_c": 41.5}, (), 0.1)}
    service, who = desk.service(), desk.caller("technician")
    await service.repair(who, a.Repair(FIRST, "SIM", "Lan", at(3)))
    await service.maintain(who, a.Maintain(f"device={FIRST}", at(1), "Thay loa"))
    desk.store.write_sync(lambda s: append(s, NOW, EventKind.DEVICE_STATE, FIRST, from_="up", to="down"))
    usage = SimUsageRow(sim="8984", month="2024-10", device=MODEM, since=NOW, updated=NOW, bytes=1_500_000)
    desk.store.write_sync(lambda s: s.add(usage))
    found = await service.device(who, a.DeviceId(FIRST.lower()))
    assert (found.row.device, found.row.state, found.row.playing, found.row.name) == (FIRST, "down", "b1", "Nhà rông")
    assert found.row.values == {"temperature_c": "41.5"}
    assert found.read == to_milliseconds(NOW) - 40_000
    assert (found.contact, found.power_area, found.timer) == ("Siu Nga 0905", "PC-1", "21:30-05:00")
    assert found.sim == "Viettel 0849 M2M-2GB", "the card of the modem it hangs behind"
    assert [work.reason for work in found.work] == ["Thay loa", "Thay cột"]
    assert [alarm.subject for alarm in found.alarms] == [MODEM]
    assert [repair.part for repair in found.repairs] == ["SIM"]
    (spent,) = found.usage
    assert (spent.month, spent.bytes, spent.quota) == ("2024-10", 1_500_000, 2_000_000_000)
    assert {event.kind for event in found.events} == {"device.state", "device.repair", "device.maintenance"}


async def test_nobody_knows_a_device_that_is_not_there(desk: Desk) -> None:
    assert await refused(desk.service().device(desk.caller("nobody"), a.DeviceId("23557-L99"))) == "MON052"
    assert desk.store.read_sync(open_alarms) == ()


async def silenced(desk: Desk, who: str = "technician") -> m.Silenced:
    given = a.Silence(FIRST.lower(), at(3), "loa rú")
    return await desk.service().silence(desk.caller(who), given)


async def test_a_cluster_is_silenced_everywhere_and_named_with_whom_to_call(desk: Desk) -> None:
    row = await silenced(desk)
    known = m.Silenced(FIRST, "Phường Yên Đỗ", "buôn Nu", "Siu Nga 0905", at(0), at(3), "Technician", "loa rú")
    assert row == known
    assert desk.documents() == {f"loa/1/now/d/{FIRST}/23557": [EVERYTHING]}
    service, nobody = desk.service(), desk.caller("nobody")
    (listed,) = (await service.alarms(nobody, a.Alarms())).silenced
    assert (listed.device, [p.code for p in listed.forbidden]) == (FIRST, ["CFG104"])
    assert (await service.alarms(nobody, a.Alarms("commune=23617"))).silenced == ()
    assert [r.device for r in (await service.alarms(nobody, a.Alarms("commune=23557"))).silenced] == [FIRST]
    (page,) = (await service.device(desk.caller("technician"), a.DeviceId(FIRST))).silenced
    assert page == known
    assert (await service.device(nobody, a.DeviceId(SECOND))).silenced == ()
    assert desk.audited() == [f"technician device.mute {FIRST}"]


async def test_a_silence_is_lifted_by_word_or_with_the_repair(desk: Desk) -> None:
    service, who = desk.service(), desk.caller("technician")
    await silenced(desk, who="operator")
    await service.unsilence(who, a.Unsilence(FIRST, "đã thay"))
    assert desk.documents() == {f"loa/1/now/d/{FIRST}/64": []}
    assert await refused(service.unsilence(who, a.Unsilence(FIRST, "đã thay"))) == "BUL037"
    await service.silence(who, a.Silence(FIRST, at(3), "loa rú", "Lan", "loa nén"))
    (order,) = (await service.device(who, a.DeviceId(FIRST))).repairs
    assert (order.who, order.part, order.until, order.closed) == ("Lan", "loa nén", at(3), 0)
    await service.mended(who, a.DeviceId(FIRST))
    assert desk.documents()[f"loa/1/now/d/{FIRST}/23557"] == []
    assert (await service.alarms(who, a.Alarms())).silenced == ()
    assert desk.audited()[-1] == f"technician device.mended {FIRST}"


async def test_who_may_silence_what(desk: Desk) -> None:
    service, who = desk.service(), desk.caller("technician")
    assert await refused(silenced(desk, who="editor")) == "MON051"
    assert await refused(silenced(desk, who="nobody")) == "CFG104"
    leader = desk.caller("approver")
    assert (await service.silence(leader, a.Silence(FIRST, at(3), "rú"))).by == "Approver"
    assert await refused(service.silence(leader, a.Silence(FIRST, at(3), "rú", "Lan", "loa"))) == "MON051"
    await service.unsilence(leader, a.Unsilence(FIRST, "đã yên"))
    assert await refused(service.silence(who, a.Silence(ELSEWHERE, at(3), "rú"))) == "MON051"
    assert await refused(service.silence(who, a.Silence(MODEM, at(3), "rú"))) == "MON056"
    assert await refused(service.silence(who, a.Silence("23557-L77", at(3), "rú"))) == "MON052"
    assert await refused(service.silence(who, a.Silence(FIRST, at(3), "rú", who="Lan"))) == "MON057"
    assert await refused(service.silence(who, a.Silence(FIRST, at(3), " "))) == "BUL035"
    assert await refused(service.silence(who, a.Silence(FIRST, at(-1), "rú"))) == "BUL034"
    await silenced(desk)
    assert await refused(service.unsilence(desk.caller("editor"), a.Unsilence(FIRST, "x"))) == "MON051"
    assert await refused(service.unsilence(who, a.Unsilence(FIRST, " "))) == "BUL035"
    by_leader = [f"approver device.mute {FIRST}", f"approver device.unmute {FIRST}"]
    assert desk.audited() == [*by_leader, f"technician device.mute {FIRST}"], "what was refused leaves no act"


async def test_a_silence_that_its_date_has_ended_is_told_for_a_day(desk: Desk) -> None:
    await silenced(desk)
    after = NOW + timedelta(days=3, hours=1)
    desk.now = after
    desk.store.write_sync(lambda s: expire(s, after))
    service, who = desk.service(), desk.caller("technician")
    (row,) = (await service.alarms(who, a.Alarms())).silenced
    assert (row.device, row.expired) == (FIRST, True)
    assert [r.expired for r in (await service.device(who, a.DeviceId(FIRST))).silenced] == [True]
    await service.silence(who, a.Silence(FIRST, at(9), "vẫn rú"))
    assert [r.reason for r in (await service.alarms(who, a.Alarms())).silenced] == ["vẫn rú"]
    await service.unsilence(who, a.Unsilence(FIRST, "đã sửa"))
    assert (await service.alarms(who, a.Alarms())).silenced == (), "the last word was a person's"


async def test_everybody_is_told_what_they_may_not_do(desk: Desk) -> None:
    desk.lose_the_modem()
    desk.set_wrong(ELSEWHERE)
    service = desk.service()
    expected = {
        "operator": ({MODEM: [], ELSEWHERE: []}, [], []),
        "technician": ({MODEM: [], ELSEWHERE: ["MON051"]}, [], []),
        "approver": ({MODEM: ["MON051"], ELSEWHERE: ["MON051"]}, ["MON051"], []),
        "editor": ({MODEM: ["MON051"], ELSEWHERE: ["MON051"]}, ["MON051"], ["MON051"]),
        "nobody": ({MODEM: ["CFG104"], ELSEWHERE: ["CFG104"]}, ["CFG104"], ["CFG104"]),
    }
    for who, (rows, anywhere, mute) in expected.items():
        found = await service.alarms(desk.caller(who), a.Alarms())
        assert {row.subject: [p.code for p in row.forbidden] for row in found.alarms} == rows, who
        assert [p.code for p in found.forbidden] == anywhere, who
        assert [p.code for p in found.mute] == mute, who
        assert found.now == at(0)


async def test_alarms_are_counted_by_what_is_done_about_them(desk: Desk) -> None:
    desk.lose_the_modem()
    desk.set_wrong(ELSEWHERE)
    service, who = desk.service(), desk.caller("operator")

    def count() -> m.AlarmCounts:
        return desk.store.read_sync(lambda s: counts(s, NOW, 4))

    assert count() == m.AlarmCounts(2, 2, 0, 4)
    await service.acknowledge(who, a.Acknowledge(MODEM))
    assert count() == m.AlarmCounts(2, 1, 0, 4)
    await service.repair(who, a.Repair(ELSEWHERE, "pin", "Lan", at(3)))
    assert count() == m.AlarmCounts(2, 0, 1, 4)
