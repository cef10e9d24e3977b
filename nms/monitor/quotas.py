"""Alarms about data quotas: what every SIM has used by the store against what its plan gives, for the whole fleet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlalchemy import select

from inventory.model import TIMEZONE, DeviceId, Network
from nms.alarm_store import settle
from nms.alarms import AlarmKind, Raised
from nms.monitor.cellular import Usage, card, crossing, month_of, spending
from nms.monitor.recorder import usage_of
from nms.outage import Outage
from nms.store import SimUsageRow, Store, StoreError
from nms.store.ownership import LOST_CLAIM

EVERY: Final = 300.0
"""Seconds between two looks: what SIMs have used is written as often."""


@dataclass(frozen=True, slots=True)
class Payer:
    """A device that holds a SIM, its plan, and the devices that hang behind it."""

    device: DeviceId
    plan: str
    behind: tuple[DeviceId, ...] = ()


def payers(network: Network, on: date) -> Mapping[str, Payer]:
    """Who holds which SIM on that date."""
    holding = ((device, device.sim) for device in network.devices_on(on))
    return {
        card(sim): Payer(d.id, sim.plan, network.behind(d.id)) for d, sim in holding if sim is not None and card(sim)
    }


def of_quotas(usages: Iterable[Usage], known: Mapping[str, Payer], now: datetime) -> Iterator[Raised]:
    """What the present month's use raises, about the devices that hold the SIMs."""
    for usage in usages:
        payer = known.get(usage.sim)
        found = crossing(spending(usage, payer.plan, now)) if payer is not None else None
        if payer is not None and found is not None:
            affected = tuple(sorted((payer.device, *payer.behind)))
            yield Raised(payer.device, AlarmKind.QUOTA, now, str(found.level), affected, found.sure)


class QuotaWatch:
    """Raises and clears the fleet's quota alarms; one process does it for all."""

    def __init__(self, store: Store, current: Callable[[], Network], clock: Callable[[], datetime]) -> None:
        self._store = store
        self._current = current
        self._clock = clock
        self._told: frozenset[tuple[str, str, bool]] | None = None
        self._outage = Outage(logging.getLogger("loa.alarms"))

    async def run(self) -> None:
        """Look every few minutes until cancelled. Raises StoreError once a claim of this process is lost."""
        while True:
            try:
                await self.look()
                self._outage.over("data quotas are watched again")
            except StoreError as error:
                if error.code in LOST_CLAIM:
                    raise
                self._outage.begun("data quotas are not watched: %s", error)
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """Raises StoreError."""
        now, network = self._clock(), self._current()
        known = payers(network, network.on(now.astimezone(TIMEZONE).date()))
        query = select(SimUsageRow).where(SimUsageRow.month == month_of(now))
        rows = await self._store.read(lambda session: session.scalars(query).all())
        raised = tuple(of_quotas(map(usage_of, rows), known, now))
        told = frozenset((one.subject, one.cause, one.opens) for one in raised)
        if told != self._told:
            await self._store.write(lambda session: settle(session, (AlarmKind.QUOTA,), raised, now))
            self._told = told
