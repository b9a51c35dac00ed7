"""Embeddings from a provider over HTTP, through LiteLLM."""

from __future__ import annotations

import asyncio
import logging
import math

import pytest
import structlog

from minirag.adapters.models.litellm_embeddings import LiteLlmEmbeddingModels
from minirag.domain.usage import NO_USAGE
from minirag.errors import (
    MiniRagError,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
)
from minirag.services.ports.models import EmbeddingBatch
from tests.integration.models.asking import KEY
from tests.mock_provider import MockProvider, texts

# LiteLLM asks the first for base64, on our wish, and gets lists of numbers from the second.
ROUTES = pytest.mark.parametrize("route", ["", "hosted_vllm/"], ids=["base64", "numbers"])
TEXTS = ["the second text is about pears", "apples", "the third is about both apples and pears"]


async def embed(
    embeddings: LiteLlmEmbeddingModels, model: str, *inputs: str, timeout: float = 20.0
) -> EmbeddingBatch:
    return await embeddings.embed(model, inputs or TEXTS, purpose="document", timeout=timeout)


async def failure_of(
    embeddings: LiteLlmEmbeddingModels, model: str, timeout: float = 20.0
) -> MiniRagError:
    with pytest.raises(MiniRagError) as caught:
        await embed(embeddings, model, timeout=timeout)
    return caught.value


async def test_without_a_key_nobody_is_told_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)

    failure = await failure_of(LiteLlmEmbeddingModels(), "openai/text-embedding-3-small")

    assert type(failure) is ProviderRejected
    assert "MINIRAG_MODEL_API_KEY" in failure.message


@ROUTES
@pytest.mark.parametrize("dimensions", [1, 8, 256])
async def test_each_text_gets_its_vector_in_order(
    embeddings: LiteLlmEmbeddingModels, route: str, dimensions: int
) -> None:
    batch = await embed(embeddings, f"{route}mock-embed.dim-{dimensions}")

    assert len(batch.vectors) == len(TEXTS)
    for text, vector in zip(TEXTS, batch.vectors, strict=True):
        assert vector == pytest.approx(texts.embed(text, dimensions), abs=1e-6)


@pytest.mark.parametrize(("route", "encoding"), [("", "base64"), ("hosted_vllm/", None)])
async def test_base64_is_asked_for_where_the_protocol_has_it(
    embeddings: LiteLlmEmbeddingModels,
    mock_provider: MockProvider,
    route: str,
    encoding: str | None,
) -> None:
    model = f"mock-embed.dim-{9 + len(route)}"

    await embed(embeddings, route + model)

    [sent] = [r for r in mock_provider.requests() if r.body["model"] == model]
    assert sent.body.get("encoding_format") == encoding
    assert sent.body["input"] == TEXTS
    assert sent.authorization == f"Bearer {KEY}"


async def test_a_provider_without_base64_is_asked_for_it_once(
    embeddings: LiteLlmEmbeddingModels, mock_provider: MockProvider
) -> None:
    model = "mock-embed.nobase64.dim-5"

    first = await embed(embeddings, model)
    second = await embed(embeddings, model)

    sent = [r.body for r in mock_provider.requests() if r.body["model"] == model]
    assert [body.get("encoding_format") == "base64" for body in sent] == [True, False, False]
    assert first.vectors == second.vectors
    assert first.vectors[1] == pytest.approx(texts.embed("apples", 5), abs=1e-6)


async def test_no_text_costs_no_call(
    embeddings: LiteLlmEmbeddingModels, mock_provider: MockProvider
) -> None:
    model = "mock-embed.dim-31"

    batch = await embeddings.embed(model, [], purpose="query", timeout=1.0)

    assert (batch.vectors, batch.usage) == ([], NO_USAGE)
    assert model not in mock_provider.stats().calls_by_model


async def test_usage_is_the_providers_count(embeddings: LiteLlmEmbeddingModels) -> None:
    batch = await embed(embeddings, "mock-embed")

    words = sum(len(text.split()) for text in TEXTS)
    assert (batch.usage.input_tokens, batch.usage.output_tokens) == (words, 0)
    assert not batch.usage.is_estimated
    assert batch.usage.cost_usd is None


