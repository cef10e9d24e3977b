"""What was really heard, proven from the receivers' output files against the hub's as-run log."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audio.documents import Bulletin, decode
from audio.receiver.sound import siren
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
    """Compares segments with published sound; references are made once per bulletin."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._references: dict[str, Sound] = {}

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
        samples = np.array(output.samples)
        for receipt in receipts:
            if receipt.device == device and receipt.result in SOUNDED:
                first, last = ((t - output.t0) * RATE // 1000 for t in (receipt.started, receipt.ended))
                samples[max(0, first - RATE // 50) : max(0, last + RATE // 20)] = 0
        return int(np.count_nonzero(samples))

    def _expected(self, receipt: AsRun) -> Sound:
        whole = self._reference(receipt.bulletin)
        first = receipt.offset * RATE // 1000
        return whole[first : first + (receipt.ended - receipt.started) * RATE // 1000]

    def _reference(self, bulletin: str) -> Sound:
        if bulletin not in self._references:
            body = base64.b64decode(self._world.ask(BODY, BulletinId(bulletin)).body)
            self._references[bulletin] = reference(decode(Bulletin, body), self._world.folder / "hub" / "content")
        return self._references[bulletin]


def reference(bulletin: Bulletin, library: Path) -> Sound:
    """What a device must put out for one round of this bulletin: siren, then the message as often as it says."""
    message = decoded(library / bulletin.content[:2] / bulletin.content)
    wanted = bulletin.duration * RATE // 1000
    message = np.pad(message, (0, max(0, wanted - len(message))))[:wanted]
    alarm = np.frombuffer(siren(bulletin.siren), "<i2").astype(np.float64) if bulletin.siren else np.zeros(0)
    return np.concatenate([alarm, *[message] * bulletin.times])


def by_bulletin(heard: Iterable[Heard]) -> Mapping[str, list[Heard]]:
    found: dict[str, list[Heard]] = {}
    for one in heard:
        found.setdefault(one.receipt.bulletin, []).append(one)
    return found
