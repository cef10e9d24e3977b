"""The selection language of commands, screens and limits: ``district=622 kind=modem status=lost``.

Terms separated by blanks narrow each other; the values of one term, separated by commas, widen it; ``key!=value``
excludes; a word without a key matches ids and names; quotes allow blanks: ``commune="Ia Pa"``. No term: the province.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import TypeVar

from inventory.codes import Finding, guess, shown, some
from inventory.diagnostics import N_, Diagnostic, Place
from inventory.model import DeviceKind, GroupId, Hamlet, Network, Technology, Tier, Unit, UnitId, valid
from inventory.names import fold, hamlet_names, key, unit_names
from inventory.selection import UNIT_KEYS, WORD, Selection, Term, device_text, hamlet_text, unit_text

__all__ = ["KEYS", "LOST", "STATUSES", "Selection", "Term", "fold", "parse"]

KEYS = (*UNIT_KEYS, "hamlet", "kind", "group", "device", "profile", "technology", "uplink", "power_area", "status")

_NOUNS = {
    "province": N_("province"),
    "district": N_("district"),
    "commune": N_("commune"),
    "hamlet": N_("hamlet"),
    "kind": N_("kind of device"),
    "group": N_("group"),
    "device": N_("device"),
    "profile": N_("profile"),
    "technology": N_("technology"),
    "uplink": N_("uplink"),
    "power_area": N_("power area"),
    "status": N_("state"),
    WORD: N_("name or id"),
}
"""What a value of each key is called in a sentence."""

STATUSES = ("up", "degraded", "down", "unreachable", "maintenance", "unknown")

LOST = ("down", "unreachable")
"""What ``status=lost`` stands for: no contact, for whatever cause."""

FILE = "<selection>"
"""The file name in the places of a selection's diagnostics."""

_TOKEN = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_TERM = re.compile(r"([^=!\"]+)(!?=)(.*)", re.DOTALL)
_VALUE = re.compile(r'(?:[^,"]|"[^"]*")+')
_Item = TypeVar("_Item", Unit, Hamlet)


def parse(text: str, network: Network, on: date | None = None) -> Selection | tuple[Diagnostic, ...]:
    """The selection, its names resolved as of ``on`` (absent: the inventory's ``as_of``), or all that is wrong with it.

    Without any date, a name that units of different times share means all of them.
    """
    parser = _Parser(network, on or network.as_of)
    terms = tuple(parser.terms(text))
    found = list(parser.findings)
    units = _units(network, terms, parser.on)
    if not found and units == ():
        found.append(Finding("SEL008", Place(FILE, 1, 1)))
    if found:
        return tuple(f.diagnostic(f.place, text) for f in found)
    return Selection(network, terms, units, _groups(terms))


def _units(network: Network, terms: tuple[Term, ...], on: date | None) -> tuple[UnitId, ...] | None:
    """The units that satisfy every term, if all terms ask for units."""
    if not terms:
        heir = network.successor(network.province, on) if on is not None else None
        return (heir or network.province,)
    if not all(term.positive and term.key in UNIT_KEYS for term in terms):
        return None
    named = dict.fromkeys(UnitId(value) for term in terms for value in term.values)
    return tuple(u for u in named if all(not set(network.chain(u)).isdisjoint(t.values) for t in terms))


def _groups(terms: tuple[Term, ...]) -> tuple[GroupId, ...] | None:
    if len(terms) == 1 and terms[0].key == "group" and terms[0].positive:
        return tuple(GroupId(value) for value in terms[0].values)
    return None


@dataclass(frozen=True, slots=True)
class _Raw:
    """A term as written: where it begins, key, whether it includes, values."""

    column: int
    key: str
    positive: bool
    values: tuple[str, ...]


