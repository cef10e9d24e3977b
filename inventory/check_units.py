"""Rules of the dated tree of units and of the hamlets in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from itertools import combinations, pairwise

from inventory.codes import Finding
from inventory.diagnostics import N_
from inventory.model import Hamlet, Network, Tier, Unit, UnitId

_ORDER = {Tier.PROVINCE: 0, Tier.DISTRICT: 1, Tier.COMMUNE: 2}


def _from(day: date | None) -> date:
    return day or date.min


def _to(day: date | None) -> date:
    return day or date.max


def period(start: date | None, end: date | None) -> str:
    return f"[{start or '…'}, {end or '…'})"


def _validity(network: Network) -> Iterator[Finding]:
    for unit in network.units.values():
        if _from(unit.valid_from) >= _to(unit.valid_to):
            fields = {"start": str(unit.valid_from), "end": str(unit.valid_to)}
            yield Finding("INV205", unit.place, ("valid_to",), fields)


def _codes(network: Network) -> Iterator[Finding]:
    by_code: dict[str, list[Unit]] = {}
    for unit in network.units.values():
        by_code.setdefault(unit.code, []).append(unit)
    for code, units in by_code.items():
        for one, other in combinations(units, 2):
            start = max(_from(one.valid_from), _from(other.valid_from))
            if start < min(_to(one.valid_to), _to(other.valid_to)):
                yield Finding("INV201", other.place, ("code",), {"code": code, "other": one.id}, (one.place,))


def _parents(network: Network) -> Iterator[Finding]:
    for unit in network.units.values():
        parent = network.units.get(unit.parent) if unit.parent is not None else None
        if parent is None:
            if unit.parent is None and unit.tier is not Tier.PROVINCE:
                fields = {"key": "parent", "what": unit.name, "form": N_("the unit above")}
                yield Finding("INV002", unit.place, fields=fields)
            continue
        if _from(unit.valid_from) < _from(parent.valid_from) or _to(unit.valid_to) > _to(parent.valid_to):
            fields = {"parent": parent.id, "period": period(unit.valid_from, unit.valid_to)}
            yield Finding("INV202", unit.place, ("parent",), fields, (parent.place,))
        if _ORDER[parent.tier] >= _ORDER[unit.tier] and not _cycle(unit.id, _parent_of(network)):
            expected = Tier.DISTRICT if unit.tier is Tier.COMMUNE else Tier.PROVINCE
            fields = {"id": parent.id, "tier": parent.tier, "expected": expected}
            yield Finding("INV206", unit.place, ("parent",), fields, (parent.place,))


Next = Callable[[UnitId], tuple[UnitId, ...]]


def _parent_of(network: Network) -> Next:
    def above(unit: UnitId) -> tuple[UnitId, ...]:
        known = network.units.get(unit)
        return (known.parent,) if known is not None and known.parent is not None else ()

    return above


def _predecessors_of(network: Network) -> Next:
    def before(unit: UnitId) -> tuple[UnitId, ...]:
        known = network.units.get(unit)
        return known.predecessors if known is not None else ()

    return before


def _cycle(start: UnitId, following: Next) -> tuple[UnitId, ...]:
    """The way from ``start`` back to itself, empty if there is none."""
    came: dict[UnitId, UnitId] = {}
    waiting = [start]
    while waiting:
        unit = waiting.pop()
        for other in following(unit):
            if other == start:
                way = [unit]
                while way[-1] != start:
                    way.append(came[way[-1]])
                return (*reversed(way), start)
            if other not in came:
                came[other] = unit
                waiting.append(other)
    return ()


def _cycles(network: Network) -> Iterator[Finding]:
    for code, key, following in (
        ("INV203", "parent", _parent_of(network)),
        ("INV204", "predecessors", _predecessors_of(network)),
    ):
        reported: set[UnitId] = set()
        for unit in network.units.values():
            if unit.id not in reported and (way := _cycle(unit.id, following)):
                reported.update(way)
                related = tuple(network.units[one].place for one in way[1:-1])
                yield Finding(code, unit.place, (key,), {"id": unit.id, "cycle": " → ".join(way)}, related)


def _heirs(network: Network) -> Mapping[UnitId, tuple[UnitId, ...]]:
    found: dict[UnitId, tuple[UnitId, ...]] = {}
    for unit in network.units.values():
        for predecessor in unit.predecessors:
            if predecessor != unit.id:
                found[predecessor] = (*found.get(predecessor, ()), unit.id)
    return found


def _divided(network: Network, unit: UnitId, heirs: Mapping[UnitId, tuple[UnitId, ...]]) -> Unit | None:
    """The unit, in the line of succession of ``unit``, that has several successors."""
    seen: set[UnitId] = set()
    while unit not in seen:
        seen.add(unit)
        known = network.units.get(unit)
        after = heirs.get(unit, ())
        if known is None or known.valid_to is None or not after:
            return None
        if len(after) > 1:
            return known
        unit = after[0]
    return None


def _hamlets(network: Network) -> Iterator[Finding]:
    heirs = _heirs(network)
    divided = {unit: found for unit in network.units if (found := _divided(network, unit, heirs))}
    for hamlet in network.hamlets.values():
        last = max(hamlet.memberships, key=lambda m: _to(m.valid_to))
        split = divided.get(last.unit)
        if split is not None and last.valid_to is None:
            fields = {
                "id": hamlet.id,
                "unit": split.id,
                "heirs": ", ".join(heirs[split.id]),
                "end": str(split.valid_to),
            }
            yield Finding("INV207", hamlet.place, ("memberships",), fields, (split.place,))
        yield from _memberships(hamlet)


def _memberships(hamlet: Hamlet) -> Iterator[Finding]:
    for i, one in enumerate(hamlet.memberships):
        if _from(one.valid_from) >= _to(one.valid_to):
            fields = {"start": str(one.valid_from), "end": str(one.valid_to)}
            yield Finding("INV205", hamlet.place, ("memberships", i, "to"), fields)
    ordered = sorted(hamlet.memberships, key=lambda m: _from(m.valid_from))
    for before, after in pairwise(ordered):
        if _from(after.valid_from) < _to(before.valid_to):
            i = hamlet.memberships.index(after)
            yield Finding("INV208", hamlet.place, ("memberships", i), {"day": str(_from(after.valid_from))})


UNIT_CHECKS: tuple[Callable[[Network], Iterator[Finding]], ...] = (_validity, _codes, _parents, _cycles, _hamlets)
