"""Which process polls which device. Pure: the same devices and number of parts give the same answer everywhere.

A modem and all that hangs behind it are one group and never parted. Groups are spread by jump consistent hash (Lamping
and Veach, 2014): each device is in exactly one part, parts are about equal, and with one part more or less only the
devices of that part move.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

from inventory.model import Device, DeviceId, Network
from nms.store.ownership import MOST_SHARDS

_FORM: Final = re.compile(r"([1-9]\d{0,3})/([1-9]\d{0,3})", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Shard:
    """Part ``index`` (from 1) of ``count``."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


WHOLE: Final = Shard(1, 1)


def parse(text: str) -> Shard | None:
    """``2/4``; None if it is not a part of at most ``MOST_SHARDS``."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    index, count = int(match[1]), int(match[2])
    return Shard(index, count) if index <= count <= MOST_SHARDS else None


def group(devices: Mapping[DeviceId, Device], device: DeviceId) -> DeviceId:
    """The topmost modem above a device, or the device itself; of modems in a circle the first by name."""
    passed: list[DeviceId] = [device]
    while (found := devices.get(passed[-1])) is not None and found.uplink is not None and found.uplink in devices:
        if found.uplink in passed:
            return min(passed[passed.index(found.uplink) :])
        passed.append(found.uplink)
    return passed[-1]


def home(group_id: str, count: int) -> Shard:
    """The part of ``count`` in which a group is polled."""
    digest = blake2b(group_id.encode(), digest_size=8, person=b"loa-shard").digest()
    return Shard(_jump(int.from_bytes(digest, "big"), count) + 1, count)


def homes(devices: Mapping[DeviceId, Device], count: int) -> dict[DeviceId, Shard]:
    """Every device's part of ``count``."""
    groups = {device: group(devices, device) for device in devices}
    of_group = {top: home(top, count) for top in set(groups.values())}
    return {device: of_group[top] for device, top in groups.items()}


def part(network: Network, shard: Shard) -> Network:
    """The network with only the devices of this part."""
    if shard.count == 1:
        return network
    where = homes(network.devices, shard.count)
    return replace(network, devices=MappingProxyType({i: d for i, d in network.devices.items() if where[i] == shard}))


def _jump(key: int, buckets: int) -> int:
    """The bucket of a 64-bit key: 0 .. buckets - 1."""
    bucket, following = -1, 0
    while following < buckets:
        bucket = following
        key = (key * 2862933555777941757 + 1) & 0xFFFF_FFFF_FFFF_FFFF
        following = int((bucket + 1) * ((1 << 31) / ((key >> 33) + 1)))
    return bucket
