"""Rules about what may be off: daily timers, planned work, limits of single devices."""

from __future__ import annotations

from collections.abc import Iterator

from inventory.codes import Finding
from inventory.model import Device, Network


def _timers(network: Network) -> Iterator[Finding]:
    for device in network.devices.values():
        if device.off is not None and device.off.start == device.off.end:
            yield Finding("INV310", device.place, ("off",), {"id": device.id, "at": f"{device.off.start:%H:%M}"})


def _limits(network: Network) -> Iterator[Finding]:
    for device in network.devices.values():
        yield from _crossed(device)


def _crossed(device: Device) -> Iterator[Finding]:
    for limit in device.limits:
        if limit.low is not None and limit.high is not None and limit.low > limit.high:
            fields = {"metric": limit.metric, "low": f"{limit.low:g}", "high": f"{limit.high:g}"}
            yield Finding("INV311", device.place, ("limits", limit.metric), fields)


def _maintenance(network: Network) -> Iterator[Finding]:
    for work in network.maintenance:
        if work.end <= work.start:
            fields = {"end": f"{work.end:%Y-%m-%dT%H:%M}", "start": f"{work.start:%Y-%m-%dT%H:%M}"}
            yield Finding("INV312", work.place, ("until",), fields)
        if (work.unit is None) == (work.device is None):
            yield Finding("INV313", work.place)
        if work.device is not None and work.device not in network.devices:
            yield Finding("INV112", work.place, ("device",), {"id": work.device})


WORK_CHECKS = (_timers, _limits, _maintenance)
