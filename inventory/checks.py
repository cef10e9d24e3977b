"""Rules that hold across files. Each yields findings; none reads a file or raises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from inventory import overlay
from inventory.check_grid import GRID_CHECKS
from inventory.check_grid import references as grid_references
from inventory.check_scripts import SCRIPT_CHECKS
from inventory.check_units import UNIT_CHECKS
from inventory.check_work import WORK_CHECKS
from inventory.codes import Finding, guess, shown, some
from inventory.diagnostics import Place
from inventory.model import Device, DeviceId, DeviceKind, Hamlet, Network, Target, Tier, UnitId

RECEIVER = "loa-receiver"
"""The family that Loa's own receiver runs on: only there it is Loa that plays."""


@dataclass(frozen=True, slots=True)
class Site:
    """One file of a folder of sites: the unit it says it is about, and the tier its folder is for."""

    unit: UnitId
    tier: Tier
    place: Place
    has_station: bool


@dataclass(frozen=True, slots=True)
class Draft:
    """What could be read: ``network`` of whole records, ``declared`` ids of broken ones too, ``unread`` files."""

    network: Network
    place: Place
    sites: tuple[Site, ...]
    declared: set[str]
    unread: frozenset[str]


class Guesses:
    """Nearest known ids. Searching is slow, so only the first hundred unknown ids get a guess."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __call__(self, value: str, known: Iterable[str]) -> str:
        if value not in self._known and len(self._known) < 100:
            self._known[value] = guess(value, known)
        return self._known.get(value, "")


def check(draft: Draft) -> Iterator[Finding]:
    """Every finding of every rule."""
    guesses = Guesses()
    yield from _sites(draft)
    if "units.yaml" not in draft.unread:
        yield from _unit_references(draft, guesses)
    for rule in UNIT_CHECKS:
        yield from rule(draft.network)
    yield from _devices(draft, guesses)
    yield from _members(draft, guesses)
    yield from _addresses(draft.network)
    for simple in (_quiet_hours, *GRID_CHECKS, _users, _sums, *WORK_CHECKS, *SCRIPT_CHECKS):
        yield from simple(draft.network)


def _sites(draft: Draft) -> Iterator[Finding]:
    first: dict[UnitId, Place] = {}
    for site in draft.sites:
        if site.unit in first:
            fields = {"unit": site.unit, "first": str(first[site.unit])}
            yield Finding("INV307", site.place, ("unit",), fields, (first[site.unit],))
        first.setdefault(site.unit, site.place)
        unit = draft.network.units.get(site.unit)
        if unit is not None and unit.tier is not site.tier:
            yield _wrong_tier(site.place, ("unit",), site.unit, unit.tier, site.tier)
        elif site.has_station and site.tier is not Tier.COMMUNE:
            yield _wrong_tier(site.place, ("station",), site.unit, site.tier, Tier.COMMUNE)


def _wrong_tier(place: Place, path: tuple[str | int, ...], unit: str, tier: Tier, expected: Tier) -> Finding:
    return Finding("INV206", place, path, {"id": unit, "tier": tier, "expected": expected})


Reference = tuple[str, Place, tuple[str | int, ...], str, Mapping[str, str]]
"""Code if it is unknown, where, path, the id referred to, further fields."""


def _references(draft: Draft) -> Iterator[Reference]:
    network = draft.network
    if network.province:
        yield "INV102", draft.place, ("province",), network.province, {}
    for unit in network.units.values():
        if unit.parent is not None:
            yield "INV102", unit.place, ("parent",), unit.parent, {}
        for i, predecessor in enumerate(unit.predecessors):
            yield "INV102", unit.place, ("predecessors", i), predecessor, {}
    for site in draft.sites:
        yield "INV102", site.place, ("unit",), site.unit, {}
    implied = {site.unit for site in draft.sites}
    for hamlet in network.hamlets.values():
        for i, membership in enumerate(hamlet.memberships):
            if membership.unit not in implied:
                yield "INV102", hamlet.place, ("memberships", i, "unit"), membership.unit, {}
    yield from _top_references(network)


def _top_references(network: Network) -> Iterator[Reference]:
    for quiet in network.quiet_hours:
        yield "INV102", quiet.place, ("unit",), quiet.unit, {}
    for session in network.sessions:
        yield "INV102", session.place, ("unit",), session.unit, {}
    yield from grid_references(network)
    for work in network.maintenance:
        if work.unit is not None:
            yield "INV102", work.place, ("unit",), work.unit, {}
    for person in network.people.values():
        yield "INV109", person.place, ("area",), person.area, {"person": person.id}
    for key in network.trust.keys if network.trust else ():
        yield "INV110", key.place, ("unit",), key.unit, {"kid": key.kid}
    for target in network.targets:
        for district in target.districts:
            yield "INV111", target.place, ("districts", district), district, {}


def _unit_references(draft: Draft, guesses: Guesses) -> Iterator[Finding]:
    units = draft.network.units
    for code, place, path, unit, fields in _references(draft):
        known = units.get(UnitId(unit))
        if known is None and unit not in draft.declared:
            yield Finding(code, place, path, {**fields, "id": unit, "near": guesses(unit, units)})
        elif known is not None and code == "INV111" and known.tier is not Tier.DISTRICT:
            yield _wrong_tier(place, path, unit, known.tier, Tier.DISTRICT)
        elif known is not None and path == ("province",) and known.tier is not Tier.PROVINCE:
            yield _wrong_tier(place, path, unit, known.tier, Tier.PROVINCE)


def _devices(draft: Draft, guesses: Guesses) -> Iterator[Finding]:
    network = draft.network
    profiles = None if "network.yaml" in draft.unread else frozenset(network.profiles)
    began = Beginnings(network)
    for device in network.devices.values():
        if device.sim is None and device.uplink is None:
            yield Finding("INV301", device.place, fields={"id": device.id})
        elif device.uplink is not None:
            yield from _uplink(device, draft, guesses)
        if device.hamlet is not None and device.hamlet not in network.hamlets:
            yield from _unknown_hamlet(device, draft, guesses)
        if profiles is not None and device.profile not in profiles:
            fields = {"id": shown(device.profile), "known": some(network.profiles)}
            near = guesses(device.profile, network.profiles)
            yield Finding("INV108", device.place, ("profile",), {**fields, "near": near})
        if device.sound is not None and device.profile != RECEIVER:
            yield Finding("INV315", device.place, ("sound",), {"id": device.id, "profile": shown(device.profile)})
        yield from _service(device, began)


def _uplink(device: Device, draft: Draft, guesses: Guesses) -> Iterator[Finding]:
    uplink = device.uplink or DeviceId("")
    if device.sim is not None:
        yield Finding("INV302", device.place, ("uplink",), {"id": device.id})
    modem = draft.network.devices.get(uplink)
    if modem is None:
        if uplink not in draft.declared:
            known = [d for d in draft.network.devices if d.startswith(f"{device.unit}-M")]
            yield Finding("INV104", device.place, ("uplink",), {"id": uplink, "near": guesses(uplink, known)})
    elif modem.kind is not DeviceKind.MODEM:
        yield Finding("INV105", device.place, ("uplink",), {"id": uplink, "kind": modem.kind}, (modem.place,))
    elif modem.unit != device.unit:
        fields = {"id": uplink, "other": modem.unit, "unit": device.unit}
        yield Finding("INV106", device.place, ("uplink",), fields, (modem.place,))


def _unknown_hamlet(device: Device, draft: Draft, guesses: Guesses) -> Iterator[Finding]:
    hamlet = device.hamlet or ""
    if hamlet not in draft.declared:
        known = [h for h in draft.network.hamlets if h.startswith(f"{device.unit.split('-')[0]}-")]
        yield Finding("INV103", device.place, ("hamlet",), {"id": hamlet, "near": guesses(hamlet, known)})


class Beginnings:
    """The first day of each place: of its unit or of the earliest unit that became it; None is for ever."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._units: dict[UnitId, date | None] = {}

    def of_unit(self, unit: UnitId) -> date | None:
        if unit not in self._units:
            earliest: date | None = date.max
            waiting, seen = [unit], {unit}
            while waiting and earliest is not None:
                known = self.network.units.get(waiting.pop())
                if known is None or known.valid_from is None:
                    earliest = None
                    continue
                earliest = min(earliest, known.valid_from)
                waiting.extend(p for p in known.predecessors if p not in seen)
                seen.update(known.predecessors)
            self._units[unit] = earliest
        return self._units[unit]

    def of_hamlet(self, hamlet: Hamlet) -> date | None:
        days = [m.valid_from or self.of_unit(m.unit) for m in hamlet.memberships]
        known = [day for day in days if day is not None]
        return min(known) if len(known) == len(days) else None


