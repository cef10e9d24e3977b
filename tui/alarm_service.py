"""What the hub answers about alarms, repairs, planned work and single devices. Operators and technicians act in their
own area; reading is free."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy.orm import Session

from audio.muting import Mended, Mute, Silencing
from audio.playout import Refusals, Stopped
from inventory.diagnostics import Diagnostic, Place
from inventory.model import Device, DeviceId, DeviceKind, Person, Role, Sim, UnitId
from inventory.select import Selection, parse
from nms.alarm_store import (
    Repair,
    acknowledge,
    open_alarms,
    open_maintenance,
    open_repair,
    past_alarms,
    repairs,
)
from nms.alarms import Alarm
from nms.i18n import N_
from nms.journal import audit, recent
from nms.moments import from_milliseconds, to_milliseconds
from nms.monitor.health import Window
from nms.store import DeviceStateRow, Store
from tui import alarm_methods as a
from tui import alarm_rows as rows
from tui import methods as m
from tui.hub import Caller, Handler, Refusal, refuse
from tui.overview import UNKNOWN, Places, device_row

if TYPE_CHECKING:
    from nms.monitor.loop import Snapshot

EVENTS_SHOWN = 20
EXPIRED_SHOWN = timedelta(days=1)
"""How long a silence that its date has ended is told."""


MENDERS = frozenset({Role.OPERATOR, Role.TECHNICIAN})
"""Who takes alarms on, opens repairs and announces work."""
SILENCERS = MENDERS | {Role.APPROVER}
"""Who silences a cluster: whoever may stop there, and whoever mends it."""


class Muting(Protocol):
    """See ``audio.playout.Playout``."""

    async def mute(self, person: Person, order: Silencing, *, uid: int) -> Stopped | Refusals: ...

    async def unmute(self, person: Person, device: str, reason: str, *, uid: int) -> Stopped | Refusals: ...

    async def mended(self, person: Person, device: str, *, uid: int) -> Mended: ...

    async def mutes(self, since: datetime | None = None) -> tuple[Mute, ...]: ...


class AlarmService:
    """``where``: the places of today; ``latest``: the fleet as last known; ``playing``: the bulletin by device.

    ``muting`` silences clusters.
    """

    def __init__(
        self,
        where: Callable[[], Places],
        clock: Callable[[], datetime],
        latest: Callable[[], Snapshot | None],
        playing: Callable[[], Awaitable[Mapping[str, str]]],
        store: Store,
        muting: Muting,
    ) -> None:
        self._where = where
        self._clock = clock
        self._latest = latest
        self._playing = playing
        self._store = store
        self._muting = muting

    def handlers(self) -> dict[str, Handler]:
        """Every method of ``tui.alarm_methods`` by its name."""
        answers: Iterable[tuple[m.Method[Any, Any], Any]] = (
            (a.ALARMS, self.alarms),
            (a.ACKNOWLEDGE, self.acknowledge),
            (a.REPAIR, self.repair),
            (a.MENDED, self.mended),
            (a.SILENCE, self.silence),
            (a.UNSILENCE, self.unsilence),
            (a.MAINTAIN, self.maintain),
            (a.DEVICE, self.device),
        )
        return {method.name: Handler(method, answer=answer) for method, answer in answers}

    # -- what is

    async def alarms(self, caller: Caller, params: a.Alarms) -> a.AlarmRows:
        places, now = self._where(), self._clock()
        meant = self._selected(places, params.selection) if params.selection else None

        def query(session: Session) -> list[tuple[Alarm, datetime | None]]:
            past = past_alarms(session) if params.past else ()
            return [*((alarm, None) for alarm in open_alarms(session)), *past]

        found = await self._store.read(query)
        told = (
            rows.alarm_row(places, x, ended, now, _forbidden(places, caller, rows.alarm_devices(places, x)))
            for x, ended in found
        )
        silenced = await self._silenced(places, caller, now)
        return a.AlarmRows(
            tuple(r for r in told if meant is None or meant & {r.subject, *r.devices}),
            tuple(r for r in silenced if meant is None or r.device in meant),
            _barred(places, caller, MENDERS),
            _barred(places, caller, SILENCERS),
            to_milliseconds(now),
        )

    async def _silenced(self, places: Places, caller: Caller, now: datetime) -> tuple[m.Silenced, ...]:
        mutes = rows.silenced_now(await self._muting.mutes(now - EXPIRED_SHOWN), now)
        known = ((mute, places.devices.get(DeviceId(mute.device))) for mute in mutes)
        return tuple(
            rows.silenced_row(places, mute, _forbidden(places, caller, [device] if device else [], SILENCERS))
            for mute, device in known
        )

    async def device(self, caller: Caller, params: a.DeviceId) -> a.Device:
        places, now = self._where(), self._clock()
        device = self._known(places, params.device)
        playing = (await self._playing()).get(device.id, "")
        paying = device.sim or rows.sim_of(places.devices.get(device.uplink) if device.uplink else None)
        silenced = tuple(r for r in await self._silenced(places, caller, now) if r.device == device.id)
        found = await self._store.read(lambda s: self._told(s, places, device, paying, playing, now))
        return replace(found, silenced=silenced, now=to_milliseconds(now))

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
            work=tuple(rows.works(session, places, device.id, now)),
            alarms=tuple(rows.alarm_row(places, alarm, ended, now) for alarm, ended in alarms),
            repairs=tuple(rows.repair_row(row) for row in repairs(session, device.id)),
            usage=tuple(rows.usages(session, sim, now)),
            events=tuple(
                m.EventRow(e.id, to_milliseconds(e.at), e.subject, str(e.kind), e.from_, e.to, e.cause)
                for e in recent(session, EVENTS_SHOWN, device.id)
            ),
        )

    # -- what people do

    async def acknowledge(self, caller: Caller, params: a.Acknowledge) -> a.AlarmRow:
        person, places, now = caller.known(), self._where(), self._clock()
        alarm = self._meant(await self._store.read(open_alarms), params.alarm)
        _may(places, caller, rows.alarm_devices(places, alarm))

        def act(session: Session) -> Alarm | None:
            taken = acknowledge(session, alarm.id, person.id, params.comment, now)
            if taken is not None:
                data = {"kind": str(alarm.kind), "comment": params.comment}
                audit(session, now, person.id, caller.uid, "alarm.acknowledge", alarm.subject, data)
            return taken

        taken = await self._store.write(act)
        if taken is None:
            raise _no_alarm(params.alarm)
        return rows.alarm_row(places, taken, None, now)

    async def repair(self, caller: Caller, params: a.Repair) -> a.RepairRow:
        person, places, now = caller.known(), self._where(), self._clock()
        device = self._known(places, params.device)
        _may(places, caller, [device])
        until = self._later(params.until, now)

        def act(session: Session) -> a.RepairRow:
            order = Repair(device.id, params.who, params.part, until)
            number = open_repair(session, order, person.id, now)
            data = {"part": params.part, "who": params.who, "until": until.isoformat()}
            audit(session, now, person.id, caller.uid, "device.repair", device.id, data)
            return next(rows.repair_row(row) for row in repairs(session, device.id) if row.id == number)

        return await self._store.write(act)

    async def mended(self, caller: Caller, params: a.DeviceId) -> m.Nothing:
        person, places = caller.known(), self._where()
        device = self._known(places, params.device)
        _may(places, caller, [device])
        if not (await self._muting.mended(person, device.id, uid=caller.uid)).closed:
            message, fix = N_("'{device}' has no open repair order"), N_("open one with: loa repair {device} …")
            raise _refused("MON053", message, fix, device=device.id)
        return m.Nothing()

    async def silence(self, caller: Caller, params: a.Silence) -> m.Silenced:
        person, places = caller.known(), self._where()
        device = self._known(places, params.device)
        _may(places, caller, [device], SILENCERS)
        if device.kind is not DeviceKind.LOUDSPEAKER:
            message, fix = N_("'{device}' is no loudspeaker cluster"), N_("only what has a sound is silenced")
            raise _refused("MON056", message, fix, device=device.id)
        if bool(params.who.strip()) != bool(params.part.strip()):
            message, fix = N_("a repair order names who mends and which part"), N_("give both, or neither")
            raise _refused("MON057", message, fix)
        if params.who.strip():
            _may(places, caller, [device])
        until = from_milliseconds(params.until)
        order = Silencing(device.id, until, params.reason, params.who.strip(), params.part.strip())
        _done(await self._muting.mute(person, order, uid=caller.uid))
        return rows.silenced_row(places, Mute(device.id, self._clock(), until, params.reason, person.id))

    async def unsilence(self, caller: Caller, params: a.Unsilence) -> m.Nothing:
        person, places = caller.known(), self._where()
        device = self._known(places, params.device)
        _may(places, caller, [device], SILENCERS)
        _done(await self._muting.unmute(person, device.id, params.reason, uid=caller.uid))
        return m.Nothing()

    async def maintain(self, caller: Caller, params: a.Maintain) -> a.Maintained:
        person, places, now = caller.known(), self._where(), self._clock()
        devices = self._selected(places, params.selection)
        _may(places, caller, [places.devices[DeviceId(d)] for d in devices])
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

    def _later(self, until: int, now: datetime) -> datetime:
        end = from_milliseconds(until)
        if end <= now:
            raise _ended(end)
        return end


def _may(places: Places, caller: Caller, devices: Iterable[Device], roles: frozenset[Role] = MENDERS) -> None:
    """Refuses whoever has none of the roles in an area in which all this lies; the hub is the province's."""
    problems = _forbidden(places, caller, devices, roles)
    if problems:
        raise Refusal(*problems)


