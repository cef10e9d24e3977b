"""The one place that talks to a modem: netmiko over SSH, one session for one device at a time.

Host keys are pinned, logs of a session are never written (netmiko's own debug log would hold what is sent, secrets
too), and text that arrives in pieces stays whole.
"""

from __future__ import annotations

import codecs
import logging
import re
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import paramiko  # type: ignore[import-untyped]
from netmiko import BaseConnection, ConnectHandler
from netmiko.channel import SSHChannel
from netmiko.exceptions import (
    NetmikoAuthenticationException,
    NetmikoTimeoutException,
    ReadException,
    ReadTimeout,
    WriteException,
)

from inventory.model import DeviceId
from nms.provision.drivers.faults import (
    BROKEN,
    NO_KEY,
    NO_LOGIN,
    OTHER_KEY,
    REFUSED,
    UNREACHABLE,
    Failed,
    failed,
)
from nms.provision.drivers.language import Words
from nms.provision.reach import Target
from nms.vault import Secret

_BEGIN: Final = "loa-begin"
_READY: Final = "loa-ready"
_END: Final = r"loa-end \d"
_TAKE: Final = r"""printf 'loa-%s\n' ready; eval "$(cat)"; printf 'loa-%s %s\n' end $?"""
"""The script is read to its end before it runs, and is in no process's arguments. What is typed here does not hold the
marks that are waited for."""

_SHOWN: Final = 200
"""Characters of an answer that a message quotes."""


@dataclass(frozen=True, slots=True)
class Access:
    """How the hub logs in: with its own private ``key``, else with the device's ``password`` from the vault.

    ``timeout``: seconds that a device has to accept the connection, and for each answer.
    """

    key: Path | None
    password: Callable[[DeviceId], Secret | None]
    port: int = 22
    timeout: float = 30.0


class _Metered(socket.socket):
    """Counts what crosses the wire."""

    sent = 0
    received = 0

    def send(self, data: Any, flags: int = 0, /) -> int:
        count = super().send(data, flags)
        self.sent += count
        return count

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        data = super().recv(size, flags)
        self.received += len(data)
        return data


class _Utf8(SSHChannel):
    """netmiko's channel drops characters that arrive in two pieces; this one waits for the second."""

    def __init__(self, conn: paramiko.Channel | None) -> None:
        super().__init__(conn, "utf-8")
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read_buffer(self) -> str:
        conn = self.remote_conn
        if conn is None or not (conn.recv_ready() or conn.closed or conn.eof_received):
            return ""
        data = conn.recv(65536)
        if not data:
            raise ReadException("closed by the device")
        return self._decoder.decode(data)


class Session:
    """An open session. ``sent`` and ``received`` are bytes on the wire so far."""

    def __init__(self, connection: BaseConnection, wire: _Metered, words: Words, device: DeviceId, wait: float) -> None:
        self._connection = connection
        self._wire = wire
        self._words = words
        self._device = device
        self._wait = wait

    @property
    def traffic(self) -> tuple[int, int]:
        return self._wire.sent, self._wire.received

    def run(self, commands: Sequence[str]) -> str:
        """What the commands print. The first that is refused is the last. Raises Failed: refused, broken."""
        try:
            return self._script(commands) if self._words.takes_scripts else self._one_by_one(commands)
        except (ReadException, WriteException, ReadTimeout, OSError, paramiko.SSHException, EOFError) as error:
            raise failed(BROKEN, device=self._device, reason=_reason(error)) from None

    def _script(self, commands: Sequence[str]) -> str:
        connection = self._connection
        connection.write_channel(_TAKE + connection.RETURN)
        connection.read_until_pattern(_READY, read_timeout=self._wait)
        body = "\n".join(("(set -e", r"printf 'loa-%s\n' begin", *commands, ")"))
        connection.write_channel(f"{body}\n\x04")
        answer = connection.read_until_pattern(_END, read_timeout=self._wait).replace("\r", "")
        output, _, code = answer.rpartition(f"{_BEGIN}\n")[2].rpartition("loa-end ")
        if code != "0":
            raise self._refused(output)
        return output

    def _one_by_one(self, commands: Sequence[str]) -> str:
        printed = []
        for command in commands:
            self._connection.read_channel()
            answer = str(
                self._connection.send_command(
                    command, expect_string=self._words.prompt, read_timeout=self._wait, cmd_verify=False
                )
            ).replace("\r", "")
            refusal = re.search(self._words.refusal, answer)
            if refusal is not None:
                raise self._refused(refusal[0])
            printed.append(answer)
        return "\n".join(printed)

    def _refused(self, output: str) -> Failed:
        reply = " ".join(output.split())[-_SHOWN:]
        return failed(REFUSED, device=self._device, reply=reply)


