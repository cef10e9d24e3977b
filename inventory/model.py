"""What should be, as frozen values. No I/O, no defaults taken from anywhere but the inventory itself.

Dates are calendar days; ``valid_from`` and ``in_service`` are inclusive, ``valid_to`` exclusive; ``None``
means open. A query always has a date: ``Network.on`` gives the default one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import NewType, TypeVar
from zoneinfo import ZoneInfo

from inventory.diagnostics import Place
from inventory.lines import Grid, When

K = TypeVar("K")
V = TypeVar("V")
UnitId = NewType("UnitId", str)
HamletId = NewType("HamletId", str)
DeviceId = NewType("DeviceId", str)
GroupId = NewType("GroupId", str)
PersonId = NewType("PersonId", str)
ScriptId = NewType("ScriptId", str)

TIMEZONE = ZoneInfo("Asia/Ho_Chi_Minh")
"""Vietnam has one time zone and no daylight saving."""


class Tier(StrEnum):
    PROVINCE = "province"
    DISTRICT = "district"
    COMMUNE = "commune"


class UnitType(StrEnum):
    """tỉnh · thành phố thuộc tỉnh · thị xã · huyện · phường · thị trấn · xã · đặc khu."""

    PROVINCE = "province"
    CITY = "city"
    TOWN = "town"
    DISTRICT = "district"
    WARD = "ward"
    TOWNSHIP = "township"
    COMMUNE = "commune"
    SPECIAL_ZONE = "special_zone"


class DeviceKind(StrEnum):
    LOUDSPEAKER = "loudspeaker"
    MODEM = "modem"
    BOARD = "board"


class Technology(StrEnum):
    """How a station distributes sound: IP (CNTT-VT), wired (có dây) or FM (không dây)."""

    IP = "ip"
    WIRED = "wired"
    FM = "fm"


class Condition(StrEnum):
    GOOD = "good"
    DEGRADED = "degraded"
    BROKEN = "broken"


class BoardSize(StrEnum):
    SMALL = "small"
    LARGE = "large"


class Role(StrEnum):
    EDITOR = "editor"
    APPROVER = "approver"
    OPERATOR = "operator"
    TECHNICIAN = "technician"
    PLANNER = "planner"
    VIEWER = "viewer"


def valid(valid_from: date | None, valid_to: date | None, on: date) -> bool:
    """Whether ``on`` lies in ``[valid_from, valid_to)``."""
    return (valid_from is None or valid_from <= on) and (valid_to is None or on < valid_to)


@dataclass(frozen=True, slots=True)
class Unit:
    """A dated administrative unit. ``id`` is minted once; ``code`` is the official one, which reforms reuse."""

    id: UnitId
    code: str
    name: str
    tier: Tier
    type: UnitType
    parent: UnitId | None
    valid_from: date | None = None
    valid_to: date | None = None
    predecessors: tuple[UnitId, ...] = ()
    aliases: tuple[str, ...] = ()
    legal_basis: str = ""
    place: Place = Place("")


@dataclass(frozen=True, slots=True)
class Contact:
    name: str
    phone: str


@dataclass(frozen=True, slots=True)
class Membership:
    """A hamlet belongs to ``unit`` in ``[valid_from, valid_to)``."""

    unit: UnitId
    valid_from: date | None = None
    valid_to: date | None = None


@dataclass(frozen=True, slots=True)
class Hamlet:
    """thôn, làng, buôn, tổ dân phố: ``word`` is its own. ``languages`` are BCP 47 tags in the order to be spoken."""

    id: HamletId
    name: str
    word: str
    memberships: tuple[Membership, ...]
    languages: tuple[str, ...] = ("vi",)
    population: int | None = None
    contact: Contact | None = None
    place: Place = Place("")


@dataclass(frozen=True, slots=True)
class StationTechnology:
    technology: Technology
    since: date


@dataclass(frozen=True, slots=True)
class Station:
    """A commune's station (đài truyền thanh cấp xã); ``technologies`` sorted by date, empty before the first."""

    unit: UnitId
    technologies: tuple[StationTechnology, ...]
    condition: Condition | None = None
    surveyed: date | None = None
    place: Place = Place("")

    def technology(self, on: date) -> Technology | None:
        current = [t.technology for t in self.technologies if t.since <= on]
        return current[-1] if current else None


@dataclass(frozen=True, slots=True)
class Sim:
    number: str
    iccid: str
    plan: str = ""
    operator: str = ""
    expires: date | None = None
    apn: str = ""


@dataclass(frozen=True, slots=True)
class Location:
    """WGS 84, decimal degrees."""

    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Volume:
    """Ceilings in percent, set at acceptance: by day, early in the morning, in an emergency."""

    day: int = 80
    early: int = 60
    emergency: int = 100


@dataclass(frozen=True, slots=True)
class Off:
    """A timer takes the device off every day from ``start`` to ``end``, local time; may cross midnight."""

    start: time
    end: time


