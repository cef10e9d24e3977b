"""Secrets that can be told from everything else, planted wherever there are some, and looked for everywhere else."""

from __future__ import annotations

import base64
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from inventory.model import DeviceId
from nms.provision.ansible import PREFIX
from nms.provision.bench import fingerprint_of
from nms.provision.values import Family
from tests.lab.enrol_kit import FILES, STATION, Province
from tests.lab.host import Host
from tests.lab.hub_kit import fresh, log
from tests.lab.lab import Lab
from tests.lab.modem_kit import LabFleet
from tests.tui.loa_command import Answer

SPEAKER, MODEM = DeviceId("23557-L01"), DeviceId("23557-M01")
HEAD: Final = """\
province: "64"
name: Gia Lai
overlay: 10
profiles: [loa-receiver, routeros]
hub: {name: hub.example, endpoint: "%s:%d", public_key: "%s"}
rollout: {confirm: 60s}
quiet_hours: []
"""
MODEMS: Final = """\
modems:
  - {id: 23557-M01, profile: routeros, sim: {number: "0849000009", iccid: "898500000000000009", apn: v-internet},
     in_service: 2024-01-01, host_key: "%s"}
"""
PASSPHRASE: Final = "PlantedRootPassphrase7414"  # noqa: S105 (of a province that lives for one test)
VAULT_PASSWORD: Final = "PlantedVaultPassword7415"  # noqa: S105 (the same)
PLANTED: Final = {
    "auth": "PlantedAuthPassword7410",
    "priv": "PlantedPrivPassword7411",
    "modem": "PlantedModemPassword7412",
    "factory": "PlantedFactoryPassword7413",
    "passphrase": PASSPHRASE,
    "vault": VAULT_PASSWORD,
}
SNMP_USER: Final = "/etc/snmp/snmpd.conf.d/loa.conf"
STATE: Final = "/var/lib/loa/state"
LENT: Final = "/run/credentials/loa-receiver.service/key.pem"
"""By systemd, in memory, to the receiver's account alone."""
OWN: Final = (SNMP_USER, "/etc/loa-receiver/key.pem", "/etc/wireguard/loa.key", "/var/lib/snmp/snmpd.conf", LENT)
SEARCHED: Final = "/etc /root /tmp /run /home /opt /srv /var/lib/loa /var/log /var/tmp"
HOMES: Final = {"keys", "pki", "broker", "ssh"}
PEM: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n.*?\n-----END", re.DOTALL)
ASKED: Final = (
    ("rollouts",),
    ("rollouts", "--json"),
    ("backup", MODEM),
    ("backup", MODEM, "--show", "0"),
    ("backup", MODEM, "--diff", "1", "0"),
    ("device", SPEAKER, "--json"),
    ("device", MODEM),
    ("records", SPEAKER, "--json"),
    ("label", SPEAKER),
    ("events", "--json"),
    ("alarms", "--json"),
    ("pki", "list"),
    ("show", "--json"),
)
VAULT: Final = f"""\
snmp_v3_user: loa
snmp_v3_auth: sha1
snmp_v3_auth_password: {PLANTED["auth"]}
snmp_v3_priv_password: {PLANTED["priv"]}
ssh_{MODEM}: {PLANTED["modem"]}
"""
DEBUG: Final = "import logging\nlogging.basicConfig(level=logging.DEBUG)\n"
LEAST: Final = 16
"""Characters of a secret's form that must be found together."""

pytestmark = pytest.mark.slow


class Quiet(Province):
    """Only verbs that need the root's passphrase are told it; everything logs all that it can, and is kept."""

    said = b""
    _telling = False

    @property
    def environment(self) -> dict[str, str]:
        told = super().environment
        if not self._telling:
            del told["LOA_ROOT_PASSPHRASE"]
        return told | {"PYTHONPATH": f"{self.folder / 'debug'}:{told['PYTHONPATH']}"}

    def loa(self, *arguments: str, who: str = "lan", stdin: str = "") -> Answer:
        self._telling = arguments[:2] in (("keys",), ("policies",), ("pki", "init"))
        answer = super().loa(*arguments, who=who, stdin=stdin)
        self._telling = False
        self.said += f"{answer.out}\n{answer.err}\n".encode()
        return answer

    def prepare(self) -> None:
        """With secrets of ours in the vault."""
        (self.folder / "debug").mkdir()
        (self.folder / "debug" / "sitecustomize.py").write_text(DEBUG)
        super().prepare()
        (self.folder / "vault-password").write_text(VAULT_PASSWORD)
        program = Path(sys.executable).with_name("ansible-vault")
        place = self.inventory / "secrets.yaml"
        place.write_text(VAULT)
        command = [str(program), "encrypt", "--vault-password-file", str(self.folder / "vault-password"), str(place)]
        subprocess.run(command, check=True, capture_output=True)


