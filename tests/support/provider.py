"""The fixture that runs the mock provider for a test session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.mock_provider import MockProvider


@pytest.fixture(scope="session")
def mock_provider() -> Iterator[MockProvider]:
    """An OpenAI-compatible provider at `mock_provider.url`; `tests.mock_provider` tells how to steer it.

    Counters are shared by the session: call `reset()` before counting, or count one model's name.
    """
    provider = MockProvider()
    yield provider
    provider.stop()
