"""Who may call which RPC. An RPC that isn't named here is refused, and a test fails."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from minirag.domain.access import PlatformContext, Principal, TenantContext
from minirag.domain.tenants import Scope
from minirag.errors import PermissionDenied

PACKAGE = "minirag.v1"


class Caller(enum.Enum):
    """Which kind of credential an RPC takes."""

    ANY = "any credential that holds"
    PLATFORM = "the platform key"
    TENANT = "a tenant's key with the scope"
    EITHER = "the platform key, or a tenant's key with the scope"


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call an RPC; `is_endless` streams are ended at once when the server drains."""

    caller: Caller
    scope: Scope | None = None
    is_endless: bool = False

    def admit(self, principal: Principal) -> None:
        """Return if `principal` may call. Raises `PermissionDenied` with what is missing."""
        if self.caller is Caller.ANY:
            return
        if isinstance(principal, PlatformContext):
            if self.caller is Caller.TENANT:
                raise PermissionDenied(
                    "this call works on a tenant's data: use one of the tenant's keys, not the"
                    " platform key",
                    reason="TENANT_KEY_REQUIRED",
                )
            return
        self._admit_tenant(principal)

    def _admit_tenant(self, tenant: TenantContext) -> None:
        if self.caller is Caller.PLATFORM:
            raise PermissionDenied(
                "this call needs the platform key", reason="PLATFORM_KEY_REQUIRED"
            )
        if self.scope is not None and self.scope not in tenant.scopes:
            raise PermissionDenied(
                f"the key lacks the scope {self.scope}: use a key that has it",
                reason="SCOPE_MISSING",
                metadata={"scope": self.scope.value},
            )


_ANY = Rule(Caller.ANY)
_PLATFORM = Rule(Caller.PLATFORM)
_KEYS = Rule(Caller.EITHER, Scope.MANAGE)
_READ = Rule(Caller.TENANT, Scope.READ)
_INGEST = Rule(Caller.TENANT, Scope.INGEST)
_CHAT = Rule(Caller.TENANT, Scope.CHAT)
_MANAGE = Rule(Caller.TENANT, Scope.MANAGE)

_RULES: Mapping[str, Mapping[str, Rule]] = {
    "TenantService": {
        "CreateTenant": _PLATFORM,
        "GetTenant": _PLATFORM,
        "ListTenants": _PLATFORM,
        "UpdateTenant": _PLATFORM,
        "DeleteTenant": _PLATFORM,
        "CreateApiKey": _KEYS,
        "ListApiKeys": _KEYS,
        "RevokeApiKey": _KEYS,
        "WhoAmI": _ANY,
    },
    "DocumentService": {
        "CreateCollection": _INGEST,
        "GetCollection": _READ,
        "ListCollections": _READ,
        "UpdateCollection": _INGEST,
        "DeleteCollection": _INGEST,
        "CreateDocument": _INGEST,
        "UploadDocument": _INGEST,
        "GetDocument": _READ,
        "GetDocumentText": _READ,
        "ListDocuments": _READ,
        "UpdateDocument": _INGEST,
        "DeleteDocument": _INGEST,
        "WatchDocuments": Rule(Caller.TENANT, Scope.READ, is_endless=True),
        "ListChunks": _READ,
        "Search": _READ,
    },
    "ChatService": {
        "CreateAssistant": _MANAGE,
        "GetAssistant": _CHAT,
        "ListAssistants": _CHAT,
        "UpdateAssistant": _MANAGE,
        "DeleteAssistant": _MANAGE,
        "SendMessage": _CHAT,
        "GetConversation": _CHAT,
        "ListConversations": _CHAT,
        "UpdateConversation": _CHAT,
        "DeleteConversation": _CHAT,
        "ListMessages": _CHAT,
    },
}

METHOD_TABLE: Mapping[str, Rule] = {
    f"/{PACKAGE}.{service}/{method}": rule
    for service, rules in _RULES.items()
    for method, rule in rules.items()
}

# Standard services that load balancers and tools ask before they have a credential. Their streams
# last as long as the client likes.
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
OPEN_SERVICES = frozenset({HEALTH, REFLECTION})

_REFLECTION_RULE = Rule(Caller.ANY, is_endless=True)


def is_open(method: str) -> bool:
    """True for a method of a service that needs no credential."""
    return _service_of(method) in OPEN_SERVICES


def find_rule(method: str, *, is_reflection_open: bool) -> Rule | None:
    """Return the rule of a method that is served; None if it needs no credential."""
    if not is_reflection_open and _service_of(method) == REFLECTION:
        return _REFLECTION_RULE
    return None if is_open(method) else METHOD_TABLE[method]


def _service_of(method: str) -> str:
    return method.rpartition("/")[0][1:]
