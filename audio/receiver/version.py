"""Which program this is: the release, and the file that it runs from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from audio.receiver import VERSION

SHOWN = 12
"""Digits of the file's SHA-256."""


def running(module: Path = Path(__file__)) -> str:
    """``0.1.0+<digits>`` where the program runs from one file, as devices do; else the release alone.

    The digits are computed from the file: a device cannot tell a version that it does not run.
    """
    file = next((folder for folder in module.parents if folder.is_file()), None)
    if file is None:
        return VERSION
    return f"{VERSION}+{hashlib.sha256(file.read_bytes()).hexdigest()[:SHOWN]}"
