"""What hub and devices say to each other, as values, with one strict way to and from JSON.

Times are integer milliseconds UTC, durations integer milliseconds. Both sides of the wire use this module; it needs the
standard library only. A document that does not fit its type exactly (missing, unknown or wrongly typed field) is a
``DocumentError``; whoever reads from the wire catches it and counts a refusal.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")
LANGUAGES = ("vi",)
"""Those of a device in no hamlet."""
EVERYTHING = "*"
"""What the stop of a silenced device names: all there is and all that comes, emergencies too."""
_UNSAYABLE = re.compile("[\x00\ud800-\udfff]")


class DocumentError(ValueError):
    """The JSON does not say what its type says."""


class BulletinClass(StrEnum):
    """thông thường · ưu tiên · khẩn cấp: only an emergency interrupts (Thông tư 39/2020)."""

    NORMAL = "normal"
    PRIORITY = "priority"
    EMERGENCY = "emergency"


class ContentKind(StrEnum):
    RECORDING = "recording"
    SPEECH = "speech"
    RELAY = "relay"
    """tiếp sóng, phát trực tiếp: the pages of a live session, joined at the instant, never moved."""


class Resume(StrEnum):
    """What becomes of an interrupted item: the remainder, the whole again, or nothing."""

    RESUME = "resume"
    RESTART = "restart"
    DROP = "drop"


class NowKind(StrEnum):
    EMERGENCY = "emergency"
    DRILL = "drill"
    STOP = "stop"
    FOLLOW_UP = "follow_up"
    """A correction or all-clear: once, and only where the bulletin that it follows was heard."""


class Result(StrEnum):
    PLAYED = "played"
    PARTIAL = "partial"
    MISSED = "missed"
    REFUSED = "refused"
    CHECKED = "checked"
    """A silent trial went all the way to the output."""


class TrialKind(StrEnum):
    """A tone is heard; a check goes the same way in silence."""

    TONE = "tone"
    CHECK = "check"


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is meant: any device in one of these units, in one of these groups, or named itself."""

    units: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()

    def addresses(self, device: str, units: tuple[str, ...], groups: tuple[str, ...]) -> bool:
        """Whether a device with this unit chain and these groups is meant."""
        return device in self.devices or any(u in self.units for u in units) or any(g in self.groups for g in groups)


@dataclass(frozen=True, slots=True)
class Voice:
    """The same message in a further language (BCP 47): the SHA-256 of its encoded sound, its length in ms."""

    language: str
    content: str
    duration: int


@dataclass(frozen=True, slots=True)
class Bulletin:
    """What the approver signs with the issuer's key: content, audience, class and validity cannot change afterwards.

    ``content`` is the SHA-256 of the encoded sound, ``duration`` its length; of a relay it is the live session's name
    and the length of its window.
    ``siren`` (ms, 0 = none), ``times`` (how often the message is said in one round) and ``every`` (ms between rounds,
    0 = one) belong to emergencies and drills. ``also``: the message in further languages; an order is said in those of
    its listeners, in their order, an airing in ``language`` alone. ``follows``:
    the bulletin whose correction or all-clear this is. ``script``: the pre-approved one it was filled from.
    """

    id: str
    version: int
    cls: BulletinClass
    kind: ContentKind
    tier: str
    origin: str
    title: str
    content: str
    duration: int
    audience: Audience
    valid_from: int
    valid_until: int
    volume: int = 100
    resume: Resume = Resume.RESUME
    siren: int = 0
    times: int = 1
    every: int = 0
    text: str = ""
    authority: str = ""
    supplier: str = ""
    field: str = ""
    language: str = "vi"
    also: tuple[Voice, ...] = ()
    follows: str = ""
    script: str = ""

    @property
    def voices(self) -> tuple[Voice, ...]:
        """The message in every language that it has, the main one first."""
        return (Voice(self.language, self.content, self.duration), *self.also)

    def said(self, languages: tuple[str, ...]) -> tuple[Voice, ...]:
        """What listeners of these languages are told, in their order; the main voice where none of them is there."""
        known = {voice.language: voice for voice in reversed(self.voices)}
        return tuple(known[language] for language in dict.fromkeys(languages) if language in known) or self.voices[:1]

    def round(self, languages: tuple[str, ...]) -> int:
        """Length in ms of one round for them: the siren, then ``times`` times the message in each language."""
        return self.siren + self.times * sum(voice.duration for voice in self.said(languages))


@dataclass(frozen=True, slots=True)
class Airing:
    """One planned start of a bulletin in a commune's programme. It must end by ``latest`` (its slot's end)."""

    airing: str
    bulletin: str
    repeat: int
    start: int
    latest: int


@dataclass(frozen=True, slots=True)
class Programme:
    """Everything one unit airs until ``until``; ``signed`` holds each bulletin's frame (base64) by bulletin id."""

    unit: str
    until: int
    airings: tuple[Airing, ...]
    signed: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NowEntry:
    """An emergency, drill or follow-up (``signed`` frame) or a stop, in force in ``[start, until)``.

    ``sounds``: those of the bulletin's voices (base64) for which the document had room.

    A stop silences the bulletin it names, or, naming none, everything that began before it, or, naming
    ``EVERYTHING``, whatever comes. It ends early when the next document lacks it.
    """

    entry: str
    kind: NowKind
    bulletin: str
    start: int
    until: int
    signed: str = ""
    sounds: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Now:
    """All that is in force for one target by one issuer; an empty list says: nothing."""

    entries: tuple[NowEntry, ...]


@dataclass(frozen=True, slots=True)
class PolicyKey:
    """A key the root trusts: see ``envelope.Key``; ``public`` is base64."""

    kid: str
    iss: str
    public: str
    role: str
    areas: tuple[str, ...]
    classes: tuple[str, ...]
    nbf: int
    exp: int


