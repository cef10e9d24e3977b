from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.documents import (
    EVERYTHING,
    Airing,
    Audience,
    Bulletin,
    BulletinClass,
    Ceilings,
    ContentKind,
    NowKind,
    Policy,
    Quiet,
    Resume,
    Span,
    Voice,
)
from audio.timetable import (
    DAY,
    FOREVER,
    GAP,
    MINUTE,
    RESUME_WITHIN,
    Airtime,
    Item,
    Order,
    Segment,
    Wanted,
    is_quiet,
    is_silent,
    missed,
    place,
    quiet_begins,
    what_plays,
)

NOON = 1_727_758_800_000
"""2024-10-01 12:00 +07:00."""
NINE = NOON + 9 * 60 * MINUTE
POLICY = Policy("d", ("c", "p"), ("g",), (), (Quiet(21 * 60, 5 * 60),), (), Ceilings(80, 60, 100))
BULLETIN = Bulletin(
    "b",
    1,
    BulletinClass.NORMAL,
    ContentKind.RECORDING,
    "commune",
    "c",
    "t",
    "f" * 64,
    60_000,
    Audience(("p",)),
    0,
    FOREVER,
)


def item(start: int, duration: int = 60_000, name: str = "a", latest: int = FOREVER, **changes: object) -> Item:
    bulletin = replace(BULLETIN, id=name, duration=duration, **changes)  # type: ignore[arg-type] # fields by name
    return Item(Airing(name, name, 0, start, latest), bulletin)


def relay(start: int, duration: int = 30 * MINUTE, name: str = "r", **changes: object) -> Item:
    return item(start, duration, name, start + duration, kind=ContentKind.RELAY, content="vov1", **changes)


def order(
    start: int, until: int, kind: NowKind = NowKind.EMERGENCY, name: str = "e", duration: int = 10_000, every: int = 0
) -> Order:
    if kind is NowKind.STOP:
        return Order(name, kind, EVERYTHING if name.startswith("mute") else "", start, until)
    bulletin = replace(BULLETIN, id=name, cls=BulletinClass.EMERGENCY, duration=duration, siren=5_000, every=every)
    if kind is NowKind.FOLLOW_UP:
        bulletin = replace(bulletin, siren=0, every=0, follows="o0")
    return Order(name, kind, name, start, until, bulletin)


def plays(
    items: Sequence[Item] = (), orders: Sequence[Order] = (), history: Sequence[Segment] = (), now: int = NOON
) -> tuple[str, int] | None:
    play = what_plays(items, orders, history, now, POLICY).play
    return None if play is None else (play.airing, play.offset)


CUT = Segment("a", 0, NOON, 0, NOON + 20_000, cut=True)
SIREN = Segment("e", 0, NOON, 0, NOON + 5_000, cut=True)


def alone(start: int, until: int, kind: NowKind = NowKind.EMERGENCY, every: int = 0) -> Order:
    """The same as a device has it that holds none of its sounds."""
    siren = order(start, until, kind, every=every).siren_alone
    assert siren is not None
    return siren


