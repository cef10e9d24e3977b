"""New and exchanged devices in the hub: looked at, enrolled step by step, replaced; technicians in their own area."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, cast

from sqlalchemy.orm import Session

from inventory import overlay
from inventory.diagnostics import Diagnostic
from inventory.model import Device, DeviceId, Network, Person
from nms.journal import EventKind, append, audit
from nms.moments import to_milliseconds
from nms.provision import exchange, facts, manifest, pending, site
from nms.provision.authority import Authority
from nms.provision.bench import Door, fingerprint_of
from nms.provision.drivers.provisioner import CliProvisioner
from nms.provision.enrol import Bench, Enrolled, Means, Proof, Step, Told, Wanted, enrol
from nms.provision.enrol_faults import Stopped, fault
from nms.provision.families import Setup, setup_of
from nms.provision.pending import Pending
from nms.provision.plan_faults import fault as plan_fault
from nms.provision.reach import Provisioner
from nms.provision.site import SiteKind, Tone
from nms.provision.values import Family, Manifest
from nms.settings import system_clock
from nms.store import Store
from nms.vault import Secret
from tui.desired import Desired
from tui.enrol_methods import (
    ENROL,
    LOOK,
    PENDING,
    REPLACE,
    Enrol,
    Found,
    Look,
    PendingDevice,
    PendingDevices,
    Replace,
    Replaced,
    Seen,
    StepDone,
)
from tui.hub import Caller, Handler, refuse
from tui.methods import Method, Nothing, Problem
from tui.peers import Peers
from tui.plan_service import PlanService, may

TUNNEL = ("overlay",)
"""The roles that make a device's tunnel, and nothing else."""

Trial = Callable[[Device, Person], Awaitable[Tone]]
"""A test tone by order of that person; a silent check in quiet hours."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What enrolment is done with. ``authority`` as it is on the disk now, None without one; ``proofs`` by step."""

    door: Door
    authority: Callable[[], Authority | None]
    peers: Peers
    proofs: Mapping[Step, Proof]
    sound: Trial


