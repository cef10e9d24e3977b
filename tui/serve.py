"""The hub: one process that owns the store, polls the fleet, plays bulletins, and answers everybody; or several, each
with a part of that, on one PostgreSQL database.

The composition root: everything is made here, once, and passed in.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import signal
import ssl
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from time import monotonic

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.orm import Session

from audio import microphones, relays, trust
from audio.broker import Broker
from audio.documents import DeviceState
from audio.emergency import Emergencies
from audio.envelope import key_id
from audio.library import Library, content_app
from audio.live.listeners import Listeners
from audio.live.microphone import Microphones
from audio.live.relays import Relays
from audio.live.session import Signer
from audio.live.wire import Wire
from audio.playout import Playout
from audio.policies import PolicyWatch
from audio.receiver.clock import kernel_synchronised
from audio.speech import Accent, Voice
from audio.watch import Watch
from exporters import http
from exporters.scrape import Scrape
from inventory.diagnostics import Diagnostic, Place
from inventory.load import load
from inventory.model import DeviceId, Network
from nms.alarm_store import OpenedWork
from nms.journal import EventKind, append
from nms.monitor.loop import Monitor
from nms.monitor.parts import Judge, Picture, WholeFleet, patience, take_up
from nms.monitor.quotas import QuotaWatch
from nms.monitor.shards import part
from nms.monitor.trapd import TrapBook
from nms.provision import artifacts
from nms.provision.artifacts import ArtifactStore
from nms.retention import nightly
from nms.selfwatch import SelfWatch, Watched, process
from nms.settings import Clock, Settings
from nms.store import Store, StoreError, shared
from nms.store.failure import alone
from nms.store.ownership import LOST_CLAIM
from nms.tasks import end
from tui.apply_service import ApplyService
from tui.backup_service import BackupService
from tui.certificates import Certificates, make_certificates
from tui.commands.keys import BUNDLE
from tui.enrolling import make_enrolment
from tui.failure import StartError
from tui.hub import HubSocket
from tui.live_methods import live_socket
from tui.live_service import LiveService
from tui.plan_service import PlanService
from tui.polling import Scope, make_monitor, make_whole, security_of, today
from tui.provisioning import ARTIFACTS, make_plans
from tui.roles import Role, Work
from tui.rollouts import make_rollouts
from tui.service import HubService
from tui.sound_service import SoundService
from tui.trapping import trap_task

log = logging.getLogger("loa.serve")

EVERYTHING = Work()
RESTART_SECONDS = 1.0
STEADY_SECONDS = 10.0
"""How long a task must have run for its next failure to be told anew."""
LOOK_SECONDS = 2.0
STALLED_SECONDS = 300.0
HANG_UP_SECONDS = 1.0
"""How long a transfer under way may hold up the hub's end: a device on a dead line goes on later where it stopped."""


@dataclass(slots=True)
class Current:
    """The network in force; a reload replaces it as a whole."""

    network: Network

    def __call__(self) -> Network:
        return self.network


