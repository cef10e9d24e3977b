"""The monitor of one process: its part of the fleet, what is known of it, and where its findings go."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import date

from inventory.diagnostics import Diagnostic, Place
from inventory.model import TIMEZONE, DeviceId, Network
from nms.alarm_store import OpenedWork
from nms.monitor.loop import Monitor, PollSettings, Recorder
from nms.monitor.parts import PartRecorder, WholeFleet, members_of
from nms.monitor.profiles import Profile, load_profiles
from nms.monitor.recorder import StoreRecorder, restored, usages
from nms.monitor.shards import Shard, part
from nms.monitor.snmp.engines import StoreEngines
from nms.monitor.snmp.sweep import Sweeper
from nms.monitor.snmp.usm import Security, security_from
from nms.monitor.vitals import Member
from nms.settings import Clock, Settings, secrets
from nms.store import Store
from tui.failure import StartError

log = logging.getLogger("loa.serve")


@dataclass(frozen=True, slots=True)
class Scope:
    """What a monitor is responsible for: its part; whether others read what it writes; whether it raises alarms."""

    shard: Shard
    several: bool
    alarms: bool


def make_monitor(
    settings: Settings, network: Network, clock: Clock, store: Store, scope: Scope, stack: AsyncExitStack
) -> tuple[Monitor, OpenedWork]:
    """The monitor, and the planned work that it is to be told of. Raises StartError."""
    security = security_of(settings)
    profiles = shipped_profiles()
    mine = part(network, scope.shard)
    poll = PollSettings(settings.snmp_interval, overlay(settings, network), settings.snmp_port, security)
    known = {device: health for device, health in restored(store).items() if device in mine.devices}
    used = {sim: usage for sim, usage in usages(store).items() if usage.device in mine.devices}
    recorder: Recorder = StoreRecorder(store, known, scope.alarms)
    if scope.several:
        recorder = PartRecorder(recorder, store, scope.shard)
    sweeper = Sweeper(settings.snmp_bind, settings.snmp_timeout, memory=StoreEngines(store))
    stack.callback(sweeper.close)
    opened = OpenedWork(store)
    opened.refresh(clock())
    monitor = Monitor(mine, today(network, clock), profiles, poll, sweeper, clock, recorder, known, used, opened)
    for diagnostic in monitor.diagnostics:
        log.warning("%s %s: %s", diagnostic.code, diagnostic.place, diagnostic.text())
    return monitor, opened


def make_whole(current: Callable[[], Network], clock: Clock, store: Store) -> WholeFleet:
    """The fleet as other processes write it."""
    profiles = shipped_profiles()
    fixed: list[tuple[Network, date, Mapping[DeviceId, Member]]] = []

    def fleet() -> tuple[Network, Mapping[DeviceId, Member]]:
        network = current()
        on = today(network, clock)
        if not fixed or fixed[0][:2] != (network, on):
            fixed[:] = [(network, on, members_of(network, on, profiles))]
        return network, fixed[0][2]

    return WholeFleet(store, fleet)


def today(network: Network, clock: Clock) -> date:
    return network.on(clock().astimezone(TIMEZONE).date())


def overlay(settings: Settings, network: Network) -> int:
    """The first octet of the devices' addresses."""
    return settings.overlay or int(network.overlay)


def security_of(settings: Settings) -> Security:
    """How the fleet is asked, from the inventory's encrypted secrets."""
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


def shipped_profiles() -> Mapping[str, Profile]:
    """The device families that ship with Loa."""
    profiles, diagnostics = load_profiles()
    if diagnostics:
        raise StartError(diagnostics)
    return profiles
