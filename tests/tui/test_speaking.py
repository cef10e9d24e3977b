"""Speaking: the real socket, service and ffmpeg, with a store whose bulletins are planned, stopped and over."""

from __future__ import annotations

import asyncio
import io
import os
import pwd
import struct
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from audio.desk import Stopped
from audio.live.microphone import MOST, Microphones
from audio.live.session import DELAY
from audio.live.source import FRAME_BYTES, RATE
from audio.microphones import Speech
from audio.refusals import refuse
from inventory.diagnostics import Diagnostic
from inventory.model import Person, PersonId, Role
from nms.store import StoreError
from tests.audio.live_kit import now
from tests.audio.province import WARD, eventually, network
from tui import live_service
from tui.commands.live import LOWEST
from tui.gateway import HubError, SocketGateway
from tui.hub import HubSocket
from tui.live_methods import SPEAK, Phase, Speak, Speaking, framed, live_socket
from tui.live_service import LiveService
from tui.speaking import Input, NoSound, Speaker

ME = Person(PersonId("me"), "Trần Thị Chi", pwd.getpwuid(os.getuid()).pw_name, (Role.EDITOR,), WARD)
SESSION = "mic-0123456789ab"


@dataclass
class Desk:
    """What the store would say of one live bulletin."""

    speech: Speech | tuple[Diagnostic, ...]
    noted: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    broken: bool = False

    async def look(self, person: Person, bulletin: str) -> Speech | tuple[Diagnostic, ...]:
        if self.broken:
            raise StoreError(refuse("BUL020", bulletin=bulletin))
        return self.speech

    async def note(self, person: Person, bulletin: str, uid: int) -> None:
        self.noted.append(person.name)

    async def end(self, person: Person, bulletin: str, uid: int) -> Stopped:
        self.ended.append(bulletin)
        self.speech = (refuse("BUL095", title="Nói chuyện", state="aired"),)
        return Stopped(())


def planned(start: int, until: int) -> Speech:
    """A window so many ms from now."""
    at = round(now().timestamp() * 1000)
    return Speech("b1", "Nói chuyện", SESSION, at + start, at + until)


@dataclass
class Town:
    desk: Desk
    microphones: Microphones
    path: Path
    task: asyncio.Task[None] | None = None

    @property
    def gateway(self) -> SocketGateway:
        return SocketGateway(self.path)

    async def start(self) -> None:
        people = {ME.id: ME}
        service = LiveService(self.desk, self.microphones, now)  # type: ignore[arg-type]
        hub = HubSocket(self.path, service.handlers(), lambda: replace(network(), people=people))
        self.task = asyncio.create_task(hub.run())
        await eventually(self.path.exists)
        await asyncio.sleep(0)

    async def stop(self) -> None:
        """As a hub that is killed: every connection is lost."""
        assert self.task is not None
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task
        mine = [t for t in asyncio.all_tasks() if "HubSocket._serve" in repr(t.get_coro())]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)


@asynccontextmanager
async def town(folder: Path, speech: Speech | tuple[Diagnostic, ...]) -> AsyncIterator[Town]:
    made = Town(Desk(speech), Microphones(), live_socket(folder / "hub.sock"))
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was said last sounds nowhere here."""
    monkeypatch.setattr(live_service, "LAST_WORDS", 0.1)
    monkeypatch.setattr(live_service, "EVERY", 0.1)


def tone(seconds: float) -> bytes:
    """A WAV file of a square wave."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(struct.pack("<2h", 9000, -9000) * round(RATE * seconds / 2))
    return file.getvalue()


@asynccontextmanager
async def talking(town: Town) -> AsyncIterator[tuple[list[Speaking], asyncio.StreamWriter]]:
    """A client of our own: what it was told so far, and where it sends to."""
    told: list[Speaking] = []
    given: list[asyncio.StreamWriter] = []

    async def listen() -> None:
        async for news in town.gateway.talk(SPEAK, Speak("b1"), given.append):
            told.append(news)

    task = asyncio.create_task(listen())
    try:
        await eventually(lambda: task.done() or (told and given))
        if task.done():
            task.result()
        yield told, given[0]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def refused(town: Town) -> list[str]:
    with pytest.raises(HubError) as error:
        async with talking(town):
            pass
    return [problem.code for problem in error.value.problems]


# -- the hub's side


