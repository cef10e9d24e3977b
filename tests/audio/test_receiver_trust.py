"""What a device refuses of a hub, and of whoever speaks in its name."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from audio.documents import (
    Airing,
    Audience,
    Bulletin,
    BulletinClass,
    Now,
    Programme,
    encode,
)
from audio.envelope import Reason, b64
from audio.receiver.held import Held, PolicyRefused
from audio.receiver.journal import Journal
from audio.receiver.trust import topics
from tests.audio.agent_kit import NOW, PROG, Make, Rig, alarm, schedule
from tests.audio.receiver_kit import (
    DEVICE,
    EVENING,
    Kit,
    Signer,
    Sound,
    emergency,
)


def lies(rig: Rig, sounds: list[Sound]) -> dict[str, tuple[str, bytes, Reason]]:
    """What a hub could sign that its issuers, the policy or common sense do not allow."""
    kit, sound = rig.kit, sounds[2]
    normal = kit.bulletin(sound, id="n")
    storm = replace(kit.bulletin(sound, id="storm"), cls=BulletinClass.EMERGENCY)
    here = rig.clock.at

    def told(bulletin: Bulletin, signer: Signer, **changes: Any) -> bytes:
        order = emergency(kit, bulletin, here, here + 60_000, sound.data)
        return kit.orders(replace(order, **({"signed": kit.signed(bulletin, signer)} | changes)))

    def aired(bulletin: Bulletin, signed: str, name: str | None = None) -> bytes:
        one = Airing("x", name or bulletin.id, 0, here + 100, here + 60_000)
        return kit.programme(one, signed={name or bulletin.id: signed})

    elsewhere = kit.seal(PROG, encode(Programme("622", here, (), {})), kit.hub)
    allowed, malformed = Reason.NOT_ALLOWED, Reason.MALFORMED
    expired = kit.signed(normal, exp=here)
    return {
        "a normal bulletin as an emergency": (NOW, told(normal, kit.province), allowed),
        "a commune's emergency without that class": (NOW, told(storm, kit.commune), allowed),
        "an issuer from elsewhere": (NOW, told(storm, kit.foreign), allowed),
        "a bulletin signed by the hub": (NOW, told(storm, kit.hub), allowed),
        "a bulletin signed by a stranger": (NOW, told(storm, Signer("64", "issuer", ("64",))), Reason.UNKNOWN_KEY),
        "another bulletin's signature": (NOW, told(storm, kit.province, signed=kit.signed(normal)), Reason.WRONG_TOPIC),
        "another sound": (NOW, told(storm, kit.province, sounds=("AAAA",)), allowed),
        "a sound that is not base64": (NOW, told(storm, kit.province, sounds=("?",)), malformed),
        "no bulletin at all": (NOW, told(storm, kit.province, signed=""), malformed),
        "a bulletin that has expired": (PROG, aired(normal, expired), Reason.EXPIRED),
        "before its validity": (PROG, aired(n := replace(normal, valid_from=here + 999_999), kit.signed(n)), allowed),
        "a path as content": (PROG, aired(n := replace(normal, content="../x"), kit.signed(n)), malformed),
        "a negative length": (PROG, aired(n := replace(normal, duration=-1), kit.signed(n)), malformed),
        "too loud": (PROG, aired(n := replace(normal, volume=101), kit.signed(n)), malformed),
        "a bulletin not of its frame": (PROG, _renamed(kit, normal, here), allowed),
        "another unit's programme": (
            PROG,
            elsewhere,
            Reason.WRONG_TOPIC,
        ),
        "no document": (PROG, kit.seal(PROG, b"{}", kit.hub), malformed),
    }


def _renamed(kit: Kit, bulletin: Bulletin, here: int) -> bytes:
    frame = kit.seal("bulletin/other", encode(bulletin), kit.province)
    return kit.programme(Airing("x", "other", 0, here + 100, here + 60_000), signed={"other": b64(frame)})


def test_a_hub_cannot_make_a_device_play_what_issuers_did_not_allow(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    rig.shelf.put(sounds[2].content, sounds[2].data)
    for name, (topic, frame, reason) in lies(rig, sounds).items():
        before = rig.refused(reason)
        rig.say(topic, frame)
        assert rig.refused(reason) == before + 1, name
        rig.run(rig.clock.at + 500)
        assert not rig.ears.played, name


@pytest.mark.parametrize(
    "topic", ["loa/1/prog/23560", "loa/1/now/u/23560/64", "loa/1/now/d/23557-L02/64", "loa/1/ack/23557-L02", "loa/1/x"]
)
def test_what_is_not_for_this_device_is_refused(make: Make, sounds: list[Sound], topic: str) -> None:
    rig = make()
    order = alarm(rig, sounds[2])
    rig.say(topic, rig.kit.seal(topic, encode(Now((order,))), rig.kit.hub))
    assert rig.refused(Reason.WRONG_TOPIC) == 1
    assert not rig.ears.played


@pytest.mark.parametrize(
    ("audience", "target", "plays"),
    [
        (Audience(units=("622",)), "u/622", True),
        (Audience(groups=("riverside",)), "g/riverside", True),
        (Audience(devices=(DEVICE,)), f"d/{DEVICE}", True),
        (Audience(devices=("23557-L02",)), "u/64", False),
    ],
)
def test_an_order_reaches_units_groups_and_devices(
    make: Make, sounds: list[Sound], audience: Audience, target: str, plays: bool
) -> None:
    rig = make()
    order = alarm(rig, sounds[2], audience=audience)
    rig.say(f"loa/1/now/{target}/64", rig.kit.orders(order, target=target))
    assert bool(rig.ears.played) is plays
    assert not rig.held.refused


def test_a_replay_is_refused_across_a_reboot_and_a_repeat_is_no_news(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    old = rig.kit.orders(alarm(rig, sounds[2]))
    current = rig.kit.orders()
    rig.say(NOW, current)
    rig.crash()
    rig.say(NOW, old)
    rig.say(NOW, current)
    rig.say(NOW, b"")
    assert dict(rig.held.refused) == {Reason.REPLAYED: 1}
    assert not rig.ears.played


def test_an_emergency_known_while_the_document_before_it_is_held_is_taken_in_again(
    make: Make, sounds: list[Sound]
) -> None:
    """Power fails between admitting the emergency and saving it: what lies on the disk is the all-clear of before."""
    rig = make()
    rig.say(NOW, rig.kit.orders())
    before = {path: path.read_bytes() for path in (rig.folder / "held").glob("*.frame")}
    frame = rig.kit.orders(alarm(rig, sounds[2]))
    rig.say(NOW, frame)
    for path, old in before.items():
        path.write_bytes(old)
    rig.crash()
    rig.say(NOW, frame)
    assert not rig.held.refused
    assert [o.entry for o in rig.held.orders] == ["e-storm"]


def test_an_emergency_known_but_lost_before_it_was_saved_is_taken_in_again(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    frame = rig.kit.orders(alarm(rig, sounds[2]))
    rig.say(NOW, frame)
    for path in (rig.folder / "held").glob("*.frame"):
        path.unlink()
    rig.crash()
    rig.say(NOW, frame)
    assert not rig.held.refused
    assert [o.entry for o in rig.held.orders] == ["e-storm"]


def test_a_new_policy_revokes_and_resubscribes(make: Make, sounds: list[Sound]) -> None:
    rig = make()
    schedule(rig, sounds[0], EVENING + 60_000)
    policy = rig.kit.policy(units=("23557", "64"), groups=(), keys=(rig.kit.hub.policy_key(),))
    old = rig.kit.policy_frame()
    rig.say(f"loa/1/policy/{DEVICE}", rig.kit.policy_frame(policy))
    assert rig.held.items == ()
    assert rig.line.topics == frozenset(topics(policy))
    assert "loa/1/prog/622" not in rig.line.topics
    rig.say(f"loa/1/policy/{DEVICE}", old)
    assert rig.refused(Reason.REPLAYED) == 1
    rig.crash()
    assert rig.held.policy == policy


def test_only_the_root_makes_policies_for_this_device(make: Make) -> None:
    rig = make()
    topic = f"loa/1/policy/{DEVICE}"
    rig.say(topic, rig.kit.seal(topic, encode(rig.kit.policy(units=("99",))), rig.kit.hub))
    rig.say(topic, rig.kit.policy_frame(rig.kit.policy(device="other")))
    assert (rig.refused(Reason.UNKNOWN_KEY), rig.refused(Reason.NOT_ALLOWED)) == (1, 1)
    assert rig.held.policy.units[0] == "23557"


def test_a_pinned_policy_must_be_the_roots(make: Make) -> None:
    rig = make()
    rig.close()
    rig.pinned = Kit(rig.clock.now).policy_frame()
    with closing(Journal(rig.folder / "journal", 0)) as journal, pytest.raises(PolicyRefused):
        Held(DEVICE, rig.kit.root.public, rig.pinned, rig.folder / "held", journal, rig.time)