@contextmanager
def opened(target: Target, words: Words, access: Access) -> Iterator[Session]:
    """A session with the device at the target's address, if it is that device. Raises Failed."""
    device = target.device
    if not target.host_key:
        raise failed(NO_KEY, device=device)
    for noisy in ("netmiko", "paramiko"):  # results say what happened; their debug logs would hold secrets
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    try:
        plain = socket.create_connection((target.address, access.port), access.timeout)
    except OSError as error:
        raise failed(UNREACHABLE, device=device, reason=_reason(error)) from None
    wire = _Metered(plain.family, plain.type, plain.proto, plain.detach())
    wire.settimeout(access.timeout)
    with wire:
        connection = _connect(target, words, access, wire)
        try:
            yield Session(connection, wire, words, device, access.timeout)
        finally:
            _hang_up(connection)


def _connect(target: Target, words: Words, access: Access, wire: socket.socket) -> BaseConnection:
    """Log in and find the prompt. Raises Failed."""
    device = target.device
    password = access.password(device)
    with tempfile.NamedTemporaryFile("w", prefix="loa-host-key-", encoding="ascii") as known:
        name = target.address if access.port == 22 else f"[{target.address}]:{access.port}"
        known.write(f"{name} {target.host_key}\n")
        known.flush()
        try:
            connection = ConnectHandler(
                device_type=words.device_type,
                host=target.address,
                port=access.port,
                sock=wire,
                username=target.user,
                password=password.reveal() if password is not None else "",
                use_keys=access.key is not None,
                key_file=str(access.key) if access.key is not None else None,
                allow_agent=False,
                ssh_strict=True,
                alt_host_keys=True,
                alt_key_file=known.name,
                conn_timeout=access.timeout,
                auth_timeout=access.timeout,
                banner_timeout=access.timeout,
                read_timeout_override=access.timeout,
                auto_connect=False,
            )
            connection._modify_connection_params()
            connection.establish_connection()
            connection.channel = _Utf8(connection.remote_conn)
            connection._try_session_preparation()
        except NetmikoAuthenticationException:
            raise failed(NO_LOGIN, device=device) from None
        except (NetmikoTimeoutException, paramiko.SSHException) as error:
            raise _unconnected(device, error) from None
        except (ReadException, ReadTimeout, WriteException, ValueError, OSError, EOFError) as error:
            raise failed(BROKEN, device=device, reason=_reason(error)) from None
    return connection


def _unconnected(device: DeviceId, error: Exception) -> Failed:
    """netmiko calls everything a timeout; what it was stands behind."""
    cause = error.__context__ or error
    if isinstance(cause, paramiko.BadHostKeyException) or "known_hosts" in str(cause):
        return failed(OTHER_KEY, device=device)
    return failed(UNREACHABLE, device=device, reason=_reason(cause))


def _hang_up(connection: BaseConnection) -> None:
    """Without good-byes: a device whose link was cut does not hear them."""
    client: Any = connection.remote_conn_pre
    if client is not None:
        client.close()


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or next(iter(str(error).strip().splitlines()), "")
    return text or type(error).__name__
