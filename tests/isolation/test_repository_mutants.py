"""Each repository method without its tenant's condition: row-level security holds alone.

Every mutant runs twice. On a database whose row-level security is switched off it must return or change
what is another tenant's, or it would prove nothing; on the real one it must not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from minirag.embedded.postgres import PostgresServer
from minirag.repositories.postgres.transaction import (
    Transaction,
    credential_reach,
    open_transaction,
    tenant_reach,
)
from minirag.repositories.postgres.unit_of_work import (
    PostgresTenantUnitOfWork,
    PostgresUnitOfWorkFactory,
)
from tests.integration.postgres.records import add_tenant, fill_every_table
from tests.isolation.conftest import COMPLETE
from tests.isolation.discovery import functions, methods, repositories
from tests.isolation.mutated_statements import MutatedTransaction
from tests.isolation.scenarios import NO_TENANTS, scenario_of
from tests.isolation.stage import Rows, Scenario, Stage
from tests.isolation.tally import TALLY
from tests.support.database import Database, run_sql
from tests.support.filling import fill_empty_tables

TABLES = """
    SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
      AND a.attname = 'tenant_id' AND NOT a.attisdropped
"""
METHODS = {
    name: method
    for name, method in methods().items()
    if name not in NO_TENANTS and name.partition(".")[0] not in NO_TENANTS
}


class RolledBackError(Exception):
    """Ends a transaction whose changes were looked at and aren't wanted."""


@dataclass(frozen=True)
class Ground:
    """A database with two tenants that have a row in every table."""

    uow: PostgresUnitOfWorkFactory
    ours: UUID
    theirs: UUID
    rows: Rows
    tables: list[str]


@dataclass(frozen=True)
class Result:
    """What a call returned or raised, how many statements named a tenant, and whether theirs changed."""

    returned: object
    error: Exception | None
    statements: int
    has_changed_theirs: bool

    def shows(self, ground: Ground) -> bool:
        """True if it holds an id of the other tenant, or of anything that it has."""
        ids = {
            str(value)
            for row in ground.rows.values()
            for value in row.values()
            if isinstance(value, UUID)
        }
        shown = repr(self.returned)
        return any(each in shown for each in ids)


async def lay_ground(url: str, tables: list[str]) -> Ground:
    uow = PostgresUnitOfWorkFactory(url, pool_size=2)
    # The other one first: where nothing keeps them apart, its rows come first as well.
    theirs, ours = await add_tenant(uow), await add_tenant(uow)
    for tenant_id in (theirs, ours):
        async with uow.tenant(tenant_id) as unit:
            await fill_every_table(unit, tenant_id)
        await fill_empty_tables(url, tenant_id)
    rows: dict[str, dict[str, Any]] = {}
    async with open_transaction(uow._engine, tenant_reach(theirs)) as transaction:
        await transaction.execute(text("UPDATE documents SET external_id = 'theirs'"))
        for table in tables:
            row = await transaction.first(
                text(f"SELECT * FROM {table} WHERE tenant_id = '{theirs}'")
            )
            if row is not None:
                rows[table] = dict(row._mapping)
    return Ground(uow, ours, theirs, rows, tables)


