"""A folder of YAML to one checked ``Network``: all mistakes of all files at once, nothing written, nothing raised."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import starmap
from pathlib import Path
from typing import Any, TypeVar

from inventory.checks import Draft, Site, check
from inventory.codes import Finding, guess
from inventory.diagnostics import Diagnostic, Place, has_errors
from inventory.fields import Reader, Record
from inventory.load_grid import grid, grid_sessions
from inventory.model import (
    BoardSize,
    Device,
    DeviceId,
    DeviceKind,
    DeviceLimit,
    Figure,
    Group,
    GroupId,
    Hamlet,
    HamletId,
    Hub,
    Maintenance,
    Membership,
    Network,
    Person,
    PersonId,
    QuietHours,
    Rollout,
    Script,
    ScriptId,
    Station,
    Target,
    Tier,
    Trust,
    TrustKey,
    Unit,
    UnitId,
    Wording,
)
from inventory.schema import (
    FILES,
    GROUP,
    HUB,
    INDICATOR,
    KEY,
    MAINTENANCE,
    PERSON,
    QUIET,
    SCRIPT,
    TIER_OF,
    UNIT_RECORD,
)
from inventory.schema_sites import BOARD, HAMLET_RECORD, LOUDSPEAKER, MODEM, STATION
from inventory.source import Locator, read, read_bytes

REQUIRED = ("network", "units", "grid", "groups", "people", "targets")
"""Files every inventory has, without ``.yaml``."""

OPTIONAL = ("trust", "scripts", "secrets")

FOLDERS: Mapping[str, Tier] = {"stations": Tier.COMMUNE, "districts": Tier.DISTRICT}
"""Folders with one file per unit, and the tier of those units."""

VAULT_HEADER = b"$ANSIBLE_VAULT;"

_DEVICES: tuple[tuple[str, DeviceKind, Record], ...] = (
    ("loudspeakers", DeviceKind.LOUDSPEAKER, LOUDSPEAKER),
    ("modems", DeviceKind.MODEM, MODEM),
    ("boards", DeviceKind.BOARD, BOARD),
)

Values = dict[str, Any]
_Key = TypeVar("_Key")
_Value = TypeVar("_Value", Unit, Hamlet, Device, Group, Person, Script)


def load(folder: Path) -> tuple[Network | None, tuple[Diagnostic, ...]]:
    """The network the folder describes, None if it has any error, and every diagnostic in the order of the files."""
    with collector_paused():
        collector = _Collector(folder)
        collector.run()
        draft = collector.draft()
        findings = [*collector.findings, *check(draft)] if draft else collector.findings
        diagnostics = tuple(_located(folder, findings))
    return (None if draft is None or has_errors(diagnostics) else draft.network), diagnostics


@contextmanager
def collector_paused() -> Iterator[None]:
    """For work that makes many values without cycles: looking for cycles among them costs a quarter of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _located(folder: Path, findings: Iterable[Finding]) -> list[Diagnostic]:
    locator = Locator(folder)
    found: list[Diagnostic] = []
    for finding in sorted(findings, key=lambda f: f.place):
        place = locator.seek(finding.place, finding.path) if finding.path else finding.place
        found.append(finding.diagnostic(place, locator.line(place) if place.line else ""))
    return sorted(found, key=lambda d: (d.place, d.code))


@dataclass(frozen=True, slots=True)
class Contents:
    """What one file of a site says: whole records, and the ids ``declared`` by broken ones."""

    findings: list[Finding]
    declared: list[str]
    site: Site | None = None
    station: Station | None = None
    hamlets: Sequence[Hamlet] = ()
    devices: Sequence[Device] = ()


