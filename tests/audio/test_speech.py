"""Text to speech with the real voice."""

from __future__ import annotations

import json
import sys
import unicodedata
import wave
from pathlib import Path
from typing import Literal

import pytest

from audio import speech
from audio.speech import Accent, Voice
from inventory.diagnostics import Diagnostic

TEXT = "Xin chào bà con. Ủy ban nhân dân phường Yên Đỗ thông báo."
FORMS: dict[str, Literal["NFC", "NFD"]] = {"c.wav": "NFC", "d.wav": "NFD"}


def seconds(path: Path) -> float:
    with wave.open(str(path)) as sound:
        # a WAV that was written to the end: its header has the true length
        assert sound.getnframes() * sound.getsampwidth() + 44 == path.stat().st_size
        return float(sound.getnframes() / sound.getframerate())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_vietnamese_text_becomes_sound(tmp_path: Path) -> None:
    assert await speech.speak(TEXT, tmp_path / "a.wav") is None
    assert 2 < seconds(tmp_path / "a.wav") < 10


async def test_composed_and_decomposed_text_sound_the_same(tmp_path: Path) -> None:
    for name, form in FORMS.items():
        text = unicodedata.normalize(form, TEXT)
        assert await speech.speak(text, tmp_path / name) is None
    assert (tmp_path / "c.wav").read_bytes() == (tmp_path / "d.wav").read_bytes()


@pytest.mark.parametrize(
    "text", ["-v en -f /etc/passwd", "$(touch x) `touch x`; touch x | 1", "<speak>mở</speak>", "a\u00adb\u200bc\ufeff"]
)
async def test_text_is_only_ever_said(tmp_path: Path, text: str) -> None:
    assert await speech.speak(text, tmp_path / "a.wav") is None
    assert names(tmp_path) == ["a.wav"]


async def test_phoneme_notation_is_read_as_text(tmp_path: Path) -> None:
    assert await speech.speak("[[pa]] một", tmp_path / "brackets.wav") is None
    assert await speech.speak("[ [pa]] một", tmp_path / "text.wav") is None
    assert (tmp_path / "brackets.wav").read_bytes() == (tmp_path / "text.wav").read_bytes()


async def test_figures_are_spoken_as_their_words(tmp_path: Path) -> None:
    assert await speech.speak("5h30 ngày 6/9, UBND", tmp_path / "figures.wav") is None
    words = "năm giờ ba mươi phút ngày sáu tháng chín, ủy ban nhân dân"
    assert await speech.speak(words, tmp_path / "words.wav") is None
    assert (tmp_path / "figures.wav").read_bytes() == (tmp_path / "words.wav").read_bytes()


async def test_accents_differ_and_speed_is_heard(tmp_path: Path) -> None:
    sounds = {}
    for accent in Accent:
        out = tmp_path / f"{accent}.wav"
        assert await speech.speak(TEXT, out, Voice(accent)) is None
        sounds[accent] = out.read_bytes()
    assert len(set(sounds.values())) == len(Accent) == 3
    for speed in (100, 250):
        assert await speech.speak(TEXT, tmp_path / f"{speed}.wav", Voice(speed=speed)) is None
    assert seconds(tmp_path / "100.wav") > 1.5 * seconds(tmp_path / "250.wav")


def test_the_voice_is_named() -> None:
    assert Voice().name == "espeak-ng vi"
    assert Voice(Accent.SOUTH).name == "espeak-ng vi-vn-x-south"
    assert Voice(model=Path("/voices/vi_VN-vais1000-medium.onnx")).name == "piper vi_VN-vais1000-medium"


STAND_IN = """#!{python}
# A stand-in for piper: takes its documented options and text on standard input, and writes a second of silence as WAV.
import argparse, json, pathlib, sys, wave
parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--output_file", required=True)
parser.add_argument("--length_scale", type=float)
parser.add_argument("--sentence_silence", type=float)
given = parser.parse_args()
here = pathlib.Path(__file__).parent
lines = sys.stdin.read().splitlines()
here.joinpath("asked.json").write_text(json.dumps([given.model, given.length_scale, lines]))
if here.joinpath("broken").exists():
    sys.exit("no such phoneme")
with wave.open(given.output_file, "wb") as out:
    out.setnchannels(1), out.setsampwidth(2), out.setframerate(22050)
    out.writeframes(bytes(2 * 22050))
"""


