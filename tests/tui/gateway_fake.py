"""A hub for the screens: answers from values, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tui.gateway import HubError
from tui.handing_in import SUBMIT, Making
from tui.methods import (
    PREVIEW,
    WATCH,
    BulletinRow,
    CauseRow,
    Method,
    Overview,
    Preview,
    Problem,
    Submitted,
    SweepRow,
    UnitRow,
)

NOW = 1_727_776_800_000
"""17:00:00 on 1 October 2024 in Vietnam."""
SILENT = Problem(
    "CFG101", "the hub is not running (no answer at {socket})", "start it with: loa serve", {"socket": "/s"}
)


def unit(code: str, name: str, tier: str, parent: str = "", playing: int = 0, **states: int) -> UnitRow:
    return UnitRow(code, name, tier, parent, states, playing)


UNITS = (
    unit("64", "Tỉnh Gia Lai", "province", up=1810, down=3, unreachable=24, playing=12),
    unit("626", "Huyện Đăk Đoa", "district", "64", up=400, unreachable=9),
    unit("622", "Thành phố Pleiku", "district", "64", up=1410, down=3, unreachable=15, playing=12),
    unit("23557", "Phường Yên Đỗ", "commune", "622", up=14, playing=12),
    unit("23560", "Phường Diên Hồng", "commune", "622", up=10, unreachable=5),
    unit("23641", "Xã Hà Bầu", "commune", "626", up=20, unreachable=9),
)
CAUSES = (
    CauseRow("modem:23560-M01", "modem", NOW - 60_000, ("23560-L01", "23560-L02"), ("Phường Diên Hồng",)),
    CauseRow("cell:452-04-1-77", "cell", NOW - 30_000, tuple(f"23641-L{n:02}" for n in range(1, 10)), ("Xã Hà Bầu",)),
    CauseRow("device:23557-L01", "device", NOW - 10_000, ("23557-L01",), ("Phường Yên Đỗ",)),
)


def bulletin(name: str = "b1", **changed: Any) -> BulletinRow:
    values: dict[str, Any] = {
        "id": name,
        "title": "Lịch tiêm chủng [đợt 2]",
        "cls": "normal",
        "tier": "commune",
        "origin": "23557",
        "author": "c23557-editor",
        "state": "airing",
        "audience": "commune=23557",
        "created": NOW - 600_000,
        "valid_until": NOW + 86_400_000,
        "duration": 12_500,
        "heard": 11,
        "expected": 14,
    }
    return BulletinRow(**(values | changed))


def overview(**changed: Any) -> Overview:
    values: dict[str, Any] = {
        "now": NOW,
        "units": UNITS,
        "causes": CAUSES,
        "bulletins": (bulletin(),),
        "sweep": SweepRow(NOW - 5_000, 0.523, 1837, 1810, 0, 0),
        "broker": True,
    }
    return Overview(**(values | changed))


@dataclass
class FakeGateway:
    """Answers ``ask`` from ``answers`` (a value or a HubError by method name), and so what is handed in; ``tell`` feeds
    every other ``watch``.
    """

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    _news: asyncio.Queue[Overview | HubError] = field(default_factory=asyncio.Queue)

    async def ask(self, method: Method[Any, Any], params: Any) -> Any:
        self.asked.append((method.name, params))
        answer = self.answers[method.name]
        if isinstance(answer, HubError):
            raise answer
        return answer(params) if callable(answer) else answer

    async def watch(self, method: Method[Any, Any], params: Any) -> AsyncGenerator[Any, None]:
        if method is SUBMIT:
            yield Making("encode", 2.0, 12.5)
            yield Making(made=await self.ask(method, params))
            return
        assert method is WATCH
        while True:
            news = await self._news.get()
            if isinstance(news, HubError):
                self._news.task_done()
                raise news
            yield news
            self._news.task_done()

    async def tell(self, news: Overview | HubError) -> None:
        """Returns when whoever watches has taken it and asks for more."""
        self._news.put_nowait(news)
        await self._news.join()

    def questions(self, method: Method[Any, Any]) -> list[Any]:
        return [params for name, params in self.asked if name == method.name]


def answers(area: str = "Ia Pa", **preview: Any) -> Mapping[str, Any]:
    values: dict[str, Any] = {"area": area, "devices": 8, "lost": 1, "communes": ("Xã Ia Pa",), "problems": ()}
    return {
        PREVIEW.name: Preview(**(values | preview)),
        SUBMIT.name: Submitted("b9", 12_500, -16.0, "espeak-ng vi"),
    }
