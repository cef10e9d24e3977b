"""A SIM that is nearly used up, as operators see it: among the alarms and on its device's page, in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from nms.i18n import translator
from nms.monitor.quotas import QuotaWatch
from nms.store import SimUsageRow, Store
from tests.tui.alarm_desk import ELSEWHERE, NOW, Desk
from tui import alarm_methods as a
from tui.views.alarms import alarm_line
from tui.views.device import device_lines


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Store.open(tmp_path / "loa.db") as store:
        yield Desk(store)


async def test_a_quota_that_runs_out_is_among_the_alarms_and_on_its_devices_page(desk: Desk) -> None:
    row = SimUsageRow(
        sim="8984", month="2024-10", device=ELSEWHERE, since=NOW - timedelta(hours=9), updated=NOW, bytes=1_700_000_000
    )
    await desk.store.write(lambda s: s.add(row))
    await QuotaWatch(desk.store, lambda: desk.places.network, lambda: NOW).look()
    service, who, vi = desk.service(), desk.caller("operator"), translator("vi")
    (alarm,) = (await service.alarms(who, a.Alarms())).alarms
    assert (alarm.kind, alarm.communes, alarm.state) == ("quota", ("Xã Tây Sơn",), "open")
    assert "dung lượng SIM của 23617-L01 (đã dùng quá 80%)" in alarm_line(alarm, vi)
    page = await service.device(who, a.DeviceId(ELSEWHERE))
    assert page.alarms == (alarm,)
    (spent,) = page.usage
    assert (spent.level, spent.quota) == ("near", 2_000_000_000)
    assert any("đã dùng quá 80%" in line for line in device_lines(page, vi))
    taken = await service.acknowledge(who, a.Acknowledge(ELSEWHERE, "đã mua thêm"))
    assert taken.state == "acknowledged"
