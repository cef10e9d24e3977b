"""What was heard: receipts against what was planned, as a report per bulletin. Pure; times are Unix milliseconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from audio.documents import Receipt, Result


class Heard(StrEnum):
    """Best of what a device reports about one bulletin; ``waiting`` while it has reported nothing.

    ``silenced``: it could not be heard because somebody silenced the device.
    """

    HEARD = "heard"
    PARTIAL = "partial"
    MISSED = "missed"
    REFUSED = "refused"
    SILENCED = "silenced"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Planned:
    """When an airing or the first round of an order was to start; rounds follow ``every`` ms apart (0: one)."""

    airing: str
    start: int
    every: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One addressed device: it started first ``at``, ``latency`` ms late; ``reason`` says why it was not heard."""

    device: str
    heard: Heard
    at: int | None = None
    latency: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Who heard a bulletin. ``p50`` and ``p99`` are start latencies in ms, None while nobody has started.

    ``aired`` is the sound put out by all devices together, in ms.
    """

    bulletin: str
    outcomes: tuple[Outcome, ...]
    counts: Mapping[Heard, int]
    p50: int | None
    p99: int | None
    aired: int

    @property
    def addressed(self) -> int:
        return len(self.outcomes)


_BEST: Sequence[tuple[Result, Heard]] = (
    (Result.PLAYED, Heard.HEARD),
    (Result.PARTIAL, Heard.PARTIAL),
    (Result.MISSED, Heard.MISSED),
    (Result.REFUSED, Heard.REFUSED),
)
_SOUNDED = (Result.PLAYED, Result.PARTIAL)


def report(
    bulletin: str,
    addressed: Iterable[str],
    planned: Iterable[Planned],
    receipts: Collection[Receipt],
    silenced: Collection[str] = (),
) -> Report:
    """The report over the ``addressed`` devices; receipts of others count in ``aired`` only.

    ``silenced``: devices that were not to be heard at that time.
    """
    starts = {p.airing: p for p in planned}
    by_device: dict[str, list[Receipt]] = {}
    for receipt in receipts:
        by_device.setdefault(receipt.device, []).append(receipt)
    told = (_outcome(d, by_device.get(d, []), starts) for d in sorted(set(addressed)))
    outcomes = tuple(_but_silenced(o) if o.device in silenced else o for o in told)
    found = Counter(o.heard for o in outcomes)
    latencies = [o.latency for o in outcomes if o.latency is not None]
    return Report(
        bulletin,
        outcomes,
        {kind: found[kind] for kind in Heard},
        percentile(latencies, 50),
        percentile(latencies, 99),
        aired(receipts),
    )


def aired(receipts: Iterable[Receipt]) -> int:
    """Milliseconds of sound that these receipts prove (the as-run time)."""
    return sum(max(0, r.ended - r.started) for r in receipts if r.result in _SOUNDED)


def percentile(values: Collection[int], percent: int) -> int | None:
    """The smallest value that at least ``percent`` % of the values do not exceed; None of none."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None


def _outcome(device: str, receipts: Sequence[Receipt], starts: Mapping[str, Planned]) -> Outcome:
    results = {r.result for r in receipts}
    heard = next((kind for result, kind in _BEST if result in results), Heard.WAITING)
    begun = [r for r in receipts if r.result in _SOUNDED]
    if not begun:
        reasons = [r.reason for r in sorted(receipts, key=lambda r: r.started) if r.reason]
        return Outcome(device, heard, reason=reasons[-1] if reasons else "")
    first = min(begun, key=lambda r: r.started)
    reason = first.reason if heard is Heard.PARTIAL else ""
    return Outcome(device, heard, first.started, _latency(first, starts), reason)


def _but_silenced(outcome: Outcome) -> Outcome:
    if outcome.heard in (Heard.HEARD, Heard.PARTIAL):
        return outcome
    return Outcome(outcome.device, Heard.SILENCED)


def _latency(receipt: Receipt, starts: Mapping[str, Planned]) -> int | None:
    """None for a remainder: how late an interrupted item goes on says nothing about the link."""
    planned = starts.get(receipt.airing)
    if planned is None or receipt.offset:
        return None
    return receipt.started - planned.start - receipt.repeat * planned.every
