from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.documents import (
    Airing,
    Audience,
    Bulletin,
    BulletinClass,
    Ceilings,
    ContentKind,
    DeviceState,
    NowKind,
    Policy,
    Quiet,
    Receipt,
    Result,
    Voice,
)
from audio.receiver.choice import decided
from audio.silence import (
    CALM,
    FETCH,
    GRACE,
    Finding,
    Held,
    Memory,
    Word,
    find,
    held,
    segment,
    tell,
    undisturbed,
    word,
)
from audio.timetable import DAY, FOREVER, GAP, MINUTE, Item, Order, Segment, what_plays
from nms.alarms import Alarm, AlarmKind

NOON = 1_727_758_800_000
"""2024-10-01 12:00 +07:00."""
NIGHT = NOON + 10 * 60 * MINUTE
POLICY = Policy("d", ("c", "p"), ("g",), (), (Quiet(21 * 60, 5 * 60),), (), Ceilings(80, 60, 100))
BULLETIN = Bulletin(
    "b", 1, BulletinClass.NORMAL, ContentKind.RECORDING, "commune", "c", "t", "", 60_000, Audience(("c",)), 0, FOREVER
)
SILENT, UNSCHEDULED, WRONG = AlarmKind.SILENT, AlarmKind.UNSCHEDULED, AlarmKind.WRONG_CONTENT
LACKS, CLOCK = AlarmKind.CACHE_INCOMPLETE, AlarmKind.CLOCK_OFF
EVENING = datetime(2024, 10, 1, 10, tzinfo=UTC)


def item(name: str, start: int, duration: int = 60_000, latest: int = 0, **changes: object) -> Item:
    """``latest`` 0: it can only begin at its instant."""
    content, title = f"sound of {name}", f"Tin {name}"
    bulletin = replace(BULLETIN, id=f"b-{name}", duration=duration, content=content, title=title, **changes)  # type: ignore[arg-type] # fields by name
    return Item(Airing(name, f"b-{name}", 0, start, latest or start + duration), bulletin)


def order(name: str, start: int, until: int, kind: NowKind = NowKind.EMERGENCY, every: int = 0) -> Order:
    if kind is NowKind.STOP:
        return Order(name, kind, "", start, until)
    bulletin = replace(
        BULLETIN, id=f"b-{name}", cls=BulletinClass.EMERGENCY, content=f"sound of {name}", duration=20_000, every=every
    )
    return Order(name, kind, bulletin.id, start, until, bulletin)


A = item("a", NOON)
"""12:00 to 12:01."""
B = item("b", NOON + 60_000 + GAP)
LATER = item("later", NOON, latest=NOON + 30 * MINUTE)
ALARM = order("e", NOON + 20_000, NOON + 5 * MINUTE, every=60_000)
HEARD = Segment("e", 0, NOON + 20_000, 0, NOON + 40_000, bulletin="b-e")
END = Order(
    "end",
    NowKind.FOLLOW_UP,
    "b-end",
    NOON + 5 * MINUTE,
    NOON + DAY,
    replace(BULLETIN, id="b-end", cls=BulletinClass.EMERGENCY, duration=20_000, follows="b-e"),
)
STOP = order("s", NOON + 10_000, NOON + 5 * MINUTE, NowKind.STOP)


def said(at: int, playing: str = "", **changes: object) -> Word:
    """A word over MQTT from a device that holds every sound."""
    return replace(Word(at, playing, cached=None), **changes)  # type: ignore[arg-type] # fields by name


def found(
    what: Held, spoken: Word, history: Sequence[Segment] = (), since: int | None = None
) -> dict[AlarmKind, Finding]:
    due = undisturbed(what, NOON - 60 * MINUTE, spoken.at)
    soon = undisturbed(what, NOON - 60 * MINUTE, spoken.at + CALM)
    all_found = list(find(what, spoken, history, due, soon, spoken.at if since is None else since))
    return {f.kind: f for f in all_found}


