"""Reconciliations as operations: taken in turn, carried on by another worker, called off, and told of."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from minirag.domain.access import PlatformContext
from minirag.domain.documents import Collection
from minirag.domain.ids import new_id
from minirag.domain.operations import Operation, OperationKind, OperationState
from minirag.errors import FailedPrecondition, NotFound, Unavailable
from minirag.services.calling_off import OperationCanceller
from minirag.services.operations import OperationService
from minirag.services.reconciling import Reconciler, ReconcileRequests
from tests.integration.postgres.records import make_request
from tests.integration.services.stock import Stock, make_sweep, point_of
from tests.integration.services.wiring import World

PLATFORM = PlatformContext()


@pytest.fixture
def stock(world: World, collection: Collection) -> Stock:
    return Stock(world, collection)


@pytest.fixture(autouse=True)
async def clean(world: World) -> None:
    """The database is the module's: what other tests have asked for isn't this one's."""
    await _as_platform(world, "DELETE FROM operations WHERE kind = 'RECONCILE'")


async def _as_platform(world: World, statement: str, *values: Any) -> str:
    async with world.owner_lock, world.owner.transaction():
        await world.owner.execute("SET LOCAL app.platform = 'on'")
        done: str = await world.owner.execute(statement, *values)
        return done


def make_reconciler(world: World, *, period: timedelta | None = None) -> Reconciler:
    return Reconciler(world.uow.inner, make_sweep(world), period=period)


async def begin(
    world: World, tenant_id: UUID | None = None, *, dry_run: bool = False, request: Any = None
) -> Operation:
    asked = ReconcileRequests(world.uow.inner)
    return await asked.begin(tenant_id, dry_run=dry_run, request=request)


async def read(world: World, operation: Operation) -> Operation:
    return await OperationService(world.uow.inner).get(PLATFORM, operation.id)


def counts(operation: Operation) -> dict[str, tuple[int, int]]:
    return {one.kind: (one.found, one.repaired) for one in operation.drift if one.found}


async def test_reconciliation_looks_at_every_tenant_and_tells_what_it_found(
    world: World, stock: Stock
) -> None:
    document = await stock.lay_in(2)
    await stock.put(point_of(document, chunk_id=uuid4()))
    asked = await begin(world)

    ended = await make_reconciler(world).run_due()

    told = await read(world, asked)
    assert (ended, told.state, told.kind) == (1, OperationState.SUCCEEDED, OperationKind.RECONCILE)
    assert counts(told) == {"orphan points": (1, 1)}
    assert told.done == told.total >= 1
    assert told.position == {}
    assert len(await stock.points()) == 2


async def test_reconciliation_of_one_tenant_leaves_the_others(world: World, stock: Stock) -> None:
    document = await stock.lay_in(1)
    other = await world.add_tenant()
    stray = point_of(document, chunk_id=uuid4())
    for tenant_id in (world.tenant_id, other.tenant_id):
        await world.vectors.inner.upsert(tenant_id, await stock.space(), [stray])
    await begin(world, other.tenant_id, dry_run=True)
    await begin(world, world.tenant_id)

    ended = await make_reconciler(world).run_due()

    assert ended == 2
    assert len(await stock.points()) == 1


async def test_points_and_files_of_a_tenant_that_was_erased_are_found(
    world: World, stock: Stock
) -> None:
    """What an unfinished upload or a restored snapshot may bring back."""
    gone = await world.add_tenant()
    document = await stock.lay_in(1)
    await world.offboarding.delete(gone.tenant_id, now=True, if_revision=None, request=None)
    await world.run_jobs(gone)
    await world.vectors.inner.upsert(gone.tenant_id, await stock.space(), [point_of(document)])

    asked = await begin(world, gone.tenant_id)
    await make_reconciler(world).run_due()

    assert counts(await read(world, asked)) == {"orphan points": (1, 1)}
    assert await world.count_points(context=gone) == 0


async def test_tenant_that_never_was_is_not_found(world: World) -> None:
    with pytest.raises(NotFound, match="tenant"):
        await begin(world, new_id())


async def test_tenant_whose_erasure_has_begun_is_passed_over(world: World, stock: Stock) -> None:
    document = await stock.lay_in(2)
    await stock.remove(point_of(document).chunk_id)
    await world.offboarding.delete(world.tenant_id, now=True, if_revision=None, request=None)
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        await unit.tenants.begin_erasure(world.tenant_id)
    asked = await begin(world, world.tenant_id)

    await make_reconciler(world).run_due()

    assert (await read(world, asked)).drift == ()


