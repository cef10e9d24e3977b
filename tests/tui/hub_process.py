"""A hub of one answer on a real socket, as a process: ``python -m tests.tui.hub_process SOCKET``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

from inventory.model import Network, Tier, Unit, UnitId, UnitType
from tests.tui.gateway_fake import answers, overview
from tui.hub import Caller, Handler, HubSocket
from tui.methods import PREVIEW, WATCH, Overview


async def watch(caller: Caller, params: Any) -> AsyncIterator[Overview]:
    while True:
        yield overview()
        await asyncio.sleep(0.2)


async def preview(caller: Caller, params: Any) -> Any:
    return answers()[PREVIEW.name]


def main(path: Path) -> None:
    province = Unit(UnitId("64"), "64", "Tỉnh Gia Lai", Tier.PROVINCE, UnitType.PROVINCE, None)
    network = Network(province.id, "Gia Lai", date(2024, 10, 1), "127", {province.id: province}, {}, {}, {})
    handlers = {WATCH.name: Handler(WATCH, stream=watch), PREVIEW.name: Handler(PREVIEW, answer=preview)}
    asyncio.run(HubSocket(path, handlers, lambda: network).run())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
