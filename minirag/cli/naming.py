"""Names in place of ids: people know what they called a thing."""

from __future__ import annotations

from collections.abc import Sequence

from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure
from minirag.cli.session import Session


def collection_ids(session: Session, names: Sequence[str]) -> list[str]:
    """Return the ids of collections named by id or by exact display name, each once.

    Raises `CliFailure` for a name that no collection has.
    """
    from minirag_sdk.v1 import document_service_pb2 as pb

    known: dict[str, str] = {}
    if not all(_is_id(name, "col_") for name in names):
        stub = session.documents
        listed = session.list_all(stub.ListCollections, pb.ListCollectionsRequest(), "collections")
        known = {one.display_name: one.id for one in listed}
    return list(dict.fromkeys(_choose(name, "col_", known, "collection") for name in names))


def collection_id(session: Session, name: str) -> str:
    """Return the id of one collection, as `collection_ids` does."""
    return collection_ids(session, [name])[0]


def assistant_id(session: Session, name: str) -> str:
    """Return the id of an assistant named by id or by exact display name."""
    from minirag_sdk.v1 import chat_service_pb2 as pb

    if _is_id(name, "ast_"):
        return name
    listed = session.list_all(
        session.chats.ListAssistants, pb.ListAssistantsRequest(), "assistants"
    )
    return _choose(name, "ast_", {one.display_name: one.id for one in listed}, "assistant")


def tenant_id(session: Session, name: str) -> str:
    """Return the id of a tenant named by id or by slug."""
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    if _is_id(name, "ten_"):
        return name
    listed = session.list_all(session.tenants.ListTenants, pb.ListTenantsRequest(), "tenants")
    return _choose(name, "ten_", {one.slug: one.id for one in listed}, "tenant")


def user_id(session: Session, name: str, tenant: str) -> str:
    """Return the id of a user named by id or by e-mail address; `tenant` as in ListUsersRequest."""
    from minirag_sdk.v1 import user_service_pb2 as pb

    if _is_id(name, "usr_"):
        return name
    request = pb.ListUsersRequest(tenant_id=tenant)
    listed = session.list_all(session.users.ListUsers, request, "users")
    return _choose(name.lower(), "usr_", {one.email.lower(): one.id for one in listed}, "user")


_HINTS = {
    "collection": "list them with `minirag collection list`, or make it with `minirag collection create`",
    "assistant": "check the name, or leave --assistant out",
    "tenant": "list them with `minirag tenant list`",
    "user": "list them with `minirag user list`",
}


def _is_id(name: str, prefix: str) -> bool:
    """Whatever looks like an id is one: the server says whether it is any good."""
    return name.startswith(prefix)


def _choose(name: str, prefix: str, known: dict[str, str], kind: str) -> str:
    if name in known:
        return known[name]
    if _is_id(name, prefix):
        return name
    raise CliFailure(f"no {kind} is named {name!r}", ExitCode.NOT_FOUND, advice=_HINTS[kind])
