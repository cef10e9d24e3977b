"""What one device says of itself and what a profile makes of it, raw beside normalised.

The family is the one named, else the one recognised by sysObjectID, by OIDs only one family has and by sysDescr.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from nms.monitor.family import Column, Identity, Metric, Metrics, Profile, recognise
from nms.monitor.readings import NotUnderstoodError, convert
from nms.monitor.snmp.asn1 import Oid, Value, oid_text
from nms.monitor.snmp.outcome import Refusal, Silence
from nms.monitor.snmp.walk import Walk

AT_ONCE: Final = 16
"""OIDs in one request: more do not fit what small agents answer in one datagram."""

MOST_INTERFACES: Final = 64
"""Of a device with more interfaces the others are only counted."""

_SYSTEM: Final = (1, 3, 6, 1, 2, 1, 1)
_DESCRIPTION, _OBJECT_ID, _NAME = ((*_SYSTEM, n, 0) for n in (1, 2, 5))
_IF_DESCRIPTION: Final = (1, 3, 6, 1, 2, 1, 2, 2, 1, 2)
_IF_STATUS: Final = (1, 3, 6, 1, 2, 1, 2, 2, 1, 8)
_IF_IN: Final = (1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 6)
_IF_OUT: Final = (1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 10)
_UP: Final = 1


class Device(Protocol):
    """Whoever asks one device: ``snmp.walk.Dialogue``."""

    def get(self, oids: Sequence[Oid]) -> tuple[Value, ...] | Silence | Refusal: ...

    def walk(self, root: Oid, limit: int) -> Walk: ...


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


def probe(device: Device, profiles: Mapping[str, Profile], wanted: Profile | None = None) -> Probe | Silence | Refusal:
    """Who answers, and what the profile reads there. The first question that gets no answer ends it."""
    system = device.get((_DESCRIPTION, _OBJECT_ID, _NAME))
    if not isinstance(system, tuple):
        return system
    marks = sorted({oid for profile in profiles.values() for oid in profile.also})
    marked = _many(device, marks)
    if not isinstance(marked, tuple):
        return marked
    present = tuple(oid for oid, value in zip(marks, marked, strict=True) if value is not None)
    identity = Identity(_object_id(system[1]), _text(system[0]), present)
    profile = wanted or recognise(profiles.values(), identity)
    if profile is None:
        return Probe(identity, _text(system[2]), None)
    values = _many(device, profile.oids)
    if not isinstance(values, tuple):
        return values
    shown = tuple(show(column, value) for column, value in zip(profile.columns, values, strict=True))
    metrics: Metrics = {s.metric: s.value for s in shown if s.value is not None}
    count = metrics.get("interfaces")
    listed = tuple(_interfaces(device)) if isinstance(count, float) else ()
    hidden = max(int(count) - len(listed), 0) if isinstance(count, float) else 0
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


def literal(value: Value) -> str:
    """A raw value as people write it: ``-71``, ``"Telia"``, ``0x0700``, ``1.3.6.1``; an absent one as nothing."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return _octets(value)
    return oid_text(value) if isinstance(value, tuple) else str(value)


def _octets(value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return f"0x{value.hex()}"
    return json.dumps(text, ensure_ascii=False) if text.isprintable() else f"0x{value.hex()}"


def _many(device: Device, oids: Sequence[Oid]) -> tuple[Value, ...] | Silence | Refusal:
    """``get`` in as many requests as it takes."""
    values: list[Value] = []
    for at in range(0, len(oids), AT_ONCE):
        answer = device.get(oids[at : at + AT_ONCE])
        if not isinstance(answer, tuple):
            return answer
        values += answer
    return tuple(values)


def _interfaces(device: Device) -> Iterator[Interface]:
    """The interfaces by number; a device that falls silent meanwhile has no more."""
    for oid, name in device.walk(_IF_DESCRIPTION, MOST_INTERFACES).rows:
        number = oid[-1]
        values = device.get([(*column, number) for column in (_IF_STATUS, _IF_IN, _IF_OUT)])
        if not isinstance(values, tuple):
            return
        status, received, sent = values
        yield Interface(number, _text(name), status == _UP, _count(received), _count(sent))


def _count(value: Value) -> int | None:
    return value if isinstance(value, int) else None


def _text(value: Value) -> str:
    return value.decode("utf-8", "replace").strip("\x00 \t\r\n") if isinstance(value, bytes) else ""


def _object_id(value: Value) -> Oid:
    return value if isinstance(value, tuple) else (0, 0)
