"""Fuzzes one harness for some seconds: ``worker HARNESS SECONDS FOLDER``; by coverage with atheris, else blindly.

Faults are saved in the folder, each input beside its traceback, and do not end the run; an input that hangs does
(libFuzzer saves it as ``timeout-*``). ``state.json`` says how far it came.
"""

from __future__ import annotations

import gc
import hashlib
import json
import sys
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tests.fuzz.harness import Harness

HANG: Final = 20
"""Seconds after which an input hangs, whatever else the machine does."""

MAX_FAULTS: Final = 50
STOP: Final = 0.3
"""Seconds between two writings of the state."""

try:
    import atheris
except ImportError as error:
    print(f"blind mutation: {error}", file=sys.stderr)
    atheris = None


class Run:
    """Counts what was tried and keeps what failed, one input per place in the code."""

    def __init__(self, harness: Harness, folder: Path) -> None:
        self._harness = harness
        self._folder = folder
        self._faults: set[str] = set()
        self._inputs = self._accepted = 0
        self._written = 0.0

    def one(self, data: bytes) -> None:
        self._inputs += 1
        try:
            self._accepted += self._harness.timed(data)
        except Exception as error:  # whatever it is, it is what is looked for
            self._keep(data, error)
        if monotonic() - self._written > STOP:
            self.write()

    def write(self) -> None:
        self._written = monotonic()
        state = {"inputs": self._inputs, "accepted": self._accepted, "faults": len(self._faults)}
        temporary = self._folder / "state.tmp"
        temporary.write_text(json.dumps(state))
        temporary.rename(self._folder / "state.json")

    def _keep(self, data: bytes, error: Exception) -> None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        fault = f"{type(error).__name__}-{Path(last.filename).stem}-{last.lineno}"
        if fault in self._faults or len(self._faults) >= MAX_FAULTS:
            return
        self._faults.add(fault)
        name = f"crash-{fault}-{hashlib.sha256(data).hexdigest()[:12]}"
        (self._folder / name).write_bytes(data)
        (self._folder / f"{name}.txt").write_text("".join(traceback.format_exception(error)))


def by_coverage(harness: Harness, seconds: int, folder: Path, run: Run) -> None:
    """libFuzzer's loop; does not return."""
    from tests.fuzz.harness import MAX_INPUT

    found, seeds = folder / "found", folder / "seeds"
    found.mkdir()
    seeds.mkdir()
    known = list(harness.seeds())
    for number, seed in enumerate(known):
        (seeds / f"{number:03}").write_bytes(seed)

    def mutate(data: bytes, size: int, seed: int) -> bytes:
        """One in three near a seed: libFuzzer's pool fills with what is refused in ever new ways."""
        random = Random(seed)
        match random.randrange(6):
            case 0:
                return bytes(atheris.Mutate(data, size))
            case 1 | 2:
                return harness.mutate(random.choice(known), random)[:size]
        return harness.mutate(data, random)[:size]

    options = [f"-max_total_time={seconds}", f"-timeout={HANG}", f"-max_len={MAX_INPUT}", "-print_final_stats=1"]
    options += [f"-artifact_prefix={folder}/", "-rss_limit_mb=1024", str(found), str(harness.corpus), str(seeds)]
    atheris.Setup([sys.argv[0], *options], run.one, custom_mutator=mutate)
    atheris.Fuzz()


def blindly(harness: Harness, seconds: int, run: Run) -> None:
    """Mutations of the corpus and of each other, without knowing which of them reach anything new."""
    random, pool, end = Random(), [*harness.seeds(), *harness.kept()], monotonic() + seconds
    while monotonic() < end:
        data = random.choice(pool)
        for _ in range(random.choice((1, 1, 2, 4))):
            data = harness.mutate(data, random)
        run.one(data)
        if random.random() < 0.02:
            pool.append(data)


def main() -> None:
    name, seconds, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    instrumented: Callable[..., Any] = atheris.instrument_imports if atheris is not None else lambda **_: nullcontext()
    with instrumented(include=["nms.monitor", "audio"]):
        from tests.fuzz.harnesses import HARNESSES
    harness = HARNESSES[name]
    run = Run(harness, folder)
    run.write()
    gc.freeze()
    if atheris is None:
        blindly(harness, seconds, run)
        run.write()
    else:
        by_coverage(harness, seconds, folder, run)


if __name__ == "__main__":
    main()
