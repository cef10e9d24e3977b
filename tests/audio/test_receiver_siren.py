"""An alarm none of whose sounds is here: its siren at once, its message as soon as that arrives, neither twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.documents import (
    Audience,
    Bulletin,
    BulletinClass,
    Ceilings,
    ContentKind,
    NowKind,
    Policy,
    Result,
    Voice,
)
from audio.receiver.agent import Arrived
from audio.receiver.choice import decided
from audio.receiver.sound import Round, blocks, chime, siren
from audio.timetable import FOREVER, MINUTE, Order, Segment
from tests.audio.agent_kit import NOW, PROG, Rig
from tests.audio.receiver_kit import EVENING, NIGHT, Sound, airing, emergency, make_sound, stop

Make = Callable[..., Rig]
SIREN = 3_000


@pytest.fixture(scope="module")
def message(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    return make_sound(tmp_path_factory.mktemp("sounds"), 2_000, 21)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    rigs: list[Rig] = []

    def rig(at: int = NIGHT) -> Rig:
        rigs.append(Rig(tmp_path, at))
        rigs[-1].synchronise()
        return rigs[-1]

    yield rig
    for one in rigs:
        one.close()


def storm(
    rig: Rig, message: Sound, *, until: int = 30 * MINUTE, kind: NowKind = NowKind.EMERGENCY, **changes: object
) -> None:
    """An alarm without its sound: siren, then the message twice."""
    bulletin = rig.kit.bulletin(message, id="storm", cls=BulletinClass.EMERGENCY, siren=SIREN, times=2)
    bulletin = replace(bulletin, **changes)  # type: ignore[arg-type] # fields by name
    order = emergency(rig.kit, bulletin, rig.clock.at, rig.clock.at + until, kind=kind)
    rig.say(NOW, rig.kit.orders(order))


def arrive(rig: Rig, message: Sound) -> None:
    rig.shelf.put(message.content, message.data)
    rig.agent.handle(Arrived(message.content))
    rig.wake = rig.agent.step()


def told(rig: Rig) -> list[tuple[int, int, int, Result, str]]:
    """Round, offset, length, result and reason of each receipt of the alarm."""
    return [
        (r.repeat, r.offset, r.ended - r.started, r.result, r.reason) for r in rig.receipts if r.airing == "e-storm"
    ]


ALONE = (0, 0, SIREN, Result.PARTIAL, "no content")
WORDS = (0, SIREN, 4_000, Result.PLAYED, "")


@pytest.mark.parametrize("after", [500, 2_980, 4_000, 100_000, 20 * MINUTE])
@pytest.mark.parametrize("every", [0, 25 * MINUTE])
def test_the_siren_sounds_at_once_and_the_message_follows_whenever_it_comes(
    make: Make, message: Sound, after: int, every: int
) -> None:
    rig = make()
    storm(rig, message, every=every, until=25 * MINUTE)
    assert rig.state.playing == "e-storm"
    assert rig.shelf.wanted == {message.content: 0}
    rig.run(NIGHT + after)
    arrive(rig, message)
    assert rig.state.playing == "e-storm"
    rig.run(NIGHT + 24 * MINUTE)
    assert told(rig) == [ALONE, WORDS]
    assert rig.receipts[0].content == ""
    assert rig.receipts[1].content == message.content
    assert b"".join(rig.ears.played) == b"".join(blocks(Round(((message.path, 2_000),), SIREN, 2)))


def test_every_round_has_its_siren_until_the_message_is_here(make: Make, message: Sound) -> None:
    rig = make()
    storm(rig, message, every=5 * MINUTE, until=20 * MINUTE)
    rig.run(NIGHT + 13 * MINUTE)
    alone = [(number, *ALONE[1:]) for number in range(3)]
    assert told(rig) == alone
    assert rig.ears.played == [siren(SIREN)] * 3
    arrive(rig, message)
    rig.run(NIGHT + 20 * MINUTE)
    assert told(rig) == [*alone, (2, *WORDS[1:]), (3, 0, SIREN + 4_000, Result.PLAYED, "")]


def test_an_order_for_one_round_sounds_its_siren_once(make: Make, message: Sound) -> None:
    rig = make()
    storm(rig, message)
    rig.run(NIGHT + 40 * MINUTE)
    assert told(rig) == [ALONE]
    assert rig.ears.played == [siren(SIREN)]


@pytest.mark.parametrize("away", [1_000, 15 * MINUTE])
@pytest.mark.parametrize("arrives", [16 * MINUTE, 20 * MINUTE])
def test_a_power_cut_in_the_siren_costs_neither_its_rest_nor_the_message(
    make: Make, message: Sound, away: int, arrives: int
) -> None:
    rig = make()
    storm(rig, message)
    rig.run(NIGHT + 2_500)
    rig.crash(away)
    rig.synchronise()
    rig.run(NIGHT + arrives)
    arrive(rig, message)
    rig.run(NIGHT + 25 * MINUTE)
    heard = told(rig)
    assert [(result, reason) for *_, result, reason in heard] == [
        (Result.PARTIAL, "restart"),
        (Result.PARTIAL, "no content"),
        (Result.PLAYED, ""),
    ]
    for (_, offset, length, *_), (_, then, *_) in pairwise(heard):
        assert then == offset + length
    assert heard[-1] == WORDS


def test_the_area_is_silent_around_the_siren_and_hears_the_all_clear(make: Make, message: Sound) -> None:
    rig = make(EVENING)
    rig.shelf.put(message.content, message.data)
    normal = rig.kit.bulletin(message)
    one = airing(normal, EVENING + 10_000, "one", EVENING + 5 * MINUTE)
    rig.say(PROG, rig.kit.programme(one, signed={normal.id: rig.kit.signed(normal)}))
    storm(rig, message, content="f" * 64, until=6 * MINUTE)
    rig.run(EVENING + 6 * MINUTE)
    assert [(r.airing, r.result, r.reason) for r in rig.receipts] == [
        ("e-storm", Result.PARTIAL, "no content"),
        ("one", Result.MISSED, "emergency hold"),
    ]
    end = rig.kit.bulletin(message, id="end", cls=BulletinClass.EMERGENCY, follows="storm")
    words = emergency(rig.kit, end, rig.clock.at, rig.clock.at + MINUTE, entry="end", kind=NowKind.FOLLOW_UP)
    rig.say(NOW, rig.kit.orders(words))
    rig.run(EVENING + 8 * MINUTE)
    assert rig.receipts[-1].result is Result.PLAYED
    assert rig.receipts[-1].airing == "end"


def test_a_follow_up_without_its_sound_is_not_begun(make: Make, message: Sound) -> None:
    rig = make()
    storm(rig, message)
    rig.run(NIGHT + 10_000)
    end = rig.kit.bulletin(message, id="end", cls=BulletinClass.EMERGENCY, follows="storm")
    words = emergency(rig.kit, end, rig.clock.at, rig.clock.at + MINUTE, entry="end", kind=NowKind.FOLLOW_UP)
    rig.say(NOW, rig.kit.orders(words))
    rig.run(NIGHT + 5 * MINUTE)
    assert [(r.airing, r.result, r.reason) for r in rig.receipts] == [
        ("e-storm", Result.PARTIAL, "no content"),
        ("end", Result.REFUSED, "no content"),
    ]


def test_another_alarm_that_is_here_is_said_between_a_siren_and_its_words(
    make: Make, message: Sound, tmp_path: Path
) -> None:
    rig, other = make(), make_sound(tmp_path, 1_000, 22)
    first = rig.kit.bulletin(message, id="storm", cls=BulletinClass.EMERGENCY, siren=SIREN, times=2)
    second = rig.kit.bulletin(other, id="fire", cls=BulletinClass.EMERGENCY, siren=SIREN)
    until = NIGHT + 30 * MINUTE
    orders = emergency(rig.kit, first, NIGHT, until), emergency(rig.kit, second, NIGHT + 100, until, other.data)
    rig.say(NOW, rig.kit.orders(*orders))
    rig.run(NIGHT + MINUTE)
    arrive(rig, message)
    rig.run(NIGHT + 2 * MINUTE)
    assert [(r.airing, r.offset, r.result) for r in rig.receipts] == [
        ("e-storm", 0, Result.PARTIAL),
        ("e-fire", 0, Result.PLAYED),
        ("e-storm", SIREN, Result.PLAYED),
    ]


def test_a_drill_has_its_chime_and_the_programme_goes_on_until_its_words_are_here(make: Make, message: Sound) -> None:
    rig = make(EVENING)
    normal = rig.kit.bulletin(message)
    one = airing(normal, EVENING + 10_000, "one", EVENING + 5 * MINUTE)
    rig.shelf.put(message.content, message.data)
    rig.say(PROG, rig.kit.programme(one, signed={normal.id: rig.kit.signed(normal)}))
    storm(rig, message, kind=NowKind.DRILL, content="f" * 64, volume=80)
    rig.run(EVENING + MINUTE)
    assert rig.ears.played[0] == b"".join(blocks(Round((), SIREN, volume=80, drill=True)))
    assert rig.ears.played[0] != siren(SIREN)
    assert len(chime(SIREN)) == len(rig.ears.played[0])
    assert [(r.airing, r.started - EVENING, r.result, r.reason) for r in rig.receipts] == [
        ("e-storm", 20, Result.PARTIAL, "no content"),
        ("one", 10_000, Result.PLAYED, ""),
    ]


def test_what_keeps_the_sound_away_is_what_the_receipt_says(make: Make, message: Sound) -> None:
    rig = make()
    rig.shelf.lack = "storage full"
    storm(rig, message)
    rig.run(NIGHT + 10_000)
    assert told(rig) == [(*ALONE[:4], "storage full")]


def test_a_stop_ends_the_siren_for_good(make: Make, message: Sound) -> None:
    rig = make(EVENING)
    storm(rig, message)
    rig.run(EVENING + 1_000)
    (held,) = rig.held.orders
    assert held.bulletin is not None
    again = emergency(rig.kit, held.bulletin, held.start, held.until)
    rig.say(NOW, rig.kit.orders(again, stop(rig.clock.at, rig.clock.at + 5_000)))
    rig.run(EVENING + 10_000)
    arrive(rig, message)
    rig.run(EVENING + 5 * MINUTE)
    assert [(result, reason) for *_, result, reason in told(rig)] == [(Result.PARTIAL, "stopped")]


def test_an_output_that_fails_under_the_siren_is_not_tried_again_and_again(make: Make, message: Sound) -> None:
    rig = make()
    rig.ears.failure = "output: No such device"
    storm(rig, message, every=10 * MINUTE)
    rig.run(NIGHT + 5 * MINUTE)
    assert [(result, reason) for *_, result, reason in told(rig)] == [(Result.PARTIAL, "output: No such device")]


def test_a_sound_that_cannot_be_read_leaves_the_siren(make: Make, message: Sound) -> None:
    rig = make()
    storm(rig, message)
    rig.shelf.put(message.content, b"no Opus at all")
    rig.run(NIGHT + MINUTE)
    assert told(rig) == [ALONE]
    assert rig.ears.played == [siren(SIREN)]
    arrive(rig, message)
    rig.run(NIGHT + 2 * MINUTE)
    assert told(rig) == [ALONE, WORDS]


# --- whatever happens -------------------------------------------------------------------------------------------------

POLICY = Policy("d", ("c",), (), (), (), (), Ceilings(80, 60, 100), languages=("vi", "jra"))
NOON = 1_727_758_800_000
UNTIL = NOON + 12 * MINUTE
TICK = 5_000
VI, JRA = Voice("vi", "vi", 2 * TICK), Voice("jra", "jra", 3 * TICK)


def order(siren: int, times: int, every: int) -> Order:
    recording, area = ContentKind.RECORDING, Audience(("c",))
    bulletin = Bulletin(
        "b", 1, BulletinClass.EMERGENCY, recording, "commune", "c", "t", "vi", VI.duration, area, 0, FOREVER
    )
    bulletin = replace(bulletin, siren=siren, times=times, every=every, also=(JRA,))
    return Order("e", NowKind.EMERGENCY, "b", NOON, UNTIL, bulletin)


def lived(one: Order, arrivals: dict[str, int], dark: list[range]) -> list[tuple[Segment, int]]:
    """What a device plays, and how long each such round would be, if its sounds come at these instants and its power
    is away in the ``dark``. All that happens, happens on a tick.
    """
    heard: list[tuple[Segment, int]] = []
    ends, whole = 0, False

    def close(at: int, *, cut: bool) -> None:
        if heard and heard[-1][0].ended is None:
            heard[-1] = replace(heard[-1][0], ended=at, cut=cut), heard[-1][1]

    for now in range(NOON, UNTIL, TICK):
        if now == ends:
            close(now, cut=not whole)
        if any(now in away for away in dark):
            close(now, cut=True)
            continue
        here = [content for content, at in arrivals.items() if at <= now]
        play = decided((), (one,), [s for s, _ in heard], now, POLICY, here.__contains__).play
        if play is None or (heard and play.repeat != heard[-1][0].repeat):
            close(now, cut=True)
        if play is not None and (not heard or heard[-1][0].ended is not None):
            heard.append((Segment("e", play.repeat, now, play.offset), play.bulletin.round(POLICY.languages)))
            ends, whole = play.ends, bool(play.bulletin.content)
    close(UNTIL, cut=False)
    return heard


def length(segment: Segment) -> int:
    assert segment.ended is not None
    return segment.ended - segment.began


TICKS = st.integers(0, 150).map(lambda n: NOON + n * TICK)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 4).map(lambda n: n * TICK),
    st.integers(1, 2),
    st.sampled_from([0, 3 * MINUTE, 5 * MINUTE]),
    st.fixed_dictionaries({}, optional={"vi": TICKS, "jra": TICKS}),
    st.lists(st.tuples(TICKS, st.integers(1, 40)), max_size=2),
)
def test_a_round_has_one_siren_and_words_as_soon_as_there_are_any(
    siren: int, times: int, every: int, arrivals: dict[str, int], cuts: list[tuple[int, int]]
) -> None:
    dark = [range(at, at + n * TICK) for at, n in cuts]
    heard = lived(order(siren, times, every), arrivals, dark)
    rounds: dict[int, list[tuple[Segment, int]]] = {}
    for segment, whole in heard:
        rounds.setdefault(segment.repeat, []).append((segment, whole))
    for parts in rounds.values():
        assert parts[0][0].offset == 0
        for (before, _), (after, _) in pairwise(parts):
            assert after.offset == before.offset + length(before)  # nothing twice: no second siren either
        last, whole = parts[-1]
        assert last.offset + length(last) <= whole
    if not arrivals or dark:
        return
    # nothing disturbs it: with the first sound that is here the words begin, or go on with, the round of that instant
    first = min(arrivals.values())
    words = [(s.began + max(siren - s.offset, 0), s) for s, whole in heard if whole > siren]
    number = (first - NOON) // every if every else 0
    due = max(first, NOON + number * every + siren)
    if due < UNTIL:
        assert words[0][0] == due
    else:
        assert not words
