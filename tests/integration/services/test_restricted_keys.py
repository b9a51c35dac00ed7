"""To a key that is restricted to some collections, the others look as if they weren't there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from minirag.domain.access import TenantContext
from minirag.domain.documents import Collection, Document, DocumentFilter
from minirag.domain.ids import new_id
from minirag.domain.retrieval import EmbeddingSpace, SparseVector, VectorFilter, VectorHit
from minirag.errors import FailedPrecondition, NotFound, PermissionDenied
from minirag.services.assistants import AssistantService
from minirag.services.collections import CollectionService
from minirag.services.conversations import ConversationService
from minirag.services.operations import OperationService
from minirag.services.reembedding import ReembeddingService
from minirag.services.watching import DocumentChanged, DocumentWatcher, SnapshotEnd
from tests.integration.postgres.records import make_assistant, make_request
from tests.integration.services.desk import Desk, started
from tests.integration.services.wiring import World, paragraphs


@dataclass
class Office:
    """A tenant with an open and a closed collection, and a key for the open one."""

    world: World
    desk: Desk
    open: Collection
    closed: Collection
    shown: Document
    hidden: Document
    key: TenantContext

    @property
    def clerk(self) -> Desk:
        """A desk at which the restricted key asks."""
        desk = Desk(self.world)
        desk.models = self.desk.models
        desk.service = self.desk.service
        desk.context = self.key
        return desk

    async def add_assistant(self, *collections: Collection) -> UUID:
        ids = tuple(each.id for each in collections)
        assistant = make_assistant(self.world.tenant_id, collection_ids=ids)
        async with self.world.uow.inner.tenant(self.world.tenant_id) as unit:
            await unit.assistants.add(assistant)
        return assistant.id

    async def delete(self, collection: Collection) -> None:
        async with self.world.uow.inner.tenant(self.world.tenant_id) as unit:
            assert await unit.collections.mark_deleted(collection.id)


@pytest.fixture
async def office(world: World) -> Office:
    opened, closed = [await world.add_collection() for _ in range(2)]
    shown = await world.add_ready(opened, paragraphs("heron"))
    hidden = await world.add_ready(closed, paragraphs("walrus"))
    key = TenantContext(world.tenant_id, key_id=new_id(), collection_ids=frozenset({opened.id}))
    return Office(world, Desk(world), opened, closed, shown, hidden, key)


class BlindStore:
    """A vector store that doesn't look at collections."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def search_lexical(
        self, tenant_id: UUID, space: EmbeddingSpace, query: SparseVector, **named: Any
    ) -> list[VectorHit]:
        named["where"] = VectorFilter()
        hits: list[VectorHit] = await self._inner.search_lexical(tenant_id, space, query, **named)
        return hits

    async def search_dense(
        self, tenant_id: UUID, space: EmbeddingSpace, query: Sequence[float], **named: Any
    ) -> list[VectorHit]:
        named["where"] = VectorFilter()
        hits: list[VectorHit] = await self._inner.search_dense(tenant_id, space, query, **named)
        return hits


async def test_a_search_everywhere_finds_only_what_the_key_may_touch(office: Office) -> None:
    world = office.world

    found = await world.find("what should one know?", context=office.key)
    whole = await world.find("what should one know?")

    assert len(whole) == 2
    assert [("heron" in text) for text in found] == [True]
    with pytest.raises(NotFound, match="collection"):
        await world.find("walrus", office.closed, context=office.key)


async def test_a_vector_store_that_is_blind_to_collections_gives_no_text_away(
    office: Office,
) -> None:
    world = office.world
    blind = world.make_retriever(BlindStore(world.vectors.inner))

    found = await world.find("walrus", context=office.key, retriever=blind)

    assert [text for text in found if "walrus" in text] == []


