"""The tree that every lab host is an overlay on: Debian as a device's factory would leave it, made once per recipe.

It is kept in ``$XDG_CACHE_HOME/loa/lab-<digest of the recipe>`` (root's cache, outside the checkout) and never written
to again. Packages come from where this machine gets its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SUITE: Final = "bookworm"
PACKAGES: Final = (
    "systemd,systemd-sysv,systemd-timesyncd,dbus,openssh-server,sudo,snmpd,iproute2,iputils-ping,nftables,procps,"
    "wireguard-tools,wireguard-go,openssl,ca-certificates,frr,"
    "python3,python3-venv,python3-cryptography,python3-av,python3-paho-mqtt"
)
_OPTIONS: Final = (
    "--mode=root",
    '--aptopt=Acquire::Languages "none"',
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
)
_SETUP: Final = Path(__file__).with_name("setup_image.sh")
_SETUP_MACHINE: Final = Path(__file__).with_name("setup_machine.sh")
_SETUP_HUB: Final = Path(__file__).with_name("setup_hub.sh")
_CLEAN: Final = Path(__file__).with_name("clean_image.sh")
_APT: Final = Path("/etc/apt")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What makes one tree: ``packages`` in a bare Debian, or in the tree of ``base``.

    The script ``first`` is run before they are installed.
    """

    packages: str
    first: Path | None = None
    base: Recipe | None = None

    def text(self) -> str:
        scripts = [script.read_text() for script in (_SETUP, _CLEAN, self.first) if script is not None]
        base = "" if self.base is None else self.base.text()
        return "\n".join([SUITE, self.packages, *_OPTIONS, *scripts, base])


DEVICE: Final = Recipe(PACKAGES)
"""A device from its factory."""
HUB: Final = Recipe(
    "chrony,python3-apt,postgresql,mosquitto,prometheus,prometheus-alertmanager,nginx-light,apt-utils,gnupg,"
    "ffmpeg,espeak-ng,rsync",
    _SETUP_HUB,
    DEVICE,
)
"""What the hub's playbook asks for, so that it needs no index."""
MACHINE: Final = Recipe(f"{PACKAGES},linux-image-amd64,initramfs-tools,kmod,udev,libasound2,alsa-utils", _SETUP_MACHINE)
"""A device with a kernel of its own, and a sound card in it whose other end can be recorded."""


class Unavailable(Exception):
    """Why there can be no lab on this machine, in words for the person who asked for one."""


def image(recipe: Recipe = DEVICE) -> Path:
    """The finished tree, built first if this recipe never was. Raises Unavailable."""
    place = _cache() / f"lab-{hashlib.sha256(recipe.text().encode()).hexdigest()[:12]}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with _locked(place.with_suffix(".lock")):
        if not place.exists():
            _build(place, recipe)
    return place


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "loa"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One builder at a time; the lock goes with the process that holds it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(place: Path, recipe: Recipe) -> None:
    partial = place.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    if recipe.base is None:
        made = ["--variant=minbase", _hook("customize", _SETUP)]
        first = "essential"
    else:
        made = ["--variant=custom", f'--setup-hook=cp -a {shlex.quote(str(image(recipe.base)))}/. "$1"']
        first = "setup"
    if recipe.first is not None:
        made.append(_hook(first, recipe.first))
    made.append(_hook("customize", _CLEAN))
    command = ["mmdebstrap", *_OPTIONS, *made, f"--include={recipe.packages}", SUITE, str(partial), *_sources()]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        tail = done.stderr.decode(errors="replace").strip().splitlines()[-3:]
        raise Unavailable("mmdebstrap could not make the lab's image: " + " / ".join(tail))
    partial.rename(place)


def _hook(moment: str, script: Path) -> str:
    return f'--{moment}-hook=sh {shlex.quote(str(script))} "$1"'


def _sources() -> list[str]:
    """The files in which this machine names Debian's own archives for the suite."""
    files = [_APT / "sources.list", *sorted((_APT / "sources.list.d").glob("*"))]
    found = [str(f) for f in files if f.suffix in {".list", ".sources"} and f.is_file() and _offers(f.read_text())]
    if not found:
        raise Unavailable(f"apt on this machine knows no archive of Debian {SUITE}")
    return found


def _offers(text: str) -> bool:
    """Whether the sources are Debian's: the plain suite and the component ``main``."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return all(re.search(rf"(?:^|\s){word}(?:\s|$)", lines) for word in (SUITE, "main"))
