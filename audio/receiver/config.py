"""The receiver's settings: one TOML file, checked whole before anything starts.

======== ==================================================================================
device   the device's inventory id, as in its policy
broker   ``host:port`` of the MQTT broker
content  base URL of the content server; a sound is at ``<content>/content/<sha256>``
state    folder of everything that must survive a restart
root     the root's public key (base64 of 32 bytes), pinned at enrolment
policy   file with the root-signed policy, pinned at enrolment
output   ``alsa:DEVICE`` (a sound card, as ``aplay -L`` names it), ``file:PATH`` or ``null``
cache_mb optional: MB that sounds may take, see ``cache``; 512 if it is not given
clock    optional, with file output only: ``<instant>@<Unix seconds>``, see ``clock_shift``
ca, certificate, key
         PEM files from enrolment, all or none: whom to take for the hub, and who this device is.
         Without them broker and content server must be on this machine.
======== ==================================================================================

Relative paths are relative to the file's own folder.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from audio.receiver.cache import QUOTA_MB
from audio.receiver.identity import Files

REQUIRED = ("device", "broker", "content", "state", "root", "policy", "output")
PAPERS = ("ca", "certificate", "key")
OPTIONAL = ("cache_mb", "clock", *PAPERS)


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the settings, with what to do about it."""

    file: str
    key: str
    fix: str

    def __str__(self) -> str:
        return f"error: {self.file}: {self.key}: {self.fix}"


@dataclass(frozen=True, slots=True)
class Config:
    """Sound goes to the ALSA device ``card`` or the file ``output``; without either it is discarded (paced all the
    same). ``shift`` (ms) is added to the system's clock.

    Without ``papers`` nothing leaves this machine.
    """

    device: str
    host: str
    port: int
    content: str
    state: Path
    root: bytes
    policy: Path
    output: Path | None
    card: str = ""
    shift: int | None = None
    papers: Files | None = None
    cache_mb: int = QUOTA_MB


def load(path: Path) -> Config | tuple[Problem, ...]:
    """The settings in ``path``, or everything that is wrong with them."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        return (Problem(str(path), "file", f"cannot be read ({error.strerror}); give an existing file"),)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return (Problem(str(path), "file", f"is not TOML: {error}"),)
    problems = [Problem(str(path), key, text) for key, text in _problems(raw, path.parent)]
    return tuple(problems) or _config(raw, path.parent)


def clock_shift(text: str) -> int:
    """Milliseconds to add to the system's clock so that it shows the instant before ``@`` at the Unix time after it.

    Raises ValueError for anything else than ``2024-10-01T16:59:30+07:00@1795000000.0``.
    """
    shown, _, wall = text.partition("@")
    instant = datetime.fromisoformat(shown)
    if instant.tzinfo is None:
        raise ValueError("no time zone")
    return round((instant.timestamp() - float(wall)) * 1000)


def _config(raw: dict[str, Any], folder: Path) -> Config:
    host, port = _broker(raw["broker"])
    kind, _, given = raw["output"].partition(":")
    papers = Files(*(folder / raw[key] for key in PAPERS)) if "ca" in raw else None
    return Config(
        device=raw["device"],
        host=host,
        port=port,
        content=raw["content"].rstrip("/"),
        state=folder / raw["state"],
        root=base64.b64decode(raw["root"]),
        policy=folder / raw["policy"],
        output=folder / given if kind == "file" else None,
        card=given if kind == "alsa" else "",
        shift=clock_shift(raw["clock"]) if "clock" in raw else None,
        papers=papers,
        cache_mb=raw.get("cache_mb", QUOTA_MB),
    )


def _problems(raw: dict[str, Any], folder: Path) -> list[tuple[str, str]]:
    found = [(key, f"is missing; add {key} = {EXAMPLES[key]}") for key in REQUIRED if key not in raw]
    for key, value in raw.items():
        if key not in REQUIRED + OPTIONAL:
            found.append((key, f"is not a setting; the settings are {', '.join(REQUIRED + OPTIONAL)}"))
        elif not CHECKS[key](value) if isinstance(value, str) else key != "cache_mb" or not _is_size(value):
            found.append((key, f"must be like {EXAMPLES[key]}"))
    if isinstance(raw.get("policy"), str) and not (folder / raw["policy"]).is_file():
        found.append(("policy", "no such file; copy the policy frame there that enrolment made"))
    if "clock" in raw and not str(raw.get("output", "")).startswith("file:"):
        found.append(("clock", 'a shifted clock is for file output only; remove it, or set output = "file:PATH"'))
    if not found:
        found = [*_missing_papers(raw, folder), *_exposed(raw)]
    return found


def _missing_papers(raw: dict[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    given = [key for key in PAPERS if key in raw]
    for key in PAPERS if given else ():
        if key not in raw:
            yield key, f"is missing; {', '.join(PAPERS)} belong together"
        elif not (folder / raw[key]).is_file():
            yield key, "no such file; copy the file there that enrolment made"


def _exposed(raw: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What would go over the network unprotected."""
    url, secured = urlsplit(raw["content"]), "ca" in raw
    if not secured and not _here(_broker(raw["broker"])[0]):
        yield "broker", "is not on this machine; that needs ca, certificate and key, which enrolment makes"
    if url.scheme == "https" and not secured:
        yield "content", "https needs ca, certificate and key, which enrolment makes"
    if url.scheme == "http" and (secured or not _here(url.hostname or "")):
        yield "content", "goes over the network unprotected; write https://, with ca, certificate and key"


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _broker(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _is_broker(text: str) -> bool:
    match = re.fullmatch(r"\S+:(\d{1,5})", text)
    return match is not None and 0 < int(match[1]) < 65536


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 32
    except binascii.Error:
        return False


def _is_size(value: object) -> bool:
    return type(value) is int and 16 <= value <= 1_000_000


def _is_clock(text: str) -> bool:
    try:
        clock_shift(text)
    except (ValueError, OverflowError):
        return False
    return True


CHECKS: dict[str, Callable[[str], object]] = {
    "device": re.compile(r"[A-Za-z0-9-]{1,64}").fullmatch,
    "broker": _is_broker,
    "content": re.compile(r"https?://[^/\s]+(/\S*)?").fullmatch,
    "state": bool,
    "root": _is_key,
    "policy": bool,
    "output": re.compile(r"null|file:.+|alsa:\S.*").fullmatch,
    "cache_mb": _is_size,
    "clock": _is_clock,
    "ca": bool,
    "certificate": bool,
    "key": bool,
}
EXAMPLES = {
    "device": '"23557-L01"',
    "broker": '"127.0.0.1:1883"',
    "content": '"http://127.0.0.1:8080"',
    "state": '"/var/lib/loa-receiver"',
    "root": '"<base64 of 32 bytes>"',
    "policy": '"/etc/loa-receiver/policy.frame"',
    "output": '"alsa:default", "file:PATH" or "null"',
    "cache_mb": "512",
    "clock": '"2024-10-01T16:59:30+07:00@1795000000.0"',
    "ca": '"/etc/loa-receiver/ca.pem"',
    "certificate": '"/etc/loa-receiver/device.pem"',
    "key": '"/etc/loa-receiver/device.key"',
}
