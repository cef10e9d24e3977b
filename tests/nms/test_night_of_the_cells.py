"""The night the cells died, up to what pages: 31 clusters on two causes are two alarms, a group on a timer is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta

import pytest

from inventory.model import TIMEZONE, DeviceId, Off
from nms.alarms import DEGRADED_SETTLE, Alarm, AlarmKind, Key, of_health, update
from nms.monitor.health import FLAP_WITHIN, Healths, Member, Observation, State, assess

EVENING = datetime(2025, 11, 18, 20, 55, tzinfo=TIMEZONE)
DARK = datetime(2025, 11, 18, 21, 10, tzinfo=TIMEZONE)
MORNING = datetime(2025, 11, 19, 6, 20, tzinfo=TIMEZONE)
END = datetime(2025, 11, 19, 7, tzinfo=TIMEZONE)

IA_HIAO = [DeviceId(f"24061-L{n:02d}") for n in range(1, 20)]
UAR = [DeviceId(f"24109-L{n:02d}") for n in range(1, 13)]
DAK_RONG = [DeviceId(f"23644-L{n:02d}") for n in range(1, 10)]
OTHERS = [DeviceId(f"24013-L{n:02d}") for n in range(1, 5)]
BATTERY = UAR[:3]

TIMER = Off(time(21, 30), time(5))

FLEET = {
    **{d: Member(power_area=f"PC-24061-{n % 3}") for n, d in enumerate(IA_HIAO)},
    **{d: Member(power_area="PC-24109") for d in UAR},
    **{d: Member(power_area="PC-23644", off=TIMER) for d in DAK_RONG},
    **{d: Member() for d in OTHERS},
}
CELLS = {
    **dict.fromkeys(IA_HIAO, "452040A1"),
    **dict.fromkeys(UAR, "452040B7"),
    **dict.fromkeys(DAK_RONG, "452040C2"),
    **dict.fromkeys(OTHERS, "452040D3"),
}


def gone_at(device: DeviceId) -> datetime | None:
    """One after another within 90 seconds, the two communes interleaved."""
    lost = [d for pair in zip(IA_HIAO, [*UAR, *UAR], strict=False) for d in dict.fromkeys(pair)]
    order = list(dict.fromkeys([*lost, *IA_HIAO, *UAR]))
    return DARK + timedelta(seconds=90) * order.index(device) / 30 if device in order else None


GONE = {d: at for d in FLEET if (at := gone_at(d)) is not None}


def answer(device: DeviceId, now: datetime) -> Observation:
    """What the device would say if it were asked now."""
    dark = device in GONE and GONE[device] <= now < MORNING
    clock = now.astimezone(TIMEZONE).time()
    off = device in DAK_RONG and (clock >= TIMER.start or clock < TIMER.end)
    if dark or off:
        return Observation(False)
    mains = now < DARK - timedelta(seconds=30) or now >= MORNING if device in BATTERY else None
    return Observation(True, CELLS[device], mains=mains)


@dataclass
class Night:
    """The hub's night, turn by turn; ``opened`` and ``cleared`` keep when."""

    healths: Healths = field(default_factory=dict)
    open: dict[Key, Alarm] = field(default_factory=dict)
    opened: dict[Key, datetime] = field(default_factory=dict)
    cleared: dict[Key, datetime] = field(default_factory=dict)
    told: dict[Key, tuple[str, ...]] = field(default_factory=dict)

    def turn(self, asked: Mapping[DeviceId, Observation], now: datetime) -> None:
        self.healths = assess(FLEET, asked, self.healths, now)
        changes = update(self.open, of_health(self.healths, now), now)
        for one in changes.opened:
            assert one.key not in self.opened, "an alarm opens once"
            self.opened[one.key] = now
            self.open[one.key] = Alarm("", one.subject, one.kind, now, one.since, one.cause, one.affected)
        for alarm in changes.changed:
            self.open[alarm.key] = alarm
        for alarm in changes.cleared:
            self.cleared[alarm.key] = now
            del self.open[alarm.key]
        self.told |= {key: alarm.affected for key, alarm in self.open.items() if now < MORNING}


def together(interval: int) -> Iterator[tuple[datetime, list[DeviceId]]]:
    """Everybody is asked at once."""
    now = EVENING
    while now < END:
        yield now, list(FLEET)
        now += timedelta(seconds=interval)


