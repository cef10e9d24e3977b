"""What a modem prints is read in a time that grows with its length: Python waits for nothing else meanwhile."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
