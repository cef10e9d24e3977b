"""The hub's sound library: every recording and every spoken text once, at one loudness, named by its SHA-256.

What goes in is decoded, mixed to one channel, brought to -16 LUFS (EBU R128) with at most -1 dBTP and encoded as Opus;
what came out is measured again, because an encoder changes peaks. Equal input gives equal bytes on one machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import re
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import av
from aiohttp import web

from audio import chime, speech
from audio.documents import ContentKind
from audio.encode import MP3, Form, encode, opus
from audio.faults import fault
from audio.measure import RATE, Input, Measured, Progress, examine, untold
from inventory.diagnostics import Diagnostic

SHA = re.compile(r"[0-9a-f]{64}")
LINK = ".mp3"
"""``<sha>.mp3`` beside a sound is a link to the same sound as MP3, which has a name by its own digest."""
KEEP = timedelta(days=30)
NEW = ".new-"
"""How the folder of an import under way begins."""


@dataclass(frozen=True, slots=True)
class Content:
    """A sound in the library. ``size`` in bytes; ``source`` is the file's name, or the voice that spoke it.

    ``cut_ms``: how much was trimmed at its beginning. ``mp3``: the same sound's name as MP3, where that was made.
    """

    sha: str
    size: int
    duration_ms: int
    lufs: float
    true_peak_dbtp: float
    kind: ContentKind
    source: str
    cut_ms: int = 0
    mp3: str = ""


class Library:
    """The content store in ``folder``: files named by their SHA-256, written once, never changed. ``voice`` speaks.

    ``mp3``: other vendors' devices are to be served too. ``keep``: how long what nobody schedules any more stays.
    """

    def __init__(
        self, folder: Path, voice: speech.Voice = speech.USUAL, *, mp3: bool = False, keep: timedelta = KEEP
    ) -> None:
        self.keep = keep
        self._folder = folder
        self._voice = voice
        self._mp3 = mp3
        self._changing = threading.Lock()

    def apart(self, folder: Path) -> Library:
        """A library of the same voice in another folder, for sounds that are not to be kept."""
        return Library(folder, self._voice)

    async def import_audio(
        self, source: Path, *, bitrate: int, trim: bool = False, progress: Progress = untold
    ) -> Content | tuple[Diagnostic, ...]:
        """The recording in ``source`` as content, or why it cannot be used.

        ``bitrate`` in bit/s; ``trim`` cuts leading silence. ``progress`` is told how far it is.
        """
        given = Input(source, str(source), source.name, ContentKind.RECORDING, trim, progress)
        return await self._add(given, bitrate)

    async def speak(
        self, text: str, *, bitrate: int, chimed: bool = False, progress: Progress = untold
    ) -> Content | tuple[Diagnostic, ...]:
        """The text, spoken, ``chimed`` with the chime before it, as content; or why it cannot be spoken.

        ``bitrate`` in bit/s.
        """
        with tempfile.TemporaryDirectory(prefix="loa-speech-") as folder:
            wav = Path(folder) / "speech.wav"
            refused = await speech.speak(text, wav, self._voice)
            if refused is not None:
                return (refused,)
            given = Input(wav, "text", self._voice.name, ContentKind.SPEECH, progress=progress)
            if chimed:
                voiced = await examine(given)
                if isinstance(voiced, Diagnostic):
                    return (voiced,)
                # by the voice's loudness, so that both come out at the one loudness
                given = replace(given, path=wav.with_name("chimed.wav"))
                await asyncio.to_thread(chime.put_before, wav, given.path, voiced.lufs)
            return await self._add(given, bitrate)

    def path(self, sha: str) -> Path | None:
        """Where the content of that name lies; None when it is not here or is no content's name."""
        if not SHA.fullmatch(sha):
            return None
        path = self._place(sha)
        return path if path.is_file() else None

    def read(self, sha: str) -> bytes:
        """The encoded bytes of that content. Raises FileNotFoundError when it is not here."""
        path = self.path(sha)
        if path is None:
            raise FileNotFoundError(sha)
        return path.read_bytes()

    def renew(self, sha: str) -> bool:
        """Whether that content is here; from now on it counts as imported just now."""
        with self._changing:
            path = self.path(sha)
            if path is not None:
                with suppress(OSError):  # a disk that takes no more writes has the sound all the same
                    os.utime(path)
        return path is not None

    def mp3(self, sha: str) -> str | None:
        """The name of the same sound as MP3; None where it was not made."""
        target = _target(self._link(sha))
        return target if self.path(target) is not None else None

    def sweep(self) -> None:
        """Remove what killed imports have left; for a start, before anything is imported."""
        for folder in self._folder.glob(f"{NEW}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def aged(self, before: float) -> frozenset[str]:
        """The contents whose file was last imported or renewed before that time (Unix seconds), without those that
        another content is linked to. Raises OSError.
        """
        links = {link: _target(link) for link in self._folder.glob(f"??/*{LINK}")}
        for link in links:
            if self.path(link.stem) is None:
                link.unlink(missing_ok=True)  # a removal that was cut off
        linked = {target for link, target in links.items() if link.is_symlink()}
        files = (path for path in self._folder.glob("??/*") if SHA.fullmatch(path.name) and not path.is_symlink())
        return frozenset(path.name for path in files if path.stat().st_mtime < before) - linked

    def remove(self, contents: Collection[str], before: float) -> int:
        """Remove these contents with their MP3s, but none that was imported again or renewed since ``before`` (Unix
        seconds); how many went. Raises OSError. Cut off at any point, ``aged`` finds the rest.
        """
        links = Counter(_target(link) for link in self._folder.glob(f"??/*{LINK}"))
        gone = 0
        for sha in contents:
            with self._changing:
                if not self._unlink(sha, before):
                    continue
                gone += 1
                link = self._link(sha)
                mp3 = _target(link)
                link.unlink(missing_ok=True)
                links[mp3] -= 1
                if not links[mp3]:
                    self._unlink(mp3, before)
        return gone

    async def _add(self, given: Input, bitrate: int) -> Content | tuple[Diagnostic, ...]:
        measured = await examine(given)
        if isinstance(measured, Diagnostic):
            return (measured,)
        forms: tuple[Form, ...] = (opus(given.kind, bitrate), *((MP3,) if self._mp3 else ()))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=NEW, dir=self._folder) as folder:
                made = await encode(given, measured, Path(folder), forms)
                if isinstance(made, Diagnostic):
                    return (made,)
                return await asyncio.to_thread(self._keep, given, measured, made)
        except OSError as error:
            return (fault("AUD009", given.place, file=self._folder, reason=error.strerror or error),)

    def _keep(self, given: Input, before: Measured, made: tuple[tuple[Path, Measured], ...]) -> Content:
        (encoded, measured), *others = made
        data = encoded.read_bytes()
        with self._changing:
            # the MP3 first: a sound is never linked to what is not there
            shas = [self._store(path) for path, _ in reversed(made)]
            sha, mp3 = shas[-1], shas[0] if others else ""
            if mp3:
                self._relink(encoded.parent, sha, mp3)
        length = decoded_ms(data)
        cut = max(0, round(before.seconds * 1000) - length) if given.trim else 0
        return Content(sha, len(data), length, measured.lufs, measured.peak, given.kind, given.name, cut, mp3)

    def _unlink(self, sha: str, before: float) -> bool:
        path = self.path(sha)
        if path is None or path.stat().st_mtime >= before:
            return False
        path.unlink()
        return True

    def _store(self, encoded: Path) -> str:
        sha = hashlib.sha256(encoded.read_bytes()).hexdigest()
        target = self._place(sha)
        target.parent.mkdir(exist_ok=True)
        _sync(encoded)
        # replacing equal bytes by equal bytes, or what a failing disk has made of them
        encoded.replace(target)
        _sync(target.parent)
        _sync(self._folder)
        return sha

    def _relink(self, folder: Path, sha: str, mp3: str) -> None:
        new = folder / mp3
        new.symlink_to(Path("..") / mp3[:2] / mp3)
        link = self._link(sha)
        new.replace(link)
        _sync(link.parent)

    def _place(self, sha: str) -> Path:
        return self._folder / sha[:2] / sha

    def _link(self, sha: str) -> Path:
        return self._folder / sha[:2] / f"{sha}{LINK}"


def decoded_ms(data: bytes) -> int:
    """Length of an Ogg Opus file as a device decodes it: its samples after pre-skip, in whole milliseconds."""
    with av.open(io.BytesIO(data), mode="r", format="ogg") as container:
        return sum(frame.samples for frame in container.decode(audio=0)) * 1000 // RATE


def content_app(library: Library) -> web.Application:
    """A web application that serves GET and HEAD ``/content/<sha>`` with ranges, and nothing else."""

    async def content(request: web.Request) -> web.FileResponse:
        path = library.path(request.match_info["sha"])
        if path is None:
            raise web.HTTPNotFound
        # the name says what the bytes are: no copy can ever be out of date
        kind = "audio/ogg" if await asyncio.to_thread(_is_ogg, path) else "audio/mpeg"
        headers = {"Content-Type": kind, "Cache-Control": "public, max-age=31536000, immutable"}
        return web.FileResponse(path, headers=headers)

    app = web.Application()
    app.router.add_get("/content/{sha}", content)
    return app


def _is_ogg(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"OggS"


def _target(link: Path) -> str:
    """The name that a link leads to; empty where there is no link."""
    return link.readlink().name if link.is_symlink() else ""


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
