"""Quotas: what there is no room or budget for is refused before anything is kept, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from minirag.domain.chats import Completed
from minirag.domain.documents import Collection, DocumentState, FailureCode
from minirag.domain.ids import new_id
from minirag.domain.jobs import JobKind
from minirag.domain.limits import Limits, Stock
from minirag.domain.retrieval import RetrievalMode, RetrievalSettings
from minirag.domain.webhooks import Webhook, WebhookEventType
from minirag.errors import LimitExceeded, ProviderRejected
from minirag.services.accepting import NewDocument
from minirag.services.clock import utc_now
from tests.integration.postgres.records import make_request
from tests.integration.services.desk import USAGE, Desk
from tests.integration.services.wiring import World, paragraphs

BUDGET = Limits(tokens_per_day=10_000_000)


async def limit(where: World | Desk, limits: Limits) -> None:
    """Set the tenant's limits, for its calls and for workers."""
    world = where.world if isinstance(where, Desk) else where
    if isinstance(where, Desk):
        where.context = replace(where.context, limits=limits)
    world.context = replace(world.context, limits=limits)
    values = {name: getattr(limits, name) for name in Limits.__slots__}
    async with world.uow.inner.platform() as platform:
        await platform.tenants.set_limits(world.tenant_id, values)


async def read_stock(world: World) -> Stock:
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        return await unit.limits.read_stock()


async def read_tokens(world: World) -> tuple[int, int, int]:
    """(used, reserved) of the tenant's tokens, and what its usage records say."""
    (row,) = await world.fetch(
        "SELECT used, reserved FROM budgets WHERE tenant_id = $1 AND measure = 'tokens_per_day'",
        world.tenant_id,
    )
    (sums,) = await world.fetch(
        "SELECT coalesce(sum(input_tokens + output_tokens), 0) AS tokens FROM usage_records"
        " WHERE tenant_id = $1",
        world.tenant_id,
    )
    return int(row["used"]), int(row["reserved"]), int(sums["tokens"])