def whole(i: Item, began: int | None = None) -> Segment:
    start = i.airing.start if began is None else began
    return Segment(i.airing.airing, 0, start, 0, start + i.bulletin.duration)


TABLE = [
    # what it holds, when (s after noon), what it plays, its history, what is wrong
    ("plays what is due", [A], [], 30, "a", [], None),
    ("silent though it is due", [A], [], 30, "", [], SILENT),
    ("not due yet", [A], [], -30, "", [], None),
    ("over", [A], [], 90, "", [], None),
    ("played, a little fast", [A], [], 59, "", [whole(A, NOON - 2_000)], None),
    ("cut for good by a failing output", [A], [], 30, "", [Segment("a", 0, NOON, 0, NOON + 9_000)], None),
    ("may go on after a reboot", [LATER], [], 30, "", [Segment("later", 0, NOON, 0, NOON + 9_000, True)], SILENT),
    ("came back late and may still begin", [LATER], [], 600, "", [], SILENT),
    ("had its chance and used it", [LATER], [], 600, "", [whole(LATER)], None),
    ("silent between two items", [A, B], [], 60.5, "", [], SILENT),
    ("the next item is at hand", [A, B], [], 60.5, "", [whole(A)], SILENT),
    ("plays the one before", [A, B], [], 90, "a", [], WRONG),
    ("plays what nobody knows", [A], [], 30, "x", [], WRONG),
    ("plays when nothing is due", [A], [], 300, "x", [], UNSCHEDULED),
    ("plays on after a stop", [LATER], [STOP], 30, "later", [], UNSCHEDULED),
    ("obeys a stop", [LATER], [STOP], 30, "", [], None),
    ("sounds an emergency", [LATER], [ALARM], 30, "e", [], None),
    ("goes on though there is an emergency", [LATER], [ALARM], 30, "later", [], WRONG),
    ("does not sound an emergency", [], [ALARM], 30, "", [], SILENT),
    ("quiet between two rounds", [], [ALARM], 50, "", [Segment("e", 0, NOON + 20_000, 0, NOON + 40_000)], None),
    ("an emergency that is over", [], [ALARM], 310, "e", [], UNSCHEDULED),
    ("tells the end of an alarm", [], [ALARM, END], 310, "end", [HEARD], None),
    ("does not tell the end", [], [ALARM, END], 310, "", [HEARD], SILENT),
    (
        "has told the end",
        [],
        [ALARM, END],
        310,
        "",
        [HEARD, Segment("end", 0, NOON + 301_000, 0, NOON + 305_000)],
        None,
    ),
    ("did not hear whose end it is", [], [ALARM, END], 310, "", [], None),
]


@pytest.mark.parametrize("case", TABLE, ids=[case[0] for case in TABLE])
def test_what_is_heard_against_the_rules(
    case: tuple[str, list[Item], list[Order], float, str, list[Segment], AlarmKind],
) -> None:
    _, items, orders, seconds, playing, history, wrong = case
    at = NOON + round(seconds * 1000)
    started = min(at, NOON + 20_000) if playing == "e" else NOON
    kinds = set(found(held(POLICY, items, orders), said(at, playing), history, started))
    assert kinds == ({wrong} if wrong else set())


def test_the_gap_before_an_item_counts_from_its_start() -> None:
    gap = found(held(POLICY, [A, B], []), said(NOON + 60_500), [whole(A)])[SILENT]
    assert (gap.at, gap.cause) == (NOON + 60_500 + CALM, "Tin b")


def test_in_the_quiet_hours_only_an_emergency_sounds() -> None:
    scheduled = item("n", NIGHT)
    night = held(POLICY, [scheduled], [order("e", NIGHT, NIGHT + MINUTE)])
    assert not found(held(POLICY, [scheduled], []), said(NIGHT + 20_000))
    assert set(found(held(POLICY, [scheduled], []), said(NIGHT + 20_000, "n"))) == {UNSCHEDULED}
    due = undisturbed(night, NIGHT - MINUTE, NIGHT + 5_000)
    assert due.play is not None
    assert due.play.airing == "e"


