"""Makes the corpus anew: of the old one and what ``make fuzz`` found, the shortest that reach all that seeds do not.

What is reached are pairs of lines run one after the other in our own code: no tool beside Python is needed.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from tests.fuzz.harness import Harness
from tests.fuzz.harnesses import HARNESSES
from tests.fuzz.run import FOLDER

ROOMS: Final = tuple(str(Path(room).resolve()) for room in ("nms/monitor", "audio"))
MOST: Final = 90
"""Inputs kept of each harness."""

FAULT: Final = "fault-"
"""Begins the names of inputs that once failed; they stay."""

Step = tuple[str, int, int]


def reached(harness: Harness, data: bytes) -> set[Step]:
    """The steps from line to line that an input makes our code take; nothing if it fails."""
    steps: set[Step] = set()

    def entered(frame: FrameType, event: str, argument: Any) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(ROOMS):
            return None
        before = 0

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal before
            steps.add((name, before, -frame.f_lineno if event == "exception" else frame.f_lineno))
            before = frame.f_lineno
            return line

        return line

    sys.settrace(entered)
    try:
        harness.check(data)
    except Exception:  # a failure is kept by hand, once it is understood
        return set()
    finally:
        sys.settrace(None)
    return steps


def chosen(harness: Harness, inputs: Iterable[bytes]) -> list[bytes]:
    """Inputs in their order, each of which takes a step that neither a seed nor one before it takes."""
    known = set().union(*(reached(harness, seed) for seed in harness.seeds()))
    kept: list[bytes] = []
    for data in inputs:
        steps = reached(harness, data)
        if not steps <= known and len(kept) < MOST:
            known |= steps
            kept.append(data)
    return kept


def keep(harness: Harness) -> str:
    folder = FOLDER / harness.name / "found"
    harness.corpus.mkdir(parents=True, exist_ok=True)
    found = {path.read_bytes() for path in folder.iterdir()} if folder.exists() else set()
    pool = sorted({*harness.kept(), *found}, key=lambda data: (len(data), data))
    best = chosen(harness, pool)
    for path in harness.corpus.iterdir():
        if not path.name.startswith(FAULT):
            path.unlink()
    for data in best:
        (harness.corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    return f"{harness.name}: {len(best)} of {len(pool)} inputs, {sum(map(len, best))} bytes"


if __name__ == "__main__":
    for one in HARNESSES.values():
        print(keep(one), flush=True)
