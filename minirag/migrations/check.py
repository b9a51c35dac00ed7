"""What a server asks before it serves: is the schema there, and does row-level security bind our role?"""

from __future__ import annotations

from sqlalchemy import Connection, text

from minirag.errors import FailedPrecondition
from minirag.migrations import HEAD
from minirag.migrations.run import current_revision
from minirag.repositories.postgres.engine import create_engine
from minirag.repositories.postgres.failures import FAILURES, translate


async def check_schema(app_url: str) -> None:
    """Return if a server of this version can work on the database as the role of `app_url`.

    A newer schema passes: while a new release rolls out, servers of the old one go on. Raises
    `FailedPrecondition` with what to do when the schema is missing or old, or the role isn't bound by
    row-level security; `Unavailable` when Postgres is away.
    """
    engine = create_engine(app_url, pool_size=0)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_check)
    except FAILURES as error:
        if known := translate(error):
            raise known from error
        raise
    finally:
        await engine.dispose()


def _check(connection: Connection) -> None:
    if connection.execute(_UNBOUND).scalar_one():
        raise FailedPrecondition(
            "the database role of MINIRAG_DATABASE_URL is a superuser, has BYPASSRLS, may become a role that"
            " is or has, or owns tables: row-level security doesn't bind it; name the application's own role"
        )
    # A role that was never granted anything sees the table's name only.
    may_read = connection.execute(_MAY_READ).scalar_one()
    revision = current_revision(connection) if may_read else None
    if revision is None:
        raise FailedPrecondition(
            "the database has no schema for this role yet: run `minirag migrate`"
        )
    if revision < HEAD:
        raise FailedPrecondition(
            f"the database schema is at revision {revision} and this version needs {HEAD}:"
            " run `minirag migrate`"
        )


_UNBOUND = text(
    """
    SELECT rolsuper OR rolbypassrls
        OR EXISTS (SELECT FROM pg_roles other WHERE (other.rolsuper OR other.rolbypassrls)
                   AND pg_has_role(pg_roles.oid, other.oid, 'MEMBER'))
        OR EXISTS (SELECT FROM pg_class WHERE relowner = pg_roles.oid AND relpersistence <> 't')
    FROM pg_roles WHERE rolname = current_user
    """
)

_MAY_READ = text(
    """
    SELECT coalesce(
        has_table_privilege(to_regclass('public.alembic_version')::oid, 'SELECT'), false)
    """
)
