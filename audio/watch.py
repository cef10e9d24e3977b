"""Looks every few seconds whether the loudspeakers play what they should, and keeps the alarms about it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from audio import relays, silence, trust
from audio.documents import Airing, Bulletin, DeviceState, NowKind, Policy, Receipt, Result, decode
from audio.ledger import LONGEST
from audio.relays import Relays
from audio.silence import CALM, KINDS, Due, Finding, Held, Memory, Word
from audio.timetable import Item, Order, Segment
from inventory.model import TIMEZONE, DeviceId, DeviceKind, Network
from nms.alarm_store import LOOK_AGAIN, open_alarms, settle
from nms.alarms import Alarm, Raised
from nms.moments import to_milliseconds
from nms.monitor.health import State
from nms.monitor.parts import Picture
from nms.outage import Outage
from nms.store import AiringRow, BulletinRow, NowEntryRow, ReceiptRow, Store, StoreError

log = logging.getLogger("loa.watch")

EVERY = 5.0
"""Seconds between two looks."""
MARGIN = timedelta(hours=1)
BACK = LONGEST + MARGIN
"""What began earlier cannot be on the air."""
AHEAD = timedelta(hours=24)
OVERLAP = timedelta(minutes=1)
"""Receipts are read again for so long: who commits later may have been given an earlier time."""


@dataclass(frozen=True, slots=True)
class Station:
    """Where a loudspeaker stands: the ``places`` whose orders reach it, the unit whose programme it plays."""

    unit: str
    places: frozenset[str]
    policy: Policy


@dataclass(frozen=True, slots=True)
class Told:
    """An order with the place it is published for."""

    place: str
    order: Order


@dataclass(frozen=True, slots=True)
class Plan:
    """What the province airs around now: items by unit, orders, receipts since the last look, open alarms."""

    items: Mapping[str, tuple[Item, ...]]
    orders: tuple[Told, ...]
    receipts: tuple[tuple[str, datetime, Receipt], ...]
    alarms: tuple[Alarm, ...]


class Watch:
    """``words``: what devices say of themselves over MQTT now; None while they can say nothing."""

    def __init__(
        self,
        store: Store,
        network: Callable[[], Network],
        clock: Callable[[], datetime],
        monitor: Picture,
        words: Callable[[], Awaitable[Mapping[str, DeviceState] | None]],
    ) -> None:
        self._store = store
        self._network = network
        self._clock = clock
        self._monitor = monitor
        self._words = words
        self._relays = Relays(network)
        self._stations: tuple[Network, date, Mapping[str, Station]] | None = None
        self._bulletins: dict[str, Bulletin] = {}
        self._history: dict[str, dict[str, Segment]] = {}
        self._read: datetime | None = None
        self._playing: dict[str, tuple[str, int]] = {}
        self._memory: Memory = {}
        self._raised: frozenset[Raised] | None = None
        self._settled: datetime | None = None

    async def run(self) -> None:
        """Look until cancelled. A store that fails is looked at again."""
        outage = Outage(log)
        while True:
            try:
                await self.look()
                outage.over("what plays is compared again")
            except StoreError as error:
                outage.begun("what plays is not compared: %s", error)
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """One comparison. While the broker is away nobody is asked: what stands stays, nothing new is told."""
        now = self._clock()
        states = await self._words() or {}  # before the receipts: who says that all are in, has them in the store
        plan = await self._store.read(lambda s: self._plan(s, now))
        raised, memory = await asyncio.to_thread(self._judge, plan, states, now)
        recent = self._settled is not None and abs(now - self._settled) < LOOK_AGAIN
        if raised != self._raised or not recent:
            await self._store.write(lambda s: settle(s, KINDS, raised, now))
            self._raised, self._settled = raised, now
        self._memory = memory

    # -- what is in the store

    def _plan(self, session: Session, now: datetime) -> Plan:
        since = now - self._back()
        airings = session.scalars(
            select(AiringRow).where(AiringRow.start > since, AiringRow.start < now + AHEAD, ~AiringRow.cancelled)
        ).all()
        entries = session.scalars(select(NowEntryRow).where(NowEntryRow.until > now - BACK)).all()
        self._learn(session, {a.bulletin for a in airings} | {e.bulletin for e in entries if e.bulletin})
        items: dict[str, list[Item]] = {}
        for row in airings:
            airing = Airing(row.id, row.bulletin, row.repeat, to_milliseconds(row.start), to_milliseconds(row.latest))
            items.setdefault(row.unit, []).append(Item(airing, self._bulletins[row.bulletin]))
        units = {station.unit for station in self._where(now).values()}
        series = {s.bulletin.id: s.bulletin for s in relays.series(session, since)}
        for unit, relayed in self._relays.airings(session, units, since, now + AHEAD, now).items():
            items.setdefault(unit, []).extend(Item(airing, series[airing.bulletin]) for airing, _ in relayed)
        return Plan(
            {unit: tuple(found) for unit, found in items.items()},
            tuple(self._told(row) for row in entries if row.kind in list(NowKind)),
            self._receipts(session, now),
            tuple(a for a in open_alarms(session) if a.kind in KINDS),
        )

    def _learn(self, session: Session, wanted: set[str]) -> None:
        """Read the bulletins that are new; forget those that nobody airs any more."""
        self._bulletins = {b: self._bulletins[b] for b in wanted if b in self._bulletins}
        new = wanted - self._bulletins.keys()
        if new:
            rows = session.execute(select(BulletinRow.id, BulletinRow.body).where(BulletinRow.id.in_(new)))
            self._bulletins |= {name: decode(Bulletin, body) for name, body in rows}

    def _told(self, row: NowEntryRow) -> Told:
        kind, until = NowKind(row.kind), min(row.until, row.ended or row.until)
        bulletin = self._bulletins[row.bulletin] if kind is not NowKind.STOP and row.bulletin else None
        start, names = to_milliseconds(row.from_), str(row.entry["bulletin"])
        return Told(row.target, Order(str(row.entry["entry"]), kind, names, start, to_milliseconds(until), bulletin))

    def _receipts(self, session: Session, now: datetime) -> tuple[tuple[str, datetime, Receipt], ...]:
        since = now - self._back() if self._read is None else min(self._read, now) - OVERLAP
        rows = session.scalars(select(ReceiptRow).where(ReceiptRow.received > since))
        return tuple((row.id, row.received, _receipt(row)) for row in rows)

    # -- what is judged

    def _judge(self, plan: Plan, states: Mapping[str, DeviceState], now: datetime) -> tuple[frozenset[Raised], Memory]:
        at = to_milliseconds(now)
        self._remember(plan, now)
        found: dict[str, list[Finding]] = {}
        known: set[str] = set()
        round_ = _Round(plan, at - round((self._back() - MARGIN).total_seconds() * 1000))
        for device, station in self._where(now).items():
            if self._at_work(device):
                continue
            known.add(device)
            said = self._word(device, states.get(device), at)
            if said is not None:
                found[device] = self._findings(round_, device, station, said)
        told = [alarm for alarm in plan.alarms if alarm.subject in known]
        return silence.tell(found, self._memory, told, at)

    def _findings(self, round_: _Round, device: str, station: Station, said: Word) -> list[Finding]:
        held = round_.held(device, station)
        playing, since = self._playing.get(device, ("", said.at))
        if playing != said.playing:
            since = said.at
        self._playing[device] = said.playing, since
        history = tuple(self._history.get(device, {}).values())
        return list(silence.find(held, said, history, *round_.due(held, said.at), since))

    def _word(self, device: str, state: DeviceState | None, now: int) -> Word | None:
        snapshot = self._monitor.latest
        health = snapshot.healths.get(DeviceId(device)) if snapshot is not None else None
        if snapshot is None or health is None or health.state not in (State.UP, State.DEGRADED):
            return silence.word(state, None, None, now)
        reading, asked = snapshot.reading(DeviceId(device)), snapshot.asked.get(DeviceId(device))
        metrics = reading.metrics if reading is not None else None
        return silence.word(state, metrics, to_milliseconds(asked) if asked is not None else None, now)

    def _at_work(self, device: str) -> bool:
        snapshot = self._monitor.latest
        health = snapshot.healths.get(DeviceId(device)) if snapshot is not None else None
        return health is not None and health.state is State.MAINTENANCE

    def _remember(self, plan: Plan, now: datetime) -> None:
        """Keep what receipts prove for as long as it can matter."""
        for number, received, receipt in plan.receipts:
            segment = silence.segment(receipt)
            if segment is not None:
                self._history.setdefault(receipt.device, {})[number] = segment
            self._read = max(self._read or received, received)
        oldest = to_milliseconds(now - self._back())
        for device in tuple(self._history):
            kept = {n: s for n, s in self._history[device].items() if s.began > oldest}
            if kept:
                self._history[device] = kept
            else:
                del self._history[device]

    def _back(self) -> timedelta:
        """How far back what was played can matter now: a whole day where the day's airtime is limited."""
        return BACK + timedelta(days=1) if self._network().grid.airtime else BACK

    def _where(self, now: datetime) -> Mapping[str, Station]:
        network = self._network()
        on = network.on(now.astimezone(TIMEZONE).date())
        if self._stations is None or self._stations[:2] != (network, on):
            self._stations = network, on, stations(network, on)
        return self._stations[2]