def test_who_has_receipts_in_hand_is_not_called_silent() -> None:
    assert not found(held(POLICY, [A], []), said(NOON + 30_000, settled=False))


def test_a_word_by_snmp_counts_once_the_start_is_well_past() -> None:
    what = held(POLICY, [A], [])
    early, late = NOON + GRACE - 1, NOON + GRACE
    assert not found(what, said(early, settled=False, lasting=False))
    assert set(found(what, said(late, settled=False, lasting=False))) == {SILENT}
    assert not found(what, said(late, settled=False, lasting=False), [whole(A)])


def test_another_bulletin_under_the_right_airing_is_wrong() -> None:
    assert set(found(held(POLICY, [A], []), said(NOON + 5_000, "a", bulletin="b-x"))) == {WRONG}
    assert not found(held(POLICY, [A], []), said(NOON + 5_000, "a", bulletin="b-a"))


@pytest.mark.parametrize(("error", "off"), [(None, False), (2_000, False), (-2_001, True), (2_001, True)])
def test_a_clock_may_be_wrong_by_two_seconds(error: int | None, off: bool) -> None:
    assert (CLOCK in found(held(POLICY, [], []), said(NOON, clock_error=error))) == off


def test_sounds_of_the_next_day_must_be_there() -> None:
    tomorrow, far = item("tomorrow", NOON + DAY - 1), item("far", NOON + DAY)
    what = held(POLICY, [tomorrow, far], [])
    lacks = found(what, said(NOON, cached=()))[LACKS]
    assert (lacks.about, lacks.cause, lacks.patience) == ("sound of tomorrow", "Tin tomorrow", FETCH)
    assert not found(what, said(NOON, cached=("sound of tomorrow",)))
    assert not found(what, said(NOON))


def test_an_order_needs_the_sounds_of_the_listeners_languages() -> None:
    assert ALARM.bulletin is not None
    also = (Voice("jra", "jra", 1_000), Voice("bdq", "bdq", 1_000))
    alarm = replace(ALARM, bulletin=replace(ALARM.bulletin, also=also))
    what = held(replace(POLICY, languages=("jra", "vi")), [], [alarm])
    assert what.contents == {"sound of e", "jra"}
    lacks = found(what, said(NOON + 30_000, "e", cached=("sound of e",)))[LACKS]
    assert (lacks.about, lacks.cause) == ("jra", "t")


def sirens(every: int = 5 * MINUTE) -> Order:
    """An alarm with five seconds of siren from 12:00 on, for half an hour."""
    alarm = order("e", NOON, NOON + 30 * MINUTE, every=every)
    assert alarm.bulletin is not None
    return replace(alarm, bulletin=replace(alarm.bulletin, siren=5_000))


SIREN = Segment("e", 0, NOON, 0, NOON + 5_000, cut=True, bulletin="b-e")
OTHER = order("o", NOON + 1_000, NOON + 30 * MINUTE)
"""Another alarm, without a siren."""


