"""A loudspeaker behind two NATs on a weak link: enrolled on the bench, carried to its hamlet, changed from the hub."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.enrol_kit import Province, until
from tests.lab.host import Host
from tests.lab.hub_kit import enrol, fresh, move, rollout, running
from tests.lab.link import WEAK_4G

DEVICE = "23557-L01"
ADDRESS = "10.184.10.1"
SETTINGS = "/etc/sysctl.d/90-loa.conf"
_KNOCK = "import socket, sys; assert socket.create_connection((sys.argv[1], 22), 3).recv(4) == b'SSH-'"

pytestmark = pytest.mark.slow


@pytest.fixture
def province(lab_image: Path) -> Iterator[Province]:
    with running() as made:
        yield made


def test_a_loudspeaker_behind_nat_is_planned_and_changed_through_its_tunnel(province: Province) -> None:
    lab = province.lab
    modem, speaker = lab.modem("23557-M01", link=WEAK_4G), fresh(province, 1, "SN-A")
    enrol(province, DEVICE, speaker)
    move(lab, speaker, behind=modem)
    assert nobody_gets_in(province, modem, speaker)
    until(lambda: answers(province), "the tunnel through both NATs")
    plan(province, expected=0)  # a plan costs bytes, too: print them
    differ(province, speaker)
    saved = province.folder / "mend.plan"
    text = plan(province, "-o", str(saved), expected=3)
    assert "-vm.dirty_writeback_centisecs = 9" in text
    assert "policy.b64" in text
    received, sent = speaker.bytes()
    done = province.loa("apply", str(saved))
    assert done.code == 0, done.out + done.err
    (one,) = rollout(province)["devices"]
    cable = [now - before for now, before in zip(speaker.bytes(), (received, sent), strict=True)]
    print(done.out)
    print(
        f"{DEVICE}: hub's count {one['sent']} B sent, {one['received']} B received; at its cable {cable[0]}, {cable[1]}"
    )
    assert one["outcome"] == "applied"
    assert one["sent"] < cable[0] < 2 * one["sent"] + 20_000  # with TCP's, the tunnel's, the monitor's own bytes
    assert one["received"] < cable[1]
    assert "= 9" not in speaker.read(SETTINGS)
    plan(province, expected=0)


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


def differ(province: Province, speaker: Host) -> None:
    """Somebody has changed a line by hand; and the root has signed the policies anew."""
    speaker.exec(["sed", "-i", "s/centisecs = .*/centisecs = 9/", SETTINGS])
    province.done("policies")
