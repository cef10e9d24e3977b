"""What somebody must deal with: alarms as values and the rule by which they open, stay, fall due again and clear. Pure.

An alarm has one key, what it is about and its kind. It opens once, a person acknowledges it, a repair keeps it quiet
until its date, and it clears itself when nothing raises it any more. Only causes raise alarms: what is lost because of
something else has none of its own, but one that it had before stays, for it has not been mended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from inventory.model import DeviceId
from nms.monitor.health import Cause, CauseKind, Healths, State, causes
from nms.monitor.suspects import POWER, SETTLED

SETTLE: Final = timedelta(minutes=4)
"""How long a single device or modem must be lost before it alarms: by then a common cause would have shown itself."""

DEGRADED_SETTLE: Final = timedelta(minutes=10)
"""How long something must be wrong with a device that answers before it alarms."""


class AlarmKind(StrEnum):
    """Every kind of alarm there is."""

    DEVICE_DOWN = "device_down"
    MODEM_DOWN = "modem_down"
    CELL_LOST = "cell_lost"
    POWER_LOST = "power_lost"
    DEGRADED = "degraded"
    FLAPPING = "flapping"
    QUOTA = "quota"
    SILENT = "silent"
    UNSCHEDULED = "unscheduled"
    WRONG_CONTENT = "wrong_content"
    CLOCK_OFF = "clock_off"
    CACHE_INCOMPLETE = "cache_incomplete"
    RELAY_FAILED_OVER = "relay_failed_over"
    RELAY_LOST = "relay_lost"
    POLICIES = "policies"
    SELF_POLLER = "self_poller"
    SELF_DISK = "self_disk"
    SELF_DATABASE = "self_database"
    SELF_BROKER = "self_broker"
    SELF_CLOCK = "self_clock"
    SELF_NTP = "self_ntp"
    SELF_MEMORY = "self_memory"
    SELF_SHARD = "self_shard"


OF_HEALTH: Final = frozenset(
    {
        AlarmKind.DEVICE_DOWN,
        AlarmKind.MODEM_DOWN,
        AlarmKind.CELL_LOST,
        AlarmKind.POWER_LOST,
        AlarmKind.DEGRADED,
        AlarmKind.FLAPPING,
    }
)
"""The kinds that the monitor's health raises and clears."""

_KINDS: Final[Mapping[CauseKind, AlarmKind]] = {
    CauseKind.DEVICE: AlarmKind.DEVICE_DOWN,
    CauseKind.MODEM: AlarmKind.MODEM_DOWN,
    CauseKind.CELL: AlarmKind.CELL_LOST,
    CauseKind.POWER: AlarmKind.POWER_LOST,
    CauseKind.FLAPPING: AlarmKind.FLAPPING,
}

_PATIENCE: Final[Mapping[CauseKind, timedelta]] = {
    CauseKind.CELL: SETTLED,
    CauseKind.POWER: SETTLED,
    CauseKind.FLAPPING: timedelta(0),
}

STEPS: Final[Mapping[AlarmKind, tuple[str, ...]]] = {AlarmKind.QUOTA: ("heading_over", "near", "over")}
"""Kinds whose causes are steps from bad to worse: each step for the worse is a new alarm."""

Key = tuple[str, AlarmKind]
"""Subject and kind."""


@dataclass(frozen=True, slots=True)
class Raised:
    """What is wrong now: ``subject`` is a device's id, ``cell:...``, ``power:...``, ``relay:...``, ``policies``
    or a part of the hub.

    ``affected``: the devices it explains. ``opens``: False keeps an open alarm but opens none.
    """

    subject: str
    kind: AlarmKind
    since: datetime
    cause: str = ""
    affected: tuple[str, ...] = ()
    opens: bool = True

    @property
    def key(self) -> Key:
        return self.subject, self.kind


@dataclass(frozen=True, slots=True)
class Alarm:
    """An open alarm. ``acknowledged``: when ``by`` took it on. ``quiet_until``: a repair is due then."""

    id: str
    subject: str
    kind: AlarmKind
    opened: datetime
    since: datetime
    cause: str = ""
    affected: tuple[str, ...] = ()
    acknowledged: datetime | None = None
    by: str = ""
    comment: str = ""
    quiet_until: datetime | None = None

    @property
    def key(self) -> Key:
        return self.subject, self.kind


