"""What is wanted is what is on the disk now; what has not changed is not made again, and is the same as if it were."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from inventory.model import DeviceId
from nms.provision.values import Manifest
from tests.tui.loa_command import Shell
from tests.tui.plan_town import Town
from tui.desired import Desired, Source

EVERY = [DeviceId(name) for name in ("24112-L01", "24112-L02", "24112-L03", "24109-L01", "24109-B01")]
CLUSTERS = EVERY[:4]


@pytest.fixture
def place(tmp_path: Path, shell: Shell) -> Town:
    made = Town(tmp_path, shell)
    made.write()
    return made


def now(source: Source) -> Desired:
    found = source.current()
    assert isinstance(found, Desired), found
    return found


def edit(place: Town, file: str, old: str, new: str) -> None:
    path = place.home / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_while_nothing_changes_it_is_the_very_same(place: Town) -> None:
    source = place.source()
    first = now(source)
    assert set(first.wanted(EVERY)) == set(CLUSTERS)
    assert now(source) is first


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("inventory/stations/24112-x.yaml", "day: 80", "day: 60"),
        ("inventory/stations/24112-x.yaml", "loudspeakers:\n", "# a comment moves the lines\nloudspeakers:\n"),
        ("inventory/stations/24112-x.yaml", "in_service: 2024-01-01", "in_service: 2025-01-01"),
        ("inventory/stations/24112-x.yaml", "in_service", "out_of_service: 2024-02-01, in_service"),
        ("inventory/network.yaml", "overlay: 127", "overlay: 11"),
        ("inventory/network.yaml", "2024-10-01", "2024-11-01"),
        ("playbooks/roles/receiver/templates/receiver.toml.j2", "volume", "loudness"),
    ],
)
def test_after_an_edit_it_is_as_if_read_for_the_first_time(place: Town, file: str, old: str, new: str) -> None:
    source = place.source()
    before = now(source).wanted(EVERY)
    edit(place, file, old, new)
    after, fresh = now(source), now(place.source())
    assert after.wanted(EVERY) == fresh.wanted(EVERY)
    assert after.inputs == fresh.inputs
    made = after.manifests(EVERY)
    assert {d: one.digest for d, one in made.items() if isinstance(one, Manifest)} == {
        d: one.whole for d, one in after.wanted(EVERY).items()
    }
    edit(place, file, new, old)
    assert now(source).wanted(EVERY) == before


def test_an_edit_of_one_device_leaves_the_others_digests(place: Town) -> None:
    source = place.source()
    before = now(source).wanted(EVERY)
    place.write(volume=60)
    after = now(source).wanted(EVERY)
    assert [d for d in CLUSTERS if after[d] != before[d]] == ["24112-L01"]


def test_a_host_is_reached_at_its_address_with_its_key(place: Town) -> None:
    key = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    edit(place, "inventory/stations/24112-x.yaml", "in_service", f"host_key: '{key}', in_service")
    desired = now(place.source())
    one = desired.manifests(CLUSTERS)[CLUSTERS[0]]
    assert isinstance(one, Manifest)
    target = desired.target(one)
    assert (target.address, target.user, target.host_key) == ("127.188.96.1", "root", key)


def test_mistakes_are_told_until_they_are_mended(place: Town) -> None:
    source = place.source()
    edit(place, "inventory/network.yaml", "overlay", "overlya")
    found = source.current()
    assert isinstance(found, tuple)
    assert {d.code for d in found} >= {"INV001"}
    edit(place, "inventory/network.yaml", "overlya", "overlay")
    assert now(source).wanted(CLUSTERS)
