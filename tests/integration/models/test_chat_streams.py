"""Answers streamed from a provider over HTTP, through LiteLLM."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import pytest

from minirag.adapters.models.litellm_chat import LiteLlmChatModels
from minirag.domain.chats import FinishReason
from minirag.services.ports.models import TextDelta
from tests.integration.models.asking import KEY, MESSAGES, Reader, a_request, read, reading
from tests.mock_provider import MockProvider
from tests.support.waiting import until

# LiteLLM reads the first by OpenAI's client, and the second by its own: two paths of ours.
ROUTES = pytest.mark.parametrize("route", ["", "hosted_vllm/"], ids=["openai", "wrapped"])
PROMPT_WORDS = sum(len(message.content.split()) for message in MESSAGES)


@ROUTES
async def test_an_answer_streams_token_by_token_and_ends_with_its_usage(
    chat: LiteLlmChatModels, route: str
) -> None:
    answer = await read(chat, a_request(f"{route}mock-chat.say-one_two_three_four"))

    assert answer.deltas == ["one", " two", " three", " four"]
    assert answer.finished is not None
    assert answer.finished.finish_reason is FinishReason.STOP
    usage = answer.finished.usage
    assert (usage.input_tokens, usage.output_tokens) == (PROMPT_WORDS, 4)
    assert not usage.is_estimated


@ROUTES
async def test_tokens_arrive_while_the_rest_does_not_exist_yet(
    chat: LiteLlmChatModels, mock_provider: MockProvider, route: str
) -> None:
    reader = Reader(chat, a_request(f"{route}mock-chat.say-one_two_three.gate-2"))

    async with reading(reader) as task:
        await until(lambda: len(reader.deltas) == 2, within=5, what="two tokens before the gate")
        before = mock_provider.stats()
        mock_provider.release()
        await task

    assert before.waiting_at_gates == 1
    assert reader.deltas == ["one", " two", " three"]
    assert reader.failure is None


async def test_a_priced_model_tells_its_cost(chat: LiteLlmChatModels) -> None:
    answer = await read(chat, a_request("gpt-4o-mini"))

    assert answer.finished is not None
    usage = answer.finished.usage
    assert usage.cost_usd == pytest.approx(
        usage.input_tokens * 0.15e-6 + usage.output_tokens * 0.60e-6
    )
    assert usage.cost_usd
    assert not usage.is_estimated


async def test_an_unpriced_model_has_no_cost_rather_than_none_to_pay(
    chat: LiteLlmChatModels,
) -> None:
    answer = await read(chat, a_request("mock-chat"))

    assert answer.finished is not None
    assert answer.finished.usage.cost_usd is None


@ROUTES
async def test_usage_that_the_provider_leaves_out_is_counted_and_flagged(
    chat: LiteLlmChatModels, route: str
) -> None:
    answer = await read(chat, a_request(f"{route}mock-chat.say-one_two_three_four.nousage"))

    assert answer.finished is not None
    usage = answer.finished.usage
    assert usage.is_estimated
    assert usage.input_tokens >= PROMPT_WORDS
    assert usage.output_tokens >= 4


async def test_usage_of_an_answer_cut_short_is_estimated_with_its_price(
    chat: LiteLlmChatModels,
) -> None:
    few = chat.estimate_usage(a_request("gpt-4o-mini"), "one two")
    many = chat.estimate_usage(a_request("gpt-4o-mini"), "one two " * 50)

    assert few.is_estimated
    assert few.input_tokens == many.input_tokens > 0
    assert 0 < few.output_tokens < many.output_tokens
    assert few.cost_usd is not None
    assert many.cost_usd is not None
    assert 0 < few.cost_usd < many.cost_usd


@ROUTES
async def test_an_answer_at_its_limit_ends_with_length(chat: LiteLlmChatModels, route: str) -> None:
    answer = await read(
        chat, a_request(f"{route}mock-chat.say-one_two_three_four", max_output_tokens=3)
    )

    assert answer.text == "one two three"
    assert answer.finished is not None
    assert answer.finished.finish_reason is FinishReason.LENGTH


async def test_an_answer_that_a_filter_ended_says_so(chat: LiteLlmChatModels) -> None:
    answer = await read(chat, a_request("mock-chat.finish-content_filter"))

    assert answer.finished is not None
    assert answer.finished.finish_reason is FinishReason.CONTENT_FILTER


async def test_the_provider_gets_the_prompt_the_settings_and_the_key(
    chat: LiteLlmChatModels, mock_provider: MockProvider
) -> None:
    model = "mock-chat.say-settings"

    await read(chat, a_request(model, max_output_tokens=17, temperature=0.25))

    [sent] = [r for r in mock_provider.requests() if r.body["model"] == model]
    assert sent.authorization == f"Bearer {KEY}"
    assert sent.body["messages"] == [
        {"role": "system", "content": "Answer from the passages."},
        {"role": "user", "content": "What is new?"},
    ]
    assert (sent.body["max_tokens"], sent.body["temperature"]) == (17, 0.25)


async def test_a_temperature_that_is_left_open_is_the_providers_own(
    chat: LiteLlmChatModels, mock_provider: MockProvider
) -> None:
    model = "mock-chat.say-open"

    await read(chat, a_request(model))

    [sent] = [r for r in mock_provider.requests() if r.body["model"] == model]
    assert "temperature" not in sent.body


async def _seconds_until_noticed(provider: MockProvider, model: str, left_at: float) -> float:
    stats = await provider.wait_until(lambda s: any(d.model == model for d in s.disconnects))
    [disconnect] = [d for d in stats.disconnects if d.model == model]
    return disconnect.noticed_at - left_at


@ROUTES
async def test_closing_the_answer_closes_the_providers_connection(
    chat: LiteLlmChatModels, mock_provider: MockProvider, route: str
) -> None:
    model = f"mock-chat.say-one_two_three.hang-2.tokens-{20 + len(route)}"

    async with aclosing(chat.answer(a_request(route + model))) as events:
        first = await anext(events)
        left_at = time.time()

    assert first == TextDelta("one")
    assert await _seconds_until_noticed(mock_provider, model, left_at) < 1.0


@ROUTES
async def test_cancelling_the_reader_closes_the_providers_connection(
    chat: LiteLlmChatModels, mock_provider: MockProvider, route: str
) -> None:
    model = f"mock-chat.say-one_two_three.hang-2.tokens-{40 + len(route)}"
    reader = Reader(chat, a_request(route + model))

    async with reading(reader) as task:
        await until(lambda: len(reader.deltas) == 2, within=5, what="the tokens before the hang")
        task.cancel()
        left_at = time.time()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert await _seconds_until_noticed(mock_provider, model, left_at) < 1.0


async def test_cancelling_before_the_first_token_closes_the_providers_connection(
    chat: LiteLlmChatModels, mock_provider: MockProvider
) -> None:
    model = "mock-chat.hang.say-never"
    reader = Reader(chat, a_request(model))

    async with reading(reader) as task:
        await mock_provider.wait_until(lambda s: s.calls_by_model.get(model, 0) == 1)
        task.cancel()
        left_at = time.time()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert await _seconds_until_noticed(mock_provider, model, left_at) < 1.0


async def test_many_answers_stream_side_by_side(
    chat: LiteLlmChatModels, mock_provider: MockProvider
) -> None:
    model = "mock-chat.say-one_two_three.gate-1"
    readers = [Reader(chat, a_request(model)) for _ in range(40)]

    tasks = [asyncio.create_task(reader.read()) for reader in readers]
    await mock_provider.wait_until(lambda s: s.waiting_at_gates == len(readers), limit=20)
    mock_provider.release()
    await asyncio.gather(*tasks)

    assert {reader.text for reader in readers} == {"one two three"}
