"""Silence is a fault: what a loudspeaker says of itself against what the rules want of it. Pure; Unix milliseconds.

Two predictions of ``what_plays`` are compared with the device's own word. What an undisturbed device would be playing
tells what is due; the history that receipts prove tells what this one may still begin or go on with. Nobody is called
silent who cannot be asked, or who has receipts that the hub has not seen: those settle what the device played from its
own storage while the link, the broker or the hub was away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from audio.documents import Bulletin, DeviceState, NowKind, Policy, Receipt, Result
from audio.timetable import (
    DAY,
    FOREVER,
    GAP,
    RESUME_WITHIN,
    Decision,
    Item,
    Order,
    Play,
    Segment,
    follows_heard,
    what_plays,
)
from nms.alarms import Alarm, AlarmKind, Raised
from nms.moments import from_milliseconds
from nms.monitor.family import Metrics

GRACE = 10_000
"""How long something must be wrong before it is told."""
OFF = 2_000
"""A clock that is wrong by more than this (ms) is told."""
FETCH = 120_000
"""The longest that a sound may take to arrive; three quarters of the time to its start, if that is less."""
CALM = 2 * GAP
"""Between two items of one session nothing is due: who is silent in one is silent in the next."""
TITLES = 3

KINDS = (
    AlarmKind.SILENT,
    AlarmKind.UNSCHEDULED,
    AlarmKind.WRONG_CONTENT,
    AlarmKind.CLOCK_OFF,
    AlarmKind.CACHE_INCOMPLETE,
)
STANDING = frozenset({AlarmKind.CLOCK_OFF, AlarmKind.CACHE_INCOMPLETE})
"""What stays wrong while the device cannot be asked; the others are about a moment that passes."""

_CUT = ("emergency", "drill", "follow_up", "restart", "shutdown", "no content", "storage full")
"""Reasons of a receipt after which the remainder may still play; of the last two a siren was all that sounded."""


@dataclass(frozen=True, slots=True)
class Word:
    """What a loudspeaker said of itself: ``playing`` an airing or nothing, ``cached`` None where it did not tell.

    ``lasting``: it holds until the device says otherwise (MQTT); else it was so at ``at`` (SNMP). ``settled``: the hub
    has all of its receipts.
    """

    at: int
    playing: str
    bulletin: str = ""
    clock_error: int | None = None
    cached: tuple[str, ...] | None = None
    settled: bool = True
    lasting: bool = True


@dataclass(frozen=True, slots=True)
class Due:
    """What an undisturbed device plays, since when; ``play`` None: nothing."""

    play: Play | None
    began: int


@dataclass(frozen=True, slots=True)
class Held:
    """What one loudspeaker should hold: where it stands, the items and orders that are addressed to it, their sounds.

    Made by ``held``.
    """

    policy: Policy
    items: tuple[Item, ...] = ()
    orders: tuple[Order, ...] = ()
    contents: frozenset[str] = frozenset()

    def title(self, airing: str) -> str:
        """The title of the bulletin behind an airing or an order; the id itself if it is not known."""
        titles = {i.airing.airing: i.bulletin.title for i in self.items}
        titles |= {o.entry: o.bulletin.title for o in self.orders if o.bulletin is not None}
        return titles.get(airing, airing)


def held(policy: Policy, items: Iterable[Item], orders: Iterable[Order]) -> Held:
    """``orders``: those published for the places in which the loudspeaker stands."""
    mine = tuple(i for i in items if addresses(i.bulletin, policy))
    # the same order may reach a device by several places
    given = {o.entry: o for o in orders if o.bulletin is None or addresses(o.bulletin, policy)}
    contents = {i.bulletin.content for i in mine if not i.relay}
    contents |= {v.content for o in given.values() if o.bulletin for v in o.bulletin.said(policy.languages)}
    return Held(policy, mine, tuple(given.values()), frozenset(contents))


def addresses(bulletin: Bulletin, policy: Policy) -> bool:
    return bulletin.audience.addresses(policy.device, policy.units, policy.groups)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with a device since ``at`` at the earliest; told once it has lasted for ``patience`` ms."""

    kind: AlarmKind
    about: str
    cause: str
    at: int
    patience: int = GRACE


Memory = Mapping[tuple[str, AlarmKind, str], int]
"""Since when a finding (device, kind, what it is about) lasts."""


def word(state: DeviceState | None, metrics: Metrics | None, asked: int | None, now: int) -> Word | None:
    """The best word there is of a device: MQTT tells at once, SNMP is asked now and then; None: it cannot be asked.

    A loudspeaker that has never spoken over MQTT does not take part in broadcasts yet.
    """
    if state is None:
        return None
    if state.online:
        return Word(now, state.playing, state.bulletin, state.clock_error, state.cached, state.waiting == 0)
    playing = metrics.get("playing") if metrics is not None else None
    if metrics is None or asked is None or not isinstance(playing, bool):
        return None
    airing, error = metrics.get("airing"), metrics.get("clock_error_s")
    return Word(
        at=asked,
        playing=str(airing) if playing and airing else "",
        clock_error=round(error * 1000) if isinstance(error, float) else None,
        settled=False,
        lasting=False,
    )