async def test_only_one_goes_on_at_a_time_and_a_dead_workers_is_taken_over(
    world: World, stock: Stock
) -> None:
    first, second = await begin(world, world.tenant_id), await begin(world, world.tenant_id)
    async with world.uow.inner.platform() as uow:
        claimed = await uow.reconciliations.claim(owner="one that dies", lease_seconds=60)
    assert claimed is not None

    idle = await make_reconciler(world).run_due()
    await _as_platform(world, "UPDATE operations SET lease_until = now() WHERE id = $1", claimed.id)
    ended = await make_reconciler(world).run_due()

    assert claimed.id == first.id
    assert (idle, ended) == (0, 2)
    assert (await read(world, second)).state is OperationState.SUCCEEDED


async def test_worker_that_lost_its_lease_stops_and_spoils_nothing(
    world: World, stock: Stock
) -> None:
    await stock.lay_in(1)
    asked = await begin(world, world.tenant_id)

    async def lose() -> None:
        await _as_platform(
            world, "UPDATE operations SET lease_owner = 'another' WHERE id = $1", asked.id
        )

    world.vectors.after["scan"] = lose
    ended = await make_reconciler(world).run_due()

    told = await read(world, asked)
    assert ended == 0
    assert (told.state, told.done) == (OperationState.RUNNING, 0)


async def test_store_that_is_away_is_told_and_the_work_goes_on_later(
    world: World, stock: Stock
) -> None:
    await stock.lay_in(1)
    asked = await begin(world, world.tenant_id)

    async def fail() -> None:
        raise Unavailable("the vector store is away")

    world.vectors.before["scan"] = fail
    await make_reconciler(world).run_due()
    held_up = await read(world, asked)
    world.vectors.before.clear()
    await _as_platform(world, "UPDATE operations SET lease_until = now() WHERE id = $1", asked.id)
    await make_reconciler(world).run_due()

    assert (held_up.state, held_up.error) == (OperationState.RUNNING, "the vector store is away")
    told = await read(world, asked)
    assert (told.state, told.error) == (OperationState.SUCCEEDED, "")


async def test_cancelled_reconciliation_stops_at_its_page(world: World, stock: Stock) -> None:
    document = await stock.lay_in(1)
    asked = await begin(world, world.tenant_id)
    canceller = OperationCanceller(world.uow.inner, world.offboarding, world._wake)

    async def cancel() -> None:
        world.vectors.after.clear()
        await canceller.cancel(PLATFORM, asked.id, request=None)
        await stock.put(point_of(document, chunk_id=uuid4()))

    world.vectors.after["scan"] = cancel
    ended = await make_reconciler(world).run_due()

    assert ended == 0
    assert (await read(world, asked)).state is OperationState.CANCELLED
    assert len(await stock.points()) == 2


async def test_reconciliation_that_has_ended_is_not_called_off(world: World) -> None:
    done = await begin(world, world.tenant_id)
    await make_reconciler(world).run_due()
    canceller = OperationCanceller(world.uow.inner, world.offboarding, world._wake)

    with pytest.raises(FailedPrecondition, match="has ended"):
        await canceller.cancel(PLATFORM, done.id, request=None)


async def test_repeated_request_asks_once(world: World) -> None:
    request = make_request()

    first = await begin(world, request=request)
    again = await begin(world, request=request)

    assert again.id == first.id


async def test_schedule_asks_once_in_a_period_and_not_on_a_new_installation(world: World) -> None:
    period = timedelta(hours=1)
    await _as_platform(world, "UPDATE tenants SET create_time = now()")
    async with world.uow.inner.platform() as uow:
        too_early = await uow.reconciliations.schedule(period)
    await _as_platform(
        world,
        "UPDATE tenants SET create_time = now() - interval '2 hours' WHERE id = $1",
        world.tenant_id,
    )

    async with world.uow.inner.platform() as uow:
        asked = [await uow.reconciliations.schedule(period) for _ in range(2)]
    ended = await make_reconciler(world, period=period).run_due()

    assert (too_early, asked, ended) == (False, [True, False], 1)


async def test_tenant_sees_no_reconciliation(world: World) -> None:
    asked = await begin(world, world.tenant_id)

    with pytest.raises(NotFound):
        await OperationService(world.uow.inner).get(world.context, asked.id)


async def test_what_the_platform_does_to_a_tenant_stands_in_the_logs_of_both(
    world: World,
) -> None:
    await begin(world, world.tenant_id)
    await begin(world)

    own = await world.fetch("SELECT id FROM audit_events WHERE tenant_id = $1", world.tenant_id)
    assert len(own) == 1
