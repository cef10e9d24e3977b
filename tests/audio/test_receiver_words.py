"""An order in the hamlet's languages, and the words that follow an alarm: where, how often, also after a power cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from audio.documents import Bulletin, BulletinClass, NowEntry, NowKind, Result, Voice
from audio.envelope import Reason, b64
from audio.receiver.sound import Round, blocks
from tests.audio.agent_kit import NOW, Rig
from tests.audio.receiver_kit import NIGHT, Sound, emergency, make_sound

Make = Callable[..., Rig]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sound, Sound, Sound]:
    """The message in Vietnamese and in Jrai, and the words that follow."""
    folder = tmp_path_factory.mktemp("sounds")
    vietnamese, jrai, words = (make_sound(folder, ms, seed) for seed, ms in ((11, 2_000), (12, 1_500), (13, 1_000)))
    return vietnamese, jrai, words


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    rigs: list[Rig] = []

    def rig(*languages: str) -> Rig:
        rig = Rig(tmp_path, NIGHT)
        rigs.append(rig)
        rig.synchronise()
        topic = f"loa/1/policy/{rig.kit.policy().device}"
        rig.say(topic, rig.kit.policy_frame(rig.kit.policy(languages=languages or ("vi",))))
        return rig

    yield rig
    for one in rigs:
        one.close()


def storm(rig: Rig, sounds: tuple[Sound, Sound, Sound], **changes: object) -> Bulletin:
    vietnamese, jrai, _ = sounds
    also = (Voice("jra", jrai.content, jrai.duration),)
    bulletin = rig.kit.bulletin(vietnamese, id="storm", cls=BulletinClass.EMERGENCY, siren=500, times=2, also=also)
    return replace(bulletin, **changes)  # type: ignore[arg-type] # fields by name


def alarm(rig: Rig, bulletin: Bulletin, *carried: Sound) -> NowEntry:
    order = emergency(rig.kit, bulletin, rig.clock.at, rig.clock.at + 600_000)
    return replace(order, sounds=tuple(b64(sound.data) for sound in carried))


def follow_up(rig: Rig, sound: Sound, **changes: object) -> NowEntry:
    values = {"cls": BulletinClass.EMERGENCY, "follows": "storm"} | changes
    bulletin = rig.kit.bulletin(sound, id="end", **values)
    return emergency(
        rig.kit, bulletin, rig.clock.at, rig.clock.at + 600_000, sound.data, kind=NowKind.FOLLOW_UP, entry="end"
    )


def heard(*sounds: Sound) -> bytes:
    return b"".join(blocks(Round(tuple((sound.path, sound.duration) for sound in sounds), 500, 2)))


@pytest.mark.parametrize(
    ("languages", "order"),
    [
        pytest.param(("jra", "vi"), (1, 0), id="both, in the hamlet's order"),
        pytest.param(("vi", "jra"), (0, 1), id="both, Vietnamese first"),
        pytest.param(("vi",), (0,), id="Vietnamese only"),
        pytest.param(("bdq", "jra"), (1,), id="what there is of it"),
        pytest.param(("bdq",), (0,), id="the main one where none is there"),
    ],
)
def test_a_round_is_said_in_the_hamlets_languages(
    make: Make, sounds: tuple[Sound, Sound, Sound], languages: tuple[str, ...], order: tuple[int, ...]
) -> None:
    rig = make(*languages)
    bulletin = storm(rig, sounds)
    rig.say(NOW, rig.kit.orders(alarm(rig, bulletin, *sounds[:2])))
    rig.run(NIGHT + 30_000)
    assert rig.ears.played == [heard(*(sounds[n] for n in order))]
    (receipt,) = rig.receipts
    assert (receipt.result, receipt.ended - receipt.started) == (Result.PLAYED, bulletin.round(languages))


def test_an_alarm_does_not_wait_for_a_language_that_had_no_room(make: Make, sounds: tuple[Sound, Sound, Sound]) -> None:
    rig = make("jra", "vi")
    vietnamese, jrai, _ = sounds
    rig.say(NOW, rig.kit.orders(alarm(rig, storm(rig, sounds, every=20_000), vietnamese)))
    assert rig.shelf.wanted == {jrai.content: 0}
    assert rig.state.playing == "e-storm"
    rig.run(NIGHT + 19_000)
    rig.shelf.put(jrai.content, jrai.data)
    rig.run(NIGHT + 30_000)
    assert rig.ears.played == [heard(vietnamese), heard(jrai, vietnamese)]
    assert [(r.repeat, r.result) for r in rig.receipts] == [(0, Result.PLAYED), (1, Result.PLAYED)]


def test_a_language_that_nobody_speaks_here_is_not_fetched(make: Make, sounds: tuple[Sound, Sound, Sound]) -> None:
    rig = make("vi")
    rig.say(NOW, rig.kit.orders(alarm(rig, storm(rig, sounds), sounds[0])))
    assert rig.shelf.wanted == {}


def test_the_end_is_told_once_where_the_alarm_was_heard_also_after_a_power_cut(
    make: Make, sounds: tuple[Sound, Sound, Sound]
) -> None:
    rig = make()
    rig.say(NOW, rig.kit.orders(alarm(rig, storm(rig, sounds), sounds[0])))
    rig.run(NIGHT + 10_000)
    rig.crash(5_000)
    end = rig.kit.orders(follow_up(rig, sounds[2]))
    rig.say(NOW, end)
    assert rig.state.playing == "end"
    rig.run(NIGHT + 60_000)
    (played,) = rig.ears.played
    assert len(played) == 1_000 * 96  # no siren, said once
    rig.crash(1_000)
    rig.say(NOW, end)
    rig.run(NIGHT + 900_000)
    assert rig.ears.played == []
    assert rig.receipts == [] or {r.airing for r in rig.receipts} <= {"e-storm", "end"}
    assert sum(r.airing == "end" for r in rig.receipts) <= 1


def test_the_end_is_not_told_where_the_alarm_was_not_heard_and_nothing_is_reported(
    make: Make, sounds: tuple[Sound, Sound, Sound]
) -> None:
    rig = make()
    rig.say(NOW, rig.kit.orders(follow_up(rig, sounds[2])))
    rig.run(NIGHT + 900_000)
    assert rig.ears.played == []
    assert rig.receipts == []


def test_a_correction_cuts_the_alarm_that_it_corrects(make: Make, sounds: tuple[Sound, Sound, Sound]) -> None:
    rig = make()
    rig.say(NOW, rig.kit.orders(alarm(rig, storm(rig, sounds), sounds[0])))
    rig.run(NIGHT + 2_000)
    rig.say(NOW, rig.kit.orders(follow_up(rig, sounds[2])))
    rig.run(NIGHT + 60_000)
    assert [(r.airing, r.result, r.reason) for r in rig.receipts] == [
        ("e-storm", Result.PARTIAL, "follow_up"),
        ("end", Result.PLAYED, ""),
    ]


def test_the_end_of_a_drill_waits_for_the_morning(make: Make, sounds: tuple[Sound, Sound, Sound]) -> None:
    rig = make()
    rig.say(NOW, rig.kit.orders(alarm(rig, storm(rig, sounds), sounds[0])))
    rig.run(NIGHT + 10_000)
    rig.say(NOW, rig.kit.orders(follow_up(rig, sounds[2], cls=BulletinClass.PRIORITY)))
    rig.run(NIGHT + 30_000)
    assert len(rig.ears.played) == 1


@pytest.mark.parametrize(
    ("follows", "kind"), [("", NowKind.FOLLOW_UP), ("storm", NowKind.EMERGENCY), ("storm", NowKind.DRILL)]
)
def test_a_hub_cannot_take_a_correction_for_an_alarm_nor_an_alarm_for_a_correction(
    make: Make, sounds: tuple[Sound, Sound, Sound], follows: str, kind: NowKind
) -> None:
    rig = make()
    rig.say(NOW, rig.kit.orders(replace(follow_up(rig, sounds[2], follows=follows), kind=kind)))
    rig.run(NIGHT + 10_000)
    assert rig.refused(Reason.NOT_ALLOWED) == 1
    assert rig.ears.played == []


def test_two_voices_of_one_language_are_refused(make: Make, sounds: tuple[Sound, Sound, Sound]) -> None:
    rig = make()
    also = (Voice("vi", sounds[1].content, sounds[1].duration),)
    rig.say(NOW, rig.kit.orders(alarm(rig, storm(rig, sounds, also=also))))
    assert rig.refused(Reason.MALFORMED) == 1
