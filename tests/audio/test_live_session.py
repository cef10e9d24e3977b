"""A live session with real sources: what is on the air is judged by its own samples."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audio import ffmpeg
from audio.live.feed import Fault
from audio.live.session import Session, Signer
from audio.live.source import Source, command
from tests.audio.live_kit import (
    RATE,
    Icecast,
    Mode,
    Sound,
    Tape,
    dead_air,
    has_icecast,
    likeness,
    make_programme,
    now,
    running,
    station,
)
from tests.audio.receiver_kit import content_server, free_port

SIGNER = Signer(Ed25519PrivateKey.generate(), "0" * 16)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sound]:
    return make_programme(tmp_path_factory.mktemp("first"), 40, 11)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sound]:
    return make_programme(tmp_path_factory.mktemp("second"), 40, 12)


async def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        await asyncio.sleep(0.05)


def session(tape: Tape, *urls: str) -> Session:
    return Session("vov1", [Source(url) for url in urls], SIGNER, tape, tape, now)


def last(tape: Tape, seconds: float) -> Sound:
    return tape.heard()[-int(seconds * RATE) :]


async def fails(failure: Mode, first: tuple[Path, Sound], second: tuple[Path, Sound]) -> None:
    tape = Tape()
    with station(first[0]) as one, station(second[0]) as two:
        live = session(tape, one.url, two.url)
        async with running(live.run()):
            await until(lambda: len(tape.pages) > 15 and live.trouble is None and live.on_air == 0)
            begun = len(tape.pages)
            one.mode = failure
            await until(lambda: live.on_air == 1 and live.trouble is not None)
            assert live.trouble is not None
            assert live.trouble.fault is (Fault.SILENT if failure is Mode.SILENCE else Fault.STALLED)
            assert not live.trouble.lost
            switched = len(tape.pages)
            await until(lambda: len(tape.pages) > switched + 15)
            alike, _ = likeness(last(tape, 2), second[1])
            assert alike > 0.9
            one.mode = Mode.SOUND
            await until(lambda: live.on_air == 0 and live.trouble is None)
            back = len(tape.pages)
            await until(lambda: len(tape.pages) > back + 15)
            alike, _ = likeness(last(tape, 2), first[1])
            assert alike > 0.9
            assert dead_air(tape.heard()[begun * RATE // 5 :]) < 4.0
    assert tape.ended


@pytest.mark.slow
async def test_a_source_that_fails_is_replaced_within_four_seconds_of_sound_and_taken_back(
    first: tuple[Path, Sound], second: tuple[Path, Sound]
) -> None:
    failures = (Mode.SILENCE, Mode.HANGS, Mode.GARBAGE, Mode.GONE)
    async with asyncio.TaskGroup() as group:
        for failure in failures:
            group.create_task(fails(failure, first, second), name=failure)


@pytest.mark.slow
async def test_pages_have_rising_numbers_and_exact_times_and_without_any_source_they_are_silence(
    first: tuple[Path, Sound],
) -> None:
    tape = Tape()
    with station(first[0]) as one:
        one.mode = Mode.GONE
        live = session(tape, one.url)
        async with running(live.run()):
            await until(lambda: live.trouble is not None)
            assert live.trouble is not None
            assert (live.trouble.fault, live.trouble.lost) == (Fault.STALLED, True)
            one.mode = Mode.SOUND
            await until(lambda: live.trouble is None)
            heard = len(tape.pages)
            await until(lambda: len(tape.pages) > heard + 10)
    assert [page.number for page in tape.pages] == list(range(1, len(tape.pages) + 1))
    whole = [b.play_at - a.play_at for a, b in pairwise(tape.pages)]
    assert all(step % 200 == 0 or abs(step - 200) > 200 for step in whole)  # a loaded machine may leave some out
    sound = tape.heard()
    assert not sound[: 2 * RATE].any()
    alike, _ = likeness(sound[-RATE:], first[1])
    assert alike > 0.9


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """A web server for the files of a folder; its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def broadcast(programme: Path, *target: str) -> Iterator[None]:
    """ffmpeg that plays the programme again and again at its own pace."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i", str(programme), *target]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


async def check_relayed(url: str, programme: Sound) -> None:
    tape = Tape()
    live = session(tape, url)
    async with running(live.run()):
        await until(lambda: live.trouble is None and len(tape.pages) > 15 and tape.heard()[-RATE:].any())
        heard = len(tape.pages)
        await until(lambda: len(tape.pages) > heard + 20)
    alike, _ = likeness(last(tape, 2), programme)
    assert alike > 0.9


@pytest.mark.slow
@pytest.mark.skipif(not has_icecast(), reason="icecast2 is not installed")
async def test_an_icecast_is_relayed(tmp_path: Path, first: tuple[Path, Sound]) -> None:
    server = Icecast(tmp_path)
    try:
        await asyncio.to_thread(server.start)
        server.feed(first[0])
        await check_relayed(server.url, first[1])
    finally:
        server.close()


@pytest.mark.slow
async def test_hls_of_short_segments_is_relayed(tmp_path: Path, first: tuple[Path, Sound]) -> None:
    with serving(tmp_path) as port:
        hls = ("-c:a", "aac", "-b:a", "96k", "-f", "hls", "-hls_time", "1", "-hls_list_size", "6")
        with broadcast(first[0], *hls, "-hls_flags", "delete_segments", str(tmp_path / "live.m3u8")):
            await until(lambda: len(list(tmp_path.glob("*.ts"))) >= 4)
            await check_relayed(f"http://127.0.0.1:{port}/live.m3u8", first[1])


@pytest.mark.slow
async def test_rtp_is_relayed(first: tuple[Path, Sound]) -> None:
    port = free_port()
    url = f"rtp://127.0.0.1:{port}"
    with broadcast(first[0], "-c:a", "mp2", "-b:a", "128k", "-f", "rtp", url):
        await check_relayed(url, first[1])


async def test_no_source_reads_a_file_of_the_hub(tmp_path: Path, first: tuple[Path, Sound]) -> None:
    """Neither by its own URL nor by a playlist that a server sends."""
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{first[0]}\n#EXT-X-ENDLIST\n")
    with content_server(tmp_path) as server:
        for url in (first[0].as_uri(), str(first[0]), f"concat:{first[0]}", f"{server.base}/content/list.m3u8"):
            done = await ffmpeg.run(command(url), timeout=30)
            assert not done.stdout, url
