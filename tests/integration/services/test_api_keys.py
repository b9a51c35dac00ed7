"""API keys on Postgres: rotation, restriction, and what nobody may be given."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from minirag.domain.access import PlatformContext, TenantContext
from minirag.domain.ids import new_id
from minirag.domain.limits import UNLIMITED, Limits
from minirag.domain.tenants import ALL_SCOPES, ApiKey, Scope, TenantState
from minirag.errors import (
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from minirag.services.access import Authenticator
from minirag.services.api_keys import ApiKeyService, format_key
from minirag.services.background import BackgroundTasks
from minirag.services.clock import utc_now
from tests.integration.postgres.records import add_collection, add_tenant, make_request

READ = frozenset({Scope.READ})


class Registry:
    """A tenant's keys, and a server that trusts none of them for longer than a call."""

    def __init__(self, uow: PostgresUnitOfWorkFactory, tenant_id: UUID) -> None:
        self.uow = uow
        self.tenant_id = tenant_id
        self.keys = ApiKeyService(uow)
        self.background = BackgroundTasks()
        self.manager = TenantContext(tenant_id, key_id=new_id())
        self.server = Authenticator(uow, self.background, platform_key=None, trust_seconds=0)

    async def make(self, **about: Any) -> tuple[ApiKey, str]:
        chosen: dict[str, Any] = {
            "display_name": "A key",
            "scopes": READ,
            "expire_time": None,
            "collection_ids": (),
            "limits": UNLIMITED,
            "request": None,
        }
        caller = about.pop("caller", self.manager)
        return await self.keys.create(caller, self.tenant_id, **(chosen | about))

    async def rotate(
        self, key: ApiKey, *, overlap: timedelta = timedelta(hours=1), **about: Any
    ) -> tuple[ApiKey, str]:
        caller = about.pop("caller", self.manager)
        return await self.keys.rotate(
            caller, self.tenant_id, key.id, overlap=overlap, **({"request": None} | about)
        )

    async def enter(self, text: str) -> object:
        return await self.server.authenticate(f"Bearer {text}")

    async def is_refused(self, text: str) -> str:
        with pytest.raises(Unauthenticated) as raised:
            await self.enter(text)
        return raised.value.reason


@pytest.fixture
async def registry(uow: PostgresUnitOfWorkFactory) -> AsyncIterator[Registry]:
    registry = Registry(uow, await add_tenant(uow))
    yield registry
    await registry.background.close()


async def test_both_secrets_work_until_the_overlap_is_over(registry: Registry) -> None:
    key, old = await registry.make()

    rotated, new = await registry.rotate(key)

    assert rotated.id == key.id
    assert await registry.enter(old) == await registry.enter(new)
    async with registry.uow.tenant(registry.tenant_id) as unit:
        await unit.api_keys.rotate(key.id, b"another", previous_until=utc_now())
    assert await registry.is_refused(new) == "CREDENTIAL_EXPIRED"
    assert await registry.is_refused(old) == "CREDENTIAL_INVALID"


async def test_without_overlap_the_old_secret_ends_at_once(registry: Registry) -> None:
    key, old = await registry.make()

    _, new = await registry.rotate(key, overlap=timedelta(0))

    assert await registry.is_refused(old) == "CREDENTIAL_EXPIRED"
    await registry.enter(new)


async def test_second_rotation_ends_the_oldest_secret_whatever_its_overlap_was(
    registry: Registry,
) -> None:
    key, oldest = await registry.make()

    _, middle = await registry.rotate(key, overlap=timedelta(days=30))
    _, newest = await registry.rotate(key)

    assert await registry.is_refused(oldest) == "CREDENTIAL_INVALID"
    await registry.enter(middle)
    await registry.enter(newest)


async def test_repeated_rotation_gives_the_same_secret_and_drops_none(registry: Registry) -> None:
    key, old = await registry.make()
    request = make_request()

    first = await registry.rotate(key, request=request)
    second = await registry.rotate(key, request=request)

    assert second[1] == first[1]
    await registry.enter(old)
    await registry.enter(first[1])


