"""Fixtures of this room's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nms.pg import Server, why_not


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server for all tests of this process."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with Server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that is not there yet, once on each database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state/loa.db"
    server: Server = request.getfixturevalue("postgres")
    return server.database()
