"""Which process polls which device: all are polled, none twice, and few move when the number changes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.model import Device, DeviceId, DeviceKind, Network, Tier, Unit, UnitId, UnitType
from nms.monitor.health import Health, Member, State, assess
from nms.monitor.parts import Part, whole
from nms.monitor.shards import WHOLE, Shard, group, home, homes, parse, part
from nms.store.ownership import MOST_SHARDS

NOW = datetime(2024, 10, 1, 10, 0, tzinfo=UTC)
PROVINCE = Unit(UnitId("64"), "64", "Gia Lai", Tier.PROVINCE, UnitType.PROVINCE, None)


def device(name: str, uplink: str | None = None) -> Device:
    kind = DeviceKind.MODEM if "-M" in name else DeviceKind.LOUDSPEAKER
    above = DeviceId(uplink) if uplink is not None else None
    return Device(DeviceId(name), kind, UnitId("64"), None, "rutos", date(2024, 1, 1), uplink=above)


def network(*devices: Device) -> Network:
    found = MappingProxyType({d.id: d for d in devices})
    return Network(PROVINCE.id, "Gia Lai", None, "10", {PROVINCE.id: PROVINCE}, {}, {}, found)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Devices with uplinks to each other in any way, also in circles and to modems that are not there."""
    names = [f"{unit}-{kind}{n:02}" for unit in range(100, 110) for kind in "LM" for n in (1, 2)]
    chosen = draw(st.lists(st.sampled_from(names), unique=True, max_size=30))
    modems = st.sampled_from([n for n in names if "-M" in n])
    return network(*(device(name, draw(st.none() | modems)) for name in chosen))


COUNTS = st.integers(1, 40)


@given(networks(), COUNTS)
def test_the_parts_together_are_the_fleet_and_share_nothing(fleet: Network, count: int) -> None:
    parts = [part(fleet, Shard(i, count)).devices for i in range(1, count + 1)]
    assert Counter(d for p in parts for d in p) == Counter(list(fleet.devices))


@given(networks(), COUNTS)
def test_a_modem_and_what_hangs_behind_it_are_one_part(fleet: Network, count: int) -> None:
    where = homes(fleet.devices, count)
    for one in fleet.devices.values():
        if one.uplink is not None and one.uplink in fleet.devices:
            assert where[one.id] == where[one.uplink]


@given(networks(), COUNTS)
def test_another_number_gives_every_device_one_place_and_moves_only_what_must(fleet: Network, count: int) -> None:
    before, after = homes(fleet.devices, count), homes(fleet.devices, count + 1)
    assert before.keys() == after.keys() == fleet.devices.keys()
    for one, shard in after.items():
        assert shard.index in (before[one].index, count + 1)


@given(networks(), COUNTS, st.randoms())
def test_the_order_of_the_inventory_and_other_devices_change_nothing(
    fleet: Network, count: int, random: st.DataObject
) -> None:
    names = list(fleet.devices)
    random.shuffle(names)  # type: ignore[attr-defined]
    assert homes({n: fleet.devices[n] for n in names}, count) == homes(fleet.devices, count)
    more = {**fleet.devices, DeviceId("999-L01"): device("999-L01")}
    assert {d: s for d, s in homes(more, count).items() if d in fleet.devices} == homes(fleet.devices, count)


def test_places_are_the_same_on_every_machine_and_in_every_version() -> None:
    assert [home(f"{n}-M01", 4).index for n in range(23551, 23559)] == [2, 4, 2, 2, 4, 4, 2, 3]


def test_parts_are_about_equal() -> None:
    sizes = Counter(home(f"{n}-M{m:02}", 4) for n in range(23000, 23500) for m in range(1, 11))
    assert all(1150 < size < 1350 for size in sizes.values())


def test_a_circle_of_modems_is_one_group() -> None:
    fleet = network(
        device("1-M01", "1-M02"), device("1-M02", "1-M03"), device("1-M03", "1-M01"), device("1-L01", "1-M02")
    )
    assert {group(fleet.devices, d) for d in fleet.devices} == {"1-M01"}


@pytest.mark.parametrize(("text", "shard"), [("1/1", WHOLE), ("2/4", Shard(2, 4)), ("1024/1024", Shard(1024, 1024))])
def test_a_part_is_read_as_it_is_written(text: str, shard: Shard) -> None:
    assert parse(text) == shard
    assert str(shard) == text


@pytest.mark.parametrize(
    "text", ["", "1", "0/4", "5/4", "1/0", "-1/4", "1/4/4", "a/b", " 1/4", "01/4", f"1/{MOST_SHARDS + 1}", "١/٤"]
)
def test_what_is_no_part_is_none(text: str) -> None:
    assert parse(text) is None


