"""The real program against a real broker: what residents hear is in the output file, sample by sample."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from audio.documents import EVERYTHING, Ack, Airing, BulletinClass, DeviceState, Receipt, Result, decode, encode
from audio.envelope import Reason
from audio.receiver.player import siren
from audio.receiver.sound import Round as SoundRound
from audio.receiver.sound import blocks
from tests.audio.receiver_kit import (
    DEVICE,
    EVENING,
    NIGHT,
    Broker,
    ContentServer,
    Kit,
    Sound,
    airing,
    content_server,
    emergency,
    make_sound,
    stop,
    until,
    write_config,
)


class Ear:
    """The hub's side of the broker: publishes retained documents, collects what one device says."""

    def __init__(self, broker: Broker) -> None:
        self.receipts: list[Receipt] = []
        self.states: list[DeviceState] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_message = self._on_message
        self._client.on_connect = self._on_connect
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe([(f"loa/1/dev/{DEVICE}/receipt", 1), (f"loa/1/dev/{DEVICE}/state", 1)])

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if not message.payload:
            return
        if message.topic.endswith("receipt"):
            self.receipts.append(decode(Receipt, bytes(message.payload)))
        else:
            self.states.append(decode(DeviceState, bytes(message.payload)))

    def say(self, topic: str, frame: bytes, *, retain: bool = True) -> None:
        self._client.publish(topic, frame, qos=1, retain=retain).wait_for_publish(5)

    @property
    def by_id(self) -> dict[str, Receipt]:
        return {r.id: r for r in self.receipts}

    def of(self, name: str) -> list[Receipt]:
        return [r for r in self.by_id.values() if r.airing == name]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@dataclass
class Device:
    """One receiver process with its own state and output."""

    folder: Path
    config: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "audio.receiver", "--config", str(self.config)]
            self.process = subprocess.Popen(command, stderr=log)

    def end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(10)

    def heard(self) -> tuple[np.ndarray[Any, np.dtype[np.int16]], int]:
        note = json.loads((self.folder / "out.pcm.json").read_bytes())
        return np.fromfile(self.folder / "out.pcm", dtype="<i2"), note["t0"]

    def at(self, start: int, ms: int) -> np.ndarray[Any, np.dtype[np.int16]]:
        samples, t0 = self.heard()
        place = (start - t0) * 48
        return samples[place : place + ms * 48]

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("content")


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[ContentServer]:
    with content_server(store) as server:
        yield server


def shifted(instant: int) -> tuple[Callable[[], int], str]:
    """A clock that shows ``instant`` now, and the same as the receiver's setting."""
    wall = time.time()
    seconds = instant // 1000
    shown = time.strftime("%Y-%m-%dT%H:%M:%S+07:00", time.gmtime(seconds + 7 * 3600))
    return lambda: int((time.time() - wall + seconds) * 1000), f"{shown}@{wall}"


@pytest.fixture
def world(broker: Broker, server: ContentServer, tmp_path: Path) -> Iterator[Callable[[int], tuple[Kit, Device, Ear]]]:
    started: list[tuple[Device, Ear]] = []

    def make(instant: int) -> tuple[Kit, Device, Ear]:
        now, clock = shifted(instant)
        kit = Kit(now)
        config = write_config(tmp_path, kit, broker=f"127.0.0.1:{broker.port}", content=server.base, clock=clock)
        device, ear = Device(tmp_path, config), Ear(broker)
        started.append((device, ear))
        device.start()
        until(lambda: any(s.online and s.at >= instant for s in ear.states))
        ear.say("loa/1/time", kit.time(), retain=False)
        return kit, device, ear

    yield make
    for device, ear in started:
        if device.process is not None and device.process.poll() is None:
            device.process.kill()
            device.process.wait()
        for topic in (f"loa/1/dev/{DEVICE}/state", "loa/1/prog/23557", "loa/1/prog/622", "loa/1/now/u/64/64", OWN):
            ear.say(topic, b"")
        ear.close()


