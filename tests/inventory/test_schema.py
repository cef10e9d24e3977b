"""The field table, its JSON Schema, the reference and the pages of the codes agree with each other."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from inventory.codes import CODES
from inventory.schema import FILES, json_schema, reference
from tests.inventory.conftest import Break

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
KIND = {"stations": "station", "districts": "station"}


def plain(value: Any) -> Any:
    """What an editor's YAML service validates: dates as text, keys as text."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value.isoformat() if isinstance(value, date) else value


def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(json_schema(kind))


@pytest.mark.parametrize("kind", FILES)
def test_the_committed_schema_is_current(kind: str) -> None:
    Draft202012Validator.check_schema(json_schema(kind))
    committed = json.loads((DOCS / "schema" / f"{kind}.json").read_text(encoding="utf-8"))
    assert committed == json_schema(kind), "run: python docs/schema/generate.py"


def test_the_committed_reference_is_current() -> None:
    assert reference() in (DOCS / "inventory.md").read_text(encoding="utf-8"), "run: python docs/schema/generate.py"


def test_a_valid_province_satisfies_the_schemas(province: Path) -> None:
    for path in [p for p in province.rglob("*.yaml") if p.name != "secrets.yaml"]:
        kind = KIND.get(path.parent.name, path.stem)
        document = plain(yaml.safe_load(path.read_text(encoding="utf-8")))
        assert list(validator(kind).iter_errors(document)) == [], path


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("network", {"province": "64", "name": "x", "profiles": [], "volumne": 1}),
        ("network", {"province": "64", "name": "x"}),
        ("network", {"province": "64", "name": "x", "profiles": [], "as_of": "today"}),
        ("station", {"unit": "23557", "station": {"technologies": [{"technology": "5g", "from": "2024-01-01"}]}}),
        ("station", {"unit": "23557", "boards": [{"id": "23557-L01", "profile": "x", "in_service": "2024-01-01"}]}),
        ("people", {"people": [{"id": "a", "name": "b", "user": "c", "roles": ["king"], "area": "64"}]}),
    ],
)
def test_the_schemas_refuse_what_the_loader_refuses(kind: str, document: dict[str, Any]) -> None:
    assert list(validator(kind).iter_errors(document))


def test_an_id_may_stand_without_quotes(broken: Break) -> None:
    assert validator("station").is_valid({"unit": 23575})
    assert broken("stations/23575-tay-son.yaml", '"23575"', "23575") == ()


def test_every_code_has_its_page_with_an_example() -> None:
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    pages = dict(re.findall(r"^## ((?:INV|SEL)\d{3})\b[^\n]*\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL))
    assert sorted(pages) == sorted(CODES)
    for code, page in pages.items():
        meaning, example, mending = page.split("```")
        assert meaning.strip(), code
        assert example.count("\n") > 1, code
        assert mending.strip(), code


def test_messages_name_their_fields() -> None:
    for code, (message, fix) in CODES.items():
        for template in (message, fix):
            names = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
            assert all(name.isidentifier() for name in names), code
