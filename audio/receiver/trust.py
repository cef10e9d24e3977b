"""Every check between a frame that came in and something this device may do because of it.

Who may say what: the root signs policies; the hub signs programmes, orders, time and acknowledgements; an issuer signs
bulletins, for its areas and classes. A device plays only what hub and issuer both allow, within the validity of all
the frames and keys involved.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from audio.documents import (
    Airing,
    Bulletin,
    BulletinClass,
    ContentKind,
    DocumentError,
    Now,
    NowEntry,
    NowKind,
    Policy,
    Programme,
    decode,
)
from audio.envelope import Header, Key, Opened, Reason, Refused, is_session, key_id, open_frame, parse, unb64
from audio.timetable import Item, Order

SKEW = 5_000
"""A frame may be valid this many ms from now on: the signer's clock and ours need not agree better."""
BAD_CONTENT = "content"
"""Counted beside the envelope's reasons: a sound that is not what its bulletin says."""


Sounds = tuple[tuple[str, bytes], ...]
"""Contents (SHA-256) with their bytes."""


@dataclass(frozen=True, slots=True)
class Instant:
    """When a frame is checked. ``sure`` False: the clock is not believed, ``at`` is only known to have passed.

    ``clock``: what a believed clock says, which may be less than what a hub ahead of it has dated already.
    """

    at: int
    sure: bool
    clock: int

    def lead(self, header: Header) -> int:
        """By how many ms the hub that made the frame is ahead of us; 0 where clocks may differ by that."""
        lead = header.issued - self.clock
        return lead if self.sure and lead > SKEW else 0


@dataclass(frozen=True, slots=True)
class Content:
    """What one programme or ``now`` document lets this device do, and what in it was refused."""

    header: Header
    items: tuple[Item, ...] = ()
    orders: tuple[Order, ...] = ()
    sounds: Sounds = ()
    refused: tuple[Refused, ...] = ()


def root_keys(public: bytes) -> dict[str, Key]:
    return {key_id(public): Key(key_id(public), "root", public, "root")}


def policy_keys(policy: Policy) -> dict[str, Key]:
    """The hub's and the issuers' keys that the policy trusts."""
    return {
        k.kid: Key(k.kid, k.iss, unb64(k.public), k.role, k.areas, k.classes, k.nbf, k.exp)
        for k in policy.keys
        if k.role in ("hub", "issuer")
    }


def policy_topic(device: str) -> str:
    return f"loa/1/policy/{device}"


def topics(policy: Policy) -> dict[str, str]:
    """Every topic pattern this device listens to, and what comes on it."""
    device = policy.device
    found = {policy_topic(device): "policy", "loa/1/time": "time"}
    found |= {f"loa/1/ack/{device}": "ack", f"loa/1/set/{device}": "set"}
    found |= {f"loa/1/prog/{unit}": "prog" for unit in policy.units}
    targets = [f"u/{u}" for u in policy.units] + [f"g/{g}" for g in policy.groups] + [f"d/{device}"]
    return found | {f"loa/1/now/{target}/+": "now" for target in targets}


def kind_of(topic: str, policy: Policy) -> str | None:
    """What comes on ``topic``; None when it is none of this device's."""
    known = topics(policy)
    return known.get(topic) or known.get(topic.rpartition("/")[0] + "/+")


def open_at(
    frame: bytes, topic: str, keys: Mapping[str, Key], role: str, instant: Instant, *, early: bool = False
) -> Opened | Refused:
    """``envelope.open_frame`` at the device's time; ``early`` True: a frame whose validity is still to come will do."""
    claimed = parse(frame)
    if isinstance(claimed, Refused):
        return claimed
    begins = claimed.header.nbf
    latest = begins if early or not instant.sure else instant.at + SKEW
    return open_frame(frame, topic, keys, (role,), max(instant.at, min(begins, latest)))


