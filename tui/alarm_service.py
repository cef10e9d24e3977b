"""What the hub answers about alarms, repairs, planned work and single devices. Operators and technicians act in their
own area; reading is free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from inventory.diagnostics import Diagnostic, Place
from inventory.model import Device, DeviceId, Person, Role, Sim, Tier
from inventory.select import Selection, parse
from nms.alarm_store import (
    Repair,
    acknowledge,
    close_repair,
    open_alarms,
    open_maintenance,
    open_repair,
    past_alarms,
    repairs,
)
from nms.alarms import Alarm
from nms.i18n import N_
from nms.journal import audit, recent
from nms.monitor.cellular import Usage, spending
from nms.monitor.health import Window
from nms.monitor.windows import planned
from nms.store import (
    DeviceStateRow,
    MaintenanceRow,
    RepairRow,
    SimUsageRow,
    Store,
    from_milliseconds,
    to_milliseconds,
)
from tui import alarm_methods as a
from tui import methods as m
from tui.hub import Caller, Handler, Refusal, refuse
from tui.overview import UNKNOWN, Places, device_row

if TYPE_CHECKING:
    from nms.monitor.loop import Snapshot

EVENTS_SHOWN = 20
MONTHS_SHOWN = 3
MOST_CALLS = 50


class AlarmService:
    """``where``: the places of today; ``latest``: the fleet as last known; ``playing``: the bulletin by device."""

    def __init__(
        self,
        where: Callable[[], Places],
        clock: Callable[[], datetime],
        latest: Callable[[], Snapshot | None],
        playing: Callable[[], Awaitable[Mapping[str, str]]],
        store: Store,
    ) -> None:
        self._where = where
        self._clock = clock
        self._latest = latest
        self._playing = playing
        self._store = store

    def handlers(self) -> dict[str, Handler]:
        """Every method of ``tui.alarm_methods`` by its name."""
        answers: Iterable[tuple[m.Method[Any, Any], Any]] = (
            (a.ALARMS, self.alarms),
            (a.ACKNOWLEDGE, self.acknowledge),
            (a.REPAIR, self.repair),
            (a.MENDED, self.mended),
            (a.MAINTAIN, self.maintain),
            (a.DEVICE, self.device),
        )
        return {method.name: Handler(method, answer=answer) for method, answer in answers}

    # -- what is

    async def alarms(self, _: Caller, params: a.Alarms) -> a.AlarmRows:
        places, now = self._where(), self._clock()
        meant = self._selected(places, params.selection) if params.selection else None

        def query(session: Session) -> list[tuple[Alarm, datetime | None]]:
            past = past_alarms(session) if params.past else ()
            return [*((alarm, None) for alarm in open_alarms(session)), *past]

        found = await self._store.read(query)
        rows = tuple(_row(places, alarm, ended, now) for alarm, ended in found)
        return a.AlarmRows(tuple(r for r in rows if meant is None or meant & {r.subject, *r.devices}))

    async def device(self, _: Caller, params: a.DeviceId) -> a.Device:
        places, now = self._where(), self._clock()
        device = self._known(places, params.device)
        playing = (await self._playing()).get(device.id, "")
        paying = device.sim or _sim(places.devices.get(device.uplink) if device.uplink else None)
        return await self._store.read(lambda s: self._told(s, places, device, paying, playing, now))

    def _told(
        self, session: Session, places: Places, device: Device, sim: Sim | None, playing: str, now: datetime
    ) -> a.Device:
        snapshot, kept = self._latest(), session.get(DeviceStateRow, device.id)
        health = snapshot.healths.get(device.id) if snapshot else None
        reading = snapshot.reading(device.id) if snapshot else None
        asked = snapshot.asked.get(device.id) if snapshot and reading else None
        read = asked or (kept.last_seen if kept else None)
        metrics = reading.metrics if reading else dict(kept.reading) if kept else {}
        current = [alarm for alarm in open_alarms(session) if device.id in (alarm.subject, *alarm.affected)]
        alarms = [*((alarm, None) for alarm in current), *past_alarms(session, device.id)]
        return a.Device(
            row=device_row(places, device, health, metrics, playing),
            profile=device.profile,
            contact=places.contact(device),
            power_area=device.power_area or "",
            sim=" ".join(filter(None, (sim.operator, sim.number, sim.plan))) if sim else "",
            timer=f"{device.off.start:%H:%M}-{device.off.end:%H:%M}" if device.off else "",
            in_service=device.in_service.isoformat(),
            cell=(health.cell or "") if health else "",
            read=to_milliseconds(read) if read else 0,
            work=tuple(_works(session, places, device.id, now)),
            alarms=tuple(_row(places, alarm, ended, now) for alarm, ended in alarms),
            repairs=tuple(_repair(row) for row in repairs(session, device.id)),
            usage=tuple(_usages(session, sim, now)),
            events=tuple(
                m.EventRow(e.id, to_milliseconds(e.at), e.subject, str(e.kind), e.from_, e.to, e.cause)
                for e in recent(session, EVENTS_SHOWN, device.id)
            ),
        )

    # -- what people do

    async def acknowledge(self, caller: Caller, params: a.Acknowledge) -> a.AlarmRow:
        person, places, now = caller.known(), self._where(), self._clock()
        alarm = self._meant(await self._store.read(open_alarms), params.alarm)
        self._may(places, person, _devices(places, alarm))

        def act(session: Session) -> Alarm | None:
            taken = acknowledge(session, alarm.id, person.id, params.comment, now)
            if taken is not None:
                data = {"kind": str(alarm.kind), "comment": params.comment}
                audit(session, now, person.id, caller.uid, "alarm.acknowledge", alarm.subject, data)
            return taken

        taken = await self._store.write(act)
        if taken is None:
            raise _no_alarm(params.alarm)
        return _row(places, taken, None, now)

    async def repair(self, caller: Caller, params: a.Repair) -> a.RepairRow:
        person, places, now = caller.known(), self._where(), self._clock()
        device = self._known(places, params.device)
        self._may(places, person, [device])
        until = self._later(params.until, now)

        def act(session: Session) -> a.RepairRow:
            order = Repair(device.id, params.who, params.part, until)
            number = open_repair(session, order, person.id, now)
            data = {"part": params.part, "who": params.who, "until": until.isoformat()}
            audit(session, now, person.id, caller.uid, "device.repair", device.id, data)
            return next(_repair(row) for row in repairs(session, device.id) if row.id == number)

        return await self._store.write(act)

    async def mended(self, caller: Caller, params: a.DeviceId) -> m.Nothing:
        person, places, now = caller.known(), self._where(), self._clock()
        device = self._known(places, params.device)
        self._may(places, person, [device])

        def act(session: Session) -> bool:
            closed = close_repair(session, device.id, person.id, now)
            if closed:
                audit(session, now, person.id, caller.uid, "device.mended", device.id, {})
            return closed

        if not await self._store.write(act):
            message, fix = N_("'{device}' has no open repair order"), N_("open one with: loa repair {device} …")
            raise _refused("MON053", message, fix, device=device.id)
        return m.Nothing()

    async def maintain(self, caller: Caller, params: a.Maintain) -> a.Maintained:
        person, places, now = caller.known(), self._where(), self._clock()
        devices = self._selected(places, params.selection)
        self._may(places, person, [places.devices[DeviceId(d)] for d in devices])
        until = self._later(params.until, now)
        start = max(now, from_milliseconds(params.start))
        if until <= start:
            raise _ended(until)

        def act(session: Session) -> tuple[str, ...]:
            window = Window(start, until, params.reason)
            row = open_maintenance(session, params.selection, devices, window, person.id)
            data = {"devices": row.devices, "until": until.isoformat(), "reason": params.reason}
            audit(session, now, person.id, caller.uid, "device.maintenance", params.selection, data)
            return tuple(row.devices)

        return a.Maintained(await self._store.write(act))

    # -- what they need

    def _selected(self, places: Places, text: str) -> set[str]:
        """The devices in use of a selection; a refusal when it does not parse or means none."""
        selection = parse(text, places.network, places.on)
        if not isinstance(selection, Selection):
            raise refuse(selection)
        snapshot = self._latest()
        healths = snapshot.healths if snapshot else {}
        states = {d: str(health.state) for d, health in healths.items()}
        found = {d.id for d in selection.devices(places.on, lambda d: states.get(d, UNKNOWN)) if d.id in places.devices}
        if not found:
            raise _refused("MON054", N_("'{selection}' means no device"), N_("see: loa show"), selection=text)
        return {str(d) for d in found}

    def _known(self, places: Places, device: str) -> Device:
        found = places.devices.get(DeviceId(device.upper()))
        if found is None:
            message, fix = N_("'{device}' is not a device in use"), N_("see: loa show")
            raise _refused("MON052", message, fix, device=device)
        return found

    def _meant(self, alarms: Iterable[Alarm], name: str) -> Alarm:
        """The one open alarm of that id, end of an id, or subject."""
        found = [x for x in alarms if name and (x.id.endswith(name.lower()) or x.subject.lower() == name.lower())]
        if len(found) != 1:
            raise _no_alarm(name)
        return found[0]

    def _may(self, places: Places, person: Person, devices: Iterable[Device]) -> None:
        """Refuses whoever is no operator or technician of an area in which all this lies; the hub is the province's."""
        able = Role.OPERATOR in person.roles or Role.TECHNICIAN in person.roles
        chains = [places.chains[d.id] for d in devices] or [(places.network.province,)]
        outside = next((chain for chain in chains if not able or person.area not in chain), None)
        if outside is not None:
            unit = places.network.units.get(outside[0]) if outside else None
            message = N_("{person} is no operator or technician for {unit}")
            fix = N_("ask one of the area, or correct roles and area in people.yaml")
            raise _refused("MON051", message, fix, person=person.name, unit=unit.name if unit else "")

    def _later(self, until: int, now: datetime) -> datetime:
        end = from_milliseconds(until)
        if end <= now:
            raise _ended(end)
        return end