@dataclass
class Watcher:
    """Looks again and again at every process of this machine, and at the folders of the hub's runs."""

    hub: int
    seen: dict[str, set[bytes]] = field(default_factory=lambda: {"cmdline": set(), "environ": set()})
    runs: dict[tuple[str, bytes], int] = field(default_factory=dict)
    ending: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        while not self.ending.wait(0.05):
            for process in Path("/proc").iterdir():
                if process.name.isdigit():
                    for name, found in self.seen.items():
                        with suppress(OSError):
                            found.add((process / name).read_bytes())
            for run in Path(tempfile.gettempdir()).glob(f"{PREFIX}{self.hub}-*"):
                self._run(run)

    def _run(self, folder: Path) -> None:
        with suppress(OSError):
            mode = folder.stat().st_mode & 0o777
            for file in folder.rglob("*"):
                with suppress(OSError):
                    if file.is_file():
                        self.runs[str(file.relative_to(folder)), file.read_bytes()] = mode


@contextmanager
def watching(hub: int) -> Iterator[Watcher]:
    watcher = Watcher(hub)
    thread = threading.Thread(target=watcher.look)
    thread.start()
    try:
        yield watcher
    finally:
        watcher.ending.set()
        thread.join()


@pytest.fixture
def province(lab_image: Path) -> Iterator[Quiet]:
    with Lab() as lab, tempfile.TemporaryDirectory(prefix="loa-s-") as folder:
        alone = FILES[STATION].partition("  - id: 23557-L02")[0]
        made = Quiet(lab, Path(folder), passphrase=PASSPHRASE, head=HEAD, files={**FILES, STATION: alone})
        try:
            made.prepare()
            yield made
        finally:
            made.close()


def test_no_secret_is_anywhere_but_where_it_belongs(province: Quiet) -> None:
    speaker = with_password(fresh(province, 1, "SN-A"))
    with LabFleet(province.lab, province.folder / "modem", [MODEM], family=Family.ROUTEROS) as fleet:
        fleet[MODEM].authorized, fleet[MODEM].password = "", PLANTED["modem"]
        text = province.station.read_text()
        province.station.write_text(text + MODEMS % fleet[MODEM].host_key.strip())
        province.start()
        with watching(province.processes["hub"].pid) as watcher:
            everything(province, speaker)
        flash = fleet[MODEM].box.exported()
    assert PLANTED["auth"] in flash  # the secrets did get there
    assert watcher.runs
    assert "DEBUG:" in log(province)
    secrets = {**PLANTED, **keys_of(province), **keys_of_device(speaker)}
    forms = {form: name for name, secret in secrets.items() for form in forms_of(secret)}
    leaks = [
        (where, sorted(found))
        for where, data in haystack(province, speaker, watcher)
        if (found := {name for form, name in forms.items() if form in data})
    ]
    assert leaks == []
    assert on_device(speaker, forms) == []
    checked_runs(watcher, forms)
    assert not list(Path(tempfile.gettempdir()).glob(f"{PREFIX}{watcher.hub}-*"))
    print(f"{len(secrets)} secrets in {len(forms)} forms; {sum(map(len, watcher.seen.values()))} process texts")


def with_password(host: Host) -> Host:
    """A device from a factory that lets people in by a password."""
    host.write("/etc/ssh/sshd_config.d/00-factory.conf", "PermitRootLogin yes\nPasswordAuthentication yes\n")
    host.exec(["chpasswd"], input=f"root:{PLANTED['factory']}\n")
    host.exec(["sh", "-c", "rm /root/.ssh/authorized_keys && systemctl restart ssh"])
    host.wait()
    return host


def everything(province: Quiet, speaker: Host) -> None:
    """What people do with secrets in the play, and what they ask afterwards."""
    known, plan = fingerprint_of(speaker.host_key), province.folder / "all.plan"
    at = ("--host", speaker.address, "--fingerprint", known, "--password")
    answer = province.loa("enroll", SPEAKER, *at, stdin=PLANTED["factory"] + "\n")
    assert answer.code == 0, answer.out + answer.err
    province.reload()
    for name in (SNMP_USER, "/etc/sysctl.d/90-loa.conf"):
        speaker.exec(["sh", "-c", f"echo '# by hand' >>{name}"])
    shown = province.loa("plan", "commune=23557", "--refresh", "-o", str(plan))
    assert SNMP_USER in shown.out, shown.out
    assert "authentication-password" in shown.out, shown.out
    province.loa("plan", "--json", "commune=23557")
    province.loa("plan", "--drift", "commune=23557")
    done = province.loa("apply", str(plan), "--json")
    outcomes = {one["device"]: one["outcome"] for one in done.json()["devices"]}
    assert outcomes == {SPEAKER: "applied", MODEM: "applied"}, done.out + done.err
    for verb in ASKED:
        answer = province.loa(*verb)
        assert answer.code in (0, 4), f"{verb}: {answer.out}{answer.err}"
    assert province.loa("enroll", MODEM, "--host", "198.18.5.77", "--fingerprint", known).code == 1


