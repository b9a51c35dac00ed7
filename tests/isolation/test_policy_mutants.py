"""Each row-level security policy opened or taken away: the tests that guard it must notice.

They are those of tests/integration/postgres/test_row_level_security.py, run here on one table at a time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from minirag.domain.ids import new_id
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from tests.integration.postgres import test_row_level_security as guards
from tests.integration.postgres.records import add_tenant, fill_every_table
from tests.isolation.conftest import COMPLETE
from tests.isolation.tally import TALLY
from tests.support.database import Database
from tests.support.filling import fill_empty_tables, fill_platform_tables

POLICIES = """
    SELECT tablename, policyname, cmd, qual, with_check FROM pg_policies
    WHERE schemaname = 'public' ORDER BY tablename, policyname
"""


@dataclass(frozen=True)
class Mutant:
    """What the owner runs, and what undoes it."""

    name: str
    table: str
    statement: str
    undo: str


def list_mutants(policies: list[asyncpg.Record]) -> list[Mutant]:
    found = []
    for table in sorted({policy["tablename"] for policy in policies}):
        for what, on in (("ENABLE", "DISABLE"), ("FORCE", "NO FORCE")):
            alter = f"ALTER TABLE {table} {{}} ROW LEVEL SECURITY"
            found.append(Mutant(f"{table}: {on}", table, alter.format(on), alter.format(what)))
    for policy in policies:
        table, name = policy["tablename"], policy["policyname"]
        for clause, condition in (("USING", policy["qual"]), ("WITH CHECK", policy["with_check"])):
            if condition is not None:
                alter = f"ALTER POLICY {name} ON {table} {clause} ({{}})"
                found.append(
                    Mutant(
                        f"{table}.{name}: {clause} (true)",
                        table,
                        alter.format("true"),
                        alter.format(condition),
                    )
                )
        if name == "tenant":
            create = (
                f"CREATE POLICY {name} ON {table} USING ({policy['qual']})"
                f" WITH CHECK ({policy['with_check']})"
            )
            found.append(
                Mutant(f"{table}.{name}: dropped", table, f"DROP POLICY {name} ON {table}", create)
            )
    return found


@pytest.fixture(scope="module")
async def pair(uow: PostgresUnitOfWorkFactory, database: Database) -> guards.Pair:
    pair = guards.Pair(await add_tenant(uow), await add_tenant(uow))
    for tenant_id in (pair.ours, pair.theirs):
        async with uow.tenant(tenant_id) as unit:
            await fill_every_table(unit, tenant_id)
        await fill_empty_tables(database.app_url, tenant_id)
    await fill_platform_tables(database.app_url)
    return pair


async def test_every_opened_policy_is_noticed(
    database: Database,
    uow: PostgresUnitOfWorkFactory,
    pair: guards.Pair,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner = await asyncpg.connect(database.owner_url)
    app = await asyncpg.connect(database.app_url)
    mutants = list_mutants(await owner.fetch(POLICIES))
    tables = {mutant.table for mutant in mutants}
    # The suite takes a fifth of them, of every table at least one; each sort of mutant turns up.
    chosen = [m for number, m in enumerate(mutants) if COMPLETE or number % 5 == 0]
    unnoticed = []

    for mutant in chosen:
        await owner.execute(mutant.statement)
        try:
            if not await notices(app, uow, pair, mutant.table, monkeypatch):
                unnoticed.append(mutant.name)
        finally:
            await owner.execute(mutant.undo)
    alarms = [
        table for table in sorted(tables) if await notices(app, uow, pair, table, monkeypatch)
    ]

    await owner.close()
    await app.close()
    TALLY.note_mutants(
        "row-level security policies", len(chosen), len(chosen), len(chosen) - len(unnoticed)
    )
    assert unnoticed == []
    assert alarms == [], "the guards must be silent when nothing is mutated"


RESTRICTED = """
    SELECT count(*) FROM pg_policies
    WHERE schemaname = 'public' AND tablename = $1 AND permissive = 'RESTRICTIVE'
"""


async def _a_key_for_no_collection_meets_nothing(
    app: asyncpg.Connection, pair: guards.Pair, table: str
) -> None:
    if not await app.fetchval(RESTRICTED, table):
        return
    settings = {"tenant_id": pair.ours, "collection_ids": "{}", "own_key_id": new_id()}
    # No condition and no column read, so that each verb's policy stands alone.
    for statement in (
        f"UPDATE {table} SET tenant_id = '{pair.ours}'",
        f"DELETE FROM {table}",
    ):
        async with guards.reach(app, **settings):
            try:
                done = await app.execute(statement)
            except asyncpg.InsufficientPrivilegeError:
                continue  # not granted
            assert done.endswith(" 0"), statement
    async with guards.reach(app, **settings):
        assert await app.fetchval(f"SELECT count(*) FROM {table}") == 0


HAS_TENANT = """
    SELECT count(*) > 0 FROM pg_attribute
    WHERE attrelid = $1::text::regclass AND attname = 'tenant_id' AND NOT attisdropped
