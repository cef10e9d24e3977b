"""What is fuzzed: bytes from the network go in, and nothing but a documented answer with right values may come out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import thread_time
from typing import Final

CORPUS: Final = Path(__file__).parent / "corpus"

LIMIT: Final = 0.5
"""Seconds of processor time for one input with all comparisons made of it; the slowest known take a tenth."""

MAX_INPUT: Final = 8192
"""Bytes of an input: two of the longest datagrams that are read."""


class SlowError(AssertionError):
    """An input took longer than ``LIMIT``."""


@dataclass(frozen=True, slots=True)
class Harness:
    """``check`` raises on any fault and says whether the input was accepted; ``mutate`` knows the input's grammar."""

    name: str
    seeds: Callable[[], Iterable[bytes]]
    check: Callable[[bytes], bool]
    mutate: Callable[[bytes, Random], bytes]

    @property
    def corpus(self) -> Path:
        return CORPUS / self.name

    def kept(self) -> list[bytes]:
        """The inputs that are replayed by every test run, shortest first."""
        return sorted((path.read_bytes() for path in self.corpus.iterdir()), key=lambda data: (len(data), data))

    def timed(self, data: bytes) -> bool:
        """As ``check``, and not too slow."""
        began = thread_time()
        accepted = self.check(data)
        spent = thread_time() - began
        if spent > LIMIT:
            raise SlowError(f"{spent:.2f} s")
        return accepted
