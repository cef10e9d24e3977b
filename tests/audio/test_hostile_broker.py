"""A broker in strangers' hands: the device plays nothing of what it sends, says so, and goes on with its timetable.

The real program against a peer that breaks the protocol at each of its steps, and against a real broker on which
somebody forges.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from audio.documents import Ack, Airing, BulletinClass, DeviceState, Receipt, Result, decode, encode
from audio.envelope import MAX_FRAME, Reason
from tests.audio import mqtt_peer as wire
from tests.audio.mqtt_peer import Peer, Script, Session
from tests.audio.receiver_kit import (
    DEVICE,
    EVENING,
    Broker,
    Kit,
    Sound,
    airing,
    content_server,
    emergency,
    make_sound,
    until,
    write_config,
)
from tests.audio.test_receiver_process import Device, Ear, assert_heard, rendered, shifted

pytestmark = pytest.mark.slow

NOW, PROGRAMME, OTHERS = "loa/1/now/u/64/64", "loa/1/prog/23557", "loa/1/prog/23560"
PATIENCE = 120.0
EVERY = 4_000
"""Milliseconds between two airings."""
LATEST = 10_000
"""Milliseconds within which one must be over."""
MEMORY = 96 * 2**10
"""KiB by which the program's memory may have grown at its highest."""
YESTERDAY = 24 * 3_600_000


# -- what a hostile broker does with one connection


def named(name: str, script: Script) -> Script:
    script.__name__ = name
    return script


def instead_of_welcome(name: str, *packets: bytes) -> Script:
    """Reads the device's CONNECT, answers with this, and hangs."""

    async def script(session: Session) -> None:
        await session.packet()
        await session.say(*packets)
        await session.until_gone(0.5)

    return named(name, script)


def after_welcome(name: str, *packets: bytes, seconds: float = 20.0) -> Script:
    """Behaves until the device has subscribed, then says this; ends when the device hangs up."""

    async def script(session: Session) -> None:
        await session.welcome()
        await session.say(*packets)
        await session.until_gone(seconds)

    return named(name, script)


async def at_once(session: Session) -> None:
    """Closes before anything is said."""


async def after_connect(session: Session) -> None:
    await session.packet()


async def after_subscribe(session: Session) -> None:
    await session.welcome()


async def endless(session: Session) -> None:
    """A packet of a quarter of a gigabyte, as much of it as the device takes."""
    await session.welcome()
    await session.say(wire.packet(wire.PUBLISH | 2, b"\0\x08loa/1/xx\0\1\0", wire.MOST_LENGTH))
    for _ in range(4_096):
        await session.say(bytes(65_536))


async def unreleased(session: Session) -> None:
    """Messages of QoS 2 that are never released, so that the device would have to keep them."""
    await session.welcome()
    for number in range(1, 2_000):
        await session.say(wire.publish(PROGRAMME, bytes(MAX_FRAME), 2, number))


def malformed() -> Iterator[Script]:
    """Packets that are no MQTT, each on a connection of its own: none of them may end the line for good."""
    size = random.Random(7)
    kinds = (wire.PUBLISH | 2, wire.PUBACK, wire.SUBACK, wire.CONNACK, wire.DISCONNECT, wire.PUBREL | 2)
    for kind in kinds:
        yield after_welcome(f"empty {kind:#x}", wire.packet(kind), wire.packet(0xF0), seconds=5)
    bodies = {
        "no UTF-8": wire.publish(b"\xff\xfe\xc0", b"x"),
        "half a surrogate": wire.publish(b"loa/\xed\xa0\x80", b"x"),
        "topic longer than the packet": wire.packet(wire.PUBLISH | 2, b"\xff\xffloa"),
        "properties longer than the packet": wire.publish(PROGRAMME, b"", properties=b"\x7f"),
        "unknown property": wire.publish(PROGRAMME, b"x", properties=b"\x02\x7d\x01"),
        "property of another packet": wire.publish(PROGRAMME, b"x", properties=b"\x03\x13\x00\x05"),
        "length without an end": bytes([wire.PUBLISH, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]),
        "reason that is none": wire.packet(wire.SUBACK, b"\0\1\0\x55") + wire.packet(wire.PUBACK, b"\0\1\x55\0"),
        "welcomed twice": wire.connack(),
        "noise": size.randbytes(65_536),
    }
    for name, body in bodies.items():
        yield after_welcome(name, body, wire.packet(0xF0), seconds=5)


def scripts(flood: Iterable[bytes]) -> list[Script]:
    refusals = [instead_of_welcome(f"refused {code:#x}", wire.connack(code)) for code in (0x80, 0x87, 0x97)]
    half = wire.publish(PROGRAMME, bytes(200))[:100]
    return [
        at_once,
        after_subscribe,
        after_connect,
        *refusals,
        instead_of_welcome("noise at once", random.Random(3).randbytes(4_096)),
        instead_of_welcome("half a welcome", wire.connack()[:2]),
        after_welcome("half a packet", half, seconds=1),
        after_welcome("flood", *flood, seconds=1),
        endless,
        unreleased,
        *malformed(),
    ]


