"""The one loop of the device: take in what came, ask the timetable what plays, play it, report it.

Everything here runs in one thread. Other threads (link, cache, player) only put events into the inbox, so that a test
drives the agent by hand with a clock of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from audio.documents import (
    Bulletin,
    BulletinClass,
    DeviceState,
    NowKind,
    Receipt,
    Result,
    TrialKind,
    Voice,
)
from audio.receiver import VERSION
from audio.receiver.cache import LACKS, CacheLike
from audio.receiver.choice import decided, here, received
from audio.receiver.clock import DeviceTime
from audio.receiver.held import Held
from audio.receiver.journal import Journal, uuid7
from audio.receiver.link import Connection, Message
from audio.receiver.live import LiveLike, Signal, due, is_live
from audio.receiver.report import LinkLike, Reporter
from audio.receiver.sound import Round, SoundError, Tone
from audio.receiver.stage import NO_SIGNAL, Stage
from audio.receiver.status import Fault, State, Status, on_battery, temperature
from audio.receiver.trials import Trials
from audio.receiver.trust import BAD_CONTENT, topics
from audio.receiver.voices import narrowed, said, waits, wanted
from audio.timetable import DAY, MINUTE, Decision, Item, Order, Play, follows_heard, missed

LATE = 250
"""A change that the loop comes to this late (ms) is decided as of its own instant."""
EARLY = 60
"""A start is decided this many ms before its instant, so that its first sample sounds at the instant."""
AHEAD = 400
"""Sounds are opened this many ms before they are due."""
TICK = 1_000
"""The loop looks at its clock at least this often (ms): the clock may be stepped."""
RETRY = 50
"""How soon to look again for a sound that should have ended by now (its end is an event, too)."""
PURGE = 3_600_000
_SILENCES = {"held": "stopped"} | {r: r for r in ("quiet hours", "silent window", "silenced", "airtime")}
"""What a decision for silence says in the receipt of an item that it kept from beginning."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A content is in the cache now."""

    content: str


@dataclass(frozen=True, slots=True)
class Spoiled:
    """What came was refused: by default because it was not the content that was asked for."""

    detail: str
    reason: str = BAD_CONTENT


@dataclass(frozen=True, slots=True)
class Finished:
    """The player has come to the end of its sound."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The program is asked to end."""


Event = Message | Connection | Arrived | Spoiled | Finished | Stop


