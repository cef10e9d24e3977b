"""The exporter's HTTP server: ``/metrics`` for Prometheus and ``/healthz`` for whoever watches the hub."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from exporters.metrics import CONTENT_TYPE


def app(metrics: Callable[[], str], healthy: Callable[[], bool]) -> web.Application:
    """``metrics`` gives the exposition text; ``healthy`` is false when the hub should be looked at (503)."""

    async def get_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics().encode(), headers={"Content-Type": CONTENT_TYPE})

    async def get_health(_: web.Request) -> web.Response:
        return web.Response(text="ok\n") if healthy() else web.Response(status=503, text="stalled\n")

    application = web.Application()
    application.add_routes([web.get("/metrics", get_metrics), web.get("/healthz", get_health)])
    return application