async def serve(settings: Settings, network: Network, work: Work = EVERYTHING) -> None:
    """Run until SIGTERM or SIGINT.

    Raises StartError before anything runs if something is missing, and later if another process does this one's work.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    async with AsyncExitStack() as stack:
        hub = _assemble(settings, network, work, stack)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, hub.stopping.set)
        loop.add_signal_handler(signal.SIGHUP, hub.reload)
        tasks = [asyncio.create_task(_supervised(name, task, hub)) for name, task in hub.tasks.items()]
        log.info("running: %d devices, %s", len(hub.current.network.devices), ", ".join(sorted(hub.tasks)))
        await hub.stopping.wait()
        await end(tasks)
    if hub.lost is not None:
        raise StartError((hub.lost,))


Task = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Hub:
    """A running process: what it does side by side, and what all of that shares.

    ``lost``: why it must end. ``waiting``: the tasks of which it is told that they cannot work without the store.
    """

    settings: Settings
    work: Work
    clock: Clock
    store: Store
    current: Current
    several: bool
    monitor: Monitor | None = None
    opened: OpenedWork | None = None
    whole: WholeFleet | None = None
    traps: TrapBook | None = None
    tasks: dict[str, Task] = field(default_factory=dict)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    lost: Diagnostic | None = None
    waiting: set[str] = field(default_factory=set)

    def picture(self) -> Picture:
        """The whole fleet: as this process polls it, or as the others write it."""
        if self.monitor is not None and self.work.sees_all:
            return self.monitor
        if self.whole is None:
            self.whole = make_whole(self.current, self.clock, self.store)
        return self.whole

    def reload(self) -> None:
        """Read the inventory again; with errors the old one stays in force."""
        network, diagnostics = load(self.settings.inventory)
        if network is None:
            log.error("inventory not reloaded: %d errors; the old one stays in force", len(diagnostics))
            return
        self.current.network = network
        if self.monitor is not None:
            self.monitor.reload(part(network, self.work.shard))
        log.info("inventory reloaded: %d devices", len(network.devices))

    async def failed(self, name: str, error: BaseException) -> None:
        """One of the tasks ended with an error: on the record, if the store still takes it."""
        if isinstance(error, StoreError) and error.code in LOST_CLAIM:
            self.lost = error.diagnostic
            self.stopping.set()
            return
        if isinstance(error, StoreError):
            if name not in self.waiting:
                log.warning("%s cannot work while the store fails: %s", name, error)
            self.waiting.add(name)
            return
        log.error("%s failed: %s", name, error, exc_info=error)
        now = self.clock()
        try:
            await self.store.write(lambda s: append(s, now, EventKind.SELF_TASK_FAILED, name, cause=repr(error)))
        except StoreError:
            log.exception("the store does not take events")

    async def poll(self) -> None:
        """The monitor has a thread of its own, which ends with this task."""
        assert self.monitor is not None
        try:
            await asyncio.to_thread(self.monitor.run)
        finally:
            self.monitor.stop()

    async def keep_looking(self) -> None:
        """Read what people and other processes wrote; notice when a part is missing, or a claim of this one lost."""
        judging = self.several and Role.SOCKET in self.work.roles
        judge = Judge(self.store, patience(self.settings.snmp_interval)) if judging else None
        away = False
        while True:
            try:
                await asyncio.to_thread(self._look, judge)
                away = False
            except StoreError as error:
                if error.code in LOST_CLAIM:
                    raise
                if not away:
                    log.warning("what others write is not seen: %s", error)
                away = True
            await asyncio.sleep(LOOK_SECONDS)

    def _look(self, judge: Judge | None) -> None:
        now = self.clock()
        if self.opened is not None:
            self.opened.refresh(now)
        if self.whole is not None:
            self.whole.refresh(now)
        if self.traps is not None and self.monitor is not None and not self.work.sees_all:
            self.monitor.poll_soon(self.traps.of_others(now))
        if judge is not None:
            judge.look(self.whole.latest if self.whole is not None else None, now)
        elif self.several:
            self.store.write_sync(lambda s: None)  # fails once this process has lost a claim


async def _supervised(name: str, task: Task, hub: Hub) -> None:
    """Run a task for ever: one that fails is written down and started again."""
    while True:
        began = monotonic()
        try:
            await task()
            error: BaseException = RuntimeError("ended by itself")
        except asyncio.CancelledError:
            raise
        except Exception as failure:
            error = failure
        if monotonic() - began >= STEADY_SECONDS:
            hub.waiting.discard(name)
        await hub.failed(name, error)
        await asyncio.sleep(RESTART_SECONDS)


def _assemble(settings: Settings, network: Network, work: Work, stack: AsyncExitStack) -> Hub:
    """Everything that the roles need, and nothing else. Raises StartError."""
    several = _several(settings, work)
    keys = _trust(settings, network) if Role.PLAYOUT in work.roles else None
    current, clock = Current(network), settings.make_clock()
    certificates = make_certificates(settings, current, clock) if keys is not None else None
    store = _open(settings, work)
    stack.callback(store.close)
    hub = Hub(settings, work, clock, store, current, several)
    if Role.MONITOR in work.roles:
        _add_monitor(hub, stack)
    tls = certificates.broker if certificates is not None else None
    broker = Broker(settings.mqtt_host, settings.mqtt_port, tls) if keys is not None else None
    watch = _add_watch(hub, broker)
    if keys is not None and broker is not None:
        open_ = Microphones()
        library = _add_playout(hub, keys, broker, watch, open_)
        listeners = _add_relays(hub, keys, tls, open_)
        _add_content(hub, library, listeners, certificates)
    if Role.EXPORTER in work.roles:
        _add_exporter(hub, watch)
    if several or hub.opened is not None:
        hub.tasks["lookout"] = hub.keep_looking
    if Role.SOCKET in work.roles:
        hub.tasks["quotas"] = QuotaWatch(store, hub.current, hub.clock).run
        hub.tasks["retention"] = lambda: nightly(store, hub.clock, timedelta(days=settings.event_days))
    return hub


def _several(settings: Settings, work: Work) -> bool:
    """Whether several processes share the store; only then may one do less than everything."""
    try:
        several = shared(settings.store)
        if not several and not work.everything:
            raise alone(settings.store)
    except StoreError as error:
        raise StartError((error.diagnostic,)) from None
    return several


def _open(settings: Settings, work: Work) -> Store:
    """The store, with this process's claims."""
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
    try:
        return Store.open(settings.store, work.claims())
    except StoreError as error:
        raise StartError((error.diagnostic,)) from None


