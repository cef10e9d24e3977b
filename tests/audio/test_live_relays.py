"""Sessions run while the store has a relay due, alarms follow their sources, and other players hear the same."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import aiomqtt
import numpy as np
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audio.broker import Mosquitto
from audio.live.listeners import Listeners
from audio.live.microphone import Microphones
from audio.live.relays import Relays
from audio.live.session import Session, Signer
from audio.live.source import FRAME_BYTES, Source
from audio.live.wire import Wire
from audio.receiver import opus
from nms.alarm_store import open_alarms
from nms.store import Store
from tests.audio.live_kit import RATE, Mode, Sound, Tape, likeness, make_programme, now, running, station
from tests.audio.province import eventually

SIGNER = Signer(Ed25519PrivateKey.generate(), "0" * 16)


class Heard(Listeners):
    """Keeps what a session gives to other players."""

    def __init__(self) -> None:
        super().__init__()
        self.header = b""
        self.pages: list[bytes] = []

    def begin(self, session: str, header: bytes) -> None:
        super().begin(session, header)
        self.header = header

    def page(self, session: str, ogg: bytes) -> None:
        super().page(session, ogg)
        self.pages.append(ogg)


@pytest.fixture(scope="module")
def programme(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sound]:
    return make_programme(tmp_path_factory.mktemp("radio"), 30, 31)


@pytest.mark.slow
async def test_a_session_runs_while_its_relay_is_due_and_alarms_while_its_first_source_is_away(
    tmp_path: Path, server: Mosquitto, programme: tuple[Path, Sound]
) -> None:
    wire = Wire("127.0.0.1", server.port)

    def alarms() -> set[tuple[str, str, str]]:
        return {(a.subject, a.kind, a.cause) for a in store.read_sync(open_alarms)}

    with station(programme[0]) as one, station(programme[0]) as two, Store.open(tmp_path / "loa.db") as store:
        urls = {"vov1": [one.url, two.url], "unused": [two.url]}
        due: set[str] = set()
        relays = Relays(store, lambda *_: frozenset(due), lambda: urls, SIGNER, wire, Listeners(), now, Microphones())
        async with running(relays.run()):
            await asyncio.sleep(0)
            assert relays.sessions == {}
            due |= {"vov1", "nobody-knows-it"}
            await eventually(lambda: relays.sessions.keys() == {"vov1"}, 30)
            await eventually(wire.connected.is_set, 30)
            async with aiomqtt.Client("127.0.0.1", server.port) as device:
                await device.subscribe("loa/1/live/#", qos=0)
                got = [await anext(device.messages) for _ in range(5)]
            assert [message.retain for message in got] == [True, False, False, False, False]
            assert alarms() == set()
            one.mode = Mode.GONE
            await eventually(lambda: alarms() == {("relay:vov1", "relay_failed_over", "stalled")}, 60)
            two.mode = Mode.SILENCE
            await eventually(lambda: {a[1] for a in alarms()} == {"relay_lost"}, 60)
            one.mode = two.mode = Mode.SOUND
            await eventually(lambda: alarms() == set(), 90)
            due.clear()
            await eventually(lambda: relays.sessions == {}, 30)
            await eventually(lambda: not wire.connected.is_set(), 30)
            async with aiomqtt.Client("127.0.0.1", server.port) as device:
                await device.subscribe("loa/1/live/#", qos=0)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(device.messages), 1)


@pytest.mark.slow
async def test_a_microphone_has_a_session_while_it_is_due_and_its_pauses_are_no_fault(
    tmp_path: Path, server: Mosquitto, programme: tuple[Path, Sound]
) -> None:
    name = "mic-0123456789ab"
    microphones, wire, listeners = Microphones(), Wire("127.0.0.1", server.port), Heard()
    samples = programme[1][: 3 * RATE].astype("<i2")
    frames = np.repeat(samples, 2).astype("<i2").tobytes()
    with Store.open(tmp_path / "loa.db") as store:
        due: set[str] = {name, "mic-nobodys"}
        relays = Relays(store, lambda *_: frozenset(due), dict, SIGNER, wire, listeners, now, microphones)
        async with running(relays.run()):
            await eventually(lambda: relays.sessions.keys() == {name}, 30)
            # longer than what would be a fault of a radio station's
            await eventually(lambda: len(listeners.pages) > 45, 60)
            assert relays.sessions[name].trouble is None
            speaker, microphone = asyncio.get_running_loop().time(), microphones.of(name)
            for number, at in enumerate(range(0, len(frames), FRAME_BYTES)):
                await asyncio.sleep(speaker + number * 0.02 - asyncio.get_running_loop().time())
                microphone.put(frames[at : at + FRAME_BYTES])
            said = len(listeners.pages)
            await eventually(lambda: len(listeners.pages) > said + 20, 60)
            assert relays.sessions[name].trouble is None
            assert store.read_sync(open_alarms) == ()
            due.clear()
            await eventually(lambda: relays.sessions == {}, 30)
    heard = np.frombuffer(b"".join(opus.decode(io.BytesIO(listeners.header + b"".join(listeners.pages)), 0)), "<i2")
    loud = np.flatnonzero(np.abs(heard) > 100)
    assert len(loud), "somebody spoke"
    spoken = heard[loud[0] : loud[-1]].astype(float)
    seconds = [spoken[at : at + RATE // 2] for at in range(0, len(spoken) - RATE // 2, RATE // 2)]
    alike = sorted(likeness(piece, programme[1][: 4 * RATE])[0] for piece in seconds)
    # each busy moment of the machine may tear a hole into one of them
    assert alike[-2] > 0.9, alike


async def test_a_broker_that_is_killed_gets_the_header_again_and_no_old_pages(server: Mosquitto) -> None:
    wire = Wire("127.0.0.1", server.port)
    async with running(wire.run()):
        wire.page("loa/1/live/vov1", b"nobody is connected")
        wire.begin("loa/1/live/vov1", b"header")
        await asyncio.wait_for(wire.connected.wait(), 60)
        await server.kill()
        await eventually(lambda: not wire.connected.is_set())
        wire.page("loa/1/live/vov1", b"lost")
        assert wire.dropped == 2
        await server.start()
        await asyncio.wait_for(wire.connected.wait(), 60)
        async with aiomqtt.Client("127.0.0.1", server.port) as device:
            await device.subscribe("loa/1/live/#", qos=0)
            first = await anext(device.messages)
            assert (first.payload, first.retain) == (b"header", True)
            wire.page("loa/1/live/vov1", b"new")
            assert (await anext(device.messages)).payload == b"new"


@pytest.fixture
async def site() -> AsyncIterator[tuple[Listeners, str]]:
    listeners, application = Listeners(), web.Application()
    listeners.serve(application)
    runner = web.AppRunner(application)
    await runner.setup()
    listening = web.TCPSite(runner, "127.0.0.1", 0)
    await listening.start()
    host, port = runner.addresses[0][:2]
    yield listeners, f"http://{host}:{port}/live"
    await runner.cleanup()


async def test_other_players_get_the_header_first_and_then_what_is_live(site: tuple[Listeners, str]) -> None:
    listeners, base = site
    async with aiohttp.ClientSession() as client:
        async with client.get(f"{base}/vov1.opus") as answer:
            assert answer.status == 404
        listeners.begin("vov1", b"HEADER")
        listeners.page("vov1", b"before")
        async with client.get(f"{base}/vov1.opus") as answer:
            assert (answer.status, answer.content_type) == (200, "audio/ogg")
            assert await answer.content.readexactly(6) == b"HEADER"
            listeners.page("vov1", b"page 1")
            listeners.page("vov1", b"page 2")
            assert await answer.content.readexactly(12) == b"page 1page 2"
            listeners.end("vov1")
            assert await answer.content.read() == b""


async def test_a_slow_listener_is_let_go_and_holds_nobody_up(site: tuple[Listeners, str]) -> None:
    listeners, base = site
    listeners.begin("vov1", b"HEADER")
    async with aiohttp.ClientSession(read_bufsize=1024) as client, client.get(f"{base}/vov1.opus") as slow:
        assert slow.status == 200
        for _ in range(400):  # 40 MB that nobody reads: more than any socket holds
            listeners.page("vov1", bytes(100_000))
            await asyncio.sleep(0)
        await eventually(lambda: listeners.count("vov1") == 0)
        async with client.get(f"{base}/vov1.opus") as quick:
            assert await quick.content.readexactly(6) == b"HEADER"
            listeners.page("vov1", b"page")
            assert await quick.content.readexactly(4) == b"page"
        slow.close()
    listeners.end("vov1")


@pytest.mark.slow
async def test_what_a_player_gets_is_the_programme(site: tuple[Listeners, str], programme: tuple[Path, Sound]) -> None:
    listeners, base = site
    with station(programme[0]) as radio:
        live = Session("vov1", [Source(radio.url)], SIGNER, Tape(), listeners, now)
        async with running(live.run()), aiohttp.ClientSession() as client:
            await eventually(lambda: live.trouble is None and listeners.count("vov1") == 0, 30)
            async with client.get(f"{base}/vov1.opus") as answer:
                got = await answer.content.readexactly(20_000)
    whole = got[: got.rindex(b"OggS")]
    heard = np.frombuffer(b"".join(opus.decode(io.BytesIO(whole), 0)), "<i2").astype(float)
    alike, _ = likeness(heard[-2 * RATE :], programme[1])
    assert alike > 0.9
