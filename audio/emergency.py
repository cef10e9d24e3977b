"""Emergencies, drills and what follows them, as bulletins: words filled in and spoken, recordings of every language.

Recordings in the inventory's folder are brought into the library before they are needed and kept there as long as a
script names them: nobody waits for an encoder at night.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from audio import ledger, schedule, scripts
from audio.bulletin import EVERY, NOT_SENT, SIREN, TIMES, Draft, checks, compose
from audio.desk import Refusals, Scene
from audio.documents import Audience, Bulletin, BulletinClass, Resume, Voice
from audio.ledger import Actor
from audio.library import Content, Library
from audio.refusals import refuse
from audio.scripts import After
from audio.sounds import CARRIED, lean
from inventory.check_scripts import SPOKEN
from inventory.diagnostics import Severity
from inventory.model import TIMEZONE, Network, Person, Script, ScriptClass, Tier, Unit, UnitId, Wording
from nms.journal import EventKind, new_id
from nms.moments import to_milliseconds
from nms.store import BulletinRow, EventRow, Store

log = logging.getLogger("loa.emergency")

LOOK_SECONDS = 60.0
SHOWN = timedelta(days=1)
"""How long everyone is told that an emergency went out without a second person."""
OFTEN = timedelta(hours=1)
"""Another emergency for the same area within this time is warned about, never refused."""


@dataclass(frozen=True, slots=True)
class Call:
    """A script for one unit (``area``, its id or name), its blanks filled; ``typed`` confirms it."""

    script: str
    area: str
    values: Mapping[str, str]
    typed: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call before it is sent: what will be said to whom, the ``word`` to be typed; ``alone``: one person suffices.

    ``problems`` forbid it (also what is still to be filled in); ``warnings`` do not.
    """

    script: Script
    unit: Unit
    audience: Audience
    text: str
    word: str
    alone: bool
    languages: tuple[str, ...]
    problems: Refusals
    warnings: Refusals


@dataclass(frozen=True, slots=True)
class Made:
    """A bulletin that waits for its signature."""

    bulletin: str
    content: Content


@dataclass(frozen=True, slots=True)
class Alone:
    """An emergency that ``person`` (an id) sent without a second one, and why."""

    at: datetime
    title: str
    person: str
    reason: str


