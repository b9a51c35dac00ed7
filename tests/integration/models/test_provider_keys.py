"""Whose key a model is called with, and where a model's name can lead."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog.testing

from minirag.adapters.models.litellm_chat import LiteLlmChatModels
from minirag.adapters.models.litellm_embeddings import LiteLlmEmbeddingModels
from minirag.adapters.models.litellm_loading import KEPT_CLIENTS, load_litellm
from minirag.adapters.models.providers import PROVIDERS
from minirag.domain.models import AllowedModels
from minirag.errors import FailedPrecondition, MiniRagError, PermissionDenied, ProviderRejected
from minirag.services.ports.models import AnswerRequest
from tests.integration.models.asking import KEY, a_request, read
from tests.integration.models.provider_keys import HeldKeys, cut_off, listening
from tests.mock_provider import MockProvider

ACME, GLOBEX, NOBODY = uuid4(), uuid4(), uuid4()
ACME_KEY, GLOBEX_KEY = "walrus_of_acme_0123456789", "heron_of_globex_0123456789"
ANY = AllowedModels(defaults=frozenset({"openai/mock-chat"}))
EMBEDDING_ONLY = {"jina_ai", "voyage"}


def asked_by(tenant_id: UUID | None, model: str = "openai/mock-chat") -> AnswerRequest:
    return replace(a_request(model), tenant_id=tenant_id)


@pytest.fixture
def keys() -> HeldKeys:
    return HeldKeys({(ACME, "openai"): ACME_KEY, (GLOBEX, "openai"): GLOBEX_KEY})


@pytest.fixture
def own_chat(mock_provider: MockProvider, keys: HeldKeys) -> LiteLlmChatModels:
    return LiteLlmChatModels(api_base=mock_provider.url, api_key=KEY, keys=keys, allowed=ANY)


@pytest.fixture
def own_embeddings(mock_provider: MockProvider, keys: HeldKeys) -> LiteLlmEmbeddingModels:
    return LiteLlmEmbeddingModels(api_base=mock_provider.url, api_key=KEY, keys=keys)


def used(mock_provider: MockProvider, model: str) -> list[str]:
    """The keys that calls of the model arrived with."""
    return [
        request.authorization.removeprefix("Bearer ")
        for request in mock_provider.requests()
        if request.body.get("model") == model
    ]


# -- whose key


async def test_each_tenants_models_are_called_with_its_own_key_at_the_same_time(
    own_chat: LiteLlmChatModels, mock_provider: MockProvider
) -> None:
    tenants = {"acme": (ACME, ACME_KEY), "globex": (GLOBEX, GLOBEX_KEY), "nobody": (NOBODY, KEY)}
    model = "mock-chat.first-20.tokens-3"

    async def ask(name: str) -> None:
        request = asked_by(tenants[name][0], f"openai/{model}.say-{name}")
        assert (await read(own_chat, request)).failure is None

    await asyncio.gather(*(ask(name) for _ in range(15) for name in tenants))

    for name, (_, key) in tenants.items():
        assert used(mock_provider, f"{model}.say-{name}") == [key] * 15


async def test_documents_and_queries_are_embedded_with_the_tenants_key(
    own_embeddings: LiteLlmEmbeddingModels, mock_provider: MockProvider
) -> None:
    model = f"mock-embed-{uuid4().hex[:8]}"

    for purpose in ("document", "query"):
        await own_embeddings.embed(
            f"openai/{model}",
            ["a"],
            purpose=purpose,
            timeout=10,
            tenant_id=ACME,  # type: ignore[arg-type]  # a literal
        )
    await own_embeddings.embed(
        f"openai/{model}", ["a"], purpose="query", timeout=10, tenant_id=NOBODY
    )

    assert used(mock_provider, model) == [ACME_KEY, ACME_KEY, KEY]


async def test_a_replaced_key_is_used_from_the_next_call_on(
    own_chat: LiteLlmChatModels, keys: HeldKeys, mock_provider: MockProvider
) -> None:
    model = f"mock-chat-{uuid4().hex[:8]}"
    await read(own_chat, asked_by(ACME, f"openai/{model}"))

    keys.keys[ACME, "openai"] = "otter_of_acme_0123456789"
    await read(own_chat, asked_by(ACME, f"openai/{model}"))
    del keys.keys[ACME, "openai"]
    await read(own_chat, asked_by(ACME, f"openai/{model}"))

    assert used(mock_provider, model) == [ACME_KEY, "otter_of_acme_0123456789", KEY]


async def test_litellm_keeps_a_bounded_number_of_clients_and_never_mixes_them(
    mock_provider: MockProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants = {uuid4(): f"key_number_{number}_0123456789" for number in range(12)}
    held = HeldKeys({(tenant_id, "openai"): key for tenant_id, key in tenants.items()})
    models = LiteLlmEmbeddingModels(api_base=mock_provider.url, api_key=KEY, keys=held)
    clients = (await load_litellm()).in_memory_llm_clients_cache
    assert clients.max_size_in_memory == KEPT_CLIENTS
    monkeypatch.setattr(clients, "max_size_in_memory", 4)
    monkeypatch.setattr(clients.evicted_client_closer, "_grace_seconds", 0.0)
    model = f"mock-embed-{uuid4().hex[:8]}"

    for tenant_id in [*tenants, *tenants]:
        await models.embed(
            f"openai/{model}", ["a"], purpose="query", timeout=10, tenant_id=tenant_id
        )
        assert len(clients.cache_dict) <= 4

    assert used(mock_provider, model) == [*tenants.values(), *tenants.values()]


# -- what is told when it fails


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_own_key_is_told_as_the_tenants_and_shown_nowhere(
    own_chat: LiteLlmChatModels,
    own_embeddings: LiteLlmEmbeddingModels,
    caplog: pytest.LogCaptureFixture,
    status: int,
) -> None:
    """The mock quotes the key that it was sent."""
    with structlog.testing.capture_logs() as logs, caplog.at_level(logging.DEBUG):
        reader = await read(own_chat, asked_by(ACME, f"openai/mock-chat.status-{status}"))
        with pytest.raises(ProviderRejected) as caught:
            await own_embeddings.embed(
                f"openai/mock-embed.status-{status}",
                ["a"],
                purpose="query",
                timeout=10,
                tenant_id=ACME,
            )

    for failure in (reader.failure, caught.value):
        assert isinstance(failure, ProviderRejected)
        assert "'openai' refused your own API key" in failure.message
        assert "SetProviderCredential" in failure.message
    assert any(entry.get("event") == "provider.failed" for entry in logs)
    assert ACME_KEY not in f"{logs} {caplog.text} {reader.failure} {caught.value}"


async def test_the_operators_refused_key_is_told_as_the_operators(
    own_chat: LiteLlmChatModels,
) -> None:
    reader = await read(own_chat, asked_by(NOBODY, "openai/mock-chat.status-401"))

    assert isinstance(reader.failure, ProviderRejected)
    assert "MINIRAG_MODEL_API_KEY" in reader.failure.message
    assert "your own" not in reader.failure.message


async def test_a_key_that_cannot_be_opened_is_never_replaced_by_the_operators(
    mock_provider: MockProvider,
) -> None:
    class LostKeys(HeldKeys):
        async def find(self, tenant_id: UUID, provider: str) -> str | None:
            raise FailedPrecondition("sealed by a key that is gone")

    model = f"mock-chat-{uuid4().hex[:8]}"
    chat = LiteLlmChatModels(api_base=mock_provider.url, api_key=KEY, keys=LostKeys())

    reader = await read(chat, asked_by(ACME, f"openai/{model}"))

    assert isinstance(reader.failure, FailedPrecondition)
    assert used(mock_provider, model) == []


# -- which models


@pytest.mark.parametrize("model", ["openai/mock-chat", "openai/mock-small"])
async def test_models_that_the_operator_named_are_open_to_all(
    mock_provider: MockProvider, model: str
) -> None:
    allowed = AllowedModels(frozenset({"openai/mock-chat"}), ("openai/mock-s*",))
    chat = LiteLlmChatModels(
        api_base=mock_provider.url, api_key=KEY, keys=HeldKeys(), allowed=allowed
    )

    assert (await read(chat, asked_by(NOBODY, model))).failure is None


async def test_other_models_take_a_key_of_the_tenants_own(
    mock_provider: MockProvider, keys: HeldKeys
) -> None:
    allowed = AllowedModels(frozenset(), ("openai/mock-s*",))
    chat = LiteLlmChatModels(api_base=mock_provider.url, api_key=KEY, keys=keys, allowed=allowed)
    model = f"mock-chat-{uuid4().hex[:8]}"

    refused = await read(chat, asked_by(NOBODY, f"openai/{model}"))
    answered = await read(chat, asked_by(ACME, f"openai/{model}"))

    assert isinstance(refused.failure, PermissionDenied)
    assert refused.failure.reason == "MODEL_NOT_ALLOWED"
    assert refused.failure.metadata == {"model": f"openai/{model}"}
    assert answered.failure is None
    assert used(mock_provider, model) == [ACME_KEY]


ODD_NAMES = [
    # localhost, a cloud's metadata address, or an address that the server's environment names
    "ollama/llama3",
    "ollama_chat/llama3",
    "llamafile/any",
    "lemonade/any",
    "docker_model_runner/any",
    "xinference/any",
    "hosted_vllm/any",
    "lm_studio/any",
    "sagemaker/any",
    "azure/any",
    "azure/command-r-plus",
    "azure_ai/any",
    "litellm_proxy/any",
    "langgraph/any",
    "triton/any",
    # the server's own cloud account, or a sign-in that would be waited for
    "bedrock/anthropic.claude-v2",
    "anthropic.claude-v2",
    "vertex_ai/gemini-pro",
    "gemini-1.0-pro",
    "github_copilot/gpt-4",
    "chatgpt/gpt-4",
    # OpenAI by another name, with OpenAI's key
    "custom_openai/any",
    "aiohttp_openai/any",
    "ai21/any",
    # no provider
    "custom/any",
    "openai_like/any",
    "http://169.254.169.254/latest",
    "openai/http://127.0.0.1:8080",
    "huggingface/http://127.0.0.1:8080",
    "os.environ/OPENAI_API_KEY",
    "openai/../../etc/passwd",
    "openai/a b",
    "openai/a\r\nHost: inside",
    "unheard-of/model",
    "unheard-of",
    "",
]


@pytest.mark.parametrize("model", ODD_NAMES)
async def test_an_odd_name_leads_nowhere(
    model: str, keys: HeldKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = LiteLlmChatModels(api_key=KEY, keys=keys, allowed=ANY)

    with cut_off(monkeypatch) as wanted:
        reader = await read(chat, asked_by(ACME, model))

    assert isinstance(reader.failure, (PermissionDenied, ProviderRejected))
    assert wanted == []
    assert KEY not in reader.failure.message


@pytest.mark.parametrize("model", ["ollama/llama3", "sagemaker/any", "custom_openai/any"])
async def test_the_operators_address_does_not_open_other_protocols(
    model: str, mock_provider: MockProvider
) -> None:
    chat = LiteLlmChatModels(api_base=mock_provider.url, api_key=KEY, keys=HeldKeys(), allowed=ANY)

    reader = await read(chat, asked_by(NOBODY, model))

    assert isinstance(reader.failure, PermissionDenied)


# -- the providers that tenants may bring keys of


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
async def test_provider_is_called_at_a_public_name_of_its_own(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_environment(monkeypatch)
    with cut_off(monkeypatch) as wanted:
        await call(provider, keys=HeldKeys({(ACME, provider): ACME_KEY}))

    hosts = set(wanted) - {"huggingface.co"}
    assert len(hosts) == 1, wanted
    (host,) = hosts
    assert "." in host
    assert not host.replace(".", "").isdigit()
    assert host.rpartition(".")[2] not in {"local", "internal", "localhost"}
    assert provider == "openai" or "openai.com" not in host


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
async def test_provider_is_called_with_the_tenants_key_and_none_of_the_servers(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_environment(monkeypatch)
    name = provider.upper()
    for variable in (
        *(f"{name}_API_KEY", f"{name.replace('_', '')}_API_KEY", f"{name}_TOKEN"),
        *("OPENAI_API_KEY", "GOOGLE_API_KEY", "TOGETHER_AI_TOKEN", "OR_API_KEY"),
    ):
        monkeypatch.setenv(variable, "zebra_of_the_environment")

    async with listening() as (url, heard):
        failure = await call(provider, keys=HeldKeys({(ACME, provider): ACME_KEY}), api_base=url)

    assert heard, failure
    for head in heard:
        assert ACME_KEY.encode() in head
        assert b"zebra" not in head
    assert ACME_KEY not in str(failure)


def forget_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name of a tokenizer is looked up, and a client that tries again does so at once."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.0)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.0)


async def call(provider: str, *, keys: HeldKeys, **access: Any) -> MiniRagError | None:
    """Have a model of the provider called for Acme, and return what came of it."""
    access = {"api_key": KEY, "keys": keys, **access}
    if provider not in EMBEDDING_ONLY:
        chat = LiteLlmChatModels(**access, allowed=AllowedModels())
        return (await read(chat, asked_by(ACME, f"{provider}/some-model"))).failure
    try:
        await LiteLlmEmbeddingModels(**access).embed(
            f"{provider}/some-model", ["a"], purpose="query", timeout=10, tenant_id=ACME
        )
    except MiniRagError as error:
        return error
    return None
