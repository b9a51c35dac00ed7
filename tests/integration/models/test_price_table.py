"""LiteLLM's price table, as it comes with the library."""

from __future__ import annotations

from decimal import Decimal

import pytest

from minirag.adapters.models.price_table import LiteLlmPriceTable
from minirag.domain.chats import EXTRACTIVE_MODEL
from minirag.domain.usage import ModelPrice


@pytest.fixture(scope="module")
async def table() -> LiteLlmPriceTable:
    table = LiteLlmPriceTable(api_base="http://127.0.0.1:1/v1")
    await table.load()
    return table


@pytest.mark.parametrize("name", ["openai/gpt-4o-mini", "gpt-4o-mini"])
async def test_known_model_has_its_public_price(table: LiteLlmPriceTable, name: str) -> None:
    assert table.find(name) == ModelPrice(name, Decimal("0.15"), Decimal("0.6"), is_own=False)
    assert table.cost(name, 1000, 100) == pytest.approx(0.00021)


async def test_embedding_model_costs_nothing_to_write(table: LiteLlmPriceTable) -> None:
    found = table.find("openai/text-embedding-3-small")

    assert found is not None
    assert (found.input_usd, found.output_usd) == (Decimal("0.02"), Decimal(0))


@pytest.mark.parametrize("name", ["openai/mock-chat", "nobody/knows", "http://bad//name", ""])
async def test_unknown_model_has_no_price(table: LiteLlmPriceTable, name: str) -> None:
    assert table.find(name) is None
    assert table.cost(name, 1, 1) is None


async def test_built_in_model_is_free(table: LiteLlmPriceTable) -> None:
    assert table.cost(EXTRACTIVE_MODEL, 1000, 1000) == 0.0
    assert table.find(EXTRACTIVE_MODEL) == ModelPrice(
        EXTRACTIVE_MODEL, Decimal("0.0"), Decimal("0.0"), is_own=False
    )
