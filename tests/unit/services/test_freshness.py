"""Waiting until searches show a change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from minirag.domain.access import TenantContext
from minirag.domain.changes import RevisionMark, Searchability
from minirag.domain.documents import DocumentState, Failure, FailureCode
from minirag.errors import FailedPrecondition, Unavailable
from minirag.services.freshness import RevisionWaiter
from tests.integration.postgres.records import make_version

CONTEXT = TenantContext(uuid4())
MARK = RevisionMark(uuid4(), 2)


class Store:
    """One document, as `get_searchability` tells of it; `looks` counts."""

    def __init__(self, found: Searchability | None) -> None:
        self.found = found
        self.looks = 0
        self.documents = self

    @asynccontextmanager
    async def tenant(self, whose: UUID | TenantContext) -> AsyncIterator[Any]:
        yield self

    async def get_searchability(self, document_id: UUID) -> Searchability | None:
        assert document_id == MARK.document_id
        self.looks += 1
        return self.found


def document(
    state: DocumentState, *, published: int = 1, number: int = 2, is_metadata_due: bool = False
) -> Searchability:
    failure = None
    if state is DocumentState.FAILED:
        failure = Failure(FailureCode.NO_TEXT, "the document holds no text")
    version = make_version(CONTEXT.tenant_id, MARK.document_id, number=number)
    return Searchability(published, replace(version, state=state, failure=failure), is_metadata_due)


@pytest.mark.parametrize(
    "found",
    [
        document(DocumentState.READY, published=2),
        document(DocumentState.READY, published=3, number=3),
        document(DocumentState.PARSING, published=2, number=3),
        document(DocumentState.FAILED, published=2, number=3),
        None,
    ],
    ids=["published", "a newer one published", "a newer one begun", "a newer one failed", "gone"],
)
async def test_what_is_searchable_is_not_waited_for(found: Searchability | None) -> None:
    store = Store(found)

    await RevisionWaiter(store).wait(CONTEXT, MARK, timeout=5)

    assert store.looks == 1


@pytest.mark.parametrize(
    "found",
    [
        document(DocumentState.EMBEDDING),
        document(DocumentState.PENDING, number=3),
        document(DocumentState.READY, published=2, is_metadata_due=True),
    ],
    ids=["on its way", "a newer one on its way", "its metadata on its way"],
)
async def test_what_will_be_searchable_is_waited_for(found: Searchability) -> None:
    store = Store(found)
    waiting = asyncio.create_task(RevisionWaiter(store).wait(CONTEXT, MARK, timeout=10))
    await asyncio.wait([waiting], timeout=0.1)
    assert not waiting.done()

    store.found = document(DocumentState.READY, published=found.newest.number, number=9)

    await asyncio.wait_for(waiting, 5)
    assert store.looks > 2


@pytest.mark.parametrize("state", [DocumentState.FAILED, DocumentState.CANCELLED])
async def test_what_never_will_be_searchable_is_told_at_once(state: DocumentState) -> None:
    store = Store(document(state))

    with pytest.raises(FailedPrecondition) as refused:
        await RevisionWaiter(store).wait(CONTEXT, MARK, timeout=10)

    assert refused.value.reason == "REVISION_FAILED"
    assert store.looks == 1


async def test_longer_than_the_caller_waits_is_unavailable_before_the_deadline() -> None:
    store = Store(document(DocumentState.EMBEDDING))
    began = time.monotonic()

    with pytest.raises(Unavailable) as refused:
        await RevisionWaiter(store).wait(CONTEXT, MARK, timeout=0.4)

    assert 0.25 <= time.monotonic() - began < 0.4
    assert refused.value.reason == "REVISION_PENDING"
    assert refused.value.retry_after
