"""Tokens and money of a call: the provider's count where there is one, else ours."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from minirag.adapters.models.litellm_loading import loaded_litellm
from minirag.domain.usage import Usage
from minirag.services.ports.models import PromptMessage

_CHARACTERS_PER_TOKEN = 4  # English text by OpenAI's tokenizers; used before LiteLLM is loaded


def price(
    litellm: Any,  # a module
    routed_model: str,
    input_tokens: int,
    output_tokens: int,
) -> float | None:
    """US dollars by LiteLLM's price table; None for a model that isn't in it."""
    name = routed_model.partition("/")[2]
    # LiteLLM prices names that only resemble known ones at 0; unknown must not look free.
    if routed_model not in litellm.model_cost and name not in litellm.model_cost:
        return None
    try:
        costs = litellm.cost_per_token(
            model=routed_model, prompt_tokens=input_tokens, completion_tokens=output_tokens
        )
    except Exception:  # it raises bare exceptions, and no price is no failure
        return None
    return float(sum(costs))


def estimate(routed_model: str, messages: Sequence[PromptMessage], answer: str) -> Usage:
    """Usage by LiteLLM's tokenizer, or by length while LiteLLM isn't loaded; flagged as estimated."""
    litellm = loaded_litellm()
    input_tokens = count_tokens(routed_model, "\n".join(message.content for message in messages))
    output_tokens = count_tokens(routed_model, answer)
    cost = price(litellm, routed_model, input_tokens, output_tokens) if litellm else None
    return Usage(input_tokens, output_tokens, cost, is_estimated=True)


def count_tokens(routed_model: str, text: str) -> int:
    litellm: Any = loaded_litellm()
    if not text:
        return 0
    if litellm is not None:
        with contextlib.suppress(Exception):  # a tokenizer that isn't on this machine
            return int(litellm.token_counter(model=routed_model, text=text))
    return -(-len(text) // _CHARACTERS_PER_TOKEN)