async def test_a_trusted_old_secret_is_trusted_no_longer_than_its_overlap(
    registry: Registry,
) -> None:
    """However long servers trust keys: they trust this one until then."""
    key, old = await registry.make()
    await registry.rotate(key, overlap=timedelta(seconds=2))
    trusting = Authenticator(
        registry.uow, registry.background, platform_key=None, trust_seconds=3600
    )

    await trusting.authenticate(f"Bearer {old}")

    (trusted,) = trusting._trusted.values()
    async with registry.uow.credential(key.id) as unit:
        credential = await unit.load()
    assert credential is not None
    assert credential.key.previous_until is not None
    left = (credential.key.previous_until - utc_now()).total_seconds()
    assert trusted.until <= time.monotonic() + left + 0.5


@pytest.mark.parametrize("is_revoked", [True, False])
async def test_an_ended_key_is_not_rotated(registry: Registry, is_revoked: bool) -> None:
    key, _ = await registry.make(expire_time=None if is_revoked else utc_now())
    if is_revoked:
        await registry.keys.revoke(registry.tenant_id, key.id, request=None)

    with pytest.raises(FailedPrecondition, match="create a new one"):
        await registry.rotate(key)


async def test_the_secret_of_a_mightier_key_is_not_given_away(registry: Registry) -> None:
    """Whoever may only manage could else read everything with the new secret of a reader's key."""
    key, text = await registry.make(scopes=frozenset({Scope.MANAGE, Scope.READ}))
    manager = replace(registry.manager, scopes=frozenset({Scope.MANAGE}))

    with pytest.raises(PermissionDenied, match="READ"):
        await registry.rotate(key, caller=manager)

    await registry.enter(text)


async def test_context_carries_collections_and_limits(registry: Registry) -> None:
    collection = await add_collection(registry.uow, registry.tenant_id)
    limits = Limits(requests_per_minute=5)

    key, text = await registry.make(collection_ids=(collection.id,), limits=limits)

    context = await registry.enter(text)
    assert isinstance(context, TenantContext)
    assert context.collection_ids == frozenset({collection.id})
    assert context.key_limits == limits
    changed = await registry.keys.update(
        registry.tenant_id, key.id, display_name="renamed", limits=None, request=None
    )
    assert (changed.display_name, changed.limits) == ("renamed", limits)
    lifted = await registry.keys.update(
        registry.tenant_id, key.id, display_name=None, limits=UNLIMITED, request=None
    )
    assert (lifted.display_name, lifted.limits) == ("renamed", UNLIMITED)


async def test_a_restriction_names_collections_that_are_there(
    registry: Registry, uow: PostgresUnitOfWorkFactory
) -> None:
    other = await add_tenant(uow)
    foreign = await add_collection(uow, other)

    for collection_id in (foreign.id, new_id()):
        with pytest.raises(NotFound, match="collection"):
            await registry.make(collection_ids=(collection_id,))


async def test_a_restricted_key_cannot_manage_nor_make_keys(registry: Registry) -> None:
    collection = await add_collection(registry.uow, registry.tenant_id)
    restricted = replace(registry.manager, collection_ids=frozenset({collection.id}))
    key, _ = await registry.make()

    with pytest.raises(InvalidRequest, match="MANAGE"):
        await registry.make(scopes=ALL_SCOPES, collection_ids=(collection.id,))
    for attempt in (
        registry.make(caller=restricted),
        registry.rotate(key, caller=restricted),
    ):
        with pytest.raises(PermissionDenied) as raised:
            await attempt
        assert raised.value.reason == "KEY_RESTRICTED"


async def test_a_tenant_that_is_being_deleted_gets_no_new_secrets(registry: Registry) -> None:
    key, _ = await registry.make()
    async with registry.uow.platform() as platform:
        await platform.tenants.update(registry.tenant_id, state=TenantState.DELETING)

    for attempt in (
        registry.make(caller=PlatformContext()),
        registry.rotate(key, caller=PlatformContext()),
    ):
        with pytest.raises(FailedPrecondition, match="being deleted"):
            await attempt


async def test_refusal_of_a_right_secret_tells_the_log_whose_it_was(registry: Registry) -> None:
    key, text = await registry.make()
    await registry.keys.revoke(registry.tenant_id, key.id, request=None)

    with pytest.raises(Unauthenticated) as revoked:
        await registry.enter(text)
    with pytest.raises(Unauthenticated) as wrong:
        await registry.enter(format_key(key.id, "0" * 48))

    assert isinstance(revoked.value.caller, TenantContext)
    assert revoked.value.caller.key_id == key.id
    assert wrong.value.caller is None
