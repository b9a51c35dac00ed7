"""Counting and pricing without LiteLLM, and against a price table of our own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from minirag.adapters.models import usage
from minirag.services.ports.models import PromptMessage, PromptRole


def _cost(*, model: str, prompt_tokens: int, completion_tokens: int) -> tuple[float, float]:
    if model == "openai/broken":
        raise RuntimeError("no such price")
    return prompt_tokens * 0.001, completion_tokens * 0.002


LITELLM = SimpleNamespace(
    model_cost={"known": {}, "mistral/small": {}, "broken": {}}, cost_per_token=_cost
)
MESSAGES = [PromptMessage(PromptRole.SYSTEM, "abcd" * 3), PromptMessage(PromptRole.USER, "abc")]


@pytest.fixture
def _no_litellm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "loaded_litellm", lambda: None)


@pytest.mark.parametrize("model", ["openai/known", "mistral/small"])
def test_a_price_is_input_and_output_together(model: str) -> None:
    assert usage.price(LITELLM, model, 10, 5) == pytest.approx(0.02)


@pytest.mark.parametrize("model", ["openai/unknown", "unknown", "openai/broken"])
def test_an_unknown_price_is_none_and_not_nothing(model: str) -> None:
    assert usage.price(LITELLM, model, 10, 5) is None


@pytest.mark.usefixtures("_no_litellm")
@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("x" * 400, 100)]
)
def test_without_litellm_four_characters_are_a_token(text: str, tokens: int) -> None:
    assert usage.count_tokens("openai/known", text) == tokens


@pytest.mark.usefixtures("_no_litellm")
def test_an_estimate_counts_all_messages_and_says_that_it_is_one() -> None:
    estimate = usage.estimate("openai/known", MESSAGES, "abcdefgh")

    assert (estimate.input_tokens, estimate.output_tokens) == (4, 2)
    assert estimate.is_estimated
    assert estimate.cost_usd is None


def test_a_tokenizer_that_is_missing_costs_exactness_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> int:
        raise OSError("no such file")

    litellm = SimpleNamespace(token_counter=fail)
    monkeypatch.setattr(usage, "loaded_litellm", lambda: litellm)

    assert usage.count_tokens("openai/known", "abcdefgh") == 2


def test_litellms_tokenizer_counts_once_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    litellm = SimpleNamespace(
        token_counter=lambda *, model, text: 3 if (model, text) == ("openai/known", "abc") else 0,
        model_cost={},
    )
    monkeypatch.setattr(usage, "loaded_litellm", lambda: litellm)

    estimate = usage.estimate("openai/known", [PromptMessage(PromptRole.USER, "abc")], "abc")

    assert (estimate.input_tokens, estimate.output_tokens) == (3, 3)
