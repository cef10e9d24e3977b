"""Bulletins before they are on the air: what a draft becomes, who may write it, which states follow which.

Pure. The rules are domain.md's "Who may say what to whom"; a person's area is a unit and everything below it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from audio.documents import Audience, Bulletin, BulletinClass, ContentKind, NowKind, encode
from audio.envelope import MAX_FRAME, microphone_of
from audio.measure import LONGEST
from audio.refusals import refuse
from inventory import select
from inventory.diagnostics import Diagnostic
from inventory.model import TIMEZONE, Device, DeviceKind, Network, Person, PersonId, Role, Tier, UnitId
from nms.journal import new_id
from nms.moments import to_milliseconds

SIREN = 3_000
TIMES = 3
EVERY = 10 * 60_000
"""An emergency's siren, how often its message is said, and the time between rounds (ms)."""
EMERGENCY_VALIDITY = timedelta(minutes=60)
VALIDITY = timedelta(days=7)
MOST_REPEATS = 50
MOST_APART = 31 * 24 * 3_600_000
"""Between the beginnings of two repeats of a series (ms)."""
SHORTEST_LIVE = 10_000
LONGEST_LIVE = LONGEST * 1_000
"""For how long a microphone may be open (ms): as long as a recording may be."""
MOST_BYTES = 64 * 1024
"""Of a bulletin's JSON: a programme holds many bulletins in one frame."""
LONGEST_LINE = 500
"""Characters of a title, an authority, an agency, a field."""
ENVELOPE_BYTES = 2_048
"""Room for headers, signatures and field names around a bulletin in a ``now`` document."""


class State(StrEnum):
    DRAFT = "draft"
    SUBMITTED = "submitted"
    APPROVED = "approved"
    RETURNED = "returned"
    SCHEDULED = "scheduled"
    AIRING = "airing"
    AIRED = "aired"
    FAILED = "failed"
    CANCELLED = "cancelled"


NOT_SENT = (State.DRAFT, State.SUBMITTED, State.RETURNED)
"""Nobody can have heard it."""
ALONE = (Role.OPERATOR, Role.APPROVER)
"""Who may send a filled script to one commune without a second person."""
FOLLOWS: Mapping[State, tuple[State, ...]] = {
    State.DRAFT: (State.SUBMITTED,),
    State.SUBMITTED: (State.APPROVED, State.RETURNED, State.CANCELLED),
    State.RETURNED: (State.SUBMITTED, State.CANCELLED),
    State.APPROVED: (State.SCHEDULED, State.FAILED, State.CANCELLED),
    State.SCHEDULED: (State.AIRING, State.CANCELLED),
    State.AIRING: (State.AIRED, State.FAILED, State.CANCELLED),
    # a device that was out of reach reports later that it did play
    State.FAILED: (State.AIRED,),
    State.AIRED: (),
    State.CANCELLED: (),
}
"""Which states may follow which."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What an author wants aired: a ``text`` to be spoken, a recording (``audio``, a file at the hub), or a microphone
    that is open for ``live`` ms.

    ``audience`` is a selection. ``repeats`` is the number of starts, ``volume`` percent of each device's ceiling,
    ``authority`` the document or order it rests on (căn cứ), ``supplier`` the agency that supplied it, ``field`` what
    it is about. A ``drill`` obeys quiet hours. Validity defaults to 60 minutes for emergencies and 7 days otherwise, or
    longer for a series: repeats ``every`` ms apart, or one in each session (``by_session``). ``on_behalf``: entered by
    somebody of a unit above ``origin``, whose own leader approves. ``script``: the pre-approved one whose words these
    are. ``trim`` cuts the recording's leading silence.
    """

    tier: Tier
    origin: UnitId
    author: PersonId
    cls: BulletinClass
    title: str
    audience: str
    text: str = ""
    audio: Path | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    play_now: bool = False
    repeats: int = 1
    volume: int = 100
    authority: str = ""
    drill: bool = False
    script: str = ""
    trim: bool = False
    supplier: str = ""
    field: str = ""
    every: int = 0
    by_session: bool = False
    on_behalf: bool = False
    live: int = 0

    @property
    def loud(self) -> bool:
        """Whether a siren sounds before it."""
        return self.drill or self.cls is BulletinClass.EMERGENCY