def likeness(heard: Any, reference: Any) -> float:
    """Normalised correlation of two equally placed pieces of sound."""
    size = min(len(heard), len(reference))
    one, other = heard[:size].astype(float), reference[:size].astype(float)
    return float(one @ other / np.sqrt((one @ one) * (other @ other) + 1e-9))


def rendered(sound: Sound, offset: int = 0) -> Any:
    return np.frombuffer(b"".join(blocks(SoundRound(((sound.path, sound.duration),), offset=offset))), dtype="<i2")


def assert_heard(device: Device, receipt: Receipt, reference: Any) -> None:
    """The receipt's segment is in the output at its exact place, and what is there is the reference."""
    length = receipt.ended - receipt.started
    assert length > 0
    piece = device.at(receipt.started, length)
    expected = reference[receipt.offset * 48 : (receipt.offset + length) * 48]
    assert likeness(piece, expected) >= 0.95
    assert receipt.level is not None
    level = 10 * np.log10((piece.astype(float) ** 2).mean() / 32768**2)
    assert abs(receipt.level - level) < 0.2


def test_an_evening(world: Callable[[int], tuple[Kit, Device, Ear]], store: Path) -> None:
    first, second, alarm = make_sound(store, 5_000, 1), make_sound(store, 5_000, 2), make_sound(store, 1_000, 3)
    kit, device, ear = world(EVENING)
    begin = kit.now() + 1_500
    one, two = kit.bulletin(first), kit.bulletin(second)
    signed = {b.id: kit.signed(b) for b in (one, two)}
    ear.say(
        "loa/1/prog/23557", kit.programme(airing(one, begin, "one"), airing(two, begin + 10_000, "two"), signed=signed)
    )
    until(lambda: ear.states[-1].playing == "one")
    until(lambda: kit.now() > begin + 1_500)

    told = kit.now()
    warning = replace(
        kit.bulletin(alarm), cls=BulletinClass.EMERGENCY, siren=500, times=2, volume=100, id="storm", every=600_000
    )
    order = emergency(kit, warning, told, told + 60_000, alarm.data)
    ear.say("loa/1/now/u/64/64", kit.orders(order))
    until(lambda: ear.of(order.entry))
    ear.say("loa/1/now/u/64/64", kit.orders())
    until(lambda: len(ear.of("one")) == 2)

    (storm,) = ear.of(order.entry)
    before, after = ear.of("one")
    assert (before.offset, before.result, before.reason) == (0, Result.PARTIAL, "emergency")
    assert begin <= before.started
    assert (storm.result, storm.offset, storm.ended - storm.started) == (Result.PLAYED, 0, warning.round(("vi",)))
    assert (after.result, after.offset) == (Result.PLAYED, before.ended - before.started)
    assert before.ended <= storm.started
    assert storm.ended <= after.started
    assert after.ended - after.started + after.offset == one.duration
    assert_heard(device, before, rendered(first))
    assert_heard(device, after, rendered(first))
    round_ = np.frombuffer(siren(500), dtype="<i2")
    assert_heard(device, storm, np.concatenate([round_, rendered(alarm), rendered(alarm)]))
    assert not device.at(begin - 500, 500).any()
    assert not device.at(after.ended, 300).any()

    # power fails in the middle of the second item: it goes on after the restart, and nothing is lost or begun twice
    until(lambda: kit.now() > begin + 13_000)
    device.end(signal.SIGKILL)
    seen = set(ear.by_id)
    ear.receipts.clear()
    device.start()
    until(lambda: len(ear.of("two")) == 2)
    broken, rest = ear.of("two")
    assert seen <= set(ear.by_id)
    assert (broken.offset, broken.result, broken.reason) == (0, Result.PARTIAL, "restart")
    assert begin + 10_000 <= broken.started
    assert broken.ended > broken.started
    assert (rest.offset, rest.result) == (broken.ended - broken.started, Result.PLAYED)
    assert len(ear.of("one")) == 2
    assert_heard(device, broken, rendered(second))
    assert_heard(device, rest, rendered(second))

    ack = kit.seal(f"loa/1/ack/{DEVICE}", encode(Ack(tuple(ear.by_id))), kit.hub)
    ear.say(f"loa/1/ack/{DEVICE}", ack, retain=False)
    until(lambda: ear.states[-1].waiting == 0)
    assert device.end(signal.SIGTERM) == 0
    until(lambda: not ear.states[-1].online)
    ear.receipts.clear()
    device.start()
    until(lambda: ear.states[-1].online)
    assert ear.receipts == []


