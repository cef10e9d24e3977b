"""A day's log: what is planned, heard, late, partial, missing and why, device by device."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.daybook import UNTOLD, Book, By, Day, Fate, Listener, Start, audience_places, outcome
from audio.documents import Audience, Receipt, Result, Span
from audio.receipts import Planned, aired

MINUTE = 60_000
DAY = Span(0, 24 * 60 * MINUTE)
TIERS = {"b1": "commune", "b2": "province"}
LATER = DAY.until + 60 * MINUTE


def start(airing: str = "a1", at: int = 0, **changes: object) -> Start:
    values: dict[str, object] = {
        "airing": airing,
        "repeat": 0,
        "bulletin": "b1",
        "start": at,
        "over": at + 10 * MINUTE,
        "length": MINUTE,
        "places": frozenset({"prog/23557"}),
        "audience": frozenset({"u/23557"}),
    }
    return Start(**(values | changes))  # type: ignore[arg-type]


def told(result: Result = Result.PLAYED, started: int = 0, **changes: object) -> Receipt:
    sounded = result in (Result.PLAYED, Result.PARTIAL)
    values: dict[str, object] = {
        "id": f"r{started}",
        "device": "23557-L01",
        "airing": "a1",
        "bulletin": "b1",
        "repeat": 0,
        "content": "",
        "started": started,
        "ended": started + (MINUTE if sounded else 0),
        "offset": 0,
        "result": result,
    }
    return Receipt(**(values | changes))  # type: ignore[arg-type]


def listener(device: str = "23557-L01", *silenced: Span) -> Listener:
    unit = device[:5]
    places = frozenset({f"prog/{unit}", f"u/{unit}", "u/64", f"d/{device}"})
    return Listener(device, unit, places, silenced)


def day(*starts: Start, **more: Planned) -> Day:
    planned = {s.airing: Planned(s.airing, s.start - s.repeat * MINUTE, MINUTE) for s in starts if s.repeat}
    return Day(DAY, starts, {s.airing: Planned(s.airing, s.start) for s in starts} | planned | more)


def book(day: Day, *receipts: Receipt, by: By = By.UNIT, who: Listener | None = None, now: int = LATER) -> Book:
    made = Book(day, by, now)
    made.add(who or listener(), receipts, TIERS)
    return made


@pytest.mark.parametrize(
    ("receipts", "fate", "reason"),
    [
        ((told(),), Fate.HEARD, ""),
        # cut by an emergency, then its remainder: all of it was heard
        (
            (told(Result.PARTIAL, 0, reason="emergency"), told(Result.PLAYED, 90_000, offset=30_000)),
            Fate.HEARD,
            "",
        ),
        ((told(Result.PARTIAL, 0, reason="emergency"),), Fate.PARTIAL, "emergency"),
        (
            (told(Result.PARTIAL, 0, reason="emergency"), told(Result.PARTIAL, 9, offset=9, reason="stopped")),
            Fate.PARTIAL,
            "stopped",
        ),
        # a siren whose message did not come, and one whose message did
        ((told(Result.PARTIAL, 0, ended=5_000, reason="no content"),), Fate.PARTIAL, "no content"),
        (
            (told(Result.PARTIAL, 0, ended=5_000, reason="no content"), told(Result.PLAYED, 90_000, offset=5_000)),
            Fate.HEARD,
            "",
        ),
        ((told(Result.MISSED, 600_000, reason="quiet hours"),), Fate.MISSING, "quiet hours"),
        ((told(Result.REFUSED, 600_000, reason="no content"),), Fate.MISSING, "no content"),
        ((told(Result.MISSED, 600_000),), Fate.MISSING, "missed"),
        ((told(Result.MISSED, 600_000, reason="silenced"),), Fate.SILENCED, ""),
        ((), Fate.MISSING, UNTOLD),
    ],
)
def test_what_became_of_a_start(receipts: tuple[Receipt, ...], fate: Fate, reason: str) -> None:
    assert outcome(start(), receipts, "", (), LATER) == (fate, reason)


@pytest.mark.parametrize(
    ("silence", "fate"),
    [
        (Span(-9, 1), Fate.SILENCED),
        (Span(30_000, 40_000), Fate.SILENCED),
        (Span(MINUTE, 2 * MINUTE), Fate.MISSING),
        (Span(-9, 0), Fate.MISSING),
    ],
)
def test_who_is_silenced_stands_apart_from_who_says_nothing(silence: Span, fate: Fate) -> None:
    assert outcome(start(), (), "", (silence,), LATER)[0] is fate
    assert outcome(start(), (told(),), "", (silence,), LATER)[0] is Fate.HEARD


def test_what_may_still_be_heard_is_not_missing_and_not_yet_requested() -> None:
    item = start(at=MINUTE)
    assert outcome(item, (), "", (), item.over + 59_999) == (Fate.PENDING, "")
    assert outcome(item, (), "", (), item.over + 60_000) == (Fate.MISSING, UNTOLD)
    total = book(day(item), now=0).total
    assert (total.planned, total.pending, total.requested, dict(total.missing)) == (1, 1, 0, {})


@pytest.mark.parametrize(("behind", "late"), [(2_000, 0), (2_001, 1)])
def test_more_than_two_seconds_are_late(behind: int, late: int) -> None:
    total = book(day(start()), told(started=behind)).total
    assert (total.begun, total.heard, total.late) == (1, 1, late)


def test_how_late_a_remainder_goes_on_says_nothing() -> None:
    rest = told(Result.PLAYED, 90_000, offset=30_000)
    assert book(day(start()), told(Result.PARTIAL, 0, reason="restart"), rest).total.late == 0
    assert book(day(start()), rest).total.late == 0


def test_lines_by_unit_tier_and_bulletin() -> None:
    items = day(start(), start("a2", bulletin="b2", places=frozenset({"u/64"}), audience=frozenset({"u/64"})))

    def lines(by: By) -> Mapping[str, tuple[int, int]]:
        made = Book(items, by, LATER)
        made.add(listener(), (told(), told(airing="a2", bulletin="b2")), TIERS)
        made.add(listener("23560-L01"), (told(airing="a2", bulletin="b2"),), TIERS)
        return {line.key: (line.planned, line.heard) for line in made.lines}

    assert lines(By.UNIT) == {"23557": (2, 2), "23560": (1, 1)}
    assert lines(By.TIER) == {"commune": (1, 1), "province": (2, 2)}
    assert lines(By.BULLETIN) == {"b1": (1, 1), "b2": (2, 2)}


def test_only_those_who_are_meant_where_it_is_published() -> None:
    elsewhere = start(places=frozenset({"prog/23560"}))
    another = start(audience=audience_places(Audience(devices=("23557-L02",))))
    assert book(day(elsewhere)).total.planned == 0
    assert book(day(another)).total.planned == 0
    twice = start(places=frozenset({"u/64", "u/23557"}))
    assert book(day(twice)).total.planned == 1


def test_after_midnight_it_still_belongs_to_the_day_it_began() -> None:
    last = start(at=DAY.until - 30_000)
    rest = told(Result.PLAYED, DAY.until + 90_000, offset=20_000)
    begun = book(day(last), told(Result.PARTIAL, DAY.until - 30_000, ended=DAY.until - 10_000, reason="drill"), rest)
    assert (begun.total.heard, begun.total.aired) == (1, 80_000)
    tomorrow = Day(Span(DAY.until, 2 * DAY.until), (), {"a1": Planned("a1", last.start)})
    assert book(tomorrow, rest).total.aired == 0
    unknown = Day(Span(DAY.until, 2 * DAY.until), (), {})
    assert book(unknown, told(started=DAY.until)).total.unplanned == 1


def test_a_cancelled_start_counts_where_something_is_said_about_it() -> None:
    cancelled = start(optional=True)
    assert book(day(cancelled)).total.planned == 0
    stopped = book(day(cancelled), told(Result.PARTIAL, ended=9_000, reason="withdrawn")).total
    assert (stopped.planned, stopped.partial, stopped.aired) == (1, {"withdrawn": 1}, 9_000)


def test_one_receipt_of_who_never_began_an_order_speaks_for_all_its_rounds() -> None:
    rounds = tuple(start("e1", number * MINUTE, repeat=number, over=number * MINUTE) for number in range(3))
    order = Day(DAY, rounds, {"e1": Planned("e1", 0, MINUTE)}, frozenset({"e1"}))
    never = told(Result.REFUSED, DAY.until + 5, airing="e1", reason="no content")
    assert book(order, never).total.missing == {"no content": 3}
    one = book(order, told(airing="e1"), told(started=2 * MINUTE, airing="e1", repeat=2)).total
    assert (one.heard, one.missing, one.late) == (2, {UNTOLD: 1}, 0)


def test_a_start_that_nobody_planned_comes_on_top() -> None:
    made = book(day(), told(), told(Result.MISSED, airing="a9"), by=By.TIER)
    assert (made.total.planned, made.total.unplanned, made.total.aired) == (0, 1, MINUTE)
    stranger = book(day(), told(bulletin="lost"), by=By.TIER)
    assert [line.key for line in stranger.tiers] == [""]


RESULTS = st.sampled_from([Result.PLAYED, Result.PARTIAL, Result.MISSED, Result.REFUSED])
AIRINGS = ("a1", "a2", "e1", "x1")


@st.composite
def receipts(draw: st.DrawFn) -> Receipt:
    began = draw(st.integers(-DAY.until, 2 * DAY.until))
    return told(
        draw(RESULTS),
        began,
        airing=draw(st.sampled_from(AIRINGS)),
        bulletin=draw(st.sampled_from(("b1", "b2", "b3"))),
        repeat=draw(st.integers(0, 2)),
        ended=began + draw(st.integers(-5, 10 * MINUTE)),
        offset=draw(st.sampled_from((0, 0, 500))),
        reason=draw(st.sampled_from(("", "stopped"))),
    )


@given(st.lists(st.tuples(st.sampled_from(("23557-L01", "23560-L02")), receipts()), max_size=12), st.sampled_from(By))
def test_minutes_by_tier_are_those_of_the_receipts_and_each_start_has_one_fate(
    given_: list[tuple[str, Receipt]], by: By
) -> None:
    rounds = tuple(start("e1", n * MINUTE, repeat=n, bulletin="b2", places=frozenset({"u/64"})) for n in range(2))
    items = Day(
        DAY,
        (start(), start("a2", 5 * MINUTE, optional=True), *rounds),
        {"a1": Planned("a1", 0), "a2": Planned("a2", 5 * MINUTE), "e1": Planned("e1", 0, MINUTE)},
    )
    made = Book(items, by, LATER)
    for device in ("23557-L01", "23560-L02"):
        made.add(listener(device), [r for who, r in given_ if who == device], TIERS)
    mine = [r for _, r in given_ if items.begun(r)]
    for lines in (made.tiers, made.lines, (made.total,)):
        assert sum(line.aired for line in lines) == aired(mine)
    for line in (*made.lines, *made.tiers, made.total):
        missing, partial = sum(line.missing.values()), sum(line.partial.values())
        assert line.planned == line.heard + partial + missing + line.silenced + line.pending
        assert line.late <= line.begun == line.heard + partial
        assert line.requested == MINUTE * (line.planned - line.pending)


@given(st.lists(receipts(), max_size=8))
def test_every_receipt_belongs_to_one_day(given_: list[Receipt]) -> None:
    known = {"a1": Planned("a1", -1), "e1": Planned("e1", DAY.until - 1, MINUTE)}
    days = [Day(Span(n * DAY.until, (n + 1) * DAY.until), (), known) for n in range(-2, 4)]
    assert all(sum(day.begun(receipt) for day in days) == 1 for receipt in given_)