# -- what it sends that is MQTT, and still is not for this device


def lies(kit: Kit, alarm: Sound, past: bytes) -> dict[str, list[tuple[str, bytes]]]:
    """By the reason with which each is to be refused: topic and frame."""
    now, stranger = kit.now(), Kit(kit.now)
    storm = replace(kit.bulletin(alarm), cls=BulletinClass.EMERGENCY, id="storm")
    order = emergency(kit, storm, now, now + 600_000, alarm.data)
    true = kit.orders(order, exp=now - 1)
    foreign = replace(order, entry="x1", signed=kit.signed(storm, kit.foreign))
    tampered = replace(order, entry="x2", sounds=(order.sounds[0][:-8] + "AAAAAAA=",))
    theirs = kit.programme(signed={}, unit="23560")
    return {
        Reason.UNKNOWN_KEY: [(NOW, stranger.orders(order)), (f"loa/1/ack/{DEVICE}", stranger_ack(stranger))],
        Reason.BAD_SIGNATURE: [(NOW, true[:-1] + bytes([true[-1] ^ 1]))],
        Reason.WRONG_TOPIC: [(PROGRAMME, theirs), (OTHERS, theirs), ("", theirs), ("loa/1/now/u/64", true)],
        Reason.EXPIRED: [(NOW, true)],
        Reason.REPLAYED: [(PROGRAMME, past)],
        Reason.MALFORMED: [(NOW, b"PLAY"), (NOW, b"LOA1" + b"\xff" * 500)],
        Reason.TOO_LARGE: [(NOW, bytes(MAX_FRAME + 1))],
        Reason.NOT_ALLOWED: [(NOW, kit.orders(foreign, tampered))],
    }


def stranger_ack(stranger: Kit) -> bytes:
    return stranger.seal(f"loa/1/ack/{DEVICE}", encode(Ack(("1", "2"))), stranger.hub)


def yesterday(kit: Kit, sound: Sound) -> bytes:
    """A programme of the day before, by which this sound would be on the air now."""
    past = Kit(lambda: kit.now() - YESTERDAY)
    past.root, past.hub, past.province = kit.root, kit.hub, kit.province
    item = past.bulletin(sound, id="old")
    return past.programme(Airing("old", "old", 0, kit.now(), kit.now() + 600_000), signed={"old": past.signed(item)})


# -- the device meanwhile


def programme(kit: Kit, sounds: Iterable[Sound], begin: int) -> tuple[bytes, list[Airing]]:
    items = [kit.bulletin(sound, id=f"b{number}") for number, sound in enumerate(sounds)]
    starts = {item.id: begin + number * EVERY for number, item in enumerate(items)}
    airings = [airing(item, starts[item.id], item.id, starts[item.id] + LATEST) for item in items]
    return kit.programme(*airings, signed={item.id: kit.signed(item) for item in items}), airings