@dataclass(slots=True)
class _Collector:
    """Reads every file of the folder and keeps what is whole, the first of each id."""

    folder: Path
    findings: list[Finding] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)
    declared: set[str] = field(default_factory=set)
    tops: dict[str, Values] = field(default_factory=dict)
    sites: list[Site] = field(default_factory=list)
    units: dict[UnitId, Unit] = field(default_factory=dict)
    hamlets: dict[HamletId, Hamlet] = field(default_factory=dict)
    stations: dict[UnitId, Station] = field(default_factory=dict)
    devices: dict[DeviceId, Device] = field(default_factory=dict)
    groups: dict[GroupId, Group] = field(default_factory=dict)
    people: dict[PersonId, Person] = field(default_factory=dict)
    scripts: dict[ScriptId, Script] = field(default_factory=dict)

    def run(self) -> None:
        if not self.folder.is_dir():
            self.findings.append(Finding("INV010", Place(str(self.folder)), fields={"folder": str(self.folder)}))
            return
        self._top()
        self._secrets()
        for kind in (*REQUIRED, "trust", "scripts"):
            if kind in REQUIRED or os.path.lexists(self.folder / f"{kind}.yaml"):
                self.tops[kind] = self._read(f"{kind}.yaml", FILES[kind])
        for values in self._records("units"):
            self._unit(values)
        for values in filter(GROUP.whole, self._records("groups")):
            self._add(self.groups, Group(**values), "group")
        for values in filter(PERSON.whole, self._records("people")):
            self._add(self.people, Person(**values), "person")
        for values in filter(SCRIPT.whole, self.tops.get("scripts", {}).get("scripts", ())):
            self._script(Script(cls=values.pop("class"), **values))
        files = [(file, tier) for name, tier in FOLDERS.items() for file in self._listing(name)]
        for file, tier in files:
            self._site(_contents(self.folder, file, tier))

    def _records(self, kind: str) -> tuple[Values, ...]:
        records: tuple[Values, ...] = self.tops[kind].get(kind, ())
        return records

    def _listing(self, name: str) -> list[str]:
        if not os.path.lexists(self.folder / name):
            return []
        names = self._names(name)
        for file in names:
            if file.endswith(".yml"):
                self._unexpected(f"{name}/{file}", "<code>-<name>.yaml", file.removesuffix(".yml") + ".yaml")
        return [f"{name}/{file}" for file in names if file.endswith(".yaml")]

    def _names(self, name: str) -> list[str]:
        """Visible files, sorted; a folder that cannot be listed is a finding."""
        try:
            return sorted(entry.name for entry in os.scandir(self.folder / name) if not entry.name.startswith("."))
        except OSError as error:
            self.findings.append(Finding("INV012", Place(name), fields={"reason": error.strerror or str(error)}))
            return []

    def _top(self) -> None:
        known = sorted(f"{name}.yaml" for name in (*REQUIRED, *OPTIONAL))
        for file in self._names(""):
            if file.endswith((".yaml", ".yml")) and file not in known:
                near = guess(file.removesuffix(".yml").removesuffix(".yaml") + ".yaml", known)
                self._unexpected(file, ", ".join(known), near)

    def _unexpected(self, file: str, known: str, near: str) -> None:
        """YAML that nobody would read: a mistyped name must not silently take its content away."""
        self.findings.append(Finding("INV019", Place(file), fields={"file": file, "known": known, "near": near}))

    def _secrets(self) -> None:
        file = "secrets.yaml"
        if not os.path.lexists(self.folder / file):
            return
        data = read_bytes(self.folder / file, file)
        if isinstance(data, Finding):
            self.findings.append(data)
        elif not data.startswith(VAULT_HEADER):
            self.findings.append(Finding("INV021", Place(file), fields={"file": file}))

    def _read(self, file: str, record: Record) -> Values:
        values, findings, whole = _read_file(self.folder, file, record)
        self.findings.extend(findings)
        if not whole:
            self.unread.add(file)
        return values

    def _add(self, table: dict[_Key, _Value], value: _Value, kind: str) -> None:
        key: Any = value.id
        first = table.setdefault(key, value)
        if first is not value:
            fields = {"kind": kind, "id": str(key), "first": str(first.place)}
            self.findings.append(Finding("INV101", value.place, ("id",), fields, (first.place,)))

    def _unit(self, values: Values) -> None:
        self.declared.add(values.get("id", ""))
        if UNIT_RECORD.whole(values):
            values.setdefault("parent", None)
            self._add(self.units, Unit(tier=TIER_OF[values["type"]], **values), "unit")

    def _script(self, script: Script) -> None:
        self._add(self.scripts, script, "script")
        for name in ("alarm", "correction", "all_clear"):
            wording: Wording = getattr(script, name)
            for language, file in wording.recordings.items():
                if ".." in file.split("/") or not (self.folder / file).is_file():
                    path = (name, "recordings", language)
                    self.findings.append(Finding("INV501", script.place, path, {"file": file}))

    def _site(self, contents: Contents) -> None:
        self.findings.extend(contents.findings)
        self.declared.update(contents.declared)
        if contents.site is not None:
            self.sites.append(contents.site)
        if contents.station is not None:
            self.stations.setdefault(contents.station.unit, contents.station)
        for hamlet in contents.hamlets:
            self._add(self.hamlets, hamlet, "hamlet")
        for device in contents.devices:
            self._add(self.devices, device, "device")

    def draft(self) -> Draft | None:
        """What is whole so far, ready to be checked across files; None if there was no folder."""
        if not self.tops:
            return None
        top = self.tops["network"]
        network = Network(
            province=UnitId(top.get("province", "")),
            name=top.get("name", ""),
            as_of=top.get("as_of"),
            overlay=str(top.get("overlay", 10)),
            profiles=top.get("profiles", ()),
            units=self.units,
            hamlets=self.hamlets,
            stations=self.stations,
            devices=self.devices,
            groups=self.groups,
            people=self.people,
            quiet_hours=tuple(QuietHours(**v) for v in top.get("quiet_hours", ()) if QUIET.whole(v)),
            authority_for=tuple(top.get("authority_for", ("priority", "emergency"))),
            maintenance=tuple(_maintenance(v) for v in top.get("maintenance", ()) if MAINTENANCE.whole(v)),
            hub=Hub(**top["hub"]) if HUB.whole(top.get("hub", {})) else None,
            rollout=Rollout(**top.get("rollout", {})),
            sessions=grid_sessions(self.tops["grid"]),
            grid=grid(self.tops["grid"]),
            targets=tuple(_targets(self.tops["targets"])),
            trust=_trust(self.tops.get("trust", {})),
            scripts=self.scripts,
        )
        return Draft(network, top.get("place", Place("")), tuple(self.sites), self.declared, frozenset(self.unread))