@pytest.mark.parametrize(
    ("seconds", "playing", "cached", "history", "wrong"),
    [
        pytest.param(2, "e", "ao", [], set(), id="its siren"),
        pytest.param(
            30, "", "ao", [SIREN, Segment("o", 0, NOON, 0, NOON)], set(), id="silent while the words are missing"
        ),
        pytest.param(20, "", "ao", [], {SILENT}, id="not even the siren"),
        pytest.param(20, "", "aeo", [SIREN], {SILENT}, id="has the words and does not say them"),
        pytest.param(200, "", "aeo", [SIREN], {SILENT}, id="has got the words and does not say them"),
        pytest.param(200, "e", "aeo", [SIREN], set(), id="says the words that have come"),
        pytest.param(302, "e", "ao", [SIREN], set(), id="the next round's siren"),
        pytest.param(320, "", "ao", [SIREN], {SILENT}, id="not the next round's siren"),
        pytest.param(20, "a", "ao", [SIREN], {WRONG}, id="goes on though there is an emergency"),
        pytest.param(20, "o", "ao", [SIREN], set(), id="another alarm meanwhile"),
        pytest.param(20, "", "ao", [SIREN], {SILENT}, id="not the other alarm meanwhile"),
    ],
)
def test_a_siren_whose_words_are_missing_is_neither_silence_nor_the_whole(
    seconds: int, playing: str, cached: str, history: list[Segment], wrong: set[AlarmKind]
) -> None:
    what = held(POLICY, [item("a", NOON, latest=NOON + 30 * MINUTE)], [sirens(), OTHER])
    spoken = said(NOON + seconds * 1_000, playing, cached=tuple(f"sound of {name}" for name in cached))
    assert set(found(what, spoken, history)) - {LACKS} == wrong
    assert (LACKS in found(what, spoken, history)) == ("e" not in cached)


def test_a_siren_alone_is_not_silence_for_who_asks_by_snmp_or_waits_for_receipts() -> None:
    what = held(POLICY, [], [sirens()])
    assert not found(what, said(NOON + 20_000, settled=False, lasting=False), [SIREN])
    assert SILENT not in found(what, said(NOON + 20_000, settled=False, cached=()), [])


def test_an_alarm_without_a_siren_of_which_nothing_is_heard_is_silence() -> None:
    alarm = order("e", NOON, NOON + 30 * MINUTE)
    assert set(found(held(POLICY, [LATER], [alarm]), said(NOON + 30_000, cached=()))) == {LACKS, SILENT}


def test_a_drill_whose_words_are_missing_lets_the_programme_go_on() -> None:
    drill = replace(sirens(every=0), kind=NowKind.DRILL)
    what = held(POLICY, [LATER], [drill])
    assert set(found(what, said(NOON + 10_000, "later", cached=("sound of later",)), [SIREN])) == {LACKS}
    assert set(found(what, said(NOON + 10_000, "", cached=("sound of later",)), [SIREN])) == {LACKS, SILENT}


def test_what_cannot_play_any_more_needs_no_sound() -> None:
    assert not found(held(POLICY, [A], []), said(NOON + 70_000, cached=()))
    assert not found(held(POLICY, [LATER], []), said(NOON + 70_000, cached=()), [whole(LATER)])
    assert set(found(held(POLICY, [LATER], []), said(NOON + 70_000, cached=()))) == {LACKS, SILENT}


def test_only_what_is_addressed_to_a_loudspeaker_is_wanted_of_it() -> None:
    others = item("o", NOON, audience=Audience(devices=("x",)))
    assert not found(held(POLICY, [others], []), said(NOON + 30_000, cached=()))


# --- whom to believe


STATE = DeviceState("d", True, NOON, "a", "b-a", cached=("x",), clock_error=40)


def test_a_device_online_speaks_for_itself() -> None:
    assert word(STATE, None, None, NOON + 5) == Word(NOON + 5, "a", "b-a", 40, ("x",))
    waiting = word(replace(STATE, waiting=2), None, None, NOON)
    assert waiting is not None
    assert not waiting.settled


def test_a_device_that_lost_the_broker_is_asked_by_snmp() -> None:
    gone = replace(STATE, online=False)
    metrics: dict[str, float | str | bool] = {"playing": True, "airing": "a", "clock_error_s": 2.5}
    assert word(gone, metrics, NOON, NOON + 5) == Word(NOON, "a", "", 2_500, None, settled=False, lasting=False)
    assert word(gone, {"playing": False, "airing": ""}, NOON, NOON) == Word(NOON, "", settled=False, lasting=False)


def test_who_cannot_be_asked_has_no_word() -> None:
    gone = replace(STATE, online=False)
    assert word(gone, None, None, NOON) is None
    assert word(gone, {"uptime_s": 3.0}, NOON, NOON) is None
    assert word(None, {"playing": False}, NOON, NOON) is None


