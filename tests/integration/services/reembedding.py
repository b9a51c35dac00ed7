"""A collection that is embedded anew: how tests ask for it, and look at what came of it."""

from __future__ import annotations

from typing import Any

from minirag.domain.documents import Collection, Document, DocumentState
from minirag.domain.operations import Operation
from minirag.domain.retrieval import VectorFilter
from minirag.services.operations import OperationService
from minirag.services.reembedding import ReembeddingService
from tests.integration.services.wiring import World

OTHER = "fake/other-model"
ANIMALS = ("walrus", "heron", "badger", "otter", "lynx")


async def begin(
    world: World, reembedding: ReembeddingService, collection: Collection, **named: Any
) -> Operation:
    wanted: dict[str, Any] = {
        "model": None,
        "sample_queries": (),
        "switch_when_built": False,
        "if_revision": None,
        "request": None,
    }
    return await reembedding.begin(world.context, collection.id, **wanted | named)


async def switch(
    world: World, reembedding: ReembeddingService, collection: Collection, **named: Any
) -> Collection:
    wanted: dict[str, Any] = {"if_revision": None, "request": None}
    return await reembedding.switch(world.context, collection.id, **wanted | named)


async def discard(
    world: World, reembedding: ReembeddingService, collection: Collection, **named: Any
) -> Operation:
    wanted: dict[str, Any] = {"if_revision": None, "request": None}
    return await reembedding.discard(world.context, collection.id, **wanted | named)


async def read(world: World, operation: Operation) -> Operation:
    return await OperationService(world.uow.inner).get(world.context, operation.id)


async def reread(world: World, collection: Collection) -> Collection:
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        found = await unit.collections.get(collection.id)
    assert found is not None
    return found


async def points(world: World, model: str) -> int:
    """Of the tenant in the model's space."""
    space = await world.spaces.find(world.tenant_id, model)
    if space is None:
        return 0
    return await world.vectors.inner.count(world.tenant_id, space, VectorFilter())


async def is_ready(world: World, document: Document) -> bool:
    return (await world.documents.get(world.context, document.id)).state is DocumentState.READY
