"""Secrets: a type that never prints, and the inventory's ``secrets.yaml``, which must be ansible-vault's."""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from inventory.diagnostics import Diagnostic, Place
from nms.flatyaml import entries, unreadable
from nms.i18n import N_

HEADER = b"$ANSIBLE_VAULT;"
MAX_PASSWORD = 4096


class Secret:
    """Text that does not show in logs, tracebacks, formats, JSON or pickles. ``reveal`` is the only way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "<secret>"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not copied, pickled or sent")


def secrets(inventory: Path, password_file: Path) -> Mapping[str, Secret] | tuple[Diagnostic, ...]:
    """What ``secrets.yaml`` of an inventory holds, decrypted; empty without such a file; or why it cannot be used.

    The password is the whole of ``password_file`` without surrounding white space, as ansible-vault reads it; only its
    owner may have access to that file.
    """
    path = inventory / "secrets.yaml"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        return (unreadable(Place(str(path)), error.strerror or str(error)),)
    if not data.startswith(HEADER):
        message = N_("the secrets are not encrypted")
        fix = N_("run: ansible-vault encrypt {file}; what was readable is no secret any more: change it")
        return (Diagnostic("CFG008", Place(str(path)), message, fix, {"file": str(path)}),)
    password = _password(password_file)
    if isinstance(password, Diagnostic):
        return (password,)
    plain = _decrypt(data, password)
    if plain is None:
        message = N_("the secrets cannot be decrypted: wrong password, or the file is damaged")
        fix = N_("check it with: ansible-vault view --vault-password-file {password} {file}")
        names = {"file": str(path), "password": str(password_file)}
        return (Diagnostic("CFG009", Place(str(path)), message, fix, names),)
    found: list[Diagnostic] = []
    read = {entry.name: Secret(entry.text) for entry in entries(plain, str(path), found)}
    return tuple(found) if found else read


def _password(path: Path) -> bytes | Diagnostic:
    """The password, from a file that is ordinary, ours or root's, and closed to group and others."""
    fix = N_("let the file belong to this user, and run: chmod 600 {file}")
    fields = {"file": str(path)}
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        message = N_("the vault password cannot be read: {reason}")
        return Diagnostic("CFG007", Place(str(path)), message, fix, fields | {"reason": error.strerror or str(error)})
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077 or status.st_uid not in (0, os.geteuid()):
            return Diagnostic(
                "CFG007",
                Place(str(path)),
                N_("the vault password file is no ordinary file that only its owner can reach"),
                fix,
                fields,
            )
        password = os.read(handle, MAX_PASSWORD).strip()
    finally:
        os.close(handle)
    if not password:
        return Diagnostic("CFG007", Place(str(path)), N_("the vault password is empty"), N_("write it there"), fields)
    return password


def _decrypt(data: bytes, password: bytes) -> bytes | None:
    # Imported here: Ansible takes long to load, and few commands need a secret.
    from ansible.errors import AnsibleError  # type: ignore[import-untyped]
    from ansible.parsing.vault import VaultLib, VaultSecret  # type: ignore[import-untyped]

    try:
        return bytes(VaultLib([("default", VaultSecret(password))]).decrypt(data))
    except (AnsibleError, ValueError):
        return None