class _Parser:
    """Resolves terms against one network and date, collecting what it cannot resolve."""

    def __init__(self, network: Network, on: date | None) -> None:
        self.network = network
        self.on = on
        self.findings: list[Finding] = []
        self._column = 1
        self._within: list[Term] = []
        self._words: Mapping[str, Callable[[], Mapping[str, tuple[str, ...]]]] = {
            "kind": lambda: {kind.value: (kind.value,) for kind in DeviceKind},
            "technology": lambda: {t.value: (t.value,) for t in Technology},
            "profile": lambda: {key(profile): (profile,) for profile in network.profiles},
            "status": lambda: {status: (status,) for status in STATUSES} | {"lost": LOST},
            "power_area": lambda: {
                key(d.power_area): (d.power_area,) for d in network.devices.values() if d.power_area
            },
            "group": lambda: _both((g.id, g.id, g.name) for g in network.groups.values()),
            "device": lambda: _both((d.id, d.id, d.name) for d in network.devices.values()),
            "uplink": lambda: _both(
                (d.id, d.id, d.name) for d in network.devices.values() if d.kind is DeviceKind.MODEM
            ),
        }

    def terms(self, text: str) -> Iterator[Term]:
        """The terms in the order of their keys: units first, so that they narrow the names of what lies in them."""
        raw = [one for match in _TOKEN.finditer(text) if (one := self._raw(match)) is not None]
        for one in sorted(raw, key=lambda r: KEYS.index(r.key) if r.key else len(KEYS)):
            self._column = one.column
            values = tuple(dict.fromkeys(v for value in one.values for v in self._resolve(one.key, value)))
            term = Term(one.key, values, one.positive)
            if term.positive and term.key in UNIT_KEYS and values:
                self._within.append(term)
            yield term

    def _raw(self, match: re.Match[str]) -> _Raw | None:
        token = match[0]
        self._column = match.start() + 1
        if token.count('"') % 2:
            self._fault("SEL001")
            return None
        term = _TERM.fullmatch(token)
        if term is None:
            word = key(token.replace('"', ""))
            return _Raw(self._column, WORD, True, (word,)) if word else None
        name = term[1].casefold()
        if name not in KEYS:
            self._fault("SEL002", key=shown(term[1]), known=", ".join(KEYS), near=guess(name, KEYS))
            return None
        values = tuple(value for v in _VALUE.findall(term[3]) if (value := v.replace('"', "").strip()))
        if not values:
            self._fault("SEL003", key=name)
            return None
        return _Raw(self._column, name, term[2] == "=", values)

    def _fault(self, code: str, **fields: str) -> None:
        self.findings.append(Finding(code, Place(FILE, 1, self._column), fields=fields))

    def _unknown(self, name: str, value: str, known: Iterable[str]) -> None:
        listed = list(known)
        names = {key(one): one for one in listed}
        near = names.get(guess(key(value), names), "")
        self._fault("SEL004", kind=_NOUNS[name], value=shown(value), known=some(listed), near=near)

    def _resolve(self, name: str, value: str) -> tuple[str, ...]:
        if name in UNIT_KEYS:
            return self._unit(Tier(name), value)
        if name == "hamlet":
            return self._hamlet(value)
        if name == WORD:
            return self._word(value)
        known = self._words[name]()
        found = known.get(key(value), ())
        if not found:
            self._unknown(name, value, known)
        if len(found) > 1 and name != "status":
            self._ambiguous(name, value, found)
        return found

    def _ambiguous(self, name: str, value: str, candidates: Iterable[str]) -> None:
        self._fault("SEL005", kind=_NOUNS[name], value=shown(value), candidates=some(candidates))

    def _unit(self, tier: Tier, value: str) -> tuple[str, ...]:
        units = [unit for unit in self.network.units.values() if unit.tier is tier]
        wanted = key(value)
        found = [u for u in units if value in (u.id, u.code) or wanted in unit_names(u)]
        if not found:
            self._unknown(tier, value, dict.fromkeys(unit.name for unit in units))
            return ()
        if self.on is None:
            found = [u for u in found if u.id == value] or found
        else:
            current = [u for u in found if valid(u.valid_from, u.valid_to, self.on)]
            if not current:
                self._out_of_time(found, self.on)
                return ()
            found = current
        found = self._narrow(found, lambda unit: (unit.id,))
        if _contemporaries(found):
            self._ambiguous(tier, value, [self._described(u) for u in found])
        return tuple(u.id for u in found)

    def _described(self, unit: Unit) -> str:
        above = self.network.units.get(unit.parent) if unit.parent is not None else None
        return f"{unit.name} ({unit.id}{f', {above.name}' if above else ''})"

    def _narrow(self, found: list[_Item], units_of: Callable[[_Item], Iterable[UnitId]]) -> list[_Item]:
        """Those that lie in the units of the terms so far; all of them, if none does."""

        def inside(item: _Item) -> bool:
            chain = {above for unit in units_of(item) for above in self.network.chain(unit)}
            return all(not chain.isdisjoint(term.values) for term in self._within)

        return [item for item in found if inside(item)] or found

    def _out_of_time(self, found: list[Unit], on: date) -> None:
        """Explains a unit that has ended, or has not begun, by the date of the question."""
        ended = [u for u in found if u.valid_to is not None and u.valid_to <= on]
        if not ended:
            unit = min(found, key=lambda u: u.valid_from or date.min)
            self._fault("SEL007", name=unit.name, id=unit.id, start=str(unit.valid_from))
            return
        unit = max(ended, key=lambda u: u.valid_to or date.max)
        heirs = successors(self.network, unit, on)
        terms = [
            f"{tier}={','.join(u.id for u in heirs if u.tier is tier)}"
            for tier in Tier
            if any(u.tier is tier for u in heirs)
        ]
        self._fault(
            "SEL006",
            name=unit.name,
            id=unit.id,
            end=str(unit.valid_to),
            heirs=some(f"{u.name} ({u.id})" for u in heirs) or "–",
            fix=" ".join(terms) or "province=…",
        )

    def _hamlet(self, value: str) -> tuple[str, ...]:
        wanted = key(value)
        hamlets = list(self.network.hamlets.values())
        found = [h for h in hamlets if key(h.id) == wanted] or [h for h in hamlets if wanted in hamlet_names(h)]
        if not found:
            self._unknown("hamlet", value, dict.fromkeys(h.name for h in hamlets))
        found = self._narrow(found, self._units_of)
        if len(found) > 1:
            self._ambiguous("hamlet", value, [f"{h.name} ({h.id})" for h in found])
        return tuple(h.id for h in found)

    def _units_of(self, hamlet: Hamlet) -> Iterator[UnitId]:
        for membership in hamlet.memberships:
            yield membership.unit
            heir = self.network.successor(membership.unit, self.on) if self.on is not None else None
            if heir is not None:
                yield heir

    def _word(self, word: str) -> tuple[str, ...]:
        network = self.network
        texts = [unit_text(u) for u in network.units.values()]
        known = (f" {word}" in text for text in (*texts, *map(hamlet_text, network.hamlets.values())))
        if not any(known) and not any(f" {word}" in device_text(d) for d in network.devices.values()):
            self._unknown("", word, dict.fromkeys(u.name for u in network.units.values()))
        return (word,)


