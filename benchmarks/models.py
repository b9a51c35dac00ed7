"""Names of models at the mock provider, which tell it how to behave (see `tests.mock_provider`)."""

from __future__ import annotations

EMBEDDING_MODEL = "openai/mock-embed"
FIRST_TOKEN_MODEL = "openai/mock-chat.say-a_short_answer_that_costs_little"
"""No delay, and nothing for the mock to work out: what is measured is the way to the first token."""


def long_answer(tokens: int) -> str:
    """A model that says `tokens` words at once, 32 per network write."""
    return f"openai/mock-chat.say-word.tokens-{tokens}.burst-32"
