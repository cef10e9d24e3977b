"""What comes and goes, what is meant to be off, and what is given time to come back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory.model import (
    TIMEZONE,
    Device,
    DeviceId,
    DeviceKind,
    DeviceLimit,
    Maintenance,
    Network,
    Off,
    Tier,
    Unit,
    UnitId,
    UnitType,
)
from nms.alarms import AlarmKind, of_health
from nms.monitor.family import Limit, Profile
from nms.monitor.health import (
    FLAPPING,
    GRACE,
    TIMER,
    CauseKind,
    Healths,
    Member,
    Observation,
    State,
    Window,
    assess,
    causes,
)
from nms.monitor.limits import faults, limits_of
from nms.monitor.windows import planned, timer_end

START = datetime(2024, 10, 1, 10, tzinfo=UTC)
MODEM = DeviceId("23557-M01")
BEHIND = [DeviceId(f"23557-L{n:02d}") for n in range(1, 9)]
OFFICE = {MODEM: Member(), **{d: Member(uplink=MODEM) for d in BEHIND}}
ONE = DeviceId("23557-L20")


class Story:
    """Sweeps of a fleet, one after another, ``every`` seconds apart."""

    def __init__(self, fleet: Mapping[DeviceId, Member], start: datetime = START, every: float = 30) -> None:
        self.fleet = fleet
        self.now = start
        self.every = timedelta(seconds=every)
        self.healths: Healths = {}
        self.alarmed: set[tuple[str, AlarmKind]] = set()
        self.seen: list[State] = []

    def sweep(self, silent: Iterable[DeviceId] = (), asked: Iterable[DeviceId] | None = None) -> None:
        quiet = set(silent)
        observations = {d: Observation(d not in quiet) for d in (self.fleet if asked is None else asked)}
        self.healths = assess(self.fleet, observations, self.healths, self.now)
        self.alarmed |= {one.key for one in of_health(self.healths, self.now) if one.opens}
        self.seen.append(self.healths[next(iter(self.fleet))].state)
        self.now += self.every

    def until(self, end: datetime, silent: Iterable[DeviceId] = ()) -> None:
        while self.now < end:
            self.sweep(silent)


def flap(story: Story, devices: Iterable[DeviceId], seconds: float, half: float = 40) -> None:
    """The devices are connected for ``half`` seconds, then gone for as long."""
    begin, end = story.now, story.now + timedelta(seconds=seconds)
    while story.now < end:
        on = (story.now - begin).total_seconds() // half % 2 == 0
        story.sweep(() if on else devices)


@pytest.mark.parametrize("every", [10, 15, 30])
def test_a_modem_that_flaps_is_one_alarm_and_nothing_behind_it_is_any(every: float) -> None:
    story = Story(OFFICE, every=every)
    story.sweep()
    flap(story, OFFICE, 1200)
    assert story.alarmed == {(MODEM, AlarmKind.FLAPPING)}
    modem = story.healths[MODEM]
    assert (modem.state, modem.cause) == (State.DEGRADED, FLAPPING)
    (cause,) = causes(story.healths)
    assert (cause.key, cause.kind, cause.affected) == (MODEM, CauseKind.FLAPPING, tuple(sorted(OFFICE)))


def test_a_flapping_device_stays_in_one_state_until_it_has_been_steady() -> None:
    story = Story({ONE: Member()})
    flap(story, [ONE], 900)
    begun = story.seen.index(State.DEGRADED)
    assert set(story.seen[begun:]) == {State.DEGRADED}
    since = story.healths[ONE].since
    story.until(story.now + timedelta(minutes=8))
    assert (story.healths[ONE].state, story.healths[ONE].since) == (State.DEGRADED, since)
    story.until(story.now + timedelta(minutes=4))
    assert (story.healths[ONE].state, story.healths[ONE].cause) == (State.UP, None)


def test_a_flapping_device_that_falls_silent_for_good_is_lost_since_then() -> None:
    story = Story({ONE: Member()})
    flap(story, [ONE], 900)
    silent = story.now
    story.until(silent + timedelta(minutes=12), [ONE])
    assert story.healths[ONE].state is State.DOWN
    assert story.healths[ONE].since >= silent - timedelta(seconds=60)


def test_what_hung_behind_a_flapping_modem_stays_its_until_it_turns_by_itself() -> None:
    """The modem has been steady a little longer than the others: the rest of their flapping is still the modem's."""
    story = Story(OFFICE)
    story.sweep()
    flap(story, OFFICE, 900)
    story.sweep(BEHIND)
    story.until(story.now + timedelta(minutes=20))
    assert story.alarmed == {(MODEM, AlarmKind.FLAPPING)}
    assert {h.state for h in story.healths.values()} == {State.UP}


