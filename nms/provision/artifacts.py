"""What devices install besides Debian's packages: files of the hub's, named by the SHA-256 of their bytes.

    <folder>/index.json        name -> sha256, version, size, file
    <folder>/<sha256>          the bytes

A file never changes; adding a newer one under a name moves the name. Old files stay until ``sweep``, because a device
that went back asks for them no more, but one in the middle of a download does.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

RECEIVER: Final = "receiver"
"""The receiver's program: its wheel, which a device's Python runs from as it is; its libraries are Debian's."""
RECEIVER_PATH: Final = "/opt/loa/receiver/"
"""Where devices keep its versions, each in a file named by the first digits of its SHA-256."""
PREFIX: Final = "/artifact/"
"""Devices fetch ``<content>/artifact/<sha256>``."""

_INDEX: Final = "index.json"
_SHA: Final = re.compile(r"[0-9a-f]{64}").fullmatch
_METADATA: Final = re.compile(r"loa_receiver-[^/]+\.dist-info/METADATA").fullmatch


@dataclass(frozen=True, slots=True)
class Artifact:
    """``size`` in bytes; ``file``: the name it was added under, for people."""

    name: str
    sha256: str
    version: str
    size: int
    file: str


class ArtifactStore:
    """A folder of artifacts; several processes may read while one adds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> Mapping[str, Artifact]:
        """By name. Raises OSError, and ValueError where the index is damaged."""
        try:
            kept = json.loads((self._folder / _INDEX).read_bytes())
        except FileNotFoundError:
            return {}
        try:
            return {name: Artifact(**one) for name, one in kept.items()}
        except (AttributeError, TypeError) as error:
            raise ValueError(f"{self._folder / _INDEX} is damaged") from error

    def digests(self) -> Mapping[str, str]:
        """SHA-256 by name, as manifests need it."""
        return {name: one.sha256 for name, one in self.all().items()}

    def add(self, name: str, data: bytes, version: str, file: str) -> Artifact:
        """The newest artifact of that name, durable; adding the same bytes again changes nothing. Raises OSError."""
        made = Artifact(name, hashlib.sha256(data).hexdigest(), version, len(data), file)
        known = self.all()
        if known.get(name) == made and (self._folder / made.sha256).is_file():
            return made
        self._folder.mkdir(parents=True, exist_ok=True)
        _write(self._folder / made.sha256, data)
        index = {**known, name: made}
        _write(self._folder / _INDEX, json.dumps({n: asdict(one) for n, one in sorted(index.items())}).encode())
        return made

    def path(self, sha256: str) -> Path | None:
        """The file with these bytes; None for what is none of ours."""
        path = self._folder / sha256
        return path if _SHA(sha256) and path.is_file() else None

    def sweep(self, keep: Iterable[str]) -> int:
        """Removes what is neither named nor in ``keep`` (SHA-256); how many files went. Raises OSError."""
        wanted = {*keep, *self.digests().values()}
        old = [path for path in self._folder.iterdir() if _SHA(path.name) and path.name not in wanted]
        for path in old:
            path.unlink()
        return len(old)


def receiver(wheel: bytes) -> str:
    """The version of the artifact ``RECEIVER``. Raises ValueError for what is no receiver's wheel."""
    try:
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
            found = [name for name in archive.namelist() if _METADATA(name)]
            lines = archive.read(found[0]).decode().splitlines() if found else []
    except (zipfile.BadZipFile, UnicodeDecodeError):
        raise ValueError("not a wheel") from None
    for line in lines:
        if line.startswith("Version: "):
            return line.removeprefix("Version: ")
    raise ValueError("not a wheel of loa-receiver")


def _write(path: Path, data: bytes) -> None:
    """Old or new content whenever the power fails."""
    part = path.with_name(f".{path.name}.new")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def serve(application: web.Application, store: ArtifactStore) -> None:
    """GET and HEAD ``/artifact/<sha256>`` with ranges, and nothing else."""

    async def artifact(request: web.Request) -> web.FileResponse:
        path = store.path(request.match_info["sha"])
        if path is None:
            raise web.HTTPNotFound
        return web.FileResponse(path, headers={"Content-Type": "application/octet-stream"})

    application.router.add_get(PREFIX + "{sha}", artifact)
