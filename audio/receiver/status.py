"""What the device is doing, in a file: whoever asks this machine by SNMP reads it there (``audio.receiver.snmp``)."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from pathlib import Path

from audio.documents import DocumentError, decode, encode

log = logging.getLogger(__name__)

NAME = "status.json"
EVERY = 10.0
"""Seconds between two writings while nothing begins or ends."""
STALE = 60.0
"""A file older than this (s) was left behind by a program that does not run any more."""


class State(IntEnum):
    """loaReceiverState of the MIB."""

    IDLE = 1
    PLAYING = 2
    MUTED = 3
    FAULT = 4


class Fault(IntFlag):
    """loaReceiverFaults of the MIB."""

    PROGRAM = 1
    SOUND = 2
    CLOCK = 4


@dataclass(frozen=True, slots=True)
class Status:
    """Level and temperature in tenths (dB below full scale, degrees Celsius), cache in KiB, clock error in ms.

    None is not measured here, or not known yet. ``volume`` is that of the sound, else the ceiling of the hour, percent.
    ``on_battery``: whether mains is lost.
    """

    state: int
    airing: str
    level: int | None
    cache: int
    clock_error: int | None
    volume: int
    temperature: int | None
    refused: int
    faults: int
    on_battery: bool | None


class StatusFile:
    """Keeps the file current; it need not outlive the machine, so it is renamed into place and not synced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = 0.0
        self._airing: str | None = None

    def keep(self, airing: str, make: Callable[[], Status]) -> None:
        """Writes what ``make`` says when another sound is on the air, and every ``EVERY`` seconds.

        What sounds goes on if it cannot be written: then it turns stale, and that is seen.
        """
        now = time.monotonic()
        if now < self._next and airing == self._airing:
            return
        self._next, self._airing = now + EVERY, airing
        part = self._path.with_name(self._path.name + ".new")
        try:
            part.write_bytes(encode(make()))
            part.replace(self._path)
        except OSError as error:
            log.error("the status is not written: %s", error)


def status_path(state: Path) -> Path:
    """In the folder that systemd makes for the running service (RuntimeDirectory=), else beside the rest."""
    folder = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(folder or state) / NAME


def read_status(path: Path, now: float) -> Status | None:
    """The status written last; None if the file is missing, older than ``STALE`` at ``now`` (Unix s) or broken."""
    try:
        if now - path.stat().st_mtime > STALE:
            return None
        return decode(Status, path.read_bytes())
    except (OSError, DocumentError):
        return None


def temperature(zones: Path = Path("/sys/class/thermal")) -> int | None:
    """Tenths of a degree in the hottest place that the kernel measures; None where it measures none."""
    found = []
    for sensor in zones.glob("thermal_zone*/temp"):
        try:
            found.append(int(sensor.read_text("ascii")) // 100)
        except (OSError, ValueError):
            continue
    return max(found, default=None)


def on_battery(supplies: Path = Path("/sys/class/power_supply")) -> bool | None:
    """Whether the machine runs on its battery; None where the kernel knows no battery.

    Batteries of what is plugged into it (scope ``Device``) are not its own. Of the mains the kernel says whether it is
    there (``online``); where it knows none, the battery says whether it is drained (sysfs-class-power).
    """
    known = [
        {name: _line(folder / name) for name in ("type", "scope", "online", "status")} for folder in supplies.glob("*")
    ]
    own = [supply for supply in known if supply["scope"] != "Device"]
    batteries = [supply["status"] for supply in own if supply["type"] in _BATTERIES]
    mains = [supply["online"] != "0" for supply in own if supply["type"] not in _BATTERIES and supply["online"]]
    if not batteries:
        return None
    if mains:
        return not any(mains)
    told = [status for status in batteries if status not in ("", "Unknown")]
    return "Discharging" in told if told else None


_BATTERIES = ("Battery", "UPS")


def _line(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
