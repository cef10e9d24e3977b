"""What one device should have: its roles, rendered with what the inventory and the hub know. Pure.

Variables are Ansible's (``inventory.ansible``: ``loa_device``, ``loa_kind``, …) and these:

``loa_address``, ``loa_host_key``, ``loa_sim`` (its own SIM: number, iccid, operator, apn; None without), ``loa_behind``
(id and address of the devices behind a modem), ``loa_overlay`` (the tunnel's net), ``loa_hub`` (name, endpoint,
public_key, address, and what this hub adds), ``loa_root`` (public key of the root of trust), ``loa_policy`` (its signed
policy, base64; empty without), ``loa_artifacts`` (SHA-256 by name), ``loa_snmp`` (version 2c or 3, user, auth, priv,
engine: the device's engine id in hex).

An artifact's path may contain ``{sha}``: the first twelve digits of its SHA-256, so that versions lie side by side.

In secret resources ``secret`` has the inventory's secrets by name, and ``snmp_auth_key`` and ``snmp_priv_key``: the
keys of SNMPv3 for this device alone, in hex.
"""

from __future__ import annotations

import base64
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from jinja2 import TemplateError

from inventory import overlay
from inventory.ansible import variables as host_variables
from inventory.diagnostics import Diagnostic, Place
from inventory.load import collector_paused
from inventory.model import Device, DeviceId, Network
from nms.i18n import nfc
from nms.monitor.snmp.usm import AuthProtocol, Security, User
from nms.provision.families import SETUPS, Setup, setup_of
from nms.provision.plan_faults import fault
from nms.provision.roles import SECRET, Condition, Roles, Spec, Text
from nms.provision.values import Kind, Manifest, Resource
from nms.vault import Secret

ENGINE: Final = bytes.fromhex("80001f8804")
"""RFC 3411: net-snmp's enterprise number with the first bit set, then 4: the rest is text the administrator chose."""

SHA: Final = "{sha}"
SHOWN: Final = 12
"""Digits of an artifact's SHA-256 in its path."""
_AUTH_NAMES: Final = {AuthProtocol.SHA1: "SHA", AuthProtocol.SHA256: "SHA-256"}

Made = Mapping[DeviceId, Manifest | tuple[Diagnostic, ...]]


@dataclass(frozen=True, slots=True)
class Given:
    """What manifests need besides inventory and roles, all of it this hub's.

    ``octet`` begins the devices' addresses; ``policies``: signed frames by device; ``artifacts``: SHA-256 by name;
    ``hub``: what is added to ``loa_hub``, such as ports.
    """

    octet: int
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    security: Security | None = field(default=None, compare=False)  # follows from the secrets
    policies: Mapping[str, bytes] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)
    hub: Mapping[str, Any] = field(default_factory=dict)


def make(
    network: Network,
    on: date,
    roles: Roles,
    given: Given,
    devices: Iterable[Device],
    setups: Mapping[str, Setup] = SETUPS,
) -> Made:
    """The manifest of each device, or why there is none."""
    maker = _Maker(network, on, roles, given)
    found: dict[DeviceId, Manifest | tuple[Diagnostic, ...]] = {}
    with collector_paused():
        for device in devices:
            setup = setup_of(device, setups)
            found[device.id] = maker.manifest(device, setup) if isinstance(setup, Setup) else (setup,)
    return found


def alike(
    before: Network, after: Network, on: date, roles: Roles, given: Given, devices: Iterable[DeviceId]
) -> Iterator[DeviceId]:
    """Those of the devices that have the same manifest in both networks, seen without rendering: no value differs."""
    old, new = _Maker(before, on, roles, given), _Maker(after, on, roles, given)
    if old.shared != new.shared:
        return
    for device in devices:
        one, other = before.devices.get(device), after.devices.get(device)
        if one is None or other is None or not other.in_use(on):
            continue
        if old.variables(one) == new.variables(other):
            yield device


def engine_id(device: DeviceId) -> bytes:
    """The SNMP engine id that the hub gives a device: it is known before the device was ever asked."""
    return ENGINE + device.encode()


class _Broken(Exception):
    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__()
        self.diagnostic = diagnostic