@pytest.fixture
def piper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a stand-in for piper, alone on the PATH, and of its voice."""
    folder = tmp_path / "piper"
    folder.mkdir()
    program = folder / "piper"
    program.write_text(STAND_IN.format(python=sys.executable), encoding="utf-8")
    program.chmod(0o755)
    for name in ("vi.onnx", "vi.onnx.json"):
        (folder / name).touch()
    monkeypatch.setenv("PATH", str(folder))
    return folder


async def test_a_piper_voice_gets_one_line_on_its_standard_input(piper: Path, tmp_path: Path) -> None:
    voice = Voice(speed=140, model=piper / "vi.onnx")
    assert await speech.speak("Lúc 5h30\nUBND xã $(id)", tmp_path / "a.wav", voice) is None
    model, pace, lines = json.loads((piper / "asked.json").read_text())
    assert (model, pace) == (str(piper / "vi.onnx"), 1.25)
    assert lines == ["Lúc năm giờ ba mươi phút. ủy ban nhân dân xã đô la, id"]
    assert seconds(tmp_path / "a.wav") == 1


async def test_a_piper_voice_that_is_not_there_or_fails_is_a_diagnostic(piper: Path, tmp_path: Path) -> None:
    voice = Voice(model=piper / "vi.onnx")
    (piper / "broken").touch()
    failed = await speech.speak(TEXT, tmp_path / "a.wav", voice)
    (piper / "piper").unlink()
    missing = await speech.speak(TEXT, tmp_path / "a.wav", voice)
    (piper / "vi.onnx.json").unlink()
    undescribed = await speech.speak(TEXT, tmp_path / "a.wav", voice)
    assert isinstance(failed, Diagnostic)
    assert isinstance(missing, Diagnostic)
    assert isinstance(undescribed, Diagnostic)
    assert (failed.code, failed.fields) == ("AUD008", {"tool": "piper", "detail": "no such phoneme"})
    assert (missing.code, missing.fields["tool"]) == ("AUD008", "piper")
    assert (undescribed.code, undescribed.fields["file"]) == ("AUD018", f"{piper / 'vi.onnx.json'}")


async def test_the_longest_text_is_spoken(tmp_path: Path) -> None:
    text = ("Một hai ba. " * 500)[: speech.LONGEST - 1] + "x"
    assert await speech.speak(text, tmp_path / "a.wav") is None
    assert seconds(tmp_path / "a.wav") > 300


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("", "AUD010", "empty"),
        (" \n\t\ufeff", "AUD010", "empty"),
        ("Xin\x00chào", "AUD011", "U+0000"),
        ("Xin \x1b[31mchào", "AUD011", "position 5"),
        ("Xin \u202echào", "AUD011", "U+202E"),
        ("Xin \ud800", "AUD011", "U+D800"),
        ("a" * 5_001, "AUD012", "5001"),
        ("... !!! 🎉 —", "AUD013", "spoken"),
        ("通知 объявление", "AUD013", "spoken"),
        ("https://gialai.gov.vn", "AUD013", "spoken"),
    ],
)
async def test_what_cannot_be_said_is_refused(tmp_path: Path, text: str, code: str, says: str) -> None:
    refused = await speech.speak(text, tmp_path / "a.wav")
    assert isinstance(refused, Diagnostic)
    assert (refused.code, str(refused.place)) == (code, "text")
    assert says in refused.text()
    assert refused.fix_text()
    assert not names(tmp_path)


async def test_a_voice_that_hangs_or_fails_is_a_diagnostic(tmp_path: Path) -> None:
    slow = await speech.speak(TEXT, tmp_path / "a.wav", timeout=0.0001)
    failed = await speech.speak(TEXT, tmp_path / "missing" / "a.wav")
    for refused in (slow, failed):
        assert isinstance(refused, Diagnostic)
        assert refused.code == "AUD008"
        assert "espeak-ng" in refused.text()
