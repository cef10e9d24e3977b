"""From a radio station to the loudspeaker: real sources, a real hub's session, broker and receiver process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from audio.documents import Bulletin, BulletinClass, ContentKind, Result
from audio.live.listeners import Listeners
from audio.live.session import Session, Signer
from audio.live.source import Source
from audio.live.wire import Wire
from nms.moments import from_milliseconds
from tests.audio.live_kit import RATE, likeness, make_programme, running, station
from tests.audio.receiver_kit import (
    DEVICE,
    EVENING,
    Broker,
    Kit,
    Sound,
    airing,
    emergency,
    make_sound,
    until,
    write_config,
)
from tests.audio.test_receiver_process import Device, Ear, shifted


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    running = Broker(tmp_path)
    yield running
    running.stop()


def relay(kit: Kit, session: str, ms: int) -> Bulletin:
    """The relay of a session as a province signs it."""
    return kit.bulletin(Sound(Path(), session, ms), id=f"relay-{session}", kind=ContentKind.RELAY)


async def wait(condition: Callable[[], object]) -> None:
    await asyncio.to_thread(until, condition, 60.0)


@pytest.mark.slow
async def test_a_relay_is_heard_at_its_instant_until_an_emergency_ends_it(tmp_path: Path, broker: Broker) -> None:
    programme, original = make_programme(tmp_path / "radio", 40, 21)
    alarm = make_sound(tmp_path, 1_000, 22)
    ms, clock = shifted(EVENING)
    kit = Kit(ms)
    wire = Wire("127.0.0.1", broker.port)
    config = write_config(tmp_path, kit, broker=f"127.0.0.1:{broker.port}", clock=clock)
    device = Device(tmp_path, config)
    signer = Signer(kit.hub.key, kit.hub.kid)
    with station(programme) as radio, closing(Ear(broker)) as ear:
        live = Session("vov1", [Source(radio.url)], signer, wire, Listeners(), lambda: from_milliseconds(ms()))
        async with running(wire.run(), live.run()):
            await asyncio.to_thread(device.start)
            await wait(lambda: any(s.online for s in ear.states))
            ear.say("loa/1/time", kit.time(), retain=False)
            bulletin = relay(kit, "vov1", 60_000)
            begin = kit.now() + 7_000
            item = airing(bulletin, begin, "news", begin + 60_000)
            ear.say("loa/1/prog/23557", kit.programme(item, signed={bulletin.id: kit.signed(bulletin)}))
            await wait(lambda: ear.states[-1].playing == "news")
            await wait(lambda: kit.now() > begin + 8_000)
            warning = replace(kit.bulletin(alarm), cls=BulletinClass.EMERGENCY, volume=100, id="storm")
            order = emergency(kit, warning, kit.now(), kit.now() + 60_000, alarm.data)
            ear.say("loa/1/now/u/64/64", kit.orders(order))
            await wait(lambda: ear.of(order.entry) and ear.of("news"))
            device.end(signal.SIGTERM)
    (news,) = ear.of("news")
    assert (news.result, news.reason, news.content) == (Result.PARTIAL, "emergency", "vov1")
    # a busy machine joins late, but never shifts a relay
    assert news.offset < 2_000
    assert abs(news.started - begin - news.offset) < 500
    (storm,) = ear.of(order.entry)
    assert storm.result is Result.PLAYED
    assert news.ended <= storm.started
    heard = news.ended - news.started
    assert heard >= 6_000
    alike, place = likeness(device.at(news.started + 1_000, heard - 2_000).astype(float), original)
    assert alike > 0.9, place / RATE
    assert not any(code.startswith("ENV") for code in ear.states[-1].refused or {})
    assert ear.states[-1].device == DEVICE
