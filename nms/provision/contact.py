"""Whether a device that was changed is still in contact: every way in which it was before must work again.

The ways are passed in, because this room knows neither who plays nor who polls. Ansible alone does not look: it was
measured to let a change cut off every second host of every wave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Final

from inventory.model import DeviceId
from nms.monitor.parts import Picture
from nms.provision.artifacts import RECEIVER_PATH
from nms.provision.reach import Target
from nms.provision.values import Kind, Manifest

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
    change may be. ``proofs``: what a way has to prove after a change instead of the check of its name."""

    checks: Mapping[str, Check]
    pause: float = 5.0
    recent: timedelta = timedelta(minutes=5)
    proofs: Mapping[str, Check] = field(default_factory=dict)

    async def ways(self, targets: Sequence[Target], since: datetime) -> Mapping[DeviceId, Ways]:
        """In which ways each device was in contact after ``since``, the end of its change."""
        return await _seen({**self.checks, **self.proofs}, targets, since)

    async def before(self, targets: Sequence[Target], now: datetime) -> Mapping[DeviceId, Ways]:
        """In which ways each device is in contact, so that it must be again."""
        return await _seen(self.checks, targets, now - self.recent)


async def _seen(checks: Mapping[str, Check], targets: Sequence[Target], since: datetime) -> Mapping[DeviceId, Ways]:
    if not targets:
        return {}
    names = list(checks)
    seen = await asyncio.gather(*(checks[name](targets, since) for name in names))
    pairs = list(zip(names, seen, strict=True))
    return {t.device: frozenset(name for name, found in pairs if t.device in found) for t in targets}


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


Sessions = Callable[[], Awaitable[Mapping[str, tuple[str, datetime]]]]
"""The devices whose MQTT session is up: the version that each says it runs, and when it spoke last."""


def spoken(sessions: Sessions) -> Check:
    """By MQTT: the session is up. Of one that was cut off the broker tells only when its keep-alive is over."""

    async def check(targets: Sequence[Target], since: datetime) -> frozenset[DeviceId]:
        del since
        up = await sessions()
        return frozenset(t.device for t in targets if t.device in up)

    return check


def running(sessions: Sessions, ask: Callable[[Collection[DeviceId]], Awaitable[None]]) -> Check:
    """By MQTT: after the change the wanted program has spoken. ``ask`` has devices speak now."""

    async def check(targets: Sequence[Target], since: datetime) -> frozenset[DeviceId]:
        up = await sessions()
        silent = {t.device for t in targets if t.device in up and up[t.device][1] <= since}
        if silent:
            await ask(silent)
        spoke = (t for t in targets if t.device in up and t.device not in silent)
        return frozenset(t.device for t in spoke if _wants(t.manifest, up[t.device][0]))

    return check


def _wants(manifest: Manifest, version: str) -> bool:
    """Whether a receiver that tells ``version`` runs from the file that the manifest names, if it names one."""
    wanted = [r for r in manifest.resources.values() if r.kind is Kind.ARTIFACT and r.name.startswith(RECEIVER_PATH)]
    return all(version.rpartition("+")[2] == PurePosixPath(one.name).stem for one in wanted)
