"""Sounds on the device's own storage, named by their SHA-256; fetched ahead of time by one worker thread.

They take no more than a quota: what nobody wants any more goes first, the least recently wanted before others; then
what is wanted later than tomorrow. What an order or the next 24 hours need is never removed, also beyond the quota.

A sound that was here before this run of the program is hashed when it is first asked for, a moment before it is due:
flash that rots, and a power cut, change bytes but not always a file's size or time. Half an hour of speech is 5 MB;
nothing is hashed twice in a run.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit

from audio.receiver.files import sync_folder, write_atomic
from audio.receiver.identity import Identity

log = logging.getLogger(__name__)

TIMEOUT = 15.0
SPREAD = 30_000
"""A fleet that learns of a sound together fetches it within this many ms, not all at once."""
LARGEST = 128 * 1024 * 1024
UNUSED = 7 * 24 * 3600
PIECE = 64 * 1024
QUOTA_MB = 512
SOON = 24 * 3_600_000
"""What is wanted within this many ms is kept, whatever it takes."""
TOUCHED = 24 * 3600
"""How old (s) a file's time may get before it is set anew: each setting is a write."""
NO_CONTENT, STORAGE_FULL = "no content", "storage full"
FULL = (errno.ENOSPC, errno.EDQUOT)
LACKS = (NO_CONTENT, STORAGE_FULL)
"""Why a sound is not here, as receipts say it."""


class FetchError(Exception):
    """The sound could not be fetched this time."""


class HashError(FetchError):
    """What was fetched is not what was asked for."""


class CacheLike(Protocol):
    """What the agent asks of a cache: see ``Cache``."""

    def has(self, content: str) -> bool: ...

    @property
    def held(self) -> tuple[str, ...]: ...

    @property
    def lack(self) -> str: ...

    def path(self, content: str) -> Path: ...

    def put(self, content: str, sound: bytes) -> None: ...

    def drop(self, content: str) -> None: ...

    def want(self, starts: Mapping[str, int]) -> None: ...

    def purge(self, now: float, wanted: frozenset[str]) -> None: ...


@dataclass(slots=True)
class _Want:
    due: float
    failures: int = 0