class EnrolService:
    def __init__(
        self,
        plans: PlanService,
        tools: Tools,
        running: Callable[[], Network],
        clock: Callable[[], datetime],
        store: Store,
    ) -> None:
        """``running``: the network that the hub runs with."""
        self._plans = plans
        self._tools = tools
        self._running = running
        self._clock = clock
        self._store = store
        self._busy: dict[DeviceId, str] = {}

    def handlers(self) -> dict[str, Handler]:
        """Every method of ``tui.enrol_methods`` by its name."""
        answers: Iterable[tuple[Method[Any, Any], Any]] = (
            (LOOK, self.look),
            (PENDING, self.pending),
            (REPLACE, self.replace),
        )
        found = {method.name: Handler(method, answer=answer) for method, answer in answers}
        return found | {ENROL.name: Handler(ENROL, stream=self.enrol)}

    # -- what people ask

    async def pending(self, _: Caller, params: Nothing) -> PendingDevices:
        waiting = await self._store.read(lambda s: list(pending.waiting(s)))
        return PendingDevices(tuple(_row(one) for one in waiting))

    async def look(self, caller: Caller, params: Look) -> Seen:
        """Who answers there; nothing is changed and nobody logs in."""
        desired = await self._plans.desired()
        device = self._device(desired, caller.known(), params.device)
        announced = await self._announced(params.key) if params.key else None
        address = params.address or (announced.announcement.address if announced else "")
        try:
            shown = await self._tools.door.look(address)
        except Stopped as error:
            raise refuse((error.diagnostic,)) from None
        known = bool(device.host_key) and shown.fingerprint == fingerprint_of(device.host_key)
        if announced is None:
            return Seen(address, shown.fingerprint, known)
        said = announced.announcement
        if shown.fingerprint != said.host_key:
            raise refuse((fault("PLN600", address=address, shown=shown.fingerprint, given=said.host_key),))
        return Seen(address, shown.fingerprint, known, said.fingerprint, said.model, said.serial)

    async def enrol(self, caller: Caller, params: Enrol) -> AsyncIterator[StepDone]:
        """Each step when it is done, the last with what was found, or why it ended."""
        person, desired = caller.known(), await self._plans.desired()
        device = self._device(desired, person, params.device)
        with self._alone(device, person):
            try:
                wanted = await self._wanted(desired, device)
                bench = _bench(params, wanted)
                means = self._means(wanted.manifest.family, bench, person)
                async with aclosing(cast("Any", enrol(wanted, bench, means))) as steps:
                    async for step in steps:
                        if isinstance(step, Enrolled):
                            await self._keep(step, bench, caller)
                        yield _told(step)
            except Stopped as error:
                yield StepDone("", problem=_problem(error.diagnostic))

    async def replace(self, caller: Caller, params: Replace) -> Replaced:
        """The unit in service is refused from now on; the device waits for the spare with that serial number."""
        person, desired = caller.known(), await self._plans.desired()
        device = self._device(desired, person, params.device)
        with self._alone(device, person):
            previous = await self._store.read(lambda s: exchange.expected(s, device))
            _checked(desired.network, device, previous, params.serial)
            revoked = await asyncio.to_thread(self._revoke, device.id)
            await self._tools.peers.accept(device.id, "")
            document = exchange.document(previous, params.serial, device.host_key, device.public_key)
            now, uid = self._clock(), caller.uid

            def write(session: Session) -> None:
                site.keep_document(session, device.id, SiteKind.REPLACEMENT, document, person.id, now)
                facts.forget(session, device.id)
                data = {**document, "revoked": revoked}
                audit(session, now, person.id, uid, "device.replace", device.id, data)
                append(session, now, EventKind.DEVICE_REPLACED, device.id, from_=previous, to=params.serial)

            await self._store.write(write)
        return Replaced(device.id, previous, params.serial, revoked)

    # -- what they need

    def _device(self, desired: Desired, person: Person, name: str) -> Device:
        """A device in use, also for the hub as it runs, where this person is a technician."""
        device = desired.network.devices.get(DeviceId(name))
        if device is None or not device.in_use(desired.on) or device.id not in self._running().devices:
            raise refuse((fault("PLN601", device=name),))
        may(desired, person, [device])
        return device

    @contextmanager
    def _alone(self, device: Device, person: Person) -> Iterator[None]:
        if device.id in self._busy:
            raise refuse((fault("PLN613", device=device.id, person=self._busy[device.id]),))
        self._busy[device.id] = person.name
        try:
            yield
        finally:
            del self._busy[device.id]

    async def _announced(self, key: str) -> Pending:
        found = await self._store.read(lambda s: pending.named(s, key))
        if len(found) == 1:
            return found[0]
        if found or len(pending.plain(key)) < pending.LEAST:
            raise refuse((fault("PLN615", fingerprint=key, least=pending.LEAST),))
        raise refuse((fault("PLN614", fingerprint=key),))

    async def _wanted(self, desired: Desired, device: Device) -> Wanted:
        """Raises Stopped."""
        made = (await asyncio.to_thread(desired.manifests, [device.id]))[device.id]
        setup = setup_of(device, desired.setups)
        if isinstance(setup, Diagnostic):
            raise Stopped(setup)
        if not isinstance(made, Manifest):
            raise Stopped(made[0])
        if made.family not in self._plans.provisioners:
            raise Stopped(plan_fault("PLN209", family=made.family))
        if made.family is Family.LINUX and device.id not in desired.given.policies:
            raise Stopped(fault("PLN618", device=device.id))
        serial = await self._store.read(lambda s: exchange.expected(s, device))
        wanted = Wanted(desired.network, desired.on, device, setup.user, serial, made, desired.network.rollout.confirm)
        return await asyncio.to_thread(_with_tunnel, desired, wanted, setup)

    def _means(self, family: Family, bench: Bench, person: Person) -> Means:
        tools = self._tools

        async def refused(device: DeviceId, serial: str) -> Diagnostic | None:
            return await self._store.read(lambda s: exchange.refused(s, serial))

        async def sound(device: Device) -> Tone:
            return await tools.sound(device, person)

        provisioner = _with_password(self._plans.provisioners[family], family, bench.password)
        return Means(
            tools.door, provisioner, tools.authority(), system_clock, tools.peers.accept, tools.proofs, sound, refused
        )

    async def _keep(self, found: Enrolled, bench: Bench, caller: Caller) -> None:
        """On the record before anybody is told."""
        person, now = caller.known(), self._clock()
        document = {
            "serial": found.serial,
            "model": found.model,
            "fingerprint": found.fingerprint,
            "tone": found.tone.value,
            "host_key": found.host_key,
            "public_key": found.public_key,
            "address": bench.address,
            "os": found.facts.host.get("os", ""),
        }

        def write(session: Session) -> None:
            site.keep_document(session, found.device, SiteKind.ENROLMENT, document, person.id, now)
            facts.write(session, [replace(found.facts, at=now)], now)
            if found.fingerprint:
                pending.forget(session, found.fingerprint)
            audit(session, now, person.id, caller.uid, "device.enrol", found.device, document)
            append(session, now, EventKind.DEVICE_ENROLLED, found.device, to=found.serial)

        await self._store.write(write)

    def _revoke(self, device: DeviceId) -> int:
        authority = self._tools.authority()
        found = authority.revoke(device, system_clock()) if authority is not None else ()
        return 0 if isinstance(found, Diagnostic) else len(found)


