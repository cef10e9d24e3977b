"""Policies that say something else than the inventory, end or are missing are an alarm; new ones are handed out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audio import trust
from audio.policies import SOON, Lack, PolicyWatch, lacking
from audio.trust import Signed
from inventory.lines import SilentWindow
from inventory.model import TIMEZONE, DeviceId, Network, Trust, UnitId
from nms.alarm_store import open_alarms
from nms.moments import to_milliseconds
from nms.store import Store
from tests.audio.province import ON, WARD, network

NEW = UnitId("23557-2024")
L01 = DeviceId("23557-L01")
PHRASE = "mật khẩu dài"
NOW = datetime(ON.year, ON.month, ON.day, 12, tzinfo=TIMEZONE)
YEAR = timedelta(days=365)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Ed25519PrivateKey]:
    folder = tmp_path_factory.mktemp("trust") / "keys"
    trusted = trust.make_keys(folder, network(), PHRASE, ON)
    root = trust.load_key(folder, trust.ROOT, PHRASE)
    assert isinstance(trusted, Trust)
    assert isinstance(root, Ed25519PrivateKey)
    return replace(network(), trust=trusted), root


def signed(made: tuple[Network, Ed25519PrivateKey], at: datetime = NOW) -> tuple[Signed, ...]:
    province, root = made
    assert province.trust is not None
    return tuple(trust.policies(province, ON, province.trust, root, to_milliseconds(at)))


def exam(province: Network, begins: datetime) -> Network:
    """The province with an exam of two hours in the ward."""
    window = SilentWindow(begins, begins + timedelta(hours=2), "thi tốt nghiệp", WARD)
    return replace(province, grid=replace(province.grid, silent=(*province.grid.silent, window)))


def test_what_was_signed_today_lacks_nothing(made: tuple[Network, Ed25519PrivateKey]) -> None:
    frames = signed(made)
    assert len(frames) > 1
    assert lacking(made[0], frames, NOW) == {}


def test_an_exam_is_missing_on_the_devices_of_its_ward_until_it_is_over(
    made: tuple[Network, Ed25519PrivateKey],
) -> None:
    begins = NOW + timedelta(days=2)
    frames, province = signed(made), exam(made[0], begins)
    found = lacking(province, frames, NOW)
    assert L01 in found
    assert set(found.values()) == {Lack.OTHER}
    assert set(found) < {one.device for one in frames}
    assert lacking(province, signed((province, made[1])), NOW) == {}
    assert lacking(province, frames, begins + timedelta(hours=3)) == {}


def test_an_exam_that_was_signed_and_is_over_lacks_nothing(made: tuple[Network, Ed25519PrivateKey]) -> None:
    begins = NOW + timedelta(hours=1)
    frames = signed((exam(made[0], begins), made[1]))
    assert set(lacking(made[0], frames, NOW).values()) == {Lack.OTHER}
    assert lacking(made[0], frames, begins + timedelta(hours=2)) == {}


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (YEAR - SOON - timedelta(seconds=1), None),
        (YEAR - SOON, Lack.ENDING),
        (YEAR - timedelta(seconds=1), Lack.ENDING),
        (YEAR, Lack.UNSIGNED),
    ],
)
def test_its_end_is_told_a_month_before(
    made: tuple[Network, Ed25519PrivateKey], later: timedelta, expected: Lack | None
) -> None:
    frames = signed(made)
    found = lacking(made[0], frames, NOW + later)
    assert found == ({} if expected is None else {one.device: expected for one in frames})


def test_no_frame_a_torn_one_and_another_roots_are_none(made: tuple[Network, Ed25519PrivateKey]) -> None:
    first, second, third, *rest = signed(made)
    other = next(s for s in signed((made[0], Ed25519PrivateKey.generate())) if s.device == third.device)
    kept = [replace(second, frame=second.frame[:40]), other, *rest]
    assert lacking(made[0], kept, NOW) == {s.device: Lack.UNSIGNED for s in (first, second, third)}


def merging(province: Network, on: date) -> Network:
    """The ward becomes a part of its neighbour on that day."""
    units = {
        WARD: replace(province.units[WARD], valid_to=on),
        NEW: replace(province.units[WARD], id=NEW, valid_from=on, predecessors=(WARD,)),
    }
    return replace(province, units={**province.units, **units}, as_of=None)


def test_a_merge_that_nobody_signed_for_is_told_a_month_before(made: tuple[Network, Ed25519PrivateKey]) -> None:
    near, far = (ON + timedelta(days=days) for days in (20, 40))
    assert set(lacking(merging(made[0], near), signed(made), NOW).values()) == {Lack.OTHER}
    assert L01 in lacking(merging(made[0], near), signed(made), NOW)
    assert lacking(merging(made[0], far), signed(made), NOW) == {}
    merged = merging(made[0], near), made[1]
    for days in (0, 19, 20, 21):
        assert lacking(merged[0], signed(merged), NOW + timedelta(days=days)) == {}
    # and a merge that was called off
    assert L01 in lacking(replace(made[0], as_of=None), signed(merged), NOW)


async def test_the_policies_of_a_merge_are_handed_out_on_its_day(
    made: tuple[Network, Ed25519PrivateKey], tmp_path: Path
) -> None:
    path, given = tmp_path / "policies.bundle", []
    merge = ON + timedelta(days=20)
    merged = merging(made[0], merge), made[1]
    trust.write_bundle(path, signed(merged))
    midnight = datetime.combine(merge, time(), TIMEZONE)
    times = iter([NOW, NOW, midnight - timedelta(seconds=1), midnight, midnight + timedelta(days=1)])

    async def hand_out(frames: Mapping[str, bytes]) -> None:
        given.append(dict(frames))

    with Store.open(tmp_path / "loa.db") as store:
        now = [NOW]
        watch = PolicyWatch(trust.Bundle(path), store, lambda: merged[0], lambda: now[0], hand_out)
        for now[0] in times:
            await watch.look()
        assert given == [trust.in_force(signed(merged), merge)]
        assert await store.read(open_alarms) == ()


async def test_the_alarm_names_them_and_ends_when_they_are_signed_and_handed_out(
    made: tuple[Network, Ed25519PrivateKey], tmp_path: Path
) -> None:
    path, given = tmp_path / "policies.bundle", []
    province = exam(made[0], NOW + timedelta(days=2))

    async def hand_out(frames: Mapping[str, bytes]) -> None:
        given.append(dict(frames))

    trust.write_bundle(path, signed(made))
    with Store.open(tmp_path / "loa.db") as store:
        watch = PolicyWatch(trust.Bundle(path), store, lambda: province, lambda: NOW, hand_out)
        await watch.look()
        [alarm] = await store.read(open_alarms)
        assert (alarm.subject, alarm.kind, alarm.cause) == ("policies", "policies", Lack.OTHER)
        assert L01 in alarm.affected
        assert given == []
        renewed = signed((province, made[1]))
        trust.write_bundle(path, renewed)
        await watch.look()
        await watch.look()
        assert given == [trust.in_force(renewed, ON)]
        assert await store.read(open_alarms) == ()
