"""What a client may ask of the hub about a bulletin's life and a commune's own programme; as in ``tui.methods``.

Times are Unix milliseconds, 0 where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tui.methods import Approved, BulletinId, BulletinRow, BulletinRows, EventRow, Method


@dataclass(frozen=True, slots=True)
class UnitId:
    unit: str


@dataclass(frozen=True, slots=True)
class Pick:
    unit: str
    bulletin: str


@dataclass(frozen=True, slots=True)
class Order:
    """Put ``bulletin`` before another one in the unit's programme."""

    unit: str
    bulletin: str
    before: str


@dataclass(frozen=True, slots=True)
class OrderRow:
    bulletin: str
    title: str
    start: int


@dataclass(frozen=True, slots=True)
class Ordered:
    """The unit's priority starts still to come, in their order."""

    items: tuple[OrderRow, ...]


@dataclass(frozen=True, slots=True)
class Edit:
    """What is to be different of a bulletin; None: as it is. ``audio`` is a file's bytes, base64."""

    bulletin: str
    title: str | None = None
    text: str | None = None
    audio: str = ""
    audio_name: str = ""
    cls: str | None = None
    audience: str | None = None
    valid_until: int | None = None
    play_now: bool | None = None
    repeats: int | None = None
    every: int | None = None
    by_session: bool | None = None
    volume: int | None = None
    authority: str | None = None
    supplier: str | None = None
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Edited:
    """``bulletin``: the id to go on with; ``waiting``: it needs approval (again). ``changed``: which of its fields."""

    bulletin: str
    version: int
    waiting: bool
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VersionRow:
    bulletin: str
    version: int
    state: str
    title: str
    author: str
    created: int
    changed: tuple[str, ...]
    on_behalf: str


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """``person`` decided, or recorded the ``paper`` that ``signer`` signed at ``signed_at``."""

    version: int
    person: str
    at: int
    decision: str
    reason: str
    paper: str
    signer: str
    signed_at: int


@dataclass(frozen=True, slots=True)
class StartRow:
    version: int
    unit: str
    repeat: int
    start: int
    cancelled: bool


@dataclass(frozen=True, slots=True)
class OfferRow:
    unit: str
    picked: int
    by: str


@dataclass(frozen=True, slots=True)
class OrderDecision:
    """Who put it where among the unit's priority bulletins."""

    at: int
    by: str
    unit: str
    bulletin: str
    before: str


@dataclass(frozen=True, slots=True)
class Bulletin:
    """Everything known of one bulletin. ``counts``: its loudspeakers by what they reported."""

    row: BulletinRow
    text: str
    authority: str
    supplier: str
    field: str
    valid_from: int
    versions: tuple[VersionRow, ...]
    decisions: tuple[DecisionRow, ...]
    starts: tuple[StartRow, ...]
    offers: tuple[OfferRow, ...]
    orders: tuple[OrderDecision, ...]
    counts: Mapping[str, int]
    events: tuple[EventRow, ...]


OFFERS = Method("offers", UnitId, BulletinRows)
PICK = Method("pick", Pick, Approved)
ORDER = Method("order", Order, Ordered)
EDIT = Method("edit", Edit, Edited)
BULLETIN = Method("bulletin", BulletinId, Bulletin)
