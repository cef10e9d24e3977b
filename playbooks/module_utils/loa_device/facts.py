"""What a device says of itself."""

from __future__ import annotations

import platform
import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import guard, services
from .disk import digest, seen
from .journal import State

RECEIVER = "artifact:/opt/loa/receiver/"
TUNNEL_KEY = "/etc/wireguard/loa.key"
NEXT_KEY = "/etc/wireguard/loa.key.next"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"


def observed(state: State, key: str, *, secret: bool = False) -> dict[str, str] | None:
    """A resource as it is: ``digest`` and perhaps ``text``; None if it does not exist. ValueError: no such kind."""
    kind, _, name = key.partition(":")
    if kind in ("file", "artifact"):
        found = seen(state.at(name), hashed=kind == "artifact")
        if found is None:
            return None
        told = {} if secret or found.text is None else {"text": found.text}
        return {"digest": found.digest, "attributes": found.attributes, **told}
    if kind == "service":
        text = services.state(name)
    elif kind == "package":
        text = services.version(name)
    else:
        raise ValueError(key)
    return None if text is None else {"digest": digest(text.encode()), "text": text}


def facts(state: State, keys: Iterable[str]) -> dict[str, Any]:
    """``found``, ``applied`` and ``host``, as the module documents them."""
    applied = {key: one for key, one in state.applied().items() if not one.get("spare")}
    found = {}
    for key in {**dict.fromkeys(keys), **dict.fromkeys(applied)}:
        one = observed(state, key, secret=bool(applied.get(key, {}).get("secret")))
        if one is not None:
            found[key] = one
    return {"found": found, "applied": {k: v["digest"] for k, v in applied.items()}, "host": host(state, applied)}


def host(state: State, applied: Iterable[str] = ()) -> dict[str, str]:
    """What is not known is absent."""
    programs = [key.partition(":")[2] for key in applied if key.startswith(RECEIVER)]
    told = {
        "model": _text(state.at("/proc/device-tree/model")) or _text(state.at("/sys/class/dmi/id/product_name")),
        "serial": _text(state.at("/proc/device-tree/serial-number"))
        or _text(state.at("/sys/class/dmi/id/product_serial")),
        "os": _os(state),
        "arch": platform.machine(),
        "python": platform.python_version(),
        "receiver": _receiver(state.at(programs[0])) if programs else "",
        "wireguard": _public(state.at(TUNNEL_KEY)),
        "wireguard_next": _public(state.at(NEXT_KEY)),
        "ssh_host_key": " ".join(_text(state.at(HOST_KEY)).split()[:2]),
        "free_disk": str(shutil.disk_usage(state.root).free),
        "hostname": platform.node(),
        "boot_id": guard.boot_id(),
    }
    return {name: text for name, text in told.items() if text}


def _text(path: Path) -> str:
    """A small file's text without the zero that device trees end in; empty if it cannot be read."""
    try:
        return path.read_bytes().rstrip(b"\0").decode(errors="replace").strip()
    except OSError:
        return ""


def _os(state: State) -> str:
    lines = _text(state.at("/etc/os-release")).splitlines()
    named = dict(line.split("=", 1) for line in lines if "=" in line)
    return named.get("PRETTY_NAME", "").strip('"')


def _receiver(wheel: Path) -> str:
    """The version in the wheel's metadata, ``+``, and its file's name: as the receiver itself tells it."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            lines = archive.read(metadata).decode(errors="replace").splitlines()
    except (OSError, zipfile.BadZipFile, StopIteration):
        return ""
    version = next((line.partition(":")[2].strip() for line in lines if line.startswith("Version:")), "")
    return f"{version}+{wheel.stem}" if version else ""


def _public(key: Path) -> str:
    """The public half of a tunnel's key; the private one goes through a pipe, where no process list shows it."""
    private = _text(key)
    if not private:
        return ""
    status, text = services.run(["wg", "pubkey"], text=private + "\n")
    return text if status == 0 else ""
