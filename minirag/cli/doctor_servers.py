"""Checks that ask: each server that the settings name, and each model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing

from minirag.config import Settings, SettingsError
from minirag.domain.chats import EXTRACTIVE_MODEL
from minirag.embedded.available import Check
from minirag.errors import MiniRagError

PING_SECONDS = 5.0
MODEL_SECONDS = 60.0

_ADVICE = {
    "Postgres": "check MINIRAG_DATABASE_URL, and that Postgres runs and can be reached from here",
    "Redis": "check MINIRAG_REDIS_URL, and that Redis runs and can be reached from here",
    "Vectors": "check MINIRAG_QDRANT_URL and MINIRAG_QDRANT_API_KEY, and that Qdrant runs",
    "Blobs": "check MINIRAG_BLOB_PATH or MINIRAG_BLOB_URL, and the rights to write there",
}


async def check_servers(settings: Settings) -> list[Check]:
    """Ask Postgres (its schema and our role, too), Redis, the vector store and the blob store."""
    from minirag.bootstrap import build_container  # 1 s to load
    from minirag.migrations.check import check_schema

    database_url = settings.database_url.get_secret_value() if settings.database_url else ""
    postgres = _ask("Postgres", check_schema(database_url), "answers; schema and role are right")
    try:
        container = await build_container(settings)
    except SettingsError as error:
        name, _, problem = str(error).partition(": ")
        return [await postgres, Check(name, False, "is missing or wrong", problem)]
    except MiniRagError as error:
        return [await postgres, Check("Stores", False, error.message, "see the message")]
    try:
        asked = {"Redis": "redis", "Vectors": "vectors", "Blobs": "blobs"}
        pings = container.pings
        checks = await asyncio.gather(
            postgres,
            *(
                _ask(name, pings[ping](), "answers")
                for name, ping in asked.items()
                if ping in pings
            ),
        )
    finally:
        await container.close()
    if "redis" in container.pings:
        return checks
    missing = Check(
        "Redis", False, "MINIRAG_REDIS_URL isn't set", "set it: workers take their jobs from there"
    )
    return [*checks, missing]


async def check_models(settings: Settings, *, call: bool) -> list[Check]:
    """Check the models that are set: by one small call each if `call`, else only tell them."""
    checks = []
    if settings.chat_model == EXTRACTIVE_MODEL:
        checks.append(
            Check("Chat model", True, f"{EXTRACTIVE_MODEL}, built in: no provider is needed")
        )
    else:
        checks.append(await _check_model("Chat model", settings.chat_model, settings, call))
    if settings.embedding_model:
        checks.append(
            await _check_model("Embedding model", settings.embedding_model, settings, call)
        )
    else:
        checks.append(Check("Embedding model", True, "none is set: retrieval is lexical (BM25)"))
    return checks


async def _check_model(name: str, model: str, settings: Settings, call: bool) -> Check:
    if not call:
        return Check(name, True, f"{model}; not called: --probe-models does")
    probe = _probe_chat(settings) if name == "Chat model" else _probe_embedding(settings)
    try:
        await probe
    except MiniRagError as error:
        advice = "check the model's name, MINIRAG_MODEL_API_BASE and MINIRAG_MODEL_API_KEY"
        return Check(name, False, f"{model}: {error.message}", advice)
    return Check(name, True, f"{model} answers")


async def _probe_embedding(settings: Settings) -> None:
    from minirag.adapters.models.litellm_embeddings import (  # seconds to load
        LiteLlmEmbeddingModels,
    )

    models = LiteLlmEmbeddingModels(
        api_base=settings.model_api_base, api_key=_model_key(settings), concurrency=1
    )
    await models.embed(settings.embedding_model, ["hello"], purpose="query", timeout=MODEL_SECONDS)


async def _probe_chat(settings: Settings) -> None:
    from minirag.adapters.models.litellm_chat import (  # seconds to load
        LiteLlmChatModels,
    )
    from minirag.services.ports.models import (
        AnswerRequest,
        PromptMessage,
        PromptRole,
    )

    models = LiteLlmChatModels(
        api_base=settings.model_api_base,
        api_key=_model_key(settings),
        idle_timeout=settings.model_idle_timeout,
    )
    question = "Say yes."
    request = AnswerRequest(
        model=settings.chat_model,
        messages=(PromptMessage(PromptRole.USER, question),),
        question=question,
        passages=(),
        temperature=None,
        max_output_tokens=16,
        timeout=MODEL_SECONDS,
    )
    async with aclosing(models.answer(request)) as events:
        async for _ in events:
            return


async def _ask(name: str, ping: Awaitable[None], well: str) -> Check:
    try:
        async with asyncio.timeout(PING_SECONDS):
            await ping
    except TimeoutError:
        return Check(name, False, f"doesn't answer within {PING_SECONDS:.0f} s", _ADVICE[name])
    except MiniRagError as error:
        return Check(name, False, error.message, _ADVICE[name])
    except Exception as error:  # however a ping fails, it isn't there
        return Check(name, False, f"can't be asked ({type(error).__name__})", _ADVICE[name])
    return Check(name, True, well)


def _model_key(settings: Settings) -> str | None:
    return settings.model_api_key.get_secret_value() if settings.model_api_key else None
