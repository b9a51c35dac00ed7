"""Stores that disagree: one sweep finds what differs and repairs it, and touches nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path
from uuid import uuid4

import pytest

from minirag.domain.documents import Collection, DocumentState
from minirag.domain.ids import new_id
from minirag.domain.jobs import JobKind
from minirag.domain.retrieval import VectorFilter
from minirag.services.blob_keys import part_key, source_key, text_key
from tests.integration.services.stock import (
    GRACE,
    Stock,
    all_stored,
    ids_of,
    point_of,
    sweep,
)
from tests.integration.services.wiring import World, paragraphs, parts


@pytest.fixture
def stock(world: World, collection: Collection) -> Stock:
    return Stock(world, collection)


async def test_one_sweep_repairs_orphans_missing_and_stale_points_and_touches_nothing_else(
    world: World, stock: Stock
) -> None:
    whole, lost = await stock.lay_in(500), await stock.lay_in(1200)
    renamed, moved = await stock.lay_in(40, metadata={"now": 1}), await stock.lay_in(30)
    old = await stock.lay_in(30)
    new = await stock.supersede(old)
    neighbour = await world.add_tenant()
    await world.vectors.inner.upsert(
        neighbour.tenant_id, await stock.space(), [point_of(whole, chunk_id=uuid4())]
    )
    await stock.put(*(point_of(whole, chunk_id=uuid4()) for _ in range(1000)))
    await stock.remove(*ids_of(lost)[100:1100])
    await stock.put(*(point_of(renamed, n, metadata={"then": 0}) for n in range(40)))
    await stock.put(*(point_of(moved, n, collection_id=uuid4()) for n in range(30)))
    world.embeddings.embedded.clear()

    found = await stock.sweep()
    await world.run_jobs()

    assert found == {
        "orphan points": (1000, 1000),
        "missing points": (1000, 1000),
        "stale points": (100, 100),
    }
    assert await stock.points() == all_stored(whole, lost, renamed, moved, new)
    assert len(world.embeddings.embedded) == 1000 + 30
    assert await world.vectors.inner.count(neighbour.tenant_id, await stock.space(), VectorFilter())
    assert await world.count_rows("chunks") == 500 + 1200 + 40 + 30 + 1
    assert await stock.sweep() == {}
    assert await world.count_rows("jobs") == 0


async def test_dry_run_counts_and_changes_nothing(world: World, stock: Stock) -> None:
    document = await stock.lay_in(5, metadata={"now": 1})
    await stock.remove(ids_of(document)[0])
    await stock.put(
        point_of(document, chunk_id=uuid4()),
        point_of(document, 1, metadata={}),
    )
    before = await stock.points()

    found = await stock.sweep(dry_run=True)

    assert found == {"orphan points": (1, 0), "missing points": (1, 0), "stale points": (1, 0)}
    assert await stock.points() == before
    assert await world.count_rows("jobs") == 0


async def test_versions_that_are_built_deleted_or_about_to_be_erased_are_left_alone(
    world: World, stock: Stock
) -> None:
    building, deleted, superseded = [await stock.lay_in(3) for _ in range(3)]
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        await unit.documents.mark_deleting(deleted.id)
        await unit.jobs.add(JobKind.ERASE_VERSION, superseded.version.id)
    await stock.supersede(superseded)
    await stock.take_back(building, DocumentState.EMBEDDING)
    await stock.remove(ids_of(building)[2])
    before = await stock.points()

    found = await stock.sweep()

    assert found == {}
    assert await stock.points() == before


async def test_points_of_a_failed_version_go(world: World, stock: Stock) -> None:
    document = await stock.lay_in(3)
    await stock.take_back(document, DocumentState.FAILED)

    found = await stock.sweep()

    assert found == {"orphan points": (3, 3)}
    assert await stock.points() == {}
    assert (await world.documents.get(world.context, document.id)).state is DocumentState.FAILED


async def test_points_that_a_retry_writes_anew_while_they_are_removed_are_repaired(
    world: World, stock: Stock
) -> None:
    document = await stock.lay_in(2)
    await stock.take_back(document, DocumentState.FAILED)

    async def retry() -> None:
        world.vectors.before.pop("delete")
        await stock.take_back(document, DocumentState.EMBEDDING)
        async with world.uow.inner.tenant(world.tenant_id) as unit:
            await unit.documents.publish_version(document.version.id)

    world.vectors.before["delete"] = retry
    await stock.sweep()
    await world.run_jobs()

    assert await stock.points() == all_stored(document)


async def test_document_that_is_superseded_while_it_is_repaired_leaves_no_points(
    world: World, stock: Stock
) -> None:
    document = await stock.lay_in(2)
    await stock.remove(*ids_of(document))
    await stock.sweep()
    job = await world.take_job(JobKind.REPAIR_VERSION)

    async def supersede() -> None:
        world.vectors.before.pop("upsert")
        await stock.supersede(document)

    world.vectors.before["upsert"] = supersede
    await world.repair.repair_version(job)

    assert set(ids_of(document)).isdisjoint(await stock.points())


async def test_real_uploads_show_no_drift(world: World, collection: Collection) -> None:
    await world.add_ready(collection, paragraphs("walrus", "heron"), metadata={"a": 1, "b": "x"})
    await world.add_ready(await world.add_collection(model=""), paragraphs("badger"))

    assert await sweep(world) == {}


async def test_files_of_nothing_go_when_they_are_old_enough(
    world: World, stock: Stock, tmp_path: Path
) -> None:
    kept = await stock.lay_in(1)
    old, fresh = new_id(), new_id()
    for key in (
        source_key(world.tenant_id, old),
        text_key(world.tenant_id, old),
        source_key(world.tenant_id, fresh),
        part_key(world.tenant_id, kept.version.id, "leftover"),
    ):
        await world.blobs.inner.put(key, parts(b"abc"))
        if str(fresh.hex) not in key:
            age_file(tmp_path / "blobs" / key)
    age_file(tmp_path / "blobs" / kept.version.blob_key)

    dry = await stock.sweep(dry_run=True)
    found = await stock.sweep()

    assert dry == {"orphan files": (3, 0)}
    assert found == {"orphan files": (3, 3)}
    assert sorted(await world.list_blobs()) == sorted(
        [kept.version.blob_key, source_key(world.tenant_id, fresh)]
    )


async def test_parts_of_an_unfinished_upload_stay_however_old(
    world: World, collection: Collection, tmp_path: Path
) -> None:
    upload_id = new_id()
    await world.fetch(
        "INSERT INTO uploads (tenant_id, id, collection_id, external_id, display_name, metadata,"
        " file_name, allow_duplicate, byte_size, sha256, create_time, expire_time, committed_bytes,"
        " already_existed, parts) VALUES ($1, $2, $3, '', '', '{}', '', false, 9, '', now(), now(),"
        " 3, false, '{}') RETURNING id",
        world.tenant_id,
        upload_id,
        collection.id,
    )
    key = part_key(world.tenant_id, upload_id, "0")
    await world.blobs.inner.put(key, parts(b"abc"))
    age_file(tmp_path / "blobs" / key)

    assert await sweep(world) == {}
    assert await world.list_blobs() == [key]


async def test_file_that_is_missing_is_told_and_can_not_be_repaired(
    world: World, stock: Stock
) -> None:
    document = await stock.lay_in(1)
    await stock.lay_in(1)
    await world.blobs.inner.delete_prefix(document.version.blob_key.removesuffix("source"))

    assert await stock.sweep() == {"missing files": (1, 0)}


def age_file(path: Path) -> None:
    past = time.time() - GRACE.total_seconds() - 60
    os.utime(path, (past, past))
