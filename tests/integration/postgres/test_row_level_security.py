"""Tenants are kept apart by Postgres itself: everything here is raw SQL as the application's role.

The lists of tables come from the catalogue, so that a new table is covered, or fails, by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from minirag.migrations.grants import GRANTS
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from tests.integration.postgres.records import (
    add_tenant,
    fill_every_table,
    make_conversation,
    make_generation,
    make_request,
    now,
)
from tests.support.database import Database
from tests.support.filling import fill_empty_tables

TENANT_TABLES = """
    SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
      AND a.attname = 'tenant_id' AND NOT a.attisdropped
    ORDER BY c.relname
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two tenants, each with rows in every table."""

    ours: UUID
    theirs: UUID


@pytest.fixture(scope="module")
async def pair(uow: PostgresUnitOfWorkFactory, database: Database) -> Pair:
    pair = Pair(await add_tenant(uow), await add_tenant(uow))
    for tenant_id in (pair.ours, pair.theirs):
        async with uow.tenant(tenant_id) as unit:
            await fill_every_table(unit, tenant_id)
        await fill_empty_tables(database.app_url, tenant_id)
    return pair


@asynccontextmanager
async def reach(app: asyncpg.Connection, **settings: object) -> AsyncIterator[None]:
    """A transaction with the settings, undone at the end."""
    transaction = app.transaction()
    await transaction.start()
    try:
        for name, value in settings.items():
            await app.execute("SELECT set_config($1, $2, true)", f"app.{name}", str(value))
        yield
    finally:
        await transaction.rollback()


async def tenant_tables(connection: asyncpg.Connection) -> list[str]:
    tables = [row["relname"] for row in await connection.fetch(TENANT_TABLES)]
    assert len(tables) >= 13
    return tables


async def test_application_role_is_bound_by_row_level_security_and_owns_nothing(
    app: asyncpg.Connection,
) -> None:
    role = await app.fetchrow("SELECT * FROM pg_roles WHERE rolname = current_user")
    owned = await app.fetchval(
        "SELECT count(*) FROM pg_class WHERE relowner = (SELECT oid FROM pg_roles"
        " WHERE rolname = current_user)"
    )

    assert role is not None
    assert not role["rolsuper"]
    assert not role["rolbypassrls"]
    assert not role["rolcreaterole"]
    assert owned == 0


async def test_every_table_with_a_tenant_forces_row_level_security(app: asyncpg.Connection) -> None:
    unprotected = await app.fetch(
        "SELECT relname FROM pg_class WHERE relname = ANY($1)"
        " AND NOT (relrowsecurity AND relforcerowsecurity)",
        ["tenants", *await tenant_tables(app)],
    )

    assert unprotected == []


async def test_every_table_either_has_a_tenant_or_is_known_to_have_none(
    app: asyncpg.Connection,
) -> None:
    tables = await app.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p')"
    )

    others = {row["relname"] for row in tables} - set(await tenant_tables(app))

    assert others == {
        "tenants",
        "embedding_spaces",
        "alembic_version",
        "sign_in_failures",
        "platform_audit_events",
    }


async def test_foreign_keys_between_tenant_tables_carry_the_tenant(app: asyncpg.Connection) -> None:
    foreign_keys = await app.fetch(
        """
        SELECT k.conname, k.conrelid::regclass::text AS child,
               (SELECT array_agg(a.attname::text) FROM unnest(k.conkey) n
                JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n) AS columns
        FROM pg_constraint k
        WHERE k.contype = 'f' AND k.confrelid::regclass::text = ANY($1)
        """,
        await tenant_tables(app),
    )

    assert len(foreign_keys) >= 8
    assert [key["conname"] for key in foreign_keys if "tenant_id" not in key["columns"]] == []


async def test_without_a_tenant_every_tenant_table_is_empty(
    app: asyncpg.Connection, pair: Pair
) -> None:
    for table in ["tenants", *await tenant_tables(app)]:
        async with reach(app):
            assert await app.fetchval(f"SELECT count(*) FROM {table}") == 0, table
        async with reach(app, tenant_id="", platform="", key_id=""):
            assert await app.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def test_own_rows_are_visible_and_others_are_not(app: asyncpg.Connection, pair: Pair) -> None:
    for table in await tenant_tables(app):
        async with reach(app, tenant_id=pair.ours):
            seen = await app.fetch(f"SELECT DISTINCT tenant_id FROM {table}")
        assert [row["tenant_id"] for row in seen] == [pair.ours], table


@pytest.mark.parametrize("verb", ["UPDATE {0} SET tenant_id = tenant_id", "DELETE FROM {0}"])
async def test_another_tenants_rows_survive_changes_without_a_condition(
    app: asyncpg.Connection, pair: Pair, verb: str
) -> None:
    for table in await tenant_tables(app):
        async with reach(app, tenant_id=pair.theirs):
            before = await app.fetch(f"SELECT to_jsonb(t)::text AS row FROM {table} t ORDER BY 1")
        async with reach(app, tenant_id=pair.ours):
            try:
                async with app.transaction():
                    # Children keep ours from going; what counts here is what happens to theirs.
                    await app.execute("SET CONSTRAINTS ALL DEFERRED")
                    await app.execute(verb.format(table))
            except (asyncpg.InsufficientPrivilegeError, asyncpg.ForeignKeyViolationError):
                pass  # not granted, or held by a child: nothing happened
            await app.execute(f"SELECT set_config('app.tenant_id', '{pair.theirs}', true)")
            after = await app.fetch(f"SELECT to_jsonb(t)::text AS row FROM {table} t ORDER BY 1")
        assert before, table
        assert after == before, table


async def test_a_row_can_be_neither_made_for_nor_moved_to_another_tenant(
    app: asyncpg.Connection, pair: Pair
) -> None:
    for table in await tenant_tables(app):
        async with reach(app, tenant_id=pair.theirs):
            theirs = await app.fetchval(f"SELECT to_jsonb(t)::text FROM {table} t LIMIT 1")
        async with reach(app, tenant_id=pair.ours):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await app.execute(
                    f"INSERT INTO {table} SELECT * FROM jsonb_populate_record(NULL::{table}, $1)",
                    theirs,
                )
        async with reach(app, tenant_id=pair.ours):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await app.execute(f"UPDATE {table} SET tenant_id = $1", pair.theirs)


async def test_a_row_cannot_refer_to_another_tenants(app: asyncpg.Connection, pair: Pair) -> None:
    """Constraint checks bypass row-level security; the tenant within the key is what refuses."""
    async with reach(app, tenant_id=pair.theirs):
        their_collection = await app.fetchval("SELECT id FROM collections")
        their_conversation = await app.fetchval("SELECT id FROM conversations")

    async with reach(app, tenant_id=pair.ours):
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await app.execute("UPDATE documents SET collection_id = $1", their_collection)
    async with reach(app, tenant_id=pair.ours):
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await app.execute("UPDATE messages SET conversation_id = $1", their_conversation)


async def test_platform_reads_no_tenants_data(app: asyncpg.Connection, pair: Pair) -> None:
    async with reach(app, platform="on"):
        counts = {
            table: await app.fetchval(f"SELECT count(*) FROM {table}")
            for table in ["tenants", *await tenant_tables(app)]
        }

    assert {table for table, count in counts.items() if count} == {"tenants", "jobs", "operations"}


async def test_platform_sees_generations_only_when_their_lease_ran_out(
    app: asyncpg.Connection, uow: PostgresUnitOfWorkFactory, pair: Pair
) -> None:
    async with uow.tenant(pair.ours) as unit:
        conversation = make_conversation(pair.ours)
        await unit.conversations.add(conversation)
        expired = make_generation(conversation, lease_until=now() - timedelta(seconds=1))
        await unit.generations.add(expired)
        running = make_generation(conversation)
        await unit.generations.add(running)

    async with reach(app, platform="on"):
        seen = {row["id"] for row in await app.fetch("SELECT id FROM generations")}
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute("DELETE FROM generations")

    assert expired.id in seen
    assert running.id not in seen


async def test_platform_cannot_delete_recent_requests_nor_write_tenants_ones(
    app: asyncpg.Connection, uow: PostgresUnitOfWorkFactory, pair: Pair
) -> None:
    async with uow.platform() as unit:
        await unit.requests.begin(make_request())

    async with reach(app, platform="on"):
        own = await app.fetchval("SELECT count(*) FROM requests")
        deleted = await app.execute("DELETE FROM requests")
        changed = await app.execute("UPDATE requests SET method = 'forged'")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute(
                "INSERT INTO requests VALUES ($1, 'digest', 'method', 'print', NULL, now())",
                pair.ours,
            )

    assert own
    assert (deleted, changed) == ("DELETE 0", f"UPDATE {own}")


async def test_a_credential_sees_its_own_key_and_tenant_only(
    app: asyncpg.Connection, pair: Pair
) -> None:
    async with reach(app, tenant_id=pair.ours):
        key_id = await app.fetchval("SELECT id FROM api_keys")

    async with reach(app, key_id=key_id):
        keys = [row["id"] for row in await app.fetch("SELECT id FROM api_keys")]
        tenants = [row["id"] for row in await app.fetch("SELECT id FROM tenants")]
        changed = await app.execute("UPDATE api_keys SET revoke_time = NULL")
        others = [
            table
            for table in await tenant_tables(app)
            if table != "api_keys" and await app.fetchval(f"SELECT count(*) FROM {table}")
        ]

    assert (keys, tenants, changed, others) == ([key_id], [pair.ours], "UPDATE 0", [])


async def test_application_role_has_exactly_the_listed_rights(app: asyncpg.Connection) -> None:
    rights = await app.fetch(
        """
        SELECT c.relname, array_agg(acl.privilege_type::text) AS held
        FROM pg_class c, aclexplode(c.relacl) acl
        WHERE c.relnamespace = 'public'::regnamespace
          AND acl.grantee = (SELECT oid FROM pg_roles WHERE rolname = current_user)
        GROUP BY c.relname
        """
    )

    assert {row["relname"]: set(row["held"]) for row in rights} == GRANTS


@pytest.mark.parametrize(
    "command",
    [
        "ALTER TABLE documents DISABLE ROW LEVEL SECURITY",
        "CREATE POLICY mine ON documents USING (true)",
        "CREATE TABLE mine (id int)",
        "TRUNCATE documents",
        "SET ROLE minirag_owner",
    ],
)
async def test_application_role_cannot_change_the_rules(
    app: asyncpg.Connection, command: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.execute(command)
