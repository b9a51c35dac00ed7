"""The application's role: made, checked, and given its rights, by the schema's owner."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from sqlalchemy import Connection, text

from minirag.errors import FailedPrecondition
from minirag.migrations.grants import GRANTS


@dataclass(frozen=True, slots=True)
class AppRole:
    """User and password of the application's URL."""

    name: str
    password: str

    @classmethod
    def from_url(cls, url: str) -> AppRole:
        """Raises `FailedPrecondition` when the URL names no user."""
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        # libpq takes both from the query as well.
        name = unquote(parts.username or "") or query.get("user", [""])[0]
        password = unquote(parts.password or "") or query.get("password", [""])[0]
        if not name:
            raise FailedPrecondition("the application's database URL must name its user")
        return cls(name, password)


def ensure_role(connection: Connection, role: AppRole) -> None:
    """Create the role if it is missing; give an existing one the URL's password if the owner may.

    Raises `FailedPrecondition` when it is missing and the owner may not create roles.
    """
    found = connection.execute(_FIND_ROLE, {"role": role.name}).one()
    if found.is_present:
        if role.password and found.may_alter:
            _run_formatted(connection, "ALTER ROLE %I PASSWORD %L", role.name, role.password)
        return
    if not found.may_create:
        raise FailedPrecondition(
            f"the role {role.name!r} doesn't exist and the owner may not create roles: have an"
            f' administrator run CREATE ROLE "{role.name}" LOGIN NOSUPERUSER NOBYPASSRLS'
            " PASSWORD '...', then migrate again"
        )
    rights = "LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE"
    _run_formatted(
        connection, f"CREATE ROLE %I {rights} PASSWORD %L", role.name, role.password or None
    )


def check_role(connection: Connection, role: AppRole) -> None:
    """Raise `FailedPrecondition` if row-level security wouldn't hold for the role, and say why."""
    found = connection.execute(_ROLE_RIGHTS, {"role": role.name}).one()
    problem = None
    if found.rolsuper:
        problem = "is a superuser"
    elif found.rolbypassrls:
        problem = "has BYPASSRLS"
    elif found.unbound is not None:
        problem = f"may become {found.unbound}, which isn't bound by policies"
    elif found.owned is not None:
        problem = f"owns the table {found.owned}"
    elif found.is_owner:
        problem = "is, or may become, the owner of the schema"
    if problem is not None:
        raise FailedPrecondition(
            f"the application's role {role.name!r} {problem}, so that row-level security would not keep"
            " tenants apart: name another role in MINIRAG_DATABASE_URL"
        )


def grant_rights(connection: Connection, role: AppRole) -> None:
    """Give the role exactly GRANTS; nothing is touched when it has them already."""
    held: dict[str, set[str]] = {}
    for table, right in connection.execute(_TABLE_RIGHTS, {"role": role.name}):
        held.setdefault(table, set()).add(right)
    for table in sorted(held.keys() | GRANTS.keys()):
        wanted = GRANTS.get(table, set())
        if held.get(table, set()) == wanted:
            continue
        _run_formatted(connection, "REVOKE ALL ON TABLE %2$I FROM %1$I", role.name, table)
        if wanted:
            rights = ", ".join(sorted(wanted))
            _run_formatted(connection, f"GRANT {rights} ON TABLE %2$I TO %1$I", role.name, table)
    connect = connection.execute(_MAY_CONNECT, {"role": role.name}).one()
    if not connect.may_connect:
        _run_formatted(
            connection, "GRANT CONNECT ON DATABASE %2$I TO %1$I", role.name, connect.database
        )
    if not connect.may_use:
        _run_formatted(connection, "GRANT USAGE ON SCHEMA public TO %I", role.name)


def _run_formatted(connection: Connection, template: str, *values: str | None) -> None:
    """Let Postgres quote the values: commands on roles take no parameters."""
    names = [f"v{number}" for number in range(len(values))]
    arguments = ", ".join(f"CAST(:{name} AS text)" for name in names)
    statement = connection.execute(
        text(f"SELECT format('{template}', {arguments})"), dict(zip(names, values, strict=True))
    ).scalar_one()
    connection.exec_driver_sql(statement)


_FIND_ROLE = text(
    """
    SELECT app.oid IS NOT NULL AS is_present,
           me.rolsuper OR me.rolcreaterole AS may_create,
           me.rolsuper OR (me.rolcreaterole AND EXISTS (
               SELECT FROM pg_auth_members m
               WHERE m.roleid = app.oid AND m.member = me.oid AND m.admin_option
           )) AS may_alter
    FROM pg_roles me LEFT JOIN pg_roles app ON app.rolname = :role
    WHERE me.rolname = current_user
    """
)

_ROLE_RIGHTS = text(
    """
    SELECT r.rolsuper, r.rolbypassrls,
           (SELECT other.rolname FROM pg_roles other
            WHERE (other.rolsuper OR other.rolbypassrls)
              AND pg_has_role(r.oid, other.oid, 'MEMBER') LIMIT 1) AS unbound,
           (SELECT c.relname FROM pg_class c
            WHERE c.relowner = r.oid AND c.relpersistence <> 't' LIMIT 1) AS owned,
           EXISTS (SELECT FROM pg_class c
                   WHERE c.relname = 'tenants' AND c.relnamespace = 'public'::regnamespace
                     AND pg_has_role(r.oid, c.relowner, 'MEMBER')) AS is_owner
    FROM pg_roles r WHERE r.rolname = :role
    """
)

_TABLE_RIGHTS = text(
    """
    SELECT c.relname, acl.privilege_type
    FROM pg_class c, aclexplode(c.relacl) acl
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
      AND acl.grantee = (SELECT oid FROM pg_roles WHERE rolname = :role)
    """
)

_MAY_CONNECT = text(
    """
    SELECT current_database() AS database,
           has_database_privilege(:role, current_database(), 'CONNECT') AS may_connect,
           has_schema_privilege(:role, 'public', 'USAGE') AS may_use
    """
)
