"""Which models tenants may name: the operator's own, those of well-known providers, or with an own key."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from minirag.domain.models import AllowedModels
from minirag.errors import PermissionDenied
from minirag.services.model_policy import ModelPolicy

TENANT = uuid4()
DEFAULT = "bedrock/default"


class OneKey:
    """`ProviderKeys` of a tenant with a key of Groq's."""

    async def find(self, tenant_id: UUID, provider: str) -> str | None:
        return "key" if (tenant_id, provider) == (TENANT, "groq") else None


def make_policy(*patterns: str, any_prefix: bool = False) -> ModelPolicy:
    return ModelPolicy(
        AllowedModels(frozenset({DEFAULT}), patterns),
        OneKey(),
        providers={"openai", "groq"},
        any_prefix=any_prefix,
    )


@pytest.mark.parametrize("patterns", [(), ("openai/gpt-4o*", "mistral/*")])
@pytest.mark.parametrize("model", ["", DEFAULT, "extractive"])
async def test_the_servers_defaults_are_always_allowed(
    patterns: tuple[str, ...], model: str
) -> None:
    await make_policy(*patterns).check(uuid4(), model)


@pytest.mark.parametrize("model", ["openai/any", "groq/any", "gpt-4o"])
async def test_without_patterns_any_model_of_a_known_provider_is(model: str) -> None:
    await make_policy().check(uuid4(), model)


@pytest.mark.parametrize("model", ["ollama/llama3", "bedrock/other", "os.environ/KEY", "/x"])
async def test_without_patterns_no_model_of_another_is(model: str) -> None:
    with pytest.raises(PermissionDenied) as refused:
        await make_policy().check(TENANT, model)

    assert refused.value.reason == "MODEL_NOT_ALLOWED"
    assert refused.value.metadata == {"model": model}


async def test_an_address_of_the_operators_own_serves_names_with_any_prefix() -> None:
    await make_policy(any_prefix=True).check(uuid4(), "meta-llama/Llama-3")


@pytest.mark.parametrize("model", ["openai/gpt-4o", "openai/gpt-4o-mini", "mistral/large"])
async def test_with_patterns_what_matches_one_is(model: str) -> None:
    await make_policy("openai/gpt-4o*", "mistral/*").check(uuid4(), model)


@pytest.mark.parametrize("model", ["openai/gpt-5", "OPENAI/gpt-4o", "groq/any", "gpt-4o"])
@pytest.mark.parametrize("any_prefix", [True, False])
async def test_with_patterns_nothing_else_is(model: str, any_prefix: bool) -> None:
    policy = make_policy("openai/gpt-4o*", any_prefix=any_prefix)

    with pytest.raises(PermissionDenied, match="MINIRAG_ALLOWED_MODELS"):
        await policy.check(uuid4(), model)


async def test_a_key_of_the_tenants_own_lifts_the_restriction_for_its_provider_only() -> None:
    policy = make_policy("openai/gpt-4o*")

    await policy.check(TENANT, "groq/any")
    with pytest.raises(PermissionDenied):
        await policy.check(TENANT, "openai/gpt-5")
