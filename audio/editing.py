"""Edits of a bulletin that waits, was returned, or is in the programmes.

What a leader signed cannot change: another text, recording, audience, class or anything else that stands in the signed
bytes makes the next version, a bulletin of its own id that needs approval again. The title is only its name in lists,
and when and how often it airs is not signed: those change at once, within the validity that was approved.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from audio import hours, ledger, placing, stops
from audio.bulletin import Draft, State, checks, is_spoken, order_kind, unit_name
from audio.desk import Changed, Done, Refusals, Scene
from audio.documents import Bulletin, BulletinClass
from audio.grid import Grids
from audio.ledger import Actor
from audio.refusals import refuse
from audio.relays import SERIES
from inventory.model import Person, Tier, UnitId
from nms import journal
from nms.journal import EventKind
from nms.moments import from_milliseconds, to_milliseconds
from nms.store import BulletinRow, ContentRow

UNDECIDED = (State.SUBMITTED, State.RETURNED)
UNSIGNED = ("title", "valid_until", "play_now", "repeats", "every", "by_session")
"""What of a draft may change without the leader; ``valid_until`` only to an earlier end."""


@dataclass(frozen=True, slots=True)
class Edits:
    """What is to be different; None: as it is. ``text`` and ``audio`` replace each other, and a live microphone."""

    title: str | None = None
    text: str | None = None
    audio: Path | None = None
    cls: BulletinClass | None = None
    audience: str | None = None
    valid_until: datetime | None = None
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
    """``bulletin``: the id to go on with; ``version`` its number. ``waiting``: it needs approval (again)."""

    bulletin: str
    version: int
    waiting: bool
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """A bulletin as it is and as it is to be."""

    row: BulletinRow
    old: Draft
    new: Draft

    @property
    def changed(self) -> tuple[str, ...]:
        names = (f.name for f in fields(Draft) if f.name not in ("author", "on_behalf"))
        return tuple(name for name in names if getattr(self.old, name) != getattr(self.new, name))

    @property
    def at_once(self) -> bool:
        """Whether the leader's signature goes on covering it."""
        later = self.new.valid_until is not None and self.new.valid_until > from_milliseconds(
            ledger.body_of(self.row).valid_until
        )
        return self.row.state not in UNDECIDED and not later and set(self.changed) <= set(UNSIGNED)

    @property
    def same_sound(self) -> bool:
        return (self.old.text, self.old.audio, self.old.live) == (self.new.text, self.new.audio, self.new.live)


def wish(
    session: Session, scene: Scene, person: Person, bulletin_id: str, edits: Edits, sound: Path | None
) -> Wish | Refusals:
    """What the edit asks for, or why that is not possible. ``sound``: the file of the bulletin's recording."""
    row = session.get(BulletinRow, bulletin_id)
    if row is None:
        return (refuse("BUL020", bulletin=bulletin_id),)
    refused = _editable(session, row)
    if refused:
        return refused
    old = _draft(row, person, sound)
    given = {f.name: value for f in fields(Edits) if (value := getattr(edits, f.name)) is not None}
    if "text" in given:
        given |= {"audio": None, "live": 0}
    elif "audio" in given:
        given |= {"text": "", "live": 0}
    if given.get("every"):
        given["by_session"] = False
    elif given.get("by_session"):
        given["every"] = 0
    wanted = Wish(row, old, replace(old, **given))
    found = checks(scene.network, scene.on, wanted.new, scene.now)
    if "play_now" in wanted.changed:
        found += hours.play_now(scene.network, scene.on, wanted.new, scene.now)
    if not found and not wanted.changed:
        return (refuse("BUL089"),)
    return found or wanted


def adjust(session: Session, scene: Scene, who: Actor, wanted: Wish) -> Done[Edited] | Refusals:
    """Change what needs no approval, and place anew what has not begun."""
    row, new = session.get_one(BulletinRow, wanted.row.id), wanted.new
    if row.state != wanted.row.state:
        return (refuse("BUL023", state=row.state),)
    with session.no_autoflush:
        return _adjusted(session, scene, who, wanted, row, new)


