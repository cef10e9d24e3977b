"""The runner: no program can hang it, and none outlives it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import ffmpeg as graphs
import pytest

from audio import ffmpeg


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


async def ended(pids: list[int]) -> bool:
    """A signal that cannot be refused is sent, not yet carried out, when ``kill`` returns."""
    async with asyncio.timeout(120):
        while any(running(pid) for pid in pids):  # noqa: ASYNC110 (other processes end)
            await asyncio.sleep(0.01)
    return True


async def written(path: Path) -> list[int]:
    async with asyncio.timeout(120):
        while not content(path).endswith("\n"):  # noqa: ASYNC110 (another process writes it)
            await asyncio.sleep(0.01)
    return [int(pid) for pid in content(path).split()]


def content(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def family(pids: Path) -> list[str]:
    """A program with a child; neither ends by itself nor when it is asked to."""
    return ["sh", "-c", 'trap "" TERM HUP; sleep 600 & echo $$ $! > "$0"; wait', str(pids)]


async def test_output_is_drained_and_the_end_of_it_kept() -> None:
    code = "import sys\nfor n in range(200_000): print(n, 'x' * 20, file=sys.stderr)\nprint('answer')\nsys.exit(3)"
    done = await ffmpeg.run([sys.executable, "-c", code], timeout=60)
    assert (done.returncode, done.stdout, done.timed_out, done.ok) == (3, "answer\n", False, False)
    assert done.tail.endswith("199999 xxxxxxxxxxxxxxxxxxxx\n")
    assert len(done.tail) == ffmpeg.TAIL
    assert done.reason == "199999 xxxxxxxxxxxxxxxxxxxx"


async def test_a_program_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    run = asyncio.create_task(ffmpeg.run(family(pids), timeout=2))
    started = await written(pids)
    done = await run
    assert done.timed_out
    assert not done.ok
    assert done.reason == "it took too long"
    assert await ended(started)


async def test_who_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    run = asyncio.create_task(ffmpeg.run(family(pids), timeout=600))
    started = await written(pids)
    assert all(running(pid) for pid in started)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert await ended(started)


async def test_a_missing_program_is_a_result() -> None:
    done = await ffmpeg.run(["loa-no-such-program"], timeout=5)
    assert done.returncode == ffmpeg.NOT_FOUND
    assert "loa-no-such-program" in done.reason


async def test_stdin_reaches_a_program_that_reads_it_and_harms_none_that_does_not() -> None:
    text = "Ủy ban nhân dân\n" * 50_000
    assert len((await ffmpeg.run(["wc", "-c"], timeout=30, stdin=text.encode())).stdout.split()) == 1
    assert (await ffmpeg.run(["true"], timeout=30, stdin=text.encode())).ok


async def test_a_graph_runs_on_a_file_with_any_name(tmp_path: Path) -> None:
    path = tmp_path / "-y; $(touch x) %d 'Ủy ban'.wav"
    tone = graphs.input("sine=frequency=440:duration=1", format="lavfi").output(f"file:{path}")
    assert (await ffmpeg.run(ffmpeg.command(tone), timeout=120)).ok
    probed = await ffmpeg.run(ffmpeg.probe_command(path), timeout=120)
    assert probed.ok
    assert '"duration": "1.000000"' in probed.stdout
    assert names(tmp_path) == [path.name]


async def test_a_playlist_cannot_name_other_files(tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    tone = graphs.input("sine=duration=1", format="lavfi").output(f"file:{secret}")
    assert (await ffmpeg.run(ffmpeg.command(tone), timeout=120)).ok
    for name, text in {
        "list.ffconcat": f"ffconcat version 1.0\nfile {secret}\n",
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n",
    }.items():
        playlist = tmp_path / name
        playlist.write_text(text)
        graph = ffmpeg.source(playlist).audio.output("pipe:", format="null")
        assert not (await ffmpeg.run(ffmpeg.command(graph), timeout=120)).ok
        assert not (await ffmpeg.run(ffmpeg.probe_command(playlist), timeout=120)).ok


async def test_a_program_that_writes_more_than_anybody_reads_is_ended_all_the_same() -> None:
    async with ffmpeg.stream(["sh", "-c", "while :; do head -c 1000000 /dev/zero; done"]) as running:
        assert await running.stdout.readexactly(4) == bytes(4)
        await asyncio.sleep(0.3)  # its pipe fills, and what is read ahead


async def test_a_program_that_is_read_piece_by_piece_says_why_it_ended() -> None:
    async with ffmpeg.stream(["sh", "-c", "echo out; echo why >&2; exit 3"]) as running:
        assert await running.stdout.read() == b"out\n"
        assert await running.end() == "why"
