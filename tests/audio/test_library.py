"""The sound library with real sounds: what comes out is measured with another meter than the library's own."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import random
import re
import shutil
import subprocess
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import av
import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from audio import chime, measure
from audio.documents import ContentKind
from audio.library import Content, Library, content_app
from audio.measure import Input, Measured, Stage, Step
from audio.sounds import BITRATE, CARRIED
from inventory.diagnostics import Diagnostic

TEXT = "Xin chào bà con. Đây là bản tin thử nghiệm của phường Yên Đỗ."
Client = TestClient[Request, Application]


def make(out: Path, source: str, *options: str) -> Path:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", source, *options, str(out)]
    subprocess.run(command, check=True)
    return out


def convert(out: Path, source: Path, *options: str) -> Path:
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(source), *options, str(out)], check=True)
    return out


def loudness(path: Path) -> tuple[float, float]:
    """LUFS and dBTP as ffmpeg's loudnorm filter measures them."""
    command = ["ffmpeg", "-nostdin", "-i", str(path), "-af", "loudnorm=print_format=json", "-f", "null", "-"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stderr[done.stderr.rindex("{") :])
    return float(found["input_i"]), float(found["input_tp"])


def frames(path: Path) -> list[av.AudioFrame]:
    with av.open(io.BytesIO(path.read_bytes()), mode="r") as container:
        return list(container.decode(audio=0))


