"""A manifest against the machine: what differs, and the one change that mends it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import fetch, guard, services, transaction
from .disk import Refused, digest, full, make_folders, put
from .facts import NEXT_KEY, TUNNEL_KEY, observed
from .journal import Change, State, UnitStep
from .transaction import Source, file_step

TUNNEL = "wg-quick@loa.service"
KINDS = ("file", "service", "package", "artifact")


@dataclass(frozen=True)
class Resource:
    """``nms.provision.values.Resource``, as it arrives."""

    kind: str
    name: str
    text: str
    attributes: str
    secret: bool
    restarts: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.name}"

    @property
    def digest(self) -> str:
        return digest(self.text.encode(), self.attributes)


@dataclass(frozen=True)
class Difference:
    action: str
    kind: str
    name: str


def read(manifest: Sequence[Mapping[str, Any]], secrets: Mapping[str, str]) -> dict[str, Resource]:
    """The resources by key. Raises Refused for what is not understood."""
    found: dict[str, Resource] = {}
    for one in manifest:
        kind, name = str(one.get("kind")), str(one.get("name"))
        key, secret = f"{kind}:{name}", bool(one.get("secret"))
        if kind not in KINDS or not name or (kind in ("file", "artifact") and not _plain(name)):
            raise Refused("manifest", f"{key} is no resource of a Linux device")
        if key in found:
            raise Refused("manifest", f"{key} is there twice")
        if secret and key not in secrets:
            raise Refused("secret", f"the text of {key} was not given")
        text = secrets[key] if secret else str(one.get("text") or "")
        restarts = tuple(str(unit) for unit in one.get("restarts") or ())
        found[key] = Resource(kind, name, text, str(one.get("attributes") or ""), secret, restarts)
    return found


def _plain(path: str) -> bool:
    return path.startswith("/") and os.path.normpath(path) == path and path != "/"


def differences(state: State, wanted: Mapping[str, Resource]) -> list[Difference]:
    """What would change, in the manifest's order; what is not wanted any more last."""
    found = []
    for one in wanted.values():
        now = observed(state, one.key)
        if now is None:
            found.append(Difference("create", one.kind, one.name))
        elif now["digest"] != one.digest and not (one.kind == "package" and not one.text):
            found.append(Difference("change", one.kind, one.name))
    spares = _spares(state, wanted)
    for key in state.applied():
        kind, _, name = key.partition(":")
        if key in spares:
            continue
        # a package that nobody wants any more stays: removing it could take others along, which the link must replace
        if key not in wanted and kind != "package" and observed(state, key) is not None:
            found.append(Difference("remove", kind, name))
    return found


def apply(
    state: State, wanted: Mapping[str, Resource], artifacts: Mapping[str, str], within: float
) -> list[Difference]:
    """Brings the machine to the manifest, on probation. Raises Refused, and then nothing has changed."""
    transaction.recover(state)
    found = differences(state, wanted)
    if found and state.phase() == "active":  # the probation of something else ends here, as it would have by itself
        transaction.revert(state)
        found = differences(state, wanted)
    record = {**_record(wanted), **_spares(state, wanted)}
    if not found and record == state.applied():
        if state.phase() == "active":
            guard.arm(state, within)
        return []
    guard.install(state)
    _install(state, [d.name for d in found if d.kind == "package"], wanted, artifacts)
    sources = _sources(state, found, wanted, artifacts)
    files = [file_step(state, d.name, remove=d.action == "remove") for d in found if d.kind in ("file", "artifact")]
    transaction.perform(state, Change(files, _units(state, found, wanted)), sources, record, within)
    shutil.rmtree(_downloads(state), ignore_errors=True)
    return found


def new_key(state: State) -> None:
    """The tunnel's next key beside the present one, for the hub to learn; one that is there already stays."""
    path = state.at(NEXT_KEY)
    if path.exists():
        return
    status, text = services.run(["wg", "genkey"])
    if status:
        raise Refused("key", f"wg genkey: {text}")
    make_folders(path.parent)
    put(path, text.encode() + b"\n")


def rekey(state: State, within: float) -> None:
    """The next key of the tunnel in place of the present one, on probation. Raises Refused."""
    transaction.recover(state)
    fresh = state.at(NEXT_KEY)
    if not fresh.is_file():
        raise Refused("key", f"{NEXT_KEY} does not exist; make it with mode new_key, and let the hub learn it first")
    if state.phase() == "active":
        raise Refused("busy", "another change is on probation; confirm it or let it go back first")
    guard.install(state)
    files = [file_step(state, TUNNEL_KEY), file_step(state, NEXT_KEY, remove=True)]
    units = [UnitStep(TUNNEL, "", services.state(TUNNEL), restart=True)]
    sources = {TUNNEL_KEY: Source.of_file(fresh, "root:root 0600")}
    transaction.perform(state, Change(files, units), sources, state.applied(), within)