def segment(receipt: Receipt) -> Segment | None:
    """What a receipt proves of the device's history; None where nothing began."""
    if receipt.result not in (Result.PLAYED, Result.PARTIAL):
        return None
    cut = receipt.result is Result.PARTIAL and receipt.reason in _CUT
    return Segment(
        receipt.airing, receipt.repeat, receipt.started, receipt.offset, receipt.ended, cut, receipt.bulletin
    )


# --- what is due ------------------------------------------------------------------------------------------------------


def undisturbed(held: Held, since: int, now: int) -> Due:
    """What a device plays at ``now`` that has done all that was due from ``since`` on, at its instant."""
    history: list[Segment] = []
    at = since
    while True:
        decision = what_plays(held.items, held.orders, history, at, held.policy)
        _follow(history, decision, held.orders, at)
        if decision.until > now:
            on_air = history[-1].began if decision.play is not None else at
            return Due(decision.play, on_air)
        at = decision.until


def _follow(history: list[Segment], decision: Decision, orders: Sequence[Order], at: int) -> None:
    """Write down what begins and what ends at ``at``."""
    play = decision.play
    last = history[-1] if history and history[-1].ended is None else None
    if last is not None:
        if play is not None and (play.airing, play.repeat) == (last.airing, last.repeat):
            return
        by_order = decision.reason == "emergency hold" or (play is not None and _is_order(play.airing, orders))
        history[-1] = replace(last, ended=at, cut=by_order)
    if play is not None:
        history.append(Segment(play.airing, play.repeat, at, play.offset, bulletin=play.bulletin.id))


def _is_order(airing: str, orders: Sequence[Order]) -> bool:
    return any(order.entry == airing for order in orders)


def _may_begin(held: Held, history: Sequence[Segment], at: int) -> Play | None:
    """What this device, with its own history, must begin or go on with at ``at``."""
    begun = {(s.airing, s.repeat) for s in history}
    waiting = any(
        i.airing.start <= at <= (i.over if i.relay else i.airing.latest - i.bulletin.duration)
        and (i.airing.airing, i.airing.repeat) not in begun
        for i in held.items
    )
    relays = {i.airing.airing for i in held.items if i.relay and i.airing.start <= at < i.over}
    cut = any(s.cut and s.ended is not None and (s.airing in relays or at - s.ended <= RESUME_WITHIN) for s in history)
    if not (waiting or cut or any(o.start <= at < o.until for o in held.orders)):
        return None
    return what_plays(held.items, held.orders, history, at, held.policy).play


def _due(held: Held, said: Word, history: Sequence[Segment], due: Due) -> Play | None:
    """What should sound while the device says that nothing does."""
    if said.lasting:
        if not said.settled:
            return None
        play = _may_begin(held, history, said.at)
        if play is not None:
            return play
    elif said.at - due.began < GRACE:
        return None
    begun = {(s.airing, s.repeat) for s in history}
    if due.play is None or (due.play.airing, due.play.repeat) in begun:
        return None
    # an undisturbed device has heard the alarm whose end is told; this one may not have
    meant = all(follows_heard(o, history) for o in held.orders if o.entry == due.play.airing)
    return due.play if meant else None


def _able(held: Held, cached: Sequence[str] | None) -> Held:
    """What of it can sound on a device with these sounds: of an order that has none of its own there, the siren.

    An order without a siren stays whole: it should be heard, and nothing of it is.
    """
    if cached is None or not held.orders:
        return held
    return replace(held, orders=tuple((_dumb(o, cached) and o.siren_alone) or o for o in held.orders))


def _dumb(order: Order, cached: Sequence[str]) -> bool:
    return order.bulletin is not None and not any(voice.content in cached for voice in order.bulletin.voices)


# --- what is wrong ----------------------------------------------------------------------------------------------------


def find(
    held: Held, said: Word, history: Sequence[Segment], due: Due, soon: Due, playing_since: int
) -> Iterator[Finding]:
    """Everything that is wrong with a loudspeaker by its own word.

    ``due``: what an undisturbed one plays at ``said.at``; ``soon``: ``CALM`` later. ``playing_since``: how long the hub
    knows that it plays what it plays.
    """
    able = _able(held, said.cached)
    if said.playing:
        yield from _sounding(able, said, history, due, playing_since)
    else:
        yield from _silent(able, said, history, due, soon)
    if said.clock_error is not None and abs(said.clock_error) > OFF:
        yield Finding(AlarmKind.CLOCK_OFF, "", f"{said.clock_error / 1000:+.0f} s", said.at)
    if said.cached is not None:
        yield from _lacking(held, said.cached, history, said.at)


