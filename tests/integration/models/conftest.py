"""Models of the mock provider, reached through LiteLLM."""

from __future__ import annotations

import pytest

from minirag.adapters.models.litellm_chat import LiteLlmChatModels
from minirag.adapters.models.litellm_embeddings import LiteLlmEmbeddingModels
from minirag.adapters.models.litellm_loading import load_litellm
from tests.integration.models.asking import KEY
from tests.mock_provider import MockProvider


@pytest.fixture(scope="session", autouse=True)
async def _litellm() -> None:
    """Imported before the first test, whose time limits are meant for calls alone."""
    await load_litellm()


@pytest.fixture
def chat(mock_provider: MockProvider) -> LiteLlmChatModels:
    return LiteLlmChatModels(api_base=mock_provider.url, api_key=KEY)


@pytest.fixture
def impatient_chat(mock_provider: MockProvider) -> LiteLlmChatModels:
    """Waits half a second for a token."""
    return LiteLlmChatModels(api_base=mock_provider.url, api_key=KEY, idle_timeout=0.5)


@pytest.fixture
def embeddings(mock_provider: MockProvider) -> LiteLlmEmbeddingModels:
    return LiteLlmEmbeddingModels(api_base=mock_provider.url, api_key=KEY, concurrency=2)
