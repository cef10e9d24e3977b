"""The overview as the faces show it, made from the inventory, the newest sweep and what plays. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date

from inventory.model import Device, DeviceId, Network, Tier, UnitId
from inventory.select import fold
from nms.moments import to_milliseconds
from nms.monitor.family import Metrics
from nms.monitor.health import Health
from tui.methods import DeviceRow, UnitRow
from tui.views.words import hamlet_name

UNKNOWN = "unknown"


class Places:
    """Where every device in use stands on a date: looked up once: it changes only with the inventory."""

    def __init__(self, network: Network, on: date) -> None:
        self.network = network
        self.on = on
        self.devices: dict[DeviceId, Device] = {d.id: d for d in network.devices_on(on)}
        self.chains = {d.id: network.device_chain(d, on) for d in self.devices.values()}

    def tier_of(self, device: DeviceId, tier: Tier) -> str:
        """The name of the device's commune, district or province; empty where it has none."""
        for unit in self.chains.get(device, ()):
            if self.network.units[unit].tier is tier:
                return self.network.units[unit].name
        return ""

    def hamlet(self, device: Device) -> str:
        hamlet = self.network.hamlets.get(device.hamlet) if device.hamlet else None
        return hamlet_name(hamlet) if hamlet else ""

    def contact(self, device: Device) -> str:
        hamlet = self.network.hamlets.get(device.hamlet) if device.hamlet else None
        contact = hamlet.contact if hamlet else None
        return f"{contact.name} {contact.phone}" if contact else ""


def device_row(places: Places, device: Device, health: Health | None, metrics: Metrics, playing: str) -> DeviceRow:
    """A device as the faces show it; ``metrics`` of its last reading, if it gave one."""
    return DeviceRow(
        device=device.id,
        kind=str(device.kind),
        name=device.name,
        commune=places.tier_of(device.id, Tier.COMMUNE),
        district=places.tier_of(device.id, Tier.DISTRICT),
        hamlet=places.hamlet(device),
        uplink=device.uplink or "",
        state=str(health.state) if health else UNKNOWN,
        cause=(health.cause or "") if health else "",
        since=to_milliseconds(health.since) if health else 0,
        playing=playing,
        values={name: str(value) for name, value in metrics.items()},
    )


def unit_rows(places: Places, states: Mapping[DeviceId, str], playing: Iterable[str]) -> tuple[UnitRow, ...]:
    """One row for each unit with devices, the province first, then by name (Đ beside D, not after Z)."""
    counts: dict[UnitId, Counter[str]] = {}
    sounding: Counter[UnitId] = Counter()
    on_air = set(playing)
    for device, chain in places.chains.items():
        state = states.get(device, UNKNOWN)
        for unit in chain:
            counts.setdefault(unit, Counter())[state] += 1
            sounding[unit] += device in on_air
    units = places.network.units
    order = {Tier.PROVINCE: 0, Tier.DISTRICT: 1, Tier.COMMUNE: 2}
    rows = [
        UnitRow(u, units[u].name, str(units[u].tier), units[u].parent or "", dict(c), sounding[u])
        for u, c in counts.items()
    ]
    return tuple(sorted(rows, key=lambda r: (order[Tier(r.tier)], fold(r.name), r.unit)))
