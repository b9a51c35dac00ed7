"""A key that is restricted to some collections: Postgres itself holds it to them, whatever the query."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest

from minirag.domain.access import TenantContext
from minirag.domain.chats import Conversation
from minirag.domain.documents import Collection, Document, DocumentState
from minirag.domain.ids import new_id
from minirag.errors import NotFound
from minirag.repositories.postgres.transaction import tenant_reach
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from tests.integration.postgres.records import (
    add_collection,
    add_document,
    add_tenant,
    make_chunk,
    make_conversation,
    make_document,
    make_generation,
    make_message,
    make_version,
)
from tests.integration.postgres.source_records import fill_sources

COLLECTION_TABLES = (
    "collections",
    "collection_document_counts",
    "documents",
    "document_versions",
    "chunks",
    "sources",
    "source_pages",
)
CONVERSATION_TABLES = ("conversations", "messages", "generations")
TABLES = COLLECTION_TABLES + CONVERSATION_TABLES


@dataclass(frozen=True)
class Estate:
    """A tenant with two collections of one document each, and a conversation of each of two keys."""

    restricted: TenantContext
    open: Document
    closed: Document
    own: Conversation
    foreign: Conversation


@pytest.fixture(scope="module")
async def estate(uow: PostgresUnitOfWorkFactory) -> Estate:
    tenant_id = await add_tenant(uow)
    first, second = [await _fill_collection(uow, tenant_id) for _ in range(2)]
    context = TenantContext(
        tenant_id, key_id=new_id(), collection_ids=frozenset({first.collection_id})
    )
    own = make_conversation(tenant_id, key_id=context.key_id)
    foreign = make_conversation(tenant_id, key_id=new_id())
    async with uow.tenant(tenant_id) as unit:
        for conversation in (own, foreign):
            await unit.conversations.add(conversation)
            await unit.messages.add(make_message(conversation))
            await unit.generations.add(make_generation(conversation))
    return Estate(context, first, second, own, foreign)


async def _fill_collection(uow: PostgresUnitOfWorkFactory, tenant_id: UUID) -> Document:
    collection: Collection = await add_collection(uow, tenant_id)
    document = await add_document(uow, tenant_id, collection.id)
    async with uow.tenant(tenant_id) as unit:
        await unit.chunks.put([make_chunk(document, 0)])
        await fill_sources(unit, tenant_id, collection.id)
    return document


async def count(app: asyncpg.Connection, reach: str, table: str) -> int:
    async with app.transaction():
        await app.execute(reach)
        found: int = await app.fetchval(f"SELECT count(*) FROM {table}")
        return found


@pytest.mark.parametrize("table", TABLES)
async def test_a_query_without_conditions_sees_the_allowed_half_only(
    app: asyncpg.Connection, estate: Estate, table: str
) -> None:
    whole = await count(app, tenant_reach(estate.restricted.tenant_id), table)

    seen = await count(app, tenant_reach(estate.restricted), table)

    assert (whole, seen) == (2, 1)


@pytest.mark.parametrize("table", TABLES)
async def test_a_key_whose_collections_are_all_gone_sees_nothing_rather_than_everything(
    app: asyncpg.Connection, estate: Estate, table: str
) -> None:
    context = TenantContext(
        estate.restricted.tenant_id, key_id=new_id(), collection_ids=frozenset()
    )

    assert await count(app, tenant_reach(context), table) == 0


@pytest.mark.parametrize("table", TABLES)
async def test_the_next_transaction_on_the_connection_is_unrestricted_again(
    app: asyncpg.Connection, estate: Estate, table: str
) -> None:
    await count(app, tenant_reach(estate.restricted), table)

    assert await count(app, tenant_reach(estate.restricted.tenant_id), table) == 2


@pytest.mark.parametrize("verb", ["UPDATE {0} SET tenant_id = tenant_id", "DELETE FROM {0}"])
@pytest.mark.parametrize("table", TABLES)
async def test_a_change_without_conditions_leaves_the_rest_alone(
    app: asyncpg.Connection, estate: Estate, table: str, verb: str
) -> None:
    whole = tenant_reach(estate.restricted.tenant_id)
    transaction = app.transaction()
    await transaction.start()
    try:
        await app.execute(tenant_reach(estate.restricted))
        try:
            async with app.transaction():
                await app.execute("SET CONSTRAINTS ALL DEFERRED")
                changed = await app.execute(verb.format(table))
        except (asyncpg.InsufficientPrivilegeError, asyncpg.ForeignKeyViolationError):
            changed = "none"  # not granted, or held by a child
        await app.execute("SET LOCAL app.collection_ids = '';SET LOCAL app.own_key_id = ''")
        await app.execute(whole)
        left = await app.fetchval(f"SELECT count(*) FROM {table}")
    finally:
        await transaction.rollback()

    assert changed.rpartition(" ")[2] in ("1", "none")
    assert left == (1 if changed.startswith("DELETE") else 2)


async def test_a_document_can_be_neither_added_to_nor_moved_into_another_collection(
    uow: PostgresUnitOfWorkFactory, app: asyncpg.Connection, estate: Estate
) -> None:
    context, closed = estate.restricted, estate.closed

    with pytest.raises(NotFound):
        async with uow.tenant(context) as unit:
            await unit.documents.add(make_document(context.tenant_id, closed.collection_id))
    with pytest.raises(NotFound):
        async with uow.tenant(context) as unit:
            await unit.documents.add_version(
                closed.id,
                make_version(context.tenant_id, closed.id, number=2),
                display_name="x",
                metadata={},
            )
    async with app.transaction():
        await app.execute(tenant_reach(context))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with app.transaction():
                await app.execute("UPDATE documents SET collection_id = $1", closed.collection_id)


async def test_allowed_documents_are_added_renewed_and_deleted_as_ever(
    uow: PostgresUnitOfWorkFactory, estate: Estate
) -> None:
    context = estate.restricted
    document = make_document(context.tenant_id, estate.open.collection_id)

    async with uow.tenant(context) as unit:
        await unit.documents.add(document)
        await unit.documents.add_version(
            document.id,
            make_version(context.tenant_id, document.id, number=2),
            display_name="renewed",
            metadata={},
        )
        renewed = await unit.documents.get(document.id)
        is_deleted = await unit.documents.mark_deleting(document.id)
        await unit.documents.remove(document.id)

    assert renewed is not None
    assert (renewed.display_name, renewed.version.number, is_deleted) == ("renewed", 2, True)


async def test_a_conversation_and_its_messages_belong_to_the_key_that_began_it(
    uow: PostgresUnitOfWorkFactory, estate: Estate
) -> None:
    context = estate.restricted
    begun = make_conversation(context.tenant_id, key_id=context.key_id)

    async with uow.tenant(context) as unit:
        await unit.conversations.add(begun)
        await unit.messages.add(make_message(begun))
        await unit.generations.add(make_generation(begun))
        listed = await unit.conversations.list_page(assistant_id=None, after=None, limit=10)
        foreign = await unit.conversations.get(estate.foreign.id)
        messages = await unit.messages.list_page(estate.foreign.id, after=None, limit=10)
        is_removed = await unit.conversations.remove(begun.id)

    assert [each.id for each in listed] == [begun.id, estate.own.id]
    assert (foreign, messages, is_removed) == (None, [], True)


async def test_embeddings_of_other_collections_are_out_of_reach(
    uow: PostgresUnitOfWorkFactory,
) -> None:
    tenant_id, operation_id = await add_tenant(uow), new_id()
    closed = await _fill_collection(uow, tenant_id)
    collection_id, bare = closed.collection_id, await add_collection(uow, tenant_id)
    async with uow.tenant(tenant_id) as unit:
        await unit.documents.set_version_state(
            closed.version.id, DocumentState.EMBEDDING, chunk_count=1
        )
        await unit.documents.publish_version(closed.version.id)
        await unit.reembedding.begin(collection_id, operation_id, "another", is_complete=True)
        before = await unit.collections.get_many([collection_id, bare.id])
    context = TenantContext(tenant_id, key_id=new_id(), collection_ids=frozenset({new_id()}))

    async with uow.tenant(context) as unit:
        reembedding = unit.reembedding
        answers = [
            await reembedding.share(collection_id),
            await reembedding.begin(bare.id, new_id(), "another"),
            await reembedding.complete(collection_id, operation_id),
            await reembedding.switch(collection_id),
            await reembedding.end(collection_id, operation_id),
            await reembedding.count_published(collection_id),
            await reembedding.list_published(collection_id, after=None, limit=9),
            await reembedding.sample_texts(collection_id, limit=9),
        ]

    assert answers == [None, False, False, None, False, 0, [], []]
    async with uow.tenant(tenant_id) as unit:
        assert await unit.collections.get_many([collection_id, bare.id]) == before
        ((_, text),) = await unit.reembedding.sample_texts(collection_id, limit=9)
        assert text == "passage 0"


async def test_every_table_of_collections_and_conversations_is_restricted(
    app: asyncpg.Connection,
) -> None:
    """By the foreign keys, so that a new table is covered, or fails, by itself."""
    rows = await app.fetch(
        """
        WITH RECURSIVE below AS (
            SELECT unnest(ARRAY['collections'::regclass, 'conversations'::regclass])::oid AS id
            UNION
            SELECT k.conrelid FROM pg_constraint k JOIN below ON k.confrelid = below.id
            WHERE k.contype = 'f'
        )
        SELECT id::regclass::text AS name,
               (SELECT array_agg(DISTINCT polcmd::text) FROM pg_policy
                WHERE polrelid = id AND NOT polpermissive) AS commands
        FROM below
        """
    )

    commands = {row["name"]: row["commands"] for row in rows}
    assert set(commands) == set(TABLES)
    assert commands.pop("document_versions") == ["d", "r", "w"]
    assert {tuple(each or ()) for each in commands.values()} == {("*",)}
