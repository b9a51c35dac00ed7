"""With whose key a model is called, and whether the caller may have it called at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from minirag.adapters.models.failures import unknown_model
from minirag.adapters.models.model_names import ProviderAccess, route_model, split_provider
from minirag.adapters.models.providers import PROVIDERS, provider_of
from minirag.domain.models import AllowedModels
from minirag.services.model_policy import model_not_allowed
from minirag.services.ports.secrets import ProviderKeys


@dataclass(frozen=True, slots=True)
class Route:
    """How to call a model."""

    arguments: dict[str, Any]
    """LiteLLM's `model`, `api_key` and, when it is set, `api_base`."""
    provider: str
    is_tenants_key: bool


class KeyChooser:
    """Chooses the tenant's own key where it has one for the model's provider, else the operator's."""

    def __init__(
        self,
        access: ProviderAccess,
        keys: ProviderKeys | None = None,
        allowed: AllowedModels | None = None,
    ) -> None:
        self._access = access
        self._keys = keys
        self._allowed = allowed

    async def choose(self, litellm: Any, model: str, tenant_id: UUID | None) -> Route:  # a module
        """Return how to call `model` for a tenant; with None, for the operator.

        Raises `ProviderRejected` for a name that no provider has, `PermissionDenied` (reason
        MODEL_NOT_ALLOWED) for a model that only the operator may have called, and what
        `ProviderKeys.find` raises.
        """
        arguments = route_model(litellm, model, self._access)
        is_named = self._allowed is None or self._allowed.names(model)
        # Before LiteLLM is asked: of some names it would begin a sign-in, and wait for it.
        prefix, separator, _ = arguments["model"].partition("/")
        if separator and prefix in litellm.provider_list:
            self._check_provider(prefix, model, is_named=is_named)
        try:
            _, provider = split_provider(litellm, arguments)
        except Exception:  # it raises bare exceptions
            raise unknown_model(model) from None
        self._check_provider(provider, model, is_named=is_named)
        provider = provider_of(provider)
        own_key = await self._find(tenant_id, provider)
        if own_key is not None:
            return Route({**arguments, "api_key": own_key}, provider, is_tenants_key=True)
        if not is_named and self._allowed is not None and self._allowed.is_restricted:
            raise model_not_allowed(model)
        return Route(arguments, provider, is_tenants_key=False)

    @staticmethod
    def _check_provider(provider: str, model: str, *, is_named: bool) -> None:
        if not is_named and provider_of(provider) not in PROVIDERS:
            raise model_not_allowed(model)

    async def _find(self, tenant_id: UUID | None, provider: str) -> str | None:
        if tenant_id is None or self._keys is None or provider not in PROVIDERS:
            return None
        return await self._keys.find(tenant_id, provider)