@dataclass(frozen=True, slots=True)
class DeviceLimit:
    """A limit of this device in place of its profile's, in the metric's unit; neither bound means no limit at all."""

    metric: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """A loudspeaker cluster, a 4G modem or a board.

    ``unit`` is the unit whose file declares it; where it *is* follows from ``hamlet`` (``Network.unit_of``). ``uplink``
    is the modem it hangs behind; without one it has its own ``sim``. The serving cell is not typed: devices report it.
    ``sound`` is the ALSA device that a loudspeaker's receiver was said to play on, ``none`` for none.
    """

    id: DeviceId
    kind: DeviceKind
    unit: UnitId
    hamlet: HamletId | None
    profile: str
    in_service: date
    out_of_service: date | None = None
    name: str = ""
    location: Location | None = None
    sim: Sim | None = None
    uplink: DeviceId | None = None
    power_area: str | None = None
    volume: Volume = Volume()
    sound: str | None = None
    serial: str = ""
    public_key: str = ""
    host_key: str = ""
    size: BoardSize | None = None
    resolution: tuple[int, int] | None = None
    connected: bool = True
    off: Off | None = None
    limits: tuple[DeviceLimit, ...] = ()
    place: Place = Place("")

    def in_use(self, on: date) -> bool:
        return valid(self.in_service, self.out_of_service, on)


@dataclass(frozen=True, slots=True)
class Group:
    """A named audience that cuts across units: explicit devices and hamlets."""

    id: GroupId
    name: str
    devices: tuple[DeviceId, ...] = ()
    hamlets: tuple[HamletId, ...] = ()
    place: Place = Place("")


@dataclass(frozen=True, slots=True)
class Person:
    """Someone with roles in an area (a unit and everything below it); ``user`` is the operating-system account."""

    id: PersonId
    name: str
    user: str
    roles: tuple[Role, ...]
    area: UnitId
    title: str = ""
    place: Place = Place("")


class ScriptClass(StrEnum):
    EMERGENCY = "emergency"
    DRILL = "drill"


@dataclass(frozen=True, slots=True)
class Wording:
    """The same words by language: ``text`` to be read (Vietnamese is spoken where it has no recording), ``recordings``
    as files in the inventory's folder. A recording has no blanks.
    """

    text: Mapping[str, str] = field(default_factory=dict)
    recordings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Script:
    """A pre-approved emergency or drill: the ``alarm`` with blanks like ``{place}``, and what is said afterwards."""

    id: ScriptId
    title: str
    cls: ScriptClass
    alarm: Wording
    correction: Wording
    all_clear: Wording
    place: Place = Place("")


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Daily window without sound (khung giờ không phát), may cross midnight, for ``unit`` and everything below it."""

    unit: UnitId
    start: time
    end: time
    place: Place = Place("")


@dataclass(frozen=True, slots=True)
class Session:
    """A session (buổi phát) in which bulletins are aired, in ``unit`` and everything below it.

    The nearest unit that has sessions on a day wins.
    """

    unit: UnitId
    name: str
    start: time
    duration: float
    when: When = When()
    place: Place = Place("")


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Planned work on one device, or on everything in a unit, in ``[start, end)``: what is off then is not lost."""

    start: datetime
    end: datetime
    reason: str
    unit: UnitId | None = None
    device: DeviceId | None = None
    place: Place = Place("")


@dataclass(frozen=True, slots=True)
class Hub:
    """How devices find the hub: ``name`` is on its certificates; ``endpoint`` (``host:port``) and ``public_key`` are
    its tunnel's."""

    name: str
    endpoint: str
    public_key: str
    place: Place = Place("")


@dataclass(frozen=True, slots=True)
class Rollout:
    """How changes reach devices: ``canary`` of them first, then waves of these sizes, the last one repeated.

    More than ``limit`` devices failed or lost end the rollout. A device goes back by itself unless the change is
    confirmed within ``confirm`` seconds.
    """

    canary: int = 1
    waves: tuple[int, ...] = (10, 50)
    limit: int = 0
    confirm: float = 300.0
    place: Place = Place("")


@dataclass(frozen=True, slots=True)
class Figure:
    """What a plan prints for one indicator, year and (optionally) district; ``None`` is a blank cell, never 0."""

    year: int
    value: int | None
    percent: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One indicator of a government plan: totals per year as printed, and the rows by district."""

    indicator: str
    name: str
    document: str
    printed: tuple[Figure, ...]
    denominator: int | None
    districts: Mapping[UnitId, tuple[Figure, ...]] = field(default_factory=dict)
    place: Place = Place("")


@dataclass(frozen=True, slots=True)
class TrustKey:
    """A public Ed25519 key (32 bytes, base64) that may sign for ``unit`` and below, for these bulletin classes."""

    kid: str
    unit: UnitId
    public: str
    classes: tuple[str, ...]
    hub: bool = False
    place: Place = Place("")


@dataclass(frozen=True, slots=True)
class Trust:
    """The public half of who may speak: ``root`` signs policies, ``keys`` sign bulletins and programmes."""

    root: str
    keys: tuple[TrustKey, ...]
    _of: Mapping[UnitId | None, tuple[TrustKey, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_of", _grouped((None if key.hub else key.unit, key) for key in self.keys))

    def keys_for(self, units: Iterable[UnitId]) -> tuple[TrustKey, ...]:
        """The hub's keys, and those that sign for these units."""
        return tuple(key for unit in (None, *units) for key in self._of.get(unit, ()))


