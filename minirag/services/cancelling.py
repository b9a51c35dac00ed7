"""Stopping the work on a version that nobody wants any more, and taking away what was made of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

import structlog

from minirag.domain.documents import DocumentState
from minirag.domain.jobs import Job, JobKind
from minirag.domain.retrieval import VectorFilter
from minirag.errors import MiniRagError, Unavailable
from minirag.services.ingestion_work import NoLongerWanted
from minirag.services.jobs import TryLater
from minirag.services.ports.storage import UnitOfWorkFactory
from minirag.services.ports.vectors import VectorStore
from minirag.services.spaces import EmbeddingSpaces

log = structlog.get_logger()

LOOK_EVERY = 0.5
"""Seconds between looks whether a version that is worked on is still wanted."""
OTHERS_TURN = 1.0
"""Seconds until a job looks again whether another one on the same version has ended."""
CHUNKS_PER_TRANSACTION = 5000
_UNWANTED = (DocumentState.CANCELLED, DocumentState.DELETING)


class Cancellation:
    """What a worker knows of cancellations: it asks Postgres, so that any server may cancel."""

    def __init__(
        self, uow: UnitOfWorkFactory, vectors: VectorStore, spaces: EmbeddingSpaces
    ) -> None:
        self._uow = uow
        self._vectors = vectors
        self._spaces = spaces

    async def run(self, tenant_id: UUID, version_id: UUID, work: Coroutine[Any, Any, None]) -> None:
        """Do the work on a version; when it isn't wanted any more, end it and raise `NoLongerWanted`.

        That takes `LOOK_EVERY` at most, whether the work waits for a parser, a store or a provider.
        """
        doing = asyncio.create_task(work)
        looking = asyncio.create_task(self._until_stopped(tenant_id, version_id))
        try:
            await asyncio.wait((doing, looking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            was_stopped = looking.done() and not doing.done()
            doing.cancel()
            looking.cancel()
            await asyncio.wait((doing, looking))
        if was_stopped and (doing.cancelled() or doing.exception() is not None):
            raise NoLongerWanted
        await doing

    async def require_turn(self, job: Job) -> None:
        """Raise `TryLater` while another job works on the same version: it may still be taking away what
        this one would make."""
        async with self._uow.tenant(job.tenant_id) as uow:
            is_busy = await uow.jobs.is_busy(job.subject_id, except_job=job.id)
        if is_busy:
            raise TryLater(OTHERS_TURN, "another job works on the version", counts=False)

    async def clear_version(self, job: Job) -> None:
        """Handler of CLEAR_VERSION; may run any number of times."""
        await self.require_turn(job)
        await self.clear(job.tenant_id, job.subject_id)

    async def clear(self, tenant_id: UUID, version_id: UUID) -> bool:
        """Take away points and chunks of a cancelled version; False when it isn't one (any more).

        Its progress is forgotten first: a retry that comes from then on begins anew, and one that came
        before goes on with all of its points. A worker that is held up for longer than its lease may come
        here when a retry is long done: it takes no chunk away then, and points at most in one call, after
        which it has them looked for.
        """
        async with self._uow.tenant(tenant_id) as uow:
            if not await uow.documents.clear_version(version_id):
                return False
        where = VectorFilter(version_ids=(version_id,))
        for space in await self._spaces.list_all(tenant_id):
            if not await self._is_cancelled(tenant_id, version_id):
                break
            await self._vectors.delete(tenant_id, space, where)
            left = await self._vectors.count(tenant_id, space, where)
            if left and await self._is_cancelled(tenant_id, version_id):
                raise Unavailable(f"{left} points are still there after their deletion")
        removed = 1
        while removed:
            async with self._uow.tenant(tenant_id) as uow:
                # Locks the version, which a retry does, too.
                if not await uow.documents.clear_version(version_id):
                    if await uow.documents.get_version(version_id) is not None:
                        await uow.jobs.add(JobKind.REPAIR_VERSION, version_id)
                    return False
                removed = await uow.chunks.remove_some(version_id, limit=CHUNKS_PER_TRANSACTION)
        return True

    async def _is_cancelled(self, tenant_id: UUID, version_id: UUID) -> bool:
        async with self._uow.tenant(tenant_id) as uow:
            version = await uow.documents.get_version(version_id)
        return version is not None and version.state is DocumentState.CANCELLED

    async def _until_stopped(self, tenant_id: UUID, version_id: UUID) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                async with self._uow.tenant(tenant_id) as uow:
                    version = await uow.documents.get_version(version_id)
            except MiniRagError:  # the work itself meets an outage, and waits or ends by it
                continue
            except Exception:  # nobody else would hear of it, and the work must not end by it
                log.exception("cancellation_not_looked_for", version_id=str(version_id))
                continue
            if version is None or version.state in _UNWANTED:
                return
