"""Health as a table of short stories, and what must hold for every story."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory.model import DeviceId
from nms.monitor.health import (
    FLAP_TURNS,
    GRACE,
    LOST,
    Cause,
    CauseKind,
    Health,
    Healths,
    Member,
    Observation,
    State,
    Window,
    assess,
    causes,
)

START = datetime(2024, 10, 1, 10, tzinfo=UTC)
SWEEP = timedelta(seconds=30)
MODEM = DeviceId("23557-M01")


def ids(count: int, first: int = 1) -> list[DeviceId]:
    return [DeviceId(f"23557-L{n:02d}") for n in range(first, first + count)]


def at(sweep: int) -> datetime:
    return START + sweep * SWEEP


def play(
    fleet: Mapping[DeviceId, Member],
    cells: Mapping[DeviceId, str],
    silences: Iterable[Iterable[DeviceId]],
    previous: Healths | None = None,
    first: int = 0,
) -> Healths:
    """One assessment per sweep; who is not silent answers and names its cell."""
    healths: Healths = previous or {}
    for n, silent in enumerate(silences, first):
        quiet = set(silent)
        seen = {d: Observation(d not in quiet, cells.get(d)) for d in fleet}
        healths = assess(fleet, seen, healths, at(n))
    return healths


def test_one_silence_changes_nothing_and_the_second_loses_the_device() -> None:
    device = ids(1)[0]
    fleet = {device: Member()}
    once = play(fleet, {}, [[], [device]])
    assert (once[device].state, once[device].misses) == (State.UP, 1)
    twice = play(fleet, {}, [[device]], once, first=2)
    assert (twice[device].state, twice[device].cause) == (State.DOWN, None)
    assert twice[device].since == at(1)
    back = play(fleet, {}, [[]], twice, first=3)
    assert (back[device].state, back[device].misses, back[device].since) == (State.UP, 0, at(3))


def test_a_device_never_heard_is_unknown_until_it_is_lost() -> None:
    device = ids(1)[0]
    assert play({device: Member()}, {}, [[device]])[device].state is State.UNKNOWN
    assert play({device: Member()}, {}, [[device], [device]])[device].state is State.DOWN


def test_a_device_that_was_not_asked_keeps_its_state() -> None:
    device = ids(1)[0]
    up = play({device: Member()}, {}, [[]])
    assert assess({device: Member()}, {}, up, at(5)) == up


def test_a_fault_degrades_and_is_named_and_an_answer_without_it_mends() -> None:
    device = ids(1)[0]
    fleet = {device: Member()}
    weak = assess(fleet, {device: Observation(True, faults=("rsrp_dbm", "temperature_c"))}, {}, at(0))
    assert (weak[device].state, weak[device].cause) == (State.DEGRADED, "rsrp_dbm, temperature_c")
    assert causes(weak) == ()
    assert play(fleet, {}, [[]], weak, first=1)[device].state is State.UP


def test_maintenance_silences_everything() -> None:
    device = ids(1)[0]
    kept = play({device: Member(maintenance=(Window(at(0), at(100)),))}, {}, [[], [device], [device], [device]])
    assert kept[device].state is State.MAINTENANCE
    assert causes(kept) == ()
    assert play({device: Member()}, {}, [[device]], kept, first=4)[device].state is State.UNKNOWN


def test_what_hangs_behind_a_lost_modem_is_unreachable_because_of_it() -> None:
    behind = ids(6)
    fleet = {MODEM: Member()} | {d: Member(uplink=MODEM) for d in behind}
    healths = play(fleet, {MODEM: "7"}, [[], fleet, fleet])
    assert healths[MODEM].state is State.DOWN
    assert {healths[d].state for d in behind} == {State.UNREACHABLE}
    assert causes(healths) == (Cause(MODEM, CauseKind.MODEM, tuple(sorted(fleet))),)


def test_a_device_lost_one_sweep_before_its_modem_raises_no_alarm_of_its_own() -> None:
    device = ids(1)[0]
    fleet = {MODEM: Member(), device: Member(uplink=MODEM)}
    between = play(fleet, {}, [[], [device], [device, MODEM]])
    assert between[device].state is State.UP
    after = play(fleet, {}, [[device, MODEM]], between, first=3)
    assert (after[device].state, after[device].cause) == (State.UNREACHABLE, MODEM)


def test_a_device_lost_behind_a_modem_that_answers_is_down_itself() -> None:
    device = ids(1)[0]
    fleet = {MODEM: Member(), device: Member(uplink=MODEM)}
    healths = play(fleet, {}, [[], [device], [device]])
    assert (healths[device].state, healths[device].cause) == (State.DOWN, None)


def test_a_device_that_answers_behind_a_lost_modem_is_up() -> None:
    device = ids(1)[0]
    healths = play({MODEM: Member(), device: Member(uplink=MODEM)}, {}, [[], [MODEM], [MODEM]])
    assert healths[device].state is State.UP


@pytest.mark.parametrize(("total", "lost", "shared"), [(5, 5, True), (4, 4, False), (10, 8, True), (10, 7, False)])
def test_nearly_all_devices_of_a_cell_lost_together_have_the_cell_as_cause(total: int, lost: int, shared: bool) -> None:
    devices = ids(total)
    fleet = {d: Member() for d in devices}
    gone = devices[:lost]
    healths = play(fleet, dict.fromkeys(devices, "1253633"), [[], gone, gone])
    expected = (State.UNREACHABLE, "cell:1253633") if shared else (State.DOWN, None)
    assert {(healths[d].state, healths[d].cause) for d in gone} == {expected}
    assert {healths[d].state for d in devices[lost:]} <= {State.UP}


def test_devices_lost_minutes_apart_were_not_lost_together() -> None:
    devices = ids(6)
    fleet = {d: Member() for d in devices}
    silences = [devices[: n // 4] for n in range(0, 32)]
    healths = play(fleet, dict.fromkeys(devices, "9"), silences)
    assert {h.state for h in healths.values()} == {State.DOWN}


def test_a_device_long_lost_keeps_its_own_cause_when_its_cell_goes() -> None:
    devices = ids(7)
    fleet = {d: Member() for d in devices}
    cells = dict.fromkeys(devices, "9")
    long_lost = play(fleet, cells, [[], *[[devices[0]]] * 20])
    healths = play(fleet, cells, [devices, devices], long_lost, first=21)
    assert healths[devices[0]].state is State.DOWN
    assert {healths[d].cause for d in devices[1:]} == {"cell:9"}


def test_a_modem_lost_with_its_cell_hands_the_cell_on_to_what_hangs_behind_it() -> None:
    direct, behind = ids(5), ids(4, first=50)
    fleet = {d: Member() for d in direct} | {MODEM: Member()} | {d: Member(uplink=MODEM) for d in behind}
    healths = play(fleet, dict.fromkeys([*direct, MODEM], "9"), [[], fleet, fleet])
    assert {(h.state, h.cause) for h in healths.values()} == {(State.UNREACHABLE, "cell:9")}
    assert causes(healths) == (Cause("cell:9", CauseKind.CELL, tuple(sorted(fleet))),)


def test_a_power_area_across_cells_is_told_from_the_cells() -> None:
    """Every device of the area is lost; of one cell all, of the other half: the area has taken more."""
    dark, lit = ids(10), ids(6, first=40)
    fleet = {d: Member(power_area="PC-622-03") for d in dark} | {d: Member() for d in lit}
    cells = dict.fromkeys(dark[:5], "1") | dict.fromkeys([*dark[5:], *lit], "2")
    healths = play(fleet, cells, [[], dark, dark])
    assert {healths[d].cause for d in dark} == {"power:PC-622-03"}
    assert [c.kind for c in causes(healths)] == [CauseKind.POWER]


def test_a_cell_across_power_areas_is_told_from_the_areas() -> None:
    gone, lit = ids(10), ids(10, first=40)
    fleet = {d: Member(power_area=f"PC-{n % 2}") for n, d in enumerate([*gone, *lit])}
    cells = dict.fromkeys(gone, "1") | dict.fromkeys(lit, "2")
    healths = play(fleet, cells, [[], gone, gone])
    assert {healths[d].cause for d in gone} == {"cell:1"}


def test_the_last_known_cell_survives_silence_and_a_restart() -> None:
    devices = ids(5)
    fleet = {d: Member() for d in devices}
    known = play(fleet, dict.fromkeys(devices, "9"), [[]])
    restored = {d: Health(h.state, h.since, cell=h.cell) for d, h in known.items()}
    healths = play(fleet, {}, [devices, devices], restored, first=9)
    assert {h.cause for h in healths.values()} == {"cell:9"}


def test_a_circle_of_uplinks_ends() -> None:
    first, second = ids(2)
    healths = play({first: Member(uplink=second), second: Member(uplink=first)}, {}, [[], ids(2), ids(2)])
    assert {h.state for h in healths.values()} == {State.UNREACHABLE}


# --- properties -------------------------------------------------------------------------------------------------------

DEVICES = ids(14)
MODEMS = [DeviceId(f"23557-M{n:02d}") for n in (1, 2)]


@st.composite
def stories(draw: st.DrawFn) -> tuple[dict[DeviceId, Member], dict[DeviceId, str], list[set[DeviceId]]]:
    everyone = DEVICES + MODEMS
    fleet = {
        d: Member(
            draw(st.sampled_from([None, None, *MODEMS])) if d in DEVICES else None,
            draw(st.sampled_from([None, "a", "b"])),
        )
        for d in everyone
    }
    cells = {d: draw(st.sampled_from(["1", "2"])) for d in everyone if fleet[d].uplink is None}
    outages = draw(st.lists(st.sets(st.sampled_from(everyone)) | st.just(set(everyone)), min_size=1, max_size=5))
    return fleet, cells, [s for outage in outages for s in [outage] * draw(st.integers(1, 3))]


@settings(max_examples=60, deadline=None)
@given(story=stories(), seed=st.integers(0, 2**16))
def test_the_order_of_devices_does_not_matter(
    story: tuple[dict[DeviceId, Member], dict[DeviceId, str], list[set[DeviceId]]], seed: int
) -> None:
    fleet, cells, silences = story
    shuffled = list(fleet.items())
    random.Random(seed).shuffle(shuffled)
    one, other = play(fleet, cells, silences), play(dict(shuffled), cells, silences)
    assert one == other
    assert causes(one) == causes(other)


@settings(max_examples=60, deadline=None)
@given(story=stories())
def test_every_loss_is_explained_and_no_answer_is_ever_a_loss(
    story: tuple[dict[DeviceId, Member], dict[DeviceId, str], list[set[DeviceId]]],
) -> None:
    fleet, cells, silences = story
    for length in range(1, len(silences) + 1):
        healths = play(fleet, cells, silences[:length])
        for device, health in healths.items():
            if device not in silences[length - 1]:
                assert health.state is (State.DEGRADED if health.flapping else State.UP)
            if health.state is State.UNREACHABLE:
                cause = health.cause
                assert cause is not None
                assert cause.startswith(("cell:", "power:")) or explains(healths[DeviceId(cause)], at(length - 1))
            assert len(health.turns) <= FLAP_TURNS + 1
        told = {d for d, h in healths.items() if h.state in LOST or h.flapping}
        assert sorted(told) == sorted(d for cause in causes(healths) for d in cause.affected)


def explains(modem: Health, now: datetime) -> bool:
    """It is lost, it flaps, it is silent again and undecided, or it has just come back."""
    back = modem.heard_since is not None and now - modem.heard_since < GRACE
    return modem.state in LOST or modem.flapping or modem.misses > 0 or back