def highest_memory(device: Device) -> int:
    """KiB that the program has had at its highest."""
    assert device.process is not None
    lines = Path(f"/proc/{device.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


async def eventually(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"it never happened: {what}"
        await asyncio.sleep(0.05)


def states(peer: Peer) -> list[DeviceState]:
    topic = f"loa/1/dev/{DEVICE}/state"
    return [decode(DeviceState, payload) for name, payload in peer.heard if name == topic]


def receipts(peer: Peer) -> dict[str, Receipt]:
    topic = f"loa/1/dev/{DEVICE}/receipt"
    return {r.id: r for r in (decode(Receipt, payload) for name, payload in peer.heard if name == topic)}


def assert_played(device: Device, found: Iterable[Receipt], airings: list[Airing], sounds: list[Sound]) -> None:
    """Each item once, whole, at its time, as it was published; and not a sample of anything else."""
    by_airing = {r.airing: r for r in found}
    assert by_airing.keys() == {a.airing for a in airings}
    heard, t0 = device.heard()
    rest = heard.copy()
    for one, sound in zip(airings, sounds, strict=True):
        receipt = by_airing[one.airing]
        assert (receipt.result, receipt.offset, receipt.reason) == (Result.PLAYED, 0, "")
        assert one.start <= receipt.started < one.start + EVERY
        assert_heard(device, receipt, rendered(sound))
        rest[(receipt.started - t0) * 48 : (receipt.ended - t0 + 20) * 48] = 0
    assert not rest.any()


async def test_whatever_a_hostile_broker_does_the_programme_is_heard(tmp_path: Path) -> None:
    sounds = [make_sound(tmp_path / "content", 1_000, seed) for seed in range(40, 48)]
    alarm = make_sound(tmp_path / "content", 1_000, 60)
    now, clock = shifted(EVENING)
    kit = Kit(now)
    with content_server(tmp_path / "content") as server:
        async with Peer(honest(kit)) as peer:
            config = write_config(tmp_path, kit, broker=f"127.0.0.1:{peer.port}", content=server.base, clock=clock)
            with started(Device(tmp_path, config)) as device:
                await eventually(lambda: states(peer), "the device speaks")
                past = yesterday(kit, alarm)
                frame, airings = programme(kit, sounds, kit.now() + 8_000)
                peer.then([honest(kit, frame)])
                await eventually(lambda: len(states(peer)[-1].cached) == len(sounds), "everything is fetched")
                before = highest_memory(device)
                wrong = lies(kit, alarm, past)
                flood = [wire.publish(*one) for reason in wrong for one in wrong[reason]]
                large = [wire.publish(NOW, random.Random(n).randbytes(MAX_FRAME)) for n in range(4)] * 50
                hostile = scripts([*flood, *large, *flood[:1] * 1_000])
                done = len(peer.done) + 1
                peer.then(hostile)
                await eventually(lambda: len(peer.done) >= done + len(hostile), "every hostility has been met")
                await eventually(lambda: len(receipts(peer)) >= len(airings), "every receipt has come")
                assert_refused(states(peer)[-1], wrong)
                assert_played(device, receipts(peer).values(), airings, sounds)
                assert highest_memory(device) - before < MEMORY
                assert "Traceback" not in device.log
                for broken in ("a packet of", "QoS 2", "it welcomes twice", "UnicodeDecodeError"):
                    assert broken in device.log
                assert await asyncio.to_thread(device.end, signal.SIGTERM) == 0


@contextmanager
def started(device: Device) -> Iterator[Device]:
    device.start()
    try:
        yield device
    finally:
        if device.process is not None and device.process.poll() is None:
            device.process.kill()
            device.process.wait()


def assert_refused(state: DeviceState, wrong: Mapping[str, list[tuple[str, bytes]]]) -> None:
    """Each lie is counted with its reason."""
    counts = state.refused or {}
    assert {reason: counts.get(reason, 0) for reason, sent in wrong.items() if counts.get(reason, 0) < len(sent)} == {}


def honest(kit: Kit, *programmes: bytes) -> Script:
    """A broker as it should be, on which this is retained."""

    async def script(session: Session) -> None:
        await session.welcome()
        await session.say(wire.publish("loa/1/time", kit.time()), *(wire.publish(PROGRAMME, p) for p in programmes))
        await session.serve()

    return named("honest", script)


def test_what_strangers_publish_and_what_is_tampered_with_is_not_heard(tmp_path: Path) -> None:
    """On a real broker, by a client that the access list has let in; and one sound is another than was signed."""
    sounds = [make_sound(tmp_path / "content", 1_000, seed) for seed in range(80, 84)]
    alarm, spoiled = make_sound(tmp_path / "content", 1_000, 90), sounds[1]
    now, clock = shifted(EVENING)
    kit = Kit(now)
    broker = Broker(tmp_path)
    ear = Ear(broker)
    try:
        with content_server(tmp_path / "content") as server:
            server.spoil.add(spoiled.content)
            config = write_config(tmp_path, kit, broker=f"127.0.0.1:{broker.port}", content=server.base, clock=clock)
            with started(Device(tmp_path, config)) as device:
                until(lambda: ear.states, PATIENCE)
                ear.say("loa/1/time", kit.time(), retain=False)
                past = yesterday(kit, alarm)
                frame, airings = programme(kit, sounds, kit.now() + 4_000)
                ear.say(PROGRAMME, frame)
                wrong = lies(kit, alarm, past)
                # a broker keeps to what the device asked for: its topics, and no packet larger than it takes
                del wrong[Reason.TOO_LARGE]
                wrong[Reason.WRONG_TOPIC] = wrong[Reason.WRONG_TOPIC][:1]
                for sent in wrong.values():
                    for topic, lie in sent:
                        ear.say(topic, lie, retain=False)
                ear.say(NOW, bytes(2 * MAX_FRAME))
                until(lambda: len(ear.by_id) >= len(airings), PATIENCE)
                until(lambda: (ear.states[-1].refused or {}).get(Reason.MALFORMED), PATIENCE)
                assert_refused(ear.states[-1], wrong)
                (missed,) = ear.of(airings[1].airing)
                assert (missed.result, missed.reason) == (Result.REFUSED, "no content")
                assert (ear.states[-1].refused or {})["content"] >= 1
                kept = [n for n in range(len(sounds)) if n != 1]
                heard = [r for r in ear.by_id.values() if r.id != missed.id]
                assert_played(device, heard, [airings[n] for n in kept], [sounds[n] for n in kept])
                assert "Traceback" not in device.log
                assert device.end(signal.SIGTERM) == 0
    finally:
        ear.close()
        broker.stop()