@pytest.mark.parametrize(
    ("items", "orders", "history", "now", "expected"),
    [
        pytest.param([], [], [], NOON, None, id="nothing"),
        pytest.param([item(NOON)], [], [], NOON - 1, None, id="not yet"),
        pytest.param([item(NOON)], [], [], NOON, ("a", 0), id="at its start"),
        pytest.param([item(NOON)], [], [], NOON + 5_000, ("a", 0), id="late, whole, if it fits"),
        pytest.param([item(NOON, latest=NOON + 60_000)], [], [], NOON + 1, None, id="late and does not fit"),
        pytest.param([item(NOON, audience=Audience(("x",)))], [], [], NOON, None, id="not for us"),
        pytest.param([item(NOON, audience=Audience((), ("g",)))], [], [], NOON, ("a", 0), id="for our group"),
        pytest.param([item(NOON, valid_until=NOON + 59_999)], [], [], NOON, None, id="over its validity"),
        pytest.param([item(NINE)], [], [], NINE, None, id="in the quiet hours"),
        pytest.param([item(NINE - 59_999)], [], [], NINE - 59_999, None, id="reaching into the quiet hours"),
        pytest.param([item(NOON)], [order(NOON, FOREVER)], [], NOON, ("e", 0), id="an emergency first"),
        pytest.param([], [order(NINE, FOREVER)], [], NINE, ("e", 0), id="an emergency in the quiet hours"),
        pytest.param([], [order(NINE, FOREVER, NowKind.DRILL)], [], NINE, None, id="no drill in the quiet hours"),
        pytest.param([item(NOON)], [order(NOON, FOREVER, NowKind.DRILL)], [], NOON, ("e", 0), id="a drill by day"),
        pytest.param([], [order(NOON, NOON + 1_000)], [], NOON + 1_000, None, id="an emergency that is over"),
        pytest.param(
            [item(NOON)],
            [order(NOON, FOREVER)],
            [Segment("e", 0, NOON, 0, NOON + 15_000)],
            NOON + 15_000,
            None,
            id="silence while an emergency is in force",
        ),
        pytest.param(
            [],
            [order(NOON, FOREVER), order(NOON, FOREVER, NowKind.DRILL, "d")],
            [Segment("e", 0, NOON, 0, NOON + 15_000)],
            NOON + 15_000,
            None,
            id="no drill while an emergency is in force",
        ),
        pytest.param(
            [],
            [order(NOON, FOREVER, every=600_000)],
            [Segment("e", 0, NOON, 0, NOON + 15_000)],
            NOON + 600_000,
            ("e", 0),
            id="an emergency's next round",
        ),
        pytest.param([item(NOON)], [alone(NOON, FOREVER)], [], NOON, ("e", 0), id="a siren whose words are missing"),
        pytest.param(
            [item(NOON)],
            [alone(NOON, FOREVER)],
            [SIREN],
            NOON + 5_000,
            None,
            id="one siren, and silence until the words",
        ),
        pytest.param(
            [],
            [alone(NOON, FOREVER, every=600_000)],
            [SIREN],
            NOON + 600_000,
            ("e", 0),
            id="a siren whose words are missing again in the next round",
        ),
        pytest.param(
            [], [order(NOON, FOREVER)], [SIREN], NOON + 5_000, ("e", 5_000), id="words that came under the siren"
        ),
        pytest.param(
            [], [order(NOON, FOREVER)], [SIREN], NOON + DAY, ("e", 5_000), id="words after their siren, however late"
        ),
        pytest.param(
            [],
            [order(NOON, FOREVER, every=600_000)],
            [SIREN],
            NOON + 599_999,
            ("e", 5_000),
            id="words after their siren up to the next round",
        ),
        pytest.param(
            [],
            [order(NOON, FOREVER)],
            [replace(SIREN, ended=NOON + 3_000)],
            NOON + DAY,
            ("e", 3_000),
            id="a siren that was interrupted, and its words",
        ),
        pytest.param(
            [],
            [order(NOON, FOREVER)],
            [replace(SIREN, cut=False)],
            NOON + 6_000,
            None,
            id="no words after a stopped siren",
        ),
        pytest.param(
            [],
            [order(NOON, FOREVER)],
            [replace(SIREN, ended=NOON + 5_001)],
            NOON + 5_002 + RESUME_WITHIN,
            None,
            id="words that were interrupted have their two minutes",
        ),
        pytest.param([], [alone(NINE, FOREVER, NowKind.DRILL)], [], NINE, None, id="no chime in the quiet hours"),
        pytest.param(
            [item(NOON)],
            [alone(NOON, FOREVER, NowKind.DRILL)],
            [SIREN],
            NOON + 5_000,
            ("a", 0),
            id="a drill whose words are missing holds nothing",
        ),
        pytest.param(
            [item(NOON)],
            [order(NOON + 1, FOREVER, NowKind.STOP, "s")],
            [Segment("a", 0, NOON, 0)],
            NOON + 1,
            None,
            id="a stop silences what plays",
        ),
        pytest.param(
            [],
            [order(NOON, FOREVER), order(NOON + 1, FOREVER, NowKind.STOP, "s")],
            [],
            NOON + 1,
            None,
            id="a stop silences an earlier emergency",
        ),
        pytest.param(
            [],
            [order(NOON + 2, FOREVER), order(NOON + 1, FOREVER, NowKind.STOP, "s")],
            [],
            NOON + 2,
            ("e", 0),
            id="an emergency after a stop plays",
        ),
        pytest.param(
            [item(NOON)],
            [order(NOON + 2, FOREVER), order(NOON, FOREVER, NowKind.STOP, "mute")],
            [],
            NOON + 2,
            None,
            id="a silenced device plays nothing, no emergency that comes later either",
        ),
        pytest.param(
            [],
            [order(NOON, FOREVER, every=600_000), order(NOON, NOON + 5_000, NowKind.STOP, "mute")],
            [],
            NOON + 5_000,
            ("e", 0),
            id="after the silence an emergency that is in force begins at once",
        ),
        pytest.param(
            [item(NOON)],
            [order(NOON, NOON + 5_000, NowKind.STOP, "mute")],
            [],
            NOON + 5_000,
            ("a", 0),
            id="after the silence what still fits begins",
        ),
        pytest.param([item(NOON)], [], [Segment("a", 0, NOON, 0)], NOON + 7_000, ("a", 7_000), id="goes on"),
        pytest.param([item(NOON)], [], [CUT], NOON + 30_000, ("a", 20_000), id="the remainder after an interruption"),
        pytest.param(
            [item(NOON)], [], [CUT], NOON + 20_000 + RESUME_WITHIN, ("a", 20_000), id="the remainder within two minutes"
        ),
        pytest.param([item(NOON)], [], [CUT], NOON + 20_001 + RESUME_WITHIN, None, id="no remainder after two minutes"),
        pytest.param(
            [item(NOON, latest=NOON + 69_999)], [], [CUT], NOON + 30_000, None, id="no remainder that does not fit"
        ),
        pytest.param(
            [item(NOON), item(NOON + 69_999, name="z")],
            [],
            [CUT],
            NOON + 30_000,
            None,
            id="no remainder into the next item",
        ),
        pytest.param(
            [item(NOON, resume=Resume.RESTART)], [], [CUT], NOON + 30_000, ("a", 0), id="the whole again if so signed"
        ),
        pytest.param([item(NOON, resume=Resume.DROP)], [], [CUT], NOON + 30_000, None, id="dropped if so signed"),
        pytest.param([item(NOON)], [], [replace(CUT, cut=False)], NOON + 30_000, None, id="stopped is not resumed"),
        pytest.param([relay(NOON)], [], [], NOON - 1, None, id="a relay is not early"),
        pytest.param([relay(NOON)], [], [], NOON, ("r", 0), id="a relay at its instant"),
        pytest.param([relay(NOON)], [], [], NOON + 90_000, ("r", 90_000), id="a relay joined late is where it is"),
        pytest.param([relay(NOON)], [], [], NOON + 30 * MINUTE, None, id="a relay is over at its end"),
        pytest.param([relay(NOON, valid_until=NOON + 5)], [], [], NOON + 5, None, id="no relay beyond its validity"),
        pytest.param(
            [relay(NOON)],
            [],
            [Segment("r", 0, NOON, 0, NOON + 20_000, cut=True)],
            NOON + 25 * MINUTE,
            ("r", 25 * MINUTE),
            id="a relay is rejoined however long it was interrupted",
        ),
        pytest.param(
            [relay(NOON)],
            [],
            [Segment("r", 0, NOON, 0, NOON + 20_000)],
            NOON + MINUTE,
            None,
            id="a relay that was stopped is not rejoined",
        ),
        pytest.param([relay(NOON)], [order(NOON, FOREVER)], [], NOON, ("e", 0), id="an emergency before a relay"),
        pytest.param([item(NOON - 1), relay(NOON)], [], [], NOON, ("r", 0), id="a relay before what can wait"),
        pytest.param(
            [item(NOON - 1), relay(NOON)],
            [],
            [Segment("a", 0, NOON - 1, 0)],
            NOON,
            ("a", 1),
            id="what is on the air goes on, and the relay is joined after it",
        ),
        pytest.param([item(NOON - 1), relay(NOON)], [], [], NOON - 1, None, id="nothing begins into a relay"),
        pytest.param([relay(NINE - MINUTE)], [], [], NINE - 1, ("r", 59_999), id="a relay up to the quiet hours"),
        pytest.param([relay(NINE - MINUTE)], [], [], NINE, None, id="no relay in the quiet hours"),
    ],
)
def test_what_plays(
    items: list[Item], orders: list[Order], history: list[Segment], now: int, expected: tuple[str, int] | None
) -> None:
    assert plays(items, orders, history, now) == expected


