"""``make lab-vm``: a receiver that Loa has set up is heard on a sound card, at its time.

A virtual machine, fresh from its factory, takes its manifest over SSH as every device does. The hub plans a bulletin;
the other end of the card's loopback is recorded meanwhile and compared with what was published. No part of
``make test``: without a processor that runs machines it takes minutes.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from audio.documents import Result
from audio.library import Library
from audio.playout import Tried
from inventory.model import TIMEZONE, DeviceId, Role, Session
from nms.provision.values import Outcome
from nms.store import Store
from nms.store.tables import AiringRow, ReceiptRow
from tests.audio.province import AN, BINH, PROVINCE, Hub, draft
from tests.lab.image import MACHINE, image
from tests.lab.lab import Lab
from tests.lab.receiver_kit import awake, heard, mosquitto, playing
from tests.lab.town import Town
from tests.lab.vm import Machine
from tests.sim.hearing import RATE, Sound, decoded, similarity

SPEAKER = DeviceId("23557-L01")
ALIKE = 0.95
SLACK = 100
"""ms that the sound may be off its planned start, both ways, with the recorder's own delay in it."""
AHEAD = timedelta(seconds=40)
"""At least so long after the approval the bulletin is due: the sound is on the device by then."""
TECHNICIAN = replace(AN, roles=(Role.TECHNICIAN,))
_RECORDER = ("arecord", "-q", "-D", "plughw:Loopback,1", "-t", "raw", "-f", "S16_LE", "-r", str(RATE), "-c", "1")
_PERIOD = ("--period-time=10000", "--buffer-time=2000000")


