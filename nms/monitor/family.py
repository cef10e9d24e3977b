"""A device family as a value: how it is recognised, what it is asked, what its answers mean, which are too much."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from nms.monitor.snmp.asn1 import Oid

Metric = float | str | bool
Metrics = Mapping[str, Metric]

METRICS: Final[Mapping[str, str]] = {
    "uptime_s": "s",
    "rsrp_dbm": "dBm",
    "rsrq_db": "dB",
    "sinr_db": "dB",
    "rssi_dbm": "dBm",
    "cell": "",
    "enb": "",
    "operator": "",
    "radio": "",
    "connection": "",
    "registration": "",
    "sim": "",
    "rx_bytes": "B",
    "tx_bytes": "B",
    "temperature_c": "°C",
    "supply_v": "V",
    "load": "",
    "cpu_percent": "%",
    "memory_bytes": "B",
    "memory_free_bytes": "B",
    "interfaces": "",
    "playing": "",
    "airing": "",
    "volume": "%",
    "level_lufs": "LUFS",
    "buffer_s": "s",
    "cache_bytes": "B",
    "clock_error_s": "s",
    "refused_envelopes": "",
    "message": "",
    "control": "",
    "brightness": "%",
    "brightness_level": "",
    "error_bits": "",
    "on_battery": "",
    "battery_low": "",
    "battery_percent": "%",
    "battery_v": "V",
    "battery_left_s": "s",
    "battery_temperature_c": "°C",
    "input_v": "V",
    "output_v": "V",
    "output_load_percent": "%",
}
"""Every metric a profile may give, with its unit (SI or the unit radio and sound people use)."""

MAX_DESCRIPTION: Final = 255
"""Characters of sysDescr that are looked at: SNMPv2-MIB allows no more (DisplayString)."""


class Kind(StrEnum):
    """How a value becomes a metric: a number, a counter (never negative), text, bytes as hex digits, a yes/no."""

    NUMBER = "number"
    COUNTER = "counter"
    TEXT = "text"
    HEX = "hex"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Limit:
    """A reading outside ``low .. high`` makes the device degraded; None is no limit. A flag counts as 0 or 1."""

    low: float | None = None
    high: float | None = None

    def exceeded(self, value: Metric) -> bool:
        if isinstance(value, str):
            return False
        return (self.low is not None and value < self.low) or (self.high is not None and value > self.high)


@dataclass(frozen=True, slots=True)
class Column:
    """One OID asked for and the metric it gives: ``raw * scale`` in the metric's unit.

    ``unit`` is what may stand behind a number in text. ``absent`` are raw values, as text, that mean *no reading*.
    ``on`` are the raw values for which a flag is true. ``words`` are the texts that raw values stand for; with them
    any other raw value is not understood. ``wrap32`` marks a counter that firmware puts into a signed 32-bit INTEGER.
    """

    metric: str
    oid: Oid
    kind: Kind = Kind.NUMBER
    unit: str = ""
    scale: float = 1.0
    absent: frozenset[str] = frozenset()
    on: frozenset[str] = frozenset()
    words: Mapping[str, str] = field(default_factory=dict)
    wrap32: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """One family: recognised by a prefix of sysObjectID and, where families share one, by a further mark.

    Marks are ``also`` (an OID it has) and ``describes`` (a pattern found in sysDescr); of several marks one is enough.
    ``interval``: seconds from poll to poll; None: as the hub polls everybody.
    """

    name: str
    title: str
    recognise: tuple[Oid, ...]
    also: tuple[Oid, ...]
    columns: tuple[Column, ...]
    limits: Mapping[str, Limit] = field(default_factory=dict)
    describes: tuple[re.Pattern[str], ...] = ()
    interval: float | None = None

    @property
    def oids(self) -> tuple[Oid, ...]:
        return tuple(column.oid for column in self.columns)

    def exceeded(self, metrics: Metrics) -> tuple[str, ...]:
        """The metrics whose limit is exceeded, in the profile's order; an absent metric exceeds nothing."""
        return tuple(n for n, limit in self.limits.items() if n in metrics and limit.exceeded(metrics[n]))

    def exactness(self, device: Identity) -> tuple[int, int, int] | None:
        """How well the device fits, more exact is greater; None if it does not.

        First counts the length of the sysObjectID prefix, then the mark (an OID more than a description), then how
        much of sysDescr the pattern is about.
        """
        fits = [len(prefix) for prefix in self.recognise if device.object_id[: len(prefix)] == prefix]
        if not fits:
            return None
        if any(oid in device.present for oid in self.also):
            return max(fits), 2, 0
        found = [m.end() - m.start() for p in self.describes if (m := p.search(device.description))]
        if found:
            return max(fits), 1, max(found)
        return None if self.also or self.describes else (max(fits), 0, 0)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a device says it is: sysObjectID (0.0 if it has none), sysDescr, and which of the families' OIDs it has."""

    object_id: Oid
    description: str = ""
    present: Collection[Oid] = ()


def recognise(profiles: Iterable[Profile], device: Identity) -> Profile | None:
    """The family that fits best; of equals the first by name, so that the answer is always the same."""
    fitting = [(rank, profile) for profile in profiles if (rank := profile.exactness(device)) is not None]
    fitting.sort(key=lambda pair: pair[1].name)
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None
