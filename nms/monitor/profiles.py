"""Device families as data: which OIDs give which metric, in which unit, and which values mean that there is none.

One YAML file per family in the folder of the same name. A mistake in a file is a ``Diagnostic``; the family it is in
is then left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

import yaml

from inventory.diagnostics import Diagnostic, Place
from nms.monitor.snmp.asn1 import Oid, parse_oid

Metric = float | str | bool
Metrics = Mapping[str, Metric]

BUILT_IN: Final = Path(__file__).parent / "profiles"

METRICS: Final[Mapping[str, str]] = {
    "uptime_s": "s",
    "rsrp_dbm": "dBm",
    "rsrq_db": "dB",
    "sinr_db": "dB",
    "rssi_dbm": "dBm",
    "temperature_c": "°C",
    "rx_bytes": "B",
    "tx_bytes": "B",
    "volume": "%",
    "level_lufs": "LUFS",
    "clock_error_s": "s",
    "brightness": "%",
    "error_bits": "",
    "refused_envelopes": "",
    "playing": "",
    "airing": "",
    "message": "",
    "cell": "",
    "operator": "",
}
"""Every metric a profile may give, with its unit (SI or the unit radio and sound people use)."""


class Kind(StrEnum):
    """How a value becomes a metric: a number, a counter (never negative), text, bytes as hex digits, a yes/no."""

    NUMBER = "number"
    COUNTER = "counter"
    TEXT = "text"
    HEX = "hex"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Limit:
    """A reading outside ``low .. high`` makes the device degraded; None is no limit."""

    low: float | None = None
    high: float | None = None

    def exceeded(self, value: Metric) -> bool:
        if isinstance(value, str):
            return False
        return (self.low is not None and value < self.low) or (self.high is not None and value > self.high)


@dataclass(frozen=True, slots=True)
class Column:
    """One OID asked for and the metric it gives: ``raw * scale`` in the metric's unit.

    ``absent`` are raw values, as text, that mean *no reading*. ``on`` are the raw values for which a flag is true.
    ``wrap32`` marks a counter that firmware puts into a signed 32-bit INTEGER.
    """

    metric: str
    oid: Oid
    kind: Kind = Kind.NUMBER
    unit: str = ""
    scale: float = 1.0
    absent: frozenset[str] = frozenset()
    on: frozenset[str] = frozenset()
    wrap32: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """One family: recognised by a prefix of sysObjectID and, where families share one, by an OID it must have."""

    name: str
    title: str
    recognise: tuple[Oid, ...]
    also: Oid | None
    columns: tuple[Column, ...]
    limits: Mapping[str, Limit] = field(default_factory=dict)

    @property
    def oids(self) -> tuple[Oid, ...]:
        return tuple(column.oid for column in self.columns)

    def exceeded(self, metrics: Metrics) -> tuple[str, ...]:
        """The metrics whose limit is exceeded, in the profile's order; an absent metric exceeds nothing."""
        return tuple(n for n, limit in self.limits.items() if n in metrics and limit.exceeded(metrics[n]))


def recognise(profiles: Iterable[Profile], sys_object_id: Oid, present: Collection[Oid] = ()) -> Profile | None:
    """The family with the longest matching sysObjectID prefix; one that needs a further OID counts as more exact."""

    def exactness(profile: Profile) -> tuple[int, bool]:
        fits = [len(p) for p in profile.recognise if sys_object_id[: len(p)] == p]
        if not fits or (profile.also is not None and profile.also not in present):
            return (0, False)
        return (max(fits), profile.also is not None)

    best = max(profiles, key=exactness, default=None)
    return best if best is not None and exactness(best)[0] else None


# --- loading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Source:
    """One file being read: where its nodes are, and what was wrong so far."""

    file: str
    found: list[Diagnostic]

    def report(self, code: str, node: yaml.Node | None, message: str, fix: str, **fields: str) -> None:
        mark = node.start_mark if node is not None else None
        place = Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file)
        self.found.append(Diagnostic(code, place, message, fix, fields))

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

    def number(self, node: yaml.Node | None, default: float | None) -> float | None:
        for item, text in self.texts(node):
            try:
                return float(text)
            except ValueError:
                self.report("MON005", item, "'{text}' is not a number", "write it like 0.1 or -115", text=text)
        return default


_KEYS: Final = ("profile", "title", "recognise", "metrics", "limits")
_COLUMN_KEYS: Final = ("oid", "kind", "unit", "scale", "absent", "on", "wrap32")


def load_profiles(folder: Path = BUILT_IN) -> tuple[Mapping[str, Profile], tuple[Diagnostic, ...]]:
    """Every family of the folder by name, and everything wrong with the files of the others."""
    profiles: dict[str, Profile] = {}
    found: list[Diagnostic] = []
    for path in sorted(folder.glob("*.yaml")):
        source = _Source(path.name, [])
        profile = _load(path, source)
        if profile is not None and not source.found:
            profiles[profile.name] = profile
        found.extend(source.found)
    found.extend(_clashes(profiles))
    return profiles, tuple(found)


def _load(path: Path, source: _Source) -> Profile | None:
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
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
    rules = source.entries(keys["recognise"], ("sys_object_id", "also"))
    also = source.oids(rules.get("also"))
    columns = tuple(_columns(keys["metrics"], source))
    limits = _limits(keys["limits"], {c.metric for c in columns}, source) if "limits" in keys else {}
    title = source.text(keys.get("title")) or name
    return Profile(name, title, source.oids(rules.get("sys_object_id")), also[0] if also else None, columns, limits)


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
        wrap32=source.text(keys.get("wrap32")) == "true",
    )


def _limits(node: yaml.Node, metrics: Collection[str], source: _Source) -> dict[str, Limit]:
    found: dict[str, Limit] = {}
    for metric, body in source.entries(node, metrics).items():
        keys = source.entries(body, ("min", "max"))
        found[metric] = Limit(source.number(keys.get("min"), None), source.number(keys.get("max"), None))
    return found


def _clashes(profiles: Mapping[str, Profile]) -> Iterator[Diagnostic]:
    """Two families recognised by the same thing could not be told apart."""
    taken: dict[tuple[Oid, Oid | None], str] = {}
    for profile in profiles.values():
        for prefix in profile.recognise:
            first = taken.setdefault((prefix, profile.also), profile.name)
            if first != profile.name:
                message = "recognised by the same sysObjectID as '{first}'"
                fix = "add 'also' with an OID only this family has"
                yield Diagnostic("MON008", Place(f"{profile.name}.yaml"), message, fix, {"first": first})
