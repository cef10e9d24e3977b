"""``python3 loa_state.pyz boot | expire``: what runs without the hub."""

from __future__ import annotations

import sys
from pathlib import Path

from . import guard, transaction
from .disk import Refused, sync_folder
from .journal import State

PATIENCE = 600.0
"""Seconds to wait for a run of the hub's to end."""
UNCONFIRMED = ("committed", "active")


def main(arguments: list[str] | None = None) -> None:
    """Exits with 0, or 1 and a sentence."""
    verb, *rest = sys.argv[1:] if arguments is None else arguments
    state = State(Path(rest[0]) if rest else Path("/"))
    try:
        with state.locked(PATIENCE):
            boot(state) if verb == "boot" else expire(state)
    except (Refused, OSError) as error:
        guard.fail(error)
        raise SystemExit(1) from error


def boot(state: State) -> None:
    """Old or new before anything starts. A change that is not confirmed goes on once, with its whole time; at the next
    reboot it goes back: it may be what makes the device restart."""
    try:
        _once_more(state)
    except (Refused, OSError):
        if state.phase() not in UNCONFIRMED:
            raise
        transaction.revert(state, block=False)  # without a mark or a timer, on a full disk, nothing else would do it


def _once_more(state: State) -> None:
    phase = state.phase()
    if phase in UNCONFIRMED:
        marker = state.folder / phase / "rebooted"
        if marker.exists():
            transaction.revert(state, block=False)
            return
        marker.touch()
        sync_folder(marker.parent)
    transaction.recover(state, block=False)
    if state.phase() == "active":
        guard.rearm(state)


def expire(state: State) -> None:
    """Goes back, unless the time was prolonged meanwhile; finishes what a run that was killed has left."""
    if guard.left(state) > 0:
        return
    if state.phase() in UNCONFIRMED:
        transaction.revert(state)
    else:
        transaction.recover(state)
