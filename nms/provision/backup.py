"""Configurations of devices as they were, without their secrets: kept before and after every change and on demand.

A device's backups are numbered from 1 in the order of their time. One that says what the last one said is not kept
again.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId
from nms.journal import new_id
from nms.provision import facts as known
from nms.provision.plan import printable
from nms.provision.reach import Counting, Provisioner, Target, Unreached
from nms.provision.values import Facts, Outcome, Result
from nms.store import BackupRow, Store


class Why(StrEnum):
    """What a configuration was kept for: before or after a change, because somebody asked, after a restoration."""

    BEFORE = "before"
    AFTER = "after"
    ASKED = "asked"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class Backup:
    """``by``: who asked for it, empty for those that a roll-out made."""

    device: DeviceId
    number: int
    at: datetime
    why: Why
    by: str
    digest: str
    text: str


def keep(session: Session, device: DeviceId, why: Why, text: str, now: datetime, by: str = "") -> bool:
    """Keep a configuration; False when the last one kept is the same."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    last = session.scalars(_rows(device).order_by(BackupRow.at.desc(), BackupRow.id.desc()).limit(1)).first()
    if last is not None and last.digest == digest:
        return False
    session.add(BackupRow(id=new_id(now), device=device, at=now, why=why, digest=digest, text=text, by=by))
    session.flush()
    return True


def history(session: Session, device: DeviceId) -> tuple[Backup, ...]:
    """Every backup of a device, the oldest first."""
    rows = session.scalars(_rows(device).order_by(BackupRow.at, BackupRow.id))
    return tuple(
        Backup(device, number, row.at, Why(row.why), row.by, row.digest, row.text) for number, row in enumerate(rows, 1)
    )


def count(session: Session, device: DeviceId) -> int:
    """How many backups there are: the last one's number."""
    query = select(func.count()).select_from(BackupRow).where(BackupRow.device == device)
    return session.scalar(query) or 0


def difference(old: str, new: str) -> tuple[str, ...]:
    """Unified lines from one configuration to another, fit for a terminal; empty where they are the same."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=2)
    return tuple(printable(line) for line in list(lines)[2:])


def text_of(facts: Facts) -> str:
    """A Linux device's configuration: what Loa sets up there, one resource after the other; a secret is its digest."""
    return "".join(
        f"== {key}\n{one.text.rstrip() if one.text is not None else f'sha256 {one.digest}'}\n"
        for key, one in sorted(facts.found.items())
    )


def _rows(device: DeviceId) -> Select[BackupRow]:
    return select(BackupRow).where(BackupRow.device == device)


class Backed:
    """A ``Provisioner`` whose devices tell all of their configuration as facts: keeps these around changes."""

    def __init__(self, provisioner: Provisioner, store: Store, clock: Callable[[], datetime]) -> None:
        self._provisioner = provisioner
        self._store = store
        self._clock = clock

    def facts(self, targets: Sequence[Target]) -> AsyncIterator[Facts | Unreached]:
        return self._provisioner.facts(targets)

    async def apply(self, targets: Sequence[Target], within: float) -> AsyncIterator[Result]:
        devices = [target.device for target in targets]
        before = await self._store.read(lambda s: known.read(s, devices))
        await self._keep(Why.BEFORE, [one.facts for one in before.values() if one.facts is not None])
        async for result in self._provisioner.apply(targets, within):
            if result.facts is not None and result.outcome is Outcome.APPLIED:
                await self._keep(Why.AFTER, [result.facts])
            yield result

    async def confirm(self, targets: Sequence[Target]) -> Mapping[DeviceId, Diagnostic | None]:
        return await self._provisioner.confirm(targets)

    def spent(self, device: DeviceId) -> tuple[int, int]:
        return self._provisioner.spent(device) if isinstance(self._provisioner, Counting) else (0, 0)

    async def _keep(self, why: Why, found: Sequence[Facts]) -> None:
        now = self._clock()

        def write(session: Session) -> None:
            for facts in found:
                if facts.found:
                    keep(session, facts.device, why, text_of(facts), now)

        await self._store.write(write)
