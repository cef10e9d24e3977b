"""What a commune decides about its own programme: the order of priority bulletins, and which offers it airs.

Each decision is one transaction, as in ``audio.desk``; the rules are in ``docs/adr/0012-the-commune-decides.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from audio import ledger, placing, schedule
from audio.bulletin import State, is_spoken, unit_name
from audio.desk import Approved, Changed, Done, Refusals, Scene, no_room
from audio.documents import Bulletin, BulletinClass, Span
from audio.grid import Grids
from audio.ledger import Actor
from audio.refusals import refuse
from audio.schedule import LEAD, Request
from audio.timetable import GAP, Placement
from inventory.model import Person, Role, Tier, UnitId
from nms import journal
from nms.journal import EventKind
from nms.moments import from_milliseconds, to_milliseconds
from nms.store import AiringRow, BulletinRow, OfferRow

OPEN = (State.APPROVED, State.SCHEDULED, State.AIRING)
"""States in which an offer can be picked."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """The commune's priority starts still to come (ms), in their order: bulletin, title, start."""

    items: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True)
class _Start:
    """A start that has not begun (ms), and what it airs."""

    airing: str
    title: str
    bulletin: Bulletin
    at: int
    latest: int

    @property
    def priority(self) -> bool:
        """Whether the commune puts it in order; what is spoken live for more than the commune keeps its instant."""
        apart = is_spoken(self.bulletin) and self.bulletin.tier != Tier.COMMUNE
        return self.bulletin.cls is BulletinClass.PRIORITY and not apart

    @property
    def span(self) -> Span:
        return Span(self.at, self.at + self.bulletin.duration)


def order(
    session: Session, scene: Scene, who: Actor, unit: str, bulletin: str, before: str
) -> Done[Ordered] | Refusals:
    """Put one priority bulletin before another wherever that one is still to begin in the commune."""
    refused = _deciding(scene, who.person, unit, "BUL080")
    if refused:
        return refused
    rows = [session.get(BulletinRow, name) for name in (bulletin, before)]
    for name, row in zip((bulletin, before), rows, strict=True):
        if row is None:
            return (refuse("BUL020", bulletin=name),)
    coming = _coming(session, scene, unit)
    for row in rows:
        if row is not None and not any(s.priority and s.bulletin.id == row.id for s in coming):
            return (refuse("BUL082", unit=unit_name(scene.network, unit), title=row.title),)
    moved = _reordered(session, scene, UnitId(unit), bulletin, before, coming)
    if isinstance(moved, tuple):
        return moved
    _keep(session, moved)
    items = tuple((s.bulletin.id, s.title, s.at) for s in moved if s.priority)
    data: dict[str, object] = {"unit": unit, "before": before, "order": [name for name, _, _ in items]}
    ledger.act(session, scene.now, who, "bulletin.order", bulletin, data)
    journal.append(session, scene.now, EventKind.BULLETIN_ORDERED, bulletin, cause=who.person.id, data=data)
    return Done(Ordered(items), Changed(units=(unit,)))


def pick(session: Session, scene: Scene, who: Actor, unit: str, bulletin_id: str) -> Done[Approved] | Refusals:
    """Air an offered bulletin in the commune: its starts are placed now."""
    row = session.get(BulletinRow, bulletin_id)
    if row is None:
        return (refuse("BUL020", bulletin=bulletin_id),)
    refused = _deciding(scene, who.person, unit, "BUL081")
    if refused:
        return refused
    offered = session.get(OfferRow, (bulletin_id, unit))
    if offered is None or offered.picked is not None or row.state not in OPEN or row.valid_until <= scene.now:
        return (refuse("BUL084", title=row.title, unit=unit_name(scene.network, unit)),)
    placed = placing.place(session, Grids(scene.network), (UnitId(unit),), row, scene.now)[UnitId(unit)]
    if not placed:
        return (refuse("BUL030", count=1, units=unit_name(scene.network, unit)),)
    offered.picked, offered.picked_by = scene.now, who.person.id
    if row.state == State.APPROVED:
        ledger.move(session, scene.now, row, State.SCHEDULED, unit)
    ledger.act(session, scene.now, who, "bulletin.pick", bulletin_id, {"unit": unit})
    journal.append(session, scene.now, EventKind.BULLETIN_PICKED, bulletin_id, cause=who.person.id, data={"unit": unit})
    homeless = (unit,) if len(placed) < row.repeats else ()
    answer = Approved({unit: placed[0].start}, homeless, no_room(scene.network, homeless))
    return Done(answer, Changed(units=(unit,)))


def offers(session: Session, scene: Scene, unit: str) -> Sequence[BulletinRow]:
    """What the commune may still pick, the newest first."""
    query = (
        select(BulletinRow)
        .join(OfferRow, OfferRow.bulletin == BulletinRow.id)
        .where(OfferRow.unit == unit, OfferRow.picked.is_(None))
        .where(BulletinRow.state.in_(OPEN), BulletinRow.valid_until > scene.now)
        .order_by(BulletinRow.created.desc(), BulletinRow.id.desc())
    )
    return session.scalars(query).all()