def read_policy(frame: bytes, device: str, root: bytes, instant: Instant) -> tuple[Header, Policy] | Refused:
    opened = open_at(frame, policy_topic(device), root_keys(root), "root", instant)
    if isinstance(opened, Refused):
        return opened
    try:
        policy = decode(Policy, opened.body)
        policy_keys(policy)
    except ValueError as error:
        return Refused(Reason.MALFORMED, str(error))
    if policy.device != device:
        return Refused(Reason.NOT_ALLOWED, f"policy of {policy.device}")
    return opened.header, policy


class Trust:
    """The checks of one policy: a new policy is a new Trust."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.keys = policy_keys(policy)

    def open_hub(self, frame: bytes, topic: str, instant: Instant) -> Opened | Refused:
        """Orders are in force when they come: those of a hub whose clock is ahead do not wait for ours."""
        return open_at(frame, topic, self.keys, "hub", instant, early=topic.startswith("loa/1/now/"))

    def read(self, opened: Opened, kind: str, instant: Instant) -> Content | Refused:
        """What an opened ``prog`` or ``now`` frame says to this device."""
        try:
            if kind == "prog":
                return self._programme(opened, decode(Programme, opened.body), instant)
            return self._now(opened, decode(Now, opened.body), instant)
        except DocumentError as error:
            return Refused(Reason.MALFORMED, str(error))

    def _programme(self, opened: Opened, programme: Programme, instant: Instant) -> Content | Refused:
        header = opened.header
        if header.topic != f"loa/1/prog/{programme.unit}":
            return Refused(Reason.WRONG_TOPIC, f"programme of {programme.unit}")
        needed = {a.bulletin for a in programme.airings}
        bulletins = {name: self._bulletin(name, programme.signed.get(name, ""), instant) for name in needed}
        items = [_item(a, bulletins[a.bulletin], self._end(header)) for a in programme.airings]
        return Content(
            header,
            items=tuple(i for i in items if isinstance(i, Item)),
            refused=_distinct([*bulletins.values(), *items]),
        )

    def _now(self, opened: Opened, now: Now, instant: Instant) -> Content:
        end, lead = self._end(opened.header), instant.lead(opened.header)
        dated = [replace(entry, start=entry.start - lead) for entry in now.entries]
        read = [self._entry(entry, end, lead, instant) for entry in dated]
        taken = [r for r in read if not isinstance(r, Refused)]
        sounds = dict(pair for _, carried in taken for pair in carried)
        return Content(
            opened.header,
            orders=tuple(order for order, _ in taken),
            sounds=tuple(sounds.items()),
            refused=_distinct(read),
        )

    def _entry(self, entry: NowEntry, end: int, lead: int, instant: Instant) -> tuple[Order, Sounds] | Refused:
        """The order and the sounds it carries."""
        order = self._order(entry, end, lead, instant)
        if isinstance(order, Refused):
            return order
        sounds = _sounds(entry, order.bulletin)
        return sounds if isinstance(sounds, Refused) else (order, sounds)

    def _order(self, entry: NowEntry, end: int, lead: int, instant: Instant) -> Order | Refused:
        until = min(entry.until, end)
        if entry.kind is NowKind.STOP:
            return Order(entry.entry, entry.kind, entry.bulletin, entry.start, until)
        bulletin = self._bulletin(entry.bulletin, entry.signed, instant)
        if isinstance(bulletin, Refused):
            return bulletin
        if entry.kind is NowKind.EMERGENCY and bulletin.cls is not BulletinClass.EMERGENCY:
            return Refused(Reason.NOT_ALLOWED, f"{bulletin.cls} bulletin {bulletin.id} as emergency")
        if (entry.kind is NowKind.FOLLOW_UP) != bool(bulletin.follows):
            return Refused(Reason.NOT_ALLOWED, f"bulletin {bulletin.id}, follows '{bulletin.follows}', as {entry.kind}")
        start = max(entry.start, bulletin.valid_from - lead)
        return Order(entry.entry, entry.kind, entry.bulletin, start, min(until, bulletin.valid_until), bulletin)

    def _bulletin(self, name: str, signed: str, instant: Instant) -> Bulletin | Refused:
        """The bulletin, its validity narrowed to that of its frame and of its issuer's key."""
        try:
            frame = unb64(signed)
        except ValueError:
            return Refused(Reason.MALFORMED, f"bulletin {name}: not base64")
        opened = open_at(frame, f"bulletin/{name}", self.keys, "issuer", instant, early=True)
        if isinstance(opened, Refused):
            return opened
        try:
            bulletin = decode(Bulletin, opened.body)
        except DocumentError as error:
            return Refused(Reason.MALFORMED, str(error))
        key = self.keys[opened.header.kid]
        return self._allowed(bulletin, name, key) or replace(
            bulletin,
            valid_from=max(bulletin.valid_from, opened.header.nbf, key.nbf),
            valid_until=min(bulletin.valid_until, self._end(opened.header)),
        )

    def _allowed(self, bulletin: Bulletin, name: str, key: Key) -> Refused | None:
        if bulletin.id != name:
            return Refused(Reason.NOT_ALLOWED, f"bulletin {bulletin.id} as {name}")
        if not set(key.areas) & set(self.policy.units):
            return Refused(Reason.NOT_ALLOWED, f"{key.kid} does not speak for this place")
        if bulletin.cls not in key.classes:
            return Refused(Reason.NOT_ALLOWED, f"{key.kid} may not sign {bulletin.cls}")
        if not _sane(bulletin, self.policy.languages):
            return Refused(Reason.MALFORMED, f"bulletin {name}: impossible lengths, volume or content name")
        return None

    def _end(self, header: Header) -> int:
        return min(header.exp, self.keys[header.kid].exp)


