"""How the hub gets at its devices: its own SSH key, a provisioner for each family, and what is wanted of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from inventory import overlay
from inventory.model import DeviceId, DeviceKind, Network
from nms.monitor.parts import Picture
from nms.provision import backup
from nms.provision.ansible import AnsibleProvisioner, Around
from nms.provision.artifacts import ArtifactStore
from nms.provision.authority import write
from nms.provision.backup import Backed, Why
from nms.provision.drivers.provisioner import DRIVERS, CliProvisioner
from nms.provision.drivers.session import Access
from nms.provision.reach import Provisioner
from nms.provision.roles import playbooks
from nms.provision.values import Family
from nms.settings import Clock, Secret, Settings, secrets
from nms.store import Store
from tui.desired import SSH_KEY, Source, root_certificate
from tui.plan_service import PlanService
from tui.polling import overlay as octet_of

COMMENT: Final = "loa-hub"
ARTIFACTS: Final = "artifacts"
"""In the hub's state: what devices install from it."""


def ssh_key(state: Path) -> Path:
    """The hub's private key for SSH, made when there is none; its public half is beside it. Raises OSError."""
    path = state / SSH_KEY
    public = path.with_suffix(".pub")
    if not (path.exists() and public.exists()):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = Ed25519PrivateKey.generate()
        line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        write(public, f"{line} {COMMENT}\n".encode(), 0o644)
        write(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), 0o600)
    return path


def provisioners(
    settings: Settings, network: Callable[[], Network], clock: Clock, store: Store
) -> Mapping[Family, Provisioner]:
    """A way to the devices of each family that this hub sets up."""
    # by its address: a fresh device does not know the hub's name yet
    url = f"https://{overlay.hub_address(octet_of(settings, network()))}:{settings.content_port}"
    artifacts = {"url": url, "ca": root_certificate(settings.state_dir)}
    key = ssh_key(settings.state_dir)
    around = Around(playbooks(), key, clock, artifacts)

    def kind(device: DeviceId) -> DeviceKind:
        return network().devices[device].kind

    modems = _modems(settings, key, clock, store)
    return {Family.LINUX: Backed(AnsibleProvisioner(around, kind), store, clock)} | dict.fromkeys(DRIVERS, modems)


def _modems(settings: Settings, key: Path, clock: Clock, store: Store) -> CliProvisioner:
    """Modems let the hub in by its key, or by a password of their own in the vault: ``ssh_<device>``."""

    def password(device: DeviceId) -> Secret | None:
        if settings.vault_password_file is None:
            return None
        found = secrets(settings.inventory, settings.vault_password_file)
        return found.get(f"ssh_{device}") if not isinstance(found, tuple) else None

    async def keep(device: DeviceId, why: str, text: str) -> None:
        now = clock()
        await store.write(lambda s: backup.keep(s, device, Why(why), text, now))

    return CliProvisioner(Access(key, password), clock, keep)


def make_plans(
    settings: Settings, network: Callable[[], Network], clock: Clock, picture: Picture, store: Store
) -> PlanService:
    """What the hub answers about plans."""
    artifacts = ArtifactStore(settings.state_dir / ARTIFACTS)
    source = Source(settings, network, clock, playbooks(), artifacts.digests)
    return PlanService(source, provisioners(settings, network, clock, store), clock, lambda: picture.latest, store)