@dataclass
class Ear:
    """What came out of the card so far; sample n sounded at ``began`` + n / 48 ms of the centre's clock."""

    parts: list[bytes] = field(default_factory=list)
    began: float = float("inf")
    taken: int = 0

    def hear(self, part: bytes, at: float) -> None:
        """A part has come: its last sample has sounded by then, and none comes before it has sounded."""
        self.parts.append(part)
        self.taken += len(part)
        self.began = min(self.began, at - self.taken / 2 / RATE)

    def between(self, start: float, end: float) -> Sound:
        """What sounded from ``start`` to ``end`` (Unix seconds)."""
        whole = b"".join(self.parts)
        samples = np.frombuffer(whole[: len(whole) // 2 * 2], "<i2").astype(np.float64)
        return samples[round((start - self.began) * RATE) : round((end - self.began) * RATE)]


@contextmanager
def recording(lab: Lab, machine: Machine) -> Iterator[Ear]:
    """The other end of the card, recorded in the machine by ALSA's own recorder."""
    ear, (reader, writer) = Ear(), os.pipe()
    process = lab.noc.popen(lab.ssh(machine, *_RECORDER, *_PERIOD), stdout=writer)
    os.close(writer)

    def listen() -> None:
        while part := os.read(reader, 65536):
            ear.hear(part, time.time())

    listening = threading.Thread(target=listen)
    listening.start()
    try:
        yield ear
    finally:
        process.terminate()
        process.wait()
        listening.join()
        os.close(reader)


@pytest.fixture
def machine(lab_image: Path) -> Iterator[tuple[Lab, Machine]]:
    assert lab_image.is_dir()
    say("the image", "made once; a few minutes")
    image(MACHINE)
    with Lab() as lab:
        began = time.monotonic()
        made = lab.machine(SPEAKER)
        made.wait(600)
        made.set_clock()
        kernel = made.exec(["uname", "-r"]).stdout.strip()
        say("the machine", f"Debian's kernel {kernel}, up after {time.monotonic() - began:.0f} s")
        yield lab, made


def say(what: str, how: str) -> None:
    print(f"lab-vm: {what}: {how}", flush=True)


def provisioned(lab: Lab, machine: Machine, folder: Path) -> Town:
    """A town with that one device, whose inventory leaves its sound as it is by default."""
    town = Town.of(lab, folder, [machine])
    devices = {name: replace(device, sound=None) for name, device in town.network.devices.items()}
    town.network = replace(town.network, devices=devices)
    town.enrol(machine)
    awake(town)
    return town


def test_a_provisioned_receiver_is_heard_on_its_sound_card(machine: tuple[Lab, Machine], tmp_path: Path) -> None:
    lab, host = machine
    town = provisioned(lab, host, tmp_path / "town")
    with mosquitto(town):
        began = time.monotonic()
        (result,) = town.apply(town.targets(), within=900).values()
        assert result.outcome is Outcome.APPLIED, result
        assert set(town.confirm(town.targets()).values()) == {None}
        say("provisioned", f"{time.monotonic() - began:.0f} s")
        settings = host.read("/etc/loa-receiver/receiver.toml")
        assert 'output = "alsa:default"' in settings
        with recording(lab, host) as ear:
            with lab.noc.entered():
                played = asyncio.run(evening(town, tmp_path))
            check(played, ear, host)


@dataclass(frozen=True)
class Played:
    """What was planned, what the device said of it, and of its test tone; times in Unix seconds."""

    content: Sound
    planned: float
    receipt: ReceiptRow
    tone: Tried


async def evening(town: Town, folder: Path) -> Played:
    with Store.open(folder / "loa.db") as store:
        async with playing(town, store) as hub:
            await heard(hub, lambda words: SPEAKER in words and words[SPEAKER].online, 300)
            return await programme(town, hub)


async def programme(town: Town, hub: Hub) -> Played:
    """A bulletin in a session that is about to begin; then the test tone."""
    due = (datetime.now(TIMEZONE) + AHEAD + timedelta(minutes=1)).replace(second=0, microsecond=0)
    session = Session(PROVINCE, "thử", due.timetz().replace(tzinfo=None), 3600.0)
    town.network = replace(town.network, sessions=(session,))
    bulletin, _ = await hub.push(draft(), approver=BINH)
    (airing,) = await hub.store.read(lambda s: list(s.scalars(select(AiringRow).filter_by(bulletin=bulletin))))
    assert airing.start == due
    say("planned", f"{due:%H:%M:%S}")
    async with asyncio.timeout(AHEAD.total_seconds() + 300):
        while True:
            told = await hub.store.read(lambda s: list(s.scalars(select(ReceiptRow).filter_by(bulletin=bulletin))))
            if told:
                break
            await asyncio.sleep(0.5)
    tone = await hub.playout.test_tone(TECHNICIAN, SPEAKER, False)
    assert isinstance(tone, Tried), tone
    assert told[0].content is not None
    path = Library(town.folder / "content").path(told[0].content)
    assert path is not None
    return Played(decoded(path), due.timestamp(), told[0], tone)


def check(played: Played, ear: Ear, host: Machine) -> None:
    """Prints what was measured; fails unless all of it is as it should be."""
    error = 1000 * host.clock_error()
    length, slack = len(played.content) / RATE, SLACK / 1000
    part = ear.between(played.planned - slack, played.planned + length + slack)
    alike = similarity(played.content, part, 2 * SLACK)
    off = lag(played.content, part) - SLACK
    receipt = played.receipt
    assert receipt.started is not None
    late = 1000 * (receipt.started.timestamp() - played.planned)
    say("heard", f"{length:.1f} s, correlation {alike:.3f}")
    say("start", f"{off:+.1f} ms of the plan in the centre's time; the machine's clock is {error:+.1f} ms of it")
    say("receipt", f"{receipt.result}, started {late:+.0f} ms of the plan; test tone {played.tone.result}")
    assert alike >= ALIKE
    assert abs(off) < SLACK
    assert (receipt.result, receipt.reason) == (Result.PLAYED, "")
    assert (played.tone.result, played.tone.reason) == (Result.PLAYED, "")
    unit = host.exec(["journalctl", "-u", "loa-receiver", "--no-pager", "-o", "cat"]).stdout
    assert "sound card" not in unit, unit


def lag(reference: Sound, part: Sound) -> float:
    """At how many ms of ``part`` the reference begins."""
    size = 1 << (len(reference) + len(part)).bit_length()
    spectrum = np.fft.rfft(part, size) * np.conj(np.fft.rfft(reference, size))
    return float(np.argmax(np.abs(np.fft.irfft(spectrum, size))[: len(part)])) * 1000 / RATE
