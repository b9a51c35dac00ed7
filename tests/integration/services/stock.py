"""A tenant's documents and points, laid in directly, and what a sweep makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from minirag.domain.documents import Collection, Document, DocumentState
from minirag.domain.drift import StoredPoint
from minirag.domain.ids import chunk_id
from minirag.domain.metadata_tokens import metadata_tokens
from minirag.domain.operations import DriftCount
from minirag.domain.retrieval import EmbeddingSpace, SparseVector, VectorFilter, VectorPoint
from minirag.services.blob_keys import source_key
from minirag.services.drift import DriftSweep
from tests.integration.postgres.records import make_chunk, make_document, make_version
from tests.integration.services.wiring import World, parts
from tests.support.fake_embeddings import DIMENSIONS

GRACE = timedelta(hours=24)
Drift = Mapping[str, tuple[int, int]]
"""Found and repaired, by kind, where anything was found."""


class Stock:
    """What the world's tenant has in its collection."""

    def __init__(self, world: World, collection: Collection) -> None:
        self.world = world
        self.collection = collection

    async def lay_in(self, chunks: int, **about: Any) -> Document:
        """A published document with its rows, its points and its file."""
        world = self.world
        document = make_document(world.tenant_id, self.collection.id, **about)
        key = source_key(world.tenant_id, document.version.id)
        version = replace(document.version, blob_key=key, chunk_count=chunks)
        document = replace(document, version=version)
        await world.blobs.inner.put(key, parts(b"abc"))
        async with world.uow.inner.tenant(world.tenant_id) as unit:
            await unit.documents.add(document)
            await unit.chunks.put([make_chunk(document, number) for number in range(chunks)])
            await unit.documents.publish_version(version.id)
        await self.put(*(point_of(document, number) for number in range(chunks)))
        return document

    async def supersede(self, document: Document) -> Document:
        """Publish a second version of one chunk; the erasure of the first is lost."""
        world = self.world
        key = source_key(world.tenant_id, uuid4())
        version = make_version(world.tenant_id, document.id, number=2, blob_key=key, chunk_count=1)
        version = replace(version, blob_key=source_key(world.tenant_id, version.id))
        await world.blobs.inner.put(version.blob_key, parts(b"abc"))
        newer = replace(document, version=version)
        async with world.uow.inner.tenant(world.tenant_id) as unit:
            await unit.documents.add_version(
                document.id,
                version,
                display_name=document.display_name,
                metadata=document.metadata,
            )
            await unit.chunks.put([make_chunk(newer, 0)])
            await unit.documents.publish_version(version.id)
        await self.put(point_of(newer, 0))
        return newer

    async def take_back(self, document: Document, state: DocumentState) -> None:
        """As if the document's only version had never been published, and had this state."""
        tenant_id = self.world.tenant_id
        unpublish = (
            "UPDATE documents SET published_version_id = NULL, published_number = 0"
            " WHERE tenant_id = $1 AND id = $2 RETURNING id"
        )
        change = (
            "UPDATE document_versions SET state = $3 WHERE tenant_id = $1 AND id = $2 RETURNING id"
        )
        await self.world.fetch(unpublish, tenant_id, document.id)
        await self.world.fetch(change, tenant_id, document.version.id, state.value)

    async def space(self) -> EmbeddingSpace:
        return await self.world.spaces.open(self.world.context, self.collection.embedding_model)

    async def put(self, *points: VectorPoint) -> None:
        await self.world.vectors.inner.upsert(self.world.tenant_id, await self.space(), points)

    async def remove(self, *chunk_ids: UUID) -> None:
        where = VectorFilter(chunk_ids=chunk_ids)
        await self.world.vectors.inner.delete(self.world.tenant_id, await self.space(), where)

    async def points(self) -> dict[UUID, StoredPoint]:
        found = await self.world.vectors.inner.scan(
            self.world.tenant_id, await self.space(), VectorFilter(), after=None, limit=100_000
        )
        return {point.chunk_id: point for point in found}

    async def sweep(self, *, dry_run: bool = False) -> Drift:
        return await sweep(self.world, dry_run=dry_run)


def make_sweep(world: World) -> DriftSweep:
    return DriftSweep(world.uow, world.blobs, world.vectors, world.spaces, file_grace=GRACE)


async def sweep(world: World, *, dry_run: bool = False, tenant_id: UUID | None = None) -> Drift:
    """One sweep of a tenant, the world's unless another is named."""
    steps = make_sweep(world).run(tenant_id or world.tenant_id, dry_run=dry_run)
    last: tuple[DriftCount, ...] = ([found async for found in steps] or [()])[-1]
    return {one.kind: (one.found, one.repaired) for one in last if one.found}


def ids_of(document: Document) -> list[UUID]:
    return [chunk_id(document.version.id, n) for n in range(document.version.chunk_count)]


def point_of(document: Document, ordinal: int = 0, **changes: Any) -> VectorPoint:
    point = VectorPoint(
        chunk_id=chunk_id(document.version.id, ordinal),
        collection_id=document.collection_id,
        document_id=document.id,
        version_id=document.version.id,
        sparse=SparseVector((1,), (1.0,)),
        dense=(0.1,) * DIMENSIONS,
        metadata=document.metadata,
    )
    return replace(point, **changes)


def stored(document: Document, ordinal: int) -> StoredPoint:
    """The point as it ought to be."""
    return StoredPoint(
        chunk_id(document.version.id, ordinal),
        document.collection_id,
        document.id,
        document.version.id,
        tuple(metadata_tokens(document.metadata)),
    )


def all_stored(*documents: Document) -> dict[UUID, StoredPoint]:
    return {
        chunk_id(each.version.id, n): stored(each, n)
        for each in documents
        for n in range(each.version.chunk_count)
    }
