"""Making, changing and trying webhooks."""

from __future__ import annotations

import base64
from dataclasses import replace
from ipaddress import ip_address
from uuid import uuid4

import pytest

from minirag.adapters.keyring import EnvelopeKeyring
from minirag.domain.access import TenantContext
from minirag.domain.ids import new_id
from minirag.domain.webhooks import DeliveryState, WebhookEventType
from minirag.errors import (
    Conflict,
    FailedPrecondition,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    PermissionDenied,
)
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from minirag.services import webhooks
from minirag.services.ports.audit import AuditFilter
from minirag.services.webhook_signing import SECRET_BYTES
from minirag.services.webhooks import MOST_WEBHOOKS, TESTS, TestRate
from tests.integration.postgres.records import add_tenant, make_request
from tests.integration.webhooks.conftest import QUOTA, READY, HookDesk
from tests.support.hook_target import open_target
from tests.support.waiting import until


async def test_secret_is_shown_and_kept_sealed(desk: HookDesk) -> None:
    webhook, text = await desk.create()

    secret = base64.b64decode(text.removeprefix("whsec_"))
    assert text.startswith("whsec_")
    assert len(secret) == SECRET_BYTES
    (row,) = await desk.fetch("SELECT * FROM webhooks WHERE tenant_id = $1")
    kept = repr(dict(row)).encode() + row["sealed"]
    assert secret not in kept
    assert text.removeprefix("whsec_").encode() not in kept
    assert row["sealed_by"] == "ring-1"
    assert desk.service.open_secret(webhook) == secret


async def test_sealed_secret_moved_to_another_webhook_does_not_open(desk: HookDesk) -> None:
    first, _ = await desk.create()
    second, _ = await desk.create()
    await desk.fetch(
        "UPDATE webhooks SET sealed = (SELECT sealed FROM webhooks WHERE tenant_id = $1 AND id = $2)"
        " WHERE tenant_id = $1 AND id = $3",
        first.id,
        second.id,
    )

    moved = await desk.service.get(desk.context, second.id)

    with pytest.raises(Exception, match="can't be opened"):
        desk.service.open_secret(moved)


async def test_repeat_shows_the_same_webhook_and_secret(desk: HookDesk) -> None:
    request = make_request(method="CreateWebhook")

    first = await desk.create(request=request)
    second = await desk.create(request=request)

    assert first == second
    assert len((await desk.service.list_page(desk.context, after=None, limit=10)).items) == 1


async def test_server_without_keys_says_which_setting_is_missing(
    desk: HookDesk, uow: PostgresUnitOfWorkFactory
) -> None:
    bare = HookDesk(uow, desk.owner, desk.context, desk.target, keyring=EnvelopeKeyring({}))

    with pytest.raises(FailedPrecondition, match="MINIRAG_SECRET_KEYS") as refused:
        await bare.create()

    assert refused.value.reason == "NOT_CONFIGURED"


async def test_url_that_leads_inside_is_refused_when_made_and_when_changed(
    desk: HookDesk,
) -> None:
    webhook, _ = await desk.create()

    with pytest.raises(InvalidRequest) as made:
        await desk.create(url="https://169.254.169.254/latest/meta-data")
    with pytest.raises(InvalidRequest) as changed:
        await desk.update(webhook.id, url="https://10.0.0.1/")

    assert made.value.violations[0].field == "url"
    assert changed.value.violations[0].field == "webhook.url"
    assert (await desk.service.get(desk.context, webhook.id)).url == desk.target.url


async def test_changes_are_kept_and_a_stale_etag_is_a_conflict(desk: HookDesk) -> None:
    webhook, secret = await desk.create()

    changed = await desk.update(
        webhook.id,
        display_name="Others",
        event_types=frozenset({READY}),
        is_enabled=False,
        if_revision=webhook.revision,
    )

    assert (changed.display_name, changed.event_types, changed.is_enabled) == (
        "Others",
        frozenset({READY}),
        False,
    )
    assert changed.url == webhook.url
    assert desk.service.open_secret(changed) == base64.b64decode(secret.removeprefix("whsec_"))
    with pytest.raises(Conflict):
        await desk.update(webhook.id, display_name="Late", if_revision=webhook.revision)
    with pytest.raises(Conflict):
        await desk.service.delete(
            desk.context, webhook.id, if_revision=webhook.revision, request=None
        )


