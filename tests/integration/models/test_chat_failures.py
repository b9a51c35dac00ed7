"""What a chat model's failures become, before the first token and in mid-stream."""

from __future__ import annotations

import logging

import pytest
import structlog

from minirag.adapters.models.litellm_chat import LiteLlmChatModels
from minirag.errors import (
    DeadlineExceeded,
    MiniRagError,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
)
from tests.integration.models.asking import KEY, a_request, read
from tests.mock_provider import MockProvider

ROUTES = pytest.mark.parametrize("route", ["", "hosted_vllm/"], ids=["openai", "wrapped"])
SAYS = "mock-chat.say-one_two_three_four_five_six"


@ROUTES
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("mock-chat.status-400", ProviderRejected),
        ("mock-chat.status-401", ProviderRejected),
        ("mock-chat.status-403", ProviderRejected),
        ("mock-chat.status-404", ProviderRejected),
        ("mock-chat.no-such-segment", ProviderRejected),
        ("mock-chat.status-429", ProviderThrottled),
        ("mock-chat.status-500", ProviderUnavailable),
        ("mock-chat.status-503", ProviderUnavailable),
    ],
)
async def test_a_refused_call_is_told_once_and_never_repeated(
    chat: LiteLlmChatModels,
    mock_provider: MockProvider,
    route: str,
    model: str,
    expected: type[MiniRagError],
) -> None:
    before = mock_provider.stats().calls_by_model.get(model, 0)

    answer = await read(chat, a_request(route + model))

    assert type(answer.failure) is expected
    assert answer.deltas == []
    assert mock_provider.stats().calls_by_model[model] - before == 1


@ROUTES
@pytest.mark.parametrize("status", [429, 503])
async def test_the_providers_delay_is_passed_on(
    chat: LiteLlmChatModels, route: str, status: int
) -> None:
    answer = await read(chat, a_request(f"{route}mock-chat.status-{status}.retry-7"))

    assert answer.failure is not None
    assert answer.failure.retry_after == 7.0


async def test_without_a_key_nobody_is_told_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)
    chat = LiteLlmChatModels()

    answer = await read(chat, a_request("openai/gpt-4o-mini"))

    assert type(answer.failure) is ProviderRejected
    assert "MINIRAG_MODEL_API_KEY" in answer.failure.message


async def test_a_provider_that_nobody_runs_is_unavailable() -> None:
    chat = LiteLlmChatModels(api_base="http://127.0.0.1:9/v1", api_key=KEY)

    answer = await read(chat, a_request("mock-chat"))

    assert type(answer.failure) is ProviderUnavailable


@ROUTES
async def test_silence_before_the_first_token_ends_after_the_idle_limit(
    impatient_chat: LiteLlmChatModels, route: str
) -> None:
    answer = await read(impatient_chat, a_request(f"{route}mock-chat.hang"))

    assert type(answer.failure) is ProviderUnavailable
    assert "0.5 s" in answer.failure.message


@pytest.mark.parametrize(
    ("route", "fault"),
    [
        ("", "hang"),
        ("", "error"),
        ("", "cut"),
        ("", "garble"),
        ("hosted_vllm/", "hang"),
        ("hosted_vllm/", "error"),
        # LiteLLM's own reader takes `[DONE]` for "stop", and passes over an event that isn't JSON.
    ],
)
async def test_a_stream_that_breaks_fails_after_the_tokens_so_far(
    impatient_chat: LiteLlmChatModels, route: str, fault: str
) -> None:
    answer = await read(impatient_chat, a_request(f"{route}{SAYS}.{fault}-3"))

    assert type(answer.failure) is ProviderUnavailable
    assert answer.deltas == ["one", " two", " three"]
    assert answer.finished is None


@ROUTES
async def test_a_connection_that_is_reset_fails_after_the_tokens_that_arrived(
    chat: LiteLlmChatModels, route: str
) -> None:
    answer = await read(chat, a_request(f"{route}{SAYS}.gap-100.drop-3"))

    assert type(answer.failure) is ProviderUnavailable
    # What a reset overtakes in the sockets is lost: the third token may be.
    assert answer.deltas[:2] == ["one", " two"]
    assert len(answer.deltas) <= 3
    assert answer.finished is None


@ROUTES
async def test_the_deadline_ends_a_stream_that_still_flows(
    chat: LiteLlmChatModels, route: str
) -> None:
    request = a_request(f"{route}mock-chat.tokens-1000.gap-20", timeout=2.0)

    answer = await read(chat, request)

    assert type(answer.failure) is DeadlineExceeded
    assert answer.deltas
    assert answer.finished is None


async def test_the_deadline_ends_a_wait_for_the_first_token(chat: LiteLlmChatModels) -> None:
    answer = await read(chat, a_request("mock-chat.hang", timeout=0.3))

    assert type(answer.failure) is DeadlineExceeded


@ROUTES
@pytest.mark.parametrize(
    "model",
    [
        "mock-chat.status-400",
        "mock-chat.status-401",
        "mock-chat.status-429",
        "mock-chat.status-500",
        f"{SAYS}.error-2",
    ],
)
async def test_the_key_is_told_to_nobody(
    chat: LiteLlmChatModels,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    route: str,
    model: str,
) -> None:
    with caplog.at_level(logging.DEBUG), structlog.testing.capture_logs() as logs:
        answer = await read(chat, a_request(route + model))

    failure = answer.failure
    assert failure is not None
    assert failure.__cause__ is None
    assert failure.__suppress_context__
    printed = capfd.readouterr()
    for told in (str(failure), repr(failure), str(logs), caplog.text, printed.out, printed.err):
        assert KEY not in told
    assert any(entry["event"] == "provider.failed" for entry in logs)


async def test_an_answer_that_is_no_stream_at_all_is_unavailable(chat: LiteLlmChatModels) -> None:
    answer = await read(chat, a_request("mock-chat.badjson"))

    assert type(answer.failure) is ProviderUnavailable
    assert answer.deltas == []


async def test_a_failed_call_leaves_the_next_one_alone(chat: LiteLlmChatModels) -> None:
    for model in ("mock-chat.status-500", f"{SAYS}.drop-2", f"{SAYS}.garble-1"):
        await read(chat, a_request(model))

    answer = await read(chat, a_request(SAYS))

    assert answer.text == "one two three four five six"
