"""What the hub answers about records made on the spot. Technicians record in their own area; reading is free."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from inventory.diagnostics import Diagnostic, Place
from inventory.model import Condition, Device, DeviceId, Role, Technology, Tier, UnitId
from nms.i18n import N_
from nms.journal import audit
from nms.moments import to_milliseconds
from nms.provision import site
from nms.provision.site import Acceptance, SiteKind, Survey, Tone
from nms.store import Store
from tui import methods as m
from tui import site_methods as s
from tui.hub import Caller, Handler, refuse
from tui.overview import Places

if TYPE_CHECKING:
    from nms.monitor.loop import Snapshot

HORNS = 500
LOUDEST = 140.0
"""dB(A); beyond it somebody mistyped."""


class SiteService:
    """``where``: the places of today; ``latest``: the fleet as last polled."""

    def __init__(
        self,
        where: Callable[[], Places],
        clock: Callable[[], datetime],
        latest: Callable[[], Snapshot | None],
        store: Store,
    ) -> None:
        self._where = where
        self._clock = clock
        self._latest = latest
        self._store = store

    def handlers(self) -> dict[str, Handler]:
        """Every method of ``tui.site_methods`` by its name."""
        answers: Iterable[tuple[m.Method[Any, Any], Any]] = (
            (s.ACCEPT, self.accept),
            (s.SURVEY, self.survey),
            (s.RECORDS, self.records),
        )
        return {method.name: Handler(method, answer=answer) for method, answer in answers}

    async def accept(self, caller: Caller, params: s.Accept) -> s.SiteRecord:
        places = self._where()
        device = places.devices.get(DeviceId(params.device))
        if device is None:
            raise _refused("PLN501", N_("'{id}' is no device in use"), N_("see: loa show"), id=params.device)
        _may(places, caller, places.chains[device.id])
        if params.level is not None and not 0 < params.level <= LOUDEST:
            raise _number("level", params.level)
        if params.signal is not None and not -160 <= params.signal < 0:
            raise _number("signal", params.signal)
        signal = params.signal if params.signal is not None else self._signal(device)
        tone = _one_of(Tone, params.tone, "tone")
        return await self._keep(
            caller, site.accepted(device, signal, params.level, tone, params.photo, params.note), device.id
        )

    async def survey(self, caller: Caller, params: s.SurveyStation) -> s.SiteRecord:
        places = self._where()
        unit = places.network.units.get(UnitId(params.unit))
        if unit is None or unit.tier is not Tier.COMMUNE:
            raise _refused("PLN502", N_("'{id}' is no commune"), N_("see: loa units"), id=params.unit)
        _may(places, caller, places.network.chain(unit.id))
        if not 0 <= params.horns <= HORNS:
            raise _number("horns", params.horns)
        if not 0 <= params.working <= params.horns:
            raise _number("working", params.working)
        technology = _one_of(Technology, params.technology, "technology")
        condition = _one_of(Condition, params.condition, "condition")
        record = Survey(unit.id, technology, condition, params.horns, params.working, params.photo, params.note)
        return await self._keep(caller, record, unit.id)

    async def records(self, _: Caller, params: s.Subject) -> s.SiteRecords:
        places = self._where()
        found = await self._store.read(lambda session: list(site.of(session, params.id)))
        return s.SiteRecords(tuple(_row(places, record) for record in found))

    async def _keep(self, caller: Caller, record: Acceptance | Survey, subject: str) -> s.SiteRecord:
        person, now = caller.known(), self._clock()

        def write(session: Any) -> site.Record:
            kept = site.keep(session, record, person.id, now)
            audit(session, now, person.id, caller.uid, f"site.{kept.kind}", subject, kept.document)
            return kept

        return _row(self._where(), await self._store.write(write))

    def _signal(self, device: Device) -> float | None:
        """As the device, or the modem it hangs behind, last reported it; dBm."""
        snapshot = self._latest()
        for one in (device.id, device.uplink):
            reading = snapshot.reading(one) if snapshot is not None and one is not None else None
            value = reading.metrics.get("rsrp_dbm") if reading is not None else None
            if isinstance(value, int | float):
                return float(value)
        return None


def _row(places: Places, record: site.Record) -> s.SiteRecord:
    document = dict(record.document)
    document.pop("device", None)
    document.pop("unit", None)
    missing = Acceptance(**record.document).missing() if record.kind is SiteKind.ACCEPTANCE else ()
    device = places.network.devices.get(DeviceId(record.subject))
    unit = places.network.units.get(UnitId(record.subject))
    person = next((p for p in places.network.people.values() if p.id == record.by), None)
    return s.SiteRecord(
        id=record.id,
        subject=record.subject,
        kind=str(record.kind),
        at=to_milliseconds(record.at),
        by=person.name if person is not None else record.by,
        name=device.name if device is not None else unit.name if unit is not None else "",
        place=places.tier_of(device.id, Tier.COMMUNE) if device is not None else "",
        fields={name: "" if value is None else str(value) for name, value in document.items()},
        missing=missing,
    )


def _may(places: Places, caller: Caller, chain: tuple[UnitId, ...]) -> None:
    person = caller.known()
    if Role.TECHNICIAN in person.roles and person.area in chain:
        return
    unit = places.network.units[chain[0]].name if chain else ""
    message, fix = N_("{person} is no technician for {unit}"), N_("ask one of the area, or correct people.yaml")
    raise _refused("PLN503", message, fix, person=person.name, unit=unit)


def _one_of(kind: Any, text: str, name: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        known = ", ".join(str(one) for one in kind)
        raise _refused(
            "PLN504", N_("'{text}' is no {name}"), N_("one of: {known}"), text=text, name=name, known=known
        ) from None


def _number(name: str, value: float) -> Exception:
    message, fix = N_("{value} cannot be the {name}"), N_("measure again, or correct the figure")
    return _refused("PLN505", message, fix, name=name, value=f"{value:g}")


def _refused(code: str, message: str, fix: str, **fields: str) -> Exception:
    return refuse((Diagnostic(code, Place(""), message, fix, fields),))
