"""Letting a tenant go: the grace period, the way back, the erasure and its receipt."""

from __future__ import annotations

from datetime import timedelta

import pytest

from minirag.domain.access import PlatformContext
from minirag.domain.documents import Collection, DocumentState
from minirag.domain.jobs import JobKind
from minirag.domain.operations import OperationState
from minirag.domain.tenants import TenantState
from minirag.errors import FailedPrecondition, NotFound
from minirag.services.jobs import TryLater
from minirag.services.operations import OperationService
from minirag.services.ports.requests import RequestKey
from minirag.services.tenants import TenantService
from tests.integration.postgres.records import make_request
from tests.integration.services.wiring import World, paragraphs

TEXT = paragraphs("walrus", "heron")


async def _run_due(world: World) -> None:
    await world.run_jobs()


async def test_grace_period_refuses_and_keeps_everything(
    world: World, collection: Collection
) -> None:
    await world.add_ready(collection, TEXT)

    tenant, operation = await world.offboarding.delete(
        world.tenant_id, now=False, if_revision=None, request=None
    )
    await _run_due(world)

    assert tenant is not None
    assert tenant.state is TenantState.DELETING
    assert tenant.purge_time is not None
    grace = tenant.purge_time - tenant.update_time
    assert abs(grace - timedelta(days=7)) < timedelta(seconds=1)
    assert operation.state is OperationState.PENDING
    assert await world.count_points() == 2
    assert await world.count_rows("documents") == 1


async def test_document_that_was_acknowledged_before_is_indexed_in_the_grace_period(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT)

    await world.offboarding.delete(world.tenant_id, now=False, if_revision=None, request=None)
    await _run_due(world)
    await world.offboarding.undelete(world.tenant_id, request=None)

    found = await world.documents.get(world.context, document.id)
    assert found.state is DocumentState.READY


@pytest.mark.parametrize("state", [TenantState.ACTIVE, TenantState.SUSPENDED])
async def test_undeleted_tenant_has_the_state_that_it_had(world: World, state: TenantState) -> None:
    tenants = TenantService(world.uow.inner)
    await tenants.update(
        world.tenant_id, display_name=None, state=state, if_revision=None, request=None
    )
    _, operation = await world.offboarding.delete(
        world.tenant_id, now=False, if_revision=None, request=None
    )

    restored = await world.offboarding.undelete(world.tenant_id, request=None)

    ended = await OperationService(world.uow.inner).get(PlatformContext(), operation.id)
    assert restored.state is state
    assert restored.purge_time is None
    assert ended.state is OperationState.CANCELLED
    assert await world.count_rows("jobs") == 0


async def test_undeleting_what_is_not_being_deleted_is_refused(world: World) -> None:
    with pytest.raises(FailedPrecondition, match="isn't being deleted"):
        await world.offboarding.undelete(world.tenant_id, request=None)


async def test_erasure_that_has_begun_is_not_undone(world: World) -> None:
    await world.offboarding.delete(world.tenant_id, now=True, if_revision=None, request=None)
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        await unit.tenants.begin_erasure(world.tenant_id)

    with pytest.raises(FailedPrecondition, match="has begun"):
        await world.offboarding.undelete(world.tenant_id, request=None)


async def test_deletion_that_is_wanted_now_is_not_undone_although_no_worker_has_begun(
    world: World,
) -> None:
    await world.offboarding.delete(world.tenant_id, now=True, if_revision=None, request=None)

    with pytest.raises(FailedPrecondition, match="has begun"):
        await world.offboarding.undelete(world.tenant_id, request=None)


async def test_job_of_an_undeleted_tenant_erases_nothing(
    world: World, collection: Collection
) -> None:
    await world.add_ready(collection, TEXT)
    await world.offboarding.delete(world.tenant_id, now=False, if_revision=None, request=None)
    job = await world.take_job(JobKind.ERASE_TENANT)
    await world.offboarding.undelete(world.tenant_id, request=None)

    await world.tenant_erasure.erase_tenant(job)

    assert await world.count_points() == 2
    assert await world.count_rows("documents") == 1


async def test_job_of_an_undone_deletion_does_not_cut_short_the_grace_of_the_next(
    world: World, collection: Collection
) -> None:
    await world.add_ready(collection, TEXT)
    await world.offboarding.delete(world.tenant_id, now=False, if_revision=None, request=None)
    job = await world.take_job(JobKind.ERASE_TENANT)
    await world.offboarding.undelete(world.tenant_id, request=None)
    await world.offboarding.delete(world.tenant_id, now=False, if_revision=None, request=None)

    with pytest.raises(TryLater) as later:
        await world.tenant_erasure.erase_tenant(job)

    assert later.value.delay == pytest.approx(timedelta(days=7).total_seconds(), abs=60)
    assert await world.count_points() == 2
    assert await world.count_rows("documents") == 1


