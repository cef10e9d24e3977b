"""What may be off: timers, planned work, and limits of single devices, as a person writes them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path

import pytest

from inventory.ansible import variables
from inventory.diagnostics import Diagnostic
from inventory.load import load
from inventory.model import TIMEZONE, DeviceId, DeviceLimit, Maintenance, Network, Off, UnitId

Break = Callable[[str, str, str], list[Diagnostic]]

STATION = "stations/23557-yen-do.yaml"
LAST = "out_of_service: 2024-12-31"
NAME = "name: Gia Lai"
FOREIGN = "profile: loa-receiver\n    uplink: 23557-M01"


def with_device(line: str) -> tuple[str, str, str]:
    return STATION, LAST, f"{LAST}\n    {line}"


def with_work(entry: str) -> tuple[str, str, str]:
    return "network.yaml", NAME, f"{NAME}\nmaintenance:\n  - {{{entry}, reason: Thay anten}}"


CASES = [
    ("INV112", with_work("device: 23557-L99, from: 2024-10-05T08:00, until: 2024-10-05T11:00"), "23557-L99"),
    ("INV102", with_work('unit: "99999", from: 2024-10-05T08:00, until: 2024-10-05T11:00'), '"99999"'),
    ("INV310", with_device('off: {start: "21:30", end: "21:30"}'), "{start"),
    ("INV311", with_device("limits: {temperature_c: {min: 80, max: 20}}"), "{min"),
    ("INV312", with_work('unit: "23557", from: 2024-10-05T08:00, until: 2024-10-05T08:00'), "2024-10-05T08:00, reason"),
    ("INV313", with_work("from: 2024-10-05T08:00, until: 2024-10-05T11:00"), "{from"),
    ("INV313", with_work('unit: "23557", device: 23557-L01, from: 2024-10-05T08:00, until: 2024-10-05T11:00'), "{unit"),
    ("INV314", with_device('sound: "the second card"'), '"the second'),
    ("INV315", (STATION, FOREIGN, FOREIGN.replace("loa-receiver", "rutos") + "\n    sound: default"), "default"),
    ("INV004", with_work('unit: "23557", from: 2024-10-05 08:00, until: 2024-10-05T11:00'), "2024-10-05 08:00"),
    ("INV004", with_device('off: {start: "21:30", end: "25:00"}'), '"25:00"'),
    ("INV001", with_device("limits: {temperature_c: {high: 80}}"), "high"),
]


@pytest.mark.parametrize(("code", "change", "at"), CASES, ids=[f"{case[0]}-{i}" for i, case in enumerate(CASES)])
def test_a_mistake_is_shown_where_it_stands(
    broken: Break, province: Path, code: str, change: tuple[str, str, str], at: str
) -> None:
    ours = [d for d in broken(*change) if d.code == code]
    assert ours
    line = (province / change[0]).read_text(encoding="utf-8").splitlines()[ours[0].place.line - 1]
    assert line[ours[0].place.column - 1 :].startswith(at)
    assert ours[0].text()
    assert ours[0].fix_text()


def loaded(province: Path, file: str, old: str, new: str) -> Network:
    path = province / file
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    network, diagnostics = load(province)
    assert network is not None, diagnostics
    return network


def test_a_timer_and_limits_are_the_devices_own(province: Path) -> None:
    line = 'off: {start: "21:30", end: "05:00"}\n    limits: {temperature_c: {max: 70.5}, rsrp_dbm: {}}'
    network = loaded(province, *with_device(line))
    device = network.devices[DeviceId("23557-L02")]
    assert device.off == Off(time(21, 30), time(5))
    assert device.limits == (DeviceLimit("temperature_c", None, 70.5), DeviceLimit("rsrp_dbm"))
    other = network.devices[DeviceId("23557-L01")]
    assert (other.off, other.limits) == (None, ())


def test_a_clusters_sound_card_is_what_the_inventory_says(province: Path) -> None:
    network = loaded(province, *with_device("sound: plughw:CARD=Device,DEV=0"))
    given, without = (network.devices[DeviceId(name)] for name in ("23557-L02", "23557-L01"))
    assert (given.sound, without.sound) == ("plughw:CARD=Device,DEV=0", None)
    on = date(2024, 10, 1)
    assert variables(network, given, on)["loa_sound"] == "plughw:CARD=Device,DEV=0"
    assert variables(network, without, on)["loa_sound"] == "default"
    assert variables(network, network.devices[DeviceId("23557-B01")], on)["loa_sound"] == "none"


def test_planned_work_is_meant_in_local_time(province: Path) -> None:
    network = loaded(province, *with_work('unit: "622", from: 2024-10-05T08:00, until: 2024-10-05T11:00'))
    (work,) = network.maintenance
    assert work == Maintenance(
        datetime(2024, 10, 5, 8, tzinfo=TIMEZONE),
        datetime(2024, 10, 5, 11, tzinfo=TIMEZONE),
        "Thay anten",
        unit=UnitId("622"),
        place=work.place,
    )
