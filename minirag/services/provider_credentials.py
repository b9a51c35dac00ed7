"""A tenant's own keys of model providers: stored sealed, never shown again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from minirag.domain.access import TenantContext
from minirag.domain.ids import new_id
from minirag.domain.provider_credentials import ProviderCredential, hint_of
from minirag.errors import InvalidRequest, NotFound
from minirag.services.auditing import record_change
from minirag.services.clock import utc_now
from minirag.services.idempotency import recall, remember
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.secrets import Keyring, Sealed, SealedRecord, bind
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory
from minirag.services.provider_keys import TenantProviderKeys

RESOURCE = "provider_credential"


class ProviderCredentialService:
    """`providers` are those that can be called with nothing but a key."""

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        keyring: Keyring,
        keys: TenantProviderKeys,
        *,
        providers: Collection[str],
    ) -> None:
        self._uow = uow
        self._keyring = keyring
        self._keys = keys
        self._providers = providers

    async def set(
        self, context: TenantContext, provider: str, api_key: str, *, request: RequestKey | None
    ) -> ProviderCredential:
        """Keep a key, in the place of the one before.

        Raises `InvalidRequest` for a provider that takes more than a key, `FailedPrecondition` when this
        server was given no keys to seal with.
        """
        if provider not in self._providers:
            known = ", ".join(sorted(self._providers))
            raise InvalidRequest.field("provider", f"must be one of {known}")
        async with self._uow.tenant(context) as uow:
            if await recall(uow.requests, request):
                credential = await uow.provider_credentials.get(provider)
                if credential is None:
                    raise _not_found(provider)
                return credential
            credential = await self._store(uow, context, provider, api_key)
            await record_change(uow.audit, context.tenant_id, RESOURCE, provider)
            await remember(uow.requests, request, provider=provider)
        self._keys.forget(context.tenant_id)
        return credential

    async def list_all(self, context: TenantContext) -> list[ProviderCredential]:
        """By provider."""
        async with self._uow.tenant(context) as uow:
            return [credential for credential, _ in await uow.provider_credentials.list_all()]

    async def delete(
        self, context: TenantContext, provider: str, *, request: RequestKey | None
    ) -> None:
        """Raises `NotFound` when there is none."""
        async with self._uow.tenant(context) as uow:
            if await recall(uow.requests, request):
                return
            if await uow.provider_credentials.remove(provider) is None:
                raise _not_found(provider)
            await record_change(uow.audit, context.tenant_id, RESOURCE, provider)
            await remember(uow.requests, request, provider=provider)
        self._keys.forget(context.tenant_id)

    async def _store(
        self, uow: TenantUnitOfWork, context: TenantContext, provider: str, api_key: str
    ) -> ProviderCredential:
        now = utc_now()
        current = await uow.provider_credentials.get(provider)
        if current is None:
            fresh = ProviderCredential(
                new_id(), context.tenant_id, provider, hint_of(api_key), now, now
            )
            if await uow.provider_credentials.add(fresh, self._seal(fresh, api_key)):
                return fresh
            current = await uow.provider_credentials.get(provider)
            if current is None:  # added and removed in this very moment
                return await self._store(uow, context, provider, api_key)
        changed = replace(current, key_hint=hint_of(api_key), update_time=now)
        await uow.provider_credentials.update(changed, self._seal(changed, api_key))
        return changed

    def _seal(self, credential: ProviderCredential, api_key: str) -> Sealed:
        place = bind(
            credential.tenant_id.bytes, SealedRecord.PROVIDER_CREDENTIAL, credential.id.bytes
        )
        return self._keyring.seal(api_key.encode(), bound_to=place)


def _not_found(provider: str) -> NotFound:
    return NotFound(RESOURCE, provider)
