"""Whole-process seconds of ``loa validate`` beside ``ansible-inventory --list`` of the same fleet, in the same run.

``python benchmarks/bench_validate.py [DEVICES…]``; by default 5,000 devices (budget 0.6 s) and 100,000 (12 s). The peer
reads the fleet as one static YAML inventory and is stopped after a minute.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.pace import tell_pace  # noqa: E402 - the checkout, not an installed copy
from inventory.ansible import to_ansible  # noqa: E402
from inventory.load import load  # noqa: E402

BUDGETS = {5_000: 0.6, 100_000: 12.0}
PEER_LIMIT = 60.0
RUNS = 5


def seconds(command: Sequence[str | Path], env: Mapping[str, str], limit: float | None = None) -> float | None:
    """Wall time of one process; None if it takes longer than ``limit``. Raises if it fails."""
    start = time.perf_counter()
    try:
        subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, check=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return None
    return time.perf_counter() - start


def static(listing: dict[str, Any]) -> dict[str, Any]:
    """The listing in the form of a static inventory file."""
    groups: dict[str, Any] = {
        name: {key: dict.fromkeys(members) for key, members in group.items()}
        for name, group in listing.items()
        if name not in ("_meta", "all")
    }
    return {"all": {"hosts": listing["_meta"]["hostvars"], "children": groups}}


def measure(devices: int, folder: Path) -> bool:
    """Prints one line for a fleet of that many devices; whether it stayed within its budget."""
    fleet = folder / str(devices)
    generator = [sys.executable, "-m", "tests.sim.province", "fleet", "--devices", str(devices), "--out", str(fleet)]
    subprocess.run(generator, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    network, diagnostics = load(fleet)
    if network is None:
        raise SystemExit(f"the generated fleet is not valid: {diagnostics[0]}")
    env = os.environ | {"HOME": str(folder), "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"), "LC_ALL": "C.UTF-8"}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    ours = min(_ours(fleet, env) for _ in range(RUNS if devices < 20_000 else 2))
    listing = to_ansible(network, network.on(date(2024, 10, 1)))
    path = folder / f"{devices}.yaml"
    with path.open("w", encoding="utf-8") as stream:
        yaml.dump(static(listing), stream, Dumper=yaml.CSafeDumper, allow_unicode=True)
    peer = seconds([Path(sys.executable).parent / "ansible-inventory", "-i", path, "--list"], env, PEER_LIMIT)
    files = sum(1 for _ in fleet.glob("*/*.yaml"))
    budget = BUDGETS.get(devices)
    print(
        f"{len(network.devices):>7} devices, {files} files: loa validate {ours:.2f} s"
        + (f" (budget {budget} s)" if budget else "")
        + (f", ansible-inventory {peer:.1f} s, ratio {peer / ours:.0f}" if peer else _skipped(ours))
    )
    return budget is None or ours <= budget


def _ours(fleet: Path, env: Mapping[str, str]) -> float:
    taken = seconds([sys.executable, "-m", "tui.cli", "--inventory", str(fleet), "validate"], env)
    assert taken is not None, "no limit was set"
    return taken


def _skipped(ours: float) -> str:
    return f", ansible-inventory stopped after {PEER_LIMIT:.0f} s, ratio above {PEER_LIMIT / ours:.0f}"


def main() -> int:
    sizes = [int(size) for size in sys.argv[1:]] or list(BUDGETS)
    with tempfile.TemporaryDirectory() as folder:
        tell_pace()
        return 0 if all([measure(size, Path(folder)) for size in sizes]) else 1


if __name__ == "__main__":
    sys.exit(main())
