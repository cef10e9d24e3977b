"""A device on the bench that nobody knows yet: its host key is looked at first, and pinned from then on.

What runs on it goes through its standard input, so that nothing is in a process list. Threads of their own, because
paramiko blocks.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import paramiko  # type: ignore[import-untyped]

from inventory.model import DeviceId
from nms.provision.drivers.faults import Failed
from nms.provision.drivers.provisioner import DRIVERS
from nms.provision.drivers.session import Access, opened
from nms.provision.enrol_faults import Stopped, stopped
from nms.provision.reach import Target
from nms.provision.values import Family, Manifest
from nms.vault import Secret

MOST: Final = 64 * 1024
"""Bytes of an answer."""
PREFERRED: Final = "ssh-ed25519"
_WORDS: Final = 300
_FINGERPRINT: Final = re.compile(r"SHA256:[A-Za-z0-9+/]{43}").fullmatch
_ADMIT: Final = """\
set -eu
umask 077
file=%s
mkdir -p "${file%%/*}"
grep -qxF '%s' "$file" 2>/dev/null || printf '%%s\\n' '%s' >>"$file"
sync
"""
_ACCEPTED: Final = {Family.LINUX: '"$HOME/.ssh/authorized_keys"', Family.UCI: "/etc/dropbear/authorized_keys"}
"""Where a family keeps the keys that it lets in."""


@dataclass(frozen=True, slots=True)
class HostKey:
    """What an SSH server shows of itself: ``line`` is ``ssh-ed25519 AAAA...``, as in the inventory."""

    line: str

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` prints it: ``SHA256:...``."""
        return fingerprint_of(self.line)


def fingerprint_of(line: str) -> str:
    """Of a public key's line. Raises ValueError if it is none."""
    blob = base64.b64decode(line.split()[1], validate=True) if len(line.split()) > 1 else b""
    if not blob:
        raise ValueError(line)
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def is_fingerprint(text: str) -> bool:
    return _FINGERPRINT(text) is not None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a device on the bench is, and as whom one logs in; ``host_key`` as it was looked at."""

    device: DeviceId
    family: Family
    address: str
    user: str
    host_key: str


class Door(Protocol):
    """How the hub gets at a device that it does not know yet. Everything raises Stopped."""

    async def look(self, address: str) -> HostKey:
        """The host key that is shown there; nobody logs in."""

    async def admit(self, place: Place, password: Secret) -> None:
        """Has the hub's own key accepted from now on, by the factory's password."""

    async def run(self, place: Place, script: str) -> str:
        """What a script for ``sh`` prints, with the hub's key."""


@dataclass(frozen=True, slots=True)
class SshDoor:
    """``key``: the hub's private key, its public half beside it; ``timeout`` in seconds for each step."""

    key: Path
    port: int = 22
    timeout: float = 30.0

    async def look(self, address: str) -> HostKey:
        return await asyncio.to_thread(self._look, address)

    async def admit(self, place: Place, password: Secret) -> None:
        public = self.key.with_suffix(".pub").read_text().strip()
        script = _ADMIT % (_ACCEPTED[place.family], public, public)
        await asyncio.to_thread(self._told, place, script, password)

    async def run(self, place: Place, script: str) -> str:
        return await asyncio.to_thread(self._told, place, script, None)

    # -- in a thread

    def _look(self, address: str) -> HostKey:
        with self._greeted(address, "") as transport:
            key = transport.get_remote_server_key()
            return HostKey(f"{key.get_name()} {key.get_base64()}")

    def _told(self, place: Place, script: str, password: Secret | None) -> str:
        return (
            self._console(place, script, password) if place.family is Family.UCI else self._run(place, script, password)
        )

    def _console(self, place: Place, script: str, password: Secret | None) -> str:
        """On a modem's own console, as its driver talks to it."""
        target = Target(
            place.device, place.address, place.user, place.host_key, Manifest(place.device, place.family, {})
        )
        access = Access(None if password else self.key, lambda _: password, self.port, self.timeout)
        try:
            with opened(target, DRIVERS[place.family].words, access) as session:
                return session.run(script.splitlines())
        except Failed as failure:
            raise Stopped(failure.diagnostic) from None

    def _run(self, place: Place, script: str, password: Secret | None) -> str:
        with self._greeted(place.address, place.host_key.split()[0]) as transport:
            key = transport.get_remote_server_key()
            shown = HostKey(f"{key.get_name()} {key.get_base64()}")
            if shown.line != place.host_key:
                given = fingerprint_of(place.host_key)
                raise stopped("PLN600", address=place.address, shown=shown.fingerprint, given=given)
            try:
                if password is not None:
                    transport.auth_password(place.user, password.reveal())
                else:
                    transport.auth_publickey(place.user, paramiko.Ed25519Key.from_private_key_file(str(self.key)))
            except paramiko.AuthenticationException as error:
                raise stopped("PLN606", address=place.address, user=place.user, reason=_reason(error)) from None
            return self._said(transport, place.address, script)

    def _said(self, transport: paramiko.Transport, address: str, script: str) -> str:
        channel = transport.open_session(timeout=self.timeout)
        channel.settimeout(self.timeout)
        channel.exec_command("sh -s")
        channel.sendall(script.encode())
        channel.shutdown_write()
        out: str = channel.makefile("rb").read(MOST).decode(errors="replace")
        error = channel.makefile_stderr("rb").read(MOST).decode(errors="replace")
        if channel.recv_exit_status() != 0:
            raise stopped("PLN609", address=address, reason=clean(error or out) or "sh")
        return out

    @contextmanager
    def _greeted(self, address: str, kind: str) -> Iterator[paramiko.Transport]:
        """A connection on which keys are exchanged; of the kind that is pinned, else of the kind preferred."""
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # what happened is said; its own log would tell more
        try:
            with socket.create_connection((address, self.port), self.timeout) as wire:
                transport = paramiko.Transport(wire)
                transport.banner_timeout = transport.auth_timeout = self.timeout
                options, first = transport.get_security_options(), _algorithms(kind or PREFERRED)
                options.key_types = sorted(options.key_types, key=lambda name: name not in first)
                try:
                    transport.start_client(timeout=self.timeout)
                    yield transport
                finally:
                    transport.close()
        except Stopped:
            raise
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise stopped("PLN607", address=address, reason=_reason(error)) from None


def _algorithms(kind: str) -> tuple[str, ...]:
    """The signatures that a key of this kind makes (RFC 8332)."""
    return ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa") if kind == "ssh-rsa" else (kind,)


def _reason(error: BaseException) -> str:
    return clean(getattr(error, "strerror", None) or str(error)) or type(error).__name__


def clean(text: str) -> str:
    """One line of a stranger's words, which go to a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_WORDS]
