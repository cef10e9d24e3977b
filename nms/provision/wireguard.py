"""The hub's end of the tunnel, pure: which keys it accepts for which addresses, and how a device changes its key.

Every Linux device has a tunnel of its own, also behind a modem: its address must reach it whatever network it hangs on.
A device without a key of its own (a sign of another maker, one that is not enrolled yet) is reached through the tunnel
of the modem it hangs behind.

A device's new key: it makes one beside the old and tells it in its facts (``wireguard_next``). The hub accepts both,
but an address belongs to one key at a time (``wg(8)``, allowed-ips): the old one's until a handshake with the new one
is younger. The device puts its new key in place on probation; if that fails it comes back with the old one, whose
handshake is younger then. When the device has confirmed, its facts name the new key and no next one; with that key in
the inventory the old one is nobody's.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from ipaddress import IPv4Address
from typing import Final

from inventory import overlay
from inventory.model import Device, DeviceId, DeviceKind, Network

KEEPALIVE: Final = 25
"""Seconds between a device's signs of life: carriers forget an idle UDP mapping after 30."""

PublicKey = str


@dataclass(frozen=True, slots=True)
class Peer:
    """A key the hub accepts, and the addresses that are its. None: only heard, until its device uses it."""

    device: DeviceId
    key: PublicKey
    addresses: tuple[str, ...]


def is_key(text: str) -> bool:
    """Whether it is a key as ``wg`` writes it: 32 bytes in base64."""
    try:
        return len(base64.b64decode(text, validate=True)) == 32 and len(text) == 44
    except binascii.Error:
        return False


def peers(
    network: Network,
    on: date,
    octet: int,
    told: Mapping[DeviceId, Sequence[PublicKey]],
    handshakes: Mapping[PublicKey, int],
) -> tuple[Peer, ...]:
    """Every key that the hub accepts, by device; ``octet`` begins their addresses.

    ``told``: keys that devices named over a proven connection, present and next; those of devices with no key in the
    inventory count for nothing. ``handshakes``: the last one with each key, Unix seconds, 0 for never.
    """
    found: list[Peer] = []
    owners = _owners(network, on)
    for device in sorted(network.devices_on(on), key=lambda d: d.id):
        keys = _keys(device, told.get(device.id, ()), owners)
        if keys:
            present = max(keys, key=lambda key: handshakes.get(key, 0))  # the first of equals: the inventory's
            addresses = _addresses(network, device, on, octet)
            found.extend(Peer(device.id, key, addresses if key == present else ()) for key in keys)
    return tuple(found)


def _owners(network: Network, on: date) -> dict[PublicKey, DeviceId]:
    """Whose each key of the inventory is: the first device's that has it."""
    found: dict[PublicKey, DeviceId] = {}
    for device in sorted(network.devices_on(on), key=lambda d: d.id):
        if is_key(device.public_key):
            found.setdefault(device.public_key, device.id)
    return found


def _keys(device: Device, told: Iterable[PublicKey], owners: dict[PublicKey, DeviceId]) -> list[PublicKey]:
    """The inventory's first. What another device has already is refused: it would take that one's address."""
    if owners.get(device.public_key) != device.id:
        return []
    given = [key for key in dict.fromkeys((device.public_key, *told)) if is_key(key)]
    return [key for key in given if owners.setdefault(key, device.id) == device.id]


def _addresses(network: Network, device: Device, on: date, octet: int) -> tuple[str, ...]:
    """Its own, and behind a modem those of devices that have no tunnel."""
    carried = [device.id]
    if device.kind is DeviceKind.MODEM:
        behind = (network.devices[other] for other in network.behind(device.id))
        carried += [d.id for d in behind if d.in_use(on) and not is_key(d.public_key)]
    return tuple(sorted((overlay.address(one, octet) for one in carried), key=IPv4Address))


def duplicates(network: Network, on: date) -> Mapping[PublicKey, tuple[DeviceId, ...]]:
    """Keys that several devices in use have in the inventory: only the first of them can have a tunnel."""
    found: dict[PublicKey, list[DeviceId]] = {}
    for device in sorted(network.devices_on(on), key=lambda d: d.id):
        if is_key(device.public_key):
            found.setdefault(device.public_key, []).append(device.id)
    return {key: tuple(devices) for key, devices in found.items() if len(devices) > 1}


def config(found: Iterable[Peer]) -> str:
    """For ``wg syncconf``, which leaves peers that stay the same alone.

    The hub's own ``[Interface]`` must come before it: ``wg`` forgets a key and a port that are not named.
    """
    return "\n".join(line for peer in found for line in (*_lines(peer), ""))


def _lines(peer: Peer) -> Iterable[str]:
    yield f"# {peer.device}"
    yield "[Peer]"
    yield f"PublicKey = {peer.key}"
    if peer.addresses:
        yield f"AllowedIPs = {', '.join(f'{address}/32' for address in peer.addresses)}"


def handshakes(dump: str) -> Mapping[PublicKey, int]:
    """Unix seconds of the last handshake by key, from ``wg show INTERFACE latest-handshakes``.

    Raises ValueError for anything else.
    """
    pairs = [line.split("\t") for line in dump.splitlines()]
    if any(len(pair) != 2 or not is_key(pair[0]) for pair in pairs):
        raise ValueError("not what wg show latest-handshakes writes")
    return {key: int(at) for key, at in pairs}
