"""The same encode for whoever has a player: ``GET /live/<session>.opus``, as an Icecast server gives it."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

ROOM: Final = 50
"""Pages (10 s) that wait for one listener; who is slower than that is let go."""
MOST: Final = 100
"""Listeners at a time: devices have MQTT, this is for the few others."""


class Listeners:
    """Everybody who listens over HTTP, by session."""

    def __init__(self) -> None:
        self._headers: dict[str, bytes] = {}
        self._queues: dict[str, set[asyncio.Queue[bytes | None]]] = {}

    def begin(self, session: str, header: bytes) -> None:
        self._headers[session] = header
        self._queues[session] = set()

    def page(self, session: str, ogg: bytes) -> None:
        for queue in tuple(self._queues[session]):
            if queue.full():
                self._drop(session, queue)
            else:
                queue.put_nowait(ogg)

    def end(self, session: str) -> None:
        del self._headers[session]
        for queue in tuple(self._queues[session]):
            self._drop(session, queue)
        del self._queues[session]

    def count(self, session: str) -> int:
        return len(self._queues.get(session, ()))

    def _drop(self, session: str, queue: asyncio.Queue[bytes | None]) -> None:
        self._queues[session].discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)

    def serve(self, app: web.Application) -> None:
        """Adds the route to the content server."""
        app.router.add_get("/live/{session}.opus", self._listen)

    async def _listen(self, request: web.Request) -> web.StreamResponse:
        session = request.match_info["session"]
        header = self._headers.get(session)
        if header is None:
            raise web.HTTPNotFound
        if sum(map(len, self._queues.values())) >= MOST:
            raise web.HTTPServiceUnavailable
        answer = web.StreamResponse(headers={"Content-Type": "audio/ogg", "Cache-Control": "no-store"})
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(ROOM)
        queues = self._queues[session]
        queues.add(queue)
        try:
            await answer.prepare(request)
            await answer.write(header)
            while (page := await queue.get()) is not None:
                await answer.write(page)
        finally:
            queues.discard(queue)
        return answer