class _Maker:
    """Renders for many devices of one network; what depends on no device is rendered once."""

    def __init__(self, network: Network, on: date, roles: Roles, given: Given) -> None:
        self._network = network
        self._roles = roles
        self._given = given
        self._on = on
        self._secrets = {name: secret.reveal() for name, secret in given.secrets.items()}
        self.shared = self._for_all()
        self._rendered: dict[tuple[int, tuple[Any, ...]], str] = {}
        self._constant: dict[int, Resource] = {}
        self._decided: dict[tuple[str, str], bool] = {}

    def manifest(self, device: Device, setup: Setup) -> Manifest | tuple[Diagnostic, ...]:
        values = self.variables(device)
        resources: dict[str, Resource] = {}
        found: list[Diagnostic] = []
        for spec in self._specs(device, setup, found):
            try:
                if spec.when is None or self._holds(spec.when, device, values):
                    resource = self._resource(spec, device, values)
                    if resource.key in resources:
                        raise _Broken(fault("PLN208", spec.place, device=device.id, name=spec.name))
                    resources[resource.key] = resource
            except _Broken as broken:
                found.append(broken.diagnostic)
        return tuple(found) if found else Manifest(device.id, setup.family, resources)

    def _specs(self, device: Device, setup: Setup, found: list[Diagnostic]) -> Iterable[Spec]:
        for role in setup.roles:
            if role not in self._roles.specs:
                found.append(fault("PLN200", role=role, folder=self._roles.folder))
            yield from self._roles.specs.get(role, ())

    def _holds(self, condition: Condition, device: Device, known: Mapping[str, Any]) -> bool:
        """Decided once for the device, however many resources it is written at; what only the hub decides, once."""
        key = (condition.source, "" if self.shared.keys() >= set(condition.uses) else device.id)
        found = self._decided.get(key)
        if found is None:
            try:
                found = bool(condition.holds(**{name: known[name] for name in condition.uses if name in known}))
            except Exception as error:  # whatever an expression does wrong is its author's mistake
                raise _Broken(_failed(error, condition.place, device)) from None
            self._decided[key] = found
        return found

    def _resource(self, spec: Spec, device: Device, known: Mapping[str, Any]) -> Resource:
        constant = self._constant.get(id(spec))
        if constant is not None:
            return constant
        text, name = self._text(spec, device, known), spec.name
        if spec.kind is Kind.ARTIFACT:
            name = name.replace(SHA, text[:SHOWN])
        made = Resource(spec.kind, name, text, spec.attributes, spec.secret, spec.restarts)
        if not isinstance(spec.text, Text) or self.shared.keys() >= set(spec.text.uses):
            self._constant[id(spec)] = made
        return made

    def _text(self, spec: Spec, device: Device, known: Mapping[str, Any]) -> str:
        if isinstance(spec.text, Text):
            return self._once(spec.text, device, known)
        if spec.kind is not Kind.ARTIFACT:
            return spec.text
        digest = self._given.artifacts.get(spec.text)
        if digest is None:
            raise _Broken(fault("PLN206", spec.place, name=spec.text, device=device.id))
        return digest

    def _once(self, text: Text, device: Device, known: Mapping[str, Any]) -> str:
        """The template's text; rendered once for all devices whose values for it are the same."""
        values = {name: known[name] for name in text.uses if name in known}
        if SECRET in text.uses:
            values[SECRET] = self._secrets | self._snmp_keys(device)
        key = (id(text), tuple(values.values()))
        try:
            found = self._rendered.get(key)
        except TypeError:  # a value that is a list or a mapping
            return self._render(text, device, values)
        if found is None:
            found = self._rendered[key] = self._render(text, device, values)
        return found

    def _render(self, text: Text, device: Device, values: Mapping[str, Any]) -> str:
        try:
            return nfc(text.template.render(values))
        except Exception as error:  # whatever a template does wrong is its author's mistake
            raise _Broken(_failed(error, Place(text.file, text.above + _line(error, text.file), 1), device)) from None

    def _for_all(self) -> dict[str, Any]:
        network, given = self._network, self._given
        hub = network.hub
        named = {"name": hub.name, "endpoint": hub.endpoint, "public_key": hub.public_key} if hub is not None else {}
        return {
            "loa_hub": _Same({**named, "address": overlay.hub_address(given.octet), **given.hub}),
            "loa_artifacts": _Same(given.artifacts),
            "loa_overlay": f"{given.octet}.0.0.0/8",
            "loa_root": network.trust.root if network.trust is not None else "",
        }

    def variables(self, device: Device) -> Mapping[str, Any]:
        frame = self._given.policies.get(device.id)
        sim = device.sim
        card = {"number": sim.number, "iccid": sim.iccid, "operator": sim.operator, "apn": sim.apn} if sim else None
        address = overlay.address(device.id, self._given.octet)
        behind = [
            {"device": other, "address": overlay.address(other, self._given.octet)}
            for other in self._network.behind(device.id)
        ]
        own = {
            "ansible_host": address,
            "loa_address": address,
            "loa_behind": behind,
            "loa_host_key": device.host_key,
            "loa_policy": base64.b64encode(frame).decode() if frame else "",
            "loa_sim": card,
            "loa_snmp": self._snmp(device),
        }
        return host_variables(self._network, device, self._on) | own | self.shared

    def _snmp(self, device: Device) -> Mapping[str, str]:
        user = self._given.security
        if not isinstance(user, User):
            return {"version": "2c", "user": "", "auth": "", "priv": "", "engine": engine_id(device.id).hex()}
        auth = _AUTH_NAMES[user.auth] if user.auth is not None else ""
        priv = "AES" if user.priv is not None else ""
        return {
            "version": "3",
            "user": user.name.decode(),
            "auth": auth,
            "priv": priv,
            "engine": engine_id(device.id).hex(),
        }

    def _snmp_keys(self, device: Device) -> dict[str, str]:
        user = self._given.security
        if not isinstance(user, User):
            return {}
        auth, priv = user.keys(engine_id(device.id))
        return {"snmp_auth_key": auth.hex(), "snmp_priv_key": priv.hex()}


class _Same(dict[str, Any]):
    """A mapping that is the same for all devices, so that what was rendered with it is found again."""

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


def _failed(error: Exception, place: Place, device: Device) -> Diagnostic:
    reason = error.message if isinstance(error, TemplateError) and error.message else f"{type(error).__name__}: {error}"
    return fault("PLN204", place, device=device.id, reason=reason)


def _line(error: Exception, file: str) -> int:
    """The line of the template at which it failed."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return (lines[-1] or 1) if lines else 1
