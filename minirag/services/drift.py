"""Comparing what the stores hold of one tenant, in both directions, and repairing what differs.

Nothing is locked, and uploads, ingestion, erasures and other sweeps go on meanwhile. That is safe by the
order of the looks: a chunk's row is there before its point is, and gone only after it; so what the vector
store lists first and the database doesn't know afterwards belongs to nothing, and what the database calls
published first and the vector store doesn't have afterwards is missing, if it is published still. A file is
there before its row, so that one without a row must be older than `file_grace` to be an orphan.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from minirag.domain.drift import BlobEntry, ChunkPlace, SourceFile, Standing, StoredPoint
from minirag.domain.jobs import JobKind
from minirag.domain.metadata_tokens import metadata_tokens
from minirag.domain.operations import DriftCount, add_drift
from minirag.domain.retrieval import EmbeddingSpace, VectorFilter
from minirag.errors import Unavailable
from minirag.services.blob_keys import parts_prefix, tenant_prefix, version_prefix
from minirag.services.clock import utc_now
from minirag.services.ingestion_work import find_kept_tenant
from minirag.services.ports.files import BlobStore
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory
from minirag.services.ports.vectors import VectorStore
from minirag.services.spaces import EmbeddingSpaces

log = structlog.get_logger()

PAGE = 256
FILES_AT_ONCE = 8
Found = list[DriftCount]


@dataclass(frozen=True, slots=True)
class _Look:
    """One tenant's turn."""

    tenant_id: UUID
    began: datetime
    dry_run: bool


@dataclass(slots=True)
class _Verdict:
    """What is wrong with a page of points."""

    orphans: list[UUID] = field(default_factory=list)
    misplaced: list[UUID] = field(default_factory=list)
    """They name another version, document or collection than their chunk is of: written anew."""
    outdated: dict[UUID, int] = field(default_factory=dict)
    """How many points by document, whose metadata they don't have."""
    superseded: dict[UUID, int] = field(default_factory=dict)
    """How many points by version, whose erasure got lost."""


