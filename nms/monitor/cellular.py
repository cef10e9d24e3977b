"""What the mobile network costs and how well it carries: bytes per SIM and month, quota, forecast, signal. Pure.

Months are calendar months in Vietnam's time. A ``Usage`` is all that is remembered between two readings of a SIM:
kept in the store it survives restarts, and however seldom it is written, nothing is counted twice, because the
counters it was made from are in it.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final

from inventory.model import TIMEZONE, DeviceId, Sim

WRAP: Final = 1 << 32

FASTEST: Final = 150e6 / 8
"""Bytes per second in one direction that the fleet's modems can carry: LTE category 4 (3GPP TS 36.306 table 4.1-1)."""

SLACK: Final = 60.0
"""Seconds that agents and proxies may hold a counter back before they show it."""

LONGEST_BLIND: Final = 2 * 3600.0
"""Seconds between two looks at a SIM after which nothing is said about the time between them."""

OBSERVED: Final = timedelta(days=1)
"""Time that must have been counted before a month is forecast from it."""

NEAR: Final = 0.8
"""Share of the quota from which a SIM is near its end."""


@dataclass(frozen=True, slots=True)
class Usage:
    """One SIM in one month (``YYYY-MM``).

    ``bytes`` in both directions since ``since``. ``last_rx`` and ``last_tx`` are ``device``'s counters as read at
    ``counted``. ``updated`` is the last look, ``without`` whether there was no service then, ``without_s`` the
    seconds of the month without service.
    """

    sim: str
    month: str
    device: DeviceId
    since: datetime
    updated: datetime
    bytes: int = 0
    last_rx: int | None = None
    last_tx: int | None = None
    counted: datetime | None = None
    without: bool = False
    without_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a SIM: its device's counters (received, sent) and uptime in seconds, where it told them.

    ``service``: whether the SIM had service; None where that cannot be told (mains lost, maintenance).
    """

    sim: str
    device: DeviceId
    at: datetime
    service: bool | None
    counters: tuple[int, int] | None = None
    uptime: float | None = None


def card(sim: Sim) -> str:
    """What a SIM is called where its use is kept; empty if nothing tells it from others."""
    return sim.iccid or sim.number


def month_of(at: datetime) -> str:
    return at.astimezone(TIMEZONE).strftime("%Y-%m")


@lru_cache(maxsize=64)
def month_bounds(month: str) -> tuple[datetime, datetime]:
    """The first moments of the month and of the next."""
    year, number = int(month[:4]), int(month[5:])
    begin = datetime(year, number, 1, tzinfo=TIMEZONE)
    return begin, begin + timedelta(days=monthrange(year, number)[1])


# --- counting ---------------------------------------------------------------------------------------------------------


def grown(before: int, after: int, elapsed: float, uptime: float | None) -> int:
    """Bytes a counter counted within ``elapsed`` seconds, over a restart and a 32-bit wrap.

    A counter that went down wrapped if the device did not restart and the link could have carried that much;
    otherwise it began again at zero. What no link could have carried is another counter's value and counts nothing.
    """
    possible = FASTEST * (max(elapsed, 0.0) + SLACK)
    restarted = uptime is not None and uptime < elapsed
    if after >= before:
        delta = after - before
    elif not restarted and before < WRAP and after + WRAP - before <= possible:
        delta = after + WRAP - before
    else:
        delta = after
    return delta if delta <= possible else 0


def count(before: Usage | None, look: Look) -> tuple[Usage, ...]:
    """The SIM's usage after one more look; where months have turned since, each of them, the present one last.

    What was counted over the turn of a month is shared by time. Another device's counters begin a new count. A clock
    set back changes nothing until it has caught up.
    """
    if before is None:
        begun = Usage(look.sim, month_of(look.at), look.device, look.at, look.at)
        return (_noted(begun, look),)
    at = max(look.at, before.updated)
    if at < month_bounds(before.month)[1]:
        lost = _lost(before, before.updated, at, at)
        return (_noted(before, replace(look, at=at) if at != look.at else look, _delta(before, look), lost),)
    shares = _shares(before, at, _delta(before, look))
    usages: list[Usage] = []
    for month, start, end in _months(before.updated, at):
        usage = before if month == before.month else replace(before, month=month, since=start, bytes=0, without_s=0.0)
        lost = _lost(before, start, end, at)
        usages.append(replace(usage, bytes=usage.bytes + shares[month], without_s=usage.without_s + lost))
    return (*usages[:-1], _noted(usages[-1], replace(look, at=at)))


def _lost(before: Usage, start: datetime, end: datetime, at: datetime) -> float:
    """Seconds of ``start .. end`` without service, the next look being at ``at``."""
    if not before.without or (at - before.updated).total_seconds() > LONGEST_BLIND:
        return 0.0
    return (end - start).total_seconds()


def _delta(before: Usage, look: Look) -> int:
    if look.device != before.device or look.counters is None or before.counted is None:
        return 0
    elapsed = (look.at - before.counted).total_seconds()
    pairs = zip((before.last_rx, before.last_tx), look.counters, strict=True)
    return sum(grown(old, new, elapsed, look.uptime) for old, new in pairs if old is not None)


def _noted(usage: Usage, look: Look, gained: int = 0, lost: float = 0.0) -> Usage:
    """With what was gained and lost, and with the look's service and counters for the next look to compare with."""
    counters, counted, device = (usage.last_rx, usage.last_tx), usage.counted, usage.device
    if look.counters is not None:
        counters, counted, device = look.counters, look.at, look.device
    return Usage(
        usage.sim,
        usage.month,
        device,
        usage.since,
        look.at,
        usage.bytes + gained,
        *counters,
        counted,
        look.service is False,
        usage.without_s + lost,
    )


