"""The providers whose models tenants may name by themselves, and whose keys they may bring.

Each is called at one public address of its own, and with nothing but the key it is given. LiteLLM knows
many more: some call localhost (`ollama`, `llamafile`) or a cloud's metadata address (`sagemaker`), some
take the server's own account (`bedrock`, `vertex_ai`) or address (`azure`) from its environment, some
begin an interactive sign-in (`github_copilot`), and some quietly are OpenAI with OpenAI's key
(`custom_openai`). Those are for the operator to name.
"""

from __future__ import annotations

from collections.abc import Mapping

PROVIDERS = frozenset(
    {
        "anthropic",
        "cerebras",
        "codestral",
        "cohere",
        "deepinfra",
        "deepseek",
        "featherless_ai",
        "fireworks_ai",
        "friendliai",
        "gemini",
        "groq",
        "hyperbolic",
        "jina_ai",
        "lambda_ai",
        "meta_llama",
        "mistral",
        "moonshot",
        "nebius",
        "novita",
        "nscale",
        "nvidia_nim",
        "openai",
        "openrouter",
        "perplexity",
        "sambanova",
        "together_ai",
        "voyage",
        "xai",
        "zai",
    }
)

# LiteLLM's names of a provider's other protocols.
_SAME: Mapping[str, str] = {
    "anthropic_text": "anthropic",
    "cohere_chat": "cohere",
    "text-completion-codestral": "codestral",
    "text-completion-openai": "openai",
}


def provider_of(litellm_provider: str) -> str:
    """Our name of a provider: LiteLLM's, without its word for the protocol."""
    return _SAME.get(litellm_provider, litellm_provider)
