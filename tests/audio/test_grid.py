from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio import series
from audio.bulletin import compose
from audio.documents import Bulletin, Span
from audio.grid import Grids, Kind, Why, airtime, without
from audio.schedule import Request, quiet
from audio.series import Spacing
from audio.trust import policy
from inventory.lines import (
    AirtimeLimit,
    Grid,
    Holiday,
    QuietException,
    Relay,
    SilentWindow,
    Slot,
    Source,
    When,
)
from inventory.model import (
    TIMEZONE,
    DeviceId,
    GroupId,
    HamletId,
    Network,
    PersonId,
    QuietHours,
    Session,
    Tier,
    Trust,
    UnitId,
)
from nms.moments import to_milliseconds
from tests.audio.province import DISTRICT, EVENING, OTHER, PROVINCE, WARD, draft, network
from tests.audio.test_bulletin import Sound

MONDAY = date(2024, 12, 2)
HALF = 1800.0
QUARTER = 900.0


def at(clock: str, on: date = MONDAY) -> int:
    return to_milliseconds(datetime.combine(on, time.fromisoformat(clock), TIMEZONE))


def span(start: str, until: str, on: date = MONDAY) -> Span:
    return Span(at(start, on), at(until, on))


VOV = Relay(PROVINCE, "VOV1 sáng", "vov1", time(5), HALF)
GRID = Grid(
    sources=(Source("vov1", "VOV1", ("https://vov1.example/live.m3u8",)),),
    relays=(VOV,),
    slots=(
        Slot(DISTRICT, "thành phố", Tier.DISTRICT, time(5, 30), QUARTER),
        Slot(WARD, "phường", Tier.COMMUNE, time(5, 45), QUARTER, When(weekdays=(0, 3))),
    ),
)


def made(grid: Grid = GRID, sessions: tuple[Session, ...] = ()) -> Network:
    plain = network()
    return replace(plain, grid=grid, sessions=sessions or plain.sessions)


def shown(net: Network, unit: UnitId = WARD, on: date = MONDAY) -> list[tuple[Kind, str, Span]]:
    [day] = Grids(net).days(unit, on, on)
    return [(w.kind, w.name, w.span) for w in day.windows]


def test_a_morning_is_a_relay_the_districts_slot_and_the_communes_own() -> None:
    assert shown(made()) == [
        (Kind.RELAY, "VOV1 sáng", span("05:00", "05:30")),
        (Kind.SLOT, "thành phố", span("05:30", "05:45")),
        (Kind.SLOT, "phường", span("05:45", "06:00")),
        (Kind.SESSION, "chiều", span("17:00", "18:00")),
    ]
    tuesday = MONDAY + timedelta(days=1)
    assert (Kind.SESSION, "sáng", span("05:45", "06:00", tuesday)) in shown(made(), on=tuesday)
    assert (Kind.SESSION, "sáng", span("05:45", "06:00")) in shown(made(), OTHER)


def test_a_bulletin_goes_into_its_tiers_slot_before_the_plain_sessions() -> None:
    grids = Grids(made())
    now, until = at("00:00"), at("23:59")
    evening = span("17:00", "18:00")
    assert grids.rooms(WARD, "district", now, until) == (span("05:30", "05:45"), evening)
    assert grids.rooms(WARD, "commune", now, until) == (span("05:45", "06:00"), evening)
    assert grids.rooms(WARD, "province", now, until) == (evening,)
    assert [w.span for w in grids.relays(WARD, now, until)] == [span("05:00", "05:30")]


def test_a_nearer_units_line_displaces_what_it_meets_and_only_if_it_holds_itself() -> None:
    own = Slot(WARD, "chợ", Tier.COMMUNE, time(5, 20), QUARTER)
    net = made(replace(GRID, slots=(own, *GRID.slots[:1])))
    [day] = Grids(net).days(WARD, MONDAY, MONDAY)
    assert [(w.name, w.span) for w in day.windows][:3] == [
        ("sáng", span("05:00", "05:20")),
        ("chợ", span("05:20", "05:35")),
        ("sáng", span("05:35", "06:00")),
    ]
    assert {(d.window.name, d.why, d.by) for d in day.displaced} == {
        ("thành phố", Why.NEARER, "chợ"),
        ("VOV1 sáng", Why.NEARER, "chợ"),
    }
    # the district's slot meets nothing but what is displaced itself
    middle = Slot(DISTRICT, "thành phố", Tier.DISTRICT, time(5, 10), QUARTER)
    late = replace(own, start=time(5, 24), duration=300.0)
    [day] = Grids(made(replace(GRID, slots=(middle, late)))).days(WARD, MONDAY, MONDAY)
    assert [(d.window.name, d.by) for d in day.displaced] == [("thành phố", "chợ"), ("VOV1 sáng", "chợ")]


