"""LiteLLM's price table."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from minirag.adapters.models.litellm_loading import load_litellm, loaded_litellm
from minirag.adapters.models.model_names import ProviderAccess, route_model
from minirag.adapters.models.usage import price
from minirag.domain.chats import EXTRACTIVE_MODEL
from minirag.domain.usage import ModelPrice
from minirag.errors import ProviderRejected


class LiteLlmPriceTable:
    """`PriceTable` that LiteLLM brings along; the built-in model costs nothing."""

    def __init__(self, *, api_base: str | None = None) -> None:
        self._access = ProviderAccess(api_base)

    async def load(self) -> None:
        await load_litellm()

    def find(self, model: str) -> ModelPrice | None:
        """The price of the first tokens: some models have another one past a length."""
        # A thousand tokens: a single one of a cheap model is lost in the rounding of floats.
        sides = (self.cost(model, 1000, 0), self.cost(model, 0, 1000))
        if None in sides:
            return None
        read, written = (Decimal(repr(round(side * 1000, 9))) for side in sides if side is not None)
        return ModelPrice(model, read, written, is_own=False)

    def cost(self, model: str, input_tokens: int, output_tokens: int) -> float | None:
        if model == EXTRACTIVE_MODEL:
            return 0.0
        litellm: Any = loaded_litellm()
        if litellm is None:
            return None
        try:
            routed = route_model(litellm, model, self._access)
        except ProviderRejected:
            return None
        return price(litellm, routed["model"], input_tokens, output_tokens)
