"""Who may call which RPC. An RPC that isn't named here is refused, and a test fails."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace

from minirag.domain.access import Principal, TenantContext
from minirag.domain.people import UserRole
from minirag.domain.tenants import ALL_SCOPES, Scope
from minirag.errors import PermissionDenied

PACKAGE = "minirag.v1"


class Caller(enum.Enum):
    """Which kind of credential an RPC takes."""

    OPEN = "anybody, without a credential"
    ANY = "any credential that holds"
    PLATFORM = "the platform key"
    TENANT = "a tenant's key with the scope, or a user with the role"
    EITHER = "the platform key, a tenant's key with the scope, or a user with the role"
    USER = "a signed-in user with the role"


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call an RPC. docs/access.md, the interceptor and the isolation tests are made from it."""

    caller: Caller
    scope: Scope | None = None
    """What a tenant's key needs."""
    least_role: UserRole | None = None
    """What a signed-in user needs at least."""
    is_endless: bool = False
    """Such streams last as long as the client likes, and are ended at once when the server drains."""
    is_rechecked: bool = False
    """Takes as long as its client, or a model, takes; ended when its caller is shut out meanwhile."""
    is_audited: bool = False
    """Success and refusal stand in the audit log."""
    needs_every_scope: bool = False
    """A key needs all the others beside `scope`."""

    def admit(self, principal: Principal) -> None:
        """Return if `principal` may call. Raises `PermissionDenied` with what is missing."""
        if self.caller in (Caller.OPEN, Caller.ANY):
            return
        if isinstance(principal, TenantContext):
            self._admit_tenant(principal)
        elif self.caller is Caller.TENANT:
            raise PermissionDenied(
                "this call works on a tenant's data: use one of the tenant's keys, not the platform key",
                reason="TENANT_KEY_REQUIRED",
            )
        elif self.caller is Caller.USER:
            raise _user_required()

    def _admit_tenant(self, tenant: TenantContext) -> None:
        if self.caller is Caller.PLATFORM:
            raise PermissionDenied(
                "this call needs the platform key", reason="PLATFORM_KEY_REQUIRED"
            )
        if tenant.role is not None:
            self._admit_user(tenant.role)
            return
        if self.caller is Caller.USER:
            raise _user_required()
        needed = ALL_SCOPES if self.needs_every_scope else frozenset(filter(None, (self.scope,)))
        if missing := needed - tenant.scopes:
            scope = min(missing)
            raise PermissionDenied(
                f"the key lacks the scope {scope}: use a key that has it",
                reason="SCOPE_MISSING",
                metadata={"scope": scope.value},
            )

    def _admit_user(self, role: UserRole) -> None:
        if self.least_role is not None and not role.covers(self.least_role):
            raise PermissionDenied(
                f"your role {role} may not do this: it takes {self.least_role} or above",
                reason="ROLE_MISSING",
                metadata={"role": self.least_role.value},
            )


def _user_required() -> PermissionDenied:
    return PermissionDenied(
        "this call is for a signed-in user: use the access token that SignIn gives",
        reason="USER_REQUIRED",
    )


_OPEN = Rule(Caller.OPEN)
_ANY = Rule(Caller.ANY)
_PLATFORM = Rule(Caller.PLATFORM)
_PLATFORM_CHANGE = Rule(Caller.PLATFORM, is_audited=True)
_READ = Rule(Caller.TENANT, Scope.READ, UserRole.VIEWER)
_INGEST = Rule(Caller.TENANT, Scope.INGEST, UserRole.EDITOR, is_audited=True)
_CHAT = Rule(Caller.TENANT, Scope.CHAT, UserRole.VIEWER)
_CHAT_CHANGE = Rule(Caller.TENANT, Scope.CHAT, UserRole.VIEWER, is_audited=True)
_ASSISTANTS = Rule(Caller.TENANT, Scope.MANAGE, UserRole.EDITOR, is_audited=True)
_ADMIN = Rule(Caller.TENANT, Scope.MANAGE, UserRole.ADMIN)
_ADMIN_CHANGE = Rule(Caller.TENANT, Scope.MANAGE, UserRole.ADMIN, is_audited=True)
_SHARED = Rule(Caller.EITHER, Scope.MANAGE, UserRole.ADMIN)
_SHARED_CHANGE = Rule(Caller.EITHER, Scope.MANAGE, UserRole.ADMIN, is_audited=True)
_OPERATIONS = Rule(Caller.EITHER, Scope.READ, UserRole.VIEWER)
_OWN_ACCOUNT = Rule(Caller.USER, least_role=UserRole.VIEWER, is_audited=True)

