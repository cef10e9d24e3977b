"""One commune's day as people and programs read it: what is on the air when, why, and what was displaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from audio import grid, schedule
from audio.documents import Span
from audio.grid import Day, Displaced, Grids, Kind, Why, Window
from inventory.lines import SilentWindow
from inventory.model import TIMEZONE, Network, UnitId, valid
from nms.i18n import N_
from tui.grid_methods import DayRows, PlacedRow
from tui.views.times import moment, rfc3339
from tui.views.words import CLASSES

KINDS: Mapping[Kind, str] = {
    Kind.RELAY: N_("relay"),
    Kind.SLOT: N_("slot"),
    Kind.SESSION: N_("session"),
}
SLOTS: Mapping[str, str] = {
    "province": N_("for the province's bulletins"),
    "district": N_("for the district's bulletins"),
    "commune": N_("for the commune's own bulletins"),
}
WEEKDAYS = (
    N_("Monday"),
    N_("Tuesday"),
    N_("Wednesday"),
    N_("Thursday"),
    N_("Friday"),
    N_("Saturday"),
    N_("Sunday"),
)
Translate = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class UnitDay:
    """The grid of a unit's day; ``silent``: dated windows in it, its hamlets or its groups; ``airtime`` in ms."""

    unit: UnitId
    name: str
    day: Day
    sources: Mapping[str, str]
    quiet: tuple[Span, ...]
    silent: tuple[SilentWindow, ...]
    airtime: int


def unit_day(network: Network, unit: UnitId, on: date) -> UnitDay:
    start = datetime.combine(on, time(), TIMEZONE)
    span = grid.span_of(start, start + timedelta(days=1))
    above = network.chain(unit)
    [day] = Grids(network).days(unit, on, on)
    silent = tuple(w for w in network.grid.silent if w.end > start and w.start < start + timedelta(days=1))
    return UnitDay(
        unit,
        network.units[unit].name,
        day,
        {source.id: source.name for source in network.grid.sources},
        schedule.quiet_hours(network, above, span.start, span.until),
        tuple(w for w in silent if _touches(network, w, unit, on)),
        grid.airtime(network, above),
    )


def _touches(network: Network, window: SilentWindow, unit: UnitId, on: date) -> bool:
    """Whether some of the unit is silent then."""
    if window.unit is not None:
        return window.unit in network.chain(unit)
    if window.hamlet is not None:
        places = network.hamlets[window.hamlet].memberships
        return any(m.unit == unit and valid(m.valid_from, m.valid_to, on) for m in places)
    return any(network.unit_of(d, on) == unit and window.group in network.groups_of(d) for d in network.devices_on(on))