def _item(airing: Airing, bulletin: Bulletin | Refused, end: int) -> Item | Refused:
    if isinstance(bulletin, Refused):
        return bulletin
    if airing.start < bulletin.valid_from:
        return Refused(Reason.NOT_ALLOWED, f"airing {airing.airing} before its bulletin is valid")
    return Item(replace(airing, latest=min(airing.latest, end)), bulletin)


def _sounds(entry: NowEntry, bulletin: Bulletin | None) -> Sounds | Refused:
    """The sounds of the bulletin's voices that came with the entry."""
    if bulletin is None:
        return ()
    signed = {voice.content for voice in bulletin.voices}
    found = []
    for carried in entry.sounds:
        try:
            sound = unb64(carried)
        except ValueError:
            return Refused(Reason.MALFORMED, f"entry {entry.entry}: sound")
        content = hashlib.sha256(sound).hexdigest()
        if content not in signed:
            return Refused(Reason.NOT_ALLOWED, f"entry {entry.entry}: sound is not what its issuer signed")
        found.append((content, sound))
    return tuple(found)


def _sane(bulletin: Bulletin, languages: tuple[str, ...]) -> bool:
    voices = bulletin.voices
    return (
        _fits(bulletin)
        and all(_named(bulletin, voice.content) and voice.duration > 0 for voice in voices)
        and len({voice.language for voice in voices}) == len(voices)
        and 0 <= bulletin.volume <= 100
        and bulletin.siren >= 0
        and bulletin.times >= 1
        and (bulletin.every == 0 or bulletin.every >= bulletin.round(languages))
    )


def _fits(bulletin: Bulletin) -> bool:
    """Whether it asks of a live session nothing that only a kept sound can do: be said with a siren, or again."""
    if bulletin.kind is not ContentKind.RELAY:
        return True
    once = (bulletin.siren, bulletin.times, bulletin.every) == (0, 1, 0) and not bulletin.also
    return once and bulletin.cls is not BulletinClass.EMERGENCY


def _named(bulletin: Bulletin, content: str) -> bool:
    """Whether a content is named as the bulletin's kind has it."""
    if bulletin.kind is ContentKind.RELAY:
        return is_session(content)
    return re.fullmatch(r"[0-9a-f]{64}", content) is not None


def _distinct(values: Iterable[object]) -> tuple[Refused, ...]:
    """A bulletin that is refused counts once, however many airings it has."""
    return tuple(dict.fromkeys(v for v in values if isinstance(v, Refused)))
