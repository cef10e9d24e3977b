"""What the hub answers about what was heard on a day."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from functools import partial

from sqlalchemy.orm import Session

from audio import daybook_store
from audio.daybook import Book, By, Day, Line, Listener
from audio.daybook_store import Named
from audio.documents import Span
from audio.refusals import refuse as fault
from audio.relays import Relays, series
from audio.trust import languages
from inventory.model import TIMEZONE, DeviceKind, Network, Tier, UnitId
from inventory.select import Selection, fold, parse
from nms.moments import to_milliseconds
from nms.store import Store
from tui import asrun_methods as a
from tui.hub import Caller, Handler, Refusal, refuse
from tui.methods import Problem

BATCH = 100
"""Devices of one read: a day of a province must not keep others from the store."""
TIERS = (Tier.PROVINCE, Tier.DISTRICT, Tier.COMMUNE)


class AsRunService:
    """Reading is free."""

    def __init__(self, network: Callable[[], Network], clock: Callable[[], datetime], store: Store) -> None:
        self._network = network
        self._clock = clock
        self._store = store
        self._relays = Relays(network)

    def handlers(self) -> dict[str, Handler]:
        return {a.AS_RUN_DAY.name: Handler(a.AS_RUN_DAY, answer=self.day)}

    async def day(self, _: Caller, params: a.AsRunDay) -> a.DayLog:
        """The day's log over the loudspeakers of the selection as they stood then."""
        network, now = self._network(), self._clock()
        wanted = _date(params.day) if params.day else now.astimezone(TIMEZONE).date()
        on = wanted if params.day else network.on(wanted)
        start = datetime.combine(wanted, time(), TIMEZONE)
        units = {network.unit_of(device, on) for device in network.devices_on(on)}
        day = await self._store.read(lambda s: self._day(s, start, (str(u) for u in units if u is not None)))
        silenced = await self._store.read(lambda s: daybook_store.silences(s, day))
        listeners = _listeners(network, on, params.selection, silenced)
        book, known = Book(day, params.by, to_milliseconds(now)), dict[str, Named]()
        for at in range(0, len(listeners), BATCH):
            some = listeners[at : at + BATCH]
            await self._store.read(partial(_add, book=book, day=day, listeners=some, known=known))
        names = _names(network, params.by, book.lines, known)
        order = {str(tier): number for number, tier in enumerate(TIERS)}
        return a.DayLog(
            wanted.isoformat(),
            params.by,
            len(listeners),
            tuple(sorted((_row(line, names.get(line.key, line.key)) for line in book.lines), key=_by_name)),
            tuple(
                _row(line, line.key) for line in sorted(book.tiers, key=lambda each: order.get(each.key, len(order)))
            ),
            _row(book.total, ""),
        )

    def _day(self, session: Session, start: datetime, units: Iterable[str]) -> Day:
        until = start + timedelta(days=1)
        signed = {s.bulletin.id: s.bulletin for s in series(session, start)}
        found = self._relays.airings(session, units, start, until, start)
        relayed = {unit: [(a, signed[a.bulletin]) for a, _ in airings] for unit, airings in found.items()}
        return daybook_store.day(session, start, until, relayed)


def _names(network: Network, by: By, lines: Iterable[Line], known: Mapping[str, Named]) -> Mapping[str, str]:
    """What people call the lines' keys, as far as they are known."""
    keys = [line.key for line in lines]
    if by is By.UNIT:
        return {key: network.units[UnitId(key)].name for key in keys}
    return {key: known[key].title for key in keys if key in known}


def _add(session: Session, book: Book, day: Day, listeners: Sequence[Listener], known: dict[str, Named]) -> None:
    """Add these devices to the book; ``known`` bulletins grow by those that they heard."""
    told = daybook_store.receipts(session, [each.device for each in listeners], day)
    wanted = {r.bulletin for receipts in told.values() for r in receipts} | {s.bulletin for s in day.starts}
    known |= daybook_store.named(session, wanted - known.keys())
    tiers = {bulletin: each.tier for bulletin, each in known.items()}
    for listener in listeners:
        book.add(listener, told[listener.device], tiers)


def _listeners(
    network: Network, on: date, selection: str, silenced: Mapping[str, tuple[Span, ...]]
) -> tuple[Listener, ...]:
    """The loudspeakers of the selection that were in use in a commune. Raises Refusal."""
    parsed = parse(selection, network, on)
    if not isinstance(parsed, Selection):
        raise refuse(parsed)
    if parsed.needs_status:
        raise refuse((fault("BUL012", audience=selection),))
    found = []
    for device in parsed.devices(on):
        unit = network.unit_of(device, on)
        if device.kind is not DeviceKind.LOUDSPEAKER or unit is None:
            continue
        places = (f"prog/{unit}", *(f"u/{u}" for u in network.chain(unit)), f"d/{device.id}")
        groups = (f"g/{group}" for group in network.groups_of(device))
        mute, spoken = silenced.get(device.id, ()), languages(network, device)
        found.append(Listener(device.id, unit, frozenset((*places, *groups)), mute, spoken))
    return tuple(found)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        problem = Problem(
            "CFG102", "the request does not fit: {detail}", "use the hub's own version", {"detail": "day"}
        )
        raise Refusal(problem) from None


def _by_name(row: a.DayLine) -> tuple[str, str]:
    """Đ beside D, not after Z."""
    return fold(row.name), row.key


def _row(line: Line, name: str) -> a.DayLine:
    return a.DayLine(
        line.key,
        name,
        line.planned,
        line.begun,
        line.heard,
        line.late,
        line.partial,
        line.missing,
        line.silenced,
        line.pending,
        line.unplanned,
        line.requested,
        line.aired,
    )
