"""Property tests: the gate draws the same examples for the same code, so that it says the same of the same commit.

How long one takes says more of the machine than of the code.
New examples are looked for with ``pytest --hypothesis-profile=search``.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("gate", derandomize=True, database=None, print_blob=True, deadline=None)
settings.register_profile("search", derandomize=False, deadline=None)
settings.load_profile("gate")