def test_a_siren_alone_is_an_alarms_and_exactly_as_long() -> None:
    storm = alone(NOON, FOREVER, every=600_000)
    assert storm.bulletin is not None
    assert storm.bulletin.round(POLICY.languages) == 5_000
    assert storm.bulletin.every == 600_000
    words, quiet = order(NOON, FOREVER, NowKind.FOLLOW_UP), order(NOON, FOREVER)
    assert quiet.bulletin is not None
    assert replace(quiet, bulletin=replace(quiet.bulletin, siren=0)).siren_alone is None
    assert words.siren_alone is None
    assert order(NOON, FOREVER, NowKind.STOP).siren_alone is None


HEARD = Segment("o0", 0, NINE - 9_000, 0, NINE - 1_000, bulletin="o0")


@pytest.mark.parametrize(
    ("changes", "orders", "history", "expected"),
    [
        pytest.param({}, [], [HEARD], ("w", 0), id="where the alarm was heard, at night too"),
        pytest.param({}, [], [], None, id="not where it was not heard"),
        pytest.param({}, [], [replace(HEARD, bulletin="other")], None, id="not where another alarm was heard"),
        pytest.param({}, [], [HEARD, Segment("w", 0, NINE, 0, NINE + 1, bulletin="w")], None, id="only once"),
        pytest.param({"cls": BulletinClass.PRIORITY}, [], [HEARD], None, id="the end of a drill waits for the morning"),
        pytest.param({"follows": ""}, [], [replace(HEARD, bulletin="")], None, id="not without saying what it follows"),
        pytest.param({}, [order(NINE, FOREVER)], [HEARD], ("e", 0), id="another emergency's round comes first"),
        pytest.param(
            {},
            [order(NINE - MINUTE, FOREVER, name="n")],
            [HEARD, Segment("n", 0, NINE - MINUTE, 0, NINE - 10_000, bulletin="n")],
            ("w", 0),
            id="between the rounds of another emergency it is said",
        ),
        pytest.param(
            {}, [order(NINE, FOREVER, NowKind.STOP, "mute")], [HEARD], None, id="not on a device that is silenced"
        ),
    ],
)
def test_a_follow_up(
    changes: dict[str, object], orders: list[Order], history: list[Segment], expected: tuple[str, int] | None
) -> None:
    words = order(NINE - 500, FOREVER, NowKind.FOLLOW_UP, "w")
    assert words.bulletin is not None
    words = replace(words, bulletin=replace(words.bulletin, **changes))  # type: ignore[arg-type] # fields by name
    assert plays([], [words, *orders], history, NINE) == expected


