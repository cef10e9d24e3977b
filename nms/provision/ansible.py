"""Linux devices are read and changed by Ansible: one run for a wave, each device with a result of its own.

Every run has a folder of its own that only the hub can read, which is gone when the run has ended: inventory, secrets,
known hosts, connections. Who is not known by the host key in the inventory is not talked to. Bytes are counted by
``link``: all that ssh sent and received for a device, without the headers of TCP and the tunnel.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, Final

import yaml

from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId, DeviceKind
from nms.provision import link
from nms.provision.ansible_words import Told, change_result, facts_of, told, unconfirmed, with_ssh
from nms.provision.apply_faults import fault
from nms.provision.reach import Target, Unreached
from nms.provision.values import Facts, Outcome, Resource, Result

LINE: Final = 64 * 2**20
"""Bytes of one device's answer, at most."""
CONNECT: Final = 20.0
"""Seconds for a connection: a weak link needs a few."""
ALIVE, SILENCES = 10, 4
"""A device that leaves so many questions unanswered, so many seconds apart, has lost its connection."""
PREFIX: Final = "loa-run-"
ERRORS: Final = "errors"
SAID: Final = "said"
"""Where ssh writes what it has to say, a file an address: Ansible loses it when ssh ends before it has read all."""
SOURCES: Final = Path(__file__).resolve().parents[2]
RUN: Final = 900.0
"""Seconds for a device beside its probation: large packages over a weak link."""
PLAYBOOKS: Final = {DeviceKind.LOUDSPEAKER: "loudspeaker.yml", DeviceKind.BOARD: "board.yml"}
CHANGES: Final = frozenset(PLAYBOOKS.values())


@dataclass(frozen=True, slots=True)
class Around:
    """What every run has in common. ``artifacts``: where devices fetch them, ``url`` and ``ca``. ``forks``: devices at
    a time; ``port``: of their SSH."""

    playbooks: Path
    key: Path
    clock: Callable[[], datetime]
    artifacts: Mapping[str, str]
    port: int = 22
    forks: int = 10
    seconds: float = RUN

    def patience(self, devices: int, within: float) -> float:
        """Seconds for a run with so many devices: each of its turns may take as long as one device."""
        return ceil(devices / self.forks) * (self.seconds + within)


class AnsibleProvisioner:
    """A ``Provisioner`` for Linux. ``kind``: of a device, which says by which playbook it is set up."""

    def __init__(self, around: Around, kind: Callable[[DeviceId], DeviceKind]) -> None:
        self._around = around
        self._kind = kind
        self._spent: dict[DeviceId, tuple[int, int]] = {}

    def spent(self, device: DeviceId) -> tuple[int, int]:
        """Bytes sent to the device and received from it for facts and confirmations, since this was asked last."""
        return self._spent.pop(device, (0, 0))

    def _spend(self, device: DeviceId, what: Told) -> None:
        sent, received = self._spent.get(device, (0, 0))
        self._spent[device] = sent + what.sent, received + what.received

    async def facts(self, targets: Sequence[Target]) -> AsyncIterator[Facts | Unreached]:
        known, strangers = _known(targets)
        for target in strangers:
            yield Unreached(target.device, fault("PLN309", device=target.device))
        plays = ("facts.yml",)
        async with aclosing(self._run(known, plays, keep=True)) as heard:
            async for target, what in heard:
                self._spend(target.device, what)
                yield facts_of(target, what, self._around.clock())

    async def apply(self, targets: Sequence[Target], within: float) -> AsyncIterator[Result]:
        known, strangers = _known(targets)
        for target in strangers:
            yield Result(target.device, Outcome.DEFERRED, fault("PLN309", device=target.device))
        plays = tuple(sorted({PLAYBOOKS[self._kind(t.device)] for t in known}))
        async with aclosing(self._run(known, plays, keep=True, within=within)) as heard:
            async for target, what in heard:
                yield change_result(target, what, self._around.clock())

    async def confirm(self, targets: Sequence[Target]) -> Mapping[DeviceId, Diagnostic | None]:
        known, strangers = _known(targets)
        found: dict[DeviceId, Diagnostic | None] = {t.device: fault("PLN309", device=t.device) for t in strangers}
        async with aclosing(self._run(known, ("confirm.yml",), keep=False)) as heard:
            async for target, what in heard:
                self._spend(target.device, what)
                found[target.device] = unconfirmed(target, what)
        return found

    async def _run(
        self, targets: Sequence[Target], plays: Sequence[str], *, keep: bool, within: float = 0.0
    ) -> AsyncGenerator[tuple[Target, Told], None]:
        """Every target once, with what became of it. ``keep``: one connection for all of the run's tasks."""
        if not targets:
            return
        left = {t.device: t for t in targets}
        said = ""
        async with _folder() as folder:
            prepared = partial(_prepare, folder, self._around, targets, self._kind, plays)
            await asyncio.to_thread(prepared, keep=keep, within=within)
            seconds = self._around.patience(len(targets), within)
            counted = partial(_counted, folder)
            async with _process(folder) as process:
                try:
                    async with asyncio.timeout(seconds):
                        async for event in _events(process):
                            said = event.get("said", "") or said
                            target = left.get(DeviceId(str(event.get("host"))))
                            if target is not None and (what := told(event)) is not None:
                                del left[target.device]
                                yield target, counted(target, what)
                except TimeoutError:
                    for target in left.values():
                        yield target, counted(target, Told(Outcome.LOST, late=seconds))
                    return
            for target in left.values():
                yield target, counted(target, Told(Outcome.FAILED, hub=said or _error(folder)))


