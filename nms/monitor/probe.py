"""What one device says of itself and what a profile makes of it, raw beside normalised; the poll engine asks.

The family is the one named, else the one recognised by sysObjectID, by OIDs only one family has and by sysDescr.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from inventory.model import DeviceId
from nms.monitor.family import Column, Identity, Kind, Metric, Metrics, Profile, recognise
from nms.monitor.literal import literal, parse_literal
from nms.monitor.readings import NotUnderstoodError, convert
from nms.monitor.snmp.asn1 import Oid, Value, oid_text
from nms.monitor.snmp.outcome import Reading, Refusal, Silence, Target
from nms.monitor.snmp.sweep import Sweeper
from nms.monitor.snmp.usm import Security

Answer = Sequence[Value] | Silence | Refusal
Ask = Callable[[Sequence[Oid]], Answer]
"""The values of these OIDs, None where the device has none; or why there is no answer."""

AT_ONCE: Final = 16
"""OIDs in one request: more do not fit what small agents answer in one datagram."""

MOST_INTERFACES: Final = 64
"""Interfaces are looked for by number up to this one; those with higher numbers are only counted."""

_SYSTEM: Final = (1, 3, 6, 1, 2, 1, 1)
_DESCRIPTION, _OBJECT_ID, _NAME = ((*_SYSTEM, n, 0) for n in (1, 2, 5))
_IF_NUMBER: Final = (1, 3, 6, 1, 2, 1, 2, 1, 0)
_IF_DESCRIPTION: Final = (1, 3, 6, 1, 2, 1, 2, 2, 1, 2)
_IF_STATUS: Final = (1, 3, 6, 1, 2, 1, 2, 2, 1, 8)
_IF_IN: Final = (1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 6)
_IF_OUT: Final = (1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 10)
_UP: Final = 1


class Found(StrEnum):
    """What became of a raw value."""

    READ = "read"
    ABSENT = "absent"
    ODD = "not understood"


@dataclass(frozen=True, slots=True)
class Shown:
    """One column of the profile: the raw value as ``literal`` shows it, and the metric if there is one."""

    metric: str
    unit: str
    oid: str
    raw: str
    found: Found
    value: Metric | None


@dataclass(frozen=True, slots=True)
class Interface:
    """Octets are None where the device does not count them in 64 bits."""

    number: int
    name: str
    up: bool
    received: int | None
    sent: int | None


@dataclass(frozen=True, slots=True)
class Probe:
    """``profile`` is None if no family fits. ``interfaces`` are listed for a family that only counts them."""

    identity: Identity
    name: str
    profile: Profile | None
    shown: tuple[Shown, ...] = ()
    exceeded: tuple[str, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    hidden: int = 0


def probe(ask: Ask, profiles: Mapping[str, Profile], wanted: Profile | None = None) -> Probe | Silence | Refusal:
    """Who answers, and what the profile reads there. The first question that gets no answer ends it."""
    system = ask((_DESCRIPTION, _OBJECT_ID, _NAME))
    if isinstance(system, Silence | Refusal):
        return system
    marks = sorted({oid for profile in profiles.values() for oid in profile.also})
    marked = _many(ask, marks)
    if isinstance(marked, Silence | Refusal):
        return marked
    present = tuple(oid for oid, value in zip(marks, marked, strict=True) if value is not None)
    identity = Identity(_object_id(system[1]), _text(system[0]), present)
    profile = wanted or recognise(profiles.values(), identity)
    if profile is None:
        return Probe(identity, _text(system[2]), None)
    values = _many(ask, profile.oids)
    if isinstance(values, Silence | Refusal):
        return values
    shown = tuple(show(column, value) for column, value in zip(profile.columns, values, strict=True))
    metrics: Metrics = {s.metric: s.value for s in shown if s.value is not None}
    counted = metrics.get("interfaces")
    listed = _interfaces(ask, int(counted)) if isinstance(counted, float) else ()
    hidden = max(int(counted) - len(listed), 0) if isinstance(counted, float) else 0
    return Probe(identity, _text(system[2]), profile, shown, profile.exceeded(metrics), listed, hidden)


def show(column: Column, value: Value) -> Shown:
    """What the column makes of a raw value."""
    found, metric = Found.ABSENT, None
    try:
        metric = convert(column, value)
        found = Found.ABSENT if metric is None else Found.READ
    except NotUnderstoodError:
        found = Found.ODD
    return Shown(column.metric, column.unit, oid_text(column.oid), literal(value), found, metric)


def asker(sweeper: Sweeper, address: str, port: int, security: Security) -> Ask:
    """Asks one device through the poll engine, so that it is asked exactly as the fleet is."""

    def ask(oids: Sequence[Oid]) -> Answer:
        columns = tuple(Column(oid_text(oid), oid, Kind.RAW) for oid in oids)
        raw = Profile(name=" ".join(c.metric for c in columns), title="", recognise=(), also=(), columns=columns)
        device = DeviceId(f"{address}:{port}")
        outcome = sweeper.sweep([Target(device, address, port, security, raw)]).outcomes[device]
        if not isinstance(outcome, Reading):
            return outcome
        return tuple(parse_literal(str(outcome.metrics.get(column.metric, ""))) for column in columns)

    return ask


def _many(ask: Ask, oids: Sequence[Oid]) -> Answer:
    """``ask`` in as many requests as it takes."""
    values: list[Value] = []
    for at in range(0, len(oids), AT_ONCE):
        answer = ask(oids[at : at + AT_ONCE])
        if isinstance(answer, Silence | Refusal):
            return answer
        values += answer
    return values


def _interfaces(ask: Ask, count: int) -> tuple[Interface, ...]:
    """The interfaces numbered up to ``MOST_INTERFACES``, until as many are found as there are."""
    return tuple(interface for _, interface in zip(range(count), _numbered(ask), strict=False))


def _numbered(ask: Ask) -> Iterator[Interface]:
    for number in range(1, MOST_INTERFACES + 1):
        values = ask([(*column, number) for column in (_IF_DESCRIPTION, _IF_STATUS, _IF_IN, _IF_OUT)])
        if isinstance(values, Silence | Refusal):
            return
        name, status, received, sent = values
        if name is not None:
            yield Interface(number, _text(name), status == _UP, _count(received), _count(sent))


def _count(value: Value) -> int | None:
    return value if isinstance(value, int) else None


def _text(value: Value) -> str:
    return value.decode("utf-8", "replace").strip("\x00 \t\r\n") if isinstance(value, bytes) else ""


def _object_id(value: Value) -> Oid:
    return value if isinstance(value, tuple) else (0, 0)
