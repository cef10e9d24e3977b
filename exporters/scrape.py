"""What one scrape says: the fleet as last swept, what was heard, coverage, and the hub itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from exporters.metrics import Family, FleetLabels, render
from inventory.coverage import coverage
from inventory.model import TIMEZONE, DeviceId, DeviceKind, Network, Tier
from nms.monitor.health import State
from nms.monitor.parts import Picture
from nms.provision.facts import drifting
from nms.store import BulletinRow, NowEntryRow, ReceiptRow, ShardRow, Store

METRICS = {
    "rsrp_dbm": ("loa_signal_rsrp_dbm", "Reference signal received power, dBm."),
    "temperature_c": ("loa_temperature_celsius", "Temperature the device reports."),
    "uptime_s": ("loa_uptime_seconds", "Time since the device started."),
}
"""Readings that become series, by the metric's name in the profiles."""


class Scrape:
    """Renders the exposition text from values others keep; holds only label strings and what changes once a day."""

    def __init__(
        self,
        network: Callable[[], Network],
        clock: Callable[[], datetime],
        monitor: Picture,
        store: Store,
        well: Callable[[], Mapping[str, bool]] = dict,
    ) -> None:
        """``well``: which parts of the hub are well, by reason."""
        self._network = network
        self._clock = clock
        self._monitor = monitor
        self._store = store
        self._well = well
        self._fixed: tuple[Network, date, FleetLabels, str] | None = None

    def sweep_age(self) -> float | None:
        """Seconds since the last sweep ended; None before the first."""
        snapshot = self._monitor.latest
        return None if snapshot is None else (self._clock() - snapshot.at).total_seconds()

    def text(self) -> str:
        """All series. Reads the store: call it from a thread."""
        labels, coverage_text = self._labels()
        return self._fleet(labels) + self._self() + self._hub() + coverage_text

    def _labels(self) -> tuple[FleetLabels, str]:
        network = self._network()
        on = network.on(self._clock().astimezone(TIMEZONE).date())
        if self._fixed is None or self._fixed[:2] != (network, on):
            self._fixed = network, on, FleetLabels(network, on), render(_coverage(network, on))
        return self._fixed[2], self._fixed[3]

    def _fleet(self, labels: FleetLabels) -> str:
        snapshot = self._monitor.latest
        if snapshot is None:
            return ""
        known = {d: h.state for d, h in snapshot.healths.items() if h.state is not State.UNKNOWN}
        up = {d: float(s in (State.UP, State.DEGRADED)) for d, s in known.items()}
        lost = {d: 1.0 for d, s in known.items() if s is State.UNREACHABLE}
        text = labels.render("loa_device_up", "1 while the device answers, 0 while it is lost.", up)
        text += labels.render("loa_device_unreachable", "1 while it is lost because of something else.", lost)
        for metric, (name, about) in METRICS.items():
            values: dict[DeviceId, float] = {}
            for device in known:
                reading = snapshot.reading(device)
                value = reading.metrics.get(metric) if reading else None
                if isinstance(value, int | float):
                    values[device] = float(value)
            text += labels.render(name, about, values)
        stats = snapshot.stats
        return text + render(
            (
                _one("loa_sweep_seconds", "gauge", "Duration of the last sweep.", stats.seconds),
                _one("loa_sweep_age_seconds", "gauge", "Time since the last sweep.", self.sweep_age() or 0.0),
                _one("loa_sweep_dropped", "gauge", "Replies the last sweep lost for want of buffer.", stats.dropped),
            )
        )

    def _self(self) -> str:
        samples = tuple(({"reason": reason}, float(ok)) for reason, ok in self._well().items())
        return render((Family("loa_self_ok", "gauge", "1 while this part of the hub is well.", samples),))

    def _hub(self) -> str:
        now = self._clock()
        network = self._network()
        on = network.on(now.astimezone(TIMEZONE).date())
        kinds = {kind: 0 for kind in DeviceKind}
        for device in network.devices_on(on):
            kinds[device.kind] += 1
        devices = Family(
            "loa_devices", "gauge", "Devices in use.", tuple(({"kind": str(k)}, n) for k, n in kinds.items())
        )
        return render(
            (
                devices,
                *self._store.read_sync(
                    lambda s: (*_parts(s, now), _receipts(s), _emergencies(s, network, now), _drifting(s))
                ),
            )
        )


def _parts(session: Session, now: datetime) -> tuple[Family, ...]:
    """Where several processes poll: how long ago the one that is furthest behind wrote."""
    oldest = session.scalar(select(func.min(ShardRow.swept)))
    if oldest is None:
        return ()
    about = "Time since the last word of the part of the fleet that is longest silent."
    return (_one("loa_shard_age_seconds", "gauge", about, max(0.0, (now - oldest).total_seconds())),)


def _drifting(session: Session) -> Family:
    about = "Devices that were not as Loa left them when they were last asked."
    return _one("loa_devices_drifting", "gauge", about, float(drifting(session)))


def _receipts(session: Session) -> Family:
    query = (
        select(BulletinRow.tier, BulletinRow.cls, ReceiptRow.result, func.count())
        .join(BulletinRow, BulletinRow.id == ReceiptRow.bulletin)
        .group_by(BulletinRow.tier, BulletinRow.cls, ReceiptRow.result)
    )
    samples = tuple(({"tier": t, "class": c, "reason": r}, float(n)) for t, c, r, n in session.execute(query))
    return Family("loa_receipts_total", "counter", "Receipts committed, by result.", samples)


def _emergencies(session: Session, network: Network, now: datetime) -> Family:
    """Communes in which an emergency is in force now, for all of them or for some devices."""
    query = select(NowEntryRow.target).where(
        NowEntryRow.kind == "emergency", NowEntryRow.ended.is_(None), NowEntryRow.from_ <= now, NowEntryRow.until > now
    )
    targets = set(session.scalars(query))
    on = network.on(now.astimezone(TIMEZONE).date())
    hit = {u.id for u in network.units_on(on, Tier.COMMUNE) if targets & {f"u/{c}" for c in network.chain(u.id)}}
    if any(not t.startswith("u/") for t in targets):
        for device in network.devices_on(on):
            places = {f"d/{device.id}", *(f"g/{g}" for g in network.groups_of(device))}
            commune = network.unit_of(device, on)
            if commune is not None and targets & places:
                hit.add(commune)
    samples = tuple(({"commune": commune}, 1.0) for commune in sorted(hit))
    return Family("loa_emergency_active", "gauge", "1 while an emergency is in force in the commune.", samples)


def _coverage(network: Network, on: date) -> tuple[Family, ...]:
    rows = coverage(network, on.year).indicators
    samples = tuple(
        ({"indicator": r.indicator, "year": str(on.year)}, float(r.share.percent) / 100)
        for r in rows
        if r.share.percent is not None
    )
    return (Family("loa_coverage_ratio", "gauge", "Share of units that have what the plan counts.", samples),)


def _one(name: str, kind: str, about: str, value: float) -> Family:
    return Family(name, kind, about, (({}, value),))