_RULES: Mapping[str, Mapping[str, Rule]] = {
    "TenantService": {
        "CreateTenant": _PLATFORM_CHANGE,
        "GetTenant": _PLATFORM,
        "ListTenants": _PLATFORM,
        "UpdateTenant": _PLATFORM_CHANGE,
        "DeleteTenant": _PLATFORM_CHANGE,
        "UndeleteTenant": _PLATFORM_CHANGE,
        "ExportTenant": Rule(
            Caller.TENANT,
            Scope.MANAGE,
            UserRole.OWNER,
            is_rechecked=True,
            is_audited=True,
            needs_every_scope=True,
        ),
        "GetLimits": _SHARED,
        "UpdateLimits": _PLATFORM_CHANGE,
        "CreateApiKey": _SHARED_CHANGE,
        "ListApiKeys": _SHARED,
        "UpdateApiKey": _SHARED_CHANGE,
        "RotateApiKey": _SHARED_CHANGE,
        "RevokeApiKey": _SHARED_CHANGE,
        "SetProviderCredential": _ADMIN_CHANGE,
        "ListProviderCredentials": _ADMIN,
        "DeleteProviderCredential": _ADMIN_CHANGE,
        "ListAuditEvents": _SHARED,
        "WhoAmI": _ANY,
    },
    "UserService": {
        "CreateUser": _SHARED_CHANGE,
        "GetUser": _SHARED,
        "ListUsers": _SHARED,
        "UpdateUser": _SHARED_CHANGE,
        "DeleteUser": _SHARED_CHANGE,
        "SignIn": Rule(Caller.OPEN, is_audited=True),
        "RefreshSession": _OPEN,
        "SignOut": _OWN_ACCOUNT,
        "SignOutEverywhere": Rule(Caller.ANY, is_audited=True),
        "ChangePassword": _OWN_ACCOUNT,
    },
    "UsageService": {
        "QueryUsage": _SHARED,
        "GetUsageOverview": _SHARED,
        "SetModelPrice": _PLATFORM_CHANGE,
        "ListModelPrices": _SHARED,
        "DeleteModelPrice": _PLATFORM_CHANGE,
    },
    "WebhookService": {
        "CreateWebhook": _ADMIN_CHANGE,
        "GetWebhook": _ADMIN,
        "ListWebhooks": _ADMIN,
        "UpdateWebhook": _ADMIN_CHANGE,
        "DeleteWebhook": _ADMIN_CHANGE,
        "TestWebhook": _ADMIN_CHANGE,
        "ListWebhookDeliveries": _ADMIN,
        "ReplayWebhookDelivery": _ADMIN_CHANGE,
    },
    "SourceService": {
        "CreateSource": _INGEST,
        "GetSource": _READ,
        "ListSources": _READ,
        "UpdateSource": _INGEST,
        "DeleteSource": _INGEST,
        "RefreshSource": _INGEST,
        "ListSourcePages": _READ,
    },
    "OperationService": {
        "GetOperation": _OPERATIONS,
        "ListOperations": _OPERATIONS,
        "WaitOperation": replace(_OPERATIONS, is_endless=True),
        "CancelOperation": Rule(Caller.EITHER, Scope.INGEST, UserRole.EDITOR, is_audited=True),
        "Reconcile": _PLATFORM_CHANGE,
    },
    "DocumentService": {
        "CreateCollection": _INGEST,
        "GetCollection": _READ,
        "ListCollections": _READ,
        "UpdateCollection": _INGEST,
        "DeleteCollection": _INGEST,
        "ReembedCollection": _INGEST,
        "SwitchEmbeddings": _INGEST,
        "DiscardEmbeddings": _INGEST,
        "CreateDocument": _INGEST,
        "CreateDocuments": _INGEST,
        "UploadDocument": replace(_INGEST, is_rechecked=True),
        "StartUpload": _INGEST,
        "GetUpload": replace(_INGEST, is_audited=False),
        # Not audited part by part: the document that it comes to is.
        "WriteUpload": replace(_INGEST, is_audited=False, is_rechecked=True),
        "DeleteUpload": _INGEST,
        "CancelDocument": _INGEST,
        "RetryDocument": _INGEST,
        "RetryFailed": _INGEST,
        "GetDocument": _READ,
        "GetDocumentText": _READ,
        "ListDocuments": _READ,
        "UpdateDocument": _INGEST,
        "DeleteDocument": _INGEST,
        "PurgeDocuments": _INGEST,
        "WatchDocuments": Rule(Caller.TENANT, Scope.READ, UserRole.VIEWER, is_endless=True),
        "ListChunks": _READ,
        "Search": _READ,
    },
    "ChatService": {
        "CreateAssistant": _ASSISTANTS,
        "GetAssistant": _CHAT,
        "ListAssistants": _CHAT,
        "UpdateAssistant": _ASSISTANTS,
        "DeleteAssistant": _ASSISTANTS,
        # Not audited, as each one is kept with its question, key and usage anyway.
        "SendMessage": replace(_CHAT, is_rechecked=True),
        "GetConversation": _CHAT,
        "ListConversations": _CHAT,
        "UpdateConversation": _CHAT_CHANGE,
        "DeleteConversation": _CHAT_CHANGE,
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