async def test_new_url_is_not_disabled_because_the_old_one_is_gone(desk: HookDesk) -> None:
    webhook, _ = await desk.create()
    desk.target.is_hanging = True
    await desk.announce()
    await desk.start_jobs()
    await until(lambda: desk.target.received, within=20)

    async with open_target() as other:
        await desk.update(webhook.id, url=other.url)
        (writer,) = desk.target.writers
        writer.write(desk.target.reply(410))
        await desk.background.close(timeout=20)
        await desk.work_on()

        assert len(other.received) == 1
    assert (await desk.service.get(desk.context, webhook.id)).is_enabled
    assert (await desk.delivery(webhook)).state is DeliveryState.DELIVERED


async def test_deleted_webhook_takes_its_deliveries_along(desk: HookDesk) -> None:
    webhook, _ = await desk.create()
    await desk.announce()

    await desk.service.delete(desk.context, webhook.id, if_revision=None, request=None)
    await desk.work()

    with pytest.raises(NotFound):
        await desk.service.get(desk.context, webhook.id)
    assert desk.target.received == []
    assert await desk.jobs() == []
    assert await desk.fetch("SELECT id FROM webhook_deliveries WHERE tenant_id = $1") == []


async def test_too_many_webhooks_are_refused(
    desk: HookDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_WEBHOOKS == 20
    monkeypatch.setattr(webhooks, "MOST_WEBHOOKS", 2)
    await desk.create()
    await desk.create()

    with pytest.raises(LimitExceeded, match="delete one"):
        await desk.create()


async def test_another_tenants_webhooks_and_deliveries_are_not_there(
    desk: HookDesk, uow: PostgresUnitOfWorkFactory
) -> None:
    webhook, _ = await desk.create()
    await desk.announce()
    delivery = await desk.delivery(webhook)
    other = TenantContext(await add_tenant(uow))

    for call in (
        desk.service.get(other, webhook.id),
        desk.service.delete(other, webhook.id, if_revision=None, request=None),
        desk.service.test(other, webhook.id, timeout=None),
        desk.service.replay(other, delivery.id, request=None),
        desk.service.list_deliveries(other, webhook.id, state=None, after=None, limit=9),
    ):
        with pytest.raises(NotFound):
            await call
    assert (await desk.service.list_page(other, after=None, limit=9)).items == ()


async def test_key_restricted_to_some_collections_has_no_webhooks(desk: HookDesk) -> None:
    webhook, _ = await desk.create()
    restricted = replace(desk.context, collection_ids=frozenset({new_id()}))

    for call in (
        desk.service.list_page(restricted, after=None, limit=9),
        desk.service.get(restricted, webhook.id),
        desk.service.test(restricted, webhook.id, timeout=None),
        desk.service.list_deliveries(restricted, webhook.id, state=None, after=None, limit=9),
        desk.service.delete(restricted, webhook.id, if_revision=None, request=None),
    ):
        with pytest.raises(PermissionDenied) as refused:
            await call
        assert refused.value.reason == "KEY_RESTRICTED"


async def test_who_may_not_see_a_webhook_learns_nothing_about_urls(desk: HookDesk) -> None:
    with pytest.raises(NotFound):
        await desk.update(new_id(), url="https://10.0.0.1/")


async def test_every_change_stands_in_the_audit_log_without_the_secret(desk: HookDesk) -> None:
    webhook, secret = await desk.create()
    await desk.update(webhook.id, display_name="B")
    await desk.service.test(desk.context, webhook.id, timeout=None)
    await desk.announce()
    await desk.work()
    [sent] = await desk.deliveries(webhook, limit=1)
    await desk.service.replay(desk.context, sent.id, request=None)
    await desk.service.delete(desk.context, webhook.id, if_revision=None, request=None)

    async with desk.uow.tenant(desk.tenant_id) as uow:
        events = await uow.audit.list_page(AuditFilter(), after=None, limit=100)

    kinds = [event.resource_type for event in reversed(events)]
    assert kinds == ["webhook", "webhook", "webhook", "webhook_delivery", "webhook"]
    assert secret.removeprefix("whsec_") not in repr(events)


async def test_test_is_sent_at_once_and_told(desk: HookDesk) -> None:
    webhook, _ = await desk.create()
    await desk.update(webhook.id, is_enabled=False)

    delivered = await desk.service.test(desk.context, webhook.id, timeout=None)
    desk.target.answer = desk.target.reply(500)
    failed = await desk.service.test(desk.context, webhook.id, timeout=None)

    assert delivered.event_type is WebhookEventType.WEBHOOK_TEST
    assert (delivered.state, delivered.attempts) == (DeliveryState.DELIVERED, 1)
    assert (failed.state, failed.last_status) == (DeliveryState.DEAD, 500)
    assert len(desk.target.received) == 2
    assert await desk.jobs() == []
    assert [each.id for each in await desk.deliveries(webhook)] == [failed.id, delivered.id]


async def test_test_of_a_silent_target_ends_with_the_callers_time(desk: HookDesk) -> None:
    webhook, _ = await desk.create()
    desk.target.is_hanging = True

    told = await desk.service.test(desk.context, webhook.id, timeout=0.2)

    assert (told.state, told.last_status) == (DeliveryState.DEAD, 0)
    assert "no answer" in told.last_error


async def test_tests_are_counted_over_servers_and_past_deletion(
    desk: HookDesk, uow: PostgresUnitOfWorkFactory
) -> None:
    webhook, _ = await desk.create()
    replica = HookDesk(uow, desk.owner, desk.context, desk.target)
    for number in range(TESTS):
        await (desk, replica)[number % 2].service.test(desk.context, webhook.id, timeout=None)

    with pytest.raises(LimitExceeded) as refused:
        await desk.service.test(desk.context, webhook.id, timeout=None)

    assert refused.value.retry_after
    assert len(desk.target.received) == TESTS


def test_each_server_counts_for_itself_what_deleted_webhooks_took_along() -> None:
    now = 1000.0
    rate = TestRate(lambda: now)
    tenant, other = uuid4(), uuid4()
    for _ in range(TESTS):
        rate.take(tenant)

    with pytest.raises(LimitExceeded) as refused:
        rate.take(tenant)
    rate.take(other)
    now += 60
    rate.take(tenant)

    assert refused.value.retry_after == pytest.approx(60)


async def test_name_that_leads_inside_by_now_is_sent_nothing(
    desk: HookDesk, uow: PostgresUnitOfWorkFactory
) -> None:
    """DNS rebinding: public at registration, the metadata service at delivery."""
    answers = ["8.8.8.8", "127.0.0.1", "169.254.169.254"]

    async def resolve(host: str) -> list[object]:
        return [ip_address(answers.pop(0))]

    async with open_target() as inner:
        rebound = HookDesk(uow, desk.owner, desk.context, inner, networks=(), resolve=resolve)  # type: ignore[arg-type]
        webhook, _ = await rebound.create(
            url=f"http://rebound.example.com:{inner.port}/", event_types=frozenset({QUOTA})
        )
        tested = await rebound.service.test(desk.context, webhook.id, timeout=None)
        await rebound.announce()
        await rebound.work()
        delivered = (await rebound.deliveries(webhook))[0]

        assert answers == []
        assert inner.connections == 0
    assert (tested.state, delivered.state) == (DeliveryState.DEAD, DeliveryState.PENDING)
    for told in (tested, delivered):
        assert (told.attempts, told.last_status) == (1, 0)
        assert "nothing was sent" in told.last_error
        assert "127.0.0.1" not in told.last_error
        assert "169.254" not in told.last_error