class Sound(Protocol):
    """Encoded sound as the library names it."""

    @property
    def sha(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def duration_ms(self) -> int: ...
    @property
    def kind(self) -> ContentKind: ...


@dataclass(frozen=True, slots=True)
class Microphone:
    """What a live bulletin has in place of a sound: the session it is spoken in, for so many ms."""

    sha: str
    duration_ms: int
    kind: ContentKind = ContentKind.RELAY
    size: int = 0


def order_kind(bulletin: Bulletin) -> NowKind | None:
    """How it travels in a ``now`` document, None if it is scheduled: a siren without the class is a drill."""
    if bulletin.follows:
        return NowKind.FOLLOW_UP
    if bulletin.cls is BulletinClass.EMERGENCY:
        return NowKind.EMERGENCY
    return NowKind.DRILL if bulletin.siren else None


def checks(network: Network, on: date, draft: Draft, now: datetime) -> tuple[Diagnostic, ...]:
    """What is wrong with a draft before its sound is made."""
    unit = network.units.get(draft.origin)
    if unit is None or network.successor(draft.origin, on) != draft.origin:
        return (refuse("BUL002", unit=draft.origin, date=on.isoformat()),)
    found: list[Diagnostic] = []
    if unit.tier is not draft.tier:
        found.append(refuse("BUL003", unit=unit.name, tier=draft.tier))
    person = network.people.get(draft.author)
    if person is None or not may(network, person, _writers(draft), draft.origin):
        found.append(refuse("BUL001", person=draft.author, cls=draft.cls, unit=unit.name))
    elif draft.on_behalf and person.area == draft.origin:
        found.append(refuse("BUL015", person=person.name, unit=unit.name))
    if draft.cls in network.authority_for and not (draft.script or draft.authority.strip()):
        found.append(refuse("BUL013", cls=draft.cls))
    if not draft.title.strip():
        found.append(refuse("BUL006"))
    if (bool(draft.text.strip()), draft.audio is not None, bool(draft.live)).count(True) != 1:
        found.append(refuse("BUL011"))
    found += (*_limits(draft, now), *(_live_limits(draft) if draft.live else ()), *_lines(draft))
    audience = audience_of(network, on, draft.audience)
    if isinstance(audience, Audience):
        found += _reach(network, on, draft, audience)
    else:
        found += audience
    return tuple(found)


def compose(
    network: Network, on: date, draft: Draft, content: Sound | None, now: datetime, version: int = 1
) -> Bulletin | tuple[Diagnostic, ...]:
    """The bulletin that an approver will sign, with a new id; or everything that is wrong with the draft.

    ``content`` is None of what is spoken live.
    """
    found = checks(network, on, draft, now)
    audience = audience_of(network, on, draft.audience)
    if found or not isinstance(audience, Audience):
        return found
    start, end = validity(draft, now)
    loud, identity = draft.loud, new_id(now)
    sound = content if content is not None else Microphone(microphone_of(identity), draft.live)
    bulletin = Bulletin(
        id=identity,
        version=version,
        # only an emergency may pass quiet hours, so a drill is never signed as one
        cls=BulletinClass.PRIORITY if draft.drill else draft.cls,
        kind=sound.kind,
        tier=str(draft.tier),
        origin=draft.origin,
        title=draft.title.strip(),
        content=sound.sha,
        duration=sound.duration_ms,
        audience=audience,
        valid_from=to_milliseconds(start),
        valid_until=to_milliseconds(end),
        volume=draft.volume,
        siren=SIREN if loud else 0,
        times=TIMES if loud else 1,
        every=max(EVERY, SIREN + TIMES * sound.duration_ms) if loud and not draft.drill else 0,
        text=draft.text,
        authority=draft.authority.strip(),
        supplier=draft.supplier.strip(),
        field=draft.field.strip(),
    )
    return _too_large(bulletin, sound) or bulletin


def validity(draft: Draft, now: datetime) -> tuple[datetime, datetime]:
    start = draft.valid_from or now
    length = EMERGENCY_VALIDITY if draft.loud else VALIDITY
    if draft.every or draft.by_session:
        # there is at least one session a day
        apart = timedelta(milliseconds=draft.every) if draft.every else timedelta(days=1)
        length = max(length, draft.repeats * apart + timedelta(days=1))
    return start, draft.valid_until or start + length


def audience_of(network: Network, on: date, text: str) -> Audience | tuple[Diagnostic, ...]:
    """The selection as it is signed: units or groups where it is nothing else, otherwise its loudspeakers by id."""
    selection = select.parse(text, network, on)
    if isinstance(selection, tuple):
        return selection
    if selection.units:
        return Audience(units=selection.units)
    if selection.groups:
        return Audience(groups=selection.groups)
    if selection.needs_status:
        return (refuse("BUL012", audience=text),)
    return Audience(devices=tuple(d.id for d in selection.devices(on) if d.kind is DeviceKind.LOUDSPEAKER))


def addressed(network: Network, on: date, audience: Audience) -> tuple[Device, ...]:
    """The loudspeakers in use that the audience means; boards have no sound."""
    return tuple(
        device
        for device in network.devices_on(on)
        if device.kind is DeviceKind.LOUDSPEAKER
        and audience.addresses(device.id, network.device_chain(device, on), network.groups_of(device))
    )


def may(network: Network, person: Person, roles: Sequence[Role], unit: str) -> bool:
    """Whether the person has one of the roles in an area that covers the unit."""
    return any(r in person.roles for r in roles) and covers(network, person.area, unit)


def covers(network: Network, area: UnitId, unit: str) -> bool:
    return area in network.chain(UnitId(unit))


def is_spoken(bulletin: Bulletin) -> bool:
    """Whether it is spoken live: a relay of a session of its own, and so of one window."""
    return bulletin.kind is ContentKind.RELAY and bulletin.content == microphone_of(bulletin.id)


def outside(network: Network, on: date, area: UnitId, audience: Audience) -> str | None:
    """The first part of the audience that does not lie in the area."""
    for unit in audience.units:
        if not covers(network, area, unit):
            return unit_name(network, unit)
    members = Audience(groups=audience.groups, devices=audience.devices)
    if members == Audience():
        return None
    for device in network.devices_on(on):
        chain = network.device_chain(device, on)
        if area not in chain and members.addresses(device.id, chain, network.groups_of(device)):
            return device.id
    return None


def unit_name(network: Network, unit: str) -> str:
    known = network.units.get(UnitId(unit))
    return known.name if known is not None else unit


def _writers(draft: Draft) -> tuple[Role, ...]:
    if draft.script:
        return (Role.EDITOR, *ALONE)
    return (Role.EDITOR, Role.OPERATOR) if draft.cls is BulletinClass.EMERGENCY else (Role.EDITOR,)


def _limits(draft: Draft, now: datetime) -> Iterable[Diagnostic]:
    start, end = validity(draft, now)
    if end <= max(start, now):
        local = [moment.astimezone(TIMEZONE).isoformat(timespec="minutes") for moment in (start, end)]
        yield refuse("BUL007", start=local[0], end=local[1])
    if not 1 <= draft.repeats <= MOST_REPEATS:
        yield refuse("BUL008", field="repeats", value=draft.repeats, least=1, most=MOST_REPEATS)
    if not 1 <= draft.volume <= 100:
        yield refuse("BUL008", field="volume", value=draft.volume, least=1, most=100)
    if not 0 <= draft.every <= MOST_APART:
        yield refuse("BUL008", field="every", value=draft.every, least=0, most=MOST_APART)
    if draft.by_session and (draft.play_now or draft.every):
        yield refuse("BUL016")


def _live_limits(draft: Draft) -> Iterable[Diagnostic]:
    """Nobody knows beforehand what is said: it waits for free air and is heard once."""
    if not SHORTEST_LIVE <= draft.live <= LONGEST_LIVE:
        least, value, most = (ms // 1000 for ms in (SHORTEST_LIVE, draft.live, LONGEST_LIVE))
        yield refuse("BUL008", field="live (s)", value=value, least=least, most=most)
    if draft.loud:
        yield refuse("BUL091")
    if draft.repeats != 1 or draft.every or draft.by_session:
        yield refuse("BUL092")


def _lines(draft: Draft) -> Iterable[Diagnostic]:
    """What is shown in lists and in terminals is one line: control characters there could draw whatever they like."""
    for name in ("title", "authority", "supplier", "field"):
        text: str = getattr(draft, name)
        control = next((c for c in text.strip() if unicodedata.category(c)[0] == "C" or c in "\u2028\u2029"), None)
        if control is not None:
            yield refuse("BUL017", field=name, what=f"U+{ord(control):04X}", most=LONGEST_LINE)
        elif len(text) > LONGEST_LINE:
            yield refuse("BUL017", field=name, what=str(len(text)), most=LONGEST_LINE)


def _reach(network: Network, on: date, draft: Draft, audience: Audience) -> Iterable[Diagnostic]:
    beyond = outside(network, on, draft.origin, audience)
    if beyond is not None:
        yield refuse("BUL004", target=beyond, unit=unit_name(network, draft.origin))
    elif not addressed(network, on, audience):
        yield refuse("BUL005", audience=draft.audience)


def _too_large(bulletin: Bulletin, content: Sound) -> tuple[Diagnostic, ...]:
    size = len(encode(bulletin))
    if size > MOST_BYTES:
        return (refuse("BUL010", size=size, most=MOST_BYTES),)
    if order_kind(bulletin) is not None and (size + content.size) * 4 // 3 + ENVELOPE_BYTES > MAX_FRAME:
        return (refuse("BUL009", size=content.size, most=MAX_FRAME),)
    return ()
