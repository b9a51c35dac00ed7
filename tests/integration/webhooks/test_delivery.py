"""Deliveries: signed, tried again, given up, replayed; and nobody waits for somebody else's target."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event

from minirag.domain.ids import IdKind, encode_id
from minirag.domain.tenants import TenantState
from minirag.domain.webhooks import DeliveryState
from minirag.errors import FailedPrecondition
from minirag.services.ports.audit import AuditFilter
from minirag.services.webhook_delivery import (
    MOST_ATTEMPTS,
    WAITS,
    WEBHOOK_SLOTS,
)
from minirag.services.webhook_events import announce, quota_reached
from tests.integration.webhooks.conftest import READY, HookDesk
from tests.support.hook_target import Received, open_target
from tests.support.waiting import until


def check_signature(secret: str, received: Received) -> None:
    """As a receiver does, from what Standard Webhooks says."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    headers = received.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + received.body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(time.time() - int(headers["webhook-timestamp"])) < 60


async def test_event_arrives_signed(desk: HookDesk) -> None:
    webhook, secret = await desk.create()

    await desk.announce(quota_reached(desk.tenant_id, "tokens_per_day", period="2026-01-31"))
    await desk.work()

    (received,) = desk.target.received
    delivery = await desk.delivery(webhook)
    payload = json.loads(received.body)
    check_signature(secret, received)
    assert received.line == "POST /hooks HTTP/1.1"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["webhook-id"] == encode_id(IdKind.WEBHOOK_DELIVERY, delivery.id)
    assert payload.pop("timestamp").endswith("Z")
    assert payload == {
        "type": "quota.reached",
        "id": encode_id(IdKind.WEBHOOK_DELIVERY, delivery.id),
        "tenant_id": encode_id(IdKind.TENANT, desk.tenant_id),
        "data": {"limit": "tokens_per_day", "period": "2026-01-31", "api_key_id": ""},
    }
    assert (delivery.state, delivery.attempts, delivery.last_status) == (
        DeliveryState.DELIVERED,
        1,
        204,
    )
    assert await desk.jobs() == []


async def test_only_webhooks_that_want_the_event_get_it(desk: HookDesk) -> None:
    wanting, _ = await desk.create()
    other, _ = await desk.create(event_types=frozenset({READY}))
    off, _ = await desk.create()
    await desk.update(off.id, is_enabled=False)

    assert await desk.announce() == 1

    assert len(await desk.deliveries(wanting)) == 1
    assert await desk.deliveries(other) == []
    assert await desk.deliveries(off) == []


async def test_event_of_a_transaction_that_fails_never_happened(desk: HookDesk) -> None:
    webhook, _ = await desk.create()

    with pytest.raises(ZeroDivisionError):
        async with desk.uow.tenant(desk.tenant_id) as uow:
            await announce(uow, quota_reached(desk.tenant_id, "documents"))
            raise ZeroDivisionError

    assert await desk.deliveries(webhook) == []
    assert await desk.jobs() == []


async def test_tenant_without_webhooks_pays_one_statement(desk: HookDesk) -> None:
    statements: list[str] = []
    engine = desk.uow._engine.sync_engine
    event = quota_reached(desk.tenant_id, "documents")

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        statements.append(statement)

    sqlalchemy_event.listen(engine, "before_cursor_execute", note)
    try:
        async with desk.uow.tenant(desk.tenant_id) as uow:
            await announce(uow, event)
    finally:
        sqlalchemy_event.remove(engine, "before_cursor_execute", note)

    assert len(statements) == 1


async def test_webhook_that_is_being_deleted_holds_up_no_event(desk: HookDesk) -> None:
    kept, _ = await desk.create()
    going, _ = await desk.create()

    async with desk.uow.tenant(desk.tenant_id) as uow:
        assert await uow.webhooks.remove(going.id)
        async with asyncio.timeout(20):
            assert await desk.announce() == 1

    assert len(await desk.deliveries(kept)) == 1


async def test_failed_attempt_is_repeated_byte_for_byte_with_a_new_time(desk: HookDesk) -> None:
    webhook, secret = await desk.create()
    desk.target.answers.extend([desk.target.reply(500), desk.target.reply(302)])
    await desk.announce()

    await desk.work()
    (first_job,) = await desk.jobs()
    await desk.work_on()
    (second_job,) = await desk.jobs()
    pending = await desk.delivery(webhook)
    await desk.work_on()

    assert WAITS[0] - 5 < first_job["wait"] <= WAITS[0] * 1.3
    assert WAITS[1] - 5 < second_job["wait"] <= WAITS[1] * 1.3
    assert (pending.state, pending.attempts, pending.last_status) == (
        DeliveryState.PENDING,
        2,
        302,
    )
    assert "redirects" in pending.last_error
    bodies = {received.body for received in desk.target.received}
    ids = {received.headers["webhook-id"] for received in desk.target.received}
    assert len(desk.target.received) == 3
    assert bodies == {pending.payload.encode()}
    assert len(ids) == 1
    for received in desk.target.received:
        check_signature(secret, received)
    delivered = await desk.delivery(webhook)
    assert (delivered.state, delivered.attempts, delivered.last_error) == (
        DeliveryState.DELIVERED,
        3,
        "",
    )


