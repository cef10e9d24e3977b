"""``make fuzz``: every harness for its share of the time, as many at once as there are processors, a line for each."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tests.fuzz.harness import CORPUS

FOLDER: Final = Path("build/fuzz")
GRACE: Final = 120
"""Seconds beyond its share after which a worker that does not end is ended."""


@dataclass(frozen=True, slots=True)
class Summary:
    """``broken``: the worker did not come to its end; ``faults``: the inputs that failed."""

    name: str
    inputs: int
    accepted: int
    coverage: str
    new: int
    faults: tuple[Path, ...]
    broken: bool

    def __str__(self) -> str:
        share = 100 * self.accepted // max(1, self.inputs)
        verdict = "no fault" if not self.faults else f"{len(self.faults)} FAULTS"
        text = f"{self.name:16} {self.inputs:9,} inputs  {share:2d} % accepted  {self.coverage}  {verdict}"
        return f"{text}  WORKER FAILED, see {FOLDER / self.name}/log" if self.broken else text


def fuzz(name: str, seconds: int) -> Summary:
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.fuzz.worker", name, str(seconds), str(folder)]
    with (folder / "log").open("wb") as log:
        try:
            code = subprocess.run(
                command, stdout=log, stderr=subprocess.STDOUT, timeout=seconds + GRACE, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
    state = json.loads((folder / "state.json").read_text()) if (folder / "state.json").exists() else {}
    coverage = re.findall(r"cov: (\d+)", (folder / "log").read_text(errors="replace"))
    faults = [p for p in folder.iterdir() if re.match(r"(crash|timeout|oom|slow|leak)-", p.name) and p.suffix != ".txt"]
    return Summary(
        name,
        state.get("inputs", 0),
        state.get("accepted", 0),
        f"coverage {coverage[0]} -> {coverage[-1]}" if coverage else "BLIND: coverage unknown",
        len(list((folder / "found").iterdir())) if (folder / "found").exists() else 0,
        tuple(sorted(faults)),
        code != 0 or not state.get("inputs"),
    )


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=600, help="of all harnesses together")
    seconds = parser.parse_args().seconds
    names = sorted(path.name for path in CORPUS.iterdir() if path.is_dir())
    workers = min(os.cpu_count() or 1, len(names))
    share = max(1, seconds // -(-len(names) // workers))
    if find_spec("atheris") is None:
        print("fuzz: atheris is not here (it needs Python < 3.13): blind mutation, which finds less", file=sys.stderr)
    print(f"fuzz: {len(names)} harnesses, {share} s each, {workers} at once")
    with ThreadPoolExecutor(workers) as pool:
        summaries = []
        for summary in pool.map(lambda name: fuzz(name, share), names):
            print(summary, flush=True)
            summaries.append(summary)
    for fault in (fault for summary in summaries for fault in summary.faults):
        print(f"fuzz: {fault}")
    if any(summary.new for summary in summaries):
        print("fuzz: to keep what reached something new: .venv/bin/python -m tests.fuzz.keep")
    return int(any(summary.faults or summary.broken for summary in summaries))


if __name__ == "__main__":
    sys.exit(main())
