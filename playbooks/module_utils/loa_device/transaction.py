"""A change of many files and units that happens as a whole or not at all, and goes back by itself."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Callable

from . import guard, services
from .disk import Refused, full, make_folders, new_of, old_of, resolved, stage, sync_folder
from .journal import Change, FileStep, State, UnitStep

UNIT_FILES = ("/etc/systemd/", "/lib/systemd/", "/usr/lib/systemd/", "/run/systemd/")


class Source:
    """New content of a file: where to read it, whose it will be (``owner:group mode``)."""

    def __init__(self, opened: Callable[[], BinaryIO], attributes: str) -> None:
        self.opened = opened
        self.owner = resolved(attributes)

    @classmethod
    def of_bytes(cls, data: bytes, attributes: str) -> Source:
        return cls(lambda: io.BytesIO(data), attributes)

    @classmethod
    def of_file(cls, path: Path, attributes: str) -> Source:
        return cls(lambda: path.open("rb"), attributes)


def file_step(state: State, path: str, *, remove: bool = False) -> FileStep:
    """What replacing or removing ``path`` means here. Raises Refused where something else than a file is there."""
    place = state.at(path)
    missing = [str(p) for p in (place.parent, *place.parent.parents) if not p.exists()]
    made = ["/" + os.path.relpath(p, state.root) for p in reversed(missing)]
    try:
        found = place.lstat()
    except FileNotFoundError:
        return FileStep(path, remove, None, made)
    except NotADirectoryError:
        raise Refused("folder", f"{path}: a part of its path is not a folder") from None
    if stat.S_ISLNK(found.st_mode):
        raise Refused("symlink", f"{path} is a symbolic link to {place.readlink()}; remove it or put a file there")
    if not stat.S_ISREG(found.st_mode):
        raise Refused("folder", f"{path} is not a file; move it away")
    return FileStep(path, remove, [found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)], made)


def perform(
    state: State, change: Change, sources: Mapping[str, Source], applied: Mapping[str, Any], within: float
) -> None:
    """Makes the change, on probation for ``within`` seconds. On Refused everything is as it was."""
    _prepare(state, change, sources, applied, within)
    state.step("preparing", "committed")
    try:
        _forward(state, block=True)
        guard.arm(state, within)
    except (Refused, OSError) as error:
        _back(state, state.phase() or "committed", block=True)
        guard.disarm(state)
        raise _gone_back(error) from error


class WentBack(Refused):
    """It failed after it had begun, and was undone."""


def _gone_back(error: Exception) -> WentBack:
    return WentBack(error.reason if isinstance(error, Refused) else "io", str(error))


def _prepare(
    state: State, change: Change, sources: Mapping[str, Source], applied: Mapping[str, Any], within: float
) -> None:
    """New and old contents beside the files, so that nothing later needs room or a reader; the timer runs already."""
    state.begin()
    try:
        state.keep_change(change)
        for step in change.files:
            _lay_out(state, step, sources.get(step.path))
        for folder in {state.at(step.path).parent for step in change.files}:
            sync_folder(folder)
        state.write("preparing/applied.json", applied)
        guard.arm(state, within)
    except BaseException as error:
        _clear(state, "preparing")
        if isinstance(error, OSError) and full(error):
            raise Refused("disk_full", f"no room on the disk: {error.filename or error.strerror}") from error
        raise


def _lay_out(state: State, step: FileStep, source: Source | None) -> None:
    place = state.at(step.path)
    make_folders(place.parent)
    if step.old is not None:
        with place.open("rb") as file:
            stage(old_of(place), file, (os.geteuid(), os.getegid(), 0o600))
    if source is not None:
        with source.opened() as file:
            stage(new_of(place), file, source.owner)


def _forward(state: State, *, block: bool) -> None:
    """From ``committed`` to ``active``; may be done again and again."""
    change = state.change("committed")
    gone = [step.unit for step in change.units if step.want is None]
    for unit in gone:
        services.drop(unit, block=block)
    for step in change.files:
        place = state.at(step.path)
        if step.remove:
            place.unlink(missing_ok=True)
        elif new_of(place).exists():
            new_of(place).replace(place)
    _sync(state, change)
    if any(step.path.startswith(UNIT_FILES) for step in change.files):
        services.reload()
    for one in change.units:
        if one.want:
            services.bring(one.unit, one.want, restart=one.restart, block=block)
        elif one.want == "":
            services.restart_if_running(one.unit, block=block)
    if block:
        services.steady(one.unit for one in change.units if one.want and one.want.endswith("running"))
    state.step("committed", "active")


def _back(state: State, phase: str, *, block: bool) -> None:
    """Everything as it was before the change, which then is forgotten; may be done again and again."""
    if phase != "reverting":
        state.step(phase, "reverting")
    change = state.change("reverting")
    for one in change.units:
        if one.was is None and one.want is not None:
            _try(partial(services.drop, one.unit, block=block))
    for step in change.files:
        _restore(state, step)
    _sync(state, change)
    if any(step.path.startswith(UNIT_FILES) for step in change.files):
        _try(services.reload)
    for one in change.units:
        _try(partial(_as_before, one, block=block))
    _clear(state, "reverting")


def _as_before(step: UnitStep, *, block: bool) -> None:
    if step.was is None:
        return
    if step.want == "":
        services.restart_if_running(step.unit, block=block)
    else:
        services.bring(step.unit, step.was, restart=True, block=block)


def _try(action: Callable[[], None]) -> None:
    """Going back goes as far as it can: one unit that will not start does not keep the others from it."""
    try:
        action()
    except Refused as error:
        services.run(["logger", "--tag", "loa-state", f"going back: {error}"])


def _restore(state: State, step: FileStep) -> None:
    place = state.at(step.path)
    new_of(place).unlink(missing_ok=True)
    if step.old is None:
        place.unlink(missing_ok=True)
    elif old_of(place).exists():
        uid, gid, mode = step.old
        os.chown(old_of(place), uid, gid)
        old_of(place).chmod(mode)
        old_of(place).replace(place)


def _sync(state: State, change: Change) -> None:
    for folder in {state.at(step.path).parent for step in change.files}:
        if folder.is_dir():
            sync_folder(folder)


def _clear(state: State, phase: str) -> None:
    """No trace beside the files, and the change forgotten. Folders made for it go where they are empty."""
    change = state.change(phase)
    for step in change.files:
        new_of(state.at(step.path)).unlink(missing_ok=True)
        old_of(state.at(step.path)).unlink(missing_ok=True)
    if phase != "confirmed":
        _unmake(state, {folder for step in change.files for folder in step.made})
    state.throw_away(phase)


def _unmake(state: State, folders: Iterable[str]) -> None:
    for folder in sorted(folders, reverse=True):
        try:
            state.at(folder).rmdir()
        except OSError:
            continue  # somebody else uses it now


def confirm(state: State) -> None:
    """The change on probation stays. Raises Refused without one."""
    if state.phase() != "active":
        raise Refused("nothing", "no change is on probation; it may have gone back already: read the facts")
    state.step("active", "confirmed")
    _settle(state)
    guard.disarm(state)


def _settle(state: State) -> None:
    newest = state.folder / "confirmed/applied.json"
    if newest.exists():
        newest.replace(state.folder / "applied.json")
        sync_folder(state.folder)
    _clear(state, "confirmed")


def revert(state: State, *, block: bool = True) -> None:
    """Goes back from the change on probation. Raises Refused without one."""
    phase = state.phase()
    if phase not in ("active", "committed"):
        raise Refused("nothing", "no change is on probation")
    _back(state, phase, block=block)
    guard.disarm(state)


def recover(state: State, *, block: bool = True) -> None:
    """Finishes what was interrupted: ends in the old state, or in the new one on probation."""
    phase = state.phase()
    while phase not in (None, "active"):
        if phase == "committed":
            _finish(state, block=block)
        elif phase == "reverting":
            _back(state, "reverting", block=block)
        elif phase == "confirmed":
            _settle(state)
        else:
            _clear(state, phase)
        phase = state.phase()


def _finish(state: State, *, block: bool) -> None:
    try:
        _forward(state, block=block)
    except (Refused, OSError):
        _back(state, "committed", block=block)
