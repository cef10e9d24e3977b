"""Seconds of ``loa plan`` for 5,000 Linux devices of which none has changed: the hub's side and the command together.

``python benchmarks/bench_plan.py [PLAYBOOKS]``. The hub's part that makes plans runs in a process of its own, over a
real store and socket; the fleet has signed policies and encrypted secrets, and what the devices said is an hour old. A
device that was asked would end the run with an error. The first plan of a hub reads the inventory and renders every
template, one after an edit reads the inventory.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ansible.parsing.vault import VaultLib, VaultSecret  # type: ignore[import-untyped]  # noqa: E402

from audio import trust  # noqa: E402 - the checkout, not an installed copy
from audio.init import add_keys  # noqa: E402
from benchmarks.pace import tell_pace  # noqa: E402
from inventory.diagnostics import Diagnostic  # noqa: E402
from inventory.load import load  # noqa: E402
from inventory.model import DeviceId, DeviceKind, Network  # noqa: E402
from nms.provision import facts  # noqa: E402
from nms.provision.authority import PKI, ROOT_PEM  # noqa: E402
from nms.provision.manifest import Made  # noqa: E402
from nms.provision.reach import Provisioner, Target, Unreached  # noqa: E402
from nms.provision.roles import playbooks  # noqa: E402
from nms.provision.values import Facts, Family, Kind, Manifest, Observed, Result  # noqa: E402
from nms.settings import Settings  # noqa: E402
from nms.settings import load as load_settings  # noqa: E402
from nms.store import Store  # noqa: E402
from tui.commands.keys import BUNDLE  # noqa: E402
from tui.desired import Desired, Source  # noqa: E402
from tui.hub import HubSocket  # noqa: E402
from tui.plan_service import PlanService  # noqa: E402

DEVICES = 5_000
GENERATED = 5_250
"""With so many, 5,000 are clusters and boards."""
BUDGET = 2.0
RUNS = 5
EDITS = 3
PASSWORD = b"benchmark"
SECRETS = b"snmp_v3_user: loa\nsnmp_v3_auth_password: authentication\nsnmp_v3_priv_password: confidentiality\n"
TECHNICIAN = "p.technician"
HUB = f"hub: {{name: hub.example, endpoint: 'hub.example:51820', public_key: '{'A' * 42}E='}}\n"
ARTIFACTS = {"receiver": "0" * 64}


class NoSsh:
    """A provisioner that must not be used."""

    async def facts(self, targets: Sequence[Target]) -> AsyncIterator[Facts | Unreached]:
        raise AssertionError(f"{len(targets)} devices would be asked")
        yield

    async def apply(self, targets: Sequence[Target], within: float) -> AsyncIterator[Result]:
        raise AssertionError("nothing is to be applied")
        yield

    async def confirm(self, targets: Sequence[Target]) -> Mapping[DeviceId, Diagnostic | None]:
        raise AssertionError("nothing is to be confirmed")


def province(folder: Path) -> None:
    """A fleet with keys, policies and secrets in ``folder``."""
    inventory, keys = folder / "fleet", folder / "keys"
    generator = [
        sys.executable,
        "-m",
        "tests.sim.province",
        "fleet",
        "--devices",
        str(GENERATED),
        "--out",
        str(inventory),
    ]
    subprocess.run(generator, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    with (inventory / "network.yaml").open("a") as file:
        file.write(HUB)
    (folder / "state" / PKI).mkdir(parents=True)
    (folder / "state" / PKI / ROOT_PEM).write_text("-----BEGIN CERTIFICATE-----\n")
    vault = VaultLib([("default", VaultSecret(PASSWORD))])
    (inventory / "secrets.yaml").write_bytes(vault.encrypt(SECRETS))
    password = folder / "password"
    password.touch(0o600)
    password.write_bytes(PASSWORD)
    assert not add_keys(inventory, keys, "passphrase", datetime.now(UTC).date())
    network = network_of(inventory)
    root = trust.load_key(keys, trust.ROOT, "passphrase")
    assert not isinstance(root, Diagnostic)
    assert network.trust is not None
    on, now = network.on(datetime.now(UTC).date()), int(time.time() * 1000)
    trust.write_bundle(keys / BUNDLE, trust.policies(network, on, network.trust, root, now))


def network_of(inventory: Path) -> Network:
    network, diagnostics = load(inventory)
    assert network is not None, diagnostics
    return network


def environment(folder: Path) -> dict[str, str]:
    return {
        "HOME": str(folder),
        "LOA_INVENTORY": str(folder / "fleet"),
        "LOA_STATE_DIR": str(folder / "state"),
        "LOA_KEYS": str(folder / "keys"),
        "LOA_VAULT_PASSWORD_FILE": str(folder / "password"),
    }


def settings_of(folder: Path) -> Settings:
    loaded = load_settings({}, environment(folder), uid=os.getuid())
    assert not isinstance(loaded, tuple), loaded
    return loaded.settings


def as_wanted(made: Made, at: datetime) -> list[Facts]:
    """Facts of devices that are exactly as their manifests say."""
    found = []
    for device, one in made.items():
        assert isinstance(one, Manifest), one
        seen = {
            key: Observed(r.digest, None if r.secret or r.kind is Kind.ARTIFACT else r.text)
            for key, r in one.resources.items()
        }
        found.append(Facts(device, at, seen, {key: r.digest for key, r in one.resources.items()}))
    return found


def linux(desired: Desired) -> list[DeviceId]:
    return [d.id for d in desired.network.devices.values() if d.kind is not DeviceKind.MODEM]


async def hub(folder: Path, roles: Path) -> None:
    """The part of the hub that makes plans, until it is killed. Says when it listens."""
    settings = settings_of(folder)
    network = network_of(settings.inventory)

    def clock() -> datetime:
        return datetime.now(UTC)

    def source() -> Source:
        return Source(settings, lambda: network, clock, roles, lambda: ARTIFACTS)

    with Store.open(settings.store) as store:
        devices, resources = await asked_before(store, source(), clock())
        none: Mapping[Family, Provisioner] = {family: NoSsh() for family in Family}
        service = PlanService(source(), none, clock, lambda: None, store)
        serving = asyncio.create_task(HubSocket(settings.socket, service.handlers(), lambda: network).run())
        print(devices, resources, flush=True)
        await serving


async def asked_before(store: Store, source: Source, now: datetime) -> tuple[int, int]:
    """Keeps what the devices said an hour ago; how many devices and resources that is."""
    desired = source.current()
    assert not isinstance(desired, tuple), desired
    known = as_wanted(desired.manifests(linux(desired)), now - timedelta(hours=1))
    await store.write(lambda s: facts.write(s, known, now))
    return len(known), sum(len(f.found) for f in known)


def measure(folder: Path, roles: Path) -> bool:
    """Prints one line; whether every plan stayed within the budget."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("LOA_", "XDG_"))} | environment(folder)
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    command = [sys.executable, __file__, str(roles), str(folder)]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            devices, resources = map(int, process.stdout.readline().split())
            while not settings_of(folder).socket.exists():
                time.sleep(0.05)
            command = [sys.executable, "-m", "tui.cli", "plan", "--help"]
            subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, check=True)  # compiles the modules
            first, *others = [planned(env) for _ in range(RUNS)]
            edited = [planned(env) for _ in range(EDITS) if comment(folder)]
        finally:
            process.kill()
    print(
        f"{devices:>7} devices, {resources} resources, all as wanted, none asked:"
        f" loa plan, the hub's first {first:.2f} s, then {min(others):.2f} to {max(others):.2f} s,"
        f" after an edit of the inventory {min(edited):.2f} to {max(edited):.2f} s (budget {BUDGET} s)"
    )
    return devices >= DEVICES and max(first, *others, *edited) <= BUDGET


def comment(folder: Path) -> bool:
    """Somebody writes a line into a file of the inventory that changes nothing."""
    with (folder / "fleet" / "network.yaml").open("a") as file:
        file.write("# seen\n")
    return True


def planned(env: Mapping[str, str]) -> float:
    """Wall time of one ``loa plan``, which must find nothing to change."""
    selection = f"kind={DeviceKind.LOUDSPEAKER},{DeviceKind.BOARD}"
    command = [sys.executable, "-m", "tui.cli", "--as", TECHNICIAN, "plan", selection, "--detailed-exitcode"]
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> int:
    roles = Path(sys.argv[1]) if len(sys.argv) > 1 else playbooks()
    if len(sys.argv) > 2:
        asyncio.run(hub(Path(sys.argv[2]), roles))
    with tempfile.TemporaryDirectory() as folder:
        tell_pace()
        province(Path(folder))
        return 0 if measure(Path(folder), roles) else 1


if __name__ == "__main__":
    sys.exit(main())
