"""A hub on a real socket, as a process: ``python -m tests.tui.hub_process SOCKET``.

Its overview and preview are fixed; alarms, repairs, maintenance and silences are the real service's over a real store
beside the socket.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from nms.store import Store
from tests.tui.alarm_desk import ELSEWHERE, Desk
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
    path.parent.mkdir(parents=True, exist_ok=True)
    with Store.open(path.with_name("loa.db")) as store:
        desk = Desk(store)
        desk.lose_the_modem()
        desk.set_wrong(ELSEWHERE)
        handlers = {WATCH.name: Handler(WATCH, stream=watch), PREVIEW.name: Handler(PREVIEW, answer=preview)}
        network = desk.places.network
        asyncio.run(HubSocket(path, handlers | desk.service().handlers(), lambda: network).run())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
