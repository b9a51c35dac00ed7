"""What a provider's failure becomes: class, reason, delay, and a message without secrets."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping
from typing import NamedTuple

import pytest
import structlog

from minirag.adapters.models.failures import (
    BrokenStreamError,
    retry_after_seconds,
    silent_for,
    translate_failure,
    unknown_model,
)
from minirag.errors import (
    ProviderError,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
)

SECRET = "sk-very-secret-0123456789"


class Response(NamedTuple):
    headers: Mapping[str, str]


class HttpError(Exception):
    """As LiteLLM's and OpenAI's errors look from outside."""

    def __init__(self, status: int | None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"status {status}: the key {SECRET} at http://private.example:9 failed")
        self.status_code = status
        self.response = Response(headers or {})


class ContextWindowExceededError(HttpError):
    pass


class ContentPolicyViolationError(HttpError):
    pass


class MidStreamError(HttpError):
    """LiteLLM gives 500 to what failed in mid-stream, whatever the cause."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(500)
        self.original_exception = cause


def translate(error: Exception) -> ProviderError:
    return translate_failure(error, model="some/model")


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (HttpError(400), ProviderRejected, "HTTP 400"),
        (HttpError(401), ProviderRejected, "API key"),
        (HttpError(403), ProviderRejected, "permissions"),
        (HttpError(404), ProviderRejected, "unknown"),
        (HttpError(422), ProviderRejected, "HTTP 422"),
        (HttpError(408), ProviderUnavailable, "try again"),
        (HttpError(429), ProviderThrottled, "rate"),
        (HttpError(500), ProviderUnavailable, "try again"),
        (HttpError(503), ProviderUnavailable, "try again"),
        (HttpError(None), ProviderUnavailable, "try again"),
        (ContextWindowExceededError(400), ProviderRejected, "too long"),
        (ContentPolicyViolationError(400), ProviderRejected, "content policy"),
        (TimeoutError(), ProviderUnavailable, "try again"),
        (ConnectionResetError(), ProviderUnavailable, "try again"),
        (ValueError("Missing credentials. Please pass"), ProviderRejected, "there is none"),
        (ValueError("LLM Provider NOT provided"), ProviderRejected, "unknown"),
        (BrokenStreamError("it broke"), ProviderUnavailable, "try again"),
        (BrokenStreamError("slow down", 429), ProviderThrottled, "rate"),
        (MidStreamError(HttpError(429)), ProviderThrottled, "rate"),
        (MidStreamError(ConnectionResetError()), ProviderUnavailable, "try again"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)[:20]),
)
def test_each_failure_becomes_the_error_a_caller_can_act_on(
    error: Exception, expected: type[ProviderError], words: str
) -> None:
    failure = translate(error)

    assert type(failure) is expected
    assert words in failure.message


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 429, 500, 503])
def test_neither_message_nor_log_tells_the_key_and_no_message_tells_the_host(status: int) -> None:
    with structlog.testing.capture_logs() as logs:
        failure = translate(HttpError(status))

    assert SECRET not in str(failure)
    assert "private.example" not in str(failure)
    assert logs
    assert SECRET not in str(logs)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "later"}, None),
        ({"retry-after": "1e300"}, 86_400.0),
        ({"retry-after-ms": "1e300"}, 86_400.0),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, 86_400.0),
        ({"retry-after": f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT"}, None),
        ({"retry-after": f"Mon, 01 Jan 2030 00:00:00 +{'9' * 20}"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ],
)
def test_the_delay_is_read_in_each_form_and_odd_ones_are_ignored(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after_seconds(headers) == seconds


def test_a_date_is_a_delay_from_now() -> None:
    in_a_minute = email.utils.formatdate(time.time() + 60, usegmt=True)

    seconds = retry_after_seconds({"retry-after": in_a_minute})

    assert seconds == pytest.approx(60, abs=5)


@pytest.mark.parametrize("status", [429, 503])
def test_the_delay_reaches_the_error_whatever_the_case_of_the_header(status: int) -> None:
    failure = translate(HttpError(status, {"Retry-After": "9"}))

    assert failure.retry_after == 9.0


def test_the_headers_that_litellm_keeps_aside_are_read_first() -> None:
    error = HttpError(429, {"retry-after": "1"})
    error.litellm_response_headers = {"Retry-After": "12"}  # type: ignore[attr-defined]

    assert translate(error).retry_after == 12.0


def test_messages_say_what_to_do_next() -> None:
    assert "`provider/name`" in unknown_model("nonsense").message
    assert "2.5 s" in silent_for(2.5).message


def test_a_long_unknown_name_is_not_quoted_whole() -> None:
    assert len(unknown_model("x" * 5000).message) < 500


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("invalid_api_key", "invalid_api_key"),
        ("401", "401"),
        (None, ""),
        (SECRET, ""),
        ("The prompt 'where is the ferry' is too long", ""),
    ],
)
def test_the_log_tells_the_providers_code_and_none_of_its_words(
    code: str | None, told: str
) -> None:
    error = HttpError(400)
    error.code = code  # type: ignore[attr-defined]  # as OpenAI's has

    with structlog.testing.capture_logs() as logs:
        translate(error)

    (line,) = logs
    assert line["code"] == told
    assert line["status"] == 400
    assert SECRET not in str(line)
    assert "private.example" not in str(line)


def test_a_refused_key_of_the_tenants_own_is_told_as_such() -> None:
    failure = translate_failure(HttpError(401), model="some/model", own_key_of="openai")

    assert isinstance(failure, ProviderRejected)
    assert "'openai' refused your own API key" in failure.message
    assert SECRET not in failure.message
