"""What was really heard, proven from the receivers' output files against the hub's as-run log."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audio.documents import Bulletin, decode
from audio.receiver.sound import siren
from inventory.model import DeviceId
from tests.sim.hearing import RATE, Recording, Sound, decoded, recording, similarity
from tests.sim.world import World
from tui.methods import BODY, AsRun, BulletinId

LEAST = 0.95
SHORTEST = 400
"""Milliseconds below which a segment is too short to be compared."""
SOUNDED = ("played", "partial")


@dataclass(frozen=True, slots=True)
class Heard:
    """How alike one receipt's segment is to what was published."""

    receipt: AsRun
    similarity: float


class Proof:
    """Compares segments with published sound; references are made once per bulletin and languages."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._network = world.network()
        self._references: dict[tuple[str, tuple[str, ...]], Sound] = {}

    def segments(self, receipts: Iterable[AsRun]) -> tuple[Heard, ...]:
        """The similarity of every segment that is long enough to be compared."""
        outputs: dict[str, Recording] = {}
        found = []
        for receipt in receipts:
            if receipt.result not in SOUNDED or receipt.ended - receipt.started < SHORTEST:
                continue
            if receipt.device not in outputs:
                outputs[receipt.device] = recording(self._world.output(receipt.device))
            heard = outputs[receipt.device].between(receipt.started, receipt.ended)
            found.append(Heard(receipt, similarity(self._expected(receipt), heard)))
        return tuple(found)

    def noise_outside(self, device: str, receipts: Iterable[AsRun]) -> int:
        """Samples of this device's output that are not silent although no receipt accounts for them."""
        output = recording(self._world.output(device))
        told = [
            (output.place(receipt.started) - RATE // 50, output.place(receipt.ended) + RATE // 20)
            for receipt in receipts
            if receipt.device == device and receipt.result in SOUNDED
        ]
        return output.sounding(0, told)

    def _expected(self, receipt: AsRun) -> Sound:
        hamlet = self._network.devices[DeviceId(receipt.device)].hamlet
        languages = self._network.hamlets[hamlet].languages if hamlet is not None else ("vi",)
        whole = self._reference(receipt.bulletin, languages)
        first = receipt.offset * RATE // 1000
        return whole[first : first + (receipt.ended - receipt.started) * RATE // 1000]

    def _reference(self, bulletin: str, languages: tuple[str, ...]) -> Sound:
        key = bulletin, languages
        if key not in self._references:
            body = base64.b64decode(self._world.ask(BODY, BulletinId(bulletin)).body)
            library = self._world.folder / "hub" / "content"
            self._references[key] = reference(decode(Bulletin, body), library, languages)
        return self._references[key]


def reference(bulletin: Bulletin, library: Path, languages: tuple[str, ...]) -> Sound:
    """What a device must put out for one round of this bulletin: siren, then the message as often as it says.

    An order is said in the listeners' languages, what is scheduled in its own.
    """
    said = bulletin.said(languages) if bulletin.siren or bulletin.follows else bulletin.voices[:1]
    message = np.concatenate([_exactly(decoded(library / v.content[:2] / v.content), v.duration) for v in said])
    alarm = np.frombuffer(siren(bulletin.siren), "<i2").astype(np.float64) if bulletin.siren else np.zeros(0)
    return np.concatenate([alarm, *[message] * bulletin.times])


def _exactly(sound: Sound, ms: int) -> Sound:
    wanted = ms * RATE // 1000
    return np.pad(sound, (0, max(0, wanted - len(sound))))[:wanted]


def by_bulletin(heard: Iterable[Heard]) -> Mapping[str, list[Heard]]:
    found: dict[str, list[Heard]] = {}
    for one in heard:
        found.setdefault(one.receipt.bulletin, []).append(one)
    return found