def each_in_its_turn(interval: int) -> Iterator[tuple[datetime, list[DeviceId]]]:
    """Every device has its own second in the interval; turns are 5 seconds apart."""
    now, step = EVENING, 5
    slots = {d: n * 7 % (interval // step) for n, d in enumerate(FLEET)}
    count = 0
    while now < END:
        yield now, [d for d, slot in slots.items() if slot == count % (interval // step)]
        now += timedelta(seconds=step)
        count += 1


CELL: Key = ("cell:452040A1", AlarmKind.CELL_LOST)
POWER: Key = ("power:PC-24109", AlarmKind.POWER_LOST)


@pytest.mark.parametrize("interval", [30, 60])
@pytest.mark.parametrize("turns", [together, each_in_its_turn], ids=["together", "in-turn"])
def test_two_causes_are_two_alarms_and_a_timer_is_none(turns: type, interval: int) -> None:
    night = Night()
    for now, asked in turns(interval):
        night.turn({d: answer(d, now) for d in asked}, now)

    assert set(night.opened) == {CELL, POWER}
    vanished = max(GONE.values())
    assert all(at <= vanished + timedelta(minutes=3) for at in night.opened.values())
    assert night.told == {CELL: tuple(IA_HIAO), POWER: tuple(UAR)}
    assert set(night.cleared) == {CELL, POWER}
    assert all(MORNING <= at <= MORNING + timedelta(seconds=interval) for at in night.cleared.values())
    assert {night.healths[d].state for d in FLEET} == {State.UP}
    assert not any(health.flapping for health in night.healths.values())
    assert all(END - turn <= FLAP_WITHIN for health in night.healths.values() for turn in health.turns)


def test_without_a_witness_the_same_loss_is_the_cells() -> None:
    """Nobody in Uar reports lost mains: cell and area explain it equally, and the cell is believed."""
    night = Night()
    for now, asked in together(30):
        if now > DARK + timedelta(minutes=10):
            break
        silent = {d: answer(d, now) for d in asked}
        night.turn({d: Observation(seen.answered, seen.cell) for d, seen in silent.items()}, now)
    assert set(night.opened) == {CELL, ("cell:452040B7", AlarmKind.CELL_LOST)}


def test_a_device_on_battery_that_still_answers_speaks_for_its_dark_area() -> None:
    night = Night()
    for now, asked in together(30):
        if now > DARK + timedelta(minutes=10):
            break
        seen = {d: answer(d, now) for d in asked}
        on_battery = Observation(True, CELLS[BATTERY[0]], mains=False)
        night.turn({**seen, **(dict.fromkeys(BATTERY, on_battery) if now >= DARK else {})}, now)
    assert set(night.opened) == {CELL, POWER}
    assert night.told[POWER] == tuple(UAR[3:]), "who answers is not lost"


def test_batteries_that_last_through_the_dark_are_no_alarms_and_one_that_stays_in_use_is() -> None:
    """Three clusters of Uar run on batteries all the time; one of them goes on doing so when mains is back."""
    night = Night()
    draining = Observation(True, CELLS[BATTERY[0]], ("on_battery",), mains=False)
    charged = Observation(True, CELLS[BATTERY[0]], mains=True)
    for now, asked in together(30):
        on = dict.fromkeys(BATTERY, draining if DARK <= now < MORNING else charged)
        broken = {BATTERY[0]: draining} if now >= DARK else {}
        night.turn({**{d: answer(d, now) for d in asked}, **on, **broken}, now)
        if now == DARK + timedelta(hours=2):
            states = {(night.healths[d].state, night.healths[d].cause) for d in BATTERY}
            assert states == {(State.DEGRADED, "power:PC-24109")}
            assert {night.healths[d].since for d in BATTERY} == {DARK}
    still: Key = (BATTERY[0], AlarmKind.DEGRADED)
    assert set(night.opened) == {CELL, POWER, still}
    assert night.told[POWER] == tuple(UAR[3:])
    assert night.opened[still] >= night.cleared[POWER] + DEGRADED_SETTLE
    assert night.healths[BATTERY[0]].cause == "on_battery"
    assert night.healths[BATTERY[1]].state is State.UP
