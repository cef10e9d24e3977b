"""Waves, limits and where to stop, for whatever network and results there are."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.model import Device, DeviceId, DeviceKind, Network, Rollout, UnitId
from nms.provision.rollout import HARMED, Done, Stop, Wave, arrange, following
from nms.provision.rollout import Rollout as Plan
from nms.provision.values import Outcome

RESULTS = (
    Outcome.UNCHANGED,
    Outcome.APPLIED,
    Outcome.FAILED,
    Outcome.LOST,
    Outcome.RESTORED,
    Outcome.DEFERRED,
    Outcome.UNTOUCHED,
)


def network(devices: list[Device]) -> Network:
    return Network(UnitId("64"), "Gia Lai", None, "10", {}, {}, {}, {d.id: d for d in devices})


def device(name: str, profile: str = "loa-receiver", uplink: str | None = None) -> Device:
    kind = DeviceKind.MODEM if "-M" in name else DeviceKind.LOUDSPEAKER
    behind = DeviceId(uplink) if uplink else None
    return Device(DeviceId(name), kind, UnitId(name[:5]), None, profile, date(2024, 1, 1), uplink=behind)


def names(*ids: str) -> tuple[DeviceId, ...]:
    return tuple(DeviceId(i) for i in ids)


manners = st.builds(
    Rollout,
    canary=st.integers(0, 4),
    waves=st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple),
    limit=st.integers(0, 3),
)


@st.composite
def fleets(draw: st.DrawFn) -> list[Device]:
    modems = [device(f"24112-M{n:02d}", "rutos") for n in range(1, draw(st.integers(0, 4)) + 1)]
    speakers = []
    for n in range(1, draw(st.integers(0, 20)) + 1):
        uplink = draw(st.sampled_from([None, *(m.id for m in modems)]))
        profile = draw(st.sampled_from(["loa-receiver", "loa-board"]))
        speakers.append(device(f"24112-L{n:02d}", profile, uplink))
    return modems + speakers


@given(fleets(), manners)
def test_every_device_is_in_one_wave_of_the_inventorys_size(fleet: list[Device], manner: Rollout) -> None:
    waves = arrange(network(fleet), [d.id for d in fleet], manner)
    assert sorted(d for wave in waves for d in wave) == sorted(d.id for d in fleet)
    sizes = [manner.canary] * (manner.canary > 0) + [*manner.waves, *[manner.waves[-1]] * len(waves)]
    assert all(0 < len(wave) <= size for wave, size in zip(waves, sizes, strict=False))


@given(fleets(), manners)
def test_no_device_shares_a_wave_with_its_modem(fleet: list[Device], manner: Rollout) -> None:
    uplinks = {d.id: d.uplink for d in fleet}
    for wave in arrange(network(fleet), list(uplinks), manner):
        assert not {uplinks[d] for d in wave} & set(wave)


@given(fleets(), manners, st.data())
def test_nothing_begins_after_a_wave_that_harmed_more_than_the_limit(
    fleet: list[Device], manner: Rollout, data: st.DataObject
) -> None:
    rollout = Plan(arrange(network(fleet), [d.id for d in fleet], manner), manner.limit)
    results: dict[DeviceId, Outcome] = {}
    begun = []
    while isinstance(step := following(rollout, results), Wave):
        assert sum(o in HARMED for o in results.values()) <= manner.limit
        begun.append(step.devices)
        results |= {d: data.draw(st.sampled_from(RESULTS)) for d in step.devices}
    harmed = [d for d, outcome in results.items() if outcome in HARMED]
    assert isinstance(step, Stop) == (len(harmed) > manner.limit)
    assert len(harmed) <= manner.limit + (len(begun[-1]) if begun else 0)
    if manner.limit == 0:  # all harm was done by one wave, and it was the last
        assert set(harmed) <= set(begun[-1] if begun else ())
    untouched = {d.id for d in fleet} - results.keys()
    assert set(step.untouched) == untouched if isinstance(step, Stop) else not untouched


@given(fleets(), manners, st.data())
def test_it_goes_on_from_any_prefix_of_results_as_if_nothing_had_happened(
    fleet: list[Device], manner: Rollout, data: st.DataObject
) -> None:
    rollout = Plan(arrange(network(fleet), [d.id for d in fleet], manner), manner.limit)
    fate = {d.id: data.draw(st.sampled_from(RESULTS)) for d in fleet}
    whole = _carried_out(rollout, fate, {})
    order = [d for wave in rollout.waves for d in wave if d in whole]
    known = order[: data.draw(st.integers(0, len(order)))]
    cut = {d: whole[d] for d in known} | {d: Outcome.RUNNING for d in order[len(known) :][:1]}
    assert _carried_out(rollout, fate, cut).items() <= whole.items() | _stopped_earlier(rollout, cut, fate)


def _carried_out(
    rollout: Plan, fate: dict[DeviceId, Outcome], known: dict[DeviceId, Outcome]
) -> dict[DeviceId, Outcome]:
    results = dict(known)
    while isinstance(step := following(rollout, results), Wave):
        results |= {d: fate[d] for d in step.devices}
    return results


def _stopped_earlier(
    rollout: Plan, cut: dict[DeviceId, Outcome], fate: dict[DeviceId, Outcome]
) -> set[tuple[DeviceId, Outcome]]:
    """With half a wave's results already too many, its other half stays as the interruption left it."""
    return set(cut.items()) if isinstance(following(rollout, cut), Stop) else set()


def test_the_canary_is_the_first_device_and_no_modem_with_others_behind_it() -> None:
    fleet = [
        device("24112-M01", "rutos"),
        *(device(f"24112-L{n:02d}", uplink="24112-M01" if n > 3 else None) for n in range(1, 7)),
    ]
    waves = arrange(network(fleet), [d.id for d in fleet], Rollout(canary=2, waves=(10,)))
    assert waves[0] == names("24112-L01", "24112-M01")
    assert waves[1] == names("24112-L02", "24112-L03", "24112-L04", "24112-L05", "24112-L06")


def test_canaries_are_spread_over_profiles() -> None:
    fleet = [device(f"2411{n}-L01") for n in range(3)] + [device("24119-L07", "loa-board")]
    waves = arrange(network(fleet), [d.id for d in fleet], Rollout(canary=2, waves=(10,)))
    assert waves[0] == names("24110-L01", "24119-L07")


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.LOST, Outcome.RESTORED])
def test_what_harms(outcome: Outcome) -> None:
    rollout = Plan((names("1-L01"), names("1-L02")))
    assert following(rollout, {DeviceId("1-L01"): outcome}) == Stop(0, names("1-L01"), names("1-L02"))


@pytest.mark.parametrize("outcome", [Outcome.DEFERRED, Outcome.UNCHANGED, Outcome.APPLIED])
def test_what_does_not(outcome: Outcome) -> None:
    rollout = Plan((names("1-L01"), names("1-L02")))
    assert following(rollout, {DeviceId("1-L01"): outcome}) == Wave(1, names("1-L02"))
    assert following(rollout, dict.fromkeys(names("1-L01", "1-L02"), outcome)) == Done()
