"""A hub that plays: mosquitto with TLS and the real playout in the lab's centre, receivers in the field."""

from __future__ import annotations

import asyncio
import getpass
import io
import re
import shutil
import socket
import ssl
import subprocess
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audio import trust
from audio.broker import Broker
from audio.documents import DeviceState
from audio.library import Library
from audio.playout import Playout
from inventory import overlay
from nms.provision import acl
from nms.provision.artifacts import RECEIVER, receiver
from nms.provision.authority import HUB_PEM, ROOT_PEM
from nms.provision.roles import Roles, read_roles
from nms.store import Store
from tests.audio.province import Hub, Keys
from tests.audio.receiver_kit import until
from tests.lab.lab import OCTET
from tests.lab.town import ON, ROOT, Town, wheel

MQTT = 8883
SOUND = "/var/lib/loa-receiver/out.pcm"
UNIT = "loa-receiver.service"


def now() -> datetime:
    return datetime.now(UTC)


def audible(town: Town, folder: Path) -> None:
    """Receivers write their sound to a file, at any hour."""
    output(town, folder, f"file:{SOUND}")
    awake(town)


def output(town: Town, folder: Path, wanted: str) -> None:
    """What receivers play on, in place of what the inventory says: a file is nothing that it could name."""
    playbooks = folder / "playbooks"
    shutil.copytree(ROOT / "playbooks", playbooks)
    template = playbooks / "roles/receiver/templates/receiver.toml.j2"
    text, found = re.subn(r"(?m)^output = .*$", f'output = "{wanted}"', template.read_text())
    assert found == 1
    template.write_text(text)
    roles = read_roles(playbooks)
    assert isinstance(roles, Roles), roles
    town.roles = roles


def awake(town: Town) -> None:
    """No quiet hours: tests run at any hour."""
    town.network = replace(town.network, quiet_hours=())
    assert town.network.trust is not None
    root = trust.load_key(town.folder / "trust", "root", "mật khẩu dài")
    assert isinstance(root, Ed25519PrivateKey)
    at = int(now().timestamp() * 1000)
    frames = trust.in_force(trust.policies(town.network, ON, town.network.trust, root, at), ON)
    town.given = replace(town.given, policies=frames)


@contextmanager
def mosquitto(town: Town) -> Iterator[subprocess.Popen[bytes]]:
    town.papers.authority.permit(town.network, ON)
    folder = town.papers.authority.broker
    config = folder / acl.CONFIGURATION
    config.write_text(f"{acl.configuration(folder, MQTT, MQTT + 1)}\nuser {getpass.getuser()}\nlog_dest none\n")
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    process = town.lab.noc.popen([program, "-c", str(config)])
    with town.lab.noc.entered():
        until(_listens, 60)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _listens() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((overlay.hub_address(OCTET), MQTT)) == 0


@asynccontextmanager
async def playing(town: Town, store: Store) -> AsyncIterator[Hub]:
    """The hub, connected as itself; to be run in the centre."""
    folder = town.folder / "trust"
    hub = trust.load_key(folder, "hub")
    assert isinstance(hub, Ed25519PrivateKey)
    assert town.network.trust is not None
    kid = next(key.kid for key in town.network.trust.keys if key.hub)
    issuers = {
        unit: key
        for unit in town.network.units
        if isinstance(key := trust.load_issuer(folder, unit), Ed25519PrivateKey)
    }
    keys = Keys(town.network, hub, kid, issuers)
    pair = town.papers.authority.folder / HUB_PEM

    def tls() -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(town.papers.authority.folder / ROOT_PEM))
        made.load_cert_chain(pair, pair)
        return made

    broker = Broker(overlay.hub_address(OCTET), MQTT, tls)
    library = Library(town.folder / "content")
    playout = Playout(store, lambda: town.network, broker, hub, kid, now, {}, library)
    running = Hub(keys, now, store, broker, playout, MQTT)  # type: ignore[arg-type]
    running.tasks.add(asyncio.create_task(playout.run()))
    await asyncio.wait_for(broker.wait_connected(), 60)
    try:
        yield running
    finally:
        await running.die()


async def heard(running: Hub, wanted: Callable[[Mapping[str, DeviceState]], bool], seconds: float = 120) -> None:
    """Until what the devices say of themselves is as wanted."""
    async with asyncio.timeout(seconds):
        while not wanted(await running.playout.words() or {}):  # noqa: ASYNC110 - what the hub's own clients see
            await asyncio.sleep(0.2)


def version(sha: str) -> str:
    return f"0.1.0+{sha[:12]}"


def another(town: Town, changes: Mapping[str, str]) -> str:
    """Puts another receiver's program into the hub's store: files of it with other texts. Its SHA-256."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(wheel())) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            text = old.read(name)
            new.writestr(zipfile.ZipInfo(name), changes[name].encode() if name in changes else text)
    data = packed.getvalue()
    return town.store.add(RECEIVER, data, receiver(data), "other.whl").sha256
