"""Operations: what a worker that takes over goes on with, and what stays when they end."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from minirag.domain.ids import new_id
from minirag.domain.operations import Operation, OperationKind, OperationState, StoreCount
from minirag.domain.reembedding import EmbeddingComparison, QueryComparison
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from tests.integration.postgres.more_records import make_operation

POINTS = (StoreCount("vectors", "points", 7),)
COMPARISON = EmbeddingComparison(
    "former/model",
    "",
    10,
    (
        QueryComparison("Wörter?", (new_id(), new_id()), (new_id(),)),
        QueryComparison("none", (), ()),
    ),
)
ENDS = [state for state in OperationState if state.is_final]


@pytest.fixture
async def operation(uow: PostgresUnitOfWorkFactory, tenant_id: UUID) -> Operation:
    """One that isn't begun."""
    return await add(uow, tenant_id)


async def add(uow: PostgresUnitOfWorkFactory, tenant_id: UUID, **changes: Any) -> Operation:
    collection_id = new_id()
    made = make_operation(
        tenant_id,
        kind=OperationKind.REEMBED_COLLECTION,
        subject_id=collection_id,
        collection_id=collection_id,
        request={"model": "new/model"},
        **changes,
    )
    async with uow.tenant(tenant_id) as unit:
        await unit.operations.add(made)
    return made


async def read(uow: PostgresUnitOfWorkFactory, operation: Operation) -> Operation:
    async with uow.tenant(operation.tenant_id) as unit:
        found = await unit.operations.get(operation.id)
    assert found is not None
    return found


async def end(
    uow: PostgresUnitOfWorkFactory, operation: Operation, state: OperationState
) -> Operation:
    async with uow.tenant(operation.tenant_id) as unit:
        if state is OperationState.CANCELLED:
            assert await unit.operations.cancel(operation.id)
        else:
            await unit.operations.finish(operation.id, state)
    return await read(uow, operation)


@pytest.mark.parametrize("comparison", [None, COMPARISON], ids=["none", "some"])
async def test_operation_reads_back_as_it_was_added(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, comparison: EmbeddingComparison | None
) -> None:
    made = await add(uow, tenant_id, comparison=comparison, position={"after": "x"}, done=3)

    assert await read(uow, made) == made


async def test_comparison_is_written_down_and_stays_when_the_operation_ends(
    uow: PostgresUnitOfWorkFactory, operation: Operation
) -> None:
    async with uow.tenant(operation.tenant_id) as unit:
        first = await unit.operations.compare(operation.id, EmbeddingComparison("a", "b", 10, ()))
        second = await unit.operations.compare(operation.id, COMPARISON)

    ended = await end(uow, operation, OperationState.SUCCEEDED)

    assert (first, second) == (True, True)
    assert ended.comparison == COMPARISON


@pytest.mark.parametrize("state", ENDS)
async def test_operation_that_has_ended_is_compared_no_more(
    uow: PostgresUnitOfWorkFactory, operation: Operation, state: OperationState
) -> None:
    ended = await end(uow, operation, state)

    async with uow.tenant(operation.tenant_id) as unit:
        is_compared = await unit.operations.compare(operation.id, COMPARISON)

    assert not is_compared
    assert await read(uow, operation) == ended
    assert ended.comparison is None


async def test_end_tells_its_error_and_forgets_what_was_asked_for(
    uow: PostgresUnitOfWorkFactory, operation: Operation
) -> None:
    async with uow.tenant(operation.tenant_id) as unit:
        await unit.operations.take(operation.id, {"after": "x"}, total=5)
        await unit.operations.note(operation.id, "waits for the provider")
        await unit.operations.finish(
            operation.id, OperationState.FAILED, POINTS, error="the model isn't known"
        )

    ended = await read(uow, operation)

    assert (ended.state, ended.error) == (OperationState.FAILED, "the model isn't known")
    assert (ended.request, ended.position) == ({}, {})
    assert ended.remaining == POINTS
    assert ended.end_time is not None


