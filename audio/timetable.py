"""When what plays: two pure functions, the same at the hub and on the device. Standard library only.

``place`` gives approved bulletins their starts in one unit's programme; it never moves what already has one.
``what_plays`` says what a device plays at an instant, from its programme, the orders in force and its own history.

The rules (domain.md's, and nothing else):
- only an emergency interrupts; while one is in force its area is silent otherwise;
- in the quiet hours only an emergency plays, or what a dated exception of the policy allows; no exception lifts a
  silent window;
- no more scheduled sound begins than the policy's airtime of the local day still holds;
- an interrupted recording's remainder plays if it waited at most 2 minutes and still fits;
- a siren is followed by its message, however late, while its round lasts; no round has a second siren;
- each (item, repeat) begins once, across reboots;
- a relay keeps its instants: it is joined late at where it is, rejoined after an interruption, and over at its end;
- a stop silences what it names, or, naming nothing, everything that began before it;
- while a device is silenced (a stop that names everything) nothing plays on it, no emergency either;
- an order is said in the listeners' languages, in their order;
- a correction or all-clear plays once, and only where what it follows was heard; a drill's not in the quiet hours.

All times are Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from audio.documents import EVERYTHING, Airing, Bulletin, BulletinClass, ContentKind, NowKind, Policy, Resume, Span

MINUTE = 60_000
DAY = 24 * 60 * MINUTE
RESUME_WITHIN = 2 * MINUTE
"""A recording interrupted for longer is not resumed."""
GAP = 1_000
"""Silence between two items of one session."""
FOREVER = 2**62


@dataclass(frozen=True, slots=True)
class Item:
    """An airing with the bulletin that its issuer signed."""

    airing: Airing
    bulletin: Bulletin

    @property
    def relay(self) -> bool:
        return self.bulletin.kind is ContentKind.RELAY

    @property
    def over(self) -> int:
        """When a relay's window is over."""
        return min(self.airing.start + self.bulletin.duration, self.airing.latest, self.bulletin.valid_until)


@dataclass(frozen=True, slots=True)
class Order:
    """An emergency, drill, follow-up or stop in force in ``[start, until)``; ``bulletin`` is None for a stop."""

    entry: str
    kind: NowKind
    names: str
    start: int
    until: int
    bulletin: Bulletin | None = None

    @property
    def siren_alone(self) -> Order | None:
        """What is left of it on a device that holds none of its sounds: the siren or chime, which the device makes
        itself. Its round is exactly that, and comes as often as the order's own. None where it has neither.

        An order for one round (``every`` 0) sounds it once: who signed it asked for one, and a siren again and again
        without a word is no warning. The message follows in that round, whenever its sound comes.
        """
        bulletin = self.bulletin
        if self.kind not in (NowKind.EMERGENCY, NowKind.DRILL) or bulletin is None or not bulletin.siren:
            return None
        return replace(self, bulletin=replace(bulletin, content="", duration=0, times=1, also=()))


@dataclass(frozen=True, slots=True)
class Segment:
    """This device began ``airing`` (or an order's entry) at ``began`` from ``offset``; ``ended`` is None while playing.

    ``cut``: it ended early by something that may pass (an emergency, a reboot), so that its remainder may still play.
    """

    airing: str
    repeat: int
    began: int
    offset: int
    ended: int | None = None
    cut: bool = False
    bulletin: str = ""