async def test_frames_reach_the_sessions_microphone_and_nothing_ends_before_it_has_begun(tmp_path: Path) -> None:
    async with town(tmp_path, planned(60_000, 120_000)) as here:
        microphone = here.microphones.of(SESSION)
        async with talking(here) as (told, writer):
            assert [news.phase for news in told] == [Phase.WAITING]
            assert told[0].until - told[0].start == 60_000
            assert (microphone.speaker, here.desk.noted) == (ME.name, [ME.name])
            for _ in range(5):
                writer.write(framed(bytes(FRAME_BYTES)))
            await eventually(lambda: microphone.waiting == 100)
            writer.write(framed(b""))
            await eventually(lambda: told[-1].phase is Phase.LEFT)
        assert here.desk.ended == []
        await eventually(lambda: not microphone.speaker)
        assert microphone.waiting == 0, "the next speaker does not begin with this one's words"


async def test_one_is_told_when_what_is_said_begins_to_be_heard_and_when_it_is_over(tmp_path: Path) -> None:
    async with town(tmp_path, planned(60_000, 120_000)) as here, talking(here) as (told, _):
        here.desk.speech = planned(DELAY, 60_000)  # its time has come: what is said now sounds then
        await eventually(lambda: told[-1].phase is Phase.ON_AIR)
        here.desk.speech = planned(-60_000, DELAY)
        await eventually(lambda: told[-1].phase is Phase.OVER)
        assert [news.phase for news in told] == [Phase.WAITING, Phase.ON_AIR, Phase.OVER]
        assert here.desk.ended == [], "it ended by itself"


async def test_the_speakers_own_end_gives_the_air_back(tmp_path: Path) -> None:
    async with town(tmp_path, planned(0, 60_000)) as here, talking(here) as (told, writer):
        assert told[-1].phase is Phase.ON_AIR
        writer.write(framed(b""))
        await eventually(lambda: told[-1].phase is Phase.OVER)
        assert here.desk.ended == ["b1"]


async def test_a_lost_line_ends_nothing_and_the_microphone_is_free_again(tmp_path: Path) -> None:
    async with town(tmp_path, planned(0, 60_000)) as here:
        microphone = here.microphones.of(SESSION)
        async with talking(here):
            assert await refused(here) == ["BUL096"], "one at a time"
        await eventually(lambda: not microphone.speaker)
        async with talking(here) as (_, writer):
            writer.write(b"\x00\x07seven b")  # nobody's frame
            await eventually(lambda: not microphone.speaker)
        async with talking(here) as (told, _):
            assert told[-1].phase is Phase.ON_AIR
        assert here.desk.ended == []


async def test_a_stop_elsewhere_closes_the_microphone_and_a_move_is_told(tmp_path: Path) -> None:
    async with town(tmp_path, planned(60_000, 120_000)) as here, talking(here) as (told, _):
        later = planned(90_000, 150_000)
        here.desk.speech = later
        await eventually(lambda: told[-1].start == later.start)
        here.desk.broken = True  # a store that is away for a moment keeps nobody from speaking
        await asyncio.sleep(0.3)
        here.desk.broken = False
        assert told[-1].phase is Phase.WAITING
        here.desk.speech = (refuse("BUL095", title="Nói chuyện", state="cancelled"),)
        await eventually(lambda: told[-1].phase is Phase.OVER)
        assert here.desk.ended == []


async def test_who_may_not_speak_is_told_why(tmp_path: Path) -> None:
    no = (refuse("BUL093", person=ME.name, unit="Phường Yên Đỗ"),)
    async with town(tmp_path, no) as here:
        assert await refused(here) == ["BUL093"]
        assert here.desk.noted == []
        assert here.microphones.of(SESSION).speaker == ""


# -- the speaker's side


@dataclass
class Words:
    told: list[Phase | None] = field(default_factory=list)
    levels: list[float] = field(default_factory=list)

    def hear(self, news: Speaking | None) -> None:
        self.told.append(news.phase if news is not None else None)


@asynccontextmanager
async def piped(sound: bytes) -> AsyncIterator[None]:
    """This sound on this process's stdin."""
    read, write = os.pipe()
    kept = os.dup(0)
    os.dup2(read, 0)
    os.close(read)

    def pour() -> None:
        with suppress(BrokenPipeError), os.fdopen(write, "wb") as out:
            out.write(sound)

    pouring = asyncio.create_task(asyncio.to_thread(pour))
    try:
        yield
    finally:
        os.dup2(kept, 0)  # the pipe's last reader here: whoever still pours into it is let go
        os.close(kept)
        await pouring


