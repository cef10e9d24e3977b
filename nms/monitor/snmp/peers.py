"""The SNMPv3 engines of the fleet: known while the hub runs, and what of them outlives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from inventory.model import DeviceId
from nms.monitor.snmp.usm import Peer, User

DRIFT: Final = 60.0
"""Seconds that an engine's clock may run away from what is kept of it before it is written again."""


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that has proven itself: its boots, and its seconds since boot at Unix time ``at``."""

    engine_id: bytes
    boots: int
    time: int
    at: float


class EngineMemory(Protocol):
    """Where engines outlive the process."""

    def load(self) -> Mapping[DeviceId, Engine]: ...

    def save(self, engines: Mapping[DeviceId, Engine]) -> bool:
        """Keeps these, besides those kept before; False if they must be given again."""
        ...


class Engines:
    """Every device's engine. Clocks that jump do no harm: at worst a device is asked once more."""

    def __init__(self, memory: EngineMemory | None, monotonic: Callable[[], float], wall: Callable[[], float]) -> None:
        self._memory = memory
        self._monotonic = monotonic
        self._wall = wall
        self._loaded = dict(memory.load()) if memory is not None else {}
        self._peers: dict[DeviceId, Peer] = {}
        self._kept: dict[DeviceId, tuple[bytes, int, float]] = {}

    def peer(self, device: DeviceId, user: User) -> Peer | None:
        """The device's engine with the keys of this user; None if it must be discovered."""
        peer = self._peers.get(device)
        if peer is not None and peer.user is user:
            return peer
        if peer is not None:
            self._peers[device] = peer = peer.of(user)
            return peer
        known = self._loaded.pop(device, None)
        if known is None:
            return None
        offset = known.time - known.at + self._wall() - self._monotonic()
        peer = Peer(user, known.engine_id, known.boots, known.time, known.time - offset, proven=True)
        self._peers[device] = peer
        self._kept[device] = (peer.engine_id, peer.boots, peer.offset)
        return peer

    def learn(self, device: DeviceId, peer: Peer) -> None:
        self._peers[device] = peer

    def keep(self) -> None:
        """Gives the memory what is new: engines, boots, clocks that drifted."""
        if self._memory is None:
            return
        news = {device: peer for device, peer in self._peers.items() if peer.proven and self._differs(device, peer)}
        shift = self._monotonic()
        at = self._wall()
        engines = {d: Engine(p.engine_id, p.boots, p.time(shift), at) for d, p in news.items()}
        if engines and self._memory.save(engines):
            self._kept.update({d: (p.engine_id, p.boots, p.offset) for d, p in news.items()})

    def _differs(self, device: DeviceId, peer: Peer) -> bool:
        kept = self._kept.get(device)
        if kept is None or kept[1] != peer.boots or abs(kept[2] - peer.offset) > DRIFT:
            return True
        return kept[0] != peer.engine_id
