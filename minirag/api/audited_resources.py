"""What an audited call is about, for the log of the ones that fail: what its request names, if anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minirag.api.method_table import METHOD_TABLE, PACKAGE
from minirag.domain.ids import IdKind, decode_id


@dataclass(frozen=True, slots=True)
class Named:
    """The type of resource, and the field that names one; no field for calls that make it."""

    resource_type: str
    path: str = ""
    kind: IdKind | None = None
    """None for a name that is no id."""


_TENANT = Named("tenant", "tenant_id", IdKind.TENANT)
_KEY = Named("api_key", "api_key_id", IdKind.API_KEY)
_USER = Named("user", "user_id", IdKind.USER)
_PRICE = Named("model_price", "model")

_NAMED: Mapping[str, Mapping[str, Named]] = {
    "TenantService": {
        "CreateTenant": Named("tenant"),
        "UpdateTenant": Named("tenant", "tenant.id", IdKind.TENANT),
        "DeleteTenant": _TENANT,
        "UndeleteTenant": _TENANT,
        "ExportTenant": Named("tenant"),
        "UpdateLimits": Named("tenant_limits", "tenant_id", IdKind.TENANT),
        "CreateApiKey": Named("api_key"),
        "UpdateApiKey": _KEY,
        "RotateApiKey": _KEY,
        "RevokeApiKey": _KEY,
        # Its name isn't taken from a request that fails: somebody may have put the key itself there.
        "SetProviderCredential": Named("provider_credential"),
        "DeleteProviderCredential": Named("provider_credential"),
    },
    "UserService": {
        "CreateUser": Named("user"),
        "UpdateUser": Named("user", "user.id", IdKind.USER),
        "DeleteUser": _USER,
        "SignIn": Named("user"),
        "SignOut": Named("user"),
        "SignOutEverywhere": _USER,
        "ChangePassword": Named("user"),
    },
    "UsageService": {"SetModelPrice": _PRICE, "DeleteModelPrice": _PRICE},
    "WebhookService": {
        "CreateWebhook": Named("webhook"),
        "UpdateWebhook": Named("webhook", "webhook.id", IdKind.WEBHOOK),
        "DeleteWebhook": Named("webhook", "webhook_id", IdKind.WEBHOOK),
        "TestWebhook": Named("webhook", "webhook_id", IdKind.WEBHOOK),
        "ReplayWebhookDelivery": Named("webhook_delivery", "delivery_id", IdKind.WEBHOOK_DELIVERY),
    },
    "OperationService": {
        "CancelOperation": Named("operation", "operation_id", IdKind.OPERATION),
        "Reconcile": Named("operation"),
    },
    "SourceService": {
        "CreateSource": Named("source"),
        "UpdateSource": Named("source", "source.id", IdKind.SOURCE),
        "DeleteSource": Named("source", "source_id", IdKind.SOURCE),
        "RefreshSource": Named("source", "source_id", IdKind.SOURCE),
    },
    "DocumentService": {
        "CreateCollection": Named("collection"),
        "UpdateCollection": Named("collection", "collection.id", IdKind.COLLECTION),
        "DeleteCollection": Named("collection", "collection_id", IdKind.COLLECTION),
        "ReembedCollection": Named("collection", "collection_id", IdKind.COLLECTION),
        "SwitchEmbeddings": Named("collection", "collection_id", IdKind.COLLECTION),
        "DiscardEmbeddings": Named("collection", "collection_id", IdKind.COLLECTION),
        "CreateDocument": Named("document"),
        "CreateDocuments": Named("document"),
        "UploadDocument": Named("document"),
        "StartUpload": Named("upload"),
        "DeleteUpload": Named("upload", "upload_id", IdKind.UPLOAD),
        "CancelDocument": Named("document", "document_id", IdKind.DOCUMENT),
        "RetryDocument": Named("document", "document_id", IdKind.DOCUMENT),
        "RetryFailed": Named("collection", "collection_id", IdKind.COLLECTION),
        "UpdateDocument": Named("document", "document.id", IdKind.DOCUMENT),
        "DeleteDocument": Named("document", "document_id", IdKind.DOCUMENT),
        "PurgeDocuments": Named("collection", "collection_id", IdKind.COLLECTION),
    },
    "ChatService": {
        "CreateAssistant": Named("assistant"),
        "UpdateAssistant": Named("assistant", "assistant.id", IdKind.ASSISTANT),
        "DeleteAssistant": Named("assistant", "assistant_id", IdKind.ASSISTANT),
        "UpdateConversation": Named("conversation", "conversation.id", IdKind.CONVERSATION),
        "DeleteConversation": Named("conversation", "conversation_id", IdKind.CONVERSATION),
    },
}

AUDITED_RESOURCES: Mapping[str, Named] = {
    f"/{PACKAGE}.{service}/{method}": named
    for service, methods in _NAMED.items()
    for method, named in methods.items()
}

_NAME = re.compile(r"[A-Za-z0-9._:/-]{1,100}")


def find_named(method: str) -> Named:
    """Return what an audited method is about. Raises `KeyError` for one that isn't in the table."""
    return AUDITED_RESOURCES[method]


def read_resource_id(named: Named, request: Any) -> str:
    """Return what the request names, if it is well-formed; else nothing, since it may be anything."""
    if not named.path:
        return ""
    value = request
    for step in named.path.split("."):
        value = getattr(value, step)
    text = str(value)
    is_well_formed = (
        _NAME.fullmatch(text) if named.kind is None else decode_id(named.kind, text) is not None
    )
    return text if is_well_formed else ""


def check_complete() -> None:
    """Raise `ValueError` unless the table names exactly the audited methods."""
    audited = {method for method, rule in METHOD_TABLE.items() if rule.is_audited}
    if wrong := audited ^ AUDITED_RESOURCES.keys():
        raise ValueError(f"audited in one table only: {sorted(wrong)}")
