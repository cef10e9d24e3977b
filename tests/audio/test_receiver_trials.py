"""The device's own tone and its silent check: when they sound, when they do not, and one answer each."""

from __future__ import annotations

import array
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.documents import EVERYTHING, BulletinClass, DeviceSettings, Result, Trial, TrialKind, encode
from audio.envelope import Reason
from audio.receiver.sound import Tone, blocks, energy
from tests.audio.agent_kit import NOW, PROG, Rig
from tests.audio.receiver_kit import DEVICE, EVENING, FOREVER, NIGHT, Sound, airing, emergency, make_sound, stop

SET = f"loa/1/set/{DEVICE}"
TONE, CHECK = TrialKind.TONE, TrialKind.CHECK


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    return make_sound(tmp_path_factory.mktemp("sounds"), 8_000, 7)


def ask(rig: Rig, kind: TrialKind, name: str = "t1") -> bytes:
    trial = Trial(name, kind, rig.clock.at + 30_000)
    frame = rig.kit.seal(SET, encode(DeviceSettings(trial)), rig.kit.hub)
    rig.say(SET, frame)
    return frame


def outcome(rig: Rig) -> tuple[Result, str]:
    (receipt,) = rig.receipts
    assert (receipt.airing, receipt.bulletin) == ("t1", "")
    return receipt.result, receipt.reason


def loudest(sound: bytes) -> int:
    return max((abs(sample) for sample in array.array("h", sound)), default=0)


def test_a_tone_by_day_sounds_two_seconds_at_the_ceiling_and_is_answered(make: Callable[..., Rig]) -> None:
    rig = make()
    ask(rig, TONE)
    assert rig.state.playing == "t1"
    rig.run(EVENING + 5_000)
    assert outcome(rig) == (Result.PLAYED, "")
    (played,) = rig.ears.played
    assert len(played) == 2 * 96_000
    assert loudest(played) == pytest.approx(0.8 * 0.5 * 32767, rel=0.01)  # the policy's ceiling by day is 80 %
    assert loudest(played[:200]) < 300
    assert loudest(played[-200:]) < 300


def test_the_tone_is_one_kilohertz() -> None:
    sound = array.array("h", b"".join(blocks(Tone(2_000))))
    assert sum(1 for a, b in pairwise(sound[24_000:72_012]) if a < 0 <= b) == 1000


def test_at_night_the_tone_is_refused_and_the_silent_check_passes(make: Callable[..., Rig]) -> None:
    rig = make(NIGHT)
    ask(rig, TONE)
    assert outcome(rig) == (Result.REFUSED, "quiet hours")
    ask(rig, CHECK, "t2")
    rig.run(NIGHT + 5_000)
    assert [(r.airing, r.result, r.content) for r in rig.receipts][1:] == [("t2", Result.CHECKED, "")]
    assert loudest(b"".join(rig.ears.played)) == 0


def test_a_check_decodes_what_the_device_holds(make: Callable[..., Rig], sound: Sound) -> None:
    rig = make()
    rig.shelf.put(sound.content, sound.data)
    ask(rig, CHECK)
    rig.run(EVENING + 5_000)
    (receipt,) = rig.receipts
    assert (receipt.result, receipt.content) == (Result.CHECKED, sound.content)
    assert [loudest(played) for played in rig.ears.played] == [0]


def test_a_check_of_a_spoiled_sound_says_so_and_has_it_fetched_again(make: Callable[..., Rig], sound: Sound) -> None:
    rig = make()
    rig.shelf.put(sound.content, b"no sound at all")
    ask(rig, CHECK)
    rig.run(EVENING + 1_000)
    result, reason = outcome(rig)
    assert result is Result.REFUSED
    assert reason.startswith("decoder: ")
    assert not rig.shelf.has(sound.content)


def test_nothing_sounds_before_the_clock_is_known_and_a_check_needs_no_clock(make: Callable[..., Rig]) -> None:
    rig = make(synchronised=False)
    ask(rig, TONE)
    rig.run(EVENING + 1_000)
    assert rig.ears.played == []
    rig.synchronise()
    rig.run(EVENING + 5_000)
    assert outcome(rig) == (Result.PLAYED, "")


def test_a_check_needs_no_clock(make: Callable[..., Rig]) -> None:
    rig = make(synchronised=False)
    ask(rig, CHECK)
    rig.run(EVENING + 2_000)
    assert outcome(rig) == (Result.CHECKED, "")


@pytest.mark.parametrize(("names", "reason"), [("", "stopped"), (EVERYTHING, "silenced"), ("b-other", "")])
def test_stops_and_silences_hold_for_the_tone(make: Callable[..., Rig], names: str, reason: str) -> None:
    rig = make()
    rig.say(NOW, rig.kit.orders(stop(EVENING, EVENING + 60_000, names)))
    ask(rig, TONE)
    rig.run(EVENING + 5_000)
    assert outcome(rig) == ((Result.REFUSED, reason) if reason else (Result.PLAYED, ""))