def test_after_an_emergency_of_an_hour_nothing_resumes_in_the_middle() -> None:
    cut = Segment("a", 0, NOON, 0, NOON + 20_000, cut=True)
    storm = order(NOON + 20_000, NOON + 60 * MINUTE)
    end = order(NOON + 60 * MINUTE, FOREVER, NowKind.FOLLOW_UP, "w")
    history = [cut, Segment("o0", 0, NOON + 20_000, 0, NOON + 50_000, bulletin="o0")]
    assert plays([item(NOON)], [storm, end], history, NOON + 60 * MINUTE) == ("w", 0)
    history.append(Segment("w", 0, NOON + 60 * MINUTE, 0, NOON + 60 * MINUTE + 10_000, bulletin="w"))
    assert plays([item(NOON)], [end], history, NOON + 61 * MINUTE) is None


LANGUAGES = st.lists(st.sampled_from(["vi", "jra", "bdq", "en"]), min_size=1, max_size=4, unique=True).map(tuple)


@given(LANGUAGES, LANGUAGES, st.integers(1, 3), st.integers(0, 5_000))
def test_a_round_is_said_in_the_listeners_languages(
    has: tuple[str, ...], listens: tuple[str, ...], times: int, siren: int
) -> None:
    main, *also = (Voice(language, str(n) * 64, (n + 1) * 1_000) for n, language in enumerate(has))
    bulletin = replace(
        BULLETIN, language=main.language, content=main.content, duration=main.duration, also=tuple(also), times=times
    )
    bulletin = replace(bulletin, siren=siren)
    said = bulletin.said(listens)
    assert [v.language for v in said] == ([one for one in listens if one in has] or [main.language])
    assert set(said) <= set(bulletin.voices)
    assert bulletin.round(listens) == siren + times * sum(v.duration for v in said)
    policy = replace(POLICY, languages=listens)
    play = what_plays([], [Order("e", NowKind.EMERGENCY, "b", NOON, FOREVER, bulletin)], [], NOON, policy).play
    assert play is not None
    assert play.ends == NOON + bulletin.round(listens)


def test_an_exception_of_the_policy_opens_the_quiet_hours() -> None:
    opened = replace(POLICY, exceptions=(Span(NINE, NINE + MINUTE),))
    assert what_plays([item(NINE)], [], [], NINE, opened).play is not None
    assert not is_quiet(NINE, opened)
    assert is_quiet(NINE + MINUTE, opened)
    assert quiet_begins(NINE - MINUTE, opened) == NINE + MINUTE


def test_nothing_lifts_a_silent_window_but_an_emergency() -> None:
    exam = Span(NOON, NOON + 60 * MINUTE)
    hushed = replace(POLICY, silent=(exam,), exceptions=(exam,))
    decision = what_plays([item(NOON), relay(NOON)], [], [], NOON, hushed)
    assert (decision.play, decision.reason, decision.until) == (None, "silent window", exam.until)
    assert what_plays([], [order(NOON, FOREVER, NowKind.DRILL)], [], NOON, hushed).play is None
    assert what_plays([], [order(NOON, FOREVER)], [], NOON, hushed).play is not None
    assert what_plays([item(NOON - 59_999)], [], [], NOON - 59_999, hushed).play is None
    assert quiet_begins(NOON - 1, hushed) == NOON
    assert is_silent(NOON, hushed)
    assert not is_silent(exam.until, hushed)


