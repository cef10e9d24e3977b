"""Tests in this folder ask for ``lab_image`` and then make their ``Lab``; where there can be none they skip."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.image import Unavailable, image
from tests.lab.probe import unavailable


@pytest.fixture(scope="session")
def lab_image() -> Path:
    """The hosts' image, made if it never was; skips where this machine allows no lab."""
    reason = unavailable()
    if reason is not None:
        pytest.skip(f"no lab: {reason}")
    try:
        return image()
    except Unavailable as error:
        pytest.skip(f"no lab: {error}")
