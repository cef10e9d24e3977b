"""How far bulletins of every kind are, all at once, in a real store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from audio import asrun
from audio.asrun import Progress
from audio.bulletin import State, compose, is_spoken
from audio.documents import Bulletin, NowKind, Result, encode
from audio.relays import SERIES
from nms.moments import to_milliseconds
from nms.store import AiringRow, BulletinRow, NowEntryRow, OfferRow, ReceiptRow, Store
from tests.audio.province import EVENING, ON, OTHER, WARD, draft, network
from tests.audio.test_bulletin import Sound

FIVE = EVENING.replace(hour=17, minute=0, second=0)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SECONDS = 8.0
END = FIVE + 7 * DAY


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "loa.db") as opened:
        yield opened


class Kept:
    """Puts bulletins and what belongs to them into the store."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._count = 0

    def bulletin(self, name: str, state: State = State.SCHEDULED, **changes: object) -> None:
        body = compose(network(), ON, draft(**changes), None if "live" in changes else Sound(), EVENING)
        assert isinstance(body, Bulletin)
        assert is_spoken(body) is ("live" in changes)
        row = BulletinRow(
            id=name,
            version=1,
            state=state,
            cls=body.cls,
            tier=body.tier,
            origin=body.origin,
            title=body.title,
            author="chi",
            created=EVENING,
            body=encode(replace(body, id=name)),
            audience="commune=23557",
            valid_from=EVENING,
            valid_until=END,
            first=name,
        )
        self._session.add(row)
        self._session.flush()

    def series(self, name: str) -> None:
        self.bulletin(name)
        self._session.get_one(BulletinRow, name).repeats = SERIES

    def airing(self, name: str, start: datetime, unit: str = WARD, *, cancelled: bool = False) -> None:
        self._count += 1
        row = AiringRow(
            id=f"a{self._count}",
            bulletin=name,
            unit=unit,
            repeat=self._count,
            start=start,
            duration=SECONDS,
            latest=start + HOUR,
            cancelled=cancelled,
        )
        self._session.add(row)

    def offer(self, name: str, unit: str, picked: datetime | None) -> None:
        self._session.add(OfferRow(bulletin=name, unit=unit, picked=picked))

    def order(self, name: str, kind: NowKind, start: datetime, until: datetime, ended: datetime | None = None) -> None:
        self._count += 1
        row = NowEntryRow(
            id=f"n{self._count}",
            target="u/23557",
            issuer="64",
            kind=str(kind),
            from_=start,
            until=until,
            ended=ended,
            entry={},
            bulletin=name,
        )
        self._session.add(row)

    def receipt(self, name: str, result: Result) -> None:
        self._count += 1
        row = ReceiptRow(
            id=f"r{self._count}",
            device="d",
            airing="x",
            bulletin=name,
            repeat=0,
            result=str(result),
            received=FIVE,
        )
        self._session.add(row)


def filled(session: Session, prefix: str = "") -> None:
    kept = Kept(session)
    kept._count = 1_000 * len(prefix)

    def name(plain: str) -> str:
        return prefix + plain

    kept.bulletin(name("twice"), State.AIRING)
    for start, unit, cancelled in ((FIVE + DAY, WARD, False), (FIVE, OTHER, False), (FIVE + 2 * DAY, WARD, True)):
        kept.airing(name("twice"), start, unit, cancelled=cancelled)
    kept.receipt(name("twice"), Result.PARTIAL)
    kept.receipt(name("twice"), Result.PLAYED)
    kept.bulletin(name("spoken"), text="", live=600_000)
    kept.airing(name("spoken"), FIVE)
    kept.bulletin(name("offered"))
    kept.airing(name("offered"), FIVE)
    kept.offer(name("offered"), WARD, EVENING)
    kept.offer(name("offered"), OTHER, None)
    kept.bulletin(name("picked"))
    kept.airing(name("picked"), FIVE)
    kept.offer(name("picked"), WARD, EVENING)
    kept.series(name("series"))
    kept.receipt(name("series"), Result.MISSED)
    kept.bulletin(name("alarm"), State.AIRING)
    kept.order(name("alarm"), NowKind.EMERGENCY, FIVE + HOUR, FIVE + 3 * HOUR, FIVE + 2 * HOUR)
    kept.order(name("alarm"), NowKind.EMERGENCY, FIVE, FIVE + HOUR)
    kept.order(name("alarm"), NowKind.STOP, EVENING, END)
    kept.receipt(name("alarm"), Result.PLAYED)
    kept.bulletin(name("stopped"))
    kept.airing(name("stopped"), FIVE, cancelled=True)
    kept.order(name("stopped"), NowKind.STOP, EVENING, END)
    for state in (State.SUBMITTED, State.AIRED, State.FAILED):
        kept.bulletin(name(state), state)
        kept.airing(name(state), FIVE)
    session.flush()


