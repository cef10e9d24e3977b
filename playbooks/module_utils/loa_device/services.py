"""Units through systemctl, packages through apt-get and dpkg."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence

from .disk import Refused

ON = frozenset({"enabled", "static", "alias", "generated"})
UP = frozenset({"active", "activating", "reloading"})
STATES = ("enabled running", "enabled stopped", "disabled running", "disabled stopped", "masked stopped")
VERBS = {"enabled": "enable", "disabled": "disable", "masked": "mask"}
SETTLE = 1.0
"""Seconds that a unit must keep running after its start; one that cannot read its settings ends sooner."""
PATIENCE = 120.0
"""Seconds for a unit to start or stop. Some try for ever, wg-quick for a name: they must not hold up the way back."""


def run(
    command: Sequence[str],
    *,
    text: str = "",
    environment: Mapping[str, str] | None = None,
    patience: float | None = None,
) -> tuple[int, str]:
    """Exit status and what was written; 127 when there is no such program, 124 when it took longer than ``patience``
    seconds."""
    env = {**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})}
    try:
        done = subprocess.run(
            list(command),
            input=text.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            check=False,
            timeout=patience,
        )
    except FileNotFoundError as error:
        return 127, str(error)
    except subprocess.TimeoutExpired:
        return 124, f"not done within {patience:.0f} s"
    return done.returncode, done.stdout.decode(errors="replace").strip()


def _shown(unit: str) -> dict[str, str]:
    wanted = "LoadState,ActiveState,SubState,UnitFileState,Result,ExecMainStatus"
    status, text = run(["systemctl", "show", "--property", wanted, unit])
    if status:
        raise Refused("service", f"{unit}: systemctl: {text}")
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def state(unit: str) -> str | None:
    """``enabled running``, ``disabled stopped`` and so on; ``masked stopped``; None where no such unit is installed."""
    found = _shown(unit)
    if found.get("LoadState") == "masked":
        return "masked stopped"
    if found.get("LoadState") != "loaded":
        return None
    enabled = "enabled" if found.get("UnitFileState") in ON else "disabled"
    failing = found.get("SubState") == "auto-restart"
    return f"{enabled} {'running' if found.get('ActiveState') in UP and not failing else 'stopped'}"


def parsed(text: str, unit: str) -> tuple[str, bool]:
    """``enabled``, ``disabled`` or ``masked``, and whether it should run. Raises Refused."""
    if text not in STATES:
        raise Refused("manifest", f"service {unit}: {text!r} is none of {', '.join(STATES)}")
    kept, runs = text.split()
    return kept, runs == "running"


def _do(verb: str, unit: str, *, block: bool = True) -> None:
    status, text = run(["systemctl", "--quiet", *([] if block else ["--no-block"]), verb, unit], patience=PATIENCE)
    if status:
        raise Refused("service", f"{verb} {unit}: {text.splitlines()[0] if text else status}{why(unit)}")


def why(unit: str) -> str:
    """How the unit ended, for people."""
    found = _shown(unit)
    own = f"_SYSTEMD_UNIT={unit}"  # its own words, not those of systemd about it
    _, line = run(["journalctl", "--quiet", "--no-pager", "--lines", "1", "--output", "cat", own])
    return f" ({found.get('Result', '?')}, status {found.get('ExecMainStatus', '?')}: {line[-200:]})"


def reload() -> None:
    """systemd reads its unit files again."""
    status, text = run(["systemctl", "daemon-reload"])
    if status:
        raise Refused("service", f"daemon-reload: {text}")


def bring(unit: str, text: str, *, restart: bool, block: bool) -> None:
    """The unit as ``text`` says, restarted if it runs anyway. Raises Refused."""
    kept, running = parsed(text, unit)
    found = state(unit)
    if found is None:
        raise Refused("service", f"{unit} is not installed")
    if not running:
        _do("stop", unit, block=block)
    if not found.startswith(kept):
        if found.startswith("masked"):
            _do("unmask", unit)
        _do(VERBS[kept], unit)
    if running:
        _do("restart" if restart else "start", unit, block=block)


def restart_if_running(unit: str, *, block: bool) -> None:
    _do("try-restart", unit, block=block)


def drop(unit: str, *, block: bool) -> None:
    """Neither enabled nor running any more; a unit that is not there is content."""
    if state(unit) is not None:
        _do("disable", unit)
        _do("stop", unit, block=block)


def steady(units: Iterable[str]) -> None:
    """Returns when every unit has kept running. Raises Refused for the first that has not."""
    watched = list(units)
    if watched:
        time.sleep(SETTLE)
    for unit in watched:
        found = state(unit)
        if found is None or not found.endswith("running"):
            raise Refused("service", f"{unit} does not keep running{why(unit)}")


def version(package: str) -> str | None:
    """Of an installed package; None otherwise."""
    status, text = run(["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Version}", package])
    words = text.split()
    return words[1] if status == 0 and len(words) == 2 and words[0] == "installed" else None


def install(packages: Mapping[str, str], options: Sequence[str]) -> None:
    """Packages, each with its version (empty: any), from the sources that ``options`` name. Raises Refused."""
    names = [f"{name}={wanted}" if wanted else name for name, wanted in packages.items()]
    _apt([*options, "update"])
    keep = ["-o", "Dpkg::Options::=--force-confold", "-o", "Dpkg::Options::=--force-confdef"]
    _apt([*options, *keep, "--yes", "--no-install-recommends", "install", *names])


def _apt(arguments: Sequence[str]) -> None:
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    status, text = run(
        ["apt-get", "-q", "-o", "APT::Update::Error-Mode=any", "-o", "DPkg::Lock::Timeout=60", *arguments],
        environment=quiet,
    )
    if status:
        last = [line for line in text.splitlines() if line.startswith(("E:", "W:"))] or text.splitlines()
        raise Refused("package", f"apt-get: {' '.join(last)[-500:]}")
