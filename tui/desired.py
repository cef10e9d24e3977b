"""What the inventory wants of every device now, read where it is: inventory, roles, secrets, policies, artifacts.

The hub may run with an older inventory than the one on the disk (it reads it anew when told to); a plan is always made
of what is there, so that a change is seen before the network follows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from threading import Lock
from typing import Any, Final

from audio.trust import read_bundle
from inventory import overlay
from inventory.diagnostics import Diagnostic
from inventory.load import load
from inventory.model import DeviceId, Network
from nms.monitor.snmp.usm import security_from
from nms.provision import manifest
from nms.provision.authority import PKI, ROOT_PEM
from nms.provision.families import SETUPS, Setup
from nms.provision.manifest import Given, Made
from nms.provision.reach import Target
from nms.provision.roles import Roles, files_digest, read_roles
from nms.provision.values import Manifest
from nms.settings import Clock, Settings, secrets
from tui.commands.keys import BUNDLE
from tui.polling import overlay as octet_of
from tui.polling import today

INVENTORY: Final = "**/*.yaml"
ROLES: Final = "roles/**/*"

Artifacts = Callable[[], Mapping[str, str]]
"""SHA-256 of every artifact that the hub has, by name."""


@dataclass(frozen=True, slots=True)
class Desired:
    """One state of everything that manifests follow from. ``inputs``: digests of inventory and templates."""

    network: Network
    on: date
    roles: Roles
    given: Given
    inputs: Mapping[str, str]
    setups: Mapping[str, Setup] = field(default_factory=lambda: SETUPS)

    def manifests(self, devices: Iterable[DeviceId]) -> Made:
        """Of devices in use; others are left out."""
        known = (self.network.devices.get(device) for device in devices)
        found = [d for d in known if d is not None and d.in_use(self.on)]
        return manifest.make(self.network, self.on, self.roles, self.given, found, self.setups)

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
        network: Network,
        clock: Clock,
        playbooks: Path,
        artifacts: Artifacts,
        setups: Mapping[str, Setup] = SETUPS,
    ) -> None:
        """``network``: the inventory as it was loaded just now."""
        self._settings = settings
        self._clock = clock
        self._playbooks = playbooks
        self._artifacts = artifacts
        self._setups = setups
        self._lock = Lock()
        self._networks = {files_digest(settings.inventory, INVENTORY): network}
        self._roles: dict[str, Roles] = {}
        self._policies: dict[tuple[int, int], Mapping[str, bytes]] = {}

    def current(self) -> Desired | tuple[Diagnostic, ...]:
        """As it is on the disk now, or all that is wrong with it. Raises OSError when it cannot be read at all."""
        with self._lock:
            inventory = files_digest(self._settings.inventory, INVENTORY)
            network = self._network(inventory)
            roles = self._compiled(files_digest(self._playbooks, ROLES))
            if isinstance(network, tuple) or isinstance(roles, tuple):
                return tuple(d for found in (network, roles) if isinstance(found, tuple) for d in found)
            given = self._known(network)
            if isinstance(given, tuple):
                return given
            inputs = {"inventory": inventory, "templates": roles.digest}
            return Desired(network, today(network, self._clock), roles, given, inputs, self._setups)

    def _network(self, digest: str) -> Network | tuple[Diagnostic, ...]:
        if digest not in self._networks:
            network, diagnostics = load(self._settings.inventory)
            if network is None:
                return diagnostics
            self._networks = {digest: network}
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
            policies=self._signed(settings.keys / BUNDLE),
            artifacts=self._artifacts(),
            hub=self._hub(),
        )

    def _signed(self, bundle: Path) -> Mapping[str, bytes]:
        """The policies as the root signed them; none where there are none."""
        try:
            status = bundle.stat()
            seen = (status.st_ino, status.st_mtime_ns)
            if seen not in self._policies:
                self._policies = {seen: read_bundle(bundle)}
        except (OSError, ValueError):
            return {}
        return self._policies[seen]

    def _hub(self) -> Mapping[str, Any]:
        """How devices speak to this hub; ``ca``: the root that they believe, empty before there is one."""
        settings = self._settings
        try:
            root = (settings.state_dir / PKI / ROOT_PEM).read_text()
        except OSError:
            root = ""
        return {
            "ca": root,
            "content_port": settings.content_port,
            "mqtt_port": settings.mqtt_port,
            "snmp_port": settings.snmp_port,
            "trap_port": settings.snmp_trap_port,
        }


def digests(made: Made) -> Mapping[DeviceId, str]:
    """The digest of each manifest there is."""
    return {device: one.digest for device, one in made.items() if isinstance(one, Manifest)}
