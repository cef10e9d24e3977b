"""What was heard on a day, as offices read it: a table, the reasons, minutes by tier; for spreadsheets and programs."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final, TextIO

from audio.daybook import UNTOLD, By, share
from nms.i18n import N_, decimal, number
from tui.asrun_methods import DayLine, DayLog
from tui.views.words import REASONS, TIERS

Translate = Callable[[str], str]

HEADINGS: Final[Mapping[By, str]] = {By.UNIT: N_("unit"), By.TIER: N_("tier"), By.BULLETIN: N_("bulletin")}
COUNTS: Final[Sequence[tuple[str, str]]] = (
    ("planned", N_("planned")),
    ("begun", N_("begun")),
    ("heard", N_("heard whole")),
    ("late", N_("late")),
    ("partial", N_("in part")),
    ("missing", N_("missing")),
    ("silenced", N_("silenced")),
    ("pending", N_("to come")),
    ("unplanned", N_("unplanned")),
)
SOUND: Final[Sequence[str]] = (N_("seconds requested"), N_("seconds aired"), N_("ratio"), N_("% heard"))
WIDEST = 36
"""Characters of a title in the table."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MORE_REASONS: Final[Mapping[str, str]] = {UNTOLD: N_("no receipt: the device has said nothing")}


def lines(log: DayLog, translate: Translate) -> Iterator[str]:
    """The table with its total, why something was not heard, minutes by tier."""
    heading = translate(N_("As-run log of {day}, {devices} clusters"))
    yield heading.format(day=_day(log.day), devices=number(log.devices))
    if not log.lines:
        yield translate(N_("nothing was planned, nothing was played"))
        return
    rows = [_cells(row, _name(log.by, row, translate)[:WIDEST]) for row in log.lines]
    rows.append(_cells(log.total, translate(N_("total"))))
    yield from _table([_header(log.by, translate), *rows])
    yield from _reasons(N_("in part: {reasons}"), log.total.partial, translate)
    yield from _reasons(N_("missing: {reasons}"), log.total.missing, translate)
    minutes = [f"{_tier(row.key, translate)} {decimal(row.aired / 60_000)}" for row in log.tiers if row.aired]
    if minutes:
        yield translate(N_("minutes by tier: {minutes}")).format(minutes="; ".join(minutes))


def document(log: DayLog) -> dict[str, Any]:
    return {
        "day": log.day,
        "by": str(log.by),
        "devices": log.devices,
        "lines": [_json(row) for row in log.lines],
        "tiers": [_json(row) for row in log.tiers],
        "total": _json(log.total),
    }


def write_csv(log: DayLog, file: TextIO, translate: Translate) -> None:
    """A line for each row; reasons in one cell. A title cannot be a formula to whoever opens it."""
    out = csv.writer(file)
    id_ = [translate(N_("id"))]
    out.writerow([*id_, *_header(log.by, translate), translate(N_("why in part")), translate(N_("why missing"))])
    for row in log.lines:
        name = _name(log.by, row, translate)
        figures = [getattr(row, key) for key, _ in COUNTS]
        counts = [sum(value.values()) if isinstance(value, Mapping) else value for value in figures]
        seconds = [row.requested // 1000, row.aired // 1000]
        why = [_listed(row.partial, translate), _listed(row.missing, translate)]
        texts = [_harmless(text) for text in (row.key, name)]
        out.writerow([*texts, *counts, *seconds, *_shares(row), *why])


def _header(by: By, translate: Translate) -> list[str]:
    return [translate(text) for text in (HEADINGS[by], *(heading for _, heading in COUNTS), *SOUND)]


def _cells(row: DayLine, name: str) -> list[str]:
    figures = [getattr(row, key) for key, _ in COUNTS]
    counts = [number(sum(value.values()) if isinstance(value, Mapping) else value) for value in figures]
    return [name, *counts, number(row.requested // 1000), number(row.aired // 1000), *_shares(row)]


def _shares(row: DayLine) -> list[str]:
    """How much of the requested sound was aired, how many starts were heard whole; empty of nothing."""
    shares = (share(row.aired, row.requested), share(row.heard, row.planned - row.pending))
    return ["" if value is None else f"{decimal(value)}%" for value in shares]


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        figures = (f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join((f"{row[0]:<{widths[0]}}", *figures))


def _name(by: By, row: DayLine, translate: Translate) -> str:
    return _tier(row.key, translate) if by is By.TIER else row.name


def _tier(key: str, translate: Translate) -> str:
    return translate(TIERS[key]) if key in TIERS else translate(N_("unknown"))


def _reasons(message: str, reasons: Mapping[str, int], translate: Translate) -> Iterator[str]:
    if reasons:
        yield translate(message).format(reasons=_listed(reasons, translate))


def _listed(reasons: Mapping[str, int], translate: Translate) -> str:
    """The most frequent first; what a decoder or a driver said stays as it was said."""
    words = {**REASONS, **_MORE_REASONS}
    ordered = sorted(reasons.items(), key=lambda each: (-each[1], each[0]))
    return "; ".join(f"{translate(words.get(reason, reason))} {number(count)}" for reason, count in ordered)


def _harmless(text: str) -> str:
    """A spreadsheet takes a text that begins like this for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _day(text: str) -> str:
    return date.fromisoformat(text).strftime("%d/%m/%Y")


def _json(row: DayLine) -> dict[str, Any]:
    ratio, heard = share(row.aired, row.requested), share(row.heard, row.planned - row.pending)
    return {
        "key": row.key,
        "name": row.name,
        "planned": row.planned,
        "begun": row.begun,
        "heard": row.heard,
        "late": row.late,
        "partial": dict(row.partial),
        "missing": dict(row.missing),
        "silenced": row.silenced,
        "pending": row.pending,
        "unplanned": row.unplanned,
        "seconds_requested": row.requested / 1000,
        "seconds_aired": row.aired / 1000,
        "ratio_percent": None if ratio is None else round(ratio, 2),
        "heard_percent": None if heard is None else round(heard, 2),
    }
