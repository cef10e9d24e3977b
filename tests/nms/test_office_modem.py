"""An office's modem, eight loudspeakers and a board behind it, under the running monitor with a store of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inventory.model import Device, DeviceId, DeviceKind, Sim
from nms.alarms import AlarmKind
from nms.monitor import loop
from nms.monitor.health import FLAPPING, State
from tests.nms.monitor_kit import COMMUNE, ON, Rig, rigged

MODEM, LONE = DeviceId("23557-M01"), DeviceId("23557-L20")
LOUDSPEAKERS = [DeviceId(f"23557-L{n:02d}") for n in range(1, 9)]
BOARD = DeviceId("23557-B01")
BEHIND = sorted([*LOUDSPEAKERS, BOARD])
SIM = Sim("", "", operator="Viettel")
DEVICES = [
    Device(MODEM, DeviceKind.MODEM, COMMUNE, None, "rutos", ON, sim=SIM),
    Device(LONE, DeviceKind.LOUDSPEAKER, COMMUNE, None, "loa-receiver", ON, sim=SIM),
    *(Device(d, DeviceKind.LOUDSPEAKER, COMMUNE, None, "loa-receiver", ON, uplink=MODEM) for d in LOUDSPEAKERS),
    Device(BOARD, DeviceKind.BOARD, COMMUNE, None, "loa-board", ON, uplink=MODEM),
]
EVERYBODY = {d.id for d in DEVICES}

pytestmark = pytest.mark.slow


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """Asked every minute, as the hub does it where nobody says otherwise, each in its turn."""
    with rigged(tmp_path / "loa.db", DEVICES, 60.0) as rig:
        monkeypatch.setattr(loop, "monotonic", lambda: rig.seconds)
        rig.turns(115)
        assert rig.states() == {State.UP}
        yield rig


def test_a_lost_modem_is_one_alarm_with_nine_consequences_and_all_is_clear_at_once(rig: Rig) -> None:
    before = len(rig.changes())
    rig.command(fail=[MODEM])
    rig.turns(600)
    (alarm,) = rig.open()
    assert (alarm.subject, alarm.kind) == (MODEM, AlarmKind.MODEM_DOWN)
    assert sorted(alarm.affected) == sorted([MODEM, *BEHIND])
    assert rig.opened() == [(MODEM, "modem_down")]
    assert rig.monitor.latest is not None
    healths = rig.monitor.latest.healths
    assert {(healths[DeviceId(d)].state, healths[DeviceId(d)].cause) for d in BEHIND} == {(State.UNREACHABLE, MODEM)}
    assert sorted(rig.changes()[before:]) == sorted([(MODEM, "down"), *((d, "unreachable") for d in BEHIND)])

    lost = len(rig.changes())
    rig.command(heal="all")
    turns = 0
    while not rig.changes()[lost:]:
        rig.turns(1)
        turns += 1
        assert turns < 300
    assert sorted(rig.changes()[lost:]) == sorted((d, "up") for d in EVERYBODY - {LONE}), "all in one sweep"
    assert rig.open() == ()
    rig.turns(300)
    assert rig.opened() == [(MODEM, "modem_down")]
    assert rig.states() == {State.UP}


def test_a_modem_that_flaps_every_forty_seconds_is_one_flapping_alarm_and_leaves_none(rig: Rig) -> None:
    for _ in range(15):
        rig.command(fail=[MODEM])
        rig.turns(40)
        rig.command(heal="all")
        rig.turns(40)
    assert rig.opened() == [(MODEM, "flapping")]
    (alarm,) = rig.open()
    assert sorted(alarm.affected) == sorted([MODEM, *BEHIND])
    assert rig.monitor.latest is not None
    modem = rig.monitor.latest.healths[MODEM]
    assert (modem.state, modem.cause) == (State.DEGRADED, FLAPPING)
    rig.turns(900)
    assert rig.open() == ()
    assert rig.states() == {State.UP}
    assert rig.opened() == [(MODEM, "flapping")]