def _months(start: datetime, end: datetime) -> Iterator[tuple[str, datetime, datetime]]:
    """The parts of ``start .. end`` by month; at least one, perhaps empty."""
    while True:
        month = month_of(start)
        turn = month_bounds(month)[1]
        yield month, start, min(turn, end)
        if end < turn:
            return
        start = turn


def _shares(before: Usage, end: datetime, total: int) -> Mapping[str, int]:
    """``total`` by months in proportion to time; the last month has the rest, so that nothing is lost."""
    start = max(before.counted or before.updated, month_bounds(before.month)[0])
    parts = list(_months(start, end))
    whole = max((end - start).total_seconds(), 1e-6)
    shares = {month: int(total * (until - since).total_seconds() / whole) for month, since, until in parts[:-1]}
    return {**shares, parts[-1][0]: total - sum(shares.values())}


# --- cost -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Quota:
    """``bytes`` that a plan gives for ``days``; None: for a calendar month."""

    bytes: int
    days: int | None = None

    def in_month(self, month: str) -> int:
        """What the plan gives in that month."""
        begin, end = month_bounds(month)
        return self.bytes if self.days is None else self.bytes * (end - begin).days // self.days


_SIZE: Final = re.compile(
    r"(?<![\w.,])(\d{1,6}(?:[.,]\d{1,3})?) ?([KMGT])B(?:/(?:(\d{1,3}) ?(?:d|ngày)|(day|ngày)|(month|tháng)))?(?!\w)",
    re.IGNORECASE,
)
_UNITS: Final = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def quota(plan: str) -> Quota | None:
    """The quota a plan's name tells ("3GB", "M2M-2GB", "3GB/30d", "500MB/ngày"); None if it tells none or several.

    Decimal units: where the operator counts in 1,024s, the warning comes a little early.
    """
    found = list(_SIZE.finditer(plan))
    if len(found) != 1:
        return None
    number, unit, days, day, _ = found[0].groups()
    size = round(float(number.replace(",", ".")) * _UNITS[unit.upper()])
    period = int(days) if days else 1 if day else None
    return Quota(size, period) if size > 0 and period != 0 else None


def forecast(usage: Usage, now: datetime) -> int | None:
    """What the whole month comes to at the rate counted so far; None before enough of it was counted."""
    begin, end = month_bounds(usage.month)
    seen = min(usage.updated, end) - usage.since
    if seen < OBSERVED:
        return None
    unseen = (end - begin) - seen if now < end else timedelta(0)
    return usage.bytes + round(usage.bytes * (unseen / seen))


