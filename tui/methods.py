"""Everything a client may ask of the hub: names, parameters and answers, in one place.

The command line and the screens use nothing else. The wire form (JSON lines over a Unix socket) is in
``docs/contracts.md``; values travel through ``audio.documents.encode`` and ``decode``, so an unknown or missing field
is an error on either side. Times are Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

P = TypeVar("P")
R = TypeVar("R")

PROTOCOL = 1
MAX_LINE = 96 * 1024 * 1024
"""One request with a half-hour recording in base64 fits."""


@dataclass(frozen=True, slots=True)
class Method(Generic[P, R]):
    """``stream``: the answer is a sequence of results until the client hangs up."""

    name: str
    params: type[P]
    result: type[R]
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Nothing:
    pass


@dataclass(frozen=True, slots=True)
class Problem:
    """A diagnostic as a client shows it; ``fields`` fill ``message`` and ``fix`` after translation."""

    code: str
    message: str
    fix: str
    fields: Mapping[str, str]
    place: str = ""


@dataclass(frozen=True, slots=True)
class HubInfo:
    version: str
    province: str
    name: str
    on: str
    now: int
    started: int
    devices: int
    person: str


@dataclass(frozen=True, slots=True)
class UnitRow:
    """Devices of one unit in use, by state (``nms`` states as keys), and how many play now."""

    unit: str
    name: str
    tier: str
    parent: str
    states: Mapping[str, int]
    playing: int


@dataclass(frozen=True, slots=True)
class CauseRow:
    """One suspected cause and the devices that are lost because of it: ``kind`` is modem, cell, power or device."""

    cause: str
    kind: str
    since: int
    devices: tuple[str, ...]
    communes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SweepRow:
    at: int
    seconds: float
    polled: int
    answered: int
    refused: int
    dropped: int


@dataclass(frozen=True, slots=True)
class BulletinRow:
    """``audience`` as its author wrote it, ``state`` of the bulletin's life, ``heard`` of ``expected`` loudspeakers.

    ``follows``: the emergency or drill whose correction or all-clear it is.
    """

    id: str
    title: str
    cls: str
    tier: str
    origin: str
    author: str
    state: str
    audience: str
    created: int
    valid_until: int
    duration: int
    heard: int
    expected: int
    follows: str = ""
    version: int = 1


@dataclass(frozen=True, slots=True)
class Find:
    """Which bulletins: every word of ``search`` occurs in them, in this ``state``, of this ``origin``, handed in
    ``since``; of the page after the bulletin ``before``.
    """

    search: str = ""
    state: str = ""
    origin: str = ""
    since: int = 0
    before: str = ""


@dataclass(frozen=True, slots=True)
class BulletinRows:
    """Newest first; ``more``: there is another page."""

    bulletins: tuple[BulletinRow, ...]
    more: bool = False


@dataclass(frozen=True, slots=True)
class AlarmCounts:
    """``open`` alarms, those of them that nobody has taken on or that wait for a repair, and silenced clusters."""

    open: int = 0
    unacknowledged: int = 0
    repair: int = 0
    silenced: int = 0


@dataclass(frozen=True, slots=True)
class AloneRow:
    """An emergency that went out without a second person: who (a name) and why."""

    at: int
    title: str
    person: str
    reason: str


@dataclass(frozen=True, slots=True)
class Overview:
    """The province at a glance; ``sweep`` is None before the first one.

    ``hub``: what is wrong with the hub itself, as an alarm's kind and its detail with a colon between. ``alone``:
    of the last day.
    """

    now: int
    units: tuple[UnitRow, ...]
    causes: tuple[CauseRow, ...]
    bulletins: tuple[BulletinRow, ...]
    sweep: SweepRow | None
    broker: bool
    hub: tuple[str, ...] = ()
    alarms: AlarmCounts = AlarmCounts()
    alone: tuple[AloneRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Select:
    selection: str = ""


@dataclass(frozen=True, slots=True)
class DeviceRow:
    device: str
    kind: str
    name: str
    commune: str
    district: str
    hamlet: str
    uplink: str
    state: str
    cause: str
    since: int
    playing: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DeviceRows:
    devices: tuple[DeviceRow, ...]


@dataclass(frozen=True, slots=True)
class Since:
    at: int
    limit: int = 200


@dataclass(frozen=True, slots=True)
class EventRow:
    id: str
    at: int
    subject: str
    kind: str
    before: str
    after: str
    cause: str


@dataclass(frozen=True, slots=True)
class EventRows:
    events: tuple[EventRow, ...]


@dataclass(frozen=True, slots=True)
class Push:
    """A bulletin: ``text`` to be spoken, ``audio`` (a file's bytes, base64; ``trim``: without leading silence), or a
    microphone that is open for ``live`` ms.
    """

    origin: str
    cls: str
    title: str
    audience: str
    text: str = ""
    audio: str = ""
    audio_name: str = ""
    valid_from: int = 0
    valid_until: int = 0
    play_now: bool = False
    repeats: int = 1
    volume: int = 100
    authority: str = ""
    trim: bool = False
    supplier: str = ""
    field: str = ""
    every: int = 0
    by_session: bool = False
    on_behalf: bool = False
    live: int = 0


@dataclass(frozen=True, slots=True)
class Silenced:
    """A cluster on which ``by`` lets nothing be heard from ``since`` to ``until``, no emergency either.

    ``expired``: that date has passed. ``forbidden``: why the caller may not lift it; empty if they may.
    """

    device: str
    commune: str
    hamlet: str
    contact: str
    since: int
    until: int
    by: str
    reason: str
    expired: bool = False
    forbidden: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """Who would hear it: loudspeakers addressed, how many of them are lost now, and where; ``problems`` forbid it.

    ``area``: the name that an emergency's author must type; ``silenced`` will not hear; a text is read as ``spoken``.
    """

    area: str
    devices: int
    lost: int
    communes: tuple[str, ...]
    problems: tuple[Problem, ...]
    silenced: tuple[Silenced, ...] = ()
    spoken: str = ""
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Submitted:
    """``duration`` and ``cut``, what was trimmed at the beginning, in ms; ``loudness`` is 0 of what is spoken live."""

    bulletin: str
    duration: int
    loudness: float
    voice: str
    warnings: tuple[Problem, ...] = ()
    cut: int = 0


@dataclass(frozen=True, slots=True)
class BulletinId:
    bulletin: str


@dataclass(frozen=True, slots=True)
class Body:
    """The exact bytes (base64) that the approver signs, what they say in short, who will not hear it, its reading."""

    row: BulletinRow
    version: int
    body: str
    silenced: tuple[Silenced, ...] = ()
    spoken: str = ""
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Approve:
    """``signed`` is the bulletin's frame (base64), made in the approver's own process with the issuer's key.

    ``reason``: why an emergency goes out without a second person. ``paper``, its ``signer`` and ``signed_at``: the
    leader signed on paper, and the caller records that.
    """

    bulletin: str
    signed: str
    reason: str = ""
    paper: str = ""
    signer: str = ""
    signed_at: int = 0


@dataclass(frozen=True, slots=True)
class Approved:
    """``starts``: first planned start per commune; ``homeless``: communes in whose programme it found no room.

    ``offered``: communes that may pick it.
    """

    starts: Mapping[str, int]
    homeless: tuple[str, ...]
    offered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Return:
    bulletin: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Silence ``selection``: one bulletin or, with none named, everything, until ``hold_until`` (0: the default)."""

    selection: str
    bulletin: str = ""
    hold_until: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Stopped:
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resume:
    """End the stops in ``selection``: those of one bulletin or, with none named, all of them."""

    selection: str
    reason: str
    bulletin: str = ""


@dataclass(frozen=True, slots=True)
class StopRow:
    """A stop that goes on because it reaches further than the selection, or is a higher unit's (``issuer``, a name)."""

    place: str
    issuer: str
    until: int
    bulletin: str
    reason: str


@dataclass(frozen=True, slots=True)
class Resumed:
    targets: tuple[str, ...]
    standing: tuple[StopRow, ...]


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One addressed loudspeaker: ``result`` of its receipt, silenced or waiting; ``latency`` in ms after it was due."""

    device: str
    commune: str
    hamlet: str
    result: str
    reason: str
    started: int
    latency: int | None
    contact: str


@dataclass(frozen=True, slots=True)
class Report:
    row: BulletinRow
    counts: Mapping[str, int]
    latency_p50: int | None
    latency_p99: int | None
    devices: tuple[ReportRow, ...]


@dataclass(frozen=True, slots=True)
class AsRun:
    """One receipt: what a device played from when to when, from which ``offset`` of the item; ``level`` in dBFS."""

    id: str
    device: str
    bulletin: str
    airing: str
    repeat: int
    content: str
    started: int
    ended: int
    offset: int
    result: str
    reason: str
    level: float | None


@dataclass(frozen=True, slots=True)
class AsRunLog:
    """Oldest first."""

    receipts: tuple[AsRun, ...]


HELLO = Method("hello", Nothing, HubInfo)
OVERVIEW = Method("overview", Nothing, Overview)
WATCH = Method("watch", Nothing, Overview, stream=True)
DEVICES = Method("devices", Select, DeviceRows)
EVENTS = Method("events", Since, EventRows)
BULLETINS = Method("bulletins", Find, BulletinRows)
PREVIEW = Method("preview", Push, Preview)
BODY = Method("body", BulletinId, Body)
APPROVE = Method("approve", Approve, Approved)
RETURN = Method("return", Return, Nothing)
STOP = Method("stop", Stop, Stopped)
RESUME = Method("resume", Resume, Resumed)
ALL_CLEAR = Method("all_clear", BulletinId, Stopped)
REPORT = Method("report", BulletinId, Report)
AS_RUN = Method("as_run", Since, AsRunLog)
