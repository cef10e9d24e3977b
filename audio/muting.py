"""One cluster silenced until it is mended (khóa cụm loa): a stop of everything, emergencies too, on that device alone.

Like ``audio.desk``: functions of the store's session that answer with what was decided and what has to be published.
A device has at most one silence in force. It ends on its date, when somebody lifts it, or when its repair is closed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from audio import ledger
from audio.desk import Changed, Done, Refusals, Scene, Stopped
from audio.documents import EVERYTHING, Bulletin, NowEntry, NowKind
from audio.ledger import Actor, Target
from audio.refusals import refuse
from inventory.model import DeviceId
from nms import journal
from nms.alarm_store import Repair, close_repair, open_repair
from nms.journal import EventKind, new_id
from nms.moments import to_milliseconds
from nms.store import NowEntryRow

MUTED, UNMUTED = "muted", "unmuted"
EXPIRED, MENDED = "expired", "mended"
"""Why a silence ended by itself, or with its repair."""


@dataclass(frozen=True, slots=True)
class Silencing:
    """What somebody orders: ``device`` hears nothing until ``until``; ``who`` and ``part`` open a repair order too."""

    device: str
    until: datetime
    reason: str
    who: str = ""
    part: str = ""


@dataclass(frozen=True, slots=True)
class Mute:
    """A silence from ``start`` to ``until``, or to ``ended`` if that came first; ``by`` ordered it."""

    device: str
    start: datetime
    until: datetime
    reason: str
    by: str
    ended: datetime | None = None

    @property
    def over(self) -> datetime:
        return self.ended or self.until

    @property
    def expired(self) -> bool:
        """Whether its date ended it, not a person."""
        return self.ended is not None and self.ended >= self.until


@dataclass(frozen=True, slots=True)
class Mended:
    """``closed``: whether there was a repair order to close; ``targets`` as of ``Stopped``."""

    closed: bool
    targets: tuple[str, ...]


def mute(session: Session, scene: Scene, who: Actor, order: Silencing) -> Done[Stopped] | Refusals:
    """Silence a device in place of an earlier silence; whether this person may has been checked before."""
    if not order.reason.strip():
        return (refuse("BUL035"),)
    if order.until <= scene.now:
        return (refuse("BUL034", until=order.until.isoformat(timespec="minutes")),)
    before = _end(session, scene.now, order.device)
    entry = NowEntry(
        entry=new_id(scene.now),
        kind=NowKind.STOP,
        bulletin=EVERYTHING,
        start=scene.milliseconds,
        until=to_milliseconds(order.until),
        reason=order.reason,
    )
    targets = ledger.add_entries(session, (_place(order.device),), who.person.area, entry, who.person.id)
    until = order.until.isoformat()
    journal.append(
        session,
        scene.now,
        EventKind.DEVICE_MUTED,
        order.device,
        from_=MUTED if before else "",
        to=MUTED,
        cause=order.reason,
        data={"until": until, "by": who.person.id},
    )
    ledger.act(session, scene.now, who, "device.mute", order.device, {"until": until, "reason": order.reason})
    if order.who and order.part:
        open_repair(session, Repair(order.device, order.who, order.part, order.until), who.person.id, scene.now)
        data: dict[str, object] = {"part": order.part, "who": order.who, "until": until}
        ledger.act(session, scene.now, who, "device.repair", order.device, data)
    return _done((*before, *targets))


def unmute(session: Session, scene: Scene, who: Actor, device: str, reason: str) -> Done[Stopped] | Refusals:
    """Let a device be heard again."""
    if not reason.strip():
        return (refuse("BUL035"),)
    targets = _end(session, scene.now, device)
    if not targets:
        return (refuse("BUL037", device=device),)
    _tell(session, scene.now, device, reason)
    ledger.act(session, scene.now, who, "device.unmute", device, {"reason": reason})
    return _done(targets)


def mended(session: Session, scene: Scene, who: Actor, device: str) -> Done[Mended]:
    """Close the device's repair order, and lift its silence with it."""
    if not close_repair(session, device, who.person.id, scene.now):
        return Done(Mended(False, ()), Changed())
    ledger.act(session, scene.now, who, "device.mended", device, {})
    targets = _end(session, scene.now, device)
    if targets:
        _tell(session, scene.now, device, MENDED)
    return Done(Mended(True, tuple(t.place for t in targets)), Changed(tuple(dict.fromkeys(targets))))