def _forbidden(
    places: Places, caller: Caller, devices: Iterable[Device], roles: frozenset[Role] = MENDERS
) -> tuple[m.Problem, ...]:
    person = caller.person
    if person is None:
        return _stranger(caller)
    chains = [places.chains[d.id] for d in devices] or [(places.network.province,)]
    able = not roles.isdisjoint(person.roles)
    outside = next((chain for chain in chains if not able or person.area not in chain), None)
    return () if outside is None else _not_theirs(places, person, outside[0] if outside else None, roles)


def _barred(places: Places, caller: Caller, roles: frozenset[Role]) -> tuple[m.Problem, ...]:
    """Why somebody may act nowhere: not even in the own area."""
    person = caller.person
    if person is None:
        return _stranger(caller)
    return _not_theirs(places, person, person.area, roles) if roles.isdisjoint(person.roles) else ()


def _stranger(caller: Caller) -> tuple[m.Problem, ...]:
    try:
        caller.known()
    except Refusal as refusal:
        return refusal.problems
    return ()


def _not_theirs(places: Places, person: Person, unit: UnitId | None, roles: frozenset[Role]) -> tuple[m.Problem, ...]:
    known = places.network.units.get(unit) if unit else None
    if roles is MENDERS:
        message = N_("{person} is no operator or technician for {unit}")
    else:
        message = N_("{person} is no operator, technician or approver for {unit}")
    fix = N_("ask one of the area, or correct roles and area in people.yaml")
    return _refused("MON051", message, fix, person=person.name, unit=known.name if known else "").problems


def _done(outcome: Stopped | Refusals) -> None:
    if isinstance(outcome, tuple):
        raise refuse(outcome)


def _refused(code: str, message: str, fix: str, **fields: str) -> Refusal:
    return refuse((Diagnostic(code, Place(""), message, fix, fields),))


def _no_alarm(name: str) -> Refusal:
    message = N_("'{alarm}' is not one open alarm")
    return _refused("MON050", message, N_("give an alarm's number, as shown by: loa alarms"), alarm=name)


def _ended(end: datetime) -> Refusal:
    message = N_("{until} has passed, or comes before the beginning")
    return _refused("MON055", message, N_("give a later time"), until=end.isoformat(timespec="minutes"))
