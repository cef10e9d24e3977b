"""A resolved selection and what it finds on a date. ``inventory.select`` makes one from text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from inventory.model import Device, DeviceId, GroupId, Hamlet, Network, Tier, Unit, UnitId
from inventory.names import hamlet_names, key, unit_names

_Named = TypeVar("_Named", Unit, Hamlet)

UNIT_KEYS = tuple(tier.value for tier in Tier)

WORD = ""
"""The key of a term without a key: its values are folded words that ids and names begin with."""


@dataclass(frozen=True, slots=True)
class Term:
    """One condition, resolved: ``values`` are ids or words of ``key``; any of them holds, of a free word all."""

    key: str
    values: tuple[str, ...]
    positive: bool = True


@dataclass(frozen=True, slots=True)
class Selection:
    """``units`` or ``groups`` are set where these alone name the audience, so that it can be signed by them."""

    network: Network
    terms: tuple[Term, ...]
    units: tuple[UnitId, ...] | None
    groups: tuple[GroupId, ...] | None

    @property
    def needs_status(self) -> bool:
        """Whether ``devices`` has to be told the state of each device."""
        return any(term.key == "status" for term in self.terms)

    def devices(self, on: date, status: Callable[[DeviceId], str] | None = None) -> tuple[Device, ...]:
        """The devices in use on that date that every term accepts, in the order of their ids.

        Raises ValueError if ``needs_status`` and there is no ``status``.
        """
        if self.needs_status and status is None:
            raise ValueError("a selection by status needs the states of the devices")
        view = _View(self.network, on, status)
        found = (d for d in self.network.devices_on(on) if all(view.holds(t, d) is t.positive for t in self.terms))
        return tuple(sorted(found, key=lambda d: d.id))


class _View:
    """What a term asks of a device, on one date."""

    def __init__(self, network: Network, on: date, status: Callable[[DeviceId], str] | None) -> None:
        self._network = network
        self._on = on
        self._status = status
        self._chains: dict[UnitId | None, frozenset[str]] = {}
        self._texts: dict[str, str] = {}

    def holds(self, term: Term, device: Device) -> bool:
        if term.key in UNIT_KEYS:
            return not self._chain(device).isdisjoint(term.values)
        if term.key == "group":
            return any(self._in_group(GroupId(group), device) for group in term.values)
        if term.key == WORD:
            text = self._text(device)
            return all(f" {word}" in text for word in term.values)
        return self._value(term.key, device) in term.values

    def _value(self, name: str, device: Device) -> str | None:
        if name == "status":
            return self._status(device.id) if self._status is not None else None
        if name == "technology":
            return self._technology(device)
        value: str | None = getattr(device, "id" if name == "device" else name)
        return value

    def _technology(self, device: Device) -> str | None:
        """Of the station of the commune it stands in now, or of its own file's where a merged one has none."""
        stations = self._network.stations
        unit = self._network.unit_of(device, self._on)
        station = (stations.get(unit) if unit is not None else None) or stations.get(device.unit)
        return station.technology(self._on) if station is not None else None

    def _in_group(self, group: GroupId, device: Device) -> bool:
        found = self._network.groups[group]
        return device.id in found.devices or (device.hamlet is not None and device.hamlet in found.hamlets)

    def _chain(self, device: Device) -> frozenset[str]:
        unit = self._network.unit_of(device, self._on)
        if unit not in self._chains:
            self._chains[unit] = frozenset(self._network.chain(unit))
        return self._chains[unit]

    def _text(self, device: Device) -> str:
        """Ids and names by which a free word finds the device, each after a blank."""
        network = self._network
        parts = [device_text(device)]
        if device.hamlet is not None and device.hamlet in network.hamlets:
            parts.append(self._once(device.hamlet, hamlet_text, network.hamlets[device.hamlet]))
        parts.extend(self._once(u, unit_text, network.units[UnitId(u)]) for u in self._chain(device))
        return "".join(parts)

    def _once(self, name: str, text: Callable[[_Named], str], of: _Named) -> str:
        if name not in self._texts:
            self._texts[name] = text(of)
        return self._texts[name]


def device_text(device: Device) -> str:
    """What a free word finds a device by, each word after a blank."""
    return f" {key(device.id)} {key(device.name)}"


def hamlet_text(hamlet: Hamlet) -> str:
    return " ".join(("", key(hamlet.id), *sorted(hamlet_names(hamlet))))


def unit_text(unit: Unit) -> str:
    return " ".join(("", unit.id, unit.code, *sorted(unit_names(unit))))
