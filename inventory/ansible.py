"""The network as an Ansible inventory, in the form of ``ansible-inventory --list``."""

from __future__ import annotations

from datetime import date
from typing import Any

from inventory import overlay
from inventory.model import Device, DeviceKind, Hamlet, Network, Tier, UnitId


def to_ansible(network: Network, on: date) -> dict[str, Any]:
    """Groups by kind, district, commune and profile of the devices in use on that date, and each host's variables.

    A district's group has its communes' groups as children; hosts are named by device id.
    """
    octet = int(network.overlay)
    groups: dict[str, dict[str, list[str]]] = {}
    hostvars: dict[str, dict[str, Any]] = {}
    for device in sorted(network.devices_on(on), key=lambda d: d.id):
        units = {network.units[u].tier: u for u in network.device_chain(device, on)}
        for group in _groups(device, units):
            groups.setdefault(group, {}).setdefault("hosts", []).append(device.id)
        commune, district = units.get(Tier.COMMUNE), units.get(Tier.DISTRICT)
        if commune is not None and district is not None:
            children = groups.setdefault(_group("district", district), {}).setdefault("children", [])
            if _group("commune", commune) not in children:
                children.append(_group("commune", commune))
        hostvars[device.id] = _variables(network, device, units, octet)
    inner = {child for group in groups.values() for child in group.get("children", ())}
    everything = {"children": ["ungrouped", *sorted(groups.keys() - inner)]}
    return {"_meta": {"hostvars": hostvars}, "all": everything, **dict(sorted(groups.items()))}


def variables(network: Network, device: Device, on: date) -> dict[str, Any]:
    """One host's variables, as ``to_ansible`` has them."""
    units = {network.units[u].tier: u for u in network.device_chain(device, on)}
    return _variables(network, device, units, int(network.overlay))


def _group(kind: str, name: str) -> str:
    """Group names are variable names to Ansible, so hyphens become underscores."""
    return f"{kind}_{name}".replace("-", "_")


def _groups(device: Device, units: dict[Tier, UnitId]) -> tuple[str, ...]:
    nearest = next((tier for tier in (Tier.COMMUNE, Tier.DISTRICT) if tier in units), None)
    place = [_group(nearest, units[nearest])] if nearest is not None else []
    return (_group("kind", device.kind), _group("profile", device.profile), *place)


def _variables(network: Network, device: Device, units: dict[Tier, UnitId], octet: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ansible_host": overlay.address(device.id, octet),
        "loa_device": device.id,
        "loa_kind": device.kind.value,
        "loa_profile": device.profile,
        "loa_name": device.name,
        "loa_uplink": device.uplink,
        "loa_serial": device.serial,
        "loa_public_key": device.public_key,
        "loa_volume": {
            "day": device.volume.day,
            "early": device.volume.early,
            "emergency": device.volume.emergency,
        },
        "loa_sound": device.sound or ("default" if device.kind is DeviceKind.LOUDSPEAKER else "none"),
        "loa_groups": list(network.groups_of(device)),
        "loa_in_service": device.in_service.isoformat(),
    }
    found |= {f"loa_{tier.value}": units.get(tier) for tier in Tier}
    found |= _place(device, network.hamlets.get(device.hamlet) if device.hamlet is not None else None)
    if device.size is not None:
        found["loa_board"] = {"size": device.size.value, "resolution": list(device.resolution or ())}
    return found


def _place(device: Device, hamlet: Hamlet | None) -> dict[str, Any]:
    found: dict[str, Any] = {"loa_hamlet": device.hamlet, "loa_languages": list(hamlet.languages) if hamlet else ["vi"]}
    if device.location is not None:
        found |= {"loa_latitude": device.location.latitude, "loa_longitude": device.location.longitude}
    return found
