"""What is remembered of a change while it is under way: a folder whose name says how far it has come.

``preparing``  nothing of the machine was touched yet; new and old contents are being laid beside the files
``committed``  the new contents are taking their places; from here on a power cut ends in the new state
``active``     they are in place, on probation
``confirmed``  they stay; old contents are being thrown away
``reverting``  old contents are taking their places again
``done``       being thrown away

A step from one to the next is one rename, which needs no room on a full disk.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .disk import Refused, put, sync_folder

FOLDER = "var/lib/loa/state"
PHASES = ("preparing", "committed", "active", "confirmed", "reverting", "done")
PATIENCE = 10.0
"""Seconds to wait for another run to end."""


@dataclass(frozen=True)
class FileStep:
    """``path`` gets new content, or goes away. ``old``: user id, group id and mode of what was there; None if nothing
    was. ``made``: folders made for it, outermost first."""

    path: str
    remove: bool = False
    old: list[int] | None = None
    made: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class UnitStep:
    """``unit`` becomes ``want`` (None: goes away; empty: only restarted), having been ``was`` (None: not installed)."""

    unit: str
    want: str | None
    was: str | None
    restart: bool = False


@dataclass(frozen=True)
class Change:
    files: list[FileStep]
    units: list[UnitStep]


class State:
    """The folder in which the device remembers, below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / FOLDER

    def at(self, path: str) -> Path:
        """Where a path of the machine is."""
        return self.root / path.lstrip("/")

    @contextmanager
    def locked(self, patience: float = PATIENCE) -> Iterator[None]:
        """One run at a time. Raises Refused after ``patience`` seconds."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(handle, time.monotonic() + patience)
            yield
        finally:
            os.close(handle)

    def phase(self) -> str | None:
        """How far the change under way has come; None without one."""
        return next((phase for phase in reversed(PHASES) if (self.folder / phase).is_dir()), None)

    def step(self, before: str, after: str) -> None:
        """One rename, durable; everything written before it is durable as well."""
        os.sync()
        (self.folder / before).rename(self.folder / after)
        sync_folder(self.folder)

    def begin(self) -> Path:
        """A new change's folder. The machine is untouched until it is committed."""
        folder = self.folder / "preparing"
        folder.mkdir(mode=0o700)
        sync_folder(self.folder)
        return folder

    def write(self, name: str, value: Any) -> None:
        put(self.folder / name, json.dumps(value).encode())

    def read(self, name: str) -> Any:
        """The value, None if there is none. Raises Refused where it is not what was written."""
        try:
            return json.loads((self.folder / name).read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            raise Refused(
                "state", f"{self.folder / name} is damaged; restore it, or remove it and apply again"
            ) from None

    def change(self, phase: str) -> Change:
        """The change that is at ``phase``; an empty one when the power failed before it was written."""
        found = self.read(f"{phase}/change.json") or {"files": [], "units": []}
        return Change([FileStep(**one) for one in found["files"]], [UnitStep(**one) for one in found["units"]])

    def keep_change(self, change: Change) -> None:
        self.write("preparing/change.json", asdict(change))

    def applied(self) -> dict[str, dict[str, Any]]:
        """What Loa left here, by key: ``digest``, ``secret``, ``restarts``; of a change on probation already."""
        phase = self.phase()
        newest = self.read(f"{phase}/applied.json") if phase in ("committed", "active", "confirmed") else None
        found = newest if newest is not None else self.read("applied.json")
        return found or {}

    def throw_away(self, phase: str) -> None:
        """Forgets the change that is at ``phase``, which is under no name of ``PHASES`` but ``done`` meanwhile."""
        if phase != "done":
            self.step(phase, "done")
        shutil.rmtree(self.folder / "done")
        sync_folder(self.folder)


def _lock(handle: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Refused("busy", "another run on this device has not ended") from None
            time.sleep(0.05)
        else:
            return
