"""Who hears the fleet's traps when several processes want to: one has the port, and another inherits it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType

import pytest

from inventory.model import Device, DeviceId, DeviceKind, Network, Tier, Unit, UnitId, UnitType
from inventory.overlay import address
from nms.monitor.snmp.usm import Community
from nms.monitor.trapd import TrapBook
from nms.settings import Settings, load
from nms.store import Store
from tests.sim.world import free_ports
from tui import trapping
from tui.trapping import trap_task

ON = date(2024, 10, 1)
NOW = datetime(2024, 10, 1, 10, tzinfo=UTC)
WARD = Unit(UnitId("23557"), "23557", "Phường Yên Đỗ", Tier.COMMUNE, UnitType.WARD, None)
LOUD = DeviceId("23557-L01")
DEVICE = Device(LOUD, DeviceKind.LOUDSPEAKER, WARD.id, None, "loa-receiver", ON)
NETWORK = Network(WARD.id, "Gia Lai", ON, "127", {WARD.id: WARD}, {}, {}, MappingProxyType({LOUD: DEVICE}))
COLD_START = bytes.fromhex(
    "303d02010104036c6f61a73302014d0201000201003028300d06082b060102010103004301"
    "2a3017060a2b06010603010104010006092b0601060301010501"
)
"""With the community ``loa``, as net-snmp encodes it."""
WAIT = 60.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "loa.db") as store:
        yield store


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(trapping, "TAKE_OVER_SECONDS", 0.1)
    given = {"snmp_bind": "127.0.0.1", "snmp_trap_port": str(free_ports(1)[0]), "overlay": "127"}
    loaded = load(given, {"HOME": str(tmp_path)}, uid=1000, system=tmp_path / "none.yaml")
    assert not isinstance(loaded, tuple)
    return loaded.settings


class Ear:
    """One process: who it was told to ask."""

    def __init__(self, settings: Settings, store: Store, several: bool = True) -> None:
        self.woken: set[DeviceId] = set()
        self.hear: Callable[[], Awaitable[None]] = trap_task(
            settings, lambda: NETWORK, lambda: NOW, TrapBook(store), self.woken.update, Community(b"loa"), several
        )


@asynccontextmanager
async def listening(ear: Ear) -> AsyncIterator[None]:
    task = asyncio.ensure_future(ear.hear())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def heard(port: int, ear: Ear) -> None:
    """The device speaks until it is heard."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as device:
        device.bind((address(LOUD, 127), 0))
        async with asyncio.timeout(WAIT):
            while not ear.woken:
                device.sendto(COLD_START, ("127.0.0.1", port))
                await asyncio.sleep(0.05)


def said(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == level and r.name == "loa.serve"]


async def test_one_process_hears_and_when_it_ends_another_one_does(
    settings: Settings, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "loa.serve")
    first, second = Ear(settings, store), Ear(settings, store)
    async with AsyncExitStack() as later:
        async with listening(first):
            await heard(settings.snmp_trap_port, first)
            await later.enter_async_context(listening(second))
            await until(lambda: len(said(caplog, logging.INFO)) == 2)
            assert "by another process" in said(caplog, logging.INFO)[1]
            await asyncio.sleep(5 * trapping.TAKE_OVER_SECONDS)
            assert (first.woken, second.woken) == ({LOUD}, set())
        await heard(settings.snmp_trap_port, second)
    assert len(said(caplog, logging.INFO)) == 3, "it waits without a word"
    assert said(caplog, logging.WARNING) == []


async def test_a_port_that_another_program_has_is_told_once_and_waited_for(
    settings: Settings, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    ear = Ear(settings, store, several=False)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as other:
        other.bind(("127.0.0.1", settings.snmp_trap_port))
        async with listening(ear):
            await until(lambda: bool(said(caplog, logging.WARNING)))
            await asyncio.sleep(5 * trapping.TAKE_OVER_SECONDS)
            (warning,) = said(caplog, logging.WARNING)
            assert warning.startswith("MON040")
            other.close()
            await heard(settings.snmp_trap_port, ear)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT):
        while not condition():  # noqa: ASYNC110 (what is waited for is a log line)
            await asyncio.sleep(0.02)
