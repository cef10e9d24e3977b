"""A hub of the audio room with a real broker (``running``), and devices of our own clock (``make``)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from audio.broker import Mosquitto
from tests.audio.agent_kit import Make, Rig
from tests.audio.province import Clock, Hub, Keys, SpokenOnce, hub, mosquitto
from tests.audio.receiver_kit import EVENING, Sound, make_sound


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("trust") / "keys")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> SpokenOnce:
    return SpokenOnce(tmp_path_factory.mktemp("content"))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with mosquitto(tmp_path) as running:
        yield running


@pytest.fixture
async def running(keys: Keys, library: SpokenOnce, server: Mosquitto, tmp_path: Path) -> AsyncIterator[Hub]:
    async with hub(keys, tmp_path, library, server.port, Clock()) as started:
        yield started


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> list[Sound]:
    folder = tmp_path_factory.mktemp("sounds")
    return [make_sound(folder, ms, seed) for seed, ms in enumerate((8_000, 8_000, 2_000))]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    rigs: list[Rig] = []

    def rig(at: int = EVENING, *, synchronised: bool = True) -> Rig:
        rigs.append(Rig(tmp_path, at))
        if synchronised:
            rigs[-1].synchronise()
        return rigs[-1]

    yield rig
    for one in rigs:
        one.close()
