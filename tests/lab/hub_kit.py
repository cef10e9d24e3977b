"""What tests of a whole hub in the lab share: a province that runs, hosts that move, devices that know the hour."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from nms.provision.bench import fingerprint_of
from tests.lab.enrol_kit import Province, until
from tests.lab.host import CABLE, Host
from tests.lab.lab import Lab
from tests.lab.link import Link

MOVED: Final = 100
"""Added to a host's number, for the network at its new place."""
_HOUR: Final = """\
[Service]
ExecStartPre=/bin/sh /usr/local/lib/hour
ExecStart=
ExecStart=/usr/bin/python3 -m audio.receiver --config /run/loa-receiver/hour.toml
"""
_SETTINGS: Final = """\
sed '/^output = /d' /etc/loa-receiver/receiver.toml >/run/loa-receiver/hour.toml
cat >>/run/loa-receiver/hour.toml <<END
output = "file:/var/lib/loa-receiver/sound"
clock = "{shift}"
END
"""


@contextmanager
def running(**given: Any) -> Iterator[Province]:
    """A lab with a hub at its centre; ``given``: fields of ``Province``."""
    with Lab() as lab, tempfile.TemporaryDirectory(prefix="loa-h-") as folder:
        made = Province(lab, Path(folder), **given)
        try:
            made.prepare()
            made.start()
            yield made
        finally:
            made.close()


def fresh(province: Province, number: int, serial: str) -> Host:
    """A factory-fresh host on the bench: it has no address of the overlay."""
    host = province.lab.host(f"bench-{number}", address=f"198.18.5.{number}", serial=serial)
    host.wait()
    return host


def enrol(province: Province, device: str, host: Host) -> None:
    """As a technician does at the bench; the hub then takes the inventory that it has changed."""
    known = fingerprint_of(host.host_key)
    answer = province.loa("enroll", device, "--host", host.address, "--fingerprint", known)
    assert answer.code == 0, answer.out + answer.err + log(province)[-3000:]
    province.reload()


def move(lab: Lab, host: Host, link: Link | None = None, behind: Host | None = None) -> None:
    """Unplugs the host and carries it to a carrier's cell, or behind a modem; it boots there."""
    host.cut()
    host.space.run(["ip", "link", "delete", CABLE])
    number = MOVED + lab.hosts.index(host) + 1
    if behind is not None:
        gateway = lab._lans[behind.name]
        wiring, made = lab._network.behind(behind.space, host.space, number, gateway, link)
    else:
        wiring, made = lab._network.carried(host.space, number, link)
    host._wiring, host._link = wiring, made
    host.power_on()
    host.wait()


def tell_the_hour(host: Host, shift: str) -> None:
    """From its next start on the receiver lives by the shifted clock, and writes its sound to a file."""
    host.write("/etc/systemd/system/loa-receiver.service.d/hour.conf", _HOUR)
    host.write("/usr/local/lib/hour", _SETTINGS.format(shift=shift))
    host.exec(["systemctl", "daemon-reload"])


def following(province: Province, *arguments: str) -> subprocess.Popen[str]:
    """A verb that is still running when this returns."""
    command = [sys.executable, "-m", "tui.cli", "--as", "lan", *arguments]
    return subprocess.Popen(
        command, env=province.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def restart(province: Province) -> None:
    """The hub ends as by a power cut, and starts again with the settings of now."""
    kill(province)
    with (province.folder / "hub.log").open("ab") as log:
        province.processes["hub"] = province.lab.noc.popen(
            [sys.executable, "-m", "tui.cli", "serve"], env=province.environment, stdout=log, stderr=log
        )
    until((province.state / "hub.sock").is_socket, "the hub")


def kill(province: Province) -> None:
    """The hub, by SIGKILL."""
    province.processes["hub"].kill()
    province.processes["hub"].wait()
    (province.state / "hub.sock").unlink(missing_ok=True)


def rollout(province: Province) -> Mapping[str, Any]:
    """The last one."""
    last = json.loads(province.done("rollouts", "--json"))["rollouts"][0]["id"]
    found: Mapping[str, Any] = json.loads(province.loa("rollouts", last, "--json").out)
    return found


def log(province: Province) -> str:
    return (province.folder / "hub.log").read_text()
