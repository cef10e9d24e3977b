"""Traps and informs of the fleet: received in a thread of their own, and never so many that polling would suffer.

Only devices of the inventory are heard, each by its own address. The work per second is bounded whatever arrives: so
many datagrams are read, so many of all and of one device are decoded, the rest is dropped and counted. What one device
tells again and again is one piece of news with a count.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from select import POLLIN, poll
from time import monotonic
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from inventory.diagnostics import Diagnostic, Place, Severity
from inventory.model import DeviceId, Network
from inventory.overlay import address
from nms.i18n import N_
from nms.journal import EventKind, append
from nms.monitor.fleet import polled
from nms.monitor.snmp.asn1 import Oid, Value, oid_text
from nms.monitor.snmp.ber import DecodeError
from nms.monitor.snmp.secure_traps import SecureTraps, hub_engine
from nms.monitor.snmp.traps import Notification, Reply, decode_notification
from nms.monitor.snmp.usm import Security, User
from nms.outage import Outage
from nms.store import EventRow, Store, StoreError

log = logging.getLogger("loa.traps")

SLICE: Final = 0.05
"""Seconds in which so much is done and no more."""

READS: Final = 250
"""Datagrams read in a slice; the kernel drops what its buffer does not hold until the next."""

DECODES: Final = 25
"""Datagrams decoded in a slice: 500 a second, about a fiftieth of a core."""

DEVICE_DECODES: Final = 2
"""Datagrams of one device decoded in a slice, so that one device's storm does not cover another's word."""

HOLD: Final = 10.0
"""Seconds from one piece of news of a device to its next."""

RETRY: Final = 1.0
"""Seconds until news that could not be kept is offered again."""

KINDS: Final = 8
"""Different traps of a device told apart between two pieces of news; further ones are only counted with the first."""

SHOWN_VALUES, SHOWN_LENGTH = 16, 200
"""How much of a trap's values is kept: so many values, so many characters of each."""

LATELY: Final = timedelta(seconds=60)
"""How old news of another process may be: whoever polls has asked by then, and clocks differ by less."""

WANTED_BUFFER: Final = 1 << 20
MAX_DATAGRAM: Final = 4096


@dataclass(frozen=True, slots=True)
class Heard:
    """News of a device: a trap that came ``count`` times, first at ``at``; the values are the last one's."""

    device: DeviceId
    at: datetime
    trap: Oid
    count: int
    bindings: tuple[tuple[Oid, Value], ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """Datagrams since the start: ``unknown`` from nobody of the inventory, ``refused`` not understood or not allowed,
    ``limited`` dropped because there were too many, ``answered`` informs."""

    received: int = 0
    accepted: int = 0
    answered: int = 0
    unknown: int = 0
    refused: int = 0
    limited: int = 0


Decoder = Callable[[bytes, float], Notification | Reply | DecodeError]
"""Reads what a device sent at a time of a clock that never jumps."""


def decoder(security: Security, hub: str, started: datetime) -> Decoder:
    """Reads what devices send as the fleet is asked: by SNMPv2c with its community or by SNMPv3 as its user.

    ``hub`` names this hub for ever, ``started`` is now.
    """
    if isinstance(security, User):
        return SecureTraps(security, hub_engine(hub), started, monotonic()).read
    name = security.name
    return lambda datagram, seconds: decode_notification(datagram, name)


class News:
    """What was heard and not yet kept, per device; never more than the fleet and ``KINDS`` make. Pure.

    ``seconds`` is a clock that never jumps.
    """

    def __init__(self) -> None:
        self._waiting: dict[DeviceId, dict[Oid, Heard]] = {}
        self._told: dict[DeviceId, float] = {}

    def add(self, device: DeviceId, told: Notification, at: datetime) -> None:
        kinds = self._waiting.setdefault(device, {})
        trap = told.trap if told.trap in kinds or len(kinds) < KINDS else next(iter(kinds))
        known = kinds.get(trap)
        if known is None:
            kinds[trap] = Heard(device, at, trap, 1, told.bindings)
        else:
            bindings = told.bindings if trap == told.trap else known.bindings
            kinds[trap] = replace(known, count=known.count + 1, bindings=bindings)

    def ready(self, seconds: float) -> list[Heard]:
        """News of devices of which nothing was told for ``HOLD``."""
        return [
            heard
            for device, kinds in self._waiting.items()
            if seconds - self._told.get(device, -HOLD) >= HOLD
            for heard in kinds.values()
        ]

    def kept(self, news: Iterable[Heard], seconds: float) -> None:
        """These pieces of news need not be told again."""
        for heard in news:
            self._waiting.pop(heard.device, None)
            self._told[heard.device] = seconds

    def keep_only(self, devices: Collection[DeviceId]) -> None:
        """Devices that left the fleet have no news."""
        self._waiting = {d: kinds for d, kinds in self._waiting.items() if d in devices}
        self._told = {d: at for d, at in self._told.items() if d in devices}


def sources(network: Network, on: date, octet: int) -> Mapping[str, DeviceId]:
    """Who may be heard, by address."""
    return {address(d.id, octet): d.id for d in network.devices.values() if polled(d, on)}


class TrapReceiver:
    """Hears the devices of ``allow`` on one UDP socket; ``run`` until ``stop``.

    ``wake`` is told at once which devices spoke. ``keep`` gets the news and says whether it took it: what it did not
    take is offered again, with what came meanwhile.
    """

    def __init__(
        self,
        bind: tuple[str, int],
        read: Decoder,
        clock: Callable[[], datetime],
        wake: Callable[[Iterable[DeviceId]], None],
        keep: Callable[[Sequence[Heard]], bool],
    ) -> None:
        """OSError if the address or the port is not to be had."""
        self._read = read
        self._clock = clock
        self._wake = wake
        self._keep = keep
        self._allowed: Mapping[str, DeviceId] = {}
        self._kept_to: Mapping[str, DeviceId] = self._allowed
        self._news = News()
        self._counts: Counter[str] = Counter()
        self._refused = -RETRY
        self._stopping = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WANTED_BUFFER)
            self._socket.setblocking(False)
            self._socket.bind(bind)
        except OSError:
            self._socket.close()
            raise

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    @property
    def counts(self) -> Counts:
        return Counts(**self._counts)

    def allow(self, devices: Mapping[str, DeviceId]) -> None:
        """From now on these are heard, by address."""
        self._allowed = devices

    def run(self) -> None:
        """Until ``stop``: slices of bounded work, and news when there is some. Closes the socket at its end."""
        arriving = poll()
        arriving.register(self._socket, POLLIN)
        with self._socket:
            while not self._stopping.is_set():
                if arriving.poll(200):
                    self._slice()
                    self._stopping.wait(SLICE)
                self._offer()

    def stop(self) -> None:
        """Ends ``run`` within a fifth of a second."""
        self._stopping.set()

    def _slice(self) -> None:
        """What has arrived, as far as the bounds go."""
        allowed, counts = self._allowed, self._counts
        decoded: Counter[DeviceId] = Counter()
        spoke: set[DeviceId] = set()
        for _ in range(READS):
            try:
                datagram, source = self._socket.recvfrom(MAX_DATAGRAM)
            except OSError:
                break
            counts["received"] += 1
            device = allowed.get(source[0])
            if device is None:
                counts["unknown"] += 1
            elif decoded[device] >= DEVICE_DECODES or decoded.total() >= DECODES:
                counts["limited"] += 1
            else:
                decoded[device] += 1
                if self._take(device, datagram, source):
                    spoke.add(device)
        if spoke:
            self._wake(spoke)

    def _take(self, device: DeviceId, datagram: bytes, source: tuple[str, int]) -> bool:
        """Whether the datagram told something."""
        told = self._read(datagram, monotonic())
        if isinstance(told, DecodeError):
            self._counts["refused"] += 1
            return False
        reply = told.datagram if isinstance(told, Reply) else told.answer
        if reply is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(reply, source)
        if isinstance(told, Reply):
            return False
        self._counts["answered"] += reply is not None
        self._counts["accepted"] += 1
        self._news.add(device, told, self._clock())
        return True

    def _offer(self) -> None:
        seconds = monotonic()
        if seconds - self._refused < RETRY:
            return
        if self._allowed is not self._kept_to:
            self._kept_to = self._allowed
            self._news.keep_only(set(self._kept_to.values()))
        news = self._news.ready(seconds)
        if not news:
            return
        if self._keep(news):
            self._news.kept(news, seconds)
        else:
            self._refused = seconds


