"""Which readings are faults: a family's limits, a device's own in their place, and a margin before one mends. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from inventory.model import DeviceLimit
from nms.monitor.family import Limit, Metric, Metrics, Profile

MARGIN: Final = 0.02
"""Share of a limit's size by which a reading must be inside it to end a fault, so that one at the limit stays one."""

Limits = Mapping[str, Limit]


def limits_of(profile: Profile, own: Iterable[DeviceLimit]) -> Limits:
    """The profile's limits with the device's own in their place; an own one without bounds takes the limit away."""
    found = dict(profile.limits)
    for limit in own:
        found[limit.metric] = Limit(limit.low, limit.high)
    return found


def faults(limits: Limits, metrics: Metrics, before: Iterable[str] = ()) -> tuple[str, ...]:
    """The metrics that are at fault, given those that were (``before``); an absent metric is none."""
    known = frozenset(before)
    return tuple(
        name
        for name, limit in limits.items()
        if name in metrics and _narrowed(limit, name in known, metrics[name]).exceeded(metrics[name])
    )


def _narrowed(limit: Limit, faulty: bool, value: Metric) -> Limit:
    if not faulty or isinstance(value, bool | str):
        return limit
    low = None if limit.low is None else limit.low + abs(limit.low) * MARGIN
    high = None if limit.high is None else limit.high - abs(limit.high) * MARGIN
    return replace(limit, low=low, high=high)
