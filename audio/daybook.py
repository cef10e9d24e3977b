"""The as-run log of one day: what was to be heard, what was, what was not and why. Pure; times are Unix milliseconds.

What begins on a day belongs to it, with all that follows after midnight: a planned start by the instant for which it
was planned, so that planned and heard are of one day; a start that nobody planned by its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from audio.documents import LANGUAGES, Audience, Bulletin, Receipt, Result, Span
from audio.receipts import Planned, aired

LATE = 2_000
"""A start this many ms after its instant is told as late."""
SETTLE = 60_000
"""Milliseconds after the last chance to begin in which a receipt may still come before a device has said nothing."""
UNTOLD = "no receipt"
"""The reason of what is missing from a device that has said nothing about it."""
SILENCED = "silenced"
"""The reason in a receipt of a device on which nothing may be heard."""
SOUNDED = (Result.PLAYED, Result.PARTIAL)


class By(StrEnum):
    """What a line of the log is about: the commune in which it was heard, the tier that spoke, the bulletin."""

    UNIT = "unit"
    TIER = "tier"
    BULLETIN = "bulletin"


class Fate(StrEnum):
    """What became of one planned start on one device."""

    HEARD = "heard"
    PARTIAL = "partial"
    MISSING = "missing"
    SILENCED = "silenced"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Start:
    """One planned start: an item of a programme, or one round of an order.

    It is published for ``places`` and means the devices of ``audience`` there (as of ``Listener``). At ``over`` it
    cannot be heard any more. ``length``: the ms of sound asked of each device, unless ``voiced`` says it in the
    listeners' own languages. ``optional``: asked only of the devices that have said something about it (cancelled
    since, or for those who heard something else).
    """

    airing: str
    repeat: int
    bulletin: str
    start: int
    over: int
    length: int
    places: frozenset[str]
    audience: frozenset[str]
    optional: bool = False
    voiced: Bulletin | None = None

    def asked(self, languages: tuple[str, ...]) -> int:
        return self.length if self.voiced is None else self.voiced.round(languages)


@dataclass(frozen=True, slots=True)
class Listener:
    """A loudspeaker and where it stood that day: ``places`` are ``prog/<unit>``, ``u/<unit>``, ``g/<group>`` and
    ``d/<device>``. ``silenced``: when nothing might be heard from it. ``languages``: its hamlet's.
    """

    device: str
    unit: str
    places: frozenset[str]
    silenced: tuple[Span, ...] = ()
    languages: tuple[str, ...] = LANGUAGES


@dataclass(frozen=True, slots=True)
class Day:
    """What was planned: the day's starts, and when all that receipts around it may be about was to begin.

    ``orders``: the ids of those that are orders, or relays that go on after the day.
    """

    span: Span
    starts: tuple[Start, ...]
    planned: Mapping[str, Planned]
    orders: frozenset[str] = frozenset()

    def begun(self, receipt: Receipt) -> bool:
        """Whether what the receipt is about belongs to this day."""
        known = self.planned.get(receipt.airing)
        at = receipt.started if known is None else known.start + receipt.repeat * known.every
        return self.span.start <= at < self.span.until


@dataclass(frozen=True, slots=True)
class Line:
    """Planned starts on devices and what became of them: planned = heard + partial + missing + silenced + pending.

    ``late`` are some of those begun, ``unplanned`` starts come on top. ``requested`` and ``aired`` are ms of sound;
    what may still be heard is not requested yet. ``partial`` and ``missing`` count by reason.
    """

    key: str
    planned: int
    begun: int
    heard: int
    late: int
    partial: Mapping[str, int]
    missing: Mapping[str, int]
    silenced: int
    pending: int
    unplanned: int
    requested: int
    aired: int


@dataclass(slots=True)
class _Sum:
    figures: Counter[str] = field(default_factory=Counter)
    partial: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)


class Book:
    """Adds up a day, one device after the other."""

    def __init__(self, day: Day, by: By, now: int) -> None:
        self._day = day
        self._by = by
        self._now = now
        self._sums: dict[tuple[str, str], _Sum] = {}
        self._at: dict[str, list[Start]] = {}
        for start in day.starts:
            for place in start.places:
                self._at.setdefault(place, []).append(start)

    def add(self, listener: Listener, receipts: Iterable[Receipt], tiers: Mapping[str, str]) -> None:
        """Everything about one device. ``receipts``: its own, of this day or around it; ``tiers``: by bulletin."""
        told: dict[tuple[str, int], list[Receipt]] = {}
        words: dict[str, str] = {}
        for receipt in receipts:
            if self._day.begun(receipt):
                told.setdefault((receipt.airing, receipt.repeat), []).append(receipt)
            if receipt.repeat == 0 and receipt.result not in SOUNDED:
                # who never began an order says so once, for all of its rounds
                words[receipt.airing] = _reason(receipt)
        for (airing, repeat), start in self._meant(listener).items():
            mine = told.pop((airing, repeat), [])
            if mine or not start.optional:
                fate, reason = outcome(start, mine, words.get(airing, ""), listener.silenced, self._now)
                into, asked = self._sum(listener, start.bulletin, tiers), start.asked(listener.languages)
                _count(into, replace(start, length=asked), mine, fate, reason)
        for extra in told.values():
            for receipt in extra:
                if receipt.result in SOUNDED:
                    figures = self._sum(listener, receipt.bulletin, tiers).figures
                    figures["unplanned"] += not receipt.offset
                    figures["aired"] += aired((receipt,))

    @property
    def lines(self) -> tuple[Line, ...]:
        return self._lines(lambda key, tier: key)

    @property
    def tiers(self) -> tuple[Line, ...]:
        return self._lines(lambda key, tier: tier)

    @property
    def total(self) -> Line:
        return next(iter(self._lines(lambda key, tier: "")), _line("", _Sum()))

    def _lines(self, key: Callable[[str, str], str]) -> tuple[Line, ...]:
        """The sums together that ``key`` (of what a line is about, and the tier) gives the same name."""
        found: dict[str, _Sum] = {}
        for names, each in self._sums.items():
            whole = found.setdefault(key(*names), _Sum())
            whole.figures.update(each.figures)
            whole.partial.update(each.partial)
            whole.missing.update(each.missing)
        return tuple(_line(name, each) for name, each in found.items())

    def _meant(self, listener: Listener) -> dict[tuple[str, int], Start]:
        """The starts that this device was to hear; one that reaches it by several places is one."""
        return {
            (start.airing, start.repeat): start
            for place in listener.places
            for start in self._at.get(place, ())
            if not start.audience.isdisjoint(listener.places)
        }

    def _sum(self, listener: Listener, bulletin: str, tiers: Mapping[str, str]) -> _Sum:
        tier = tiers.get(bulletin, "")
        names = {By.UNIT: listener.unit, By.TIER: tier, By.BULLETIN: bulletin}[self._by], tier
        found = self._sums.get(names)
        if found is None:
            found = self._sums[names] = _Sum()
        return found


def outcome(
    start: Start, receipts: Sequence[Receipt], word: str, silenced: Collection[Span], now: int
) -> tuple[Fate, str]:
    """What became of a start on a device, and why if it was not heard whole.

    ``word``: the reason that the device gave for the whole order of which this is a round.
    """
    results = {r.result for r in receipts}
    if Result.PLAYED in results:
        return Fate.HEARD, ""
    if Result.PARTIAL in results:
        return Fate.PARTIAL, _last(r for r in receipts if r.result is Result.PARTIAL)
    reason = _last(receipts) or word
    if reason == SILENCED or any(s.start < start.start + start.length and start.start < s.until for s in silenced):
        return Fate.SILENCED, ""
    if reason:
        return Fate.MISSING, reason
    return (Fate.PENDING, "") if now < start.over + SETTLE else (Fate.MISSING, UNTOLD)


def audience_places(audience: Audience) -> frozenset[str]:
    """The audience in the words of ``Listener.places``."""
    return frozenset(
        (
            *(f"u/{unit}" for unit in audience.units),
            *(f"g/{group}" for group in audience.groups),
            *(f"d/{device}" for device in audience.devices),
        )
    )


def share(part: int, whole: int) -> float | None:
    """Percent; None of nothing."""
    return 100 * part / whole if whole else None


def _count(into: _Sum, start: Start, mine: Sequence[Receipt], fate: Fate, reason: str) -> None:
    begun = [r for r in mine if r.result in SOUNDED]
    figures = into.figures
    figures["planned"] += 1
    figures["begun"] += bool(begun)
    figures["late"] += _late(start, begun)
    figures["requested"] += start.length if fate is not Fate.PENDING else 0
    figures["aired"] += aired(begun)
    if fate is Fate.PARTIAL:
        into.partial[reason] += 1
    elif fate is Fate.MISSING:
        into.missing[reason] += 1
    else:
        figures[fate] += 1


def _late(start: Start, begun: Sequence[Receipt]) -> bool:
    """How late a remainder goes on says nothing."""
    first = min((r.started for r in begun if not r.offset), default=start.start)
    return first - start.start > LATE


def _last(receipts: Iterable[Receipt]) -> str:
    """The reason in the latest of them; empty where there is none of them."""
    last = max(receipts, key=lambda r: r.started, default=None)
    return "" if last is None else _reason(last)


def _reason(receipt: Receipt) -> str:
    return receipt.reason or str(receipt.result)


def _line(key: str, total: _Sum) -> Line:
    figures = total.figures
    return Line(
        key,
        figures["planned"],
        figures["begun"],
        figures["heard"],
        figures["late"],
        dict(total.partial),
        dict(total.missing),
        figures["silenced"],
        figures["pending"],
        figures["unplanned"],
        figures["requested"],
        figures["aired"],
    )
