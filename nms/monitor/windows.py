"""When a device is meant to be off: its daily timer, and work that was planned. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final

from inventory.model import TIMEZONE, DeviceId, Network, Off
from nms.monitor.vitals import Window

TIMER_SLACK: Final = timedelta(minutes=10)
"""Timers run early or late, and a device takes its time to start: before and after the window it is excused too."""


def timer_end(off: Off, silent_since: datetime) -> datetime | None:
    """Until when the timer excuses a silence that began at ``silent_since``; None if it does not."""
    local = silent_since.astimezone(TIMEZONE)
    for day in (local.date() - timedelta(days=1), local.date(), local.date() + timedelta(days=1)):
        start, end = _span(off, day)
        if start - TIMER_SLACK <= local < end + TIMER_SLACK:
            return end + TIMER_SLACK
    return None


def _span(off: Off, day: date) -> tuple[datetime, datetime]:
    """The window that begins on ``day``."""
    until = day if off.end > off.start else day + timedelta(days=1)
    return datetime.combine(day, off.start, TIMEZONE), datetime.combine(until, off.end, TIMEZONE)


def planned(network: Network, on: date) -> Mapping[DeviceId, tuple[Window, ...]]:
    """The work that the inventory announces, by device; a unit's holds for everything in it and below on that date."""
    found: dict[DeviceId, tuple[Window, ...]] = {}
    if not network.maintenance:
        return found
    for device in network.devices_on(on):
        chain = network.device_chain(device, on)
        windows = tuple(
            Window(work.start, work.end, work.reason)
            for work in network.maintenance
            if work.device == device.id or (work.unit is not None and work.unit in chain)
        )
        if windows:
            found[device.id] = windows
    return found