OWN = f"loa/1/now/d/{DEVICE}/23557"


def test_a_screaming_horn_is_silenced_and_heard_again(
    world: Callable[[int], tuple[Kit, Device, Ear]], store: Path
) -> None:
    sound, alarm = make_sound(store, 20_000, 21), make_sound(store, 1_000, 22)
    kit, device, ear = world(EVENING)
    begin = kit.now() + 1_000
    item = kit.bulletin(sound)
    ear.say("loa/1/prog/23557", kit.programme(airing(item, begin, "one"), signed={item.id: kit.signed(item)}))
    until(lambda: ear.states[-1].playing == "one")

    silenced = kit.now()
    ear.say(OWN, kit.orders(stop(silenced, silenced + 86_400_000, EVERYTHING), target=f"d/{DEVICE}", issuer="23557"))
    until(lambda: ear.of("one"))
    (cut,) = ear.of("one")
    assert (cut.result, cut.reason) == (Result.PARTIAL, "silenced")

    # an emergency comes: it is not heard here, not after a power cut either; then the horn is mended
    told = kit.now()
    warning = replace(kit.bulletin(alarm), cls=BulletinClass.EMERGENCY, volume=100, id="storm")
    order = emergency(kit, warning, told, told + 3_600_000, alarm.data)
    ear.say("loa/1/now/u/64/64", kit.orders(order))
    until(lambda: alarm.content in ear.states[-1].cached)
    device.end(signal.SIGKILL)
    device.start()
    back = kit.now()
    until(lambda: any(s.online and s.at > back for s in ear.states))
    until(lambda: kit.now() > back + 2_000)
    assert not ear.of(order.entry)
    assert not any(s.playing for s in ear.states if s.at > cut.ended + 1_000)

    mended = kit.now()
    ear.say(OWN, kit.orders(target=f"d/{DEVICE}", issuer="23557"))
    until(lambda: ear.of(order.entry))
    (storm,) = ear.of(order.entry)
    assert storm.result is Result.PLAYED
    assert storm.started >= mended
    assert_heard(device, storm, rendered(alarm))


@pytest.mark.slow
def test_an_alarm_that_comes_without_its_sound(
    world: Callable[[int], tuple[Kit, Device, Ear]], store: Path, tmp_path: Path
) -> None:
    alarm = make_sound(tmp_path / "elsewhere", 2_000, 31)
    kit, device, ear = world(NIGHT)
    told = kit.now()
    warning = replace(kit.bulletin(alarm), cls=BulletinClass.EMERGENCY, siren=10_000, times=2, volume=100, id="storm")
    order = emergency(kit, warning, told, told + 3_600_000)
    ear.say("loa/1/now/u/64/64", kit.orders(order))
    until(lambda: ear.states[-1].playing == order.entry)
    until(lambda: kit.now() > ear.states[-1].at + 1_000)
    # power fails in the middle of the siren: after the restart the rest of it sounds, and no second one
    device.end(signal.SIGKILL)
    device.start()
    until(lambda: len(ear.of(order.entry)) == 2, 60)
    broken, rest = ear.of(order.entry)
    assert (broken.offset, broken.result, broken.reason) == (0, Result.PARTIAL, "restart")
    assert (rest.offset, rest.result, rest.reason) == (broken.ended - broken.started, Result.PARTIAL, "no content")
    assert rest.offset + rest.ended - rest.started == warning.siren
    assert alarm.content not in ear.states[-1].cached

    (store / alarm.content).write_bytes(alarm.data)
    until(lambda: len(ear.of(order.entry)) == 3, 60)
    words = ear.of(order.entry)[-1]
    assert (words.repeat, words.offset, words.result, words.reason) == (0, warning.siren, Result.PLAYED, "")
    whole = np.concatenate([np.frombuffer(siren(warning.siren), dtype="<i2"), rendered(alarm), rendered(alarm)])
    for receipt in (broken, rest, words):
        assert_heard(device, receipt, whole)
    assert not device.at(rest.ended, words.started - rest.ended).any()


