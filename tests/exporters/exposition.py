"""A strict reader of the Prometheus text format 0.0.4: what it does not know it refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
SAMPLE = re.compile(rf"({NAME.pattern})(?:{{(.*)}})? (\S+)")
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?(?:e[+-]?\d+)?|Inf)|NaN")
KINDS = {"counter", "gauge", "histogram", "summary", "untyped"}

Labels = frozenset[tuple[str, str]]


@dataclass
class Metric:
    kind: str
    help: str
    samples: dict[Labels, float] = field(default_factory=dict)

    def __getitem__(self, labels: dict[str, str]) -> float:
        return self.samples[frozenset(labels.items())]


def parse(text: str) -> dict[str, Metric]:
    """Each metric once, its header before its samples, no sample twice. Raises AssertionError for anything else."""
    found: dict[str, Metric] = {}
    current, helped = "", {}
    assert text == "" or text.endswith("\n")
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            _, _, name, about = line.split(" ", 3)
            assert NAME.fullmatch(name)
            assert name not in helped
            helped[name] = unescape(about)
        elif line.startswith("# TYPE "):
            _, _, current, kind = line.split(" ")
            assert kind in KINDS
            assert current in helped
            assert current not in found
            found[current] = Metric(kind, helped[current])
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            assert match[1] == current, "samples of one metric stand together"
            labels = read_labels(match[2])
            assert labels not in found[current].samples
            assert NUMBER.fullmatch(match[3]), line
            found[current].samples[labels] = float(match[3])
    assert helped.keys() == found.keys()
    return found


def read_labels(text: str | None) -> Labels:
    if text is None:
        return frozenset()
    pairs, rest = [], text
    while rest:
        match = LABEL.match(rest)
        assert match, rest
        pairs.append((match[1], unescape(match[2])))
        rest = rest[match.end() :]
        assert rest == "" or rest[0] == ","
        rest = rest[1:]
    assert len({name for name, _ in pairs}) == len(pairs)
    return frozenset(pairs)


def unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text)
