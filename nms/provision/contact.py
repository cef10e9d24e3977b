"""Whether a device that was changed is still in contact: every way in which it was before must work again.

The ways are passed in, because this room knows neither who plays nor who polls. Ansible alone does not look: it was
measured to let a change cut off every second host of every wave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from inventory.model import DeviceId
from nms.monitor.parts import Picture
from nms.provision.reach import Target

SSH, SNMP, MQTT = "SSH", "SNMP", "MQTT"
BANNER: Final = b"SSH-"
ANSWER: Final = 10.0
"""Seconds that a device may take to greet."""
AT_ONCE: Final = 50

Check = Callable[[Sequence[Target], datetime], Awaitable[frozenset[DeviceId]]]
"""Those of the targets that were in contact at some moment after the given one."""
Ways = frozenset[str]


@dataclass(frozen=True, slots=True)
class Contact:
    """``checks`` by the name of the way. ``pause``: seconds between two looks; ``recent``: how old the contact before a
    change may be."""

    checks: Mapping[str, Check]
    pause: float = 5.0
    recent: timedelta = timedelta(minutes=5)

    async def ways(self, targets: Sequence[Target], since: datetime) -> Mapping[DeviceId, Ways]:
        """In which ways each device was in contact after ``since``."""
        if not targets:
            return {}
        names = list(self.checks)
        seen = await asyncio.gather(*(self.checks[name](targets, since) for name in names))
        pairs = list(zip(names, seen, strict=True))
        return {t.device: frozenset(name for name, found in pairs if t.device in found) for t in targets}

    async def before(self, targets: Sequence[Target], now: datetime) -> Mapping[DeviceId, Ways]:
        """In which ways each device is in contact, so that it must be again."""
        return await self.ways(targets, now - self.recent)


def greeting(port: int = 22, seconds: float = ANSWER) -> Check:
    """Over SSH, by a connection made anew: the server greets. Who it is, a confirmation proves."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def greets(target: Target) -> bool:
        async with slots:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(seconds):
                    return await _greets(target.address, port)
        return False

    async def check(targets: Sequence[Target], since: datetime) -> frozenset[DeviceId]:
        del since  # it is asked now
        answers = await asyncio.gather(*(greets(t) for t in targets))
        return frozenset(t.device for t, answer in zip(targets, answers, strict=True) if answer)

    return check


async def _greets(address: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        return (await reader.read(len(BANNER))) == BANNER
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def polled(picture: Picture, soon: Callable[[Collection[DeviceId]], None]) -> Check:
    """By SNMP, as the monitor sees it; ``soon`` asks it to look at these devices first."""

    async def check(targets: Sequence[Target], since: datetime) -> frozenset[DeviceId]:
        latest = picture.latest
        if latest is None:
            return frozenset()
        meant = {t.device for t in targets}
        never = since - timedelta(days=1)
        answered = {d for d in meant if latest.asked.get(d, never) > since and latest.reading(d) is not None}
        if answered != meant:
            soon(meant - answered)
        return frozenset(answered)

    return check


def spoken(online: Callable[[], Awaitable[Collection[str]]]) -> Check:
    """By MQTT. ``online``: the devices whose session is up; of one that ends the broker tells."""

    async def check(targets: Sequence[Target], since: datetime) -> frozenset[DeviceId]:
        del since
        up = await online()
        return frozenset(t.device for t in targets if t.device in up)

    return check