def cannot_listen(bind: tuple[str, int], error: OSError) -> Diagnostic:
    """Why no traps are heard; polling goes on without them."""
    message = N_("no traps are received on {host}:{port}: {reason}")
    fix = N_("allow the hub the port (CAP_NET_BIND_SERVICE), or set snmp_trap_port to another one or to 0")
    fields = {"host": bind[0], "port": str(bind[1]), "reason": error.strerror or str(error)}
    return Diagnostic("MON040", Place("snmp_trap_port"), message, fix, fields, Severity.WARNING)


class TrapBook:
    """Keeps news as events. What the process that listens has kept is news to those that poll the other parts."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._outage = Outage(log)
        self._newest: dict[str, str] = {}

    def keep(self, news: Sequence[Heard]) -> bool:
        """One event per piece of news in one transaction; False if the store does not take them now."""
        try:
            self._store.write_sync(lambda session: self._append(session, news))
        except StoreError as error:
            self._outage.begun("%d traps wait for the store: %s", len(news), error)
            return False
        self._outage.over("%d traps that waited are kept", len(news))
        return True

    def of_others(self, now: datetime) -> tuple[DeviceId, ...]:
        """The devices of which another process has lately kept news that was not told here before.

        Blocks for the store and raises StoreError. However many traps come, it is one row per device.
        """
        traps = select(EventRow.subject, func.max(EventRow.id)).group_by(EventRow.subject)
        traps = traps.where(EventRow.at >= now - LATELY, EventRow.kind == EventKind.DEVICE_TRAP)
        rows = self._store.read_sync(lambda session: session.execute(traps).all())
        found = {device: event for device, event in rows if event > self._newest.get(device, "")}
        self._newest.update(found)
        return tuple(DeviceId(device) for device in found)

    def _append(self, session: Session, news: Iterable[Heard]) -> None:
        for heard in news:
            values = {oid_text(oid): _shown(value) for oid, value in heard.bindings[:SHOWN_VALUES]}
            data = {"trap": oid_text(heard.trap), "count": heard.count, "values": values}
            event = append(session, heard.at, EventKind.DEVICE_TRAP, heard.device, data=data)
            self._newest[heard.device] = max(event.id, self._newest.get(heard.device, ""))


def _shown(value: Value) -> str | int | None:
    if isinstance(value, tuple):
        return oid_text(value)
    if isinstance(value, bytes):
        text = value.decode("utf-8", "replace")
        return (text if text.isprintable() else value.hex())[:SHOWN_LENGTH]
    return value
