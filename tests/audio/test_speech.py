"""Text to speech with the real voice."""

from __future__ import annotations

import unicodedata
import wave
from pathlib import Path
from typing import Literal

import pytest

from audio import speech
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
