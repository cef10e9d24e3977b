"""What a modem prints is read in a time that grows with its length: Python waits for nothing else meanwhile."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId
from nms.provision.drivers.provisioner import CliProvisioner
from nms.provision.drivers.session import Access
from nms.provision.drivers.uci import Uci
from nms.provision.reach import Target, Unreached
from nms.provision.values import Facts, Family, Manifest, Outcome, Result

LONG = {
    "keys": r'"\toption " + "key" * 300_000 + "\n"',
    "quotes": r'"\toption key " + "\'a\'" * 300_000 + "x\n"',
    "blanks": r'"\t" * 900_000 + "x\n"',
    "passwords": r'"/x add a" + "-pass" * 200_000 + "\n"',
    "openings": r'"/x add " + " psk=\"" * 150_000 + "\n"',
    "brackets": r'"/x add " + "[find " * 150_000 + "\n"',
    "equals": r'"/x add " + "a=" * 300_000 + "\"\n"',
    "hosts": r'"loa-host " * 100_000 + "\n"',
    "secrets": r'"password " * 100_000 + "\n"',
}
PROGRAM = """
from nms.provision.drivers.language import host, plain, recalled
from nms.provision.drivers.provisioner import DRIVERS
text = {text}
for driver in DRIVERS.values():
    driver.parse(text), driver.kept(text)
host(text), plain(text), recalled(text)
"""


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_a_megabyte_is_read(text: str) -> None:
    """In a process that can be ended: what is tried for too long took hours."""
    subprocess.run([sys.executable, "-c", PROGRAM.format(text=text)], check=True, timeout=120)


def test_a_section_with_an_odd_name_can_be_removed() -> None:
    """What Loa left there is the modem's own word."""
    commands = Uci().change({"network.x]": "interface"}, {"network.x]": None}, ())
    assert any("delete network.x]" in command for command in commands)


class Odd(CliProvisioner):
    """The first device has an answer that nobody thought of."""

    def _facts(self, target: Target) -> Facts:
        if target.device == "1-M01":
            raise IndexError("nobody thought of this")
        return Facts(target.device, self.clock())

    def _change(self, target: Target, within: float, keep: object) -> Result:
        return Result(self._facts(target).device, Outcome.APPLIED)

    def _confirm(self, target: Target) -> str:
        return self._facts(target).device


async def test_what_nobody_thought_of_is_one_devices_failure() -> None:
    async def keep(device: DeviceId, why: str, text: str) -> None:
        assert (device, text) == ("1-M02", "1-M02")

    targets = [
        Target(DeviceId(d), "127.0.0.1", "root", "ssh-ed25519 AAAA", Manifest(DeviceId(d), Family.UCI, {}))
        for d in ("1-M01", "1-M02")
    ]
    odd = Odd(Access(None, lambda _: None), lambda: datetime.now(UTC), keep)
    facts = {answer.device: answer async for answer in odd.facts(targets)}
    assert isinstance(facts[DeviceId("1-M01")], Unreached)
    assert isinstance(facts[DeviceId("1-M02")], Facts)
    results = {result.device: result.outcome async for result in odd.apply(targets, 60.0)}
    assert results == {"1-M01": Outcome.LOST, "1-M02": Outcome.APPLIED}  # nobody knows what became of the first
    confirmed = await odd.confirm(targets)
    codes = {d: why.code if isinstance(why, Diagnostic) else "" for d, why in confirmed.items()}
    assert codes == {"1-M01": "PLN315", "1-M02": ""}