async def test_a_priced_model_tells_its_cost(embeddings: LiteLlmEmbeddingModels) -> None:
    batch = await embed(embeddings, "text-embedding-3-small")

    assert batch.usage.cost_usd == pytest.approx(batch.usage.input_tokens * 0.02e-6)


@ROUTES
@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ("short", "2 vectors for 3 texts"),
        ("ragged", "different lengths"),
        ("nan", "finite"),
        ("badjson", ""),
    ],
)
async def test_vectors_that_cannot_be_used_are_refused(
    embeddings: LiteLlmEmbeddingModels, route: str, fault: str, what: str
) -> None:
    failure = await failure_of(embeddings, f"{route}mock-embed.{fault}")

    assert type(failure) is ProviderUnavailable
    assert what in failure.message


@ROUTES
@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        ("status-400", ProviderRejected),
        ("status-401", ProviderRejected),
        ("status-404", ProviderRejected),
        ("status-429", ProviderThrottled),
        ("status-500", ProviderUnavailable),
    ],
)
async def test_a_refused_call_becomes_the_error_a_caller_can_act_on(
    embeddings: LiteLlmEmbeddingModels, route: str, segment: str, expected: type[MiniRagError]
) -> None:
    failure = await failure_of(embeddings, f"{route}mock-embed.{segment}")

    assert type(failure) is expected


@ROUTES
async def test_a_throttled_call_is_told_with_its_delay_and_never_repeated(
    embeddings: LiteLlmEmbeddingModels, mock_provider: MockProvider, route: str
) -> None:
    model = f"mock-embed.status-429.retry-{3 + len(route)}"

    failure = await failure_of(embeddings, route + model)

    assert failure.retry_after == 3 + len(route)
    assert mock_provider.stats().calls_by_model[model] == 1


@ROUTES
async def test_a_silent_provider_is_left_after_the_time_limit(
    embeddings: LiteLlmEmbeddingModels, mock_provider: MockProvider, route: str
) -> None:
    model = f"mock-embed.hang.dim-{50 + len(route)}"

    failure = await failure_of(embeddings, route + model, timeout=0.5)

    assert type(failure) is ProviderUnavailable
    assert "0.5 s" in failure.message
    await mock_provider.wait_until(lambda s: any(d.model == model for d in s.disconnects))


async def test_queries_pass_by_documents_that_wait_for_their_turn(
    embeddings: LiteLlmEmbeddingModels, mock_provider: MockProvider
) -> None:
    slow = "mock-embed.hang.dim-70"
    batches = [asyncio.create_task(embed(embeddings, slow, "text")) for _ in range(5)]

    await mock_provider.wait_until(lambda s: s.calls_by_model.get(slow, 0) == 2)
    query = await embeddings.embed("mock-embed.dim-4", ["q"], purpose="query", timeout=10.0)
    calls = mock_provider.stats().calls_by_model[slow]
    for batch in batches:
        batch.cancel()
    ended = await asyncio.gather(*batches, return_exceptions=True)

    assert len(query.vectors) == 1
    assert calls == 2
    assert all(isinstance(end, asyncio.CancelledError) for end in ended)


async def test_a_turn_is_given_on_after_a_failure(embeddings: LiteLlmEmbeddingModels) -> None:
    for _ in range(3):
        await failure_of(embeddings, "mock-embed.status-500")

    batch = await embed(embeddings, "mock-embed")

    assert all(math.isclose(math.hypot(*vector), 1.0, rel_tol=1e-5) for vector in batch.vectors)


@ROUTES
@pytest.mark.parametrize("segment", ["status-401", "status-429", "status-500", "badjson"])
async def test_the_key_is_told_to_nobody(
    embeddings: LiteLlmEmbeddingModels,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    route: str,
    segment: str,
) -> None:
    with caplog.at_level(logging.DEBUG), structlog.testing.capture_logs() as logs:
        failure = await failure_of(embeddings, f"{route}mock-embed.{segment}")

    assert failure.__suppress_context__
    printed = capfd.readouterr()
    for told in (str(failure), repr(failure), str(logs), caplog.text, printed.out, printed.err):
        assert KEY not in told
