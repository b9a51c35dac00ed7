"""Which models a tenant's assistants may name, asked before anything is kept or paid for.

The adapters ask again with what the provider turns out to be, see `adapters.models.keys`.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from minirag.domain.models import AllowedModels
from minirag.errors import PermissionDenied
from minirag.services.ports.secrets import ProviderKeys


class ModelPolicy:
    """`providers` are those whose models tenants may name by themselves.

    With `any_prefix`, what stands before the `/` needn't be a provider: the operator's own address
    serves such names.
    """

    def __init__(
        self,
        allowed: AllowedModels,
        keys: ProviderKeys,
        *,
        providers: Collection[str],
        any_prefix: bool,
    ) -> None:
        self._allowed = allowed
        self._keys = keys
        self._providers = providers
        self._any_prefix = any_prefix

    async def check(self, tenant_id: UUID, model: str) -> None:
        """Return if the tenant may have `model` called; empty stands for the server's default.

        Raises `PermissionDenied` (reason MODEL_NOT_ALLOWED). A restriction by the operator doesn't hold
        for models of a provider that the tenant has a key of its own for.
        """
        if not model or self._allowed.names(model):
            return
        prefix, separator, _ = model.partition("/")
        is_known = bool(separator) and prefix in self._providers
        if separator and not is_known and not self._any_prefix:
            raise model_not_allowed(model)
        if not self._allowed.is_restricted:
            return
        if not is_known or await self._keys.find(tenant_id, prefix) is None:
            raise model_not_allowed(model)


def model_not_allowed(model: str) -> PermissionDenied:
    """What is answered for a model that the operator doesn't allow."""
    return PermissionDenied(
        f"the server's operator doesn't allow the model {model[:100]!r}: choose another, store your own key"
        " of its provider with SetProviderCredential, or have the operator name it in"
        " MINIRAG_ALLOWED_MODELS",
        reason="MODEL_NOT_ALLOWED",
        metadata={"model": model[:100]},
    )
