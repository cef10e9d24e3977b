"""A relay on the device: tuned to ahead, without signal, lost and joined again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audio.documents import (
    BulletinClass,
    ContentKind,
    Policy,
    Result,
)
from audio.envelope import Reason
from audio.receiver.sound import BLOCK
from audio.receiver.status import State
from audio.timetable import MINUTE, Decision, Item, Play, missed, what_plays
from tests.audio.agent_kit import PROG, Make, Rig
from tests.audio.receiver_kit import (
    EVENING,
    Sound,
    airing,
)

RELAY = "relay-vov1"


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timetable joins a relay at any instant of its time, and has missed it when that is over."""

    def live(item: Item) -> bool:
        return item.bulletin.kind is ContentKind.RELAY

    def plays(items: Sequence[Item], *rest: Any) -> Decision:
        decision, at = what_plays([i for i in items if not live(i)], *rest), rest[2]
        for item in filter(live, items):
            ends = item.airing.start + item.bulletin.duration
            if decision.play is None and item.airing.start <= at < ends:
                play = Play(item.airing.airing, 0, item.bulletin, at - item.airing.start, ends)
                return Decision(play, "normal", min(decision.until, ends))
        starts = [i.airing.start for i in items if i.airing.start > at]
        return replace(decision, until=min(decision.until, *starts, 2**62))

    def misses(items: Sequence[Item], history: Any, now: int, policy: Policy, *, since: int) -> tuple[Item, ...]:
        heard = {(s.airing, s.repeat) for s in history}
        over = (i for i in items if live(i) and i.airing.start + i.bulletin.duration <= now)
        mine = tuple(i for i in over if (i.airing.airing, i.airing.repeat) not in heard)
        return mine + missed([i for i in items if not live(i)], history, now, policy, since=since)

    monkeypatch.setattr("audio.receiver.choice.what_plays", plays)
    monkeypatch.setattr("audio.receiver.agent.missed", misses)


def relay(rig: Rig, start: int, ms: int = 60_000) -> None:
    """The programme has a relay of vov1."""
    bulletin = rig.kit.bulletin(Sound(Path(), "vov1", ms), id=RELAY, kind=ContentKind.RELAY)
    item = airing(bulletin, start, "news", start + ms)
    rig.say(PROG, rig.kit.programme(item, signed={bulletin.id: rig.kit.signed(bulletin)}))


def test_a_relay_is_tuned_to_ahead_never_fetched_and_heard_for_its_whole_time(make: Make) -> None:
    rig = make(EVENING)
    rig.synchronise()
    begin = EVENING + 20_000
    relay(rig, begin)
    rig.air.signal.add("vov1")
    assert rig.shelf.wanted == {}
    rig.run(begin - 6_000)
    assert rig.air.tuned == frozenset()
    rig.run(begin - 1_000)
    assert rig.air.tuned == {"vov1"}
    rig.run(begin + 61_000)
    (news,) = rig.receipts
    assert (news.airing, news.result, news.content, news.started) == ("news", Result.PLAYED, "vov1", begin)
    assert news.ended - news.started == 60_000
    assert rig.ears.played == [bytes([80]) * 2 * BLOCK * 3_000]
    assert rig.air.tuned == frozenset()


def test_a_relay_that_is_joined_late_is_over_with_its_window_and_played(make: Make) -> None:
    rig = make(EVENING)
    rig.air.signal.add("vov1")
    begin = EVENING - 28 * MINUTE
    relay(rig, begin, 30 * MINUTE)
    rig.run(EVENING + 3 * MINUTE)
    [news] = rig.receipts
    assert (news.result, news.reason, news.ended) == (Result.PLAYED, "", begin + 30 * MINUTE)


@pytest.mark.usefixtures("joined")
def test_a_relay_without_signal_is_silence_and_told(make: Make) -> None:
    rig = make(EVENING)
    rig.synchronise()
    begin = EVENING + 10_000
    relay(rig, begin)
    rig.run(begin + 61_000)
    assert rig.ears.played == []
    (news,) = rig.receipts
    assert (news.result, news.reason) == (Result.MISSED, "no signal")


@pytest.mark.usefixtures("joined")
def test_a_relay_that_loses_its_signal_is_joined_again_and_says_what_was_heard(make: Make) -> None:
    rig = make(EVENING)
    rig.synchronise()
    begin = EVENING + 10_000
    relay(rig, begin)
    rig.air.signal.add("vov1")
    rig.air.heard = 0.5
    rig.run(begin + 20_000)
    rig.air.signal.clear()
    rig.run(begin + 40_000)
    assert rig.agent.status().state is State.IDLE
    rig.air.signal.add("vov1")
    rig.air.heard = 1.0
    rig.run(begin + 61_000)
    lost, back = rig.receipts
    assert (lost.result, lost.reason, lost.ended - lost.started) == (Result.PARTIAL, "no signal", 30_000)
    assert back.result is Result.PLAYED
    assert back.ended == begin + 60_000
    assert 0 <= back.started - begin - 40_000 <= 200
    assert back.offset == back.started - begin


@pytest.mark.parametrize(
    "change",
    [{"content": "VOV 1"}, {"content": "../x"}, {"siren": 1_000}, {"times": 2}, {"cls": BulletinClass.EMERGENCY}],
)
def test_a_relay_of_anything_but_a_session_is_refused(make: Make, change: dict[str, Any]) -> None:
    rig = make(EVENING)
    rig.synchronise()
    bulletin = rig.kit.bulletin(Sound(Path(), "vov1", 60_000), id=RELAY, kind=ContentKind.RELAY)
    bulletin = replace(bulletin, **change)
    item = airing(bulletin, EVENING + 5_000, "news", EVENING + 65_000)
    rig.say(PROG, rig.kit.programme(item, signed={bulletin.id: rig.kit.signed(bulletin)}))
    assert rig.held.refused == {Reason.MALFORMED: 1}
    assert rig.held.items == ()