class Agent:
    """``handle`` takes an event in; ``step`` acts, and says when (Unix ms) it wants to be called again."""

    def __init__(
        self,
        device: str,
        time: DeviceTime,
        journal: Journal,
        held: Held,
        cache: CacheLike,
        stage: Stage,
        link: LinkLike,
        live: LiveLike,
        version: str = VERSION,
    ) -> None:
        self._device = device
        self._time = time
        self._journal = journal
        self._held = held
        self._cache = cache
        self._stage = stage
        self._link = link
        self._live = live
        self._version = version
        self._reporter = Reporter(device, journal, link)
        self._trials = Trials(device, journal, time)
        self._why: dict[tuple[str, int], str] = {}
        self._wake = 0
        self._purged = 0
        self._want(time.now())

    def handle(self, event: Event) -> None:
        match event:
            case Message(topic, payload):
                self._receive(topic, payload)
            case Connection(up):
                self._reporter.connection(up)
            case Spoiled(detail, reason):
                self._held.refuse(reason, detail)
            case _:
                pass

    def step(self) -> int:
        now = self._time.now()
        at = self._instant(now)
        self._live.tune(due(self._relevant(now), self._held.policy, now))
        if self._clockless():
            self._stage.close(Result.PARTIAL, "no clock", cut=True)
        self._stage.follow(now)
        if self._stage.on_air is None or now < self._stage.on_air.ends:
            decision = self._decide(at)
            chosen = self._chosen(decision, at)
            self._switch(chosen, at)
            self._note(decision, at)
            self._wake = chosen.until
            self._report_missed(min(at, now))
        self._report(now)
        return self._prepare(now)

    def _instant(self, now: int) -> int:
        """The instant to decide for: that of the change we woke up for, a little before it if nothing is on the air."""
        on_air = self._stage.on_air
        early = EARLY if on_air is None else 0
        if self._wake - early <= now <= self._wake + LATE:
            return self._wake
        return now if on_air is None else max(now, on_air.began)

    @property
    def playing(self) -> str:
        """The airing on the air, or nothing."""
        return self._stage.on_air.play.airing if self._stage.on_air else ""

    def status(self) -> Status:
        """What the device tells whoever looks after machines."""
        on_air, level = self._stage.on_air, self._stage.level
        faults = Fault.SOUND * bool(self._stage.failure) | Fault.CLOCK * (not self._time.synchronised)
        quiet = State.FAULT if self._stage.failure else State.IDLE
        return Status(
            state=State.PLAYING if on_air else quiet,
            airing=self.playing,
            level=None if level is None else round(level * 10),
            cache=sum(self._cache.path(content).stat().st_size for content in self._cache.held) // 1024,
            clock_error=self._time.error,
            volume=on_air.volume if on_air else self._ceiling(self._time.now()),
            temperature=temperature(),
            refused=sum(self._held.refused.values()),
            faults=faults,
            on_battery=on_battery(),
        )

    def stop(self) -> None:
        """Silence, everything recorded, goodbye said."""
        if self._stage.on_air is not None:
            self._stage.close(Result.PARTIAL, "shutdown", cut=True)
        self._time.save()
        self._reporter.goodbye(self._state(self._time.now()))

    def _receive(self, topic: str, payload: bytes) -> None:
        news = self._held.accept(topic, payload)
        for content, sound in news.sounds:
            self._cache.put(content, sound)
        self._journal.acknowledge(news.acknowledged)
        if news.policy:
            self._link.listen(frozenset(topics(self._held.policy)))
        if news.trial is not None:
            self._trials.ask(news.trial)
        if news.asked:
            self._reporter.asked()
        if news.changed:
            self._want(self._time.now())
            self.step()
        if news.save is not None:
            # after the step: an emergency is on the air before its document is on the disk. A crash in between costs
            # nothing, since a repeated frame that is not held is taken in again.
            self._held.keep(*news.save)

    def _decide(self, at: int) -> Decision:
        """The timetable's decision over what is on this device's storage, or comes in live."""
        held, history = self._held, self._journal.history
        decision = decided(self._relevant(at), held.orders, history, at, held.policy, self._cache.has)
        return received(decision, at, self.playing, self._live)

    def _chosen(self, decision: Decision, at: int) -> Decision:
        """The timetable's decision, or a trial for which it leaves room."""
        held, sounds = self._held, self._cache.held
        content = sounds[0] if sounds else ""
        return self._trials.decide(decision, at, self._stage.on_air, held.orders, held.policy, content)

    def _relevant(self, at: int) -> tuple[Item, ...]:
        """Scheduled items that can matter now: none before the clock is to be trusted."""
        if not self._time.synchronised:
            return ()
        near = (i for i in self._held.items if at - DAY < i.airing.start < at + DAY)
        return tuple(i for i in near if i.relay or not self._journal.doubtful(i.airing))

    def _clockless(self) -> bool:
        """Whether a scheduled item sounds by a clock that is not to be trusted any more: its time may be over, or not
        have come. A clock that is good again within two minutes has the remainder heard.
        """
        if self._time.synchronised or self._stage.on_air is None or self._stage.done:
            return False
        play = self._stage.on_air.play
        return any((i.airing.airing, i.airing.repeat) == (play.airing, play.repeat) for i in self._held.items)

    def _said(self, play: Play) -> tuple[Voice, ...]:
        return said(play.bulletin, self._held.policy, ordered=self._order(play) is not None)

    def _order(self, play: Play) -> Order | None:
        return next((o for o in self._held.orders if o.entry == play.airing), None)

    def _switch(self, decision: Decision, at: int) -> None:
        current, play = self._stage.on_air, decision.play
        if current is not None:
            if play is not None and (play.airing, play.repeat) == (current.play.airing, current.play.repeat):
                return
            reason, cut = self._interruption(decision, at)
            self._stage.close(Result.PARTIAL, reason, cut=cut)
        if play is not None:
            try:
                self._stage.begin(play, self._round(play, at), at, play.ends - at, *self._whole(play))
            except SoundError as error:
                self._trials.refuse(play.airing, f"decoder: {error}")
                self._held.refuse(BAD_CONTENT, str(error))
                for voice in self._said(play):
                    self._cache.drop(voice.content)
                self._want(at)

    def _whole(self, play: Play) -> tuple[Result, str]:
        """What its receipt says if it runs to its end, and what it lacks then: a siren alone is not what was to be
        heard.
        """
        if self._trials.kind(play) is TrialKind.CHECK:
            return Result.CHECKED, ""
        alone = self._order(play) is not None and not self._said(play)
        return (Result.PARTIAL, self._cache.lack) if alone else (Result.PLAYED, "")

    def _interruption(self, decision: Decision, at: int) -> tuple[str, bool]:
        """Why the sound ends before its time, and whether that may pass."""
        if decision.reason == "emergency hold" or (decision.play is not None and self._order(decision.play)):
            return decision.reason.removesuffix(" hold"), True
        if decision.reason in ("quiet hours", "silent window", "silenced"):
            return decision.reason, False
        if decision.play is not None and self._stage.on_air and self._trials.kind(self._stage.on_air.play):
            return "busy", False
        if any(o.kind is NowKind.STOP and o.start <= at < o.until for o in self._held.orders):
            return "stopped", False
        return "withdrawn", False

    def _round(self, play: Play, at: int) -> Round | Tone | Signal:
        """An order's sound is siren and message; a scheduled item's is the content alone, or a live session."""
        own = self._trials.sound(play, self._ceiling(at), self._cache.path)
        if own is not None:
            return own
        bulletin, order = play.bulletin, self._order(play)
        if is_live(bulletin):
            return Signal(self._live, bulletin.content, self._volume(bulletin, order, at))
        sounds = tuple((self._cache.path(voice.content), voice.duration) for voice in self._said(play))
        volume = self._volume(bulletin, order, at)
        if order is None:
            return Round(sounds, offset=play.offset, volume=volume)
        drill = order.kind is NowKind.DRILL
        return Round(sounds, bulletin.siren, bulletin.times, play.offset, volume, drill)

    def _volume(self, bulletin: Bulletin, order: Order | None, at: int) -> int:
        """Percent: never above the policy's ceiling for this class and hour; a drill is held to the day's.

        A correction is as loud as the alarm that it corrects.
        """
        urgent = order is not None and order.kind in (NowKind.EMERGENCY, NowKind.FOLLOW_UP)
        if urgent and bulletin.cls is BulletinClass.EMERGENCY:
            return min(bulletin.volume, self._held.policy.ceilings.emergency)
        return min(bulletin.volume, self._ceiling(at))

    def _ceiling(self, at: int) -> int:
        policy = self._held.policy
        minute = (at // MINUTE + policy.utc_offset) % (24 * 60)
        return policy.ceilings.early if minute < policy.ceilings.early_until else policy.ceilings.day

    def _note(self, decision: Decision, at: int) -> None:
        """Remembers what keeps each due item or order from beginning, for its receipt if its chance passes."""
        done = {(s.airing, s.repeat) for s in self._journal.history}
        if decision.reason == "silenced":
            self._why |= {(o.entry, 0): decision.reason for o in self._held.orders if o.bulletin is not None}
        for item in self._held.items:
            key = (item.airing.airing, item.airing.repeat)
            if at - DAY < item.airing.start <= at and key not in done and self._chance(item, at):
                self._why[key] = self._obstacle(item, decision)

    def _chance(self, item: Item, at: int) -> bool:
        if item.relay:
            return at < item.over
        return at + item.bulletin.duration <= min(item.airing.latest, item.bulletin.valid_until)

    def _obstacle(self, item: Item, decision: Decision) -> str:
        if not self._time.synchronised:
            return "no clock"
        if decision.reason == "emergency hold" or (decision.play is not None and self._order(decision.play)):
            return "emergency hold"
        if decision.reason in _SILENCES:
            return _SILENCES[decision.reason]
        if decision.reason == NO_SIGNAL:
            return NO_SIGNAL if item.relay else "busy"
        if not item.relay and self._journal.doubtful(item.airing):
            return "restart"
        if not here(item.bulletin, self._cache.has):
            return self._cache.lack
        return "busy" if decision.play is not None else "too late"

    def _report(self, now: int) -> None:
        if now >= self._purged + PURGE and self._time.synchronised:
            self._purged = now
            self._want(now)
            self._cache.purge(now / 1000, wanted(self._held.items, self._held.orders, self._held.policy))
        self._reporter.report(self._state(now))

    def _report_missed(self, now: int) -> None:
        """One receipt for each item or order whose last chance has passed without a start."""
        if not self._time.synchronised and self._time.error is None:
            return  # what time it is, is not even guessed
        since, reported = self._journal.since, self._journal.reported
        recent = (i for i in self._held.items if now - 2 * DAY < i.airing.start < now + DAY)
        open_ = tuple(i for i in recent if (i.airing.airing, i.airing.repeat) not in reported)
        for item in missed(open_, self._journal.history, now, self._held.policy, since=since):
            key = (item.airing.airing, item.airing.repeat)
            self._journal.report(self._refusal(*key, item.bulletin, now, self._why.pop(key, "too late")))
        begun = {s.airing for s in self._journal.history}
        for order in self._held.orders:
            if self._in_vain(order, now, since) and order.entry not in begun and (order.entry, 0) not in reported:
                assert order.bulletin is not None
                audible = narrowed((order,), self._cache.has)
                why = self._why.pop((order.entry, 0), "too late" if audible else self._cache.lack)
                self._journal.report(self._refusal(order.entry, 0, order.bulletin, now, why))

    def _in_vain(self, order: Order, now: int, since: int) -> bool:
        policy = self._held.policy
        return (
            order.bulletin is not None
            and since <= order.start
            and order.until <= now
            and follows_heard(order, self._journal.history)
            and order.bulletin.audience.addresses(policy.device, policy.units, policy.groups)
        )

    def _refusal(self, airing: str, repeat: int, bulletin: Bulletin, now: int, why: str) -> Receipt:
        return Receipt(
            uuid7(now),
            self._device,
            airing,
            bulletin.id,
            repeat,
            bulletin.content,
            now,
            now,
            0,
            Result.REFUSED if why in LACKS else Result.MISSED,
            why,
            clock_error=self._time.error,
        )

    def _state(self, now: int) -> DeviceState:
        on_air = self._stage.on_air
        return DeviceState(
            self._device,
            online=True,
            at=now,
            playing=self.playing,
            bulletin=on_air.play.bulletin.id if on_air else "",
            programme=self._held.programme,
            cached=self._cache.held,
            waiting=len(self._journal.unacknowledged),
            refused=dict(self._held.refused),
            version=self._version,
            clock_error=self._time.error,
        )

    def _want(self, now: int) -> None:
        """Tells the cache which contents are to come, and how soon."""
        held = self._held
        self._cache.want(waits(held.items, held.orders, held.policy, now))

    def _prepare(self, now: int) -> int:
        """When to come back: shortly before the next change, to open what will begin then, and at the change."""
        if now >= self._wake - AHEAD and self._wake > now and self._stage.on_air is None:
            play = self._decide(self._wake).play
            if play is not None:
                self._open_ahead(play)
        if self._wake <= now:
            return now + RETRY
        steps = (self._wake - AHEAD, self._wake - EARLY, self._wake)
        return min(next(s for s in steps if s > now), now + TICK)

    def _open_ahead(self, play: Play) -> None:
        try:
            self._stage.prepare(play, self._round(play, self._wake))
        except SoundError:
            return  # the start itself meets the same error, and reports it
