"""A device that tries itself out (thử loa): who may ask for it, and what the device answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from audio import ledger
from audio.desk import Refusals, Scene
from audio.documents import Receipt, Result, Trial, TrialKind
from audio.intake import Intake
from audio.ledger import Actor
from audio.publisher import Publisher
from audio.refusals import refuse
from inventory.model import DeviceId, DeviceKind, Role
from nms.journal import new_id
from nms.moments import to_milliseconds
from nms.store import Store

BEGINS: Final = timedelta(seconds=30)
"""A trial that has not begun by then does not begin any more."""
ANSWERS: Final = 40.0
"""Seconds until the answer: the trial, its sound, and receipts sent again over a weak link."""
NO_ANSWER: Final = "no answer"
_MAY: Final = frozenset({Role.TECHNICIAN, Role.OPERATOR})


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a trial. ``result``: played (the tone was heard), checked (the silent check passed), partial,
    refused, or missed without an answer in time; ``reason`` says why in a few words, ``level`` is in dBFS."""

    device: str
    kind: TrialKind
    result: Result
    reason: str
    level: float | None = None

    @property
    def passed(self) -> bool:
        return self.result in (Result.PLAYED, Result.CHECKED)


class Trials:
    """Asks devices and waits for their receipts, which are kept like all others."""

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        intake: Intake,
        clock: Callable[[], datetime],
        seconds: float = ANSWERS,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._intake = intake
        self._clock = clock
        self._seconds = seconds

    async def run(self, scene: Scene, who: Actor, device: str, kind: TrialKind) -> Tried | Refusals:
        """Asks the device, which has ``BEGINS`` to begin, and returns its answer."""
        refused = _refused(scene, who, device)
        if refused:
            return refused
        trial = Trial(new_id(scene.now), kind, to_milliseconds(scene.now + BEGINS))
        data: dict[str, object] = {"trial": trial.id}
        await self._store.write(lambda s: ledger.act(s, scene.now, who, f"device.{kind}", device, data))
        answer = self._intake.awaited[device, trial.id] = asyncio.get_running_loop().create_future()
        try:
            await self._publisher.trial(device, trial)
            async with asyncio.timeout(self._seconds):
                return _tried(kind, await answer)
        except TimeoutError:
            return Tried(device, kind, Result.MISSED, NO_ANSWER)
        finally:
            del self._intake.awaited[device, trial.id]
            self._publisher.tried(device)


def _tried(kind: TrialKind, receipt: Receipt) -> Tried:
    output_only = receipt.result is Result.CHECKED and not receipt.content
    return Tried(
        receipt.device, kind, receipt.result, "no sound held" if output_only else receipt.reason, receipt.level
    )


def _refused(scene: Scene, who: Actor, device: str) -> Refusals:
    found = scene.network.devices.get(DeviceId(device))
    if found is None or found.kind is not DeviceKind.LOUDSPEAKER or not found.in_use(scene.on):
        return (refuse("BUL041", device=device),)
    person = who.person
    if not _MAY & set(person.roles) or person.area not in scene.network.device_chain(found, scene.on):
        return (refuse("BUL040", person=person.name, device=device),)
    return ()
