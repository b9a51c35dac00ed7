"""Purging documents and deleting collections: what goes, what stays, and what the receipt says."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from minirag.domain.access import PlatformContext, TenantContext
from minirag.domain.chunks import ChunkSizes
from minirag.domain.documents import Collection, DocumentState
from minirag.domain.ids import new_id
from minirag.domain.jobs import JobKind
from minirag.domain.operations import Operation, OperationKind, OperationState
from minirag.domain.purging import PurgeFilter
from minirag.errors import FailedPrecondition, NotFound, Unavailable
from minirag.services import bulk_erasure
from minirag.services.calling_off import OperationCanceller
from minirag.services.collections import CollectionService
from minirag.services.operations import OperationService
from minirag.services.purging import PurgeService
from tests.integration.postgres.records import make_request
from tests.integration.services.stock import Stock, point_of
from tests.integration.services.wiring import CrashError, World


@pytest.fixture
def stock(world: World, collection: Collection) -> Stock:
    return Stock(world, collection)


@pytest.fixture
def purges(world: World) -> PurgeService:
    return PurgeService(world.uow.inner, world._wake)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_erasure, "DOCUMENTS_PER_PAGE", 2)


def counts(operation: Operation) -> dict[str, int]:
    return {one.kind: one.count for one in operation.erased}


async def read(world: World, operation: Operation | None) -> Operation:
    assert operation is not None
    return await OperationService(world.uow.inner).get(world.context, operation.id)


async def left(world: World) -> list[str]:
    """External ids of the documents that are there."""
    rows = await world.fetch(
        "SELECT external_id FROM documents WHERE tenant_id = $1 ORDER BY external_id",
        world.tenant_id,
    )
    return [row["external_id"] for row in rows]


async def delete(world: World, collection: Collection, **named: Any) -> Operation:
    collections = CollectionService(
        world.uow.inner, world._wake, embedding_model="", chunk_sizes=ChunkSizes(32)
    )
    wanted = {"if_revision": None, "request": None} | named
    return await collections.delete(world.context, collection.id, **wanted)


async def test_purge_erases_what_matches_and_leaves_the_rest(
    world: World, stock: Stock, purges: PurgeService, small_pages: None
) -> None:
    for number in range(5):
        await stock.lay_in(2, external_id=f"old/{number}")
    kept = await stock.lay_in(3, external_id="new/1")
    wanted = PurgeFilter(stock.collection.id, external_id_prefix="old/")

    purge = await purges.begin(world.context, wanted, request=None)
    await world.run_jobs()

    receipt = await read(world, purge.operation)
    assert (purge.document_count, receipt.state) == (5, OperationState.SUCCEEDED)
    assert counts(receipt) == {
        "documents": 5,
        "document_versions": 5,
        "chunks": 10,
        "points": 10,
        "files": 5,
    }
    assert {one.kind for one in receipt.remaining} == set(counts(receipt))
    assert not any(one.count for one in receipt.remaining)
    assert (receipt.done, receipt.total) == (5, 5)
    assert (receipt.request, receipt.position) == ({}, {})
    assert await left(world) == ["new/1"]
    assert await world.list_blobs() == [kept.version.blob_key]
    assert len(await stock.points()) == 3


@pytest.mark.parametrize(
    ("narrow", "expected"),
    [
        ({"metadata": {"year": 2024}}, ["a"]),
        ({"metadata": {"year": 2024.0}}, ["a"]),
        ({"metadata": {"year": "2024"}}, []),
        ({"metadata": {"year": 2024, "public": True}}, ["a"]),
        ({"metadata": {"public": True}}, ["a", "b"]),
        ({"external_id_prefix": "b"}, ["b"]),
        ({"external_id_prefix": "%"}, []),
        ({"states": frozenset({DocumentState.FAILED})}, ["c"]),
        ({"updated_before": datetime(2020, 1, 1, tzinfo=UTC)}, []),
        ({"updated_before": datetime(2200, 1, 1, tzinfo=UTC)}, ["a", "b", "c"]),
        ({}, ["a", "b", "c"]),
    ],
)
async def test_filter_means_what_a_search_means(
    world: World, stock: Stock, purges: PurgeService, narrow: dict[str, Any], expected: list[str]
) -> None:
    made = [
        await stock.lay_in(1, external_id="a", metadata={"year": 2024, "public": True}),
        await stock.lay_in(1, external_id="b", metadata={"year": 2025, "public": True}),
        await stock.lay_in(1, external_id="c", metadata={"public": 1}),
    ]
    await stock.take_back(made[2], DocumentState.FAILED)
    names = {document.id: document.external_id for document in made}

    shown = await purges.preview(world.context, PurgeFilter(stock.collection.id, **narrow))

    assert [names[each] for each in shown.sample_ids] == expected
    assert shown.document_count == len(expected)
    assert shown.operation is None
    assert await world.count_rows("operations") == 0


async def test_documents_that_come_after_the_call_stay(
    world: World, stock: Stock, purges: PurgeService
) -> None:
    await stock.lay_in(1, external_id="before")
    await purges.begin(world.context, PurgeFilter(stock.collection.id), request=None)
    later = datetime.now(UTC) + timedelta(seconds=1)
    await stock.lay_in(1, external_id="after", create_time=later)

    await world.run_jobs()

    assert await left(world) == ["after"]


async def test_repeated_purge_is_one(world: World, stock: Stock, purges: PurgeService) -> None:
    await stock.lay_in(1)
    request = make_request()
    wanted = PurgeFilter(stock.collection.id)

    first = await purges.begin(world.context, wanted, request=request)
    again = await purges.begin(world.context, wanted, request=request)

    assert first.operation is not None
    assert again.operation is not None
    assert again.operation.id == first.operation.id
    assert again.document_count == 1
    assert await world.count_rows("jobs") == 1


async def test_cancelled_purge_keeps_what_it_has_not_come_to(
    world: World,
    stock: Stock,
    purges: PurgeService,
    canceller: OperationCanceller,
    small_pages: None,
) -> None:
    for number in range(5):
        await stock.lay_in(1, external_id=str(number))
    purge = await purges.begin(world.context, PurgeFilter(stock.collection.id), request=None)
    operation = await read(world, purge.operation)

    async def cancel() -> None:
        world.vectors.before.clear()
        await canceller.cancel(world.context, operation.id, request=None)

    world.vectors.before["delete"] = cancel
    await world.run_jobs()

    receipt = await read(world, operation)
    assert (receipt.state, receipt.done) == (OperationState.CANCELLED, 2)
    assert counts(receipt)["documents"] == 2
    assert await left(world) == ["2", "3", "4"]
    assert len(await stock.points()) == 3
    again = await canceller.cancel(world.context, operation.id, request=None)
    assert again == receipt


async def test_purge_that_dies_anywhere_counts_everything_once(
    world: World, stock: Stock, purges: PurgeService, small_pages: None
) -> None:
    for step in range(1, 60, 4):
        for number in range(3):
            await stock.lay_in(2, external_id=f"{step}/{number}")
        purge = await purges.begin(world.context, PurgeFilter(stock.collection.id), request=None)
        job = await world.take_job(JobKind.PURGE_DOCUMENTS)
        world.faults.arm(step)
        try:
            await world.bulk_erasure.purge_documents(job)
            is_over = True
        except CrashError:
            is_over = False
        world.faults.arm(None)
        await world.run_jobs()

        receipt = await read(world, purge.operation)
        assert receipt.state is OperationState.SUCCEEDED, step
        assert counts(receipt) == {
            "documents": 3,
            "document_versions": 3,
            "chunks": 6,
            "points": 6,
            "files": 3,
        }, step
        assert await left(world) == []
        assert await stock.points() == {}
        assert await world.list_blobs() == []
        if is_over:
            return
    raise AssertionError("it never came to its end")


async def test_deleted_collection_leaves_a_receipt(
    world: World, stock: Stock, small_pages: None
) -> None:
    for number in range(3):
        await stock.lay_in(2, external_id=str(number))

    operation = await delete(world, stock.collection)
    await world.run_jobs()

    receipt = await read(world, operation)
    assert (receipt.kind, receipt.state) == (
        OperationKind.DELETE_COLLECTION,
        OperationState.SUCCEEDED,
    )
    assert counts(receipt) == {
        "documents": 3,
        "document_versions": 3,
        "chunks": 6,
        "points": 6,
        "files": 3,
    }
    assert not any(one.count for one in receipt.remaining)
    assert (receipt.done, receipt.total) == (3, 3)
    assert await world.count_rows("collections") == 0
    assert await world.list_blobs() == []


async def test_deletion_of_a_collection_is_not_called_off(
    world: World, stock: Stock, canceller: OperationCanceller
) -> None:
    operation = await delete(world, stock.collection)

    with pytest.raises(FailedPrecondition, match="hidden for good"):
        await canceller.cancel(world.context, operation.id, request=None)


async def test_repeated_deletion_of_a_collection_returns_its_operation(
    world: World, stock: Stock
) -> None:
    request = make_request()

    first = await delete(world, stock.collection, request=request)
    await world.run_jobs()
    again = await delete(world, stock.collection, request=request)

    assert (again.id, again.state) == (first.id, OperationState.SUCCEEDED)


async def test_store_that_keeps_points_holds_the_operation_up(
    world: World, stock: Stock, purges: PurgeService
) -> None:
    document = await stock.lay_in(2)
    purge = await purges.begin(world.context, PurgeFilter(stock.collection.id), request=None)
    job = await world.take_job(JobKind.PURGE_DOCUMENTS)

    async def bring_back() -> None:
        world.vectors.after.clear()
        await stock.put(point_of(document, 0), point_of(document, 1))

    world.vectors.after["delete"] = bring_back
    with pytest.raises(Unavailable, match="2 points"):
        await world.bulk_erasure.purge_documents(job)
    held_up = await read(world, purge.operation)
    await world.run_jobs()

    assert "2 points" in held_up.error
    receipt = await read(world, purge.operation)
    assert (receipt.state, receipt.error) == (OperationState.SUCCEEDED, "")
    assert counts(receipt)["points"] == 2


async def test_restricted_key_sees_operations_of_its_collections_only(
    world: World, stock: Stock, purges: PurgeService, canceller: OperationCanceller
) -> None:
    other = await world.add_collection()
    key = TenantContext(world.tenant_id, key_id=new_id(), collection_ids=frozenset({other.id}))
    operations = OperationService(world.uow.inner)
    hidden = await purges.begin(world.context, PurgeFilter(stock.collection.id), request=None)
    shown = await purges.begin(key, PurgeFilter(other.id), request=None)
    assert hidden.operation is not None
    assert shown.operation is not None

    listed = await operations.list_page(key, after=None, limit=10)

    assert [one.id for one in listed.items] == [shown.operation.id]
    with pytest.raises(NotFound):
        await operations.get(key, hidden.operation.id)
    with pytest.raises(NotFound):
        await anext(operations.wait(key, hidden.operation.id))
    with pytest.raises(NotFound):
        await canceller.cancel(key, hidden.operation.id, request=None)
    with pytest.raises(NotFound):
        await purges.begin(key, PurgeFilter(stock.collection.id), request=None)
    called_off = await canceller.cancel(key, shown.operation.id, request=None)
    assert called_off.state is OperationState.CANCELLED


async def test_platform_sees_no_operations_of_tenants(
    world: World, stock: Stock, purges: PurgeService, canceller: OperationCanceller
) -> None:
    purge = await purges.begin(world.context, PurgeFilter(stock.collection.id), request=None)
    assert purge.operation is not None
    operations, platform = OperationService(world.uow.inner), PlatformContext()

    with pytest.raises(NotFound):
        await operations.get(platform, purge.operation.id)
    with pytest.raises(NotFound):
        await canceller.cancel(platform, purge.operation.id, request=None)


async def test_operations_under_way_end_with_their_tenant(
    world: World, stock: Stock, purges: PurgeService
) -> None:
    wanted = PurgeFilter(stock.collection.id, metadata={"secret": "of the tenant"})
    purge = await purges.begin(world.context, wanted, request=None)
    await world.offboarding.delete(world.tenant_id, now=True, if_revision=None, request=None)

    await world.tenant_erasure.erase_tenant(await world.take_job(JobKind.ERASE_TENANT))

    ended = await read(world, purge.operation)
    assert (ended.state, ended.request) == (OperationState.CANCELLED, {})


async def test_cancelling_the_deletion_of_a_tenant_undeletes_it(
    world: World, canceller: OperationCanceller
) -> None:
    _, operation = await world.offboarding.delete(
        world.tenant_id, now=False, if_revision=None, request=None
    )

    ended = await canceller.cancel(PlatformContext(), operation.id, request=None)

    assert ended.state is OperationState.CANCELLED
    assert await world.count_rows("jobs") == 0


async def test_waiting_tells_each_change_and_ends_with_the_operation(
    world: World, stock: Stock, purges: PurgeService, small_pages: None
) -> None:
    for _ in range(3):
        await stock.lay_in(1)
    purge = await purges.begin(world.context, PurgeFilter(stock.collection.id), request=None)
    operation = await read(world, purge.operation)

    async def wait() -> list[Operation]:
        states = OperationService(world.uow.inner).wait(world.context, operation.id)
        return [replace(state) async for state in states]

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    await world.run_jobs()
    told = await asyncio.wait_for(waiting, timeout=30)

    assert told[-1].state is OperationState.SUCCEEDED
    assert [one.done for one in told] == sorted(one.done for one in told)
    assert all(one != after for one, after in itertools.pairwise(told))
