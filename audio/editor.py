"""Making the next version of a bulletin: the edit's sound, then the version in the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sqlalchemy.orm import Session

from audio import editing, ledger
from audio.bulletin import Draft, compose
from audio.desk import Done, Refusals, Scene
from audio.documents import Bulletin
from audio.editing import Edited, Edits, Wish
from audio.ledger import Actor
from audio.library import Content, Library
from inventory.model import Person
from nms.store import BulletinRow, ContentRow, Store

Decide = Callable[[Callable[[Session], Done[Edited] | Refusals]], Awaitable[Edited | Refusals]]
Sound = Callable[[Draft], Awaitable[Content | Refusals]]


class Editor:
    """``sound`` makes a draft's sound; ``decide`` commits a decision and publishes what it changes."""

    def __init__(
        self, store: Store, library: Library, scene: Callable[[], Scene], sound: Sound, decide: Decide
    ) -> None:
        self._store = store
        self._library = library
        self._scene = scene
        self._sound = sound
        self._decide = decide

    async def edit(self, person: Person, bulletin_id: str, edits: Edits, uid: int) -> Edited | Refusals:
        """Change a bulletin at once where no leader is asked, else hand in its next version."""
        who, scene = Actor(person, uid), self._scene()
        row = await self._store.read(lambda s: s.get(BulletinRow, bulletin_id))
        path = self._library.path(ledger.body_of(row).content) if row is not None else None
        wanted = await self._store.read(lambda s: editing.wish(s, scene, person, bulletin_id, edits, path))
        if isinstance(wanted, tuple):
            return wanted
        if wanted.at_once:
            return await self._decide(lambda s: editing.adjust(s, self._scene(), who, wanted))
        return await self._next(who, wanted)

    async def _next(self, who: Actor, wanted: Wish) -> Edited | Refusals:
        old = ledger.body_of(wanted.row)
        content = await self._content(wanted, old)
        if isinstance(content, tuple):
            return content
        scene = self._scene()
        version = await self._store.read(lambda s: editing.next_version(s, wanted.row))
        bulletin = compose(scene.network, scene.on, wanted.new, content, scene.now, version)
        if isinstance(bulletin, tuple):
            return bulletin
        made = editing.carried(old, bulletin) if wanted.same_sound else bulletin
        kept = ledger.content_row(content, wanted.new.title, scene.now) if content is not None else None
        return await self._store.write(lambda s: editing.add_version(s, scene, who, wanted, made, kept))

    async def _content(self, wanted: Wish, old: Bulletin) -> Content | Refusals | None:
        """An unchanged sound is not made again: what was heard and approved stays what is heard. None: it is live."""
        if wanted.new.live:
            return None
        if wanted.same_sound:
            row = await self._store.read(lambda s: s.get_one(ContentRow, old.content))
            return Content(row.sha, row.size, row.duration_ms, row.lufs or 0.0, 0.0, old.kind, row.source)
        return await self._sound(wanted.new)