def _record(wanted: Mapping[str, Resource]) -> dict[str, dict[str, Any]]:
    return {
        one.key: {"digest": one.digest, "secret": one.secret, "restarts": list(one.restarts)} for one in wanted.values()
    }


def _spares(state: State, wanted: Mapping[str, Resource]) -> dict[str, dict[str, Any]]:
    """Records of artifacts that stay beside a wanted one of their folder: what was in use before it, to go back to."""
    applied = state.applied()
    folders = {_folder(one.key) for one in wanted.values() if one.kind == "artifact"}
    beside = {key: one for key, one in applied.items() if key not in wanted and _folder(key) in folders}
    newer = {_folder(key) for key, one in beside.items() if not one.get("spare")}
    return {
        key: {**one, "restarts": [], "spare": True}
        for key, one in beside.items()
        if not one.get("spare") or _folder(key) not in newer
    }


def _folder(key: str) -> str:
    """Of an artifact, with its kind: no other resource has the same."""
    return key.rpartition("/")[0]


def _units(state: State, found: Iterable[Difference], wanted: Mapping[str, Resource]) -> list[UnitStep]:
    """The units to bring to their state: those that differ, and those that watch something that does."""
    found, applied = list(found), state.applied()
    keys = {f"{d.kind}:{d.name}" for d in found}
    watching = {unit for key in keys if key in wanted for unit in wanted[key].restarts}
    watching |= {unit for key in keys - wanted.keys() for unit in applied[key]["restarts"]}
    steps = [
        UnitStep(d.name, None, services.state(d.name)) for d in found if (d.kind, d.action) == ("service", "remove")
    ]
    for one in wanted.values():
        if one.kind == "service" and (one.key in keys or one.name in watching):
            services.parsed(one.text, one.name)
            steps.append(UnitStep(one.name, one.text, services.state(one.name), one.name in watching))
    served = {step.unit for step in steps}
    steps += [UnitStep(unit, "", services.state(unit), True) for unit in sorted(watching - served)]
    return steps


def _downloads(state: State) -> Path:
    return state.folder / "downloads"


def _sources(
    state: State, found: Iterable[Difference], wanted: Mapping[str, Resource], artifacts: Mapping[str, str]
) -> dict[str, Source]:
    hub = fetch.hub(state.root, artifacts.get("url", ""), artifacts.get("ca", ""))
    sources = {}
    for d in found:
        one = wanted.get(f"{d.kind}:{d.name}")
        if one is not None and d.kind == "file":
            sources[d.name] = Source.of_bytes(one.text.encode(), one.attributes)
        elif one is not None and d.kind == "artifact":
            path = fetch.fetched(_downloads(state), hub, one.text)
            sources[d.name] = Source.of_file(path, one.attributes)
    return sources


def _install(state: State, names: Sequence[str], wanted: Mapping[str, Resource], artifacts: Mapping[str, str]) -> None:
    """Missing packages, from the sources that the manifest sets up, which are not in place yet. Packages stay when the
    rest fails: they change nothing that worked."""
    if not names:
        return
    with tempfile.TemporaryDirectory(dir=state.folder) as folder:
        place = Path(folder)
        try:
            options = _apt_options(place, wanted, fetch.hub(state.root, "", artifacts.get("ca", "")))
        except OSError as error:
            if full(error):
                raise Refused("disk_full", "no room on the disk") from error
            raise
        services.install({name: wanted[f"package:{name}"].text for name in names}, options)


def _apt_options(place: Path, wanted: Mapping[str, Resource], hub: fetch.Hub) -> list[str]:
    """apt's own configuration is used, with the manifest's files below /etc/apt instead of the machine's."""
    place.chmod(0o755)
    options = ["-o", f"Dir::Etc={place / 'apt'}", "-o", "APT::Sandbox::User=root"]  # who alone can read the key
    for folder in ("sources.list.d", "apt.conf.d", "preferences.d", "trusted.gpg.d"):
        (place / "apt" / folder).mkdir(parents=True)
    for one in wanted.values():
        if one.kind == "file" and one.name.startswith("/etc/apt/"):
            path = place / one.name[len("/etc/") :]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(one.text)
            options = ["-c", str(path), *options] if path.parent.name == "apt.conf.d" else options
    if hub.authority:
        (place / "ca.pem").write_text(hub.authority)
        options += ["-o", f"Acquire::https::CAInfo={place / 'ca.pem'}"]
    if hub.papers is not None:
        certificate, key = hub.papers
        options += ["-o", f"Acquire::https::SslCert={certificate}", "-o", f"Acquire::https::SslKey={key}"]
    return options
