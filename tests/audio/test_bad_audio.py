"""Bad audio, as people hand it in and as nobody should: each kind gets its own refusal, or comes out right.

Nothing hangs (every program runs under the runner's limits), nothing is left in the library, no program survives.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from audio import measure
from audio.library import Content, Library
from audio.sounds import BITRATE
from inventory.diagnostics import Diagnostic
from tests.audio.test_library import convert, cut, damaged, frames, loudness, make, stored

TONE = "sine=frequency=440:duration=2,volume=12dB"
LIMIT = 300
"""Seconds in which an import must have ended, on a machine under load."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sounds")


@pytest.fixture(scope="module")
def voice(folder: Path) -> Path:
    """About nine seconds of speech as WAV."""
    text = "Xin chào bà con phường Yên Đỗ. Ủy ban nhân dân phường thông báo lịch tiêm chủng mở rộng trong tháng."
    subprocess.run(["espeak-ng", "-v", "vi", "-w", str(folder / "voice.wav"), text], check=True)
    return folder / "voice.wav"


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "library")


@pytest.fixture(autouse=True)
def no_program_survives() -> Iterator[None]:
    yield
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    names = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in children if Path(f"/proc/{pid}").exists()]
    assert not {"ffmpeg", "ffprobe"} & set(names)


async def imported(library: Library, source: Path) -> Content | Diagnostic:
    """The content, or the one diagnostic about that very file; the library holds the content or nothing."""
    async with asyncio.timeout(LIMIT):
        outcome = await library.import_audio(source, bitrate=BITRATE)
    folder = library._folder
    if isinstance(outcome, Content):
        assert stored(folder) == [library.path(outcome.sha)]
        return outcome
    (found,) = outcome
    assert str(found.place) == str(source)
    assert found.fix_text()
    assert not folder.exists() or not list(folder.iterdir())
    return found


async def code(library: Library, source: Path) -> str:
    found = await imported(library, source)
    assert isinstance(found, Diagnostic), found
    return found.code


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def altered(source: Path, out: Path, change: Callable[[bytearray], None]) -> Path:
    data = bytearray(source.read_bytes())
    change(data)
    out.write_bytes(data)
    return out


def as_bytes(content: bytes) -> Callable[[Path, Path], Path]:
    def write(out: Path, _: Path) -> Path:
        out.write_bytes(content)
        return out

    return write


def of(source: str, *options: str) -> Callable[[Path, Path], Path]:
    return lambda out, _: make(out, source, *options)


def truncated(name: str, *options: str) -> Callable[[Path, Path], Path]:
    return lambda out, voice: cut(convert(out.with_name(f"whole-{name}"), voice, *options), out)


def spoilt(name: str) -> Callable[[Path, Path], Path]:
    return lambda out, voice: damaged(convert(out.with_name(f"whole-{name}"), voice), out)


def louder(decibels: float, *filters: str) -> Callable[[Path, Path], Path]:
    """The voice, so many dB above full scale and cut off there."""

    def write(out: Path, voice: Path) -> Path:
        command = ["ffmpeg", "-nostdin", "-i", str(voice), "-af", "volumedetect", "-f", "null", "-"]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stderr
        peak = float(told.rpartition("max_volume: ")[2].split()[0])
        chain = ",".join((f"volume={decibels - peak}dB:precision=float", *filters))
        clipped = convert(out.with_name(f"pcm-{out.name}.wav"), voice, "-af", chain, "-c:a", "pcm_s16le")
        return convert(out, clipped)

    return write


def lying(out: Path, voice: Path) -> Path:
    """An MP4 whose every header says that it lasts an hour."""
    whole = convert(out.with_name("whole.m4a"), voice)

    def lie(data: bytearray) -> None:
        for box, at in ((b"mvhd", 12), (b"tkhd", 16), (b"mdhd", 12)):
            place = data.index(box) + 4
            scale = int.from_bytes(data[place + 12 : place + 16], "big") if box == b"mdhd" else 1000
            data[place + at + 4 : place + at + 8] = (3600 * scale).to_bytes(4, "big")

    return altered(whole, out, lie)


def boastful(out: Path, voice: Path) -> Path:
    def lie(data: bytearray) -> None:
        place = data.index(b"Info") + 8
        frames = int.from_bytes(data[place : place + 4], "big")
        data[place : place + 4] = (frames * 10).to_bytes(4, "big")

    return altered(convert(out.with_name("whole.mp3"), voice), out, lie)


def modest(out: Path, voice: Path) -> Path:
    """A FLAC whose header says that it lasts a tenth of a second, while it is there whole."""

    def lie(data: bytearray) -> None:
        data[22:26] = (2205).to_bytes(4, "big")

    return altered(convert(out.with_name("whole.flac"), voice), out, lie)


