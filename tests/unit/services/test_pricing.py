"""Whose price a call is charged at."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import uuid4

from minirag.domain.chats import EXTRACTIVE_MODEL
from minirag.domain.usage import ModelPrice, Usage
from minirag.services.pricing import Pricing
from tests.support.fake_prices import FakePriceTable
from tests.support.fake_storage import FakeStorage

TENANT = uuid4()
MODEL = "some/model"


class Bench:
    def __init__(self, *, trust_seconds: float = 60.0) -> None:
        self.storage: Any = FakeStorage()
        self.table = FakePriceTable()
        self.pricing = Pricing(self.table, trust_seconds=trust_seconds)

    def set_own(self, input_usd: str, output_usd: str) -> None:
        price = ModelPrice(MODEL, Decimal(input_usd), Decimal(output_usd))
        self.storage.model_prices.own[MODEL] = price

    async def price(self, input_tokens: int = 1_000_000, output_tokens: int = 0) -> Decimal | None:
        return await self.pricing.price(self.storage, TENANT, MODEL, input_tokens, output_tokens)


async def test_own_price_goes_before_the_tables() -> None:
    bench = Bench()
    bench.table.put(MODEL, "1", "1")
    bench.set_own("0.15", "0.6")

    prices = await bench.pricing.read(bench.storage, TENANT)

    assert prices.cost(MODEL, 3, 7) == Decimal("0.00000465")
    assert prices.charge(MODEL, Usage(3, 7, cost_usd=1.0)).cost_usd == 0.00000465
    assert prices.find(MODEL) == ModelPrice(MODEL, Decimal("0.15"), Decimal("0.6"))


async def test_tables_price_holds_for_a_model_without_an_own_one() -> None:
    bench = Bench()
    bench.table.put(MODEL, "1", "2")

    prices = await bench.pricing.read(bench.storage, TENANT)

    assert prices.cost(MODEL, 1_000_000, 500_000) == Decimal("2.0")
    found = prices.find(MODEL)
    assert found is not None
    assert not found.is_own


async def test_model_that_nobody_knows_has_no_price_rather_than_none_to_pay() -> None:
    bench = Bench()

    prices = await bench.pricing.read(bench.storage, TENANT)

    assert prices.cost(MODEL, 1, 1) is None
    assert prices.charge(MODEL, Usage(1, 1)).cost_usd is None
    assert prices.find(MODEL) is None


async def test_what_the_adapter_counted_before_the_table_was_there_is_priced_afterwards() -> None:
    bench = Bench()
    bench.table.put(MODEL, "1", "2")

    prices = await bench.pricing.read(bench.storage, TENANT)

    assert prices.charge(MODEL, Usage(1_000_000)).cost_usd == 1.0
    assert prices.charge(MODEL, Usage(1_000_000, cost_usd=0.5)).cost_usd == 0.5


async def test_prices_are_read_once_while_they_are_trusted() -> None:
    bench = Bench()

    await bench.price()
    await bench.price()

    assert bench.storage.model_prices.reads == 1


async def test_price_changed_elsewhere_is_known_once_the_trust_ran_out() -> None:
    bench = Bench(trust_seconds=0.0)
    bench.set_own("1", "0")
    before = await bench.price()
    bench.set_own("2", "0")

    after = await bench.price()

    assert (before, after) == (Decimal(1), Decimal(2))


async def test_price_changed_here_is_known_at_once() -> None:
    bench = Bench()
    bench.set_own("1", "0")
    await bench.price()
    bench.set_own("2", "0")

    bench.pricing.forget(TENANT)

    assert await bench.price() == Decimal(2)


async def test_built_in_model_needs_no_table() -> None:
    bench = Bench()

    await bench.pricing.prepare(EXTRACTIVE_MODEL)
    loads = bench.table.loads
    await bench.pricing.prepare(EXTRACTIVE_MODEL, MODEL)

    assert (loads, bench.table.loads) == (0, 1)
