"""What goes wrong at a provider, told as our errors: what is the case, and what to do."""

from __future__ import annotations

import asyncio
import email.utils
import math
import re
import time
from collections.abc import Mapping

import structlog

from minirag.errors import (
    ProviderError,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
)

log = structlog.get_logger(__name__)

LONGEST_RETRY_AFTER = 86_400.0
"""A day, in seconds: of what a provider asks for, as it could ask for anything."""

_CODE = re.compile(r"[a-z][a-z_]{1,60}|[0-9]{3}")
_UNREACHABLE = "The model provider can't be reached or broke off its answer; try again shortly"


class BrokenStreamError(Exception):
    """The provider's stream ended before its answer did, or told of a failure in mid-stream."""

    def __init__(self, message: str, status_code: int | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code


def translate_failure(error: Exception, *, model: str, own_key_of: str = "") -> ProviderError:
    """Turn what LiteLLM, its HTTP client or a stream raised into one of our errors.

    `own_key_of` names the provider if the key was the tenant's own.

    The provider's own words go neither into the message nor into the log: real providers quote keys,
    prompts and host names in them.
    """
    status = _status_of(error)
    log.warning(
        "provider.failed",
        model=model,
        status=status,
        error=type(error).__name__,
        code=_told(error),
    )
    retry_after = retry_after_seconds(_headers_of(error))
    kind = type(error).__name__
    if status == 429:
        return ProviderThrottled(
            f"The model provider limits the rate of calls to {model!r}; retry after the delay",
            retry_after=retry_after,
        )
    if own_key_of and status in (401, 403):
        return ProviderRejected(
            f"The model provider {own_key_of!r} refused your own API key for it, or its use of {model!r}:"
            " store a valid one with SetProviderCredential, or delete it to use the server's"
        )
    if status == 401 or _lacks_key(error):
        return ProviderRejected(
            "The model provider refused the API key, or there is none; the server's operator must "
            "set a valid one in MINIRAG_MODEL_API_KEY or in the provider's own variable"
        )
    if status == 403:
        return ProviderRejected(
            f"The model provider doesn't let this server use {model!r}; choose another model, or "
            "have the operator extend the key's permissions"
        )
    if status == 404 or _names_no_provider(error):
        return unknown_model(model)
    if kind == "ContextWindowExceededError":
        return ProviderRejected(
            f"The prompt is too long for {model!r}; retrieve fewer chunks, start a new "
            "conversation, or choose a model with a larger context"
        )
    if kind == "ContentPolicyViolationError":
        return ProviderRejected(
            "The model provider's content policy refused the request; change the question"
        )
    if status is not None and 400 <= status < 500 and status != 408:
        return ProviderRejected(
            f"The model provider refused the request for {model!r} (HTTP {status}); check the "
            "model's name and settings such as temperature and the length limit"
        )
    return ProviderUnavailable(_UNREACHABLE, retry_after=retry_after)


def unknown_model(model: str) -> ProviderRejected:
    return ProviderRejected(
        f"The model {model[:100]!r} is unknown to the provider; choose one that it serves, as "
        "`provider/name` (for example `openai/gpt-4o-mini`), or the built-in `extractive` for chat"
    )


def silent_for(seconds: float) -> ProviderUnavailable:
    failure = ProviderUnavailable(
        f"The model provider sent nothing for {seconds:g} s; try again, or choose a faster model"
    )
    failure.may_be_charged = True
    return failure


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Read `retry-after-ms` or `Retry-After` (seconds or an HTTP date); None when absent or odd.

    More than `LONGEST_RETRY_AFTER` is that: clients, and jobs, ask again some time.
    """
    seconds = _read_retry_after(headers)
    return None if seconds is None else min(seconds, LONGEST_RETRY_AFTER)


def _read_retry_after(headers: Mapping[str, str]) -> float | None:
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        date = email.utils.parsedate_to_datetime(value)
        return max(date.timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return None


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _status_of(error: Exception) -> int | None:
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return 408
    # LiteLLM wraps failures in mid-stream and gives them 500; the first cause knows better.
    original = getattr(error, "original_exception", None)
    for candidate in (original, error):
        status = getattr(candidate, "status_code", None)
        if isinstance(status, int):
            return status
    return None


def _headers_of(error: Exception) -> Mapping[str, str]:
    """The response's headers: LiteLLM keeps them beside a response that it makes up."""
    for headers in (
        getattr(error, "litellm_response_headers", None),
        getattr(getattr(error, "response", None), "headers", None),
    ):
        if headers:
            return {str(name).lower(): str(value) for name, value in headers.items()}
    return {}


def _names_no_provider(error: Exception) -> bool:
    return "LLM Provider NOT provided" in str(error)


def _lacks_key(error: Exception) -> bool:
    """OpenAI's client isn't even made without a key, which LiteLLM tells as status 500."""
    return "Missing credentials" in str(error)


def _told(error: Exception) -> str:
    """What can be logged of what the provider says: its short code, or its type of error.

    Never its text: real providers quote prompts in it, and with them questions and documents.
    """
    original = getattr(error, "original_exception", None)
    for candidate in (original, error):
        for name in ("code", "type"):
            value = str(getattr(candidate, name, None) or "")
            if _CODE.fullmatch(value):
                return value
    return ""