def test_a_line_past_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    night = Relay(PROVINCE, "đêm", "vov1", time(23, 45), HALF, When(valid_from=MONDAY, valid_to=MONDAY + timedelta(1)))
    early = Session(PROVINCE, "khuya", time(0), 3600.0)
    net = made(Grid(relays=(night,)), (early,))
    assert shown(net)[-1] == (Kind.RELAY, "đêm", Span(at("23:45"), at("00:15", MONDAY + timedelta(1))))
    assert shown(net, on=MONDAY + timedelta(1)) == [
        (Kind.SESSION, "khuya", span("00:15", "01:00", MONDAY + timedelta(1)))
    ]
    ends = at("00:10", MONDAY + timedelta(1))
    assert [w.name for w in Grids(net).windows(WARD, ends, ends + 1)] == ["đêm"]


def test_on_a_holiday_its_own_lines_hold() -> None:
    tet = Holiday(PROVINCE, "tet", "Tết", MONDAY, MONDAY + timedelta(days=1))
    greeting = Relay(PROVINCE, "chúc Tết", "vov1", time(8), HALF, When(holiday="tet"))
    net = made(replace(GRID, holidays=(tet,), relays=(VOV, greeting)))
    [day, after] = Grids(net).days(WARD, MONDAY, MONDAY + timedelta(days=1))
    assert [w.name for w in day.windows] == ["chúc Tết"]
    assert {(d.window.name, d.why, d.by) for d in day.displaced} == {
        (name, Why.HOLIDAY, "Tết") for name in ("VOV1 sáng", "thành phố", "phường", "sáng", "chiều")
    }
    assert "chúc Tết" not in [w.name for w in after.windows]
    some = made(replace(GRID, holidays=(replace(tet, without=("VOV1 sáng",)),)))
    assert [w.name for w in Grids(some).days(WARD, MONDAY, MONDAY)[0].windows][:2] == ["sáng", "thành phố"]


def test_the_nearest_unit_with_sessions_on_a_day_decides() -> None:
    sunday = Session(WARD, "chợ phiên", time(8), 3600.0, When(weekdays=(6,)))
    net = made(Grid(), (*network().sessions, sunday))
    assert [name for _, name, _ in shown(net)] == ["sáng", "chiều"]
    assert [name for _, name, _ in shown(net, on=MONDAY - timedelta(days=1))] == ["chợ phiên"]


def test_units_in_which_the_same_lines_hold_share_their_days() -> None:
    grids = Grids(made(replace(GRID, slots=GRID.slots[:1])))
    assert grids.days(WARD, MONDAY, MONDAY) is grids.days(OTHER, MONDAY, MONDAY)


def test_quiet_hours_are_opened_by_what_a_leader_signed_and_silence_comes_on_top() -> None:
    eve = QuietException(
        PROVINCE,
        datetime.combine(MONDAY, time(21), TIMEZONE),
        datetime.combine(MONDAY + timedelta(days=1), time(0, 30), TIMEZONE),
        PersonId("binh"),
        "12/UBND-VX",
    )
    exam = SilentWindow(
        datetime.combine(MONDAY, time(7), TIMEZONE), datetime.combine(MONDAY, time(10), TIMEZONE), "Thi", WARD
    )
    net = made(replace(GRID, exceptions=(eve,), silent=(exam,)))
    now, until = at("06:00"), at("04:00", MONDAY + timedelta(days=1))
    assert quiet(net, WARD, now, until) == (
        span("07:00", "10:00"),
        Span(at("00:30", MONDAY + timedelta(days=1)), at("05:00", MONDAY + timedelta(days=1))),
    )
    assert quiet(net, OTHER, now, until)[0].start == at("00:30", MONDAY + timedelta(days=1))


def test_a_policy_has_the_windows_of_its_device_and_the_nearest_limit() -> None:
    def window(**where: object) -> SilentWindow:
        start = datetime.combine(MONDAY, time(7), TIMEZONE)
        return SilentWindow(start, start + timedelta(hours=3), "Thi", **where)  # type: ignore[arg-type]

    silent = (
        window(unit=WARD),
        replace(window(unit=OTHER), end=datetime.combine(MONDAY, time(11), TIMEZONE)),
        replace(window(group=GroupId("riverside")), end=datetime.combine(MONDAY, time(12), TIMEZONE)),
        replace(window(hamlet=HamletId("23557-H01")), end=datetime.combine(MONDAY, time(13), TIMEZONE)),
    )
    limits = (AirtimeLimit(PROVINCE, 36_000.0), AirtimeLimit(DISTRICT, 18_000.0))
    net = made(replace(GRID, silent=silent, airtime=limits))
    hamlet = replace(net.devices[DeviceId("23557-L02")], hamlet=HamletId("23557-H01"))
    own = policy(net, hamlet, MONDAY, Trust("", ()))
    assert own.silent == (span("07:00", "10:00"), span("07:00", "12:00"), span("07:00", "13:00"))
    assert own.airtime == 18_000_000
    assert policy(net, net.devices[DeviceId("23557-L01")], MONDAY, Trust("", ())).silent == (span("07:00", "10:00"),)
    assert policy(net, hamlet, MONDAY + timedelta(days=1), Trust("", ())).silent == ()
    assert airtime(made(), net.chain(WARD)) == 0


