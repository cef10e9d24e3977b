"""Fixtures of this room's tests."""

from __future__ import annotations

from collections.abc import Iterator

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