def test_a_night_of_forgeries(world: Callable[[int], tuple[Kit, Device, Ear]], store: Path) -> None:
    sound, alarm = make_sound(store, 2_000, 11), make_sound(store, 1_000, 12)
    kit, device, ear = world(NIGHT)
    now = kit.now()
    item = kit.bulletin(sound, id="lie")
    storm = replace(kit.bulletin(alarm), cls=BulletinClass.EMERGENCY, id="storm")
    programme = kit.programme(Airing("lie", "lie", 0, now + 500, now + 4_000), signed={"lie": kit.signed(item)})
    order = emergency(kit, storm, now, now + 60_000, alarm.data)
    stranger, torn = Kit(kit.now), kit.orders(order)
    frames = {
        Reason.UNKNOWN_KEY: ("loa/1/now/u/64/64", stranger.orders(order)),
        Reason.BAD_SIGNATURE: ("loa/1/now/u/64/64", torn[:-1] + bytes([torn[-1] ^ 1])),
        Reason.WRONG_TOPIC: ("loa/1/prog/622", programme),
        Reason.EXPIRED: ("loa/1/now/u/64/64", kit.orders(order, exp=now - 60_000)),
        Reason.MALFORMED: ("loa/1/now/u/64/64", b"PLAY"),
    }
    for topic, frame in frames.values():
        ear.say(topic, frame, retain=False)
    # signed by the hub, all of it; the issuer, or the hour, says no
    foreign = replace(order, entry="x1", signed=kit.signed(storm, kit.foreign))
    beyond = replace(order, entry="x2", signed=kit.signed(storm, kit.commune))
    disguised = replace(emergency(kit, item, now, now + 60_000, sound.data), entry="x3")
    exchanged = replace(order, entry="x4", sounds=disguised.sounds)
    ear.say("loa/1/now/u/64/64", kit.orders(foreign, beyond, disguised, exchanged), retain=False)
    ear.say("loa/1/prog/23557", programme)
    until(lambda: ear.of("lie"))
    refused = ear.of("lie")[0]
    assert (refused.result, refused.reason) == (Result.MISSED, "quiet hours")
    assert [s for s in ear.states if s.at >= NIGHT and s.playing] == []

    # the true one passes; sent again it is a replay
    true = kit.orders(replace(order, entry="true"))
    ear.say("loa/1/now/u/64/64", true)
    until(lambda: ear.of("true"))
    ear.say("loa/1/now/u/64/64", kit.orders())
    ear.say("loa/1/now/u/64/64", true, retain=False)
    until(lambda: (ear.states[-1].refused or {}).get(Reason.REPLAYED))
    counts = ear.states[-1].refused
    assert counts is not None
    assert {reason: counts[reason] for reason in frames} == dict.fromkeys(frames, 1)
    assert counts[Reason.NOT_ALLOWED] == 4
    assert {r.airing for r in ear.by_id.values()} == {"lie", "true"}
    heard, t0 = device.heard()
    (played,) = ear.of("true")
    quiet = heard.copy()
    quiet[(played.started - t0) * 48 : (played.ended - t0) * 48] = 0
    assert not quiet.any()
    assert "Traceback" not in device.log
