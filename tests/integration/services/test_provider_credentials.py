"""Tenants' own provider keys: kept sealed, found for a call, sealed anew."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from minirag.adapters.keyring import EnvelopeKeyring
from minirag.domain.access import TenantContext
from minirag.errors import FailedPrecondition, InvalidRequest, MiniRagError, NotFound
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.secrets import Sealed, SealedRecord, bind
from minirag.services.provider_credentials import ProviderCredentialService
from minirag.services.provider_keys import TenantProviderKeys
from minirag.services.resealing import Resealing
from tests.integration.postgres.records import add_tenant
from tests.support.database import Database

OLD = EnvelopeKeyring({"old": os.urandom(32)})
API_KEY = "sk-walrus-0123456789abcdef-tail"


class CountedUnits:
    """Counts the tenants' units of work; `before_commit` happens in each."""

    def __init__(self, inner: PostgresUnitOfWorkFactory) -> None:
        self.inner = inner
        self.opened = 0

    @asynccontextmanager
    async def tenant(self, whose: UUID | TenantContext) -> AsyncIterator[Any]:
        self.opened += 1
        async with self.inner.tenant(whose) as unit:
            yield unit

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Vault:
    """One tenant's credentials on a ring."""

    def __init__(
        self,
        uow: PostgresUnitOfWorkFactory,
        tenant_id: UUID,
        ring: EnvelopeKeyring,
        trust_seconds: float = 60.0,
    ) -> None:
        self.units = CountedUnits(uow)
        self.context = TenantContext(tenant_id)
        self.keys = TenantProviderKeys(self.units, ring, trust_seconds=trust_seconds)
        self.service = ProviderCredentialService(
            self.units, ring, self.keys, providers={"openai", "cohere"}
        )

    async def set(self, api_key: str, provider: str = "openai", **more: Any) -> Any:
        request = more.get("request")
        return await self.service.set(self.context, provider, api_key, request=request)

    async def find(self, provider: str = "openai") -> str | None:
        return await self.keys.find(self.context.tenant_id, provider)


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """The owner of this module's database, who sees the rows of all tenants at once here."""
    connection = await asyncpg.connect(database.owner_url)
    for table in ("provider_credentials", "webhooks", "audit_events"):
        await connection.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    yield connection
    await connection.close()


@pytest.fixture
async def vault(uow: PostgresUnitOfWorkFactory) -> Vault:
    return Vault(uow, await add_tenant(uow), OLD)


def a_request() -> RequestKey:
    return RequestKey(uuid4(), "SetProviderCredential", b"f" * 32)


async def rows(owner: asyncpg.Connection, tenant_id: UUID) -> list[asyncpg.Record]:
    return await owner.fetch(
        "SELECT * FROM provider_credentials WHERE tenant_id = $1 ORDER BY provider", tenant_id
    )


# -- keeping


async def test_a_key_is_found_as_it_was_set_and_listed_without_it(vault: Vault) -> None:
    made = await vault.set(API_KEY)
    await vault.set("short", provider="cohere")

    listed = await vault.service.list_all(vault.context)

    assert await vault.find() == API_KEY
    assert [(one.provider, one.key_hint) for one in listed] == [("cohere", ""), ("openai", "tail")]
    assert listed[1] == made
    assert API_KEY not in repr(listed)


async def test_setting_it_again_replaces_the_key_and_keeps_the_record(
    vault: Vault, owner: asyncpg.Connection
) -> None:
    first = await vault.set(API_KEY)

    second = await vault.set("sk-heron-0123456789abcdef-beak")

    assert (second.id, second.create_time) == (first.id, first.create_time)
    assert second.update_time > first.update_time
    assert second.key_hint == "beak"
    assert await vault.find() == "sk-heron-0123456789abcdef-beak"
    assert len(await rows(owner, vault.context.tenant_id)) == 1


async def test_two_that_are_set_at_once_leave_one_that_opens(
    vault: Vault, owner: asyncpg.Connection
) -> None:
    wanted = {f"sk-{number}-0123456789abcdef" for number in range(8)}

    await asyncio.gather(*(vault.set(key) for key in wanted))

    assert len(await rows(owner, vault.context.tenant_id)) == 1
    assert await vault.find() in wanted


async def test_a_deleted_key_is_gone(vault: Vault) -> None:
    await vault.set(API_KEY)

    await vault.service.delete(vault.context, "openai", request=None)

    assert await vault.find() is None
    assert await vault.service.list_all(vault.context) == []
    with pytest.raises(NotFound, match="provider_credential 'openai'"):
        await vault.service.delete(vault.context, "openai", request=None)


async def test_a_provider_that_takes_more_than_a_key_is_refused_with_the_others(
    vault: Vault,
) -> None:
    with pytest.raises(InvalidRequest, match="must be one of cohere, openai"):
        await vault.set(API_KEY, provider="bedrock")


