"""The exporter's HTTP server: ``/metrics`` for Prometheus and ``/healthz`` for whoever watches the hub."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from exporters.metrics import CONTENT_TYPE


def app(metrics: Callable[[], str], healthy: Callable[[], bool]) -> web.Application:
    """``metrics`` gives the exposition text, in a thread; not ``healthy`` is a 503."""

    async def get_metrics(_: web.Request) -> web.Response:
        text = await asyncio.to_thread(metrics)
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    async def get_health(_: web.Request) -> web.Response:
        return web.Response(text="ok\n") if healthy() else web.Response(status=503, text="stalled\n")

    application = web.Application()
    application.add_routes([web.get("/metrics", get_metrics), web.get("/healthz", get_health)])
    return application
