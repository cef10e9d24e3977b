"""What a client may ask of the hub about backups and a device's history; as in ``tui.methods``. Times are Unix
milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tui.apply_methods import Begun
from tui.methods import Method, Problem, Select


@dataclass(frozen=True, slots=True)
class BackedUp:
    """One device of a backup on demand. ``number``: of its last backup; ``new``: whether that says something new;
    ``problem``: why there is none."""

    device: str
    number: int = 0
    new: bool = False
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Which:
    """A device's backup; 0 is the last one."""

    device: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class BackupText:
    device: str
    number: int
    at: int
    why: str
    by: str
    text: str


@dataclass(frozen=True, slots=True)
class Restoration:
    """What putting a backup back would change: the text of a plan (``nms.provision.planfile``)."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Restore:
    """Put the backup back; refused when the device is not as it was shown (``known``, from the restoration's plan)."""

    device: str
    number: int
    known: str


@dataclass(frozen=True, slots=True)
class Device:
    device: str


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """Something that was done to a device. ``kind``: rollout, backup, or a record's; ``what``: its id or number;
    ``result``: an outcome, why a backup was kept; ``data``: what else is known."""

    at: int
    kind: str
    by: str
    what: str
    result: str = ""
    problem: Problem | None = None
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class History:
    """The newest last."""

    rows: tuple[HistoryRow, ...]


BACKUP = Method("backup", Select, BackedUp, stream=True)
"""Technicians of the area."""
BACKUP_TEXT = Method("backup.text", Which, BackupText)
RESTORATION = Method("restore.plan", Which, Restoration)
RESTORE = Method("restore", Restore, Begun)
"""Technicians of the area; goes on as a roll-out."""
HISTORY = Method("device.history", Device, History)
