"""What the inventory wants of every device now, read where it is: inventory, roles, secrets, policies, artifacts.

The hub may run with an older inventory than the one on the disk (it reads it anew when told to); a plan is always made
of what is there, so that a change is seen before the network follows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from threading import Lock
from typing import Any, Final

from audio.trust import Bundle, in_force
from inventory import overlay
from inventory.diagnostics import Diagnostic
from inventory.load import load
from inventory.model import DeviceId, Network
from nms.monitor.snmp.usm import security_from
from nms.provision import manifest
from nms.provision.authority import PKI, ROOT_PEM
from nms.provision.families import SETUPS, Setup
from nms.provision.manifest import Given, Made
from nms.provision.plan import state_wanted
from nms.provision.reach import Target
from nms.provision.roles import Roles, files_digest, read_roles, templates_digest
from nms.provision.values import Family, Manifest
from nms.settings import Clock, Settings, secrets
from tui.commands.keys import BUNDLE
from tui.polling import overlay as octet_of
from tui.polling import today

INVENTORY: Final = "**/*.yaml"
SSH_KEY: Final = "ssh/hub"
"""In the hub's state: the private key; its public half ends with ``.pub``."""
REPOSITORY_KEY: Final = "repository.asc"
"""The key that signs the hub's Debian packages; the hub's playbook puts it into the state folder."""

Artifacts = Callable[[], Mapping[str, str]]
"""SHA-256 of every artifact that the hub has, by name. May raise OSError or ValueError."""


@dataclass(frozen=True, slots=True)
class Digests:
    """Of a manifest: the whole, and ``nms.provision.plan.state_wanted``."""

    family: Family
    whole: str
    state: str


@dataclass(frozen=True, slots=True)
class Desired:
    """One state of everything that manifests follow from. ``inputs``: digests of inventory and templates;
    ``digests``: of the manifests made so far; ``before``: the last state, from which only the inventory differs.
    """

    network: Network
    on: date
    roles: Roles
    given: Given
    inputs: Mapping[str, str]
    setups: Mapping[str, Setup] = field(default_factory=lambda: SETUPS)
    digests: dict[DeviceId, Digests] = field(default_factory=dict, repr=False, compare=False)
    before: Desired | None = field(default=None, repr=False, compare=False)

    def manifests(self, devices: Iterable[DeviceId]) -> Made:
        """Of devices in use; others are left out. Their ``digests`` are remembered."""
        known = (self.network.devices.get(device) for device in devices)
        found = [d for d in known if d is not None and d.in_use(self.on)]
        made = manifest.make(self.network, self.on, self.roles, self.given, found, self.setups)
        for device, one in made.items():
            if isinstance(one, Manifest) and device not in self.digests:
                self.digests[device] = Digests(one.family, one.digest, state_wanted(one))
        return made

    def wanted(self, devices: Iterable[DeviceId]) -> Mapping[DeviceId, Digests]:
        """Of each manifest there is. Those of devices whose values are as they were before are not made again."""
        asked = list(devices)
        if self.before is not None:
            known = [device for device in asked if device not in self.digests and device in self.before.digests]
            same = manifest.alike(self.before.network, self.network, self.on, self.roles, self.given, known)
            self.digests.update({device: self.before.digests[device] for device in same})
        self.manifests(device for device in asked if device not in self.digests)
        return {device: self.digests[device] for device in asked if device in self.digests}

    def target(self, wanted: Manifest) -> Target:
        """How the device of a manifest is reached."""
        device = self.network.devices[wanted.device]
        address = overlay.address(device.id, self.given.octet)
        return Target(device.id, address, self.setups[device.profile].user, device.host_key, wanted)


