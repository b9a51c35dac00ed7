"""Embedding spaces: found, made once, named apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirag.domain.access import TenantContext
from minirag.domain.retrieval import EmbeddingSpace
from minirag.domain.usage import NO_USAGE
from minirag.errors import ProviderRejected
from minirag.services.background import BackgroundTasks
from minirag.services.metering import UsageMeter
from minirag.services.ports.models import EmbeddingBatch
from minirag.services.pricing import Pricing
from minirag.services.spaces import LEXICAL_SPACE, EmbeddingSpaces, _space_name
from tests.support.fake_prices import FakePriceTable
from tests.support.fake_storage import FakeStorage

TENANT = uuid4()
CONTEXT = TenantContext(TENANT)


class FakeModels:
    """Gives vectors of three numbers."""

    def __init__(self) -> None:
        self.calls = 0
        self.fails_with: Exception | None = None

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        *,
        purpose: Literal["document", "query"],
        timeout: float,
        tenant_id: UUID,
    ) -> EmbeddingBatch:
        self.calls += 1
        if self.fails_with is not None:
            raise self.fails_with
        return EmbeddingBatch([(1.0, 0.0, 0.0)] * len(texts), NO_USAGE)


class FakeVectors:
    def __init__(self) -> None:
        self.ensured: list[EmbeddingSpace] = []

    async def ensure_space(self, space: EmbeddingSpace) -> None:
        self.ensured.append(space)


class Bench:
    def __init__(self, storage: FakeStorage | None = None) -> None:
        self.storage = storage or FakeStorage()
        self.models = FakeModels()
        self.vectors = FakeVectors()
        self.background = BackgroundTasks()
        self.spaces = EmbeddingSpaces(
            self.storage,
            self.vectors,  # type: ignore[arg-type]  # only what spaces need
            self.models,
            UsageMeter(self.storage, self.background, Pricing(FakePriceTable())),
            timeout=1.0,
        )


async def test_space_of_a_new_model_has_the_dimensions_of_its_vectors() -> None:
    bench = Bench()

    space = await bench.spaces.open(CONTEXT, "openai/some-model")

    assert space.dimensions == 3
    assert bench.storage.spaces.by_model == {"openai/some-model": space}
    assert bench.vectors.ensured == [space]


async def test_lexical_space_asks_no_model() -> None:
    bench = Bench()

    space = await bench.spaces.open(CONTEXT, "")

    assert space == LEXICAL_SPACE
    assert bench.models.calls == 0


async def test_known_space_is_neither_read_nor_probed_again() -> None:
    bench = Bench()
    await bench.spaces.open(CONTEXT, "some/model")
    reads = bench.storage.spaces.reads

    await bench.spaces.open(CONTEXT, "some/model")
    found = await bench.spaces.find(TENANT, "some/model")

    assert found is not None
    assert bench.models.calls == 1
    assert bench.storage.spaces.reads == reads


async def test_call_that_asks_for_the_dimensions_is_recorded() -> None:
    bench = Bench()

    await bench.spaces.open(CONTEXT, "some/model")
    await bench.background.close()

    assert [record.model for record in bench.storage.usage.records] == ["some/model"]


async def test_space_that_another_process_made_first_is_taken_over() -> None:
    first, second = Bench(), Bench()
    second.storage.spaces = first.storage.spaces
    made = await first.spaces.open(CONTEXT, "some/model")

    found = await second.spaces.open(CONTEXT, "some/model")

    assert found == made
    assert second.models.calls == 0
    assert second.vectors.ensured == [made]


async def test_nothing_is_found_before_the_first_document() -> None:
    bench = Bench()

    assert await bench.spaces.find(TENANT, "some/model") is None
    made = await bench.spaces.open(CONTEXT, "some/model")
    assert await bench.spaces.find(TENANT, "some/model") == made


async def test_model_that_is_refused_makes_no_space() -> None:
    bench = Bench()
    bench.models.fails_with = ProviderRejected("unknown model")

    with pytest.raises(ProviderRejected):
        await bench.spaces.open(CONTEXT, "some/model")

    assert bench.storage.spaces.by_model == {}


@given(st.text(min_size=1))
def test_name_is_one_that_every_store_accepts(model: str) -> None:
    name = _space_name(model)

    assert re.fullmatch(r"[a-z0-9-]{1,49}", name)
    assert name != LEXICAL_SPACE.name


def test_models_that_read_alike_are_kept_apart() -> None:
    names = {_space_name(model) for model in ("a/b", "a-b", "A/B", "a_b", "模型", "型模")}

    assert len(names) == 6
