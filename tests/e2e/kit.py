"""What the end-to-end tests have in common: short sounds, bulletins by the verbs, evidence from what came out."""

from __future__ import annotations

import json
import time
import wave
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from inventory.model import DeviceId, DeviceKind
from tests.sim.hearing import RATE, recording
from tests.sim.proof import LEAST, SOUNDED, Proof
from tests.sim.world import Broken, World
from tui.methods import AS_RUN, BULLETINS, AsRun, BulletinRow, Find, Since

T = TypeVar("T")

DEADLINE = 120.0
"""Seconds after which something that must happen counts as not happening, however busy the machine is."""
JOINT = 25
"""Milliseconds by which a remainder may begin before or after the place where the sound was cut."""


def until(condition: Callable[[], T], what: str, timeout: float = DEADLINE) -> T:
    """The condition's first true value; Broken, saying what was waited for, when there is none in time."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise Broken(f"not in {timeout} s: {what}")
        time.sleep(0.05)
    return found


@contextmanager
def running(
    folder: Path, receivers: Sequence[str], start: str = "", poll: str = "3s", units: Sequence[str] = ()
) -> Iterator[World]:
    """A world with everything started; ``start`` empty: half a minute before the evening session."""
    world = World(folder, tuple(DeviceId(d) for d in receivers), poll=poll, units=tuple(units))
    world.start = start or world.start
    with world:
        world.start_broker()
        world.start_fleet()
        world.start_hub()
        for device in world.receivers:
            world.start_receiver(device)
        yield world


def restart(world: World, names: Iterable[str]) -> None:
    """Start these parts (killed before) again."""
    for name in names:
        if name == "hub":
            world.start_hub()
        elif name == "broker":
            world.start_broker()
        else:
            world.start_receiver(DeviceId(name))


def kill(world: World, names: Iterable[str]) -> None:
    for name in names:
        world.kill(name)


def router(world: World, avoid: str = "") -> tuple[str, tuple[str, ...]]:
    """The modem (not ``avoid``) that most devices in use hang on, and those devices."""
    network = world.network()
    used = {d.id for d in network.devices_on(network.on(date.min))}
    modems = [m.id for m in network.devices.values() if m.kind is DeviceKind.MODEM and m.id in used]
    behind = {m: tuple(sorted(set(network.behind(m)) & used)) for m in modems}
    best = max((m for m in modems if m != avoid), key=lambda m: (len(behind[m]), m))
    return best, behind[best]


# -- bulletins


def melody(folder: Path, seconds: float, number: int) -> Path:
    """A recording that is like no other ``number``'s: a gliding, trembling tone."""
    at = np.arange(int(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * (260 + 55 * number + (20 + 7 * number) * at) * at)
    samples = (0.4 * 32767 * tone * (0.6 + 0.4 * np.sin(2 * np.pi * (2 + number) * at))).astype("<i2")
    path = folder / f"melody-{number}.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return path


def push(world: World, origin: str, cls: str, title: str, *content: str, user: str = "") -> str:
    """Hand in a bulletin as the unit's editor, or as ``user``; its id."""
    rests_on = () if cls == "normal" else ("--authority", "CV 12/UBND")
    what = ("--origin", origin, "--class", cls, "--title", title, *rests_on, *content)
    return world.loa("push", *what, user=user or f"{unit_user(origin)}.editor").strip()


def approve(world: World, origin: str, bulletin: str, user: str = "") -> dict[str, Any]:
    """Approve as the unit's leader, or as ``user``; the verb's answer."""
    said = world.loa("approve", "--yes", "--json", bulletin, user=user or f"{unit_user(origin)}.approver")
    answer: dict[str, Any] = json.loads(said)
    return answer


def unit_user(unit: str) -> str:
    """How the sample names the accounts of a unit's people."""
    if unit == "64":
        return "p"
    return f"d{unit}" if len(unit) == 3 else f"c{unit}"


def listed(world: World, bulletin: str) -> BulletinRow:
    """The bulletin as the hub lists it."""
    rows = [r for r in world.ask(BULLETINS, Find()).bulletins if r.id == bulletin]
    assert len(rows) == 1, f"{bulletin} is listed {len(rows)} times"
    return rows[0]


# -- what was heard


def as_run(world: World) -> tuple[AsRun, ...]:
    return world.ask(AS_RUN, Since(0)).receipts


def receipts(world: World, bulletin: str) -> tuple[AsRun, ...]:
    return tuple(r for r in as_run(world) if r.bulletin == bulletin)


def played(world: World, bulletin: str) -> set[str]:
    """Devices whose receipt says that they came to the end of it."""
    return {r.device for r in receipts(world, bulletin) if r.result == "played"}


def sounded(world: World, device: str, since: int) -> int:
    """Milliseconds of sound (silence not counted) that have come out of a device since then (Unix ms)."""
    path = world.output(device)
    if not path.exists():
        return 0
    heard = recording(path)
    return heard.sounding(max(0, heard.place(since))) * 1000 // RATE


def wait_sounding(world: World, devices: Iterable[str], since: int, least: int = 1000) -> None:
    """Until every one of these devices has put out ``least`` ms of sound since then."""
    wanted = tuple(devices)
    until(lambda: all(sounded(world, d, since) >= least for d in wanted), f"{wanted} sound for {least} ms")


def wait_played(world: World, bulletin: str, devices: Iterable[str]) -> None:
    """Until the hub has a receipt from each of them that says they played it to its end."""
    wanted = set(devices)
    until(lambda: played(world, bulletin) >= wanted, f"receipts of {bulletin} from {sorted(wanted)}")


def wait_fetched(world: World, sounds: dict[str, int]) -> None:
    """Until every device holds at least so many sounds of bulletins."""

    def held(device: str) -> int:
        return len(list((world.folder / "receivers" / device / "state" / "content").glob("?" * 64)))

    until(lambda: all(held(device) >= least for device, least in sounds.items()), "everything is fetched")


def check_heard(world: World, bulletin: str, devices: Iterable[str]) -> None:
    """It was heard by exactly these devices, as it was published, and began once on each."""
    # what a device sent while the hub was away comes again, later than what it has sent since
    until(lambda: not begun_again(r for r in receipts(world, bulletin) if r.result in SOUNDED), "every part is told")
    found = receipts(world, bulletin)
    parts = [r for r in found if r.result in SOUNDED]
    assert {r.device for r in parts} == set(devices)
    check_begun_once(parts)
    similar = {(h.receipt.device, h.receipt.offset): h.similarity for h in Proof(world).segments(parts)}
    assert {device for device, _ in similar} == set(devices)
    assert min(similar.values()) >= LEAST, similar


def check_begun_once(parts: Iterable[AsRun]) -> None:
    """Every start but the first of an item goes on where the one before was cut."""
    wrong = begun_again(parts)
    assert not wrong, f"began again: {wrong}"


def begun_again(parts: Iterable[AsRun]) -> list[AsRun]:
    """Those that do not go on where the one before them was cut, as far as it has been told."""
    by_item: dict[tuple[str, str, int], list[AsRun]] = {}
    for part in sorted(parts, key=lambda r: (r.started, r.offset)):
        by_item.setdefault((part.device, part.airing, part.repeat), []).append(part)
    wrong = []
    for segments in by_item.values():
        ends = [0, *(s.offset + s.ended - s.started for s in segments)]
        wrong += [s for s, end in zip(segments, ends, strict=False) if abs(s.offset - end) > JOINT]
    return wrong


def check_silence(world: World) -> None:
    """No device made a sound that no receipt accounts for."""
    log = as_run(world)
    proof = Proof(world)
    noisy = {d: n for d in world.receivers if (n := proof.noise_outside(d, log))}
    assert not noisy, f"samples without a receipt: {noisy}; {[r for r in log if r.device in noisy]}"


# -- the broker, as anybody on it sees it


@dataclass(frozen=True, slots=True)
class Seen:
    topic: str
    payload: bytes
    retained: bool


@contextmanager
def listening(world: World, *topics: str) -> Iterator[list[Seen]]:
    """What comes on these topics, as a list that grows."""
    seen: list[Seen] = []

    def connected(client: mqtt.Client, *_: object) -> None:
        client.subscribe([(topic, 1) for topic in topics])

    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_connect = connected
    client.on_message = lambda _client, _data, m: seen.append(Seen(m.topic, bytes(m.payload), m.retain))
    client.connect("127.0.0.1", world.mqtt_port)
    client.loop_start()
    try:
        yield seen
    finally:
        client.disconnect()
        client.loop_stop()
