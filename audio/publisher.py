"""What the hub has decided, as signed documents on the broker: programmes, orders, acknowledgements, time.

Documents are functions of the store. A sequence number is kept before it is used, documents of one family are made and
published one after the other, and everything can be published again at any time: so a crash between commit and
publish is healed by ``republish``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audio import ledger
from audio.broker import TOPICS, Broker
from audio.documents import Ack, Airing, DeviceSettings, HubTime, Now, NowEntry, Programme, Trial, encode
from audio.envelope import MAX_FRAME, VERSION, Header, b64, seal
from audio.ledger import Target
from audio.library import Library
from audio.relays import Relays
from audio.trust import HUB
from nms.moments import to_milliseconds
from nms.store import BulletinRow, Store

AHEAD = timedelta(days=8)
"""What a programme covers. A frame is valid as long; it is published again when a day of that is gone."""
REFRESH = timedelta(days=7)
WORD = timedelta(minutes=5)
"""Validity of acknowledgements and time."""
ROOM = MAX_FRAME - 4_096
"""Bytes of a document's body: the frame has a header and a signature too."""


@dataclass(frozen=True, slots=True)
class Hub:
    """The hub's key, and the name devices know it by."""

    key: Ed25519PrivateKey
    kid: str


class Publisher:
    """Signs documents with the hub's key and hands them to the broker."""

    def __init__(
        self,
        store: Store,
        broker: Broker,
        hub: Hub,
        library: Library,
        clock: Callable[[], datetime],
        relays: Relays,
        clock_good: Callable[[], bool],
    ) -> None:
        """``clock_good``: whether devices may set their clocks by ``clock``."""
        self._store = store
        self._broker = broker
        self._hub = hub
        self._library = library
        self._clock = clock
        self._relays = relays
        self._clock_good = clock_good
        self._published: dict[str, tuple[Programme, int]] = {}
        self._one_at_a_time = {"prog": asyncio.Lock(), "now": asyncio.Lock()}

    async def republish(self) -> None:
        """Every document that a device may hold, from the store: what a dead hub had committed but not published."""
        now = self._clock()
        targets = await self._store.read(lambda s: ledger.current_targets(s, now))
        await self.orders(targets)
        units = await self._store.read(lambda s: ledger.programme_units(s, now, AHEAD))
        await self.programmes({*units, *await self._relaying(now)})

    def forget(self) -> None:
        """Nothing counts as published any more: every programme is published anew when it is asked for."""
        self._published.clear()

    async def orders(self, targets: Iterable[Target]) -> None:
        """Publish the full current state of these targets."""
        wanted = tuple(targets)
        if not wanted:
            return
        async with self._one_at_a_time["now"]:
            now = self._clock()
            topics = {target: f"{TOPICS}/now/{target.place}/{target.issuer}" for target in wanted}
            found, lasting, numbers = await self._store.write(
                lambda s: (
                    {target: ledger.entries(s, target, now) for target in wanted},
                    {target: ledger.longest(s, target, now) or now + AHEAD for target in wanted},
                    ledger.sequences(s, self._hub.kid, topics.values(), to_milliseconds(now)),
                )
            )
            sounds = await asyncio.to_thread(self._sounds, [row for e in found.values() for _, row in e])
            for target, entries in found.items():
                # what was lifted early must still be lifted for a device that comes back long after
                until = to_milliseconds(lasting[target] if entries else max(lasting[target], now + AHEAD))
                body = encode(now_document(entries, sounds))
                self._publish(topics[target], numbers, body, now, until, retain=True)

    async def programmes(self, units: Iterable[str]) -> None:
        """Publish these units' programmes where they differ from what was published last."""
        wanted = tuple(units)
        if not wanted:
            return
        async with self._one_at_a_time["prog"]:
            now = self._clock()
            until = to_milliseconds(now + AHEAD)
            found, relayed = await self._store.read(
                lambda s: (
                    ledger.programmes(s, wanted, now, now + AHEAD),
                    self._relays.airings(s, wanted, now - ledger.KEPT, now + AHEAD, now),
                )
            )
            changed = {}
            for unit, airings in found.items():
                both = sorted([*airings, *relayed.get(unit, ())], key=lambda a: (a[0].start, a[0].airing))
                programme = programme_document(unit, both, until)
                if self._differs(programme, now):
                    changed[f"{TOPICS}/prog/{unit}"] = programme
            numbers = await self._numbers(changed, now)
            for topic, programme in changed.items():
                self._published[programme.unit] = programme, until
                self._publish(topic, numbers, encode(programme), now, until, retain=True)

    async def trial(self, device: str, trial: Trial) -> None:
        """Have the device try itself out; it holds this document no longer than the trial may begin."""
        topic, now = settings_topic(device), self._clock()
        numbers = await self._numbers([topic], now)
        self._publish(topic, numbers, encode(DeviceSettings(trial)), now, trial.until, retain=True)

    async def ask(self, devices: Iterable[str]) -> None:
        """Have these devices tell their state now."""
        topics, now = [settings_topic(device) for device in devices], self._clock()
        numbers = await self._numbers(topics, now)
        for topic in topics:
            self._publish(topic, numbers, encode(DeviceSettings()), now, to_milliseconds(now + WORD), retain=False)

    def tried(self, device: str) -> None:
        """Nothing is asked of the device any more: the broker keeps no document for it."""
        self._broker.publish(settings_topic(device), b"", retain=True)

    async def refresh(self) -> None:
        """Move all programmes on: what is over leaves them, what comes within reach joins them."""
        await self.programmes({*self._published, *await self._relaying(self._clock())})

    async def _relaying(self, now: datetime) -> tuple[str, ...]:
        return await self._store.read(lambda s: self._relays.units(s, now - AHEAD, now))

    async def time(self) -> bool:
        """Tell devices the time, and whether that was done: not while the hub's own clock is known to be wrong, because
        they set theirs by it.

        Keeping the number may take long. The instant is taken after that, and the clock is asked about once more.
        """
        if not self._clock_good():
            return False
        numbers = await self._numbers([f"{TOPICS}/time"], self._clock())
        moment = self._clock()
        if not self._clock_good():
            return False
        body = encode(HubTime(to_milliseconds(moment)))
        self._publish(f"{TOPICS}/time", numbers, body, moment, to_milliseconds(moment + WORD), retain=False)
        return True

    def acknowledge(self, receipts: Mapping[str, Sequence[str]], numbers: Mapping[str, int], now: datetime) -> None:
        """Tell devices which receipts are committed; ``numbers`` were kept in the same transaction."""
        for device, ids in receipts.items():
            topic = ack_topic(device)
            self._publish(topic, numbers, encode(Ack(tuple(ids))), now, to_milliseconds(now + WORD), retain=False)

    async def _numbers(self, topics: Iterable[str], now: datetime) -> dict[str, int]:
        wanted = tuple(topics)
        if not wanted:
            return {}
        return await self._store.write(lambda s: ledger.sequences(s, self._hub.kid, wanted, to_milliseconds(now)))

    def _publish(
        self, topic: str, numbers: Mapping[str, int], body: bytes, now: datetime, until: int, *, retain: bool
    ) -> None:
        issued = to_milliseconds(now)
        header = Header(VERSION, self._hub.kid, HUB, topic, numbers[topic], issued, issued, until)
        self._broker.publish(topic, seal(header, body, self._hub.key), retain=retain)

    def _differs(self, programme: Programme, now: datetime) -> bool:
        last, until = self._published.get(programme.unit, (None, 0))
        if last is None or until < to_milliseconds(now + REFRESH):
            return True
        return (last.airings, last.signed) != (programme.airings, programme.signed)

    def _sounds(self, bulletins: Iterable[BulletinRow | None]) -> dict[str, tuple[str, ...]]:
        """The sounds (base64) of each bulletin's voices, the main one first, as far as their files are here."""
        found: dict[str, tuple[str, ...]] = {}
        for row in bulletins:
            if row is not None and row.id not in found:
                voices = ledger.body_of(row).voices
                found[row.id] = tuple(
                    b64(self._library.read(v.content)) for v in voices if self._library.path(v.content)
                )
        return found


