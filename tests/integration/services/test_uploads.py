"""Uploads that come in parts: what is committed is never lost, and nothing else is."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from minirag.domain.access import TenantContext
from minirag.domain.documents import Collection, DocumentState
from minirag.domain.ids import new_id
from minirag.domain.jobs import JobKind
from minirag.domain.limits import Limits
from minirag.errors import (
    Conflict,
    FailedPrecondition,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    Unavailable,
)
from minirag.repositories.postgres.uploads import PostgresUploadRepository
from minirag.services.accepting import Accepted, NewDocument
from minirag.services.uploads import UploadService, UploadStatus
from tests.integration.postgres.records import make_request
from tests.integration.services.wiring import MAX_BYTES, UPLOAD_PART, CrashError, World, parts

TEXT = b"The walrus sleeps on the ice. " * 200


def describe(collection: Collection, content: bytes = TEXT, **about: Any) -> NewDocument:
    new = NewDocument(
        collection.id,
        "Walrus",
        "",
        {"year": 2024},
        "walrus.txt",
        byte_size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    return replace(new, **about)


async def start(world: World, collection: Collection, **about: Any) -> UploadStatus:
    return await world.uploads.start(world.context, describe(collection, **about), request=None)


async def send(
    world: World, started: UploadStatus, start: int, end: int, content: bytes = TEXT
) -> UploadStatus:
    return await world.uploads.write(
        world.context, started.upload.id, start, parts(content[start:end], 300)
    )


async def committed(world: World, started: UploadStatus) -> int:
    return (await world.uploads.get(world.context, started.upload.id)).upload.committed_bytes


async def expire(world: World, started: UploadStatus) -> None:
    await world.fetch(
        "UPDATE uploads SET expire_time = now() - interval '1 second' WHERE tenant_id = $1",
        world.tenant_id,
    )


async def test_content_that_came_in_parts_is_the_documents(
    world: World, collection: Collection
) -> None:
    started = await start(world, collection, external_id="walrus/1")
    await send(world, started, 0, 2500)
    await send(world, started, 2500, len(TEXT))

    accepted = await world.uploads.finish(world.context, started.upload.id)

    document = accepted.document
    assert not accepted.already_existed
    assert (document.external_id, document.display_name, document.metadata) == (
        "walrus/1",
        "Walrus",
        {"year": 2024},
    )
    assert document.version.sha256 == hashlib.sha256(TEXT).hexdigest()
    assert await world.blobs.read(document.version.blob_key) == TEXT
    assert await world.list_blobs() == [document.version.blob_key]


async def test_upload_is_finished_once_and_tells_its_document(
    world: World, collection: Collection
) -> None:
    started = await start(world, collection)
    await send(world, started, 0, len(TEXT))

    both: list[Accepted] = await asyncio.gather(
        *(world.uploads.finish(world.context, started.upload.id) for _ in range(2))
    )
    again = await world.uploads.finish(world.context, started.upload.id)
    status = await world.uploads.get(world.context, started.upload.id)

    assert {one.document.id for one in (*both, again)} == {both[0].document.id}
    assert status.document is not None
    assert status.document.id == both[0].document.id
    assert await world.count_rows("documents") == 1
    assert await world.list_blobs() == [both[0].document.version.blob_key]


@pytest.mark.parametrize("moment", ["before the parts are listed", "before the last is read"])
async def test_call_that_finishes_an_upload_late_leaves_the_file_of_the_first_whole(
    world: World, collection: Collection, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = await start(world, collection)
    await send(world, started, 0, len(TEXT))
    upload_id, reads, first = started.upload.id, 0, list[Accepted]()

    async def overtake() -> None:
        nonlocal reads
        reads += 1
        if not first and (moment == "before the parts are listed" or reads == 2):
            first.append(await UploadService.finish(world.uploads, world.context, upload_id))

    if moment == "before the parts are listed":
        list_parts = PostgresUploadRepository.list_parts

        async def list_late(self: PostgresUploadRepository, of_upload: UUID) -> list[str]:
            monkeypatch.undo()
            await overtake()
            return await list_parts(self, of_upload)

        monkeypatch.setattr(PostgresUploadRepository, "list_parts", list_late)
    else:
        world.blobs.before["read"] = overtake
    late = await world.uploads.finish(world.context, upload_id)

    document = late.document
    assert document.id == first[0].document.id
    assert await world.list_blobs() == [document.version.blob_key]
    assert await world.blobs.inner.read(document.version.blob_key) == TEXT
    await world.run_jobs()
    assert (await world.documents.get(world.context, document.id)).state is DocumentState.READY


async def test_of_a_stream_that_breaks_whole_parts_stay(
    world: World, collection: Collection
) -> None:
    started = await start(world, collection)

    async def breaking() -> AsyncIterator[bytes]:
        async for piece in parts(TEXT[:2700], 300):
            yield piece
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await world.uploads.write(world.context, started.upload.id, 0, breaking())

    # Parts are whole pieces: 1200, 2400; the rest was on its way.
    assert await committed(world, started) == 2400
    assert len(await world.list_blobs()) == 2


async def test_offset_is_committed_only_when_the_bytes_are_durable(
    world: World, collection: Collection
) -> None:
    """The server ends at each of its operations in turn; what it told as committed is there."""
    for crash_at in range(1, 100):
        started = await start(world, collection, allow_duplicate=True)
        world.faults.arm(crash_at)
        try:
            await send(world, started, 0, len(TEXT))
            await world.uploads.finish(world.context, started.upload.id)
        except CrashError:
            pass
        was_reached = world.faults.steps >= crash_at
        world.faults.arm(None)
        offset = await committed(world, started)

        await send(world, started, offset, len(TEXT))
        accepted = await world.uploads.finish(world.context, started.upload.id)

        assert await world.blobs.read(accepted.document.version.blob_key) == TEXT
        if not was_reached:
            assert crash_at > 10
            return
    pytest.fail("there was no end to its operations")


async def test_starting_again_gives_the_unfinished_upload(
    world: World, collection: Collection
) -> None:
    first = await start(world, collection)
    await send(world, first, 0, 1000)

    again = await start(world, collection)
    renamed = await start(world, collection, display_name="Another")

    assert again.upload.id == first.upload.id
    assert again.upload.committed_bytes == 1000
    assert renamed.upload.id != first.upload.id


async def test_a_repeated_start_returns_the_first_upload(
    world: World, collection: Collection
) -> None:
    request = make_request(method="StartUpload")
    new = describe(collection, allow_duplicate=True)
    first = await world.uploads.start(world.context, new, request=request)
    await send(world, first, 0, len(TEXT))
    await world.uploads.finish(world.context, first.upload.id)

    again = await world.uploads.start(world.context, new, request=request)

    assert again.upload.id == first.upload.id
    assert again.document is not None


async def test_write_elsewhere_is_refused_with_the_committed_offset(
    world: World, collection: Collection
) -> None:
    started = await start(world, collection)
    await send(world, started, 0, 1000)

    for offset in (0, 999, 1001):
        with pytest.raises(Conflict, match="stands at 1000 bytes") as refused:
            await send(world, started, offset, 3000)
        assert refused.value.metadata == {"committed_bytes": "1000"}
        assert refused.value.reason == "UPLOAD_OFFSET"

    assert await committed(world, started) == 1000


async def test_of_two_writers_at_once_one_is_refused_and_nothing_is_mixed(
    world: World, collection: Collection
) -> None:
    started = await start(world, collection)

    outcomes = await asyncio.gather(
        *(send(world, started, 0, len(TEXT)) for _ in range(3)), return_exceptions=True
    )
    offset = await committed(world, started)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    await send(world, started, offset, len(TEXT))
    accepted = await world.uploads.finish(world.context, started.upload.id)

    assert len(refused) >= 2
    assert all("stands at" in error.message for error in refused)
    assert await world.blobs.read(accepted.document.version.blob_key) == TEXT


async def test_unfinished_upload_says_what_is_missing(world: World, collection: Collection) -> None:
    started = await start(world, collection)
    await send(world, started, 0, 1500)

    with pytest.raises(FailedPrecondition, match=f"1500 of {len(TEXT)} bytes"):
        await world.uploads.finish(world.context, started.upload.id)

    assert await world.count_rows("documents") == 0


async def test_other_bytes_than_announced_are_refused_and_erased(
    world: World, collection: Collection
) -> None:
    started = await start(world, collection)
    await send(world, started, 0, len(TEXT), content=TEXT.replace(b"ice", b"ICE"))

    with pytest.raises(InvalidRequest, match="another SHA-256"):
        await world.uploads.finish(world.context, started.upload.id)
    await world.run_jobs()

    with pytest.raises(NotFound):
        await world.uploads.get(world.context, started.upload.id)
    assert await world.list_blobs() == []
    assert await world.count_rows("documents") == 0


async def test_more_bytes_than_announced_are_refused(world: World, collection: Collection) -> None:
    started = await start(world, collection)

    with pytest.raises(InvalidRequest, match="past the announced size"):
        await send(world, started, 0, len(TEXT) + 1, content=TEXT + b"!")


async def test_content_that_is_there_already_needs_no_upload(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT)

    started = await start(world, collection)
    again = await world.uploads.finish(world.context, started.upload.id)

    assert started.document is not None
    assert started.document.id == again.document.id == document.id
    assert started.upload.already_existed
    assert again.already_existed
    assert await world.count_rows("documents") == 1


async def test_content_that_came_meanwhile_is_answered_with_its_document(
    world: World, collection: Collection
) -> None:
    started = await start(world, collection)
    await send(world, started, 0, len(TEXT))
    document = await world.upload(collection, TEXT)

    accepted = await world.uploads.finish(world.context, started.upload.id)

    assert (accepted.document.id, accepted.already_existed) == (document.id, True)
    assert await world.list_blobs() == [document.version.blob_key]


async def test_expired_upload_goes_with_its_blobs(world: World, collection: Collection) -> None:
    started = await start(world, collection)
    await send(world, started, 0, 2500)
    await expire(world, started)

    with pytest.raises(NotFound):
        await world.uploads.get(world.context, started.upload.id)
    await world.uploads.forget_expired()
    await world.run_jobs()

    assert await world.count_rows("uploads") == 0
    assert await world.list_blobs() == []


async def test_document_outlives_its_expired_upload(world: World, collection: Collection) -> None:
    started = await start(world, collection)
    await send(world, started, 0, len(TEXT))
    accepted = await world.uploads.finish(world.context, started.upload.id)
    await expire(world, started)

    await world.uploads.forget_expired()
    await world.run_jobs()

    assert await world.count_rows("uploads") == 0
    assert accepted.document.version.blob_key in await world.list_blobs()


async def test_upload_that_goes_on_does_not_expire(world: World, collection: Collection) -> None:
    started = await start(world, collection)
    await world.fetch(
        "UPDATE uploads SET expire_time = now() + interval '1 minute' WHERE tenant_id = $1",
        world.tenant_id,
    )

    status = await send(world, started, 0, UPLOAD_PART)

    assert (status.upload.expire_time - started.upload.expire_time).total_seconds() > -60


async def test_deleted_upload_leaves_nothing(world: World, collection: Collection) -> None:
    started = await start(world, collection)
    await send(world, started, 0, 2500)

    await world.uploads.delete(world.context, started.upload.id, request=None)
    await world.run_jobs()

    with pytest.raises(NotFound):
        await send(world, started, 2500, 3000)
    assert await world.count_rows("uploads") == 0
    assert await world.list_blobs() == []


async def test_upload_into_a_deleted_collection_is_refused_and_goes(
    world: World, collection: Collection
) -> None:
    started = await start(world, collection)
    await send(world, started, 0, len(TEXT))
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        await unit.collections.mark_deleted(collection.id)
        await unit.jobs.add(JobKind.ERASE_COLLECTION, collection.id)

    with pytest.raises(NotFound, match="collection"):
        await world.uploads.finish(world.context, started.upload.id)
    await world.run_jobs()
    await world.uploads.forget_expired()
    await world.run_jobs()

    assert await world.count_rows("uploads") == 0
    assert await world.list_blobs() == []


async def test_upload_of_another_tenant_is_not_found(world: World, collection: Collection) -> None:
    started = await start(world, collection)
    stranger = await world.add_tenant()

    with pytest.raises(NotFound):
        await world.uploads.get(stranger, started.upload.id)
    with pytest.raises(NotFound):
        await world.uploads.write(stranger, started.upload.id, 0, parts(b"x"))
    with pytest.raises(NotFound):
        await world.uploads.finish(stranger, started.upload.id)
    with pytest.raises(NotFound):
        await world.uploads.delete(stranger, started.upload.id, request=None)


async def test_restricted_key_sees_uploads_of_its_collections_only(
    world: World, collection: Collection
) -> None:
    elsewhere = await world.add_collection()
    outside = await start(world, elsewhere)
    restricted = TenantContext(
        world.tenant_id, key_id=new_id(), collection_ids=frozenset({collection.id})
    )

    own = await world.uploads.start(restricted, describe(collection), request=None)

    assert (await world.uploads.get(restricted, own.upload.id)).upload == own.upload
    with pytest.raises(NotFound):
        await world.uploads.get(restricted, outside.upload.id)
    with pytest.raises(NotFound):
        await world.uploads.start(restricted, describe(elsewhere), request=None)


async def test_size_over_the_limit_is_refused_at_once(world: World, collection: Collection) -> None:
    with pytest.raises(LimitExceeded, match="MINIRAG_MAX_DOCUMENT_BYTES"):
        await start(world, collection, byte_size=MAX_BYTES + 1)


async def test_unfinished_uploads_count_against_the_tenants_room(
    world: World, collection: Collection
) -> None:
    limited = replace(world.context, limits=Limits(stored_bytes=2 * len(TEXT)))
    for name in ("a", "b"):
        await world.uploads.start(limited, describe(collection, display_name=name), request=None)

    with pytest.raises(LimitExceeded, match="bytes of documents"):
        await world.uploads.start(limited, describe(collection, display_name="c"), request=None)


async def test_finish_counts_against_the_tenants_limits(
    world: World, collection: Collection
) -> None:
    started = await start(world, collection)
    await send(world, started, 0, len(TEXT))
    limited = replace(world.context, limits=Limits(stored_bytes=len(TEXT) - 1))

    with pytest.raises(LimitExceeded, match="bytes of documents"):
        await world.uploads.finish(limited, started.upload.id)

    assert await committed(world, started) == len(TEXT)
    assert await world.count_rows("documents") == 0


async def test_blob_store_that_is_away_loses_nothing_committed(
    world: World, collection: Collection
) -> None:
    started = await start(world, collection)
    await send(world, started, 0, 1000)

    async def be_away() -> None:
        raise Unavailable("the blob store is away")

    world.blobs.before["put"] = be_away
    with pytest.raises(Unavailable):
        await send(world, started, 1000, len(TEXT))
    del world.blobs.before["put"]

    await send(world, started, await committed(world, started), len(TEXT))
    accepted = await world.uploads.finish(world.context, started.upload.id)
    assert await world.blobs.read(accepted.document.version.blob_key) == TEXT


async def test_random_bytes_survive_any_cut(world: World, collection: Collection) -> None:
    content = os.urandom(7777)
    new = describe(collection, content)
    started = await world.uploads.start(world.context, new, request=None)
    offset = 0
    for step in (1, 999, 1001, 2500, 3276):
        await send(world, started, offset, offset + step, content)
        offset += step

    accepted = await world.uploads.finish(world.context, started.upload.id)

    assert await world.blobs.read(accepted.document.version.blob_key) == content