async def test_delivery_is_given_up_after_a_day_and_can_be_replayed(desk: HookDesk) -> None:
    webhook, _ = await desk.create()
    desk.target.answer = desk.target.reply(503)
    await desk.announce()

    for _ in range(MOST_ATTEMPTS):
        await desk.work_on()

    dead = await desk.delivery(webhook)
    assert (dead.state, dead.attempts) == (DeliveryState.DEAD, MOST_ATTEMPTS)
    assert await desk.jobs() == []
    assert [each.id for each in await desk.deliveries(webhook, state=DeliveryState.DEAD)] == [
        dead.id
    ]
    desk.target.answer = desk.target.reply(200)
    replayed = await desk.service.replay(desk.context, dead.id, request=None)
    with pytest.raises(FailedPrecondition, match="on its way"):
        await desk.service.replay(desk.context, dead.id, request=None)
    await desk.work()
    delivered = await desk.delivery(webhook)
    assert replayed.state is DeliveryState.PENDING
    assert (delivered.id, delivered.state) == (dead.id, DeliveryState.DELIVERED)
    assert desk.target.received[-1].body == dead.payload.encode()
    assert await desk.deliveries(webhook, state=DeliveryState.DEAD) == []


async def test_retry_after_is_honoured_as_number_and_as_date(desk: HookDesk) -> None:
    await desk.create()
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 900))
    desk.target.answers.extend(
        [
            desk.target.reply(429, "Retry-After: 600"),
            desk.target.reply(503, f"Retry-After: {date}"),
            desk.target.reply(503, "Retry-After: whenever"),
        ]
    )
    await desk.announce()

    waits = []
    for _ in range(3):
        await desk.work_on()
        waits += [job["wait"] for job in await desk.jobs()]

    assert 590 < waits[0] <= 720
    assert 880 < waits[1] <= 1080
    assert waits[2] <= WAITS[2] * 1.2


async def test_gone_target_disables_its_webhook(desk: HookDesk) -> None:
    webhook, _ = await desk.create()
    await desk.announce()
    await desk.announce()
    desk.target.answer = desk.target.reply(410)

    (first, _) = await desk.jobs()
    await desk.runner.run(desk.tenant_id, first["id"])
    await desk.background.close()
    await desk.work_on()

    assert len(desk.target.received) == 1
    assert not (await desk.service.get(desk.context, webhook.id)).is_enabled
    assert {each.state for each in await desk.deliveries(webhook)} == {DeliveryState.DEAD}
    async with desk.uow.tenant(desk.tenant_id) as uow:
        events = await uow.audit.list_page(AuditFilter(), after=None, limit=1)
    assert events[0].details == {"reason": "the target answered 410"}


async def test_disabled_webhook_drops_what_is_on_its_way(desk: HookDesk) -> None:
    webhook, _ = await desk.create()
    await desk.announce()

    await desk.update(webhook.id, is_enabled=False)
    dropped = await desk.delivery(webhook)
    with pytest.raises(FailedPrecondition, match="enable"):
        await desk.service.replay(desk.context, dropped.id, request=None)
    await desk.update(webhook.id, is_enabled=True)
    await desk.work()
    assert dropped.state is DeliveryState.DEAD
    assert desk.target.received == []
    await desk.service.replay(desk.context, dropped.id, request=None)
    await desk.work()

    assert len(desk.target.received) == 1


async def test_delivery_replayed_while_its_old_job_waits_has_one_job(desk: HookDesk) -> None:
    webhook, _ = await desk.create()
    desk.target.answer = desk.target.reply(500)
    await desk.announce()
    await desk.work()
    await desk.update(webhook.id, is_enabled=False)
    await desk.update(webhook.id, is_enabled=True)

    await desk.service.replay(desk.context, (await desk.delivery(webhook)).id, request=None)
    await desk.work_on()

    assert len(desk.target.received) == 2
    (job,) = await desk.jobs()
    assert job["attempt"] == 1


async def test_new_url_holds_for_deliveries_that_wait(desk: HookDesk) -> None:
    webhook, _ = await desk.create()
    desk.target.answer = desk.target.reply(500)
    await desk.announce()
    await desk.work()

    async with open_target() as other:
        await desk.update(webhook.id, url=other.url)
        await desk.work_on()

        assert len(other.received) == 1
    assert len(desk.target.received) == 1
    assert (await desk.delivery(webhook)).state is DeliveryState.DELIVERED