def ack_topic(device: str) -> str:
    return f"{TOPICS}/ack/{device}"


def settings_topic(device: str) -> str:
    return f"{TOPICS}/set/{device}"


def now_document(entries: Sequence[tuple[NowEntry, BulletinRow | None]], sounds: Mapping[str, tuple[str, ...]]) -> Now:
    """All that is in force for one target. If it is too much for a frame, the oldest orders travel without sounds:
    whoever was there when they came has them, others fetch them. Of one order the further languages give way first.
    """
    full = []
    for entry, row in entries:
        signed = b64(row.signed) if row is not None and row.signed is not None else ""
        full.append(replace(entry, signed=signed, sounds=sounds.get(row.id, ()) if row is not None else ()))
    excess = len(encode(Now(tuple(full)))) - ROOM
    for number, entry in enumerate(full):
        kept = list(entry.sounds)
        while kept and excess > 0:
            excess -= len(kept.pop()) + 2
        full[number] = replace(entry, sounds=tuple(kept))
    return Now(tuple(full))


def programme_document(unit: str, airings: Sequence[tuple[Airing, bytes]], until: int) -> Programme:
    """The airings in order of their start, as far ahead as one frame holds; the rest comes when those are over."""
    signed: dict[str, str] = {}
    kept: list[Airing] = []
    size = len(encode(Programme(unit, until, (), {})))
    for airing, frame in airings:
        size += len(encode(airing)) + 1
        if airing.bulletin not in signed:
            text = b64(frame)
            size += len(text) + len(airing.bulletin) + 8
            if size <= ROOM:
                signed[airing.bulletin] = text
        if size > ROOM:
            until = airing.start
            break
        kept.append(airing)
    return Programme(unit, until, tuple(kept), signed)
