"""The hub's side of what is heard: bulletins from submission to receipts.

Whatever a method has answered is committed; everything else is a function of the store, so that a hub that was killed
goes on where it was. ``run`` is the one task that does the work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.orm import Session

from audio import asrun, commune, desk, hours, ledger, listing, muting, relays, retention, stops
from audio.broker import TOPICS, Broker
from audio.bulletin import Draft, audience_of, checks, compose
from audio.commune import Ordered
from audio.desk import Approved, Done, Refusals, Scene, Stopped
from audio.documents import Audience, DeviceState, TrialKind
from audio.editing import Edited, Edits
from audio.editor import Editor
from audio.history import History, history
from audio.intake import Intake
from audio.ledger import Actor
from audio.library import Content, Library
from audio.listing import ANY, BulletinView, Find, Listing
from audio.measure import Progress, untold
from audio.microphones import Speeches
from audio.muting import Mended, Mute, Silencing
from audio.paper import Paper
from audio.publisher import Hub, Publisher
from audio.receipts import Report
from audio.refusals import refuse
from audio.relays import Relays
from audio.sounds import sound_of
from audio.stops import Halt, Lift, Resumed
from audio.timesignal import TimeSignal
from audio.trials import Trials, Tried
from inventory.lines import Relay
from inventory.model import TIMEZONE, Network, Person
from nms import journal
from nms.journal import EventKind
from nms.outage import Outage
from nms.store import BulletinRow, Store, StoreError
from nms.store.ownership import LOST_CLAIM

Decided = TypeVar("Decided", Approved, Stopped, Resumed, Mended, Ordered, Edited)

__all__ = [
    "Approved",
    "BulletinView",
    "Edited",
    "Edits",
    "Find",
    "History",
    "Mended",
    "Mute",
    "Ordered",
    "Paper",
    "Playout",
    "Refusals",
    "Resumed",
    "Silencing",
    "Stopped",
    "Submitted",
    "Tried",
]

log = logging.getLogger("loa.playout")

NOBODY = -1
"""The operating-system user of an act whose user is not known."""
TICK = 1.0
PROGRAMMES_EVERY = 3600.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """``content`` is None of what is spoken live."""

    bulletin: str
    content: Content | None


class Playout:
    """Bulletins, programmes, orders and receipts of one hub. ``policies``: each device's root-signed frame.
    ``clock_good``: whether the time may be told; everything else goes on whatever the clock does.
    """

    def __init__(
        self,
        store: Store,
        network: Callable[[], Network],
        broker: Broker,
        hub_key: Ed25519PrivateKey,
        hub_kid: str,
        clock: Callable[[], datetime],
        policies: Mapping[str, bytes],
        library: Library,
        clock_good: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._network = network
        self._broker = broker
        self._clock = clock
        self._policies = policies
        self._library = library
        self._relays = Relays(network)
        self._publisher = Publisher(store, broker, Hub(hub_key, hub_kid), library, clock, self._relays, clock_good)
        self._intake = Intake(store, self._publisher, hub_kid, clock, lambda: broker.connections)
        self._trials = Trials(store, self._publisher, self._intake, clock)
        self._clock_good = clock_good
        self._believed = True
        self._unsigned: tuple[Relay, ...] = ()
        self._editor = Editor(store, library, self._scene, partial(sound_of, library), self._decide)
        self.speeches = Speeches(store, self._scene, self._decide)
        self._listing = Listing(store, self._scene, lambda: self._intake.committed)

    @property
    def dropped(self) -> Mapping[str, int]:
        """Device messages that were not accepted, by reason."""
        return self._intake.dropped

    async def run(self) -> None:
        """Publish what the store holds, then serve until cancelled.

        A store that fails later keeps no device from being heard: all is published anew once it is back. Raises
        StoreError if it fails before that, or when this process has lost its claim.
        """
        await self.restore()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._broker.run(self._intake.receive))
            group.create_task(self._intake.run())
            group.create_task(self._follow())

    async def restore(self) -> None:
        """Hand every current document to the broker: policies, orders, programmes."""
        for device, frame in self._policies.items():
            self._broker.publish(f"{TOPICS}/policy/{device}", frame, retain=True)
        await self._publisher.republish()

    async def hand_out(self, policies: Mapping[str, bytes]) -> None:
        """Other policies than before, and then every document: under the old ones it may have been refused."""
        self._policies = policies
        await self._anew()

    async def _anew(self) -> None:
        self._publisher.forget()
        await self.restore()

    async def submit(
        self, person: Person, draft: Draft, *, uid: int = NOBODY, progress: Progress = untold
    ) -> Submitted | Refusals:
        """Make the draft's sound and keep the bulletin for its approver."""
        scene = self._scene()
        if person.id != draft.author:
            return (refuse("BUL001", person=person.id, cls=draft.cls, unit=draft.origin),)
        found = checks(scene.network, scene.on, draft, scene.now)
        found += hours.play_now(scene.network, scene.on, draft, scene.now)
        if found:
            return found
        content = None if draft.live else await sound_of(self._library, draft, progress)
        if isinstance(content, tuple):
            return content
        scene = self._scene()
        bulletin = compose(scene.network, scene.on, draft, content, scene.now)
        if isinstance(bulletin, tuple):
            return bulletin
        sound = ledger.content_row(content, draft.title, scene.now) if content is not None else None
        who = Actor(person, uid)
        await self._store.write(lambda s: ledger.add(s, scene.now, who, draft, bulletin, sound))
        return Submitted(bulletin.id, content)

    async def hand_in_relays(
        self, person: Person, unit: str, authority: str, *, uid: int = NOBODY
    ) -> tuple[str, ...] | Refusals:
        """Make a bulletin to be signed of each relay of the unit that has none; the ids of the new ones."""
        scene, who = self._scene(), Actor(person, uid)
        refused = relays.may_hand_in(scene.network, scene.on, person, unit)
        if refused:
            return refused
        return await self._store.write(lambda s: relays.hand_in(s, scene.network, who, unit, authority, scene.now))

    async def body(self, bulletin_id: str) -> bytes | Refusals:
        """The exact bytes that the approver reads and signs."""
        row = await self._store.read(lambda s: s.get(BulletinRow, bulletin_id))
        return row.body if row is not None else (refuse("BUL020", bulletin=bulletin_id),)

    async def approve(
        self,
        person: Person,
        bulletin_id: str,
        signed: bytes,
        reason: str = "",
        paper: Paper | None = None,
        *,
        uid: int = NOBODY,
    ) -> Approved | Refusals:
        """Take the approver's signature, plan the bulletin or put its order in force, and publish that at once.

        On ``paper`` the approver has signed elsewhere: ``person`` records it, and signs for the devices.
        """
        scene, who = self._scene(), Actor(person, uid)
        return await self._decide(
            lambda s: desk.approve(s, scene, who, bulletin_id, signed, reason, paper, here=self._here)
        )

    async def edit(self, person: Person, bulletin_id: str, edits: Edits, *, uid: int = NOBODY) -> Edited | Refusals:
        """Change what needs no approval at once; anything else becomes the next version, for its approver."""
        return await self._editor.edit(person, bulletin_id, edits, uid)

    async def give_back(self, person: Person, bulletin_id: str, reason: str, *, uid: int = NOBODY) -> Refusals:
        """Return a submitted bulletin to its author; empty when that is done."""
        scene, who = self._scene(), Actor(person, uid)
        return await self._store.write(lambda s: desk.give_back(s, scene, who, bulletin_id, reason))

    async def order(
        self, person: Person, unit: str, bulletin_id: str, before: str, *, uid: int = NOBODY
    ) -> Ordered | Refusals:
        """Put one priority bulletin before another in a commune's programme, and publish that at once."""
        scene, who = self._scene(), Actor(person, uid)
        return await self._decide(lambda s: commune.order(s, scene, who, unit, bulletin_id, before))

    async def pick(self, person: Person, unit: str, bulletin_id: str, *, uid: int = NOBODY) -> Approved | Refusals:
        """Air a higher tier's normal bulletin in a commune."""
        scene, who = self._scene(), Actor(person, uid)
        return await self._decide(lambda s: commune.pick(s, scene, who, unit, bulletin_id))

    async def all_clear(self, person: Person, bulletin_id: str, *, uid: int = NOBODY) -> Stopped | Refusals:
        """End an emergency or drill everywhere at once."""
        scene, who = self._scene(), Actor(person, uid)
        return await self._decide(lambda s: desk.all_clear(s, scene, who, bulletin_id))

    async def withdraw(self, person: Person, bulletin_id: str, reason: str, *, uid: int = NOBODY) -> Stopped | Refusals:
        """Cancel a bulletin that has not aired yet, or is airing."""
        scene, who = self._scene(), Actor(person, uid)
        return await self._decide(lambda s: desk.withdraw(s, scene, who, bulletin_id, reason))

    async def stop(
        self,
        person: Person,
        selection: str,
        bulletin_id: str | None,
        hold_until: datetime | None,
        reason: str,
        *,
        uid: int = NOBODY,
    ) -> Stopped | Refusals:
        """Silence one bulletin, or everything, in the selection at once; by default until its validity ends, or 10
        minutes.
        """
        scene, who = self._scene(), Actor(person, uid)
        audience = _meant(scene, selection)
        if isinstance(audience, tuple):
            return audience
        halt = Halt(audience, bulletin_id or "", hold_until, reason)
        return await self._decide(lambda s: stops.stop(s, scene, who, halt))

    async def resume(
        self, person: Person, selection: str, bulletin_id: str | None, reason: str, *, uid: int = NOBODY
    ) -> Resumed | Refusals:
        """End the stops in the selection at once: those of one bulletin, or all of them. Silences go on."""
        scene, who = self._scene(), Actor(person, uid)
        audience = _meant(scene, selection)
        if isinstance(audience, tuple):
            return audience
        lift = Lift(audience, bulletin_id or "", reason)
        return await self._decide(lambda s: stops.resume(s, scene, who, lift))

    async def mute(self, person: Person, order: Silencing, *, uid: int = NOBODY) -> Stopped | Refusals:
        """Silence one device for everything at once; the caller has checked that this person may."""
        scene, who = self._scene(), Actor(person, uid)
        return await self._decide(lambda s: muting.mute(s, scene, who, order))

    async def unmute(self, person: Person, device: str, reason: str, *, uid: int = NOBODY) -> Stopped | Refusals:
        """Let a silenced device be heard again at once; the caller has checked that this person may."""
        scene, who = self._scene(), Actor(person, uid)
        return await self._decide(lambda s: muting.unmute(s, scene, who, device, reason))

    async def mended(self, person: Person, device: str, *, uid: int = NOBODY) -> Mended:
        """Close a device's repair order and lift its silence; the caller has checked that this person may."""
        scene, who = self._scene(), Actor(person, uid)
        outcome = await self._decide(lambda s: muting.mended(s, scene, who, device))
        assert isinstance(outcome, Mended)
        return outcome

    async def test_tone(self, person: Person, device: str, silent: bool, *, uid: int = NOBODY) -> Tried | Refusals:
        """Have a loudspeaker sound its own test tone, or go the same way in silence; takes until it has answered."""
        if not self._broker.connected:
            return (refuse("BUL042"),)
        kind = TrialKind.CHECK if silent else TrialKind.TONE
        return await self._trials.run(self._scene(), Actor(person, uid), device, kind)

    async def mutes(self, since: datetime | None = None) -> tuple[Mute, ...]:
        """The silences in force now, or all that were at some time ``since``."""
        now = self._clock()
        found = await self._store.read(lambda s: muting.mutes(s, since or now))
        return found if since is not None else tuple(muting.in_force(found, now).values())

    async def bulletins(self, find: Find = ANY) -> tuple[BulletinView, ...]:
        """A page of bulletins, newest first."""
        return await self._listing.page(find)

    async def bulletin(self, bulletin_id: str) -> BulletinView | None:
        return await self._listing.one(bulletin_id)

    async def offers(self, unit: str) -> tuple[BulletinView, ...]:
        """What a commune may still pick, newest first."""
        scene = self._scene()
        return await self._listing.offers(lambda s: commune.offers(s, scene, unit))

    async def history(self, bulletin_id: str) -> History | Refusals:
        """All that is known of a bulletin in all its versions."""
        return await self._store.read(lambda s: history(s, bulletin_id))

    async def report(self, bulletin_id: str) -> Report | Refusals:
        """Who was addressed by the bulletin, and what each of them reported."""
        scene = self._scene()
        return await self._store.read(lambda s: listing.of_bulletin(s, scene, bulletin_id))

    async def now_playing(self) -> Mapping[str, DeviceState]:
        """What every device that has spoken said of itself last."""
        return dict(self._intake.states)

    async def words(self) -> Mapping[str, DeviceState] | None:
        """What every device says of itself now, as far as it can: who has not spoken since the broker is back counts as
        offline. None while there is no connection to the broker.
        """
        return self._intake.words() if self._broker.connected else None

    async def sessions(self) -> Mapping[str, tuple[str, datetime]]:
        """The devices whose session is up: the version that each says it runs, and when it spoke last."""
        words, at = await self.words() or {}, self._intake.spoke_at
        return {device: (state.version, at[device]) for device, state in words.items() if state.online}

    async def ask(self, devices: Collection[str]) -> None:
        """Have these devices speak now."""
        await self._publisher.ask(devices)

    def _here(self, content: str) -> bool:
        return self._library.path(content) is not None

    def _scene(self) -> Scene:
        network, now = self._network(), self._clock()
        return Scene(network, network.on(now.astimezone(TIMEZONE).date()), now)

    async def _decide(self, work: Callable[[Session], Done[Decided] | Refusals]) -> Decided | Refusals:
        """Commit a decision, then publish what it changes: orders first, because somebody waits for them."""
        outcome = await self._store.write(work)
        if not isinstance(outcome, Done):
            return outcome
        await self._publisher.orders(outcome.changed.targets)
        await self._publisher.programmes(outcome.changed.units)
        return outcome.answer

    async def _follow(self) -> None:
        """Once a second: what time brings about by itself, and signed time for whoever has come and needs it."""
        loop = asyncio.get_running_loop()
        signal, moved = TimeSignal(self._publisher.time), loop.time() - PROGRAMMES_EVERY
        connections, outage = 0, Outage(log)
        while True:
            try:
                if outage.lasts:
                    await self.restore()
                    outage.over("the store is back: all is published anew")
                await self._tick()
                fresh, seen = self._broker.connections != connections, self._broker.connections
                if fresh:
                    await self._note_broker(seen)
                    connections = seen
                await signal.look(self._intake.timeless() or fresh)
                await self._after_jump()
                if loop.time() - moved >= PROGRAMMES_EVERY:
                    moved = loop.time()
                    await self._note_relays()
                    await self._publisher.refresh()
                    await retention.tidy(self._store, self._library, self._clock())
            except StoreError as error:
                if error.code in LOST_CLAIM:
                    raise
                outage.begun("nothing new is aired while the store fails: %s", error)
            await asyncio.sleep(TICK)

    async def _after_jump(self) -> None:
        """After the first time that may be told again: while the clock was ahead, devices refused what was planned."""
        good = self._clock_good()
        if good and not self._believed:
            await self._anew()
        self._believed = good

    async def _tick(self) -> None:
        now = self._clock()
        if await self._store.read(lambda s: asrun.due(s, now)):
            await self._store.write(lambda s: asrun.advance(s, now))
        if await self._store.read(lambda s: ledger.expired(s, now)):
            await self._publisher.orders(await self._store.write(lambda s: muting.expire(s, now)))

    async def _note_relays(self) -> None:
        """Say which relays of the grid nobody has signed, each time that they are others."""
        now = self._clock()
        lines = await self._store.read(lambda s: self._relays.unsigned(s, now))
        if lines != self._unsigned:
            self._unsigned = lines
            for warning in relays.unsigned_warnings(self._network(), lines):
                log.warning("%s %s", warning.code, warning.text())

    async def _note_broker(self, connections: int) -> None:
        now, data = self._clock(), {"connections": connections}
        await self._store.write(
            lambda s: journal.append(s, now, EventKind.SELF_BROKER, "broker", to="connected", data=data)
        )


def _meant(scene: Scene, selection: str) -> Audience | Refusals:
    """The audience of a selection; a refusal if it means nobody."""
    audience = audience_of(scene.network, scene.on, selection)
    return (refuse("BUL005", audience=selection),) if audience == Audience() else audience