def _service(device: Device, began: Beginnings) -> Iterator[Finding]:
    end = device.out_of_service
    if end is not None and end <= device.in_service:
        fields = {"end": str(end), "start": str(device.in_service)}
        yield Finding("INV309", device.place, ("out_of_service",), fields)
    hamlet = began.network.hamlets.get(device.hamlet) if device.hamlet is not None else None
    start = began.of_hamlet(hamlet) if hamlet is not None else began.of_unit(device.unit)
    if start is not None and device.in_service < start:
        name = hamlet.id if hamlet is not None else device.unit
        fields = {"day": str(device.in_service), "place": name, "start": str(start)}
        yield Finding("INV308", device.place, ("in_service",), fields)


def _members(draft: Draft, guesses: Guesses) -> Iterator[Finding]:
    network = draft.network
    for group in network.groups.values():
        for key, ids, table in (
            ("devices", group.devices, network.devices),
            ("hamlets", group.hamlets, network.hamlets),
        ):
            for i, member in enumerate(ids):
                if member not in table and member not in draft.declared:
                    near = [one for one in table if one[:5] == member[:5]]
                    fields = {"kind": key[:-1], "id": member, "group": group.id, "near": guesses(member, near)}
                    yield Finding("INV107", group.place, (key, i), fields)