# --- the whole -----------------------------------------------------------------------------------------------------

CELL = [DeviceId(f"{n}-M01") for n in range(105, 115)]
"""Ten modems on one cell, in several parts."""
MEMBERS = dict.fromkeys(CELL, Member())
WHERE = {d: home(d, 4) for d in CELL}


def told(*missed: int, swept: datetime = NOW) -> list[Part]:
    return [Part(Shard(i, 4), swept, i in missed, "host pid 1", {}) for i in range(1, 5)]


def up(cell: str | None = "7") -> Health:
    return Health(State.UP, NOW - timedelta(hours=1), cell=cell, heard_since=NOW - timedelta(hours=1))


def down(cause: str | None = None) -> Health:
    state = State.UNREACHABLE if cause else State.DOWN
    since = NOW - timedelta(minutes=2)
    return Health(state, since, cause, 2, "7", since)


def test_a_cell_that_no_part_sees_enough_of_is_named_by_the_whole() -> None:
    assert max(Counter(WHERE.values()).values()) < 5
    healths = whole(MEMBERS, dict.fromkeys(CELL, down()), {}, told(), WHERE, NOW)
    assert {(h.state, h.cause) for h in healths.values()} == {(State.UNREACHABLE, "cell:7")}


def test_a_cell_that_a_part_blames_wrongly_is_not_blamed_by_the_whole() -> None:
    """One part lost all it has of the cell, but most of the cell's devices are well."""
    more = [DeviceId(f"{n}-M01") for n in range(200, 240)]
    written = dict.fromkeys(CELL, down("cell:7")) | dict.fromkeys(more, up())
    where = WHERE | {d: home(d, 4) for d in more}
    healths = whole(dict.fromkeys(written, Member()), written, {}, told(), where, NOW)
    assert {(healths[d].state, healths[d].cause) for d in CELL} == {(State.DOWN, None)}


def test_what_the_whole_has_blamed_stays_blamed_through_the_grace() -> None:
    before = whole(MEMBERS, dict.fromkeys(CELL, down()), {}, told(), WHERE, NOW)
    later = NOW + timedelta(seconds=30)
    back = replace(up(), since=later, heard_since=later)
    written = dict.fromkeys(CELL, back) | dict.fromkeys(CELL[:1], down())
    after = whole(MEMBERS, written, before, told(), WHERE, later)
    assert (after[CELL[0]].state, after[CELL[0]].cause) == (State.UNREACHABLE, "cell:7")


def test_a_part_that_is_missed_is_unknown_and_explains_nothing() -> None:
    missed = WHERE[CELL[0]]
    swept = NOW - timedelta(minutes=5)
    healths = whole(MEMBERS, dict.fromkeys(CELL, up()), {}, told(missed.index, swept=swept), WHERE, NOW)
    for one, health in healths.items():
        if WHERE[one] == missed:
            assert (health.state, health.cause, health.since) == (State.UNKNOWN, f"shard:{missed}", swept)
        else:
            assert health.state is State.UP


def test_planned_work_stays_what_its_part_says() -> None:
    work = Health(State.MAINTENANCE, NOW - timedelta(hours=1), "thay ắc quy", cell="7")
    healths = whole(MEMBERS, dict.fromkeys(CELL, up()) | {CELL[0]: work}, {}, told(), WHERE, NOW)
    assert (healths[CELL[0]].state, healths[CELL[0]].cause) == (State.MAINTENANCE, "thay ắc quy")


@given(st.lists(st.sampled_from(["up", "down", "modem"]), min_size=len(CELL), max_size=len(CELL)))
def test_the_whole_of_parts_is_what_one_monitor_would_say(states: list[str]) -> None:
    """Parts write devices by themselves; the whole picture is the one that a single process gets of the same fleet."""
    behind = {DeviceId(d.replace("M", "L")): Member(uplink=d) for d in CELL}
    members = MEMBERS | behind
    written: dict[DeviceId, Health] = {}
    for modem, state in zip(CELL, states, strict=True):
        speaker = DeviceId(modem.replace("M", "L"))
        written[modem] = up() if state == "up" else down()
        written[speaker] = replace(up(None), cell=None) if state != "modem" else replace(down(modem), cell=None)
    where = {d: home(m.uplink or d, 4) for d, m in members.items()}
    alone = assess(members, {}, {d: replace(h, cause=None) for d, h in written.items()}, NOW)
    together = whole(members, written, {}, told(), where, NOW)
    assert {d: (h.state, h.cause) for d, h in together.items()} == {d: (h.state, h.cause) for d, h in alone.items()}