def test_between_the_rounds_of_an_emergency_there_is_no_tone(make: Callable[..., Rig], sound: Sound) -> None:
    rig = make()
    bulletin = rig.kit.bulletin(sound, cls=BulletinClass.EMERGENCY, every=60_000)
    rig.say(NOW, rig.kit.orders(emergency(rig.kit, bulletin, EVENING, EVENING + 300_000, sound.data)))
    rig.run(EVENING + 20_000)
    ask(rig, TONE)
    assert [r.reason for r in rig.receipts if r.airing == "t1"] == ["emergency hold"]


def test_an_emergency_ends_the_tone_at_once(make: Callable[..., Rig], sound: Sound) -> None:
    rig = make()
    ask(rig, TONE)
    rig.run(EVENING + 500)
    bulletin = rig.kit.bulletin(sound, cls=BulletinClass.EMERGENCY)
    rig.say(NOW, rig.kit.orders(emergency(rig.kit, bulletin, EVENING + 500, EVENING + 300_000, sound.data)))
    assert rig.state.bulletin == bulletin.id
    assert outcome(rig) == (Result.PARTIAL, "emergency")


def test_what_is_due_comes_first(make: Callable[..., Rig], sound: Sound) -> None:
    rig = make()
    rig.shelf.put(sound.content, sound.data)
    bulletin = rig.kit.bulletin(sound)
    item = airing(bulletin, EVENING + 1_000)
    rig.say(PROG, rig.kit.programme(item, signed={bulletin.id: rig.kit.signed(bulletin)}))
    ask(rig, TONE)
    rig.run(EVENING + 2_000)
    assert outcome(rig) == (Result.PARTIAL, "busy")
    assert rig.state.bulletin == bulletin.id
    ask(rig, TONE, "t2")
    ask(rig, CHECK, "t3")
    assert [(r.airing, r.result, r.reason) for r in rig.receipts[1:]] == [
        ("t2", Result.REFUSED, "busy"),
        ("t3", Result.REFUSED, "busy"),
    ]


def test_the_quiet_hours_are_not_run_into(make: Callable[..., Rig]) -> None:
    rig = make(EVENING + 4 * 3_600_000 + 29_000)  # 20:59:59
    ask(rig, TONE)
    assert outcome(rig) == (Result.REFUSED, "quiet hours")


def test_each_sounds_once_also_after_a_power_cut(make: Callable[..., Rig]) -> None:
    rig = make()
    frame = ask(rig, TONE)
    rig.run(EVENING + 500)
    rig.crash(500)
    rig.synchronise()
    rig.say(SET, frame)
    rig.say(SET, rig.kit.seal(SET, encode(DeviceSettings(Trial("t1", TONE, EVENING + 30_000))), rig.kit.hub))
    rig.run(EVENING + 10_000)
    assert rig.ears.played == []
    assert outcome(rig) == (Result.PARTIAL, "restart")


def test_what_came_too_late_does_not_sound(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.say(SET, rig.kit.seal(SET, encode(DeviceSettings(Trial("t1", TONE, EVENING))), rig.kit.hub))
    assert outcome(rig) == (Result.REFUSED, "too late")


def test_only_the_hub_may_ask(make: Callable[..., Rig]) -> None:
    rig = make()
    body = encode(DeviceSettings(Trial("t1", TONE, FOREVER)))
    rig.say(SET, rig.kit.seal(SET, body, rig.kit.province))
    other = "loa/1/set/23557-L02"
    rig.say(other, rig.kit.seal(other, body, rig.kit.hub))
    rig.say(SET, rig.kit.seal(other, body, rig.kit.hub))
    rig.say(SET, rig.kit.seal(SET, b'{"trial":{"id":"t1"}}', rig.kit.hub))
    rig.run(EVENING + 5_000)
    assert (rig.ears.played, rig.receipts) == ([], [])
    assert rig.refused(Reason.MALFORMED) == 1
    assert sum(rig.held.refused.values()) == 4


@settings(max_examples=40)
@given(duration=st.integers(1, 3_000), volume=st.integers(0, 100))
def test_a_tone_is_as_long_and_no_louder_than_it_should_be(duration: int, volume: int) -> None:
    sound = b"".join(blocks(Tone(duration, volume)))
    assert len(sound) == duration * 96
    assert loudest(sound) <= volume * 0.5 * 327.67 + 1
    assert (energy(sound) == 0) >= (volume == 0)


def test_who_is_asked_tells_its_state_at_once_though_nothing_has_changed(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.run(EVENING + 2_000)
    told = sum(t.endswith("state") for t, _ in rig.line.sent)
    rig.run(EVENING + 4_000)
    assert sum(t.endswith("state") for t, _ in rig.line.sent) == told
    rig.say(SET, rig.kit.seal(SET, encode(DeviceSettings()), rig.kit.hub))
    rig.run(EVENING + 4_100)
    assert sum(t.endswith("state") for t, _ in rig.line.sent) == told + 1
    assert rig.receipts == []
