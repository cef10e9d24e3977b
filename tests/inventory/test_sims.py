"""SIMs whose plan runs out."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from inventory.model import Device, DeviceId, DeviceKind, Network, Sim, UnitId
from inventory.sims import expiring

TODAY = date(2025, 3, 1)


def network(*ends: date | None) -> Network:
    devices = [
        Device(
            DeviceId(f"23764-L{n:02}"),
            DeviceKind.LOUDSPEAKER,
            UnitId("23764"),
            None,
            "loa-receiver",
            date(2024, 1, 1),
            sim=Sim(str(n), f"89{n}", expires=end),
        )
        for n, end in enumerate(ends, 1)
    ]
    return Network(UnitId("64"), "Gia Lai", None, "10", {}, {}, {}, {d.id: d for d in devices})


def test_those_that_end_are_told_30_days_before_the_first_of_them_first() -> None:
    found = expiring(network(date(2025, 3, 31), date(2025, 4, 1), None, date(2025, 3, 9)), TODAY)
    assert [d.text() for d in found] == ["2 SIMs run out within 30 days, the first on 09/03/2025: 23764-L04, 23764-L01"]


def test_those_that_have_ended_are_told_apart() -> None:
    found = expiring(network(TODAY, date(2025, 2, 28)), TODAY)
    assert [d.text() for d in found] == [
        "1 SIMs have run out, the first on 28/02/2025: 23764-L02",
        "1 SIMs run out within 30 days, the first on 01/03/2025: 23764-L01",
    ]


def test_a_device_out_of_service_needs_no_plan() -> None:
    one = network(TODAY)
    gone = {d: replace(device, out_of_service=TODAY) for d, device in one.devices.items()}
    assert expiring(replace(one, devices=gone), TODAY) == ()
