"""Writes the JSON Schemas and the tables of the reference from the field table: ``python docs/schema/generate.py``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from inventory.schema import FILES, json_schema, reference  # noqa: E402 - the checkout, not an installed copy

MARK = "<!-- from here on generated: python docs/schema/generate.py -->\n\n"


def main() -> None:
    for kind in FILES:
        text = json.dumps(json_schema(kind), ensure_ascii=False, indent=2)
        (HERE / f"{kind}.json").write_text(text + "\n", encoding="utf-8")
    page = HERE.parent / "inventory.md"
    head = page.read_text(encoding="utf-8").partition(MARK)[0]
    page.write_text(head + MARK + reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
