"""The device and its clock: before it knows the time, when it is wrong, when the hub is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from audio.documents import (
    BulletinClass,
    Result,
)
from audio.envelope import Reason
from audio.timetable import MINUTE
from tests.audio.agent_kit import NOW, PROG, TIME, Make, Rig, alarm, schedule, told
from tests.audio.receiver_kit import (
    EVENING,
    Sound,
    airing,
    emergency,
    stop,
)


def test_another_boot_waits_for_the_time(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 10_000)
    rig.boot = "boot-2"
    rig.crash()
    rig.run(EVENING + 12_000)
    assert not rig.ears.played
    rig.synchronise()
    rig.run(EVENING + 60_000)
    assert told(rig) == [("one", 12_020, 8_000, Result.PLAYED, "")]


@pytest.mark.parametrize("wrong", [-3_600_000, 3_600_000, 2_001])
def test_a_wrong_clock_plays_emergencies_only(make: Make, sounds: list[Sound], wrong: int) -> None:
    rig = make(EVENING, synchronised=False)
    rig.clock.at += wrong
    rig.wrong = wrong
    rig.say(TIME, rig.kit.time())
    schedule(rig, sounds[0], EVENING + 1_000)
    storm = replace(alarm(rig, sounds[2]), start=EVENING, until=EVENING + 60_000)
    rig.run(rig.clock.at + 2_000)
    rig.say(NOW, rig.kit.orders(storm, exp=EVENING + 60_000))
    rig.run(rig.clock.at + 120_000)
    heard = {r.airing: (r.result, r.reason, r.clock_error) for r in rig.receipts}
    assert heard == {"e-storm": (Result.PLAYED, "", wrong), "one": (Result.MISSED, "no clock", wrong)}
    assert rig.state.clock_error == wrong


def test_the_hubs_time_that_comes_late_makes_no_clock_wrong(make: Make, sounds: list[Sound]) -> None:
    """Over a busy 4G link a message may be under way for many seconds; what is scheduled plays all the same."""
    rig = make(EVENING)
    late = rig.kit.time()
    rig.run(EVENING + 8_000)
    rig.say(TIME, late)
    schedule(rig, sounds[0], EVENING + 9_000)
    rig.run(EVENING + 30_000)
    assert [(r.airing, r.result, r.clock_error) for r in rig.receipts] == [("one", Result.PLAYED, 0)]


@pytest.mark.parametrize("step", [-60_000, 60_000])
def test_a_clock_that_was_stepped_is_known_as_wrong_from_the_hubs_next_word_on(make: Make, step: int) -> None:
    rig = make(EVENING)
    rig.clock.at += step
    rig.clock.stepped += step
    rig.wrong = step
    rig.say(TIME, rig.kit.time())
    assert (rig.time.error, rig.time.synchronised) == (step, False)


def test_a_hub_whose_clock_was_set_back_is_believed_after_ten_words(make: Make) -> None:
    rig = make(EVENING)
    rig.wrong = 60_000
    for minute in range(10):
        assert rig.time.error == 0
        rig.run(EVENING + (minute + 1) * 60_000)
        rig.say(TIME, rig.kit.time())
    assert rig.time.error == 60_000


@pytest.fixture
def kept(make: Make) -> Rig:
    """A device that has just started, whose clock NTP keeps and which the hub has told nothing yet."""
    rig = make(EVENING, synchronised=False)
    rig.ntp = True
    rig.crash()
    return rig


def test_a_late_first_word_leaves_the_programme_of_a_clock_that_ntp_keeps(kept: Rig, sounds: list[Sound]) -> None:
    schedule(kept, sounds[0], EVENING + 5_000)
    kept.run(EVENING + 8_000)
    kept.say(TIME, kept.kit.time(kept.clock.at - 2_500))
    assert kept.time.synchronised
    assert kept.agent.playing == "one"
    kept.run(EVENING + 30_000)
    assert told(kept) == [("one", 5_000, 8_000, Result.PLAYED, "")]


@pytest.mark.parametrize("wrong", [-3_600_000, 3_600_000])
def test_a_clock_that_ntp_keeps_is_disbelieved_after_ten_words_that_agree(kept: Rig, wrong: int) -> None:
    kept.wrong = wrong
    for _ in range(9):
        kept.clock.at += MINUTE
        kept.say(TIME, kept.kit.time())
        assert (kept.time.error, kept.time.synchronised) == (None, True)
    kept.clock.at += MINUTE
    kept.say(TIME, kept.kit.time())
    assert (kept.time.error, kept.time.synchronised) == (wrong, False)


@pytest.mark.parametrize("wrong", [-3_600_000, 3_600_000])
def test_many_words_of_one_bad_half_minute_do_not_outweigh_a_clock_that_ntp_keeps(kept: Rig, wrong: int) -> None:
    """The hub tells all whenever a device comes online, and in a storm of them that is often."""
    kept.wrong = wrong
    for _ in range(20):
        kept.clock.at += 1_400
        kept.say(TIME, kept.kit.time())
        assert (kept.time.error, kept.time.synchronised) == (None, True)


def test_words_that_agree_for_minutes_count_however_many_they_are(kept: Rig) -> None:
    kept.wrong = 3_600_000
    began = kept.clock.at
    while kept.time.synchronised:
        kept.say(TIME, kept.kit.time())
        kept.clock.at += 5_000
    assert kept.time.error == 3_600_000
    assert 4 * MINUTE < kept.clock.at - began < 10 * MINUTE


def test_a_storm_over_a_busy_line_makes_no_clock_wrong(make: Make) -> None:
    """Words that all come late, one after the other, do not push out what was heard before them."""
    rig = make(EVENING)
    for _ in range(20):
        rig.clock.at += 1_400
        rig.say(TIME, rig.kit.time(rig.clock.at - 8_000))
    assert (rig.time.error, rig.time.synchronised) == (0, True)


def test_of_words_that_come_together_the_fastest_counts(make: Make) -> None:
    rig = make(EVENING, synchronised=False)
    for late, error in ((9_000, 9_000), (300, 300), (5_000, 300)):
        rig.clock.at += 1_000
        rig.say(TIME, rig.kit.time(rig.clock.at - late))
        assert rig.time.error == error
    rig.clock.at += MINUTE
    rig.say(TIME, rig.kit.time(rig.clock.at - 100))
    assert rig.time.error == 100


def test_a_hub_that_was_hours_ahead_for_a_minute_silences_no_clock_that_ntp_keeps(
    kept: Rig, sounds: list[Sound]
) -> None:
    kept.wrong = -13 * 60 * MINUTE
    kept.say(TIME, kept.kit.time())
    schedule(kept, sounds[0], EVENING + 90_000)
    kept.crash(MINUTE)
    kept.wrong = 0
    end = kept.clock.at + 5 * MINUTE
    kept.say(TIME, kept.kit.time(exp=end))
    kept.say(NOW, kept.kit.orders(alarm(kept, sounds[2]), exp=end))
    assert kept.agent.playing == "e-storm"
    kept.run(EVENING + 3 * MINUTE)
    assert kept.time.now() == kept.clock.at
    assert [(r.airing, r.result) for r in kept.receipts] == [("e-storm", Result.PLAYED), ("one", Result.PLAYED)]


def test_without_ntp_what_the_hub_signs_is_a_time_that_has_passed(make: Make, sounds: list[Sound]) -> None:
    rig = make(EVENING, synchronised=False)
    rig.wrong = -3_600_000
    rig.say(TIME, rig.kit.time())
    rig.wrong = 0
    rig.say(NOW, rig.kit.orders(alarm(rig, sounds[2]), exp=EVENING + 3_500_000))
    assert rig.refused(Reason.EXPIRED) == 1
    assert rig.time.floor == EVENING + 3_600_000


def test_what_was_heard_is_not_heard_again_because_the_hub_was_ahead(kept: Rig, sounds: list[Sound]) -> None:
    """Only the floor is spared: a frame that came once does nothing when it comes again."""
    kept.wrong = -3_600_000
    first = kept.kit.orders(stop(EVENING, EVENING + MINUTE))
    kept.say(NOW, first)
    kept.wrong = 0
    kept.say(NOW, kept.kit.orders())
    kept.say(NOW, first)
    assert kept.refused(Reason.REPLAYED) == 1
    assert kept.time.floor < EVENING + MINUTE


@pytest.mark.parametrize(
    ("wrong", "heard"),
    [
        (2_500, [(2_000, Result.PARTIAL, "no clock"), (6_000, Result.PLAYED, "")]),
        (-3_600_000, [(2_000, Result.PARTIAL, "no clock")]),
    ],
)
def test_a_clock_that_is_lost_for_a_moment_ends_nothing_for_good(
    make: Make, sounds: list[Sound], wrong: int, heard: list[tuple[int, Result, str]]
) -> None:
    rig = make()
    rig.crash()  # still the boot in which the clock was good; to this process the hub has said nothing
    schedule(rig, sounds[0], EVENING + 5_000)
    rig.run(EVENING + 7_000)
    rig.say(TIME, rig.kit.time(rig.clock.at - wrong))
    assert rig.agent.playing == ""
    rig.run(rig.clock.at + 10_000)
    rig.say(TIME, rig.kit.time())
    rig.run(EVENING + 60_000)
    assert [(length, result, reason) for _, _, length, result, reason in told(rig)] == heard


@pytest.mark.parametrize("synchronised", [True, False])
def test_an_emergency_that_has_expired_is_refused(make: Make, sounds: list[Sound], synchronised: bool) -> None:
    rig = make(synchronised=synchronised)
    rig.say(NOW, rig.kit.orders(alarm(rig, sounds[2]), exp=EVENING))
    assert rig.refused(Reason.EXPIRED) == 1
    assert not rig.ears.played


HOUR = 3_600_000


def ahead(rig: Rig, sound: Sound, **changes: Any) -> bytes:
    """An emergency of a hub whose clock is an hour ahead, for an hour; all of it is dated by that clock."""
    then = rig.clock.at + HOUR
    plain = replace(rig.kit.bulletin(sound, id="storm"), cls=BulletinClass.EMERGENCY, valid_from=then)
    order = emergency(rig.kit, replace(plain, **changes), then, then + HOUR, sound.data)
    return rig.kit.orders(order, issued=then, nbf=then, exp=then + 8 * 24 * HOUR)


@pytest.mark.parametrize("ntp", [True, False])
def test_an_emergency_of_a_hub_that_is_ahead_does_not_wait_for_our_clock(
    make: Make, sounds: list[Sound], ntp: bool
) -> None:
    rig = make(synchronised=not ntp)
    rig.ntp = ntp
    rig.run(EVENING + 60_000)
    before = rig.clock.at
    rig.say(NOW, ahead(rig, sounds[2]))
    rig.run(before + 10_000)
    assert [(r.started - before, r.result) for r in rig.receipts] == [(20, Result.PLAYED)]
    # the next one is not judged by how the first was dated
    before = rig.clock.at
    rig.say(NOW, ahead(rig, sounds[1], id="flood", every=20_000))
    rig.run(before + 50_000)
    assert [r.started - before for r in rig.receipts][1:] == [20, 20_000, 40_000]


def test_a_device_that_knows_no_time_believes_the_hub_that_warns(make: Make, sounds: list[Sound]) -> None:
    rig = make(synchronised=False)
    rig.say(NOW, ahead(rig, sounds[2]))
    rig.clock.at += 3_000
    rig.agent.step()
    assert [(r.result, r.ended - r.started) for r in rig.receipts] == [(Result.PLAYED, 2_000)]


def test_a_stop_by_a_hub_that_is_ahead_stops_now(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000)
    rig.run(EVENING + 2_000)
    then = rig.clock.at + HOUR
    rig.say(NOW, rig.kit.orders(stop(then, then + HOUR), issued=then, nbf=then))
    rig.run(EVENING + 10_000)
    assert [(r.result, r.reason) for r in rig.receipts] == [(Result.PARTIAL, "stopped")]


def test_a_programme_of_a_hub_that_is_ahead_waits(make: Make, sounds: list[Sound]) -> None:
    """What is planned comes by our clock; a programme that is not valid yet is none."""
    rig = make()
    bulletin = rig.kit.bulletin(sounds[0])
    one = airing(bulletin, EVENING + 1_000, "one")
    then = EVENING + HOUR
    signed = {bulletin.id: rig.kit.signed(bulletin)}
    rig.say(PROG, rig.kit.programme(one, signed=signed, issued=then, nbf=then))
    assert rig.refused(Reason.NOT_YET) == 1


def test_a_drill_planned_for_later_is_not_brought_forward(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    rig.say(NOW, rig.kit.orders(replace(alarm(rig, sounds[2]), start=EVENING + 30_000)))
    rig.run(EVENING + 20_000)
    assert not rig.receipts
    rig.run(EVENING + 50_000)
    assert [r.started - EVENING for r in rig.receipts] == [30_000]


def test_the_floor_never_goes_back(make: Make) -> None:
    rig = make()
    rig.boot = "boot-2"
    rig.clock.at = 0
    rig.crash()
    assert not rig.time.synchronised
    assert rig.time.now() >= EVENING