@dataclass(frozen=True, slots=True)
class Play:
    """Sound to be on the air now: ``offset`` ms into the item's round, which is over at ``ends``."""

    airing: str
    repeat: int
    bulletin: Bulletin
    offset: int
    ends: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What plays now (None: silence, ``reason`` says why), and when to ask again at the latest."""

    play: Play | None
    reason: str
    until: int


def what_plays(
    items: Sequence[Item],
    orders: Sequence[Order],
    history: Sequence[Segment],
    now: int,
    policy: Policy,
) -> Decision:
    """The one thing this device plays at ``now``. Same input, same output, on hub and device."""
    heard = _last_segments(history)
    active = [o for o in orders if o.start <= now < o.until and _addressed(o.bulletin, policy)]
    stops = [o for o in active if o.kind is NowKind.STOP]
    alarms = [o for o in active if o.bulletin is not None and not _order_stopped(o, stops)]
    wake = _next_change(items, orders, now, policy)
    if any(s.names == EVERYTHING for s in stops):
        return Decision(None, "silenced", wake)
    loud = not is_quiet(now, policy)
    emergencies = [o for o in alarms if o.kind is NowKind.EMERGENCY]
    drills = [o for o in alarms if o.kind is NowKind.DRILL and loud and not emergencies]
    words = [o for o in alarms if o.kind is NowKind.FOLLOW_UP and (loud or _urgent(o)) and follows_heard(o, history)]
    # between two rounds of an emergency its area is silent: a drill there would be taken for the real thing
    for order in (one for kind in (emergencies, words, drills) for one in sorted(kind, key=_urgency)):
        play, again = _round(order, heard, now, policy)
        wake = min(wake, again)
        if play is not None:
            return Decision(play, str(order.kind), min(wake, play.ends))
    if emergencies:
        return Decision(None, "emergency hold", wake)
    if not loud:
        return Decision(None, "silent window" if is_silent(now, policy) else "quiet hours", wake)
    return _scheduled(items, stops, history, heard, now, policy, wake)


def _scheduled(
    items: Sequence[Item],
    stops: Sequence[Order],
    history: Sequence[Segment],
    heard: Mapping[tuple[str, int], Segment],
    now: int,
    policy: Policy,
    wake: int,
) -> Decision:
    mine = sorted(
        (i for i in items if _addressed(i.bulletin, policy) and not _item_stopped(i, stops)),
        key=lambda i: (i.airing.start, i.airing.airing),
    )
    spent, quiet = _spent(items, history, now, policy), quiet_begins(now, policy)
    reason = "held" if stops else "nothing due"
    candidates = []
    for number, item in enumerate(mine):
        segment = heard.get((item.airing.airing, item.airing.repeat))
        play = _candidate(mine, number, segment, now, quiet) if segment or item.airing.start <= now else None
        if play is None:
            continue
        on_air = segment is not None and segment.ended is None
        if on_air or _in_airtime(play, now, spent, policy):
            candidates.append((_rank(item, segment), number, play))
        else:
            reason = "airtime"
    if not candidates:
        return Decision(None, reason, wake)
    play = min(candidates, key=lambda c: c[:2])[2]
    return Decision(play, str(play.bulletin.cls), min(wake, play.ends))


def _candidate(mine: Sequence[Item], number: int, segment: Segment | None, now: int, quiet: int) -> Play | None:
    """What item ``number`` would play now if it were alone."""
    item = mine[number]
    if item.relay:
        return _join(item, segment, now, quiet)
    limit = _limit(mine, number, now, quiet)
    return _continue(item, segment, now) or _begin(item, segment, now, limit) or _again(item, segment, now, limit)


def _rank(item: Item, segment: Segment | None) -> int:
    """What is on the air goes on; then a relay, which cannot wait; then what was interrupted; then what is due."""
    if segment is not None and segment.ended is None:
        return 0
    if item.relay:
        return 1
    return 3 if segment is None else 2


def missed(
    items: Sequence[Item], history: Sequence[Segment], now: int, policy: Policy, *, since: int = 0
) -> tuple[Item, ...]:
    """Items for this device whose last chance to begin (not before ``since``) has passed without a start.

    One for which there is no room before the next has its chance after that has begun.
    """
    heard = _last_segments(history)
    mine = sorted((i for i in items if _addressed(i.bulletin, policy)), key=lambda i: i.airing.start)
    quiet = quiet_begins(now, policy)
    return tuple(
        item
        for number, item in enumerate(mine)
        if (item.airing.airing, item.airing.repeat) not in heard
        and since <= item.airing.start <= now
        and (now >= item.over if item.relay else not _chance(mine, number, now, quiet))
    )


def is_silent(now: int, policy: Policy) -> bool:
    """Whether ``now`` lies in a dated window in which nothing but an emergency sounds."""
    return any(w.start <= now < w.until for w in policy.silent)


def follows_heard(order: Order, history: Sequence[Segment]) -> bool:
    """Whether what this correction or all-clear follows was heard here, at least in part; True of any other order."""
    bulletin = order.bulletin
    if order.kind is not NowKind.FOLLOW_UP or bulletin is None:
        return True
    return bool(bulletin.follows) and any(segment.bulletin == bulletin.follows for segment in history)


def is_quiet(now: int, policy: Policy) -> bool:
    """Whether ``now`` lies in a silent window, or in the quiet hours and in no signed exception."""
    if is_silent(now, policy):
        return True
    if any(e.start <= now < e.until for e in policy.exceptions):
        return False
    minute = (now // MINUTE + policy.utc_offset) % (24 * 60)
    return any(_in_window(minute, q.start, q.end) for q in policy.quiet)


def quiet_begins(now: int, policy: Policy) -> int:
    """The next instant from ``now`` on at which quiet hours or a silent window hold; FOREVER where there are none."""
    if is_quiet(now, policy):
        return now
    nights = [_next_minute(now, q.start, policy.utc_offset) for q in policy.quiet]
    starts = [night + day * DAY for night in nights for day in (0, 1)]
    starts += [e.until for e in policy.exceptions if e.until > now]
    starts += [w.start for w in policy.silent if w.start > now]
    return next((start for start in sorted(starts) if is_quiet(start, policy)), FOREVER)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A bulletin that still needs ``repeats`` starts in one unit. ``sessions`` False: as soon as the air is free."""

    bulletin: str
    cls: BulletinClass
    duration: int
    valid_from: int
    valid_until: int
    repeats: tuple[int, ...] = (0,)
    sessions: bool = True
    order: int = 0


