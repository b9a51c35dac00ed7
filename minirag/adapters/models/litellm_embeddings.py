"""Embeddings from any model that LiteLLM reaches."""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
import sys
from array import array
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Literal
from uuid import UUID

from minirag.adapters.models.failures import silent_for, translate_failure
from minirag.adapters.models.keys import KeyChooser, Route
from minirag.adapters.models.lanes import Lanes
from minirag.adapters.models.litellm_loading import load_litellm
from minirag.adapters.models.model_names import ProviderAccess
from minirag.adapters.models.usage import count_tokens, price
from minirag.domain.usage import NO_USAGE, Usage
from minirag.errors import MiniRagError, ProviderThrottled, ProviderUnavailable
from minirag.services.ports.models import EmbeddingBatch
from minirag.services.ports.secrets import ProviderKeys

_HTTP_TIMEOUT = 3600.0  # constant for the reason given in `litellm_chat`
_COHERE_INPUT_TYPES = {"document": "search_document", "query": "search_query"}


class LiteLlmEmbeddingModels:
    """`EmbeddingModels` by LiteLLM. `keys` are the tenants' own.

    At most `concurrency` batches of documents are under way at each provider at once, and none begins while
    one wants no calls: after a 429 all wait as long as it says. Queries, which somebody waits for, are not
    held up behind either.
    """

    def __init__(
        self,
        *,
        api_base: str | None = None,
        api_key: str | None = None,
        concurrency: int = 4,
        keys: ProviderKeys | None = None,
    ) -> None:
        self._keys = KeyChooser(ProviderAccess(api_base, api_key), keys)
        self._lanes = Lanes(concurrency)
        self._without_base64: set[str] = set()

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        *,
        purpose: Literal["document", "query"],
        timeout: float,
        tenant_id: UUID | None = None,
    ) -> EmbeddingBatch:
        """Embed the texts in one provider call of at most `timeout` seconds; never retries.

        Without a tenant, with the operator's key. Raises `ProviderRejected`, `ProviderThrottled`,
        `ProviderUnavailable`, and what `ProviderKeys.find` raises. Of documents, `ProviderThrottled` always
        says when to come back, and may mean that the provider wasn't even called.
        """
        if not texts:
            return EmbeddingBatch([], NO_USAGE)
        litellm = await load_litellm()
        route = await self._keys.choose(litellm, model, tenant_id)
        account = (route.provider, tenant_id if route.is_tenants_key else None)
        async with self._lanes.enter(account) as lane, AsyncExitStack() as turn:
            if purpose == "document":
                await turn.enter_async_context(lane.turn())
                # After the wait for a turn, which may be long: a key that was replaced isn't used.
                route = await self._keys.choose(litellm, model, tenant_id)
            try:
                async with asyncio.timeout(timeout) as scope:
                    response = await self._call(litellm, route, texts, purpose)
            except MiniRagError:
                raise
            except Exception as error:  # LiteLLM, openai, httpx and aiohttp share no base
                if scope.expired():
                    raise silent_for(timeout) from None
                failure = translate_failure(
                    error,
                    model=model,
                    own_key_of=route.provider if route.is_tenants_key else "",
                )
                if isinstance(failure, ProviderThrottled):
                    pause = lane.refused(failure.retry_after)
                    if purpose == "document" and failure.retry_after is None:
                        failure.retry_after = pause
                raise failure from None  # as in `litellm_chat`
            lane.answered()
        return EmbeddingBatch(
            _read_vectors(response, len(texts)),
            _read_usage(litellm, route.arguments["model"], response, texts),
        )

    async def _call(
        self,
        litellm: Any,
        route: Route,
        texts: Sequence[str],
        purpose: str,  # a module
    ) -> Any:  # LiteLLM's response
        arguments: dict[str, Any] = {
            **route.arguments,
            "input": list(texts),
            "timeout": _HTTP_TIMEOUT,
            "num_retries": 0,
            "max_retries": 0,
            "drop_params": True,
        }
        if route.provider == "cohere":
            arguments["input_type"] = _COHERE_INPUT_TYPES[purpose]
        model = route.arguments["model"]
        if route.provider != "openai" or model in self._without_base64:
            return await litellm.aembedding(**arguments)
        # LiteLLM takes 23 ms of CPU to read 32 vectors of 256 numbers as JSON, 5 ms as base64.
        try:
            return await litellm.aembedding(**arguments, encoding_format="base64")
        except Exception as error:
            if getattr(error, "status_code", None) not in (400, 422):
                raise
            response = await litellm.aembedding(**arguments)
            self._without_base64.add(model)
            return response


def _read_vectors(response: Any, expected: int) -> list[tuple[float, ...]]:  # LiteLLM's
    try:
        entries = sorted(response.data, key=lambda entry: int(entry["index"]))
        vectors = [_read_vector(entry["embedding"]) for entry in entries]
    except (AttributeError, KeyError, TypeError, ValueError, binascii.Error):
        raise _malformed("it holds no list of vectors") from None
    if len(vectors) != expected:
        raise _malformed(f"{len(vectors)} vectors for {expected} texts")
    if len({len(vector) for vector in vectors}) != 1 or not vectors[0]:
        raise _malformed("vectors of different lengths")
    if not all(math.isfinite(sum(vector)) for vector in vectors):
        raise _malformed("numbers that aren't finite")
    return vectors


def _read_vector(embedding: Any) -> tuple[float, ...]:  # list or base64
    if not isinstance(embedding, str):
        return tuple(map(float, embedding))
    numbers = array("f", base64.b64decode(embedding, validate=True))
    if sys.byteorder == "big":
        numbers.byteswap()  # the wire format is little-endian
    return tuple(numbers)


def _malformed(what: str) -> ProviderUnavailable:
    failure = ProviderUnavailable(
        f"The embedding provider's answer can't be used ({what}); try again, or have the "
        "operator check MINIRAG_EMBEDDING_MODEL"
    )
    failure.may_be_charged = True
    return failure


def _read_usage(
    litellm: Any, model: str, response: Any, texts: Sequence[str]
) -> Usage:  # LiteLLM's
    tokens = getattr(getattr(response, "usage", None), "prompt_tokens", 0) or 0
    is_estimated = not tokens
    if is_estimated:
        tokens = sum(count_tokens(model, text) for text in texts)
    return Usage(tokens, 0, price(litellm, model, tokens, 0), is_estimated)