async def test_webhook_deleted_in_mid_delivery_leaves_nothing(desk: HookDesk) -> None:
    webhook, _ = await desk.create()
    desk.target.is_hanging = True
    await desk.announce()
    await desk.start_jobs()
    await until(lambda: desk.target.received, within=20)

    await desk.service.delete(desk.context, webhook.id, if_revision=None, request=None)
    for writer in list(desk.target.writers):
        writer.transport.abort()
    await desk.background.close(timeout=20)

    assert await desk.jobs() == []


async def test_worker_that_ended_in_mid_delivery_is_followed_by_one_with_the_same_id(
    desk: HookDesk,
) -> None:
    await desk.create()
    await desk.announce()
    (job,) = await desk.jobs()
    await desk.fetch(
        "UPDATE jobs SET state = 'RUNNING', lease_owner = 'the dead', attempt = 1,"
        " lease_until = now() - interval '1 s', handed_on_time = now() WHERE tenant_id = $1"
    )

    await desk.runner.run(desk.tenant_id, job["id"])
    await desk.background.close()

    assert len(desk.target.received) == 1
    assert await desk.jobs() == []


async def test_hanging_target_holds_up_neither_the_worker_nor_others(desk: HookDesk) -> None:
    """The worker's thread is free at once, however long the target is silent."""
    await desk.create()
    desk.target.is_hanging = True
    for _ in range(6):
        await desk.announce()

    async with open_target() as quick:
        other = await desk.another(quick)
        await other.create()
        await other.announce()
        async with asyncio.timeout(8):  # less than one attempt at the silent target
            await desk.start_jobs()
            await other.start_jobs()
            await until(lambda: quick.received, within=8)

    assert desk.target.running <= WEBHOOK_SLOTS
    await until(lambda: desk.target.running == WEBHOOK_SLOTS, within=20)
    waiting: list[Any] = []
    async with asyncio.timeout(20):  # until each has found the slots taken, and was put off
        while len(waiting) != 4:
            waiting = [job for job in await desk.jobs() if job["state"] == "PENDING"]
            await asyncio.sleep(0.01)
    assert {job["attempt"] for job in waiting} == {0}


async def test_server_that_keeps_failing_gives_a_delivery_up(
    desk: HookDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook, _ = await desk.create()
    await desk.announce()
    await desk.fetch("UPDATE webhooks SET sealed_by = 'a lost key' WHERE tenant_id = $1")

    await desk.work()

    lost = await desk.delivery(webhook)
    assert lost.state is DeliveryState.DEAD
    assert "replay" in lost.last_error
    assert desk.target.received == []


async def test_old_deliveries_are_forgotten(desk: HookDesk) -> None:
    webhook, _ = await desk.create()
    for _ in range(3):
        await desk.announce()
    newest, *older = await desk.deliveries(webhook)
    await desk.fetch(
        "UPDATE webhook_deliveries SET create_time = now() - interval '31 days'"
        " WHERE tenant_id = $1 AND id <> $2",
        newest.id,
    )

    async with desk.uow.platform() as platform:
        forgotten = await platform.forget_old_deliveries()

    assert forgotten == len(older)
    assert [each.id for each in await desk.deliveries(webhook)] == [newest.id]


@pytest.mark.parametrize("state", [TenantState.DELETING, TenantState.ERASING])
async def test_tenant_that_is_being_deleted_is_sent_nothing(
    desk: HookDesk, state: TenantState
) -> None:
    webhook, _ = await desk.create()
    await desk.announce()
    async with desk.uow.platform() as platform:
        await platform.tenants.update(desk.tenant_id, state=state)

    await desk.work()

    assert desk.target.received == []
    assert (await desk.delivery(webhook)).state is DeliveryState.DEAD
    assert await desk.jobs() == []


async def test_delivery_that_came_through_after_it_was_given_up_counts(desk: HookDesk) -> None:
    webhook, _ = await desk.create()
    await desk.announce()
    delivery = await desk.delivery(webhook)
    await desk.update(webhook.id, is_enabled=False)

    async with desk.uow.tenant(desk.tenant_id) as uow:
        failed = await uow.webhook_deliveries.record_attempt(
            delivery.id, DeliveryState.PENDING, status=500, error="answered 500"
        )
        came = await uow.webhook_deliveries.record_attempt(
            delivery.id, DeliveryState.DELIVERED, status=200, error=""
        )

    assert failed is not None
    assert came is not None
    assert (failed.state, came.state) == (DeliveryState.DEAD, DeliveryState.DELIVERED)