@pytest.mark.parametrize(
    ("holes", "left"),
    [
        ([], [(0, 10)]),
        ([(0, 10)], []),
        ([(-5, 3), (8, 20)], [(3, 8)]),
        ([(4, 5), (2, 3)], [(0, 2), (3, 4), (5, 10)]),
        ([(2, 6), (3, 4)], [(0, 2), (6, 10)]),
        ([(10, 12), (-3, 0)], [(0, 10)]),
    ],
)
def test_without(holes: list[tuple[int, int]], left: list[tuple[int, int]]) -> None:
    assert [(s.start, s.until) for s in without(Span(0, 10), [Span(*h) for h in holes])] == left


CLOCKS = st.integers(0, 95).map(lambda n: time(n // 4, n % 4 * 15))
WHENS = st.builds(
    When,
    st.sets(st.integers(0, 6), max_size=3).map(lambda days: tuple(sorted(days))),
    st.sampled_from([None, MONDAY]),
    st.sampled_from([None, MONDAY + timedelta(days=3)]),
    st.sampled_from(["", "", "tet"]),
)
UNITS = st.sampled_from([PROVINCE, DISTRICT, WARD])
LENGTHS = st.integers(1, 12).map(lambda n: n * QUARTER)
GRIDS = st.builds(
    Grid,
    relays=st.lists(st.builds(Relay, UNITS, st.just("r"), st.just("vov1"), CLOCKS, LENGTHS, WHENS), max_size=3).map(
        tuple
    ),
    slots=st.lists(
        st.builds(Slot, UNITS, st.just("s"), st.sampled_from(list(Tier)), CLOCKS, LENGTHS, WHENS), max_size=3
    ).map(tuple),
    holidays=st.lists(
        st.builds(
            Holiday,
            UNITS,
            st.just("tet"),
            st.just("Tết"),
            st.just(MONDAY + timedelta(days=1)),
            st.just(MONDAY + timedelta(days=2)),
            st.sampled_from([(), ("r",), ("s", "sáng")]),
        ),
        max_size=1,
    ).map(tuple),
)


@settings(max_examples=100, deadline=None)
@given(GRIDS, st.integers(-2, 4))
def test_no_two_windows_of_a_unit_meet_and_a_day_is_the_same_however_it_is_asked_for(grid: Grid, day: int) -> None:
    grids, on = Grids(made(grid)), MONDAY + timedelta(days=day)
    week = grids.days(WARD, MONDAY - timedelta(days=7), MONDAY + timedelta(days=7))
    windows = sorted((w for one in week for w in one.windows), key=lambda w: w.span.start)
    for before, after in pairwise(windows):
        same_unit = before.unit == after.unit and Kind.SESSION not in (before.kind, after.kind)
        assert before.span.until <= after.span.start or same_unit  # which 'loa validate' refuses
    assert grids.days(WARD, on, on)[0] in week


def test_quiet_hours_of_the_nearest_unit() -> None:
    net = replace(made(), quiet_hours=(*network().quiet_hours, QuietHours(WARD, time(22), time(4))))
    assert quiet(net, WARD, at("12:00"), at("23:00"))[0].start == at("22:00")


def test_a_session_that_a_relay_cuts_up_is_one_session_to_a_series() -> None:
    net = network()
    relay = Relay(PROVINCE, "VOV1 chiều", "vov1", time(17, 15), QUARTER)
    grids = Grids(replace(net, grid=replace(GRID, relays=(relay,), slots=())))
    assert grids.room_around(WARD, "commune", at("17:40")) == span("17:00", "18:00")
    assert grids.room_around(WARD, "commune", at("17:20")) is None
    bulletin = compose(net, EVENING.date(), draft(), Sound(), EVENING)
    assert isinstance(bulletin, Bulletin)
    request = Request(bulletin, 3, sessions=True)
    placed = series.starts(grids, WARD, request, Spacing(by_session=True), (), to_milliseconds(EVENING))
    today, tomorrow = EVENING.date(), EVENING.date() + timedelta(days=1)
    assert [p.start for p in placed] == [at("17:00", today), at("05:00", tomorrow), at("17:00", tomorrow)]