def stored(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About two seconds of speech as WAV."""
    folder = tmp_path_factory.mktemp("voice")
    subprocess.run(
        ["espeak-ng", "-v", "vi", "-w", str(folder / "voice.wav"), "Xin chào bà con phường Yên Đỗ."], check=True
    )
    return folder / "voice.wav"


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "library")


async def added(library: Library, source: Path) -> Content:
    content = await library.import_audio(source, bitrate=BITRATE)
    assert isinstance(content, Content), content
    return content


async def refused(library: Library, source: Path) -> Diagnostic:
    diagnostics = await library.import_audio(source, bitrate=BITRATE)
    assert isinstance(diagnostics, tuple)
    (found,) = diagnostics
    assert str(found.place) == str(source)
    assert found.fix_text()
    return found


def check(library: Library, content: Content) -> None:
    """The stored file is what the content says and what the field needs."""
    path = library.path(content.sha)
    assert path is not None
    data = path.read_bytes()
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (content.sha, content.size)
    assert data == library.read(content.sha)
    lufs, peak = loudness(path)
    assert peak <= -1.0
    # the two meters gate the last, incomplete block of a short sound differently
    assert abs(lufs - content.lufs) <= 0.5
    assert abs(peak - content.true_peak_dbtp) < 0.2
    assert abs(content.lufs + 16) <= 1.0
    decoded = frames(path)
    assert {(f.sample_rate, f.layout.name) for f in decoded} == {(48_000, "mono")}
    assert content.duration_ms == sum(f.samples for f in decoded) // 48


async def test_text_becomes_content_that_says_who_spoke(library: Library) -> None:
    content = await library.speak(TEXT, bitrate=BITRATE)
    assert isinstance(content, Content), content
    assert (content.kind, content.source) == (ContentKind.SPEECH, "espeak-ng vi")
    assert 3_000 < content.duration_ms < 7_000
    assert content.size < content.duration_ms * 24_000 / 8_000 * 1.3
    check(library, content)


@pytest.mark.parametrize("text", [TEXT, "Ngày 6/9, " * 60])
async def test_the_chime_comes_first_and_the_voice_is_as_loud_as_without(
    library: Library, tmp_path: Path, text: str
) -> None:
    plain, chimed = await library.speak(text, bitrate=BITRATE), await library.speak(text, bitrate=BITRATE, chimed=True)
    assert isinstance(plain, Content), plain
    assert isinstance(chimed, Content), chimed
    check(library, chimed)
    assert abs(chimed.duration_ms - plain.duration_ms - 1000 * chime.SECONDS) < 250
    path = library.path(chimed.sha)
    assert path is not None
    voiced = convert(tmp_path / "voiced.wav", path, "-ss", str(chime.SECONDS))
    assert abs(loudness(voiced)[0] + 16) <= 1.5
    first = convert(tmp_path / "first.wav", path, "-t", str(chime.SOUNDING))
    struck = await measure.examine(Input(first, "first", "first", ContentKind.RECORDING))
    assert isinstance(struck, Measured)
    assert abs(struck.lufs + 16) <= 2.0


async def test_a_single_syllable_has_its_chime_too(library: Library) -> None:
    content = await library.speak("Có", bitrate=BITRATE, chimed=True)
    assert isinstance(content, Content), content
    check(library, content)


def test_the_chime_is_as_loud_as_it_says(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "silence.wav"), "wb") as speech:
        speech.setnchannels(1)
        speech.setsampwidth(2)
        speech.setframerate(22_050)
        speech.writeframes(bytes(2 * 22_050))
    for lufs in (chime.LOUDNESS, -20.0):
        chime.put_before(tmp_path / "silence.wav", tmp_path / "chimed.wav", lufs + chime.BELOW)
        assert abs(loudness(tmp_path / "chimed.wav")[0] - lufs) <= 0.5


async def test_a_library_apart_keeps_its_sounds_elsewhere(library: Library, tmp_path: Path) -> None:
    content = await library.apart(tmp_path / "apart").speak("Có", bitrate=BITRATE)
    assert isinstance(content, Content), content
    assert not stored(tmp_path / "library")
    assert [path.name for path in stored(tmp_path / "apart")] == [content.sha]


@pytest.mark.parametrize("text", ["Có", "À", "5", "Ê"])
async def test_one_syllable_is_loud_enough(library: Library, text: str) -> None:
    content = await library.speak(text, bitrate=BITRATE)
    assert isinstance(content, Content), content
    assert content.duration_ms >= 500
    assert abs(content.lufs + 16) <= 1
    assert content.true_peak_dbtp <= -1


async def test_text_that_cannot_be_spoken_is_refused(library: Library, tmp_path: Path) -> None:
    found = await library.speak("…", bitrate=BITRATE)
    assert isinstance(found, tuple)
    assert [(d.code, str(d.place)) for d in found] == [("AUD013", "text")]
    assert not stored(tmp_path)


@pytest.mark.parametrize("form", ["mp3", "m4a", "opus", "film.mp4", "film.mkv"])
async def test_recordings_of_every_usual_form(library: Library, voice: Path, tmp_path: Path, form: str) -> None:
    longer_picture = ["-f", "lavfi", "-i", "testsrc=duration=9:size=64x48:rate=5", "-c:v", "mpeg4", "-c:a", "aac"]
    source = convert(tmp_path / f"voice.{form}", voice, *(longer_picture if "film" in form else ()))
    content = await added(library, source)
    assert (content.kind, content.source) == (ContentKind.RECORDING, source.name)
    length = sum(frame.samples * 1000 // frame.sample_rate for frame in frames(voice))
    assert abs(content.duration_ms - length) < 250
    check(library, content)


@pytest.mark.parametrize(
    "sound",
    [
        "sine=frequency=440:duration=3,volume=-30dB",
        "sine=frequency=440:duration=0.6",
        "anoisesrc=d=3:c=pink:a=1:seed=1,volume=6dB",
        "aevalsrc='0.01*sin(2*PI*300*t)+if(lt(mod(t,2),0.002),0.99,0)':d=4:s=48000",
        "aevalsrc='0.3*sin(2*PI*200*t)|0':d=2:s=44100",
    ],
    ids=["quiet", "short", "loud", "knocks", "one channel of two"],
)
async def test_any_loudness_comes_out_the_same(library: Library, tmp_path: Path, sound: str) -> None:
    check(library, await added(library, make(tmp_path / "in.wav", sound)))


async def test_equal_input_is_stored_once(library: Library, voice: Path, tmp_path: Path) -> None:
    tagged = convert(tmp_path / "Bản tin (2).wav", voice, "-c", "copy", "-metadata", "title=Ủy ban")
    first, second, third = await asyncio.gather(
        added(library, voice), added(library, tagged), added(Library(tmp_path / "other"), voice)
    )
    assert first == third
    assert first.sha == second.sha
    assert stored(tmp_path / "library") == [library.path(first.sha)]


async def test_what_the_disk_has_spoilt_is_mended_by_the_next_import(library: Library, voice: Path) -> None:
    content = await added(library, voice)
    path = library.path(content.sha)
    assert path is not None
    path.write_bytes(b"spoilt")
    assert await added(library, voice) == content
    check(library, content)


async def test_bitrate_is_the_callers(library: Library, voice: Path) -> None:
    usual = await added(library, voice)
    lean = await library.import_audio(voice, bitrate=CARRIED)
    assert isinstance(lean, Content), lean
    assert lean.size < usual.size * 0.8


async def test_who_is_cancelled_leaves_nothing_in_the_library(library: Library, tmp_path: Path) -> None:
    source = make(tmp_path / "in.flac", "anoisesrc=d=120:c=pink")
    work = asyncio.create_task(library.import_audio(source, bitrate=BITRATE))
    folder = tmp_path / "library"
    async with asyncio.timeout(60):
        while not stored(folder):  # noqa: ASYNC110 (another process writes there)
            await asyncio.sleep(0.01)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert not stored(folder)


def begins(path: Path) -> float:
    """Seconds before the first 5 ms that are louder than -40 dBFS."""
    level, position = 10 ** (-40 / 20), 0
    for frame in frames(path):
        samples = memoryview(bytes(frame.planes[0])).cast("f")[: frame.samples]
        for start in range(0, len(samples), 240):
            part = samples[start : start + 240]
            if sum(value * value for value in part) / len(part) > level**2:
                return (position + start) / 48_000
        position += frame.samples
    raise AssertionError("nothing is heard")


async def test_leading_silence_is_cut_on_request(library: Library, voice: Path, tmp_path: Path) -> None:
    room = "anoisesrc=d=3:c=pink:a=0.002:seed=1:r=22050"
    late = convert(
        tmp_path / "late.wav", voice, "-f", "lavfi", "-i", room, "-filter_complex", "[1][0]concat=v=0:a=1", "-ac", "1"
    )
    whole = await added(library, late)
    trimmed = await library.import_audio(late, bitrate=BITRATE, trim=True)
    assert isinstance(trimmed, Content), trimmed
    before, after = library.path(whole.sha), library.path(trimmed.sha)
    assert before is not None
    assert after is not None
    assert begins(before) > 3
    assert 0 < begins(after) < 0.1
    assert whole.cut_ms == 0
    assert trimmed.cut_ms == pytest.approx(whole.duration_ms - trimmed.duration_ms, abs=2)
    assert trimmed.cut_ms == pytest.approx((begins(before) - begins(after)) * 1000, abs=10)
    check(library, trimmed)


async def test_nothing_is_cut_where_the_sound_begins_at_once(library: Library, tmp_path: Path) -> None:
    tone = make(tmp_path / "tone.wav", "sine=frequency=440:duration=2")
    trimmed = await library.import_audio(tone, bitrate=BITRATE, trim=True)
    assert isinstance(trimmed, Content), trimmed
    assert trimmed.cut_ms <= 1
    assert trimmed.duration_ms >= 1_999


async def test_what_is_too_short_once_it_is_trimmed_is_refused(library: Library, tmp_path: Path) -> None:
    late = make(tmp_path / "late.wav", "sine=duration=0.42", "-af", "adelay=3000")
    found = await library.import_audio(late, bitrate=BITRATE, trim=True)
    assert isinstance(found, tuple)
    assert [d.code for d in found] == ["AUD004"]


async def test_an_mp3_of_the_same_sound_for_other_vendors_devices(voice: Path, tmp_path: Path) -> None:
    plain, both = Library(tmp_path / "plain"), Library(tmp_path / "both", mp3=True)
    usual, content = await added(plain, voice), await added(both, voice)
    assert (usual.mp3, plain.mp3(usual.sha)) == ("", None)
    assert content.sha == usual.sha, "the other encoder changes nothing of the Opus"
    path = both.path(content.mp3)
    assert path is not None
    assert hashlib.sha256(path.read_bytes()).hexdigest() == content.mp3 == both.mp3(content.sha)
    lufs, peak = loudness(path)
    assert abs(lufs + 16) <= 1.0
    assert peak <= -1.0
    with av.open(str(path)) as container:
        (track,) = container.streams
        assert (track.codec_context.name, container.format.name) == ("mp3float", "mp3")
    assert abs(sum(f.samples for f in frames(path)) / 48 - content.duration_ms) < 60
    # an hour later, after a restart: still there, still once
    again = Library(tmp_path / "both", mp3=True)
    assert await added(again, voice) == content
    assert again.mp3(content.sha) == content.mp3
    assert len(stored(tmp_path / "both")) == 3, "two files and the link"
    async with TestClient(TestServer(content_app(again))) as client:
        async with client.get(f"/content/{content.mp3}") as answer:
            assert (answer.headers["Content-Type"], await answer.read()) == ("audio/mpeg", path.read_bytes())
        async with client.get(f"/content/{content.sha}.mp3") as answer:
            assert answer.status == 404


async def test_how_far_a_long_job_is(library: Library, tmp_path: Path) -> None:
    source = make(tmp_path / "in.flac", "sine=frequency=440:duration=60")
    steps: list[Step] = []
    assert isinstance(await library.import_audio(source, bitrate=BITRATE, progress=steps.append), Content)
    assert list(dict.fromkeys(step.stage for step in steps))[:3] == [Stage.MEASURE, Stage.ENCODE, Stage.CHECK]
    assert {round(step.total) for step in steps} == {60}
    for stage in Stage:
        last = [step.done for step in steps if step.stage is stage][-1]
        assert last == pytest.approx(60, abs=0.5)


async def test_what_a_killed_import_has_left_is_swept(library: Library, voice: Path, tmp_path: Path) -> None:
    content = await added(library, voice)
    left = tmp_path / "library" / ".new-abc"
    left.mkdir()
    (left / "sound.opus").write_bytes(b"half")
    library.sweep()
    assert stored(tmp_path / "library") == [library.path(content.sha)]
    assert not left.exists()
    Library(tmp_path / "missing").sweep()


def piped(source: Path, out: Path) -> Path:
    with out.open("wb") as file:
        subprocess.run(["ffmpeg", "-v", "error", "-i", str(source), "-f", "wav", "-"], stdout=file, check=True)
    return out


def damaged(source: Path, out: Path) -> Path:
    """A fifth of the file, from its middle, overwritten with noise."""
    data = bytearray(source.read_bytes())
    start, length = len(data) // 3, len(data) // 5
    data[start : start + length] = random.Random(1).randbytes(length)
    out.write_bytes(data)
    return out


def cut(source: Path, out: Path) -> Path:
    data = source.read_bytes()
    out.write_bytes(data[: len(data) // 2])
    return out


@pytest.mark.parametrize("form", ["flac", "mp3", "m4a", "ogg"])
async def test_a_recording_with_a_hole_is_refused(library: Library, voice: Path, tmp_path: Path, form: str) -> None:
    whole = convert(tmp_path / f"whole.{form}", voice)
    found = await refused(library, damaged(whole, tmp_path / f"hole.{form}"))
    assert found.code == "AUD003"
    assert re.search(r"s can be decoded|errors while decoding|checksum", found.text())


@pytest.mark.parametrize(
    ("form", "code"), [("wav", "AUD003"), ("flac", "AUD003"), ("mp3", "AUD003"), ("m4a", "AUD002")]
)
async def test_a_recording_cut_short_is_refused(
    library: Library, voice: Path, tmp_path: Path, form: str, code: str
) -> None:
    whole = convert(tmp_path / f"whole.{form}", voice)
    assert (await refused(library, cut(whole, tmp_path / f"cut.{form}"))).code == code


async def test_a_wav_whose_recorder_could_not_seek_back_is_whole(library: Library, voice: Path, tmp_path: Path) -> None:
    check(library, await added(library, piped(voice, tmp_path / "piped.wav")))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("letter.txt", "Kính gửi Ủy ban nhân dân".encode()),
        ("noise.mp3", random.Random(2).randbytes(50_000)),
        ("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", b"ffconcat version 1.0\nfile /etc/hostname\n"),
        ("head.wav", b"RIFF\x04\0\0\0WAVE"),
    ],
)
async def test_what_is_no_sound_is_refused(library: Library, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert (await refused(library, tmp_path / name)).code == "AUD002"


async def test_a_picture_and_a_silent_film_are_no_sound(library: Library, tmp_path: Path) -> None:
    picture = make(tmp_path / "a.png", "testsrc=size=64x48", "-frames:v", "1")
    film = make(tmp_path / "a.mp4", "testsrc=size=64x48:duration=1", "-c:v", "mpeg4")
    assert (await refused(library, picture)).code == "AUD002"
    assert (await refused(library, film)).code == "AUD002"


@pytest.mark.parametrize(
    ("sound", "code", "says"),
    [
        ("anullsrc=r=48000:cl=mono:d=3", "AUD006", "silent"),
        ("anoisesrc=d=3:a=0.0005:seed=1", "AUD006", "silent"),
        ("aevalsrc='0.3*sin(2*PI*200*t)|-0.3*sin(2*PI*200*t)':d=2:s=48000", "AUD006", "silent"),
        ("sine=duration=0.3", "AUD004", "0.3 s"),
        ("aevalsrc='if(lt(mod(t,0.5),0.0001),0.99,0)':d=4:s=48000", "AUD007", "LUFS"),
    ],
    ids=["zero", "hiss", "channels in opposition", "too short", "clicks"],
)
async def test_sound_that_cannot_be_aired_is_refused(
    library: Library, tmp_path: Path, sound: str, code: str, says: str
) -> None:
    found = await refused(library, make(tmp_path / "in.wav", sound))
    assert found.code == code
    assert says in found.text()
    assert not stored(tmp_path / "library")


async def test_what_is_too_long_is_refused_before_it_is_decoded(library: Library, tmp_path: Path) -> None:
    long = make(tmp_path / "long.flac", "anullsrc=r=8000:cl=mono:d=1801")
    found = await refused(library, long)
    assert (found.code, found.fields["seconds"], found.fields["most"]) == ("AUD005", "1801", "1800")


async def test_what_does_not_say_its_length_is_measured(
    library: Library, voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nameless = convert(tmp_path / "a.mp3", voice, "-write_xing", "0", "-id3v2_version", "0", "-q:a", "5")
    check(library, await added(library, nameless))
    monkeypatch.setattr(measure, "LONGEST", 1)
    assert (await refused(library, nameless)).code == "AUD005"


async def test_files_that_cannot_be_read_are_refused(library: Library, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    found = [await refused(library, tmp_path / name) for name in ("missing.wav", ".", "empty.wav")]
    assert [d.code for d in found] == ["AUD001", "AUD001", "AUD004"]


async def test_a_library_that_cannot_be_written_is_a_diagnostic(voice: Path, tmp_path: Path) -> None:
    (tmp_path / "library").touch()
    assert (await refused(Library(tmp_path / "library"), voice)).code == "AUD009"


async def test_missing_programs_are_a_diagnostic(
    library: Library, voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (await refused(library, voice)).code == "AUD008"
    probe = shutil.which("ffprobe", path="/usr/local/bin:/usr/bin:/bin")
    assert probe is not None
    (tmp_path / "ffprobe").symlink_to(probe)
    found = await refused(library, voice)
    assert (found.code, found.fields["tool"]) == ("AUD008", "ffmpeg")


def test_names_that_are_no_content(library: Library, tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "outside").write_text("secret")
    for name in ("", "../outside", "/etc/passwd", "a" * 63, "A" * 64, "a" * 64, "a" * 64 + "\n"):
        assert library.path(name) is None
        with pytest.raises(FileNotFoundError):
            library.read(name)


@pytest.fixture
async def client(library: Library) -> AsyncIterator[Client]:
    async with TestClient(TestServer(content_app(library))) as client:
        yield client


async def test_content_is_served_whole_and_in_ranges(client: Client, library: Library, voice: Path) -> None:
    content = await added(library, voice)
    data = library.read(content.sha)
    url = f"/content/{content.sha}"
    async with client.get(url) as whole:
        assert (whole.status, await whole.read()) == (200, data)
        assert whole.headers["Content-Type"] == "audio/ogg"
        assert "immutable" in whole.headers["Cache-Control"]
    async with client.head(url) as head:
        assert (head.status, head.headers["Content-Length"], await head.read()) == (200, str(content.size), b"")
    async with client.get(url, headers={"Range": "bytes=1000-"}) as rest:
        assert (rest.status, await rest.read()) == (206, data[1000:])
        assert rest.headers["Content-Range"] == f"bytes 1000-{content.size - 1}/{content.size}"
    async with client.get(url, headers={"Range": f"bytes={content.size}-"}) as beyond:
        assert beyond.status == 416


async def test_nothing_else_is_served(client: Client, library: Library, voice: Path) -> None:
    sha = (await added(library, voice)).sha
    wrong = ["/", "/content", "/content/", f"/content/{sha[:2]}", f"/content/{sha}/", f"/content/{sha.upper()}"]
    wrong += [f"/content/{'0' * 64}", f"/content/{sha}%0a", "/content/..%2f..%2fetc%2fpasswd", f"/{sha[:2]}/{sha}"]
    for path in wrong:
        async with client.get(path) as answer:
            assert answer.status == 404, path
    for method in ("POST", "PUT", "DELETE"):
        async with client.request(method, f"/content/{sha}") as answer:
            assert answer.status == 405
    assert library.path(sha) is not None