@dataclass(frozen=True, slots=True)
class Placement:
    bulletin: str
    repeat: int
    start: int
    latest: int


@dataclass(frozen=True, slots=True)
class Airtime:
    """At most ``limit`` ms of scheduled sound in one local day; 0: any."""

    limit: int = 0
    utc_offset: int = 420


def place(
    wanted: Sequence[Wanted],
    taken: Iterable[Span],
    sessions: Sequence[Span],
    quiet: Sequence[Span],
    now: int,
    airtime: Airtime = Airtime(),
) -> tuple[tuple[Placement, ...], tuple[Wanted, ...]]:
    """Starts for ``wanted`` around what is ``taken``, and what found no room within its validity.

    Priority before normal, then the unit's own ``order``. ``sessions`` (the best first) and ``quiet`` cover the days to
    come, in local time already turned into instants. Nothing starts before ``now``, comes nearer than ``GAP`` to what
    is taken, reaches into ``quiet``, or makes a day longer than ``airtime``.
    """
    sound = list(taken)
    busy = sorted([*(_padded(s) for s in sound), *quiet], key=lambda s: s.start)
    placed: list[Placement] = []
    homeless: list[Wanted] = []
    rank = {BulletinClass.PRIORITY: 0, BulletinClass.NORMAL: 1}
    for want in sorted(wanted, key=lambda w: (rank.get(w.cls, 0), w.order, w.bulletin)):
        windows = sessions if want.sessions else (Span(now, FOREVER),)
        after = max(now, want.valid_from)
        for repeat in want.repeats:
            spent = _by_day(sound, airtime) if airtime.limit else {}
            found = _free(want, windows, busy, after, spent, airtime)
            if found is None:
                homeless.append(want)
                break
            placed.append(Placement(want.bulletin, repeat, found.start, found.until))
            sound.append(Span(found.start, found.start + want.duration))
            busy = sorted([*busy, _padded(sound[-1])], key=lambda s: s.start)
            after = sound[-1].until + GAP
    return tuple(placed), tuple(homeless)


def _padded(span: Span) -> Span:
    return Span(span.start - GAP, span.until + GAP)


