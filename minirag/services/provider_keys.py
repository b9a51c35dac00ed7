"""Tenants' own keys of model providers at hand, for the calls of a few seconds."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from minirag.services.ports.secrets import Keyring, Sealed, SealedRecord, bind
from minirag.services.ports.storage import UnitOfWorkFactory

CACHE_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    sealed: Mapping[str, tuple[UUID, Sealed]]
    """By provider."""
    until: float


class TenantProviderKeys:
    """`ProviderKeys` that remembers, for `trust_seconds`, what Postgres holds: ciphertext.

    A key is opened for each call anew (20 us), so that no list of keys lies in memory. `trust_seconds`
    bounds how long a key that was replaced or deleted on another server is still used on this one.
    """

    def __init__(self, uow: UnitOfWorkFactory, keyring: Keyring, *, trust_seconds: float) -> None:
        self._uow = uow
        self._keyring = keyring
        self._trust_seconds = trust_seconds
        self._known: OrderedDict[UUID, _Known] = OrderedDict()
        self._loading: dict[UUID, asyncio.Task[_Known]] = {}

    async def find(self, tenant_id: UUID, provider: str) -> str | None:
        known = self._known.get(tenant_id)
        if known is None or time.monotonic() >= known.until:
            known = await self._load_once(tenant_id)
        found = known.sealed.get(provider)
        if found is None:
            return None
        credential_id, sealed = found
        place = bind(tenant_id.bytes, SealedRecord.PROVIDER_CREDENTIAL, credential_id.bytes)
        return self._keyring.open(sealed, bound_to=place).decode()

    def forget(self, tenant_id: UUID) -> None:
        """Look again the next time, as the tenant's keys were changed on this server."""
        self._known.pop(tenant_id, None)
        self._loading.pop(tenant_id, None)

    async def _load_once(self, tenant_id: UUID) -> _Known:
        """Calls that miss at the same time look into Postgres together."""
        task = self._loading.get(tenant_id)
        if task is None:
            task = self._loading[tenant_id] = asyncio.create_task(self._load(tenant_id))
            task.add_done_callback(lambda done: self._keep(tenant_id, done))
        return await asyncio.shield(task)

    async def _load(self, tenant_id: UUID) -> _Known:
        # Counted from before the look: a slow one mustn't lengthen the life of a deleted key.
        until = time.monotonic() + self._trust_seconds
        async with self._uow.tenant(tenant_id) as uow:
            credentials = await uow.provider_credentials.list_all()
        return _Known({one.provider: (one.id, sealed) for one, sealed in credentials}, until)

    def _keep(self, tenant_id: UUID, done: asyncio.Task[_Known]) -> None:
        if self._loading.get(tenant_id) is not done:
            # Forgotten meanwhile: it may have seen what was before.
            if not done.cancelled():
                done.exception()
            return
        del self._loading[tenant_id]
        # `exception` also tells asyncio that somebody has seen it, if all who waited have left.
        if done.cancelled() or done.exception() is not None:
            return
        self._known[tenant_id] = done.result()
        self._known.move_to_end(tenant_id)
        if len(self._known) > CACHE_ENTRIES:
            self._known.popitem(last=False)