def test_what_goes_on_flapping_when_its_modem_is_steady_is_an_alarm_of_its_own() -> None:
    story = Story(OFFICE)
    story.sweep()
    flap(story, OFFICE, 900)
    flap(story, [BEHIND[0]], 1500)
    assert story.healths[BEHIND[0]].cause == FLAPPING
    assert story.alarmed == {(MODEM, AlarmKind.FLAPPING), (BEHIND[0], AlarmKind.FLAPPING)}


def test_many_clusters_that_flap_on_one_cell_are_one_alarm() -> None:
    fleet = {d: Member() for d in BEHIND}
    healths: Healths = {}
    for n in range(30):
        on = n % 2 == 0
        healths = assess(fleet, {d: Observation(on, "7") for d in fleet}, healths, START + n * timedelta(seconds=30))
    assert {(c.key, c.kind) for c in causes(healths)} == {("cell:7", CauseKind.FLAPPING)}


def test_one_lost_answer_now_and_then_is_no_flapping() -> None:
    story = Story({ONE: Member()})
    for n in range(200):
        story.sweep([ONE] if n % 10 == 9 else [])
    assert set(story.seen) == {State.UP}
    assert story.alarmed == set()


# --- off by timer -----------------------------------------------------------------------------------------------------

NIGHT = Off(time(21, 30), time(5))


def local(hour: int, minute: int, day: int = 1) -> datetime:
    return datetime(2024, 10, day, hour, minute, tzinfo=TIMEZONE)


@pytest.mark.parametrize(
    ("silent", "until"),
    [
        (local(21, 19), None),
        (local(21, 20), local(5, 10, 2)),
        (local(23, 0), local(5, 10, 2)),
        (local(3, 0, 2), local(5, 10, 2)),
        (local(5, 9, 2), local(5, 10, 2)),
        (local(5, 10, 2), None),
        (local(12, 0), None),
    ],
)
def test_a_timer_excuses_a_silence_that_begins_about_its_window(silent: datetime, until: datetime | None) -> None:
    assert timer_end(NIGHT, silent) == until


def test_a_window_within_one_day() -> None:
    noon = Off(time(11), time(13))
    assert timer_end(noon, local(10, 50)) == local(13, 10)
    assert timer_end(noon, local(13, 10)) is None


def test_off_by_timer_is_not_lost_until_ten_minutes_after_its_window() -> None:
    story = Story({ONE: Member(off=NIGHT)}, local(21, 0), 60)
    story.until(local(21, 28))
    story.until(local(5, 10, 2), [ONE])
    assert (story.healths[ONE].state, story.healths[ONE].cause) == (State.MAINTENANCE, TIMER)
    assert story.alarmed == set()
    story.until(local(5, 20, 2), [ONE])
    assert (story.healths[ONE].state, story.healths[ONE].since) == (State.DOWN, local(5, 10, 2))
    assert story.alarmed == {(ONE, AlarmKind.DEVICE_DOWN)}


def test_a_device_lost_before_its_timer_stays_lost() -> None:
    story = Story({ONE: Member(off=NIGHT)}, local(20, 0), 60)
    story.until(local(20, 30))
    story.until(local(23, 0), [ONE])
    assert story.healths[ONE].state is State.DOWN
    assert story.healths[ONE].since == local(20, 30)


def test_a_device_that_answers_in_its_window_is_up() -> None:
    story = Story({ONE: Member(off=NIGHT)}, local(23, 0), 60)
    story.until(local(23, 30))
    assert story.healths[ONE].state is State.UP