def _refused(code: str, message: str, fix: str, **fields: str) -> Refusal:
    return refuse((Diagnostic(code, Place(""), message, fix, fields),))


def _no_alarm(name: str) -> Refusal:
    message = N_("'{alarm}' is not one open alarm")
    return _refused("MON050", message, N_("give an alarm's number, as shown by: loa alarms"), alarm=name)


def _ended(end: datetime) -> Refusal:
    message = N_("{until} has passed, or comes before the beginning")
    return _refused("MON055", message, N_("give a later time"), until=end.isoformat(timespec="minutes"))


def _sim(device: Device | None) -> Sim | None:
    return device.sim if device is not None else None


def _devices(places: Places, alarm: Alarm) -> list[Device]:
    """The devices that an alarm is about or explains, as far as they are in use."""
    names = dict.fromkeys((alarm.subject, *alarm.affected))
    return [found for name in names if (found := places.devices.get(DeviceId(name))) is not None]


def _row(places: Places, alarm: Alarm, ended: datetime | None, now: datetime) -> a.AlarmRow:
    devices = _devices(places, alarm)
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


def _repair(row: RepairRow) -> a.RepairRow:
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


def _works(session: Session, places: Places, device: DeviceId, now: datetime) -> Iterable[a.WorkRow]:
    """Planned work that has not ended, from the inventory and from people."""
    opened = session.scalars(select(MaintenanceRow).where(MaintenanceRow.until > now).order_by(MaintenanceRow.from_))
    windows = [Window(row.from_, row.until, row.reason) for row in opened if device in row.devices]
    windows += [w for w in planned(places.network, places.on).get(device, ()) if w.end > now]
    return (a.WorkRow(to_milliseconds(w.start), to_milliseconds(w.end), w.reason) for w in windows)


def _usages(session: Session, sim: Sim | None, now: datetime) -> Iterable[a.UsageRow]:
    """The SIM's latest months, the latest first."""
    if sim is None:
        return
    query = select(SimUsageRow).where(SimUsageRow.sim == (sim.iccid or sim.number)).order_by(SimUsageRow.month.desc())
    for row in session.scalars(query.limit(MONTHS_SHOWN)):
        usage = Usage(**{name: getattr(row, name) for name in Usage.__slots__})
        spent = spending(usage, sim.plan, now)
        yield a.UsageRow(usage.month, spent.used, spent.quota, spent.forecast, str(spent.level), usage.without_s)
