"""Fixtures for all tests. Each subject has its module in `tests/support`; this file only gathers them."""

from __future__ import annotations

pytest_plugins = [
    "tests.support.database",
    "tests.support.servers",
    "tests.support.redis",
    "tests.support.provider",
]