@dataclass(frozen=True, slots=True)
class Network:
    """One province, whole and checked. Immutable; a reload makes a new one."""

    province: UnitId
    name: str
    as_of: date | None
    overlay: str
    units: Mapping[UnitId, Unit]
    hamlets: Mapping[HamletId, Hamlet]
    stations: Mapping[UnitId, Station]
    devices: Mapping[DeviceId, Device]
    groups: Mapping[GroupId, Group] = field(default_factory=dict)
    people: Mapping[PersonId, Person] = field(default_factory=dict)
    quiet_hours: tuple[QuietHours, ...] = ()
    authority_for: tuple[str, ...] = ("priority", "emergency")
    sessions: tuple[Session, ...] = ()
    grid: Grid = Grid()
    targets: tuple[Target, ...] = ()
    trust: Trust | None = None
    profiles: tuple[str, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()
    hub: Hub | None = None
    rollout: Rollout = Rollout()
    scripts: Mapping[ScriptId, Script] = field(default_factory=dict)
    _heirs: Mapping[UnitId, tuple[UnitId, ...]] = field(init=False, repr=False, compare=False)
    _behind: Mapping[DeviceId, tuple[DeviceId, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        heirs = _grouped((p, unit.id) for unit in self.units.values() for p in unit.predecessors)
        behind = _grouped((d.uplink, d.id) for d in self.devices.values() if d.uplink is not None)
        object.__setattr__(self, "_heirs", heirs)
        object.__setattr__(self, "_behind", behind)

    def on(self, today: date) -> date:
        """The default date of a query: the inventory's ``as_of`` where it has one, else today."""
        return self.as_of or today

    def turns(self, on: date, days: int) -> tuple[date, ...]:
        """That date, and the days of the ``days`` ahead on which units, or what stands in them, change."""
        if self.as_of is not None:
            return (on,)
        found = {day for unit in self.units.values() for day in (unit.valid_from, unit.valid_to)}
        found |= {d for h in self.hamlets.values() for m in h.memberships for d in (m.valid_from, m.valid_to)}
        until = on + timedelta(days=days)
        return (on, *sorted(day for day in found if day is not None and on < day < until))

    def successor(self, unit: UnitId, on: date) -> UnitId | None:
        """``unit`` itself while it is valid, else what it became by ``on``; None if that is not one unit."""
        seen: set[UnitId] = set()
        current = unit
        while current not in seen:
            seen.add(current)
            known = self.units.get(current)
            if known is None:
                return None
            if known.valid_to is None or on < known.valid_to:
                return current if known.valid_from is None or known.valid_from <= on else None
            heirs = [h for h in self._heirs.get(current, ()) if h != current]
            if len(heirs) != 1:
                return None
            current = heirs[0]
        return None

    def unit_of(self, device: Device, on: date) -> UnitId | None:
        """The commune (or, for a district's board, the district) in which the device stands on that date."""
        declared = device.unit
        if device.hamlet is not None and (hamlet := self.hamlets.get(device.hamlet)) is not None:
            for membership in hamlet.memberships:
                if valid(membership.valid_from, membership.valid_to, on):
                    declared = membership.unit
        return self.successor(declared, on)

    def chain(self, unit: UnitId | None) -> tuple[UnitId, ...]:
        """The unit and its parents up to the province, nearest first."""
        found: list[UnitId] = []
        while unit is not None and unit in self.units and unit not in found:
            found.append(unit)
            unit = self.units[unit].parent
        return tuple(found)

    def device_chain(self, device: Device, on: date) -> tuple[UnitId, ...]:
        return self.chain(self.unit_of(device, on))

    def groups_of(self, device: Device) -> tuple[GroupId, ...]:
        return tuple(
            g.id
            for g in self.groups.values()
            if device.id in g.devices or (device.hamlet is not None and device.hamlet in g.hamlets)
        )

    def units_on(self, on: date, tier: Tier | None = None) -> Iterator[Unit]:
        for unit in self.units.values():
            if (tier is None or unit.tier is tier) and valid(unit.valid_from, unit.valid_to, on):
                yield unit

    def devices_on(self, on: date) -> Iterator[Device]:
        """Devices in use on that date."""
        return (d for d in self.devices.values() if d.in_use(on))

    def behind(self, modem: DeviceId) -> tuple[DeviceId, ...]:
        """The devices whose uplink is this modem."""
        return self._behind.get(modem, ())


def _grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, tuple[V, ...]]:
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in found.items()}
