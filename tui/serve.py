"""The hub: one process that owns the store, polls the fleet, plays bulletins, and answers everybody.

The composition root: everything is made here, once, and passed in.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audio import trust
from audio.broker import Broker
from audio.envelope import key_id
from audio.library import Library, content_app
from audio.playout import Playout
from exporters import http
from exporters.scrape import Scrape
from inventory.diagnostics import Diagnostic, Place
from inventory.load import load
from inventory.model import TIMEZONE, Network
from nms.journal import EventKind, append
from nms.monitor.loop import Monitor, PollSettings
from nms.monitor.profiles import Profile, load_profiles
from nms.monitor.recorder import StoreRecorder, restored
from nms.monitor.snmp.sweep import Sweeper
from nms.monitor.snmp.usm import Security, security_from
from nms.settings import Clock, Settings, secrets
from nms.store import Store, StoreError
from tui.commands.keys import BUNDLE
from tui.hub import HubSocket
from tui.service import HubService

log = logging.getLogger("loa.serve")

RESTART_SECONDS = 1.0
STALLED_SECONDS = 300.0
HANG_UP_SECONDS = 1.0
"""How long a transfer under way may hold up the hub's end: a device on a dead line goes on later where it stopped."""


class StartError(Exception):
    """The hub cannot run; ``diagnostics`` say what to mend."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        super().__init__("; ".join(d.code for d in diagnostics))
        self.diagnostics = diagnostics


@dataclass(slots=True)
class Current:
    """The network in force; a reload replaces it as a whole."""

    network: Network

    def __call__(self) -> Network:
        return self.network


async def serve(settings: Settings, network: Network) -> None:
    """Run until SIGTERM or SIGINT. Raises StartError before anything runs if something is missing."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    async with AsyncExitStack() as stack:
        hub = await _assemble(settings, network, stack)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, hub.reload)
        tasks = [asyncio.create_task(_supervised(name, work, hub)) for name, work in hub.tasks().items()]
        log.info("running: %d devices", len(network.devices))
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Hub:
    """The parts of a running hub."""

    def __init__(
        self,
        settings: Settings,
        current: Current,
        clock: Clock,
        store: Store,
        monitor: Monitor,
        playout: Playout,
        library: Library,
        socket: HubSocket,
        scrape: Scrape,
    ) -> None:
        self._settings = settings
        self._current = current
        self._clock = clock
        self._store = store
        self._monitor = monitor
        self._playout = playout
        self._library = library
        self._socket = socket
        self._scrape = scrape

    def tasks(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What runs side by side; each is started again when it fails."""
        settings = self._settings
        return {
            "monitor": self._poll,
            "playout": self._playout.run,
            "content": lambda: _site(content_app(self._library), settings.content_host, settings.content_port),
            "exporter": lambda: _site(
                http.app(self._scrape.text, self._healthy), settings.exporter_host, settings.exporter_port
            ),
            "socket": self._socket.run,
        }

    def reload(self) -> None:
        """Read the inventory again; with errors the old one stays in force."""
        network, diagnostics = load(self._settings.inventory)
        if network is None:
            log.error("inventory not reloaded: %d errors; the old one stays in force", len(diagnostics))
            return
        self._current.network = network
        self._monitor.reload(network)
        log.info("inventory reloaded: %d devices", len(network.devices))

    async def failed(self, name: str, error: BaseException) -> None:
        """One of the tasks ended with an error: on the record, if the store still takes it."""
        log.error("%s failed: %s", name, error, exc_info=error)
        now = self._clock()
        try:
            await self._store.write(lambda s: append(s, now, EventKind.SELF_TASK_FAILED, name, cause=repr(error)))
        except StoreError:
            log.exception("the store does not take events")

    async def _poll(self) -> None:
        """The monitor has a thread of its own, which ends with this task."""
        try:
            await asyncio.to_thread(self._monitor.run)
        finally:
            self._monitor.stop()

    def _healthy(self) -> bool:
        age = self._scrape.sweep_age()
        return age is not None and age < STALLED_SECONDS


async def _supervised(name: str, work: Callable[[], Awaitable[None]], hub: Hub) -> None:
    """Run a task for ever: one that fails is written down and started again."""
    while True:
        try:
            await work()
            error: BaseException = RuntimeError("ended by itself")
        except asyncio.CancelledError:
            raise
        except Exception as failure:
            error = failure
        await hub.failed(name, error)
        await asyncio.sleep(RESTART_SECONDS)


async def _assemble(settings: Settings, network: Network, stack: AsyncExitStack) -> Hub:
    clock = settings.make_clock()
    key, kid, policies = _trust(settings, network)
    security = _security(settings)
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
    try:
        store = Store.open(settings.store)
    except StoreError as error:
        raise StartError((error.diagnostic,)) from None
    stack.callback(store.close)
    current = Current(network)
    library = Library(settings.state_dir / "content")
    broker = Broker(settings.mqtt_host, settings.mqtt_port)
    playout = Playout(store, current, broker, key, kid, clock, policies, library)
    known = restored(store)
    sweeper = Sweeper(settings.snmp_bind, settings.snmp_timeout)
    stack.callback(sweeper.close)
    poll = PollSettings(
        settings.snmp_interval,
        settings.overlay or int(network.overlay),
        settings.snmp_port,
        security,
    )
    on = network.on(clock().astimezone(TIMEZONE).date())
    monitor = Monitor(network, on, _profiles(), poll, sweeper, clock, StoreRecorder(store, known), known)
    for diagnostic in monitor.diagnostics:
        log.warning("%s %s: %s", diagnostic.code, diagnostic.place, diagnostic.text())
    service = HubService(current, clock, monitor, playout, broker, store, _version())
    socket = HubSocket(settings.socket, service.handlers(), current)
    scrape = Scrape(current, clock, monitor, store)
    return Hub(settings, current, clock, store, monitor, playout, library, socket, scrape)


def _trust(settings: Settings, network: Network) -> tuple[Ed25519PrivateKey, str, Mapping[str, bytes]]:
    """The hub's key, its id, and every device's policy as the root signed it."""
    if network.trust is None:
        missing = Diagnostic("ENV040", Place("trust.yaml"), "the inventory names no keys", "make them with: loa keys")
        raise StartError((missing,))
    key = trust.load_key(settings.keys, trust.HUB)
    if isinstance(key, Diagnostic):
        raise StartError((key,))
    bundle = settings.keys / BUNDLE
    try:
        policies = trust.read_bundle(bundle)
    except (OSError, ValueError) as error:
        fields = {"reason": str(error)}
        unread = Diagnostic(
            "ENV041", Place(str(bundle)), "no signed policies: {reason}", "sign them with: loa policies", fields
        )
        raise StartError((unread,)) from None
    return key, key_id(key.public_key().public_bytes_raw()), policies


def _security(settings: Settings) -> Security:
    """How the fleet is asked by SNMP, from the inventory's encrypted secrets."""
    place = Place(str(settings.inventory / "secrets.yaml"))
    if settings.vault_password_file is None:
        message = "no vault password file is set: the devices' SNMP community cannot be read"
        raise StartError((Diagnostic("CFG020", place, message, "set vault_password_file (LOA_VAULT_PASSWORD_FILE)"),))
    found = secrets(settings.inventory, settings.vault_password_file)
    if isinstance(found, tuple):
        raise StartError(found)
    security = security_from(found, place)
    if isinstance(security, Diagnostic):
        raise StartError((security,))
    return security


def _profiles() -> Mapping[str, Profile]:
    """The device families that ship with Loa."""
    profiles, diagnostics = load_profiles()
    if diagnostics:
        raise StartError(diagnostics)
    return profiles


def _version() -> str:
    try:
        return version("loa-nms")
    except PackageNotFoundError:
        return "development"


async def _site(application: web.Application, host: str, port: int) -> None:
    """Serve an application until cancelled."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=HANG_UP_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