def _free(
    want: Wanted,
    windows: Sequence[Span],
    busy: Sequence[Span],
    after: int,
    spent: Mapping[int, int],
    airtime: Airtime,
) -> Span | None:
    """``start`` of the first room for the bulletin and, as ``until``, the end of the window it lies in."""
    if airtime.limit and want.duration > airtime.limit:
        return None
    for window in windows:
        end = min(window.until, want.valid_until)
        start = _clear(max(after, window.start), want.duration, busy)
        while start + want.duration <= end:
            full = _full(Span(start, start + want.duration), spent, airtime)
            if full is None:
                return Span(start, min(end, start + DAY))
            start = _clear(full, want.duration, busy)
    return None


def _clear(start: int, duration: int, busy: Sequence[Span]) -> int:
    """The first instant from ``start`` on from which so much is free."""
    for span in busy:
        if span.start < start + duration and start < span.until:
            start = span.until
    return start


def _full(span: Span, spent: Mapping[int, int], airtime: Airtime) -> int | None:
    """The end of the first day that this sound would make too long; None if there is none."""
    if not airtime.limit:
        return None
    for day, length in _by_day([span], airtime).items():
        if spent.get(day, 0) + length > airtime.limit:
            return (day + 1) * DAY - airtime.utc_offset * MINUTE
    return None


def _by_day(spans: Iterable[Span], airtime: Airtime) -> dict[int, int]:
    """Milliseconds of sound in each local day, days counted from 1970."""
    found: dict[int, int] = {}
    shift = airtime.utc_offset * MINUTE
    for span in spans:
        start, until = span.start + shift, span.until + shift
        while start < until:
            day = start // DAY
            part = min(until, (day + 1) * DAY) - start
            found[day] = found.get(day, 0) + part
            start += part
    return found


def _spent(items: Sequence[Item], history: Sequence[Segment], now: int, policy: Policy) -> dict[int, int]:
    """What this device has played of its programme, by local day (ms). Orders are nobody's airtime."""
    if not policy.airtime:
        return {}
    scheduled = {i.airing.airing for i in items}
    sound = [Span(s.began, now if s.ended is None else s.ended) for s in history if s.airing in scheduled]
    return _by_day(sound, Airtime(policy.airtime, policy.utc_offset))


def _in_airtime(play: Play, now: int, spent: Mapping[int, int], policy: Policy) -> bool:
    return _full(Span(now, play.ends), spent, Airtime(policy.airtime, policy.utc_offset)) is None


def _last_segments(history: Sequence[Segment]) -> dict[tuple[str, int], Segment]:
    return {(s.airing, s.repeat): s for s in sorted(history, key=lambda s: s.began)}


def _addressed(bulletin: Bulletin | None, policy: Policy) -> bool:
    return bulletin is None or bulletin.audience.addresses(policy.device, policy.units, policy.groups)


def _urgent(order: Order) -> bool:
    return order.bulletin is not None and order.bulletin.cls is BulletinClass.EMERGENCY


def _urgency(order: Order) -> tuple[int, str]:
    return order.start, order.entry


def _order_stopped(order: Order, stops: Sequence[Order]) -> bool:
    return any(s.names == order.names or (not s.names and order.start < s.start) for s in stops)


def _item_stopped(item: Item, stops: Sequence[Order]) -> bool:
    return any(not s.names or s.names == item.bulletin.id for s in stops)


def _round(order: Order, heard: dict[tuple[str, int], Segment], now: int, policy: Policy) -> tuple[Play | None, int]:
    """The round of an emergency that plays now, and when the next one is due."""
    bulletin = order.bulletin
    if bulletin is None:
        return None, FOREVER
    number = (now - order.start) // bulletin.every if bulletin.every else 0
    again = order.start + (number + 1) * bulletin.every if bulletin.every else FOREVER
    segment, length = heard.get((order.entry, number)), bulletin.round(policy.languages)
    if segment is None:
        return Play(order.entry, number, bulletin, 0, now + length), again
    offset = _position(segment, now)
    # who has heard the siren waits for the words: nothing of them is lost that the two minutes could be for
    unsaid = segment.cut and offset <= bulletin.siren
    if segment.ended is not None and not unsaid and not _may_resume(segment, now):
        return None, again
    if offset >= length:
        return None, again
    return Play(order.entry, number, bulletin, offset, now + length - offset), again


