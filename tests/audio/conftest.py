"""A hub of the audio room with a real broker, for tests that ask for ``running``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from audio.broker import Mosquitto
from tests.audio.province import Clock, Hub, Keys, SpokenOnce, hub, mosquitto


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