def test_a_device_off_by_timer_that_is_not_asked_stays_so() -> None:
    story = Story({ONE: Member(off=NIGHT)}, local(21, 40), 60)
    story.sweep()
    for _ in range(3):
        story.sweep([ONE])
    story.sweep(asked=[])
    assert (story.healths[ONE].state, story.healths[ONE].cause) == (State.MAINTENANCE, TIMER)


# --- planned work -----------------------------------------------------------------------------------------------------


def test_work_on_a_modem_covers_what_falls_silent_behind_it() -> None:
    window = Window(START + timedelta(minutes=5), START + timedelta(minutes=60), "Thay anten")
    story = Story({**OFFICE, MODEM: Member(maintenance=(window,))})
    story.until(START + timedelta(minutes=6))
    story.until(START + timedelta(minutes=50), OFFICE)
    assert {(h.state, h.cause) for h in story.healths.values()} == {(State.MAINTENANCE, "Thay anten")}
    story.sweep(OFFICE, asked=[MODEM])
    assert {h.state for h in story.healths.values()} == {State.MAINTENANCE}, "also while nobody asks them"
    story.until(START + timedelta(minutes=75))
    assert {h.state for h in story.healths.values()} == {State.UP}
    assert story.alarmed == set()


def test_work_that_ends_with_the_device_off_is_a_loss() -> None:
    story = Story({ONE: Member(maintenance=(Window(START, START + timedelta(minutes=10)),))})
    story.until(START + timedelta(minutes=20), [ONE])
    assert story.healths[ONE].state is State.DOWN
    assert story.healths[ONE].since == START + timedelta(minutes=10)


def province(*works: Maintenance) -> Network:
    top = Unit(UnitId("64"), "64", "Tỉnh Gia Lai", Tier.PROVINCE, UnitType.PROVINCE, None)
    communes = [Unit(UnitId(c), c, c, Tier.COMMUNE, UnitType.COMMUNE, top.id) for c in ("23557", "23617")]
    devices = [
        Device(DeviceId(f"{c.id}-L0{n}"), DeviceKind.LOUDSPEAKER, c.id, None, "loa-receiver", date(2024, 1, 1))
        for c in communes
        for n in (1, 2)
    ]
    units = {u.id: u for u in (top, *communes)}
    return Network(top.id, "Gia Lai", None, "127", units, {}, {}, {d.id: d for d in devices}, maintenance=works)


def test_announced_work_holds_for_its_unit_or_its_device() -> None:
    hours = (local(8, 0), local(11, 0))
    network = province(
        Maintenance(*hours, "Thay cột", unit=UnitId("23617")),
        Maintenance(*hours, "Thay sim", device=DeviceId("23557-L02")),
    )
    found = planned(network, date(2024, 10, 1))
    assert {d: [w.reason for w in windows] for d, windows in found.items()} == {
        "23617-L01": ["Thay cột"],
        "23617-L02": ["Thay cột"],
        "23557-L02": ["Thay sim"],
    }
    everywhere = planned(province(Maintenance(*hours, "Bão", unit=UnitId("64"))), date(2024, 10, 1))
    assert len(everywhere) == 4


# --- coming back ------------------------------------------------------------------------------------------------------


def test_what_was_lost_behind_a_modem_is_its_until_asked_and_for_a_grace() -> None:
    story = Story(OFFICE)
    story.sweep()
    story.until(START + timedelta(minutes=10), OFFICE)
    story.sweep(asked=[MODEM])
    assert {story.healths[d].cause for d in BEHIND} == {MODEM}
    assert story.healths[MODEM].state is State.UP
    slow = BEHIND[0]
    back = story.now
    story.sweep([slow])
    assert (story.healths[slow].state, story.healths[slow].cause) == (State.UNREACHABLE, MODEM)
    story.until(back + GRACE, [slow])
    story.sweep([slow])
    assert (story.healths[slow].state, story.healths[slow].cause) == (State.DOWN, None)
    assert story.alarmed == {(MODEM, AlarmKind.MODEM_DOWN), (slow, AlarmKind.DEVICE_DOWN)}