class Level(StrEnum):
    """How a SIM stands with its quota."""

    UNKNOWN = "unknown"
    FINE = "fine"
    NEAR = "near"
    HEADING_OVER = "heading_over"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Spending:
    """A SIM's month in bytes: used, what the plan gives, what the month will come to; None where it is not known."""

    used: int
    quota: int | None
    forecast: int | None
    level: Level


def spending(usage: Usage, plan: str, now: datetime) -> Spending:
    known = quota(plan)
    given = known.in_month(usage.month) if known else None
    expected = forecast(usage, now)
    return Spending(usage.bytes, given, expected, _level(usage.bytes, given, expected))


def _level(used: int, given: int | None, expected: int | None) -> Level:
    if given is None:
        return Level.UNKNOWN
    if used >= given:
        return Level.OVER
    if expected is not None and expected > given:
        return Level.HEADING_OVER
    return Level.NEAR if used >= NEAR * given else Level.FINE


SURE: Final = 0.25
"""Share of the quota that must be used before a forecast alarms: one large download on the first day is none yet."""

STILL: Final = 0.95
"""Share of the quota below which a forecast must fall before its alarm ends."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """What to tell of a SIM: its quota is nearly used (``NEAR``), used (``OVER``) or will be (``HEADING_OVER``).

    ``sure``: False where it is told only if it was before.
    """

    level: Level
    sure: bool = True


def crossing(spent: Spending) -> Crossing | None:
    """What to tell; None while all is well, or nothing is known of a quota."""
    if not spent.quota:
        return None
    if spent.used >= NEAR * spent.quota:
        return Crossing(Level.OVER if spent.used >= spent.quota else Level.NEAR)
    if spent.forecast is None or spent.used < SURE * spent.quota or spent.forecast < STILL * spent.quota:
        return None
    return Crossing(Level.HEADING_OVER, spent.forecast > spent.quota)


# --- signal -----------------------------------------------------------------------------------------------------------


class Signal(StrEnum):
    EXCELLENT = "excellent"
    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"


_CLASSES: Final = (Signal.EXCELLENT, Signal.GOOD, Signal.FAIR, Signal.POOR)

_BOUNDS: Final[Mapping[str, tuple[tuple[float, float], tuple[float, float, float]]]] = {
    "rsrp_dbm": ((-156.0, -44.0), (-80.0, -90.0, -100.0)),
    "rsrq_db": ((-34.0, 2.5), (-10.0, -15.0, -20.0)),
    "sinr_db": ((-23.0, 40.0), (20.0, 13.0, 0.0)),
}
"""Per metric the range that LTE modems report (RSRP and RSRQ: 3GPP TS 36.133 sections 9.1.4 and 9.1.7; SINR: TS 38.133
section 10.1.16) and the least excellent, good and fair value, as modem makers use them (Teltonika's wiki, "Mobile
Signal Strength Recommendations": https://wiki.teltonika-networks.com/view/Mobile_Signal_Strength_Recommendations)."""


@dataclass(frozen=True, slots=True)
class Reception:
    """``signal``: the class of the worst of the values, None without one; ``worst``: which metric that is."""

    operator: str
    signal: Signal | None
    worst: str | None = None


def reception(metrics: Mapping[str, float | str | bool], operator: str) -> Reception:
    """How well a device hears its cell; ``operator`` is the SIM's, used where the device names none."""
    named = metrics.get("operator")
    name = named if isinstance(named, str) and named else operator
    classes = [(found, metric) for metric in _BOUNDS if (found := _class(metric, metrics.get(metric))) is not None]
    if not classes:
        return Reception(name, None)
    rank, worst = max(classes, key=lambda each: each[0])
    return Reception(name, _CLASSES[rank], worst)


def _class(metric: str, value: float | str | bool | None) -> int | None:
    """The place in ``_CLASSES``; None for what no modem reports."""
    if value is None or isinstance(value, str | bool):
        return None
    (low, high), bounds = _BOUNDS[metric]
    if not low <= value <= high:
        return None
    return sum(1 for least in bounds if value < least)
