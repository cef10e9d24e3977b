"""From what was read of ``grid.yaml`` to its values; records that are not whole are left out."""

from __future__ import annotations

from typing import Any

from inventory.fields import Record
from inventory.lines import AirtimeLimit, Grid, Holiday, QuietException, Relay, SilentWindow, Slot, Source, When
from inventory.model import Session
from inventory.schema_grid import AIRTIME, EXCEPTION, HOLIDAY, RELAY, SESSION, SILENT, SLOT, SOURCE

Values = dict[str, Any]


def grid_sessions(top: Values) -> tuple[Session, ...]:
    return tuple(Session(**_dated(v)) for v in _whole(top, "sessions", SESSION))


def grid(top: Values) -> Grid:
    return Grid(
        sources=tuple(Source(**v) for v in _whole(top, "sources", SOURCE)),
        relays=tuple(Relay(**_dated(v)) for v in _whole(top, "relays", RELAY)),
        slots=tuple(Slot(tier=v.pop("for"), **_dated(v)) for v in _whole(top, "slots", SLOT)),
        holidays=tuple(
            Holiday(valid_from=v.pop("from"), valid_to=v.pop("to"), **v) for v in _whole(top, "holidays", HOLIDAY)
        ),
        silent=tuple(SilentWindow(**_window(v)) for v in _whole(top, "silent", SILENT)),
        exceptions=tuple(QuietException(**_window(v)) for v in _whole(top, "exceptions", EXCEPTION)),
        airtime=tuple(AirtimeLimit(**v) for v in _whole(top, "airtime", AIRTIME)),
    )


def _whole(top: Values, key: str, record: Record) -> list[Values]:
    return [values for values in top.get(key, ()) if record.whole(values)]


def _dated(values: Values) -> Values:
    days = tuple(sorted(set(values.pop("days", ()))))
    when = When(days, values.pop("from", None), values.pop("to", None), values.pop("holiday", ""))
    return values | {"when": when}


def _window(values: Values) -> Values:
    start, end = values.pop("from"), values.pop("until")
    return values | {"start": start, "end": end}