def test_after_an_exception_of_a_whole_night_the_next_one_is_quiet() -> None:
    opened = replace(POLICY, exceptions=(Span(NINE - MINUTE, NINE + 9 * 60 * MINUTE),))
    assert quiet_begins(NINE, opened) == NINE + DAY


def test_the_days_airtime_ends_its_programme_and_the_next_day_has_its_own() -> None:
    limited = replace(POLICY, airtime=2 * MINUTE)
    items = [item(NOON, 90_000, "a"), item(NOON + 3 * MINUTE, name="b"), relay(NOON + 6 * MINUTE, 30_000)]
    history = [Segment("a", 0, NOON, 0, NOON + 90_000), Segment("emergency", 0, NOON + 90_000, 0, NOON + 150_000)]
    decision = what_plays(items, [], history, NOON + 3 * MINUTE, limited)
    assert (decision.play, decision.reason) == (None, "airtime")
    joined = what_plays(items, [], history, NOON + 6 * MINUTE, limited).play
    assert joined is not None
    assert joined.airing == "r"
    tomorrow = item(NOON + DAY, 120_000, "c")
    assert what_plays([*items, tomorrow], [], history, NOON + DAY, limited).play is not None
    assert what_plays([tomorrow], [], [], NOON + DAY, replace(limited, airtime=119_999)).play is None


@pytest.mark.parametrize(
    ("minute", "quiet"), [(4 * 60 + 59, True), (5 * 60, False), (20 * 60 + 59, False), (21 * 60, True), (0, True)]
)
def test_quiet_hours_cross_midnight(minute: int, quiet: bool) -> None:
    at = NOON - 12 * 60 * MINUTE + minute * MINUTE
    assert is_quiet(at, POLICY) is quiet
    assert (quiet_begins(at, POLICY) == at) is quiet


def test_what_has_no_room_before_the_next_item_is_not_missed_while_there_is_room_after_it() -> None:
    late, coming = item(NOON, latest=NOON + 10 * MINUTE), item(NOON + MINUTE, name="n")
    decided = what_plays([late, coming], [], [], NOON + MINUTE, POLICY)
    assert decided.play is not None
    assert decided.play.airing == "a"
    for now in (NOON + 1, NOON + MINUTE, NOON + 9 * MINUTE):
        assert missed([late, coming], [], now, POLICY) == ()
    assert missed([late, coming], [], NOON + 9 * MINUTE + 1, POLICY) == (late,)


def test_missed_names_what_has_lost_its_last_chance_and_nothing_else() -> None:
    late, heard, coming = item(NOON, latest=NOON + 70_000), item(NOON, name="h"), item(NOON + MINUTE, name="n")
    history = [Segment("h", 0, NOON, 0, NOON + 60_000)]
    assert missed([late, heard, coming], history, NOON + 10_000, POLICY) == (late,)
    assert missed([late], history, NOON + 10_000, POLICY) == ()
    assert missed([late], history, NOON + 10_001, POLICY) == (late,)
    assert missed([late], history, NOON + 10_001, POLICY, since=NOON + 1) == ()


def test_a_relay_is_missed_when_it_is_over() -> None:
    gone = relay(NOON, MINUTE)
    assert missed([gone], [], NOON + MINUTE - 1, POLICY) == ()
    assert missed([gone], [], NOON + MINUTE, POLICY) == (gone,)
    assert missed([gone], [Segment("r", 0, NOON, 0, NOON + 1_000, cut=True)], NOON + MINUTE, POLICY) == ()


# --- a device, simulated from its own history ---


@dataclass(frozen=True)
class World:
    items: tuple[Item, ...]
    orders: tuple[Order, ...]
    outages: tuple[tuple[int, int], ...]
    start: int
    end: int
    policy: Policy = POLICY


SECOND = 1_000


MIDNIGHT = NOON + 12 * 60 * MINUTE