def _read_file(folder: Path, file: str, record: Record) -> tuple[Values, list[Finding], bool]:
    """The values of a file's top record, what is wrong with it, and whether it has all it must have."""
    node, notes = read(folder, file)
    findings = list(notes)
    if node is None:
        if not any(f.code != "INV020" for f in findings):
            fields = {"required": ", ".join(sorted(record.required)) or record.fields[0].name}
            findings.append(Finding("INV022", Place(file), fields=fields))
        return {}, findings, False
    reader = Reader(file)
    values: Values = record.read(node, reader) or {}
    return values, findings + reader.findings, record.whole(values)


def _contents(folder: Path, file: str, tier: Tier) -> Contents:
    values, findings, _ = _read_file(folder, file, FILES["station"])
    unit = UnitId(values.get("unit", ""))
    records = [(device, kind, record) for key, kind, record in _DEVICES for device in values.get(key, ())]
    hamlets: tuple[Values, ...] = values.get("hamlets", ())
    broken = [h.get("id", "") for h in hamlets if not HAMLET_RECORD.whole(h)]
    broken += [device.get("id", "") for device, _, record in records if not record.whole(device)]
    if not unit:
        declared = [record.get("id", "") for record in (*hamlets, *(device for device, _, _ in records))]
        return Contents(findings, declared)
    return Contents(
        findings,
        broken,
        Site(unit, tier, values["place"], "station" in values),
        _station(values.get("station", {}), unit),
        [_hamlet(hamlet, unit) for hamlet in hamlets if HAMLET_RECORD.whole(hamlet)],
        [_device(device, kind, unit) for device, kind, record in records if record.whole(device)],
    )


def _station(values: Values, unit: UnitId) -> Station | None:
    if not STATION.whole(values):
        return None
    values["technologies"] = tuple(sorted(values["technologies"], key=lambda t: t.since))
    return Station(unit=unit, **values)


def _hamlet(values: Values, unit: UnitId) -> Hamlet:
    if not values.get("memberships"):
        values["memberships"] = (Membership(unit),)
    return Hamlet(**values)


def _maintenance(values: Values) -> Maintenance:
    return Maintenance(start=values.pop("from"), end=values.pop("until"), **values)


def _device(values: Values, kind: DeviceKind, unit: UnitId) -> Device:
    values.setdefault("hamlet", None)
    limits = values.get("limits", {}).items()
    values["limits"] = tuple(DeviceLimit(metric, v.get("min"), v.get("max")) for metric, v in limits)
    if kind is DeviceKind.BOARD:
        values.setdefault("size", BoardSize.SMALL)
    return Device(kind=kind, unit=unit, **values)


def _targets(top: Values) -> Iterator[Target]:
    for values in top.get("indicators", ()):
        if not INDICATOR.whole(values):
            continue
        yield Target(
            indicator=values["indicator"],
            name=values["name"],
            document=top.get("document", ""),
            printed=tuple(Figure(year, f.get("value"), f.get("percent")) for year, f in values["printed"].items()),
            denominator=values.get("denominator"),
            districts={
                UnitId(unit): tuple(starmap(Figure, row.items())) for unit, row in values.get("districts", {}).items()
            },
            place=values["place"],
        )


def _trust(top: Values) -> Trust | None:
    if "root" not in top:
        return None
    return Trust(top["root"], tuple(TrustKey(**values) for values in top.get("keys", ()) if KEY.whole(values)))
