"""From a model's name in our API to the arguments that tell LiteLLM where to call."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from minirag.adapters.models.failures import unknown_model

# Some LiteLLM providers take a URL for a model's name and would send the server's key there.
_NAME = re.compile(r"(?!.*(?://|\.\.))[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}")


@dataclass(frozen=True, slots=True)
class ProviderAccess:
    """Where models are called: both None means each provider's own address and variables."""

    api_base: str | None = None
    api_key: str | None = None


def route_model(litellm: Any, model: str, access: ProviderAccess) -> dict[str, Any]:  # a module
    """LiteLLM's `model`, `api_base` and `api_key` for a name.

    With a base URL set, a name without a known provider's prefix goes there by the OpenAI protocol
    (`llama3` and `meta-llama/Llama-3` become `openai/...`); with a known prefix, by that provider's.
    Raises `ProviderRejected` for a name that can't be one.
    """
    if not _NAME.fullmatch(model):
        raise unknown_model(model)
    if access.api_base is None:
        return {"model": model, "api_key": access.api_key}
    prefix, separator, _ = model.partition("/")
    if not separator or prefix not in litellm.provider_list:
        prefix, model = "openai", f"openai/{model}"
    key = access.api_key
    if key is None and prefix == "openai" and not os.environ.get("OPENAI_API_KEY"):
        key = "none"  # the OpenAI client insists on a key; a local server ignores it
    return {"model": model, "api_base": access.api_base, "api_key": key}


def split_provider(litellm: Any, routed: dict[str, Any]) -> tuple[str, str]:  # a module
    """The model's own name and LiteLLM's name of its provider.

    Raises what LiteLLM raises when it knows none.
    """
    name, provider, _, _ = litellm.get_llm_provider(
        model=routed["model"], api_base=routed.get("api_base")
    )
    return str(name), str(provider)
