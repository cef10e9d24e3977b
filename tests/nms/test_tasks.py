"""A task that loses its cancellation ends all the same."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

import nms.tasks
from nms.tasks import end


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nms.tasks, "AGAIN", 0.01)


async def test_a_lost_cancellation_comes_again() -> None:
    async def deaf() -> None:
        for _ in range(3):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        await asyncio.Event().wait()

    async def fails() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("its own")

    tasks = [asyncio.create_task(deaf()), asyncio.create_task(fails())]
    await asyncio.sleep(0)
    await end(tasks)
    assert tasks[0].cancelled()
    assert isinstance(tasks[1].exception(), ValueError)
    await end(tasks)


async def test_who_tidies_up_is_not_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nms.tasks, "AGAIN", 60.0)
    tidied = []

    async def tidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            tidied.append(True)

    task = asyncio.create_task(tidy())
    await asyncio.sleep(0)
    await end([task])
    assert tidied == [True]