def _deciding(scene: Scene, person: Person, unit: str, code: str) -> Refusals:
    """Why this person does not decide for the commune; who stands above it does not either."""
    known = scene.network.units.get(UnitId(unit))
    if known is None or scene.network.successor(known.id, scene.on) != known.id:
        return (refuse("BUL002", unit=unit, date=scene.on.isoformat()),)
    if known.tier is not Tier.COMMUNE:
        return (refuse("BUL003", unit=known.name, tier=Tier.COMMUNE),)
    own = scene.network.successor(person.area, scene.on) == known.id
    if not own or not {Role.EDITOR, Role.OPERATOR, Role.APPROVER} & set(person.roles):
        return (refuse(code, person=person.name, unit=known.name),)
    return ()


def _coming(session: Session, scene: Scene, unit: str) -> list[_Start]:
    """The commune's starts that no device can have begun, in their order."""
    from_ = scene.now + timedelta(milliseconds=LEAD)
    rows = session.execute(
        select(AiringRow, BulletinRow)
        .join(BulletinRow, BulletinRow.id == AiringRow.bulletin)
        .where(AiringRow.unit == unit, AiringRow.start > from_, ~AiringRow.cancelled)
        .order_by(AiringRow.start, AiringRow.id)
    )
    return [
        _Start(
            airing.id,
            bulletin.title,
            placing.within(bulletin),
            to_milliseconds(airing.start),
            to_milliseconds(airing.latest),
        )
        for airing, bulletin in rows
    ]


def _keep(session: Session, starts: Iterable[_Start]) -> None:
    for start in starts:
        row = session.get_one(AiringRow, start.airing)
        row.start, row.latest = from_milliseconds(start.at), from_milliseconds(start.latest)


def _reordered(
    session: Session, scene: Scene, unit: UnitId, bulletin: str, before: str, coming: Sequence[_Start]
) -> list[_Start] | Refusals:
    """All starts to come, in their order, with the one bulletin before the other."""
    begun = [s for s in ledger.taken(session, unit, scene.now) if s.start <= scene.milliseconds + LEAD]
    last = max(s.at for s in coming)
    grids, tier = Grids(scene.network), next(s.bulletin.tier for s in coming if s.bulletin.id == bulletin)
    rooms = grids.rooms(unit, tier, scene.milliseconds, last + 1)
    for window in sorted(rooms, key=lambda r: r.start):
        wanted = _sequence(coming, window, bulletin, before)
        others = [s for s in coming if s not in wanted]
        laid = _lay(scene, grids, unit, wanted, [*begun, *(s.span for s in others)], window)
        if isinstance(laid, tuple):
            return laid
        coming = sorted((*others, *laid), key=lambda s: (s.at, s.airing))
    return list(coming)


def _sequence(coming: Sequence[_Start], window: Span, bulletin: str, before: str) -> list[_Start]:
    """The session's priority starts with the one before the other; empty where that asks for no change."""
    mine = [s for s in coming if s.priority]
    inside = [s for s in mine if window.start <= s.at < window.until]
    second = next((s for s in inside if s.bulletin.id == before), None)
    if second is None or any(s.bulletin.id == bulletin and s.at < second.at for s in inside):
        return []
    moved = next((s for s in mine if s.bulletin.id == bulletin and s.at > second.at), None)
    if moved is None:
        return []
    others = [s for s in inside if s is not moved]
    where = others.index(second)
    return [*others[:where], moved, *others[where:]]


def _lay(
    scene: Scene, grids: Grids, unit: UnitId, wanted: Sequence[_Start], fixed: Sequence[Span], window: Span
) -> list[_Start] | Refusals:
    """These starts one after the other in the session; what does not fit there any more begins after it."""
    laid: list[_Start] = []
    taken, after = list(fixed), window.start
    for start in wanted:
        whole = start.bulletin
        inside = replace(
            whole, valid_from=max(after, whole.valid_from), valid_until=min(window.until, whole.valid_until)
        )
        beyond = replace(whole, valid_from=max(window.until, whole.valid_from))
        found = _room(scene, grids, unit, inside, taken) or _room(scene, grids, unit, beyond, taken)
        if found is None:
            return (refuse("BUL083", title=start.title, unit=unit_name(scene.network, unit)),)
        laid.append(replace(start, at=found.start, latest=found.latest))
        taken.append(laid[-1].span)
        if found.start < window.until:
            after = found.start + whole.duration + GAP
    return laid


def _room(scene: Scene, grids: Grids, unit: UnitId, bulletin: Bulletin, taken: Sequence[Span]) -> Placement | None:
    placed = schedule.starts(grids, unit, Request(bulletin, 1, sessions=True), taken, scene.milliseconds)
    return placed[0] if placed else None
