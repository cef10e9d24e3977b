"""Files that are the old or the new one whenever the power fails, and what a file is to a manifest."""

from __future__ import annotations

import errno
import grp
import hashlib
import io
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

LONGEST = 64 * 1024
"""Bytes of a text that is told; a longer one has a digest only."""
NEW, OLD = ".loa-new", ".loa-old"
BLOCK = 1 << 16


class Refused(Exception):
    """Why something was not done: ``reason`` is one of the module's documented words."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True)
class Seen:
    """A file as it is. ``attributes`` are ``owner:group mode``, or ``symlink`` or ``folder`` where no file is.

    ``text`` is None where it may not be told: not readable by everybody, not UTF-8, too long.
    """

    digest: str
    attributes: str
    text: str | None = None
    content: str = ""


def digest(data: bytes, attributes: str = "") -> str:
    """``nms.provision.values.digest_of``, for bytes."""
    return hashlib.sha256(attributes.encode() + b"\n" + data).hexdigest()


def seen(path: Path, *, hashed: bool = False) -> Seen | None:
    """What is at ``path``; None if nothing. ``hashed``: its text counts as the SHA-256 of its content (``content``)."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(found.st_mode):
        link = stat.S_ISLNK(found.st_mode)
        data, attributes = (os.fsencode(str(path.readlink())), "symlink") if link else (b"", "folder")
        return Seen(digest(data, attributes), attributes)
    attributes = attributes_of(found)
    if hashed:
        content = sha256(path)
        return Seen(digest(content.encode(), attributes), attributes, content, content)
    data = path.read_bytes()
    return Seen(digest(data, attributes), attributes, _told(data, found.st_mode))


def _told(data: bytes, mode: int) -> str | None:
    if not mode & stat.S_IROTH or len(data) > LONGEST:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def sha256(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            found.update(block)
    return found.hexdigest()


def attributes_of(found: os.stat_result) -> str:
    """``owner:group mode``, by number where nobody has the name."""
    try:
        owner = pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        owner = str(found.st_uid)
    try:
        group = grp.getgrgid(found.st_gid).gr_name
    except KeyError:
        group = str(found.st_gid)
    return f"{owner}:{group} {stat.S_IMODE(found.st_mode):04o}"


def resolved(attributes: str) -> tuple[int, int, int]:
    """User id, group id and mode of ``owner:group mode``. Raises Refused."""
    try:
        names, mode = attributes.split()
        owner, group = names.split(":")
        bits = int(mode, 8)
    except ValueError:
        raise Refused("manifest", f"{attributes!r} is not like 'root:root 0644'") from None
    try:
        uid = int(owner) if owner.isdigit() else pwd.getpwnam(owner).pw_uid
        return uid, int(group) if group.isdigit() else grp.getgrnam(group).gr_gid, bits
    except KeyError as error:
        raise Refused("owner", f"{attributes!r}: {error.args[0]}") from None


def new_of(path: Path) -> Path:
    """Where the next content of ``path`` lies until it takes its place: the same folder, so that renaming suffices."""
    return path.with_name(f".{path.name}{NEW}")


def old_of(path: Path) -> Path:
    return path.with_name(f".{path.name}{OLD}")


def stage(path: Path, source: BinaryIO, owner: tuple[int, int, int]) -> None:
    """A new file at ``path``, on the disk when this returns (its folder's entry: ``sync_folder``)."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        for block in iter(lambda: source.read(BLOCK), b""):
            _write_all(handle, block)
        if (os.geteuid(), os.getegid()) != owner[:2]:
            os.fchown(handle, owner[0], owner[1])
        os.fchmod(handle, owner[2])
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def sync_folder(folder: Path) -> None:
    """Makes what was created, renamed or removed in ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def put(path: Path, data: bytes, mode: int = 0o600) -> None:
    """``path`` holds ``data``, durably; before that moment it holds what it held."""
    part = new_of(path)
    stage(part, io.BytesIO(data), (os.geteuid(), os.getegid(), mode))
    part.replace(path)
    sync_folder(path.parent)


def make_folders(folder: Path) -> list[Path]:
    """Makes ``folder`` and what is missing above it, durably; the new ones, outermost first."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(mode=0o755)
        sync_folder(one.parent)
    return missing[::-1]


def full(error: OSError) -> bool:
    """Whether the disk has no room; a full quota or too few inodes are no different to its owner."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