async def test_without_secret_keys_nothing_is_kept(
    uow: PostgresUnitOfWorkFactory, owner: asyncpg.Connection
) -> None:
    vault = Vault(uow, await add_tenant(uow), EnvelopeKeyring({}))

    with pytest.raises(FailedPrecondition, match="MINIRAG_SECRET_KEYS"):
        await vault.set(API_KEY)

    assert await rows(owner, vault.context.tenant_id) == []
    assert await vault.find() is None


async def test_a_repeat_sets_it_once_and_its_outcome_holds_no_key(
    vault: Vault, owner: asyncpg.Connection
) -> None:
    request = a_request()
    first = await vault.set(API_KEY, request=request)
    await vault.set("sk-heron-0123456789abcdef-beak")

    repeat = await vault.set(API_KEY, request=request)

    assert (repeat.id, repeat.key_hint) == (first.id, "beak")
    assert await vault.find() == "sk-heron-0123456789abcdef-beak"
    async with vault.units.tenant(vault.context) as unit:
        outcome = await unit.requests.begin(request)
    assert outcome == b'{"provider": "openai"}'


async def test_each_change_stands_in_the_audit_log_without_the_key(
    vault: Vault, owner: asyncpg.Connection
) -> None:
    await vault.set(API_KEY)
    await vault.service.delete(vault.context, "openai", request=None)

    events = await owner.fetch(
        "SELECT * FROM audit_events WHERE tenant_id = $1", vault.context.tenant_id
    )

    told = [(event["resource_type"], event["resource_id"], event["outcome"]) for event in events]
    assert told == [("provider_credential", "openai", "OK")] * 2
    assert API_KEY[:12] not in str([dict(event) for event in events])


# -- the database alone doesn't give it away


async def test_a_row_moved_to_another_tenant_or_record_opens_nothing(
    vault: Vault, uow: PostgresUnitOfWorkFactory, owner: asyncpg.Connection
) -> None:
    await vault.set(API_KEY)
    other = Vault(uow, await add_tenant(uow), OLD)
    await other.set("sk-other-0123456789abcdef")
    (row,) = await rows(owner, vault.context.tenant_id)
    assert API_KEY.encode() not in row["sealed"]

    await owner.execute(
        "UPDATE provider_credentials SET sealed = $1 WHERE tenant_id = $2",
        row["sealed"],
        other.context.tenant_id,
    )
    other.keys.forget(other.context.tenant_id)

    with pytest.raises(MiniRagError, match="can't be opened"):
        await other.find()


async def test_another_tenant_finds_nothing(vault: Vault, uow: PostgresUnitOfWorkFactory) -> None:
    await vault.set(API_KEY)

    assert await vault.keys.find(await add_tenant(uow), "openai") is None


# -- finding


async def test_many_calls_at_once_look_once_and_later_ones_not_at_all(vault: Vault) -> None:
    await vault.set(API_KEY)
    before = vault.units.opened

    found = await asyncio.gather(*(vault.find() for _ in range(20)))
    again = await vault.find()

    assert {*found, again} == {API_KEY}
    assert vault.units.opened == before + 1


async def test_what_another_server_changed_is_seen_when_the_trust_is_over(
    vault: Vault, uow: PostgresUnitOfWorkFactory
) -> None:
    elsewhere = Vault(uow, vault.context.tenant_id, OLD, trust_seconds=0.05)
    assert await elsewhere.find() is None

    await vault.set(API_KEY)

    async with asyncio.timeout(5):
        while await elsewhere.find() != API_KEY:  # noqa: ASYNC110  # it is found when the time is over
            await asyncio.sleep(0)


async def test_a_look_that_began_before_a_change_is_not_remembered(vault: Vault) -> None:
    looking = asyncio.create_task(vault.find())
    await asyncio.sleep(0)

    await vault.set(API_KEY)
    await looking

    assert await vault.find() == API_KEY


async def test_a_caller_that_leaves_does_not_disturb_the_others(vault: Vault) -> None:
    await vault.set(API_KEY)
    first, second = (asyncio.create_task(vault.find()) for _ in range(2))
    await asyncio.sleep(0)

    first.cancel()

    assert await second == API_KEY


# -- sealing anew


@pytest.fixture
def ring() -> EnvelopeKeyring:
    """The new key before the old one."""
    return EnvelopeKeyring({"new": os.urandom(32), **OLD._keys})