def _add_monitor(hub: Hub, stack: AsyncExitStack) -> None:
    """Polling. Whoever answers people and sees the whole fleet raises its alarms."""
    alarms = hub.work.sees_all and Role.SOCKET in hub.work.roles
    scope = Scope(hub.work.shard, hub.several, alarms)
    hub.monitor, hub.opened = make_monitor(hub.settings, hub.current.network, hub.clock, hub.store, scope, stack)
    if hub.several:
        now, holder = hub.clock(), f"{platform.node()} pid {os.getpid()}"
        hub.store.write_sync(lambda s: take_up(s, hub.work.shard, holder, now))
    hub.tasks["monitor"] = hub.poll
    if hub.settings.snmp_trap_port:
        hub.traps, security = TrapBook(hub.store), security_of(hub.settings)
        hub.tasks["traps"] = trap_task(
            hub.settings, hub.current, hub.clock, hub.traps, hub.monitor.poll_soon, security, hub.several
        )


def _add_watch(hub: Hub, broker: Broker | None) -> SelfWatch:
    """The process watches itself."""
    work, settings = hub.work, hub.settings
    name = process(claim.name for claim in work.claims()) if hub.several else "hub"
    inside = not hub.several  # a file, with the state unless somebody has put it elsewhere
    watched = Watched(
        hub.store,
        settings.state_dir,
        settings.snmp_interval,
        hub.monitor,
        broker,
        inside=inside,
        kept=kernel_synchronised if settings.clock is None else lambda: True,
    )
    watch = SelfWatch(name, watched, hub.clock, others=hub.several)
    hub.tasks["self"] = watch.run
    return watch


def _add_playout(
    hub: Hub,
    keys: tuple[Ed25519PrivateKey, str, trust.Bundle],
    broker: Broker,
    watch: SelfWatch,
    open_: Microphones,
) -> Library:
    """Bulletins, and who orders them; their sounds are in the library."""
    settings, (key, kid, bundle) = hub.settings, keys
    voice = Voice(Accent(settings.speech_accent), settings.speech_speed, settings.speech_model)
    keep = timedelta(days=settings.content_days)
    library = Library(settings.state_dir / "content", voice, mp3=settings.mp3, keep=keep)
    library.sweep()
    policies = trust.in_force(bundle.read(), today(hub.current(), hub.clock))
    playout = Playout(hub.store, hub.current, broker, key, kid, hub.clock, policies, library, watch.clock_good)
    hub.tasks["playout"] = playout.run
    hub.tasks["policies"] = PolicyWatch(bundle, hub.store, hub.current, hub.clock, playout.hand_out).run

    async def words() -> Mapping[str, DeviceState] | None:
        """By a clock that has just jumped nothing can be said about who should play."""
        return await playout.words() if watch.clock_good() else None

    hub.tasks["listening"] = Watch(hub.store, hub.current, hub.clock, hub.picture(), words).run
    if Role.SOCKET in hub.work.roles:
        emergencies = Emergencies(hub.store, hub.current, hub.clock, library, settings.inventory)
        hub.tasks["scripts"] = emergencies.run
        parts = (hub.picture(), playout, broker, hub.store, emergencies)
        service = HubService(hub.current, hub.clock, *parts, _version(), lambda: watch.troubles)
        plans = make_plans(settings, hub.current, hub.clock, hub.picture(), hub.store)
        rollouts = _add_rollouts(hub, plans, playout)
        handlers = service.handlers() | plans.handlers() | rollouts.handlers()
        handlers |= BackupService(plans, hub.clock, hub.store).handlers()
        handlers |= SoundService(hub.current, hub.clock, library).handlers()
        enrolment, tasks = make_enrolment(settings, plans, hub.current, hub.clock, hub.store, playout, broker)
        handlers |= enrolment.handlers()
        hub.tasks |= tasks
        hub.tasks["socket"] = HubSocket(settings.socket, handlers, hub.current).run
        speaking = LiveService(playout.speeches, open_, hub.clock).handlers()
        hub.tasks["live"] = HubSocket(live_socket(settings.socket), speaking, hub.current).run
    return library


