"""In which order devices are changed, and when to stop. Pure: everything follows from the results so far.

A rollout is its waves and its limit. Whoever carries one out asks for the step that follows from the results he has,
so that it goes on after any interruption where it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from inventory.model import Device, DeviceId, Network
from inventory.model import Rollout as Manner
from nms.provision.values import Outcome

HARMED: Final = frozenset({Outcome.FAILED, Outcome.LOST, Outcome.RESTORED})
"""What counts against the limit: the change did no good, whether or not the device came back by itself."""
OPEN: Final = frozenset({Outcome.WAITING, Outcome.RUNNING})


@dataclass(frozen=True, slots=True)
class Rollout:
    """Every device is in one wave. More than ``limit`` devices harmed end it."""

    waves: tuple[tuple[DeviceId, ...], ...]
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Wave:
    """The devices of wave ``number`` (from 0) that have no result yet."""

    number: int
    devices: tuple[DeviceId, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """Too many are harmed, the last of them in wave ``number`` (from 0); ``untouched`` stays as it is."""

    number: int
    harmed: tuple[DeviceId, ...]
    untouched: tuple[DeviceId, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """Every device has its result."""


Step = Wave | Stop | Done


def following(rollout: Rollout, results: Mapping[DeviceId, Outcome]) -> Step:
    """What to do now. A wave that has begun is finished first, even beyond the limit it is not begun anew."""
    harmed = tuple(d for wave in rollout.waves for d in wave if results.get(d) in HARMED)
    left = tuple(tuple(d for d in wave if results.get(d, Outcome.WAITING) in OPEN) for wave in rollout.waves)
    if len(harmed) > rollout.limit:
        last = max(n for n, wave in enumerate(rollout.waves) if not set(wave).isdisjoint(harmed))
        return Stop(last, harmed, tuple(d for wave in left for d in wave))
    return next((Wave(number, devices) for number, devices in enumerate(left) if devices), Done())


def arrange(network: Network, devices: Collection[DeviceId], manner: Manner) -> tuple[tuple[DeviceId, ...], ...]:
    """The waves: canaries first, then the sizes that the inventory gives, the last one repeated.

    A device and the modem it hangs behind are never in one wave: the one's restart would look like the other's loss.
    """
    known = [network.devices[d] for d in sorted(devices)]
    queue = [*_canaries(network, known, manner.canary)]
    first = len(queue)
    queue += [d for d in known if d not in queue]
    waves: list[tuple[DeviceId, ...]] = []
    for size in _sizes(first, manner.waves):
        if not queue:
            break
        taken, queue = _take(queue, size)
        waves.append(tuple(d.id for d in taken))
    return tuple(waves)


def _sizes(canaries: int, sizes: Sequence[int]) -> Iterator[int]:
    if canaries:
        yield canaries
    yield from sizes
    while True:
        yield sizes[-1]


def _canaries(network: Network, devices: Sequence[Device], count: int) -> Iterator[Device]:
    """One of each profile in turn, the commonest profile first; of each the one that is nearest to people.

    A commune's first devices stand at its office, where somebody can reach them; a modem that carries others makes
    them share its risk, so it comes last.
    """
    sizes = Counter(d.profile for d in devices)
    by_profile = {p: [d for d in devices if d.profile == p] for p, _ in sorted(sizes.items(), key=lambda i: (-i[1], i))}
    for profile in by_profile.values():
        profile.sort(key=lambda d: (len(network.behind(d.id)), d.id.rpartition("-")[2][1:], d.id))
    turns = max(sizes.values(), default=0)
    spread = [p[turn] for turn in range(turns) for p in by_profile.values() if turn < len(p)]
    return iter(_take(spread, count)[0])


def _take(queue: Iterable[Device], size: int) -> tuple[list[Device], list[Device]]:
    """The first ``size`` devices of which none hangs behind another, and the rest in its order."""
    taken: dict[DeviceId, Device] = {}
    uplinks: set[DeviceId] = set()
    rest: list[Device] = []
    for device in queue:
        if len(taken) >= size or device.id in uplinks or device.uplink in taken:
            rest.append(device)
            continue
        taken[device.id] = device
        if device.uplink is not None:
            uplinks.add(device.uplink)
    return list(taken.values()), rest
