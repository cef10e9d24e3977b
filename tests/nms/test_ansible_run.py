"""What a run's folder holds, and how it grows with the province."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from inventory.model import DeviceId, DeviceKind
from nms.provision import ansible, link
from nms.provision.ansible_words import Told
from nms.provision.reach import Target
from nms.provision.values import Family, Kind, Manifest, Outcome, Resource

SECRET = "m4t-kh4u"  # noqa: S105


def targets(count: int) -> list[Target]:
    key = Resource(Kind.FILE, "/etc/x.key", SECRET, "root:root 0600", secret=True)
    plain = Resource(Kind.FILE, "/etc/x.conf", "a = 1\n" * 500, "root:root 0644")
    found = []
    for n in range(count):
        device = DeviceId(f"{n:05d}-L01")
        manifest = Manifest(device, Family.LINUX, {one.key: one for one in (key, plain)})
        found.append(Target(device, f"127.1.{n // 250}.{n % 250 + 1}", "root", "ssh-ed25519 AAAA", manifest))
    return found


def around(folder: Path, forks: int = 10) -> ansible.Around:
    return ansible.Around(folder, folder / "key", lambda: datetime.now(UTC), {}, forks=forks)


def prepared(folder: Path, some: Sequence[Target], play: str) -> str:
    """What the run's inventory says."""
    ansible._prepare(folder, around(folder), some, lambda _: DeviceKind.LOUDSPEAKER, (play,), keep=True, within=60.0)
    return (folder / "inventory" / "hosts.yml").read_text()


@pytest.mark.parametrize("play", ["facts.yml", "confirm.yml"])
def test_secrets_are_only_where_they_are_sent(tmp_path: Path, play: str) -> None:
    text = prepared(tmp_path, targets(1), play)
    assert "file:/etc/x.key" in text
    assert SECRET not in text
    assert "a = 1" not in text


def test_a_change_has_all_of_it(tmp_path: Path) -> None:
    text = prepared(tmp_path, targets(1), "loudspeaker.yml")
    assert SECRET in text
    assert "a = 1" in text


def test_bytes_are_each_devices_own(tmp_path: Path) -> None:
    some = targets(12)
    prepared(tmp_path, some, "facts.yml")
    for n, target in enumerate(some):
        count = tmp_path / "count" / target.address
        (count / "1").write_bytes(link.COUNT.pack(n, 0))
        (count / "2").write_bytes(link.COUNT.pack(0, n))
    (tmp_path / "count" / some[3].address / f"3{link.NOT}").write_text("No route to host")
    found = [ansible._counted(tmp_path, target, Told(Outcome.APPLIED)) for target in some]
    assert [(one.sent, one.received) for one in found] == [(n, n) for n in range(12)]
    assert [one.unlinked for one in found] == ["No route to host" if n == 3 else "" for n in range(12)]


@pytest.mark.parametrize(("count", "turns"), [(1, 1), (10, 1), (11, 2), (5_000, 500)])
def test_a_run_has_more_time_the_more_turns_it_takes(tmp_path: Path, count: int, turns: int) -> None:
    assert around(tmp_path).patience(count, 30.0) == turns * (ansible.RUN + 30.0)