@st.composite
def worlds(draw: st.DrawFn) -> World:
    start = draw(st.sampled_from([NOON, NINE - 5 * MINUTE, NINE, MIDNIGHT - 5 * MINUTE]))
    seconds = st.integers(0, 600)
    items = []
    for number in range(draw(st.integers(0, 5))):
        begins = start + draw(seconds) * SECOND
        length = draw(st.integers(5, 150)) * SECOND
        latest = begins + length + draw(st.integers(0, 300)) * SECOND
        resume = draw(st.sampled_from(list(Resume)))
        items.append(item(begins, length, f"a{number}", latest, resume=resume))
    for number, at in enumerate(sorted(draw(st.sets(st.integers(0, 2), max_size=2)))):
        begins = start + (at * 250 + draw(st.integers(0, 60))) * SECOND
        items.append(relay(begins, draw(st.integers(5, 180)) * SECOND, f"r{number}"))
    orders = []
    for number in range(draw(st.integers(0, 3))):
        begins = start + draw(seconds) * SECOND
        kind = draw(st.sampled_from([NowKind.EMERGENCY, NowKind.DRILL, NowKind.STOP]))
        ends = begins + draw(st.integers(1, 200)) * SECOND
        name = draw(st.sampled_from(["o", "mute"])) + str(number)
        made = order(begins, ends, kind, name, draw(st.integers(1, 60)) * SECOND, every=130 * SECOND)
        if made.bulletin is not None:
            also = (Voice("jra", "e" * 64, draw(st.integers(1, 60)) * SECOND),)
            made = replace(made, bulletin=replace(made.bulletin, also=also))
        orders.append(made)
    outages = [
        (start + at * SECOND, start + (at + length) * SECOND)
        for at, length in draw(st.lists(st.tuples(seconds, st.integers(1, 200)), max_size=2))
    ]
    policy = replace(draw(policies(start)), languages=draw(st.sampled_from([("vi",), ("jra", "vi"), ("bdq",)])))
    return World(tuple(items), tuple(orders), tuple(outages), start, start + 15 * MINUTE, policy)


@st.composite
def policies(draw: st.DrawFn, start: int) -> Policy:
    """Quiet hours at night, sometimes opened, sometimes a silent window and a limit of the day's airtime."""
    windows = st.builds(
        lambda at, length: Span(start + at * SECOND, start + (at + length) * SECOND),
        st.integers(-60, 600),
        st.integers(1, 400),
    )
    exceptions = draw(st.lists(windows, max_size=1))
    if start > NINE and draw(st.booleans()):
        exceptions = [Span(start - MINUTE, start + 20 * MINUTE)]
    return replace(
        POLICY,
        exceptions=tuple(exceptions),
        silent=tuple(draw(st.lists(windows, max_size=1))),
        airtime=draw(st.sampled_from([0, 0, 60, 200])) * SECOND,
    )


@dataclass
class Heard:
    play: tuple[str, int]
    began: int
    offset: int
    ended: int
    cut: bool


def simulate(world: World) -> list[Heard]:
    """What a device does that asks when it is told to, whose history is its only memory, and that loses power."""
    history: list[Segment] = []
    ends = 0
    now = world.start
    while now < world.end:
        outage = next((o for o in world.outages if o[0] <= now < o[1]), None)
        if outage is not None:
            _close(history, now, cut=True)
            now = outage[1]
            continue
        if history and history[-1].ended is None and now >= ends:
            _close(history, ends, cut=False)
        decision = what_plays(world.items, world.orders, history, now, world.policy)
        assert decision == what_plays(world.items, world.orders, tuple(history), now, world.policy)
        assert decision.until > now
        play = decision.play
        running = history[-1] if history and history[-1].ended is None else None
        if running and (play is None or (play.airing, play.repeat) != (running.airing, running.repeat)):
            _close(history, now, cut=decision.reason in ("emergency", "drill", "follow_up", "emergency hold"))
            running = None
        if play is not None and running is None:
            history.append(Segment(play.airing, play.repeat, now, play.offset, bulletin=play.bulletin.id))
            ends = play.ends
        now = min([decision.until, world.end, *(o[0] for o in world.outages if o[0] > now)])
    _close(history, now, cut=False)
    return [Heard((s.airing, s.repeat), s.began, s.offset, s.ended or 0, s.cut) for s in history]


def _close(history: list[Segment], now: int, *, cut: bool) -> None:
    if history and history[-1].ended is None:
        history[-1] = replace(history[-1], ended=now, cut=cut)


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_never_two_at_once_and_every_start_but_the_first_is_a_resumption(world: World) -> None:
    heard = simulate(world)
    for before, after in pairwise(heard):
        assert before.ended <= after.began
    last: dict[tuple[str, int], Heard] = {}
    for one in heard:
        before_it = last.get(one.play)
        if one.play[0].startswith("r"):
            assert before_it is None or before_it.cut
        elif before_it is None:
            assert one.offset == 0
        else:
            assert before_it.cut
            assert one.began - before_it.ended <= RESUME_WITHIN
            assert one.offset in (0, before_it.offset + before_it.ended - before_it.began)
        last[one.play] = one


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_quiet_hours_and_silent_windows_are_broken_by_emergencies_only(world: World) -> None:
    emergencies = {o.entry for o in world.orders if o.kind in (NowKind.EMERGENCY, NowKind.FOLLOW_UP)}
    drills = {o.entry for o in world.orders if o.kind is NowKind.DRILL}
    for one in simulate(world):
        if one.play[0] in drills:
            assert not is_quiet(one.began, world.policy)
            assert not is_quiet(max(one.began, one.ended - 1), world.policy)
        elif one.play[0] not in emergencies:
            assert one.ended <= quiet_begins(one.began, world.policy)


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_a_relay_is_never_shifted_and_never_outlives_its_window(world: World) -> None:
    relays = {i.airing.airing: i for i in world.items if i.relay}
    for one in simulate(world):
        source = relays.get(one.play[0])
        if source is not None:
            assert one.offset == one.began - source.airing.start >= 0
            assert one.ended <= source.airing.start + source.bulletin.duration