class DriftSweep:
    def __init__(
        self,
        uow: UnitOfWorkFactory,
        blobs: BlobStore,
        vectors: VectorStore,
        spaces: EmbeddingSpaces,
        *,
        file_grace: timedelta,
    ) -> None:
        self._uow = uow
        self._blobs = blobs
        self._vectors = vectors
        self._spaces = spaces
        self._file_grace = file_grace

    async def run(
        self, tenant_id: UUID, *, dry_run: bool
    ) -> AsyncGenerator[tuple[DriftCount, ...], None]:
        """Look at a tenant, or at what an erased one left behind, page by page; yield all that was found so
        far after each. With `dry_run` nothing is changed. Raises `Unavailable` when a store is away."""
        so_far: tuple[DriftCount, ...] = ()
        async with self._uow.tenant(tenant_id) as uow:
            began = await uow.drift.read_clock()
        look = _Look(tenant_id, began, dry_run)
        for space in await self._spaces.list_all(tenant_id):
            # In this order: stale points that are taken away would be missing next.
            async for found in self._check_chunks(look, space):
                so_far = add_drift(so_far, found)
                yield so_far
            async for found in self._check_points(look, space):
                so_far = add_drift(so_far, found)
                yield so_far
        async for found in self._check_files(tenant_id, dry_run):
            so_far = add_drift(so_far, found)
            yield so_far
        async for found in self._check_sources(tenant_id):
            so_far = add_drift(so_far, found)
            yield so_far

    # -- from the vector store to the database

    async def _check_points(
        self, look: _Look, space: EmbeddingSpace
    ) -> AsyncGenerator[Found, None]:
        tenant_id, dry_run = look.tenant_id, look.dry_run
        after: UUID | None = None
        while True:
            points = await self._vectors.scan(
                tenant_id, space, VectorFilter(), after=after, limit=PAGE
            )
            if not points:
                return
            after = points[-1].chunk_id
            async with self._uow.tenant(tenant_id) as uow:
                ids = [point.chunk_id for point in points]
                places = await uow.drift.read_places(ids, began=look.began)
            verdict = _judge(points, places, space)
            if not dry_run:
                await self._set_right(look, space, verdict)
            orphans, misplaced = len(verdict.orphans), len(verdict.misplaced)
            stale = misplaced + sum((verdict.outdated | verdict.superseded).values())
            yield [
                DriftCount("vectors", "orphan points", orphans, 0 if dry_run else orphans),
                DriftCount("vectors", "stale points", stale, 0 if dry_run else stale),
            ]

    async def _set_right(self, look: _Look, space: EmbeddingSpace, verdict: _Verdict) -> None:
        tenant_id = look.tenant_id
        doomed = (*verdict.orphans, *verdict.misplaced)
        if doomed:
            where = VectorFilter(chunk_ids=doomed)
            await self._vectors.delete(tenant_id, space, where)
            if left := await self._vectors.count(tenant_id, space, where):
                raise Unavailable(f"{left} points are still there after their deletion")
        async with self._uow.tenant(tenant_id) as uow:
            # A retry may have written some of them anew after we looked.
            wanted = (await uow.drift.read_places(doomed, began=look.began)).values()
            await _add_jobs(
                uow,
                JobKind.REPAIR_VERSION,
                (
                    place.version_id
                    for place in wanted
                    if space.model in place.models
                    and place.standing in (Standing.PUBLISHED, Standing.BUILDING)
                ),
            )
            await _add_jobs(uow, JobKind.UPDATE_METADATA, verdict.outdated)
            await _add_jobs(uow, JobKind.ERASE_VERSION, verdict.superseded)

    # -- from the database to the vector store

    async def _check_chunks(
        self, look: _Look, space: EmbeddingSpace
    ) -> AsyncGenerator[Found, None]:
        tenant_id, dry_run = look.tenant_id, look.dry_run
        after: UUID | None = None
        while True:
            async with self._uow.tenant(tenant_id) as uow:
                chunks = await uow.drift.list_published(
                    space.model, began=look.began, after=after, limit=PAGE
                )
            if not chunks:
                return
            after = chunks[-1].chunk_id
            where = VectorFilter(chunk_ids=tuple(chunk.chunk_id for chunk in chunks))
            points = await self._vectors.scan(tenant_id, space, where, after=None, limit=PAGE)
            absent = set(where.chunk_ids) - {point.chunk_id for point in points}
            missing = 0
            if absent:
                missing = await self._repair_missing(look, sorted(absent))
            yield [DriftCount("vectors", "missing points", missing, 0 if dry_run else missing)]

    async def _repair_missing(self, look: _Look, chunk_ids: Sequence[UUID]) -> int:
        tenant_id = look.tenant_id
        async with self._uow.tenant(tenant_id) as uow:
            if await find_kept_tenant(uow, tenant_id) is None:
                return 0
            places = await uow.drift.read_places(chunk_ids, began=look.began)
            missing = [
                place.version_id
                for place in places.values()
                if place.standing is Standing.PUBLISHED and not place.has_repair
            ]
            if not look.dry_run:
                await _add_jobs(uow, JobKind.REPAIR_VERSION, missing)
        return len(missing)

    # -- from the blob store to the database, and back

    async def _check_files(self, tenant_id: UUID, dry_run: bool) -> AsyncGenerator[Found, None]:
        async for entries in self._blobs.scan_prefix(tenant_prefix(tenant_id)):
            newest = utc_now() - self._file_grace
            owned = [
                (entry, owner)
                for entry in entries
                if entry.modify_time < newest and (owner := _owner_of(entry)) is not None
            ]
            async with self._uow.tenant(tenant_id) as uow:
                owners = await uow.drift.read_owners({owner for _, owner in owned})
            orphans = 0
            doomed: set[str] = set()
            for entry, owner in owned:
                parts = parts_prefix(tenant_id, owner)
                if owner in owners.uploads:
                    continue
                if owner not in owners.versions:
                    doomed.add(version_prefix(tenant_id, owner))
                elif entry.key.startswith(parts):
                    doomed.add(parts)
                else:
                    continue
                orphans += 1
            if not dry_run:
                for prefix in sorted(doomed):
                    await self._blobs.delete_prefix(prefix)
            yield [DriftCount("blobs", "orphan files", orphans, 0 if dry_run else orphans)]

    async def _check_sources(self, tenant_id: UUID) -> AsyncGenerator[Found, None]:
        after: UUID | None = None
        while True:
            async with self._uow.tenant(tenant_id) as uow:
                sources = await uow.drift.list_sources(after=after, limit=PAGE)
            if not sources:
                return
            after = sources[-1].version_id
            missing = 0
            for start in range(0, len(sources), FILES_AT_ONCE):
                few = sources[start : start + FILES_AT_ONCE]
                are_there = await asyncio.gather(*(self._is_there(tenant_id, one) for one in few))
                absent = [one for one, is_there in zip(few, are_there, strict=True) if not is_there]
                missing += await self._tell_missing(tenant_id, absent)
            yield [DriftCount("blobs", "missing files", missing)]

    async def _is_there(self, tenant_id: UUID, source: SourceFile) -> bool:
        prefix = version_prefix(tenant_id, source.version_id)
        return source.blob_key in await self._blobs.list_prefix(prefix, limit=PAGE)

    async def _tell_missing(self, tenant_id: UUID, absent: Sequence[SourceFile]) -> int:
        """Nothing can bring them back; whoever runs the server may have a backup."""
        missing = 0
        for source in absent:
            async with self._uow.tenant(tenant_id) as uow:
                version = await uow.documents.get_version(source.version_id)
                is_kept = await find_kept_tenant(uow, tenant_id) is not None
            if version is not None and is_kept and version.state != "DELETING":
                missing += 1
                log.error(
                    "file_missing", tenant_id=str(tenant_id), version_id=str(source.version_id)
                )
        return missing