def speaker(town: Town, words: Words, source: str = "-") -> Speaker:
    return Speaker(town.gateway, "b1", Input(source), words.hear, words.levels.append)


async def test_a_recording_on_stdin_is_sent_at_its_pace_and_its_end_is_the_speechs(
    tmp_path: Path,
) -> None:
    words = Words()
    async with town(tmp_path, planned(0, 60_000)) as here, piped(tone(1.5)):
        microphone = here.microphones.of(SESSION)
        last = await asyncio.wait_for(speaker(here, words).run(), 60)
    assert last.phase is Phase.OVER
    assert here.desk.ended == ["b1"]
    assert words.told == [Phase.ON_AIR]
    assert len(words.levels) == 15, "each tenth of a second"
    assert all(-20 < level < -5 for level in words.levels[2:])
    assert words.levels[0] > LOWEST
    assert microphone.dropped == 75 - MOST, "all of it came; nobody took any, so the newest of it waited"


async def test_what_is_not_sound_is_said_to_be_none(tmp_path: Path) -> None:
    async with town(tmp_path, planned(0, 60_000)) as here, piped(b"Kinh thua ba con" * 500):
        with pytest.raises(NoSound) as error:
            await asyncio.wait_for(speaker(here, Words()).run(), 60)
    assert error.value.diagnostic.code == "AUD020"
    assert here.desk.ended == [], "somebody may come back with a microphone"


async def test_a_card_is_open_before_the_window_so_that_its_level_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, voice, words = tmp_path / "asound.conf", tmp_path / "voice.raw", Words()
    voice.write_bytes(struct.pack("<4h", 9000, 9000, -9000, -9000) * RATE * 30)
    nothing = 'pcm.nothing { type null }\npcm.voice { type file slave.pcm nothing file "/dev/null" format raw infile'
    config.write_text(f'{nothing} "{voice}" }}\n')
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(config))
    async with town(tmp_path, planned(60_000, 120_000)) as here:
        microphone, speaks = here.microphones.of(SESSION), speaker(here, words, "voice")
        running = asyncio.create_task(speaks.run())
        await eventually(lambda: (len(words.levels) > 5 and microphone.waiting) or running.done())
        speaks.end()
        last = await asyncio.wait_for(running, 60)
    assert max(words.levels) > -20
    assert last.phase is Phase.LEFT, "its time has not come: it stays planned"
    assert words.told == [Phase.WAITING]
    assert here.desk.ended == []


async def test_a_card_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with town(tmp_path, planned(60_000, 120_000)) as here:
        with pytest.raises(NoSound) as error:
            await asyncio.wait_for(speaker(here, Words(), "hw:CARD=nobody_has_it").run(), 60)
    assert error.value.diagnostic.fields["input"] == "hw:CARD=nobody_has_it"


async def test_a_hub_that_goes_is_found_again_and_hears_of_an_end_meanwhile(
    tmp_path: Path,
) -> None:
    words = Words()
    async with town(tmp_path, planned(0, 120_000)) as here, piped(tone(60.0)):
        speaks = speaker(here, words)
        running = asyncio.create_task(speaks.run())
        await eventually(lambda: words.levels)
        await here.stop()
        await eventually(lambda: None in words.told)
        await here.start()
        await eventually(lambda: words.told[-1] is Phase.ON_AIR)
        assert here.desk.noted == [ME.name] * 2
        await here.stop()
        await eventually(lambda: words.told[-1] is None)
        speaks.end()
        await here.start()
        last = await asyncio.wait_for(running, 60)
    assert last.phase is Phase.OVER
    assert here.desk.ended == ["b1"]


async def test_a_hub_that_was_never_there_is_not_waited_for(tmp_path: Path) -> None:
    nobody = Town(Desk(planned(0, 1)), Microphones(), live_socket(tmp_path / "hub.sock"))
    with pytest.raises(HubError) as error:
        await asyncio.wait_for(speaker(nobody, Words()).run(), 60)
    assert [problem.code for problem in error.value.problems] == ["CFG101"]


def test_a_pipe_may_name_no_file_and_a_card_is_a_card() -> None:
    command = Input("-").command
    assert command[command.index("-protocol_whitelist") + 1] == "pipe"
    assert "hls" not in command[command.index("-format_whitelist") + 1]
    card = Input("plughw:1,0").command
    assert card[card.index("-f") + 1] == "alsa"
    assert card[card.index("-i") + 1] == "plughw:1,0"
