"""A factory-fresh device becomes the inventory's: checked, certified, set up, proven. Done again it only finds it done.

Nothing is changed before the device is known to be the one that is meant: by its host key, which a person compared, by
its model and serial number, by what it already is, and, where it announced itself, by the key that it announced.

A Linux device is set up in two steps where the hub has a tunnel: the tunnel first, over the bench's network, and
everything else through it, because what comes next shuts the device to everybody else.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, cast

from cryptography import x509
from cryptography.x509.oid import NameOID

from inventory.diagnostics import Diagnostic
from inventory.model import Device, DeviceId, Network
from nms.i18n import N_
from nms.provision import fresh, pki
from nms.provision.authority import Authority
from nms.provision.bench import Door, HostKey, Place
from nms.provision.enrol_faults import Stopped, stopped
from nms.provision.reach import Provisioner, Target, Unreached
from nms.provision.site import Tone
from nms.provision.values import Facts, Family, Manifest, Outcome, Result
from nms.provision.wireguard import is_key
from nms.vault import Secret

PAUSE: Final = 1.0
"""Seconds between two looks."""
PROOF: Final = 120.0
"""Seconds within which a device that was set up must be in contact."""
SETTLE: Final = 0.8
"""The part of a probation in which a new connection is tried for."""

Proof = Callable[[DeviceId, datetime], Awaitable[bool]]
"""Whether the device is in contact in one way, at some moment after the given one."""
Sound = Callable[[Device], Awaitable[Tone]]
"""A test tone or, in quiet hours, a silent check: how the sound was proven."""


class Step(StrEnum):
    """What is done, in this order."""

    CONTACT = "contact"
    FACTS = "facts"
    CERTIFICATE = "certificate"
    TUNNEL = "tunnel"
    SETTINGS = "settings"
    SNMP = "snmp"
    MQTT = "mqtt"
    SOUND = "sound"


@dataclass(frozen=True, slots=True)
class Told:
    """A step that is done: a sentence for people."""

    step: Step
    message: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What the device turned out to be, for the inventory and the record. ``public_key``: its tunnel's;
    ``fingerprint``: of the key it has a certificate for; ``host_key`` as a line. Empty where a family has none."""

    device: DeviceId
    model: str
    serial: str
    host_key: str
    public_key: str
    fingerprint: str
    tone: Tone
    facts: Facts


@dataclass(frozen=True, slots=True)
class Wanted:
    """A device as the inventory wants it. ``serial``: the one it must have, empty for any. ``tunnel``: the part of its
    manifest that makes the tunnel, None where it has none; then ``through`` is its address in it."""

    network: Network
    on: date
    device: Device
    user: str
    serial: str
    manifest: Manifest
    within: float
    tunnel: Manifest | None = None
    through: str = ""


@dataclass(frozen=True, slots=True)
class Bench:
    """Where it is on the bench and how it is known. ``fingerprint`` of the host key, as a person compared it; ``key``:
    of the key that it announced; ``password``: the factory's, if the hub's own key is not accepted yet."""

    address: str
    user: str
    fingerprint: str
    key: str = ""
    password: Secret | None = None


@dataclass(frozen=True, slots=True)
class Means:
    """What the hub does it with. ``accept``: the hub's end of the tunnel takes this key from now on. ``proofs`` by the
    step that they end; ``refused``: why a unit with that serial number must not come back, if so."""

    door: Door
    provisioner: Provisioner
    authority: Authority | None
    clock: Callable[[], datetime]
    accept: Callable[[DeviceId, str], Awaitable[None]]
    proofs: Mapping[Step, Proof]
    sound: Sound
    refused: Callable[[DeviceId, str], Awaitable[Diagnostic | None]]
    proof: float = PROOF
    pause: float = PAUSE


async def enrol(wanted: Wanted, bench: Bench, means: Means) -> AsyncIterator[Told | Enrolled]:
    """Every step as it gets done, and at last what came of it. Raises Stopped."""
    work = _Work(wanted, bench, means)
    key = await work.contact()
    yield Told(Step.CONTACT, N_("{address} shows the host key {shown}"), _shown(bench, key))
    facts = await work.facts()
    yield Told(Step.FACTS, N_("{model}, serial number {serial}, {os}, {arch}"), _facts(facts))
    if wanted.manifest.family is Family.LINUX:
        entry = await work.certificate()
        yield Told(Step.CERTIFICATE, N_("certified until {until}, key {fingerprint}"), entry)
    if wanted.tunnel is not None:
        public = await work.tunnel(wanted.tunnel)
        yield Told(Step.TUNNEL, N_("the tunnel is up; its key {key} was made on the device"), {"key": public})
    elif wanted.manifest.family is Family.UCI:
        public = await work.modem_key()
        yield Told(Step.TUNNEL, N_("the tunnel's key {key} was made on the device"), {"key": public})
    changed = await work.settings()
    yield Told(Step.SETTINGS, N_("everything as the inventory wants it, confirmed over a new connection"), changed)
    for step in work.proofs:
        await work.prove(step)
        yield Told(step, _PROVEN[step])
    tone = await work.sound()
    if tone is not None:
        yield Told(Step.SOUND, _TONES[tone])
    yield work.enrolled(tone or Tone.NONE)