SILENT = "aevalsrc='0.3*sin(2*PI*200*t)|-0.3*sin(2*PI*200*t)':d=2:s=48000"
HLS = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
BAD: dict[str, tuple[str, Callable[[Path, Path], Path], str]] = {
    "zero bytes": ("a.wav", as_bytes(b""), "AUD004"),
    "text named .wav": ("a.wav", as_bytes("Kính gửi Ủy ban nhân dân".encode() * 100), "AUD002"),
    "noise named .mp3": ("a.mp3", as_bytes(random.Random(2).randbytes(50_000)), "AUD002"),
    "a WAV's head alone": ("a.wav", as_bytes(b"RIFF\x04\0\0\0WAVE"), "AUD002"),
    "a page of the web": ("a.mp3", as_bytes(b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n"), "AUD002"),
    "truncated WAV": ("a.wav", truncated("a.wav"), "AUD003"),
    "truncated MP3": ("a.mp3", truncated("a.mp3"), "AUD003"),
    "truncated FLAC": ("a.flac", truncated("a.flac"), "AUD003"),
    "truncated M4A": ("a.m4a", truncated("a.m4a"), "AUD002"),
    "truncated M4A with its index first": ("a.m4a", truncated("a.m4a", "-movflags", "+faststart"), "AUD003"),
    "corrupt pages of Ogg": ("a.ogg", spoilt("a.ogg"), "AUD003"),
    "corrupt Opus": ("a.opus", spoilt("a.opus"), "AUD003"),
    "corrupt MP3": ("a.mp3", spoilt("a.mp3"), "AUD003"),
    "silence": ("a.wav", of("anullsrc=r=48000:cl=mono:d=3"), "AUD006"),
    "hiss": ("a.wav", of("anoisesrc=d=3:a=0.0005:seed=1"), "AUD006"),
    "a constant": ("a.wav", of("aevalsrc=0.7:d=3:s=48000"), "AUD006"),
    "channels in opposition": ("a.wav", of(SILENT), "AUD006"),
    "clipped by 20 dB": ("a.wav", louder(20), "AUD019"),
    "clipped by 20 dB, then MP3": ("a.mp3", louder(20), "AUD019"),
    "clipped by 20 dB, then AAC": ("a.m4a", louder(20), "AUD019"),
    "a square wave": ("a.wav", of("aevalsrc='0.999*sgn(sin(2*PI*440*t))':d=3:s=44100"), "AUD019"),
    "one clipped channel of two": ("a.wav", louder(20, "pan=stereo|c0=c0|c1=0.01*c0"), "AUD019"),
    "0.1 s": ("a.wav", of("sine=duration=0.1"), "AUD004"),
    "clicks": ("a.wav", of("aevalsrc='if(lt(mod(t,0.5),0.0001),0.99,0)':d=4:s=48000"), "AUD007"),
    "too long by its header": ("a.flac", of("anullsrc=r=8000:cl=mono:d=1801"), "AUD005"),
    "too long, and says nothing": (
        "a.mp3",
        of("sine=d=1802:r=8000", "-write_xing", "0", "-id3v2_version", "0", "-b:a", "8k"),
        "AUD005",
    ),
    "an MP3 whose header claims ten times as much": ("a.mp3", boastful, "AUD003"),
    "a film without sound": ("a.mp4", of("testsrc=size=64x48:duration=1", "-c:v", "mpeg4"), "AUD002"),
    "a picture": ("a.png", of("testsrc=size=64x48", "-frames:v", "1"), "AUD002"),
    "a picture named .mp3": ("a.mp3", of("testsrc=size=64x48", "-frames:v", "1", "-f", "mjpeg"), "AUD002"),
    "HLS": ("a.m3u8", as_bytes(HLS), "AUD002"),
    "HLS named .mp3": ("a.mp3", as_bytes(HLS), "AUD002"),
    "concat": ("a.ffconcat", as_bytes(b"ffconcat version 1.0\nfile /etc/hostname\n"), "AUD002"),
    "DASH": ("a.mpd", as_bytes(b"<?xml version='1.0'?><MPD><Period/></MPD>"), "AUD002"),
    "session description": ("a.sdp", as_bytes(b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n"), "AUD002"),
}


SLOW = "too long, and says nothing"


@pytest.mark.parametrize("kind", [kind for kind in BAD if kind != SLOW] + [pytest.param(SLOW, marks=pytest.mark.slow)])
async def test_bad_audio_is_refused_with_its_reason(library: Library, voice: Path, tmp_path: Path, kind: str) -> None:
    name, write, expected = BAD[kind]
    assert await code(library, write(tmp_path / name, voice)) == expected


def wide(out: Path, voice: Path) -> Path:
    return convert(out, voice, "-ar", "96000", "-ac", "6", "-c:a", "pcm_s24le")


def tagged(out: Path, voice: Path) -> Path:
    """Half a mebibyte of metadata."""
    text = out.with_name("meta.txt")
    text.write_text(";FFMETADATA1\n" + "".join(f"tag{n}={'x' * 8_000}\n" for n in range(64)))
    return convert(out, voice, "-i", str(text), "-map_metadata", "1")


def with_chapters_and_cover(out: Path, voice: Path) -> Path:
    text, cover = out.with_name("meta.txt"), make(out.with_name("cover.png"), "testsrc=size=320x240", "-frames:v", "1")
    chapter = "[CHAPTER]\nTIMEBASE=1/1000\nSTART={0}000\nEND={1}000\ntitle=Mục {0}\n"
    text.write_text(";FFMETADATA1\n" + "".join(chapter.format(n, n + 1) for n in range(4)))
    inputs = ("-i", str(cover), "-i", str(text))
    return convert(out, voice, *inputs, "-map", "0:a", "-map", "1:v", "-map_metadata", "2", "-c:v", "copy")


GOOD: dict[str, tuple[str, Callable[[Path, Path], Path]]] = {
    "a wrong ending": ("a.wav", lambda out, voice: convert(out, voice, "-f", "mp3")),
    "a letter's ending": ("a.docx", lambda out, voice: convert(out, voice, "-f", "ogg")),
    "96 kHz, 24 bit, 6 channels": ("a.wav", wide),
    "8 kHz mu-law": ("a.wav", lambda out, voice: convert(out, voice, "-ar", "8000", "-c:a", "pcm_mulaw")),
    "8 kHz AMR's rate as MP3": ("a.mp3", lambda out, voice: convert(out, voice, "-ar", "8000", "-b:a", "8k")),
    "huge metadata": ("a.mp3", tagged),
    "chapters and a cover": ("a.mp3", with_chapters_and_cover),
    "a header that claims an hour": ("a.m4a", lying),
    "a header that claims too little": ("a.flac", modest),
    "rather too loud": ("a.wav", louder(6)),
    "harsh, but all is said": ("a.mp3", louder(12)),
    "pressed into a limiter": ("a.wav", louder(18, "alimiter=limit=0.99:level=false:attack=1:release=20")),
}


@pytest.mark.parametrize("kind", GOOD)
async def test_odd_audio_comes_out_right(library: Library, voice: Path, tmp_path: Path, kind: str) -> None:
    name, write = GOOD[kind]
    content = await imported(library, write(tmp_path / name, voice))
    assert isinstance(content, Content), content
    path = library.path(content.sha)
    assert path is not None
    assert abs(content.duration_ms - sum(f.samples * 1000 // f.sample_rate for f in frames(voice))) < 250
    lufs, peak = loudness(path)
    assert abs(lufs + 16) <= 1.5
    assert peak <= -1


@pytest.mark.parametrize(
    "source",
    ["sine=frequency=440:duration=2,volume=18dB", "sine=frequency=60:duration=2,volume=18dB"],
)
async def test_a_clean_tone_at_full_scale_is_not_clipped(library: Library, tmp_path: Path, source: str) -> None:
    assert isinstance(await imported(library, make(tmp_path / "a.wav", source)), Content)


async def test_what_is_no_ordinary_file_is_refused_at_once(library: Library, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.wav")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    # a file whose bytes nobody can read, the superuser neither
    names = [tmp_path / "fifo.wav", tmp_path / "folder.wav", tmp_path / "loop.wav", tmp_path / "missing.wav"]
    names += [Path("/proc/self/mem"), Path("/dev/zero")]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.wav"))
        names.append(tmp_path / "s.wav")
        assert [await code(library, name) for name in names] == ["AUD001"] * len(names)


async def test_a_file_that_only_its_owner_may_read_is_refused(library: Library, tmp_path: Path) -> None:
    source = make(tmp_path / "a.wav", TONE)
    source.chmod(0)
    if os.access(source, os.R_OK):
        pytest.skip("this user may read everything")
    found = await imported(library, source)
    assert isinstance(found, Diagnostic)
    assert found.code == "AUD001"


@pytest.mark.parametrize("name", ["http://127.0.0.1:9/a.mp3", "concat:a.wav|b.wav", "pipe:0", "-i", "$(touch x).wav"])
async def test_a_name_is_only_a_name(
    library: Library, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert await code(library, Path(name)) == "AUD001"
    path = tmp_path / name.replace("/", "_")
    make(tmp_path / "tone.wav", TONE).rename(path)
    before = names(tmp_path)
    assert isinstance(await imported(library, path), Content)
    assert names(tmp_path) == sorted([*before, "library"])


async def test_a_playlist_reaches_no_server(library: Library, tmp_path: Path) -> None:
    """Nothing is asked for over the network, whatever a file names."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        for name, text in {
            "a.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}\n#EXT-X-ENDLIST\n",
            "a.pls": f"[playlist]\nFile1={url}\nNumberOfEntries=1\n",
            "a.asx": f'<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
            "a.ffconcat": f"ffconcat version 1.0\nfile {url}\n",
        }.items():
            (tmp_path / name).write_text(text)
            assert await code(library, tmp_path / name) == "AUD002"
        with pytest.raises(BlockingIOError):
            server.accept()


async def test_a_decoder_that_does_not_end_is_killed(
    library: Library, voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the time limit is for: the probe answers, the decoder never."""
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nsleep 600\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(measure, "DECODE_TIMEOUT", 0.5)
    found = await imported(library, voice)
    assert isinstance(found, Diagnostic)
    assert (found.code, found.fields["detail"]) == ("AUD008", "it took too long")
