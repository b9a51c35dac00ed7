"""What answers and ingestion leave on the bill: whose call, at which price, through which mishaps."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from minirag.domain.access import TenantContext
from minirag.domain.documents import Collection, DocumentState
from minirag.domain.ids import new_id
from minirag.domain.usage import ModelPrice
from minirag.errors import ProviderUnavailable, Unavailable
from minirag.services import background, generations
from minirag.services.clock import utc_now
from tests.integration.services.desk import PIECES, USAGE, Desk, started
from tests.integration.services.test_answers_of_assistants import add_assistant
from tests.integration.services.wiring import BATCH_SIZE, CrashError, World, paragraphs
from tests.support.waiting import until

BATCHES = 2
TEXT = paragraphs("walrus", "heron", "badger")  # three chunks


async def read_records(world: World) -> list[asyncpg.Record]:
    """The tenant's records once all those in the background are written."""
    await until(lambda: not world.background._tasks, within=20)
    return await world.fetch(
        "SELECT * FROM usage_records WHERE tenant_id = $1 ORDER BY kind, id", world.tenant_id
    )


async def set_price(world: World, model: str, input_usd: str, output_usd: str) -> None:
    price = ModelPrice(model, Decimal(input_usd), Decimal(output_usd))
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        await unit.model_prices.put(price, utc_now())


async def test_records_tell_whose_call_it_was_and_over_what(
    world: World, collection: Collection
) -> None:
    uploader = TenantContext(world.tenant_id, new_id())
    await world.add_ready(collection, TEXT, context=uploader)
    asker = world.context = TenantContext(world.tenant_id, user_id=new_id())
    desk = Desk(world)
    assistant_id = await add_assistant(desk, collection.id)

    events = await desk.read(assistant_id=assistant_id)

    chat, *embeddings = await read_records(world)
    assert chat["generation_id"] == started(events).generation_id
    assert chat["first_token_ms"] is not None
    assert chat["first_token_ms"] <= chat["latency_ms"]
    query = embeddings.pop()
    for record in (chat, query):
        assert (record["key_id"], record["user_id"]) == (None, asker.user_id)
        assert record["assistant_id"] == assistant_id
        assert record["collection_id"] == collection.id
    batches = [record for record in embeddings if record["document_id"] is not None]
    assert len(batches) == BATCHES
    assert {record["key_id"] for record in batches} == {uploader.key_id}
    assert {record["collection_id"] for record in batches} == {collection.id}


async def test_call_over_several_collections_stands_under_none(
    world: World, collection: Collection
) -> None:
    other = await world.add_collection()
    await world.add_ready(collection, TEXT)
    desk = Desk(world)

    await desk.read(collection_ids=(collection.id, other.id))

    chat, *_, query = await read_records(world)
    assert (chat["collection_id"], query["collection_id"]) == (None, None)


async def test_tenants_own_price_stands_on_message_and_record(desk: Desk) -> None:
    await set_price(desk.world, "some/model", "0.15", "0.6")
    desk.world.pricing.forget(desk.world.tenant_id)

    events = await desk.read()

    _, message = await desk.load(started(events))
    (record,) = await desk.usage(started(events))
    assert record["cost_usd"] == Decimal("0.0000192")  # 100 tokens in, 7 out
    assert message.usage == replace(USAGE, cost_usd=0.0000192)


@pytest.mark.parametrize(("may_be_charged", "records"), [(False, 0), (True, 1)])
async def test_call_that_failed_before_its_first_token_is_recorded_if_it_may_be_charged(
    desk: Desk, *, may_be_charged: bool, records: int
) -> None:
    failure = ProviderUnavailable("the provider failed")
    failure.may_be_charged = may_be_charged
    desk.models.pieces = ()
    desk.models.fails_with = failure
    read: list[Any] = []

    with pytest.raises(ProviderUnavailable):
        async for event in desk.ask():
            read.append(event)  # what came before the error counts

    usage = await desk.usage(started(read))
    assert len(usage) == records
    assert all(row["input_tokens"] > 0 and row["is_estimated"] for row in usage)


