"""A price table in memory."""

from __future__ import annotations

from decimal import Decimal

from minirag.domain.usage import ModelPrice


class FakePriceTable:
    """`PriceTable` that knows what a test puts in; prices are by the million tokens."""

    def __init__(self) -> None:
        self.prices: dict[str, ModelPrice] = {}
        self.loads = 0

    def put(self, model: str, input_usd: str, output_usd: str) -> None:
        price = ModelPrice(model, Decimal(input_usd), Decimal(output_usd), is_own=False)
        self.prices[model] = price

    async def load(self) -> None:
        self.loads += 1

    def find(self, model: str) -> ModelPrice | None:
        return self.prices.get(model)

    def cost(self, model: str, input_tokens: int, output_tokens: int) -> float | None:
        price = self.prices.get(model)
        return None if price is None else float(price.cost(input_tokens, output_tokens))
