"""Answers from any chat model that LiteLLM reaches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any, TypeVar

from minirag.adapters.models.answer_streams import AnswerPiece, read_pieces
from minirag.adapters.models.failures import BrokenStreamError, silent_for, translate_failure
from minirag.adapters.models.keys import KeyChooser
from minirag.adapters.models.litellm_loading import load_litellm, loaded_litellm
from minirag.adapters.models.model_names import ProviderAccess, route_model
from minirag.adapters.models.usage import estimate, price
from minirag.domain.chats import FinishReason
from minirag.domain.models import AllowedModels
from minirag.domain.usage import Usage
from minirag.errors import DeadlineExceeded, MiniRagError
from minirag.services.ports.models import AnswerFinished, AnswerRequest, TextDelta
from minirag.services.ports.secrets import ProviderKeys

_FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}
# Handed to LiteLLM's HTTP client, behind our own limits. It must not vary by request: LiteLLM keys its
# clients by it, and each new client means new connections and 25 ms of CPU.
_HTTP_TIMEOUT = 3600.0

_Result = TypeVar("_Result")


class LiteLlmChatModels:
    """`ChatModels` by LiteLLM. `idle_timeout`: seconds to wait for the next token, the first too.

    `keys` are the tenants' own; with `allowed`, tenants may not have any model called.
    """

    def __init__(
        self,
        *,
        api_base: str | None = None,
        api_key: str | None = None,
        idle_timeout: float = 30.0,
        keys: ProviderKeys | None = None,
        allowed: AllowedModels | None = None,
    ) -> None:
        self._access = ProviderAccess(api_base, api_key)
        self._keys = KeyChooser(self._access, keys, allowed)
        self._idle_timeout = idle_timeout

    async def answer(
        self, request: AnswerRequest
    ) -> AsyncGenerator[TextDelta | AnswerFinished, None]:
        """Stream an answer; closing the generator closes the provider's connection at once.

        Raises `ProviderRejected`, `ProviderThrottled`, `ProviderUnavailable`, what `KeyChooser.choose`
        raises, and `DeadlineExceeded` after `request.timeout`.
        """
        clock = _Clock(request.timeout, self._idle_timeout)
        litellm = await clock.limit(load_litellm(), idle=False)
        route = await clock.limit(
            self._keys.choose(litellm, request.model, request.tenant_id), idle=False
        )
        said: list[str] = []
        last = AnswerPiece()
        stream: Any = None  # LiteLLM's wrapper
        try:
            stream = await clock.limit(
                litellm.acompletion(**self._arguments(request, route.arguments))
            )
            async with aclosing(stream), aclosing(read_pieces(stream)) as batches:
                while True:
                    try:
                        pieces = await clock.limit(anext(batches))
                    except StopAsyncIteration:
                        break
                    for text, finish_reason, tokens in pieces:
                        if finish_reason or tokens:
                            last = AnswerPiece(
                                finish_reason=finish_reason or last.finish_reason,
                                tokens=tokens or last.tokens,
                            )
                        if text:
                            said.append(text)
                            yield TextDelta(text)
            if last.finish_reason is None:
                raise BrokenStreamError("the stream ended without a finish reason")
        except MiniRagError:
            raise
        except Exception as error:  # LiteLLM, openai, httpx and aiohttp share no base
            # `from None`: the provider's text may hold the key, and tracebacks are logged.
            failure = translate_failure(
                error,
                model=request.model,
                own_key_of=route.provider if route.is_tenants_key else "",
            )
            failure.may_be_charged = stream is not None
            raise failure from None
        yield AnswerFinished(
            self._usage(litellm, route.arguments["model"], request, last, "".join(said)),
            _FINISH_REASONS.get(last.finish_reason, FinishReason.STOP),
        )

    def estimate_usage(self, request: AnswerRequest, answer: str) -> Usage:
        """Usage of an answer that was cut short, by LiteLLM's tokenizer once it is loaded."""
        litellm: Any = loaded_litellm()
        model = request.model
        if litellm is not None:
            model = route_model(litellm, request.model, self._access)["model"]
        return estimate(model, request.messages, answer)

    def _arguments(self, request: AnswerRequest, routed: dict[str, Any]) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            **routed,
            "messages": [
                {"role": message.role.value, "content": message.content}
                for message in request.messages
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": request.max_output_tokens,
            "timeout": _HTTP_TIMEOUT,
            "num_retries": 0,
            "max_retries": 0,
            "drop_params": True,
        }
        if request.temperature is not None:
            arguments["temperature"] = request.temperature
        return arguments

    def _usage(
        self, litellm: object, model: str, request: AnswerRequest, last: AnswerPiece, answer: str
    ) -> Usage:
        if last.tokens is None:
            return estimate(model, request.messages, answer)
        return Usage(*last.tokens, cost_usd=price(litellm, model, *last.tokens))


class _Clock:
    """The deadline of a whole answer and the limit of each wait within it.

    Limits each wait by itself: a timeout held open across a generator's `yield` would cancel whatever its
    consumer does meanwhile.
    """

    def __init__(self, total: float, idle: float) -> None:
        self._total = total
        self._idle = idle
        self._deadline = time.monotonic() + total

    async def limit(self, wait: Awaitable[_Result], *, idle: bool = True) -> _Result:
        left = self._deadline - time.monotonic()
        limit = min(left, self._idle) if idle else left
        try:
            async with asyncio.timeout(limit) as scope:
                return await wait
        except TimeoutError:
            if not scope.expired():
                raise
            if limit < left:
                raise silent_for(self._idle) from None
            raise DeadlineExceeded(
                f"The answer was not complete after {self._total:g} s; allow more time, or ask for "
                "a shorter answer"
            ) from None