"""
IS_FORCED = "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE relname = $1"


async def _a_tenant_meets_nothing_of_the_platforms(
    app: asyncpg.Connection, pair: guards.Pair, table: str
) -> None:
    if table == "tenants" or await app.fetchval(HAS_TENANT, table):
        return
    assert await app.fetchval(IS_FORCED, table)
    async with guards.reach(app, platform="on"):
        assert await app.fetchval(f"SELECT count(*) FROM {table}")
    async with guards.reach(app, tenant_id=pair.ours):
        assert await app.fetchval(f"SELECT count(*) FROM {table}") == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute(f"INSERT INTO {table} DEFAULT VALUES")


async def _blind_changes_meet_own_rows_only(
    app: asyncpg.Connection, pair: guards.Pair, table: str
) -> None:
    """Where a change reads no column, the policies for reading don't stand behind its own."""
    is_of_tenants = await app.fetchval(HAS_TENANT, table)
    change = f"tenant_id = '{pair.ours}'" if is_of_tenants else "display_name = 'Taken'"
    if not is_of_tenants and table != "tenants":
        return
    async with guards.reach(app, tenant_id=pair.ours):
        visible = await app.fetchval(f"SELECT count(*) FROM {table}")
    for statement in (f"UPDATE {table} SET {change}", f"DELETE FROM {table}"):
        async with guards.reach(app, tenant_id=pair.ours):
            try:
                done = await app.execute(statement)
            except asyncpg.ForeignKeyViolationError:
                continue  # held by a child: nothing is changed
            except asyncpg.InsufficientPrivilegeError as error:
                if "permission denied" in str(error):
                    continue  # not granted
                raise
            assert int(done.rpartition(" ")[2]) <= visible, statement


async def _a_tenant_sees_itself_and_makes_no_other(
    app: asyncpg.Connection, pair: guards.Pair, table: str
) -> None:
    if table != "tenants":
        return
    async with guards.reach(app, tenant_id=pair.ours):
        assert await app.fetchval("SELECT array_agg(id) FROM tenants") == [pair.ours]
    for statement in (
        "INSERT INTO tenants DEFAULT VALUES",
        f"UPDATE tenants SET id = '{new_id()}'",
    ):
        async with guards.reach(app, tenant_id=pair.ours):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await app.execute(statement)


async def notices(
    app: asyncpg.Connection,
    uow: PostgresUnitOfWorkFactory,
    pair: guards.Pair,
    table: str,
    monkeypatch: pytest.MonkeyPatch,
) -> bool:
    """True if one of the guards fails when it looks at this table alone."""

    async def this_table(_: asyncpg.Connection) -> list[str]:
        return [table] if is_of_tenants else []

    is_of_tenants = await app.fetchval(HAS_TENANT, table)

    checks: list[tuple[Callable[..., Awaitable[None]], tuple[Any, ...]]] = [
        (guards.test_every_table_with_a_tenant_forces_row_level_security, (app,)),
        (guards.test_without_a_tenant_every_tenant_table_is_empty, (app, pair)),
        (guards.test_own_rows_are_visible_and_others_are_not, (app, pair)),
        (guards.test_a_row_can_be_neither_made_for_nor_moved_to_another_tenant, (app, pair)),
        (guards.test_a_credential_sees_its_own_key_and_tenant_only, (app, pair)),
        (
            guards.test_platform_cannot_delete_recent_requests_nor_write_tenants_ones,
            (app, uow, pair),
        ),
        (guards.test_platform_sees_generations_only_when_their_lease_ran_out, (app, uow, pair)),
        (_a_key_for_no_collection_meets_nothing, (app, pair, table)),
        (_a_tenant_meets_nothing_of_the_platforms, (app, pair, table)),
        (_blind_changes_meet_own_rows_only, (app, pair, table)),
        (_a_tenant_sees_itself_and_makes_no_other, (app, pair, table)),
    ]
    for check, arguments in checks:
        with monkeypatch.context() as patch:
            patch.setattr(guards, "tenant_tables", this_table)
            try:
                await check(*arguments)
            except (AssertionError, pytest.fail.Exception, asyncpg.PostgresError):
                return True
    return False
