"""``python3 loa_state.pyz boot | expire``: what runs without the hub."""

from __future__ import annotations

import sys
from pathlib import Path

from . import guard, transaction
from .disk import Refused
from .journal import State

PATIENCE = 600.0
"""Seconds to wait for a run of the hub's to end."""


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
    phase = state.phase()
    if phase in ("committed", "active"):
        marker = state.folder / phase / "rebooted"
        if marker.exists():
            transaction.revert(state, block=False)
            return
        marker.touch()
    transaction.recover(state, block=False)
    if state.phase() == "active":
        guard.rearm(state)


def expire(state: State) -> None:
    """Goes back, unless the time was prolonged meanwhile."""
    if state.phase() in ("active", "committed") and guard.left(state) <= 0:
        transaction.revert(state)
