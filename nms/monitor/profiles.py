"""Device families from YAML: one file per family in the folder of the same name.

A mistake in a file is a ``Diagnostic`` with its line; the family it is in is then left out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from inventory.diagnostics import Diagnostic, Place
from inventory.fields import DURATION
from nms.monitor.family import METRICS, Column, Identity, Kind, Limit, Metric, Metrics, Profile, recognise
from nms.monitor.snmp.asn1 import Oid, parse_oid

__all__ = [
    "BUILT_IN",
    "METRICS",
    "Column",
    "Identity",
    "Kind",
    "Limit",
    "Metric",
    "Metrics",
    "Profile",
    "check_files",
    "load_profiles",
    "recognise",
]

BUILT_IN: Final = Path(__file__).parent / "profiles"


@dataclass(frozen=True, slots=True)
class _Source:
    """One file being read: where its nodes are, and what was wrong so far."""

    file: str
    found: list[Diagnostic]
    lines: list[str] = field(default_factory=list)

    def report(self, code: str, node: yaml.Node | None, message: str, fix: str, **fields: str) -> None:
        mark = node.start_mark if node is not None else None
        place = Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file)
        line = self.lines[mark.line] if mark and mark.line < len(self.lines) else ""
        self.found.append(Diagnostic(code, place, message, fix, fields, source=line))

    def entries(self, node: yaml.Node, allowed: Collection[str] | None) -> dict[str, yaml.Node]:
        """The keys of a mapping; unknown and repeated ones are reported. ``allowed`` None takes any key."""
        if not isinstance(node, yaml.MappingNode):
            self.report("MON002", node, "a mapping belongs here", "write 'key: value' lines")
            return {}
        known: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = str(key.value)
            if allowed is not None and name not in allowed:
                self.report(
                    "MON003", key, "unknown key '{key}'", "use one of: {allowed}", key=name, allowed=", ".join(allowed)
                )
            elif name in known:
                self.report("MON003", key, "key '{key}' stands here twice", "keep one of them", key=name)
            else:
                known[name] = value
        return known

    def texts(self, node: yaml.Node | None) -> list[tuple[yaml.Node, str]]:
        """A scalar or a list of scalars as text, each with its node."""
        if node is None:
            return []
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        scalars = [item for item in items if isinstance(item, yaml.ScalarNode)]
        if len(scalars) != len(items):
            self.report("MON002", node, "a value or a list of values belongs here", "write [a, b]")
        return [(item, item.value) for item in scalars]

    def text(self, node: yaml.Node | None) -> str:
        return self.texts(node)[0][1] if isinstance(node, yaml.ScalarNode) else ""

    def words(self, node: yaml.Node | None) -> dict[str, str]:
        return {key: self.text(value) for key, value in self.entries(node, None).items()} if node is not None else {}

    def oids(self, node: yaml.Node | None) -> tuple[Oid, ...]:
        found: list[Oid] = []
        for item, text in self.texts(node):
            oid = parse_oid(text)
            if oid is None:
                self.report(
                    "MON005", item, "'{text}' is not a numeric OID", "write it like 1.3.6.1.2.1.1.3.0", text=text
                )
            else:
                found.append(oid)
        return tuple(found)

    def patterns(self, node: yaml.Node | None) -> tuple[re.Pattern[str], ...]:
        found: list[re.Pattern[str]] = []
        for item, text in self.texts(node):
            try:
                found.append(re.compile(text))
            except re.error as error:
                message = "'{text}' is not a regular expression: {problem}"
                fix = "write it like '^RouterOS RB'"
                self.report("MON005", item, message, fix, text=text, problem=str(error))
        return tuple(found)

    def number(self, node: yaml.Node | None, default: float | None) -> float | None:
        for item, text in self.texts(node):
            try:
                return float(text)
            except ValueError:
                self.report("MON005", item, "'{text}' is not a number", "write it like 0.1 or -115", text=text)
        return default

    def interval(self, node: yaml.Node | None) -> float | None:
        """Seconds; None where it is not given, or not understood."""
        if node is None:
            return None
        text = self.text(node)
        seconds: float | None = DURATION.convert(text)
        if seconds is None or not _INTERVALS[0] <= seconds <= _INTERVALS[1]:
            fix = "write it like 30s, 5m or 1h, from 1s to 1h"
            self.report("MON005", node, "'{text}' is no interval between polls", fix, text=text)
            return None
        return seconds


_KEYS: Final = ("profile", "title", "recognise", "interval", "metrics", "limits")
_INTERVALS: Final = (1.0, 3600.0)
"""Seconds: turns are no shorter, and of a device heard of less than once an hour nothing is known."""

_MARKS: Final = ("sys_object_id", "also", "describes")
_COLUMN_KEYS: Final = ("oid", "kind", "unit", "scale", "absent", "on", "words", "wrap32")


def load_profiles(folder: Path = BUILT_IN) -> tuple[Mapping[str, Profile], tuple[Diagnostic, ...]]:
    """Every family of the folder by name, and everything wrong with the files of the others."""
    return _load_all((path, path.name) for path in sorted(folder.glob("*.yaml")))


def check_files(paths: Iterable[Path]) -> tuple[Mapping[str, Profile], tuple[Diagnostic, ...]]:
    """The families of these files by name, and everything wrong with them, beside the families that we ship."""
    given = list(dict.fromkeys(paths))
    profiles, found = _load_all((path, str(path)) for path in given)
    names = {path.stem for path in given}
    ours = {n: p for n, p in load_profiles()[0].items() if n not in names}
    places = {path.stem: str(path) for path in given}
    beside = tuple(d for d in _clashes(ours | dict(profiles), places) if d not in found)
    return profiles, found + beside


def _load_all(files: Iterable[tuple[Path, str]]) -> tuple[Mapping[str, Profile], tuple[Diagnostic, ...]]:
    profiles: dict[str, Profile] = {}
    places: dict[str, str] = {}
    found: list[Diagnostic] = []
    for path, shown in files:
        source = _Source(shown, [])
        profile = _load(path, source)
        if profile is not None and not source.found:
            profiles[profile.name] = profile
            places[profile.name] = shown
        found.extend(source.found)
    found.extend(_clashes(profiles, places))
    return profiles, tuple(found)


def _load(path: Path, source: _Source) -> Profile | None:
    try:
        text = path.read_text(encoding="utf-8")
        source.lines.extend(text.splitlines())
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problem = str(error).splitlines()[0]
        source.report("MON001", None, "cannot be read: {problem}", "mend or remove the file", problem=problem)
        return None
    if node is None:
        source.report("MON001", None, "the file is empty", "write a profile or remove the file")
        return None
    return _profile(path.stem, node, source)


def _profile(stem: str, node: yaml.Node, source: _Source) -> Profile | None:
    keys = source.entries(node, _KEYS)
    for required in ("profile", "recognise", "metrics"):
        if required not in keys:
            source.report("MON004", node, "'{key}' is missing", "add it", key=required)
    if source.found:
        return None
    name = source.text(keys["profile"])
    if name != stem:
        fix = "a profile is named like its file"
        source.report(
            "MON007", keys["profile"], "profile '{name}' in the file '{stem}.yaml'", fix, name=name, stem=stem
        )
    rules = source.entries(keys["recognise"], _MARKS)
    if "sys_object_id" not in rules and not source.found:
        source.report("MON004", keys["recognise"], "'{key}' is missing", "add it", key="sys_object_id")
    columns = tuple(_columns(keys["metrics"], source))
    return Profile(
        name=name,
        title=source.text(keys.get("title")) or name,
        recognise=source.oids(rules.get("sys_object_id")),
        also=source.oids(rules.get("also")),
        columns=columns,
        limits=_limits(keys["limits"], {c.metric for c in columns}, source) if "limits" in keys else {},
        describes=source.patterns(rules.get("describes")),
        interval=source.interval(keys.get("interval")),
    )


def _columns(node: yaml.Node, source: _Source) -> Iterator[Column]:
    taken: dict[Oid, str] = {}
    for metric, body in source.entries(node, None).items():
        column = _column(metric, body, source)
        if column is None:
            continue
        if (first := taken.setdefault(column.oid, metric)) != metric:
            fields = {"metric": metric, "first": first}
            source.report(
                "MON007", body, "'{metric}' asks for the OID of '{first}'", "an OID gives one metric", **fields
            )
        yield column


def _column(metric: str, node: yaml.Node, source: _Source) -> Column | None:
    if metric not in METRICS:
        source.report(
            "MON006", node, "unknown metric '{metric}'", "use one of: {known}", metric=metric, known=", ".join(METRICS)
        )
    keys = source.entries(node, _COLUMN_KEYS)
    if "oid" not in keys:
        source.report("MON004", node, "'{key}' is missing", "add it", key="oid")
        return None
    oids = source.oids(keys["oid"])
    kind = source.text(keys.get("kind")) or Kind.NUMBER
    if kind not in list(Kind):
        source.report(
            "MON005", keys["kind"], "unknown kind '{kind}'", "use one of: {kinds}", kind=kind, kinds=", ".join(Kind)
        )
        return None
    if len(oids) != 1:
        return None
    return Column(
        metric=metric,
        oid=oids[0],
        kind=Kind(kind),
        unit=source.text(keys.get("unit")) or METRICS.get(metric, ""),
        scale=source.number(keys.get("scale"), 1.0) or 1.0,
        absent=frozenset(text for _, text in source.texts(keys.get("absent"))),
        on=frozenset(text for _, text in source.texts(keys.get("on"))),
        words=source.words(keys.get("words")),
        wrap32=source.text(keys.get("wrap32")) == "true",
    )


def _limits(node: yaml.Node, metrics: Collection[str], source: _Source) -> dict[str, Limit]:
    found: dict[str, Limit] = {}
    for metric, body in source.entries(node, metrics).items():
        keys = source.entries(body, ("min", "max"))
        found[metric] = Limit(source.number(keys.get("min"), None), source.number(keys.get("max"), None))
    return found


def _clashes(profiles: Mapping[str, Profile], places: Mapping[str, str]) -> Iterator[Diagnostic]:
    """Two families recognised by the same thing could not be told apart."""
    taken: dict[tuple[object, ...], str] = {}
    for profile in profiles.values():
        marks: list[object] = [*profile.also, *(p.pattern for p in profile.describes)] or [None]
        for key in ((prefix, mark) for prefix in profile.recognise for mark in marks):
            first = taken.setdefault(key, profile.name)
            if first != profile.name:
                message = "recognised by the same sysObjectID as '{first}'"
                fix = "add 'also' with an OID only this family has"
                file = places.get(profile.name, f"{profile.name}.yaml")
                yield Diagnostic("MON008", Place(file), message, fix, {"first": first})
                break
