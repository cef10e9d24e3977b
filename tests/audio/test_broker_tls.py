"""The real broker with the files that Loa writes: who may come in, who may read and write what, who may no longer."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId
from nms.provision import acl
from nms.provision.authority import Authority, init
from tests.audio.province import ON
from tests.audio.receiver_kit import until
from tests.audio.tls_kit import PASSPHRASE, Papers, TlsBroker, context, now

MINE, OTHERS = "23557-L02", "23560-L01"


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers.make(tmp_path)


@pytest.fixture
def broker(papers: Papers) -> Iterator[TlsBroker]:
    broker = TlsBroker(papers)
    yield broker
    broker.stop()


def read_topics(unit: str, device: str, group: str) -> list[str]:
    """Everything that is written for one device, its unit and its group."""
    plain = [f"prog/{unit}", f"now/u/{unit}/64", f"now/g/{group}/64", f"now/d/{device}/64"]
    return [f"loa/1/{topic}" for topic in (*plain, f"policy/{device}", f"set/{device}", f"ack/{device}")]


EVERYBODYS = ["loa/1/now/u/64/64", "loa/1/prog/622", "loa/1/now/u/622/64", "loa/1/time", "loa/1/live/x"]
NOBODYS = ["loa/1/enroll/key", "loa/1/dev/23557-L02/state", "loa/1/dev/23560-L01/state", "loa/1/new", "other"]


def test_a_device_reads_what_is_for_it_and_nothing_else(papers: Papers, broker: TlsBroker) -> None:
    mine = [*read_topics("23557", MINE, "riverside"), *EVERYBODYS]
    others = [*read_topics("23560", OTHERS, "elsewhere"), *NOBODYS]
    with closing(broker.client(papers.hub)) as hub:
        hub.say([*others[:3], *mine[:3]], retain=True)
        with closing(broker.client(papers.enrol(MINE))) as device:
            device.hear("#", "$SYS/#", *others)
            hub.say([*others, *mine, "loa/1/ack/23557-L02"])
            until(lambda: len(device.told) == 3 + len(mine) + 1, 60)
    assert {topic for topic, _ in device.told} == set(mine)


def test_a_device_writes_under_its_own_id_and_nowhere_else(papers: Papers, broker: TlsBroker) -> None:
    with closing(broker.client(papers.hub)) as hub, closing(broker.client(papers.enrol(MINE))) as device:
        hub.hear("loa/1/#")
        forbidden = [*read_topics("23557", MINE, "riverside"), *EVERYBODYS, f"loa/1/dev/{OTHERS}/receipt"]
        mine = [f"loa/1/dev/{MINE}/receipt", f"loa/1/dev/{MINE}/state"]
        device.say([*forbidden, "loa/1/enroll/key", *mine])
        until(lambda: len(hub.told) >= len(mine), 60)
    assert [topic for topic, _ in hub.told] == mine


def test_a_device_out_of_use_is_told_nothing_of_its_unit(papers: Papers, broker: TlsBroker) -> None:
    files = papers.enrol(MINE)
    device = papers.network.devices[DeviceId(MINE)]
    gone = {**papers.network.devices, device.id: replace(device, out_of_service=ON)}
    assert papers.authority.permit(replace(papers.network, devices=gone), ON)
    assert not papers.authority.permit(replace(papers.network, devices=gone), ON)
    broker.reload()
    with closing(broker.client(papers.hub)) as hub, closing(broker.client(files)) as told:
        told.hear("#")
        hub.say(["loa/1/prog/23557", "loa/1/now/g/riverside/64", f"loa/1/ack/{MINE}"])
        until(lambda: told.told, 60)
    assert [topic for topic, _ in told.told] == [f"loa/1/ack/{MINE}"]


def test_without_a_certificate_one_may_announce_a_key_and_hear_nothing(papers: Papers, broker: TlsBroker) -> None:
    assert not broker.greets(None)
    with closing(broker.client(papers.hub)) as hub, closing(broker.client(None, broker.enrolment_port)) as new:
        hub.hear("loa/1/#")
        new.hear("#")
        new.say(["loa/1/time", "loa/1/enroll/a/b", f"loa/1/dev/{MINE}/state", "loa/1/now/u/64/64", "loa/1/enroll/key"])
        hub.say(["loa/1/time", "loa/1/now/u/64/64"])
        until(lambda: len(hub.told) == 3, 60)
    assert hub.told[0][0] == "loa/1/enroll/key"
    assert new.told == []


def test_who_is_revoked_stays_outside_and_the_others_do_not(papers: Papers, broker: TlsBroker) -> None:
    lost, kept = papers.enrol(MINE), papers.enrol(OTHERS)
    assert broker.greets(lost)
    with closing(broker.client(lost)) as session:
        session.hear(f"loa/1/ack/{MINE}")
        revoked = papers.authority.revoke(MINE, now())
        assert not isinstance(revoked, Diagnostic)
        broker.reload()
        assert not broker.greets(lost)
        assert broker.greets(kept)
        # in the same second: the later of two lists counts
        assert not isinstance(papers.authority.revoke(OTHERS, now()), Diagnostic)
        broker.reload()
        assert not broker.greets(kept)
        assert broker.greets(papers.hub)
        # a session under way lives on until the broker is restarted
        assert not session.lost.is_set()
        broker.stop()
        assert session.lost.wait(60)
    broker.start()
    assert not broker.greets(lost)
    replaced = papers.enrol(MINE)
    assert broker.greets(replaced)


def test_who_is_revoked_cannot_take_up_an_old_session(papers: Papers, broker: TlsBroker) -> None:
    tls = context(papers.enrol(MINE), papers.root)
    first = broker.greet(tls)
    assert first is not None
    again = broker.greet(tls, first[0])
    assert again is not None
    assert again[1], "without resumption this test says nothing"
    assert not isinstance(papers.authority.revoke(MINE, now()), Diagnostic)
    broker.reload()
    assert broker.greet(tls, again[0]) is None


def test_expired_is_outside(papers: Papers, broker: TlsBroker) -> None:
    assert broker.greets(papers.aged(MINE, timedelta(minutes=1)))
    assert not broker.greets(papers.aged(MINE, timedelta(seconds=-1)))


def test_strangers_and_old_protocols_are_outside(papers: Papers, broker: TlsBroker, tmp_path: Path) -> None:
    stranger = Papers.make(tmp_path / "stranger")
    forged = stranger.enrol(MINE)
    assert not broker.greets(forged)
    assert broker.greets(papers.enrol(MINE))
    assert not broker.greets(papers.enrol(MINE), most=ssl.TLSVersion.TLSv1_2)
    assert not broker.greets(None, port=broker.enrolment_port, most=ssl.TLSVersion.TLSv1_2)
    assert broker.greets(None, port=broker.enrolment_port)
    # nor does a device take another's broker for its own
    assert not broker.greets(papers.enrol(MINE), ca=stranger.root)


def test_a_servers_certificate_is_no_clients_and_a_devices_no_servers(papers: Papers, broker: TlsBroker) -> None:
    pair = papers.authority.broker / acl.SERVER_PEM
    assert not broker.greets(replace(papers.hub, certificate=pair, key=pair))
    device = papers.enrol(MINE)
    broker.stop()
    pair.write_bytes(device.key.read_bytes() + device.certificate.read_bytes())
    broker.start()
    # the hub's own client would have to take the device for the broker
    assert not broker.greets(papers.hub)


def test_after_a_theft_of_the_hub_nothing_certified_before_counts(papers: Papers, broker: TlsBroker) -> None:
    before, state = papers.enrol(MINE), papers.folder / "hub"
    (state / "pki").rename(state / "stolen")
    assert init(state, papers.folder / "keys", PASSPHRASE, papers.network, now()) == ()
    authority = Authority.open(state)
    assert isinstance(authority, Authority)
    assert authority.hub_due(papers.network, 127, now())
    assert authority.certify_hub(papers.network, 127, now()) is None
    renewed = replace(papers, authority=authority)
    broker.stop()
    broker.start()
    assert not broker.greets(before)
    assert broker.greets(renewed.enrol(MINE))