def _both(rows: Iterable[tuple[str, str, str]]) -> dict[str, tuple[str, ...]]:
    """Ids by the keys of their id and name."""
    found: dict[str, tuple[str, ...]] = {}
    for identity, *names in rows:
        for name in filter(None, dict.fromkeys(map(key, names))):
            found[name] = (*found.get(name, ()), identity)
    return found


def _contemporaries(units: list[Unit]) -> bool:
    """Whether two of the units are valid on a common day."""
    spans = sorted((u.valid_from or date.min, u.valid_to or date.max) for u in units)
    return any(after[0] < before[1] for before, after in pairwise(spans))


def successors(network: Network, unit: Unit, on: date) -> tuple[Unit, ...]:
    """The units valid on that date that lie where ``unit`` was; for a district without heirs, those of its communes."""
    found: dict[UnitId, Unit] = {}
    waiting, seen = [unit], {unit.id}
    while waiting:
        one = waiting.pop()
        if valid(one.valid_from, one.valid_to, on):
            found[one.id] = one
            continue
        after = [u for u in network.units.values() if one.id in u.predecessors]
        if not after and one.tier is not Tier.COMMUNE:
            after = [u for u in network.units.values() if u.parent == one.id]
        waiting.extend(u for u in after if u.id not in seen)
        seen.update(u.id for u in after)
    return tuple(sorted(found.values(), key=lambda u: u.id))