@pytest.fixture(scope="module")
def naked_database(postgres_server: PostgresServer, database_template: str) -> Iterator[Database]:
    """One whose row-level security is switched off."""
    name = "minirag_naked"
    run_sql(postgres_server.owner_url(), f"CREATE DATABASE {name} TEMPLATE {database_template}")
    url = postgres_server.owner_url(name)
    run_sql(
        url,
        "DO $$ DECLARE t regclass; BEGIN FOR t IN SELECT oid FROM pg_class WHERE relrowsecurity"
        " LOOP EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', t); END LOOP; END $$",
    )
    yield Database(name, postgres_server.app_url(name), url)
    run_sql(postgres_server.owner_url(), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
async def tables(database: Database) -> list[str]:
    connection = await asyncpg.connect(database.app_url)
    found = [row["relname"] for row in await connection.fetch(TABLES)]
    await connection.close()
    return sorted(found)


@pytest.fixture(scope="module")
async def guarded(database: Database, tables: list[str]) -> AsyncIterator[Ground]:
    ground = await lay_ground(database.app_url, tables)
    yield ground
    await ground.uow.close()


@pytest.fixture(scope="module")
async def naked(naked_database: Database, tables: list[str]) -> AsyncIterator[Ground]:
    ground = await lay_ground(naked_database.app_url, tables)
    yield ground
    await ground.uow.close()


async def play(
    ground: Ground, name: str, scenario: Scenario, *, mutated: bool, at: int | None = None
) -> Result:
    """Call the method for `ours`, look at what is `theirs`, and undo all."""
    result: Result | None = None
    try:
        async with open_transaction(ground.uow._engine, tenant_reach(ground.theirs)) as transaction:
            stage = Stage(ground.ours, ground.theirs, ground.rows, transaction)
            if scenario.before is not None:
                await scenario.before(PostgresTenantUnitOfWork(transaction, ground.theirs), stage)
            before = await fingerprint(transaction, ground)
            await transaction.set_local(tenant_reach(ground.ours))
            spy = MutatedTransaction(
                transaction, ground.ours, ground.theirs, at=at if mutated else -1
            )
            repository = repositories()[name.partition(".")[0]](spy, ground.ours)
            returned, error, has_changed = None, None, False
            try:
                returned = await scenario.call(repository, stage)
            except Exception as raised:  # whatever it is, it rolls everything back
                error = raised
            else:
                await transaction.set_local(tenant_reach(ground.theirs))
                has_changed = await fingerprint(transaction, ground) != before
            result = Result(returned, error, spy.seen, has_changed)
            raise RolledBackError
    except RolledBackError:
        pass
    assert result is not None
    return result


async def fingerprint(transaction: Transaction, ground: Ground) -> list[tuple[str, str]]:
    """A hash of the other tenant's rows in each table."""
    looks = [
        f"SELECT '{table}', md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), ''))"
        f" FROM {table} t WHERE {'id' if table == 'tenants' else 'tenant_id'} = '{ground.theirs}'"
        for table in ["tenants", *ground.tables]
    ]
    rows = await transaction.all(text(" UNION ALL ".join(looks)))
    return [(row[0], row[1]) for row in rows]


def is_in_effect(ground: Ground, mutant: Result, plain: Result) -> bool:
    """True if the mutant did harm where nothing held it. A statement that it broke doesn't count."""
    assert not isinstance(mutant.error, ProgrammingError), mutant.error
    return (
        mutant.has_changed_theirs
        or (mutant.shows(ground) and not plain.shows(ground))
        or (mutant.returned, type(mutant.error)) != (plain.returned, type(plain.error))
    )


def is_held(ground: Ground, scenario: Scenario, mutant: Result, plain: Result) -> bool:
    """True if nothing foreign was returned or changed: it was refused, or did as without the mutation."""
    if mutant.has_changed_theirs or (mutant.shows(ground) and not plain.shows(ground)):
        return False
    return mutant.error is not None or scenario.may_do_ours or mutant.returned == plain.returned


def test_every_method_has_a_scenario() -> None:
    without = [name for name, method in METHODS.items() if scenario_of(name, method) is None]

    assert without == [], "say in tests/isolation/scenarios.py how it is called"
    assert functions().keys() <= NO_TENANTS.keys(), "the same, for a function with a transaction"


@pytest.mark.parametrize("name", METHODS)
async def test_method_without_its_tenants_condition_is_held_by_row_level_security(
    guarded: Ground, naked: Ground, name: str
) -> None:
    scenario = scenario_of(name, METHODS[name])
    assert scenario is not None
    plain = await play(naked, name, scenario, mutated=False)
    whole = await play(naked, name, scenario, mutated=True)
    guarded_plain = await play(guarded, name, scenario, mutated=False)
    guarded_whole = await play(guarded, name, scenario, mutated=True)

    assert not plain.has_changed_theirs, plain
    assert whole.statements, "no statement names a tenant: is it one of NO_TENANTS?"
    assert is_in_effect(naked, whole, plain), (plain, whole)
    assert is_held(guarded, scenario, guarded_whole, guarded_plain), (guarded_plain, guarded_whole)
    made = 1
    if COMPLETE and whole.statements > 1:
        for at in range(whole.statements):
            mutant = await play(naked, name, scenario, mutated=True, at=at)
            if is_in_effect(naked, mutant, plain):
                held = await play(guarded, name, scenario, mutated=True, at=at)
                assert is_held(guarded, scenario, held, guarded_plain), (at, held)
                made += 1
    TALLY.note_mutants("repository methods", made, made, made)


async def test_credential_without_its_condition_is_held_by_row_level_security(
    guarded: Ground, naked: Ground
) -> None:
    statement = text("SELECT id FROM api_keys")  # as `load_credential` without `id = :of_key`
    seen = []
    for ground in (naked, guarded):
        own_key = ground.rows["api_keys"]["id"]
        async with open_transaction(ground.uow._engine, credential_reach(own_key)) as transaction:
            seen.append(len(await transaction.all(statement)))

    assert seen == [2, 1]
    TALLY.note_mutants("credentials", 1, 1, 1)