def _adjusted(
    session: Session, scene: Scene, who: Actor, wanted: Wish, row: BulletinRow, new: Draft
) -> Done[Edited] | Refusals:
    """Nothing reaches the store before it is known that there is room."""
    row.title = new.title.strip()
    row.play_now, row.repeats, row.every, row.by_session = new.play_now, new.repeats, new.every, new.by_session
    row.valid_until = new.valid_until or row.valid_until
    row.search = ledger.words(who.person, row.title, ledger.body_of(row))
    units: tuple[str, ...] = ()
    if set(wanted.changed) != {"title"}:
        moved = placing.anew(session, Grids(scene.network), row, scene.now, stops.closed(session, scene, row))
        lost = [unit for unit, one in moved.items() if not one.placed and not one.begun]
        if moved and len(lost) == len(moved):
            session.expire(row)
            names = ", ".join(unit_name(scene.network, unit) for unit in lost[:10])
            return (refuse("BUL030", count=len(lost), units=names),)
        placing.move(session, row, moved, scene.now)
        units = tuple(moved)
    _note(session, scene, who, row, wanted.changed)
    return Done(Edited(row.id, row.version, False, wanted.changed), Changed(units=units))


def next_version(session: Session, row: BulletinRow) -> int:
    highest = session.scalar(select(func.max(BulletinRow.version)).where(BulletinRow.first == row.first))
    return (highest or row.version) + 1


def add_version(
    session: Session, scene: Scene, who: Actor, wanted: Wish, bulletin: Bulletin, content: ContentRow | None
) -> Edited | Refusals:
    """Keep the next version for its approver. One that was undecided is replaced now, one on the air on approval."""
    old = session.get_one(BulletinRow, wanted.row.id)
    refused = _editable(session, old)
    if refused:
        return refused
    ledger.add(session, scene.now, who, wanted.new, bulletin, content, replaces=old)
    if old.state in UNDECIDED:
        ledger.move(session, scene.now, old, State.CANCELLED, f"replaced by version {bulletin.version}")
    _note(session, scene, who, session.get_one(BulletinRow, bulletin.id), wanted.changed)
    return Edited(bulletin.id, bulletin.version, True, wanted.changed)


def carried(old: Bulletin, new: Bulletin) -> Bulletin:
    """The new version with what an unchanged sound brings along."""
    return replace(new, kind=old.kind, resume=old.resume, language=old.language, also=old.also, script=old.script)


def _note(session: Session, scene: Scene, who: Actor, row: BulletinRow, changed: tuple[str, ...]) -> None:
    data: dict[str, object] = {"version": row.version, "changed": list(changed)}
    ledger.act(session, scene.now, who, "bulletin.edit", row.id, data)
    journal.append(session, scene.now, EventKind.BULLETIN_EDITED, row.id, cause=who.person.id, data=data)


def _editable(session: Session, row: BulletinRow) -> Refusals:
    if row.state not in (*UNDECIDED, State.APPROVED, State.SCHEDULED, State.AIRING):
        return (refuse("BUL023", state=row.state),)
    body = ledger.body_of(row)
    if row.repeats == SERIES or body.script or body.follows:
        return (refuse("BUL090", title=row.title),)
    if row.state not in UNDECIDED and order_kind(body) is not None:
        return (refuse("BUL085"),)
    waiting = session.scalars(
        select(BulletinRow).where(
            BulletinRow.first == row.first, BulletinRow.id != row.id, BulletinRow.state.in_(UNDECIDED)
        )
    ).first()
    return (refuse("BUL086", version=waiting.version, bulletin=waiting.id),) if waiting is not None else ()


def _draft(row: BulletinRow, person: Person, sound: Path | None) -> Draft:
    """The bulletin as its author wanted it, now in the hands of ``person``."""
    body = ledger.body_of(row)
    live = body.duration if is_spoken(body) else 0
    return Draft(
        tier=Tier(row.tier),
        origin=UnitId(row.origin),
        author=person.id,
        cls=body.cls,
        title=row.title,
        audience=row.audience,
        text=body.text,
        audio=None if body.text or live else sound or Path(body.content),
        valid_from=from_milliseconds(body.valid_from),
        valid_until=from_milliseconds(to_milliseconds(row.valid_until)),
        play_now=row.play_now,
        repeats=row.repeats,
        volume=body.volume,
        authority=body.authority,
        drill=bool(body.siren) and body.cls is not BulletinClass.EMERGENCY,
        supplier=body.supplier,
        field=body.field,
        every=row.every,
        by_session=row.by_session,
        on_behalf=bool(row.on_behalf) and person.area != row.origin,
        live=live,
    )
