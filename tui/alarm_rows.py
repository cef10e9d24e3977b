"""Alarms, repairs, planned work and silences as the faces show them, made from the store and the places of today."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from audio.muting import Mute
from inventory.model import Device, DeviceId, Sim, Tier
from nms.alarms import Alarm
from nms.moments import to_milliseconds
from nms.monitor.cellular import Usage, spending
from nms.monitor.health import Window
from nms.monitor.windows import planned
from nms.store import AlarmRow, MaintenanceRow, RepairRow, SimUsageRow
from tui import alarm_methods as a
from tui import methods as m
from tui.overview import Places

MONTHS_SHOWN = 3
MOST_CALLS = 50


def sim_of(device: Device | None) -> Sim | None:
    return device.sim if device is not None else None


def alarm_devices(places: Places, alarm: Alarm) -> list[Device]:
    """The devices that an alarm is about or explains, as far as they are in use."""
    names = dict.fromkeys((alarm.subject, *alarm.affected))
    return [found for name in names if (found := places.devices.get(DeviceId(name))) is not None]


def alarm_row(
    places: Places, alarm: Alarm, ended: datetime | None, now: datetime, forbidden: tuple[m.Problem, ...] = ()
) -> a.AlarmRow:
    devices = alarm_devices(places, alarm)
    quiet = alarm.quiet_until is not None and alarm.quiet_until > now
    state = "over" if ended else "repair" if quiet else "acknowledged" if alarm.acknowledged else "open"
    return a.AlarmRow(
        id=alarm.id,
        subject=alarm.subject,
        kind=str(alarm.kind),
        state=state,
        opened=to_milliseconds(alarm.opened),
        since=to_milliseconds(alarm.since),
        cause=alarm.cause,
        devices=alarm.affected,
        communes=tuple(sorted({places.tier_of(d.id, Tier.COMMUNE) for d in devices})),
        calls=_calls(places, devices),
        acknowledged=_ms(alarm.acknowledged),
        by=alarm.by,
        comment=alarm.comment,
        quiet_until=_ms(alarm.quiet_until),
        cleared=_ms(ended),
        forbidden=forbidden,
    )


def _calls(places: Places, devices: Iterable[Device]) -> tuple[a.Call, ...]:
    """Whom to call, hamlet by hamlet, where most is lost first."""
    listed = [d for d in devices if d.hamlet is not None]
    counts = Counter(d.hamlet for d in listed)
    first = {d.hamlet: d for d in reversed(listed)}
    ordered = sorted(first.values(), key=lambda d: (-counts[d.hamlet], d.id))
    return tuple(
        a.Call(places.hamlet(d), places.tier_of(d.id, Tier.COMMUNE), counts[d.hamlet], places.contact(d))
        for d in ordered[:MOST_CALLS]
    )


def _ms(at: datetime | None) -> int:
    return to_milliseconds(at) if at is not None else 0


def repair_row(row: RepairRow) -> a.RepairRow:
    return a.RepairRow(
        id=row.id,
        device=row.device,
        who=row.who,
        part=row.part,
        opened=to_milliseconds(row.opened),
        opened_by=row.opened_by,
        until=to_milliseconds(row.until),
        closed=_ms(row.closed),
        closed_by=row.closed_by,
    )


def works(session: Session, places: Places, device: DeviceId, now: datetime) -> Iterable[a.WorkRow]:
    """Planned work that has not ended, from the inventory and from people."""
    opened = session.scalars(select(MaintenanceRow).where(MaintenanceRow.until > now).order_by(MaintenanceRow.from_))
    windows = [Window(row.from_, row.until, row.reason) for row in opened if device in row.devices]
    windows += [w for w in planned(places.network, places.on).get(device, ()) if w.end > now]
    return (a.WorkRow(to_milliseconds(w.start), to_milliseconds(w.end), w.reason) for w in windows)


def usages(session: Session, sim: Sim | None, now: datetime) -> Iterable[a.UsageRow]:
    """The SIM's latest months, the latest first."""
    if sim is None:
        return
    query = select(SimUsageRow).where(SimUsageRow.sim == (sim.iccid or sim.number)).order_by(SimUsageRow.month.desc())
    for row in session.scalars(query.limit(MONTHS_SHOWN)):
        usage = Usage(**{name: getattr(row, name) for name in Usage.__slots__})
        spent = spending(usage, sim.plan, now)
        yield a.UsageRow(usage.month, spent.used, spent.quota, spent.forecast, str(spent.level), usage.without_s)


def silenced_row(places: Places, mute: Mute, forbidden: tuple[m.Problem, ...] = ()) -> m.Silenced:
    device = places.devices.get(DeviceId(mute.device))
    person = next((p for p in places.network.people.values() if p.id == mute.by), None)
    return m.Silenced(
        device=mute.device,
        commune=places.tier_of(DeviceId(mute.device), Tier.COMMUNE),
        hamlet=places.hamlet(device) if device else "",
        contact=places.contact(device) if device else "",
        since=to_milliseconds(mute.start),
        until=to_milliseconds(mute.until),
        by=person.name if person else mute.by,
        reason=mute.reason,
        expired=mute.expired,
        forbidden=forbidden,
    )


def silenced_now(mutes: Iterable[Mute], now: datetime) -> tuple[Mute, ...]:
    """Of each device its silence in force, or else the last one if its date has ended it."""
    latest = {mute.device: mute for mute in sorted(mutes, key=lambda x: x.start)}
    return tuple(mute for mute in latest.values() if now < mute.over or mute.expired)


def counts(session: Session, now: datetime, silenced: int) -> m.AlarmCounts:
    """The open alarms by what is being done about them."""
    rows = session.execute(select(AlarmRow.acknowledged, AlarmRow.quiet_until).where(AlarmRow.cleared.is_(None))).all()
    quiet = sum(until is not None and until > now for _, until in rows)
    waiting = sum(taken is None and (until is None or until <= now) for taken, until in rows)
    return m.AlarmCounts(len(rows), waiting, quiet, silenced)
