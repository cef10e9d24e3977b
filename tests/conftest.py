"""Property tests: the gate draws the same examples for the same code, so that it says the same of the same commit.

New examples are looked for with ``pytest --hypothesis-profile=search``.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("gate", derandomize=True, database=None, print_blob=True)
settings.register_profile("search", derandomize=False)
settings.load_profile("gate")
