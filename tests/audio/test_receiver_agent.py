"""What the device plays, when, and what it says of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from audio.documents import (
    EVERYTHING,
    Ack,
    DeviceState,
    NowKind,
    Result,
    decode,
    encode,
)
from audio.envelope import Reason
from audio.receiver.agent import Arrived
from audio.receiver.link import Connection
from audio.receiver.sound import Round, blocks
from audio.timetable import MINUTE
from tests.audio.agent_kit import NOW, PROG, Make, Rig, alarm, schedule, told
from tests.audio.receiver_kit import (
    DEVICE,
    EVENING,
    NIGHT,
    Sound,
    airing,
    stop,
)


@pytest.mark.parametrize(("woken", "began"), [(4_950, 5_000), (4_985, 5_005), (5_100, 5_120), (6_000, 6_020)])
def test_a_scheduled_item_begins_at_its_instant_and_a_late_one_says_so(
    make: Make, sounds: list[Sound], woken: int, began: int
) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 5_000)
    rig.run(EVENING + 4_800)
    rig.clock.at = EVENING + woken
    rig.wake = rig.agent.step()
    assert rig.state.playing == "one"
    rig.run(EVENING + 20_000)
    assert told(rig) == [("one", began, 8_000, Result.PLAYED, "")]


def test_what_is_decided_early_can_still_be_called_off(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 5_000)
    rig.run(EVENING + 4_950)
    assert rig.state.playing == "one"
    rig.say(NOW, rig.kit.orders(alarm(rig, sounds[2], until=10_000)))
    rig.run(EVENING + 60_000)
    assert [(name, length, result) for name, _, length, result, _ in told(rig)] == [
        ("one", 0, Result.PARTIAL),
        ("e-storm", 2_000, Result.PLAYED),
        ("one", 8_000, Result.PLAYED),
    ]


def test_a_round_decided_early_stays_decided(make: Make, sounds: list[Sound]) -> None:
    rig = make(NIGHT)
    rig.say(NOW, rig.kit.orders(replace(alarm(rig, sounds[2]), start=NIGHT + 1_000)))
    rig.run(NIGHT + 945)
    rig.agent.step()
    rig.run(NIGHT + 10_000)
    assert [(r.started - NIGHT, r.ended - r.started) for r in rig.receipts] == [(1_000, 2_000)]


def test_the_remainder_follows_an_emergency(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000)
    rig.run(EVENING + 3_010)
    rig.say(NOW, rig.kit.orders(alarm(rig, sounds[2], until=10_000)))
    rig.run(EVENING + 60_000)
    assert told(rig) == [
        ("one", 1_000, 2_020, Result.PARTIAL, "emergency"),
        ("e-storm", 3_030, 2_000, Result.PLAYED, ""),
        ("one", 13_010, 5_980, Result.PLAYED, ""),
    ]
    assert b"".join(rig.ears.played[0:3:2])[: 96 * 2_020] == rig.ears.played[0][: 96 * 2_020]
    assert rig.ears.played[2] == rig.ears.played[0][96 * 2_020 :]


def test_a_stop_ends_it_for_good(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000)
    rig.run(EVENING + 3_000)
    rig.say(NOW, rig.kit.orders(stop(rig.clock.at, rig.clock.at + 5_000)))
    rig.run(EVENING + 60_000)
    assert told(rig) == [("one", 1_000, 2_000, Result.PARTIAL, "stopped")]


OWN = f"loa/1/now/d/{DEVICE}/23557"


def test_a_stop_that_is_lifted_early_lets_the_next_item_begin_but_not_what_it_ended(
    make: Make, sounds: list[Sound]
) -> None:
    rig = make()
    first, second = rig.kit.bulletin(sounds[0], id="first"), rig.kit.bulletin(sounds[1], id="second")
    for sound in sounds[:2]:
        rig.shelf.put(sound.content, sound.data)
    starts = airing(first, EVENING + 1_000, "one"), airing(second, EVENING + 10_000, "two")
    rig.say(PROG, rig.kit.programme(*starts, signed={b.id: rig.kit.signed(b) for b in (first, second)}))
    rig.run(EVENING + 3_000)
    rig.say(NOW, rig.kit.orders(stop(rig.clock.at, rig.clock.at + 600_000)))
    rig.run(EVENING + 15_000)
    rig.say(NOW, rig.kit.orders())
    assert rig.state.playing == "two", "at once"
    rig.run(EVENING + 60_000)
    assert told(rig) == [
        ("one", 1_000, 2_000, Result.PARTIAL, "stopped"),
        ("two", 15_020, 8_000, Result.PLAYED, ""),
    ]


def test_a_silenced_device_plays_no_emergency_and_says_why(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    rig.say(OWN, rig.kit.orders(stop(EVENING, EVENING + 86_400_000, EVERYTHING), target=f"d/{DEVICE}", issuer="23557"))
    rig.run(EVENING + 1_000)
    rig.say(NOW, rig.kit.orders(alarm(rig, sounds[2], until=20_000)))
    rig.run(EVENING + 10_000)
    assert rig.state.playing == ""
    rig.crash(5_000)
    rig.run(EVENING + 60_000)
    assert not rig.ears.played
    assert [(r.airing, r.result, r.reason) for r in rig.receipts] == [("e-storm", Result.MISSED, "silenced")]


def test_a_silence_ends_what_plays_and_its_end_brings_the_emergency_in_force(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000)
    rig.run(EVENING + 3_000)
    silence = stop(rig.clock.at, rig.clock.at + 86_400_000, EVERYTHING)
    rig.say(OWN, rig.kit.orders(silence, target=f"d/{DEVICE}", issuer="23557"))
    assert rig.state.playing == ""
    rig.say(NOW, rig.kit.orders(alarm(rig, sounds[2])))
    rig.run(EVENING + 10_000)
    rig.say(OWN, rig.kit.orders(target=f"d/{DEVICE}", issuer="23557"))
    assert rig.state.playing == "e-storm", "at once"
    rig.run(EVENING + 20_000)
    assert told(rig) == [
        ("one", 1_000, 2_000, Result.PARTIAL, "silenced"),
        ("e-storm", 10_020, 2_000, Result.PLAYED, ""),
    ]


def test_what_is_withdrawn_ends(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000)
    rig.run(EVENING + 3_000)
    rig.say(PROG, rig.kit.programme(signed={}))
    assert told(rig) == [("one", 1_000, 2_000, Result.PARTIAL, "withdrawn")]


@pytest.mark.parametrize(
    ("away", "receipts"),
    [
        (100_000, [("one", Result.PARTIAL, "restart", 0), ("one", Result.PLAYED, "", 3_940)]),
        (130_000, [("one", Result.PARTIAL, "restart", 0)]),
    ],
)
def test_power_fails_in_the_middle(
    make: Make, sounds: list[Sound], away: int, receipts: list[tuple[str, Result, str, int]]
) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000, latest=EVENING + 600_000)
    rig.run(EVENING + 5_500)
    rig.crash(away)
    rig.run(rig.clock.at + 30_000)
    assert [(r.airing, r.result, r.reason, r.offset) for r in rig.receipts] == receipts


def test_a_restart_without_a_broker_goes_on_with_everything_held(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 10_000)
    rig.say(NOW, rig.kit.orders(stop(EVENING + 14_000, EVENING + 60_000)))
    rig.crash()
    assert rig.time.synchronised
    rig.run(EVENING + 60_000)
    assert told(rig) == [("one", 10_000, 4_000, Result.PARTIAL, "stopped")]


def test_missing_content_begins_late_if_it_still_fits(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000, here=False, latest=EVENING + 20_000)
    assert rig.shelf.wanted == {sounds[0].content: 1_000}
    rig.run(EVENING + 5_000)
    rig.shelf.put(sounds[0].content, sounds[0].data)
    rig.agent.handle(Arrived(sounds[0].content))
    rig.wake = rig.agent.step()
    rig.run(EVENING + 30_000)
    assert told(rig) == [("one", 5_020, 8_000, Result.PLAYED, "")]


def test_missing_content_is_refused_once_when_its_chance_has_passed(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000, here=False, latest=EVENING + 20_000)
    rig.run(EVENING + 12_000)
    assert rig.receipts == []
    rig.run(EVENING + 100_000)
    rig.crash()
    rig.run(EVENING + 200_000)
    assert [(r.airing, r.result, r.reason) for r in rig.receipts] == [("one", Result.REFUSED, "no content")]


def test_content_that_cannot_be_decoded_is_fetched_again(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    rig.shelf.put(sounds[0].content, b"spoiled flash")
    schedule(rig, sounds[0], EVENING + 1_000, here=False)
    rig.run(EVENING + 2_000)
    assert sounds[0].content in rig.shelf.wanted
    assert rig.refused("content") == 1


@pytest.mark.parametrize(
    ("start", "obstacle", "reason"),
    [
        (EVENING + 1_000, "emergency", "emergency hold"),
        (EVENING + 1_000, "stop", "stopped"),
        (EVENING + 1_000, "silence", "silenced"),
        (EVENING - 60_000, "none", "too late"),
    ],
)
def test_a_missed_item_says_why(make: Make, sounds: list[Sound], start: int, obstacle: str, reason: str) -> None:
    rig = make(EVENING - 120_000)
    rig.clock.at = EVENING
    entries = {
        "emergency": [alarm(rig, sounds[2])],
        "stop": [stop(EVENING, EVENING + 60_000)],
        "silence": [stop(EVENING, EVENING + 60_000, EVERYTHING)],
        "none": [],
    }
    rig.say(NOW, rig.kit.orders(*entries[obstacle]))
    schedule(rig, sounds[0], start, latest=start + 12_000)
    rig.run(EVENING + 120_000)
    assert [(r.result, r.reason) for r in rig.receipts if r.airing == "one"] == [(Result.MISSED, reason)]


def test_what_was_due_before_this_device_existed_is_not_its_business(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING - 60_000, latest=EVENING - 30_000)
    rig.run(EVENING + 10_000)
    assert rig.receipts == []


def test_the_quiet_hours_end_what_a_late_start_brought_into_them(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000)
    rig.run(EVENING + 3_000)
    quiet = rig.kit.policy(quiet=(replace(rig.held.policy.quiet[0], start=16 * 60),))
    rig.say(f"loa/1/policy/{DEVICE}", rig.kit.policy_frame(quiet))
    assert told(rig) == [("one", 1_000, 2_000, Result.PARTIAL, "quiet hours")]


@pytest.mark.parametrize(
    ("at", "kind", "volume", "expected"),
    [
        (EVENING, None, 100, 80),
        (EVENING, None, 30, 30),
        (EVENING - 11 * 60 * MINUTE, None, 100, 60),
        (NIGHT, NowKind.EMERGENCY, 100, 100),
        (EVENING, NowKind.DRILL, 100, 80),
    ],
)
def test_no_volume_above_the_policy(
    make: Make, sounds: list[Sound], at: int, kind: NowKind | None, volume: int, expected: int
) -> None:
    rig = make(at)
    if kind is None:
        schedule(rig, sounds[0], at + 1_000, volume=volume)
    else:
        rig.say(NOW, rig.kit.orders(replace(alarm(rig, sounds[2], siren=1_000, volume=volume), kind=kind)))
    rig.run(at + 2_000)
    peak = max(abs(v) for v in memoryview(rig.ears.played[0]).cast("h"))
    loudest = max(abs(v) for v in memoryview(_full(rig, sounds[0] if kind is None else sounds[2], kind)).cast("h"))
    assert abs(peak / loudest - expected / 100) < 0.01


def _full(rig: Rig, sound: Sound, kind: NowKind | None) -> bytes:
    return b"".join(blocks(Round(((sound.path, sound.duration),), siren=1_000 if kind else 0)))


def test_receipts_are_sent_until_the_hub_has_them(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[2], EVENING + 1_000)
    rig.run(EVENING + 60_000)
    sent = [p for t, p in rig.line.sent if t.endswith("receipt")]
    assert len(sent) == 6
    assert len(set(sent)) == 1
    assert rig.state.waiting == 1
    rig.agent.handle(Connection(False))
    rig.run(EVENING + 90_000)
    assert len([p for t, p in rig.line.sent if t.endswith("receipt")]) == 6
    rig.agent.handle(Connection(True))
    rig.agent.step()
    assert len([p for t, p in rig.line.sent if t.endswith("receipt")]) == 7
    (receipt,) = rig.receipts
    topic = f"loa/1/ack/{DEVICE}"
    rig.say(topic, rig.kit.seal(topic, encode(Ack((receipt.id,))), rig.kit.province))
    assert rig.refused(Reason.NOT_ALLOWED) == 1
    rig.say(topic, rig.kit.seal(topic, encode(Ack((receipt.id,))), rig.kit.hub))
    rig.crash()
    rig.run(EVENING + 120_000)
    assert rig.receipts == []
    assert rig.state.waiting == 0


def test_the_state_is_told_on_change_and_each_minute(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[2], EVENING + 10_000)
    rig.run(EVENING + 185_000)
    states = [decode(DeviceState, p) for t, p in rig.line.sent if t.endswith("state")]
    assert [s.playing for s in states].count("one") == 1
    assert len(states) <= 9
    assert max(after.at - before.at for before, after in pairwise(states)) <= 61_000
    assert states[-1].cached == (sounds[2].content,)
    assert states[-1].programme > 0
    rig.agent.stop()
    assert not rig.state.online


def test_a_clean_end_reports_what_played(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000, latest=EVENING + 60_000)
    rig.run(EVENING + 3_000)
    rig.agent.stop()
    assert told(rig) == [("one", 1_000, 2_000, Result.PARTIAL, "shutdown")]
    rig.crash(5_000)
    rig.run(EVENING + 60_000)
    assert [(r.result, r.offset) for r in rig.receipts] == [(Result.PARTIAL, 0), (Result.PLAYED, 2_000)]


def test_an_emergency_repeats_until_it_is_over(make: Make, sounds: list[Sound]) -> None:
    rig = make(NIGHT)
    rig.say(NOW, rig.kit.orders(alarm(rig, sounds[2], until=25_000, every=10_000, siren=500, times=2)))
    rig.run(NIGHT + 60_000)
    assert [(r.repeat, r.started - NIGHT, r.ended - r.started) for r in rig.receipts] == [
        (0, 20, 4_500),
        (1, 10_000, 4_500),
        (2, 20_000, 4_500),
    ]


def test_an_emergency_with_neither_siren_nor_sound_holds_the_rest_and_is_fetched_at_once(
    make: Make, sounds: list[Sound]
) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 1_000, latest=EVENING + 10_000)
    rig.say(NOW, rig.kit.orders(replace(alarm(rig, sounds[2], until=20_000), sounds=())))
    assert rig.shelf.wanted == {sounds[2].content: 0}
    rig.run(EVENING + 60_000)
    assert {(r.airing, r.result, r.reason) for r in rig.receipts} == {
        ("e-storm", Result.REFUSED, "no content"),
        ("one", Result.MISSED, "emergency hold"),
    }
