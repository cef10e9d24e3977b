"""Devices behind a real sshd on loopback: each an address of its own, and a folder that its manifest is applied in."""

from __future__ import annotations

import getpass
import grp
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from inventory.model import DeviceId, DeviceKind
from nms.provision.ansible import AnsibleProvisioner, Around
from nms.provision.reach import Target
from nms.provision.roles import playbooks
from nms.provision.values import Family, Kind, Manifest, Resource

SECRET = "m4t-kh4u-{{ lookup('env', 'HOME') }}"  # noqa: S105 (it is nobody's)
WHO = getpass.getuser()
OWN = f"{WHO}:{grp.getgrgid(os.getgid()).gr_name}"
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
GOOD, OTHER_KEY, NOT_LET_IN, NO_PYTHON, SILENT = (f"127.77.1.{n}" for n in range(1, 6))

PLAY = """\
- name: {name}
  hosts: all
  gather_facts: false
  tasks:
    - loa_state: {arguments}
"""
ARGUMENTS: Mapping[str, Mapping[str, str]] = {
    "facts": {"keys": "{{ loa_keys }}"},
    "apply": {
        "manifest": "{{ loa_manifest }}",
        "secrets": "{{ loa_secrets }}",
        "artifacts": "{{ loa_artifacts }}",
        "within": "{{ loa_within }}",
    },
    "confirm": {"keys": "{{ loa_keys }}"},
}


def why_not() -> str | None:
    """Why nothing of this runs here."""
    if SSHD is None:
        return "no sshd here"
    return None if Path("/usr/bin/python3").exists() else "no /usr/bin/python3 here"


@dataclass(frozen=True, slots=True)
class Bench:
    """A server with some devices; each has a folder in ``root`` where what is applied lands."""

    folder: Path
    root: Path
    port: int
    host_key: str

    def provisioner(self, seconds: float = 300.0) -> AnsibleProvisioner:
        key = self.folder / "id_ed25519"
        around = Around(self.folder / "playbooks", key, lambda: datetime.now(UTC), {}, self.port, seconds=seconds)
        return AnsibleProvisioner(around, lambda device: DeviceKind.LOUDSPEAKER)

    def target(self, device: str, address: str = GOOD, **changes: str) -> Target:
        key = changes.get("host_key", self.host_key)
        (self.root / device / "etc").mkdir(parents=True, exist_ok=True)
        return Target(DeviceId(device), address, WHO, key, self.manifest(device, changes.get("text", "a = 1\n")))

    def manifest(self, device: str, text: str) -> Manifest:
        """Braces in texts and names are nobody's template."""
        found = [
            Resource(Kind.FILE, f"/etc/{device}.conf", f"{text}b = '{{{{ 1 + 1 }}}} ữ'\n", f"{OWN} 0644"),
            Resource(Kind.FILE, f"/etc/{device}.key", SECRET, f"{OWN} 0600", secret=True),
        ]
        return Manifest(DeviceId(device), Family.LINUX, {one.key: one for one in found})

    def other_key(self) -> str:
        """A host key that is not the server's."""
        return public(make_key(self.folder / "other"))


def make_key(path: Path) -> Path:
    if not path.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True)
    return path


def public(key: Path) -> str:
    return " ".join(key.with_name(key.name + ".pub").read_text().split()[:2])


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """The server runs until the block ends."""
    root = folder / "root"
    keys = folder / "authorized"
    keys.write_text(public(make_key(folder / "id_ed25519")) + "\n")
    keys.chmod(0o600)
    host_key = make_key(folder / "host")
    with socket.create_server((GOOD, 0)) as free:
        port = free.getsockname()[1]
    addresses = "\n".join(f"ListenAddress {a}" for a in (GOOD, OTHER_KEY, NOT_LET_IN, NO_PYTHON))
    (folder / "sshd_config").write_text(f"""\
Port {port}
{addresses}
HostKey {host_key}
AuthorizedKeysFile {keys}
StrictModes no
UsePAM no
PidFile none
PasswordAuthentication no
SetEnv PATH={folder}/bin:/usr/bin:/bin
Match LocalAddress {NOT_LET_IN}
  AuthorizedKeysFile none
Match LocalAddress {NO_PYTHON}
  ForceCommand /bin/sh -c /usr/bin/no-such-folder/python3
""")
    _playbooks(folder / "playbooks", root)
    _systemd(folder / "bin")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where its unprivileged half lives
    assert SSHD is not None
    with (folder / "sshd.log").open("w") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    try:
        _wait(port)
        yield Bench(folder, root, port, public(host_key))
    finally:
        server.terminate()
        server.wait()


def _systemd(folder: Path) -> None:
    """Stands in for the service manager, which this machine's own must not be: it says yes. Real ones: tests/lab."""
    folder.mkdir()
    shown = "printf 'LoadState=loaded\\nActiveState=inactive\\nUnitFileState=enabled\\n'"
    for name, script in (("systemctl", f'[ "$1" != show ] || {shown}'), ("systemd-run", ":")):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)


def _wait(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex((GOOD, port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError("sshd does not listen")


def _playbooks(folder: Path, root: Path) -> None:
    """The project's module, in plays like the project's, but below a folder: this machine is nobody's device."""
    folder.mkdir()
    for name in ("library", "module_utils"):
        (folder / name).symlink_to(playbooks() / name)
    for name, mode in (("facts", "facts"), ("loudspeaker", "apply"), ("confirm", "confirm")):
        given = {"mode": mode, "root": f"{root}/{{{{ inventory_hostname }}}}", **ARGUMENTS[mode]}
        arguments = "{" + ", ".join(f'{key}: "{value}"' for key, value in given.items()) + "}"
        (folder / f"{name}.yml").write_text(PLAY.format(name=name, arguments=arguments))
