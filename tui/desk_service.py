"""What the hub answers about a bulletin's life and a commune's own programme: ``tui.desk_methods`` over the playout."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from audio.history import Decision, History, Offered, Start, Version
from audio.playout import Edits, Playout
from audio.receipts import Report
from inventory.model import PersonId, UnitId
from nms.journal import Event, EventKind
from nms.moments import from_milliseconds, to_milliseconds
from tui import desk_methods as d
from tui import methods as m
from tui.answers import audio_file, bulletin_class, bulletin_row, done, written
from tui.hub import Caller, Handler
from tui.overview import Places

_AS_THEY_ARE = (
    "title",
    "text",
    "audience",
    "play_now",
    "repeats",
    "every",
    "by_session",
    "volume",
    "authority",
    "supplier",
    "field",
)


def _given(value: Any) -> Any:
    return written(value) if isinstance(value, str) else value


class DeskService:
    """``where``: the network and the date it is read at."""

    def __init__(self, where: Callable[[], Places], playout: Playout) -> None:
        self._where = where
        self._playout = playout

    def handlers(self) -> dict[str, Handler]:
        answers: Iterable[tuple[m.Method[Any, Any], Any]] = (
            (d.OFFERS, self.offers),
            (d.PICK, self.pick),
            (d.ORDER, self.order),
            (d.EDIT, self.edit),
            (d.BULLETIN, self.bulletin),
        )
        return {method.name: Handler(method, answer=answer) for method, answer in answers}

    async def offers(self, _: Caller, params: d.UnitId) -> m.BulletinRows:
        return m.BulletinRows(tuple(bulletin_row(v) for v in await self._playout.offers(params.unit)))

    async def pick(self, caller: Caller, params: d.Pick) -> m.Approved:
        made = done(await self._playout.pick(caller.known(), params.unit, params.bulletin, uid=caller.uid))
        return m.Approved(made.starts, made.homeless)

    async def order(self, caller: Caller, params: d.Order) -> d.Ordered:
        person = caller.known()
        made = done(await self._playout.order(person, params.unit, params.bulletin, params.before, uid=caller.uid))
        return d.Ordered(tuple(d.OrderRow(*item) for item in made.items))

    async def edit(self, caller: Caller, params: d.Edit) -> d.Edited:
        person = caller.known()
        with tempfile.TemporaryDirectory(prefix="loa-edit-") as folder:
            edits = Edits(
                **{name: _given(getattr(params, name)) for name in _AS_THEY_ARE},
                audio=audio_file(params.audio, params.audio_name, Path(folder)),
                cls=bulletin_class(params.cls) if params.cls is not None else None,
                valid_until=from_milliseconds(params.valid_until) if params.valid_until is not None else None,
            )
            made = done(await self._playout.edit(person, params.bulletin, edits, uid=caller.uid))
        return d.Edited(made.bulletin, made.version, made.waiting, made.changed)

    async def bulletin(self, _: Caller, params: m.BulletinId) -> d.Bulletin:
        found: History = done(await self._playout.history(params.bulletin))
        heard: Report = done(await self._playout.report(params.bulletin))
        view = await self._playout.bulletin(params.bulletin)
        assert view is not None
        return d.Bulletin(
            row=bulletin_row(view),
            text=found.body.text,
            authority=found.body.authority,
            supplier=found.body.supplier,
            field=found.body.field,
            valid_from=found.body.valid_from,
            versions=tuple(self._version(v) for v in found.versions),
            decisions=tuple(self._decision(x) for x in found.decisions),
            starts=tuple(self._start(s) for s in found.starts),
            offers=tuple(self._offer(o) for o in found.offers),
            orders=tuple(self._order(e) for e in found.events if e.kind is EventKind.BULLETIN_ORDERED),
            counts={str(kind): count for kind, count in heard.counts.items()},
            events=tuple(
                m.EventRow(e.id, to_milliseconds(e.at), e.subject, e.kind, e.from_, e.to, e.cause) for e in found.events
            ),
        )

    def _version(self, version: Version) -> d.VersionRow:
        return d.VersionRow(
            bulletin=version.bulletin,
            version=version.version,
            state=version.state,
            title=version.title,
            author=self._person(version.author),
            created=version.created,
            changed=version.changed,
            on_behalf=self._unit(version.on_behalf),
        )

    def _decision(self, decision: Decision) -> d.DecisionRow:
        return d.DecisionRow(
            version=decision.version,
            person=self._person(decision.person),
            at=decision.at,
            decision=decision.decision,
            reason=decision.reason,
            paper=decision.paper,
            signer=decision.signer,
            signed_at=decision.signed_at,
        )

    def _start(self, start: Start) -> d.StartRow:
        return d.StartRow(start.version, self._unit(start.unit), start.repeat, start.start, start.cancelled)

    def _offer(self, offered: Offered) -> d.OfferRow:
        return d.OfferRow(self._unit(offered.unit), offered.picked, self._person(offered.by))

    def _order(self, event: Event) -> d.OrderDecision:
        unit, before = str(event.data["unit"]), str(event.data["before"])
        return d.OrderDecision(
            to_milliseconds(event.at), self._person(event.cause), self._unit(unit), event.subject, before
        )

    def _person(self, person: str) -> str:
        known = self._where().network.people.get(PersonId(person))
        return known.name if known is not None else person

    def _unit(self, unit: str) -> str:
        known = self._where().network.units.get(UnitId(unit))
        return known.name if known is not None else unit
