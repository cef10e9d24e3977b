"""For all tests: which examples are drawn, and which file comes when.

The gate draws the same examples for the same code, so that it says the same of the same commit. How long one takes says
more of the machine than of the code. New examples are looked for with ``pytest --hypothesis-profile=search``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

HERE = Path(__file__).parent
WAITING = (HERE / "lab", HERE / "e2e")
"""Real hosts and whole systems: these tests mostly wait for them."""

settings.register_profile("gate", derandomize=True, database=None, print_blob=True, deadline=None)
settings.register_profile("search", derandomize=False, deadline=None)
settings.load_profile("gate")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that wait are spread evenly among those that compute, but for the last fifth: the workers fill the cores to
    the end, and nobody waits at last for a file that takes minutes. Real hosts and whole systems are spread each for
    themselves, so that few labs run at the same time.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    waiting = [[path for path in files if path.is_relative_to(folder)] for folder in WAITING]
    computing = [path for path in files if not any(path in group for group in waiting)]
    place = {path: (n + 0.5) / len(computing) for n, path in enumerate(computing)}
    for group in waiting:
        place |= {path: 0.8 * (n + 0.5) / len(group) for n, path in enumerate(group)}
    items[:] = [item for path in sorted(files, key=lambda p: (place[p], p)) for item in files[path]]