class Content:
    """An upload's bytes, in parts of 10; `sent` counts those that were asked for."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.sent < self.size:
            self.sent += 10
            yield b"x" * 10


async def upload(
    world: World, collection: Collection, content: Content, *, announced: bool = True, **about: Any
) -> Any:
    new = NewDocument(collection.id, "A document", "", {}, "a.txt")
    size = content.size if announced else None
    accepted = await world.intake.upload(
        world.context, replace(new, byte_size=size, **about), aiter(content), request=None
    )
    return accepted.document


# -- stock


async def test_of_many_uploads_at_once_as_many_are_taken_as_there_is_room_for(
    world: World, collection: Collection
) -> None:
    await limit(world, Limits(documents=3))

    outcomes = await asyncio.gather(
        *(world.upload(collection, f"document {number}") for number in range(12)),
        return_exceptions=True,
    )

    refusals = [each for each in outcomes if isinstance(each, LimitExceeded)]
    assert len(refusals) == 9
    assert {(each.reason, each.subject, each.retry_after) for each in refusals} == {
        ("QUOTA_EXCEEDED", "tenant.documents", None)
    }
    assert await world.count_rows("documents") == 3
    assert len(await world.list_blobs()) == 3


async def test_upload_that_can_not_fit_is_refused_before_it_is_read(
    world: World, collection: Collection
) -> None:
    await limit(world, Limits(stored_bytes=100, documents=1))
    announced, unannounced, further = Content(110), Content(1000), Content(10)

    for content, told in ((announced, True), (unannounced, False)):
        with pytest.raises(LimitExceeded) as refusal:
            await upload(world, collection, content, announced=told)
        assert refusal.value.subject == "tenant.stored_bytes"
    await upload(world, collection, Content(90))
    with pytest.raises(LimitExceeded, match="may store 1 documents"):
        await upload(world, collection, further)

    assert (announced.sent, unannounced.sent, further.sent) == (0, 110, 0)
    assert await read_stock(world) == Stock(1, 90, 0)
    assert len(await world.list_blobs()) == 1


async def test_both_versions_count_until_the_old_one_is_erased(
    world: World, collection: Collection
) -> None:
    await limit(world, Limits(stored_bytes=100, documents=1))
    await upload(world, collection, Content(60), external_id="one")

    with pytest.raises(LimitExceeded):
        await upload(world, collection, Content(50), external_id="one")
    await upload(world, collection, Content(40), external_id="one")
    both = await read_stock(world)
    await world.run_jobs()

    assert both == Stock(1, 100, 0)
    assert (await read_stock(world)).stored_bytes == 40


async def test_repeated_upload_is_answered_when_there_is_no_room_any_more(
    world: World, collection: Collection
) -> None:
    await limit(world, Limits(documents=1))
    request = make_request()
    first = await world.upload(collection, "the only one", request=request)

    again = await world.upload(collection, "the only one", request=request)

    assert again.id == first.id


async def test_document_with_more_chunks_than_there_is_room_for_fails_and_keeps_none(
    world: World, collection: Collection
) -> None:
    await limit(world, Limits(chunks=3))
    fits = await world.upload(collection, paragraphs("walrus", "heron"))
    too_much = await world.upload(collection, paragraphs("badger", "otter"))

    await world.run_jobs()

    kept = await world.documents.get(world.context, fits.id)
    failed = await world.documents.get(world.context, too_much.id)
    assert kept.state is DocumentState.READY
    assert failed.state is DocumentState.FAILED
    assert failed.version.failure is not None
    assert failed.version.failure.code is FailureCode.QUOTA_EXCEEDED
    assert "this document has 2" in failed.version.failure.reason
    assert await world.count_rows("chunks") == 2
    assert (await read_stock(world)).chunks == 2


async def test_document_that_is_split_waits_for_an_upload_to_it_without_the_stocks_lock(
    world: World, collection: Collection
) -> None:
    """An upload of its next version locks the document, then the stock: else both would wait for ever."""
    await limit(world, Limits(chunks=100))
    document = await world.upload(collection, paragraphs("walrus", "heron"))
    job = await world.take_job(JobKind.INGEST_VERSION)
    uploading, told = asyncio.Event(), asyncio.Event()

    async def wait_for_upload() -> None:
        told.set()
        await uploading.wait()

    world.blobs.before["put"] = wait_for_upload  # the text, before the chunks' transaction
    ingesting = asyncio.create_task(world.ingestion.ingest_version(job))
    await told.wait()
    async with world.uow.inner.tenant(world.context) as upload_of_next:
        await upload_of_next.documents.update_metadata(document.id, display_name="Next")
        uploading.set()
        await world.until_locked()
        stock = await upload_of_next.limits.read_stock(lock=True)
    await ingesting

    assert stock == Stock(1, len(paragraphs("walrus", "heron")), 0)
    assert (await world.documents.get(world.context, document.id)).state is DocumentState.READY


# -- budgets


async def test_question_without_budget_is_refused_before_anything_is_kept(desk: Desk) -> None:
    await limit(desk, Limits(tokens_per_day=100))

    with pytest.raises(LimitExceeded) as refusal:
        await desk.read()

    assert refusal.value.reason == "QUOTA_EXCEEDED"
    assert refusal.value.subject == "tenant.tokens_per_day"
    assert refusal.value.retry_after is not None
    assert 0 < refusal.value.retry_after <= 86_400
    assert desk.models.requests == []
    for table in ("conversations", "messages", "generations", "budget_reservations"):
        assert await desk.world.count_rows(table) == 0


@pytest.mark.parametrize("ending", ["whole", "left", "refused by the provider"])
async def test_what_an_answer_used_is_what_is_counted_however_it_ended(
    desk: Desk, ending: str
) -> None:
    world = desk.world
    await limit(desk, BUDGET)
    if ending == "refused by the provider":
        desk.models.fails_with = ProviderRejected("no")

    async with aclosing(desk.ask()) as events:
        try:
            async for _ in events:
                if ending == "left":
                    break
        except ProviderRejected:
            pass
    await world.background.close()

    used, reserved, recorded = await read_tokens(world)
    assert used == recorded > 0
    assert reserved == 0
    assert await world.count_rows("budget_reservations") == 0


async def test_answers_at_the_same_time_can_not_overspend(desk: Desk) -> None:
    """Each holds its reservation while it is made; at its end it counts what it used."""
    world = desk.world
    await limit(desk, BUDGET)
    desk.models.gate_at = 1
    first = asyncio.create_task(desk.read())
    await asyncio.wait_for(desk.models.is_waiting.wait(), 20)
    used, reserved, _ = await read_tokens(world)
    await limit(desk, Limits(tokens_per_day=used + 3 * reserved))

    others = [asyncio.create_task(desk.read()) for _ in range(8)]
    refused: set[asyncio.Task[Any]] = set()
    while len(refused) < 6:
        done, _ = await asyncio.wait(
            set(others) - refused, timeout=20, return_when=asyncio.FIRST_COMPLETED
        )
        assert done, "fewer were refused"
        refused |= done
    desk.models.gate.set()
    taken = [await each for each in (first, *(set(others) - refused))]
    await world.background.close()

    assert all(isinstance(each.exception(), LimitExceeded) for each in refused)
    assert [type(events[-1]) for events in taken] == [Completed] * 3
    used, reserved, recorded = await read_tokens(world)
    assert used == recorded
    assert reserved == 0


async def test_key_without_budget_is_refused_though_its_tenant_has_some(desk: Desk) -> None:
    await limit(desk, BUDGET)
    desk.context = replace(desk.context, key_id=new_id(), key_limits=Limits(tokens_per_day=1))

    with pytest.raises(LimitExceeded) as refusal:
        await desk.read()

    assert refusal.value.subject == "api_key.tokens_per_day"


async def test_money_is_reserved_at_the_price_of_the_model(desk: Desk) -> None:
    desk.world.price_table.put("some/model", "10", "1000")
    await limit(desk, Limits(cost_usd_per_month=0.25))

    with pytest.raises(LimitExceeded, match=r"may spend 0\.25 US dollars a month"):
        await desk.read()
    await limit(desk, Limits(cost_usd_per_month=100))
    await desk.read()
    await desk.world.background.close()

    (row,) = await desk.world.fetch(
        "SELECT used, reserved FROM budgets WHERE tenant_id = $1", desk.world.tenant_id
    )
    assert (float(row["used"]), row["reserved"]) == (USAGE.cost_usd, 0)


async def test_reservation_of_a_server_that_died_ends_with_its_answer(desk: Desk) -> None:
    await limit(desk, BUDGET)
    desk.models.gate_at = 1
    reading = asyncio.create_task(desk.read())
    await asyncio.wait_for(desk.models.is_waiting.wait(), 20)
    _, held, _ = await read_tokens(desk.world)
    await desk.world.fetch(
        "UPDATE generations SET lease_until = now() - interval '1 second' WHERE tenant_id = $1",
        desk.world.tenant_id,
    )

    await desk.world.ledger.interrupt_orphans()

    _, reserved, _ = await read_tokens(desk.world)
    assert held > 0
    assert reserved == 0
    desk.models.gate.set()
    await reading


async def test_search_that_embeds_takes_budget_and_a_lexical_one_takes_none(desk: Desk) -> None:
    await limit(desk, Limits(tokens_per_day=0))

    with pytest.raises(LimitExceeded):
        await desk.world.search("walrus", mode=RetrievalMode.DENSE)
    lexical = await desk.world.search("walrus", mode=RetrievalMode.LEXICAL)

    assert lexical.results


async def test_built_in_model_and_lexical_search_need_no_budget(desk: Desk) -> None:
    await limit(desk, Limits(tokens_per_day=0))
    desk.service._defaults = replace(desk.service._defaults, model="extractive")

    events = await desk.read(retrieval=RetrievalSettings(mode=RetrievalMode.LEXICAL))

    assert isinstance(events[-1], Completed)


async def test_callers_without_limits_cost_no_statement(desk: Desk) -> None:
    await desk.read()
    await desk.world.background.close()

    assert await desk.world.count_rows("budgets") == 0
    assert await desk.world.count_rows("budget_reservations") == 0


async def test_document_waits_for_budget_says_so_and_goes_on_where_it_was(
    world: World, collection: Collection
) -> None:
    await world.add_ready(collection, paragraphs("seal"))  # so that the space is there
    world.embeddings.embedded.clear()
    document = await world.upload(
        collection, paragraphs("walrus", "heron", "badger", "otter", "lynx")
    )
    await limit(world, Limits(tokens_per_day=110))  # for the first of three batches, and no more

    await world.run_jobs()
    waiting = await world.documents.get(world.context, document.id)
    (job,) = await world.fetch("SELECT * FROM jobs WHERE tenant_id = $1", world.tenant_id)
    await limit(world, BUDGET)
    await world.fetch("UPDATE jobs SET run_after = now() WHERE tenant_id = $1", world.tenant_id)
    await world.run_jobs()
    ready = await world.documents.get(world.context, document.id)

    assert waiting.state is DocumentState.EMBEDDING
    assert waiting.version.chunks_indexed == 2
    assert waiting.version.failure is not None
    assert waiting.version.failure.code is FailureCode.QUOTA_EXCEEDED
    assert "goes on by itself" in waiting.version.failure.reason
    assert (job["state"], job["attempt"]) == ("PENDING", 0)
    assert (ready.state, ready.version.failure) == (DocumentState.READY, None)
    assert len(world.embeddings.embedded) == len(set(world.embeddings.embedded)) == 5


# -- telling


async def test_webhook_hears_of_a_full_quota_once(world: World, collection: Collection) -> None:
    now = utc_now()
    wanted = frozenset({WebhookEventType.QUOTA_REACHED})
    webhook = Webhook(
        new_id(), world.tenant_id, "w", "https://example.com", wanted, True, b"", "k", now, now, 1
    )
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        await unit.webhooks.add(webhook)
    await limit(world, Limits(documents=0))

    for _ in range(3):
        with pytest.raises(LimitExceeded):
            await world.upload(collection, "one too many")
    await world.background.close()

    (delivery,) = await world.fetch(
        "SELECT payload FROM webhook_deliveries WHERE tenant_id = $1", world.tenant_id
    )
    assert '"limit":"documents"' in delivery["payload"]
