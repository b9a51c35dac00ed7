"""The application's role is made when it is missing, and refused when it could see past the policies."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from minirag.embedded.postgres import PostgresServer
from minirag.errors import FailedPrecondition
from minirag.migrations.check import check_schema
from minirag.migrations.run import migrate
from tests.support.database import run_sql
from tests.support.servers import open_directory

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def open_server() -> Iterator[PostgresServer]:
    """A Postgres that lets its superuser in, and any role that knows its password."""
    with open_directory() as directory:
        server = PostgresServer(directory / "postgres", durable=False)
        try:
            server.start()
            rules = server.cluster / "pg_hba.conf"
            rules.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
            os.kill(server.pid, signal.SIGHUP)
            yield server
        finally:
            server.stop()


def url_of(server: PostgresServer, user: str, database: str, password: str = "secret") -> str:
    return f"postgresql://{user}:{password}@/{database}?host={server.socket_directory}"


@pytest.fixture
async def database(open_server: PostgresServer) -> str:
    """An empty database of `minirag_owner`, once the new rules hold."""
    name = f"roles_{next(_numbers)}"
    while True:  # the test's own limit ends it
        try:
            run_sql(
                url_of(open_server, "postgres", "postgres"),
                f"CREATE DATABASE {name} OWNER minirag_owner",
            )
        except asyncpg.InvalidAuthorizationSpecificationError:
            continue
        return name


async def fetch_role(server: PostgresServer, database: str, name: str) -> Any:
    connection = await asyncpg.connect(url_of(server, "postgres", database))
    try:
        return await connection.fetchrow("SELECT * FROM pg_roles WHERE rolname = $1", name)
    finally:
        await connection.close()


async def test_missing_role_is_made_without_any_right_that_it_does_not_need(
    open_server: PostgresServer, database: str
) -> None:
    owner_url = url_of(open_server, "postgres", database)
    app_url = url_of(open_server, "app made", database, "it's%20a%40secret").replace(" ", "%20")

    migrate(owner_url, app_url)

    await check_schema(app_url)
    role = await fetch_role(open_server, database, "app made")
    assert role["rolcanlogin"]
    assert not any(
        role[right] for right in ("rolsuper", "rolbypassrls", "rolcreatedb", "rolcreaterole")
    )


async def test_password_follows_the_url_when_the_owner_may_set_it(
    open_server: PostgresServer, database: str
) -> None:
    owner_url = url_of(open_server, "postgres", database)
    migrate(owner_url, url_of(open_server, "app_two", database, "old"))

    migrate(owner_url, url_of(open_server, "app_two", database, "new"))

    await check_schema(url_of(open_server, "app_two", database, "new"))


async def test_owner_that_may_create_roles_needs_not_be_a_superuser(
    open_server: PostgresServer, database: str
) -> None:
    run_sql(
        url_of(open_server, "postgres", database),
        "CREATE ROLE creator LOGIN CREATEROLE PASSWORD 'secret' IN ROLE minirag_owner",
        f"ALTER DATABASE {database} OWNER TO creator",
    )
    owner_url = url_of(open_server, "creator", database)
    migrate(owner_url, url_of(open_server, "app_three", database, "old"))

    migrate(owner_url, url_of(open_server, "app_three", database, "new"))

    await check_schema(url_of(open_server, "app_three", database, "new"))


@pytest.mark.parametrize(
    ("role", "attributes", "problem"),
    [
        ("app_super", "SUPERUSER", "is a superuser"),
        ("app_bypass", "BYPASSRLS", "has BYPASSRLS"),
        ("app_member", "IN ROLE minirag_owner", "may become, the owner"),
        ("app_heir", "IN ROLE unbound", "may become unbound"),
    ],
)
async def test_role_that_policies_do_not_bind_is_refused(
    open_server: PostgresServer, database: str, role: str, attributes: str, problem: str
) -> None:
    run_sql(
        url_of(open_server, "postgres", database),
        "DROP ROLE IF EXISTS unbound",
        "CREATE ROLE unbound BYPASSRLS",
        f"CREATE ROLE {role} LOGIN PASSWORD 'secret' {attributes}",
    )

    with pytest.raises(FailedPrecondition, match=problem):
        migrate(open_server.owner_url(database), url_of(open_server, role, database))


@pytest.mark.parametrize(
    ("role", "gift"),
    [
        ("app_later_super", "ALTER ROLE app_later_super SUPERUSER"),
        ("app_later_bypass", "ALTER ROLE app_later_bypass BYPASSRLS"),
        ("app_later_heir", "GRANT postgres TO app_later_heir"),
    ],
)
async def test_server_refuses_a_role_that_was_given_too_much_later(
    open_server: PostgresServer, database: str, role: str, gift: str
) -> None:
    migrate(url_of(open_server, "postgres", database), url_of(open_server, role, database))
    run_sql(url_of(open_server, "postgres", database), gift)

    with pytest.raises(FailedPrecondition, match="row-level security"):
        await check_schema(url_of(open_server, role, database))
