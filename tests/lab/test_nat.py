"""A loudspeaker behind two NATs on a weak link: enrolled on the bench, carried to its hamlet, changed from the hub."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.enrol_kit import Province, until
from tests.lab.host import Host
from tests.lab.hub_kit import enrol, following, fresh, kill, move, restart, rollout, running
from tests.lab.link import WEAK_4G

DEVICE = "23557-L01"
ADDRESS = "10.184.10.1"
SETTINGS = "/etc/sysctl.d/90-loa.conf"
TOUCHED = (SETTINGS, "/etc/loa-receiver/policy.b64")
_KNOCK = "import socket, sys; assert socket.create_connection((sys.argv[1], 22), 3).recv(4) == b'SSH-'"

pytestmark = pytest.mark.slow


@dataclass
class Place:
    """The loudspeaker at its place behind the modem, enrolled on the bench."""

    province: Province
    modem: Host
    speaker: Host


@pytest.fixture(scope="module")
def place(lab_image: Path) -> Iterator[Place]:
    with running() as province:
        modem, speaker = province.lab.modem("23557-M01", link=WEAK_4G), fresh(province, 1, "SN-A")
        enrol(province, DEVICE, speaker)
        move(province.lab, speaker, behind=modem)
        yield Place(province, modem, speaker)


def test_a_loudspeaker_behind_nat_is_planned_and_changed_through_its_tunnel(place: Place) -> None:
    province, speaker = place.province, place.speaker
    assert nobody_gets_in(province, place.modem, speaker)
    until(lambda: answers(province), "the tunnel through both NATs")
    before = speaker.bytes()
    plan(province, expected=0)
    print(f"{DEVICE}: a plan costs {used(speaker, before)} B at its cable")
    saved = changed(province, speaker)
    before = speaker.bytes()
    done = province.loa("apply", str(saved))
    assert done.code == 0, done.out + done.err
    (one,) = rollout(province)["devices"]
    cable = used(speaker, before)
    print(done.out)
    print(f"{DEVICE}: the hub counts {one['sent']} B sent, {one['received']} B received; its cable {cable}")
    assert one["outcome"] == "applied"
    assert one["sent"] < cable[0] < 2 * one["sent"] + 20_000  # with TCP's, the tunnel's, the monitor's own bytes
    assert one["received"] < cable[1]
    assert "= 9" not in speaker.read(SETTINGS)
    plan(province, expected=0)


def test_power_fails_at_the_hub_and_at_the_device_in_a_change_and_it_is_resumed(place: Place) -> None:
    province, speaker = place.province, place.speaker
    saved = changed(province, speaker)
    old = {name: speaker.read(name) for name in TOUCHED}
    client = following(province, "apply", str(saved))
    state = speaker.disk / "var/lib/loa/state"
    until(lambda: any((state / moment).is_dir() for moment in ("preparing", "committed", "active")), "a change")
    kill(province)
    speaker.cut()
    client.communicate(timeout=60)
    assert client.returncode == 1
    speaker.power_on()
    speaker.wait()
    speaker.exec(["systemctl", "is-system-running", "--wait"], check=False)
    assert len({speaker.read(name) == text for name, text in old.items()}) == 1  # old or new
    restart(province)
    until(lambda: answers(province), "the tunnel")
    until(lambda: rollout(province)["rollout"]["state"] in ("interrupted", "done"), "what was left")
    if rollout(province)["rollout"]["state"] == "interrupted":
        resumed = province.loa("apply", "--resume", rollout(province)["rollout"]["id"])
        assert resumed.code == 0, resumed.out + resumed.err
    assert [one["outcome"] for one in rollout(province)["devices"]] == ["applied"]
    plan(province, expected=0)


def used(speaker: Host, before: tuple[int, int]) -> list[int]:
    """What its cable has received and sent since then."""
    return [now - then for now, then in zip(speaker.bytes(), before, strict=True)]


def changed(province: Province, speaker: Host) -> Path:
    """A plan to mend what somebody did by hand, and to bring policies that the root has signed anew."""
    speaker.exec(["sed", "-i", "s/centisecs = .*/centisecs = 9/", SETTINGS])
    province.done("policies")
    saved = province.folder / "mend.plan"
    text = plan(province, "-o", str(saved), expected=3)
    assert "-vm.dirty_writeback_centisecs = 9" in text
    assert "policy.b64" in text
    return saved


def nobody_gets_in(province: Province, modem: Host, speaker: Host) -> bool:
    """Neither at the modem's address in the carrier's network nor at the device's own behind it."""
    return not any(answers(province, one.address) for one in (modem, speaker))


def answers(province: Province, address: str = ADDRESS) -> bool:
    """Whether the centre gets a connection for SSH there."""
    command = [sys.executable, "-c", _KNOCK, address]
    return province.lab.noc.run(command, check=False).returncode == 0


def plan(province: Province, *more: str, expected: int) -> str:
    found = province.loa("plan", f"device={DEVICE}", "--refresh", "--detailed-exitcode", *more)
    assert found.code == expected, found.out + found.err
    return found.out
