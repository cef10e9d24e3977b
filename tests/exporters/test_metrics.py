"""What Prometheus reads, read back by a strict parser."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.metrics import Family, FleetLabels, device_labels, render
from inventory.load import load
from inventory.model import Device, DeviceId, DeviceKind, Network, Tier, Unit, UnitId, UnitType
from nms.settings import SAMPLE
from tests.exporters.exposition import parse

ON = date(2024, 10, 1)
AGREED = {"device", "kind", "commune", "district", "province", "uplink", "profile"}


def province(count: int) -> Network:
    """A province of ``count`` loudspeakers in communes of 500, every second one behind its commune's modem."""
    units = [Unit(UnitId("64"), "64", "Gia Lai", Tier.PROVINCE, UnitType.PROVINCE, None)]
    units.append(Unit(UnitId("622"), "622", "Pleiku", Tier.DISTRICT, UnitType.CITY, UnitId("64")))
    communes = [str(20_000 + n) for n in range(-(-count // 500))]
    units += [Unit(UnitId(c), c, c, Tier.COMMUNE, UnitType.COMMUNE, UnitId("622")) for c in communes]
    devices = {}
    for n in range(count):
        commune = communes[n // 500]
        name = DeviceId(f"{commune}-L{n % 500 + 1:02}")
        uplink = DeviceId(f"{commune}-M01") if n % 2 else None
        devices[name] = Device(
            name, DeviceKind.LOUDSPEAKER, UnitId(commune), None, "loa-receiver", date(2024, 1, 1), uplink=uplink
        )
    return Network(UnitId("64"), "Gia Lai", ON, "127", {u.id: u for u in units}, {}, {}, devices)


def promtool(text: str) -> None:
    """Prometheus' own judgement on the text, where it is installed."""
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([tool, "check", "metrics"], input=text.encode(), capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_families_come_back_as_they_went_in() -> None:
    families = (
        Family("loa_devices", "gauge", "Devices in use.", (({"kind": "modem"}, 30), ({"kind": "board"}, 7))),
        Family("loa_sweep_seconds", "gauge", "Duration of the last sweep.", (({}, 0.523),)),
        Family("loa_receipts_total", "counter", "Receipts.", ()),
    )
    found = parse(render(families))
    assert list(found) == ["loa_devices", "loa_sweep_seconds", "loa_receipts_total"]
    assert found["loa_devices"][{"kind": "modem"}] == 30
    assert found["loa_sweep_seconds"][{}] == 0.523
    assert (found["loa_receipts_total"].kind, found["loa_receipts_total"].samples) == ("counter", {})
    assert found["loa_devices"].help == "Devices in use."
    assert render(()) == ""


@given(st.text(), st.text(), st.text())
def test_any_text_survives_in_labels_and_help(first: str, second: str, about: str) -> None:
    labels = {"kind": first, "reason": second}
    found = parse(render((Family("loa_x", "gauge", about, ((labels, 1.0),)),)))
    assert found["loa_x"][labels] == 1
    assert found["loa_x"].help == about


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_keeps_its_value(value: float) -> None:
    assert parse(render((Family("loa_x", "gauge", "x", (({}, value),)),)))["loa_x"][{}] == value


def test_a_device_is_labelled_by_ids_and_uplink_is_its_own_where_it_has_none() -> None:
    network = province(2)
    alone, behind = network.devices.values()
    assert device_labels(network, alone, ON) == {
        "device": "20000-L01",
        "kind": "loudspeaker",
        "commune": "20000",
        "district": "622",
        "province": "64",
        "uplink": "20000-L01",
        "profile": "loa-receiver",
    }
    assert device_labels(network, behind, ON)["uplink"] == "20000-M01"


def test_every_device_of_the_sample_has_the_agreed_labels_and_none_twice() -> None:
    network, _ = load(SAMPLE)
    assert network is not None
    values = {d.id: 1.0 for d in network.devices_on(ON)}
    text = FleetLabels(network, ON).render("loa_device_up", "1 while the device answers.", values)
    found = parse(text)["loa_device_up"]
    assert len(found.samples) == len(values)
    for sample in found.samples:
        labels = dict(sample)
        assert labels.keys() == AGREED
        assert labels["uplink"] in network.devices
        assert labels["province"] == "64"
    promtool(text)


def test_after_the_reform_a_device_has_no_district() -> None:
    network, _ = load(SAMPLE)
    assert network is not None
    after = date(2025, 7, 1)
    labels = [device_labels(network, d, after) for d in network.devices_on(after) if d.kind is DeviceKind.LOUDSPEAKER]
    assert {(found["district"], found["province"]) for found in labels} == {("", "52")}
    assert all(network.units[UnitId(found["commune"])].tier is Tier.COMMUNE for found in labels)


def test_only_devices_of_the_fleet_are_rendered() -> None:
    labels = FleetLabels(province(3), ON)
    text = labels.render("loa_device_up", "up", {DeviceId("20000-L02"): 0.0, DeviceId("99999-L01"): 1.0})
    ((sample, value),) = parse(text)["loa_device_up"].samples.items()
    assert (dict(sample)["device"], value) == ("20000-L02", 0)
    assert parse(labels.render("loa_device_up", "up", {}))["loa_device_up"].samples == {}


def calls(work: Callable[[], Any]) -> int:
    """How many functions ran: a measure of work that does not depend on the machine."""
    count = 0

    def profile(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_ten_times_the_fleet_is_ten_times_the_work() -> None:
    def work(network: Network) -> Callable[[], str]:
        values = dict.fromkeys(network.devices, 1.0)
        return lambda: FleetLabels(network, ON).render("loa_device_up", "up", values)

    small, large = calls(work(province(1_000))), calls(work(province(10_000)))
    assert large < small * 11


def test_a_hundred_thousand_devices_come_out_whole() -> None:
    network = province(100_000)
    text = FleetLabels(network, ON).render("loa_device_up", "up", dict.fromkeys(network.devices, 1.0))
    lines = text.splitlines()
    assert len(lines) == 100_002
    assert len(set(lines)) == len(lines)
    parse("\n".join([*lines[:2], *lines[-100:]]) + "\n")
