"""Real receiver programs that play one live session into files."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from audio.broker import Broker
from audio.documents import ContentKind, DeviceState, decode, encode
from benchmarks import programs
from tests.audio.live_kit import running
from tests.audio.receiver_kit import Kit, Sound, airing, write_config

UNIT: Final = "23557"
PATIENCE: Final = 30.0
"""Seconds in which they must be online, and then play."""
LOOK: Final = 0.05
LONG: Final = 600_000
"""Milliseconds of the relay: longer than any benchmark."""


def enrol(folder: Path, kit: Kit, port: int, count: int) -> list[Path]:
    """The folders of real receivers, each with its configuration and policy."""
    found = []
    for number in range(1, count + 1):
        device = f"{UNIT}-L{number:02d}"
        place = folder / device
        write_config(place, kit, device=device, broker=f"127.0.0.1:{port}")
        policy = encode(kit.policy(device=device, quiet=()))
        (place / "policy.frame").write_bytes(kit.seal(f"loa/1/policy/{device}", policy, kit.root))
        found.append(place)
    return found


async def until_playing(door: Broker, states: dict[str, DeviceState], kit: Kit, session: str, count: int) -> None:
    """The relay is due for all as soon as they are here; returns once they play it."""
    await asyncio.to_thread(_until, lambda: sum(state.online for state in states.values()) == count, "are online")
    door.publish("loa/1/time", kit.time(), retain=False)
    relay = kit.bulletin(Sound(Path(), session, LONG), id="relay", kind=ContentKind.RELAY)
    item = airing(relay, kit.now(), "relay", kit.now() + LONG)
    door.publish(f"loa/1/prog/{UNIT}", kit.programme(item, signed={relay.id: kit.signed(relay)}), retain=True)
    await asyncio.to_thread(_until, lambda: sum(state.playing == "relay" for state in states.values()) == count, "play")


def _until(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"not all real receivers {what}")
        time.sleep(LOOK)


@contextlib.asynccontextmanager
async def playing(kit: Kit, port: int, folder: Path, session: str, count: int) -> AsyncIterator[list[Path]]:
    """So many receivers; the files that they write."""
    states: dict[str, DeviceState] = {}

    def take(topic: str, payload: bytes) -> None:
        if topic.endswith("/state") and payload:
            state = decode(DeviceState, payload)
            states[state.device] = state

    door = Broker("127.0.0.1", port)
    places = enrol(folder, kit, port, count)
    async with running(door.run(take)), contextlib.AsyncExitStack() as stack:
        await door.wait_connected()
        for place in places:
            command = [sys.executable, "-m", "audio.receiver", "--config", str(place / "receiver.toml")]
            await stack.enter_async_context(programs.running(command, place / "log"))
        await until_playing(door, states, kit, session, count)
        yield [place / "out.pcm" for place in places]