@dataclass(frozen=True, slots=True)
class Quiet:
    """A daily window in minutes after local midnight, ``start`` inclusive, ``end`` exclusive; may cross midnight."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Span:
    """``[start, until)`` in Unix milliseconds."""

    start: int
    until: int


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Volume ceilings in percent; ``early`` holds before ``early_until`` minutes after local midnight."""

    day: int
    early: int
    emergency: int
    early_until: int = 360


@dataclass(frozen=True, slots=True)
class Policy:
    """What one device may obey, signed by the offline root and pinned at enrolment.

    ``languages``: those of its hamlet, in the order to be spoken. ``silent``: dated windows (exams) in which, as in the
    quiet hours, only emergencies sound; no exception lifts them. ``airtime``: ms of scheduled sound a day, 0: any.
    """

    device: str
    units: tuple[str, ...]
    groups: tuple[str, ...]
    keys: tuple[PolicyKey, ...]
    quiet: tuple[Quiet, ...]
    exceptions: tuple[Span, ...]
    ceilings: Ceilings
    utc_offset: int = 420
    languages: tuple[str, ...] = LANGUAGES
    silent: tuple[Span, ...] = ()
    airtime: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """One start (or refusal) on one device: what came out of it, from when to when. Receipts are the as-run log.

    ``airing`` is the airing's or the now entry's id; ``offset`` is where in the item (ms) the sound began. ``level`` is
    the RMS level of what was put out in dBFS, None when nothing was; ``clock_error`` in ms, None while unknown.
    """

    id: str
    device: str
    airing: str
    bulletin: str
    repeat: int
    content: str
    started: int
    ended: int
    offset: int
    result: Result
    reason: str = ""
    level: float | None = None
    clock_error: int | None = None


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What a device says of itself, retained; the last will says ``online: false``.

    ``waiting`` counts the receipts not yet acknowledged; ``clock_error`` (ms) is the device's clock minus the hub's.
    """

    device: str
    online: bool
    at: int
    playing: str = ""
    bulletin: str = ""
    programme: int = 0
    cached: tuple[str, ...] = ()
    waiting: int = 0
    refused: Mapping[str, int] | None = None
    version: str = ""
    clock_error: int | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """A device tries itself out, once per id, if it can begin before ``until``; the sound is the device's own.

    The answer is a receipt with this id as its airing and without a bulletin: played, checked, partial or refused.
    """

    id: str
    kind: TrialKind
    until: int


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """What the hub sets on one device; ``trial`` None: it only wants to hear the device's state now."""

    trial: Trial | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    """Receipts that the hub has committed."""

    receipts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HubTime:
    now: int


def encode(document: object) -> bytes:
    """Compact UTF-8 JSON of a document, fields in declared order: equal values give equal bytes."""
    return _ENCODER.encode(document).encode()


def decode(cls: type[T], data: bytes | str) -> T:
    """The document of that type in ``data``. Raises DocumentError with the path of what does not fit."""
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"not JSON: {type(error).__name__}") from None
    value: T = _reader(cast("Any", cls))(raw, cls.__name__)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return {name: getattr(value, name) for name in _names(cast("Any", type(value)))}


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=_plain)


Reader = Callable[[Any, str], Any]


@cache
def _reader(kind: Any) -> Reader:
    if is_dataclass(kind):
        return _record(kind)
    origin = get_origin(kind)
    if origin is tuple:
        return _list(_reader(get_args(kind)[0]))
    if origin in (Union, types.UnionType):
        return _optional(_reader(next(a for a in get_args(kind) if a is not type(None))))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(_reader(get_args(kind)[1]))
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _enum(kind)
    return _scalar(kind)


def _record(kind: Any) -> Reader:
    hints = get_type_hints(kind)
    readers = {f.name: _reader(hints[f.name]) for f in fields(kind)}

    def read(raw: Any, path: str) -> Any:
        if not isinstance(raw, dict) or raw.keys() != readers.keys():
            raise DocumentError(f"{path}: fields")
        return kind(**{name: reader(raw[name], f"{path}.{name}") for name, reader in readers.items()})

    return read


def _list(item: Reader) -> Reader:
    def read(raw: Any, path: str) -> Any:
        if not isinstance(raw, list):
            raise DocumentError(f"{path}: list")
        return tuple(item(value, path) for value in raw)

    return read


def _optional(item: Reader) -> Reader:
    return lambda raw, path: None if raw is None else item(raw, path)


def _mapping(item: Reader) -> Reader:
    name = _scalar(str)

    def read(raw: Any, path: str) -> Any:
        if not isinstance(raw, dict):
            raise DocumentError(f"{path}: mapping")
        return {name(key, path): item(value, path) for key, value in raw.items()}

    return read


def _enum(kind: type[StrEnum]) -> Reader:
    def read(raw: Any, path: str) -> Any:
        try:
            return kind(raw)
        except ValueError:
            raise DocumentError(f"{path}: one of {', '.join(kind)}") from None

    return read


def _scalar(kind: Any) -> Reader:
    def read(raw: Any, path: str) -> Any:
        if not _sayable(raw) or (type(raw) is not kind and not (kind is float and type(raw) is int)):
            raise DocumentError(f"{path}: {kind.__name__}")
        return kind(raw)

    return read


def _sayable(value: object) -> bool:
    """Whether UTF-8, JSON and every database can hold it: no NUL, no lone surrogate, 64 bits, a finite number."""
    if isinstance(value, str):
        return _UNSAYABLE.search(value) is None
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, float) and math.isfinite(value)