def test_stragglers_of_a_cell_stay_its_for_a_grace_after_most_are_back() -> None:
    fleet = {d: Member() for d in BEHIND}
    healths: Healths = {}
    now = START

    def play(silent: Iterable[DeviceId], sweeps: int) -> None:
        nonlocal healths, now
        for _ in range(sweeps):
            healths = assess(fleet, {d: Observation(d not in set(silent), "7") for d in fleet}, healths, now)
            now += timedelta(seconds=30)

    play([], 2)
    play(BEHIND, 20)
    play(BEHIND[:5], 10)
    assert {healths[d].cause for d in BEHIND[:5]} == {"cell:7"}, "most are still gone"
    play(BEHIND[:2], 6)
    assert {healths[d].cause for d in BEHIND[:2]} == {"cell:7"}
    play(BEHIND[:2], 1)
    assert {(healths[d].state, healths[d].cause) for d in BEHIND[:2]} == {(State.DOWN, None)}


# --- limits -----------------------------------------------------------------------------------------------------------

PROFILE = Profile("x", "x", (), (), (), limits={"temperature_c": Limit(None, 80), "rsrp_dbm": Limit(-115, None)})


def test_a_devices_own_limits_stand_in_place_of_its_profiles() -> None:
    limits = limits_of(PROFILE, [DeviceLimit("temperature_c", None, 60), DeviceLimit("rsrp_dbm")])
    assert faults(limits, {"temperature_c": 70.0, "rsrp_dbm": -120.0}) == ("temperature_c",)
    assert faults(limits_of(PROFILE, ()), {"temperature_c": 70.0, "rsrp_dbm": -120.0}) == ("rsrp_dbm",)


@pytest.mark.parametrize(
    ("before", "value", "expected"),
    [
        ((), 80.0, ()),
        ((), 80.5, ("temperature_c",)),
        (("temperature_c",), 79.0, ("temperature_c",)),
        (("temperature_c",), 78.0, ()),
    ],
)
def test_a_reading_at_its_limit_does_not_come_and_go(
    before: tuple[str, ...], value: float, expected: tuple[str, ...]
) -> None:
    assert faults(limits_of(PROFILE, ()), {"temperature_c": value}, before) == expected


def test_what_is_not_measured_is_no_fault() -> None:
    assert faults(limits_of(PROFILE, ()), {}, ("temperature_c",)) == ()


# --- properties -------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    pattern=st.lists(st.booleans(), min_size=1, max_size=60), asked=st.lists(st.booleans(), min_size=60, max_size=60)
)
def test_not_being_asked_says_nothing(pattern: list[bool], asked: list[bool]) -> None:
    """Sweeps that leave a device out change nothing about it, and memory stays small."""
    story, other = Story({ONE: Member()}), Story({ONE: Member()})
    for silent, out in zip(pattern, asked, strict=False):
        if out:
            story.now = other.now
            other_before = dict(other.healths)
            other.healths = assess(other.fleet, {}, other.healths, other.now)
            assert not other_before or other.healths == other_before
        now = other.now
        other.sweep([ONE] if silent else [])
        story.now = now
        story.sweep([ONE] if silent else [])
        assert story.healths == other.healths


@settings(max_examples=60, deadline=None)
@given(
    silences=st.lists(st.booleans(), min_size=1, max_size=80),
    start=st.datetimes(datetime(2024, 10, 1), datetime(2024, 10, 2)),  # noqa: DTZ001 (given its zone below)
)
def test_a_timer_never_makes_a_loss_earlier_and_never_hides_an_answer(silences: list[bool], start: datetime) -> None:
    begin = start.replace(tzinfo=TIMEZONE)
    plain, timed = Story({ONE: Member()}, begin, 300), Story({ONE: Member(off=NIGHT)}, begin, 300)
    for silent in silences:
        for story in (plain, timed):
            story.sweep([ONE] if silent else [])
        ours, theirs = timed.healths[ONE], plain.healths[ONE]
        assert ours.answering == theirs.answering
        if ours.state is State.DOWN:
            assert theirs.state is State.DOWN
            assert ours.since >= theirs.since
        assert replace(ours, state=theirs.state, since=theirs.since, cause=None, silent_since=None) == replace(
            theirs, cause=None, silent_since=None
        )
