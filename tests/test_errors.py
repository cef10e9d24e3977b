"""Every code that the program can say has a section in docs/errors.md, and no section speaks of a code that is gone."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("inventory", "nms", "audio", "exporters", "tui")
CODE = re.compile(r'"((?:INV|SEL|CFG|MON|PLN|BUL|AUD|BRD|ENV|STO|EXP)\d{3})"')


def said() -> set[str]:
    sources = (path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    return {code for path in sources for code in CODE.findall(path.read_text(encoding="utf-8"))}


def test_codes_and_sections_are_the_same() -> None:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    sections = Counter(re.findall(r"^## ([A-Z]{3}\d{3})\b", text, re.MULTILINE))
    assert [code for code, count in sections.items() if count > 1] == []
    assert set(sections) == said()
