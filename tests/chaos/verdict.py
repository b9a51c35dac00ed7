"""The count when all is quiet: rows in Postgres, points in the vector store, files, and what a watch knows,
each against what clients were told."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from qdrant_client import AsyncQdrantClient

from minirag.domain.ids import IdKind, encode_id
from minirag.domain.metadata_tokens import metadata_tokens
from tests.chaos.ledger import Account, Slot
from tests.support.rows import raw

_DOCUMENTS = """
    SELECT d.id, d.external_id, d.metadata, d.delete_time, d.newest_version_id, d.published_version_id,
           v.number, v.state, v.failure_code, v.failure_reason, v.chunk_count
    FROM documents d JOIN document_versions v
        ON v.tenant_id = d.tenant_id AND v.id = d.newest_version_id
"""
_VERSIONS = "SELECT id, document_id FROM document_versions"
_CHUNKS = "SELECT id, version_id, ordinal, text FROM chunks ORDER BY version_id, ordinal"
_OPEN_JOBS = """
    SELECT kind, state, attempt, last_error, count(*) FROM jobs WHERE state <> 'DEAD' GROUP BY 1, 2, 3, 4
"""
_SPACES = """
    SELECT DISTINCT s.name FROM collections k
    JOIN embedding_spaces s ON s.model IN (k.embedding_model, k.standby_model)
"""
_BUILDING = "SELECT id FROM collections WHERE standby_model IS NOT NULL AND NOT standby_complete"
FINAL = ("READY", "FAILED")
PAGE = 1000
CONNECT_SECONDS = 10.0


@dataclass
class Found:
    """What is there of a tenant."""

    documents: Sequence[Mapping[str, Any]]
    versions: Sequence[Mapping[str, Any]]
    chunks: Sequence[Mapping[str, Any]]
    spaces: frozenset[str] = frozenset({""})
    """In each of these its published chunks have a point, and nowhere else."""
    building: Sequence[str] = ()
    """Collections whose new embeddings aren't complete."""


@dataclass
class Verdict:
    """What is wrong, in words."""

    lost: list[str] = field(default_factory=list)
    """Acknowledged and not there, or not as acknowledged."""
    duplicate: list[str] = field(default_factory=list)
    phantom: list[str] = field(default_factory=list)
    """There, and to be seen, though nobody wants it any more."""
    failed: Counter[str] = field(default_factory=Counter)
    """Documents that ended FAILED, by code: allowed, if they say why."""
    reembedded: int = 0
    """Tenants whose chunks have points of two models."""
    leftover_files: int = 0
    """Of uploads that were never acknowledged, and of versions that are gone: for the sweeper."""

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.duplicate or self.phantom)

    def judge(self, account: Account, found: Found, points: Sequence[Point]) -> None:
        """Compare one tenant's account with what was found."""
        by_id = {encode_id(IdKind.DOCUMENT, row["id"]): row for row in found.documents}
        chunks = defaultdict(list)
        for chunk in found.chunks:
            chunks[chunk["version_id"]].append(chunk)
        wanted = {slot.document_id: slot for slot in account.slots if slot.document_id}
        for document_id, slot in wanted.items():
            row = by_id.get(document_id)
            if row is None or row["delete_time"] is not None:
                self.lost.append(f"{document_id} ({slot.external_id}) has no row")
            else:
                self._judge_document(slot, row, chunks)
        for document_id, row in by_id.items():
            if document_id in wanted:
                continue
            if document_id in account.deleted:
                self.phantom.append(f"deleted {document_id} has a row ({row['state']})")
            else:
                self.duplicate.append(f"{document_id} was acknowledged to nobody")
        current = {
            version
            for row in found.documents
            for version in (row["newest_version_id"], row["published_version_id"])
        }
        for version in found.versions:
            if version["id"] not in current:
                self.phantom.append(f"old version {version['id']} has a row")
        self._judge_points(found, points)

    def _judge_document(
        self, slot: Slot, row: Mapping[str, Any], chunks: Mapping[UUID, Sequence[Mapping[str, Any]]]
    ) -> None:
        name = f"{slot.document_id} ({slot.external_id}, {slot.marker})"
        if row["number"] < slot.uploads:
            self.lost.append(f"{name} has {row['number']} versions of {slot.uploads}")
        if row["number"] > slot.uploads:
            self.duplicate.append(f"{name} has {row['number']} versions of {slot.uploads}")
        if json.loads(row["metadata"]) != slot.metadata:
            self.lost.append(f"{name} has metadata {row['metadata']}, not {slot.metadata}")
        if row["state"] not in FINAL:
            self.lost.append(f"{name} is {row['state']}")
            return
        if row["state"] == "FAILED":
            self.failed[row["failure_code"]] += 1
            if not row["failure_reason"]:
                self.lost.append(f"{name} is FAILED without a reason")
            return
        rows = chunks[row["newest_version_id"]]
        if row["published_version_id"] != row["newest_version_id"]:
            self.lost.append(f"{name} is READY and another version is published")
        if [chunk["ordinal"] for chunk in rows] != list(range(row["chunk_count"])):
            self.lost.append(f"{name} has {len(rows)} chunks of {row['chunk_count']}")
        if not all(slot.marker in chunk["text"] for chunk in rows):
            self.phantom.append(f"{name} shows another version's text")

    def _judge_points(self, found: Found, points: Sequence[Point]) -> None:
        published = {
            row["published_version_id"]: row
            for row in found.documents
            if row["published_version_id"] is not None and row["delete_time"] is None
        }
        wanted = {
            chunk["id"]: published[chunk["version_id"]]
            for chunk in found.chunks
            if chunk["version_id"] in published
        }
        self.lost += [f"collection {one} is still being re-embedded" for one in found.building]
        there = Counter((point.space, point.chunk_id) for point in points)
        for space in found.spaces:
            for chunk_id, row in wanted.items():
                count = there[space, chunk_id]
                named = f"chunk {chunk_id} of document {row['id']} has {count} points in {space!r}"
                if not count:
                    self.lost.append(named)
                elif count > 1:
                    self.duplicate.append(named)
        for point in points:
            owner = wanted.get(point.chunk_id)
            if owner is None or point.space not in found.spaces:
                self.phantom.append(
                    f"point {point.chunk_id} of version {point.version_id} in {point.space!r}"
                )
                continue
            if point.metadata != set(metadata_tokens(json.loads(owner["metadata"]))):
                self.lost.append(f"point {point.chunk_id} has old metadata: {point.metadata}")

    def judge_files(self, blobs: Path, founds: Mapping[str, Found]) -> None:
        """Each version's file must be there; what else is there is the sweeper's."""
        there: dict[tuple[str, str], set[str]] = defaultdict(set)
        for path in blobs.rglob("*"):
            if path.is_file():
                tenant, _, rest = str(path.relative_to(blobs)).partition("/")
                version, _, name = rest.partition("/")
                there[tenant, version].add(name)
        for tenant_id, found in founds.items():
            tenant = raw(IdKind.TENANT, tenant_id).hex
            for row in found.documents:
                names = there.pop((tenant, row["newest_version_id"].hex), set())
                needed = {"source", "text"} if row["state"] == "READY" else {"source"}
                if not needed <= names:
                    self.lost.append(f"document {row['id']} has no files {needed - names}")
                published = row["published_version_id"]
                if published is not None:
                    there.pop((tenant, published.hex), None)
        self.leftover_files = sum(map(len, there.values()))

    def judge_watch(self, account: Account, known: Mapping[str, str]) -> None:
        """What a watch that went on by its tokens knows, against what there is."""
        wanted = {slot.document_id for slot in account.slots if slot.document_id}
        self.lost += [f"watch wasn't told of {one}" for one in sorted(wanted - set(known))]
        self.phantom += [
            f"watch wasn't told of the end of {one}" for one in sorted(set(known) - wanted)
        ]