class _Round:
    """One look: devices that stand alike hold the same, and who holds the same shares the predictions."""

    def __init__(self, plan: Plan, since: int) -> None:
        self._plan = plan
        self._since = since
        self._held: dict[Any, Held] = {}
        self._due: dict[Any, tuple[Due, Due]] = {}
        bulletins = [i.bulletin for items in plan.items.values() for i in items]
        bulletins += [told.order.bulletin for told in plan.orders if told.order.bulletin is not None]
        self._named = {device for bulletin in bulletins for device in bulletin.audience.devices}
        self._named |= {told.place.removeprefix("d/") for told in plan.orders if told.place.startswith("d/")}

    def held(self, device: str, station: Station) -> Held:
        policy = station.policy
        key = (station.unit, policy.units, policy.groups, policy.languages, device if device in self._named else "")
        if key not in self._held:
            orders = [told.order for told in self._plan.orders if told.place in station.places]
            self._held[key] = silence.held(policy, self._plan.items.get(station.unit, ()), orders)
        return self._held[key]

    def due(self, held: Held, at: int) -> tuple[Due, Due]:
        """What is due at ``at`` and ``CALM`` later."""
        key = id(held), at
        if key not in self._due:
            self._due[key] = (
                silence.undisturbed(held, self._since, at),
                silence.undisturbed(held, self._since, at + CALM),
            )
        return self._due[key]


def stations(network: Network, on: date) -> Mapping[str, Station]:
    """The loudspeakers in use on that date that stand in a commune."""
    found = {}
    for device in network.devices_on(on):
        unit = network.unit_of(device, on)
        if device.kind is not DeviceKind.LOUDSPEAKER or unit is None or network.trust is None:
            continue
        policy = replace(trust.policy(network, device, on, network.trust), keys=())
        places = {f"d/{device.id}", *(f"u/{u}" for u in policy.units), *(f"g/{g}" for g in policy.groups)}
        found[str(device.id)] = Station(unit, frozenset(places), policy)
    return found


def _receipt(row: ReceiptRow) -> Receipt:
    started, ended = to_milliseconds(row.started or row.received), to_milliseconds(row.ended or row.received)
    result, content = Result(row.result), row.content or ""
    return Receipt(
        row.id,
        row.device,
        row.airing,
        row.bulletin,
        row.repeat,
        content,
        started,
        ended,
        row.offset_ms,
        result,
        row.reason,
    )