def expire(session: Session, now: datetime) -> tuple[Target, ...]:
    """Close every order that has reached its end; a silence that ends so leaves an event. The documents that change."""
    due = session.scalars(
        select(NowEntryRow).where(NowEntryRow.ended.is_(None), NowEntryRow.until <= now, _STOPS)
    ).all()
    for row in due:
        if _silences(row):
            _tell(session, row.until, _device(row), EXPIRED)
    return ledger.expire_entries(session, now)


def mutes(session: Session, since: datetime) -> tuple[Mute, ...]:
    """Silences that were in force at some time from ``since`` on, the oldest first."""
    rows = session.scalars(
        select(NowEntryRow).where(_STOPS, NowEntryRow.until > since).order_by(NowEntryRow.from_, NowEntryRow.id)
    )
    found = (_mute(row) for row in rows if _silences(row))
    return tuple(m for m in found if m.over > since)


def silenced(session: Session, scene: Scene, bulletin: Bulletin) -> frozenset[str]:
    """Devices that were silenced when the bulletin was to be heard where they stand; now, if it has no start yet."""
    length = timedelta(milliseconds=bulletin.duration)
    spans = [("", o.from_, o.ended or o.until) for o in ledger.orders(session, bulletin.id)]
    spans += [(a.unit, a.start, a.start + length) for a in ledger.airings(session, bulletin.id) if not a.cancelled]
    spans = spans or [("", scene.now, scene.now + length)]
    found = set()
    for one in mutes(session, min(start for _, start, _ in spans)):
        device = scene.network.devices.get(DeviceId(one.device))
        places = {"", *scene.network.device_chain(device, scene.on)} if device is not None else {""}
        if any(unit in places and one.start < end and start < one.over for unit, start, end in spans):
            found.add(one.device)
    return frozenset(found)


def in_force(found: Iterable[Mute], now: datetime) -> dict[str, Mute]:
    """The silence of each device that is silenced at ``now``."""
    return {m.device: m for m in found if m.start <= now < m.over}


_STOPS = NowEntryRow.kind == str(NowKind.STOP)


def _done(targets: Iterable[Target]) -> Done[Stopped]:
    places = tuple(dict.fromkeys(targets))
    return Done(Stopped(tuple(dict.fromkeys(t.place for t in places))), Changed(places))


def _end(session: Session, now: datetime, device: str) -> tuple[Target, ...]:
    """End what silences the device, whoever ordered it."""
    return ledger.end(_of(session, now, device), now)


def _of(session: Session, now: datetime, device: str) -> list[NowEntryRow]:
    return [row for row in ledger.stops(session, now) if row.target == _place(device) and _silences(row)]


def _tell(session: Session, at: datetime, device: str, cause: str) -> None:
    journal.append(session, at, EventKind.DEVICE_MUTED, device, from_=MUTED, to=UNMUTED, cause=cause)


def _silences(row: NowEntryRow) -> bool:
    return str(row.entry["bulletin"]) == EVERYTHING


def _place(device: str) -> str:
    return f"d/{device}"


def _device(row: NowEntryRow) -> str:
    return row.target.removeprefix("d/")


def _mute(row: NowEntryRow) -> Mute:
    by = str(row.entry.get("by", ""))
    return Mute(_device(row), row.from_, row.until, str(row.entry["reason"]), by, row.ended)
