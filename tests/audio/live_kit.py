"""Radio stations for the tests of live sessions: one of our own that fails as it is told, and a real Icecast."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import http.server
import io
import os
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from audio.envelope import LivePage, Opened, parse, unpack_page
from audio.receiver import opus
from tests.audio.receiver_kit import free_port, until

Sound = npt.NDArray[np.float64]
RATE = 48_000
MP3_FRAME = 192
"""Bytes of 24 ms at 64 kbit/s and 48 kHz."""
BURST = 2.5
"""Seconds that a station gives at once to whoever comes, as Icecast does."""


def make_programme(folder: Path, seconds: int, seed: int) -> tuple[Path, Sound]:
    """An MP3 (CBR) of noise below 2 kHz, which correlates with nothing but itself, and its samples."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"programme-{seed}.mp3"
    noise = f"anoisesrc=d={seconds}:c=pink:r=48000:seed={seed}:a=0.3,lowpass=f=2000:p=2,lowpass=f=2000:p=2"
    _ffmpeg("-f", "lavfi", "-i", noise, *_MP3, str(path))
    return path, decoded(path)


_MP3 = ("-ac", "1", "-c:a", "libmp3lame", "-b:a", "64k", "-write_xing", "0", "-id3v2_version", "0", "-f", "mp3")


def _ffmpeg(*arguments: str) -> bytes:
    return subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True, stdout=subprocess.PIPE).stdout


def decoded(path: Path) -> Sound:
    raw = _ffmpeg("-i", str(path), "-f", "s16le", "-ac", "1", "-ar", str(RATE), "pipe:1")
    return np.frombuffer(raw, "<i2").astype(float)


class Mode(StrEnum):
    SOUND = "sound"
    SILENCE = "silence"
    HANGS = "hangs"
    GARBAGE = "garbage"
    GONE = "gone"
    """Closes the connection, and answers 404 from then on."""


class Station:
    """A live MP3 over HTTP at its own pace. ``mode`` may be changed at any time; connections are counted."""

    def __init__(self, programme: Path) -> None:
        self.mode = Mode.SOUND
        self.connections = 0
        self._sound = programme.read_bytes()
        quiet = _ffmpeg("-f", "lavfi", "-i", "anullsrc=r=48000:cl=mono:d=10", *_MP3, "pipe:1")
        self._quiet = quiet[-MP3_FRAME * 100 :]
        station = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                station.connections += 1
                if station.mode is Mode.GONE:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "audio/mpeg")
                self.end_headers()
                with contextlib.suppress(OSError):
                    station._stream(self.wfile)

            def log_message(self, format: str, *args: Any) -> None: ...

        self._closing = False
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/live.mp3"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def _stream(self, out: Any) -> None:
        begun, sent, noise = time.monotonic() - BURST, 0, random.Random(7)
        while not self._closing and self.mode is not Mode.GONE:
            due = int((time.monotonic() - begun) * 8000) // MP3_FRAME * MP3_FRAME
            if self.mode is Mode.HANGS:
                sent = due
            while sent < due:
                out.write(self._frame(sent, noise))
                sent += MP3_FRAME
            time.sleep(0.05)

    def _frame(self, at: int, noise: random.Random) -> bytes:
        if self.mode is Mode.GARBAGE:
            return noise.randbytes(MP3_FRAME)
        source = self._quiet if self.mode is Mode.SILENCE else self._sound
        return source[at % len(source) : at % len(source) + MP3_FRAME]

    def close(self) -> None:
        self._closing = True
        self._server.shutdown()
        self._server.server_close()


class Tape:
    """A line and a public that keep what a session sends."""

    def __init__(self) -> None:
        self.header = b""
        self.pages: list[LivePage] = []
        self.frames: list[bytes] = []
        self.ended = False

    def begin(self, topic: str, header: bytes) -> None:
        self.header = _page(header).ogg if topic.startswith("loa/") else self.header

    def page(self, topic: str, frame: bytes) -> None:
        if topic.startswith("loa/"):
            self.frames.append(frame)
            self.pages.append(_page(frame))

    def end(self, topic: str) -> None:
        self.ended = True

    def heard(self) -> Sound:
        """All pages as sound; raises if one is not whole."""
        stream = io.BytesIO(self.header + b"".join(page.ogg for page in self.pages))
        return np.frombuffer(b"".join(opus.decode(stream, 0)), "<i2").astype(float)


