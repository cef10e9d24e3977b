"""What a client may ask of the hub about what was heard on a day; as in ``tui.methods``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from audio.daybook import By
from tui.methods import Method


@dataclass(frozen=True, slots=True)
class AsRunDay:
    """``day``: an ISO date in Vietnam's time, empty for today; ``selection``: whose devices."""

    day: str
    selection: str
    by: By


@dataclass(frozen=True, slots=True)
class DayLine:
    """As ``audio.daybook.Line``, in ms; ``key`` is a unit's or bulletin's id, or a tier; ``name`` is its name."""

    key: str
    name: str
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


@dataclass(frozen=True, slots=True)
class DayLog:
    """``tiers``: the same day by the tier that spoke, the highest first."""

    day: str
    by: By
    devices: int
    lines: tuple[DayLine, ...]
    tiers: tuple[DayLine, ...]
    total: DayLine


AS_RUN_DAY = Method("as_run_day", AsRunDay, DayLog)