async def test_documents_of_other_collections_are_neither_listed_nor_read_nor_watched(
    office: Office,
) -> None:
    world, key, hidden = office.world, office.key, office.hidden
    documents = world.documents
    collections = CollectionService(world.uow, lambda: None, embedding_model="")

    page = await documents.list_page(key, DocumentFilter(), after=None, limit=10)
    listed = await collections.list_page(key, after=None, limit=10)
    watch = DocumentWatcher(world.uow).watch(key, DocumentFilter(), until_final=True)
    events = [event async for event in watch]

    assert [each.id for each in page.items] == [office.shown.id]
    assert [each.id for each in listed.items] == [office.open.id]
    assert [event.document.id for event in events if isinstance(event, DocumentChanged)] == [
        office.shown.id
    ]
    assert SnapshotEnd(1) in events
    for attempt in (
        documents.get(key, hidden.id),
        documents.read_text(key, hidden.id, version_id=None, start=0, end=None),
        documents.read_text(key, office.shown.id, version_id=hidden.version.id, start=0, end=None),
        documents.list_chunks(key, hidden.id, after_ordinal=-1, limit=10),
        documents.update(
            key, hidden.id, display_name="x", metadata=None, if_revision=None, request=None
        ),
        documents.delete(key, hidden.id, if_revision=None, request=None),
        collections.delete(key, office.closed.id, if_revision=None, request=None),
        world.upload(office.closed, "smuggled", context=key),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert (await documents.get(world.context, hidden.id)).revision == hidden.revision


async def test_collections_can_be_neither_made_nor_renamed_by_such_a_key(office: Office) -> None:
    """Names are unique in a tenant: a taken one would tell of what isn't there for the key."""
    collections = CollectionService(office.world.uow, lambda: None, embedding_model="")

    with pytest.raises(PermissionDenied, match="can't create") as made:
        await collections.create(office.key, display_name="x", description="", request=None)
    with pytest.raises(PermissionDenied, match="can't rename"):
        await collections.update(
            office.key,
            office.open.id,
            display_name=office.closed.display_name,
            description=None,
            if_revision=None,
            request=None,
        )
    described = await collections.update(
        office.key,
        office.open.id,
        display_name=None,
        description="told",
        if_revision=None,
        request=None,
    )

    assert made.value.reason == "KEY_RESTRICTED"
    assert described.description == "told"


async def test_other_collections_are_neither_embedded_anew_nor_switched_nor_rid_of_embeddings(
    office: Office,
) -> None:
    world, key, closed = office.world, office.key, office.closed
    service = ReembeddingService(world.uow, lambda: None, embedding_model="")
    wish: dict[str, Any] = {"model": None, "sample_queries": (), "switch_when_built": False}
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        await unit.reembedding.begin(closed.id, new_id(), "another", is_complete=True)
        before = await unit.collections.get(closed.id)

    for attempt in (
        service.begin(key, closed.id, **wish, if_revision=None, request=None),
        service.switch(key, closed.id, if_revision=None, request=None),
        service.discard(key, closed.id, if_revision=None, request=None),
        # Nor is anything told by the revision that it is asked at.
        service.switch(key, closed.id, if_revision=99, request=None),
    ):
        with pytest.raises(NotFound, match="collection"):
            await attempt
    own = await service.begin(key, office.open.id, **wish, if_revision=None, request=None)

    async with world.uow.inner.tenant(world.tenant_id) as unit:
        assert await unit.collections.get(closed.id) == before
    assert (await OperationService(world.uow).get(key, own.id)).id == own.id


async def test_an_answer_is_made_from_the_keys_collections_alone(office: Office) -> None:
    await office.clerk.read("What of walrus and heron?")

    (asked,) = office.desk.models.requests
    assert [passage.text for passage in asked.passages if "walrus" in passage.text] == []
    assert len(asked.passages) == 1


async def test_an_assistant_is_used_over_what_both_may_touch(office: Office) -> None:
    both = await office.add_assistant(office.open, office.closed)
    other = await office.add_assistant(office.closed)
    assistants = AssistantService(office.world.uow)

    await office.clerk.read("What of walrus and heron?", assistant_id=both, retrieval=None)
    with pytest.raises(FailedPrecondition, match="none of the assistant's collections"):
        await office.clerk.read(assistant_id=other, retrieval=None)

    assert len(office.desk.models.requests) == 1
    assert all("walrus" not in each.text for each in office.desk.models.requests[0].passages)
    shown = await assistants.list_page(office.key, after=None, limit=10)
    assert {each.id: each.collection_ids for each in shown.items} == {
        both: (office.open.id,),
        other: (),
    }


async def test_a_key_whose_collections_are_deleted_is_never_let_into_the_others(
    office: Office,
) -> None:
    everything = await office.add_assistant()
    await office.delete(office.open)

    found = await office.world.find("walrus heron", context=office.key)

    assert found == []
    for about in ({}, {"assistant_id": everything, "retrieval": None}):
        with pytest.raises(FailedPrecondition, match="that the key may touch was deleted"):
            await office.clerk.read(**about)
    assert office.desk.models.requests == []


async def test_conversations_of_others_quote_what_is_closed_and_are_not_there(
    office: Office,
) -> None:
    conversations = ConversationService(office.world.uow)
    request = make_request()
    theirs = started([event async for event in office.desk.ask("walrus?", request=request)])

    own = started(await office.clerk.read("heron?"))
    again = await office.clerk.read("And then?", conversation_id=own.conversation_id)

    assert started(again).conversation_id == own.conversation_id
    listed = await conversations.list_page(office.key, assistant_id=None, after=None, limit=10)
    assert [each.id for each in listed.items] == [own.conversation_id]
    for attempt in (
        conversations.get(office.key, theirs.conversation_id),
        conversations.list_messages(office.key, theirs.conversation_id, after=None, limit=10),
        conversations.delete(office.key, theirs.conversation_id, if_revision=None, request=None),
        office.clerk.read("And then?", conversation_id=theirs.conversation_id),
        # The first outcome of a request whose id somebody else used.
        _read(office.clerk.ask("walrus?", request=request)),
    ):
        with pytest.raises(NotFound):
            await attempt


async def _read(events: Any) -> list[Any]:
    stream: AsyncIterator[Any]
    async with aclosing(events) as stream:
        return [event async for event in stream]
