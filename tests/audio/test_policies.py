"""Policies that say something else than the inventory, end or are missing are an alarm; new ones are handed out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audio import trust
from audio.policies import SOON, Lack, PolicyWatch, lacking
from inventory.lines import SilentWindow
from inventory.model import TIMEZONE, DeviceId, Network, Trust
from nms.alarm_store import open_alarms
from nms.store import Store, to_milliseconds
from tests.audio.province import ON, WARD, network

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


def signed(made: tuple[Network, Ed25519PrivateKey], at: datetime = NOW) -> dict[str, bytes]:
    province, root = made
    assert province.trust is not None
    return dict(trust.policies(province, ON, province.trust, root, to_milliseconds(at)))


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
    assert set(found) < set(frames)
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
    assert found == ({} if expected is None else dict.fromkeys(frames, expected))


def test_no_frame_a_torn_one_and_another_roots_are_none(made: tuple[Network, Ed25519PrivateKey]) -> None:
    frames = signed(made)
    first, second, third = list(frames)[:3]
    other = signed((made[0], Ed25519PrivateKey.generate()))
    kept = {d: f for d, f in frames.items() if d != first} | {second: frames[second][:40], third: other[third]}
    assert lacking(made[0], kept, NOW) == dict.fromkeys(map(DeviceId, (first, second, third)), Lack.UNSIGNED)


async def test_the_alarm_names_them_and_ends_when_they_are_signed_and_handed_out(
    made: tuple[Network, Ed25519PrivateKey], tmp_path: Path
) -> None:
    path, given = tmp_path / "policies.bundle", []
    province = exam(made[0], NOW + timedelta(days=2))

    async def hand_out(frames: Mapping[str, bytes]) -> None:
        given.append(dict(frames))

    def write(frames: dict[str, bytes]) -> None:
        trust.write_bundle(path, [(DeviceId(d), f) for d, f in frames.items()])

    write(signed(made))
    with Store.open(tmp_path / "loa.db") as store:
        watch = PolicyWatch(trust.Bundle(path), store, lambda: province, lambda: NOW, hand_out)
        await watch.look()
        [alarm] = await store.read(open_alarms)
        assert (alarm.subject, alarm.kind, alarm.cause) == ("policies", "policies", Lack.OTHER)
        assert L01 in alarm.affected
        assert given == []
        renewed = signed((province, made[1]))
        write(renewed)
        await watch.look()
        await watch.look()
        assert given == [renewed]
        assert await store.read(open_alarms) == ()