@dataclass(frozen=True)
class Point:
    """A point of the vector store."""

    chunk_id: UUID
    version_id: str
    metadata: set[str]
    space: str = ""
    """The store's name for the embeddings that it is one of."""


async def read_rows(url: str, tenant_id: str) -> Found:
    """Everything of a tenant, at one moment."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read"):
            await _enter(connection, tenant_id)
            rows = [await connection.fetch(each) for each in (_DOCUMENTS, _VERSIONS, _CHUNKS)]
            spaces = await connection.fetch(_SPACES)
            building = await connection.fetch(_BUILDING)
    finally:
        await connection.close()
    return Found(
        *rows,
        spaces=frozenset(f"minirag_{row['name']}" for row in spaces),
        building=[str(row["id"]) for row in building],
    )


async def count_open_jobs(url: str, tenant_ids: Iterable[str]) -> Counter[str]:
    """Work that isn't done yet, by what is known of it."""
    connection = await asyncpg.connect(
        url, timeout=CONNECT_SECONDS, command_timeout=CONNECT_SECONDS
    )
    found: Counter[str] = Counter()
    try:
        for tenant_id in tenant_ids:
            async with connection.transaction():
                await _enter(connection, tenant_id)
                for *known, count in await connection.fetch(_OPEN_JOBS):
                    found[" ".join(map(str, known))] += count
    finally:
        connection.terminate()
    return found


async def _enter(connection: asyncpg.Connection, tenant_id: str) -> None:
    tenant = str(raw(IdKind.TENANT, tenant_id))
    await connection.execute("SELECT set_config('app.tenant_id', $1, true)", tenant)


async def scroll_points(url: str) -> dict[str, list[Point]]:
    """Every point of the store, by tenant, past all filters."""
    found: dict[str, list[Point]] = defaultdict(list)
    client = AsyncQdrantClient(url=url, check_compatibility=False, timeout=60)
    try:
        for collection in (await client.get_collections()).collections:
            offset = None
            while True:
                records, offset = await client.scroll(
                    collection.name, limit=PAGE, offset=offset, with_payload=True
                )
                for record in records:
                    held = record.payload or {}
                    tenant_id = encode_id(IdKind.TENANT, UUID(held["tenant_id"]))
                    point = Point(
                        UUID(str(record.id)),
                        held["version_id"],
                        set(held["metadata"]),
                        collection.name,
                    )
                    found[tenant_id].append(point)
                if offset is None:
                    break
    finally:
        await client.close()
    return found