def _add_rollouts(hub: Hub, plans: PlanService, playout: Playout) -> ApplyService:
    def soon(devices: Collection[DeviceId]) -> None:
        if hub.monitor is not None:
            hub.monitor.poll_soon(devices)

    rollouts = make_rollouts(hub.settings, plans, hub.clock, hub.picture(), soon, playout, hub.store)
    hub.tasks["rollouts"] = rollouts.run
    return rollouts


def _add_relays(
    hub: Hub,
    keys: tuple[Ed25519PrivateKey, str, trust.Bundle],
    tls: Callable[[], ssl.SSLContext] | None,
    open_: Microphones,
) -> Listeners:
    """Relays and microphones while they are due, on a connection to the broker of their own."""
    settings, (key, kid, _) = hub.settings, keys
    listeners = Listeners()
    wire = Wire(settings.mqtt_host, settings.mqtt_port, tls)
    relayed = relays.Relays(hub.current)

    def due(rows: Session, since: datetime, until: datetime) -> frozenset[str]:
        return relayed.on_air(rows, since, until) | microphones.due(rows, since, until)

    def sources() -> Mapping[str, Sequence[str]]:
        return {source.id: source.urls for source in hub.current.network.grid.sources}

    sessions = Relays(hub.store, due, sources, Signer(key, kid), wire, listeners, hub.clock, open_)
    hub.tasks["relays"] = sessions.run
    return listeners


def _add_content(hub: Hub, library: Library, listeners: Listeners, certificates: Certificates | None) -> None:
    """What devices fetch: for those with a certificate only, where there is an authority."""
    settings = hub.settings

    async def site() -> None:
        application = content_app(library)
        listeners.serve(application)
        artifacts.serve(application, ArtifactStore(settings.state_dir / ARTIFACTS))
        tls = certificates.secure(application) if certificates is not None else None
        await _site(application, settings.content_host, settings.content_port, tls)

    hub.tasks["content"] = site
    if certificates is not None:
        hub.tasks["certificates"] = certificates.keep


def _add_exporter(hub: Hub, watch: SelfWatch) -> None:
    settings = hub.settings
    scrape = Scrape(hub.current, hub.clock, hub.picture(), hub.store, watch.ok)

    def healthy() -> bool:
        age = scrape.sweep_age()
        return age is not None and age < STALLED_SECONDS

    application = http.app(scrape.text, healthy)
    hub.tasks["exporter"] = lambda: _site(application, settings.exporter_host, settings.exporter_port)


def _trust(settings: Settings, network: Network) -> tuple[Ed25519PrivateKey, str, trust.Bundle]:
    """The hub's key, its id, and every device's policy as the root signed it."""
    if network.trust is None:
        missing = Diagnostic("ENV040", Place("trust.yaml"), "the inventory names no keys", "make them with: loa keys")
        raise StartError((missing,))
    key = trust.load_key(settings.keys, trust.HUB)
    if isinstance(key, Diagnostic):
        raise StartError((key,))
    path = settings.keys / BUNDLE
    bundle = trust.Bundle(path)
    try:
        bundle.read()
    except (OSError, ValueError) as error:
        fields = {"reason": str(error)}
        unread = Diagnostic(
            "ENV041",
            Place(str(path)),
            "no signed policies: {reason}",
            "sign them with: loa policies",
            fields,
        )
        raise StartError((unread,)) from None
    return key, key_id(key.public_key().public_bytes_raw()), bundle


def _version() -> str:
    try:
        return version("loa-nms")
    except PackageNotFoundError:
        return "development"


async def _site(application: web.Application, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
    """Serve an application until cancelled."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=HANG_UP_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