async def test_end_without_an_error_takes_back_what_was_noted(
    uow: PostgresUnitOfWorkFactory, operation: Operation
) -> None:
    async with uow.tenant(operation.tenant_id) as unit:
        await unit.operations.note(operation.id, "waits for the provider")

    ended = await end(uow, operation, OperationState.SUCCEEDED)

    assert ended.error == ""


@pytest.mark.parametrize("state", ENDS)
async def test_operation_ends_once(
    uow: PostgresUnitOfWorkFactory, operation: Operation, state: OperationState
) -> None:
    ended = await end(uow, operation, state)

    async with uow.tenant(operation.tenant_id) as unit:
        await unit.operations.finish(operation.id, OperationState.FAILED, error="late")
        await unit.operations.note(operation.id, "late")
        is_cancelled = await unit.operations.cancel(operation.id)

    assert not is_cancelled
    assert await read(uow, operation) == ended


async def test_operation_goes_on_where_it_was_advanced_to(
    uow: PostgresUnitOfWorkFactory, operation: Operation
) -> None:
    first, second = {"after": "1"}, {"after": "2"}
    async with uow.tenant(operation.tenant_id) as unit:
        await unit.operations.take(operation.id, {}, total=2)
        await unit.operations.note(operation.id, "waits for the provider")

        async def advance(position: dict[str, str], **to: dict[str, str]) -> bool:
            return await unit.operations.advance(
                operation.id, position, done=1, erased=POINTS, remaining=(), **to
            )

        done = [await advance({}, to=first), await advance(first, to=second)]
        late = [await advance({}, to=first), await advance(first, to={"after": "3"})]

    after = await read(uow, operation)
    assert (done, late) == ([True, True], [False, False])
    assert (after.position, after.done, after.total) == (second, 2, 2)
    assert (after.erased, after.error) == (POINTS, "")


async def test_more_is_never_done_than_there_is(
    uow: PostgresUnitOfWorkFactory, operation: Operation
) -> None:
    async with uow.tenant(operation.tenant_id) as unit:
        await unit.operations.take(operation.id, {}, total=1)
        for _ in range(2):
            await unit.operations.advance(operation.id, {}, done=1, erased=(), remaining=())

    after = await read(uow, operation)
    assert (after.position, after.done, after.total) == ({}, 2, 2)


async def test_list_leaves_the_compared_queries_out(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    made = await add(uow, tenant_id, comparison=COMPARISON)

    async with uow.tenant(tenant_id) as unit:
        (listed,) = await unit.operations.list_page(after=None, limit=9)

    assert listed.id == made.id
    assert listed.comparison is not None
    assert listed.comparison.queries == ()
    assert listed.comparison.mean_overlap == COMPARISON.mean_overlap == 0.5
    assert listed.comparison.same_first == COMPARISON.same_first


async def test_comparisons_of_a_subject_that_goes_are_forgotten(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    gone, kept = [await add(uow, tenant_id, comparison=COMPARISON) for _ in range(2)]

    async with uow.tenant(tenant_id) as unit:
        await unit.operations.forget_comparisons(gone.subject_id)

    assert (await read(uow, gone)).comparison is None
    assert (await read(uow, kept)).comparison == COMPARISON


async def test_worker_that_was_held_up_does_not_set_the_operation_back(
    uow: PostgresUnitOfWorkFactory, operation: Operation
) -> None:
    async with uow.tenant(operation.tenant_id) as unit:
        first = await unit.operations.take(operation.id, {"after": "x"}, total=5)
        again = await unit.operations.take(operation.id, {"after": "x"}, total=5)
        late = await unit.operations.take(operation.id, {"after": "a"}, total=5)

    assert (first, again, late) == (True, True, False)
    assert (await read(uow, operation)).position == {"after": "x"}