def _may_resume(segment: Segment, now: int) -> bool:
    return segment.cut and segment.ended is not None and now - segment.ended <= RESUME_WITHIN


def _position(segment: Segment, now: int) -> int:
    return segment.offset + (now if segment.ended is None else segment.ended) - segment.began


def _continue(item: Item, segment: Segment | None, now: int) -> Play | None:
    if segment is None or segment.ended is not None:
        return None
    offset = _position(segment, now)
    if offset >= item.bulletin.duration:
        return None
    return _play(item, offset, now)


def _join(item: Item, segment: Segment | None, now: int, quiet: int) -> Play | None:
    """The rest of a relay, from where it is now; nothing once it was ended by anything that does not pass."""
    ends = min(item.over, quiet)
    ended = segment is not None and segment.ended is not None and not segment.cut
    if ended or not item.airing.start <= now < ends:
        return None
    return Play(item.airing.airing, item.airing.repeat, item.bulletin, now - item.airing.start, ends)


def _again(item: Item, segment: Segment | None, now: int, limit: int) -> Play | None:
    """An interrupted item's remainder (or the whole, if its issuer wants that) by the rule of the two minutes."""
    if segment is None or item.bulletin.resume is Resume.DROP or not _may_resume(segment, now):
        return None
    offset = _position(segment, now) if item.bulletin.resume is Resume.RESUME else 0
    left = item.bulletin.duration - offset
    return _play(item, offset, now) if left > 0 and now + left <= limit else None


def _begin(item: Item, segment: Segment | None, now: int, limit: int) -> Play | None:
    if segment is not None or now < item.airing.start or now + item.bulletin.duration > limit:
        return None
    return _play(item, 0, now)


def _play(item: Item, offset: int, now: int) -> Play:
    ends = now + item.bulletin.duration - offset
    return Play(item.airing.airing, item.airing.repeat, item.bulletin, offset, ends)


def _limit(mine: Sequence[Item], number: int, now: int, quiet: int) -> int:
    """When item ``number`` must be over: slot, validity, the next item's start, the quiet hours."""
    item = mine[number]
    starts = (mine[n].airing.start for n in range(number + 1, len(mine)))
    following = next((start for start in starts if start > now), FOREVER)
    return min(item.airing.latest, item.bulletin.valid_until, quiet, following)


def _chance(mine: Sequence[Item], number: int, now: int, quiet: int) -> bool:
    """Whether there is room for item ``number`` before the next one, or from the start of a later one on."""
    item = mine[number]
    last = min(item.airing.latest, item.bulletin.valid_until, quiet)
    starts = [now, *(later.airing.start for later in mine[number + 1 :] if later.airing.start > now)]
    rooms = zip(starts, [*starts[1:], FOREVER], strict=True)
    return any(start + item.bulletin.duration <= min(until, last) for start, until in rooms)


def _next_change(items: Sequence[Item], orders: Sequence[Order], now: int, policy: Policy) -> int:
    times = [i.airing.start for i in items]
    times += [t for o in orders for t in (o.start, o.until)]
    times += [t for e in (*policy.exceptions, *policy.silent) for t in (e.start, e.until)]
    times += [_next_minute(now, 0, policy.utc_offset)] if policy.airtime else []
    times += [_next_minute(now, m, policy.utc_offset) for q in policy.quiet for m in (q.start, q.end)]
    return min((t for t in times if t > now), default=FOREVER)


def _in_window(minute: int, start: int, end: int) -> bool:
    return start <= minute < end if start <= end else minute >= start or minute < end


def _next_minute(now: int, minute: int, utc_offset: int) -> int:
    """The next instant after ``now`` at which the local clock shows ``minute`` minutes after midnight."""
    midnight = (now + utc_offset * MINUTE) // DAY * DAY - utc_offset * MINUTE
    at = midnight + minute * MINUTE
    return at if at > now else at + DAY