_PROVEN: Final[Mapping[Step, str]] = {
    Step.SNMP: N_("answers over SNMP"),
    Step.MQTT: N_("has its session at the broker"),
}
_TONES: Final[Mapping[Tone, str]] = {
    Tone.NONE: N_("no test tone was played"),
    Tone.SILENT: N_("quiet hours: the sound was checked without being heard"),
    Tone.HEARD: N_("the test tone was played"),
}


class _Work:
    """One enrolment; each method is a step that may be done again."""

    def __init__(self, wanted: Wanted, bench: Bench, means: Means) -> None:
        self._wanted = wanted
        self._bench = bench
        self._means = means
        self._device = wanted.device.id
        self._linux = wanted.manifest.family is Family.LINUX
        self._began = means.clock()
        self._host_key = ""
        self._told: Facts | None = None
        self._key = ""
        self._public = ""
        self._at = bench.address

    # -- who it is

    async def contact(self) -> HostKey:
        """At the bench or, where an earlier run has shut that, through the tunnel."""
        bench, through = self._bench, self._wanted.through
        try:
            shown = await self._means.door.look(bench.address)
        except Stopped as error:
            if not through or error.diagnostic.code != "PLN607":
                raise
            with suppress(Stopped):
                shown = await self._means.door.look(through)
                self._at = through
            if self._at != through:
                raise
        if shown.fingerprint != bench.fingerprint:
            raise stopped("PLN600", address=self._at, shown=shown.fingerprint, given=bench.fingerprint)
        self._host_key = shown.line
        if bench.password is not None and self._family in (Family.LINUX, Family.UCI):
            await self._means.door.admit(self._place(), bench.password)
        return shown

    @property
    def _family(self) -> Family:
        return self._wanted.manifest.family

    def _place(self) -> Place:
        return Place(self._device, self._family, self._at, self._bench.user, self._host_key)

    def _target(self, manifest: Manifest, address: str = "") -> Target:
        return Target(self._device, address or self._at, self._bench.user, self._host_key, manifest)

    async def facts(self) -> Facts:
        answer = await self._asked(self._target(self._wanted.manifest))
        if isinstance(answer, Unreached):
            raise Stopped(answer.problem)
        await self._check(answer)
        self._told = answer
        return answer

    async def _asked(self, target: Target) -> Facts | Unreached:
        async with aclosing(cast("Any", self._means.provisioner.facts([target]))) as answers:
            async for answer in answers:
                return cast("Facts | Unreached", answer)
        raise stopped("PLN609", address=target.address, reason="facts")

    async def _check(self, facts: Facts) -> None:
        """Raises Stopped where it is not the device that is meant."""
        wanted, address = self._wanted, self._at
        other = fresh.carried(facts)
        if other not in ("", self._device):
            raise stopped("PLN602", address=address, other=other, device=self._device)
        odd = fresh.misfit(wanted.device, facts.host)
        if odd:
            raise stopped("PLN603", address=address, found=odd, profile=wanted.device.profile, device=self._device)
        serial = facts.host.get("serial", "")
        problem = await self._means.refused(self._device, serial) if serial else None
        if problem is not None:
            raise Stopped(problem)
        if wanted.serial and serial and serial != wanted.serial:
            raise stopped("PLN604", device=self._device, known=wanted.serial, given=serial)

    # -- its certificate

    async def certificate(self) -> Mapping[str, str]:
        """The certificate that the device has, if it is good, or a new one for the key that was made there."""
        authority = self._means.authority
        if authority is None:
            raise stopped("PLN610")
        nonce = secrets.token_hex(16)
        said = await self._script(fresh.REQUEST.format(device=self._device, nonce=nonce))
        request, present = fresh.request(said), fresh.certificate(said)
        self._key = self._fingerprint(request, nonce)
        if self._bench.key and self._key != self._bench.key:
            raise stopped("PLN608", address=self._at, fingerprint=self._bench.key)
        name = pki.name_of(present) if present is not None else ""
        if name not in ("", self._device):
            raise stopped("PLN602", address=self._at, other=name, device=self._device)
        now = self._means.clock()
        if present is not None and not pki.due(present, now):
            known = {e.serial: e for e in await asyncio.to_thread(authority.entries)}
            entry = known.get(f"{present.serial_number:x}")
            if entry is not None and entry.valid(now) and entry.key == self._key:
                return {"until": f"{entry.ends:%d/%m/%Y}", "fingerprint": self._key}
        return await self._certify(authority, request, now)

    async def _certify(self, authority: Authority, request: bytes, now: datetime) -> Mapping[str, str]:
        wanted = self._wanted
        given = await asyncio.to_thread(authority.issue, wanted.network, wanted.on, self._device, request, now)
        if isinstance(given, Diagnostic):
            raise Stopped(given)
        await self._script(fresh.INSTALL.format(chain=given.chain.decode()))
        return {"until": f"{given.entry.ends:%d/%m/%Y}", "fingerprint": self._key}

    def _fingerprint(self, request: bytes, nonce: str) -> str:
        """Of the key that signed a request made just now. Raises Stopped."""
        try:
            public = pki.requested_key(request)
            asked = x509.load_pem_x509_csr(request).subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
        except ValueError as error:
            raise stopped("PLN609", address=self._at, reason=error) from None
        if [one.value for one in asked] != [nonce]:
            raise stopped("PLN609", address=self._at, reason="an old certificate request")
        return pki.fingerprint(public)

    async def _script(self, script: str) -> str:
        return await self._means.door.run(self._place(), script)

    # -- its settings

    async def tunnel(self, manifest: Manifest) -> str:
        """The tunnel alone, then its key, then the hub's end of it. What follows goes through it."""
        assert self._told is not None
        if self._told.applied.keys() <= manifest.resources.keys():  # else all of it is there, and would be removed
            await self._applied(manifest)
        answer = await self._asked(self._target(manifest))
        if isinstance(answer, Unreached):
            raise Stopped(answer.problem)
        self._public = answer.host.get("wireguard", "")
        if not self._public:
            raise stopped("PLN609", address=self._at, reason="wg pubkey")
        await self._means.accept(self._device, self._public)
        await self._until(self._reached, "WireGuard")
        self._at = self._wanted.through
        return self._public

    async def _reached(self) -> bool:
        try:
            return (await self._means.door.look(self._wanted.through)).line == self._host_key
        except Stopped:
            return False

    async def modem_key(self) -> str:
        """The public half of the modem's key for its tunnel, which is made there if there is none."""
        said = (await self._script(fresh.MODEM_KEY)).split()
        if not said or not is_key(said[-1]):
            raise stopped("PLN609", address=self._at, reason="wg pubkey")
        self._public = said[-1]
        return self._public

    async def settings(self) -> Mapping[str, str]:
        """The whole manifest, confirmed over a new connection."""
        result = await self._applied(self._wanted.manifest)
        answer = result.facts or await self._asked(self._target(self._wanted.manifest))
        if isinstance(answer, Unreached):
            raise Stopped(answer.problem)
        self._told, self._public = answer, answer.host.get("wireguard", "") or self._public
        if self._public and self._wanted.tunnel is None:
            await self._means.accept(self._device, self._public)
        return {"sent": str(result.sent), "received": str(result.received)}

    async def _applied(self, manifest: Manifest) -> Result:
        """On the device and confirmed. Raises Stopped."""
        target = self._target(manifest)
        async with aclosing(cast("Any", self._means.provisioner.apply([target], self._wanted.within))) as results:
            result = cast("Result", await anext(results))
        if result.outcome not in (Outcome.APPLIED, Outcome.UNCHANGED, Outcome.LOST):
            assert result.detail is not None
            raise Stopped(result.detail)
        await self._confirmed(target, pending=result.outcome is not Outcome.UNCHANGED)
        return result

    async def _confirmed(self, target: Target, *, pending: bool) -> None:
        """Ends the probation, also one that an earlier run left behind."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._wanted.within * SETTLE
        while (problem := (await self._means.provisioner.confirm([target]))[self._device]) is not None and pending:
            if loop.time() > until:
                raise stopped("PLN612", device=self._device, reason=problem.text())
            await asyncio.sleep(self._means.pause)

    # -- that it works

    @property
    def proofs(self) -> Sequence[Step]:
        return [step for step in self._means.proofs if step is not Step.MQTT or self._linux]

    async def prove(self, step: Step) -> None:
        proof = self._means.proofs[step]
        await self._until(lambda: proof(self._device, self._began), step.upper())

    async def _until(self, done: Callable[[], Awaitable[bool]], way: str) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._means.proof
        while not await done():
            if loop.time() > until:
                raise stopped("PLN611", device=self._device, seconds=f"{self._means.proof:.0f}", way=way)
            await asyncio.sleep(self._means.pause)

    async def sound(self) -> Tone | None:
        return await self._means.sound(self._wanted.device) if self._linux else None

    def enrolled(self, tone: Tone) -> Enrolled:
        assert self._told is not None
        host = self._told.host
        serial, model = host.get("serial", ""), host.get("model", "")
        return Enrolled(self._device, model, serial, self._host_key, self._public, self._key, tone, self._told)


def _shown(bench: Bench, key: HostKey) -> Mapping[str, str]:
    return {"address": bench.address, "shown": key.fingerprint}


def _facts(facts: Facts) -> Mapping[str, str]:
    return {name: facts.host.get(name, "") or "–" for name in ("model", "serial", "os", "arch")}
