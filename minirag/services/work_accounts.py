"""On whose account a worker ingests a document, or embeds a collection."""

from __future__ import annotations

from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.documents import DocumentVersion
from minirag.domain.limits import UNLIMITED, Limits
from minirag.services.ports.storage import TenantUnitOfWork


async def read_uploader(
    uow: TenantUnitOfWork, version: DocumentVersion, limits: Limits, *, calls_models: bool
) -> TenantContext:
    """Return the caller that the version came from, see `read_caller`."""
    return await read_caller(
        uow,
        version.tenant_id,
        key_id=version.key_id,
        user_id=version.user_id,
        limits=limits,
        calls_models=calls_models,
    )


async def read_caller(
    uow: TenantUnitOfWork,
    tenant_id: UUID,
    *,
    key_id: UUID | None,
    user_id: UUID | None,
    limits: Limits,
    calls_models: bool,
) -> TenantContext:
    """Return the caller that work came from, with its tenant's `limits` and the key's as they are now.

    The key's matter only when a model is going to be called.
    """
    key = None
    if calls_models and key_id is not None:
        key = await uow.api_keys.get(key_id)
    return TenantContext(
        tenant_id,
        key_id=key_id,
        user_id=user_id,
        limits=limits,
        key_limits=UNLIMITED if key is None else key.limits,
    )
