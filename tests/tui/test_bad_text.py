"""What can be handed in as words, by a person or a program: through a real socket, with the real voice."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pwd
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from audio.bulletin import LONGEST_LINE
from audio.library import Library
from audio.speech import USUAL
from tests.audio.province import CHI, EVENING, network
from tui.answers import audio_file, draft_of
from tui.hub import Caller, HubSocket
from tui.methods import MAX_LINE, PROTOCOL, Push
from tui.sound_methods import SOUND
from tui.sound_service import SoundService

GREETING = "Kính thưa bà con."
PUSH = Push("23557", "normal", "Tiêm phòng", "", text=GREETING)
HALF, NUL = "\ud800", "\0"


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    me = replace(CHI, user=pwd.getpwuid(os.getuid()).pw_name)
    known = replace(network(), people={me.id: me})
    service = SoundService(lambda: known, lambda: EVENING, Library(folder / "content", USUAL))
    path = folder / "hub.sock"
    task = asyncio.create_task(HubSocket(path, service.handlers(), lambda: known).run())
    try:
        async with asyncio.timeout(60):
            while not path.exists():  # noqa: ASYNC110 (the server binds it)
                await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_unix_connection(str(path), limit=MAX_LINE)
        await reader.readline()
        writer.write(json.dumps({"loa": PROTOCOL}).encode() + b"\n")
        yield reader, writer
        writer.close()
        await writer.wait_closed()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ask(line: tuple[asyncio.StreamReader, asyncio.StreamWriter], **changes: str) -> dict[str, Any]:
    """The hub's answer to a request for the sound of this; JSON spells what UTF-8 cannot."""
    reader, writer = line
    request = {"id": 1, "method": SOUND.name, "params": asdict(PUSH) | changes}
    writer.write(json.dumps(request).encode() + b"\n")
    async with asyncio.timeout(120):
        answer: dict[str, Any] = json.loads(await reader.readline())
    return answer


def codes(answer: dict[str, Any]) -> list[str]:
    return [problem["code"] for problem in answer["error"]]


async def test_every_bad_word_is_refused_by_its_own_reason_and_the_hub_goes_on(tmp_path: Path) -> None:
    cases = [
        ({"text": GREETING + HALF}, "CFG102"),
        ({"text": GREETING + NUL}, "CFG102"),
        ({"text": GREETING * 6_000}, "AUD012"),
        ({"text": "\u200b…"}, "AUD013"),
        ({"title": HALF}, "CFG102"),
        ({"title": f"a{NUL}b"}, "CFG102"),
        ({"title": "\x1b[2J\x1b]0;root\x07"}, "BUL017"),
        ({"title": "hai\ndòng"}, "BUL017"),
        ({"title": "từ \u202eiảhp"}, "BUL017"),
        ({"title": "x" * (LONGEST_LINE + 1)}, "BUL017"),
        ({"title": "\u200b\ufeff "}, "BUL006"),
        ({"authority": "CV 12\r\nUBND"}, "BUL017"),
        ({"supplier": HALF}, "CFG102"),
        ({"field": "x" * 100_000}, "BUL017"),
    ]
    async with connected(tmp_path) as line:
        for changes, code in cases:
            answer = await ask(line, **changes)
            assert codes(answer) == [code], ascii(changes)[:80]
        for audience in (f"commune={HALF}", f"commune={NUL}", "$(id)", "a" * 100_000):
            assert "CFG105" not in codes(await ask(line, audience=audience)), ascii(audience)[:80]
        assert "error" not in await ask(line)


async def test_composed_and_decomposed_words_make_the_same_sound(tmp_path: Path) -> None:
    async with connected(tmp_path) as line:
        sounds = [await ask(line, text=unicodedata.normalize(form, GREETING)) for form in ("NFC", "NFD")]
    one, other = (answer["result"] for answer in sounds)
    assert one["duration"] == other["duration"]
    assert one["data"] == other["data"]


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../../etc/passwd", "/etc/passwd", f"a{NUL}.wav", f"{HALF}.wav", "x" * 5_000, "$(id).wav", "-i"],
)
def test_a_recordings_name_is_only_a_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    path = audio_file(base64.b64encode(b"RIFF").decode(), name, folder)
    assert path is not None
    assert path.parent == folder
    assert path.read_bytes() == b"RIFF"
    assert list(tmp_path.iterdir()) == [folder]


def test_what_is_written_is_kept_composed_and_without_what_nobody_sees() -> None:
    decomposed = unicodedata.normalize("NFD", "Tiêm phòng, xã Yên Đỗ")
    push = Push(
        "23557", "normal", f"\ufeff{decomposed}", "", text=decomposed, authority=decomposed, supplier=decomposed
    )
    made = draft_of(network(), Caller(1, CHI.id, CHI), push, None)
    composed = unicodedata.normalize("NFC", decomposed)
    assert (made.title, made.text, made.authority, made.supplier) == (composed,) * 4