def _addresses(network: Network) -> Iterator[Finding]:
    octet = int(network.overlay)
    taken: dict[str, Device] = {}
    for device in network.devices.values():
        if not overlay.encodable(device.id):
            yield Finding("INV306", device.place, ("id",), {"id": device.id})
            continue
        address = overlay.address(device.id, octet)
        other = taken.setdefault(address, device)
        if other is not device:
            fields = {"id": device.id, "other": other.id, "address": address}
            yield Finding("INV305", device.place, ("id",), fields, (other.place,))


def _quiet_hours(network: Network) -> Iterator[Finding]:
    for quiet in network.quiet_hours:
        if quiet.start == quiet.end:
            fields = {"start": f"{quiet.start:%H:%M}", "end": f"{quiet.end:%H:%M}"}
            yield Finding("INV401", quiet.place, ("end",), fields)


def _users(network: Network) -> Iterator[Finding]:
    first: dict[str, Place] = {}
    names: dict[str, str] = {}
    for person in network.people.values():
        if person.user in first:
            fields = {"user": person.user, "other": names[person.user]}
            yield Finding("INV404", person.place, ("user",), fields, (first[person.user],))
        first.setdefault(person.user, person.place)
        names.setdefault(person.user, person.id)


def _sums(network: Network) -> Iterator[Finding]:
    for target in network.targets:
        yield from _sum(target)


def _sum(target: Target) -> Iterator[Finding]:
    """A blank cell is unknown: with one, the known rows may fall short of the total, but not exceed it."""
    rows = [{figure.year: figure.value for figure in row} for row in target.districts.values()]
    for printed in target.printed:
        known = [value for row in rows if (value := row.get(printed.year)) is not None]
        if printed.value is None or not known:
            continue
        total = sum(known)
        if total > printed.value or (total < printed.value and len(known) == len(rows)):
            fields = {"year": str(printed.year), "total": str(total), "printed": str(printed.value)}
            yield Finding("INV406", target.place, ("printed", str(printed.year)), fields)