async def test_deletion_that_an_earlier_version_began_is_joined_and_not_undone(
    world: World, collection: Collection
) -> None:
    """Before there were grace periods a deletion was a state and a job that was due at once."""
    await world.add_ready(collection, TEXT)
    async with world.uow.inner.platform() as platform:
        await platform.tenants.update(world.tenant_id, state=TenantState.DELETING)
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        await unit.jobs.add(JobKind.ERASE_TENANT, world.tenant_id)

    with pytest.raises(FailedPrecondition, match="has begun"):
        await world.offboarding.undelete(world.tenant_id, request=None)
    tenant, operation = await world.offboarding.delete(
        world.tenant_id, now=True, if_revision=None, request=None
    )
    await _run_due(world)

    receipt = await OperationService(world.uow.inner).get(PlatformContext(), operation.id)
    assert tenant is not None
    assert tenant.state is TenantState.DELETING
    assert receipt.state is OperationState.SUCCEEDED
    assert await world.count_rows("tenants") == 0


async def test_now_ends_a_grace_period_that_is_running(
    world: World, collection: Collection
) -> None:
    await world.add_ready(collection, TEXT)
    _, waiting = await world.offboarding.delete(
        world.tenant_id, now=False, if_revision=None, request=None
    )

    _, hastened = await world.offboarding.delete(
        world.tenant_id, now=True, if_revision=None, request=None
    )
    await _run_due(world)

    assert hastened.id == waiting.id
    assert hastened.start_time < waiting.start_time
    assert await world.count_rows("tenants") == 0


async def test_receipt_tells_what_was_erased_and_that_nothing_remains(
    world: World, collection: Collection
) -> None:
    await world.add_ready(collection, TEXT)
    _, operation = await world.offboarding.delete(
        world.tenant_id, now=True, if_revision=None, request=None
    )

    await _run_due(world)

    receipt = await OperationService(world.uow.inner).get(PlatformContext(), operation.id)
    erased = {(count.store, count.kind): count.count for count in receipt.erased}
    remaining = {(count.store, count.kind): count.count for count in receipt.remaining}
    assert receipt.state is OperationState.SUCCEEDED
    assert receipt.end_time is not None
    assert erased["vectors", "points"] == erased["postgres", "chunks"] == 2
    assert erased["blobs", "files"] == 2
    assert erased["postgres", "documents"] == erased["postgres", "tenants"] == 1
    assert remaining.keys() == erased.keys()
    assert not any(remaining.values())
    assert await world.list_blobs() == []
    assert await world.count_points() == 0


async def test_receipt_of_an_erasure_that_was_held_up_tells_what_and_counts_the_whole(
    world: World, collection: Collection
) -> None:
    await world.add_ready(collection, TEXT)
    _, operation = await world.offboarding.delete(
        world.tenant_id, now=True, if_revision=None, request=None
    )

    async def delete_nothing(*_: object) -> None:
        return None

    operations = OperationService(world.uow.inner)
    real = world.vectors.inner.delete
    world.vectors.inner.delete = delete_nothing
    await _run_due(world)
    held_up = await operations.get(PlatformContext(), operation.id)
    world.vectors.inner.delete = real
    await world.fetch("UPDATE jobs SET run_after = now() WHERE tenant_id = $1", world.tenant_id)
    await _run_due(world)

    receipt = await operations.get(PlatformContext(), operation.id)
    assert held_up.state is OperationState.RUNNING
    assert "2 points" in held_up.error
    assert receipt.state is OperationState.SUCCEEDED
    assert receipt.error == ""
    assert {count.kind: count.count for count in receipt.erased}["documents"] == 1


async def test_repeated_request_is_answered_with_its_operation_after_the_tenant_is_gone(
    world: World,
) -> None:
    request: RequestKey = make_request()
    _, operation = await world.offboarding.delete(
        world.tenant_id, now=True, if_revision=None, request=request
    )
    await _run_due(world)

    tenant, again = await world.offboarding.delete(
        world.tenant_id, now=True, if_revision=None, request=request
    )
    with pytest.raises(NotFound):
        await world.offboarding.delete(world.tenant_id, now=True, if_revision=None, request=None)

    assert tenant is None
    assert again.id == operation.id
    assert again.state is OperationState.SUCCEEDED
