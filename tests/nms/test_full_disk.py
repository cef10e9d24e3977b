"""A disk that fills under a running monitor: nobody is called lost by it, nothing that happened meanwhile is lost."""

from __future__ import annotations

from pathlib import Path

from inventory.model import Device, DeviceId, DeviceKind, Sim
from nms.alarms import AlarmKind
from nms.monitor.health import State
from nms.selfwatch import SelfWatch, Watched
from tests.nms.monitor_kit import COMMUNE, ON, fill, look, rigged, small_disk

MODEM = DeviceId("23557-M01")
BEHIND = [DeviceId(f"23557-L{n:02d}") for n in range(1, 5)]
LONE, OTHER = DeviceId("23557-L09"), DeviceId("23557-L10")
SIM = Sim("", "", operator="Viettel")
DEVICES = [
    Device(MODEM, DeviceKind.MODEM, COMMUNE, None, "rutos", ON, sim=SIM),
    *(Device(d, DeviceKind.LOUDSPEAKER, COMMUNE, None, "loa-receiver", ON, sim=SIM) for d in (LONE, OTHER)),
    *(Device(d, DeviceKind.LOUDSPEAKER, COMMUNE, None, "loa-receiver", ON, uplink=MODEM) for d in BEHIND),
]


async def test_what_happens_while_the_disk_is_full_is_told_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small") as disk, rigged(disk / "loa.db", DEVICES) as rig:
        watched = Watched(rig.store, disk, 30.0, rig.monitor, least=2**20, inside=True)
        watch = SelfWatch("hub", watched, lambda: rig.now, ticks=lambda: rig.seconds)

        async def sweep(times: int = 1) -> None:
            for _ in range(times):
                rig.sweep()
                await look(watch)

        await sweep(3)
        before = len(rig.changes())
        ballast = fill(disk)
        await sweep()
        assert not watch.ok()["disk"]
        rig.command(fail=[LONE])
        await sweep(3)
        rig.command(heal="all")
        await sweep(2)
        rig.command(fail=[MODEM])
        await sweep(3)
        assert rig.changes()[before:] == [], "there is no room for them"
        ballast.unlink()
        await sweep(3)
        told = rig.changes()[before:]
        assert [to for device, to in told if device == LONE] == ["down", "up"]
        assert sorted(told) == sorted(
            [(LONE, "down"), (LONE, "up"), (MODEM, "down"), *((str(d), "unreachable") for d in BEHIND)]
        )
        ours = {(subject, kind) for subject, kind in rig.opened() if kind.startswith("self_")} - MEMORY
        assert ours == {("hub", "self_disk")}
        await sweep(6)
        assert {a for a in rig.alarms() if a[1] is not AlarmKind.SELF_MEMORY} == {(MODEM, AlarmKind.MODEM_DOWN)}
        rig.command(heal="all")
        await sweep(3)
        assert rig.states() == {State.UP}
        assert [a for a in rig.alarms() if a[1] is not AlarmKind.SELF_MEMORY] == []


MEMORY = {("hub", "self_memory")}
