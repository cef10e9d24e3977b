"""A device that is a folder: its units are a JSON file, its power can fail at any step that reaches the disk.

systemd's own answers are tried on real hosts in ``tests/lab``; here is what it does, in memory, so that a change can be
cut hundreds of times.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from playbooks.module_utils.loa_device import boot, manifest, services, transaction
from playbooks.module_utils.loa_device.journal import State

ME = f"{pwd.getpwuid(os.getuid()).pw_name}:{grp.getgrgid(os.getgid()).gr_name}"
OWN = ("var/lib/loa/state", "etc/systemd/system/loa-state-recover.service")
"""What is Loa's own, and not the manifest's."""


def file(name: str, text: str, *, restarts: Sequence[str] = (), secret: bool = False, mode: str = "") -> dict[str, Any]:
    attributes = f"{ME} {mode or ('0600' if secret else '0644')}"
    return {
        "kind": "file",
        "name": name,
        "attributes": attributes,
        "text": text,
        "secret": secret,
        "restarts": list(restarts),
    }


def service(name: str, text: str = "enabled running") -> dict[str, Any]:
    return {"kind": "service", "name": name, "text": text}


def unit_file(name: str, text: str = "[Service]\n") -> dict[str, Any]:
    return file(f"/etc/systemd/system/{name}", text, restarts=[name])


class Machine:
    """``units``: enabled, running, times started; a unit is installed where its file is, or as part of the system."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, system: Sequence[str] = ()) -> None:
        self.root = root
        self.state = State(root)
        self.system = frozenset(system)
        self.units: dict[str, dict[str, Any]] = {}
        self.broken: set[str] = set()
        self.timer: float | None = None
        self.packages: dict[str, str] = {}
        self.commands: list[tuple[str, ...]] = []
        monkeypatch.setattr(services, "run", self.run)
        monkeypatch.setattr(services, "SETTLE", 0.0)
        monkeypatch.setattr(os, "sync", lambda: None)  # the disks of the machine that runs the tests have other work

    # --- what the hub does

    def apply(self, resources: Sequence[Mapping[str, Any]], within: float = 300.0) -> list[manifest.Difference]:
        wanted, secrets = self.sent(resources)
        with self.state.locked():
            return manifest.apply(self.state, manifest.read(wanted, secrets), {}, within)

    def sent(self, resources: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """As the hub sends a manifest: texts of secrets apart."""
        secrets = {f"{r['kind']}:{r['name']}": r["text"] for r in resources if r.get("secret")}
        return [{k: v for k, v in r.items() if k != "text" or not r.get("secret")} for r in resources], secrets

    def confirm(self) -> None:
        with self.state.locked():
            transaction.confirm(self.state)

    def expire(self) -> None:
        """The timer has run out."""
        assert self.timer is not None
        self.timer = None
        (self.state.folder / "deadline.json").unlink(missing_ok=True)
        with self.state.locked():
            boot.expire(self.state)

    def reboot(self) -> None:
        for unit in self.units.values():
            unit["running"] = False
        self.timer = None
        if (self.state.folder / "loa_state.pyz").exists():
            with self.state.locked():
                boot.boot(self.state)
        for name, unit in self.units.items():
            if unit["enabled"] and self._installed(name) and name not in self.broken:
                unit["running"] = True

    # --- what is there

    def tree(self) -> dict[str, tuple[str, int]]:
        """Every file that is not Loa's own, with content and mode."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if path.is_file() and not name.startswith(OWN) and name not in OWN:
                found[name] = (path.read_text(), path.stat().st_mode & 0o7777)
        return found

    def shown(self) -> dict[str, tuple[bool, bool]]:
        """The units that are enabled or running."""
        there = {n: (u["enabled"], u["running"]) for n, u in self.units.items() if self._installed(n)}
        return {n: both for n, both in there.items() if any(both) and n != "loa-state-recover.service"}

    # --- what systemd does

    def _installed(self, unit: str) -> bool:
        return unit in self.system or (self.root / "etc/systemd/system" / unit).is_file()

    def run(self, command: Sequence[str], **options: Any) -> tuple[int, str]:
        del options
        self.commands.append(tuple(command))
        program, *words = command
        plain = [w for w in words if not w.startswith("-")]
        if program == "systemctl" and words[0] == "show":
            return 0, self._show(words[-1])
        if program == "systemctl":
            return self._systemctl(plain)
        if program == "systemd-run":
            (given,) = [w for w in words if w.startswith("--on-active=")]
            self.timer = float(given.partition("=")[2].removesuffix("ms")) / 1000
        if program == "dpkg-query":
            version = self.packages.get(words[-1])
            return (0, f"installed {version}") if version else (1, "no packages found")
        if program == "apt-get" and "install" in words:
            for name in words[words.index("install") + 1 :]:
                if name not in self.system:
                    return 100, f"E: Unable to locate package {name}"
                self.packages[name] = "1.0-1"
        return 0, ""

    def _show(self, unit: str) -> str:
        if not self._installed(unit):
            return "LoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState="
        found = self.units.get(unit, {"enabled": False, "running": False})
        active = "active" if found["running"] else "inactive"
        kept = "enabled" if found["enabled"] else "disabled"
        return f"LoadState=loaded\nActiveState={active}\nSubState=running\nUnitFileState={kept}\nResult=exit-code"

    def _systemctl(self, words: Sequence[str]) -> tuple[int, str]:
        verb, *units = words
        for name in units:
            if name == "loa-state-expire-*.timer":
                self.timer = None
                continue
            if not self._installed(name):
                return 5, f"Unit {name} could not be found."
            unit = self.units.setdefault(name, {"enabled": False, "running": False, "starts": 0})
            if verb in ("enable", "disable"):
                unit["enabled"] = verb == "enable"
            elif verb == "stop":
                unit["running"] = False
            elif verb in ("restart", "start") or (verb == "try-restart" and unit["running"]):
                unit["starts"] += verb != "start" or not unit["running"]
                unit["running"] = name not in self.broken
        return 0, ""


class Cut(BaseException):
    """The power has failed: nothing reaches the disk any more."""


class Power:
    """Fails before the step number ``at`` that would reach the disk, and takes along what was not made durable.

    A file that was not synced is empty afterwards; of the entries of folders that were not synced the last ones, a
    random number of them, are as they were before.
    """

    STEPS = ("open", "fsync", "rename", "replace", "unlink", "mkdir", "rmdir", "chmod", "chown", "fchmod", "sync")

    def __init__(self, at: int, keep: Path) -> None:
        self.at, self.keep, self.done = at, keep, 0
        self.real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in self.STEPS}
        self.unsynced: dict[int, Path] = {}
        self.pending: list[tuple[Path, Callable[[], object]]] = []

    @contextmanager
    def on(self) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            for name in self.STEPS:
                patch.setattr(os, name, self._step(name))
            try:
                yield self
            except Cut:
                self._lose()

    def _step(self, name: str) -> Callable[..., Any]:
        def stepped(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:
                return self.real["open"](*args, **kwargs)
            self.done += 1
            if self.done >= self.at:
                raise Cut
            if "dir_fd" in kwargs and kwargs["dir_fd"] is not None:
                return self.real[name](*args, **kwargs)  # thrown away for good: no name of it is looked up again
            return getattr(self, f"_{name}", self.real[name])(*args, **kwargs)

        return stepped

    def _open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        new = not Path(path).exists()
        handle: int = self.real["open"](path, flags, mode)
        if flags & (os.O_WRONLY | os.O_RDWR):
            self.unsynced[handle] = Path(path)
        if new:
            self._later(Path(path).parent, lambda: Path(path).unlink(missing_ok=True))
        return handle

    def _fsync(self, handle: int) -> None:
        self.real["fsync"](handle)
        self.unsynced.pop(handle, None)
        folder = Path(f"/proc/self/fd/{handle}").readlink()
        self.pending = [entry for entry in self.pending if entry[0] != folder]

    def _sync(self) -> None:
        self.unsynced.clear()
        self.pending.clear()

    def _rename(self, source: Any, target: Any) -> None:
        kept = self._kept(Path(target))
        self.real["rename"](source, target)

        def undo() -> None:
            Path(target).rename(source)
            if kept is not None:
                os.link(kept, target)

        self._later(Path(target).parent, undo)

    _replace = _rename

    def _unlink(self, path: Any) -> None:
        kept = self._kept(Path(path))
        self.real["unlink"](path)
        if kept is not None:
            link = kept
            self._later(Path(path).parent, lambda: os.link(link, path))

    def _mkdir(self, path: Any, mode: int = 0o777) -> None:
        self.real["mkdir"](path, mode)
        self._later(Path(path).parent, lambda: shutil.rmtree(path))

    def _kept(self, path: Path) -> Path | None:
        if not path.is_file():
            return None
        kept = self.keep / str(self.done)
        os.link(path, kept)
        return kept

    def _later(self, folder: Path, undo: Callable[[], object]) -> None:
        self.pending.append((folder, undo))

    def _lose(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name in self.STEPS:
                patch.setattr(os, name, self.real[name])
            for path in self.unsynced.values():
                if path.exists():
                    os.truncate(path, 0)
            lost = random.Random(self.at).randint(0, len(self.pending))
            for _, undo in reversed(self.pending[len(self.pending) - lost :]):
                undo()


def saved(machine: Machine) -> str:
    return json.dumps({"units": machine.units, "packages": machine.packages})


def restored(machine: Machine, text: str) -> None:
    kept = json.loads(text)
    machine.units, machine.packages = kept["units"], kept["packages"]
