"""A bulletin's sound before it is handed in: the real library and voice, nothing kept."""

from __future__ import annotations

import base64
import wave
from pathlib import Path

import pytest

from audio import chime
from audio.library import Library, decoded_ms
from audio.speech import Accent, Voice
from tests.audio.province import CHI, EVENING, GIA, network
from tui.hub import Caller, Refusal
from tui.methods import Push
from tui.sound_methods import Sound
from tui.sound_service import SoundService, spoken

PUSH = Push("23557", "normal", "Tiêm phòng", "", text="Sáng mai tiêm phòng.")


class Desk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.service = SoundService(network, lambda: EVENING, Library(folder, Voice(Accent.SOUTH)))

    async def sound(self, push: Push, *, person: str = CHI.id) -> Sound:
        people = network().people
        return await self.service.sound(
            Caller(1, person, next((p for i, p in people.items() if i == person), None)), push
        )

    async def refused(self, push: Push, *, person: str = CHI.id) -> list[str]:
        with pytest.raises(Refusal) as refusal:
            await self.sound(push, person=person)
        return [problem.code for problem in refusal.value.problems]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "content")


async def test_it_sounds_as_it_will_be_aired_and_nothing_is_kept(desk: Desk) -> None:
    made = await desk.sound(PUSH)
    data = base64.b64decode(made.data)
    assert data[:4] == b"OggS"
    assert decoded_ms(data) == made.duration
    assert abs(made.loudness + 16) <= 1
    assert made.voice == "espeak-ng vi-vn-x-south"
    assert not desk.folder.exists()


async def test_the_chime_is_not_for_emergencies(desk: Desk) -> None:
    usual = await desk.sound(PUSH)
    urgent = await desk.sound(
        Push("64", "emergency", "Lũ", "", text=PUSH.text, authority="Công điện số 5"), person="an"
    )
    assert abs(usual.duration - urgent.duration - 1000 * chime.SECONDS) < 250


async def test_a_recording_has_no_chime_and_no_voice(desk: Desk, tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8_000)
        sound.writeframes(bytes([0, 40, 0, 216]) * 8_000)
    data = base64.b64encode((tmp_path / "a.wav").read_bytes()).decode()
    made = await desk.sound(Push("23557", "normal", "Nhạc hiệu", "", audio=data, audio_name="a.wav"))
    assert abs(made.duration - 2_000) < 250
    assert made.voice == "a.wav"


async def test_what_nobody_has_said_yet_has_no_sound(desk: Desk) -> None:
    assert await desk.refused(Push("23557", "normal", "Nói chuyện", "", live=600_000)) == ["BUL097"]
    assert await desk.refused(Push("23557", "normal", "Nói chuyện", "", live=1)) == ["BUL008"]


async def test_who_may_not_hand_it_in_does_not_hear_it(desk: Desk) -> None:
    assert await desk.refused(PUSH, person="nobody") == ["CFG104"]
    assert "BUL001" in await desk.refused(PUSH, person=GIA.id)
    assert await desk.refused(Push("23557", "normal", "Tiêm phòng", "", text="…")) == ["AUD013"]


def test_how_a_text_is_read_with_what_to_look_at() -> None:
    said, warnings = spoken("5h30 ngày 30/2/2024, xem https://a.vn")
    assert said.startswith("năm giờ ba mươi phút ngày")
    assert [w.code for w in warnings] == ["AUD014", "AUD017"]
    assert spoken("") == ("", ())