async def test_answer_whose_server_died_is_billed_with_its_prompt(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations, "HEARTBEAT_SECONDS", 0.01)
    world = desk.world
    desk.context = TenantContext(world.tenant_id, new_id())
    await set_price(world, "some/model", "1", "1")
    world.pricing.forget(world.tenant_id)
    desk.models.gate_at = len(PIECES) - 1
    reading = asyncio.create_task(desk.read())
    await asyncio.wait_for(desk.models.is_waiting.wait(), 20)
    saved: list[asyncpg.Record] = []

    async def watch() -> None:
        while not saved:
            saved[:] = await world.fetch(
                "SELECT content FROM messages WHERE tenant_id = $1 AND state = 'RUNNING'"
                " AND content LIKE '%[1]%'",
                world.tenant_id,
            )

    await asyncio.wait_for(watch(), 20)
    monkeypatch.setattr(generations, "HEARTBEAT_SECONDS", 60.0)
    ended = 0
    while not ended:  # a last heartbeat may come between the two
        await world.fetch(
            "UPDATE generations SET lease_until = now() - interval '1 second' WHERE tenant_id = $1",
            world.tenant_id,
        )
        ended = await world.ledger.interrupt_orphans()

    (record,) = (row for row in await read_records(world) if row["kind"] == "CHAT")
    (request,) = desk.models.requests
    prompt_tokens = sum(-(-len(message.content) // 4) for message in request.messages)
    assert record["input_tokens"] == prompt_tokens
    assert record["output_tokens"] == -(-len(saved[0]["content"]) // 4)
    assert record["cost_usd"] == Decimal(prompt_tokens + record["output_tokens"]) / 10**6
    assert record["is_estimated"]
    assert record["key_id"] == desk.context.key_id
    desk.models.gate.set()
    await reading


async def test_batch_and_its_record_are_committed_together(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT)
    commits: list[tuple[int, int]] = []

    async def look() -> None:
        # In one statement: others may commit between two.
        (seen,) = await world.fetch(
            "SELECT v.chunks_indexed, (SELECT count(*) FROM usage_records u"
            " WHERE u.tenant_id = v.tenant_id AND u.document_id = v.document_id) AS records"
            " FROM document_versions v WHERE v.tenant_id = $1 AND v.document_id = $2",
            world.tenant_id,
            document.id,
        )
        commits.append((seen["chunks_indexed"], seen["records"]))

    world.uow.after_commit = look
    await world.run_jobs()
    world.uow.after_commit = None

    assert (await world.documents.get(world.context, document.id)).state is DocumentState.READY
    assert dict.fromkeys(commits) == dict.fromkeys([(0, 0), (BATCH_SIZE, 1), (3, 2)])


async def test_batch_whose_points_could_not_be_stored_is_on_the_bill(
    world: World, collection: Collection
) -> None:
    await world.upload(collection, TEXT)

    async def fail() -> None:
        world.vectors.before.clear()
        raise Unavailable("the vector store is away")

    world.vectors.before["upsert"] = fail
    await world.run_jobs()

    batches = [row for row in await read_records(world) if row["document_id"] is not None]
    words = sum(len(text.split()) for text in world.embeddings.embedded[-BATCH_SIZE:])
    assert [record["input_tokens"] for record in batches] == [words]


async def test_commit_whose_outcome_nobody_knows_bills_the_batch_once(
    world: World, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "RETRY_SECONDS", (0.01,) * 100)
    await world.upload(collection, TEXT)
    real = world.ingestion._batches.note

    async def note(*arguments: Any) -> None:
        await real(*arguments)
        work = arguments[0]
        work.unrecorded.append(known[0])
        raise Unavailable("the connection broke after the commit")

    known: list[Any] = []
    real_add = world.meter.add

    async def add(uow: Any, record: Any) -> None:
        known.append(record)
        await real_add(uow, record)

    monkeypatch.setattr(world.meter, "add", add)
    monkeypatch.setattr(world.ingestion._batches, "note", note)
    await world.run_jobs()

    records = [row for row in await read_records(world) if row["document_id"] is not None]
    assert len([record for record in known if record.document_id is not None]) > 1
    assert len(records) == 1


async def test_batch_that_was_embedded_twice_is_billed_twice(
    world: World, collection: Collection
) -> None:
    await world.upload(collection, TEXT)

    async def die() -> None:
        world.vectors.before.clear()
        raise CrashError

    world.vectors.before["upsert"] = die
    await world.run_jobs()
    await world.fetch("UPDATE jobs SET run_after = now() WHERE tenant_id = $1", world.tenant_id)
    await world.run_jobs()

    records = await read_records(world)
    words = sum(len(text.split()) for text in world.embeddings.embedded)
    assert sum(record["input_tokens"] for record in records) == words
