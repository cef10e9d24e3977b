"""Relays, silent windows and the day's airtime on the device, with real documents and signatures."""

from __future__ import annotations

import pytest

from audio.documents import Airing, Bulletin, BulletinClass, ContentKind, Result, Span
from audio.envelope import Reason
from tests.audio.agent_kit import PROG, Make, Rig, alarm, told
from tests.audio.receiver_kit import DEVICE, EVENING, Sound, airing, make_sound

MINUTE = 60_000


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    return make_sound(tmp_path_factory.mktemp("sounds"), 8_000, 1)


def relay(rig: Rig, sound: Sound, **changes: object) -> Bulletin:
    fields = {"id": "vov", "kind": ContentKind.RELAY, "content": "vov1", "duration": MINUTE}
    return rig.kit.bulletin(sound, **(fields | changes))


def programme(rig: Rig, *items: tuple[Bulletin, Airing]) -> None:
    signed = {b.id: rig.kit.signed(b) for b, _ in items}
    rig.say(PROG, rig.kit.programme(*(a for _, a in items), signed=signed))


def test_a_relay_without_pages_is_silence_and_its_receipt_says_so(make: Make, sound: Sound) -> None:
    rig = make()
    rig.shelf.put(sound.content, sound.data)
    source, news = relay(rig, sound), rig.kit.bulletin(sound)
    start = EVENING + 5_000
    items = (
        (source, airing(source, start, "r", start + MINUTE)),
        (news, airing(news, start + 10_000, "n", start + 90_000)),
    )
    programme(rig, *items)
    assert "vov1" not in rig.shelf.wanted
    rig.run(start + MINUTE - 100)
    assert told(rig) == []
    assert rig.agent.playing == ""
    rig.run(EVENING + 90_000)
    assert [(t[0], *t[2:]) for t in told(rig)] == [
        ("r", 0, Result.MISSED, "no signal"),
        ("n", 8_000, Result.PLAYED, ""),
    ]


def test_a_relay_that_an_emergency_kept_away_says_so(make: Make, sound: Sound) -> None:
    rig = make()
    source = relay(rig, sound, duration=20_000)
    programme(rig, (source, airing(source, EVENING + 5_000, "r", EVENING + 25_000)))
    rig.say("loa/1/now/u/64/64", rig.kit.orders(alarm(rig, sound)))
    rig.run(EVENING + 30_000)
    assert [(t[0], *t[2:]) for t in told(rig)] == [
        ("e-storm", 8_000, Result.PLAYED, ""),
        ("r", 0, Result.MISSED, "emergency hold"),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"content": "VOV 1"},
        {"content": "../etc"},
        {"content": ""},
        {"content": "v" * 33},
        {"siren": 3_000},
        {"cls": BulletinClass.EMERGENCY},
        {"kind": ContentKind.RECORDING},
    ],
)
def test_a_relay_names_a_live_session_and_is_no_emergency(make: Make, sound: Sound, changes: dict[str, object]) -> None:
    rig = make()
    source = relay(rig, sound, **changes)
    programme(rig, (source, airing(source, EVENING + 5_000, "r")))
    assert rig.refused(Reason.MALFORMED) == 1
    assert rig.held.items == ()


def test_a_silent_window_and_the_days_airtime_are_told_in_receipts(make: Make, sound: Sound) -> None:
    rig = make()
    rig.shelf.put(sound.content, sound.data)
    exam = Span(EVENING + 30_000, EVENING + 60_000)
    policy = rig.kit.policy(silent=(exam,), airtime=10_000)
    rig.say(f"loa/1/policy/{DEVICE}", rig.kit.policy_frame(policy))
    news = [rig.kit.bulletin(sound, id=f"b{n}") for n in range(3)]
    starts = (EVENING + 5_000, EVENING + 32_000, EVENING + 70_000)
    programme(rig, *((b, airing(b, at, b.id, at + 10_000)) for b, at in zip(news, starts, strict=True)))
    rig.run(EVENING + 90_000)
    assert [(name, result, reason) for name, _, _, result, reason in told(rig)] == [
        ("b0", Result.PLAYED, ""),
        ("b1", Result.MISSED, "silent window"),
        ("b2", Result.MISSED, "airtime"),
    ]
