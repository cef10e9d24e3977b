"""The exporter over HTTP, as Prometheus and a watchdog meet it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import ClientSession, web

from exporters import http
from exporters.metrics import Family, render
from tests.exporters.exposition import parse

TEXT = render((Family("loa_devices", "gauge", "Thiết bị đang dùng.", (({"kind": "modem"}, 30),)),))


@asynccontextmanager
async def serving(metrics: Callable[[], str], healthy: Callable[[], bool]) -> AsyncIterator[tuple[ClientSession, str]]:
    runner = web.AppRunner(http.app(metrics, healthy), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        async with ClientSession() as session:
            yield session, f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def test_metrics_are_text_of_the_agreed_version() -> None:
    async with serving(lambda: TEXT, lambda: True) as (session, base), session.get(f"{base}/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert parse((await answer.read()).decode())["loa_devices"][{"kind": "modem"}] == 30


async def test_every_scrape_is_made_anew() -> None:
    count = 0

    def metrics() -> str:
        nonlocal count
        count += 1
        return render((Family("loa_scrapes", "gauge", "x", (({}, count),)),))

    async with serving(metrics, lambda: True) as (session, base):
        for wanted in (1, 2):
            async with session.get(f"{base}/metrics") as answer:
                assert parse(await answer.text())["loa_scrapes"][{}] == wanted


async def test_health_follows_the_hub() -> None:
    well = True
    async with serving(lambda: TEXT, lambda: well) as (session, base):
        async with session.get(f"{base}/healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok\n")
        well = False
        async with session.get(f"{base}/healthz") as answer:
            assert (answer.status, await answer.text()) == (503, "stalled\n")


async def test_nothing_else_is_served() -> None:
    async with serving(lambda: TEXT, lambda: True) as (session, base):
        for path in ("/", "/metrics/x", "/../etc/passwd"):
            async with session.get(base + path) as answer:
                assert answer.status == 404
        async with session.post(f"{base}/metrics", data=b"x") as answer:
            assert answer.status == 405


async def test_scrapes_at_the_same_time_all_get_their_answer() -> None:
    async def scrape(session: ClientSession, base: str) -> str:
        async with session.get(f"{base}/metrics") as answer:
            return await answer.text()

    async with serving(lambda: TEXT, lambda: True) as (session, base):
        assert set(await asyncio.gather(*(scrape(session, base) for _ in range(20)))) == {TEXT}


async def test_a_scrape_that_fails_is_an_error_and_the_next_one_works() -> None:
    broken = True

    def metrics() -> str:
        if broken:
            raise RuntimeError("no store")
        return TEXT

    async with serving(metrics, lambda: True) as (session, base):
        async with session.get(f"{base}/metrics") as answer:
            assert answer.status == 500
            assert "no store" not in await answer.text()
        broken = False
        async with session.get(f"{base}/metrics") as answer:
            assert answer.status == 200
