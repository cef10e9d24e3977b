"""A wall clock that is set by an hour, under the real monitor, its recorder and a real store: nobody is lost by it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from inventory.model import Device, DeviceId, DeviceKind, Sim
from nms.alarms import AlarmKind
from nms.journal import EventKind, recent
from nms.monitor.health import State
from nms.selfwatch import EVERY, HELD, SelfWatch, Watched
from tests.nms.monitor_kit import COMMUNE, ON, Rig, look, rigged

HOUR = timedelta(hours=1)
MODEM, LONE = DeviceId("23557-M01"), DeviceId("23557-L09")
SIM = Sim("", "", operator="Viettel")
BEHIND = [
    Device(DeviceId(f"23557-L0{n}"), DeviceKind.LOUDSPEAKER, COMMUNE, None, "loa-receiver", ON, uplink=MODEM)
    for n in (1, 2, 3)
]
DEVICES = [
    Device(MODEM, DeviceKind.MODEM, COMMUNE, None, "rutos", ON, sim=SIM),
    Device(LONE, DeviceKind.LOUDSPEAKER, COMMUNE, None, "loa-receiver", ON, sim=SIM),
    *BEHIND,
]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rigged(tmp_path / "loa.db", DEVICES) as rig:
        yield rig


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_nobody_is_lost_by_a_clock_that_jumps(rig: Rig, jump: timedelta) -> None:
    rig.sweep(3)
    known = sorted(rig.changes())
    rig.now += jump
    rig.sweep(3)
    assert rig.states() == {State.UP}
    assert sorted(rig.changes()) == known, "nothing has changed, so nothing is told"
    assert rig.alarms() == []


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_what_happens_about_the_jump_is_told_once(rig: Rig, jump: timedelta) -> None:
    rig.sweep(3)
    before = len(rig.changes())
    rig.command(fail=[MODEM])
    rig.sweep(2)
    rig.now += jump
    rig.sweep(10)
    assert rig.alarms() == [(MODEM, AlarmKind.MODEM_DOWN)]
    rig.command(heal="all")
    rig.sweep(1)
    assert rig.states() == {State.UP}
    assert rig.alarms() == []
    behind = [str(d.id) for d in BEHIND]
    told = [(MODEM, "down"), *((d, "unreachable") for d in behind), *((d, "up") for d in (MODEM, *behind))]
    assert sorted(rig.changes()[before:]) == sorted((str(d), to) for d, to in told)


def test_a_clock_set_back_makes_nobody_flap(rig: Rig) -> None:
    """Turns of the hour that comes again are not counted with those of the hour before."""
    rig.sweep(3)
    for jump in (-HOUR, timedelta(0)):
        for order in ({"fail": [LONE]}, {"heal": "all"}):
            rig.command(**order)
            rig.sweep(2)
        rig.now += jump
    rig.command(fail=[LONE])
    rig.sweep(2)
    assert rig.states() == {State.UP, State.DOWN}


@pytest.mark.parametrize(("jump", "told"), [(HOUR, "+3600 s"), (-HOUR, "-3600 s")])
async def test_the_jump_is_one_alarm_about_the_hub_and_the_only_one(rig: Rig, jump: timedelta, told: str) -> None:
    watched = Watched(rig.store, Path("/"), 30.0, rig.monitor, least=0)
    watch = SelfWatch("hub", watched, lambda: rig.now, ticks=lambda: rig.seconds)

    async def sweep(times: int) -> None:
        for _ in range(times):
            rig.sweep()
            await look(watch)

    await sweep(3)
    known = sorted(rig.changes())
    rig.now += jump
    await sweep(5)
    ours = [(a.subject, a.kind, a.cause) for a in rig.open() if a.kind not in ABOUT_THIS_MACHINE]
    assert ours == [("hub", AlarmKind.SELF_CLOCK, told)]
    assert rig.states() == {State.UP}
    assert sorted(rig.changes()) == known
    rig.later(HELD[AlarmKind.SELF_CLOCK] - EVERY)
    await sweep(2)
    assert [a for a in rig.open() if a.kind not in ABOUT_THIS_MACHINE] == []
    jumps = [e.cause for e in rig.store.read_sync(lambda s: recent(s, 1000)) if e.kind is EventKind.SELF_CLOCK]
    assert jumps == [told]


ABOUT_THIS_MACHINE = {AlarmKind.SELF_DISK, AlarmKind.SELF_MEMORY}
"""The tests are not alone on it."""