def _page(frame: bytes) -> LivePage:
    opened = parse(frame)
    assert isinstance(opened, Opened)
    page = unpack_page(opened.body)
    assert isinstance(page, LivePage)
    return page


def now() -> datetime:
    return datetime.now(UTC)


def dead_air(sound: Sound, ms: int = 20) -> float:
    """Seconds of the longest piece that nobody hears (below -60 dBFS)."""
    size = RATE * ms // 1000
    blocks = sound[: len(sound) // size * size].reshape(-1, size)
    quiet = (blocks**2).mean(axis=1) < 10 ** (-60 / 10) * 32768**2
    longest = run = 0
    for silent in quiet:
        run = run + 1 if silent else 0
        longest = max(longest, run)
    return longest * ms / 1000


def likeness(piece: Sound, programme: Sound) -> tuple[float, int]:
    """How like ``piece`` is to the place of ``programme`` that it is most like (0..1), and where (samples)."""
    size = 1 << int(np.ceil(np.log2(len(programme) + len(piece))))
    spectrum = np.fft.rfft(programme, size) * np.conj(np.fft.rfft(piece, size))
    correlation = np.fft.irfft(spectrum, size)[: max(len(programme) - len(piece), 1)]
    place = int(np.argmax(correlation))
    there = programme[place : place + len(piece)]
    energy = float(np.linalg.norm(there) * np.linalg.norm(piece))
    return (float(correlation[place]) / energy if energy else 0.0), place


@dataclass
class Icecast:
    """A real Icecast with one mount that an ffmpeg feeds; ``silence`` and ``cut`` are the programme's failures."""

    folder: Path
    port: int = field(default_factory=free_port)
    _server: subprocess.Popen[bytes] | None = None
    _feeders: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/vov.mp3"

    def start(self) -> None:
        root = os.getuid() == 0
        owner = "<changeowner><user>nobody</user><group>nogroup</group></changeowner>" if root else ""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "icecast.xml"
        config.write_text(
            f"""<icecast><limits><clients>2000</clients><sources>4</sources><burst-size>40000</burst-size></limits>
            <authentication><source-password>hackme</source-password><admin-password>{getpass.getuser()}</admin-password>
            </authentication><hostname>localhost</hostname>
            <listen-socket><port>{self.port}</port><bind-address>127.0.0.1</bind-address></listen-socket>
            <paths><logdir>/tmp</logdir><webroot>/usr/share/icecast2/web</webroot>
            <adminroot>/usr/share/icecast2/admin</adminroot></paths>
            <logging><accesslog>-</accesslog><errorlog>-</errorlog><loglevel>1</loglevel></logging>
            <security><chroot>0</chroot>{owner}</security></icecast>""",
            encoding="utf-8",
        )
        with (self.folder / "log").open("wb") as log:
            self._server = subprocess.Popen(["icecast2", "-c", str(config)], stdout=log, stderr=log)
        until(lambda: _answers(self.port))

    def feed(self, programme: Path | str, mount: str = "vov.mp3") -> None:
        """Plays the programme in a loop at its own pace; of an address, what comes from there."""
        target = f"icecast://source:hackme@127.0.0.1:{self.port}/{mount}"
        command = ["ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(programme), "-c", "copy"]
        command += ["-content_type", "audio/mpeg", "-f", "mp3", target]
        self._feeders.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))

    def close(self) -> None:
        for process in (*self._feeders, self._server):
            if process is not None:
                process.kill()
                process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def has_icecast() -> bool:
    return shutil.which("icecast2") is not None


@contextlib.contextmanager
def station(programme: Path) -> Iterator[Station]:
    running = Station(programme)
    try:
        yield running
    finally:
        running.close()


@contextlib.asynccontextmanager
async def running(*tasks: Any) -> AsyncIterator[None]:
    """These coroutines, until the block ends; none of them may have failed by itself."""
    started = [asyncio.create_task(task) for task in tasks]
    try:
        yield
    finally:
        for task in started:
            task.cancel()
        _, stuck = await asyncio.wait(started, timeout=30)
        assert not stuck, [task.get_stack() for task in asyncio.all_tasks()]
        results = await asyncio.gather(*started, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results), results