def _silent(held: Held, said: Word, history: Sequence[Segment], due: Due, soon: Due) -> Iterator[Finding]:
    at = said.at
    play = _due(held, said, history, due)
    if play is None and due.play is None and said.lasting:
        at = said.at + CALM
        play = _due(held, Word(at, "", settled=said.settled), history, soon)
    if play is not None:
        yield Finding(AlarmKind.SILENT, f"{play.airing} {play.repeat}", play.bulletin.title, at)


def _sounding(held: Held, said: Word, history: Sequence[Segment], due: Due, since: int) -> Iterator[Finding]:
    wanted = due.play
    if wanted is not None and wanted.airing == said.playing:
        right = not said.bulletin or said.bulletin == wanted.bulletin.id
    else:
        right = _allowed(held, said, history, since)
    if right:
        return
    instead = wanted or _may_begin(held, history, said.at)
    if instead is not None:
        yield Finding(AlarmKind.WRONG_CONTENT, said.playing, instead.bulletin.title, said.at)
    else:
        yield Finding(AlarmKind.UNSCHEDULED, said.playing, held.title(said.playing), said.at)


def _allowed(held: Held, said: Word, history: Sequence[Segment], since: int) -> bool:
    """Whether the rules let a device that plays this go on with it."""
    order = next((o for o in held.orders if o.entry == said.playing), None)
    if order is not None:
        # which of several emergencies' rounds is on the air is the device's to say
        rivals = [o for o in held.orders if o.kind is NowKind.STOP or _outranks(o, order)]
        before = [s for s in history if order.bulletin is not None and s.bulletin == order.bulletin.follows]
        play = what_plays((), (order, *rivals), before, said.at, held.policy).play
        return play is not None and play.airing == order.entry
    item = next((i for i in held.items if i.airing.airing == said.playing), None)
    if item is None:
        return False
    open_ = Segment(said.playing, item.airing.repeat, min(since, said.at), 0)
    play = what_plays(held.items, held.orders, (*history, open_), said.at, held.policy).play
    return play is not None and play.airing == said.playing


def _outranks(other: Order, order: Order) -> bool:
    return other.kind is NowKind.EMERGENCY and order.kind is NowKind.DRILL


def _lacking(held: Held, cached: Sequence[str], history: Sequence[Segment], now: int) -> Iterator[Finding]:
    """Sounds of the next day that the device does not hold."""
    missing = held.contents.difference(cached)
    if not missing:
        return
    titles: dict[str, str] = {}
    starts: dict[str, int] = {}
    begun = {(s.airing, s.repeat) for s in history}
    for item in held.items:
        passed = item.airing.start <= now and now + item.bulletin.duration > item.airing.latest
        done = (item.airing.airing, item.airing.repeat) in begun
        if item.bulletin.content in missing and not passed and not done and item.airing.start < now + DAY:
            titles[item.bulletin.content] = item.bulletin.title
            starts[item.bulletin.content] = min(item.airing.start, starts.get(item.bulletin.content, FOREVER))
    for order in held.orders:
        if order.bulletin is None or order.until <= now:
            continue
        for content in missing & {voice.content for voice in order.bulletin.said(held.policy.languages)}:
            titles[content] = order.bulletin.title
            starts[content] = order.start
    for content, title in titles.items():
        patience = max(GRACE, min(FETCH, 3 * (starts[content] - now)))
        yield Finding(AlarmKind.CACHE_INCOMPLETE, content, title, now, patience)


# --- what is told -----------------------------------------------------------------------------------------------------


def tell(
    found: Mapping[str, Iterable[Finding]], before: Memory, told: Iterable[Alarm], now: int
) -> tuple[frozenset[Raised], Memory]:
    """What to raise, and what to remember. ``found``: by device, only those that can be asked.

    ``told``: the open alarms; of a device that cannot be asked what stands stays told.
    """
    memory: dict[tuple[str, AlarmKind, str], int] = {}
    raised = [
        Raised(alarm.subject, alarm.kind, alarm.since, alarm.cause, alarm.affected, opens=False)
        for alarm in told
        if alarm.kind in STANDING and alarm.subject not in found
    ]
    for device, findings in found.items():
        by_kind: dict[AlarmKind, list[tuple[int, bool, str]]] = {}
        for finding in findings:
            key = device, finding.kind, finding.about
            since = memory[key] = before.get(key, finding.at)
            lasts = now - since >= finding.patience
            by_kind.setdefault(finding.kind, []).append((since, lasts, finding.cause))
        raised += [_raised(device, kind, each) for kind, each in by_kind.items()]
    return frozenset(raised), memory


def _raised(device: str, kind: AlarmKind, each: Sequence[tuple[int, bool, str]]) -> Raised:
    """One alarm of one kind over all that lasts; with nothing that lasts yet, what keeps an open one open."""
    lasting = sorted(one for one in each if one[1])
    shown = lasting or sorted(each)
    causes = ", ".join(dict.fromkeys(cause for _, _, cause in shown[:TITLES]))
    return Raised(device, kind, from_milliseconds(shown[0][0]), causes, (device,), bool(lasting))
