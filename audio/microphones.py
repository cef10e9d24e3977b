"""Live microphones at the hub's desk: who may speak when, what is open now, and the end of a speech before its time.

A live bulletin is a relay of a session of its own (``docs/adr/0013-live-microphone.md``), placed like any other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from audio import ledger
from audio.bulletin import State, is_spoken
from audio.desk import Changed, Done, Refusals, Scene, Stopped
from audio.ledger import LONGEST, Actor
from audio.refusals import refuse
from audio.rights import may_speak
from inventory.model import Person
from nms import journal
from nms.journal import EventKind
from nms.moments import to_milliseconds
from nms.store import AiringRow, BulletinRow, Store

ENDED = "the speaker has ended"

Decide = Callable[[Callable[[Session], Done[Stopped] | Refusals]], Awaitable[Stopped | Refusals]]


@dataclass(frozen=True, slots=True)
class Speech:
    """What is spoken in a session, to be heard in ``[start, until)`` (ms): from the first commune's to the last's."""

    bulletin: str
    title: str
    session: str
    start: int
    until: int


class Speeches:
    """``decide`` commits a decision and publishes what it changes."""

    def __init__(self, store: Store, scene: Callable[[], Scene], decide: Decide) -> None:
        self._store = store
        self._scene = scene
        self._decide = decide

    async def look(self, person: Person, bulletin: str) -> Speech | Refusals:
        """The speech as it is planned now, for who may speak in it."""
        scene = self._scene()
        return await self._store.read(lambda s: speech(s, scene, person, bulletin))

    async def note(self, person: Person, bulletin: str, uid: int) -> None:
        """Somebody has come to the microphone: on record."""
        now, who = self._scene().now, Actor(person, uid)
        await self._store.write(lambda s: ledger.act(s, now, who, "bulletin.speak", bulletin, {}))

    async def end(self, person: Person, bulletin: str, uid: int) -> Stopped | Refusals:
        """The speaker has said all: the air is free again."""
        scene, who = self._scene(), Actor(person, uid)
        return await self._decide(lambda s: end(s, scene, who, bulletin))


def speech(session: Session, scene: Scene, person: Person, bulletin_id: str) -> Speech | Refusals:
    """The live bulletin's window that is open or will be, for who may speak in it."""
    row = session.get(BulletinRow, bulletin_id)
    if row is None:
        return (refuse("BUL020", bulletin=bulletin_id),)
    body = ledger.body_of(row)
    if not is_spoken(body):
        return (refuse("BUL094", title=row.title),)
    refused = may_speak(scene.network, person, row)
    if refused:
        return refused
    spans = [(to_milliseconds(a.start), to_milliseconds(a.start) + body.duration) for a in _open(session, row.id)]
    until = max((over for _, over in spans), default=0)
    if row.state not in (State.SCHEDULED, State.AIRING) or until <= scene.milliseconds:
        return (refuse("BUL095", title=row.title, state=row.state),)
    return Speech(row.id, row.title, body.content, min(start for start, _ in spans), until)


def end(session: Session, scene: Scene, who: Actor, bulletin_id: str) -> Done[Stopped] | Refusals:
    """Take what is left of a speech off the air, as a stop does; it has aired. One that has not begun stays."""
    found = speech(session, scene, who.person, bulletin_id)
    if not isinstance(found, Speech):
        return found
    if scene.milliseconds < found.start:
        return Done(Stopped(()), Changed())
    row = session.get_one(BulletinRow, bulletin_id)
    units = ledger.cancel_airings(session, row.id, {a.unit for a in _open(session, row.id)}, scene.now)
    ledger.act(session, scene.now, who, "bulletin.speech_end", row.id, {})
    journal.append(session, scene.now, EventKind.BULLETIN_STOPPED, row.id, cause=ENDED, data={"by": who.person.id})
    if row.state == State.SCHEDULED:
        ledger.move(session, scene.now, row, State.AIRING)
    ledger.move(session, scene.now, row, State.AIRED, ENDED)
    return Done(Stopped(()), Changed(units=units))


def due(session: Session, since: datetime, until: datetime) -> frozenset[str]:
    """The sessions of the live bulletins that are on the air somewhere in ``[since, until)``."""
    near = session.execute(
        select(AiringRow.bulletin, AiringRow.start, AiringRow.duration).where(
            AiringRow.start > since - LONGEST, AiringRow.start < until, ~AiringRow.cancelled
        )
    )
    at = to_milliseconds(since)
    wanted = {name for name, start, seconds in near if to_milliseconds(start) + round(seconds * 1000) > at}
    rows = session.scalars(select(BulletinRow).where(BulletinRow.id.in_(wanted)))
    bodies = [ledger.body_of(row) for row in rows]
    return frozenset(body.content for body in bodies if is_spoken(body))


def _open(session: Session, bulletin: str) -> list[AiringRow]:
    return [a for a in ledger.airings(session, bulletin) if not a.cancelled]
