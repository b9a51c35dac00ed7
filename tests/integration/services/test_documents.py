"""Uploads: accepted once, versioned, switched at once, refused without leftovers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from minirag.domain.documents import Collection, DocumentState, FailureCode
from minirag.domain.jobs import JobKind
from minirag.domain.retrieval import VectorFilter
from minirag.errors import (
    Conflict,
    FailedPrecondition,
    InvalidRequest,
    LimitExceeded,
    MiniRagError,
    NotFound,
    Unavailable,
)
from minirag.services.accepting import NewDocument
from minirag.services.blob_keys import source_key, version_prefix
from tests.integration.postgres.records import make_request
from tests.integration.services.wiring import MAX_BYTES, World, paragraphs

OLD = paragraphs("walrus", "heron")
NEW = paragraphs("badger", "heron")


async def test_uploaded_document_is_ready_and_found(world: World, collection: Collection) -> None:
    pending = await world.upload(collection, OLD, metadata={"year": 2024})
    before = await world.find("walrus")
    await world.run_jobs()

    ready = await world.documents.get(world.context, pending.id)
    outcome = await world.search("walrus")
    assert pending.state is DocumentState.PENDING
    assert before == []
    assert ready.state is DocumentState.READY
    assert ready.version.media_type == "text/plain"
    assert ready.version.chunks_indexed == ready.version.chunk_count == 2
    assert "walrus" in outcome.results[0].chunk.text
    assert outcome.results[0].chunk.document_id == pending.id
    assert await world.count_points() == 2
    assert world.wakes == 1


async def test_a_name_that_shows_nothing_is_left_out(world: World, collection: Collection) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"walrus"

    new = NewDocument(collection.id, "  ", "walrus/1", {}, "")
    accepted = await world.intake.upload(world.context, new, content(), request=None)

    assert accepted.document.display_name == "walrus/1"


async def test_old_version_is_found_until_the_switch_and_never_beside_the_new(
    world: World, collection: Collection
) -> None:
    first = await world.add_ready(collection, OLD, external_id="a")
    second = await world.upload(collection, NEW, external_id="a")
    seen: list[tuple[str, ...]] = []

    async def look() -> None:
        found = await world.search("walrus badger heron", retriever=looking)
        versions = {result.chunk.version_id for result in found.results}
        assert len(versions) == 1
        seen.append(tuple(sorted(result.chunk.text for result in found.results)))

    looking = world.make_retriever(world.vectors.inner)
    world.vectors.after["upsert"] = look
    await world.ingestion.ingest_version(await world.take_job(JobKind.INGEST_VERSION))
    await look()

    assert second.id == first.id
    assert second.published_version_id == first.version.id
    assert len(set(seen)) == 2
    assert "walrus" in " ".join(seen[0])
    assert "badger" in " ".join(seen[-1])
    assert "walrus" not in " ".join(seen[-1])


async def test_superseded_version_leaves_nothing_behind(
    world: World, collection: Collection
) -> None:
    first = await world.add_ready(collection, OLD, external_id="a")
    second = await world.add_ready(collection, NEW, external_id="a")

    old, new = first.version.id, second.version.id
    assert await world.count_points(VectorFilter(version_ids=(old,))) == 0
    assert await world.count_points(VectorFilter(version_ids=(new,))) == 2
    assert await world.count_rows("document_versions") == 1
    assert await world.count_rows("chunks") == 2
    prefix = version_prefix(world.tenant_id, new)
    assert sorted(await world.list_blobs()) == [f"{prefix}source", f"{prefix}text"]


async def test_version_that_fails_leaves_the_old_one_published(
    world: World, collection: Collection
) -> None:
    first = await world.add_ready(collection, OLD, external_id="a", metadata={"year": 2023})
    await world.upload(collection, b" \n ", external_id="a", metadata={"year": 2024})
    await world.run_jobs()

    document = await world.documents.get(world.context, first.id)
    assert document.state is DocumentState.FAILED
    assert document.version.failure is not None
    assert document.version.failure.code in (FailureCode.NO_TEXT, FailureCode.EMPTY)
    assert document.published_version_id == first.version.id
    assert len(await world.find("walrus", metadata={"year": 2024})) > 0
    assert await world.find("walrus", metadata={"year": 2023}) == []


async def test_older_upload_that_ends_later_is_not_published_and_leaves_nothing(
    world: World, collection: Collection
) -> None:
    older = await world.upload(collection, OLD, external_id="a")
    older_job = await world.take_job(JobKind.INGEST_VERSION)
    await world.fetch("DELETE FROM jobs WHERE tenant_id = $1", world.tenant_id)
    newer = await world.add_ready(collection, NEW, external_id="a")

    await world.ingestion.ingest_version(older_job)
    await world.run_jobs()

    document = await world.documents.get(world.context, older.id)
    assert document.published_version_id == newer.version.id
    assert await world.count_points() == 2
    assert await world.count_rows("document_versions") == 1
    assert len(await world.list_blobs()) == 2


@pytest.mark.parametrize(
    ("about", "error"),
    [
        ({"byte_size": 3}, InvalidRequest),
        ({"sha256": hashlib.sha256(b"another").hexdigest()}, InvalidRequest),
        ({"byte_size": MAX_BYTES + 1}, LimitExceeded),
    ],
)
async def test_content_that_is_not_as_announced_is_refused_without_a_blob(
    world: World, collection: Collection, about: dict[str, Any], error: type[MiniRagError]
) -> None:
    with pytest.raises(error):
        await world.upload(collection, OLD, **about)

    assert await world.list_blobs() == []
    assert await world.count_rows("documents") == 0


async def test_content_as_announced_is_accepted(world: World, collection: Collection) -> None:
    data = OLD.encode()

    document = await world.upload(
        collection, data, byte_size=len(data), sha256=hashlib.sha256(data).hexdigest()
    )

    assert document.version.byte_size == len(data)
    assert document.version.sha256 == hashlib.sha256(data).hexdigest()


async def test_empty_and_too_large_content_is_refused_without_a_blob(
    world: World, collection: Collection
) -> None:
    with pytest.raises(InvalidRequest):
        await world.upload(collection, b"")
    with pytest.raises(LimitExceeded):
        await world.upload(collection, b"x" * (MAX_BYTES + 1))

    await world.upload(collection, b"x" * MAX_BYTES)
    assert len(await world.list_blobs()) == 1


async def test_reading_stops_soon_after_the_limit(world: World, collection: Collection) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1000
            yield b"x" * 1000

    new = NewDocument(collection.id, "Endless", "", {}, "a.txt")
    with pytest.raises(LimitExceeded):
        await world.intake.upload(world.context, new, endless(), request=None)

    assert sent == MAX_BYTES + 1000


async def test_client_that_breaks_off_leaves_nothing(world: World, collection: Collection) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half of "
        raise ConnectionResetError

    new = NewDocument(collection.id, "Broken", "", {}, "a.txt")
    with pytest.raises(ConnectionResetError):
        await world.intake.upload(world.context, new, broken(), request=None)

    assert await world.list_blobs() == []
    assert await world.count_rows("documents") == 0


async def test_collection_that_is_deleted_while_the_bytes_come_refuses_the_document(
    world: World, collection: Collection
) -> None:
    async def delete_collection() -> None:
        async with world.uow.inner.tenant(world.tenant_id) as unit:
            await unit.collections.mark_deleted(collection.id)

    world.blobs.after["put"] = delete_collection

    with pytest.raises(NotFound):
        await world.upload(collection, OLD)

    assert await world.list_blobs() == []


async def test_blob_is_kept_when_nobody_knows_whether_the_commit_happened(
    world: World, collection: Collection
) -> None:
    async def lose_the_answer() -> None:
        if await world.count_rows("documents"):
            raise Unavailable("the connection broke during COMMIT")

    world.uow.after_commit = lose_the_answer
    with pytest.raises(Unavailable):
        await world.upload(collection, OLD)
    world.uow.after_commit = None

    await world.run_jobs()
    assert len(await world.find("walrus")) == 2


async def test_repeat_returns_the_first_document_and_leaves_no_second_blob(
    world: World, collection: Collection
) -> None:
    request = make_request(method="UploadDocument")
    first = await world.upload(collection, OLD, request=request)

    repeats = await asyncio.gather(
        *(world.upload(collection, OLD, request=request) for _ in range(4))
    )

    assert {document.id for document in repeats} == {first.id}
    assert await world.count_rows("documents") == 1
    assert await world.count_rows("jobs") == 1
    assert await world.list_blobs() == [source_key(world.tenant_id, first.version.id)]


async def test_five_first_uploads_with_one_request_id_make_one_document(
    world: World, collection: Collection
) -> None:
    request = make_request(method="UploadDocument")

    documents = await asyncio.gather(
        *(world.upload(collection, OLD, request=request) for _ in range(5))
    )

    assert len({document.id for document in documents}) == 1
    assert await world.count_rows("jobs") == 1
    assert len(await world.list_blobs()) == 1


@pytest.mark.parametrize("differs", ["content", "header"])
async def test_request_id_with_another_document_is_a_conflict(
    world: World, collection: Collection, differs: str
) -> None:
    request = make_request(method="UploadDocument")
    await world.upload(collection, OLD, request=request)
    content = OLD
    if differs == "content":
        content = NEW
    else:
        request = replace(request, fingerprint=b"another")

    with pytest.raises(Conflict) as raised:
        await world.upload(collection, content, request=request)

    assert raised.value.reason == "REQUEST_ID_REUSED"
    assert len(await world.list_blobs()) == 1


async def test_parallel_uploads_of_one_external_id_become_versions_in_a_row(
    world: World, collection: Collection
) -> None:
    topics = [f"animal{number}" for number in range(6)]
    uploaded = await asyncio.gather(
        *(world.upload(collection, paragraphs(topic), external_id="same") for topic in topics)
    )
    await world.run_jobs()

    assert len({document.id for document in uploaded}) == 1
    assert sorted(document.version.number for document in uploaded) == [1, 2, 3, 4, 5, 6]
    newest = max(uploaded, key=lambda document: document.version.number)
    document = await world.documents.get(world.context, newest.id)
    assert document.published_version_id == newest.version.id
    assert await world.count_rows("document_versions") == 1
    assert await world.count_points() == 1
    assert len(await world.list_blobs()) == 2


async def test_text_is_read_in_whole_characters(world: World, collection: Collection) -> None:
    text = "Größe: 知识库 — 12 €."
    document = await world.add_ready(collection, text)
    data = text.encode()

    for start in range(len(data) + 1):
        for end in (None, start + 3, start + 4, start + 9):
            part = await world.documents.read_text(
                world.context, document.id, version_id=None, start=start, end=end
            )
            assert data[part.start : part.end].decode() == part.text
            assert part.total_bytes == len(data)
            assert part.start - start < 4
            assert start + len(part.text.encode()) <= len(data)


async def test_text_before_the_first_publication_and_of_other_documents_is_not_to_be_had(
    world: World, collection: Collection
) -> None:
    other = await world.add_ready(collection, OLD)
    pending = await world.upload(collection, NEW)

    with pytest.raises(FailedPrecondition):
        await world.documents.read_text(
            world.context, pending.id, version_id=None, start=0, end=None
        )
    with pytest.raises(NotFound):
        await world.documents.read_text(
            world.context, pending.id, version_id=other.version.id, start=0, end=None
        )


async def test_changed_metadata_reaches_the_search(world: World, collection: Collection) -> None:
    document = await world.add_ready(collection, OLD, metadata={"year": 2023})

    await world.documents.update(
        world.context,
        document.id,
        display_name=None,
        metadata={"year": 2024},
        if_revision=None,
        request=None,
    )
    await world.run_jobs()

    assert await world.find("walrus", metadata={"year": 2023}) == []
    assert len(await world.find("walrus", metadata={"year": 2024})) == 2


async def test_stale_etag_changes_and_deletes_nothing(world: World, collection: Collection) -> None:
    document = await world.add_ready(collection, OLD)
    stale = document.revision - 1

    with pytest.raises(Conflict):
        await world.documents.delete(world.context, document.id, if_revision=stale, request=None)
    with pytest.raises(Conflict):
        await world.documents.update(
            world.context,
            document.id,
            display_name="New",
            metadata=None,
            if_revision=stale,
            request=None,
        )

    assert await world.documents.get(world.context, document.id) == document
