"""Deletes of documents that are true: points, blobs and rows, in an order that leaves nothing behind.

Points and blobs go first and rows last, as the rows are what tells a repeated attempt where to look.
"""

from __future__ import annotations

from uuid import UUID

from minirag.domain.documents import Metadata
from minirag.domain.jobs import Job
from minirag.domain.retrieval import VectorFilter
from minirag.errors import Unavailable
from minirag.services.blob_keys import version_prefix
from minirag.services.ports.files import BlobStore
from minirag.services.ports.storage import UnitOfWorkFactory
from minirag.services.ports.vectors import VectorStore
from minirag.services.spaces import EmbeddingSpaces


class Erasure:
    """Handlers of the erasing jobs; each may run any number of times."""

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        blobs: BlobStore,
        vectors: VectorStore,
        spaces: EmbeddingSpaces,
    ) -> None:
        self._uow = uow
        self._blobs = blobs
        self._vectors = vectors
        self._spaces = spaces

    async def erase_version(self, job: Job) -> None:
        """Erase a superseded version."""
        tenant_id, version_id = job.tenant_id, job.subject_id
        async with self._uow.tenant(tenant_id) as uow:
            version = await uow.documents.get_version(version_id)
            document = None
            if version is not None:
                document = await uow.documents.get(version.document_id)
        if document is not None and version_id in (
            document.version.id,
            document.published_version_id,
        ):
            return
        await self._erase_points(tenant_id, VectorFilter(version_ids=(version_id,)))
        await self._blobs.delete_prefix(version_prefix(tenant_id, version_id))
        async with self._uow.tenant(tenant_id) as uow:
            await uow.documents.remove_version(version_id)

    async def erase_document(self, job: Job) -> None:
        """Erase a document that was marked DELETING."""
        await self._erase_document(job.tenant_id, job.subject_id)

    async def update_metadata(self, job: Job) -> None:
        """Bring a document's metadata to its points.

        Read again afterwards: of two such jobs at once, the one with the older metadata may write last.
        """
        written: Metadata | None = None
        while True:
            async with self._uow.tenant(job.tenant_id) as uow:
                document = await uow.documents.get(job.subject_id)
            if document is None or document.metadata == written:
                return
            written = document.metadata
            for space in await self._spaces.list_all(job.tenant_id):
                await self._vectors.set_metadata(job.tenant_id, space, document.id, written)

    async def _erase_document(self, tenant_id: UUID, document_id: UUID) -> None:
        async with self._uow.tenant(tenant_id) as uow:
            versions = await uow.documents.list_versions(document_id)
        await self._erase_points(tenant_id, VectorFilter(document_ids=(document_id,)))
        for version in versions:
            await self._blobs.delete_prefix(version_prefix(tenant_id, version.id))
        async with self._uow.tenant(tenant_id) as uow:
            await uow.documents.remove(document_id)

    async def _erase_points(self, tenant_id: UUID, where: VectorFilter) -> None:
        """Delete the points and look again: what a store only promised is tried once more later."""
        for space in await self._spaces.list_all(tenant_id):
            await self._vectors.delete(tenant_id, space, where)
            left = await self._vectors.count(tenant_id, space, where)
            if left:
                raise Unavailable(f"{left} points are still there after their deletion")
