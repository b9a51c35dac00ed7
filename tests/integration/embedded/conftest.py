"""Fixtures for tests that start, kill and restart servers of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import open_directory


@pytest.fixture
def directory() -> Iterator[Path]:
    """A temporary directory that the servers' account can enter."""
    with open_directory() as path:
        yield path
