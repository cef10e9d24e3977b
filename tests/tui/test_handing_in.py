"""Handing in through a real socket: progress while the sound is made, and what becomes of it when nobody waits."""

from __future__ import annotations

import asyncio
import base64
import os
import pwd
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from audio.bulletin import Draft
from audio.documents import ContentKind
from audio.faults import fault
from audio.library import Content
from audio.measure import Progress, Stage, Step
from audio.playout import Playout, Submitted
from inventory.diagnostics import Diagnostic
from inventory.model import Network, Person
from nms.store import Store
from tests.tui.alarm_desk import NOW, network
from tui.gateway import HubError, SocketGateway
from tui.handing_in import SUBMIT, Making, hand_in, making_line
from tui.hub import HubSocket
from tui.methods import Push
from tui.service import HubService

PUSH = Push("23557", "normal", "t", "", audio=base64.b64encode(b"RIFF").decode(), audio_name="a.wav", trim=True)
CONTENT = Content("0" * 64, 9, 5_000, -16.1, -1.2, ContentKind.RECORDING, "a.wav", cut_ms=2_950)


@dataclass
class Maker:
    """A playout that makes a sound for as long as it is not told to end."""

    refused: tuple[Diagnostic, ...] = ()
    drafts: list[Draft] = field(default_factory=list)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def submit(self, _: Person, draft: Draft, *, uid: int, progress: Progress) -> Any:
        self.drafts.append(draft)
        assert draft.audio is not None
        assert draft.audio.read_bytes() == b"RIFF"
        try:
            for done in range(1_000_000):
                progress(Step(Stage.ENCODE, done, 60.0))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.ready.wait(), 0.01)
                    return self.refused or Submitted("b7", CONTENT)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


def someone() -> Network:
    plain = network()
    me = replace(next(iter(plain.people.values())), user=pwd.getpwuid(os.getuid()).pw_name)
    return replace(plain, people={me.id: me})


@asynccontextmanager
async def serving(maker: Maker, folder: Path) -> AsyncIterator[SocketGateway]:
    known, none = someone(), cast("Any", None)
    with Store.open(folder / "loa.db") as store:
        service = HubService(lambda: known, lambda: NOW, none, cast("Playout", maker), none, store, none, "1")
        path = folder / "hub.sock"
        task = asyncio.create_task(HubSocket(path, service.handlers(), lambda: known).run())
        try:
            async with asyncio.timeout(30):
                while not path.exists():  # noqa: ASYNC110 (the server binds it)
                    await asyncio.sleep(0.01)
            yield SocketGateway(path)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_who_hands_in_hears_how_far_it_is_and_then_what_was_made(tmp_path: Path) -> None:
    maker, told = Maker(), list[Making]()

    def hear(making: Making) -> None:
        told.append(making)
        if len(told) == 3:
            maker.ready.set()

    async with asyncio.timeout(60), serving(maker, tmp_path) as gateway:
        made = await hand_in(gateway, PUSH, hear)
    assert (made.bulletin, made.duration, made.cut, made.voice) == ("b7", 5_000, 2_950, "a.wav")
    assert [(m.stage, m.done, m.total) for m in told[:3]] == [("encode", n, 60.0) for n in range(3)]
    (draft,) = maker.drafts
    assert draft.trim
    assert draft.audio is not None
    assert not draft.audio.parent.exists()


async def test_a_refusal_comes_instead(tmp_path: Path) -> None:
    maker = Maker(refused=(fault("AUD019", "/hub/a.wav", file="a.wav", percent=21),))
    maker.ready.set()
    async with asyncio.timeout(60), serving(maker, tmp_path) as gateway:
        with pytest.raises(HubError) as refused:
            await hand_in(gateway, PUSH, lambda _: None)
    assert [p.code for p in refused.value.problems] == ["AUD019"]


async def test_who_hangs_up_while_the_sound_is_made_has_not_handed_it_in(tmp_path: Path) -> None:
    maker = Maker()
    async with asyncio.timeout(60), serving(maker, tmp_path) as gateway:
        news = gateway.watch(SUBMIT, PUSH)
        await anext(news)
        await news.aclose()
        await maker.cancelled.wait()
        (draft,) = maker.drafts
        assert draft.audio is not None
        while draft.audio.parent.exists():  # noqa: ASYNC110 (the handler ends)
            await asyncio.sleep(0.01)


def test_how_far_it_is_in_a_line() -> None:
    assert making_line(Making("encode", 1234.6, 1800.2), str) == "encoding it: 1.234 of 1.800 s"
    assert making_line(Making("measure", 12.0), str) == "measuring the sound: 12 s"