class Source:
    """Reads what is wanted. What has not changed on the disk is not read again. For any thread."""

    def __init__(
        self,
        settings: Settings,
        running: Callable[[], Network],
        clock: Clock,
        playbooks: Path,
        artifacts: Artifacts,
        setups: Mapping[str, Setup] = SETUPS,
    ) -> None:
        """``running``: the network that the hub runs with."""
        self._settings = settings
        self._running = running
        self._clock = clock
        self._playbooks = playbooks
        self._artifacts = artifacts
        self._setups = setups
        self._lock = Lock()
        self._networks: dict[str, Network] = {}
        self._roles: dict[str, Roles] = {}
        self._last: Desired | None = None
        self._bundle = Bundle(settings.keys / BUNDLE)

    def current(self) -> Desired | tuple[Diagnostic, ...]:
        """As it is on the disk now, or all that is wrong with it; the very same while nothing changes.

        Raises OSError when it cannot be read at all.
        """
        with self._lock:
            inventory = self._inventory()
            network = self._network(inventory)
            roles = self._compiled(templates_digest(self._playbooks))
            if isinstance(network, tuple) or isinstance(roles, tuple):
                return tuple(d for found in (network, roles) if isinstance(found, tuple) for d in found)
            given = self._known(network)
            if isinstance(given, tuple):
                return given
            inputs = {"inventory": inventory, "templates": roles.digest}
            self._last = self._following(
                Desired(network, today(network, self._clock), roles, given, inputs, self._setups)
            )
            return self._last

    def _following(self, new: Desired) -> Desired:
        """The last state again where the new one is no other."""
        last = self._last
        if last is None or (last.roles.digest, last.on, last.given) != (new.roles.digest, new.on, new.given):
            return new
        return last if last.inputs == new.inputs else replace(new, before=replace(last, before=None))

    def _inventory(self) -> str:
        folder = self._settings.inventory
        return files_digest(folder, folder.glob(INVENTORY))

    def _network(self, digest: str) -> Network | tuple[Diagnostic, ...]:
        if digest not in self._networks:
            network, diagnostics = load(self._settings.inventory)
            if network is None:
                return diagnostics
            running = self._running()
            self._networks = {digest: running if running == network else network}  # not twice in memory
        return self._networks[digest]

    def _compiled(self, digest: str) -> Roles | tuple[Diagnostic, ...]:
        if digest not in self._roles:
            roles = read_roles(self._playbooks)
            if isinstance(roles, tuple):
                return roles
            self._roles = {digest: roles}
        return self._roles[digest]

    def _known(self, network: Network) -> Given | tuple[Diagnostic, ...]:
        settings = self._settings
        password = settings.vault_password_file
        found = secrets(settings.inventory, password) if password is not None else {}
        if isinstance(found, tuple):
            return found
        security = security_from(found)
        return Given(
            octet=octet_of(settings, network),
            secrets=found,
            security=None if isinstance(security, Diagnostic) else security,
            policies=self._signed(network),
            artifacts=self._there(),
            hub=self._hub(),
        )

    def _signed(self, network: Network) -> Mapping[str, bytes]:
        """The policies of the day as the root signed them; none where there are none."""
        try:
            return in_force(self._bundle.read(), today(network, self._clock))
        except (OSError, ValueError):
            return {}

    def _there(self) -> Mapping[str, str]:
        """None where their index cannot be read: then the devices that need one are told."""
        try:
            return self._artifacts()
        except (OSError, ValueError):
            return {}

    def _hub(self) -> Mapping[str, Any]:
        """How devices and hub speak to each other. ``ca``: the root that devices believe; ``ssh_key``: the line by
        which the hub logs in to them; empty before there is one. ``repository_key`` where the hub has packages."""
        settings = self._settings
        signer = _read(settings.state_dir / REPOSITORY_KEY)
        return ({"repository_key": signer} if signer else {}) | {
            "ca": root_certificate(settings.state_dir),
            "content_port": settings.content_port,
            "mqtt_port": settings.mqtt_port,
            "snmp_port": settings.snmp_port,
            "ssh_key": _read((settings.state_dir / SSH_KEY).with_suffix(".pub")).strip(),
            "trap_port": settings.snmp_trap_port,
        }


def root_certificate(state: Path) -> str:
    """What devices believe, as PEM; empty before there is an authority."""
    return _read(state / PKI / ROOT_PEM)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