def _known(targets: Sequence[Target]) -> tuple[list[Target], list[Target]]:
    """Those with a host key, and those without."""
    return [t for t in targets if t.host_key], [t for t in targets if not t.host_key]


# --- the folder of a run ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def _folder() -> AsyncIterator[Path]:
    """Short, because the path of a socket has at most 108 characters; mode 0700."""
    await asyncio.to_thread(_sweep, Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _sweep(place: Path) -> None:
    """What a hub that was killed has left holds secrets; folders of others are theirs."""
    for folder in place.glob(f"{PREFIX}*-*"):
        owner = folder.name.removeprefix(PREFIX).partition("-")[0]
        with suppress(FileNotFoundError):  # another run was faster
            if folder.lstat().st_uid == os.getuid() and owner.isdigit() and not Path(f"/proc/{owner}").exists():
                shutil.rmtree(folder, ignore_errors=True)


class _Plain(str):
    """A text that Ansible takes as it is: braces in it are no template."""

    __slots__ = ()


class _Dumper(yaml.CSafeDumper):
    pass


_Dumper.add_representer(_Plain, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text)))


def _prepare(
    folder: Path,
    around: Around,
    targets: Sequence[Target],
    kind: Callable[[DeviceId], DeviceKind],
    plays: Sequence[str],
    *,
    keep: bool,
    within: float,
) -> None:
    for name in ("env", "inventory", "project", "count", "cp", SAID):
        (folder / name).mkdir()
    changes = not CHANGES.isdisjoint(plays)
    groups: dict[str, dict[str, Any]] = {}
    for target in targets:
        (folder / "count" / target.address).mkdir(exist_ok=True)
        group = groups.setdefault(f"kind_{kind(target.device).value}", {"hosts": {}})
        group["hosts"][target.device] = _variables(folder, target, around) | (
            _change(target, around, within) if changes else {}
        )
    _write(folder / "inventory" / "hosts.yml", yaml.dump({"all": {"children": groups}}, Dumper=_Dumper))
    _write(
        folder / "project" / "run.yml", yaml.safe_dump([{"import_playbook": str(around.playbooks / p)} for p in plays])
    )
    _write(folder / "known_hosts", "".join(_host_lines(targets, around.port)))
    _write(folder / "ansible.cfg", "")  # whoever runs the hub may have one of his own
    _write(folder / "env" / "envvars", json.dumps(_environment(folder, around, keep)))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _host_lines(targets: Iterable[Target], port: int) -> Iterable[str]:
    for target in targets:
        name = target.address if port == 22 else f"[{target.address}]:{port}"
        yield f"{name} {' '.join(target.host_key.split()[:2])}\n"


