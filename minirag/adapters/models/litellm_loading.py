"""LiteLLM imported once, late and off the event loop: the import takes 5 to 9 s and 180 MB."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from types import ModuleType
from typing import Any

import structlog

log = structlog.get_logger(__name__)

_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else the import downloads the price table
    "LITELLM_MODE": "PRODUCTION",  # else the import reads whatever .env lies above its own files
    "AIOHTTP_CONNECTOR_LIMIT": "0",  # streams are limited by our callers, not by a hidden queue
    "AIOHTTP_CONNECTOR_LIMIT_PER_HOST": "0",
}
_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")

KEPT_CLIENTS = 200
"""LiteLLM has a client, with its connections, for each key: of tenants that bring their own, this many at
once. Another one costs 25 ms."""

_lock = threading.Lock()
_loading: Future[ModuleType] | None = None


def loaded_litellm() -> ModuleType | None:
    """LiteLLM if it has been imported, else None at once."""
    future = _loading
    if future is None or not future.done() or future.exception() is not None:
        return None
    return future.result()


async def load_litellm() -> Any:  # its annotations don't survive strict checking
    """Return the module `litellm`, importing it in a thread the first time.

    Callers that come meanwhile wait for the same import; one that is cancelled doesn't disturb it.
    """
    module = loaded_litellm()
    if module is not None:
        return module
    return await asyncio.shield(asyncio.wrap_future(_start_loading()))


async def warm_up() -> None:
    """Import LiteLLM and run one answer and one embedding in memory, so that the first call is fast.

    Without it, the first call would run another second of imports on the event loop.
    """
    await load_litellm()


def _start_loading() -> Future[ModuleType]:
    global _loading  # noqa: PLW0603  # a process has one LiteLLM, as it has one module table
    with _lock:
        if _loading is None or (_loading.done() and _loading.exception() is not None):
            _loading = Future()
            threading.Thread(
                target=_load_into, args=(_loading,), name="litellm-import", daemon=True
            ).start()
        return _loading


def _load_into(future: Future[ModuleType]) -> None:
    started = time.monotonic()
    try:
        with _without_collections():
            module = _import_and_configure()
        with contextlib.suppress(Exception):  # a rehearsal that fails costs a slow first call only
            asyncio.run(_rehearse(module))
    except BaseException as error:  # handed to those who wait
        future.set_exception(error)
    else:
        log.info("litellm.loaded", seconds=round(time.monotonic() - started, 1))
        future.set_result(module)


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Suspend garbage collection while hundreds of thousands of objects are made that are kept for good,
    and leave them out of all later collections: the import is a fifth shorter, and no call waits for a
    collection that walks through them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def _import_and_configure() -> ModuleType:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for logger in _LOGGERS:  # they would print prompts and whole provider answers
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    # Base64 embeddings pass through a pydantic model that declares lists of floats.
    warnings.filterwarnings("ignore", message="Pydantic serializer warnings", category=UserWarning)
    # LiteLLM's own stream reader has pydantic build a model whose fields it can't make read-only.
    warnings.filterwarnings("ignore", message=".*`ReadOnly` qualifier", category=UserWarning)
    import litellm  # noqa: PLC0415  # the reason for this module

    for logger in _LOGGERS:  # the import set the levels anew
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    # Its embedding call takes `max_retries=0` for "not given", and would repeat a 429 by itself.
    litellm.DEFAULT_MAX_RETRIES = 0  # type: ignore[attr-defined]  # imported there, not exported
    litellm.suppress_debug_info = True
    litellm.drop_params = True
    litellm.turn_off_message_logging = True
    litellm.disable_streaming_logging = True
    litellm.disable_hf_tokenizer_download = True  # counting tokens must not reach for the network
    litellm.in_memory_llm_clients_cache.max_size_in_memory = KEPT_CLIENTS
    litellm.callbacks = []
    litellm.success_callback = []
    litellm.failure_callback = []
    return litellm


async def _rehearse(litellm: Any) -> None:  # as above
    """Run the code paths of a first call against a transport in memory; no socket is opened."""
    import httpx  # noqa: PLC0415  # with LiteLLM, not with the server
    import openai  # noqa: PLC0415

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/embeddings"):
            vector = {"object": "embedding", "index": 0, "embedding": [0.0]}
            usage = {"prompt_tokens": 1, "total_tokens": 1}
            return httpx.Response(
                200, json={"object": "list", "data": [vector], "model": "m", "usage": usage}
            )
        chunk = '{"id":"1","object":"chat.completion.chunk","created":0,"model":"m","choices":[]}'
        return httpx.Response(
            200,
            headers={"Content-Type": "text/event-stream"},
            content=f"data: {chunk}\n\ndata: [DONE]\n\n".encode(),
        )

    async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as http:
        client = openai.AsyncOpenAI(
            api_key="none", base_url="http://in-memory/v1", http_client=http, max_retries=0
        )
        stream = await litellm.acompletion(
            model="openai/rehearsal",
            messages=[{"role": "user", "content": "."}],
            stream=True,
            stream_options={"include_usage": True},
            temperature=0.0,
            max_tokens=1,
            client=client,
            api_key="none",
            num_retries=0,
            max_retries=0,
        )
        await stream.aclose()
        await litellm.aembedding(
            model="openai/rehearsal", input=["."], client=client, api_key="none", max_retries=0
        )
    litellm.token_counter(model="rehearsal", text="warm")
    # Building an SSL context parses the certificate store: 20 to 200 ms, and LiteLLM keeps it.
    from litellm.llms.custom_httpx.http_handler import get_ssl_configuration  # noqa: PLC0415

    get_ssl_configuration()