class Emergencies:
    """``recordings``: the folder in which the files lie that scripts name."""

    def __init__(
        self,
        store: Store,
        network: Callable[[], Network],
        clock: Callable[[], datetime],
        library: Library,
        recordings: Path,
    ) -> None:
        self._store = store
        self._network = network
        self._clock = clock
        self._library = library
        self._recordings = recordings
        self._spoiled: set[str] = set()
        self._imported: dict[tuple[str, int, int], Content] = {}

    async def run(self) -> None:
        """Keep every script's recordings in the library, also those that a new inventory names; until cancelled."""
        while True:
            await self._warm()
            await asyncio.sleep(LOOK_SECONDS)

    async def _warm(self) -> None:
        for script in self._network().scripts.values():
            for wording in (script.alarm, script.correction, script.all_clear):
                for file in wording.recordings.values():
                    found = await self._recorded(file)
                    if isinstance(found, tuple) and file not in self._spoiled:
                        self._spoiled.add(file)
                        log.error("%s cannot be used: %s", file, "; ".join(d.text() for d in found))

    async def prepare(self, person: Person, call: Call) -> Prepared | Refusals:
        """What would be sent; refused only where script or area are unknown."""
        scene = self._scene()
        script = scripts.find(scene.network, call.script)
        unit = scripts.area(scene.network, scene.on, call.area)
        if isinstance(script, tuple) or isinstance(unit, tuple):
            return (*(script if isinstance(script, tuple) else ()), *(unit if isinstance(unit, tuple) else ()))
        audience = Audience(units=(unit.id,))
        filled = scripts.fill(script, call.values)
        text = script.alarm.text[SPOKEN] if isinstance(filled, tuple) else filled
        draft = self._draft(scene, person, script, unit, call, text)
        problems = (*(filled if isinstance(filled, tuple) else ()), *checks(scene.network, scene.on, draft, scene.now))
        return Prepared(
            script=script,
            unit=unit,
            audience=audience,
            text=text,
            word=scripts.word(script, unit),
            alone=scripts.one_commune(scene.network, audience),
            languages=(SPOKEN, *(language for language in script.alarm.recordings if language != SPOKEN)),
            problems=(*problems, *_quiet(scene, script, unit)),
            warnings=await self._store.read(lambda s: _often(s, scene, script, unit)),
        )

    async def call(self, person: Person, call: Call, *, uid: int) -> Made | Refusals:
        """Make the bulletin that the person then signs; nothing is heard before that."""
        prepared = await self.prepare(person, call)
        if isinstance(prepared, tuple):
            return prepared
        script, unit = prepared.script, prepared.unit
        if prepared.problems:
            return prepared.problems
        if not scripts.confirms(script, unit, call.typed):
            return (refuse("BUL064", typed=call.typed, word=prepared.word),)
        sounds = await self._sounds(script.alarm, prepared.text)
        if isinstance(sounds, tuple):
            return sounds
        scene = self._scene()
        draft = self._draft(scene, person, script, unit, call, prepared.text)
        bulletin = compose(scene.network, scene.on, draft, sounds[0][1], scene.now)
        if isinstance(bulletin, tuple):
            return bulletin
        length = SIREN + TIMES * sum(content.duration_ms for _, content in sounds)
        every = max(EVERY, length) if bulletin.every else 0
        bulletin = replace(bulletin, also=_also(sounds), every=every, script=script.id)
        return await self._keep(Actor(person, uid), scene.now, draft, bulletin, sounds)

    async def follow(self, person: Person, bulletin_id: str, what: After, text: str, *, uid: int) -> Made | Refusals:
        """Make the correction or all-clear of an emergency or drill: in these words, or (empty) in its script's."""
        scene = self._scene()
        row = await self._store.read(lambda s: s.get(BulletinRow, bulletin_id))
        if row is None:
            return (refuse("BUL020", bulletin=bulletin_id),)
        before = ledger.body_of(row)
        refused = scripts.may_follow(scene.network, person, row, before)
        if refused or row.state in NOT_SENT:
            return refused or (refuse("BUL033"),)
        script = next((s for s in scene.network.scripts.values() if s.id == before.script), None)
        wording = Wording() if text.strip() or script is None else getattr(script, what.value)
        words = text.strip() or wording.text.get(SPOKEN, "")
        if not words:
            return (refuse("BUL069"),)
        sounds = await self._sounds(wording, words)
        if isinstance(sounds, tuple):
            return sounds
        now = self._clock()
        bulletin = _following(before, what, words, sounds, now, script.id if wording.text and script else "")
        draft = Draft(
            tier=Tier(before.tier),
            origin=UnitId(row.origin),
            author=person.id,
            cls=before.cls,
            title=bulletin.title,
            audience=row.audience,
            text=words,
        )
        return await self._keep(Actor(person, uid), now, draft, bulletin, sounds)

    def _scene(self) -> Scene:
        network, now = self._network(), self._clock()
        return Scene(network, network.on(now.astimezone(TIMEZONE).date()), now)

    def _draft(self, scene: Scene, person: Person, script: Script, unit: Unit, call: Call, text: str) -> Draft:
        own = scene.network.units[person.area]
        drill = script.cls is ScriptClass.DRILL
        return Draft(
            tier=own.tier,
            origin=own.id,
            author=person.id,
            cls=BulletinClass.PRIORITY if drill else BulletinClass.EMERGENCY,
            title=script.title,
            audience=f"{unit.tier}={unit.id}",
            text=text,
            valid_until=None if drill else scene.now + scripts.LASTING,
            authority=call.values.get("order", ""),
            drill=drill,
            script=script.id,
        )

    async def _sounds(self, wording: Wording, text: str) -> list[tuple[str, Content]] | Refusals:
        """The words in every language that has a sound, Vietnamese first."""
        main = wording.recordings.get(SPOKEN)
        first = await (self._recorded(main) if main else self._spoken(text))
        if isinstance(first, tuple):
            return first
        found = [(SPOKEN, first)]
        for language, file in wording.recordings.items():
            content = await self._recorded(file) if language != SPOKEN else ()
            if not isinstance(content, tuple):
                found.append((language, content))
            elif content:
                # the alarm goes out without this language rather than not at all
                log.error("%s is left out: %s", file, "; ".join(d.text() for d in content))
        return found

    async def _spoken(self, text: str) -> Content | Refusals:
        return await lean(lambda bitrate: self._library.speak(text, bitrate=bitrate))

    async def _recorded(self, file: str) -> Content | Refusals:
        path = self._recordings / file
        try:
            stat = path.stat()
        except OSError:
            return await self._library.import_audio(path, bitrate=CARRIED)
        known = (file, stat.st_mtime_ns, stat.st_size)
        before = self._imported.get(known)
        if before is not None and await asyncio.to_thread(self._library.renew, before.sha):
            return before
        content = await lean(lambda bitrate: self._library.import_audio(path, bitrate=bitrate))
        if not isinstance(content, tuple):
            self._imported[known] = content
        return content

    async def _keep(
        self, who: Actor, now: datetime, draft: Draft, bulletin: Bulletin, sounds: list[tuple[str, Content]]
    ) -> Made:
        rows = [ledger.content_row(content, bulletin.title, now) for _, content in sounds]

        def work(session: Session) -> None:
            ledger.add(session, now, who, draft, bulletin, rows[0])
            for row in rows[1:]:
                ledger.add_content(session, row)

        await self._store.write(work)
        return Made(bulletin.id, sounds[0][1])