# --- what is looked for ---------------------------------------------------------------------------------------------


def forms_of(secret: bytes | str) -> Iterator[bytes]:
    """As it is, in hexadecimal, and in base64 wherever in a text it may begin."""
    data = secret.encode() if isinstance(secret, str) else secret
    if isinstance(secret, str):
        yield data
    yield from (data.hex().encode(), data.hex().upper().encode())
    for shift in range(3):
        whole = base64.b64encode(bytes(shift) + data)
        yield whole[(4 if shift else 0) : len(whole) - 4]


def keys_of(province: Province) -> Mapping[str, bytes | str]:
    """Every private key that the hub's machine has: each line of its file, and the number itself where it is open."""
    found: dict[str, bytes | str] = {}
    for file in homes(province):
        text = file.read_text()
        for block in PEM.findall(text):
            lines = [line for line in block.split("\n")[1:-1] if len(line) >= LEAST]
            found |= {f"{file.name}:{number}": line for number, line in enumerate(lines[-2:])}
            with suppress(TypeError, ValueError, UnsupportedAlgorithm):
                key = load_pem_private_key(f"{block}\n".encode(), None)
                found[f"{file.name}:raw"] = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())[-40:]
    assert len(found) >= 8, found.keys()
    return found


def keys_of_device(host: Host) -> Mapping[str, bytes | str]:
    """What was born on the device, and what it alone was given."""
    tunnel = host.read("/etc/wireguard/loa.key").strip()
    (pem,) = PEM.findall(host.read("/etc/loa-receiver/key.pem"))
    snmp = re.findall(r"0x([0-9a-f]{32,})", host.read(SNMP_USER))
    assert len(snmp) == 2
    lines = dict(enumerate(pem.split("\n")[1:-1]))
    found: dict[str, bytes | str] = {"wireguard": tunnel, "wireguard raw": base64.b64decode(tunnel)}
    found |= {f"key.pem:{n}": line for n, line in lines.items() if len(line) >= LEAST}
    return found | {f"snmp:{n}": bytes.fromhex(key) for n, key in enumerate(snmp)}


# --- where it is looked for -----------------------------------------------------------------------------------------


def homes(province: Province) -> list[Path]:
    """Files of private keys; none of them is for everybody."""
    found = [f for f in files(province.folder) if b"PRIVATE KEY-----" in f.read_bytes()]
    found = [f for f in found if f.parent.name in HOMES]
    assert {f.parent.name for f in found} == HOMES
    assert not [f for f in found if f.stat().st_mode & 0o007]
    return found


def files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def haystack(province: Quiet, host: Host, watcher: Watcher) -> Iterator[tuple[str, bytes]]:
    at_home = {*homes(province), province.folder / "vault-password", province.folder / "wg.conf"}
    for file in files(province.folder):
        if file not in at_home and province.folder / "modem" not in file.parents:
            yield str(file), file.read_bytes()
    yield "what the verbs said", province.said
    for name, seen in watcher.seen.items():
        yield name, b"\n".join(seen)
    database = sqlite3.connect(next(province.state.glob("*.db")))
    yield "the store", "\n".join(database.iterdump()).encode()
    database.close()
    yield "metrics", metrics(province)
    yield "the device's journal", host.exec(["journalctl", "--no-pager", "--output=verbose"]).stdout.encode()


def on_device(host: Host, forms: Mapping[bytes, str]) -> list[str]:
    """Files of the device with a secret of anybody's, but for those that are its own and nobody else reads."""
    needles = b"\n".join(forms).decode()
    found = host.exec(["grep", "-rlFsf", "-", *SEARCHED.split()], input=needles, check=False).stdout.split("\n")
    modes = host.exec(["stat", "-c", "%a", *OWN, STATE]).stdout.split()
    assert set(modes) <= {"400", "440", "600", "700"}
    assert SNMP_USER in found
    return [name for name in found if name and name not in OWN and not name.startswith(STATE)]


def metrics(province: Province) -> bytes:
    with province.lab.noc.entered(), urllib.request.urlopen("http://127.0.0.1:9740/metrics", timeout=60) as answer:
        return bytes(answer.read())


def checked_runs(watcher: Watcher, forms: Mapping[bytes, str]) -> None:
    """A run's folder is its owner's; in it only what Ansible reads holds secrets, and only those of the device."""
    keys = {"snmp:0", "snmp:1"}
    held = set()
    for (name, data), mode in watcher.runs.items():
        found = {secret for form, secret in forms.items() if form in data}
        assert found <= (keys if name == "inventory/hosts.yml" else set()), f"{name} of a run holds {found}"
        assert mode == 0o700
        held |= found
    assert held == keys  # they are found where they are
