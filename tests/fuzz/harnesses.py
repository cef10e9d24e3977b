"""Everything that is fuzzed."""

from __future__ import annotations

from typing import Final

from tests.fuzz import acceptance, answers, frames, notifications, pages, papers, secure_answers
from tests.fuzz.harness import Harness

HARNESSES: Final[dict[str, Harness]] = {
    module.HARNESS.name: module.HARNESS
    for module in (answers, secure_answers, notifications, papers, frames, acceptance, pages)
}
