"""Bulletins as people look for them: a page of a list, filtered in the store, each with how many heard it; who did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.orm import Session

from audio import asrun, ledger, muting, placing
from audio.bulletin import State, addressed
from audio.desk import Refusals, Scene
from audio.documents import Bulletin
from audio.receipts import Planned, Report, report
from audio.refusals import refuse
from inventory.model import TIMEZONE, Device, Network
from inventory.select import fold
from nms.moments import from_milliseconds, to_milliseconds
from nms.store import BulletinRow, Store

PAGE = 500
"""Bulletins in one answer."""


@dataclass(frozen=True, slots=True)
class Find:
    """Which bulletins: every word of ``search`` occurs in them (marks and capitals do not count), in this ``state``,
    of this ``origin``, handed in ``since``. ``before`` is the last bulletin of the page before.
    """

    search: str = ""
    state: str = ""
    origin: str = ""
    since: datetime | None = None
    before: str = ""
    limit: int = PAGE


ANY = Find()


@dataclass(frozen=True, slots=True)
class BulletinView:
    """A bulletin in a list: times and duration in ms, ``heard`` of ``expected`` loudspeakers.

    Of a correction or all-clear those are expected that heard what it ``follows``.
    """

    id: str
    title: str
    cls: str
    tier: str
    origin: str
    author: str
    state: State
    audience: str
    created: int
    valid_until: int
    duration: int
    heard: int
    expected: int
    version: int
    follows: str = ""


@dataclass(frozen=True, slots=True)
class Narrowed:
    """Who of an audience is expected: where an offer was ``picked``, who was ``told`` what it follows; None: all."""

    picked: frozenset[str] | None
    told: frozenset[str] | None


class Listing:
    """Pages of bulletins. ``counted``: receipts committed so far, by bulletin, so that nothing is counted twice."""

    def __init__(self, store: Store, scene: Callable[[], Scene], counted: Callable[[], Mapping[str, int]]) -> None:
        self._store = store
        self._scene = scene
        self._counted = counted
        self._heard: dict[str, tuple[int, int]] = {}
        self._expected: dict[str, tuple[object, int]] = {}

    async def page(self, find: Find) -> tuple[BulletinView, ...]:
        """The newest bulletins that are meant, newest first."""
        return await self._views(lambda s: s.scalars(_query(s, find)).all())

    async def one(self, bulletin: str) -> BulletinView | None:
        found = await self._views(lambda s: s.scalars(select(BulletinRow).where(BulletinRow.id == bulletin)).all())
        return found[0] if found else None

    async def offers(self, read: Callable[[Session], Sequence[BulletinRow]]) -> tuple[BulletinView, ...]:
        return await self._views(read)

    async def _views(self, read: Callable[[Session], Sequence[BulletinRow]]) -> tuple[BulletinView, ...]:
        def both(session: Session) -> tuple[Sequence[BulletinRow], dict[str, Narrowed]]:
            rows = read(session)
            return rows, _narrowed(session, [(r.id, ledger.body_of(r).follows) for r in rows])

        rows, narrowed = await self._store.read(both)
        counted = dict(self._counted())
        stale = [r.id for r in rows if self._heard.get(r.id, (-1, 0))[0] != counted.get(r.id, 0)]
        if stale:
            heard = await self._store.read(lambda s: asrun.heard(s, stale))
            self._heard |= {bulletin: (counted.get(bulletin, 0), heard.get(bulletin, 0)) for bulletin in stale}
        scene = self._scene()
        return tuple(self._view(scene, row, narrowed[row.id]) for row in rows)

    def _view(self, scene: Scene, row: BulletinRow, narrowed: Narrowed) -> BulletinView:
        bulletin = ledger.body_of(row)
        on = _day(scene, row, bulletin)
        known = (id(scene.network), on, narrowed)
        if self._expected.get(row.id, (None, 0))[0] != known:
            self._expected[row.id] = known, len(_expected(scene.network, on, bulletin, narrowed))
        return BulletinView(
            id=row.id,
            title=row.title,
            cls=row.cls,
            tier=row.tier,
            origin=row.origin,
            author=row.author,
            state=State(row.state),
            audience=row.audience,
            created=to_milliseconds(row.created),
            valid_until=to_milliseconds(row.valid_until),
            duration=bulletin.duration,
            heard=self._heard.get(row.id, (0, 0))[1],
            expected=self._expected[row.id][1],
            version=row.version,
            follows=bulletin.follows,
        )


def of_bulletin(session: Session, scene: Scene, bulletin_id: str) -> Report | Refusals:
    """Who was addressed by the bulletin, and what each of them reported."""
    row = session.get(BulletinRow, bulletin_id)
    if row is None:
        return (refuse("BUL020", bulletin=bulletin_id),)
    bulletin = ledger.body_of(row)
    planned = [Planned(a.id, to_milliseconds(a.start)) for a in ledger.airings(session, bulletin_id)]
    planned += [
        Planned(str(o.entry["entry"]), to_milliseconds(o.from_), bulletin.every)
        for o in ledger.orders(session, bulletin_id)
    ]
    narrowed = _narrowed(session, [(bulletin_id, bulletin.follows)])[bulletin_id]
    return report(
        bulletin_id,
        [d.id for d in _expected(scene.network, _day(scene, row, bulletin), bulletin, narrowed)],
        planned,
        asrun.receipts(session, bulletin_id),
        muting.silenced(session, scene, bulletin),
    )


def _narrowed(session: Session, bulletins: Sequence[tuple[str, str]]) -> dict[str, Narrowed]:
    """Of each bulletin (its id, and the one that it follows) who of its audience is left."""
    picked = placing.picked(session, [bulletin for bulletin, _ in bulletins])
    told = {follows: asrun.reached(session, follows) for _, follows in bulletins if follows}
    return {bulletin: Narrowed(picked.get(bulletin), told.get(follows)) for bulletin, follows in bulletins}


def _day(scene: Scene, row: BulletinRow, bulletin: Bulletin) -> date:
    """The day whose units the bulletin's audience means: that of its first hour; a merge later on changes nothing."""
    first = max(row.created, from_milliseconds(bulletin.valid_from))
    return scene.network.on(min(first, scene.now).astimezone(TIMEZONE).date())


def _expected(network: Network, on: date, bulletin: Bulletin, narrowed: Narrowed) -> tuple[Device, ...]:
    """The loudspeakers that should be heard."""
    units, devices = narrowed.picked, narrowed.told
    meant = addressed(network, on, bulletin.audience)
    meant = meant if units is None else tuple(d for d in meant if network.unit_of(d, on) in units)
    return meant if devices is None else tuple(d for d in meant if d.id in devices)


def _query(session: Session, find: Find) -> Select[BulletinRow]:
    query = select(BulletinRow).order_by(BulletinRow.created.desc(), BulletinRow.id.desc()).limit(find.limit)
    for word in fold(find.search).split():
        query = query.where(BulletinRow.search.contains(word, autoescape=True))
    if find.state:
        query = query.where(BulletinRow.state == find.state)
    if find.origin:
        query = query.where(BulletinRow.origin == find.origin)
    if find.since is not None:
        query = query.where(BulletinRow.created >= find.since)
    last = session.get(BulletinRow, find.before) if find.before else None
    if last is not None:
        older = and_(BulletinRow.created == last.created, BulletinRow.id < last.id)
        query = query.where(or_(BulletinRow.created < last.created, older))
    return query