def _with_tunnel(desired: Desired, wanted: Wanted, setup: Setup) -> Wanted:
    """With the manifest that makes the tunnel alone, where the hub has one. Raises Stopped."""
    network, device = wanted.network, wanted.device
    if setup.family is not Family.LINUX or network.hub is None or not network.hub.public_key:
        return wanted
    alone = {device.profile: replace(setup, roles=TUNNEL)}
    made = manifest.make(network, wanted.on, desired.roles, desired.given, [device], alone)[device.id]
    if not isinstance(made, Manifest):
        raise Stopped(made[0])
    return replace(wanted, tunnel=made, through=overlay.address(device.id, desired.given.octet))


def _with_password(provisioner: Provisioner, family: Family, password: Secret | None) -> Provisioner:
    """A modem that takes no key of ours by itself is set up with the factory's password."""
    if password is None or family in (Family.LINUX, Family.UCI) or not isinstance(provisioner, CliProvisioner):
        return provisioner
    return replace(provisioner, access=replace(provisioner.access, password=lambda _: password))


def _bench(params: Enrol, wanted: Wanted) -> Bench:
    """Raises Stopped where the inventory has another host key."""
    known = wanted.device.host_key
    if known and fingerprint_of(known) != params.fingerprint and wanted.serial == wanted.device.serial:
        shown = fingerprint_of(known)
        raise Stopped(fault("PLN600", address=params.address, shown=params.fingerprint, given=shown))
    password = Secret(params.password) if params.password else None
    return Bench(params.address, params.user or wanted.user, params.fingerprint, params.key, password)


def _checked(network: Network, device: Device, previous: str, serial: str) -> None:
    """Whether that can be a spare's serial number; a refusal if not."""
    other = next((d for d in network.devices.values() if d.serial == serial and d.id != device.id), None)
    if not serial or not pending.is_serial(serial):
        raise refuse((fault("PLN619", serial=serial),))
    if serial == previous:
        raise refuse((fault("PLN616", device=device.id, serial=serial),))
    if other is not None:
        raise refuse((fault("PLN617", serial=serial, other=other.id),))


def _told(step: Told | Enrolled) -> StepDone:
    if isinstance(step, Told):
        return StepDone(step.step.value, step.message, dict(step.fields))
    values = {"serial": step.serial, "public_key": step.public_key, "host_key": step.host_key}
    given = {name: text for name, text in values.items() if text}
    return StepDone("done", found=Found(step.device, step.model, given, step.fingerprint, step.tone.value))


def _problem(diagnostic: Diagnostic) -> Problem:
    return Problem(diagnostic.code, diagnostic.message, diagnostic.fix, dict(diagnostic.fields), str(diagnostic.place))


def _row(one: Pending) -> PendingDevice:
    return PendingDevice(**asdict(one.announcement), first=to_milliseconds(one.first), last=to_milliseconds(one.last))