@pytest.mark.parametrize(
    ("result", "reason", "cut"),
    [
        (Result.PLAYED, "", False),
        (Result.PARTIAL, "emergency", True),
        (Result.PARTIAL, "no content", True),
        (Result.PARTIAL, "storage full", True),
        (Result.PARTIAL, "stopped", False),
        (Result.PARTIAL, "output stalled", False),
    ],
)
def test_receipts_tell_what_began(result: Result, reason: str, cut: bool) -> None:
    receipt = Receipt("r", "d", "a", "b", 0, "c", NOON, NOON + 9, 3, result, reason)
    assert segment(receipt) == Segment("a", 0, NOON, 3, NOON + 9, cut, "b")


def test_a_refusal_begins_nothing() -> None:
    assert segment(Receipt("r", "d", "a", "b", 0, "c", NOON, NOON, 0, Result.REFUSED, "no content")) is None


# --- what is told when


def test_an_alarm_opens_after_its_patience_and_ends_with_its_finding() -> None:
    finding = Finding(SILENT, "a 0", "Tin a", NOON)
    first, memory = tell({"d": [finding]}, {}, (), NOON)
    assert [r.opens for r in first] == [False]
    later = replace(finding, at=NOON + GRACE)
    (told,), memory = tell({"d": [later]}, memory, (), NOON + GRACE)
    assert (told.subject, told.opens, told.cause, told.affected) == ("d", True, "Tin a", ("d",))
    assert told.since.timestamp() * 1000 == NOON
    assert tell({"d": []}, memory, (), NOON + GRACE) == (frozenset(), {})


def test_a_new_reason_begins_its_own_patience_but_keeps_the_alarm() -> None:
    _, memory = tell({"d": [Finding(SILENT, "a 0", "", NOON)]}, {}, (), NOON)
    (told,), _ = tell({"d": [Finding(SILENT, "b 0", "", NOON + GRACE)]}, memory, (), NOON + GRACE)
    assert not told.opens


def test_what_stands_stays_told_of_a_device_that_cannot_be_asked() -> None:
    alarms = [Alarm(str(kind), "d", kind, EVENING, EVENING, "x", ("d",)) for kind in (SILENT, LACKS, CLOCK)]
    raised, _ = tell({}, {}, alarms, NOON)
    assert {(r.kind, r.opens, r.cause) for r in raised} == {(LACKS, False, "x"), (CLOCK, False, "x")}
    assert tell({"d": []}, {}, alarms, NOON)[0] == frozenset()


# --- whatever happens


STARTS = st.lists(st.integers(0, 20), min_size=1, max_size=6, unique=True)


@settings(max_examples=20, deadline=None)
@given(STARTS, st.lists(st.tuples(st.integers(0, 15), st.integers(1, 5)), max_size=2), st.booleans())
def test_a_device_that_follows_the_rules_is_never_accused(
    starts: list[int], emergencies: list[tuple[int, int]], late: bool
) -> None:
    """A device that does exactly what ``what_plays`` says, looked at every four seconds: nothing lasts long enough."""
    items = [item(f"i{s}", NOON + s * MINUTE, 50_000, NOON + (s + 8) * MINUTE * late) for s in starts]
    orders = [
        order(f"e{i}", NOON + b * MINUTE, NOON + (b + n) * MINUTE, every=40_000) for i, (b, n) in enumerate(emergencies)
    ]
    what = held(POLICY, items, orders)
    history: list[Segment] = []
    memory: Memory = {}
    began = NOON
    for at in range(NOON, NOON + 25 * MINUTE, 4_000):
        play = what_plays(items, orders, history, at, POLICY).play
        last = history[-1] if history and history[-1].ended is None else None
        if last is not None and (play is None or (play.airing, play.repeat) != (last.airing, last.repeat)):
            cut = any(o.start <= at < o.until for o in orders)
            history[-1] = replace(last, ended=at, cut=cut)
            last = None
        if play is not None and last is None:
            history.append(Segment(play.airing, play.repeat, at, play.offset))
            began = at
        done = [s for s in history if s.ended is not None]
        spoken = said(at, play.airing if play else "")
        due, soon = undisturbed(what, NOON - MINUTE, at), undisturbed(what, NOON - MINUTE, at + CALM)
        raised, memory = tell({"d": find(what, spoken, done, due, soon, began)}, memory, (), at)
        assert not [r for r in raised if r.opens], (at - NOON, spoken, due)