@settings(max_examples=100, deadline=None)
@given(worlds(), st.integers(0, 15 * 60))
def test_a_device_that_is_silent_in_a_relay_has_a_reason(world: World, second: int) -> None:
    at = world.start + second * SECOND
    heard = simulate(world)
    here = [i for i in world.items if i.relay and i.airing.start <= at < i.over]
    dark = any(start <= at < end for start, end in world.outages)
    ordered = any(o.start <= at < o.until or o.kind is NowKind.STOP for o in world.orders)
    if here and not (dark or ordered or is_quiet(at, world.policy) or world.policy.airtime):
        assert any(h.began <= at < h.ended for h in heard)


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_no_day_has_more_scheduled_sound_than_its_airtime(world: World) -> None:
    limit, scheduled = world.policy.airtime, {i.airing.airing for i in world.items}
    if limit:
        sound = [h for h in simulate(world) if h.play[0] in scheduled]
        for day in (range(world.start, MIDNIGHT), range(MIDNIGHT, world.end)):
            parts = [min(h.ended, day.stop) - max(h.began, day.start) for h in sound]
            assert sum(part for part in parts if part > 0) <= limit


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_what_was_approved_is_heard_whole_or_told(world: World) -> None:
    heard, scheduled = simulate(world), {i.airing.airing: i for i in world.items}
    later = world.end + 60 * MINUTE
    history = [Segment(*h.play, h.began, h.offset, h.ended, h.cut) for h in heard]
    told = {i.airing.airing for i in missed(world.items, history, later, world.policy)}
    assert told == scheduled.keys() - {h.play[0] for h in heard}
    for name, source in scheduled.items():
        parts = [h for h in heard if h.play[0] == name]
        whole = any(h.offset + h.ended - h.began == source.bulletin.duration for h in parts)
        # a part that is not the end of the item has a receipt of its own, with what ended it
        assert whole or name in told or all(h.ended - h.began < source.bulletin.duration for h in parts)


@settings(max_examples=100, deadline=None)
@given(worlds(), st.integers(0, 15 * 60))
def test_nothing_else_sounds_while_an_emergency_is_in_force(world: World, second: int) -> None:
    at = world.start + second * SECOND
    stops = [o for o in world.orders if o.kind is NowKind.STOP and o.start <= at < o.until]
    alarms = [o for o in world.orders if o.kind is NowKind.EMERGENCY and o.start <= at < o.until]
    if alarms and not stops:
        words = [o for o in world.orders if o.kind is NowKind.FOLLOW_UP]
        sounding = [h for h in simulate(world) if h.began <= at < h.ended]
        assert all(h.play[0] in {o.entry for o in (*alarms, *words)} for h in sounding)
        fresh = what_plays(world.items, world.orders, [], at, world.policy).play
        assert fresh is not None
        assert fresh.airing in {o.entry for o in alarms}


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_while_a_device_is_silenced_nothing_sounds(world: World) -> None:
    silences = [o for o in world.orders if o.names == EVERYTHING]
    for one in simulate(world):
        assert not any(o.start < one.ended and one.began < o.until for o in silences)


@settings(max_examples=100, deadline=None)
@given(worlds(), st.integers(0, 15 * 60))
def test_a_stop_that_is_lifted_is_as_one_that_ended_then(world: World, second: int) -> None:
    at = world.start + second * SECOND
    stops = [o for o in world.orders if o.kind is NowKind.STOP and o.start < at]
    rest = tuple(o for o in world.orders if o not in stops)
    ended = tuple(replace(o, until=min(o.until, at)) for o in stops)
    decision = what_plays(world.items, rest, (), at, world.policy)
    assert decision == what_plays(world.items, (*rest, *ended), (), at, world.policy)


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_a_follow_up_is_heard_once_and_only_after_what_it_follows(world: World) -> None:
    words = {o.entry for o in world.orders if o.kind is NowKind.FOLLOW_UP}
    heard = simulate(world)
    for number, one in enumerate(heard):
        if one.play[0] in words:
            assert any(before.play[0] == "o0" for before in heard[:number])
            assert one.play[1] == 0


