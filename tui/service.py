"""What the hub answers: every method of ``tui.methods`` over the monitor, the playout and the store."""

from __future__ import annotations

import asyncio
import base64
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from audio import bulletin as rules
from audio import hours
from audio.documents import Audience, Bulletin, ContentKind, decode
from audio.emergency import Emergencies, without_second_person
from audio.listing import PAGE, Find
from audio.measure import Step
from audio.playout import Paper, Playout
from audio.receipts import Outcome
from audio.receipts import Report as Heard
from audio.refusals import refuse as unknown
from inventory.model import TIMEZONE, DeviceId, Network, Tier, UnitId
from inventory.select import Selection, parse
from nms.moments import from_milliseconds, to_milliseconds
from nms.store import EventRow, ReceiptRow, Store
from tui import methods as m
from tui import site_methods as site
from tui.alarm_rows import counts, silenced_row
from tui.alarm_service import AlarmService
from tui.answers import area_name, as_run_row, audio_file, bulletin_row, decoded, draft_of, sweep_row
from tui.answers import done as _done
from tui.asrun_service import AsRunService
from tui.desk_service import DeskService
from tui.emergency_service import EmergencyService
from tui.grid_service import GridService
from tui.handing_in import SUBMIT, Making
from tui.hub import Caller, Handler, refuse
from tui.overview import UNKNOWN, Places, device_row, unit_rows
from tui.site_service import SiteService
from tui.sound_service import spoken

if TYPE_CHECKING:
    from audio.broker import Broker
    from nms.monitor.parts import Picture
    from nms.selfwatch import Troubles

WATCH_EVERY = 1.0
BULLETINS_SHOWN = 30
AS_RUN_MOST = 20_000


