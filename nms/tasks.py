"""Ending tasks for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

AGAIN: Final = 5.0
"""Seconds after which a task that goes on is cancelled again; what it tidies up takes less."""


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels until all have ended. What they raise is theirs: it is not raised here.

    Once is not enough: before Python 3.12 ``asyncio.wait_for``, which the MQTT client uses, loses a cancellation that
    comes as what it waits for is done (python/cpython#86296), and the task would go on for ever.
    """
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=AGAIN)