@settings(max_examples=300, deadline=None)
@given(worlds())
def test_scheduled_sound_stays_in_its_slot(world: World) -> None:
    slots = {i.airing.airing: i for i in world.items}
    for one in simulate(world):
        slot = slots.get(one.play[0])
        if slot is not None:
            assert slot.airing.start <= one.began
            assert one.ended <= slot.airing.latest


# --- placing ---

SPANS = st.builds(
    lambda start, length: Span(NOON + start * SECOND, NOON + (start + length) * SECOND),
    st.integers(-600, 3_000),
    st.integers(1, 600),
)


@st.composite
def wanted(draw: st.DrawFn) -> tuple[Wanted, ...]:
    return tuple(
        Wanted(
            f"b{number}",
            draw(st.sampled_from([BulletinClass.NORMAL, BulletinClass.PRIORITY])),
            draw(st.integers(1, 400)) * SECOND,
            NOON + draw(st.integers(-500, 500)) * SECOND,
            NOON + draw(st.integers(500, 4_000)) * SECOND,
            tuple(range(draw(st.integers(1, 3)))),
            draw(st.booleans()),
            draw(st.integers(0, 2)),
        )
        for number in range(draw(st.integers(0, 6)))
    )


@settings(max_examples=200, deadline=None)
@given(wanted(), st.lists(SPANS, max_size=5), st.lists(SPANS, max_size=4), st.lists(SPANS, max_size=3))
def test_place_keeps_clear_of_everything(
    want: tuple[Wanted, ...], taken: list[Span], sessions: list[Span], quiet: list[Span]
) -> None:
    before = list(taken)
    placed, homeless = place(want, taken, sessions, quiet, NOON)
    assert place(want, taken, sessions, quiet, NOON) == (placed, homeless)
    assert taken == before
    by_name = {w.bulletin: w for w in want}
    mine = [Span(p.start, p.start + by_name[p.bulletin].duration) for p in placed]
    for number, (one, span) in enumerate(zip(placed, mine, strict=True)):
        source = by_name[one.bulletin]
        assert span.start >= max(NOON, source.valid_from)
        assert span.until <= min(source.valid_until, one.latest)
        assert not any(_overlap(span, other) for other in [*taken, *quiet, *mine[:number]])
        if source.sessions:
            assert any(s.start <= span.start and span.until <= s.until for s in sessions)
    for want_ in want:
        starts = [p for p in placed if p.bulletin == want_.bulletin]
        assert len(starts) == len(want_.repeats) or want_ in homeless


def _overlap(one: Span, other: Span) -> bool:
    return one.start < other.until and other.start < one.until


def test_place_puts_priority_first_and_leaves_a_gap() -> None:
    session = Span(NOON, NOON + 10 * MINUTE)
    normal = Wanted("n", BulletinClass.NORMAL, MINUTE, 0, FOREVER)
    priority = Wanted("p", BulletinClass.PRIORITY, MINUTE, 0, FOREVER)
    placed, homeless = place([normal, priority], [], [session], [], NOON)
    assert [(p.bulletin, p.start) for p in placed] == [("p", NOON), ("n", NOON + MINUTE + GAP)]
    assert not homeless


def test_place_reports_what_finds_no_room() -> None:
    want = Wanted("n", BulletinClass.NORMAL, MINUTE, 0, FOREVER)
    assert place([want], [], [Span(NOON, NOON + MINUTE - 1)], [], NOON) == ((), (want,))


@settings(max_examples=200, deadline=None)
@given(wanted(), st.lists(SPANS, max_size=3), st.integers(1, 900))
def test_place_keeps_to_the_days_airtime(want: tuple[Wanted, ...], taken: list[Span], limit: int) -> None:
    sessions = [Span(MIDNIGHT - 10 * MINUTE, MIDNIGHT + 60 * MINUTE)]
    want = tuple(replace(w, valid_until=FOREVER) for w in want)
    placed, _ = place(want, taken, sessions, [], NOON, Airtime(limit * SECOND))
    lengths = {w.bulletin: w.duration for w in want}
    sound = [*taken, *(Span(p.start, p.start + lengths[p.bulletin]) for p in placed)]
    own = [[min(s.until, d.until) - max(s.start, d.start) for s in sound] for d in (TODAY, TOMORROW)]
    given_ = [[min(s.until, d.until) - max(s.start, d.start) for s in taken] for d in (TODAY, TOMORROW)]
    for all_, before in zip(own, given_, strict=True):
        spent = sum(part for part in before if part > 0)
        assert sum(part for part in all_ if part > 0) <= max(spent, limit * SECOND)


TODAY, TOMORROW = Span(MIDNIGHT - DAY, MIDNIGHT), Span(MIDNIGHT, MIDNIGHT + DAY)