async def fill(uow: PostgresUnitOfWorkFactory, owner: asyncpg.Connection, tenants: int) -> None:
    """Replace what there is by two secrets of each of some tenants, sealed by the old key."""
    await owner.execute("DELETE FROM provider_credentials")
    await owner.execute("DELETE FROM webhooks")
    for _ in range(tenants):
        vault = Vault(uow, await add_tenant(uow), OLD)
        await vault.set(API_KEY)
        webhook = uuid4()
        place = bind(vault.context.tenant_id.bytes, SealedRecord.WEBHOOK, webhook.bytes)
        sealed = OLD.seal(b"whsec", bound_to=place)
        await owner.execute(
            "INSERT INTO webhooks VALUES ($1, $2, '', 'https://a.example', '{}', true, $3, $4,"
            " now(), now(), 1)",
            vault.context.tenant_id,
            webhook,
            sealed.data,
            sealed.by,
        )


async def sealed_by(owner: asyncpg.Connection) -> list[str]:
    found = await owner.fetch(
        "SELECT sealed_by FROM provider_credentials UNION ALL SELECT sealed_by FROM webhooks"
    )
    return [row["sealed_by"] for row in found]


async def test_everything_is_sealed_anew_and_opens_without_the_old_key(
    uow: PostgresUnitOfWorkFactory, owner: asyncpg.Connection, ring: EnvelopeKeyring
) -> None:
    await fill(uow, owner, 3)
    resealing = Resealing(uow, ring, page=2)
    due = await resealing.count()

    count = await resealing.run()

    assert due == 6
    assert (count.resealed, count.overtaken, count.failed) == (6, 0, {})
    assert set(await sealed_by(owner)) == {"new"}
    assert await resealing.count() == 0
    assert (await resealing.run()).resealed == 0
    only_new = EnvelopeKeyring({"new": ring._keys["new"]})
    for row in await owner.fetch("SELECT * FROM webhooks"):
        place = bind(row["tenant_id"].bytes, SealedRecord.WEBHOOK, row["id"].bytes)
        assert only_new.open(Sealed(row["sealed"], "new"), bound_to=place) == b"whsec"
    for row in await owner.fetch("SELECT DISTINCT tenant_id FROM provider_credentials"):
        assert await Vault(uow, row["tenant_id"], only_new).find() == API_KEY


async def test_twice_at_once_seals_each_exactly_once(
    uow: PostgresUnitOfWorkFactory, owner: asyncpg.Connection, ring: EnvelopeKeyring
) -> None:
    await fill(uow, owner, 6)

    counts = await asyncio.gather(*(Resealing(uow, ring, page=2).run() for _ in range(3)))

    assert sum(count.resealed for count in counts) == 12
    assert set(await sealed_by(owner)) == {"new"}


async def test_one_that_was_interrupted_is_taken_up_by_the_next(
    uow: PostgresUnitOfWorkFactory, owner: asyncpg.Connection, ring: EnvelopeKeyring
) -> None:
    await fill(uow, owner, 4)
    sealings = 0

    class Interrupted(EnvelopeKeyring):
        def seal(self, secret: bytes, *, bound_to: bytes) -> Sealed:
            nonlocal sealings
            sealings += 1
            if sealings == 4:
                raise KeyboardInterrupt
            return super().seal(secret, bound_to=bound_to)

    with pytest.raises(KeyboardInterrupt):
        await Resealing(uow, Interrupted(ring._keys), page=1).run()
    assert 0 < (await sealed_by(owner)).count("old") < 8

    count = await Resealing(uow, ring).run()

    assert count.resealed == (8 - 3)
    assert set(await sealed_by(owner)) == {"new"}


async def test_a_key_that_is_set_meanwhile_wins(
    uow: PostgresUnitOfWorkFactory, owner: asyncpg.Connection, ring: EnvelopeKeyring
) -> None:
    await owner.execute("DELETE FROM webhooks")
    await owner.execute("DELETE FROM provider_credentials")
    vault = Vault(uow, await add_tenant(uow), OLD)
    await vault.set(API_KEY)

    class Overtaken(Resealing):
        async def _reseal(self, *arguments: Any) -> None:
            await vault.set("sk-heron-0123456789abcdef-beak")
            await super()._reseal(*arguments)

    count = await Overtaken(uow, ring).run()

    assert (count.resealed, count.overtaken) == (0, 1)
    assert await vault.find() == "sk-heron-0123456789abcdef-beak"


async def test_what_cannot_be_opened_is_counted_and_left_alone(
    uow: PostgresUnitOfWorkFactory, owner: asyncpg.Connection, ring: EnvelopeKeyring
) -> None:
    await fill(uow, owner, 2)
    await owner.execute(
        "UPDATE webhooks SET sealed_by = 'lost' WHERE id = (SELECT id FROM webhooks LIMIT 1)"
    )

    count = await Resealing(uow, ring).run()

    assert count.resealed == 3
    ((reason, times),) = count.failed.items()
    assert "'lost'" in reason
    assert times == 1
    assert sorted(await sealed_by(owner)) == ["lost", "new", "new", "new"]