def day_lines(network: Network, shown: UnitDay, placed: DayRows | None, translate: Translate) -> Iterator[str]:
    on = shown.day.on
    yield f"{shown.name} ({shown.unit}) · {translate(WEEKDAYS[on.weekday()])} {on:%d/%m/%Y}"
    items = [(w.span.start, 0, _window_line(network, shown, w, placed, translate)) for w in shown.day.windows]
    for row in placed.placed if placed is not None else ():
        if not row.cancelled:
            items.append((row.start, 1, _placed_line(network, row, placed, translate)))
    yield from (line for _, _, line in sorted(items))
    for window in shown.silent:
        where = _where(network, window)
        yield translate(N_("silent {span}: {reason} ({where})")).format(
            span=_moments(window), reason=window.reason, where=where
        )
    if shown.quiet:
        yield translate(N_("quiet hours: {spans}")).format(
            spans=", ".join(dict.fromkeys(_span(s) for s in shown.quiet))
        )
    if shown.airtime:
        yield translate(N_("at most {minutes} minutes of programme a day")).format(minutes=shown.airtime // 60_000)
    yield from _displaced_lines(network, shown, placed, translate)


def _window_line(network: Network, shown: UnitDay, window: Window, placed: DayRows | None, translate: Translate) -> str:
    what = [f"{translate(KINDS[window.kind])}: {window.name}"]
    if window.kind is Kind.RELAY:
        what.append(shown.sources.get(window.source, window.source))
    elif window.kind is Kind.SLOT:
        what.append(translate(SLOTS[window.tier]))
    what.append(translate(N_("by {unit}'s grid")).format(unit=network.units[window.unit].name))
    if window.kind is Kind.RELAY and placed is not None:
        what.append(translate(_signature(window, placed)))
    held = _held(window.span, placed)
    if held:
        what.append(translate(N_("displaced by the emergency '{title}'")).format(title=held))
    return f"{_span(window.span)}  {' · '.join(what)}"


def _signature(window: Window, placed: DayRows) -> str:
    mine = [s for s in placed.signed if (s.unit, s.terms) == (window.unit, window.terms)]
    if any(not s.waiting for s in mine):
        return N_("signed")
    return N_("waits for approval: not aired") if mine else N_("not signed: not aired")


def _placed_line(network: Network, row: PlacedRow, placed: DayRows | None, translate: Translate) -> str:
    unit = network.units.get(UnitId(row.origin))
    why = N_("placed in '{room}'") if row.room else N_("as soon as the air was free")
    what = [
        f"{translate(CLASSES[row.cls])}: {row.title}",
        unit.name if unit is not None else row.origin,
        translate(why).format(room=row.room),
    ]
    held = _held(Span(row.start, row.until), placed)
    if held:
        what.append(translate(N_("displaced by the emergency '{title}'")).format(title=held))
    return f"  {_clock(row.start, seconds=True)}  {' · '.join(what)}"


def _displaced_lines(network: Network, shown: UnitDay, placed: DayRows | None, translate: Translate) -> Iterator[str]:
    for one in shown.day.displaced:
        if one.why is Why.NEARER:
            reason = translate(N_("'{by}' of a nearer unit is on the air then")).format(by=one.by)
        else:
            reason = translate(N_("off on the holiday '{by}'")).format(by=one.by)
        name, unit = one.window.name, network.units[one.window.unit].name
        yield _displaced(translate, _span(one.window.span), f"{name} ({unit})", reason)
    for row in placed.placed if placed is not None else ():
        if row.cancelled:
            yield _displaced(translate, _clock(row.start), row.title, translate(N_("withdrawn or stopped")))


def _displaced(translate: Translate, when: str, what: str, why: str) -> str:
    return translate(N_("displaced: {when} {what}: {why}")).format(when=when, what=what, why=why)


def _held(span: Span, placed: DayRows | None) -> str:
    """The emergency that is in force while this would be on the air."""
    rows = placed.held if placed is not None else ()
    return next((h.title for h in rows if h.start < span.until and span.start < h.until), "")


def _where(network: Network, window: SilentWindow) -> str:
    if window.unit is not None:
        return network.units[window.unit].name
    if window.hamlet is not None:
        hamlet = network.hamlets[window.hamlet]
        return hamlet.name if hamlet.name.lower().startswith(hamlet.word) else f"{hamlet.word} {hamlet.name}"
    return network.groups[window.group].name if window.group is not None else ""


def _span(span: Span) -> str:
    return f"{_clock(span.start)}–{_clock(span.until)}"


def _moments(window: SilentWindow) -> str:
    return f"{window.start:%H:%M %d/%m}–{window.end:%H:%M %d/%m}"


def _clock(at: int, *, seconds: bool = False) -> str:
    return moment(at).astimezone(TIMEZONE).strftime("%H:%M:%S" if seconds else "%H:%M")


def day_json(shown: UnitDay, placed: DayRows | None) -> dict[str, Any]:
    """``placed`` and the relays' ``signed`` are null where there was no hub to ask."""
    return {
        "unit": shown.unit,
        "on": shown.day.on.isoformat(),
        "windows": [_window_json(w, placed) for w in shown.day.windows],
        "displaced": [_displaced_json(d) for d in shown.day.displaced],
        "quiet": [{"start": rfc3339(s.start), "until": rfc3339(s.until)} for s in shown.quiet],
        "silent": [
            {
                "start": w.start.isoformat(),
                "until": w.end.isoformat(),
                "unit": w.unit,
                "hamlet": w.hamlet,
                "group": w.group,
                "reason": w.reason,
            }
            for w in shown.silent
        ],
        "airtime_seconds": shown.airtime / 1000,
        "placed": None if placed is None else [_placed_json(row, placed) for row in placed.placed],
    }


def _window_json(window: Window, placed: DayRows | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "kind": str(window.kind),
        "name": window.name,
        "declared_by": window.unit,
        "start": rfc3339(window.span.start),
        "until": rfc3339(window.span.until),
        "displaced_by": _held(window.span, placed) or None,
    }
    if window.kind is Kind.RELAY:
        signed = None if placed is None else _signature(window, placed) == "signed"
        row |= {"source": window.source, "terms": window.terms, "signed": signed}
    elif window.kind is Kind.SLOT:
        row["tier"] = window.tier
    return row


def _displaced_json(one: Displaced) -> dict[str, Any]:
    return _window_json(one.window, None) | {"displaced_by": one.by, "why": str(one.why)}


def _placed_json(row: PlacedRow, placed: DayRows) -> dict[str, Any]:
    return {
        "bulletin": row.bulletin,
        "title": row.title,
        "class": row.cls,
        "tier": row.tier,
        "origin": row.origin,
        "state": row.state,
        "start": rfc3339(row.start),
        "until": rfc3339(row.until),
        "room": row.room or None,
        "cancelled": row.cancelled,
        "displaced_by": _held(Span(row.start, row.until), placed) or None,
    }