@settings(max_examples=20, deadline=None)
@given(STARTS)
def test_a_device_that_never_plays_is_silent_whenever_something_is_due(starts: list[int]) -> None:
    items = [item(f"i{s}", NOON + s * MINUTE, 50_000) for s in starts]
    what = held(POLICY, items, [])
    for start in starts:
        for seconds in (0, 20, 49):
            assert SILENT in found(what, said(NOON + start * MINUTE + seconds * 1_000))


def ended(open_: Segment, at: int, ends: int, lack: str, by: str) -> Segment:
    """What the receipt proves of a segment that ended at its end or ``by`` something; ``lack``: a siren alone."""
    result, reason = (Result.PARTIAL, lack) if lack else (Result.PLAYED, "")
    if at < ends:
        result, reason = Result.PARTIAL, by
    told = segment(
        Receipt("r", "d", open_.airing, open_.bulletin, open_.repeat, "", open_.began, at, open_.offset, result, reason)
    )
    assert told is not None
    return told


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.integers(0, 8), max_size=2, unique=True),
    st.sampled_from([NowKind.EMERGENCY, NowKind.DRILL]),
    st.sampled_from([0, 4 * MINUTE]),
    st.integers(0, 6),
    st.integers(0, 200),
)
def test_a_device_whose_alarm_comes_without_its_sound_is_not_called_silent(
    starts: list[int], kind: NowKind, every: int, start: int, arrives: int
) -> None:
    """Its siren, then its message: looked at every four seconds, by its receipts. Nothing lasts but the lack."""
    items = [item(f"i{s}", NOON + s * MINUTE, 48_000, NOON + (s + 12) * MINUTE) for s in starts]
    alarm = order("e", NOON + start * MINUTE, NOON + (start + 7) * MINUTE, kind, every)
    assert alarm.bulletin is not None
    alarm = replace(alarm, bulletin=replace(alarm.bulletin, siren=8_000))
    what = held(POLICY, items, [alarm])
    history: list[Segment] = []
    memory: Memory = {}
    ends, lack, began = NOON, "", NOON
    for at in range(NOON, NOON + 16 * MINUTE, 4_000):
        here = [i.bulletin.content for i in items] + ["sound of e"] * (at >= NOON + arrives * 4_000)
        play = decided(items, [alarm], history, at, POLICY, here.__contains__).play
        last = history[-1] if history and history[-1].ended is None else None
        if last is not None and (at >= ends or play is None or play.airing != last.airing):
            history[-1], last = ended(last, at, ends, lack, "withdrawn" if play is None else str(kind)), None
            play = decided(items, [alarm], history, at, POLICY, here.__contains__).play
        if play is not None and last is None:
            history.append(Segment(play.airing, play.repeat, at, play.offset, bulletin=play.bulletin.id))
            ends, lack, began = play.ends, "" if play.bulletin.content else "no content", at
        done = [s for s in history if s.ended is not None]
        spoken = said(at, play.airing if play else "", cached=tuple(here))
        due, soon = undisturbed(what, NOON - MINUTE, at), undisturbed(what, NOON - MINUTE, at + CALM)
        raised, memory = tell({"d": find(what, spoken, done, due, soon, began)}, memory, (), at)
        assert {r.kind for r in raised if r.opens} <= {LACKS}, (at - NOON, spoken, due)