class HubService:
    """Answers clients; knows nothing that the inventory, the monitor, the playout or the store do not know."""

    def __init__(
        self,
        network: Callable[[], Network],
        clock: Callable[[], datetime],
        monitor: Picture,
        playout: Playout,
        broker: Broker,
        store: Store,
        emergencies: Emergencies,
        version: str,
        troubles: Callable[[], Troubles] = dict,
    ) -> None:
        """``troubles``: what is wrong with the hub itself."""
        self._network = network
        self._clock = clock
        self._monitor = monitor
        self._playout = playout
        self._broker = broker
        self._store = store
        self._emergencies = emergencies
        self._version = version
        self._troubles = troubles
        self._started = clock()
        self._places: Places | None = None

    def handlers(self) -> dict[str, Handler]:
        """Every method by its name."""
        answers: Iterable[tuple[m.Method[Any, Any], Any]] = (
            (m.HELLO, self.hello),
            (m.OVERVIEW, self.overview),
            (m.DEVICES, self.devices),
            (m.EVENTS, self.events),
            (m.BULLETINS, self.bulletins),
            (m.PREVIEW, self.preview),
            (m.BODY, self.body),
            (m.APPROVE, self.approve),
            (m.RETURN, self.give_back),
            (m.STOP, self.stop),
            (m.RESUME, self.resume),
            (m.ALL_CLEAR, self.all_clear),
            (m.REPORT, self.report),
            (m.AS_RUN, self.as_run),
            (site.TRY, self.try_out),
        )
        found = {method.name: Handler(method, answer=answer) for method, answer in answers}
        found[m.WATCH.name] = Handler(m.WATCH, stream=self.watch)
        found[SUBMIT.name] = Handler(SUBMIT, stream=self.submit)
        alarms = AlarmService(
            self._where, self._clock, lambda: self._monitor.latest, self._playing, self._store, self._playout
        )
        sites = SiteService(self._where, self._clock, lambda: self._monitor.latest, self._store)
        urgent = EmergencyService(self._where, lambda: self._monitor.latest, self._unheard, self._emergencies)
        log = AsRunService(self._network, self._clock, self._store)
        grids = GridService(self._where, self._clock, self._store, self._playout)
        desk = DeskService(self._where, self._playout)
        found |= urgent.handlers() | log.handlers() | grids.handlers() | desk.handlers()
        return found | alarms.handlers() | sites.handlers()

    # -- what is

    async def hello(self, caller: Caller, _: m.Nothing) -> m.HubInfo:
        places = self._where()
        return m.HubInfo(
            version=self._version,
            province=places.network.province,
            name=places.network.name,
            on=places.on.isoformat(),
            now=to_milliseconds(self._clock()),
            started=to_milliseconds(self._started),
            devices=len(places.devices),
            person=caller.person.name if caller.person else "",
        )

    async def overview(self, _: Caller, __: m.Nothing) -> m.Overview:
        places, snapshot, now = self._where(), self._monitor.latest, self._clock()
        playing = await self._playing()
        silenced = len(await self._playout.mutes())
        states = {d: str(h.state) for d, h in snapshot.healths.items()} if snapshot else {}
        views = await self._playout.bulletins(Find(limit=BULLETINS_SHOWN))
        return m.Overview(
            now=to_milliseconds(now),
            units=unit_rows(places, states, playing),
            causes=self._causes(places),
            bulletins=tuple(bulletin_row(v) for v in views),
            sweep=sweep_row(snapshot),
            broker=self._broker.connected,
            hub=tuple(f"{kind}:{t.detail}" for kind, t in self._troubles().items() if t.present),
            alarms=await self._store.read(lambda s: counts(s, now, silenced)),
            alone=await self._alone(places, now),
        )

    async def watch(self, caller: Caller, nothing: m.Nothing) -> AsyncIterator[m.Overview]:
        while True:
            yield await self.overview(caller, nothing)
            await asyncio.sleep(WATCH_EVERY)

    async def devices(self, _: Caller, params: m.Select) -> m.DeviceRows:
        places, snapshot = self._where(), self._monitor.latest
        healths = snapshot.healths if snapshot else {}
        states = {d: str(h.state) for d, h in healths.items()}
        selection = parse(params.selection, places.network)
        if not isinstance(selection, Selection):
            raise refuse(selection)
        playing = await self._playing()
        rows = []
        for device in selection.devices(places.on, lambda d: states.get(d, UNKNOWN)):
            health = healths.get(device.id)
            reading = snapshot.reading(device.id) if snapshot else None
            metrics = reading.metrics if reading else {}
            rows.append(device_row(places, device, health, metrics, playing.get(device.id, "")))
        return m.DeviceRows(tuple(rows))

    async def events(self, _: Caller, params: m.Since) -> m.EventRows:
        def query(session: Session) -> tuple[m.EventRow, ...]:
            wanted = select(EventRow).where(EventRow.at >= from_milliseconds(params.at))
            rows = session.scalars(wanted.order_by(EventRow.at.desc(), EventRow.id.desc()).limit(params.limit)).all()
            return tuple(
                m.EventRow(r.id, to_milliseconds(r.at), r.subject, r.kind, r.from_, r.to, r.cause)
                for r in reversed(rows)
            )

        return m.EventRows(await self._store.read(query))

    # -- bulletins

    async def bulletins(self, _: Caller, find: m.Find) -> m.BulletinRows:
        since = from_milliseconds(find.since) if find.since else None
        wanted = Find(find.search, find.state, find.origin, since, find.before, PAGE + 1)
        views = await self._playout.bulletins(wanted)
        return m.BulletinRows(tuple(bulletin_row(v) for v in views[:PAGE]), len(views) > PAGE)

    async def preview(self, caller: Caller, push: m.Push) -> m.Preview:
        places, snapshot = self._where(), self._monitor.latest
        now = self._clock()
        draft = draft_of(places.network, caller, push, None)
        problems = rules.checks(places.network, places.on, draft, now)
        problems += hours.play_now(places.network, places.on, draft, now)
        audience = rules.audience_of(places.network, places.on, draft.audience)
        known = audience if isinstance(audience, Audience) else Audience()
        meant = rules.addressed(places.network, places.on, known)
        lost = [
            d
            for d in meant
            if snapshot and (h := snapshot.healths.get(d.id)) and str(h.state) in ("down", "unreachable")
        ]
        communes = sorted({places.tier_of(d.id, Tier.COMMUNE) for d in meant})
        # a form is checked while it is being filled in: what is still empty is no mistake yet
        shown = [d for d in problems if d.code not in _UNFINISHED]
        said, warnings = spoken(push.text)
        return m.Preview(
            area=area_name(places.network, draft.audience, draft.origin),
            devices=len(meant),
            lost=len(lost),
            communes=tuple(communes),
            problems=refuse(tuple(shown)).problems,
            silenced=await self._unheard(known),
            spoken=said,
            warnings=warnings,
        )

    async def submit(self, caller: Caller, push: m.Push) -> AsyncIterator[Making]:
        """Who hangs up while the sound is made wants it no more."""
        person = caller.known()
        news: asyncio.Queue[Step | None] = asyncio.Queue()
        with tempfile.TemporaryDirectory(prefix="loa-push-") as folder:
            draft = draft_of(self._network(), caller, push, audio_file(push.audio, push.audio_name, Path(folder)))
            submission = self._playout.submit(person, draft, uid=caller.uid, progress=news.put_nowait)
            work = asyncio.create_task(submission)
            work.add_done_callback(lambda _: news.put_nowait(None))
            try:
                while (step := await news.get()) is not None:
                    yield Making(str(step.stage), step.done, step.total)
            finally:
                work.cancel()
                await asyncio.wait([work])
        made = _done(work.result())
        sound, (_, warnings) = made.content, spoken(push.text)
        if sound is None:
            yield Making(made=m.Submitted(made.bulletin, push.live, 0.0, ""))
        else:
            told = m.Submitted(made.bulletin, sound.duration_ms, sound.lufs, sound.source, warnings, sound.cut_ms)
            yield Making(made=told)

    async def body(self, _: Caller, params: m.BulletinId) -> m.Body:
        data = _done(await self._playout.body(params.bulletin))
        row = await self._row(params.bulletin)
        bulletin = decode(Bulletin, data)
        silenced = await self._unheard(bulletin.audience)
        return m.Body(row, 1, base64.b64encode(data).decode(), silenced, *spoken(_read_out(bulletin)))

    async def approve(self, caller: Caller, params: m.Approve) -> m.Approved:
        person = caller.known()
        signed = decoded(params.signed)
        paper = None
        if params.paper or params.signer:
            paper = Paper(params.paper, params.signer, from_milliseconds(params.signed_at))
        found = await self._playout.approve(person, params.bulletin, signed, params.reason, paper, uid=caller.uid)
        done = _done(found)
        return m.Approved(done.starts, done.homeless, done.offered)

    async def give_back(self, caller: Caller, params: m.Return) -> m.Nothing:
        refused = await self._playout.give_back(caller.known(), params.bulletin, params.reason, uid=caller.uid)
        if refused:
            raise refuse(refused)
        return m.Nothing()

    async def stop(self, caller: Caller, params: m.Stop) -> m.Stopped:
        until = from_milliseconds(params.hold_until) if params.hold_until else None
        done = await self._playout.stop(
            caller.known(), params.selection, params.bulletin or None, until, params.reason, uid=caller.uid
        )
        return m.Stopped(_done(done).targets)

    async def resume(self, caller: Caller, params: m.Resume) -> m.Resumed:
        person, bulletin = caller.known(), params.bulletin or None
        done = _done(await self._playout.resume(person, params.selection, bulletin, params.reason, uid=caller.uid))
        units = self._where().network.units
        standing = tuple(
            m.StopRow(s.place, units[UnitId(s.issuer)].name, s.until, s.bulletin, s.reason) for s in done.standing
        )
        return m.Resumed(done.targets, standing)

    async def all_clear(self, caller: Caller, params: m.BulletinId) -> m.Stopped:
        done = await self._playout.all_clear(caller.known(), params.bulletin, uid=caller.uid)
        return m.Stopped(_done(done).targets)

    async def report(self, _: Caller, params: m.BulletinId) -> m.Report:
        heard: Heard = _done(await self._playout.report(params.bulletin))
        row = await self._row(params.bulletin)
        devices = tuple(self._outcome(o) for o in heard.outcomes)
        return m.Report(row, {str(k): n for k, n in heard.counts.items()}, heard.p50, heard.p99, devices)

    async def as_run(self, _: Caller, params: m.Since) -> m.AsRunLog:
        def query(session: Session) -> tuple[m.AsRun, ...]:
            wanted = select(ReceiptRow).where(ReceiptRow.received >= from_milliseconds(params.at))
            rows = session.scalars(wanted.order_by(ReceiptRow.started, ReceiptRow.id).limit(AS_RUN_MOST))
            return tuple(as_run_row(row) for row in rows)

        return m.AsRunLog(await self._store.read(query))

    async def try_out(self, caller: Caller, params: site.Try) -> site.Tried:
        tried = _done(await self._playout.test_tone(caller.known(), params.device, params.silent, uid=caller.uid))
        return site.Tried(str(tried.result), tried.reason, tried.level, tried.passed)

    # -- what they need

    def _where(self) -> Places:
        network = self._network()
        on = self._today(network)
        if self._places is None or self._places.network is not network or self._places.on != on:
            self._places = Places(network, on)
        return self._places

    def _today(self, network: Network) -> date:
        return network.on(self._clock().astimezone(TIMEZONE).date())

    async def _alone(self, places: Places, now: datetime) -> tuple[m.AloneRow, ...]:
        found = await self._store.read(lambda s: without_second_person(s, now))
        names = {str(person.id): person.name for person in places.network.people.values()}
        return tuple(m.AloneRow(to_milliseconds(a.at), a.title, names.get(a.person, a.person), a.reason) for a in found)

    async def _playing(self) -> dict[str, str]:
        """Devices that are online and play, with the bulletin."""
        states = await self._playout.now_playing()
        return {device: s.bulletin for device, s in states.items() if s.online and s.playing}

    def _causes(self, places: Places) -> tuple[m.CauseRow, ...]:
        snapshot = self._monitor.latest
        if snapshot is None:
            return ()
        rows = []
        for cause in snapshot.causes:
            communes = sorted({places.tier_of(d, Tier.COMMUNE) for d in cause.affected})
            since = min(snapshot.healths[d].since for d in cause.affected)
            rows.append(m.CauseRow(cause.key, str(cause.kind), to_milliseconds(since), cause.affected, tuple(communes)))
        return tuple(rows)

    async def _unheard(self, audience: Audience) -> tuple[m.Silenced, ...]:
        """Who is addressed and will not hear, because somebody silenced the cluster."""
        places = self._where()
        meant = {d.id for d in rules.addressed(places.network, places.on, audience)}
        mutes = await self._playout.mutes()
        return tuple(silenced_row(places, mute) for mute in mutes if mute.device in meant)

    async def _row(self, bulletin: str) -> m.BulletinRow:
        view = await self._playout.bulletin(bulletin)
        if view is None:
            raise refuse((unknown("BUL020", bulletin=bulletin),))
        return bulletin_row(view)

    def _outcome(self, outcome: Outcome) -> m.ReportRow:
        places = self._where()
        device = places.devices.get(DeviceId(outcome.device))
        return m.ReportRow(
            device=outcome.device,
            commune=places.tier_of(DeviceId(outcome.device), Tier.COMMUNE),
            hamlet=places.hamlet(device) if device else "",
            result=str(outcome.heard),
            reason=outcome.reason,
            started=outcome.at or 0,
            latency=outcome.latency,
            contact=places.contact(device) if device else "",
        )


_UNFINISHED = ("BUL006", "BUL011", "BUL013")


def _read_out(bulletin: Bulletin) -> str:
    """The text that a voice speaks; a recording's text is for boards."""
    return bulletin.text if bulletin.kind is ContentKind.SPEECH else ""