@dataclass(frozen=True, slots=True)
class Changes:
    """What became of the alarms: ``changed`` are open ones told anew, ``due`` those whose repair is overdue."""

    opened: tuple[Raised, ...] = ()
    changed: tuple[Alarm, ...] = ()
    due: tuple[Alarm, ...] = ()
    cleared: tuple[Alarm, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.opened or self.changed or self.due or self.cleared)


def update(open_alarms: Mapping[Key, Alarm], raised: Iterable[Raised], now: datetime) -> Changes:
    """What must change so that exactly what is raised is open; raised twice is raised once."""
    wanted = {one.key: one for one in raised}
    explained = {device for one in wanted.values() for device in one.affected if device != one.subject}
    opened, changed, due, cleared = [], [], [], []
    for key, one in wanted.items():
        alarm = open_alarms.get(key)
        if alarm is None:
            if one.opens:
                opened.append(one)
        elif _worse(alarm, one):
            cleared.append(alarm)
            opened.append(one)
        elif alarm.quiet_until is not None and alarm.quiet_until <= now:
            due.append(_told(replace(alarm, acknowledged=None, by="", quiet_until=None), one))
        elif (told := _told(alarm, one)) != alarm:
            changed.append(told)
    for key, alarm in open_alarms.items():
        if key not in wanted and not (alarm.subject in explained and alarm.kind in OF_HEALTH):
            cleared.append(alarm)
    return Changes(tuple(opened), tuple(changed), tuple(due), tuple(cleared))


def _worse(alarm: Alarm, one: Raised) -> bool:
    steps = STEPS.get(one.kind, ())
    return {alarm.cause, one.cause} <= set(steps) and steps.index(one.cause) > steps.index(alarm.cause)


def _told(alarm: Alarm, one: Raised) -> Alarm:
    return replace(alarm, cause=one.cause, affected=one.affected)


# --- what two parts of the hub notice ---------------------------------------------------------------------------------

CLOCK: Final = "clock_error_s"
"""The metric by which a device is degraded, and of which its alarm ``CLOCK_OFF`` speaks as well."""


def told_once(raised: Iterable[Raised], lately: Collection[Alarm]) -> Iterator[Raised]:
    """What is raised without a wrong clock that an alarm of the other kind tells: who told it first goes on telling.

    ``lately``: alarms of both kinds that are open or have just cleared; one part hears of the mended clock before
    the other does.
    """
    told = {alarm.key: alarm for alarm in lately}
    for one in raised:
        if one.kind is AlarmKind.DEGRADED and (one.subject, AlarmKind.CLOCK_OFF) in told:
            others = [metric for metric in one.cause.split(", ") if metric != CLOCK]
            if others:
                yield replace(one, cause=", ".join(others))
        elif one.kind is AlarmKind.CLOCK_OFF and _names_clock(told.get((one.subject, AlarmKind.DEGRADED))):
            yield replace(one, opens=False)
        else:
            yield one


def _names_clock(alarm: Alarm | None) -> bool:
    return alarm is not None and CLOCK in alarm.cause.split(", ")


# --- what health raises -----------------------------------------------------------------------------------------------


def of_health(healths: Healths, now: datetime, settle: timedelta = SETTLE) -> tuple[Raised, ...]:
    """What the fleet's health raises: its causes, and devices with which something is wrong for long."""
    return (*(_of_cause(cause, healths, now, settle) for cause in causes(healths)), *_degraded(healths, now))


def _of_cause(cause: Cause, healths: Healths, now: datetime, settle: timedelta) -> Raised:
    since = min(healths[d].since for d in cause.affected)
    itself = healths.get(DeviceId(cause.key))
    # a modem that answers again is no new alarm because something behind it is still to answer
    recovering = itself is not None and itself.answering and not itself.flapping
    # a time that lies ahead is from before the clock was set back
    opens = abs(now - since) >= _PATIENCE.get(cause.kind, settle) and not recovering
    return Raised(cause.key, _KINDS[cause.kind], since, "", tuple(cause.affected), opens)


def _degraded(healths: Healths, now: datetime) -> Iterator[Raised]:
    for device, health in healths.items():
        dark = (health.cause or "").startswith(POWER)
        if health.state is State.DEGRADED and not health.flapping and health.faults and not dark:
            opens = abs(now - health.since) >= DEGRADED_SETTLE
            yield Raised(device, AlarmKind.DEGRADED, health.since, health.cause or "", (device,), opens)