def _variables(folder: Path, target: Target, around: Around) -> dict[str, Any]:
    return {
        "ansible_host": target.address,
        "ansible_port": around.port,
        "ansible_user": target.user,
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_private_key_file": str(around.key),
        "ansible_ssh_extra_args": f"-E {folder / SAID / target.address}",
        "loa_keys": [_Plain(key) for key in target.manifest.resources],
    }


def _change(target: Target, around: Around, within: float) -> dict[str, Any]:
    """What is sent only where something is to be changed: texts are long, and some are secret."""
    resources = target.manifest.resources
    return {
        "loa_manifest": [_listed(one) for one in resources.values()],
        "loa_secrets": {key: _Plain(one.text) for key, one in resources.items() if one.secret},
        "loa_artifacts": {key: _Plain(value) for key, value in around.artifacts.items()},
        "loa_within": within,
    }


def _listed(one: Resource) -> dict[str, Any]:
    entry: dict[str, Any] = {"kind": one.kind.value, "name": _Plain(one.name), "attributes": _Plain(one.attributes)}
    if not one.secret:
        entry["text"] = _Plain(one.text)
    return entry | {"secret": one.secret, "restarts": [_Plain(unit) for unit in one.restarts]}


def _environment(folder: Path, around: Around, keep: bool) -> Mapping[str, str]:
    """Ansible's settings. Its own ``-C`` must be given again: arguments of ours replace its own."""
    count = f"{sys.executable} -I -S {Path(link.__file__).resolve()} %h %p {CONNECT} {folder}/count/%h"
    shared = ("ControlMaster=auto", "ControlPersist=30s") if keep else ("ControlMaster=no",)
    options = (
        *shared,
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={folder}/known_hosts",
        "GlobalKnownHostsFile=/dev/null",
        "UpdateHostKeys=no",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "LogLevel=ERROR",
        f"ServerAliveInterval={ALIVE}",
        f"ServerAliveCountMax={SILENCES}",
        f"ProxyCommand={count}",
    )
    return {
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "ansible" / "tmp"),
        "ANSIBLE_LIBRARY": str(around.playbooks / "library"),
        "ANSIBLE_MODULE_UTILS": str(around.playbooks / "module_utils"),
        "ANSIBLE_ROLES_PATH": str(around.playbooks / "roles"),
        "ANSIBLE_FORKS": str(around.forks),
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_TIMEOUT": str(int(CONNECT)),
        "ANSIBLE_SSH_ARGS": " ".join(["-F", "/dev/null", "-C", *(f'-o "{option}"' for option in options)]),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "cp"),
        "ANSIBLE_SSH_CONTROL_PATH": "%(directory)s/%%C",
        "ANSIBLE_NOCOLOR": "True",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        "LC_ALL": "C.UTF-8",
    }


def _counted(folder: Path, target: Target, what: Told) -> Told:
    """With what ``link`` has to say of the device so far."""
    sent = received = 0
    unlinked = ""
    for file in (folder / "count" / target.address).iterdir():
        data = file.read_bytes()
        if file.suffix == link.NOT:
            unlinked = data.decode()
        elif data:
            there, back = link.COUNT.unpack(data)
            sent, received = sent + there, received + back
    said = folder / SAID / target.address
    heard = with_ssh(what, said.read_text("utf-8", "replace") if said.exists() else "")
    return replace(heard, sent=sent, received=received, unlinked=unlinked)


# --- the process of a run ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def _process(folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """ansible-runner in a session of its own; all of it ends with this block."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    with (folder / ERRORS).open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "nms.provision.ansible_child",
            str(os.getpid()),
            str(folder),
            "run.yml",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PATH": programs, "PYTHONPATH": str(SOURCES)},
            limit=LINE,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()


def _error(folder: Path) -> str:
    """The last line of what the run complained of."""
    lines = (folder / ERRORS).read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "ansible-runner")


async def _events(process: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    assert process.stdout is not None
    async for line in process.stdout:
        event = json.loads(line)
        yield event
        if event["event"] == "end":
            return
