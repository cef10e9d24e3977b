"""When the hub tells its devices the time: each minute, and soon to whoever has come and needs it.

All devices hear the same topic, so every word costs all of them data: many who come together share one, and who comes
back after a short break of its link, which are most, needs none.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final

EVERY: Final = 60.0
"""Seconds between two words while nobody asks."""
APART: Final = 1.5
"""Seconds between two words at least. At one look a second, nobody who asks waits for more than two of them."""


class TimeSignal:
    """``tell`` sends a word, and answers whether it has: the hub's clock may be known to be wrong."""

    def __init__(self, tell: Callable[[], Awaitable[bool]], ticks: Callable[[], float] = monotonic) -> None:
        """``ticks``: seconds that no step of the clock moves."""
        self._tell = tell
        self._ticks = ticks
        self._told = -math.inf
        self._asked = False

    async def look(self, asked: bool) -> None:
        """Tell the time if that is due; ``asked``: somebody has come who needs it. What could not be told, by a wrong
        clock or because ``tell`` failed, stays due.
        """
        self._asked |= asked
        if self._ticks() - self._told < (APART if self._asked else EVERY):
            return
        if await self._tell():
            self._told, self._asked = self._ticks(), False