def without_second_person(session: Session, now: datetime) -> tuple[Alone, ...]:
    """The emergencies of the last day that went out without a second person, newest first."""
    # few emergencies against the many events of a day: from those to theirs
    recent = select(BulletinRow.id, BulletinRow.title).where(
        BulletinRow.cls == BulletinClass.EMERGENCY, BulletinRow.created > now - 2 * SHOWN
    )
    titles = {number: title for number, title in session.execute(recent)}
    broken = select(EventRow).where(
        EventRow.subject.in_(titles), EventRow.at > now - SHOWN, EventRow.kind == EventKind.BULLETIN_BROKE_GLASS
    )
    rows = session.scalars(broken.order_by(EventRow.at.desc())).all() if titles else ()
    return tuple(Alone(row.at, titles[row.subject], row.to, row.cause) for row in rows)


def _also(sounds: list[tuple[str, Content]]) -> tuple[Voice, ...]:
    return tuple(Voice(language, content.sha, content.duration_ms) for language, content in sounds[1:])


def _following(
    before: Bulletin, what: After, text: str, sounds: list[tuple[str, Content]], now: datetime, script: str
) -> Bulletin:
    """Said once, without siren, to those who were meant by what it follows, as urgently as that was."""
    main = sounds[0][1]
    return replace(
        before,
        id=new_id(now),
        version=1,
        kind=main.kind,
        title=f"{scripts.TITLES[what]}: {before.title}",
        content=main.sha,
        duration=main.duration_ms,
        valid_from=to_milliseconds(now),
        valid_until=to_milliseconds(now + scripts.TOLD),
        volume=100,
        resume=Resume.RESUME,
        siren=0,
        times=1,
        every=0,
        text=text,
        language=SPOKEN,
        also=_also(sounds),
        follows=before.id,
        script=script,
    )


def _quiet(scene: Scene, script: Script, unit: Unit) -> Refusals:
    """A drill obeys the quiet hours: it is refused here, before somebody waits for it."""
    now = scene.milliseconds
    hours = schedule.quiet(scene.network, unit.id, now, now + 1)
    if script.cls is not ScriptClass.DRILL or not hours:
        return ()
    local = [datetime.fromtimestamp(at / 1000, TIMEZONE).strftime("%H:%M") for at in (hours[0].start, hours[0].until)]
    return (refuse("BUL067", unit=unit.name, start=local[0], end=local[1]),)


def _often(session: Session, scene: Scene, script: Script, unit: Unit) -> Refusals:
    if script.cls is ScriptClass.DRILL:
        return ()
    recent = session.scalar(
        select(func.count())
        .select_from(BulletinRow)
        .where(
            BulletinRow.cls == BulletinClass.EMERGENCY,
            BulletinRow.audience == f"{unit.tier}={unit.id}",
            BulletinRow.created > scene.now - OFTEN,
        )
    )
    if not recent:
        return ()
    minutes = round(OFTEN.total_seconds() / 60)
    return (refuse("BUL068", severity=Severity.WARNING, count=recent, unit=unit.name, minutes=minutes),)