def _judge(
    points: Sequence[StoredPoint], places: dict[UUID, ChunkPlace], space: EmbeddingSpace
) -> _Verdict:
    verdict = _Verdict()
    for point in points:
        place = places.get(point.chunk_id)
        if place is None:
            verdict.orphans.append(point.chunk_id)
        elif place.standing in (Standing.BUILDING, Standing.DELETING):
            continue
        elif place.standing is Standing.ENDED:
            if not place.has_job:
                verdict.orphans.append(point.chunk_id)
        elif place.standing is Standing.SUPERSEDED:
            if not place.has_job:
                _count(verdict.superseded, place.version_id)
        elif space.model not in place.models:
            verdict.orphans.append(point.chunk_id)
        elif _ids_of(point) != (place.collection_id, place.document_id, place.version_id):
            verdict.misplaced.append(point.chunk_id)
        elif not place.has_job and sorted(point.metadata_tokens) != metadata_tokens(place.metadata):
            _count(verdict.outdated, place.document_id)
    return verdict


def _ids_of(point: StoredPoint) -> tuple[UUID | None, UUID | None, UUID | None]:
    return point.collection_id, point.document_id, point.version_id


def _count(counts: dict[UUID, int], key: UUID) -> None:
    counts[key] = counts.get(key, 0) + 1


async def _add_jobs(uow: TenantUnitOfWork, kind: JobKind, subjects: Iterable[UUID]) -> None:
    """One for each subject; a job that waits is replaced rather than doubled."""
    for subject_id in sorted(set(subjects)):
        await uow.jobs.withdraw(kind, subject_id)
        await uow.jobs.add(kind, subject_id)


def _owner_of(entry: BlobEntry) -> UUID | None:
    """The version, or upload, that a file belongs to by its key; None for what nobody here has written."""
    _, _, rest = entry.key.partition("/")
    owner, slash, _ = rest.partition("/")
    try:
        return UUID(hex=owner) if slash and len(owner) == 32 else None
    except ValueError:
        return None