def ms(moment: datetime, seconds: float = 0) -> int:
    return to_milliseconds(moment) + round(seconds * 1000)


EXPECTED = {
    p.bulletin: p
    for p in (
        Progress("twice", State.AIRING, ms(FIVE), ms(FIVE + DAY, SECONDS), ms(FIVE + DAY + HOUR), True),
        Progress("spoken", State.SCHEDULED, ms(FIVE), ms(FIVE, SECONDS), ms(FIVE + HOUR), False),
        Progress("offered", State.SCHEDULED, ms(FIVE), ms(END), ms(END), False),
        Progress("picked", State.SCHEDULED, ms(FIVE), ms(FIVE, SECONDS), ms(FIVE + HOUR), False),
        Progress("series", State.SCHEDULED, ms(EVENING), ms(END), ms(END), False),
        Progress("alarm", State.AIRING, ms(FIVE), ms(FIVE + 2 * HOUR), ms(FIVE + 2 * HOUR), True),
    )
}


def by_name(session: Session) -> dict[str, Progress]:
    return {p.bulletin: p for p in asrun.progress(session)}


async def test_bulletins_of_every_kind_at_once_are_as_far_as_each_alone(store: Store) -> None:
    await store.write(filled)
    assert await store.read(by_name) == EXPECTED

    def alone(session: Session) -> None:
        for row in session.scalars(select(BulletinRow)).all():
            others = select(BulletinRow).where(BulletinRow.id != row.id)
            for other in session.scalars(others):
                other.state = State.CANCELLED
            assert by_name(session) == {name: p for name, p in EXPECTED.items() if name == row.id}
            session.rollback()

    await store.write(alone)


async def test_the_store_is_asked_as_often_for_many_bulletins_as_for_few(store: Store) -> None:
    asked: list[str] = []

    def due(session: Session) -> int:
        asked.clear()
        connection = session.connection()
        note = lambda *call: asked.append(call[2])  # noqa: E731
        event.listen(connection, "before_cursor_execute", note)
        asrun.due(session, EVENING)
        event.remove(connection, "before_cursor_execute", note)
        return len(asked)

    counts = []
    for prefix in ("", "b", "bb"):
        await store.write(lambda s, prefix=prefix: filled(s, prefix))  # type: ignore[misc]
        counts.append(await store.read(due))
    assert counts == [counts[0]] * 3
    assert len(await store.read(by_name)) == 3 * len(EXPECTED)


@pytest.mark.parametrize(
    ("at", "moved"),
    [
        pytest.param(EVENING - HOUR, {}, id="before anything begins"),
        pytest.param(EVENING, {"series": "airing"}, id="a relay's validity has begun"),
        pytest.param(FIVE, dict.fromkeys(("spoken", "offered", "picked", "series"), "airing"), id="the first starts"),
        pytest.param(
            FIVE + 2 * HOUR,
            dict.fromkeys(("spoken", "offered", "picked", "series"), "airing") | {"alarm": "aired"},
            id="the alarm is over",
        ),
    ],
)
async def test_what_is_due_moves_on_and_nothing_else(store: Store, at: datetime, moved: dict[str, str]) -> None:
    def states(session: Session) -> dict[str, str]:
        return {row.id: row.state for row in session.scalars(select(BulletinRow))}

    await store.write(filled)
    before = await store.read(states)
    assert await store.read(lambda s: asrun.due(s, at)) is bool(moved)
    await store.write(lambda s: asrun.advance(s, at))
    assert await store.read(states) == before | moved