class Cache:
    """``arrived`` and ``spoiled`` are called from the worker thread; ``quota`` in bytes."""

    def __init__(
        self,
        folder: Path,
        base: str,
        arrived: Callable[[str], None],
        spoiled: Callable[[str], None],
        identity: Identity | None = None,
        quota: int = QUOTA_MB * 2**20,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._base = base
        self._identity = identity
        self._arrived = arrived
        self._spoiled = spoiled
        self._quota = quota
        self._wants: dict[str, _Want] = {}
        self._soon: frozenset[str] = frozenset()
        self._wanted: frozenset[str] = frozenset()
        self._put_off: set[str] = set()
        self._full = False
        self._held = frozenset(p.name for p in folder.iterdir() if len(p.name) == 64)
        self._unproven = set(self._held)
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="cache", daemon=True)
        self._thread.start()

    def has(self, content: str) -> bool:
        if content in self._unproven and not self._proven(content):
            return False
        return content in self._held

    @property
    def lack(self) -> str:
        """Why what is not here is not."""
        return STORAGE_FULL if self._full else NO_CONTENT

    @property
    def held(self) -> tuple[str, ...]:
        return tuple(sorted(self._held))

    def path(self, content: str) -> Path:
        return self._folder / content

    def put(self, content: str, sound: bytes) -> None:
        """Keeps a sound that came by another way; its hash has been checked. Where there is no room, it is wanted."""
        if self.has(content):
            return
        for last in (False, True):
            try:
                write_atomic(self.path(content), sound)
            except OSError as error:
                self._no_room(content, error)
                if last or error.errno not in FULL:
                    return
                self._make_room(content, self._size())
            else:
                self._full = False
                self._hold(content)
                return

    def drop(self, content: str) -> None:
        """Forgets a sound that cannot be read, so that it is fetched again."""
        with self._changed:
            self._held = self._held - {content}
            self._unproven.discard(content)
        self.path(content).unlink(missing_ok=True)

    def want(self, starts: Mapping[str, int]) -> None:
        """Exactly these contents are wanted, in so many ms from now (0 or less: at once)."""
        now = time.monotonic()
        with self._changed:
            wants = {}
            self._wanted = frozenset(starts)
            self._soon = frozenset(content for content, wait in starts.items() if wait < SOON)
            self._put_off = (self._put_off & self._wanted) - self._soon
            for content, wait in starts.items():
                if content not in self._held and content not in self._put_off:
                    due = now + random.uniform(0, min(SPREAD, max(wait, 0) / 2)) / 1000  # noqa: S311 - spreads load
                    old = self._wants.get(content, _Want(due))
                    wants[content] = old if old.failures else _Want(min(due, old.due))
            self._wants = wants
            self._changed.notify()

    def purge(self, now: float, wanted: frozenset[str]) -> None:
        """Removes what nobody wanted for a week; ``now`` in Unix seconds. What is wanted counts as used now."""
        for content in self._held & wanted:
            if self._age(content) < now - TOUCHED:
                os.utime(self.path(content), (now, now))
        for content in self._held - wanted:
            if self._age(content) < now - UNUSED:
                log.info("content %s was not used for a week: removed", content[:12])
                self.drop(content)

    def close(self) -> None:
        """Stops fetching; a fetch in progress is left behind with what it has, for a later resume."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def _work(self) -> None:
        while (content := self._next()) is not None:
            try:
                fetch(self._base, content, self._folder, self._identity)
            except HashError as error:
                self._spoiled(str(error))
                self._later(content, str(error))
            except (FetchError, OSError, http.client.HTTPException) as error:
                if isinstance(error, OSError) and error.errno in FULL:
                    self._no_room(content, error)
                    self._make_room(content, self._size())
                self._later(content, f"{type(error).__name__}: {error}")
            else:
                self._full = False
                self._hold(content)
                self._make_room(content, self._size() - self._quota)
                if self.has(content):
                    self._arrived(content)

    def _proven(self, content: str) -> bool:
        """Whether a sound of an earlier run is still what its name says; if it is not, it is fetched again."""
        try:
            with self.path(content).open("rb") as file:
                right = hashlib.file_digest(file, "sha256").hexdigest() == content
        except OSError:
            right = False
        self._unproven.discard(content)
        if not right:
            log.error("content %s is spoiled: fetched again", content[:12])
            self.drop(content)
            with self._changed:
                self._wants[content] = _Want(time.monotonic())
                self._changed.notify()
        return right

    def _make_room(self, content: str, excess: int) -> None:
        """Removes so many bytes of what is needed least; ``content`` itself, if it can wait and nothing else goes."""
        with self._changed:
            wanted, soon = self._wanted, self._soon
        goes = self._oldest(self._held - wanted - {content})
        if content in soon:
            goes += self._oldest(self._held & (wanted - soon - {content}))
        elif content in self._held:
            goes += (content,)
        for name in goes:
            if excess <= 0:
                return
            excess -= self._bytes(name)
            log.info("content %s makes room", name[:12])
            with self._changed:
                if name in wanted:
                    self._put_off.add(name)
            self.drop(name)
        if excess > 0 and content in self._held:
            log.warning("what is needed soon takes %d bytes more than the quota", excess)

    def _no_room(self, content: str, error: OSError) -> None:
        self._full = error.errno in FULL
        log.error("content %s cannot be kept: %s", content[:12], error.strerror)

    def _size(self) -> int:
        return sum(self._bytes(content) for content in self._held)

    def _oldest(self, contents: frozenset[str]) -> tuple[str, ...]:
        """The least recently wanted first."""
        return tuple(sorted(contents, key=lambda content: (self._age(content), content)))

    def _bytes(self, content: str) -> int:
        with suppress(OSError):
            return self.path(content).stat().st_size
        return 0

    def _age(self, content: str) -> float:
        """When it was last wanted (Unix s), as far as its file tells."""
        with suppress(OSError):
            return self.path(content).stat().st_mtime
        return 0.0

    def _hold(self, content: str) -> None:
        with self._changed:
            self._held = self._held | {content}
            self._wants.pop(content, None)

    def _next(self) -> str | None:
        """The next content to fetch, when it is due; None on closing."""
        with self._changed:
            while not self._closing:
                now = time.monotonic()
                content = min(self._wants, key=lambda c: self._wants[c].due, default=None)
                if content is not None and self._wants[content].due <= now:
                    return content
                self._changed.wait(None if content is None else self._wants[content].due - now)
        return None

    def _later(self, content: str, why: str) -> None:
        with self._changed:
            want = self._wants.get(content)
            if want is None:
                return
            want.failures += 1
            pause = min(60.0, 0.5 * 2**want.failures) * random.uniform(0.5, 1)  # noqa: S311 - spreads load
            want.due = time.monotonic() + pause
        log.warning("content %s: %s; next try in %.1f s", content[:12], why, pause)


def fetch(base: str, content: str, folder: Path, identity: Identity | None = None) -> None:
    """``folder/content`` holds ``<base>/content/<content>``; goes on where an earlier try stopped.

    Raises FetchError, OSError or HTTPException; what came so far stays in ``.part`` unless its hash is wrong.
    """
    part = folder / f"{content}.part"
    with part.open("ab") as file:
        _download(base, content, file, identity)
        file.flush()
        os.fsync(file.fileno())
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != content:
        part.unlink()
        raise HashError(f"{content[:12]} came as {found[:12]}")
    part.replace(folder / content)
    sync_folder(folder)


def _download(base: str, content: str, file: BinaryIO, identity: Identity | None) -> None:
    """Appends what is missing, or begins again where the server does not know ranges."""
    url = urlsplit(base)
    connection = http.client.HTTPConnection(url.netloc, timeout=TIMEOUT)
    if identity is not None and url.scheme == "https":
        connection = http.client.HTTPSConnection(url.netloc, timeout=TIMEOUT, context=identity.context())
    try:
        headers = {"Range": f"bytes={file.tell()}-"} if file.tell() else {}
        connection.request("GET", f"{url.path}/content/{content}", headers=headers)
        response = connection.getresponse()
        if response.status == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return
        if response.status == http.client.OK:
            file.truncate(0)
        elif response.status != http.client.PARTIAL_CONTENT:
            raise FetchError(f"HTTP {response.status}")
        _copy(response, file)
    finally:
        connection.close()


def _copy(response: http.client.HTTPResponse, file: BinaryIO) -> None:
    while piece := response.read(PIECE):
        file.write(piece)
        if file.tell() > LARGEST:
            file.truncate(0)
            raise FetchError("longer than any bulletin")
    if response.length:
        raise FetchError(f"{response.length} bytes short")
