"""Writing points anew that a published version has lost: of those chunks only, on its uploader's account."""

from __future__ import annotations

import structlog

from minirag.domain.chunks import ChunkSizes
from minirag.domain.jobs import Job
from minirag.services.ingestion_work import NoLongerWanted, Work, find_kept_tenant
from minirag.services.jobs import TryLater
from minirag.services.metering import UsageMeter
from minirag.services.missing_points import MissingPoints
from minirag.services.ports.storage import UnitOfWorkFactory
from minirag.services.work_accounts import read_uploader

log = structlog.get_logger()

UNDER_WAY = 5.0
"""Seconds until it is looked again whether a version that is being built has been published."""


class Repair:
    def __init__(
        self,
        uow: UnitOfWorkFactory,
        points: MissingPoints,
        meter: UsageMeter,
        *,
        chunk_sizes: ChunkSizes,
    ) -> None:
        self._uow = uow
        self._points = points
        self._meter = meter
        self._chunk_sizes = chunk_sizes

    async def repair_version(self, job: Job) -> None:
        """Handler of REPAIR_VERSION; may run any number of times. Raises what ingestion raises, and
        `TryLater` while the version is being built."""
        loaded = await self._load(job)
        if loaded is None:
            return
        work, models = loaded
        was_begun = False
        try:
            for model in models:
                was_begun = await self._points.fill(work, model) or was_begun
        except NoLongerWanted:
            pass  # looked at below
        finally:
            for record in work.unrecorded:
                self._meter.keep(record)
            work.unrecorded.clear()
        await self._points.look_back(work, models, was_begun=was_begun)

    async def give_up(self, job: Job, error: str) -> None:
        """The next reconciliation finds what is missing, and tries anew."""
        log.error("repair_given_up", version_id=str(job.subject_id), error=error)

    async def _load(self, job: Job) -> tuple[Work, list[str]] | None:
        """Return the work, and whose spaces are to have its points."""
        async with self._uow.tenant(job.tenant_id) as uow:
            version = await uow.documents.get_version(job.subject_id)
            tenant = await find_kept_tenant(uow, job.tenant_id)
            if version is None or tenant is None:
                return None
            document = await uow.documents.get(version.document_id)
            if document is None:
                return None
            if not version.state.is_final:
                raise TryLater(UNDER_WAY, "the version is being built", counts=False)
            collection = await uow.collections.get(document.collection_id)
            if collection is None or document.published_version_id != version.id:
                return None
            # Those that aren't complete yet are the re-embedding's to write.
            models = [collection.embedding_model]
            if collection.standby is not None and collection.standby.is_complete:
                models.append(collection.standby.model)
            uploader = await read_uploader(uow, version, tenant.limits, calls_models=any(models))
        sizes = version.chunk_sizes or self._chunk_sizes
        return Work(uploader, document, version, collection.embedding_model, sizes), models
