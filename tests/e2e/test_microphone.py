"""A live microphone from the speaker's pipe to the loudspeaker: real verbs, hub, broker and receiver."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.audio.live_kit import likeness
from tests.e2e.kit import approve, listed, push, receipts, running, until
from tests.sim.hearing import RATE, recording
from tests.sim.world import World

pytestmark = pytest.mark.slow

DEVICE, WARD = "23557-L01", "23557"
EDITOR = "c23557.editor"
ON_AIR = "đang phát đến"
"""What the verb says once the speaker is heard."""
SPOKEN = 60
"""Seconds of sound, more than is listened to."""
Sound = npt.NDArray[np.float64]


def speech(folder: Path) -> tuple[Path, Sound]:
    """A recording of noise below 2 kHz, which correlates with nothing but itself, and its samples."""
    path = folder / "speech.wav"
    noise = f"anoisesrc=d={SPOKEN}:c=pink:r={RATE}:seed=77:a=0.3,lowpass=f=2000:p=2,lowpass=f=2000:p=2"
    made = ("-f", "lavfi", "-i", noise, "-ac", "1", "-c:a", "pcm_s16le", str(path))
    subprocess.run(["ffmpeg", "-v", "error", "-y", *made], check=True)
    raw = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "s16le", "pipe:1"]
    return path, np.frombuffer(subprocess.run(raw, check=True, stdout=subprocess.PIPE).stdout, "<i2").astype(float)


class Speaker:
    """``loa live`` as somebody runs it beside the hub, with a recording on its stdin."""

    def __init__(self, world: World, bulletin: str, sound: Path, name: str) -> None:
        self._log = world.folder / f"{name}.log"
        command = [sys.executable, "-m", "tui.cli", "--as", EDITOR, "live", bulletin, "--input", "-"]
        environment = {k: v for k, v in world.environment.items() if k != "SSH_CONNECTION"}
        with sound.open("rb") as stdin, self._log.open("wb") as out:
            self.process = subprocess.Popen(
                command, stdin=stdin, stdout=out, stderr=out, env=environment, cwd=world.folder
            )

    @property
    def said(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def ended(self) -> int:
        return self.process.wait(120)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextmanager
def speaking(world: World, bulletin: str, sound: Path, name: str) -> Iterator[Speaker]:
    speaker = Speaker(world, bulletin, sound, name)
    try:
        yield speaker
    finally:
        speaker.close()


def alike(world: World, start: int, seconds: int, original: Sound) -> list[float]:
    """How like each second from ``start`` (Unix ms) on is to some place of the original."""
    heard = recording(world.output(DEVICE))
    pieces = [heard.between(start + n * 1000, start + n * 1000 + 1000) for n in range(seconds)]
    return [likeness(piece, original)[0] if piece.any() else 0.0 for piece in pieces]


def whole_seconds(world: World, start: int, original: Sound) -> int:
    """How many seconds since the start were heard as they were said."""
    return sum(each > 0.9 for each in alike(world, start, (world.now() - start) // 1000 - 1, original))


def test_what_is_said_is_heard_and_an_early_end_gives_the_air_back(tmp_path: Path) -> None:
    sound, original = speech(tmp_path)
    with running(tmp_path / "world", [DEVICE], units=(WARD,)) as world:
        bulletin = push(world, WARD, "priority", "Chủ tịch phường nói chuyện", "--live", "5m", "--now")
        with speaking(world, bulletin, sound, "early") as early:
            assert early.ended() == 1
            assert "BUL095" in early.said, "nobody has approved it"
        start = begins(approve(world, WARD, bulletin))
        with speaking(world, bulletin, sound, "speaker") as speaker:
            until(lambda: ON_AIR in speaker.said, f"on the air: {speaker.said}")
            with speaking(world, bulletin, sound, "second") as second:
                assert second.ended() == 1
                assert "BUL096" in second.said
            # each busy moment of the machine may tear a hole into a second of it
            until(lambda: whole_seconds(world, start, original) >= 4, "the speech is heard")
            assert listed(world, bulletin).state == "airing"

            following = push(world, WARD, "priority", "Sau đó", "--text", "Bản tin tiếp theo.", "--now")
            after = begins(approve(world, WARD, following))
            assert after > start + 300_000, "while it is planned, its air is its own"
            speaker.process.send_signal(signal.SIGINT)
            assert speaker.ended() == 0, speaker.said
        assert listed(world, bulletin).state == "aired"
        until(lambda: receipts(world, bulletin), "the loudspeaker has told what it played")
        (receipt,) = receipts(world, bulletin)
        assert (receipt.device, receipt.reason) == (DEVICE, "withdrawn")
        assert receipt.content == f"mic-{bulletin[-12:]}"
        assert receipt.ended < start + 200_000
        soon = push(world, WARD, "priority", "Ngay sau đó", "--text", "Bản tin tiếp theo.", "--now")
        assert begins(approve(world, WARD, soon)) < start + 200_000, "the programme goes on"


def test_a_speaker_comes_back_to_a_hub_that_was_killed(tmp_path: Path) -> None:
    sound, original = speech(tmp_path)
    with running(tmp_path / "world", [DEVICE], units=(WARD,)) as world:
        bulletin = push(world, WARD, "priority", "Chủ tịch phường nói chuyện", "--live", "5m", "--now")
        start = begins(approve(world, WARD, bulletin))
        with speaking(world, bulletin, sound, "speaker") as speaker:
            until(lambda: world.now() > start and ON_AIR in speaker.said, "on the air")
            world.kill("hub")
            world.start_hub()
            back = world.now()
            until(lambda: speaker.said.count(ON_AIR) == 2, f"on the air again: {speaker.said}")
            until(lambda: whole_seconds(world, back, original), "it is heard again")
            # the recording comes to its end: so does the speech, which had minutes left
            assert speaker.ended() == 0, speaker.said
        assert listed(world, bulletin).state == "aired"
        assert world.now() < start + 300_000


def begins(approved: dict[str, object]) -> int:
    """The one start (Unix ms) that the approval gave it."""
    starts = approved["starts"]
    assert isinstance(starts, dict)
    (at,) = starts.values()
    return int(datetime.fromisoformat(str(at)).timestamp() * 1000)
